//! Why a message is dropped.

use core::fmt;

use super::ASSOCIATIONS_MAX;
use crate::net::ipv6::udp::UdpError;
use crate::rule::Rule;

/// Why a message of a client is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dhcpv6Error {
    /// The datagram around it is broken.
    Udp(UdpError),
    /// It ends in type and transaction id.
    Short {
        /// Its bytes.
        len: usize,
    },
    /// An option is longer than what is around it.
    OptionCut,
    /// An option has a length that it cannot have.
    OptionLen {
        /// Its code.
        code: u16,
        /// The bytes of its value.
        len: usize,
    },
    /// An option that says who somebody is comes twice.
    Twice {
        /// Its code.
        code: u16,
    },
    /// It asks for more than [`ASSOCIATIONS_MAX`] things.
    Associations,
    /// A prefix is longer than an address.
    PrefixLen,
    /// The client does not say who it is.
    NoClient {
        /// The type of the message.
        kind: u8,
    },
    /// It names a server, and may not.
    Server {
        /// The type of the message.
        kind: u8,
    },
    /// It does not name a server, and has to.
    NoServer {
        /// The type of the message.
        kind: u8,
    },
    /// It asks for information, and for addresses.
    InformationWithAddresses,
    /// It was sent to one server, and goes to all.
    Unicast {
        /// The type of the message.
        kind: u8,
    },
    /// The reply does not fit. Nothing of it was written.
    Room {
        /// Bytes of the reply.
        needed: usize,
    },
}

impl Dhcpv6Error {
    /// The requirement that was broken; for [`Room`](Self::Room) the one that forbids half a reply.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Udp(error) => error.rule(),
            Self::NoClient { .. }
            | Self::Server { .. }
            | Self::NoServer { .. }
            | Self::InformationWithAddresses
            | Self::Unicast { .. } => Rule::v6(6),
            Self::OptionLen { code: 1 | 2, .. } | Self::Short { .. } => Rule::dc(136),
            Self::OptionCut | Self::OptionLen { .. } => Rule::v6(9),
            Self::Twice { .. } | Self::Associations | Self::PrefixLen => Rule::dc(136),
            Self::Room { .. } => Rule::l2(6),
        }
    }
}

impl fmt::Display for Dhcpv6Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(error) => return fmt::Display::fmt(error, f),
            Self::Short { len } => write!(f, "a message of {len} bytes ends in its header of 4"),
            Self::OptionCut => f.write_str("an option is longer than what is around it"),
            Self::OptionLen { code, len } => write!(f, "option {code} has {len} bytes"),
            Self::Twice { code } => write!(f, "option {code} comes twice"),
            Self::Associations => {
                write!(f, "a message asks for more than {ASSOCIATIONS_MAX} things")
            }
            Self::PrefixLen => f.write_str("a prefix is longer than an address"),
            Self::NoClient { kind } => write!(f, "a message of type {kind} is from nobody"),
            Self::Server { kind } => write!(f, "a message of type {kind} names a server"),
            Self::NoServer { kind } => write!(f, "a message of type {kind} names no server"),
            Self::InformationWithAddresses => {
                f.write_str("who asks for information asks for addresses, too")
            }
            Self::Unicast { kind } => write!(f, "a message of type {kind} was sent to one server"),
            Self::Room { needed } => write!(f, "there is no room for a reply of {needed} bytes"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for Dhcpv6Error {}
