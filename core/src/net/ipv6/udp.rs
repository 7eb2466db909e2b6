//! UDP in IPv6, where a checksum is mandatory (spec §6.3).

use core::fmt;
use core::net::Ipv6Addr;

use super::{Packet, protocol, sum};
use crate::net::checksum::Transport;
use crate::rule::Rule;

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;

/// A datagram whose checksum was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Port that it comes from.
    pub source_port: u16,
    /// Port that it goes to.
    pub destination_port: u16,
    /// What it carries. Bytes of the packet behind it are not part of it.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads the datagram of a packet. Whoever calls this knows that it carries one.
    ///
    /// # Errors
    /// The rule that it breaks. Nobody answers such a datagram.
    pub fn parse(packet: &Packet<'a>, transport: Transport) -> Result<Self, UdpError> {
        let room = packet.payload.len();
        let &[s0, s1, d0, d1, l0, l1, c0, c1] =
            packet.payload.first_chunk().ok_or(UdpError::Short { len: room })?; // L2-009
        let len = u16::from_be_bytes([l0, l1]);
        let datagram = packet.payload.get(..len.into());
        let (Some(datagram), Some(payload)) =
            (datagram, datagram.and_then(|datagram| datagram.get(HEADER_LEN..)))
        else {
            return Err(UdpError::Length { len, room }); // L2-009
        };
        if transport == Transport::Complete {
            if [c0, c1] == [0, 0] {
                return Err(UdpError::NoChecksum); // L2-011
            }
            let sum = sum(packet.source, packet.destination, protocol::UDP, datagram);
            if sum.folded() != 0xffff {
                return Err(UdpError::Checksum); // L2-010
            }
        }
        Ok(Self {
            source_port: u16::from_be_bytes([s0, s1]),
            destination_port: u16::from_be_bytes([d0, d1]),
            payload,
        })
    }
}

/// Fills in the header of a datagram whose payload is written.
#[inline]
pub fn finish(datagram: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr, ports: [u16; 2]) {
    let len = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
    let [from, to] = ports.map(u16::to_be_bytes);
    let [high, low] = len.to_be_bytes();
    if let Some(header) = datagram.first_chunk_mut::<HEADER_LEN>() {
        *header = [from[0], from[1], to[0], to[1], high, low, 0, 0];
    }
    let checksum = match sum(source, destination, protocol::UDP, datagram).finish() {
        0 => 0xffff, // L2-011
        other => other,
    };
    if let Some([.., high, low]) = datagram.first_chunk_mut::<HEADER_LEN>() {
        [*high, *low] = checksum.to_be_bytes();
    }
}

/// Why a datagram is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UdpError {
    /// It ends in its header.
    Short {
        /// Its bytes.
        len: usize,
    },
    /// Its length is that of no header, or more than there is.
    Length {
        /// The length.
        len: u16,
        /// Bytes that there are.
        room: usize,
    },
    /// It has no checksum.
    NoChecksum,
    /// Its checksum is wrong.
    Checksum,
}

impl UdpError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Short { .. } | Self::Length { .. } => Rule::l2(9),
            Self::Checksum => Rule::l2(10),
            Self::NoChecksum => Rule::l2(11),
        }
    }
}

impl fmt::Display for UdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "a datagram of {len} bytes ends in its header of {HEADER_LEN}")
            }
            Self::Length { len, room } => {
                write!(f, "a datagram says that it has {len} bytes, of {room} and no less than 8")
            }
            Self::NoChecksum => f.write_str("a datagram has no checksum"),
            Self::Checksum => f.write_str("the checksum of a datagram is wrong"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for UdpError {}
