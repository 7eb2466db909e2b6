//! Why a request was refused.

use core::fmt;

use super::effect::EffectError;
use super::postcopy;
use crate::inflight::AreaError;
use crate::memory::{IotlbError, LogError, MemoryError, PlaceError, RingSizeError};
use crate::rule::Rule;
use crate::vhost_user::DecodeError;

/// A request that a back-end does not act on. One variant for each broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
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
    /// `SET_FEATURES` with bits that were not offered.
    FeaturesNotOffered {
        /// The bits.
        bits: u64,
    },
    /// `SET_FEATURES` would change more than bit 26 while a ring is started.
    FeaturesWhileStarted {
        /// The bits that would change.
        bits: u64,
    },
    /// `SET_PROTOCOL_FEATURES` with bits that were not offered.
    ProtocolNotOffered {
        /// The bits.
        bits: u64,
    },
    /// `SET_PROTOCOL_FEATURES` with bit 14 without bits 3 and 5.
    InbandAlone {
        /// All bits of the message.
        bits: u64,
    },
    /// `SET_PROTOCOL_FEATURES` with bit 23 without bits 12 and 20.
    SkipDrainAlone {
        /// All bits of the message.
        bits: u64,
    },
    /// A ring that the device does not have.
    RingIndex {
        /// The index.
        index: u32,
        /// Rings of the device.
        queues: u16,
    },
    /// Size, base or byte order of a ring that is started.
    RingStarted {
        /// The ring.
        index: u32,
    },
    /// A size that no ring can have.
    RingSize(RingSizeError),
    /// Ring addresses that cannot be right.
    Addresses(PlaceError),
    /// The base of a split ring has more than 16 bits.
    SplitBase {
        /// The base.
        base: u32,
    },
    /// `SET_VRING_ENABLE` with another num than 0 and 1.
    EnableValue {
        /// The num.
        num: u32,
    },
    /// `SET_VRING_ENDIAN` with another num than 0 and 1.
    EndianValue {
        /// The num.
        num: u32,
    },
    /// Memory regions that cannot be.
    Memory(MemoryError),
    /// A dirty log that cannot be.
    Log(LogError),
    /// An IOTLB message that cannot be.
    Iotlb(IotlbError),
    /// A postcopy message out of its order.
    PostcopyOrder {
        /// Message id.
        code: u32,
        /// Where the migration is.
        state: postcopy::State,
    },
    /// A memory table where the acknowledgement of the last one is due.
    PostcopyAckDue,
    /// An in-flight area that cannot be.
    Inflight(AreaError),
    /// `SET_INFLIGHT_FD` while a ring is started.
    InflightWhileStarted {
        /// The ring.
        index: u32,
    },
    /// A window of the configuration space that the device does not have, or does not hand out.
    ConfigWindow {
        /// First byte.
        offset: u32,
        /// Bytes.
        size: u32,
        /// Where it has to end at most.
        limit: u32,
    },
    /// `SET_CONFIG` with other flags than 0 and 1.
    ConfigFlags {
        /// The flags.
        flags: u32,
    },
    /// A driver's write to a field that it may only read.
    ConfigReadOnly {
        /// First byte.
        offset: u32,
        /// Bytes.
        size: u32,
    },
    /// An MTU below 68 or above 65535.
    Mtu {
        /// The MTU in bytes.
        mtu: u64,
    },
    /// A device status above 255.
    Status {
        /// The status.
        status: u64,
    },
    /// `SET_DEVICE_STATE_FD` with an unknown direction or phase.
    TransferParameters {
        /// 0 save, 1 load.
        direction: u32,
        /// 0 stopped.
        phase: u32,
    },
    /// `SET_DEVICE_STATE_FD` while a ring is started.
    TransferWhileStarted {
        /// The ring.
        index: u32,
    },
    /// `CHECK_DEVICE_STATE` without a transfer.
    NoTransfer,
    /// What the request needs could not be done.
    Effect {
        /// Message id.
        code: u32,
        /// Why.
        error: EffectError,
    },
    /// The caller answered an effect with the result of another.
    WrongResult {
        /// Id of the request whose effect it was; 0 when no effect was pending.
        code: u32,
    },
    /// A message came while the answer to an earlier one is being worked out.
    Busy {
        /// Message id of the earlier one.
        code: u32,
    },
}

impl Refusal {
    /// The requirement that the request breaks. One that failed for want of something is
    /// answered as VU-033 demands.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Decode(error) => error.rule(),
            Self::UnknownRequest { .. } => Rule::vu(12),
            Self::Gate { rule, .. } => rule,
            Self::FeaturesNotOffered { .. } => Rule::vu(41),
            Self::FeaturesWhileStarted { .. } => Rule::dc(16),
            Self::ProtocolNotOffered { .. } => Rule::vu(50),
            Self::InbandAlone { .. } => Rule::vu(217),
            Self::SkipDrainAlone { .. } => Rule::vu(96),
            Self::RingIndex { .. } => Rule::vu(79),
            Self::RingStarted { .. } => Rule::dc(17),
            Self::RingSize(error) => error.rule(),
            Self::Addresses(error) => error.rule(),
            Self::SplitBase { .. } => Rule::vu(87),
            Self::EnableValue { .. } => Rule::vu(110),
            Self::EndianValue { .. } => Rule::vu(112),
            Self::Memory(error) => error.rule(),
            Self::Log(error) => error.rule(),
            Self::Iotlb(error) => error.rule(),
            Self::PostcopyOrder { .. } => Rule::vu(175),
            Self::PostcopyAckDue => Rule::vu(133),
            Self::Inflight(error) => error.rule(),
            Self::InflightWhileStarted { .. } => Rule::dc(18),
            Self::ConfigWindow { .. } => Rule::vu(193),
            Self::ConfigFlags { .. } => Rule::vu(194),
            Self::ConfigReadOnly { .. } => Rule::vu(195),
            Self::Mtu { .. } => Rule::vu(200),
            Self::Status { .. } => Rule::vu(227),
            Self::TransferParameters { .. } => Rule::vu(165),
            Self::TransferWhileStarted { .. } => Rule::vu(166),
            Self::NoTransfer => Rule::vu(170),
            Self::Effect { .. } | Self::WrongResult { .. } => Rule::vu(33),
            Self::Busy { .. } => Rule::dc(36),
        }
    }

    /// Whether the connection ends whatever answer is due.
    pub(super) const fn is_fatal(self) -> bool {
        match self {
            Self::Decode(error) => error.is_fatal(),
            Self::InbandAlone { .. }
            | Self::PostcopyAckDue
            | Self::WrongResult { .. }
            | Self::Busy { .. } => true,
            _ => false,
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<MemoryError> for Refusal {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

impl From<AreaError> for Refusal {
    fn from(error: AreaError) -> Self {
        Self::Inflight(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::UnknownRequest { code } => write!(f, "request {code} does not exist"),
            Self::Gate { code, rule } => {
                write!(f, "request {code} needs a feature that was not negotiated ({rule})")
            }
            Self::FeaturesNotOffered { bits } => write!(f, "features {bits:#x} were not offered"),
            Self::FeaturesWhileStarted { bits } => {
                write!(f, "features {bits:#x} would change while a ring is started")
            }
            Self::ProtocolNotOffered { bits } => {
                write!(f, "protocol features {bits:#x} were not offered")
            }
            Self::InbandAlone { bits } => {
                write!(f, "protocol features {bits:#x} have bit 14 without bits 3 and 5")
            }
            Self::SkipDrainAlone { bits } => {
                write!(f, "protocol features {bits:#x} have bit 23 without bits 12 and 20")
            }
            Self::RingIndex { index, queues } => write!(f, "ring {index} of {queues}"),
            Self::RingStarted { index } => write!(f, "ring {index} is started"),
            Self::RingSize(error) => error.fmt(f),
            Self::Addresses(error) => error.fmt(f),
            Self::SplitBase { base } => {
                write!(f, "base {base:#x} of a split ring has more than 16 bits")
            }
            Self::EnableValue { num } => write!(f, "enable {num} is neither 0 nor 1"),
            Self::EndianValue { num } => write!(f, "byte order {num} is neither 0 nor 1"),
            Self::Memory(error) => error.fmt(f),
            Self::Log(error) => error.fmt(f),
            Self::Iotlb(error) => error.fmt(f),
            Self::PostcopyOrder { code, state } => {
                write!(f, "request {code} while postcopy is {state}")
            }
            Self::PostcopyAckDue => {
                f.write_str("a memory table before the last one was acknowledged")
            }
            Self::Inflight(error) => error.fmt(f),
            Self::InflightWhileStarted { index } => {
                write!(f, "an in-flight area while ring {index} is started")
            }
            Self::ConfigWindow { offset, size, limit } => {
                write!(f, "{size} bytes of configuration at {offset}, past {limit}")
            }
            Self::ConfigFlags { flags } => {
                write!(f, "configuration flags {flags} are neither 0 nor 1")
            }
            Self::ConfigReadOnly { offset, size } => {
                write!(f, "{size} bytes of configuration at {offset} are read-only")
            }
            Self::Mtu { mtu } => write!(f, "an MTU of {mtu}, not 68 to 65535"),
            Self::Status { status } => write!(f, "device status {status:#x} has more than 8 bits"),
            Self::TransferParameters { direction, phase } => {
                write!(f, "device state transfer with direction {direction} in phase {phase}")
            }
            Self::TransferWhileStarted { index } => {
                write!(f, "device state transfer while ring {index} is started")
            }
            Self::NoTransfer => f.write_str("no device state transfer was begun"),
            Self::Effect { code, error } => write!(f, "request {code} failed, errno {}", error.0),
            Self::WrongResult { code } => {
                write!(f, "request {code} was answered with the result of another effect")
            }
            Self::Busy { code } => write!(f, "request {code} is not answered yet"),
        }
    }
}

impl core::error::Error for Refusal {}
