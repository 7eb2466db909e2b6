//! Why a message is dropped.

use core::fmt;
use core::net::Ipv6Addr;

use super::HOP_LIMIT;
use crate::net::Mac;
use crate::net::icmpv6::Icmpv6Error;
use crate::rule::Rule;

/// Why a message of neighbour discovery is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NdpError {
    /// A router may have passed it on.
    HopLimit {
        /// Its hop limit.
        hop_limit: u8,
    },
    /// It has a code.
    Code {
        /// Its type.
        kind: u8,
        /// That code.
        code: u8,
    },
    /// It ends in its fixed part.
    Short {
        /// Its type.
        kind: u8,
        /// Its bytes, those of the header included.
        len: usize,
    },
    /// An option has the length 0.
    EmptyOption {
        /// Its type.
        option: u8,
    },
    /// An option is longer than what is left of the message.
    OptionCut {
        /// Its type.
        option: u8,
    },
    /// An option with the link-layer address of the sender is not as long as one of Ethernet.
    LinkLen {
        /// Its length, in units of 8 bytes.
        units: u8,
    },
    /// The link-layer address of the sender is not the Ethernet source of the frame.
    LinkAddress {
        /// That address.
        address: Mac,
    },
    /// Somebody without an address tells its link-layer address.
    UnspecifiedLink,
    /// It is about a group.
    GroupTarget {
        /// That group.
        target: Ipv6Addr,
    },
    /// It looks for duplicates of an address, but not in the group of one.
    DadDestination {
        /// Where it looks.
        destination: Ipv6Addr,
    },
    /// It answers a question and was sent to a group.
    SolicitedGroup,
    /// A router has another source than a link-local one.
    RouterSource {
        /// That source.
        source: Ipv6Addr,
    },
}

impl NdpError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::HopLimit { .. }
            | Self::Code { .. }
            | Self::Short { .. }
            | Self::EmptyOption { .. }
            | Self::UnspecifiedLink
            | Self::GroupTarget { .. }
            | Self::DadDestination { .. }
            | Self::SolicitedGroup => Rule::v6(1),
            Self::RouterSource { .. } => Rule::v6(5),
            Self::OptionCut { .. } => Rule::v6(9),
            Self::LinkLen { .. } | Self::LinkAddress { .. } => Rule::dc(133),
        }
    }
}

impl fmt::Display for NdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HopLimit { hop_limit } => {
                write!(f, "a message about the link has hop limit {hop_limit}, not {HOP_LIMIT}")
            }
            Self::Code { kind, code } => {
                write!(f, "a message of type {kind} has code {code}, not 0")
            }
            Self::Short { kind, len } => write!(f, "a message of type {kind} has {len} bytes only"),
            Self::EmptyOption { option } => write!(f, "option {option} has length 0"),
            Self::OptionCut { option } => write!(f, "option {option} is cut"),
            Self::LinkLen { units } => {
                write!(f, "a link-layer address has {units} units of 8 bytes, not 1")
            }
            Self::LinkAddress { address } => {
                write!(f, "the link-layer address {address} is not the source of the frame")
            }
            Self::UnspecifiedLink => {
                f.write_str("a sender without address tells its link-layer address")
            }
            Self::GroupTarget { target } => write!(f, "the target {target} is a group"),
            Self::DadDestination { destination } => {
                write!(f, "duplicates are not looked for at {destination}")
            }
            Self::SolicitedGroup => f.write_str("an answer to a question went to a group"),
            Self::RouterSource { source } => {
                write!(f, "a router has the source {source}, which is not link-local")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for NdpError {}

/// Why nothing is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RespondError {
    /// The message is none of `ICMPv6`.
    Icmp(Icmpv6Error),
    /// The message about the link is broken.
    Ndp(NdpError),
    /// The reply does not fit. Nothing of it was written.
    Room {
        /// Bytes of the reply.
        needed: usize,
    },
}

impl RespondError {
    /// The requirement that was broken; for [`Room`](Self::Room) the one that forbids half a reply.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Icmp(error) => error.rule(),
            Self::Ndp(error) => error.rule(),
            Self::Room { .. } => Rule::l2(6),
        }
    }
}

impl fmt::Display for RespondError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp(error) => fmt::Display::fmt(error, f),
            Self::Ndp(error) => fmt::Display::fmt(error, f),
            Self::Room { needed } => {
                write!(f, "there is no room for a reply of {needed} bytes: {}", self.rule())
            }
        }
    }
}

impl core::error::Error for RespondError {}

impl From<Icmpv6Error> for RespondError {
    fn from(error: Icmpv6Error) -> Self {
        Self::Icmp(error)
    }
}

impl From<NdpError> for RespondError {
    fn from(error: NdpError) -> Self {
        Self::Ndp(error)
    }
}
