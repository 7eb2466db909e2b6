//! A part of guest memory, so that two drivers do not place their buffers in each other's.

use std::sync::atomic::Ordering;

use vhost_fuzz_world::ram::{Area, GuestRam, Shared};

/// What of some memory one driver has for itself.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The memory.
    pub ram: &'a Shared,
    /// What of it.
    pub areas: &'static [Area],
}

impl GuestRam for Part<'_> {
    fn areas(&self) -> &'static [Area] {
        self.areas
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.ram.put(address, bytes);
    }

    fn get(&self, address: u64, bytes: &mut [u8]) {
        self.ram.get(address, bytes);
    }

    fn store_u16(&self, address: u64, value: u16, order: Ordering) {
        self.ram.store_u16(address, value, order);
    }

    fn load_u16(&self, address: u64, order: Ordering) -> u16 {
        self.ram.load_u16(address, order)
    }

    fn load_u32(&self, address: u64) -> u32 {
        self.ram.load_u32(address)
    }

    fn fence(&self) {
        self.ram.fence();
    }
}
