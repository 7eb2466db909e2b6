//! What can be wrong with an in-flight area. One variant for each broken rule.

use core::fmt;

use crate::rule::Rule;

/// An area, or a request to record something in it, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AreaError {
    /// An area for no queue.
    NoQueues,
    /// A queue size that the ring cannot have.
    QueueSize {
        /// Descriptors of a queue.
        size: u16,
    },
    /// More queues than the device has.
    TooManyQueues {
        /// Queues of the area.
        queues: u16,
        /// Queues of the device.
        limit: u16,
    },
    /// The end of the area does not fit in 64 bits.
    OffsetWraps {
        /// Where the area starts in its descriptor.
        offset: u64,
        /// Bytes of the area.
        size: u64,
    },
    /// The area is smaller than its queues need.
    TooSmall {
        /// Bytes that the queues need.
        need: u64,
        /// Bytes of the area.
        have: u64,
    },
    /// The memory of a region ends before the region does.
    OutOfRange {
        /// Offset in the region of the field that is not there.
        offset: usize,
    },
    /// The region has a version that is neither 0 nor 1.
    Version {
        /// The version.
        version: u16,
    },
    /// The region was made for another queue size.
    DescNum {
        /// The queue size of the region.
        desc_num: u16,
        /// The queue size of the ring.
        queue_size: u16,
    },
    /// Split: the last batch begins outside the region.
    LastBatchHead {
        /// The entry that the region names.
        entry: u16,
    },
    /// Split: the last batch has more entries than the region, and requests are in flight.
    BatchTooLong {
        /// Requests between the region's used index and the ring's.
        batch: u16,
        /// Entries of the region.
        queue_size: u16,
    },
    /// The link of an entry points outside the region.
    NextEntry {
        /// The entry with the link.
        entry: u16,
        /// Where it points.
        next: u16,
    },
    /// A list comes to an entry that it, or another list, has already.
    EntryTwice {
        /// The entry.
        entry: u16,
    },
    /// Packed: the free list begins outside the region.
    FreeHead {
        /// The entry that the region names.
        entry: u16,
    },
    /// Packed: a used index is outside the ring.
    UsedIndex {
        /// The index.
        index: u16,
    },
    /// Packed: a wrap counter is neither 0 nor 1.
    WrapCounter {
        /// The byte.
        value: u8,
    },
    /// Packed: a request in flight has no descriptors, or more than the region has entries.
    ChainLength {
        /// First entry of the request.
        entry: u16,
        /// Its descriptors.
        num: u16,
    },
    /// Packed: the descriptors of a request end at another entry than the region says.
    ChainEnd {
        /// First entry of the request.
        entry: u16,
        /// The end that the region names.
        last: u16,
    },
    /// The fetch counter has no next value.
    Counter {
        /// The counter.
        counter: u64,
    },
    /// Packed: the descriptor that decides about the last update cannot be read.
    RingUnreadable {
        /// Index of the descriptor in the ring.
        index: u16,
    },
    /// A head, or an entry, that the region does not have.
    Head {
        /// The head.
        head: u16,
        /// Entries of the region.
        queue_size: u16,
    },
    /// A head that was fetched before and not completed since.
    AlreadyInFlight {
        /// The head.
        head: u16,
    },
    /// A head that was not fetched, or is twice in one batch.
    NotInFlight {
        /// The head.
        head: u16,
    },
    /// Packed: a request without descriptors, or with more than there are free entries.
    NoRoom {
        /// Descriptors of the request.
        need: usize,
        /// Free entries.
        free: u16,
    },
    /// Packed: the ring cannot start at another position while requests are in flight.
    Busy {
        /// Requests in flight.
        in_flight: usize,
    },
}

impl AreaError {
    /// The requirement that the area, or its use, breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::NoQueues | Self::QueueSize { .. } => Rule::dc(31),
            Self::TooManyQueues { .. }
            | Self::OffsetWraps { .. }
            | Self::TooSmall { .. }
            | Self::OutOfRange { .. } => Rule::vu(182),
            Self::Version { .. } | Self::DescNum { .. } => Rule::dc(32),
            Self::LastBatchHead { .. }
            | Self::BatchTooLong { .. }
            | Self::NextEntry { .. }
            | Self::EntryTwice { .. }
            | Self::FreeHead { .. }
            | Self::UsedIndex { .. }
            | Self::WrapCounter { .. }
            | Self::ChainLength { .. }
            | Self::ChainEnd { .. }
            | Self::Counter { .. }
            | Self::Head { .. }
            | Self::AlreadyInFlight { .. }
            | Self::NotInFlight { .. }
            | Self::NoRoom { .. } => Rule::dc(33),
            Self::RingUnreadable { .. } => Rule::vu(188),
            Self::Busy { .. } => Rule::dc(34),
        }
    }
}

impl fmt::Display for AreaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQueues => f.write_str("an in-flight area for no queue"),
            Self::QueueSize { size } => write!(f, "a queue cannot have {size} descriptors"),
            Self::TooManyQueues { queues, limit } => {
                write!(f, "an area for {queues} queues, the device has {limit}")
            }
            Self::OffsetWraps { offset, size } => {
                write!(f, "an area of {size} bytes at offset {offset} ends past 64 bits")
            }
            Self::TooSmall { need, have } => {
                write!(f, "an area of {have} bytes, its queues need {need}")
            }
            Self::OutOfRange { offset } => write!(f, "the region ends before offset {offset}"),
            Self::Version { version } => write!(f, "region version {version}, not 0 or 1"),
            Self::DescNum { desc_num, queue_size } => {
                write!(f, "a region for {desc_num} descriptors, the queue has {queue_size}")
            }
            Self::LastBatchHead { entry } => write!(f, "the last batch begins at entry {entry}"),
            Self::BatchTooLong { batch, queue_size } => {
                write!(f, "a last batch of {batch} requests in a queue of {queue_size}")
            }
            Self::NextEntry { entry, next } => write!(f, "entry {entry} links to entry {next}"),
            Self::EntryTwice { entry } => write!(f, "entry {entry} is in the lists twice"),
            Self::FreeHead { entry } => write!(f, "the free list begins at entry {entry}"),
            Self::UsedIndex { index } => write!(f, "used index {index} is outside the ring"),
            Self::WrapCounter { value } => write!(f, "wrap counter {value}, not 0 or 1"),
            Self::ChainLength { entry, num } => {
                write!(f, "the request at entry {entry} has {num} descriptors")
            }
            Self::ChainEnd { entry, last } => {
                write!(f, "the request at entry {entry} does not end at entry {last}")
            }
            Self::Counter { counter } => write!(f, "no counter comes after {counter}"),
            Self::RingUnreadable { index } => write!(f, "descriptor {index} cannot be read"),
            Self::Head { head, queue_size } => {
                write!(f, "head {head} in a queue of {queue_size} descriptors")
            }
            Self::AlreadyInFlight { head } => write!(f, "head {head} is in flight already"),
            Self::NotInFlight { head } => write!(f, "head {head} is not in flight"),
            Self::NoRoom { need, free } => {
                write!(f, "a request of {need} descriptors with {free} free entries")
            }
            Self::Busy { in_flight } => write!(f, "{in_flight} requests are in flight"),
        }
    }
}

impl core::error::Error for AreaError {}
