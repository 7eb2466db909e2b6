//! A chain that was taken from a ring and checked as a whole.

use core::{fmt, slice};

use super::RingMemory;
use super::error::Shape;
use super::guest::{Fault, Guest, Near, Nowhere};
use super::layout::flag;
use crate::memory::{Access, AddressKind, LogMemory};

/// Most bytes of a chain (VQ-013).
const MAX_BYTES: u64 = 1 << 32;

/// One buffer of a chain; it is not empty, and ends below 2^64.
///
/// It says where the buffer is, and is no permission: memory may have changed since. A
/// [`Reader`](super::Reader) or [`Writer`](super::Writer) looks its address up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Element {
    /// Guest physical or I/O virtual address.
    pub address: u64,
    /// Bytes.
    pub len: u32,
    /// The slot of the memory table that it was found in, to look there first.
    pub(super) slot: u32,
}

/// A chain: what it is made of, in private memory (VQ-024).
///
/// It is a buffer of the caller, filled by [`Ring::pop`](super::Ring::pop), allocated once and
/// used again and again; a device that works on several requests at a time has several. It has
/// the whole chain or nothing: no prefix of a malformed one can be seen.
#[derive(Clone)]
pub struct Chain {
    elements: Box<[Element]>,
    totals: Totals,
}

/// What a chain has together.
#[derive(Clone, Copy, Debug)]
struct Totals {
    /// Buffers that are readable; they come first.
    readable: usize,
    /// Buffers.
    len: usize,
    readable_bytes: u64,
    writable_bytes: u64,
    kind: AddressKind,
}

impl Totals {
    const EMPTY: Self = Self {
        readable: 0,
        len: 0,
        readable_bytes: 0,
        writable_bytes: 0,
        kind: AddressKind::Guest,
    };
}

impl Chain {
    /// Room for chains of so many buffers. A chain with more is malformed for this device
    /// (VQ-011); [`Limits::elements`](super::Limits::elements) says how many a ring can have.
    #[must_use]
    pub fn with_capacity(elements: usize) -> Self {
        Self { elements: vec![Element::default(); elements].into(), totals: Totals::EMPTY }
    }

    /// The buffers that the device may read, in order. Empty ones are left out (VQ-029).
    #[must_use]
    #[inline]
    pub fn readable(&self) -> &[Element] {
        self.elements.get(..self.totals.readable).unwrap_or_default()
    }

    /// The buffers that the device may write to, in order. They come after all readable ones.
    #[must_use]
    #[inline]
    pub fn writable(&self) -> &[Element] {
        self.elements.get(self.totals.readable..self.totals.len).unwrap_or_default()
    }

    /// Bytes of the readable buffers, at most 2^32.
    #[must_use]
    #[inline]
    pub const fn readable_bytes(&self) -> u64 {
        self.totals.readable_bytes
    }

    /// Bytes of the writable buffers, at most 2^32.
    #[must_use]
    #[inline]
    pub const fn writable_bytes(&self) -> u64 {
        self.totals.writable_bytes
    }

    /// What the addresses of its buffers are.
    #[must_use]
    #[inline]
    pub const fn kind(&self) -> AddressKind {
        self.totals.kind
    }

    /// Makes it empty.
    #[inline]
    pub const fn clear(&mut self) {
        self.totals = Totals::EMPTY;
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("readable", &self.readable())
            .field("writable", &self.writable())
            .finish_non_exhaustive()
    }
}

/// Fills a chain, buffer by buffer.
pub(super) struct Collector<'c, 'g, B, L: ?Sized> {
    /// Where the next buffers go.
    room: slice::IterMut<'c, Element>,
    /// The region of the buffer before, where the next one is looked for first.
    near: Near,
    bytes: u64,
    /// The flags of a buffer like the one before: [`flag::WRITE`] after the first writable one.
    alike: u16,
    totals: &'c mut Totals,
    guest: &'c Guest<'g, B, L>,
    kind: AddressKind,
    limit: usize,
}

impl<'c, 'g, B: RingMemory, L: LogMemory + ?Sized> Collector<'c, 'g, B, L> {
    /// Collects into a chain that is empty.
    #[inline]
    pub(super) fn new(
        chain: &'c mut Chain,
        guest: &'c Guest<'g, B, L>,
        kind: AddressKind,
        near: Near,
    ) -> Self {
        let Chain { elements, totals } = chain;
        let limit = elements.len();
        let room = elements.iter_mut();
        Self { room, near, bytes: 0, alike: 0, totals, guest, kind, limit }
    }

    /// Takes one more buffer in, if it is in the region of the one before and no readable one
    /// after a writable one. Nearly all are so. It is no table.
    #[inline(always)]
    pub(super) fn add_alike(&mut self, address: u64, len: u32, flags: u16) -> bool {
        let kind = flags & (flag::WRITE | flag::INDIRECT);
        if kind != self.alike {
            if kind != flag::WRITE {
                return false;
            }
            self.turn();
        }
        if self.near.holds(address, len)
            && let Some(element) = self.room.next()
        {
            *element = Element { address, len, slot: self.near.slot };
            // At most 2^16 buffers of less than 2^32 bytes, so nothing wraps.
            self.bytes = self.bytes.wrapping_add(len.into());
            return true;
        }
        false
    }

    /// From now on, all buffers are writable.
    #[inline]
    fn turn(&mut self) {
        self.alike = flag::WRITE;
        // The chain still looks empty: its number of buffers is set when it is complete.
        self.totals.readable = self.len();
        self.totals.readable_bytes = self.bytes;
    }

    /// Takes one more buffer in; [`flag::WRITE`] is all that counts of its flags.
    #[inline(never)]
    pub(super) fn add(&mut self, address: u64, len: u32, flags: u16) -> Result<(), Fault> {
        let write = flags & flag::WRITE;
        if write != self.alike {
            if write == 0 {
                return Err(Shape::ReadableAfterWritable { address, len }.into()); // VQ-012, PK-013
            }
            self.turn();
        }
        if len == 0 {
            return Ok(()); // VQ-029
        }
        if !self.near.holds(address, len) {
            self.near = match self.guest.find(self.kind, address, len, self.near) {
                Some(near) => near,
                None => self.admit(address, len, write)?,
            };
        }
        let element = self.room.next().ok_or(Shape::TooManyElements { limit: self.limit })?;
        *element = Element { address, len, slot: self.near.slot };
        self.bytes = self.bytes.wrapping_add(len.into());
        Ok(())
    }

    /// Judges a buffer that is in no region as a whole.
    #[cold]
    fn admit(&self, address: u64, len: u32, write: u16) -> Result<Near, Fault> {
        let access = if write == 0 { Access::Read } else { Access::Write };
        self.guest.admit(self.kind, address, len, access).map_err(|nowhere| match nowhere {
            Nowhere::Overflow => Shape::AddressOverflow { address, len }.into(), // VQ-025
            Nowhere::Outside => Shape::OutsideMemory { address, len }.into(),    // VQ-026
            Nowhere::Miss(miss) => Fault::Miss(miss),
        })
    }

    /// Buffers so far.
    #[inline]
    fn len(&self) -> usize {
        self.limit.wrapping_sub(self.room.len())
    }

    /// Takes no more buffers in: the chain is malformed.
    pub(super) const fn close(&mut self) {
        self.near = Near::NONE;
    }

    /// Guest memory.
    #[inline]
    pub(super) const fn guest(&self) -> &'c Guest<'g, B, L> {
        self.guest
    }

    /// Where to look first for the next buffer.
    #[inline]
    pub(super) const fn near(&self) -> Near {
        self.near
    }

    /// The chain is complete.
    #[inline]
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        let len = self.len();
        let Self { kind, bytes, alike, .. } = *self;
        if bytes > MAX_BYTES {
            return Err(Shape::TooManyBytes { bytes }.into()); // VQ-013
        }
        let totals = &mut *self.totals;
        if alike == 0 {
            totals.readable = len;
            totals.readable_bytes = bytes;
        }
        totals.writable_bytes = bytes.wrapping_sub(totals.readable_bytes);
        totals.len = len;
        totals.kind = kind;
        Ok(())
    }
}
