//! What a strict driver does not accept from a device.

use std::fmt;

use vhost_fuzz_core::rule::Rule;

/// What a device did that a driver does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// Split: the used index says that more buffers were used than the device has.
    TooManyUsed {
        /// Used index.
        index: u16,
        /// The next one that the driver takes back.
        next: u16,
        /// Buffers that the device has.
        exposed: usize,
    },
    /// Split: no buffer that the device has begins with this descriptor.
    UnknownHead {
        /// The id of the used element.
        id: u32,
    },
    /// Packed: no buffer that the device has is called so.
    UnknownId {
        /// The id of the used descriptor.
        id: u16,
    },
    /// More was written than there is room for.
    TooLong {
        /// Head or id.
        id: u16,
        /// Bytes said to be written.
        len: u32,
        /// Bytes that can be.
        writable: u64,
    },
    /// Split, `IN_ORDER`: a batch that the used index does not cover.
    BatchBeyondIndex {
        /// The head of its last buffer.
        id: u16,
        /// Its buffers.
        count: usize,
        /// Buffers that the used index covers.
        covered: u16,
    },
    /// `IN_ORDER`: nobody knows what was written to a buffer in a batch.
    BatchSkipsWritable {
        /// Head or id of that buffer.
        id: u16,
    },
    /// Packed: the `WRITE` flag of a used descriptor does not go with its length.
    WriteFlag {
        /// Id of the buffer.
        id: u16,
        /// Bytes said to be written.
        len: u32,
    },
    /// Packed: a used descriptor with `NEXT` or `INDIRECT`.
    UsedFlags {
        /// Flags of the descriptor.
        flags: u16,
    },
    /// Split: the flags of the used ring are neither 0 nor 1.
    RingFlags {
        /// The flags.
        flags: u16,
    },
    /// Split, `EVENT_IDX`: the flags of the used ring are not 0.
    RingFlagsWithEventIdx {
        /// The flags.
        flags: u16,
    },
    /// Packed: an event structure with reserved bits, a reserved value, or a slot that is not in
    /// the ring.
    EventStructure {
        /// Its four bytes.
        structure: u32,
    },
}

impl Violation {
    /// The requirement that the device broke.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::TooManyUsed { .. } | Self::UnknownHead { .. } => Rule::vq(40),
            Self::UnknownId { .. } => Rule::pk(22),
            Self::TooLong { .. } => Rule::vq(39),
            Self::BatchBeyondIndex { .. } => Rule::vq(58),
            Self::BatchSkipsWritable { .. } => Rule::vq(59),
            Self::WriteFlag { .. } => Rule::pk(25),
            Self::UsedFlags { .. } => Rule::pk(26),
            Self::RingFlags { .. } => Rule::vq(41),
            Self::RingFlagsWithEventIdx { .. } => Rule::vq(42),
            Self::EventStructure { .. } => Rule::pk(36),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyUsed { index, next, exposed } => {
                write!(f, "used index {index} after {next}, with {exposed} buffers at the device")
            }
            Self::UnknownHead { id } => write!(f, "used head {id}, which is no buffer's"),
            Self::UnknownId { id } => write!(f, "used id {id}, which is no buffer's"),
            Self::TooLong { id, len, writable } => {
                write!(f, "buffer {id}: {len} bytes written of {writable}")
            }
            Self::BatchBeyondIndex { id, count, covered } => {
                write!(f, "a batch of {count} up to buffer {id}, of which {covered} are used")
            }
            Self::BatchSkipsWritable { id } => {
                write!(f, "buffer {id} has writable bytes, and a batch skips it")
            }
            Self::WriteFlag { id, len } => {
                write!(f, "buffer {id}: {len} bytes do not go with the WRITE flag")
            }
            Self::UsedFlags { flags } => write!(f, "used descriptor with flags {flags:#06x}"),
            Self::RingFlags { flags } | Self::RingFlagsWithEventIdx { flags } => {
                write!(f, "used ring with flags {flags:#06x}")
            }
            Self::EventStructure { structure } => {
                write!(f, "device event structure {structure:#010x}")
            }
        }
    }
}

impl std::error::Error for Violation {}
