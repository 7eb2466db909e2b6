//! ICMP echo (RFC 792, DC-105), so that a guest can `ping` its gateway.

use core::fmt;
use core::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::Mac;
use super::checksum::{Sum, Transport};
use super::ethernet::{self, Frame, ether_type};
use super::ipv4;
use crate::rule::Rule;

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;

/// Most addresses of a responder.
pub const ADDRESSES_MAX: usize = 8;

/// An echo request.
const ECHO_REQUEST: u8 = 8;

/// An echo reply.
const ECHO_REPLY: u8 = 0;

/// A message, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: u8,
    /// More about what it is.
    pub code: u8,
    /// Bytes 4 to 7: identifier and sequence number of an echo.
    pub rest: [u8; 4],
    /// What comes after the header.
    pub data: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes apart what a packet carries, whose protocol is ICMP.
    ///
    /// # Errors
    /// The first check that it fails. Nobody answers such a message.
    #[inline]
    pub fn parse(packet: &ipv4::Packet<'a>, transport: Transport) -> Result<Self, EchoError> {
        let bytes = packet.payload;
        let short = EchoError::Short { len: bytes.len() };
        let (header, data) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(short)?; // DC-105
        let [kind, code, _, _, rest @ ..] = *header;
        if transport == Transport::Complete {
            let sum = Sum::new().bytes(bytes).folded();
            if sum != 0xffff {
                return Err(EchoError::Checksum { sum }); // DC-105
            }
        }
        Ok(Self { kind, code, rest, data })
    }
}

/// Answers echo requests for a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 addresses.
    pub owned: ArrayVec<Ipv4Addr, ADDRESSES_MAX>,
    /// Most bytes of a packet to the guest, IPv4 header included.
    pub mtu: u16,
}

/// What comes of a message that fails no check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A reply of so many bytes.
    Reply {
        /// Bytes of the frame.
        len: usize,
    },
    /// Nothing is asked of the responder, or not in a way that it answers (DC-105).
    Silent,
}

impl Responder {
    /// Answers the ICMP packet of a frame. What is written into `out` is a whole frame: what came,
    /// with source and destination exchanged and a complete checksum.
    ///
    /// # Errors
    /// The first check that the message fails, or that there is no room for the answer.
    #[inline]
    pub fn answer(
        &self,
        frame: &Frame<'_>,
        packet: &ipv4::Packet<'_>,
        transport: Transport,
        out: &mut [u8],
    ) -> Result<Answer, EchoError> {
        if frame.destination != self.mac || !self.owned.contains(&packet.destination) {
            return Ok(Answer::Silent);
        }
        let request = Message::parse(packet, transport)?;
        let is_echo = (request.kind, request.code) == (ECHO_REQUEST, 0);
        if !is_echo || self.owned.contains(&packet.source) {
            return Ok(Answer::Silent);
        }
        let len = packet.payload.len().saturating_add(ipv4::HEADER_LEN);
        if len > self.mtu.into() {
            return Err(EchoError::TooLong { len, mtu: self.mtu }); // L2-012
        }
        let needed = len.saturating_add(ethernet::header_len(frame.tag));
        let none = EchoError::NoRoom { needed, room: out.len() };
        let out = out.get_mut(..needed).ok_or(none)?; // L2-006
        let rest = ethernet::write_header(out, frame.source, self.mac, frame.tag, ether_type::IPV4);
        let (from, to) = (packet.destination, packet.source);
        let rest = rest.and_then(|rest| {
            ipv4::write_header(rest, from, to, ipv4::protocol::ICMP, packet.payload.len())
        });
        write_reply(rest.ok_or(none)?, &request).ok_or(none)?;
        Ok(Answer::Reply { len: needed })
    }
}

/// Writes the reply to an echo request, which fills `out`.
#[inline]
fn write_reply(out: &mut [u8], request: &Message<'_>) -> Option<()> {
    let (header, data) = out.split_first_chunk_mut::<HEADER_LEN>()?;
    if data.len() != request.data.len() {
        return None;
    }
    data.copy_from_slice(request.data);
    let [r0, r1, r2, r3] = request.rest;
    let written = |[c0, c1]: [u8; 2]| [ECHO_REPLY, 0, c0, c1, r0, r1, r2, r3];
    let checksum = Sum::new().bytes(&written([0, 0])).bytes(data).finish();
    *header = written(checksum.to_be_bytes());
    Some(())
}

/// Why an echo request is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EchoError {
    /// The packet ends in the header.
    Short {
        /// Bytes that there are.
        len: usize,
    },
    /// It is damaged.
    Checksum {
        /// What its numbers sum to; 0xffff would be right.
        sum: u16,
    },
    /// The reply would be longer than the guest can take.
    TooLong {
        /// Bytes of the packet, IPv4 header included.
        len: usize,
        /// Most that it may have.
        mtu: u16,
    },
    /// The reply does not fit.
    NoRoom {
        /// Bytes of the frame.
        needed: usize,
        /// Bytes that there are.
        room: usize,
    },
}

impl EchoError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Short { .. } | Self::Checksum { .. } => Rule::dc(105),
            Self::TooLong { .. } => Rule::l2(12),
            Self::NoRoom { .. } => Rule::l2(6),
        }
    }
}

impl fmt::Display for EchoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "an ICMP message of {len} bytes ends in its header of {HEADER_LEN}")
            }
            Self::Checksum { sum } => write!(f, "an ICMP message sums to {sum:#06x}, not 0xffff"),
            Self::TooLong { len, mtu } => {
                write!(f, "an echo of {len} bytes is longer than the {mtu} of the guest")
            }
            Self::NoRoom { needed, room } => {
                write!(f, "{needed} bytes of an echo do not fit in {room}")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for EchoError {}
