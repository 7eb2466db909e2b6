//! Front-ends that come back, and back-ends that do.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use rustix::process::{Pid, setpriority_process};
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
const REQUESTS: usize = 1000;

/// Kills at most.
const KILLS: u32 = 16;

/// Kills in the middle of requests after which there are no more.
const ENOUGH: usize = 2;

/// By how much one kill is later than the one before, for ten of them.
const STEP: Duration = Duration::from_micros(40);

/// How long a back-end serves until it is killed.
const TRAFFIC: Duration = Duration::from_millis(15);

fn in_flight(trial: &mut Trial) -> Result<()> {
    let wanted = protocol::MQ | protocol::REPLY_ACK | protocol::INFLIGHT_SHMFD;
    let mut served = Served::start(trial, &[])?;
    let mut guest = Guest::start(&served.link.front, Format::Split, 0, wanted)?;
    ensure!(guest.is_recorded(), "no in-flight area is offered");
    let mut kills: Vec<Kill> = Vec::new();
    let mut sent = 0;
    let taken = |kills: &[Kill]| kills.iter().filter(|kill| kill.taken > 0).count();
    for round in 0..KILLS {
        if taken(&kills) >= ENOUGH {
            break;
        }
        // Where both share a processor, it stops when we wake up, and not when it is done.
        let process = i32::try_from(served.back_end.process().id())?;
        setpriority_process(Pid::from_raw(process), 19)?;
        sent += traffic(&mut guest, Instant::now() + TRAFFIC)?;
        // It has begun with what was made last, or not, or is done.
        thread::sleep(STEP * (round % 10));
        sent += kill(trial, &mut served, &mut guest)?;
        let kill = Kill { open: guest.in_flight(TRANSMIT), taken: guest.recorded(TRANSMIT)? };
        ensure!(kill.open > 0, "a back-end that was stopped has given requests back");
        kills.push(kill);
        served.back_end.restart(trial)?;
        guest.move_to(&served.link.front, wanted)?;
        guest.kick(TRANSMIT)?;
        let end = Instant::now() + PATIENCE;
        while guest.in_flight(TRANSMIT) > 0 {
            let next = guest.wait(TRANSMIT, end)?;
            let left = guest.in_flight(TRANSMIT);
            next.with_context(|| format!("kill {round}: {left} requests do not come back"))?;
        }
    }
    trial.note("requests", format!("{sent}, each of which came back once"));
    let words: Vec<_> = kills.iter().map(|kill| format!("{}/{}", kill.taken, kill.open)).collect();
    let words = words.join(" ");
    trial.note("kills", format!("{}; taken/open requests: {words}", kills.len()));
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

/// Kills a back-end that has something to do: it is stopped where it is, which is in the middle of
/// requests when it was at work, and is given some in any case. How many were made.
fn kill(trial: &Trial, served: &mut Served, guest: &mut Guest) -> Result<usize> {
    let process = served.back_end.process();
    process.signal(Signal::SIGSTOP)?;
    let stat = format!("/proc/{}/stat", process.id());
    trial.deadline.within(PATIENCE).wait_for("the back-end does not stop", || {
        // State comes behind the name, which is in parentheses.
        let text = std::fs::read_to_string(&stat)?;
        Ok(text.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")).then_some(()))
    })?;
    returned(guest, TRANSMIT)?;
    let sent = fill(guest)?;
    served.back_end.kill();
    Ok(sent)
}

/// Makes as many requests available as there may be, and kicks; how many were made.
fn fill(guest: &mut Guest) -> Result<usize> {
    let mut sent = 0;
    for _ in guest.in_flight(TRANSMIT)..REQUESTS {
        guest.send(&question())?;
        sent += 1;
    }
    guest.kick(TRANSMIT)?;
    Ok(sent)
}

/// Keeps the back-end busy; how many requests were made. Many of them may be open in the end.
fn traffic(guest: &mut Guest, end: Instant) -> Result<usize> {
    let mut sent = 0;
    loop {
        sent += fill(guest)?;
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
