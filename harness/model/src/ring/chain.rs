//! A chain, and the checks that both kinds of ring make of its elements (§1.4, §2.3).

use super::memory::{Guest, Memory};
use super::{Drop, Setup};

/// Flag of a descriptor: another one follows.
pub(super) const NEXT: u16 = 1;
/// Flag of a descriptor: the device writes.
pub(super) const WRITE: u16 = 2;
/// Flag of a descriptor: it describes a table.
pub(super) const INDIRECT: u16 = 4;

/// Most bytes of a chain (VQ-013).
const BYTES_MAX: u64 = 1 << 32;

/// Bytes of a descriptor.
pub(super) const DESCRIPTOR: u64 = 16;

/// Guest memory of one descriptor that has a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Guest address.
    pub address: u64,
    /// Bytes, at least one.
    pub len: u32,
    /// The device writes it.
    pub writable: bool,
}

/// What a driver made available at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Elements, the readable ones first.
    pub elements: Vec<Element>,
    /// Readable bytes.
    pub readable: u64,
    /// Writable bytes.
    pub writable: u64,
    /// Head (split) or buffer id (packed).
    pub id: u16,
    /// Places in the ring that it takes: 1 in a split ring.
    pub slots: u16,
    has_writable: bool,
}

impl Chain {
    /// An empty one, with room that is kept between calls.
    #[must_use]
    pub fn new() -> Self {
        Self { elements: Vec::with_capacity(64), ..Self::default() }
    }

    /// Forgets all of it but the room.
    pub fn clear(&mut self) {
        self.elements.clear();
        self.readable = 0;
        self.writable = 0;
        self.id = 0;
        self.slots = 0;
        self.has_writable = false;
    }
}

/// A walk over one chain.
pub(super) struct Walk<'a, M> {
    pub(super) guest: &'a Guest<'a, M>,
    pub(super) setup: &'a Setup,
    pub(super) chain: &'a mut Chain,
}

impl<M: Memory> Walk<'_, M> {
    /// Adds the element of a descriptor. Bits of `flags` other than WRITE say nothing (VQ-030).
    pub(super) fn element(&mut self, address: u64, len: u32, flags: u16) -> Result<(), Drop> {
        let writable = flags & WRITE != 0;
        if writable {
            self.chain.has_writable = true;
        } else if self.chain.has_writable {
            return Err(Drop::ReadableAfterWritable);
        }
        if len == 0 {
            return Ok(());
        }
        if address.checked_add(len.into()).is_none() {
            return Err(Drop::AddressOverflow { address, len });
        }
        if !self.guest.has(address, len.into()) {
            return Err(Drop::OutsideMemory { address, len });
        }
        self.chain.elements.push(Element { address, len, writable });
        if writable {
            self.chain.writable += u64::from(len);
        } else {
            self.chain.readable += u64::from(len);
        }
        Ok(())
    }

    /// The number of entries of an indirect table that may be read.
    pub(super) fn entries(&self, address: u64, len: u32) -> Result<u32, Drop> {
        let entries = len / 16;
        if len == 0 || !len.is_multiple_of(16) {
            return Err(Drop::IndirectLength { len });
        }
        if entries > self.setup.cap {
            return Err(Drop::IndirectTooLong { entries, cap: self.setup.cap });
        }
        if address.checked_add(len.into()).is_none() {
            return Err(Drop::AddressOverflow { address, len });
        }
        if !self.guest.has(address, len.into()) {
            return Err(Drop::TableOutsideMemory { address, len });
        }
        Ok(entries)
    }

    /// What can only be said when all elements are there (VQ-013).
    pub(super) fn end(&self) -> Result<(), Drop> {
        let bytes = self.chain.readable + self.chain.writable;
        if bytes > BYTES_MAX { Err(Drop::TooManyBytes { bytes }) } else { Ok(()) }
    }
}
