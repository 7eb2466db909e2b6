//! Front-ends that come back, and back-ends that do.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
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
    case(
        "basic.reconnect",
        "fifty front-ends, one after the other, each with its rings",
        reconnect,
    ),
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

/// Requests that are made available at once.
const REQUESTS: usize = 200;

/// Kills.
const KILLS: usize = 12;

/// How long a back-end serves until it is killed.
const TRAFFIC: Duration = Duration::from_millis(15);

fn in_flight(trial: &mut Trial) -> Result<()> {
    let wanted = protocol::MQ | protocol::REPLY_ACK | protocol::INFLIGHT_SHMFD;
    let mut served = Served::start(trial, &[])?;
    let mut guest = Guest::start(&served.link.front, Format::Split, 0, wanted)?;
    ensure!(guest.is_recorded(), "no in-flight area is offered");
    let mut kills = Vec::new();
    let mut sent = 0;
    for round in 0..KILLS {
        sent += traffic(&mut guest, Instant::now() + TRAFFIC)?;
        served.back_end.kill();
        returned(&mut guest, TRANSMIT)?;
        let kill = Kill { open: guest.in_flight(TRANSMIT), taken: guest.recorded(TRANSMIT)? };
        kills.push(kill);
        served.back_end.restart(trial)?;
        guest.move_to(&served.link.front, wanted)?;
        guest.kick(TRANSMIT)?;
        let end = Instant::now() + PATIENCE;
        while guest.in_flight(TRANSMIT) > 0 {
            let next = guest.wait(TRANSMIT, end)?;
            let left = guest.in_flight(TRANSMIT);
            next.with_context(|| format!("round {round}: {left} requests do not come back"))?;
        }
    }
    let [open, taken] = [|kill: &&Kill| kill.open > 0, |kill: &&Kill| kill.taken > 0]
        .map(|is_so| kills.iter().filter(is_so).count());
    trial.note("requests", format!("{sent}, each of which came back once"));
    trial.note("kills", format!("{KILLS}; requests were open in {open}, and taken in {taken}"));
    let words: Vec<_> = kills.iter().map(|kill| format!("{}/{}", kill.taken, kill.open)).collect();
    trial.note("taken/open", words.join(" "));
    ensure!(open > 0, "the back-end was never killed while requests were open");
    Ok(())
}

/// What a back-end left that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kill {
    /// Requests that it had not given back.
    open: usize,
    /// Those of which the in-flight area says that it had taken them.
    taken: usize,
}

/// Keeps the back-end busy; how many requests were made. Many of them are open in the end.
fn traffic(guest: &mut Guest, end: Instant) -> Result<usize> {
    let mut sent = 0;
    loop {
        for _ in guest.in_flight(TRANSMIT)..REQUESTS {
            guest.send(&question())?;
            sent += 1;
        }
        guest.kick(TRANSMIT)?;
        if Instant::now() > end {
            return Ok(sent);
        }
        returned(guest, TRANSMIT)?;
        for _ in 0..returned(guest, RECEIVE)? {
            guest.buffer()?;
        }
        guest.kick(RECEIVE)?;
    }
}

/// Takes back what was used; how much it was. A strict driver notices what comes twice.
fn returned(guest: &mut Guest, queue: usize) -> Result<usize> {
    let mut count = 0;
    while guest.reap(queue)?.is_some() {
        count += 1;
    }
    Ok(count)
}
