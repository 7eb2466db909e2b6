//! The driver's side of a split ring (spec §1).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use vhost_fuzz_core::ring::flag;

use super::Config;
use super::driver::{Buffer, Memory, Plan, Side};

/// Offset of the index of either ring. The flags are before it.
const INDEX: u64 = 2;
/// Offset of the entries of either ring.
const ENTRIES: u64 = 4;

/// Where the indices begin, as if the ring had been used before: soon they wrap.
pub(super) const START: u16 = 0xffa0;

/// Writes the indices of a ring that was used before, of which everything has come back.
pub(super) fn prepare(plan: Plan, memory: &Memory) {
    memory.store(plan.driver_area() + INDEX, START, Relaxed);
    memory.store(plan.device_area() + INDEX, START, Relaxed);
}

pub(super) struct SplitSide {
    config: Config,
    memory: Memory,
    plan: Plan,
    /// Descriptors that are in no chain; what comes back is used first.
    free: Vec<u16>,
    /// The descriptors of each chain, by its head.
    chains: Vec<Vec<u16>>,
    /// Chains that were sent.
    sent: u64,
    /// Available index after them.
    index: u16,
    /// Available index that the device was shown.
    shown: u16,
    /// Used buffers that were taken.
    taken: u16,
    /// Used index as it was loaded last.
    seen: u16,
}

impl SplitSide {
    pub(super) fn new(config: Config, memory: Memory) -> Self {
        Self {
            config,
            memory,
            plan: Plan::of(config),
            free: (0..config.size).rev().collect(),
            chains: vec![Vec::with_capacity(config.size.into()); config.size.into()],
            sent: 0,
            index: START,
            shown: START,
            taken: START,
            seen: START,
        }
    }

    /// Writes a chain into the given descriptors of a table.
    fn write(&self, table: u64, indices: &[u16], buffers: &[Buffer]) {
        for (place, (index, buffer)) in indices.iter().zip(buffers).enumerate() {
            let write = if buffer.is_writable { flag::WRITE } else { 0 };
            let next = indices.get(place + 1).copied();
            let flags = write | if next.is_some() { flag::NEXT } else { 0 };
            let descriptor = descriptor(buffer, flags, next.unwrap_or_default());
            self.memory.put(table + 16 * u64::from(*index), &descriptor);
        }
    }

    fn make_available(&mut self, head: u16) {
        let slot = u64::from(self.index % self.config.size);
        self.memory.store(self.plan.driver_area() + ENTRIES + 2 * slot, head, Relaxed);
        self.index = self.index.wrapping_add(1);
        self.sent += 1;
    }

    /// Acquire: the elements, and the data before them, are read after it.
    fn used_index(&self) -> u16 {
        self.memory.load(self.plan.device_area() + INDEX, Acquire)
    }
}

fn descriptor(buffer: &Buffer, flags: u16, next: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&buffer.address.to_le_bytes());
    bytes[8..12].copy_from_slice(&buffer.len.to_le_bytes());
    bytes[12..14].copy_from_slice(&flags.to_le_bytes());
    bytes[14..].copy_from_slice(&next.to_le_bytes());
    bytes
}

impl Side for SplitSide {
    fn reserve(&mut self, descriptors: usize) -> Option<u16> {
        let rest = self.free.len().checked_sub(descriptors)?;
        let head = *self.free.last()?;
        self.chains[usize::from(head)].extend(self.free.drain(rest..).rev());
        Some(head)
    }

    fn send(&mut self, id: u16, buffers: &[Buffer]) {
        self.write(self.plan.descriptors(), &self.chains[usize::from(id)], buffers);
        self.make_available(id);
    }

    fn send_table(&mut self, id: u16, table: u64, buffers: &[Buffer]) {
        self.write(table, &[0, 1, 2, 3][..buffers.len()], buffers);
        let whole = Buffer::table(table, buffers);
        let at = self.plan.descriptors() + 16 * u64::from(id);
        self.memory.put(at, &descriptor(&whole, flag::INDIRECT, 0));
        self.make_available(id);
    }

    fn publish(&mut self) -> bool {
        let (old, new) = (self.shown, self.index);
        self.shown = new;
        // Release: the entries, the descriptors and the requests are there when it is seen.
        self.memory.store(self.plan.driver_area() + INDEX, new, Release);
        // Full: the index is stored before the device's wish is loaded.
        self.memory.fence();
        let area = self.plan.device_area();
        if self.config.event_idx {
            let event = self.memory.load(area + ENTRIES + 8 * u64::from(self.config.size), Relaxed);
            // It is one of the indices from old to before new.
            event.wrapping_sub(old) < new.wrapping_sub(old)
        } else {
            self.memory.load(area, Relaxed) & 1 == 0
        }
    }

    fn take(&mut self) -> Option<(u32, u32)> {
        if self.seen == self.taken {
            self.seen = self.used_index();
        }
        if self.seen == self.taken {
            return None;
        }
        let slot = u64::from(self.taken % self.config.size);
        let mut element = [0; 8];
        self.memory.get(self.plan.device_area() + ENTRIES + 8 * slot, &mut element);
        let [a, b, c, d, e, f, g, h] = element;
        self.taken = self.taken.wrapping_add(1);
        Some((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
    }

    fn release(&mut self, id: u16) {
        self.free.append(&mut self.chains[usize::from(id)]);
    }

    fn arm(&mut self) -> bool {
        let area = self.plan.driver_area();
        if self.config.event_idx {
            let at = area + ENTRIES + 2 * u64::from(self.config.size);
            self.memory.store(at, self.taken, Relaxed);
        } else {
            self.memory.store(area, 0, Relaxed);
        }
        // Full: the wish is stored before the index is loaded again.
        self.memory.fence();
        self.seen = self.used_index();
        self.seen != self.taken
    }

    fn disarm(&mut self) {
        // With EVENT_IDX the event that has passed is enough.
        if !self.config.event_idx {
            self.memory.store(self.plan.driver_area(), 1, Relaxed);
        }
    }

    fn laps(&self) -> u64 {
        self.sent / u64::from(self.config.size)
    }
}
