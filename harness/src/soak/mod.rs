//! Driver and device on two threads over one mapped memory, chain after chain.
//!
//! The device is the code of the core on the memory of production. What a chain holds follows
//! from its number, so the device knows what every request has to be and the driver what every
//! answer. Chains are numbered in the order in which they are sent. The device takes them in this
//! order, gives them back in any, and each has to come back exactly once.
//!
//! Both sides really sleep when they have nothing to do, so a notification that is lost stops the
//! run, and a watchdog tells of it. [`Habits`] are what a device can get wrong here; those that
//! the run has to notice are in [`crate::broken::soak`].

mod bell;
mod content;
mod device;
mod driver;
#[cfg(feature = "guest")]
pub mod net;
mod packed;
mod report;
mod split;

use std::fmt;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use vhost_fuzz_core::memory::RingSize;
use vhost_fuzz_core::ring::Layout;

use bell::Link;
use content::Shape;
pub use device::{Careful, Habits};
use device::{Device, Served};
use driver::Done;
pub use report::{Fault, Report, Row, Tally};

use crate::ram::Shared;

/// What a ring is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its layout.
    pub layout: Layout,
    /// Entries, at most 512; in a split ring a power of two.
    pub size: u16,
    /// Whether `EVENT_IDX` was negotiated.
    pub event_idx: bool,
    /// Whether `INDIRECT_DESC` was negotiated: half of the chains are tables then. In a ring of
    /// one entry all are.
    pub indirect: bool,
}

impl Config {
    /// All that [`rings`] runs, each with the share of the chains that it has. A ring that holds
    /// one chain at a time costs two sleeps per chain, so it has a smaller one.
    #[must_use]
    pub fn all() -> Vec<(Self, u64)> {
        let mut all = Vec::new();
        for (layout, sizes) in [(Layout::Split, [1, 2, 16, 256]), (Layout::Packed, [1, 3, 17, 300])]
        {
            for size in sizes {
                let share = if size < 16 { 1 } else { 6 };
                for (event_idx, indirect) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    // A chain has two buffers at least, which one entry holds in a table only.
                    if size > 1 || indirect {
                        all.push((Self { layout, size, event_idx, indirect }, share));
                    }
                }
            }
        }
        all
    }

    const fn is_packed(self) -> bool {
        matches!(self.layout, Layout::Packed)
    }

    fn ring_size(self) -> RingSize {
        let size = RingSize::check(self.size.into(), self.is_packed(), 512);
        size.unwrap_or_else(|error| panic!("ring soak: {self}: {error}"))
    }

    /// Different content for each.
    const fn seed(self) -> u64 {
        let bits = (self.event_idx as u64) | (self.indirect as u64) << 1;
        (self.size as u64) << 3 | (self.is_packed() as u64) << 2 | bits
    }

    const fn is_table(self, shape: &Shape) -> bool {
        self.indirect && (shape.is_table || self.size == 1)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = if self.is_packed() { "packed" } else { "split" };
        write!(f, "{layout} {}", self.size)?;
        if self.event_idx {
            f.write_str(" event_idx")?;
        }
        if self.indirect {
            f.write_str(" indirect")?;
        }
        Ok(())
    }
}

/// How long nothing happens before a run counts as hanging. A machine that is busy with something
/// else stops both threads for a while.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Sends `chains` chains in all through the rings of [`Config::all`], up to the first fault.
/// `watch` hears from time to time how many have come back.
pub fn rings(chains: u64, mut watch: impl FnMut(Config, u64)) -> Report {
    let mut report = Report::default();
    let all = Config::all();
    let mut shares: u64 = all.iter().map(|(_, share)| share).sum();
    let mut left = chains;
    for (config, share) in all {
        // As much of what is left as the share is of the shares that are left, so nothing is lost
        // to rounding.
        let part = left / shares * share + left % shares * share / shares;
        let before = chains - left;
        match ring(config, part, &Careful, PATIENCE, |done| watch(config, before + done)) {
            Ok(row) => report.rows.push(row),
            Err(fault) => {
                report.failure = Some((config, fault));
                break;
            }
        }
        left -= part;
        shares -= share;
    }
    report
}

/// Sends chains through one ring of a device with these habits.
///
/// # Errors
/// What went wrong first.
///
/// # Panics
/// The ring has a size that there is not.
pub fn ring<H: Habits>(
    config: Config,
    chains: u64,
    habits: &H,
    patience: Duration,
    watch: impl FnMut(u64),
) -> Result<Row, Fault> {
    let memory = Shared::new(driver::RAM).map_err(|error| Fault::Memory(error.to_string()))?;
    let link = Link::default();
    let device = Device::start(config, chains, memory.table(), &link, habits)?;
    let began = Instant::now();
    let (device, driver, hang) = thread::scope(|scope| {
        let device = scope.spawn(|| guarded(&link, || device.run()));
        let region = memory.region(0);
        let driver = scope.spawn(|| guarded(&link, || driver::run(config, chains, region, &link)));
        let are_done = || device.is_finished() && driver.is_finished();
        let hang = supervise(&link, are_done, patience, watch);
        (join(device), join(driver), hang)
    });
    if let Some(hang) = hang {
        return Err(hang);
    }
    let (served, done) = match (device, driver) {
        (Ok(served), Ok(done)) => (served, done),
        // The side that was only stopped did not fail.
        (Err(Fault::Stopped) | Ok(_), Err(fault)) | (Err(fault), _) => return Err(fault),
    };
    let Done { sent, returned, kicks, sleeps: driver_sleeps, laps } = done;
    let Served { taken, given, calls, sleeps: device_sleeps } = served;
    let tally = Tally { sent, taken, given, returned };
    if !tally.is_exact(chains) {
        return Err(Fault::Tally(tally));
    }
    let elapsed = began.elapsed();
    Ok(Row { config, tally, elapsed, kicks, calls, driver_sleeps, device_sleeps, laps })
}

/// How often a run is looked at.
const INTERVAL: Duration = Duration::from_millis(2);

/// Waits until both sides are done. When nothing can happen any more, or nothing happens for so
/// long, ends the run, and tells how it was.
fn supervise(
    link: &Link,
    are_done: impl Fn() -> bool,
    patience: Duration,
    mut watch: impl FnMut(u64),
) -> Option<Fault> {
    let mut last = (link.progress(), Instant::now());
    while !are_done() {
        thread::sleep(INTERVAL);
        let now = link.progress();
        if now != last.0 {
            last = (now, Instant::now());
            let (_, returned) = now;
            watch(returned);
        } else if let Some(hang) = link.hang(last.1.elapsed() > patience)
            && !are_done()
        {
            link.stop();
            return Some(hang);
        }
    }
    None
}

/// What a thread came to.
fn join<T>(thread: ScopedJoinHandle<'_, Result<T, Fault>>) -> Result<T, Fault> {
    thread.join().unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Fault::Panic(text.unwrap_or("without a message").to_owned()))
    })
}

/// Runs a side, and ends the run when it fails, also when it panics.
fn guarded<T>(link: &Link, side: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let alarm = Alarm(link);
    let result = side();
    if result.is_ok() {
        std::mem::forget(alarm);
    }
    result
}

/// Ends the run when it is dropped.
struct Alarm<'a>(&'a Link);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
