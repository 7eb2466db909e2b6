//! What is wrong with a reply on the main channel.

use core::fmt;

use super::shmem::SizesError;
use crate::channel::OrderError;
use crate::rule::Rule;
use crate::vhost_user::DecodeError;

/// A wrong reply. The front-end closes the connection after any of them (VU-022).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyError {
    /// The connection is to be closed already.
    Closed,
    /// It is no legal message of its id.
    Decode(DecodeError),
    /// It does not answer the oldest request.
    Order(OrderError),
    /// An acknowledgement that is no u64.
    NotU64 {
        /// Message id.
        code: u32,
    },
    /// A memory table after `POSTCOPY_LISTEN` was not answered with a table.
    NotATable,
    /// The answer to a memory table has another number of regions.
    RegionCount {
        /// Regions that were sent.
        sent: u32,
        /// Regions that came.
        came: u32,
    },
    /// The answer to a memory table changes more of a region than its user address.
    RegionChanged {
        /// Which region, from 0.
        at: u32,
    },
    /// `GET_VRING_BASE` for one ring was answered for another.
    BaseIndex {
        /// The ring that was asked for.
        asked: u32,
        /// The ring of the reply.
        index: u32,
    },
    /// The base of a split ring has more than 16 bits.
    SplitBase {
        /// The base.
        base: u32,
    },
    /// A window of the configuration space of another size than was asked for.
    ConfigSize {
        /// Bytes that were asked for.
        asked: u32,
        /// Bytes that came.
        size: u32,
    },
    /// The features are not those that were offered before.
    FeaturesChanged {
        /// Bits that are different.
        bits: u64,
    },
    /// The sizes of the shared memory regions cannot be right.
    Shmem(SizesError),
}

impl ReplyError {
    /// The requirement that the reply breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Closed => Rule::vu(22),
            Self::Decode(error) => error.rule(),
            Self::Order(error) => error.rule(),
            Self::NotU64 { .. } => Rule::vu(32),
            Self::NotATable | Self::RegionCount { .. } | Self::RegionChanged { .. } => {
                Rule::vu(130)
            }
            Self::BaseIndex { .. } => Rule::vu(91),
            Self::SplitBase { .. } => Rule::vu(89),
            Self::ConfigSize { .. } => Rule::vu(190),
            Self::FeaturesChanged { .. } => Rule::vu(39),
            Self::Shmem(error) => error.rule(),
        }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("a reply on a connection that is to be closed"),
            Self::Decode(error) => error.fmt(f),
            Self::Order(error) => error.fmt(f),
            Self::NotU64 { code } => write!(f, "request {code} is acknowledged without a u64"),
            Self::NotATable => f.write_str("a postcopy memory table is not answered with a table"),
            Self::RegionCount { sent, came } => {
                write!(f, "a memory table of {sent} regions is answered with {came}")
            }
            Self::RegionChanged { at } => write!(f, "region {at} is not the one that was sent"),
            Self::BaseIndex { asked, index } => {
                write!(f, "the base of ring {index}, ring {asked} was asked for")
            }
            Self::SplitBase { base } => write!(f, "split base {base:#x}"),
            Self::ConfigSize { asked, size } => {
                write!(f, "{size} bytes of the configuration space, {asked} were asked for")
            }
            Self::FeaturesChanged { bits } => {
                write!(f, "the offer changed in the feature bits {bits:#x}")
            }
            Self::Shmem(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ReplyError {}
