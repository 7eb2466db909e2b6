//! The driver's side of a packed ring (spec §2).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use vhost_fuzz_core::ring::flag;

use super::Config;
use super::driver::{Buffer, Memory, Plan, Side};

/// Offset of the flags of a descriptor.
const FLAGS: u64 = 14;

pub(super) struct PackedSide {
    config: Config,
    memory: Memory,
    plan: Plan,
    /// Ids that stand for no chain; what comes back is used first.
    free: Vec<u16>,
    /// Slots of each chain, by its id.
    slots: Vec<u16>,
    /// Slots that were sent since the beginning: a position that never wraps.
    sent: u64,
    /// The position that the last decision whether to kick was about.
    decided: u64,
    /// Slots of used buffers that were taken.
    taken: u64,
    /// Slots of chains that have come back, or were never out.
    room: u16,
}

impl PackedSide {
    pub(super) fn new(config: Config, memory: Memory) -> Self {
        Self {
            config,
            memory,
            plan: Plan::of(config),
            free: (0..config.size).rev().collect(),
            slots: vec![0; config.size.into()],
            sent: 0,
            decided: 0,
            taken: 0,
            room: config.size,
        }
    }

    /// The address of the descriptor at a position, and the wrap counter there.
    fn slot(&self, position: u64) -> (u64, bool) {
        let size = u64::from(self.config.size);
        (self.plan.descriptors() + 16 * (position % size), (position / size).is_multiple_of(2))
    }

    /// A position as an event suppression structure has it.
    fn encoded(&self, position: u64) -> u16 {
        let (_, wrap) = self.slot(position);
        let slot = position % u64::from(self.config.size);
        u16::try_from(slot).expect("below the size") | (u16::from(wrap) << 15)
    }

    /// Writes a descriptor, and stores its flags after the rest of it.
    fn write(&self, position: u64, buffer: &Buffer, id: u16, flags: u16) {
        let (at, wrap) = self.slot(position);
        let mut bytes = [0; 14];
        bytes[..8].copy_from_slice(&buffer.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&buffer.len.to_le_bytes());
        bytes[12..].copy_from_slice(&id.to_le_bytes());
        self.memory.put(at, &bytes);
        let flags = flags | if wrap { flag::AVAIL } else { flag::USED };
        // Release, which only the first descriptor of a chain needs: it is written last.
        self.memory.store(at + FLAGS, flags, Release);
    }

    /// The flags of the next used slot. Acquire: what else is used is read after them.
    fn is_used(&self) -> bool {
        let (at, wrap) = self.slot(self.taken);
        let both = flag::AVAIL | flag::USED;
        self.memory.load(at + FLAGS, Acquire) & both == if wrap { both } else { 0 }
    }
}

impl Side for PackedSide {
    fn reserve(&mut self, descriptors: usize) -> Option<u16> {
        let slots = u16::try_from(descriptors).ok().filter(|slots| *slots <= self.room)?;
        let id = self.free.pop()?;
        self.slots[usize::from(id)] = slots;
        self.room -= slots;
        Some(id)
    }

    fn send(&mut self, id: u16, buffers: &[Buffer]) {
        let last = buffers.len() - 1;
        // The first one last: the device sees the chain when it sees its flags.
        for (place, buffer) in buffers.iter().enumerate().rev() {
            let write = if buffer.is_writable { flag::WRITE } else { 0 };
            let next = if place < last { flag::NEXT } else { 0 };
            self.write(self.sent + place as u64, buffer, id, write | next);
        }
        self.sent += buffers.len() as u64;
    }

    fn send_table(&mut self, id: u16, table: u64, buffers: &[Buffer]) {
        for (place, buffer) in (0_u64..).zip(buffers) {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&buffer.address.to_le_bytes());
            bytes[8..12].copy_from_slice(&buffer.len.to_le_bytes());
            let write = if buffer.is_writable { flag::WRITE } else { 0 };
            bytes[14..].copy_from_slice(&write.to_le_bytes());
            self.memory.put(table + 16 * place, &bytes);
        }
        let whole = Buffer::table(table, buffers);
        self.write(self.sent, &whole, id, flag::INDIRECT);
        self.sent += 1;
    }

    fn publish(&mut self) -> bool {
        let (old, new) = (self.decided, self.sent);
        self.decided = new;
        // Full: the flags are stored before the device's wish is loaded.
        self.memory.fence();
        let structure = self.memory.load_u32(self.plan.device_area());
        match structure >> 16 {
            1 => false,
            2 => (old..new).any(|position| u32::from(self.encoded(position)) == structure & 0xffff),
            _ => true,
        }
    }

    fn take(&mut self) -> Option<(u32, u32)> {
        if !self.is_used() {
            return None;
        }
        let mut bytes = [0; 6];
        self.memory.get(self.slot(self.taken).0 + 8, &mut bytes);
        let [a, b, c, d, e, f] = bytes;
        let id = u16::from_le_bytes([e, f]);
        // An id that stands for nothing is the caller's to refuse.
        self.taken += self.slots.get(usize::from(id)).copied().map_or(0, u64::from);
        Some((id.into(), u32::from_le_bytes([a, b, c, d])))
    }

    fn release(&mut self, id: u16) {
        self.room += self.slots[usize::from(id)];
        self.free.push(id);
    }

    fn arm(&mut self) -> bool {
        let area = self.plan.driver_area();
        let flags = if self.config.event_idx {
            self.memory.store(area, self.encoded(self.taken), Relaxed);
            2
        } else {
            0
        };
        // Release: the position is there when the flags that refer to it are seen.
        self.memory.store(area + 2, flags, Release);
        // Full: the wish is stored before the slot is looked at again.
        self.memory.fence();
        self.is_used()
    }

    fn disarm(&mut self) {
        self.memory.store(self.plan.driver_area() + 2, 1, Relaxed);
    }

    fn laps(&self) -> u64 {
        self.sent / u64::from(self.config.size)
    }
}
