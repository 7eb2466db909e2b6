//! Why a front-end may not send a request.

use core::fmt;

use super::main_state::Postcopy;
use crate::memory::{AddressKind, LogError, MemoryError, RingSizeError};
use crate::rule::Rule;
use crate::vhost_user::DecodeError;

/// A request that a strict front-end does not send now. One variant for each broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendError {
    /// The connection has to be closed: nothing is sent any more.
    Closed,
    /// It is no legal message of its id.
    Malformed(DecodeError),
    /// It needs more descriptors.
    MissingFds {
        /// Message id.
        code: u32,
        /// Descriptors it needs.
        need: usize,
        /// Descriptors it has.
        have: usize,
    },
    /// The specification has no such request.
    UnknownRequest {
        /// Message id.
        code: u32,
    },
    /// A feature that the request belongs to was not offered or not negotiated.
    Gate {
        /// Message id.
        code: u32,
        /// The requirement of its row.
        rule: Rule,
    },
    /// `SET_BACKEND_REQ_FD` before `SET_FEATURES` with bit 30. Advice.
    ChannelBeforeFeatures,
    /// It asks for an acknowledgement without `REPLY_ACK`, or while that is switched.
    NeedReply {
        /// Message id.
        code: u32,
    },
    /// `SET_FEATURES` with bits that were not offered.
    FeaturesNotOffered {
        /// The bits.
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
    /// `RESET_OWNER`, which is deprecated. Advice.
    ResetOwner,
    /// A ring is started before `SET_OWNER`.
    NoOwner,
    /// A memory table that is neither as long as its regions nor the full one.
    TableSize {
        /// Regions.
        regions: u32,
        /// Payload bytes.
        have: u32,
    },
    /// Two regions of a table share guest physical addresses.
    GuestOverlap {
        /// Of the one.
        address: u64,
        /// Of the other.
        other: u64,
    },
    /// Two regions of a table share user addresses.
    UserOverlap {
        /// Of the one.
        address: u64,
        /// Of the other.
        other: u64,
    },
    /// A region is added before one that it overlaps was removed.
    NotRemoved {
        /// Of the one.
        address: u64,
        /// Of the other.
        other: u64,
    },
    /// Under `GPA_ADDRESSES`, a user address does not repeat the guest address.
    UserAddress {
        /// The one.
        guest_address: u64,
        /// The other.
        user_address: u64,
    },
    /// A region that cannot be.
    Memory(MemoryError),
    /// More regions than the back-end has slots.
    Slots {
        /// Slots.
        limit: u64,
    },
    /// `REM_MEM_REG` with a descriptor. Advice.
    RemoveWithFd,
    /// A memory table after `POSTCOPY_LISTEN` asks for an acknowledgement.
    PostcopyNeedReply,
    /// A memory table where the acknowledgement of the last one is due.
    PostcopyAckDue,
    /// An acknowledgement of a memory table that is neither empty nor 0.
    PostcopyAck {
        /// What it says.
        value: u64,
    },
    /// A postcopy message out of its order.
    PostcopyOrder {
        /// Message id.
        code: u32,
        /// Where the migration is.
        state: Postcopy,
    },
    /// `SET_LOG_BASE` with size and offset without `LOG_SHMFD`.
    LogForm,
    /// A dirty log that cannot be.
    Log(LogError),
    /// The log does not cover all guest memory. Advice.
    LogTooSmall {
        /// Bytes.
        size: u64,
        /// Bytes that it would need.
        need: u64,
    },
    /// A ring is to be logged without a log.
    NoLog {
        /// The ring.
        index: u32,
    },
    /// The log ends before a logged used ring does.
    UsedRingLog {
        /// Log address of the used ring.
        address: u64,
        /// Bytes of the used ring.
        len: u64,
        /// Bytes of the log.
        size: u64,
    },
    /// A ring that the device does not have.
    RingIndex {
        /// The index.
        index: u32,
        /// Rings of the device.
        queues: u16,
    },
    /// A ring beyond those that the back-end reported. Advice.
    MoreQueues {
        /// The index.
        index: u32,
        /// Rings that were reported.
        reported: u64,
    },
    /// A size that no ring can have.
    RingSize {
        /// The ring.
        index: u32,
        /// What is wrong with it.
        error: RingSizeError,
    },
    /// The base of a split ring has more than 16 bits.
    SplitBase {
        /// The base.
        base: u32,
    },
    /// The base of a packed ring has only one of its two halves.
    PackedBase {
        /// The base.
        base: u32,
    },
    /// `GET_VRING_BASE` with another num than 0.
    BaseNum {
        /// The num.
        num: u32,
    },
    /// `GET_VRING_BASE_SKIP_DRAIN` with another num than 0.
    SkipDrainNum {
        /// The num.
        num: u32,
    },
    /// `VRING_KICK` with another num than 0.
    KickNum {
        /// The num.
        num: u32,
    },
    /// `SET_VRING_ENDIAN` with another num than 0 and 1.
    EndianNum {
        /// The num.
        num: u32,
    },
    /// `SET_VRING_ENABLE` with another num than 0 and 1.
    EnableNum {
        /// The num.
        num: u32,
    },
    /// A part of a ring begins outside of memory, or the address is of another kind.
    RingAddress {
        /// The ring.
        index: u32,
        /// The address.
        address: u64,
        /// What it has to be.
        kind: AddressKind,
    },
    /// An IOTLB message that is neither an update nor an invalidation.
    IotlbKind {
        /// Its type.
        kind: u8,
    },
    /// An IOTLB update of a range that is empty or wraps.
    UpdateRange {
        /// First address.
        iova: u64,
        /// Bytes.
        size: u64,
    },
    /// An IOTLB update without permissions, or with unknown ones.
    UpdatePermissions {
        /// They.
        permissions: u8,
    },
    /// An IOTLB update leads out of the known regions.
    UpdateOutside {
        /// First address.
        user_address: u64,
        /// Bytes.
        size: u64,
    },
    /// An IOTLB invalidation of a range that is empty or wraps.
    InvalidateRange {
        /// First address.
        iova: u64,
        /// Bytes.
        size: u64,
    },
    /// `SET_INFLIGHT_FD` with an area from before a reset. Advice.
    OutdatedInflight,
    /// `GET_SHARED_OBJECT` for an object that this back-end does not export.
    NotExported,
    /// `CHECK_DEVICE_STATE` before a transfer was accepted and has ended.
    TransferNotEnded,
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
            Self::Malformed(error) => error.rule(),
            Self::Gate { rule, .. } => rule,
            Self::Memory(error) => error.rule(),
            Self::Log(error) => error.rule(),
            Self::RingAddress { kind: AddressKind::Iova, .. } => Rule::vu(80),
            Self::RingAddress { kind: AddressKind::Guest, .. } => Rule::vu(81),
            Self::RingAddress { kind: AddressKind::User, .. } => Rule::vu(82),
            Self::Closed => Rule::vu(22),
            Self::MissingFds { .. } => Rule::vu(31),
            Self::UnknownRequest { .. } | Self::LogForm => Rule::vu(26),
            Self::ChannelBeforeFeatures => Rule::vu(201),
            Self::NeedReply { .. } => Rule::vu(35),
            Self::FeaturesNotOffered { .. } => Rule::vu(40),
            Self::ProtocolNotOffered { .. } => Rule::vu(49),
            Self::InbandAlone { .. } => Rule::vu(216),
            Self::SkipDrainAlone { .. } => Rule::vu(96),
            Self::ResetOwner => Rule::vu(55),
            Self::NoOwner => Rule::vu(52),
            Self::TableSize { .. } => Rule::vu(129),
            Self::GuestOverlap { .. } => Rule::vu(120),
            Self::UserOverlap { .. } => Rule::vu(121),
            Self::NotRemoved { .. } => Rule::vu(122),
            Self::UserAddress { .. } => Rule::vu(125),
            Self::Slots { .. } => Rule::dc(22),
            Self::RemoveWithFd => Rule::vu(140),
            Self::PostcopyNeedReply => Rule::vu(132),
            Self::PostcopyAckDue | Self::PostcopyAck { .. } => Rule::vu(133),
            Self::PostcopyOrder { .. } => Rule::vu(175),
            Self::LogTooSmall { .. } => Rule::vu(151),
            Self::NoLog { .. } | Self::UsedRingLog { .. } => Rule::vu(152),
            Self::RingIndex { .. } => Rule::vu(117),
            Self::MoreQueues { .. } => Rule::vu(116),
            Self::RingSize { .. } => Rule::vu(77),
            Self::SplitBase { .. } => Rule::vu(87),
            Self::PackedBase { .. } => Rule::vu(86),
            Self::BaseNum { .. } => Rule::vu(88),
            Self::SkipDrainNum { .. } => Rule::vu(97),
            Self::KickNum { .. } => Rule::vu(218),
            Self::EndianNum { .. } => Rule::vu(112),
            Self::EnableNum { .. } => Rule::vu(109),
            Self::IotlbKind { .. } | Self::UpdateRange { .. } | Self::UpdatePermissions { .. } => {
                Rule::vu(209)
            }
            Self::UpdateOutside { .. } => Rule::vu(210),
            Self::InvalidateRange { .. } => Rule::vu(211),
            Self::OutdatedInflight => Rule::vu(180),
            Self::NotExported => Rule::vu(228),
            Self::TransferNotEnded => Rule::vu(170),
            Self::TooManyAwaited { .. } => Rule::dc(67),
        }
    }

    /// Whether the specification merely recommends what the request does not do (SHOULD).
    #[must_use]
    pub const fn is_advice(self) -> bool {
        match self {
            Self::Gate { rule, .. } => {
                matches!(rule.number(), 108 | 111 | 115 | 199 | 201 | 207 | 247)
            }
            Self::ChannelBeforeFeatures
            | Self::ResetOwner
            | Self::RemoveWithFd
            | Self::LogTooSmall { .. }
            | Self::MoreQueues { .. }
            | Self::OutdatedInflight => true,
            _ => false,
        }
    }

    /// Too few descriptors break a rule of the sender (VU-031); all else is as in decoding.
    pub(super) const fn from_decode(error: DecodeError) -> Self {
        match error {
            DecodeError::TooFewFds { code, need, have } => Self::MissingFds { code, need, have },
            error => Self::Malformed(error),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection has to be closed"),
            Self::Malformed(error) => error.fmt(f),
            Self::MissingFds { code, need, have } => {
                write!(f, "request {code} with {have} descriptors, {need} are needed")
            }
            Self::UnknownRequest { code } => write!(f, "there is no request {code}"),
            Self::Gate { code, .. } => {
                write!(f, "request {code} needs a feature that is not there")
            }
            Self::ChannelBeforeFeatures => {
                f.write_str("a back-end channel before bit 30 was negotiated")
            }
            Self::NeedReply { code } => {
                write!(f, "request {code} asks for a reply without REPLY_ACK")
            }
            Self::FeaturesNotOffered { bits } => write!(f, "features {bits:#x} were not offered"),
            Self::ProtocolNotOffered { bits } => {
                write!(f, "protocol features {bits:#x} were not offered")
            }
            Self::InbandAlone { bits } => {
                write!(f, "protocol features {bits:#x}: bit 14 without 3 and 5")
            }
            Self::SkipDrainAlone { bits } => {
                write!(f, "protocol features {bits:#x}: bit 23 without 12 and 20")
            }
            Self::ResetOwner => f.write_str("RESET_OWNER is deprecated"),
            Self::NoOwner => f.write_str("a ring is started before SET_OWNER"),
            Self::TableSize { regions, have } => {
                write!(f, "a memory table of {regions} regions in {have} bytes")
            }
            Self::GuestOverlap { address, other } => {
                write!(f, "the regions at guest addresses {address:#x} and {other:#x} overlap")
            }
            Self::UserOverlap { address, other } => {
                write!(f, "the regions at user addresses {address:#x} and {other:#x} overlap")
            }
            Self::NotRemoved { address, other } => write!(
                f,
                "the region at {address:#x} overlaps that at {other:#x}, which was not removed"
            ),
            error => error.fmt_memory(f),
        }
    }
}

impl SendError {
    /// Messages about memory, the log and migration.
    fn fmt_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserAddress { guest_address, user_address } => write!(
                f,
                "user address {user_address:#x} does not repeat guest address {guest_address:#x}"
            ),
            Self::Memory(error) => write!(f, "{error}"),
            Self::Slots { limit } => write!(f, "more regions than {limit} slots"),
            Self::RemoveWithFd => f.write_str("a region is removed with a descriptor"),
            Self::PostcopyNeedReply => f.write_str("a postcopy memory table asks for a reply"),
            Self::PostcopyAckDue => {
                f.write_str("a memory table before the last one was acknowledged")
            }
            Self::PostcopyAck { value } => write!(f, "a memory table is acknowledged with {value}"),
            Self::PostcopyOrder { code, state } => {
                write!(f, "request {code} while postcopy is {state}")
            }
            Self::LogForm => f.write_str("a log with size and offset without LOG_SHMFD"),
            Self::Log(error) => write!(f, "{error}"),
            Self::LogTooSmall { size, need } => {
                write!(f, "a log of {size} bytes, guest memory needs {need}")
            }
            Self::NoLog { index } => write!(f, "ring {index} is logged without a log"),
            Self::UsedRingLog { address, len, size } => {
                write!(f, "a used ring of {len} bytes at {address:#x} in a log of {size} bytes")
            }
            Self::RingIndex { index, queues } => write!(f, "ring {index} of {queues}"),
            Self::MoreQueues { index, reported } => {
                write!(f, "ring {index}, the back-end reported {reported}")
            }
            Self::RingSize { index, error } => write!(f, "ring {index}: {error}"),
            error => error.fmt_ring(f),
        }
    }

    /// Messages about rings, and the rest.
    fn fmt_ring(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SplitBase { base } => write!(f, "split base {base:#x}"),
            Self::PackedBase { base } => write!(f, "packed base {base:#x} without its used half"),
            Self::BaseNum { num } => write!(f, "GET_VRING_BASE with num {num:#x}"),
            Self::SkipDrainNum { num } => write!(f, "GET_VRING_BASE_SKIP_DRAIN with num {num:#x}"),
            Self::KickNum { num } => write!(f, "VRING_KICK with num {num:#x}"),
            Self::EndianNum { num } => write!(f, "SET_VRING_ENDIAN with num {num:#x}"),
            Self::EnableNum { num } => write!(f, "SET_VRING_ENABLE with num {num:#x}"),
            Self::RingAddress { index, address, .. } => {
                write!(f, "ring {index}: {address:#x} is not in memory")
            }
            Self::IotlbKind { kind } => write!(f, "IOTLB message of type {kind} by a front-end"),
            Self::UpdateRange { iova, size } => {
                write!(f, "an IOTLB update of {size} bytes at {iova:#x}")
            }
            Self::UpdatePermissions { permissions } => {
                write!(f, "an IOTLB update with permissions {permissions}")
            }
            Self::UpdateOutside { user_address, size } => {
                write!(f, "an IOTLB update to {size} bytes at {user_address:#x}, outside of memory")
            }
            Self::InvalidateRange { iova, size } => {
                write!(f, "an IOTLB invalidation of {size} bytes at {iova:#x}")
            }
            Self::OutdatedInflight => {
                f.write_str("an in-flight area from before a reset of the device")
            }
            Self::NotExported => f.write_str("the back-end does not export the object"),
            Self::TransferNotEnded => {
                f.write_str("CHECK_DEVICE_STATE before all data was transferred")
            }
            Self::TooManyAwaited { limit } => write!(f, "{limit} replies are due already"),
            error => write!(f, "{error:?}"),
        }
    }
}

impl core::error::Error for SendError {}
