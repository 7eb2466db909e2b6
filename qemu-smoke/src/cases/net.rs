//! A Linux guest behind our back-end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vhost_fuzz_core::net::gateway::GATEWAY_IP;

use super::guest::{self, COMMAND, Pair};
use super::{Case, Group, Need};
use crate::link::Listens;
use crate::machine::{NetOptions, has_vectors};
use crate::trial::Trial;

/// How long a case may take: a boot and some pings.
const LIMIT: Duration = Duration::from_secs(120);

/// How often a driver is taken away from its device and comes back.
const RESETS: usize = 20;

/// Pairs of queues, and processors of the guest, of which each has one.
const PAIRS: u16 = 2;

const SPLIT: NetOptions = NetOptions::DEFAULT;
const PACKED: NetOptions = NetOptions { is_packed: true, ..SPLIT };

/// A case with a guest, in the group that its name begins with.
const fn case(
    group: Group,
    name: &'static str,
    shows: &'static str,
    run: fn(&mut Trial) -> Result<()>,
) -> Case {
    let needs = &[Need::Qemu, Need::Guest];
    Case { name, group, shows, needs, limit: LIMIT, is_in_ci: false, run }
}

/// The same, which every change has to pass.
const fn in_ci(case: Case) -> Case {
    Case { is_in_ci: true, ..case }
}

pub(super) const CASES: &[Case] = &[
    in_ci(case(Group::Net, "net.connect", "QEMU connects: lease, ping, neighbours", |trial| {
        whole(trial, &SPLIT)
    })),
    in_ci(case(Group::Net, "net.listen", "QEMU listens, and the back-end connects", |trial| {
        whole(trial, &NetOptions { listens: Listens::Front, ..SPLIT })
    })),
    Case {
        needs: &[Need::Qemu, Need::Guest, Need::Dhclient],
        ..case(Group::Net, "net.dhclient", "a second DHCP client, over IPv4 and IPv6", |trial| {
            let mut pair = Pair::start(trial, &SPLIT, &[])?;
            guest::lease_of_dhclient(trial, &mut pair.machine)?;
            guest::ping(trial, &mut pair.machine)?;
            pair.end(trial)
        })
    },
    case(Group::Net, "net.mergeable-off", "receive buffers for whole frames", |trial| {
        whole(trial, &NetOptions { is_mergeable: false, ..SPLIT })
    }),
    case(Group::Net, "net.indirect-off", "chains without indirect tables", |trial| {
        whole(trial, &NetOptions { is_indirect: false, ..SPLIT })
    }),
    case(Group::Net, "net.event-idx-off", "notifications by flags alone", |trial| {
        whole(trial, &NetOptions { has_event_idx: false, ..SPLIT })
    }),
    case(Group::Net, "net.resets", "a driver that goes and comes back twenty times", |trial| {
        resets(trial, &SPLIT)
    }),
    case(
        Group::Net,
        "net.receive-calls",
        "a driver that is called for receive buffers only",
        |trial| receive_calls(trial, &SPLIT),
    ),
    in_ci(case(
        Group::Packed,
        "packed.connect",
        "packed rings: lease, ping, neighbours",
        |trial| whole(trial, &PACKED),
    )),
    case(Group::Packed, "packed.listen", "packed rings, and QEMU listens", |trial| {
        whole(trial, &NetOptions { listens: Listens::Front, ..PACKED })
    }),
    case(Group::Packed, "packed.mergeable-off", "receive buffers for whole frames", |trial| {
        whole(trial, &NetOptions { is_mergeable: false, ..PACKED })
    }),
    case(Group::Packed, "packed.indirect-off", "chains without indirect tables", |trial| {
        whole(trial, &NetOptions { is_indirect: false, ..PACKED })
    }),
    case(Group::Packed, "packed.event-idx-off", "notifications by flags alone", |trial| {
        whole(trial, &NetOptions { has_event_idx: false, ..PACKED })
    }),
    case(
        Group::Packed,
        "packed.resets",
        "a driver that goes and comes back twenty times",
        |trial| resets(trial, &PACKED),
    ),
    case(Group::Mq, "mq.split", "two pairs of queues, and both are used", |trial| {
        both_pairs(trial, &NetOptions { pairs: PAIRS, ..SPLIT })
    }),
    case(Group::Mq, "mq.packed", "the same with packed rings", |trial| {
        both_pairs(trial, &NetOptions { pairs: PAIRS, ..PACKED })
    }),
];

/// From boot to power-off: what a guest expects of its network.
fn whole(trial: &mut Trial, options: &NetOptions) -> Result<()> {
    let mut pair = Pair::start(trial, options, &[])?;
    let machine = &mut pair.machine;
    guest::negotiated(trial, machine, options)?;
    guest::lease(trial, machine)?;
    guest::ping(trial, machine)?;
    guest::ping_v6(trial, machine)?;
    pair.end(trial)
}

/// A driver is unbound from its device, which resets it, and bound again. Each time the device
/// works, with rings that begin anew.
fn resets(trial: &mut Trial, options: &NetOptions) -> Result<()> {
    let mut pair = Pair::start(trial, options, &[])?;
    let machine = &mut pair.machine;
    for turn in 1..=RESETS {
        guest::bind_again(machine).with_context(|| format!("turn {turn}"))?;
        guest::set_address(machine).with_context(|| format!("turn {turn}"))?;
        let ping = format!("ping -c 1 -W 2 {GATEWAY_IP}");
        let text = machine.must(&ping, COMMAND).with_context(|| format!("turn {turn}"))?;
        guest::received(&text, 1).with_context(|| format!("turn {turn}"))?;
    }
    trial.note("resets", format!("{RESETS}, and an answer after each"));
    guest::negotiated(trial, machine, options)?;
    guest::lease(trial, machine)?;
    pair.end(trial)
}

/// A driver need not want to know what was sent, and frees it when it sends more. No call for
/// what was sent then brings to light what was received, not even on a line that both share: a
/// call that is lost is missed.
fn receive_calls(trial: &mut Trial, options: &NetOptions) -> Result<()> {
    let mut pair = Pair::start(trial, options, &[])?;
    let machine = &mut pair.machine;
    machine.must("echo N >/sys/module/virtio_net/parameters/napi_tx", COMMAND)?;
    guest::bind_again(machine)?;
    guest::set_address(machine)?;
    let text = machine.run(&format!("ping -c 20 -i 0.1 -W 2 {GATEWAY_IP}"), COMMAND)?.text;
    trial.note("ping", guest::received(&text, 20)?);
    guest::negotiated(trial, machine, options)?;
    guest::lease(trial, machine)?;
    guest::ping(trial, machine)?;
    pair.end(trial)
}

/// Both processors of a guest send, each through the queues that are its own.
fn both_pairs(trial: &mut Trial, options: &NetOptions) -> Result<()> {
    let mut pair = Pair::start(trial, options, &["-smp", "2"])?;
    let machine = &mut pair.machine;
    guest::negotiated(trial, machine, options)?;
    let queues = machine.must("ls /sys/class/net/eth0/queues", COMMAND)?;
    let names: Vec<_> = queues.split_whitespace().collect();
    ensure!(names == ["rx-0", "rx-1", "tx-0", "tx-1"], "the guest has these queues: {names:?}");
    guest::lease(trial, machine)?;
    guest::ping(trial, machine)?;
    for processor in 0..PAIRS {
        let mask = 1 << processor;
        let ping = format!("taskset {mask} ping -c 5 -W 2 {GATEWAY_IP}");
        let text = machine.must(&ping, COMMAND)?;
        guest::received(&text, 5).with_context(|| format!("processor {processor}"))?;
    }
    let text = machine.must("grep virtio0 /proc/interrupts", COMMAND)?;
    let version = trial.shared.tools.qemu.as_ref().map(|qemu| qemu.version);
    let calls = if has_vectors(version) {
        let queues = (0..PAIRS).map(|queue| calls(&text, &format!("virtio0-input.{queue}")));
        queues.collect::<Result<Vec<_>>>()?.join(", ")
    } else {
        format!("{}, all queues on one line", calls(&text, "virtio0")?)
    };
    trial.note("calls", calls);
    pair.end(trial)
}

/// How often a guest was interrupted under this name: more than never.
fn calls(interrupts: &str, name: &str) -> Result<String> {
    let line = interrupts.lines().find(|line| line.trim_end().ends_with(name));
    let line = line.with_context(|| format!("no interrupt {name}: {interrupts}"))?;
    // After the number of the interrupt comes a count for each processor.
    let counts = line.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok());
    let count: u64 = counts.sum();
    ensure!(count > 0, "{name} was never called: {interrupts}");
    Ok(format!("{name} {count}"))
}
