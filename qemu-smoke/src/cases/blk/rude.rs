//! Requests that a block device cannot serve.

use std::fmt;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use vhost_fuzz_harness::guest::ClientError;
use vhost_fuzz_world::driver::Style;

use super::{Daemon, IMAGE, content};
use crate::front::disk::{Disk, OK, SECTOR, kind, readable, segment};
use crate::trial::Trial;

/// How long a device may take to answer what it does not like.
const BRIEFLY: Duration = Duration::from_millis(300);

/// A request.
struct Bad {
    name: &'static str,
    readable: Vec<u8>,
    writable: u64,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It comes back with this status.
    Status(u8),
    /// It comes back, and nothing was written to it.
    NoStatus,
    /// The connection is closed.
    Closed,
    /// It does not come back, and the connection goes on.
    Kept,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(1) => f.write_str("I/O error"),
            Self::Status(2) => f.write_str("unsupported"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::NoStatus => f.write_str("comes back without a status"),
            Self::Closed => f.write_str("the connection is closed"),
            Self::Kept => f.write_str("does not come back"),
        }
    }
}

fn bad() -> Vec<Bad> {
    let end = IMAGE / SECTOR;
    let sector = vec![0x77; 512];
    let write = |at: u64, len: usize| readable(kind::WRITE, at, &vec![0x77; len]);
    let bad = |name, readable, writable| Bad { name, readable, writable };
    vec![
        bad("read behind the end", readable(kind::READ, end, &[]), 513),
        bad("read over the end", readable(kind::READ, end - 1, &[]), 1025),
        bad("read at sector 2^64-1", readable(kind::READ, u64::MAX, &[]), 513),
        bad("read at sector 2^55", readable(kind::READ, 1 << 55, &[]), 513),
        bad("write behind the end", write(end, 512), 1),
        bad("write over the end", write(end - 1, 1024), 1),
        bad("read of 100 bytes", readable(kind::READ, 0, &[]), 101),
        bad("write of 100 bytes", write(0, 100), 1),
        bad("request of type 0x1234", readable(0x1234, 0, &sector), 1),
        bad("discard behind the end", readable(kind::DISCARD, 0, &segment(end, 8, 0)), 1),
        bad("discard with unknown flags", readable(kind::DISCARD, 0, &segment(0, 8, 6)), 1),
        bad("discard without a segment", readable(kind::DISCARD, 0, &[]), 1),
        bad(
            "write-zeroes over the end",
            readable(kind::WRITE_ZEROES, 0, &segment(end - 1, 2, 0)),
            1,
        ),
        bad("header of 8 bytes", readable(kind::READ, 0, &[])[..8].to_vec(), 513),
        bad("no header", Vec::new(), 513),
        bad("write without a status", write(0, 512), 0),
        bad("flush without a status", readable(kind::FLUSH, 0, &[]), 0),
    ]
}

pub(super) fn run(trial: &mut Trial) -> Result<()> {
    let mut daemon = Daemon::start(trial)?;
    let before = content(1, 512);
    daemon.write(0, &before)?;
    let mut disk = Disk::connect(daemon.path(), 0, 1)?;
    for Bad { name, readable, writable } in bad() {
        let outcome = outcome(&mut disk, &readable, writable);
        let outcome = outcome.with_context(|| name.to_owned())?;
        daemon.check().with_context(|| name.to_owned())?;
        trial.note(name, outcome.to_string());
        ensure!(outcome != Outcome::Status(OK), "{name}: it comes back as if it had been done");
        if matches!(outcome, Outcome::Closed | Outcome::Kept) {
            // What it has kept it may give back at any time, so the ring is of no more use.
            drop(disk);
            disk = Disk::connect(daemon.path(), 0, 1).with_context(|| format!("after {name}"))?;
        }
        let read = disk.must(0, (kind::READ, 0, &[]), SECTOR, &Style::default());
        let read = read.with_context(|| format!("a good request after {name}"))?;
        ensure!(read == before, "{name} has changed the image");
    }
    Ok(())
}

/// Sends a request, and sees what becomes of it.
fn outcome(disk: &mut Disk, readable: &[u8], writable: u64) -> Result<Outcome> {
    disk.send(0, readable, writable, &Style::default())?;
    match disk.wait(0, Instant::now() + BRIEFLY) {
        Ok(done) => {
            let has_status = writable > 0 && u64::from(done.len) >= 1;
            let status = done.data.last().filter(|_| has_status);
            Ok(status.map_or(Outcome::NoStatus, |status| Outcome::Status(*status)))
        }
        Err(ClientError::Io(error)) if error.kind() == ErrorKind::TimedOut => {
            Ok(if disk.device.settle().is_ok() { Outcome::Kept } else { Outcome::Closed })
        }
        Err(error) => Err(error.into()),
    }
}
