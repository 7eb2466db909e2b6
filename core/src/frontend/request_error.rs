//! Why a front-end does not act on a request of the back-end channel.

use core::fmt;

use super::objects::ObjectError;
use super::shmem::MapError;
use crate::rule::Rule;
use crate::session::EffectError;
use crate::vhost_user::DecodeError;

/// A request of a back-end that is refused. One variant for each broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestError {
    /// There is no back-end channel, or it was closed.
    NotOpen,
    /// It came while another request was being worked on.
    Busy,
    /// It is no legal message of its id.
    Decode(DecodeError),
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
    /// It carries descriptors without `BACKEND_SEND_FD`.
    FdsNotNegotiated {
        /// Message id.
        code: u32,
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
    /// A ring that the device does not have.
    RingIndex {
        /// The index.
        index: u32,
        /// Rings of the device.
        queues: u16,
    },
    /// A host notifier that is not one page.
    NotifierSize {
        /// Bytes.
        size: u64,
        /// Bytes of a page.
        page: u64,
    },
    /// `VRING_CALL` or `VRING_ERR` with another num than 0.
    Num {
        /// Message id.
        code: u32,
        /// The num.
        num: u32,
    },
    /// A change of the shared objects that is not made.
    Object(ObjectError),
    /// A shared object that nobody exports, or that its exporter does not hand out.
    NoObject,
    /// A shared memory mapping that cannot be made or removed.
    Map(MapError),
    /// The device was reset before the mapping was made.
    ResetMeanwhile,
    /// What the request asks for failed.
    Effect {
        /// Message id.
        code: u32,
        /// How.
        error: EffectError,
    },
    /// The caller gave a result of another kind than the effect has.
    WrongResult {
        /// Message id.
        code: u32,
    },
}

impl RequestError {
    /// The requirement that the request breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::NotOpen => Rule::vu(206),
            Self::Busy | Self::WrongResult { .. } => Rule::dc(69),
            Self::Decode(error) => error.rule(),
            Self::UnknownRequest { .. } => Rule::vu(12),
            Self::Gate { rule, .. } => rule,
            Self::FdsNotNegotiated { .. } => Rule::vu(205),
            Self::IotlbKind { .. } | Self::MissPermissions { .. } => Rule::vu(212),
            Self::AccessPermissions { .. } => Rule::vu(213),
            Self::RingIndex { .. } => Rule::dc(60),
            Self::NotifierSize { .. } => Rule::vu(235),
            Self::Num { .. } => Rule::vu(220),
            Self::Object(error) => error.rule(),
            Self::NoObject => Rule::vu(232),
            Self::Map(error) => error.rule(),
            Self::ResetMeanwhile => Rule::vu(244),
            Self::Effect { code: 9, .. } => Rule::vu(243),
            Self::Effect { .. } => Rule::dc(63),
        }
    }

    /// Whether the channel ends whatever is due, because the stream cannot be trusted any more.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        match self {
            Self::NotOpen | Self::Busy => true,
            Self::Decode(error) => error.is_fatal(),
            _ => false,
        }
    }

    /// Whether the request is merely without effect when no acknowledgement is due (VU-231).
    #[must_use]
    pub const fn is_ignored(self) -> bool {
        matches!(self, Self::Object(ObjectError::Unknown | ObjectError::NotOwner { .. }))
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("there is no back-end channel"),
            Self::Busy => f.write_str("a request before the last one was answered"),
            Self::Decode(error) => error.fmt(f),
            Self::UnknownRequest { code } => write!(f, "there is no back-end request {code}"),
            Self::Gate { code, .. } => {
                write!(f, "back-end request {code} needs a feature that was not negotiated")
            }
            Self::FdsNotNegotiated { code } => {
                write!(f, "back-end request {code} has a descriptor without BACKEND_SEND_FD")
            }
            Self::IotlbKind { kind } => write!(f, "IOTLB message of type {kind} by a back-end"),
            Self::MissPermissions { permissions } => {
                write!(f, "an IOTLB miss for permissions {permissions}")
            }
            Self::AccessPermissions { permissions } => {
                write!(f, "an IOTLB access failure for permissions {permissions}")
            }
            Self::RingIndex { index, queues } => write!(f, "ring {index} of {queues}"),
            Self::NotifierSize { size, page } => {
                write!(f, "a host notifier of {size} bytes, a page has {page}")
            }
            Self::Num { code, num } => write!(f, "back-end request {code} with num {num}, not 0"),
            Self::Object(error) => error.fmt(f),
            Self::NoObject => f.write_str("nobody hands the object out"),
            Self::Map(error) => error.fmt(f),
            Self::ResetMeanwhile => f.write_str("the device was reset before the mapping was made"),
            Self::Effect { code, error } => {
                write!(f, "back-end request {code} failed with error {}", error.0)
            }
            Self::WrongResult { code } => {
                write!(f, "back-end request {code} ended in a result of another kind")
            }
        }
    }
}

impl core::error::Error for RequestError {}

impl From<DecodeError> for RequestError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<ObjectError> for RequestError {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

impl From<MapError> for RequestError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}
