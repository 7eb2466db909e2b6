//! Front-ends that come back, and back-ends that do.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use vhost_fuzz_core::vhost_user::FrontendRequest as R;
use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_harness::guest::VhostTestClient;
use vhost_fuzz_world::driver::Format;

use super::packets::{RECEIVE, TRANSMIT, is_answer, question};
use super::{Case, Served, case};
use crate::front::PATIENCE;
use crate::front::guest::Guest;
use crate::trial::Trial;

pub(super) const CASES: &[Case] = &[
    case("basic.reconnect", "fifty front-ends, one after the other, each with its rings", reconnect),
    case("basic.second-waits", "a second front-end waits until the first is gone", second_waits),
    case("basic.restart", "a back-end that was killed comes back at the same path", restart),
    case("basic.in-flight", "the back-end is killed: each request comes back once", in_flight),
];

fn reconnect(trial: &mut Trial) -> Result<()> {
    const COUNT: usize = 50;
    let mut served = Served::start(trial, &[])?;
    for number in 0..COUNT {
        let mut client = VhostTestClient::new(&served.link.front)?;
        client.send_packet(&question())?;
        let answer = client.recv_packet(PATIENCE);
        is_answer(&answer.with_context(|| format!("front-end {number}"))?)?;
    }
    trial.note("back-end", served.ended(trial, COUNT)?);
    served.serves()
}

fn second_waits(trial: &mut Trial) -> Result<()> {
    const MEANWHILE: Duration = Duration::from_millis(200);
    let served = Served::start(trial, &[])?;
    let mut first = served.wire()?;
    let features = first.features()?;
    let mut second = served.wire()?;
    second.stream.set_read_timeout(Some(MEANWHILE))?;
    ensure!(second.features().is_err(), "the second front-end is served beside the first");
    ensure!(first.features()? == features, "the first front-end is not served any more");
    drop(first);
    second.stream.set_read_timeout(Some(PATIENCE))?;
    // What it asked for while it waited.
    let answer = second.hear_number(R::GET_FEATURES.0)?;
    ensure!(answer == features, "the second front-end is offered {answer:#x}");
    trial.note("the second", format!("heard nothing for {} ms", MEANWHILE.as_millis()));
    Ok(())
}

fn restart(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    for _ in 0..3 {
        let mut client = VhostTestClient::new(&served.link.front)?;
        client.send_packet(&question())?;
        is_answer(&client.recv_packet(PATIENCE)?)?;
        let begin = Instant::now();
        served.back_end.restart(trial)?;
        trial.note("back after", format!("{} ms", begin.elapsed().as_millis()));
    }
    served.serves()
}

/// Requests that wait when a back-end is killed.
const REQUESTS: usize = 100;

/// Kills.
const ROUNDS: u64 = 12;

fn in_flight(trial: &mut Trial) -> Result<()> {
    let wanted = protocol::MQ | protocol::REPLY_ACK | protocol::INFLIGHT_SHMFD;
    let mut served = Served::start(trial, &[])?;
    let mut guest = Guest::start(&served.link.front, Format::Split, 0, wanted)?;
    ensure!(guest.is_recorded(), "no in-flight area is offered");
    let mut open = Vec::new();
    for round in 0..ROUNDS {
        // It finds all of them when it goes on, and is killed somewhere among them.
        served.back_end.process().signal(Signal::SIGSTOP)?;
        for _ in 0..REQUESTS {
            guest.send(&question())?;
        }
        guest.kick(TRANSMIT)?;
        served.back_end.process().signal(Signal::SIGCONT)?;
        std::thread::sleep(Duration::from_micros(40 * round));
        served.back_end.kill();
        let before = returned(&mut guest, TRANSMIT)?;
        open.push(REQUESTS - before);
        served.back_end.restart(trial)?;
        guest.move_to(&served.link.front, wanted)?;
        guest.kick(TRANSMIT)?;
        let end = Instant::now() + PATIENCE;
        while guest.in_flight(TRANSMIT) > 0 {
            let next = guest.wait(TRANSMIT, end)?;
            let left = guest.in_flight(TRANSMIT);
            next.with_context(|| format!("round {round}: {left} requests do not come back"))?;
        }
        // The answers that came; their buffers are for the next ones.
        guest.front_end.number(R::GET_FEATURES)?;
        for _ in 0..returned(&mut guest, RECEIVE)? {
            guest.buffer()?;
        }
        guest.kick(RECEIVE)?;
    }
    let partly = open.iter().filter(|open| (1..REQUESTS).contains(*open)).count();
    trial.note("kills", format!("{ROUNDS}, with {open:?} of {REQUESTS} requests open"));
    trial.note("in the middle", format!("{partly} of {ROUNDS}"));
    Ok(())
}

/// Takes back what was used; how much it was. A strict driver notices what comes twice.
fn returned(guest: &mut Guest, queue: usize) -> Result<usize> {
    let mut count = 0;
    while guest.reap(queue)?.is_some() {
        count += 1;
    }
    Ok(count)
}
