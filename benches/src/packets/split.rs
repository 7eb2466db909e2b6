//! The driver of a split ring.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, fence};

use vhost_fuzz_core::ring::flag;

use super::memory::{Memory, Part};
use super::{Queue, SIZE, is_passed};

/// Entry `n` of all three parts is about buffer `n`. Descriptors and available ring are written
/// once: to make buffers available, the index is moved.
#[derive(Debug)]
pub(super) struct Split {
    available: &'static AtomicU16,
    used_event: &'static AtomicU16,
    used: &'static AtomicU16,
    available_event: &'static AtomicU16,
    /// Id and length of what was used.
    elements: Box<[[&'static AtomicU32; 2]]>,
    next_available: u16,
    next_used: u16,
    /// Buffers that were made available since a kick was thought of.
    fresh: u16,
}

impl Split {
    pub(super) fn new(memory: &Memory, queue: Queue, len: u32) -> Self {
        let flags = if queue == Queue::Receive { flag::WRITE } else { 0 };
        for slot in 0..SIZE {
            let at = 16 * usize::from(slot);
            let address: &AtomicU64 = memory.field(queue, Part::Descriptors, at);
            address.store(Memory::buffer_address(queue, slot).to_le(), Relaxed);
            let length: &AtomicU32 = memory.field(queue, Part::Descriptors, at + 8);
            length.store(len.to_le(), Relaxed);
            let bits: &AtomicU16 = memory.field(queue, Part::Descriptors, at + 12);
            bits.store(flags.to_le(), Relaxed);
            let entry: &AtomicU16 = memory.field(queue, Part::Available, 4 + 2 * usize::from(slot));
            entry.store(slot.to_le(), Relaxed);
        }
        let size = usize::from(SIZE);
        let elements = (0..size).map(|slot| {
            [0, 4].map(|offset| memory.field(queue, Part::Used, 4 + 8 * slot + offset))
        });
        let mut split = Self {
            available: memory.field(queue, Part::Available, 2),
            used_event: memory.field(queue, Part::Available, 4 + 2 * size),
            used: memory.field(queue, Part::Used, 2),
            available_event: memory.field(queue, Part::Used, 4 + 8 * size),
            elements: elements.collect(),
            next_available: 0,
            next_used: 0,
            fresh: 0,
        };
        split.want_no_call();
        split
    }

    #[inline]
    pub(super) fn arm(&mut self, count: u16) {
        self.next_available = self.next_available.wrapping_add(count);
        self.fresh = self.fresh.saturating_add(count);
        self.available.store(self.next_available.to_le(), Release);
    }

    #[inline]
    pub(super) fn is_kick_wanted(&mut self) -> bool {
        // The index is stored before what the device says is loaded.
        fence(SeqCst);
        let event = u16::from_le(self.available_event.load(Relaxed));
        is_passed(event, self.next_available, std::mem::take(&mut self.fresh))
    }

    #[inline]
    pub(super) fn reap(&mut self, written: u32, in_flight: u16) -> u16 {
        let count = self.used();
        assert!(count <= in_flight, "the device gives back {count} buffers of {in_flight}");
        for _ in 0..count {
            let slot = self.next_used % SIZE;
            let element = self.elements[usize::from(slot)];
            let [id, len] = element.map(|field| u32::from_le(field.load(Relaxed)));
            assert_eq!((id, len), (slot.into(), written), "the next buffer, and what is in it");
            self.next_used = self.next_used.wrapping_add(1);
        }
        count
    }

    #[inline]
    pub(super) fn want_call(&mut self, count: u16) -> bool {
        let last = self.next_used.wrapping_add(count - 1);
        self.used_event.store(last.to_le(), Relaxed);
        // What is wanted is stored before the index is loaded.
        fence(SeqCst);
        self.used() >= count
    }

    #[inline]
    pub(super) fn want_no_call(&mut self) {
        // The index that was passed last is the one that is passed last again.
        self.used_event.store(self.next_used.wrapping_sub(1).to_le(), Relaxed);
    }

    /// Buffers that were used and not taken back.
    #[inline]
    fn used(&self) -> u16 {
        u16::from_le(self.used.load(Acquire)).wrapping_sub(self.next_used)
    }
}
