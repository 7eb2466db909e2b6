//! Shared memory, and access to one region of it.

use core::sync::atomic::Ordering;

use super::AreaError;

/// Memory of one region, which the front-end can change at any time.
///
/// Offsets are bytes from the start of the region; values are in native byte order. Each call is
/// one access of its width. This crate gives loads `Acquire` and stores `Release`, and offsets
/// that are multiples of the width.
///
/// An implementation is total: it returns `None`, and stores nothing, when the value does not lie
/// wholly inside the region.
pub trait AreaMemory {
    /// Loads a byte.
    fn load_u8(&self, offset: usize, order: Ordering) -> Option<u8>;
    /// Loads two bytes.
    fn load_u16(&self, offset: usize, order: Ordering) -> Option<u16>;
    /// Loads eight bytes.
    fn load_u64(&self, offset: usize, order: Ordering) -> Option<u64>;
    /// Stores a byte.
    fn store_u8(&self, offset: usize, value: u8, order: Ordering) -> Option<()>;
    /// Stores two bytes.
    fn store_u16(&self, offset: usize, value: u16, order: Ordering) -> Option<()>;
    /// Stores eight bytes.
    fn store_u64(&self, offset: usize, value: u64, order: Ordering) -> Option<()>;
}

impl<M: AreaMemory + ?Sized> AreaMemory for &M {
    fn load_u8(&self, offset: usize, order: Ordering) -> Option<u8> {
        (**self).load_u8(offset, order)
    }

    fn load_u16(&self, offset: usize, order: Ordering) -> Option<u16> {
        (**self).load_u16(offset, order)
    }

    fn load_u64(&self, offset: usize, order: Ordering) -> Option<u64> {
        (**self).load_u64(offset, order)
    }

    fn store_u8(&self, offset: usize, value: u8, order: Ordering) -> Option<()> {
        (**self).store_u8(offset, value, order)
    }

    fn store_u16(&self, offset: usize, value: u16, order: Ordering) -> Option<()> {
        (**self).store_u16(offset, value, order)
    }

    fn store_u64(&self, offset: usize, value: u64, order: Ordering) -> Option<()> {
        (**self).store_u64(offset, value, order)
    }
}

/// Header fields that both kinds of region have at the same place.
mod field {
    pub(super) const VERSION: usize = 8;
    pub(super) const DESC_NUM: usize = 10;
}

/// The only version there is.
const VERSION: u16 = 1;

/// A region with errors in place of `None`. Every store is a `Release` store, so the stores of a
/// region keep the order of the program.
#[derive(Debug)]
pub(super) struct Region<M> {
    memory: M,
    queue_size: u16,
    /// It had version 0.
    is_new: bool,
}

impl<M: AreaMemory> Region<M> {
    /// Looks at the header. A region of version 0 is initialised (VU-183): `initialise` sets what
    /// only this kind of region has, after the first `len` bytes were cleared.
    ///
    /// The version is stored last, so that an initialisation that is cut off is done again.
    pub(super) fn open(
        memory: M,
        queue_size: u16,
        len: usize,
        initialise: impl FnOnce(&Self) -> Result<(), AreaError>,
    ) -> Result<Self, AreaError> {
        let mut region = Self { memory, queue_size, is_new: false };
        // The last word is there, so all of the region is.
        region.u64(len.saturating_sub(8))?;
        match region.u16(field::VERSION)? {
            0 => {
                for offset in (0..len).step_by(8) {
                    region.set_u64(offset, 0)?;
                }
                region.set_u16(field::DESC_NUM, queue_size)?;
                initialise(&region)?;
                region.set_u16(field::VERSION, VERSION)?;
                region.is_new = true;
            }
            VERSION => {
                let desc_num = region.u16(field::DESC_NUM)?;
                if desc_num != queue_size {
                    return Err(AreaError::DescNum { desc_num, queue_size });
                }
            }
            version => return Err(AreaError::Version { version }),
        }
        Ok(region)
    }

    pub(super) const fn queue_size(&self) -> u16 {
        self.queue_size
    }

    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    pub(super) const fn memory(&self) -> &M {
        &self.memory
    }

    pub(super) fn u8(&self, offset: usize) -> Result<u8, AreaError> {
        self.memory.load_u8(offset, Ordering::Acquire).ok_or(AreaError::OutOfRange { offset })
    }

    pub(super) fn u16(&self, offset: usize) -> Result<u16, AreaError> {
        self.memory.load_u16(offset, Ordering::Acquire).ok_or(AreaError::OutOfRange { offset })
    }

    pub(super) fn u64(&self, offset: usize) -> Result<u64, AreaError> {
        self.memory.load_u64(offset, Ordering::Acquire).ok_or(AreaError::OutOfRange { offset })
    }

    pub(super) fn set_u8(&self, offset: usize, value: u8) -> Result<(), AreaError> {
        let stored = self.memory.store_u8(offset, value, Ordering::Release);
        stored.ok_or(AreaError::OutOfRange { offset })
    }

    pub(super) fn set_u16(&self, offset: usize, value: u16) -> Result<(), AreaError> {
        let stored = self.memory.store_u16(offset, value, Ordering::Release);
        stored.ok_or(AreaError::OutOfRange { offset })
    }

    pub(super) fn set_u64(&self, offset: usize, value: u64) -> Result<(), AreaError> {
        let stored = self.memory.store_u64(offset, value, Ordering::Release);
        stored.ok_or(AreaError::OutOfRange { offset })
    }
}
