//! Why nothing is answered.

use core::fmt;
use core::net::Ipv4Addr;

use super::PACKET_LEN;
use crate::net::Mac;
use crate::rule::Rule;

/// Why a packet is dropped, or none is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArpError {
    /// The frame ends in the packet.
    Short {
        /// Bytes that there are.
        len: usize,
    },
    /// It is not about Ethernet and IPv4, or has addresses of another length.
    Form {
        /// Hardware type (2 bytes), protocol (2), and the lengths of their addresses.
        form: [u8; 6],
    },
    /// The sender says it has no Ethernet address.
    NoSender,
    /// The sender says it is a group.
    GroupSender {
        /// What it says.
        sender: Mac,
    },
    /// The sender is not who sent the frame.
    OtherSender {
        /// What the packet says.
        sender: Mac,
        /// What the frame says.
        source: Mac,
    },
    /// Somebody uses an address of the responder. No defence is due.
    Conflict {
        /// The address.
        address: Ipv4Addr,
    },
    /// The sender does not have the address that it says, and the responder is strict.
    NotLeased {
        /// The address.
        sender: Ipv4Addr,
    },
    /// An address that is not the responder's is not announced.
    NotOwned {
        /// The address.
        address: Ipv4Addr,
    },
    /// What has to be said does not fit.
    NoRoom {
        /// Its bytes.
        needed: usize,
        /// Bytes that there are.
        room: usize,
    },
}

impl ArpError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Short { .. } | Self::Form { .. } => Rule::ar(1),
            Self::NoSender | Self::GroupSender { .. } | Self::OtherSender { .. } => Rule::ar(10),
            Self::NotLeased { .. } => Rule::ar(11),
            Self::Conflict { .. } => Rule::ar(17),
            Self::NotOwned { .. } => Rule::ar(18),
            Self::NoRoom { .. } => Rule::l2(6),
        }
    }
}

impl fmt::Display for ArpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => write!(f, "an ARP packet of {len} bytes, not {PACKET_LEN}"),
            Self::Form { form } => write!(f, "an ARP packet of the form {form:02x?}"),
            Self::NoSender => f.write_str("an ARP sender without an address"),
            Self::GroupSender { sender } => write!(f, "the ARP sender {sender} is a group"),
            Self::OtherSender { sender, source } => {
                write!(f, "the ARP sender {sender} is not the sender {source} of the frame")
            }
            Self::Conflict { address } => write!(f, "somebody uses {address}"),
            Self::NotLeased { sender } => write!(f, "the ARP sender has no lease of {sender}"),
            Self::NotOwned { address } => write!(f, "{address} is not the responder's"),
            Self::NoRoom { needed, room } => {
                write!(f, "{needed} bytes of an ARP frame do not fit in {room}")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for ArpError {}

/// Why a legal packet gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Silence {
    /// The frame is for another station.
    OtherStation,
    /// It neither asks nor answers.
    OtherOperation,
    /// It answers, or announces: nothing is asked.
    Told,
    /// It asks for an address that nobody may have, or probes for one that is not the responder's.
    NeverAnswered,
    /// It asks for an address of the guest itself.
    Guest,
    /// It asks for somebody whom the responder does not answer for.
    Stranger,
}

impl Silence {
    /// The requirement to be silent.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::OtherStation => Rule::ar(14),
            Self::OtherOperation => Rule::ar(9),
            Self::Told => Rule::ar(6),
            Self::NeverAnswered => Rule::ar(12),
            Self::Guest => Rule::ar(5),
            Self::Stranger => Rule::ar(2),
        }
    }
}

/// Why there can be no such responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// Its Ethernet address is a group, or zero: nobody could send to it or from it.
    Mac {
        /// The address.
        mac: Mac,
    },
    /// It would have an address that no host can have.
    Owned {
        /// The address.
        address: Ipv4Addr,
    },
    /// It and the guest would have the same address.
    Shared {
        /// The address.
        address: Ipv4Addr,
    },
}

impl ConfigError {
    /// The requirement that could not be kept.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Mac { .. } => Rule::ar(4),
            Self::Owned { .. } => Rule::ar(12),
            Self::Shared { .. } => Rule::ar(5),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac { mac } => write!(f, "{mac} is not the address of a station"),
            Self::Owned { address } => write!(f, "{address} is not the address of a host"),
            Self::Shared { address } => write!(f, "{address} is the guest's and the responder's"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for ConfigError {}
