//! An indirect table (spec §1.4, §2.3).

use super::error::Shape;
use super::guest::{Fault, Guest, Near, Nowhere};
use super::layout::{DESCRIPTOR, Descriptor};

use super::{DescriptorTable as _, Limits, RingMemory};
use crate::memory::{Access, AddressKind, LogMemory};

/// An indirect table whose every byte is in memory.
pub(super) struct Table<'g, B> {
    kind: AddressKind,
    address: u64,
    len: u32,
    /// What backs it and its offset there, when it lies in one region.
    whole: Option<(&'g B, u64)>,
}

impl<'g, B: RingMemory> Table<'g, B> {
    /// Judges a table before anything of it is read (VQ-020, VQ-021, VQ-025, VQ-026, PK-021).
    #[inline]
    pub(super) fn open<L: LogMemory + ?Sized>(
        guest: &Guest<'g, B, L>,
        kind: AddressKind,
        (address, len): (u64, u32),
        limits: &Limits,
        near: Near,
    ) -> Result<Self, Fault> {
        let entries = len / 16;
        if entries == 0 || !len.is_multiple_of(16) {
            return Err(Shape::IndirectLength { len }.into());
        }
        if entries > limits.table {
            return Err(Shape::IndirectTooLong { entries, limit: limits.table }.into());
        }
        let near = if near.holds(address, len) {
            Some(near)
        } else {
            guest.find(kind, address, len, near)
        };
        let whole = match near {
            Some(near) => guest.spot(near, address),
            None => {
                guest.admit(kind, address, len, Access::Read).map_err(|nowhere| match nowhere {
                    Nowhere::Overflow => Shape::AddressOverflow { address, len }.into(),
                    Nowhere::Outside => Shape::TableOutsideMemory { address, len }.into(),
                    Nowhere::Miss(miss) => Fault::Miss(miss),
                })?;
                None
            }
        };
        Ok(Self { kind, address, len, whole })
    }

    /// Its entries.
    #[inline]
    pub(super) const fn entries(&self) -> u32 {
        self.len / 16
    }

    /// Its entries, if no border goes through them.
    #[inline]
    pub(super) fn whole(&self) -> Option<B::Table<'g>> {
        let (backing, offset) = self.whole?;
        backing.table(offset, self.len.into())
    }

    /// Loads an entry of a table that no border goes through.
    #[inline]
    pub(super) fn entry_of(&self, table: &B::Table<'g>, index: u32) -> Result<Descriptor, Fault> {
        match table.descriptor(index) {
            Some(raw) => Ok(Descriptor::of(raw)),
            None => Err(self.gone()),
        }
    }

    /// Loads an entry, wherever a border cuts it (VQ-028).
    #[cold]
    pub(super) fn entry_in_pieces<L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
        index: u32,
    ) -> Result<Descriptor, Fault> {
        let mut raw = [0; 16];
        let address = self.address.wrapping_add(DESCRIPTOR.wrapping_mul(index.into()));
        guest.gather(self.kind, address, &mut raw).map_err(|_| self.gone())?;
        Ok(Descriptor::of(u128::from_le_bytes(raw)))
    }

    /// The table was in memory a moment ago: what backs it is shorter than its region.
    #[cold]
    const fn gone(&self) -> Fault {
        Fault::Shape(Shape::TableOutsideMemory { address: self.address, len: self.len })
    }
}
