//! A place in the bytes of a chain, which a reader and a writer have in common.

use core::slice;

use super::chain::Element;
use super::error::AccessError;
use super::guest::Guest;
use super::{Chain, RingMemory};
use crate::memory::{Access, AddressKind, Location, LogMemory};

/// A place in the bytes of some buffers of a chain, and how far they may be used.
#[derive(Debug)]
pub(super) struct Cursor<'c, 'g, B, L: ?Sized> {
    guest: Guest<'g, B, L>,
    kind: AddressKind,
    /// What is left of the buffer at the place. It is empty only after the last byte of all.
    current: Element,
    /// The buffers after it.
    rest: slice::Iter<'c, Element>,
    /// Bytes before the place, counted over all of the buffers.
    at: u64,
    /// Where to stop; not beyond the last byte.
    end: u64,
}

impl<B, L: ?Sized> Clone for Cursor<'_, '_, B, L> {
    #[inline]
    fn clone(&self) -> Self {
        Self { rest: self.rest.clone(), ..*self }
    }
}

impl<'c, 'g, B: RingMemory, L: LogMemory + ?Sized> Cursor<'c, 'g, B, L> {
    /// The first of the `bytes` bytes of `elements`, which are buffers of `chain`.
    #[inline]
    pub(super) fn new(
        chain: &Chain,
        elements: &'c [Element],
        bytes: u64,
        guest: &Guest<'g, B, L>,
    ) -> Self {
        let mut rest = elements.iter();
        let current = rest.next().copied().unwrap_or_default();
        Self { guest: *guest, kind: chain.kind(), current, rest, at: 0, end: bytes }
    }

    /// Guest memory.
    #[inline]
    pub(super) const fn guest(&self) -> &Guest<'g, B, L> {
        &self.guest
    }

    /// Bytes before the place.
    #[inline]
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Bytes from the place to the end.
    #[inline]
    pub(super) const fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// How many of `wanted` bytes there are.
    #[inline]
    pub(super) fn limit(&self, wanted: usize) -> usize {
        usize::try_from(self.remaining()).map_or(wanted, |remaining| wanted.min(remaining))
    }

    /// Where the next `len` bytes are, if they are in one buffer and in the region that it was
    /// found in, as nearly all are.
    ///
    /// The address is looked up each time: memory may have changed since the chain was taken, and
    /// a location that was kept would lead to what is not there any more (VQ-065).
    #[inline]
    pub(super) fn near(&self, len: usize) -> Option<(&'g B, Location)> {
        let left = self.remaining().min(self.current.len.into());
        let len = u32::try_from(len).ok().filter(|len| u64::from(*len) <= left)?;
        self.hinted(len)
    }

    /// Where the first `len` bytes of the current buffer are, if its slot is still right.
    #[inline]
    fn hinted(&self, len: u32) -> Option<(&'g B, Location)> {
        let Element { address, slot, .. } = self.current;
        if self.kind != AddressKind::Guest {
            return None;
        }
        let slot = slot as usize;
        let offset = self.guest.within(slot, address, len)?;
        Some((self.guest.backing(slot)?, Location { slot, offset, len: len.into() }))
    }

    /// Where the next bytes are, at most `len` of them, next to each other. `len` is not 0, and
    /// not above [`remaining`](Self::remaining).
    #[inline]
    pub(super) fn piece(
        &self,
        len: usize,
        access: Access,
    ) -> Result<(&'g B, Location), AccessError> {
        let Element { address, len: left, .. } = self.current;
        let len = u32::try_from(len).map_or(left, |len| len.min(left));
        match self.hinted(len) {
            Some(piece) => Ok(piece),
            None => self.guest.reach(self.kind, address, len.into(), access),
        }
    }

    /// The error for a piece that what backs its region does not have.
    pub(super) const fn missing(&self) -> AccessError {
        AccessError::Outside { address: self.current.address }
    }

    /// Goes on by `len` bytes, all of them of the buffer at the place.
    #[inline]
    pub(super) fn advance(&mut self, len: u64) {
        self.at = self.at.wrapping_add(len);
        // A buffer ends below 2^64, and `len` is not above what is left of it.
        self.current.address = self.current.address.wrapping_add(len);
        match u64::from(self.current.len).checked_sub(len).map(u32::try_from) {
            Some(Ok(left)) if left > 0 => self.current.len = left,
            _ => self.current = self.rest.next().copied().unwrap_or_default(),
        }
    }

    /// Goes on by at most `len` bytes, and says how many. No memory is touched.
    pub(super) fn skip(&mut self, len: u64) -> u64 {
        let len = len.min(self.remaining());
        let mut left = len;
        while left > 0 && self.current.len > 0 {
            let step = left.min(self.current.len.into());
            self.advance(step);
            left = left.saturating_sub(step);
        }
        len.saturating_sub(left)
    }

    /// The next `len` bytes, and those after them. `None`: there are not so many.
    pub(super) fn split_at(self, len: u64) -> Option<(Self, Self)> {
        if len > self.remaining() {
            return None;
        }
        let mut back = self.clone();
        back.skip(len);
        Some((Self { end: back.at, ..self }, back))
    }

    /// Undoes [`split_at`](Self::split_at): the place stays where it is and the end becomes that
    /// of `back`, or the place becomes that of `back` when nothing is left in front of it. `begin`
    /// is where the bytes of `back` begin. `None`: they do not follow.
    pub(super) fn join(self, back: Self, begin: u64) -> Option<Self> {
        let ends = |cursor: &Self| cursor.rest.as_slice().as_ptr_range().end;
        if self.end != begin || ends(&self) != ends(&back) {
            return None;
        }
        Some(if self.remaining() == 0 { back } else { Self { end: back.end, ..self } })
    }
}

/// Memory and chains for the tests of readers and writers.
#[cfg(test)]
pub(super) mod fixture {
    use crate::ring::flag;
    use vm_memory::VolatileSlice;

    use super::super::chain::Collector;
    use super::super::guest::Near;
    use super::super::{Chain, Guest, Mapped};
    use crate::memory::{AddressKind, LogMemory, MemoryTable};
    use crate::vhost_user::payload::Region;

    /// A region over a local buffer.
    pub(crate) type Local<'m> = Mapped<VolatileSlice<'m>>;

    /// The region of `size` bytes at a guest address.
    pub(crate) fn region(guest_address: u64, size: u64) -> Region {
        let user_address = 0x7000_0000_0000 + guest_address;
        Region { guest_address, size, user_address, mmap_offset: 0, xen: None }
    }

    /// A table of the buffers, each at its guest address.
    pub(crate) fn table<'m>(
        buffers: impl IntoIterator<Item = (u64, &'m mut [u8])>,
    ) -> MemoryTable<Local<'m>> {
        let mut table = MemoryTable::new(8);
        for (address, bytes) in buffers {
            let size = bytes.len() as u64;
            table.add(region(address, size), Mapped(VolatileSlice::from(bytes))).unwrap();
        }
        table
    }

    /// The chain of these readable and writable buffers, of `(address, len)`.
    pub(crate) fn chain<L: LogMemory + ?Sized>(
        guest: &Guest<'_, Local<'_>, L>,
        readable: &[(u64, u32)],
        writable: &[(u64, u32)],
    ) -> Chain {
        let mut chain = Chain::with_capacity(64);
        let kind = guest.iotlb.map_or(AddressKind::Guest, |_| AddressKind::Iova);
        let mut collector = Collector::new(&mut chain, guest, kind, Near::NONE);
        for (buffers, flags) in [(readable, 0), (writable, flag::WRITE)] {
            for (address, len) in buffers {
                assert!(collector.add(*address, *len, flags).is_ok(), "{address:#x}+{len}");
            }
        }
        assert!(collector.finish().is_ok());
        chain
    }

    /// Bytes that differ from their neighbours: `first`, `first + 1`, ...
    pub(crate) fn counting(first: u8, len: usize) -> Vec<u8> {
        std::iter::successors(Some(first), |byte| Some(byte.wrapping_add(1))).take(len).collect()
    }
}
