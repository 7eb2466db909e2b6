//! Many, rude and slow clients at our back-end, in a process of its own. In the end it serves, and
//! has no more descriptors and threads than in the beginning.

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use vhost_fuzz_core::vhost_user::{Flags, FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::guest::VhostTestClient;

use super::basic::{Served, is_answer, question};
use super::{Case, Group};
use crate::front::{PATIENCE, Wire, encode};
use crate::interrupt;
use crate::trial::Trial;

/// How long a case may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Connections of the cases with very many.
const MANY: usize = 10_000;

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    Case { name, group: Group::Stress, shows, needs: &[], limit: LIMIT, is_in_ci: false, run }
}

pub(super) const CASES: &[Case] = &[
    Case {
        is_in_ci: true,
        ..case("stress.clients-10", "ten clients at once: one at a time, all in the end", |trial| {
            clients(trial, 10)
        })
    },
    case(
        "stress.clients-100",
        "a hundred clients at once: one at a time, all in the end",
        |trial| clients(trial, 100),
    ),
    case("stress.connects", "ten thousand connections that say nothing", |trial| {
        many(trial, Rude::Mute)
    }),
    case("stress.half-open", "ten thousand that end in the middle of a message", |trial| {
        many(trial, Rude::HalfOpen)
    }),
    case("stress.oversized", "ten thousand messages that say they have 4 GiB", |trial| {
        many(trial, Rude::Oversized)
    }),
    case("stress.slow", "twenty clients at once that send byte by byte", slow),
    Case {
        is_in_ci: true,
        ..case("stress.all", "all of these at once, and good clients among them", all)
    },
];

/// What a client does that is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rude {
    /// It comes and goes.
    Mute,
    /// It goes in the middle of a message.
    HalfOpen,
    /// It sends what is longer than any message.
    Oversized,
}

impl Rude {
    /// Connects, does it, and is gone. What is sent may meet a connection that is closed already.
    fn visit(self, path: &Path, number: usize) -> Result<()> {
        let wire = Wire::connect(path)?;
        let _ = match self {
            Self::Mute => Ok(()),
            Self::HalfOpen => {
                let message = encode(&Message::frontend(R::SET_FEATURES, Payload::U64(0)))?;
                wire.bytes(&message[..number % message.len()], &[])
            }
            Self::Oversized => {
                let header = [R::SET_MEM_TABLE.0, Flags::REQUEST.0, u32::MAX];
                let header = header.map(u32::to_ne_bytes).concat();
                wire.bytes(&[header, vec![0xff; 4096]].concat(), &[])
            }
        };
        Ok(())
    }

    /// The same, so many times.
    fn visits(self, path: &Path, count: usize) -> Result<()> {
        for number in 0..count {
            interrupt::check()?;
            self.visit(path, number).with_context(|| format!("{self:?}, connection {number}"))?;
        }
        Ok(())
    }
}

/// A client that does everything as it should: a packet, and its answer. `inside` clients are
/// served now.
fn good(path: &Path, inside: &AtomicUsize) -> Result<()> {
    let mut client = VhostTestClient::new(path)?;
    let others = inside.fetch_add(1, Ordering::SeqCst);
    let answer = client.send_packet(&question()).and_then(|()| client.recv_packet(PATIENCE));
    inside.fetch_sub(1, Ordering::SeqCst);
    ensure!(others == 0, "{others} other clients are served at the same time");
    // The gateway answers a thousand times a second at most.
    thread::sleep(Duration::from_millis(1));
    is_answer(&answer?)
}

/// A client whose bytes come one after the other, while it is served and others wait.
fn dawdler(path: &Path) -> Result<()> {
    let mut wire = Wire::connect(path)?;
    let features = wire.features()?;
    for byte in encode(&Message::frontend(R::GET_FEATURES, Payload::None))? {
        wire.bytes(&[byte], &[])?;
        thread::sleep(Duration::from_millis(1));
    }
    let again = wire.hear_number(R::GET_FEATURES.0)?;
    ensure!(again == features, "{features:#x} are offered, and then {again:#x}");
    Ok(())
}

/// What a thread does.
type Job<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

fn job<'a>(job: impl FnOnce() -> Result<()> + Send + 'a) -> Job<'a> {
    Box::new(job)
}

/// Does things at once, each in a thread; the first error of any.
fn at_once(jobs: Vec<Job<'_>>) -> Result<()> {
    let barrier = &Barrier::new(jobs.len());
    thread::scope(|scope| {
        let threads: Vec<_> = jobs
            .into_iter()
            .map(|job| {
                scope.spawn(move || {
                    barrier.wait();
                    job()
                })
            })
            .collect();
        let ended: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ended.into_iter().try_for_each(|end| end.map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// What a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    fds: usize,
    threads: usize,
}

impl Held {
    fn of(process: u32) -> Result<Self> {
        let count = |what: &str| -> Result<usize> {
            Ok(std::fs::read_dir(format!("/proc/{process}/{what}"))?.count())
        };
        Ok(Self { fds: count("fd")?, threads: count("task")? })
    }
}

/// Runs something against a back-end; afterwards that serves, and has what it had before.
fn stress(trial: &mut Trial, run: impl FnOnce(&Path, &mut Trial) -> Result<()>) -> Result<()> {
    let mut served = Served::start(trial, &["--quiet"])?;
    let path = served.link.front.clone();
    let process = served.back_end.process().id();
    // It listens, and has served nobody.
    let before = Held::of(process)?;
    let begin = Instant::now();
    run(&path, trial)?;
    let elapsed = begin.elapsed();
    served.back_end.process().check()?;
    good(&path, &AtomicUsize::new(0)).context("the next good client")?;
    served.serves()?;
    // The last one may be there for a moment more.
    let mut after = before;
    let settled = trial.deadline.within(PATIENCE).wait_for("something is left", || {
        after = Held::of(process)?;
        Ok((after == before).then_some(()))
    });
    settled.with_context(|| format!("{before:?} in the beginning, and {after:?} in the end"))?;
    trial.note("time", format!("{:.2} s", elapsed.as_secs_f64()));
    let Held { fds, threads } = after;
    trial.note("left", format!("{fds} descriptors, {threads} threads, as before"));
    Ok(())
}

fn clients(trial: &mut Trial, count: usize) -> Result<()> {
    stress(trial, |path, _| {
        let inside = &AtomicUsize::new(0);
        at_once((0..count).map(|_| job(move || good(path, inside))).collect())
    })
}

fn many(trial: &mut Trial, rude: Rude) -> Result<()> {
    stress(trial, |path, trial| {
        let begin = Instant::now();
        rude.visits(path, MANY)?;
        let rate = MANY as f64 / begin.elapsed().as_secs_f64();
        trial.note("connections", format!("{MANY}, {rate:.0} per second"));
        Ok(())
    })
}

fn slow(trial: &mut Trial) -> Result<()> {
    stress(trial, |path, _| at_once((0..20).map(|_| job(|| dawdler(path))).collect()))
}

/// Connections of each sort of client, when all are there at once.
const GOOD: usize = 100;
const RUDE: usize = 1000;
const SLOW: usize = 10;

fn all(trial: &mut Trial) -> Result<()> {
    stress(trial, |path, trial| {
        let inside = AtomicUsize::new(0);
        let mut jobs = Vec::new();
        for _ in 0..4 {
            jobs.push(job(|| (0..GOOD / 4).try_for_each(|_| good(path, &inside))));
        }
        for rude in [Rude::Mute, Rude::HalfOpen, Rude::Oversized, Rude::Mute, Rude::HalfOpen] {
            jobs.push(job(move || rude.visits(path, RUDE)));
        }
        for _ in 0..2 {
            jobs.push(job(|| (0..SLOW / 2).try_for_each(|_| dawdler(path))));
        }
        at_once(jobs)?;
        trial.note("clients", format!("{GOOD} good, {} rude, {SLOW} slow", 5 * RUDE));
        Ok(())
    })
}
