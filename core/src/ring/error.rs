//! What can be wrong with a ring and with the chains in it. One variant for each broken rule.

use core::fmt;

use super::Layout;
use crate::inflight::AreaError;
use crate::memory::{Miss, Part, PlaceError, RingSizeError};
use crate::rule::Rule;

/// A chain is malformed. Where the ring goes on is known, so its buffer goes back to the driver
/// unused (reaction DROP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Malformed {
    /// The layout of the ring, which tells which list the rule is in.
    pub layout: Layout,
    /// What is wrong.
    pub shape: Shape,
}

/// What is wrong with a chain: the first thing that is, in the order of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `next` leads out of the descriptor table, or of the indirect table.
    NextOutOfRange {
        /// The index.
        next: u16,
        /// Entries of the table.
        limit: u32,
    },
    /// It has more descriptors than its table, so it has a loop.
    TooManyDescriptors {
        /// Entries of the table.
        limit: u32,
    },
    /// It has more buffers than the caller's [`Chain`](super::Chain) has room for.
    TooManyElements {
        /// The room.
        limit: usize,
    },
    /// Its buffers have more than 2^32 bytes together.
    TooManyBytes {
        /// The sum.
        bytes: u64,
    },
    /// A readable buffer follows a writable one.
    ReadableAfterWritable {
        /// Address of the buffer.
        address: u64,
        /// Bytes.
        len: u32,
    },
    /// It has an indirect table, and `INDIRECT_DESC` was not negotiated.
    IndirectNotNegotiated {
        /// Address of the table.
        address: u64,
    },
    /// Split: the descriptor of an indirect table says that the chain goes on.
    IndirectWithNext {
        /// Address of the table.
        address: u64,
    },
    /// Packed: an indirect table is part of a list.
    IndirectInList {
        /// Address of the table.
        address: u64,
    },
    /// An entry of an indirect table refers to another table.
    NestedIndirect {
        /// Index of the entry.
        entry: u16,
    },
    /// The length of an indirect table is 0 or no multiple of 16.
    IndirectLength {
        /// Bytes.
        len: u32,
    },
    /// An indirect table has more entries than the device takes.
    IndirectTooLong {
        /// Entries.
        entries: u32,
        /// Most entries.
        limit: u32,
    },
    /// The end of a buffer or of a table is no address below 2^64.
    AddressOverflow {
        /// Its address.
        address: u64,
        /// Bytes.
        len: u32,
    },
    /// A buffer does not lie completely in memory.
    OutsideMemory {
        /// Its address.
        address: u64,
        /// Bytes.
        len: u32,
    },
    /// An indirect table does not lie completely in memory.
    TableOutsideMemory {
        /// Its address.
        address: u64,
        /// Bytes.
        len: u32,
    },
}

impl Malformed {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match (self.layout, self.shape) {
            (_, Shape::NextOutOfRange { .. }) => Rule::vq(22),
            (_, Shape::TooManyDescriptors { .. }) => Rule::vq(14),
            (Layout::Split, Shape::TooManyElements { .. }) => Rule::vq(11),
            (Layout::Packed, Shape::TooManyElements { .. }) => Rule::pk(11),
            (Layout::Split, Shape::TooManyBytes { .. }) => Rule::vq(13),
            (Layout::Split, Shape::ReadableAfterWritable { .. }) => Rule::vq(12),
            (Layout::Packed, Shape::ReadableAfterWritable { .. }) => Rule::pk(13),
            (Layout::Split, Shape::IndirectNotNegotiated { .. }) => Rule::vq(15),
            (Layout::Packed, Shape::IndirectNotNegotiated { .. }) => Rule::pk(16),
            (_, Shape::IndirectWithNext { .. }) => Rule::vq(17),
            (_, Shape::IndirectInList { .. }) => Rule::pk(17),
            (_, Shape::NestedIndirect { .. }) => Rule::vq(16),
            (Layout::Split, Shape::IndirectLength { .. }) => Rule::vq(20),
            (Layout::Split, Shape::IndirectTooLong { .. }) => Rule::vq(21),
            (Layout::Packed, Shape::IndirectLength { .. } | Shape::IndirectTooLong { .. }) => {
                Rule::pk(21)
            }
            (Layout::Split, Shape::AddressOverflow { .. }) => Rule::vq(25),
            (Layout::Split, Shape::OutsideMemory { .. } | Shape::TableOutsideMemory { .. }) => {
                Rule::vq(26)
            }
            // The rules of split rings "apply unchanged".
            (
                Layout::Packed,
                Shape::TooManyBytes { .. }
                | Shape::AddressOverflow { .. }
                | Shape::OutsideMemory { .. }
                | Shape::TableOutsideMemory { .. },
            ) => Rule::pk(41),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::NextOutOfRange { next, limit } => {
                write!(f, "next descriptor {next} of a table of {limit}")
            }
            Shape::TooManyDescriptors { limit } => {
                write!(f, "a chain of more than the {limit} descriptors of its table")
            }
            Shape::TooManyElements { limit } => write!(f, "a chain of more than {limit} buffers"),
            Shape::TooManyBytes { bytes } => write!(f, "a chain of {bytes} bytes"),
            Shape::ReadableAfterWritable { address, len } => {
                write!(f, "readable buffer {address:#x}+{len} after a writable one")
            }
            Shape::IndirectNotNegotiated { address } => {
                write!(f, "indirect table at {address:#x} without INDIRECT_DESC")
            }
            Shape::IndirectWithNext { address } => {
                write!(f, "indirect table at {address:#x} in a descriptor with NEXT")
            }
            Shape::IndirectInList { address } => {
                write!(f, "indirect table at {address:#x} in a list")
            }
            Shape::NestedIndirect { entry } => {
                write!(f, "entry {entry} of an indirect table refers to another table")
            }
            Shape::IndirectLength { len } => write!(f, "indirect table of {len} bytes"),
            Shape::IndirectTooLong { entries, limit } => {
                write!(f, "indirect table of {entries} entries, of at most {limit}")
            }
            Shape::AddressOverflow { address, len } => {
                write!(f, "buffer {address:#x}+{len} ends beyond the last address")
            }
            Shape::OutsideMemory { address, len } => {
                write!(f, "buffer {address:#x}+{len} is not in memory")
            }
            Shape::TableOutsideMemory { address, len } => {
                write!(f, "indirect table {address:#x}+{len} is not in memory")
            }
        }
    }
}

impl core::error::Error for Malformed {}

/// The ring is broken: where it goes on, or who owns what, is not known any more. It is not
/// touched again until it is stopped and started (reaction STOP, VQ-068).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// Split: the available index is further ahead than the ring is long, or went back.
    AvailIndex {
        /// The index.
        index: u16,
        /// The next one that the device would take.
        next: u16,
        /// Entries of the ring.
        size: u16,
    },
    /// Split: an available head is no descriptor of the ring.
    Head {
        /// The head.
        head: u16,
        /// Entries of the ring.
        size: u16,
    },
    /// Split: an available head was taken before and not used yet.
    HeadInFlight {
        /// The head.
        head: u16,
    },
    /// Split: as many buffers as the ring has entries were taken and not used yet.
    TooManyInFlight {
        /// Entries of the ring.
        size: u16,
    },
    /// Packed: as many slots as the ring has were taken and not used yet.
    TooManySlotsInFlight {
        /// Entries of the ring.
        size: u16,
    },
    /// Packed: a list is longer than the ring.
    ListTooLong {
        /// Entries of the ring.
        size: u16,
    },
    /// Packed: a later slot of a list is not available.
    SlotUnavailable {
        /// The slot.
        slot: u16,
        /// Its flags.
        flags: u16,
    },
    /// A part of the ring that was there when the ring was bound cannot be accessed: what backs
    /// its region is shorter than the region.
    Access {
        /// The part.
        part: Part,
    },
    /// What was taken or given back cannot be recorded in the in-flight region:
    /// [`Tracker::error`](super::Tracker::error) tells why.
    Unrecorded,
}

impl Broken {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::AvailIndex { .. } => Rule::vq(32),
            Self::Head { .. } => Rule::vq(23),
            Self::HeadInFlight { .. } => Rule::vq(34),
            Self::TooManyInFlight { .. } => Rule::vq(33),
            Self::TooManySlotsInFlight { .. } => Rule::pk(29),
            Self::ListTooLong { .. } => Rule::pk(12),
            Self::SlotUnavailable { .. } => Rule::pk(15),
            Self::Access { .. } => Rule::vq(5),
            Self::Unrecorded => Rule::dc(33),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AvailIndex { index, next, size } => {
                write!(f, "available index {index} where {next} is next, in a ring of {size}")
            }
            Self::Head { head, size } => write!(f, "head {head} in a ring of {size}"),
            Self::HeadInFlight { head } => write!(f, "head {head} is in flight"),
            Self::TooManyInFlight { size } => write!(f, "more than {size} buffers in flight"),
            Self::TooManySlotsInFlight { size } => write!(f, "more than {size} slots in flight"),
            Self::ListTooLong { size } => write!(f, "a list of more than {size} slots"),
            Self::SlotUnavailable { slot, flags } => {
                write!(f, "slot {slot} of a list is not available: flags {flags:#06x}")
            }
            Self::Access { part } => write!(f, "the {part} is not where it was"),
            Self::Unrecorded => f.write_str("a request that cannot be recorded"),
        }
    }
}

impl core::error::Error for Broken {}

/// A ring cannot be started (reaction REFUSE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivateError {
    /// `VERSION_1` was not negotiated: the ring would have the byte order of the guest.
    Legacy,
    /// Its size does not fit its layout or the queue.
    Size(RingSizeError),
    /// A part of it is misaligned or not in memory.
    Place(PlaceError),
    /// A part of it is mapped so that its fields cannot be accessed at once.
    HostAlignment {
        /// The part.
        part: Part,
        /// What the address of the mapping has to be a multiple of.
        align: u64,
    },
    /// The position is that of the other layout.
    Layout,
    /// Packed: the position is not in the ring.
    Slot {
        /// The slot.
        slot: u16,
        /// Entries of the ring.
        size: u16,
    },
    /// Split: the used index in memory is not behind the available index, or further than the ring
    /// is long.
    UsedIndex {
        /// Next available index.
        available: u16,
        /// Next used index.
        used: u16,
        /// Entries of the ring.
        size: u16,
    },
    /// Packed: the available position is further ahead of the used one than the ring is long.
    Distance {
        /// Slots from the used position to the available one.
        slots: u16,
        /// Entries of the ring.
        size: u16,
    },
    /// What backs a part of it is shorter than its region.
    Access {
        /// The part.
        part: Part,
    },
    /// Its in-flight region is refused.
    Region(AreaError),
}

impl ActivateError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Legacy => Rule::vq(67),
            Self::Size(error) => error.rule(),
            Self::Place(error) => error.rule(),
            Self::HostAlignment { .. } => Rule::vq(49),
            Self::Layout | Self::Slot { .. } | Self::Distance { .. } => Rule::pk(39),
            Self::UsedIndex { .. } => Rule::vq(32),
            Self::Access { .. } => Rule::vq(5),
            Self::Region(error) => error.rule(),
        }
    }
}

impl From<AreaError> for ActivateError {
    fn from(error: AreaError) -> Self {
        Self::Region(error)
    }
}

impl From<PlaceError> for ActivateError {
    fn from(error: PlaceError) -> Self {
        Self::Place(error)
    }
}

impl fmt::Display for ActivateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legacy => f.write_str("a ring without VERSION_1"),
            Self::Size(error) => error.fmt(f),
            Self::Place(error) => error.fmt(f),
            Self::HostAlignment { part, align } => {
                write!(f, "the {part} is not mapped at a multiple of {align}")
            }
            Self::Layout => f.write_str("a position of the other layout"),
            Self::Slot { slot, size } => write!(f, "position {slot} in a ring of {size}"),
            Self::UsedIndex { available, used, size } => {
                write!(f, "available index {available}, used index {used} in a ring of {size}")
            }
            Self::Distance { slots, size } => {
                write!(f, "{slots} slots in flight in a ring of {size}")
            }
            Self::Access { part } => write!(f, "the {part} cannot be accessed"),
            Self::Region(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ActivateError {}

/// A ring cannot be worked on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BindError {
    /// It is stopped.
    Stopped,
    /// It is broken.
    Broken(Broken),
    /// Memory has changed, and a part of the ring is not there any more. It may come back: the
    /// ring keeps its position.
    Place(ActivateError),
}

impl BindError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Stopped => Rule::vq(53),
            Self::Broken(broken) => broken.rule(),
            Self::Place(error) => error.rule(),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the ring is stopped"),
            Self::Broken(broken) => broken.fmt(f),
            Self::Place(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BindError {}

/// Bytes of a chain cannot be accessed: memory has changed since it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessError {
    /// They are not in memory.
    Outside {
        /// The first address.
        address: u64,
    },
    /// Their translation is not known yet.
    Miss(Miss),
}

impl AccessError {
    /// The requirement that forbids the access.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Outside { .. } => Rule::vq(65),
            Self::Miss(miss) => miss.rule(),
        }
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside { address } => write!(f, "address {address:#x} is not in memory"),
            Self::Miss(miss) => miss.fmt(f),
        }
    }
}

impl core::error::Error for AccessError {}
