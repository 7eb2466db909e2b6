//! Why a message gets no answer.

use core::fmt;
use core::net::Ipv4Addr;

use super::message::HEADER_LEN;
use super::options::Field;
use super::{MAX_CLIENT_ID, SERVER_PORT};
use crate::net::Mac;
use crate::rule::Rule;

/// Why a message is dropped: it is malformed, or a guest must not send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DhcpError {
    /// It ends before its first option.
    Short {
        /// Its bytes.
        len: usize,
    },
    /// It is no request.
    NotARequest {
        /// Its `op`.
        op: u8,
    },
    /// It is not about Ethernet.
    Hardware {
        /// Type of the hardware address.
        htype: u8,
        /// Its bytes.
        hlen: u8,
    },
    /// Its options begin with something else than the cookie.
    Cookie {
        /// What is there.
        found: [u8; 4],
    },
    /// A field ends behind the code of an option.
    OptionWithoutLength {
        /// That field.
        field: Field,
        /// That code.
        code: u8,
    },
    /// An option is longer than what is left of its field.
    OptionPastField {
        /// That field.
        field: Field,
        /// Code of the option.
        code: u8,
        /// Its length.
        len: u8,
        /// Bytes that are left.
        left: usize,
    },
    /// It does not say what it is for.
    NoKind,
    /// An option that decides what becomes of it has a wrong length.
    Length {
        /// Code of the option.
        code: u8,
        /// Bytes of its value.
        len: usize,
    },
    /// The client has a longer name than is remembered.
    ClientId {
        /// Bytes of its name.
        len: usize,
    },
    /// It came through a relay, and the port serves none.
    Relayed {
        /// The address of the relay.
        relay: Ipv4Addr,
    },
    /// It came from an address that the guest has no business with.
    Source {
        /// That address.
        source: Ipv4Addr,
    },
    /// The client has no address of one station.
    NoStation {
        /// What it has.
        address: Mac,
    },
    /// It is not from the guest of the port.
    Stranger {
        /// An address that is not the guest's.
        address: Mac,
    },
    /// The answer does not fit into the caller's buffer. The server is as before.
    Room {
        /// Bytes of the answer, as far as it was written.
        need: usize,
        /// Bytes of the buffer.
        have: usize,
    },
}

impl DhcpError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::NotARequest { .. } | Self::Cookie { .. } | Self::NoKind => Rule::dh(1),
            Self::Short { .. } | Self::OptionWithoutLength { .. } => Rule::dh(2),
            Self::Hardware { .. } => Rule::dh(3),
            Self::OptionPastField { .. } => Rule::dh(5),
            Self::Length { .. } => Rule::dh(9),
            Self::Source { .. } => Rule::dh(47),
            Self::Relayed { .. } => Rule::dh(48),
            Self::ClientId { .. } => Rule::dc(112),
            Self::NoStation { .. } => Rule::dc(113),
            Self::Stranger { .. } => Rule::dc(114),
            Self::Room { .. } => Rule::l2(6),
        }
    }
}

impl fmt::Display for DhcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "a message of {len} bytes ends in its header of {HEADER_LEN}")
            }
            Self::NotARequest { op } => write!(f, "op {op} is no request"),
            Self::Hardware { htype, hlen } => {
                write!(f, "hardware of type {htype} with {hlen} bytes is no Ethernet")
            }
            Self::Cookie { found } => write!(f, "{found:02x?} is not the cookie"),
            Self::OptionWithoutLength { field, code } => {
                write!(f, "the field {field} ends in option {code}, before its length")
            }
            Self::OptionPastField { field, code, len, left } => {
                write!(f, "option {code} in {field} has {len} bytes, {left} are left")
            }
            Self::NoKind => f.write_str("the message has no type"),
            Self::Length { code, len } => write!(f, "option {code} has {len} bytes"),
            Self::ClientId { len } => {
                write!(f, "a client identifier of {len} bytes, more than {MAX_CLIENT_ID}")
            }
            Self::Relayed { relay } => write!(f, "relayed by {relay}"),
            Self::Source { source } => write!(f, "sent from {source}"),
            Self::NoStation { address } => write!(f, "{address} is no client"),
            Self::Stranger { address } => write!(f, "{address} is not the guest"),
            Self::Room { need, have } => {
                write!(f, "an answer of at least {need} bytes, and room for {have}")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for DhcpError {}

/// Why a legal message gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Silence {
    /// It is for another port than that of servers.
    Port {
        /// That port.
        port: u16,
    },
    /// It is neither for everybody nor for this server.
    Destination {
        /// Whom it is for.
        destination: Ipv4Addr,
    },
    /// Only servers send this type, or nobody does.
    Kind {
        /// The type.
        kind: u8,
    },
    /// The address was declined a moment ago.
    Held,
    /// The client takes the offer of another server. Ours is forgotten.
    TookAnother {
        /// That server.
        server: Ipv4Addr,
    },
    /// The client renews its lease with another server.
    RenewsElsewhere {
        /// That server.
        server: Ipv4Addr,
    },
    /// A request that names no address.
    Nothing,
    /// Somebody else may know the address that a client wants to keep.
    NotOurs {
        /// That address.
        address: Ipv4Addr,
    },
    /// The address was declined, and is held back for a while.
    Declined,
    /// Something else was declined.
    DeclinedElsewhere,
    /// The lease ended.
    Released,
    /// There is no such lease, or it is somebody else's.
    NotReleased,
    /// A client that asks for everything but an address, and has none.
    NoAddress,
    /// Such a client has an address that no host has.
    Unusable {
        /// That address.
        address: Ipv4Addr,
    },
}

impl Silence {
    /// The requirement that asks for silence.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::TookAnother { .. } => Rule::dh(24),
            Self::RenewsElsewhere { .. } => Rule::dh(29),
            Self::NotOurs { .. } => Rule::dh(31),
            Self::Declined | Self::DeclinedElsewhere => Rule::dh(33),
            Self::Held => Rule::dh(34),
            Self::Released | Self::NotReleased => Rule::dh(35),
            Self::NoAddress => Rule::dh(36),
            Self::Destination { .. } => Rule::dh(46),
            Self::Kind { .. } => Rule::dh(49),
            Self::Nothing => Rule::dh(54),
            Self::Port { .. } => Rule::dh(56),
            Self::Unusable { .. } => Rule::dc(119),
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { port } => write!(f, "for port {port}, not {SERVER_PORT}"),
            Self::Destination { destination } => write!(f, "for {destination}"),
            Self::Kind { kind } => write!(f, "clients do not send type {kind}"),
            Self::Held => f.write_str("the address was declined a moment ago"),
            Self::TookAnother { server } => write!(f, "takes the offer of {server}"),
            Self::RenewsElsewhere { server } => write!(f, "renews with {server}"),
            Self::Nothing => f.write_str("a request that names no address"),
            Self::NotOurs { address } => write!(f, "somebody else may know {address}"),
            Self::Declined => f.write_str("the address is in use elsewhere"),
            Self::DeclinedElsewhere => f.write_str("declines something else"),
            Self::Released => f.write_str("the lease is over"),
            Self::NotReleased => f.write_str("releases what it does not have"),
            Self::NoAddress => f.write_str("informs without an address"),
            Self::Unusable { address } => write!(f, "informs from {address}"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}
