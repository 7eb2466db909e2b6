//! iPXE of QEMU's own ROM: another driver and another DHCP client, in a machine that has nothing
//! else to boot. It needs no kernel and no tools.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Case, Group, Need};
use crate::back_end::{BackEnd, GUEST_IP, GUEST_MAC};
use crate::link::{Link, Listens};
use crate::machine::{Machine, NetOptions};
use crate::trial::Trial;
use vhost_fuzz_core::net::gateway::GATEWAY_IP;

/// How long the firmware and iPXE may take.
const BOOT: Duration = Duration::from_secs(60);

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    let (group, limit) = (Group::Ipxe, Duration::from_secs(90));
    Case { name, group, shows, needs: &[Need::Qemu], limit, is_in_ci: false, run }
}

pub(super) const CASES: &[Case] = &[
    Case {
        is_in_ci: true,
        ..case("ipxe.connect", "QEMU connects: the firmware gets a lease", |trial| {
            lease(trial, Listens::Back)
        })
    },
    case("ipxe.listen", "QEMU listens, and the back-end connects", |trial| {
        lease(trial, Listens::Front)
    }),
];

fn lease(trial: &mut Trial, listens: Listens) -> Result<()> {
    let link = Link::new(trial, "net", listens)?;
    let mut machine = Machine::new(trial, "qemu")?;
    let options = NetOptions { listens, has_rom: true, ..NetOptions::DEFAULT };
    // Without a screen the firmware speaks to the serial port.
    machine.add(["-machine", "graphics=off", "-serial", "stdio"]);
    machine.net(trial, &link.front, &options);
    let (mut running, _back_end) = match listens {
        Listens::Back => {
            let back_end = BackEnd::start(trial, &link, listens, &[])?;
            (machine.launch(trial)?, back_end)
        }
        Listens::Front => {
            let running = machine.launch(trial)?;
            (running, BackEnd::start(trial, &link, listens, &[])?)
        }
    };
    let what = "iPXE has no lease";
    let screen = trial.deadline.within(BOOT).wait_for(what, || {
        let screen = running.screen();
        // It has its address, and tries to boot from the network.
        let is_over = ["Nothing to boot", "No bootable device", "No more network devices"]
            .iter()
            .any(|end| screen.contains(end));
        if !is_over {
            running.process().check()?;
        }
        Ok(is_over.then_some(screen))
    });
    let screen = screen.with_context(|| format!("on its screen: {}", tail(&running.screen())))?;
    let line = |wanted: &str| screen.lines().map(str::trim).find(|line| line.contains(wanted));
    let station = line(GUEST_MAC).with_context(|| format!("no {GUEST_MAC}: {}", tail(&screen)))?;
    trial.note("device", station);
    let lease = line(&format!("{GUEST_IP}/255.255.255.255"))
        .with_context(|| format!("no {GUEST_IP}/32: {}", tail(&screen)))?;
    ensure!(lease.contains(&format!("gw {GATEWAY_IP}")), "no gateway {GATEWAY_IP}: {lease}");
    trial.note("lease (iPXE)", lease);
    Ok(())
}

/// The last lines of a screen.
fn tail(screen: &str) -> String {
    let lines: Vec<_> = screen.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}
