//! The 12-byte header (spec §1.2, §1.3).
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 4 | request |
//! | 4 | 4 | flags |
//! | 8 | 4 | payload size in bytes, header not counted |

use super::{Channel, Direction, HeaderError, Kind};
use crate::wire::{Reader, Short, Sink};

/// Bytes of a header.
pub const HEADER_LEN: usize = 12;

/// The flags word of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// Bits 0-1: the protocol version.
    pub const VERSION_MASK: u32 = 0x3;
    /// The one version there is.
    pub const VERSION: u32 = 0x1;
    /// Bit 2: this message answers a request.
    pub const REPLY_BIT: u32 = 0x4;
    /// Bit 3: the sender of this request asks for an acknowledgement.
    pub const NEED_REPLY_BIT: u32 = 0x8;
    /// Bits 4-31.
    pub const RESERVED_MASK: u32 = 0xffff_fff0;

    /// A request that asks for no acknowledgement (0x1).
    pub const REQUEST: Self = Self(Self::VERSION);
    /// A request that asks for one (0x9).
    pub const NEED_REPLY: Self = Self(Self::VERSION | Self::NEED_REPLY_BIT);
    /// A reply (0x5).
    pub const REPLY: Self = Self(Self::VERSION | Self::REPLY_BIT);

    /// The protocol version that the sender speaks, 0-3.
    #[must_use]
    pub const fn version(self) -> u32 {
        self.0 & Self::VERSION_MASK
    }

    /// Whether the message answers a request.
    #[must_use]
    pub const fn is_reply(self) -> bool {
        self.0 & Self::REPLY_BIT != 0
    }

    /// Whether the sender asks for an acknowledgement. It has a meaning only in requests, and
    /// only after `REPLY_ACK` was negotiated (spec §1.3).
    #[must_use]
    pub const fn needs_reply(self) -> bool {
        self.0 & Self::NEED_REPLY_BIT != 0
    }

    /// The bits that nobody has given a meaning.
    #[must_use]
    pub const fn reserved(self) -> u32 {
        self.0 & Self::RESERVED_MASK
    }
}

/// A message header as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Message id; its meaning depends on the channel.
    pub code: u32,
    /// Flags.
    pub flags: Flags,
    /// Payload bytes that follow.
    pub size: u32,
}

impl Header {
    /// Reads the three fields; any value is a header.
    ///
    /// # Errors
    /// [`Short`] when fewer than 12 bytes are left.
    #[inline]
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        let mut r = Reader::new(r.array_ref::<HEADER_LEN>()?);
        Ok(Self { code: r.ne_u32()?, flags: Flags(r.ne_u32()?), size: r.ne_u32()? })
    }

    /// Writes the three fields.
    #[inline]
    pub fn write(self, sink: &mut impl Sink) {
        sink.ne_u32(self.code);
        sink.ne_u32(self.flags.0);
        sink.ne_u32(self.size);
    }

    /// Checks the flags of a message of this kind, in the order of spec §1.7 step 3.
    ///
    /// # Errors
    /// The first rule that the flags break. None of these leaves the stream in step, so all of
    /// them end the connection.
    #[inline]
    pub const fn check(self, kind: Kind) -> Result<(), HeaderError> {
        let flags = self.flags;
        let expected = match kind.direction {
            Direction::Request => Flags::VERSION,
            Direction::Reply => Flags::VERSION | Flags::REPLY_BIT,
        };
        // One comparison passes every legal header; what broke is looked for afterwards.
        let need_reply = match kind.direction {
            Direction::Request => Flags::NEED_REPLY_BIT,
            Direction::Reply => 0,
        };
        if flags.0 & !need_reply == expected {
            return Ok(());
        }
        Err(self.fault(kind))
    }

    #[cold]
    const fn fault(self, kind: Kind) -> HeaderError {
        let flags = self.flags;
        // VU-011: a message of another version is not acted on.
        if flags.version() != Flags::VERSION {
            return HeaderError::Version { version: flags.version() };
        }
        match kind.direction {
            // VU-006: the reply bit is clear in every request.
            Direction::Request if flags.is_reply() => HeaderError::ReplyBitInRequest,
            // VU-004, VU-005: and set in every reply.
            Direction::Reply if !flags.is_reply() => match kind.channel {
                Channel::Main => HeaderError::ReplyBitMissing,
                Channel::Backend => HeaderError::BackendReplyBitMissing,
            },
            // VU-008: need_reply is clear in every reply.
            Direction::Reply if flags.needs_reply() => HeaderError::NeedReplyInReply,
            // VU-007: the reserved bits are zero.
            Direction::Request | Direction::Reply => {
                HeaderError::ReservedFlags { bits: flags.reserved() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SliceSink;

    #[test]
    fn reads_and_writes_twelve_bytes() {
        let header = Header { code: 0x0102_0304, flags: Flags(9), size: 40 };
        let mut out = [0xa5; HEADER_LEN];
        header.write(&mut SliceSink::new(&mut out));
        assert_eq!(out[0..4], 0x0102_0304_u32.to_ne_bytes());
        assert_eq!(out[4..8], 9_u32.to_ne_bytes());
        assert_eq!(out[8..12], 40_u32.to_ne_bytes());
        assert_eq!(Header::read(&mut Reader::new(&out)), Ok(header));
        assert_eq!(Header::read(&mut Reader::new(&out[..11])), Err(Short { need: 12, have: 11 }));
    }

    #[test]
    fn typical_flags_pass() {
        for flags in [Flags::REQUEST, Flags::NEED_REPLY] {
            let header = Header { code: 1, flags, size: 0 };
            assert_eq!(header.check(Kind::FRONTEND_REQUEST), Ok(()));
            assert_eq!(header.check(Kind::BACKEND_REQUEST), Ok(()));
        }
        let header = Header { code: 1, flags: Flags::REPLY, size: 0 };
        assert_eq!(header.check(Kind::BACKEND_REPLY), Ok(()));
        assert_eq!(header.check(Kind::FRONTEND_REPLY), Ok(()));
    }
}
