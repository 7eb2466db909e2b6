//! IPv6 (RFC 8200; spec §6.6).

mod error;
mod extension;
pub mod udp;

use core::net::Ipv6Addr;

pub use error::Ipv6Error;
pub use extension::EXTENSIONS_MAX;

use super::Mac;
use super::checksum::Sum;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;

/// Most bytes behind the fixed header: without jumbograms the length has 16 bits.
pub const PAYLOAD_MAX: usize = 0xffff;

/// What follows a header.
pub mod protocol {
    /// Options for every hop; only directly behind the fixed header.
    pub const HOP_BY_HOP: u8 = 0;
    /// UDP.
    pub const UDP: u8 = 17;
    /// A list of hops.
    pub const ROUTING: u8 = 43;
    /// One fragment of a packet.
    pub const FRAGMENT: u8 = 44;
    /// `ICMPv6`.
    pub const ICMPV6: u8 = 58;
    /// Nothing.
    pub const NONE: u8 = 59;
    /// Options for the destination.
    pub const DESTINATION: u8 = 60;
}

/// All nodes of a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// All routers of a link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The group of an address that those who look for its owner ask: `ff02::1:ff00:0/104` and the low
/// 24 bits of the address.
#[must_use]
#[inline]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., x, y, z] = address.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z])
}

/// It is the group of some address.
#[must_use]
#[inline]
pub fn is_solicited_node(address: Ipv6Addr) -> bool {
    address == solicited_node(address)
}

/// The Ethernet address of a group: 33:33 and the low 32 bits (spec §6.1).
#[must_use]
#[inline]
pub const fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., w, x, y, z] = group.octets();
    Mac([0x33, 0x33, w, x, y, z])
}

/// A packet, taken apart: its extension headers are behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Who sent it; no group, and not `::1`.
    pub source: Ipv6Addr,
    /// Who it is for; neither :: nor `::1`.
    pub destination: Ipv6Addr,
    /// Hops that were left.
    pub hop_limit: u8,
    /// What it carries, of [`protocol`], and no extension header.
    pub protocol: u8,
    /// What comes after all headers, without padding (L2-005).
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes a packet apart. `None` is a legal packet that nobody here reads: a fragment, or one
    /// whose extension headers are unknown, too many, or demand that it is dropped (V6-010,
    /// DC-130).
    ///
    /// # Errors
    /// The rule that it breaks. Nobody answers such a packet.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, Ipv6Error> {
        let short = Ipv6Error::Short { len: bytes.len() };
        let (&[first, _, _, _, high, low, next, hop_limit], rest) =
            bytes.split_first_chunk().ok_or(short)?;
        let (source, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
        let (destination, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
        if first >> 4 != 6 {
            return Err(Ipv6Error::Version { version: first >> 4 }); // DC-130
        }
        let len = u16::from_be_bytes([high, low]);
        let Some(payload) = rest.get(..usize::from(len)) else {
            return Err(Ipv6Error::Length { len, room: rest.len() }); // DC-130
        };
        let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
        if source.is_multicast() || source.is_loopback() {
            return Err(Ipv6Error::Source { source }); // DC-130
        }
        if destination.is_unspecified() || destination.is_loopback() {
            return Err(Ipv6Error::Destination { destination }); // DC-130
        }
        let Some((protocol, payload)) = extension::skip(next, payload)? else {
            return Ok(None);
        };
        Ok(Some(Self { source, destination, hop_limit, protocol, payload }))
    }

    /// The sum of the pseudo-header and the payload; 0xffff when a checksum in it is correct.
    #[must_use]
    #[inline]
    pub fn sum(&self) -> Sum {
        sum(self.source, self.destination, self.protocol, self.payload)
    }
}

/// The sum of a pseudo-header and the payload that it belongs to, of at most [`PAYLOAD_MAX`]
/// bytes.
#[must_use]
#[inline]
pub fn sum(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, payload: &[u8]) -> Sum {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    Sum::new()
        .bytes(&source.octets())
        .bytes(&destination.octets())
        .word(len)
        .word(protocol.into())
        .bytes(payload)
}

/// Writes a header for `len` bytes of payload in front of `out`, and gives what is left of it;
/// none when it does not fit, or the payload is too long for a header.
#[must_use]
#[inline]
pub fn write_header(
    out: &mut [u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    hop_limit: u8,
    len: usize,
) -> Option<&mut [u8]> {
    let [high, low] = u16::try_from(len).ok()?.to_be_bytes();
    let (at, rest) = out.split_first_chunk_mut()?;
    *at = [0x60, 0, 0, 0, high, low, protocol, hop_limit];
    let (at, rest) = rest.split_first_chunk_mut()?;
    *at = source.octets();
    let (at, rest) = rest.split_first_chunk_mut()?;
    *at = destination.octets();
    Some(rest)
}

/// Writes bytes one after another. What is written is never looked at again, and what does not
/// fit is an end without harm.
#[derive(Debug)]
pub(crate) struct Pen<'a> {
    rest: &'a mut [u8],
}

impl<'a> Pen<'a> {
    /// Begins at the front of these bytes.
    pub(crate) const fn new(rest: &'a mut [u8]) -> Self {
        Self { rest }
    }

    /// Writes bytes; nothing when they do not fit.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let (at, rest) = core::mem::take(&mut self.rest).split_at_mut_checked(bytes.len())?;
        at.copy_from_slice(bytes);
        self.rest = rest;
        Some(())
    }

    /// Writes an address.
    #[inline]
    pub(crate) fn address(&mut self, address: Ipv6Addr) -> Option<()> {
        self.put(&address.octets())
    }

    /// What is left.
    pub(crate) const fn rest(&self) -> &[u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests;
