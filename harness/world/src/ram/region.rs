//! A region of [`Ram`](super::Ram), as the device sees it.

use std::fmt;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use vhost_fuzz_core::ring::{At, RingMemory};

use super::arena::Arena;

/// What backs a region of [`Ram`](super::Ram).
///
/// The walkers check what they access before they access it. So an access that leaves the region,
/// or is not aligned where the processor needs it, panics here instead of failing.
#[derive(Clone)]
pub struct RamRegion {
    arena: Rc<Arena>,
    index: usize,
    /// Where it begins.
    place: usize,
    /// Bytes; more than any load has.
    len: usize,
}

impl RamRegion {
    pub(super) fn new(arena: &Rc<Arena>, index: usize) -> Self {
        let len = usize::try_from(arena.areas[index].size).expect("arenas are small");
        Self { arena: Rc::clone(arena), index, place: arena.places[index], len }
    }

    /// The place of bytes in the arena. One comparison: there are no more of them than the region
    /// has.
    #[inline]
    fn at(&self, what: &str, offset: u64, len: usize) -> usize {
        if offset > (self.len - len) as u64 {
            self.red_zone(what, offset, len);
        }
        // It is less than `len`.
        self.place.wrapping_add(usize::try_from(offset).unwrap_or(0))
    }

    /// As [`at`](Self::at), for as many bytes as a buffer has.
    #[inline]
    fn bytes_at(&self, what: &str, offset: u64, len: usize) -> usize {
        if len > self.len {
            self.red_zone(what, offset, len);
        }
        self.at(what, offset, len)
    }

    /// As [`at`](Self::at), for a field that the processor accesses at once.
    #[inline]
    fn field_at(&self, what: &str, offset: u64, len: usize) -> usize {
        let place = self.at(what, offset, len);
        if place & (len - 1) != 0 {
            self.misaligned(what, offset, len);
        }
        place
    }

    #[cold]
    #[inline(never)]
    fn red_zone(&self, what: &str, offset: u64, len: usize) -> ! {
        let Self { index, len: size, .. } = self;
        panic!(
            "red zone: the device {what} {len} bytes at {offset:#x} of region {index}, \
             which has {size:#x}"
        );
    }

    #[cold]
    #[inline(never)]
    fn misaligned(&self, what: &str, offset: u64, len: usize) -> ! {
        let index = self.index;
        panic!(
            "alignment: the device {what} a field of {len} bytes at {offset:#x} of region {index}"
        );
    }
}

impl fmt::Debug for RamRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RamRegion").field("index", &self.index).finish_non_exhaustive()
    }
}

impl RingMemory for RamRegion {
    type Table<'a> = At<'a, Self>;

    fn table(&self, offset: u64, _: u64) -> Option<At<'_, Self>> {
        Some(At { memory: self, offset })
    }

    #[inline]
    fn load_u16(&self, offset: u64, _: Ordering) -> Option<u16> {
        let place = self.field_at("read", offset, 2);
        Some(u16::from_le_bytes(self.arena.device_load(place)))
    }

    #[inline]
    fn store_u16(&self, offset: u64, value: u16, _: Ordering) -> Option<()> {
        let place = self.field_at("wrote", offset, 2);
        self.arena.device_store(place, &value.to_le_bytes());
        Some(())
    }

    #[inline]
    fn load_u32(&self, offset: u64) -> Option<u32> {
        let place = self.field_at("read", offset, 4);
        Some(u32::from_le_bytes(self.arena.device_load(place)))
    }

    #[inline]
    fn load_u64(&self, offset: u64, _: Ordering) -> Option<u64> {
        let place = self.field_at("read", offset, 8);
        Some(u64::from_le_bytes(self.arena.device_load(place)))
    }

    #[inline]
    fn load_descriptor(&self, offset: u64) -> Option<u128> {
        let place = self.at("read", offset, 16);
        Some(u128::from_le_bytes(self.arena.device_load(place)))
    }

    #[inline]
    fn store_u32(&self, offset: u64, value: u32) -> Option<()> {
        let place = self.field_at("wrote", offset, 4);
        self.arena.device_store(place, &value.to_le_bytes());
        Some(())
    }

    #[inline]
    fn store_u64(&self, offset: u64, value: u64) -> Option<()> {
        let place = self.at("wrote", offset, 8);
        self.arena.device_store(place, &value.to_le_bytes());
        Some(())
    }

    #[inline]
    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        let place = self.bytes_at("read", offset, bytes.len());
        self.arena.device_copy(place, bytes);
        Some(())
    }

    #[inline]
    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        let place = self.bytes_at("wrote", offset, bytes.len());
        self.arena.device_store(place, bytes);
        Some(())
    }

    #[inline]
    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        (self.place as u64).wrapping_add(offset).is_multiple_of(align)
    }

    #[inline]
    fn fence(&self) {}
}
