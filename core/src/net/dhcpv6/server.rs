//! A server for one port.

use core::fmt;
use core::net::Ipv6Addr;

use arrayvec::ArrayVec;

use super::message::{Association, Message};
use super::reply::{Content, Reply};
use super::{ALL_SERVERS, Dhcpv6Error, SERVER_PORT, kind, status};
use crate::net::Mac;
use crate::net::checksum::Transport;
use crate::net::ethernet::Frame;
use crate::net::ipv6::udp::Datagram;
use crate::net::ipv6::{Packet, protocol};
use crate::rule::Rule;

/// Most DNS servers.
pub const DNS_MAX: usize = 4;

/// Bytes of the identifier of a server: type, hardware type and Ethernet address.
pub const SERVER_ID_LEN: usize = 10;

/// Milliseconds for which an address that was declined is not given out (DC-137).
pub const DECLINE_PAUSE: u64 = 10_000;

/// What a server gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its Ethernet address, of which its identifier is made.
    pub mac: Mac,
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// The address of the client.
    pub lease: Ipv6Addr,
    /// For how many seconds the lease is preferred; at most `valid`. It is renewed after a half of
    /// them, and anywhere after four fifths.
    pub preferred: u32,
    /// For how many seconds it is valid.
    pub valid: u32,
    /// Who asks for a reply without an offer gets one.
    pub rapid_commit: bool,
    /// DNS servers.
    pub dns: ArrayVec<Ipv6Addr, DNS_MAX>,
}

impl Config {
    /// Looks whether there can be such a server.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Self { mac, address, lease, preferred, valid, .. } = *self;
        if mac.is_group() || mac.is_zero() {
            return Err(ConfigError::Mac { mac }); // DC-139
        }
        if !address.is_unicast_link_local() {
            return Err(ConfigError::NotLinkLocal { address }); // DC-139
        }
        if lease.is_multicast() || lease.is_unspecified() || lease.is_loopback() || lease == address
        {
            return Err(ConfigError::Lease { lease }); // DC-139
        }
        if preferred > valid {
            return Err(ConfigError::Preferred { preferred, valid }); // DC-139
        }
        Ok(())
    }

    /// The identifier of the server: a DUID of type 3 (RFC 8415 §11.4).
    #[must_use]
    pub const fn server_id(&self) -> [u8; SERVER_ID_LEN] {
        let Mac([a, b, c, d, e, f]) = self.mac;
        [0, 3, 0, 1, a, b, c, d, e, f]
    }
}

/// A server that gives one address to whoever is on its port.
///
/// It keeps no list of clients: the address belongs to the port, whatever the client says who it
/// is, so that nobody can use it up.
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    /// When the address was declined, in milliseconds.
    declined: Option<u64>,
}

impl Server {
    /// A server.
    ///
    /// # Errors
    /// There can be no such server.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, declined: None })
    }

    /// Answers a packet that came in `frame`, at the time `now`, in milliseconds of any clock
    /// that does not go back. Writes the reply, a whole frame, to the front of `out`, and gives
    /// its bytes; `None` when there is nothing to say.
    ///
    /// # Errors
    /// The rule that the message breaks, or the reply does not fit.
    pub fn answer(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        transport: Transport,
        now: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, Dhcpv6Error> {
        let is_ours = frame.destination.is_group() || frame.destination == self.config.mac;
        let is_unicast = packet.destination == self.config.address;
        let reaches = is_unicast || packet.destination == ALL_SERVERS;
        if !is_ours || !reaches || packet.protocol != protocol::UDP {
            return Ok(None); // DC-138
        }
        let datagram = Datagram::parse(packet, transport).map_err(Dhcpv6Error::Udp)?;
        // The reply goes to one station of the link, which is the one that asked (DC-138).
        if datagram.destination_port != SERVER_PORT || !packet.source.is_unicast_link_local() {
            return Ok(None);
        }
        let message = Message::parse(datagram.payload)?;
        if !self.is_taken(&message, is_unicast)? {
            return Ok(None);
        }
        let Some(content) = self.content(&message, is_unicast, now) else { return Ok(None) };
        let len = Reply { config: &self.config, frame, client: packet.source, message: &message }
            .write(content, out)?;
        let has_lease = |message: &Message<'_>| {
            message.associations().any(|it| it.addresses().any(|at| at == self.config.lease))
        };
        if message.kind == kind::DECLINE && !is_unicast && has_lease(&message) {
            self.declined = Some(now); // DC-137
        }
        Ok(Some(len))
    }

    /// The table of messages (V6-006). Whether this server is asked.
    fn is_taken(&self, message: &Message<'_>, is_unicast: bool) -> Result<bool, Dhcpv6Error> {
        let kind = message.kind;
        let goes_to_all = matches!(
            kind,
            kind::SOLICIT | kind::CONFIRM | kind::REBIND | kind::INFORMATION_REQUEST
        );
        let names_server =
            matches!(kind, kind::REQUEST | kind::RENEW | kind::RELEASE | kind::DECLINE);
        if !goes_to_all && !names_server {
            return Ok(false); // DC-136
        }
        if message.client.is_none() && kind != kind::INFORMATION_REQUEST {
            return Err(Dhcpv6Error::NoClient { kind });
        }
        let is_information = kind == kind::INFORMATION_REQUEST;
        match message.server {
            Some(_) if goes_to_all && !is_information => return Err(Dhcpv6Error::Server { kind }),
            None if names_server => return Err(Dhcpv6Error::NoServer { kind }),
            _ => {}
        }
        if is_information && message.associations > 0 {
            return Err(Dhcpv6Error::InformationWithAddresses);
        }
        if goes_to_all && is_unicast {
            return Err(Dhcpv6Error::Unicast { kind });
        }
        Ok(message.server.is_none_or(|server| server == self.config.server_id()))
    }

    /// What the reply says; `None` when there is none.
    fn content(&self, message: &Message<'_>, is_unicast: bool, now: u64) -> Option<Content> {
        let is_declined = self.declined.is_some_and(|at| now.saturating_sub(at) < DECLINE_PAUSE);
        let mut content = Content::of(kind::REPLY);
        if is_unicast {
            return Some(Content { status: Some(status::USE_MULTICAST), ..content });
        }
        match message.kind {
            kind::SOLICIT => {
                let is_rapid = message.rapid_commit && self.config.rapid_commit; // V6-008
                content = Content::of(if is_rapid { kind::REPLY } else { kind::ADVERTISE });
                (content.rapid_commit, content.has_leases) = (is_rapid, true);
                (content.can_give, content.dns) = (!is_declined, message.wants_dns);
            }
            kind::REQUEST | kind::RENEW | kind::REBIND => {
                content.has_leases = true;
                (content.can_give, content.dns) = (!is_declined, message.wants_dns);
            }
            kind::CONFIRM => {
                let mut all = message.associations().flat_map(Association::addresses).peekable();
                all.peek()?;
                let on_link = all.all(|address| address == self.config.lease);
                content.status = Some(if on_link { status::SUCCESS } else { status::NOT_ON_LINK });
            }
            kind::INFORMATION_REQUEST => content.dns = message.wants_dns,
            _ => content.status = Some(status::SUCCESS),
        }
        Some(content)
    }
}

/// Why there can be no such server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// Its Ethernet address is that of a group, or of nobody.
    Mac {
        /// That address.
        mac: Mac,
    },
    /// Its address is not link-local.
    NotLinkLocal {
        /// That address.
        address: Ipv6Addr,
    },
    /// What it gives is no address of a client.
    Lease {
        /// What it gives.
        lease: Ipv6Addr,
    },
    /// The lease is preferred for longer than it is valid.
    Preferred {
        /// Seconds.
        preferred: u32,
        /// Seconds.
        valid: u32,
    },
}

impl ConfigError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        Rule::dc(139)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac { mac } => write!(f, "{mac} is not the address of one station"),
            Self::NotLinkLocal { address } => write!(f, "{address} is not link-local"),
            Self::Lease { lease } => write!(f, "{lease} is no address of a client"),
            Self::Preferred { preferred, valid } => {
                write!(f, "preferred for {preferred} s and valid for {valid} s")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for ConfigError {}
