//! Rings that are enabled, disabled, stopped and logged, by a strict front-end.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::pread;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::LogBase;
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Payload};
use vhost_fuzz_world::driver::Format;

use super::packets::{HEADER, RECEIVE, TRANSMIT, is_answer, question};
use super::{Case, Served, case};
use crate::front::PATIENCE;
use crate::front::guest::{Guest, event, is_signalled};
use crate::trial::Trial;

pub(super) const CASES: &[Case] = &[
    case("basic.ring-enable", "a ring that is disabled gives nothing, one enabled does", enable),
    case("basic.ring-stop", "GET_VRING_BASE stops a split ring where it is", |trial| {
        stop(trial, &[], Format::Split)
    }),
    case("basic.ring-stop-packed", "GET_VRING_BASE stops a packed ring where it is", |trial| {
        stop(trial, &["--packed"], Format::Packed)
    }),
    case("basic.ring-broken", "a driver that lies is told by the error eventfd", broken),
    case("basic.dirty-log", "the log of a migration has the pages that were written", dirty_log),
];

/// How long nothing has to happen until it is believed that nothing will.
const QUIET: Duration = Duration::from_millis(100);

/// Everything that these cases negotiate.
const PROTOCOL: u64 = protocol::MQ | protocol::REPLY_ACK | protocol::LOG_SHMFD;

/// A guest that has its rings.
fn guest(served: &Served, format: Format, features: u64) -> Result<Guest> {
    Guest::start(&served.link.front, format, features, PROTOCOL)
}

/// Sends a question, and waits for its answer.
fn round(guest: &mut Guest) -> Result<()> {
    guest.send(&question())?;
    guest.kick(TRANSMIT)?;
    let frame = guest.wait(RECEIVE, Instant::now() + PATIENCE)?.context("there is no answer")?;
    is_answer(frame.get(HEADER..).unwrap_or_default())?;
    guest.buffer()?;
    guest.kick(RECEIVE)
}

fn enable(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut guest = guest(&served, Format::Split, 0)?;
    round(&mut guest)?;
    // Without its receive ring, an answer has nowhere to go.
    guest.front_end.state(R::SET_VRING_ENABLE, 0, 0)?;
    guest.send(&question())?;
    guest.kick(TRANSMIT)?;
    let none = guest.wait(RECEIVE, Instant::now() + QUIET)?;
    ensure!(none.is_none(), "a receive ring that is disabled was used");
    guest.front_end.state(R::SET_VRING_ENABLE, 0, 1)?;
    round(&mut guest)?;
    trial.note("disabled", format!("no answer within {} ms", QUIET.as_millis()));
    Ok(())
}

fn stop(trial: &mut Trial, arguments: &[&str], format: Format) -> Result<()> {
    let served = Served::start(trial, arguments)?;
    let packed = if format == Format::Packed { virtio::RING_PACKED } else { 0 };
    let mut guest = guest(&served, format, packed)?;
    for _ in 0..40 {
        round(&mut guest)?;
        guest.wait(TRANSMIT, Instant::now() + PATIENCE)?.context("a frame is not given back")?;
    }
    let expected = guest.reached(TRANSMIT);
    let base = guest.front_end.stop(1)?;
    ensure!(base == expected, "the ring stopped at {base:#x}, and the driver is at {expected:#x}");
    guest.send(&question())?;
    guest.kick(TRANSMIT)?;
    guest.front_end.number(R::GET_FEATURES)?;
    let none = guest.wait(TRANSMIT, Instant::now() + QUIET)?;
    ensure!(none.is_none(), "a ring that was stopped was used");
    let again = guest.front_end.stop(1)?;
    ensure!(again == base, "asked again, the ring is at {again:#x} and not at {base:#x}");
    // It goes on where it was, with what was made available meanwhile.
    guest.set_ring(TRANSMIT, base)?;
    guest.kick(TRANSMIT)?;
    let frame = guest.wait(RECEIVE, Instant::now() + PATIENCE)?.context("it does not go on")?;
    is_answer(frame.get(HEADER..).unwrap_or_default())?;
    trial.note("stopped", format!("at {base:#x}, and goes on there"));
    Ok(())
}

fn broken(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let mut guest = guest(&served, Format::Split, 0)?;
    round(&mut guest)?;
    let error = event()?;
    guest.front_end.vring_fd(R::SET_VRING_ERR, 1, &error)?;
    ensure!(!is_signalled(&error, Instant::now())?, "an error is told of a ring in order");
    guest.break_ring(TRANSMIT)?;
    let is_told = is_signalled(&error, Instant::now() + PATIENCE)?;
    ensure!(is_told, "more is available than the ring has room for, and no error is told");
    // The connection goes on, and the ring can be stopped.
    guest.front_end.number(R::GET_FEATURES)?;
    let base = guest.front_end.stop(1)?;
    trial.note("error", format!("told; the ring stopped at {base:#x}"));
    drop(guest);
    served.serves()
}

/// Bytes of a page of the log.
const PAGE: u64 = 4096;

/// The pages that a log tells of.
fn logged(log: &OwnedFd, size: u64) -> Result<Vec<u64>> {
    let mut bytes = vec![0; usize::try_from(size)?];
    let len = pread(log, &mut bytes, 0)?;
    ensure!(len == bytes.len(), "the log has {len} bytes");
    let pages = (0_u64..).zip(&bytes).flat_map(|(at, byte)| {
        (0..8).filter(move |bit| byte & 1 << bit != 0).map(move |bit| 8 * at + bit)
    });
    Ok(pages.collect())
}

fn dirty_log(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut guest = guest(&served, Format::Split, 0)?;
    let log = memfd_create(c"log", MemfdFlags::CLOEXEC)?;
    let size = guest.end().div_ceil(8 * PAGE).next_multiple_of(PAGE);
    ftruncate(&log, size)?;
    let payload = Payload::Log(LogBase { size, offset: 0 });
    guest.front_end.must(R::SET_LOG_BASE, payload, &[log.as_fd()])?;
    round(&mut guest)?;
    ensure!(logged(&log, size)?.is_empty(), "pages are logged without LOG_ALL");
    let (features, _) = guest.front_end.negotiated();
    let all = Payload::U64(features | virtio::LOG_ALL);
    guest.front_end.must(R::SET_FEATURES, all, &[])?;
    guest.log_rings()?;
    guest.front_end.number(R::GET_FEATURES)?;
    guest.send(&question())?;
    let before = guest.pages();
    guest.kick(TRANSMIT)?;
    for queue in [TRANSMIT, RECEIVE] {
        let frame = guest.wait(queue, Instant::now() + PATIENCE)?;
        frame.with_context(|| format!("queue {queue} stands still"))?;
    }
    guest.front_end.number(R::GET_FEATURES)?;
    let after = guest.pages();
    let written = after.iter().filter(|(page, bytes)| before[page] != **bytes);
    let written: Vec<_> = written.map(|(page, _)| *page).collect();
    let pages = logged(&log, size)?;
    ensure!(!written.is_empty(), "a frame was delivered, and no page has changed");
    for page in &written {
        ensure!(pages.contains(page), "page {page:#x} was written, and {pages:x?} are logged");
    }
    trial.note("pages", format!("{written:x?} were written, {pages:x?} are logged"));
    guest.front_end.must(R::SET_FEATURES, Payload::U64(features), &[])
}
