//! DHCP over IPv4, for one port of one guest (RFC 2131, RFC 2132, RFC 3396, RFC 3442, RFC 6842;
//! spec §6.4, §6.5).
//!
//! * [`Message`]: a bounded view of what a client sent. Nothing is copied: a value that was split
//!   over several options stays where it is, and is read piece by piece ([`Value`]).
//! * [`Config`]: what the port hands out. It is checked once, when a [`Server`] is made of it.
//! * [`Server`]: a message in, at most one answer out. It holds one address, at most one offer and
//!   at most one lease, however many clients the guest pretends to be (DH-050).
//!
//! There is no clock and no socket here: the time comes in as milliseconds, and where an answer
//! has to go is told beside it ([`Answer`]).

mod config;
mod error;
mod message;
mod options;
mod parameters;
mod reply;
mod server;

pub use config::{
    Config, ConfigError, DEFAULT_DNS, DEFAULT_HOLD_MS, DEFAULT_LEASE, INFINITE, Route,
};
pub use error::{DhcpError, Silence};
pub use message::{HEADER_LEN, Message};
pub use options::{Field, Options, Value};
pub use server::{Answer, Client, Lease, Outcome, Request, Server};

/// The UDP port of servers.
pub const SERVER_PORT: u16 = 67;

/// The UDP port of clients.
pub const CLIENT_PORT: u16 = 68;

/// What the options begin behind.
pub const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];

/// Bit 15 of the flags: the client cannot take unicast yet. The other bits mean nothing (DH-004).
pub const BROADCAST: u16 = 0x8000;

/// Bytes of UDP payload that every reply has at least (DH-042).
pub const MIN_REPLY: usize = 300;

/// Bytes of the IP datagram that every client takes (DH-041).
pub const MIN_DATAGRAM: u16 = 576;

/// Bytes of the headers of IPv4 and UDP in front of a payload.
pub const DATAGRAM_HEADERS: usize = 28;

/// Bytes of the longest client identifier that is served (DC-112).
pub const MAX_CLIENT_ID: usize = 255;

/// What a message is for: the value of option 53.
pub mod kind {
    /// A client looks for servers.
    pub const DISCOVER: u8 = 1;
    /// A server offers an address.
    pub const OFFER: u8 = 2;
    /// A client wants an address, or to keep it.
    pub const REQUEST: u8 = 3;
    /// A client found its address in use.
    pub const DECLINE: u8 = 4;
    /// A server gives what was wanted.
    pub const ACK: u8 = 5;
    /// A server refuses what was wanted.
    pub const NAK: u8 = 6;
    /// A client gives its address back.
    pub const RELEASE: u8 = 7;
    /// A client has an address and wants the rest.
    pub const INFORM: u8 = 8;
}

/// Codes of options (RFC 2132, and those named beside them).
pub mod option {
    /// A byte without a meaning; it has no length.
    pub const PAD: u8 = 0;
    /// Subnet mask.
    pub const MASK: u8 = 1;
    /// Routers.
    pub const ROUTER: u8 = 3;
    /// Name servers.
    pub const DNS: u8 = 6;
    /// Host name.
    pub const HOST_NAME: u8 = 12;
    /// Domain name.
    pub const DOMAIN: u8 = 15;
    /// MTU of the link.
    pub const MTU: u8 = 26;
    /// Broadcast address.
    pub const BROADCAST: u8 = 28;
    /// Time servers.
    pub const NTP: u8 = 42;
    /// The address that a client wants.
    pub const REQUESTED: u8 = 50;
    /// Seconds of the lease.
    pub const LEASE: u8 = 51;
    /// Options go on in the fields `file` (1), `sname` (2) or both (3).
    pub const OVERLOAD: u8 = 52;
    /// What the message is for: see [`kind`](super::kind).
    pub const KIND: u8 = 53;
    /// The address of the server.
    pub const SERVER: u8 = 54;
    /// The options that a client wants.
    pub const PARAMETERS: u8 = 55;
    /// Words for a person.
    pub const TEXT: u8 = 56;
    /// Bytes of the longest IP datagram that a client takes.
    pub const MAX_SIZE: u8 = 57;
    /// T1: seconds until the client asks its server again.
    pub const RENEWAL: u8 = 58;
    /// T2: seconds until it asks any server.
    pub const REBINDING: u8 = 59;
    /// Client identifier.
    pub const CLIENT_ID: u8 = 61;
    /// Name of the boot server.
    pub const TFTP_SERVER: u8 = 66;
    /// Name of the boot file.
    pub const BOOT_FILE: u8 = 67;
    /// Rapid commit (RFC 4039).
    pub const RAPID_COMMIT: u8 = 80;
    /// Relay agent information (RFC 3046).
    pub const RELAY: u8 = 82;
    /// Classless routes (RFC 3442).
    pub const ROUTES: u8 = 121;
    /// The same under the code that it had before it was assigned.
    pub const OLD_ROUTES: u8 = 249;
    /// The last option of a field; it has no length.
    pub const END: u8 = 255;
}
