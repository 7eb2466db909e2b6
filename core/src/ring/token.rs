//! What a device owes the driver.

use core::fmt;

use super::{Broken, Malformed};
use crate::memory::Miss;
use crate::rule::Rule;

/// A buffer that was taken and is not given back: its right to one element in the used ring
/// (VQ-040). It cannot be copied; who drops it leaks a slot of the ring. It goes back to the queue
/// that it came from: queues do not know each other's tokens.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "the buffer has to be given back"]
pub struct Token {
    /// Split: the head. Packed: the buffer id.
    pub(super) id: u16,
    /// Slots that the buffer takes in a packed ring.
    pub(super) slots: u16,
    /// How many were taken before it, modulo 2^16.
    pub(super) sequence: u16,
    /// Where it comes from.
    pub(super) origin: Origin,
    /// Which life of the queue it is of.
    pub(super) epoch: u32,
    /// Writable bytes, at most `u32::MAX`: the used length has 32 bits.
    pub(super) writable: u32,
}

/// Where a buffer was taken from. With two bits of its own each, a token would be larger than the
/// 16 bytes that are moved at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin(
    /// Packed, in an in-flight region: the first entry that it has there, which is below 2^15.
    /// And [`RETAKEN`].
    u16,
);

/// It was taken again: the ring does not have it at its front.
const RETAKEN: u16 = 1 << 15;

impl Origin {
    /// The front of the ring.
    pub(super) const RING: Self = Self(0);

    /// What an earlier process owes.
    pub(super) const AGAIN: Self = Self(RETAKEN);

    /// The same, recorded at an entry of an in-flight region.
    pub(super) const fn at(self, entry: u16) -> Self {
        Self(self.0 & RETAKEN | entry & !RETAKEN)
    }

    /// The entry that it has in an in-flight region.
    pub(super) const fn entry(self) -> u16 {
        self.0 & !RETAKEN
    }

    const fn is_ring(self) -> bool {
        self.0 & RETAKEN == 0
    }
}

impl Token {
    /// Whether it can be taken back while the next token gets the number `taken`.
    #[inline]
    pub(super) const fn is_newest(&self, taken: u16) -> bool {
        self.origin.is_ring() && self.sequence == taken.wrapping_sub(1)
    }

    /// What the driver knows the buffer by: the head of a split ring, the id of a packed one.
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// Descriptor slots that the buffer takes in a packed ring; 1 in a split ring.
    #[must_use]
    pub const fn slots(&self) -> u16 {
        self.slots
    }

    /// Most that can be reported as written. A chain of 2^32 writable bytes has one less here:
    /// the used length has 32 bits.
    #[must_use]
    pub const fn writable(&self) -> u32 {
        self.writable
    }
}

/// Why no chain was taken.
#[derive(Debug, PartialEq, Eq)]
pub enum PopError {
    /// A chain is malformed. It was taken; nothing of it can be used, and the token goes back
    /// with length 0, in its turn.
    Malformed {
        /// The token.
        token: Token,
        /// What is wrong.
        error: Malformed,
    },
    /// A translation is missing. Nothing was taken: try again after the front-end's update.
    Miss(Miss),
    /// As many chains as the ring has entries were taken in this wake-up. Others are to have
    /// their turn before the next (VQ-035).
    Yield,
    /// The ring is broken.
    Broken(Broken),
}

impl PopError {
    /// The requirement that was broken; for [`Yield`](Self::Yield) the one that asks for it.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        match self {
            Self::Malformed { error, .. } => error.rule(),
            Self::Miss(miss) => miss.rule(),
            Self::Yield => Rule::vq(35),
            Self::Broken(broken) => broken.rule(),
        }
    }
}

impl From<Broken> for PopError {
    #[inline]
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl fmt::Display for PopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { error, .. } => error.fmt(f),
            Self::Miss(miss) => miss.fmt(f),
            Self::Yield => f.write_str("enough chains for one wake-up"),
            Self::Broken(broken) => broken.fmt(f),
        }
    }
}

impl core::error::Error for PopError {}

/// A buffer was not given back.
#[derive(Debug, PartialEq, Eq)]
pub struct PutError {
    /// The buffer, which is still owed unless the ring is broken or was restarted.
    pub token: Token,
    /// Why.
    pub reason: PutReason,
}

/// Why a buffer was not given back. All but the last are mistakes of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PutReason {
    /// The queue was stopped or reset after the buffer was taken.
    Stale,
    /// More bytes than the buffer has.
    TooLong {
        /// Bytes said to be written.
        len: u32,
        /// Bytes that can be.
        writable: u32,
    },
    /// With `IN_ORDER`: an older buffer is still to be given back.
    OutOfOrder,
    /// A batch without `IN_ORDER`.
    NotInOrder,
    /// A buffer with writable bytes in a batch.
    NotReadOnly {
        /// Writable bytes.
        writable: u32,
    },
    /// Taken back as if it had not been taken, though a newer one was taken and is not, or though
    /// it was taken again after a restart.
    NotNewest,
    /// The ring is broken.
    Broken(Broken),
}

impl PutReason {
    /// The requirement that forbids it.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Stale => Rule::vq(53),
            Self::TooLong { .. } => Rule::vq(39),
            Self::OutOfOrder => Rule::vq(56),
            Self::NotInOrder => Rule::vq(58),
            Self::NotReadOnly { .. } => Rule::vq(59),
            Self::NotNewest => Rule::dc(89),
            Self::Broken(broken) => broken.rule(),
        }
    }
}

impl PutError {
    /// The requirement that forbids it.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        self.reason.rule()
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.token.id;
        match self.reason {
            PutReason::Stale => write!(f, "buffer {id} was taken before the queue was stopped"),
            PutReason::TooLong { len, writable } => {
                write!(f, "buffer {id}: {len} bytes written of {writable}")
            }
            PutReason::OutOfOrder => write!(f, "buffer {id} before an older one"),
            PutReason::NotInOrder => write!(f, "buffer {id}: a batch without IN_ORDER"),
            PutReason::NotReadOnly { writable } => {
                write!(f, "buffer {id} of a batch has {writable} writable bytes")
            }
            PutReason::NotNewest => write!(f, "buffer {id} is not the one that was taken last"),
            PutReason::Broken(broken) => broken.fmt(f),
        }
    }
}

impl core::error::Error for PutError {}
