//! A back-end that is killed and comes back, guests that follow each other, and one that moves.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use vhost_fuzz_core::net::gateway::GATEWAY_IP;

use super::guest::{self, COMMAND, Pair};
use super::{Case, Group, Need};
use crate::back_end::BackEnd;
use crate::link::{Link, Listens};
use crate::machine::{Machine, NetOptions, Running};
use crate::trial::Trial;

const LIMIT: Duration = Duration::from_secs(180);

/// How often the back-end is killed.
const KILLS: usize = 5;

/// How long QEMU may take to notice, and to connect again.
const AGAIN: Duration = Duration::from_secs(30);

const SPLIT: NetOptions = NetOptions::DEFAULT;
const PACKED: NetOptions = NetOptions { is_packed: true, ..SPLIT };

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    let (group, needs) = (Group::Reconnect, &[Need::Qemu, Need::Guest]);
    Case { name, group, shows, needs, limit: LIMIT, is_in_ci: false, run }
}

pub(super) const CASES: &[Case] = &[
    Case {
        is_in_ci: true,
        ..case(
            "reconnect.kill",
            "the back-end is killed five times, and QEMU connects again",
            |trial| killed(trial, &SPLIT),
        )
    },
    case("reconnect.kill-listen", "the same, and the back-end connects again", |trial| {
        killed(trial, &NetOptions { listens: Listens::Front, ..SPLIT })
    }),
    case("reconnect.packed", "a killed back-end, and a driver that begins anew", |trial| {
        killed_packed(trial)
    }),
    case("reconnect.guests", "one guest after another at the same back-end", guests),
    case("reconnect.migrate", "a guest moves to another QEMU and another back-end", |trial| {
        migrated(trial, &SPLIT)
    }),
    case("reconnect.migrate-packed", "the same with packed rings", |trial| {
        migrated(trial, &PACKED)
    }),
];

/// Waits until the gateway answers again; how long that took.
fn answers(machine: &mut Running) -> Result<Duration> {
    let begin = Instant::now();
    let ping = format!(
        "for i in $(seq 30); do ping -c 1 -W 1 {GATEWAY_IP} >/tmp/ping && exit 0; sleep 0.1; done; \
         cat /tmp/ping; exit 1"
    );
    machine.must(&ping, AGAIN + COMMAND).context("the gateway does not answer any more")?;
    Ok(begin.elapsed())
}

/// A back-end that is killed in the middle and started again serves the rings where they are.
fn killed(trial: &mut Trial, options: &NetOptions) -> Result<()> {
    let mut pair = Pair::start(trial, options, &[])?;
    guest::lease(trial, &mut pair.machine)?;
    let mut times = Vec::new();
    for turn in 1..=KILLS {
        // It is killed between two requests of a guest that does not stop to send.
        pair.machine
            .must(&format!("ping -c 3000 -i 0.01 -W 1 {GATEWAY_IP} >/tmp/flood 2>&1 &"), COMMAND)?;
        std::thread::sleep(Duration::from_millis(300));
        pair.back_end.restart(trial)?;
        let time = answers(&mut pair.machine).with_context(|| format!("kill {turn}"))?;
        times.push(format!("{:.1} s", time.as_secs_f64()));
        pair.machine.run("killall ping", COMMAND)?;
    }
    trial.note("answers again after", times.join(", "));
    guest::ping(trial, &mut pair.machine)?;
    pair.end(trial)
}

/// With packed rings a front-end cannot know where a back-end was that does not say so any more:
/// the driver has to begin anew, and then everything works.
fn killed_packed(trial: &mut Trial) -> Result<()> {
    let mut pair = Pair::start(trial, &PACKED, &[])?;
    guest::lease(trial, &mut pair.machine)?;
    pair.back_end.restart(trial)?;
    // QEMU connects before the driver begins: otherwise that is lost.
    let what = "QEMU does not connect again";
    let back_end = &mut pair.back_end;
    trial.deadline.within(AGAIN).wait_for(what, || {
        back_end.process().check()?;
        let fds = std::fs::read_dir(format!("/proc/{}/fd", back_end.process().id()))?;
        // With memory and rings it has more open than at its start.
        Ok((fds.count() >= 12).then_some(()))
    })?;
    guest::bind_again(&mut pair.machine)?;
    guest::negotiated(trial, &mut pair.machine, &PACKED)?;
    guest::lease(trial, &mut pair.machine)?;
    guest::ping(trial, &mut pair.machine)?;
    pair.end(trial)
}

/// A back-end outlives its front-ends.
fn guests(trial: &mut Trial) -> Result<()> {
    let link = Link::new(trial, "net", Listens::Back)?;
    let back_end = BackEnd::start(trial, &link, Listens::Back, &["--packed"])?;
    for (name, options) in [("first", SPLIT), ("second", PACKED), ("third", SPLIT)] {
        let mut machine = Machine::new(trial, name)?;
        machine.guest(trial)?.net(trial, &link.front, &options);
        let mut running = machine.start(trial)?;
        guest::negotiated(trial, &mut running, &options)?;
        guest::lease(trial, &mut running)?;
        // The last thing that the third hears is that its power is off; others are killed.
        if name == "third" {
            running.power_off()?;
        }
    }
    drop(back_end);
    Ok(())
}

/// A guest that sends without a pause moves to another QEMU, whose back-end is another one.
fn migrated(trial: &mut Trial, options: &NetOptions) -> Result<()> {
    let mut pair = Pair::start(trial, options, &[])?;
    guest::lease(trial, &mut pair.machine)?;
    guest::ping(trial, &mut pair.machine)?;
    let link = Link::new(trial, "net-2", options.listens)?;
    let arguments: &[&str] = if options.is_packed { &["--packed"] } else { &[] };
    let _back_end = BackEnd::start(trial, &link, options.listens, arguments)?;
    let path = trial.path("migration");
    let uri = format!("unix:{}", path.display());
    let mut machine = Machine::new(trial, "qemu-2")?;
    machine.guest(trial)?.net(trial, &link.front, options).add(["-incoming", &uri]);
    let mut moved = machine.launch(trial)?;
    let mut target = moved.qmp()?;
    let flood = format!("ping -c 100000 -i 0.01 -W 1 {GATEWAY_IP} >/tmp/flood 2>&1 &");
    pair.machine.must(&flood, COMMAND)?;
    let begin = Instant::now();
    let mut source = pair.machine.qmp()?;
    source.command("migrate", &json!({ "uri": uri }))?;
    let figures = trial.deadline.within(Duration::from_secs(60)).wait_for(
        "the migration does not end",
        || {
            let figures = source.command("query-migrate", &json!({}))?;
            match figures["status"].as_str() {
                Some("completed") => Ok(Some(figures)),
                Some(status @ ("failed" | "cancelled")) => {
                    bail!("the migration {status}: {}", figures["error-desc"])
                }
                _ => Ok(None),
            }
        },
    )?;
    let status = trial.deadline.within(COMMAND).wait_for("the guest does not run", || {
        let status = target.command("query-status", &json!({}))?;
        Ok((status["running"] == true).then_some(status))
    })?;
    ensure!(status["status"] == "running", "the guest is {status}");
    let time = begin.elapsed();
    pair.machine.process().kill();
    let (down, pages) = (&figures["downtime"], &figures["ram"]["dirty-sync-count"]);
    trial.note(
        "migration",
        format!(
            "{:.1} s, {down} ms without the guest, memory looked at {pages} times",
            time.as_secs_f64()
        ),
    );
    // The flood never stopped: it goes on at the other back-end.
    let took = answers(&mut moved)?;
    trial.note("answers again after", format!("{:.1} s", took.as_secs_f64()));
    moved.must("killall ping", COMMAND)?;
    guest::negotiated(trial, &mut moved, options)?;
    guest::lease(trial, &mut moved)?;
    guest::ping(trial, &mut moved)?;
    guest::ping_v6(trial, &mut moved)?;
    let log = moved.must("dmesg", COMMAND)?;
    let fault = log.lines().find(|line| {
        ["BUG:", "WARNING:", "Oops", "is not a head", "out of range", "id 65535"]
            .iter()
            .any(|word| line.contains(word))
    });
    if let Some(line) = fault {
        bail!("the kernel of the guest says: {line}");
    }
    moved.power_off()
}
