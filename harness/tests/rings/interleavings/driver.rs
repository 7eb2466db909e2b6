//! A driver that does what the standard demands, with the orderings that it demands, and no more.

use std::sync::Arc;

use vhost_fuzz_core::ring::Layout;

use super::memory::Cells;
use super::packed::PackedDriver;
use super::split::SplitDriver;

/// A used buffer, as the driver found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    /// Number of the buffers that the chain was made of.
    pub(crate) pair: u16,
    /// Bytes that the device says it wrote.
    pub(crate) len: u32,
    /// What is in the writable buffer.
    pub(crate) answer: u16,
}

/// One side of a ring. Each chain is a readable and a writable buffer of 2 bytes.
pub(crate) trait Driver {
    /// Makes a chain available.
    fn send(&mut self, request: u16);

    /// Whether the device wants to hear of what was sent since the last call of this.
    fn is_kick_wanted(&mut self) -> bool;

    /// Takes the next used buffer.
    fn take(&mut self) -> Option<Used>;

    /// Asks for calls. `true`: a buffer was used in between.
    fn arm(&mut self) -> bool;

    /// Asks for no calls.
    fn disarm(&mut self);
}

/// Where everything is: guest addresses, and offsets in the one region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) layout: Layout,
    pub(crate) size: u16,
    pub(crate) event_idx: bool,
}

impl Plan {
    /// The driver area, behind the descriptors.
    pub(crate) fn driver_area(self) -> u64 {
        16 * u64::from(self.size)
    }

    /// The device area.
    pub(crate) fn device_area(self) -> u64 {
        let len = match self.layout {
            Layout::Split => 4 + 2 * u64::from(self.size) + 2,
            Layout::Packed => 4,
        };
        self.driver_area() + len.next_multiple_of(4)
    }

    /// The readable buffer of a pair. The writable one follows it.
    pub(crate) fn buffers(self, pair: u16) -> u64 {
        let len = match self.layout {
            Layout::Split => 4 + 8 * u64::from(self.size) + 2,
            Layout::Packed => 4,
        };
        self.device_area() + len.next_multiple_of(4) + 4 * u64::from(pair)
    }

    /// What the writable buffer of a pair holds. The pair is what the device said.
    pub(crate) fn answer(self, cells: &Cells, pair: u16) -> u16 {
        let [answer] = cells.load(self.buffers(pair % self.pairs()) + 2).expect("a buffer");
        answer
    }

    /// Pairs of buffers: each takes two descriptors.
    pub(crate) const fn pairs(self) -> u16 {
        self.size / 2
    }

    /// All of it.
    pub(crate) fn bytes(self) -> u64 {
        self.buffers(self.pairs())
    }

    /// The driver's side.
    pub(crate) fn driver(self, cells: Arc<Cells>) -> Box<dyn Driver> {
        match self.layout {
            Layout::Split => Box::new(SplitDriver::new(self, cells)),
            Layout::Packed => Box::new(PackedDriver::new(self, cells)),
        }
    }
}
