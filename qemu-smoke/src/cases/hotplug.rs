//! Memory that is plugged into a running machine, and taken away again.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use vhost_fuzz_core::net::gateway::GATEWAY_IP;

use super::guest::{self, COMMAND, Pair};
use super::{Case, Group, Need};
use crate::machine::{NetOptions, Running};
use crate::trial::Trial;

/// How long a case may take: a boot, and a guest that gives memory back twice.
const LIMIT: Duration = Duration::from_secs(120);

/// How often memory comes and goes.
const TURNS: usize = 2;

/// Bytes of what is plugged in: one block of the guest's.
const SIZE: u64 = 128 << 20;

const fn case(
    name: &'static str,
    shows: &'static str,
    group: Group,
    run: fn(&mut Trial) -> Result<()>,
) -> Case {
    let needs = &[Need::Qemu, Need::Guest];
    Case { name, group, shows, needs, limit: LIMIT, is_in_ci: false, run }
}

pub(super) const CASES: &[Case] = &[
    case("net.hotplug", "memory comes and goes while the rings run", Group::Net, |trial| {
        plugged(trial, &NetOptions::DEFAULT)
    }),
    case("mq.hotplug", "the same with two pairs of queues", Group::Mq, |trial| {
        plugged(trial, &NetOptions { pairs: 2, ..NetOptions::DEFAULT })
    }),
];

/// Each change reaches the back-end as `ADD_MEM_REG` or `REM_MEM_REG`. While the device runs, one
/// that is refused need not be noticed: QEMU demands it when it starts the device. So the driver
/// begins anew while the memory is there, and again when it is gone.
fn plugged(trial: &mut Trial, options: &NetOptions) -> Result<()> {
    let mut pair = Pair::start(trial, options, &["-smp", "2", "-m", "slots=1,maxmem=1G"])?;
    let machine = &mut pair.machine;
    guest::negotiated(trial, machine, options)?;
    guest::lease(trial, machine)?;
    // What the guest does not use it can give back at once.
    machine.must("echo offline >/sys/devices/system/memory/auto_online_blocks", COMMAND)?;
    for turn in 1..=TURNS {
        plug_and_unplug(trial, machine).with_context(|| format!("turn {turn}"))?;
    }
    trial.note("memory", format!("{} MiB plugged and unplugged, {TURNS} times", SIZE >> 20));
    guest::bind_again(machine)?;
    guest::lease(trial, machine)?;
    guest::ping(trial, machine)?;
    pair.end(trial)
}

fn plug_and_unplug(trial: &Trial, machine: &mut Running) -> Result<()> {
    let mut qmp = machine.qmp()?;
    let before = blocks(machine)?;
    let memory =
        json!({ "qom-type": "memory-backend-memfd", "id": "more", "size": SIZE, "share": true });
    qmp.command("object-add", &memory)?;
    qmp.command("device_add", &json!({ "driver": "pc-dimm", "id": "dimm", "memdev": "more" }))?;
    let what = "the guest does not see the new memory";
    let soon = trial.deadline.within(COMMAND);
    soon.wait_for(what, || Ok((blocks(machine)? > before).then_some(())))?;
    answers(machine).context("with more memory")?;
    guest::bind_again(machine)?;
    guest::set_address(machine)?;
    answers(machine).context("with more memory, from the start")?;
    qmp.command("device_del", &json!({ "id": "dimm" }))?;
    let soon = trial.deadline.within(COMMAND);
    soon.wait_for("the guest does not give the memory back", || {
        let devices = qmp.command("query-memory-devices", &json!({}))?;
        Ok(devices.as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    qmp.command("object-del", &json!({ "id": "more" }))?;
    answers(machine).context("with the memory gone")
}

/// Blocks of memory that the guest knows.
fn blocks(machine: &mut Running) -> Result<u32> {
    let text = machine.must("ls -d /sys/devices/system/memory/memory* | wc -l", COMMAND)?;
    text.trim().parse().with_context(|| format!("no number of blocks: {text}"))
}

fn answers(machine: &mut Running) -> Result<()> {
    let text = machine.must(&format!("ping -c 3 -i 0.1 -W 2 {GATEWAY_IP}"), COMMAND)?;
    guest::received(&text, 3).map(drop)
}
