//! How fast it is: facts for the report. A case fails when nothing works, or when it is a hundred
//! times slower than it has to be, which no busy machine explains.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_harness::guest::{Options, TestBackend, VhostTestClient};
use vhost_fuzz_world::driver::Style;

use super::basic::{MAC, Served, is_answer, question};
use super::blk::{Daemon, IMAGE};
use super::{Case, Group, Need};
use crate::back_end::GUEST_IP;
use crate::front::disk::{Disk, OK, SECTOR, kind, readable};
use crate::front::{FrontEnd, PATIENCE};
use crate::interrupt;
use crate::trial::Trial;

/// How long a case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How long something is counted.
const WINDOW: Duration = Duration::from_secs(1);

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    Case { name, group: Group::Perf, shows, needs: &[], limit: LIMIT, is_in_ci: false, run }
}

pub(super) const CASES: &[Case] = &[
    case("perf.connect", "latency of a connection and its negotiation, a thousand times", connect),
    case("perf.requests", "requests and their answers per second", requests),
    case("perf.packets", "packets and their answers per second, without QEMU", packets),
    Case {
        needs: &[Need::StorageDaemon],
        ..case("perf.blocks", "block requests per second, one and thirty-two deep", blocks)
    },
];

/// How this program and the back-end that it starts were built.
fn build(trial: &mut Trial) {
    let build = if cfg!(debug_assertions) { "debug: slower than it could be" } else { "release" };
    trial.note("build", build);
}

/// # Errors
/// It is absurdly slow: less than so many per second.
fn judge(what: &str, rate: f64, least: f64) -> Result<()> {
    ensure!(rate >= least, "{what}: {rate:.1} per second are less than {least}");
    Ok(())
}

/// The place of a share in what is sorted.
fn share(sorted: &[Duration], thousandths: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * thousandths / 1000).copied().unwrap_or_default()
}

fn connect(trial: &mut Trial) -> Result<()> {
    const COUNT: usize = 1000;
    let served = Served::start(trial, &["--quiet"])?;
    let mut connects = Vec::with_capacity(COUNT);
    let mut whole = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        interrupt::check()?;
        let begin = Instant::now();
        let mut front_end = FrontEnd::connect(&served.link.front)?;
        front_end.wire.features()?;
        connects.push(begin.elapsed());
        front_end.negotiate(u64::MAX, protocol::MQ | protocol::REPLY_ACK | protocol::CONFIG)?;
        whole.push(begin.elapsed());
    }
    for (name, mut times) in [("first answer", connects), ("negotiation", whole)] {
        times.sort_unstable();
        let [median, p99, max] = [500, 990, 1000].map(|at| share(&times, at).as_micros());
        trial.note(name, format!("median {median} us, p99 {p99} us, max {max} us, of {COUNT}"));
        ensure!(median < 50_000, "{name}: a median of {median} us");
    }
    build(trial);
    Ok(())
}

fn requests(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &["--quiet"])?;
    let mut wire = served.wire()?;
    let begin = Instant::now();
    let mut count = 0_u32;
    while begin.elapsed() < WINDOW {
        interrupt::check()?;
        for _ in 0..100 {
            wire.features()?;
        }
        count += 100;
    }
    let rate = f64::from(count) / begin.elapsed().as_secs_f64();
    trial.note("GET_FEATURES", format!("{rate:.0} answers per second, one at a time"));
    build(trial);
    judge("GET_FEATURES", rate, 100.0)
}

/// Questions and answers per second, so many at once.
fn answers(client: &mut VhostTestClient, depth: u32) -> Result<f64> {
    let question = question();
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < WINDOW / 2 {
        interrupt::check()?;
        for _ in 0..depth {
            client.send_packet(&question)?;
        }
        for _ in 0..depth {
            is_answer(&client.recv_packet(PATIENCE)?)?;
        }
        count += depth;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

fn packets(trial: &mut Trial) -> Result<()> {
    // The one in a process of its own answers a thousand times a second, and no more.
    let back_end = TestBackend::new(MAC, Some(GUEST_IP))?;
    for packed in [false, true] {
        let options = Options { packed, ..Options::default() };
        let mut client = VhostTestClient::with(back_end.path(), options)?;
        let name = if packed { "packed rings" } else { "split rings" };
        let [single, many] = [answers(&mut client, 1)?, answers(&mut client, 16)?];
        let words = format!("{single:.0} answers per second one at a time, {many:.0} by sixteen");
        trial.note(name, words);
        judge(name, single, 50.0)?;
    }
    trial.note("back-end", "in a thread, without a limit of answers");
    build(trial);
    Ok(())
}

/// Bytes of a block request.
const BLOCK: usize = 4096;

/// Requests per second, so many at once, all over the image.
fn iops(disk: &mut Disk, kind: u32, depth: u32) -> Result<f64> {
    let sectors = IMAGE / SECTOR;
    let per_block = BLOCK as u64 / SECTOR;
    let data = vec![0x5a; BLOCK];
    let (data, reads) = if kind == kind::READ { (&[][..], BLOCK as u64) } else { (&data[..], 0) };
    let style = Style::default();
    let mut place = 1_u64;
    let mut next = |disk: &mut Disk| {
        place = place.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let sector = (place >> 33) % (sectors / per_block) * per_block;
        disk.send(0, &readable(kind, sector, data), reads + 1, &style)
    };
    for _ in 0..depth {
        next(disk)?;
    }
    let begin = Instant::now();
    let mut count = 0_u32;
    while begin.elapsed() < WINDOW {
        let done = disk.wait(0, Instant::now() + PATIENCE)?;
        let status = done.data.last().copied();
        ensure!(status == Some(OK), "request {kind} ends with status {status:?}");
        next(disk)?;
        count += 1;
        if count.is_multiple_of(256) {
            interrupt::check()?;
        }
    }
    let elapsed = begin.elapsed();
    for _ in 0..depth {
        disk.wait(0, Instant::now() + PATIENCE)?;
    }
    Ok(f64::from(count) / elapsed.as_secs_f64())
}

fn blocks(trial: &mut Trial) -> Result<()> {
    let daemon = Daemon::start(trial)?;
    for depth in [1, 32] {
        let mut disk = Disk::connect(daemon.path(), virtio::EVENT_IDX, 1)?;
        let read = iops(&mut disk, kind::READ, depth)?;
        let write = iops(&mut disk, kind::WRITE, depth)?;
        let words = format!("{read:.0} reads, {write:.0} writes of {BLOCK} bytes per second");
        trial.note(&format!("depth {depth}"), words);
        judge("reads", read, 20.0)?;
        judge("writes", write, 20.0)?;
    }
    build(trial);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_what_is_sorted() {
        let times: Vec<_> = (1..=1000).map(Duration::from_micros).collect();
        let [median, p99, max] = [500, 990, 1000].map(|at| share(&times, at).as_micros());
        assert_eq!([median, p99, max], [500, 990, 1000]);
        assert_eq!(share(&[], 990), Duration::ZERO);
    }

    #[test]
    fn what_is_absurdly_slow_is_an_error() {
        assert!(judge("requests", 99.0, 100.0).is_err());
        assert!(judge("requests", 101.0, 100.0).is_ok());
    }
}
