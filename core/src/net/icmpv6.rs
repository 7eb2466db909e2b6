//! `ICMPv6` and its echo (RFC 4443; spec §6.6, DC-131).

use core::fmt;
use core::net::Ipv6Addr;

use super::checksum::Transport;
use super::ipv6::{self, Packet, protocol};
use crate::rule::Rule;

/// Bytes of type, code and checksum.
pub const HEADER_LEN: usize = 4;

/// Least bytes of an echo: header, identifier and sequence number.
pub const ECHO_LEN: usize = 8;

/// Types of messages.
pub mod kind {
    /// An echo is asked for.
    pub const ECHO_REQUEST: u8 = 128;
    /// An echo.
    pub const ECHO_REPLY: u8 = 129;
    /// Who is a router?
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// What a router says of itself.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Who has an address?
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// What the owner of an address says.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// A router knows a better way.
    pub const REDIRECT: u8 = 137;
}

/// Whether a type belongs to neighbour discovery (RFC 4861).
#[must_use]
#[inline]
pub const fn is_neighbor_discovery(kind: u8) -> bool {
    matches!(kind, kind::ROUTER_SOLICITATION..=kind::REDIRECT)
}

/// A message whose checksum was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type, of [`kind`] or any other.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// What comes after the checksum.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the message of a packet. Whoever calls this knows that it carries one.
    ///
    /// # Errors
    /// The rule that it breaks. Nobody answers such a message.
    #[inline]
    pub fn parse(packet: &Packet<'a>, transport: Transport) -> Result<Self, Icmpv6Error> {
        let short = Icmpv6Error::Short { len: packet.payload.len() };
        let (&[kind, code, _, _], body) =
            packet.payload.split_first_chunk::<HEADER_LEN>().ok_or(short)?;
        // The sum is never 0, because the pseudo-header has the protocol in it.
        if transport == Transport::Complete && packet.sum().folded() != 0xffff {
            return Err(Icmpv6Error::Checksum { kind }); // V6-001, L2-010
        }
        Ok(Self { kind, code, body })
    }

    /// What an echo request wants to have back: identifier, sequence number and data; `None` when
    /// this is none.
    ///
    /// # Errors
    /// It ends before its data.
    #[inline]
    pub fn echo_request(&self) -> Result<Option<&'a [u8]>, Icmpv6Error> {
        if (self.kind, self.code) != (kind::ECHO_REQUEST, 0) {
            return Ok(None);
        }
        let len = self.body.len().saturating_add(HEADER_LEN);
        if len < ECHO_LEN {
            return Err(Icmpv6Error::EchoShort { len }); // DC-131
        }
        Ok(Some(self.body))
    }
}

/// Fills in the checksum of a message that is written, code and body included.
#[inline]
pub fn finish(message: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr) {
    if let Some([_, _, high, low]) = message.first_chunk_mut::<HEADER_LEN>() {
        (*high, *low) = (0, 0);
    }
    let sum = ipv6::sum(source, destination, protocol::ICMPV6, message).finish();
    if let Some([_, _, high, low]) = message.first_chunk_mut::<HEADER_LEN>() {
        [*high, *low] = sum.to_be_bytes();
    }
}

/// Why a message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icmpv6Error {
    /// It ends in its header.
    Short {
        /// Its bytes.
        len: usize,
    },
    /// Its checksum is wrong.
    Checksum {
        /// Its type.
        kind: u8,
    },
    /// It asks for an echo and ends before its data.
    EchoShort {
        /// Its bytes.
        len: usize,
    },
}

impl Icmpv6Error {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Checksum { kind } if is_neighbor_discovery(kind) => Rule::v6(1),
            Self::Short { .. } | Self::Checksum { .. } | Self::EchoShort { .. } => Rule::dc(131),
        }
    }
}

impl fmt::Display for Icmpv6Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "a message of {len} bytes ends in its header of {HEADER_LEN}")
            }
            Self::Checksum { kind } => {
                write!(f, "the checksum of a message of type {kind} is wrong")
            }
            Self::EchoShort { len } => {
                write!(f, "an echo request of {len} bytes has no {ECHO_LEN}")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for Icmpv6Error {}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

    fn packet(payload: &[u8]) -> Packet<'_> {
        let destination = ipv6::ALL_NODES;
        Packet { source: SOURCE, destination, hop_limit: 1, protocol: protocol::ICMPV6, payload }
    }

    #[test]
    fn what_is_finished_is_read() {
        let mut bytes = [kind::ECHO_REQUEST, 0, 9, 9, 0, 1, 0, 2, 7];
        finish(&mut bytes, SOURCE, ipv6::ALL_NODES);
        let message = Message::parse(&packet(&bytes), Transport::Complete).unwrap();
        assert_eq!(message.echo_request(), Ok(Some(&[0, 1, 0, 2, 7][..])));
        bytes[8] ^= 1;
        let wrong = Icmpv6Error::Checksum { kind: kind::ECHO_REQUEST };
        assert_eq!(Message::parse(&packet(&bytes), Transport::Complete), Err(wrong));
        assert!(Message::parse(&packet(&bytes), Transport::Partial).is_ok());
    }

    #[test]
    fn a_short_message_is_no_message() {
        for len in 0..HEADER_LEN {
            let got = Message::parse(&packet(&[128; 3][..len.min(3)]), Transport::Partial);
            assert_eq!(got, Err(Icmpv6Error::Short { len }));
        }
        let body: &[u8] = &[0; 3];
        let echo = Message { kind: kind::ECHO_REQUEST, code: 0, body };
        assert_eq!(echo.echo_request(), Err(Icmpv6Error::EchoShort { len: 7 }));
        assert_eq!(Message { code: 1, ..echo }.echo_request(), Ok(None));
    }
}
