//! Guest memory as a ring sees it during one wake-up.

use core::fmt;
use std::sync::atomic::AtomicU8;

use super::RingMemory;
use super::error::{AccessError, Shape};
use crate::memory::{
    Access, AddressKind, DirtyLog, Iotlb, Location, LogMemory, MemoryTable, Miss, ResolveError,
    Slot, reach, resolve,
};

/// A dirty log and the memory that it is in.
pub struct Log<'g, L: ?Sized> {
    /// Its size.
    pub log: DirtyLog,
    /// Its bytes.
    pub memory: &'g L,
}

impl<L: ?Sized> Clone for Log<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: ?Sized> Copy for Log<'_, L> {}

impl<L: ?Sized> fmt::Debug for Log<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Guest memory: what there is, how addresses lead to it, and where writes are logged.
#[derive(Debug)]
pub struct Guest<'g, B, L: ?Sized = [AtomicU8]> {
    /// The regions, each with what backs it.
    pub table: &'g MemoryTable<B>,
    /// Translations, when there is an IOMMU.
    pub iotlb: Option<&'g Iotlb>,
    /// The dirty log, while there is one.
    pub log: Option<Log<'g, L>>,
}

impl<B, L: ?Sized> Clone for Guest<'_, B, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B, L: ?Sized> Copy for Guest<'_, B, L> {}

impl<'g, B> Guest<'g, B> {
    /// Memory without IOMMU and without log.
    #[must_use]
    pub const fn new(table: &'g MemoryTable<B>) -> Self {
        Self { table, iotlb: None, log: None }
    }
}

/// A region of guest addresses: where a range is looked for first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    /// Its slot.
    pub(super) slot: u32,
    start: u64,
    size: u64,
}

impl Near {
    /// A region that holds nothing.
    pub(super) const NONE: Self = Self { slot: 0, start: 0, size: 0 };

    /// Whether a range is in the region and not empty.
    #[inline]
    pub(super) fn holds(&self, address: u64, len: u32) -> bool {
        let offset = address.wrapping_sub(self.start);
        // An empty range has more than any region: 2^64 - 1.
        offset < self.size && u64::from(len).wrapping_sub(1) < self.size.wrapping_sub(offset)
    }
}

/// Why a chain cannot be taken.
pub(super) enum Fault {
    /// It is malformed.
    Shape(Shape),
    /// A translation is missing.
    Miss(Miss),
}

impl From<Shape> for Fault {
    #[inline]
    fn from(shape: Shape) -> Self {
        Self::Shape(shape)
    }
}

/// Why a range cannot be accessed.
pub(super) enum Nowhere {
    /// It does not end below 2^64.
    Overflow,
    /// A byte of it is in no region.
    Outside,
    /// The translation of a byte of it is not known.
    Miss(Miss),
}

impl<'g, B: RingMemory, L: LogMemory + ?Sized> Guest<'g, B, L> {
    /// The offset of a range of guest addresses in the region of a slot, if it is all there.
    #[inline]
    pub(super) fn within(&self, slot: usize, address: u64, len: u32) -> Option<u64> {
        let region = &self.table.slots().get(slot)?.region;
        let offset = address.wrapping_sub(region.guest_address);
        let left = region.size.checked_sub(offset)?;
        (u64::from(len) <= left).then_some(offset)
    }

    /// The region that holds a range of guest addresses, which is not empty, as a whole. The range
    /// ends below 2^64, because the region does. The regions after `near` are looked at first.
    #[inline]
    pub(super) fn find(
        &self,
        kind: AddressKind,
        address: u64,
        len: u32,
        near: Near,
    ) -> Option<Near> {
        if kind != AddressKind::Guest {
            return None;
        }
        let slots = self.table.slots();
        let middle = slots.len().min(usize::try_from(near.slot).map_or(0, |slot| slot + 1));
        let (before, after) = slots.split_at_checked(middle)?;
        let held = |(slot, held): (u32, &Slot<B>)| {
            let (start, size) = (held.region.guest_address, held.region.size);
            let near = Near { slot, start, size };
            near.holds(address, len).then_some(near)
        };
        let from = near.slot.saturating_add(1);
        (from..).zip(after).find_map(held).or_else(|| (0..).zip(before).find_map(held))
    }

    /// Judges a range that is not empty and that no region holds as a whole: it goes over a
    /// border, its address is to be translated, or it leads nowhere (VQ-025, VQ-026, VQ-027).
    pub(super) fn admit(
        &self,
        kind: AddressKind,
        address: u64,
        len: u32,
        access: Access,
    ) -> Result<Near, Nowhere> {
        if address.checked_add(len.into()).is_none() {
            return Err(Nowhere::Overflow);
        }
        match resolve(self.table, self.iotlb, kind, address, len.into(), access) {
            Ok(_) => Ok(Near::NONE),
            Err(ResolveError::Miss(miss)) => Err(Nowhere::Miss(miss)),
            Err(ResolveError::Memory(_)) => Err(Nowhere::Outside),
        }
    }

    /// What backs a region that holds an address, and the offset of the address there.
    #[inline]
    pub(super) fn spot(&self, region: Near, address: u64) -> Option<(&'g B, u64)> {
        let slot = usize::try_from(region.slot).ok()?;
        Some((self.backing(slot)?, address.wrapping_sub(region.start)))
    }

    /// What backs a slot.
    #[inline]
    pub(super) fn backing(&self, slot: usize) -> Option<&'g B> {
        self.table.slots().get(slot).map(|slot| &slot.backing)
    }

    /// What of the `len` bytes from `address` lies next to each other, in front.
    #[inline]
    pub(super) fn reach(
        &self,
        kind: AddressKind,
        address: u64,
        len: u64,
        access: Access,
    ) -> Result<(&'g B, Location), AccessError> {
        reach(self.table, self.iotlb, kind, address, len, access)
            .and_then(|piece| Some((self.backing(piece.slot)?, piece)))
            .ok_or_else(|| match kind {
                AddressKind::Iova => {
                    AccessError::Miss(Miss { iova: address, permissions: access.permissions() })
                }
                AddressKind::Guest | AddressKind::User => AccessError::Outside { address },
            })
    }

    /// Copies a range out of memory, piece by piece.
    pub(super) fn gather(
        &self,
        kind: AddressKind,
        mut address: u64,
        mut bytes: &mut [u8],
    ) -> Result<(), AccessError> {
        while !bytes.is_empty() {
            let (backing, piece) = self.reach(kind, address, bytes.len() as u64, Access::Read)?;
            let len = usize::try_from(piece.len).unwrap_or(usize::MAX);
            let (now, later) =
                bytes.split_at_mut_checked(len).ok_or(AccessError::Outside { address })?;
            backing.read(piece.offset, now).ok_or(AccessError::Outside { address })?;
            bytes = later;
            address = address.wrapping_add(piece.len);
        }
        Ok(())
    }

    /// Copies bytes into memory, piece by piece.
    pub(super) fn scatter(
        &self,
        kind: AddressKind,
        mut address: u64,
        mut bytes: &[u8],
    ) -> Result<(), AccessError> {
        while !bytes.is_empty() {
            let (backing, piece) = self.reach(kind, address, bytes.len() as u64, Access::Write)?;
            let len = usize::try_from(piece.len).unwrap_or(usize::MAX);
            let (now, later) =
                bytes.split_at_checked(len).ok_or(AccessError::Outside { address })?;
            backing.write(piece.offset, now).ok_or(AccessError::Outside { address })?;
            bytes = later;
            address = address.wrapping_add(piece.len);
        }
        Ok(())
    }

    /// Logs a write to a location (VU-147).
    #[inline]
    pub(super) fn mark(&self, location: &Location) {
        if let Some(Log { log, memory }) = self.log
            && let Some(address) = self.table.guest_address(location)
        {
            log.mark(address, location.len, memory);
        }
    }

    /// Logs a write to the `len` bytes at `offset` of a device area whose log address is
    /// `log_address` (VU-148). With an IOMMU that is an I/O virtual address, which is translated
    /// (DV-80); what has no translation has no page to log.
    #[inline]
    pub(super) fn mark_device_area(
        &self,
        kind: AddressKind,
        log_address: u64,
        offset: u64,
        len: u64,
    ) {
        let Some(Log { log, memory }) = self.log else { return };
        if kind != AddressKind::Iova {
            log.mark_used(log_address, offset, len, memory);
        } else if let Some(address) = log_address.checked_add(offset)
            && let Ok(pieces) = resolve(self.table, self.iotlb, kind, address, len, Access::Write)
        {
            log.mark_pieces(pieces, memory);
        }
    }
}
