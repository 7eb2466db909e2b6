//! What a guest expects of its network, looked at from its shell.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use vhost_fuzz_core::net::gateway::{GATEWAY_IP, GATEWAY_IPV6, GATEWAY_MAC};

use crate::back_end::{BackEnd, GUEST_IP, GUEST_IPV6};
use crate::link::{Link, Listens};
use crate::machine::{Machine, NetOptions, Running};
use crate::trial::Trial;

/// How long one command in the guest may take.
pub(super) const COMMAND: Duration = Duration::from_secs(30);

/// A guest and the back-end that it talks to.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) back_end: BackEnd,
    pub(super) machine: Running,
    /// It stands between them, if anything does.
    _link: Link,
}

impl Pair {
    /// Starts both, and waits until the guest is up. `more` are arguments for QEMU.
    pub(super) fn start(trial: &Trial, options: &NetOptions, more: &[&str]) -> Result<Self> {
        let link = Link::new(trial, "net", options.listens)?;
        let mut machine = Machine::new(trial, "qemu")?;
        machine.guest(trial)?.net(trial, &link.front, options).add(more.iter().copied());
        let pairs = options.pairs.to_string();
        // As many answers as it can give: the bound is not what is tried here.
        let mut arguments = vec!["--queues", &pairs, "--rate", "1000000"];
        arguments.extend(options.is_packed.then_some("--packed"));
        let begin = |link| BackEnd::start(trial, link, options.listens, &arguments);
        let (back_end, machine) = match options.listens {
            Listens::Back => (begin(&link)?, machine.start(trial)?),
            Listens::Front => {
                let mut running = machine.launch(trial)?;
                let back_end = begin(&link)?;
                running.boot(trial)?;
                (back_end, running)
            }
        };
        Ok(Self { back_end, machine, _link: link })
    }

    /// Turns the guest off, and looks at what the back-end says of it.
    pub(super) fn end(self, trial: &mut Trial) -> Result<()> {
        let Self { mut back_end, machine, _link } = self;
        machine.power_off()?;
        let what = "the back-end does not say how the front-end ended";
        let line = trial.deadline.within(COMMAND).wait_for(what, || {
            back_end.process().check()?;
            let said = back_end.said()?;
            Ok(said.lines().rfind(|line| line.contains("frames taken")).map(str::to_owned))
        })?;
        ensure!(
            line.contains(" 0 malformed, 0 refused"),
            "the back-end did not like what the guest sent: {line}"
        );
        trial.note("back-end", line);
        Ok(())
    }
}

/// Bits of the device's features that a guest with this back-end may have.
const FEATURES: [(usize, &str); 12] = [
    (3, "MTU"),
    (5, "MAC"),
    (15, "MRG_RXBUF"),
    (16, "STATUS"),
    (17, "CTRL_VQ"),
    (18, "CTRL_RX"),
    (21, "GUEST_ANNOUNCE"),
    (22, "MQ"),
    (28, "INDIRECT_DESC"),
    (29, "EVENT_IDX"),
    (32, "VERSION_1"),
    (34, "RING_PACKED"),
];

/// The driver is up, with the features that were asked for.
pub(super) fn negotiated(
    trial: &mut Trial,
    machine: &mut Running,
    options: &NetOptions,
) -> Result<()> {
    let status = machine.must("cat /sys/class/net/eth0/device/status", COMMAND)?;
    let status = status.trim();
    ensure!(status == "0x0000000f", "the device's status is {status}, not DRIVER_OK");
    let bits = machine.must("cat /sys/class/net/eth0/device/features", COMMAND)?;
    let has = |bit: usize| bits.trim().as_bytes().get(bit) == Some(&b'1');
    let names = FEATURES.iter().filter(|(bit, _)| has(*bit)).map(|(_, name)| *name);
    let names = names.collect::<Vec<_>>().join(" ");
    let wishes = [
        (15, options.is_mergeable),
        (22, options.pairs > 1),
        (28, options.is_indirect),
        (29, options.has_event_idx),
        (32, true),
        (34, options.is_packed),
    ];
    for (bit, wish) in wishes {
        ensure!(has(bit) == wish, "feature {bit} was wished to be {wish}: {names}");
    }
    trial.note("negotiated", names);
    Ok(())
}

/// The driver is unbound from its device, which resets it, and bound again; then it is up.
pub(super) fn bind_again(machine: &mut Running) -> Result<()> {
    let device = machine.must("basename $(readlink /sys/class/net/eth0/device)", COMMAND)?;
    let device = device.trim();
    let status = format!("cat /sys/bus/virtio/devices/{device}/status");
    let again = format!(
        "cd /sys/bus/virtio/drivers/virtio_net && echo {device} >unbind && {status} && \
         echo {device} >bind && {status}"
    );
    let text = machine.must(&again, COMMAND)?;
    let status: Vec<_> = text.lines().map(str::trim).collect();
    // ACKNOWLEDGE, and DRIVER_OK with all before it.
    ensure!(status == ["0x00000001", "0x0000000f"], "status {status:?}");
    Ok(())
}

/// The interface gets the guest's address and a route to the gateway, without DHCP.
pub(super) fn set_address(machine: &mut Running) -> Result<()> {
    let address = format!(
        "ip link set eth0 up && ip addr add {GUEST_IP}/32 dev eth0 && \
         ip route add {GATEWAY_IP} dev eth0"
    );
    machine.must(&address, COMMAND).map(drop)
}

/// The guest's own client gets what the back-end is configured to give.
pub(super) fn lease(trial: &mut Trial, machine: &mut Running) -> Result<()> {
    let client = "udhcpc -i eth0 -n -q -f -t 5 -T 2 -O staticroutes -s /etc/lease";
    let text = machine.must(client, COMMAND)?;
    let gateway = GATEWAY_IP;
    let wanted = [
        ("ip", GUEST_IP.to_string()),
        ("mask", "32".to_owned()),
        ("router", gateway.to_string()),
        ("routes", format!("{gateway}/32 0.0.0.0 0.0.0.0/0 {gateway}")),
        ("dns", "1.1.1.1 8.8.8.8".to_owned()),
        ("time", "86400".to_owned()),
        ("server", gateway.to_string()),
    ];
    trial.note("lease (udhcpc)", leased(&text, &wanted)?);
    routed(machine)
}

/// So does the client of ISC, over IPv4 and IPv6.
pub(super) fn lease_of_dhclient(trial: &mut Trial, machine: &mut Running) -> Result<()> {
    let client = "timeout 25 dhclient -1 -sf /etc/dhclient -cf /dev/null -lf /tmp/leases \
                  -pf /tmp/dhclient.pid";
    let text = machine.must(&format!("{client} -4 eth0 2>&1"), COMMAND)?;
    let gateway = GATEWAY_IP;
    let wanted = [
        ("ip", GUEST_IP.to_string()),
        ("mask", "255.255.255.255".to_owned()),
        ("router", gateway.to_string()),
        ("dns", "1.1.1.1 8.8.8.8".to_owned()),
        ("time", "86400".to_owned()),
        ("server", gateway.to_string()),
    ];
    trial.note("lease (dhclient)", leased(&text, &wanted)?);
    routed(machine)?;
    let text = machine.must(&format!("{client}6 -6 eth0 2>&1"), COMMAND)?;
    let wanted = [("ip6", GUEST_IPV6.to_string()), ("time", "86400".to_owned())];
    trial.note("lease over IPv6", leased(&text, &wanted)?);
    Ok(())
}

/// What a client prints of its lease, if it is what was wanted.
fn leased(text: &str, wanted: &[(&str, String)]) -> Result<String> {
    for (name, wanted) in wanted {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("lease {name}=")));
        let value = line.with_context(|| format!("the client prints no {name}: {text}"))?.trim();
        ensure!(value == wanted, "the client prints {name}={value}, and {wanted} was expected");
    }
    let lines = text.lines().filter_map(|line| line.strip_prefix("lease "));
    Ok(lines.map(str::trim).collect::<Vec<_>>().join("; "))
}

fn routed(machine: &mut Running) -> Result<()> {
    let routes = machine.must("ip route", COMMAND)?;
    let wanted = format!("default via {GATEWAY_IP}");
    ensure!(routes.contains(&wanted), "the default route is not there: {routes}");
    Ok(())
}

/// The gateway answers echo requests of every length, and ARP.
pub(super) fn ping(trial: &mut Trial, machine: &mut Running) -> Result<()> {
    let gateway = GATEWAY_IP;
    let text = machine.must(&format!("ping -c 3 -W 2 {gateway}"), COMMAND)?;
    trial.note("ping", received(&text, 3)?);
    for size in [0, 1, 57, 1000, 1471, 1472] {
        let text = machine.must(&format!("ping -c 1 -W 2 -s {size} {gateway}"), COMMAND)?;
        received(&text, 1).with_context(|| format!("{size} bytes"))?;
    }
    let text = machine.must("cat /proc/net/arp", COMMAND)?;
    let line = text.lines().find(|line| line.starts_with(&gateway.to_string()));
    let line = line.with_context(|| format!("no neighbour {gateway}: {text}"))?;
    let mac = GATEWAY_MAC.to_string();
    ensure!(line.contains(&mac), "{gateway} is not at {mac}: {line}");
    trial.note("neighbour", format!("{gateway} is at {mac}"));
    Ok(())
}

/// The same over IPv6, where the router has announced itself.
pub(super) fn ping_v6(trial: &mut Trial, machine: &mut Running) -> Result<()> {
    let gateway = GATEWAY_IPV6;
    // An address is tentative for a second or two; then routers are asked for.
    let wait = "for i in $(seq 100); do ip -6 route | grep -q '^default' && exit 0; sleep 0.1; \
                done; ip -6 addr; ip -6 route; exit 1";
    machine.must(wait, COMMAND).context("no router has announced itself")?;
    let route = machine.must("ip -6 route | grep '^default'", COMMAND)?;
    ensure!(route.contains(&gateway.to_string()), "the router is not {gateway}: {route}");
    let text = machine.must(&format!("ping6 -c 3 -W 2 {gateway}%eth0"), COMMAND)?;
    trial.note("ping over IPv6", received(&text, 3)?);
    Ok(())
}

/// How many of so many answers `ping` has seen, in its own words.
pub(super) fn received(text: &str, count: u32) -> Result<String> {
    let line = text.lines().find(|line| line.contains("packets transmitted"));
    let Some(line) = line else { bail!("ping says nothing of packets: {text}") };
    ensure!(line.contains(&format!(" {count} packets received")), "ping: {line}");
    let times = text.lines().rfind(|line| line.starts_with("round-trip"));
    Ok([Some(line), times].into_iter().flatten().collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_seen() {
        let text = "3 packets transmitted, 2 packets received, 33% packet loss\n";
        assert!(received(text, 3).is_err());
        assert!(received(text, 2).is_ok());
        assert!(received("13 packets transmitted, 13 packets received", 3).is_err());
        assert!(received("", 0).is_err());
    }

    #[test]
    fn a_lease_is_compared_value_by_value() {
        let text = "udhcpc: started\nlease ip=192.0.2.10\nlease time=86400\n";
        let wanted = |time: &str| [("ip", "192.0.2.10".to_owned()), ("time", time.to_owned())];
        assert_eq!(leased(text, &wanted("86400")).unwrap(), "ip=192.0.2.10; time=86400");
        assert!(
            leased(text, &wanted("3600")).unwrap_err().to_string().contains("3600 was expected")
        );
        let missing = leased(text, &[("dns", String::new())]).unwrap_err().to_string();
        assert!(missing.contains("no dns"), "{missing}");
    }
}
