//! The region of a packed ring (spec §6.11): its fields.

mod area;
mod recover;

use super::region::Region;
use super::{AreaError, AreaMemory};

pub use area::PackedArea;
pub use recover::PackedRegion;

/// Offsets in bytes. The header has 29 bytes of fields, entries of 32 bytes start at 32.
mod field {
    pub(super) const FREE_HEAD: usize = 12;
    pub(super) const OLD_FREE_HEAD: usize = 14;
    /// The used index, the old one, and both wrap counters: eight bytes that are one word.
    pub(super) const POSITIONS: usize = 16;
    pub(super) const ENTRIES: usize = 32;

    /// Offsets in an entry.
    pub(super) mod entry {
        pub(crate) const INFLIGHT: usize = 0;
        pub(crate) const NEXT: usize = 2;
        pub(crate) const LAST: usize = 4;
        pub(crate) const NUM: usize = 6;
        pub(crate) const COUNTER: usize = 8;
        /// The id, the flags and the length of the descriptor: eight bytes that are one word.
        pub(crate) const REST: usize = 16;
        pub(crate) const ADDR: usize = 24;
        pub(crate) const LEN: usize = 32;
    }
}
use field::entry;

/// Bit 7 of the flags of a descriptor in the ring: made available in the round of its value.
const AVAIL: u16 = 1 << 7;
/// Bit 15: returned in the round of its value.
const USED: u16 = 1 << 15;

/// Where a field of an entry is.
const fn at(index: u16, field: usize) -> usize {
    field::ENTRIES + index as usize * entry::LEN + field
}

/// A place in a packed ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Index of a descriptor, below the queue size.
    pub index: u16,
    /// The wrap counter at that index; true in the first round.
    pub wrap: bool,
}

impl Position {
    /// Where a new ring starts.
    pub const START: Self = Self { index: 0, wrap: true };

    /// The place `count` descriptors on; `count` is at most the queue size.
    pub(crate) const fn advance(self, count: u16, queue_size: u16) -> Self {
        // Both are at most 32768 and the index is smaller, so the sum fits.
        let index = self.index.saturating_add(count);
        match index.checked_sub(queue_size) {
            Some(index) => Self { index, wrap: !self.wrap },
            None => Self { index, wrap: self.wrap },
        }
    }

    /// Whether flags are those of a descriptor here that the driver made available and the
    /// device has not returned.
    const fn is_available(self, flags: u16) -> bool {
        (flags & AVAIL != 0) == self.wrap && (flags & USED != 0) != self.wrap
    }
}

/// The working position and the old one, which are stored together (DC-034): the text's single
/// stores would pass through states that look like others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Positions {
    used: Position,
    old: Position,
}

impl Positions {
    fn read<M: AreaMemory>(region: &Region<M>) -> Result<Self, AreaError> {
        let [used0, used1, old0, old1, used_wrap, old_wrap, ..] =
            region.u64(field::POSITIONS)?.to_ne_bytes();
        let position = |index, wrap| {
            if index >= region.queue_size() {
                return Err(AreaError::UsedIndex { index });
            }
            match wrap {
                0 => Ok(Position { index, wrap: false }),
                1 => Ok(Position { index, wrap: true }),
                value => Err(AreaError::WrapCounter { value }),
            }
        };
        Ok(Self {
            used: position(u16::from_ne_bytes([used0, used1]), used_wrap)?,
            old: position(u16::from_ne_bytes([old0, old1]), old_wrap)?,
        })
    }

    fn write<M: AreaMemory>(self, region: &Region<M>) -> Result<(), AreaError> {
        let [used0, used1] = self.used.index.to_ne_bytes();
        let [old0, old1] = self.old.index.to_ne_bytes();
        let (used_wrap, old_wrap) = (self.used.wrap.into(), self.old.wrap.into());
        let bytes = [used0, used1, old0, old1, used_wrap, old_wrap, 0, 0];
        region.set_u64(field::POSITIONS, u64::from_ne_bytes(bytes))
    }
}

/// A descriptor of the ring, as the region keeps it: the back-end may have overwritten the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// Where the buffer is in guest memory.
    pub addr: u64,
    /// Bytes of the buffer.
    pub len: u32,
    /// Buffer id.
    pub id: u16,
    /// Flags.
    pub flags: u16,
}

impl Descriptor {
    fn read<M: AreaMemory>(region: &Region<M>, index: u16) -> Result<Self, AreaError> {
        let [id0, id1, flags0, flags1, len @ ..] =
            region.u64(at(index, entry::REST))?.to_ne_bytes();
        Ok(Self {
            addr: region.u64(at(index, entry::ADDR))?,
            len: u32::from_ne_bytes(len),
            id: u16::from_ne_bytes([id0, id1]),
            flags: u16::from_ne_bytes([flags0, flags1]),
        })
    }

    fn write<M: AreaMemory>(&self, region: &Region<M>, index: u16) -> Result<(), AreaError> {
        let [id0, id1] = self.id.to_ne_bytes();
        let [flags0, flags1] = self.flags.to_ne_bytes();
        let [len0, len1, len2, len3] = self.len.to_ne_bytes();
        let rest = u64::from_ne_bytes([id0, id1, flags0, flags1, len0, len1, len2, len3]);
        region.set_u64(at(index, entry::ADDR), self.addr)?;
        region.set_u64(at(index, entry::REST), rest)
    }
}

/// What is known about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the free list, or a later descriptor of a request.
    Other,
    /// The first descriptor of a request, with its counter.
    InFlight(u64),
    /// The same, in the batch that is being completed.
    Leaving(u64),
}

/// The private copy of an entry.
#[derive(Clone, Copy, Debug)]
struct Slot {
    state: State,
    /// Next entry of the free list or of the request; the queue size ends the free list.
    next: u16,
    /// Last entry of the request that begins here.
    last: u16,
    /// Descriptors of the request that begins here.
    num: u16,
}
