//! Guest memory that rings of the harness live in, and the driver's access to it.
//!
//! * [`Ram`]: memory of one thread, which watches the device: it panics when the device leaves a
//!   region or touches what is not its business, counts its accesses, and can change what is read
//!   twice.
//! * [`Shared`]: mapped memory of two threads, or of two processes.
//!
//! Both have the regions of a [`Layout`], and both are a [`GuestRam`] to the driver. To the device
//! they are what backs the regions of a core [`MemoryTable`].
//!
//! [`MemoryTable`]: vhost_fuzz_core::memory::MemoryTable

mod arena;
mod flip;
mod layout;
mod region;
mod shared;
mod spans;
#[cfg(test)]
mod tests;

pub use arena::{Counts, ModelView, Ram};
pub use layout::{Area, Layout};
pub use region::RamRegion;
pub use shared::{Shared, SharedRegion, Window};

use std::sync::atomic::Ordering;

/// Guest memory as the driver sees it: whole, by guest address, and unguarded.
///
/// Numbers are little-endian in memory. All methods panic when a byte is not memory: a driver of
/// the harness knows what memory it has. Ask [`is_memory`](Self::is_memory) before an address that
/// comes from elsewhere.
pub trait GuestRam {
    /// The regions.
    fn areas(&self) -> &'static [Area];

    /// Copies bytes into memory.
    fn put(&self, address: u64, bytes: &[u8]);

    /// Copies bytes out of memory.
    fn get(&self, address: u64, bytes: &mut [u8]);

    /// Stores a field at once.
    fn store_u16(&self, address: u64, value: u16, order: Ordering);

    /// Loads a field at once.
    fn load_u16(&self, address: u64, order: Ordering) -> u16;

    /// Loads an event structure at once, relaxed.
    fn load_u32(&self, address: u64) -> u32;

    /// A full barrier.
    fn fence(&self);

    /// Whether all these bytes are memory, in however many regions.
    fn is_memory(&self, address: u64, len: u64) -> bool {
        layout::pieces(self.areas(), address, len).map(|piece| piece.len).sum::<u64>() == len
    }

    /// `N` bytes.
    fn bytes<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.get(address, &mut bytes);
        bytes
    }
}
