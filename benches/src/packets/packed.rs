//! The driver of a packed ring.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, fence};

use vhost_fuzz_core::ring::flag;

use super::memory::{Memory, Part};
use super::{Queue, SIZE, is_passed};

/// Flags of an event structure: no notification; one at a position.
const NEVER: u16 = 1;
const AT: u16 = 2;

/// The fields of a descriptor.
#[derive(Debug)]
struct Slot {
    address: &'static AtomicU64,
    len: &'static AtomicU32,
    id: &'static AtomicU16,
    flags: &'static AtomicU16,
}

/// A slot, and the wrap counter of the lap that it is reached in.
#[derive(Clone, Copy, Debug)]
struct Position {
    slot: u16,
    wrap: bool,
}

impl Position {
    const START: Self = Self { slot: 0, wrap: true };

    /// So many slots later, a lap at most.
    #[inline]
    const fn after(self, count: u16) -> Self {
        let slot = self.slot + count;
        if slot < SIZE {
            Self { slot, ..self }
        } else {
            Self { slot: slot - SIZE, wrap: !self.wrap }
        }
    }
}

/// Slot `n` is about buffer `n`, which has the id `n`. What the device wrote over a descriptor is
/// written again to make its buffer available.
#[derive(Debug)]
pub(super) struct Packed {
    queue: Queue,
    slots: Box<[Slot]>,
    /// Bytes of a buffer.
    len: u32,
    /// The driver's event structure: position and flags.
    wanted: [&'static AtomicU16; 2],
    /// That of the device, both at once.
    device: &'static AtomicU32,
    next_available: Position,
    next_used: Position,
    /// Buffers that were made available since a kick was thought of.
    fresh: u16,
}

impl Packed {
    pub(super) fn new(memory: &Memory, queue: Queue, len: u32) -> Self {
        let slots = (0..usize::from(SIZE)).map(|slot| Slot {
            address: memory.field(queue, Part::Descriptors, 16 * slot),
            len: memory.field(queue, Part::Descriptors, 16 * slot + 8),
            id: memory.field(queue, Part::Descriptors, 16 * slot + 12),
            flags: memory.field(queue, Part::Descriptors, 16 * slot + 14),
        });
        let mut packed = Self {
            queue,
            slots: slots.collect(),
            len,
            wanted: [0, 2].map(|offset| memory.field(queue, Part::Available, offset)),
            device: memory.field(queue, Part::Used, 0),
            next_available: Position::START,
            next_used: Position::START,
            fresh: 0,
        };
        packed.want_no_call();
        packed
    }

    #[inline]
    pub(super) fn arm(&mut self, count: u16) {
        let direction = if self.queue == Queue::Receive { flag::WRITE } else { 0 };
        for _ in 0..count {
            let Position { slot: at, wrap } = self.next_available;
            let slot = &self.slots[usize::from(at)];
            slot.address.store(Memory::buffer_address(self.queue, at).to_le(), Relaxed);
            slot.len.store(self.len.to_le(), Relaxed);
            slot.id.store(at.to_le(), Relaxed);
            let lap = if wrap { flag::AVAIL } else { flag::USED };
            slot.flags.store((direction | lap).to_le(), Release);
            self.next_available = self.next_available.after(1);
        }
        self.fresh = self.fresh.saturating_add(count);
    }

    #[inline]
    pub(super) fn is_kick_wanted(&mut self) -> bool {
        // The flags are stored before what the device says is loaded.
        fence(SeqCst);
        let [a, b, c, d] = u32::from_le(self.device.load(Relaxed)).to_le_bytes();
        let (event, flags) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let fresh = std::mem::take(&mut self.fresh);
        match flags {
            NEVER => false,
            AT => {
                let (slot, wrap) = (event & 0x7fff, event & 0x8000 != 0);
                let now = self.next_available;
                let event = if wrap == now.wrap { slot } else { slot.wrapping_sub(SIZE) };
                is_passed(event, now.slot, fresh)
            }
            _ => fresh > 0,
        }
    }

    #[inline]
    pub(super) fn reap(&mut self, written: u32, in_flight: u16) -> u16 {
        let mut count = 0;
        while count < in_flight && self.is_used(self.next_used) {
            let at = self.next_used.slot;
            let slot = &self.slots[usize::from(at)];
            let used = (u16::from_le(slot.id.load(Relaxed)), u32::from_le(slot.len.load(Relaxed)));
            assert_eq!(used, (at, written), "the next buffer, and what is in it");
            self.next_used = self.next_used.after(1);
            count += 1;
        }
        count
    }

    #[inline]
    pub(super) fn want_call(&mut self, count: u16) -> bool {
        let last = self.next_used.after(count - 1);
        let [position, flags] = self.wanted;
        let wrap = if last.wrap { 0x8000 } else { 0 };
        position.store((last.slot | wrap).to_le(), Relaxed);
        // A device that finds the flags finds the position.
        flags.store(AT.to_le(), Release);
        // What is wanted is stored before the descriptor is loaded.
        fence(SeqCst);
        self.is_used(last)
    }

    #[inline]
    pub(super) fn want_no_call(&mut self) {
        let [_, flags] = self.wanted;
        flags.store(NEVER.to_le(), Relaxed);
    }

    /// Whether the device has used the descriptor at a position.
    #[inline]
    fn is_used(&self, at: Position) -> bool {
        let flags = u16::from_le(self.slots[usize::from(at.slot)].flags.load(Acquire));
        [flag::AVAIL, flag::USED].iter().all(|bit| (flags & bit != 0) == at.wrap)
    }
}
