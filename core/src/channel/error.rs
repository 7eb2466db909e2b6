//! Why a back-end may not send a request, and what is wrong with a reply to one.

use core::fmt;

use super::OrderError;
use crate::rule::Rule;
use crate::vhost_user::DecodeError;

/// A request that a back-end must not send now. One variant for each broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendError {
    /// `SET_BACKEND_REQ_FD` has not come, or the channel is closed.
    NotOpen,
    /// More descriptors than a message may carry.
    TooManyFds {
        /// Descriptors.
        fds: usize,
    },
    /// It is no legal message of its id.
    Malformed(DecodeError),
    /// The specification has no such request.
    UnknownRequest {
        /// Message id.
        code: u32,
    },
    /// A feature that the request belongs to was not negotiated.
    Gate {
        /// Message id.
        code: u32,
        /// The requirement of its row.
        rule: Rule,
    },
    /// It asks for an acknowledgement without `REPLY_ACK`.
    NeedReply {
        /// Message id.
        code: u32,
    },
    /// It carries descriptors without `BACKEND_SEND_FD`.
    FdsNotNegotiated {
        /// Message id.
        code: u32,
        /// Descriptors.
        fds: usize,
    },
    /// Every ring is stopped.
    Suspended {
        /// Message id.
        code: u32,
    },
    /// `VRING_CALL` or `VRING_ERR` with another num than 0.
    Num {
        /// Message id.
        code: u32,
        /// The num.
        num: u32,
    },
    /// An IOTLB message that is neither a miss nor an access failure.
    IotlbKind {
        /// Its type.
        kind: u8,
    },
    /// A miss that asks for neither reading nor writing, or for something else.
    MissPermissions {
        /// Its permissions.
        permissions: u8,
    },
    /// An access failure that tells of neither reading nor writing, or of something else.
    AccessPermissions {
        /// Its permissions.
        permissions: u8,
    },
    /// A host notifier that is not one page.
    NotifierSize {
        /// Bytes.
        size: u64,
        /// Bytes of a page.
        page: u64,
    },
    /// A range of a shared memory region that is empty or wraps.
    MapRange {
        /// Message id.
        code: u32,
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// Map flags without a meaning.
    MapFlags {
        /// The flags.
        flags: u64,
    },
    /// Too many replies are outstanding.
    TooManyAwaited {
        /// Most at once.
        limit: usize,
    },
}

impl SendError {
    /// The requirement that the request would break.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::NotOpen => Rule::vu(206),
            Self::TooManyFds { .. } => Rule::vu(204),
            Self::Malformed(error) => error.rule(),
            Self::UnknownRequest { .. } | Self::NeedReply { .. } => Rule::vu(26),
            Self::Gate { rule, .. } => rule,
            Self::FdsNotNegotiated { .. } => Rule::vu(205),
            Self::Suspended { .. } => Rule::vu(75),
            Self::Num { .. } => Rule::vu(220),
            Self::IotlbKind { .. } | Self::MissPermissions { .. } => Rule::vu(212),
            Self::AccessPermissions { .. } => Rule::vu(213),
            Self::NotifierSize { .. } => Rule::vu(235),
            Self::MapRange { code: 9, .. } => Rule::vu(241),
            Self::MapRange { .. } => Rule::vu(246),
            Self::MapFlags { .. } => Rule::vu(245),
            Self::TooManyAwaited { .. } => Rule::dc(67),
        }
    }
}

impl From<DecodeError> for SendError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("there is no back-end channel"),
            Self::TooManyFds { fds } => write!(f, "{fds} descriptors with one message"),
            Self::Malformed(error) => error.fmt(f),
            Self::UnknownRequest { code } => write!(f, "there is no back-end request {code}"),
            Self::Gate { code, .. } => {
                write!(f, "back-end request {code} needs a feature that was not negotiated")
            }
            Self::NeedReply { code } => {
                write!(f, "back-end request {code} asks for a reply without REPLY_ACK")
            }
            Self::FdsNotNegotiated { code, fds } => {
                write!(f, "back-end request {code} has {fds} descriptors without BACKEND_SEND_FD")
            }
            Self::Suspended { code } => {
                write!(f, "back-end request {code} while every ring is stopped")
            }
            Self::Num { code, num } => write!(f, "back-end request {code} with num {num}, not 0"),
            Self::IotlbKind { kind } => write!(f, "IOTLB message of type {kind} by a back-end"),
            Self::MissPermissions { permissions } => {
                write!(f, "an IOTLB miss for permissions {permissions}")
            }
            Self::AccessPermissions { permissions } => {
                write!(f, "an IOTLB access failure for permissions {permissions}")
            }
            Self::NotifierSize { size, page } => {
                write!(f, "a host notifier of {size} bytes, a page has {page}")
            }
            Self::MapRange { offset, len, .. } => {
                write!(f, "a shared memory range of {len} bytes at {offset:#x}")
            }
            Self::MapFlags { flags } => write!(f, "map flags {flags:#x}"),
            Self::TooManyAwaited { limit } => write!(f, "{limit} replies are due already"),
        }
    }
}

impl core::error::Error for SendError {}

/// A reply that ends the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyError {
    /// The channel is not open.
    NotOpen,
    /// It is no legal message of its id.
    Decode(DecodeError),
    /// It does not answer the oldest request.
    Order(OrderError),
}

impl ReplyError {
    /// The requirement that the reply breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::NotOpen => Rule::vu(206),
            Self::Decode(error) => error.rule(),
            Self::Order(error) => error.rule(),
        }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("a reply on a channel that is not open"),
            Self::Decode(error) => error.fmt(f),
            Self::Order(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ReplyError {}
