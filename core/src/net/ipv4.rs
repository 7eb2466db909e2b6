//! IPv4 (RFC 791, spec §6.3).

use core::fmt;
use core::net::Ipv4Addr;

use super::checksum::Sum;
use crate::rule::Rule;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

/// Hops that a packet of ours may make (DC-106).
pub const TTL: u8 = 64;

/// What a packet carries.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// UDP.
    pub const UDP: u8 = 17;
}

/// "Don't fragment", in the number that also holds the fragment offset.
const DONT_FRAGMENT: u16 = 0x4000;

/// "More fragments" and the fragment offset. The bit above them has no meaning.
const FRAGMENT: u16 = 0x3fff;

/// A packet, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Who sent it: one host, or 0.0.0.0 in front of UDP, which then has to be for a DHCP server.
    pub source: Ipv4Addr,
    /// Who it is for.
    pub destination: Ipv4Addr,
    /// What it carries.
    pub protocol: u8,
    /// Hops that are left; not 0.
    pub ttl: u8,
    /// What comes after header and options, without padding (L2-005).
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes a packet apart: the payload of a frame, padding and all.
    ///
    /// Options are skipped, whatever is in them. The checksum of the header is never left to the
    /// device, so it is always compared.
    ///
    /// # Errors
    /// The first rule that it breaks. Nobody answers such a packet.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let short = PacketError::Short { len: bytes.len() };
        let fixed: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(short)?; // L2-007
        let [first, _, l0, l1, _, _, f0, f1, ttl, protocol, _, _, addresses @ ..] = *fixed;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        if first >> 4 != 4 {
            return Err(PacketError::Version { version: first >> 4 }); // L2-007
        }
        let header_len = usize::from(first & 0xf) * 4;
        let ends = PacketError::HeaderLength { len: header_len };
        if header_len < HEADER_LEN {
            return Err(ends); // L2-007
        }
        let (header, _) = bytes.split_at_checked(header_len).ok_or(ends)?; // L2-007
        let total = u16::from_be_bytes([l0, l1]);
        let total_length = PacketError::TotalLength { value: total };
        let payload = bytes.get(header_len..usize::from(total)).ok_or(total_length)?; // L2-007
        let sum = Sum::new().bytes(header).folded();
        if sum != 0xffff {
            return Err(PacketError::Checksum { sum }); // L2-007
        }
        if ttl == 0 {
            return Err(PacketError::Ttl); // L2-007
        }
        let source = Ipv4Addr::new(s0, s1, s2, s3);
        let is_host = !source.is_unspecified() || protocol == protocol::UDP;
        if !is_host || s0 == 127 || s0 >= 224 {
            return Err(PacketError::Source { source }); // L2-007
        }
        let fragment = u16::from_be_bytes([f0, f1]) & FRAGMENT;
        if fragment != 0 {
            return Err(PacketError::Fragment { fragment }); // L2-008
        }
        let destination = Ipv4Addr::new(d0, d1, d2, d3);
        Ok(Self { source, destination, protocol, ttl, payload })
    }
}

/// What the checksum of a transport protocol covers besides its own bytes.
///
/// `len` are the bytes of transport header and payload.
#[must_use]
#[inline]
pub const fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> Sum {
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = destination.octets();
    Sum::new()
        .word(u16::from_be_bytes([s0, s1]))
        .word(u16::from_be_bytes([s2, s3]))
        .word(u16::from_be_bytes([d0, d1]))
        .word(u16::from_be_bytes([d2, d3]))
        .word(u16::from_be_bytes([0, protocol]))
        .word(len)
}

/// Writes a header in front of `out`, for a payload of `payload_len` bytes, and gives what is left
/// of `out`.
///
/// A reply is no answer to type of service or options, and never a fragment: identification 0,
/// "don't fragment", 64 hops (DC-106). Nothing is written when the packet would not fit, or would
/// be longer than 65535 bytes.
#[must_use]
#[inline]
pub fn write_header(
    out: &mut [u8],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload_len: usize,
) -> Option<&mut [u8]> {
    let total = payload_len.checked_add(HEADER_LEN)?;
    if total > out.len() {
        return None;
    }
    let [l0, l1] = u16::try_from(total).ok()?.to_be_bytes();
    let [f0, f1] = DONT_FRAGMENT.to_be_bytes();
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = destination.octets();
    let written = |[c0, c1]: [u8; 2]| {
        [0x45, 0, l0, l1, 0, 0, f0, f1, TTL, protocol, c0, c1, s0, s1, s2, s3, d0, d1, d2, d3]
    };
    let checksum = Sum::new().bytes(&written([0, 0])).finish();
    let (at, rest) = out.split_first_chunk_mut::<HEADER_LEN>()?;
    *at = written(checksum.to_be_bytes());
    Some(rest)
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketError {
    /// The frame ends in the header.
    Short {
        /// Bytes that there are.
        len: usize,
    },
    /// It is not of version 4.
    Version {
        /// The version.
        version: u8,
    },
    /// The header is shorter than it can be, or longer than what there is.
    HeaderLength {
        /// Its bytes, options included.
        len: usize,
    },
    /// The packet is shorter than its header, or longer than what there is.
    TotalLength {
        /// Its bytes, header included.
        value: u16,
    },
    /// The header is damaged.
    Checksum {
        /// What its numbers sum to; 0xffff would be right.
        sum: u16,
    },
    /// No hops are left.
    Ttl,
    /// Nobody can have sent it: a group, a loopback or reserved address, or none at all.
    Source {
        /// The address.
        source: Ipv4Addr,
    },
    /// It is part of a packet. A responder puts nothing together.
    Fragment {
        /// "More fragments" (bit 13) and the offset in units of 8 bytes.
        fragment: u16,
    },
}

impl PacketError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Short { .. }
            | Self::Version { .. }
            | Self::HeaderLength { .. }
            | Self::TotalLength { .. }
            | Self::Checksum { .. }
            | Self::Ttl
            | Self::Source { .. } => Rule::l2(7),
            Self::Fragment { .. } => Rule::l2(8),
        }
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "an IPv4 packet of {len} bytes ends in its header of {HEADER_LEN}")
            }
            Self::Version { version } => write!(f, "version {version} of IP is not IPv4"),
            Self::HeaderLength { len } => write!(f, "an IPv4 header cannot have {len} bytes here"),
            Self::TotalLength { value } => {
                write!(f, "an IPv4 packet cannot have {value} bytes here")
            }
            Self::Checksum { sum } => write!(f, "an IPv4 header sums to {sum:#06x}, not 0xffff"),
            Self::Ttl => f.write_str("an IPv4 packet has no hops left"),
            Self::Source { source } => write!(f, "{source} sends no IPv4 packet"),
            Self::Fragment { fragment } => write!(f, "an IPv4 fragment, {fragment:#06x}"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for PacketError {}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const DESTINATION: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

    #[test]
    fn the_vector_of_the_specification() {
        let mut out = [0xa5; 328];
        let rest =
            write_header(&mut out, SOURCE, DESTINATION, protocol::UDP, 308).expect("it fits");
        assert_eq!(rest.len(), 308);
        let header =
            [0x45, 0, 1, 0x48, 0, 0, 0x40, 0, 0x40, 0x11, 0x6d, 0x9a, 10, 0, 0, 1, 192, 0, 2, 10];
        assert_eq!(out[..20], header);
        assert!(out[20..].iter().all(|byte| *byte == 0xa5));
        let packet = Packet::parse(&out).expect("a packet");
        assert_eq!((packet.source, packet.destination), (SOURCE, DESTINATION));
        assert_eq!((packet.protocol, packet.ttl), (protocol::UDP, 64));
        assert_eq!(packet.payload, [0xa5; 308]);
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut out = [0xa5; 30];
        assert!(write_header(&mut out, SOURCE, DESTINATION, 1, 11).is_none());
        assert!(write_header(&mut out, SOURCE, DESTINATION, 1, usize::MAX).is_none());
        assert_eq!(out, [0xa5; 30]);
        let mut out = vec![0; 70_000];
        assert!(write_header(&mut out, SOURCE, DESTINATION, 1, 0xffff - 20).is_some());
        assert!(write_header(&mut out, SOURCE, DESTINATION, 1, 0xffff - 19).is_none());
    }

    #[test]
    fn options_are_skipped_and_padding_is_cut_off() {
        let mut bytes = [0_u8; 40];
        bytes[0] = 0x47;
        bytes[3] = 30;
        bytes[8] = 1;
        bytes[9] = protocol::ICMP;
        bytes[12..16].copy_from_slice(&SOURCE.octets());
        bytes[20..28].copy_from_slice(&[0x83, 7, 4, 1, 2, 3, 4, 0]);
        let checksum = Sum::new().bytes(&bytes[..28]).finish();
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
        bytes[28..].copy_from_slice(&[9, 8, 0xee, 0xee, 0xee, 0xee, 1, 1, 1, 1, 1, 1]);
        assert_eq!(Packet::parse(&bytes).expect("a packet").payload, [9, 8]);
    }
}
