//! Rings: taking chains, reading and writing their buffers, and giving them back.
//!
//! # What a batch is
//!
//! A driver makes a number of chains available at once, and a device takes all of them in one
//! wake-up, gives them back and publishes. The batch is one lap of the ring, so that the driver's
//! part of the next is to move the index of a split ring, or to copy the descriptors of a packed
//! one, with the wrap counter of the lap, over what the device wrote there.
//!
//! All chains share their buffers, as the rings of real drivers do for headers: the bytes are in
//! the nearest cache, and what is left is the cost of finding them.

mod device;
mod memory;

use vhost_fuzz_core::ring::Layout;

pub use device::{Device, Transfer};
pub use memory::{Driver, Memory};

/// What the chains of a batch are like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Split or packed.
    pub layout: Layout,
    /// Each chain is a table of its own.
    pub is_indirect: bool,
    /// Buffers of a chain, a power of two up to 256. If there are several, the last is writable.
    pub buffers: u16,
    /// Regions that the buffers are in, each in another than the one before.
    pub regions: u16,
    /// Bytes that the device reads of a chain; with 0 it only finds out where they are.
    pub payload: usize,
}

impl Plan {
    /// Descriptors of a batch at most, so that they stay in the nearest cache.
    const DESCRIPTORS: u16 = 1024;

    /// Split chains of so many direct descriptors in one region.
    #[must_use]
    pub const fn split(buffers: u16) -> Self {
        Self { layout: Layout::Split, is_indirect: false, buffers, regions: 1, payload: 0 }
    }

    /// As [`split`](Self::split), packed.
    #[must_use]
    pub const fn packed(buffers: u16) -> Self {
        Self { layout: Layout::Packed, ..Self::split(buffers) }
    }

    /// As this, with indirect tables.
    #[must_use]
    pub const fn indirect(self) -> Self {
        Self { is_indirect: true, ..self }
    }

    /// As this, with so many regions.
    #[must_use]
    pub const fn regions(self, regions: u16) -> Self {
        Self { regions, ..self }
    }

    /// As this, and so many bytes of each chain are read.
    #[must_use]
    pub const fn payload(self, payload: usize) -> Self {
        Self { payload, ..self }
    }

    /// Chains of a batch.
    #[must_use]
    pub fn chains(&self) -> u16 {
        (Self::DESCRIPTORS / self.buffers).min(256)
    }

    /// Entries of the ring: one batch is a lap.
    #[must_use]
    pub fn size(&self) -> u16 {
        if self.is_indirect { self.chains() } else { self.chains() * self.buffers }
    }

    /// Buffers of a chain that the device may read.
    #[must_use]
    pub fn readable(&self) -> u16 {
        (self.buffers - 1).max(1)
    }

    /// Bytes of each buffer.
    #[must_use]
    pub fn buffer_len(&self) -> u32 {
        let len = match self.payload {
            0 => 256,
            bytes => bytes.div_ceil(self.readable().into()),
        };
        u32::try_from(len).expect("a short payload")
    }

    /// Bytes of the buffers of a batch.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.chains()) * u64::from(self.buffers) * u64::from(self.buffer_len())
    }

    /// What the device has to read from a chain.
    #[must_use]
    pub fn expected(&self) -> Vec<u8> {
        memory::content().take(self.payload).collect()
    }
}
