//! UDP over IPv4 (RFC 768, spec §6.3).

use core::fmt;
use core::net::SocketAddrV4;

use super::checksum::{Sum, Transport};
use super::ipv4;
use crate::rule::Rule;

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;

/// Bytes in front of the payload of a packet that [`write_headers`] writes.
pub const HEADROOM: usize = ipv4::HEADER_LEN + HEADER_LEN;

/// The port of a DHCP server: the only one that hears hosts without an address.
pub const DHCP_SERVER: u16 = 67;

/// A datagram, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Port of the sender.
    pub source_port: u16,
    /// Port that it is for.
    pub destination_port: u16,
    /// What it carries. What the packet has after it is gone.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Takes apart what a packet carries, whose protocol is UDP.
    ///
    /// # Errors
    /// The first rule that it breaks. Nobody answers such a datagram.
    #[inline]
    pub fn parse(packet: &ipv4::Packet<'a>, transport: Transport) -> Result<Self, DatagramError> {
        let bytes = packet.payload;
        let short = DatagramError::Short { len: bytes.len() };
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(short)?; // L2-009
        let [s0, s1, d0, d1, l0, l1, checksum @ ..] = *header;
        let len = u16::from_be_bytes([l0, l1]);
        let length = DatagramError::Length { value: len };
        let covered = bytes.get(..len.into()).ok_or(length)?; // L2-009
        let payload = covered.get(HEADER_LEN..).ok_or(length)?; // L2-009
        let destination_port = u16::from_be_bytes([d0, d1]);
        if packet.source.is_unspecified() && destination_port != DHCP_SERVER {
            return Err(DatagramError::Source { destination_port }); // L2-007, DC-107
        }
        // A checksum of 0 is none.
        if transport == Transport::Complete && checksum != [0, 0] {
            let sum = sum(packet.source, packet.destination, len, covered).folded();
            if sum != 0xffff {
                return Err(DatagramError::Checksum { sum }); // L2-010
            }
        }
        Ok(Self { source_port: u16::from_be_bytes([s0, s1]), destination_port, payload })
    }
}

/// Writes the headers of IPv4 and UDP in front of a payload that is in `out` already, behind
/// [`HEADROOM`] bytes, and gives the length of the packet.
///
/// The checksum is complete, because clients that read raw sockets verify it; one that would be 0
/// is 0xffff (L2-011). Nothing is written when `out` ends before the payload does, or the packet
/// would be longer than 65535 bytes.
#[must_use]
#[inline]
pub fn write_headers(
    out: &mut [u8],
    source: SocketAddrV4,
    destination: SocketAddrV4,
    payload_len: usize,
) -> Option<usize> {
    let udp_len = payload_len.checked_add(HEADER_LEN)?;
    let (from, to) = (*source.ip(), *destination.ip());
    let rest = ipv4::write_header(out, from, to, ipv4::protocol::UDP, udp_len)?;
    let datagram = rest.get_mut(..udp_len)?;
    let len = u16::try_from(udp_len).ok()?;
    let (header, _) = datagram.split_first_chunk_mut::<HEADER_LEN>()?;
    let [s0, s1] = source.port().to_be_bytes();
    let [d0, d1] = destination.port().to_be_bytes();
    let [l0, l1] = len.to_be_bytes();
    *header = [s0, s1, d0, d1, l0, l1, 0, 0];
    let checksum = match sum(from, to, len, datagram).finish() {
        0 => 0xffff, // L2-011
        checksum => checksum,
    };
    let [c0, c1] = checksum.to_be_bytes();
    let (header, _) = datagram.split_first_chunk_mut::<HEADER_LEN>()?;
    *header = [s0, s1, d0, d1, l0, l1, c0, c1];
    udp_len.checked_add(ipv4::HEADER_LEN)
}

/// The sum of a datagram of `len` bytes with its pseudo-header.
#[inline]
fn sum(from: core::net::Ipv4Addr, to: core::net::Ipv4Addr, len: u16, datagram: &[u8]) -> Sum {
    ipv4::pseudo_header(from, to, ipv4::protocol::UDP, len).bytes(datagram)
}

/// Why a datagram is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatagramError {
    /// The packet ends in the header.
    Short {
        /// Bytes that there are.
        len: usize,
    },
    /// The datagram is shorter than its header, or longer than what the packet carries.
    Length {
        /// Its bytes, header included.
        value: u16,
    },
    /// A host without an address speaks to somebody else than a DHCP server.
    Source {
        /// The port that it speaks to.
        destination_port: u16,
    },
    /// It is damaged.
    Checksum {
        /// What its numbers sum to; 0xffff would be right.
        sum: u16,
    },
}

impl DatagramError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Short { .. } | Self::Length { .. } => Rule::l2(9),
            Self::Source { .. } => Rule::l2(7),
            Self::Checksum { .. } => Rule::l2(10),
        }
    }
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "a UDP datagram of {len} bytes ends in its header of {HEADER_LEN}")
            }
            Self::Length { value } => write!(f, "a UDP datagram cannot have {value} bytes here"),
            Self::Source { destination_port } => {
                write!(f, "0.0.0.0 speaks to port {destination_port}, which is not DHCP's")
            }
            Self::Checksum { sum } => write!(f, "a UDP datagram sums to {sum:#06x}, not 0xffff"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for DatagramError {}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 67);
    const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 68);

    /// The packet of a payload.
    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut out = [vec![0xa5; HEADROOM], payload.to_vec(), vec![0xa5; 3]].concat();
        let len = write_headers(&mut out, SERVER, CLIENT, payload.len()).expect("it fits");
        assert_eq!(len, HEADROOM + payload.len());
        assert_eq!(out[len..], [0xa5; 3]);
        out.truncate(len);
        out
    }

    #[test]
    fn the_vector_of_the_specification() {
        let bytes = packet(&[0x41, 0x42]);
        assert_eq!(bytes[20..], [0, 67, 0, 68, 0, 10, 0xf2, 0x05, 0x41, 0x42]);
        let partial = ipv4::pseudo_header(*SERVER.ip(), *CLIENT.ip(), ipv4::protocol::UDP, 10);
        assert_eq!(partial.folded(), 0xcc26);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for len in [0, 1, 2, 299, 1472] {
            let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
            let bytes = packet(&payload);
            let parsed = ipv4::Packet::parse(&bytes).expect("a packet");
            let datagram = Datagram::parse(&parsed, Transport::Complete).expect("a datagram");
            let ports = (datagram.source_port, datagram.destination_port);
            assert_eq!((ports, datagram.payload), ((67, 68), &payload[..]));
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut out = [0xa5; 40];
        assert_eq!(write_headers(&mut out, SERVER, CLIENT, 13), None);
        assert_eq!(write_headers(&mut out, SERVER, CLIENT, usize::MAX), None);
        assert_eq!(out, [0xa5; 40]);
        assert_eq!(write_headers(&mut out, SERVER, CLIENT, 12), Some(40));
        let mut out = vec![0; 70_000];
        assert_eq!(write_headers(&mut out, SERVER, CLIENT, 65_507), Some(65_535));
        assert_eq!(write_headers(&mut out, SERVER, CLIENT, 65_508), None);
    }
}
