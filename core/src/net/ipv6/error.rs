//! Why a packet is dropped.

use core::fmt;
use core::net::Ipv6Addr;

use super::HEADER_LEN;
use crate::rule::Rule;

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ipv6Error {
    /// It ends in its fixed header.
    Short {
        /// Its bytes.
        len: usize,
    },
    /// Its version is another one.
    Version {
        /// The version.
        version: u8,
    },
    /// It says that more follows than there is.
    Length {
        /// Bytes that it says.
        len: u16,
        /// Bytes that there are.
        room: usize,
    },
    /// It says that a group or the loopback address sent it.
    Source {
        /// That address.
        source: Ipv6Addr,
    },
    /// It is for nobody, or for the loopback address.
    Destination {
        /// That address.
        destination: Ipv6Addr,
    },
    /// It ends in an extension header, or that ends in an option.
    ExtensionCut {
        /// The kind of that header.
        protocol: u8,
    },
}

impl Ipv6Error {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Short { .. }
            | Self::Version { .. }
            | Self::Length { .. }
            | Self::Source { .. }
            | Self::Destination { .. } => Rule::dc(130),
            Self::ExtensionCut { .. } => Rule::v6(10),
        }
    }
}

impl fmt::Display for Ipv6Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "a packet of {len} bytes ends in its header of {HEADER_LEN}")
            }
            Self::Version { version } => write!(f, "IP version {version} is not 6"),
            Self::Length { len, room } => {
                write!(f, "a packet says that {len} bytes follow its header, and {room} do")
            }
            Self::Source { source } => write!(f, "{source} sends no packets"),
            Self::Destination { destination } => {
                write!(f, "{destination} is no destination on a link")
            }
            Self::ExtensionCut { protocol } => {
                write!(f, "an extension header of kind {protocol} is cut")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for Ipv6Error {}
