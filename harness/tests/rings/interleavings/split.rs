//! The driver of a split ring (spec §1).

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use vhost_fuzz_core::ring::{RingMemory as _, flag};

use super::driver::{Driver, Plan, Used};
use super::memory::Cells;

/// Offset of the index of either ring. The flags are before it.
const INDEX: u64 = 2;
/// Offset of the entries of either ring.
const ENTRIES: u64 = 4;

pub(crate) struct SplitDriver {
    plan: Plan,
    cells: Arc<Cells>,
    /// Chains that were made available.
    sent: u16,
    /// Those that the last decision whether to kick was about.
    decided: u16,
    /// Used buffers that were taken.
    taken: u16,
}

impl SplitDriver {
    pub(crate) fn new(plan: Plan, cells: Arc<Cells>) -> Self {
        Self { plan, cells, sent: 0, decided: 0, taken: 0 }
    }

    fn descriptor(&self, index: u16, address: u64, flags: u16) {
        let at = 16 * u64::from(index);
        self.cells.store_wide(at, address).expect("a descriptor");
        self.cells.store(at + 8, &[2, 0, flags, index + 1]).expect("a descriptor");
    }

    /// Acquire: the elements, and the data before them, are read after it.
    fn used_index(&self) -> u16 {
        self.cells.load_u16(self.plan.device_area() + INDEX, Acquire).expect("the index")
    }
}

impl Driver for SplitDriver {
    fn send(&mut self, request: u16) {
        let Plan { size, .. } = self.plan;
        let pair = self.sent % self.plan.pairs();
        let (head, buffer) = (2 * pair, self.plan.buffers(pair));
        self.cells.store(buffer, &[request]).expect("a buffer");
        self.descriptor(head, buffer, flag::NEXT);
        self.descriptor(head + 1, buffer + 2, flag::WRITE);
        let area = self.plan.driver_area();
        let entry = area + ENTRIES + 2 * u64::from(self.sent % size);
        self.cells.store(entry, &[head]).expect("an entry");
        self.sent += 1;
        // Release: everything above is there when the index is seen.
        self.cells.store_u16(area + INDEX, self.sent, Release).expect("the index");
    }

    fn is_kick_wanted(&mut self) -> bool {
        // Full: the index is stored before the device's wish is loaded.
        self.cells.fence();
        let area = self.plan.device_area();
        let load = |at| self.cells.load_u16(area + at, Relaxed).expect("a wish");
        let new = self.decided..self.sent;
        self.decided = self.sent;
        if self.plan.event_idx {
            new.contains(&load(ENTRIES + 8 * u64::from(self.plan.size)))
        } else {
            load(0) & 1 == 0
        }
    }

    fn take(&mut self) -> Option<Used> {
        if self.used_index() == self.taken {
            return None;
        }
        let element = u64::from(self.taken % self.plan.size);
        let at = self.plan.device_area() + ENTRIES + 8 * element;
        let [head, _, low, high] = self.cells.load(at).expect("an element");
        let pair = head / 2;
        self.taken += 1;
        Some(Used {
            pair,
            len: u32::from(low) | u32::from(high) << 16,
            answer: self.plan.answer(&self.cells, pair),
        })
    }

    fn arm(&mut self) -> bool {
        let area = self.plan.driver_area();
        if self.plan.event_idx {
            let at = area + ENTRIES + 2 * u64::from(self.plan.size);
            self.cells.store_u16(at, self.taken, Relaxed).expect("the event");
        } else {
            self.cells.store_u16(area, 0, Relaxed).expect("the flags");
        }
        // Full: the wish is stored before the index is loaded again.
        self.cells.fence();
        self.used_index() != self.taken
    }

    fn disarm(&mut self) {
        // With EVENT_IDX the event that has passed is enough.
        if !self.plan.event_idx {
            let area = self.plan.driver_area();
            self.cells.store_u16(area, 1, Relaxed).expect("the flags");
        }
    }
}
