//! What can be wrong with a ring, each with the row of spec/virtio.md §7 that it breaks.

use crate::Id;

/// Which kind of ring. The same mistake has a row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Split.
    Split,
    /// Packed.
    Packed,
}

/// A part of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Descriptor table or ring.
    Descriptor,
    /// Used ring; the event structure of the device.
    Used,
    /// Available ring; the event structure of the driver.
    Available,
}

/// The queue is broken until it is started again (reaction STOP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The available index is more than the size ahead of the next one.
    AvailIndex {
        /// What the driver stored.
        index: u16,
        /// The next one.
        next: u16,
        /// Entries of the ring.
        size: u16,
    },
    /// A head that is no descriptor.
    Head {
        /// What the driver stored.
        head: u16,
        /// Descriptors of the table.
        size: u16,
    },
    /// A head that was not given back yet.
    HeadInFlight {
        /// The head.
        head: u16,
    },
    /// More was made available than the ring has room for.
    TooManyInFlight,
    /// A list of a packed ring that does not end within its size.
    ListTooLong,
    /// A further slot of a list is not available (strict mode).
    Unavailable {
        /// The slot.
        slot: u16,
    },
}

impl Stop {
    /// The requirement that it breaks.
    #[must_use]
    pub fn rule(self, form: Form) -> Id {
        match (self, form) {
            (Self::AvailIndex { .. }, _) => Id::Vq(32),
            (Self::Head { .. }, _) => Id::Vq(23),
            (Self::HeadInFlight { .. }, _) => Id::Vq(34),
            (Self::TooManyInFlight, Form::Split) => Id::Vq(33),
            (Self::TooManyInFlight, Form::Packed) => Id::Pk(29),
            (Self::ListTooLong, _) => Id::Pk(12),
            (Self::Unavailable { .. }, _) => Id::Pk(15),
        }
    }
}

/// A chain is malformed as a whole and goes back with length 0 (reaction DROP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drop {
    /// It does not end within the entries of its table.
    TooManyDescriptors {
        /// Entries of the table.
        limit: u32,
    },
    /// It has more than 2^32 bytes.
    TooManyBytes {
        /// Its bytes.
        bytes: u64,
    },
    /// A readable element comes after a writable one.
    ReadableAfterWritable,
    /// INDIRECT, which was not negotiated.
    IndirectNotNegotiated,
    /// INDIRECT and NEXT in one descriptor of a split ring.
    IndirectWithNext,
    /// INDIRECT in a table.
    NestedIndirect,
    /// INDIRECT in a list of a packed ring.
    IndirectInList,
    /// A table without entries, or with a part of one.
    IndirectLength {
        /// Its bytes.
        len: u32,
    },
    /// A table with more entries than are read.
    IndirectTooLong {
        /// Its entries.
        entries: u32,
        /// Most entries.
        cap: u32,
    },
    /// The next descriptor is not in the table.
    NextOutOfRange {
        /// What the driver stored.
        next: u16,
        /// Entries of the table.
        limit: u32,
    },
    /// An element or a table ends at or above 2^64.
    AddressOverflow {
        /// Its guest address.
        address: u64,
        /// Its bytes.
        len: u32,
    },
    /// A byte of an element is not memory.
    OutsideMemory {
        /// Guest address of the element.
        address: u64,
        /// Its bytes.
        len: u32,
    },
    /// A byte of a table is not memory.
    TableOutsideMemory {
        /// Guest address of the table.
        address: u64,
        /// Its bytes.
        len: u32,
    },
}

impl Drop {
    /// The requirement that it breaks.
    #[must_use]
    pub fn rule(self, form: Form) -> Id {
        // A packed ring has no `next`, and a table of it no flags, so it cannot break the rules of
        // both; these go to the row that hands the rules of the split ring on.
        let (split, packed) = match self {
            Self::TooManyDescriptors { .. } => (14, 41),
            Self::TooManyBytes { .. } => (13, 41),
            Self::ReadableAfterWritable => (12, 13),
            Self::IndirectNotNegotiated => (15, 16),
            Self::IndirectWithNext => (17, 41),
            Self::NestedIndirect => (16, 41),
            // Only a packed ring has it.
            Self::IndirectInList => return Id::Pk(17),
            Self::IndirectLength { .. } => (20, 21),
            Self::IndirectTooLong { .. } => (21, 21),
            Self::NextOutOfRange { .. } => (22, 41),
            Self::AddressOverflow { .. } => (25, 41),
            Self::OutsideMemory { .. } | Self::TableOutsideMemory { .. } => (26, 41),
        };
        match form {
            Form::Split => Id::Vq(split),
            Form::Packed => Id::Pk(packed),
        }
    }
}

/// A ring that cannot run (reaction REFUSE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No size of such a ring.
    Size {
        /// The size.
        size: u16,
    },
    /// A part has the wrong alignment.
    Misaligned {
        /// The part.
        part: Part,
        /// Its guest address.
        address: u64,
    },
    /// A byte of a part is not memory.
    Outside {
        /// The part.
        part: Part,
        /// Its guest address.
        address: u64,
    },
    /// `VERSION_1` was not negotiated.
    Legacy,
    /// More than the size lies between used and available index of a split ring.
    UsedIndex {
        /// The available index to start from.
        available: u16,
        /// The used index in memory.
        used: u16,
    },
    /// An offset of a packed ring is not below the size.
    Offset {
        /// The offset.
        offset: u16,
    },
    /// More than the size lies between used and available position of a packed ring.
    Distance {
        /// Slots between them.
        distance: u32,
    },
}

impl Refusal {
    /// The requirement that it breaks.
    #[must_use]
    pub fn rule(self, form: Form) -> Id {
        match (self, form) {
            (Self::Size { .. }, Form::Split) => Id::Vq(4),
            (Self::Size { .. }, Form::Packed) => Id::Pk(2),
            (Self::Misaligned { .. }, Form::Packed) => Id::Pk(1),
            (Self::Misaligned { part, .. }, Form::Split) => Id::Vq(match part {
                Part::Descriptor => 1,
                Part::Available => 2,
                Part::Used => 3,
            }),
            (Self::Outside { .. }, _) => Id::Vq(5),
            (Self::Legacy, _) => Id::Vq(67),
            (Self::UsedIndex { .. }, _) => Id::Vq(32),
            (Self::Offset { .. } | Self::Distance { .. }, _) => Id::Pk(39),
        }
    }
}

/// A completion that the device may not make. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PutRefusal {
    /// The queue is broken.
    Stopped(Stop),
    /// The token is of another life of the queue, or was given back already.
    Stale,
    /// More bytes than the chain has writable ones.
    TooLong {
        /// Bytes of the completion.
        len: u32,
        /// Writable bytes of the chain.
        writable: u32,
    },
    /// `IN_ORDER` was negotiated, and an older chain is not given back yet.
    OutOfOrder,
    /// A batch without `IN_ORDER`.
    NoBatch,
    /// Taken back as if it had not been taken, though it was not taken last, or was taken by an
    /// earlier life.
    NotNewest,
    /// A chain of a batch, other than the last, that has writable bytes.
    LengthNotImplied {
        /// Its place in the batch.
        index: usize,
    },
}

impl PutRefusal {
    /// The requirement that it breaks.
    #[must_use]
    pub fn rule(self, form: Form) -> Id {
        match self {
            Self::Stopped(_) => Id::Vq(68),
            Self::Stale => Id::Vq(40),
            Self::TooLong { .. } => Id::Vq(39),
            Self::OutOfOrder => Id::Vq(56),
            Self::NotNewest => Id::Dc(89),
            Self::NoBatch if form == Form::Packed => Id::Pk(31),
            Self::NoBatch => Id::Vq(58),
            Self::LengthNotImplied { .. } => Id::Vq(59),
        }
    }
}
