//! A part of a ring that was placed, during one wake-up.

use core::sync::atomic::Ordering;

use super::error::ActivateError;
use super::guest::Guest;
use super::layout::{DESCRIPTOR, Descriptor};
use super::{Broken, DescriptorTable as _, RingMemory};
use crate::memory::{Access, AddressKind, LogMemory, Part, Placement};

/// A part of a ring. A part that lies in one region, as nearly all do, is accessed through what
/// backs the region; what lies behind a border is looked up.
#[derive(Debug)]
pub(super) struct Area<'g, B> {
    backing: &'g B,
    /// Offset of the part in its first region.
    offset: u64,
    /// Bytes of it that are there.
    first: u64,
    is_whole: bool,
    address: u64,
    kind: AddressKind,
    part: Part,
}

impl<B> Clone for Area<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Area<'_, B> {}

impl<'g, B: RingMemory> Area<'g, B> {
    /// A part of a ring; the placement is current.
    #[inline]
    pub(super) fn new<L: LogMemory + ?Sized>(
        guest: &Guest<'g, B, L>,
        placement: &Placement,
        part: Part,
    ) -> Option<Self> {
        let placed = placement.part(part);
        let (slot, offset, first) = (placed.first.slot, placed.first.offset, placed.first.len);
        let (is_whole, address, kind) = (first == placed.len, placed.address, placement.kind);
        let backing = guest.backing(slot)?;
        Some(Self { backing, offset, first, is_whole, address, kind, part })
    }

    /// Where the `len` bytes at `at` are, which no border cuts.
    #[inline]
    fn spot<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        at: u64,
        len: u64,
        access: Access,
    ) -> Option<(&'g B, u64)> {
        if at.saturating_add(len) <= self.first {
            return Some((self.backing, self.offset.wrapping_add(at)));
        }
        self.beyond(guest, at, len, access)
    }

    #[cold]
    fn beyond<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        at: u64,
        len: u64,
        access: Access,
    ) -> Option<(&'g B, u64)> {
        let address = self.address.checked_add(at)?;
        let (backing, piece) = guest.reach(self.kind, address, len, access).ok()?;
        (piece.len == len).then_some((backing, piece.offset))
    }

    /// The part is not where it was when the ring was bound.
    const fn gone(&self) -> Broken {
        Broken::Access { part: self.part }
    }

    /// Loads a field of 2 bytes.
    #[inline]
    pub(super) fn load_u16<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        at: u64,
        order: Ordering,
    ) -> Result<u16, Broken> {
        self.spot(guest, at, 2, Access::Read)
            .and_then(|(backing, offset)| backing.load_u16(offset, order))
            .ok_or(self.gone())
    }

    /// Stores a field of 2 bytes.
    #[inline]
    pub(super) fn store_u16<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        at: u64,
        value: u16,
        order: Ordering,
    ) -> Result<(), Broken> {
        self.spot(guest, at, 2, Access::Write)
            .and_then(|(backing, offset)| backing.store_u16(offset, value, order))
            .ok_or(self.gone())
    }

    /// Loads a field of 4 bytes at once.
    #[inline]
    pub(super) fn load_u32<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        at: u64,
    ) -> Result<u32, Broken> {
        self.spot(guest, at, 4, Access::Read)
            .and_then(|(backing, offset)| backing.load_u32(offset))
            .ok_or(self.gone())
    }

    /// Stores a field of 4 bytes.
    #[inline]
    pub(super) fn store_u32<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        at: u64,
        value: u32,
    ) -> Result<(), Broken> {
        self.spot(guest, at, 4, Access::Write)
            .and_then(|(backing, offset)| backing.store_u32(offset, value))
            .ok_or(self.gone())
    }

    /// Loads half a descriptor at once.
    #[inline]
    pub(super) fn load_u64<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        at: u64,
        order: Ordering,
    ) -> Result<u64, Broken> {
        self.spot(guest, at, 8, Access::Read)
            .and_then(|(backing, offset)| backing.load_u64(offset, order))
            .ok_or(self.gone())
    }

    /// The part as a table of descriptors, if no border goes through it.
    #[inline]
    pub(super) fn table(&self) -> Option<B::Table<'g>> {
        if self.is_whole { self.backing.table(self.offset, self.first) } else { None }
    }

    /// Loads the descriptor of a slot from the table that the part is.
    #[inline]
    pub(super) fn descriptor_of(
        &self,
        table: &B::Table<'g>,
        slot: u16,
    ) -> Result<Descriptor, Broken> {
        table.descriptor(slot.into()).map(Descriptor::of).ok_or(self.gone())
    }

    /// Loads the descriptor of a slot, wherever a border cuts it (VQ-028).
    #[cold]
    pub(super) fn descriptor_in_pieces<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        slot: u16,
    ) -> Result<Descriptor, Broken> {
        let mut raw = [0; 16];
        let address = self.address.wrapping_add(DESCRIPTOR * u64::from(slot));
        guest.gather(self.kind, address, &mut raw).map_err(|_| self.gone())?;
        Ok(Descriptor::of(u128::from_le_bytes(raw)))
    }

    /// Stores an element of a used ring, wherever a border cuts it.
    #[inline]
    pub(super) fn store_u64<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        at: u64,
        value: u64,
    ) -> Result<(), Broken> {
        let stored = if at.saturating_add(8) <= self.first {
            self.backing.store_u64(self.offset.wrapping_add(at), value)
        } else {
            let address = self.address.wrapping_add(at);
            guest.scatter(self.kind, address, &value.to_le_bytes()).ok()
        };
        stored.ok_or(self.gone())
    }

    /// Logs a write to the part by the guest addresses that it is at (VU-147).
    #[inline]
    pub(super) fn mark<L: LogMemory + ?Sized>(&self, guest: &Guest<'g, B, L>, at: u64, len: u64) {
        if guest.log.is_none() {
            return;
        }
        let address = self.address.wrapping_add(at);
        if let Ok((_, piece)) = guest.reach(self.kind, address, len, Access::Write) {
            guest.mark(&piece);
        }
    }

    /// A full barrier.
    #[inline]
    pub(super) fn fence(&self) {
        self.backing.fence();
    }
}

/// Judges how the part of a ring is mapped: every field that is accessed at once is aligned for
/// the processor, and no border of regions cuts it (VQ-049).
pub(super) fn check_mapping<B: RingMemory, L: LogMemory + ?Sized>(
    guest: &Guest<'_, B, L>,
    placement: &Placement,
    part: Part,
    align: u64,
) -> Result<(), ActivateError> {
    let refused = Err(ActivateError::HostAlignment { part, align });
    let mut left = placement.part(part).len;
    let Ok(pieces) = placement.pieces(part, guest.table, guest.iotlb) else {
        return Err(ActivateError::Access { part });
    };
    for piece in pieces {
        left = left.saturating_sub(piece.len);
        let backing = guest.backing(piece.slot).ok_or(ActivateError::Access { part })?;
        let is_cut = left > 0 && !piece.len.is_multiple_of(align);
        if is_cut || !backing.is_aligned(piece.offset, align) {
            return refused;
        }
    }
    Ok(())
}
