//! `DHCPv6` (RFC 8415; spec §6.6): a server with one address for the one client of a port.

mod error;
mod message;
mod reply;
mod server;

pub use error::Dhcpv6Error;
pub use message::{ASSOCIATIONS_MAX, Association, Message};
pub use server::{Config, ConfigError, DECLINE_PAUSE, DNS_MAX, SERVER_ID_LEN, Server};

use core::net::Ipv6Addr;

/// The port of clients.
pub const CLIENT_PORT: u16 = 546;

/// The port of servers.
pub const SERVER_PORT: u16 = 547;

/// The group of all servers and relays of a link.
pub const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// Types of messages.
pub mod kind {
    /// Who is a server?
    pub const SOLICIT: u8 = 1;
    /// A server offers something.
    pub const ADVERTISE: u8 = 2;
    /// A client takes what a server offers.
    pub const REQUEST: u8 = 3;
    /// Do my addresses belong to this link?
    pub const CONFIRM: u8 = 4;
    /// A client wants to keep its addresses, and asks who gave them.
    pub const RENEW: u8 = 5;
    /// The same, asking anybody.
    pub const REBIND: u8 = 6;
    /// What a server says at last.
    pub const REPLY: u8 = 7;
    /// A client gives its addresses back.
    pub const RELEASE: u8 = 8;
    /// An address of a client is somebody else's.
    pub const DECLINE: u8 = 9;
    /// A client asks for everything but addresses.
    pub const INFORMATION_REQUEST: u8 = 11;
    /// A relay passes a message on.
    pub const RELAY_FORWARD: u8 = 12;
    /// A server answers over a relay.
    pub const RELAY_REPLY: u8 = 13;
}

/// Codes of options.
pub mod code {
    /// Who the client is.
    pub const CLIENT_ID: u16 = 1;
    /// Who the server is.
    pub const SERVER_ID: u16 = 2;
    /// Addresses.
    pub const IA_NA: u16 = 3;
    /// Temporary addresses.
    pub const IA_TA: u16 = 4;
    /// One address.
    pub const IA_ADDRESS: u16 = 5;
    /// Options that a client wants.
    pub const OPTION_REQUEST: u16 = 6;
    /// For how long a client has tried.
    pub const ELAPSED_TIME: u16 = 8;
    /// How something ended.
    pub const STATUS: u16 = 13;
    /// A reply without an offer before.
    pub const RAPID_COMMIT: u16 = 14;
    /// DNS servers.
    pub const DNS: u16 = 23;
    /// Prefixes.
    pub const IA_PD: u16 = 25;
    /// One prefix.
    pub const IA_PREFIX: u16 = 26;
}

/// How something ended.
pub mod status {
    /// Well.
    pub const SUCCESS: u16 = 0;
    /// There are no addresses.
    pub const NO_ADDRESSES: u16 = 2;
    /// An address does not belong to this link.
    pub const NOT_ON_LINK: u16 = 4;
    /// The client has to ask all servers.
    pub const USE_MULTICAST: u16 = 5;
    /// There are no prefixes.
    pub const NO_PREFIXES: u16 = 6;
}
