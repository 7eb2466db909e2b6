//! What can be wrong with a header, a stream or a message. One variant for each broken rule.

use core::fmt;

use crate::rule::Rule;

/// The flags or the size of a header are wrong. The stream cannot be trusted after one of these:
/// the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderError {
    /// Flags bits 0-1 hold a version other than 1.
    Version {
        /// The version that the sender gave.
        version: u32,
    },
    /// Flags bit 2 is set in a request.
    ReplyBitInRequest,
    /// Flags bit 2 is clear in a reply on the main channel.
    ReplyBitMissing,
    /// Flags bit 2 is clear in a reply on the back-end channel.
    BackendReplyBitMissing,
    /// Flags bit 3 is set in a reply.
    NeedReplyInReply,
    /// A flag bit without a meaning is set.
    ReservedFlags {
        /// The bits.
        bits: u32,
    },
    /// The payload is larger than the receiver takes.
    TooLarge {
        /// Announced payload bytes.
        size: u32,
        /// Bytes that the receiver takes.
        limit: u32,
    },
}

impl HeaderError {
    /// The requirement that the header breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Version { .. } => Rule::vu(11),
            Self::ReplyBitInRequest => Rule::vu(6),
            Self::ReplyBitMissing => Rule::vu(4),
            Self::BackendReplyBitMissing => Rule::vu(5),
            Self::NeedReplyInReply => Rule::vu(8),
            Self::ReservedFlags { .. } => Rule::vu(7),
            Self::TooLarge { .. } => Rule::dc(1),
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { version } => write!(f, "protocol version {version}, not 1"),
            Self::ReplyBitInRequest => f.write_str("the reply bit is set in a request"),
            Self::ReplyBitMissing => f.write_str("the reply bit is clear in a reply"),
            Self::BackendReplyBitMissing => {
                f.write_str("the reply bit is clear in a reply on the back-end channel")
            }
            Self::NeedReplyInReply => f.write_str("need_reply is set in a reply"),
            Self::ReservedFlags { bits } => write!(f, "reserved flag bits {bits:#x} are set"),
            Self::TooLarge { size, limit } => {
                write!(f, "a payload of {size} bytes, more than the limit of {limit}")
            }
        }
    }
}

impl core::error::Error for HeaderError {}

/// The stream cannot be cut into messages any further. The connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameError {
    /// A header is wrong.
    Header(HeaderError),
    /// Descriptors came with a byte that is not the first of a header.
    LateFds {
        /// Offset of that byte in its message.
        offset: usize,
        /// How many came.
        fds: usize,
    },
    /// The kernel dropped control data (`MSG_CTRUNC`), so descriptors may be missing.
    ControlTruncated,
    /// More descriptors than any message may carry.
    TooManyFds {
        /// How many came.
        fds: usize,
        /// How many a message may carry.
        limit: usize,
    },
    /// The stream ended inside a header.
    EofInHeader {
        /// Header bytes that came.
        have: usize,
    },
    /// The stream ended inside a payload.
    EofInPayload {
        /// Payload bytes that came.
        have: usize,
        /// Payload bytes that the header announced.
        need: usize,
    },
}

impl FrameError {
    /// The requirement that the stream breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Header(error) => error.rule(),
            Self::LateFds { .. } => Rule::dc(2),
            Self::ControlTruncated => Rule::dc(3),
            Self::TooManyFds { .. } => Rule::dc(4),
            Self::EofInHeader { .. } | Self::EofInPayload { .. } => Rule::vu(1),
        }
    }
}

impl From<HeaderError> for FrameError {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => error.fmt(f),
            Self::LateFds { offset, fds } => {
                write!(f, "{fds} descriptors came with byte {offset} of a message, not with byte 0")
            }
            Self::ControlTruncated => f.write_str("control data was truncated"),
            Self::TooManyFds { fds, limit } => {
                write!(f, "{fds} descriptors came with one message, more than {limit}")
            }
            Self::EofInHeader { have } => {
                write!(f, "the stream ended after {have} of 12 header bytes")
            }
            Self::EofInPayload { have, need } => {
                write!(f, "the stream ended after {have} of {need} payload bytes")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// A whole message that is not a legal one of its id. All variants but
/// [`Header`](Self::Header) leave the stream in step, so the receiver may refuse the message and
/// go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// The flags are wrong.
    Header(HeaderError),
    /// Fewer bytes than a header has.
    HeaderTruncated {
        /// Bytes that were given.
        have: usize,
    },
    /// The bytes after the header are not as many as it says.
    LengthMismatch {
        /// Payload bytes that the header announces.
        announced: u32,
        /// Payload bytes that were given.
        have: usize,
    },
    /// The payload is shorter than its layout.
    PayloadTooShort {
        /// Message id.
        code: u32,
        /// Bytes that the layout needs.
        need: u32,
        /// Bytes that the payload has.
        have: u32,
    },
    /// The payload is longer than its layout.
    PayloadTooLong {
        /// Message id.
        code: u32,
        /// Bytes that the layout may have.
        limit: u32,
        /// Bytes that the payload has.
        have: u32,
    },
    /// A memory table announces no region, or more than 8.
    RegionCount {
        /// Regions announced.
        count: u32,
        /// Regions that a table may have.
        limit: u32,
    },
    /// A `SET_CONFIG` carries less data than its size field says.
    ConfigTooShort {
        /// Size field, in bytes.
        size: u32,
        /// Data bytes that the payload has.
        have: u32,
    },
    /// A `GET_CONFIG`, or the reply to one, does not carry what its size field says.
    ConfigSize {
        /// Size field, in bytes.
        size: u32,
        /// Data bytes that the payload has.
        have: u32,
    },
    /// A symmetric cipher key is longer than its field.
    CipherKeyLength {
        /// Announced bytes.
        len: u32,
        /// Bytes of the field.
        limit: u32,
    },
    /// An authentication key is longer than its field.
    AuthKeyLength {
        /// Announced bytes.
        len: u32,
        /// Bytes of the field.
        limit: u32,
    },
    /// An asymmetric key is longer than its field.
    AsymmetricKeyLength {
        /// Announced bytes.
        len: u32,
        /// Bytes of the field.
        limit: u32,
    },
    /// Fewer descriptors than the message needs.
    TooFewFds {
        /// Message id.
        code: u32,
        /// Descriptors it needs.
        need: usize,
        /// Descriptors that came.
        have: usize,
    },
    /// More descriptors than the message may have.
    TooManyFds {
        /// Message id.
        code: u32,
        /// Descriptors it may have.
        limit: usize,
        /// Descriptors that came.
        have: usize,
    },
    /// A memory table does not have one descriptor for each region.
    RegionFds {
        /// Regions announced.
        regions: u32,
        /// Descriptors that came.
        fds: usize,
    },
    /// `SET_VRING_KICK`: the no-descriptor flag says the opposite of what came.
    KickFdFlag {
        /// Descriptors that came.
        fds: usize,
    },
    /// `SET_VRING_CALL`: the no-descriptor flag says the opposite of what came.
    CallFdFlag {
        /// Descriptors that came.
        fds: usize,
    },
    /// `SET_VRING_ERR`: the no-descriptor flag says the opposite of what came.
    ErrFdFlag {
        /// Descriptors that came.
        fds: usize,
    },
    /// `VRING_HOST_NOTIFIER_MSG`: the no-descriptor flag says the opposite of what came.
    NotifierFdFlag {
        /// Descriptors that came.
        fds: usize,
    },
    /// `GET_INFLIGHT_FD` reply: an area without a descriptor, or the reverse.
    InflightFd {
        /// Announced bytes of the area.
        mmap_size: u64,
        /// Descriptors that came.
        fds: usize,
    },
    /// `SET_DEVICE_STATE_FD` reply: an error and a descriptor.
    StateErrorWithFd {
        /// Bits 0-7 of the reply.
        status: u8,
    },
    /// `SET_DEVICE_STATE_FD` reply: bit 8 says the opposite of what came.
    StateFdFlag {
        /// Descriptors that came.
        fds: usize,
    },
    /// `SHARED_OBJECT_LOOKUP` reply: success without a descriptor, or failure with one.
    LookupFd {
        /// The reply's value; 0 is success.
        status: u64,
        /// Descriptors that came.
        fds: usize,
    },
}

impl DecodeError {
    /// The requirement that the message breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Header(error) => error.rule(),
            Self::HeaderTruncated { .. } | Self::LengthMismatch { .. } => Rule::vu(1),
            Self::PayloadTooShort { .. } | Self::PayloadTooLong { .. } => Rule::dc(5),
            Self::RegionCount { .. } => Rule::vu(129),
            Self::ConfigTooShort { .. } => Rule::vu(269),
            Self::ConfigSize { .. } => Rule::dc(7),
            Self::CipherKeyLength { .. }
            | Self::AuthKeyLength { .. }
            | Self::AsymmetricKeyLength { .. } => Rule::dc(8),
            Self::TooFewFds { .. } | Self::TooManyFds { .. } => Rule::vu(20),
            Self::RegionFds { .. } => Rule::vu(128),
            Self::KickFdFlag { .. } => Rule::vu(99),
            Self::CallFdFlag { .. } => Rule::vu(102),
            Self::ErrFdFlag { .. } => Rule::vu(105),
            Self::NotifierFdFlag { .. } => Rule::dc(10),
            Self::InflightFd { .. } => Rule::vu(179),
            Self::StateErrorWithFd { .. } => Rule::vu(162),
            Self::StateFdFlag { .. } => Rule::vu(161),
            Self::LookupFd { .. } => Rule::vu(232),
        }
    }

    /// Whether the connection has to end, because the stream cannot be trusted any more.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        matches!(self, Self::Header(_) | Self::HeaderTruncated { .. } | Self::LengthMismatch { .. })
    }
}

impl From<HeaderError> for DecodeError {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => error.fmt(f),
            Self::HeaderTruncated { have } => write!(f, "{have} bytes, fewer than a header"),
            Self::LengthMismatch { announced, have } => {
                write!(f, "the header announces {announced} payload bytes, {have} are there")
            }
            Self::PayloadTooShort { code, need, have } => {
                write!(f, "request {code}: {have} payload bytes, {need} are needed")
            }
            Self::PayloadTooLong { code, limit, have } => {
                write!(f, "request {code}: {have} payload bytes, at most {limit} are allowed")
            }
            Self::RegionCount { count, limit } => {
                write!(f, "a memory table of {count} regions, 1 to {limit} are allowed")
            }
            Self::ConfigTooShort { size, have } | Self::ConfigSize { size, have } => {
                write!(f, "a configuration window of {size} bytes with {have} bytes of data")
            }
            Self::CipherKeyLength { len, limit } => {
                write!(f, "a cipher key of {len} bytes in a field of {limit}")
            }
            Self::AuthKeyLength { len, limit } => {
                write!(f, "an authentication key of {len} bytes in a field of {limit}")
            }
            Self::AsymmetricKeyLength { len, limit } => {
                write!(f, "an asymmetric key of {len} bytes in a field of {limit}")
            }
            Self::TooFewFds { code, need, have } => {
                write!(f, "request {code}: {have} descriptors, {need} are needed")
            }
            Self::TooManyFds { code, limit, have } => {
                write!(f, "request {code}: {have} descriptors, at most {limit} are allowed")
            }
            Self::RegionFds { regions, fds } => {
                write!(f, "{regions} memory regions with {fds} descriptors")
            }
            Self::KickFdFlag { fds } => flag(f, "SET_VRING_KICK", *fds),
            Self::CallFdFlag { fds } => flag(f, "SET_VRING_CALL", *fds),
            Self::ErrFdFlag { fds } => flag(f, "SET_VRING_ERR", *fds),
            Self::NotifierFdFlag { fds } => flag(f, "VRING_HOST_NOTIFIER_MSG", *fds),
            Self::InflightFd { mmap_size, fds } => {
                write!(f, "an in-flight area of {mmap_size} bytes with {fds} descriptors")
            }
            Self::StateErrorWithFd { status } => {
                write!(f, "a failed SET_DEVICE_STATE_FD (status {status}) with a descriptor")
            }
            Self::StateFdFlag { fds } => flag(f, "SET_DEVICE_STATE_FD", *fds),
            Self::LookupFd { status, fds } => {
                write!(f, "a SHARED_OBJECT_LOOKUP reply {status} with {fds} descriptors")
            }
        }
    }
}

fn flag(f: &mut fmt::Formatter<'_>, name: &str, fds: usize) -> fmt::Result {
    write!(f, "{name}: bit 8 says otherwise, but {fds} descriptors came")
}

impl core::error::Error for DecodeError {}

/// A message does not fit in the buffer that it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncodeError {
    /// Bytes of the message.
    pub need: usize,
    /// Bytes of the buffer.
    pub have: usize,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of {} bytes does not fit in {}", self.need, self.have)
    }
}

impl core::error::Error for EncodeError {}
