//! A driver that writes what it is told to, legal or not.

use vhost_fuzz_core::ring::{Layout as Form, flag};

use super::step::{Descriptors, Start};
use crate::ram::{GuestRam, Ram};

/// Where the driver is in its ring.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    form: Form,
    size: u16,
    parts: [u64; 3],
    /// Split: the next available index. Packed: the next slot.
    next: u16,
    /// Packed: its wrap counter.
    wrap: bool,
}

impl Driver {
    /// A driver that goes on where the device does.
    #[must_use]
    pub fn new(form: Form, start: &Start) -> Self {
        let [low, high, ..] = start.base.to_le_bytes();
        let base = u16::from_le_bytes([low, high]);
        let (next, wrap) = match form {
            Form::Split => (base, false),
            Form::Packed => (base & 0x7fff, base & 0x8000 != 0),
        };
        Self { form, size: start.size.max(1), parts: start.parts, next, wrap }
    }

    /// Makes a chain available: one descriptor after the other, each linked to the next.
    pub fn chain(&mut self, ram: &Ram, id: u16, descriptors: &Descriptors<'_>) {
        match self.form {
            Form::Split => self.split_chain(ram, id, descriptors),
            Form::Packed => self.packed_list(ram, id, descriptors),
        }
    }

    fn split_chain(&mut self, ram: &Ram, head: u16, descriptors: &Descriptors<'_>) {
        let [table, ..] = self.parts;
        let mut index = head;
        for descriptor in descriptors.iter().take(self.size.into()) {
            let next = index.wrapping_add(1) % self.size;
            let fields = [descriptor.flags, next];
            let at = table.wrapping_add(16 * u64::from(index % self.size));
            poke(ram, at, &raw(descriptor.address, descriptor.len, fields));
            index = next;
        }
        let entry = 4 + 2 * u64::from(self.next % self.size);
        self.poke_driver_area(ram, entry, &head.to_le_bytes());
        self.advance(ram, 1);
    }

    fn packed_list(&mut self, ram: &Ram, id: u16, descriptors: &Descriptors<'_>) {
        let [ring, ..] = self.parts;
        for descriptor in descriptors.iter().take(self.size.into()) {
            let lap = if self.wrap { flag::AVAIL } else { flag::USED };
            let fields = [id, descriptor.flags ^ lap];
            let at = ring.wrapping_add(16 * u64::from(self.next % self.size));
            poke(ram, at, &raw(descriptor.address, descriptor.len, fields));
            self.next = self.next.wrapping_add(1);
            if self.next >= self.size {
                (self.next, self.wrap) = (0, !self.wrap);
            }
        }
    }

    /// Moves the available index of a split ring.
    pub fn advance(&mut self, ram: &Ram, by: u16) {
        if self.form == Form::Split {
            self.next = self.next.wrapping_add(by);
            self.poke_driver_area(ram, 2, &self.next.to_le_bytes());
        }
    }

    /// Writes an indirect table.
    pub fn table(&self, ram: &Ram, address: u64, descriptors: &Descriptors<'_>) {
        let mut at = address;
        for (index, descriptor) in (1_u16..).zip(descriptors.iter()) {
            let fields = match self.form {
                Form::Split => [descriptor.flags, index],
                Form::Packed => [index, descriptor.flags],
            };
            poke(ram, at, &raw(descriptor.address, descriptor.len, fields));
            at = at.wrapping_add(16);
        }
    }

    /// Says which calls it wants.
    pub fn wish(&self, ram: &Ram, flags: u16, event: u16) {
        match self.form {
            Form::Split => {
                self.poke_driver_area(ram, 0, &flags.to_le_bytes());
                let at = 4 + 2 * u64::from(self.size);
                self.poke_driver_area(ram, at, &event.to_le_bytes());
            }
            Form::Packed => {
                self.poke_driver_area(ram, 0, &event.to_le_bytes());
                self.poke_driver_area(ram, 2, &flags.to_le_bytes());
            }
        }
    }

    fn poke_driver_area(&self, ram: &Ram, offset: u64, bytes: &[u8]) {
        let [_, area, _] = self.parts;
        poke(ram, area.wrapping_add(offset), bytes);
    }
}

/// A descriptor in memory: the last two fields are those of its layout.
fn raw(address: u64, len: u32, [third, fourth]: [u16; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&address.to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12..14].copy_from_slice(&third.to_le_bytes());
    bytes[14..].copy_from_slice(&fourth.to_le_bytes());
    bytes
}

/// Writes to memory; what is not completely memory is left out.
pub fn poke(ram: &Ram, address: u64, bytes: &[u8]) {
    if ram.is_memory(address, bytes.len() as u64) {
        ram.put(address, bytes);
    }
}
