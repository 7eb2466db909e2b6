//! A ring as its driver has it.

use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use vhost_fuzz_core::vhost_user::payload::VringAddr;

use super::report::Fault;
use crate::driver::{AnyDriver, Calls, Completion, Driver as _, Format, Request, Setup, Style};
use crate::guest::part::Part;
use crate::ram::{Area, Layout, Shared};

/// Most rings of a device: four pairs, and the control queue.
pub(super) const RINGS_MAX: u16 = 9;

/// The memory of all rings.
pub(super) const RAM: Layout = Layout::Large;

/// Bytes of memory that each ring has for itself.
const PART: u64 = 0x3_8000;

const fn parts() -> [[Area; 1]; RINGS_MAX as usize] {
    let mut parts = [[Area { start: 0x10_0000, size: PART, user: 0, skew: 0 }]; RINGS_MAX as usize];
    let mut index = 1;
    while index < parts.len() {
        parts[index][0].start = parts[index - 1][0].start + PART;
        index += 1;
    }
    parts
}

/// The memory of each ring, in the first region of [`RAM`].
static PARTS: [[Area; 1]; RINGS_MAX as usize] = parts();

/// Bytes of a receive buffer: the longest frame that anybody answers with, and a header.
const BUFFER: u64 = 1534;

/// The same when a frame may take several.
const MERGED: u64 = 512;

/// Receive buffers of a frame at most.
pub(super) const BUFFERS: usize = 4;

/// Receive buffers that are posted, if there is room.
const POSTED: usize = 32;

/// A ring, its driver, and the counters that both sides wait at.
pub(super) struct Queue {
    pub(super) index: u16,
    pub(super) driver: AnyDriver,
    pub(super) kick: OwnedFd,
    pub(super) call: OwnedFd,
    areas: &'static [Area],
    /// Of a frame in several buffers: what came, and how many are to come.
    frame: Vec<u8>,
    missing: u16,
}

/// An eventfd that does not block.
pub(super) fn event() -> Result<OwnedFd, Fault> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    eventfd(0, flags).map_err(|error| Fault::System(error.to_string()))
}

impl Queue {
    /// Ring `index`, empty.
    pub(super) fn new(
        ram: &Shared,
        index: u16,
        format: Format,
        setup: impl FnOnce(Setup) -> Setup,
        size: u16,
    ) -> Result<Self, Fault> {
        let areas: &'static [Area] = &PARTS[usize::from(index % RINGS_MAX)];
        let place = Setup::place(areas, format, size);
        let setup = setup(place.ok_or_else(|| Fault::System("no room for a ring".to_owned()))?);
        let driver = AnyDriver::new(format, setup, &Part { ram, areas });
        let (kick, call) = (event()?, event()?);
        Ok(Self { index, driver, kick, call, areas, frame: Vec::new(), missing: 0 })
    }

    /// Its memory.
    pub(super) const fn part<'r>(&self, ram: &'r Shared) -> Part<'r> {
        Part { ram, areas: self.areas }
    }

    /// Where its parts are for the front-end.
    pub(super) fn addresses(&self) -> VringAddr {
        let Setup { descriptor, available, used, .. } = *self.driver.setup();
        let whole = RAM.areas()[0];
        let user = |address: u64| address - whole.start + whole.user;
        VringAddr {
            index: self.index.into(),
            flags: 0,
            descriptor: user(descriptor),
            used: user(used),
            available: user(available),
            log: 0,
        }
    }

    /// Makes receive buffers available, up to as many as are wanted or there is room for.
    pub(super) fn post(&mut self, ram: &Shared, merges: bool, seed: u64) {
        let part = self.part(ram);
        let writable = if merges { MERGED } else { BUFFER };
        while self.driver.in_flight() < POSTED {
            let writable_parts = u16::from(seed.is_multiple_of(3)) + 1;
            let style = Style { seed, writable_parts, ..Style::default() };
            let request = Request { readable: &[], writable };
            if self.driver.publish(&part, &request, &style).is_err() {
                break;
            }
        }
    }

    /// Takes back what was used next.
    pub(super) fn reap(&mut self, ram: &Shared) -> Result<Option<Completion>, Fault> {
        let part = self.part(ram);
        self.driver.reap(&part).map_err(|violation| Fault::Violation(violation.to_string()))
    }

    /// The next frame, without its header; nothing when none is whole.
    pub(super) fn frame(
        &mut self,
        ram: &Shared,
        merges: bool,
        header_len: usize,
    ) -> Result<Option<Vec<u8>>, Fault> {
        while let Some(completion) = self.reap(ram)? {
            if self.missing == 0 {
                // Behind flags, type, two lengths and two places: the number of buffers.
                self.missing = match completion.data.get(10..12) {
                    Some(&[low, high]) if merges => u16::from_le_bytes([low, high]),
                    _ => 1,
                };
            }
            self.frame.extend(completion.data);
            self.missing = self.missing.saturating_sub(1);
            if self.missing == 0 {
                let mut bytes = std::mem::take(&mut self.frame);
                return Ok(Some(bytes.split_off(header_len.min(bytes.len()))));
            }
        }
        Ok(None)
    }

    /// Asks for a call. `true`: something was used before that.
    pub(super) fn wants_call(&mut self, ram: &Shared) -> bool {
        let part = self.part(ram);
        self.driver.want_calls(&part, Calls::Always)
    }

    /// Whether the device has to hear of what was made available.
    pub(super) fn needs_kick(&mut self, ram: &Shared) -> Result<bool, Fault> {
        let part = self.part(ram);
        self.driver.needs_kick(&part).map_err(|violation| Fault::Violation(violation.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rings_are_in_the_first_region() {
        let whole = RAM.areas()[0];
        let [last] = PARTS[PARTS.len() - 1];
        assert_eq!(PARTS[0][0].start, whole.start);
        assert!(last.start + last.size <= whole.start + whole.size);
    }
}
