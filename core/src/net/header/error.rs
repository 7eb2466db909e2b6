//! Why a frame is not sent, or not given to the driver.

use core::fmt;

use super::segments::{Checksum, Kind, Tunnel};
use crate::rule::Rule;

/// Why a frame of the driver is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TxError {
    /// It has writable bytes, which a frame to be sent has not.
    Writable {
        /// Their number.
        bytes: u64,
    },
    /// Nothing follows the header.
    NoFrame {
        /// Readable bytes.
        len: usize,
        /// Bytes of the header.
        header: usize,
    },
    /// The frame ends in its Ethernet header.
    ShortFrame {
        /// Its bytes.
        len: usize,
    },
    /// The frame is longer than it may be without segments.
    FrameTooLong {
        /// Its bytes.
        len: usize,
        /// How many may be.
        limit: usize,
    },
    /// The frame is longer than any that can be cut.
    SegmentsTooLong {
        /// Its bytes.
        len: usize,
        /// How many may be.
        limit: usize,
    },
    /// `gso_type` has no meaning.
    Type {
        /// It.
        gso_type: u8,
    },
    /// `gso_type` was not negotiated.
    TypeFeature {
        /// It.
        gso_type: u8,
    },
    /// It is in a tunnel over IPv4 and over IPv6.
    BothTunnels {
        /// Its `gso_type`.
        gso_type: u8,
    },
    /// It is in a tunnel, and not to be cut.
    TunnelOfNothing {
        /// Its `gso_type`.
        gso_type: u8,
    },
    /// It is in a tunnel, and to be fragmented.
    TunnelOfFragments {
        /// Its `gso_type`.
        gso_type: u8,
    },
    /// It has congestion marks, and is no TCP.
    Ecn {
        /// Its `gso_type`.
        gso_type: u8,
    },
    /// A partial checksum was not negotiated.
    ChecksumFeature,
    /// The outer checksum of a tunnel is partial, and there is no tunnel.
    TunnelChecksumAlone,
    /// A partial outer checksum was not negotiated.
    TunnelChecksumFeature,
    /// It is in a tunnel, and its checksum is not partial.
    TunnelUnfinished {
        /// Its `gso_type`.
        gso_type: u8,
    },
    /// It is in a tunnel, and its checksum is said to be right.
    TunnelValid {
        /// Its `gso_type`.
        gso_type: u8,
    },
    /// It is to be cut, and its checksum is not partial.
    Unfinished {
        /// Its `gso_type`.
        gso_type: u8,
    },
    /// It is to be cut into pieces of 0 bytes.
    SizeZero {
        /// Its `gso_type`.
        gso_type: u8,
    },
    /// The checksum does not lie in the frame, behind its Ethernet header.
    Position {
        /// Where it should be.
        checksum: Checksum,
        /// Bytes of the frame.
        len: usize,
    },
    /// The headers of a tunnel are not one after another.
    TunnelOrder {
        /// Where they should be.
        tunnel: Tunnel,
        /// Where the checksum begins to count.
        start: u16,
    },
    /// The frame has other headers than its type, or lacks them.
    Mismatch {
        /// Its `gso_type`.
        gso_type: u8,
    },
}

impl TxError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Writable { .. } => Rule::net(3),
            Self::NoFrame { .. } => Rule::net(2),
            Self::ShortFrame { .. } => Rule::l2(1),
            Self::FrameTooLong { .. } => Rule::net(17),
            Self::SegmentsTooLong { .. } => Rule::dc(92),
            Self::Type { .. } | Self::TypeFeature { .. } => Rule::net(11),
            Self::BothTunnels { .. }
            | Self::TunnelOfNothing { .. }
            | Self::TunnelChecksumAlone
            | Self::TunnelUnfinished { .. }
            | Self::TunnelValid { .. } => Rule::net(15),
            Self::TunnelOfFragments { .. } => Rule::dc(96),
            Self::Ecn { .. } => Rule::dc(93),
            Self::ChecksumFeature => Rule::net(10),
            Self::TunnelChecksumFeature => Rule::dc(91),
            Self::Unfinished { .. } | Self::SizeZero { .. } => Rule::net(12),
            Self::Position { .. } => Rule::net(13),
            Self::TunnelOrder { .. } => Rule::dc(95),
            Self::Mismatch { .. } => Rule::dc(94),
        }
    }
}

impl fmt::Display for TxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writable { bytes } => write!(f, "a frame to send has {bytes} writable bytes"),
            Self::NoFrame { len, header } => {
                write!(f, "nothing follows the header of {header} bytes in {len}")
            }
            Self::ShortFrame { len } => {
                write!(f, "a frame of {len} bytes ends in its Ethernet header")
            }
            Self::FrameTooLong { len, limit } => {
                write!(f, "a frame of {len} bytes is longer than {limit}")
            }
            Self::SegmentsTooLong { len, limit } => {
                write!(f, "a frame to cut of {len} bytes is longer than {limit}")
            }
            Self::Type { gso_type } => write!(f, "gso_type {gso_type:#04x} has no meaning"),
            Self::TypeFeature { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} was not negotiated")
            }
            Self::BothTunnels { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} has both tunnels")
            }
            Self::TunnelOfNothing { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} has a tunnel with nothing to cut")
            }
            Self::TunnelOfFragments { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} has a tunnel with fragments")
            }
            Self::Ecn { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} has congestion marks without TCP")
            }
            Self::ChecksumFeature => f.write_str("a partial checksum was not negotiated"),
            Self::TunnelChecksumAlone => f.write_str("an outer checksum without a tunnel"),
            Self::TunnelChecksumFeature => {
                f.write_str("a partial outer checksum was not negotiated")
            }
            Self::TunnelUnfinished { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} has a tunnel without a partial checksum")
            }
            Self::TunnelValid { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} has a tunnel with a checksum that is right")
            }
            Self::Unfinished { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} comes without a partial checksum")
            }
            Self::SizeZero { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} comes with gso_size 0")
            }
            Self::Position { checksum, len } => position(f, *checksum, *len),
            Self::TunnelOrder { tunnel, start } => order(f, *tunnel, *start),
            Self::Mismatch { gso_type } => {
                write!(f, "the frame has not the headers of gso_type {gso_type:#04x}")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for TxError {}

/// Why a header is not given to the driver: a mistake of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RxError {
    /// The frame ends in its Ethernet header.
    ShortFrame {
        /// Its bytes.
        len: usize,
    },
    /// It lies in no buffer.
    NoBuffer,
    /// It does not lie in one buffer, and buffers are not merged.
    Buffers {
        /// Their number.
        buffers: u16,
    },
    /// Something is said about checksum or segments, and the driver takes only complete frames.
    ChecksumFeature,
    /// How it was joined was not negotiated.
    JoinedFeature,
    /// It was joined, and could not be cut.
    JoinedAlone,
    /// It could be cut, and the driver is not told how it was joined.
    NotJoined {
        /// What it is.
        kind: Kind,
    },
    /// It is in a tunnel, and its checksum is said to be right.
    TunnelValid,
    /// It could be cut, and its checksum is not partial.
    Unfinished {
        /// What it is.
        kind: Kind,
    },
    /// It could be cut into pieces of 0 bytes.
    SizeZero {
        /// What it is.
        kind: Kind,
    },
    /// The frame is longer than it may be without segments.
    FrameTooLong {
        /// Its bytes.
        len: usize,
        /// How many may be.
        limit: usize,
    },
    /// The frame is longer than any that can be cut.
    SegmentsTooLong {
        /// Its bytes.
        len: usize,
        /// How many may be.
        limit: usize,
    },
    /// The checksum does not lie in the frame, behind its Ethernet header.
    Position {
        /// Where it should be.
        checksum: Checksum,
        /// Bytes of the frame.
        len: usize,
    },
    /// It is in a tunnel, and could be fragmented.
    TunnelOfFragments,
    /// The headers of a tunnel are not one after another.
    TunnelOrder {
        /// Where they should be.
        tunnel: Tunnel,
        /// Where the checksum begins to count.
        start: u16,
    },
    /// It has congestion marks, and is no TCP.
    Ecn {
        /// What it is.
        kind: Kind,
    },
    /// The frame has other headers than its kind, or lacks them.
    Mismatch {
        /// The kind.
        kind: Kind,
    },
    /// Its type was not negotiated.
    TypeFeature {
        /// The type.
        gso_type: u8,
    },
    /// A partial outer checksum was not negotiated.
    TunnelChecksumFeature,
    /// The checksum of a frame that could be cut is not that of its transport header.
    Elsewhere {
        /// Where it should be.
        checksum: Checksum,
        /// Where that header begins.
        transport: usize,
    },
    /// The hash is over nothing that has a number.
    Hash {
        /// The number.
        report: u16,
    },
}

impl RxError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::ShortFrame { .. } => Rule::l2(1),
            Self::NoBuffer => Rule::net(23),
            Self::Buffers { .. } => Rule::net(22),
            Self::ChecksumFeature => Rule::net(29),
            Self::JoinedFeature => Rule::net(33),
            Self::JoinedAlone | Self::NotJoined { .. } | Self::Elsewhere { .. } => Rule::dc(98),
            Self::TunnelValid => Rule::net(32),
            Self::Unfinished { .. } | Self::SizeZero { .. } => Rule::net(31),
            Self::FrameTooLong { .. } => Rule::net(19),
            Self::SegmentsTooLong { .. } => Rule::dc(92),
            Self::Position { .. } => Rule::net(13),
            Self::TunnelOfFragments => Rule::dc(96),
            Self::TunnelOrder { .. } => Rule::dc(95),
            Self::Ecn { .. } => Rule::dc(93),
            Self::Mismatch { .. } => Rule::dc(94),
            Self::TypeFeature { .. } => Rule::net(30),
            Self::TunnelChecksumFeature => Rule::dc(91),
            Self::Hash { .. } => Rule::net(35),
        }
    }
}

impl fmt::Display for RxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortFrame { len } => {
                write!(f, "a frame of {len} bytes ends in its Ethernet header")
            }
            Self::NoBuffer => f.write_str("a frame lies in no buffer"),
            Self::Buffers { buffers } => {
                write!(f, "a frame lies in {buffers} buffers, and buffers are not merged")
            }
            Self::ChecksumFeature => f.write_str("the driver takes only complete frames"),
            Self::JoinedFeature => f.write_str("the driver does not ask how segments were joined"),
            Self::JoinedAlone => f.write_str("segments were joined, and the frame has none"),
            Self::NotJoined { kind } => {
                write!(f, "the driver asks how the segments of {kind:?} were joined")
            }
            Self::TunnelValid => f.write_str("a tunnel with a checksum that is right"),
            Self::Unfinished { kind } => write!(f, "{kind:?} comes without a partial checksum"),
            Self::SizeZero { kind } => write!(f, "{kind:?} comes with gso_size 0"),
            Self::FrameTooLong { len, limit } => {
                write!(f, "a frame of {len} bytes is longer than {limit}")
            }
            Self::SegmentsTooLong { len, limit } => {
                write!(f, "a frame to cut of {len} bytes is longer than {limit}")
            }
            Self::Position { checksum, len } => position(f, *checksum, *len),
            Self::TunnelOfFragments => f.write_str("a tunnel with fragments"),
            Self::TunnelOrder { tunnel, start } => order(f, *tunnel, *start),
            Self::Ecn { kind } => write!(f, "{kind:?} has congestion marks"),
            Self::Mismatch { kind } => write!(f, "the frame has not the headers of {kind:?}"),
            Self::TypeFeature { gso_type } => {
                write!(f, "gso_type {gso_type:#04x} was not negotiated")
            }
            Self::TunnelChecksumFeature => {
                f.write_str("a partial outer checksum was not negotiated")
            }
            Self::Elsewhere { checksum, transport } => {
                let Checksum { start, offset } = checksum;
                write!(f, "a checksum at {start} + {offset} of a transport header at {transport}")
            }
            Self::Hash { report } => write!(f, "hash_report {report} is no hash"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for RxError {}

fn position(f: &mut fmt::Formatter<'_>, checksum: Checksum, len: usize) -> fmt::Result {
    let Checksum { start, offset } = checksum;
    write!(f, "a checksum at {start} + {offset} in a frame of {len} bytes")
}

fn order(f: &mut fmt::Formatter<'_>, tunnel: Tunnel, start: u16) -> fmt::Result {
    let Tunnel { outer_transport, inner_network, .. } = tunnel;
    write!(
        f,
        "outer transport, inner network and inner transport headers at {outer_transport}, \
         {inner_network} and {start}"
    )
}
