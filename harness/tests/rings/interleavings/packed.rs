//! The driver of a packed ring (spec §2).

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use vhost_fuzz_core::ring::{RingMemory as _, flag};

use super::driver::{Driver, Plan, Used};
use super::memory::Cells;

/// Offset of the flags of a descriptor.
const FLAGS: u64 = 14;

/// Slots of a chain.
const SLOTS: u16 = 2;

pub(crate) struct PackedDriver {
    plan: Plan,
    cells: Arc<Cells>,
    /// Slots that were made available since the beginning: a position that never wraps.
    sent: u16,
    /// Those that the last decision whether to kick was about.
    decided: u16,
    /// Slots of used buffers that were taken.
    taken: u16,
}

impl PackedDriver {
    pub(crate) fn new(plan: Plan, cells: Arc<Cells>) -> Self {
        Self { plan, cells, sent: 0, decided: 0, taken: 0 }
    }

    /// The offset of the descriptor at a position, and the wrap counter there.
    fn slot(&self, position: u16) -> (u64, bool) {
        let Plan { size, .. } = self.plan;
        (16 * u64::from(position % size), (position / size).is_multiple_of(2))
    }

    /// A position as an event suppression structure has it.
    fn encoded(&self, position: u16) -> u16 {
        let (_, wrap) = self.slot(position);
        (position % self.plan.size) | (u16::from(wrap) << 15)
    }

    /// Writes all but the flags, and gives those.
    fn descriptor(&self, position: u16, address: u64, pair: u16, flags: u16) -> u16 {
        let (at, wrap) = self.slot(position);
        self.cells.store_wide(at, address).expect("a descriptor");
        self.cells.store(at + 8, &[2, 0, pair]).expect("a descriptor");
        flags | if wrap { flag::AVAIL } else { flag::USED }
    }

    /// Acquire: the id, the length and the data are read after it.
    fn is_used(&self) -> bool {
        let (at, wrap) = self.slot(self.taken);
        let flags = self.cells.load_u16(at + FLAGS, Acquire).expect("the flags");
        let both = flag::AVAIL | flag::USED;
        flags & both == if wrap { both } else { 0 }
    }
}

impl Driver for PackedDriver {
    fn send(&mut self, request: u16) {
        let pair = self.sent / SLOTS % self.plan.pairs();
        let buffer = self.plan.buffers(pair);
        self.cells.store(buffer, &[request]).expect("a buffer");
        let (first, second) = (self.sent, self.sent + 1);
        let flags = self.descriptor(second, buffer + 2, pair, flag::WRITE);
        self.cells.store(self.slot(second).0 + FLAGS, &[flags]).expect("the flags");
        let flags = self.descriptor(first, buffer, pair, flag::NEXT);
        self.sent += SLOTS;
        // Release: everything above is there when the flags of the first slot are seen.
        self.cells.store_u16(self.slot(first).0 + FLAGS, flags, Release).expect("the flags");
    }

    fn is_kick_wanted(&mut self) -> bool {
        // Full: the flags are stored before the device's wish is loaded.
        self.cells.fence();
        let structure = self.cells.load_u32(self.plan.device_area()).expect("a wish");
        let mut new = self.decided..self.sent;
        self.decided = self.sent;
        match structure >> 16 {
            0 => true,
            1 => false,
            2 => new.any(|position| u32::from(self.encoded(position)) == structure & 0xffff),
            flags => panic!("event flags {flags} (PK-036)"),
        }
    }

    fn take(&mut self) -> Option<Used> {
        if !self.is_used() {
            return None;
        }
        let (at, _) = self.slot(self.taken);
        let [low, high, pair] = self.cells.load(at + 8).expect("a descriptor");
        self.taken += SLOTS;
        Some(Used {
            pair,
            len: u32::from(low) | u32::from(high) << 16,
            answer: self.plan.answer(&self.cells, pair),
        })
    }

    fn arm(&mut self) -> bool {
        let area = self.plan.driver_area();
        let flags = if self.plan.event_idx {
            self.cells.store(area, &[self.encoded(self.taken)]).expect("the position");
            2
        } else {
            0
        };
        // Release: the position is there when the flags that refer to it are seen.
        self.cells.store_u16(area + 2, flags, Release).expect("the flags");
        // Full: the wish is stored before the slot is looked at again.
        self.cells.fence();
        self.is_used()
    }

    fn disarm(&mut self) {
        let at = self.plan.driver_area() + 2;
        self.cells.store_u16(at, 1, Relaxed).expect("the flags");
    }
}
