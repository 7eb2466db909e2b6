//! Where the headers inside a frame are, as far as a header in front of it speaks of them
//! (spec §3.4 T9).

use crate::net::ethernet::{HEADER_LEN, TAG_LEN, ether_type};

/// Most tags that are followed, and counted for the length of a frame (DC-092).
pub const TAGS_MAX: usize = 8;

/// Most extension headers of IPv6 that are followed (DC-094).
pub const EXTENSIONS_MAX: usize = 8;

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ip {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Protocol numbers.
pub(super) mod protocol {
    pub(in crate::net::header) const TCP: u8 = 6;
    pub(in crate::net::header) const UDP: u8 = 17;
}

/// What comes after the addresses of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) struct Link {
    /// Tags, at most [`TAGS_MAX`].
    pub(super) tags: usize,
    /// The type behind the tags; none when the frame ends before it.
    pub(super) ether_type: Option<u16>,
}

impl Link {
    /// Looks behind the tags of a frame.
    #[inline]
    pub(in crate::net) fn of(frame: &[u8]) -> Self {
        let mut at = HEADER_LEN - 2;
        let mut tags = 0;
        loop {
            let ether_type = number(frame, at);
            let is_tag = matches!(ether_type, Some(ether_type::VLAN | ether_type::SERVICE_VLAN));
            if !is_tag || tags == TAGS_MAX {
                return Self { tags, ether_type };
            }
            tags += 1;
            at += TAG_LEN;
        }
    }

    /// Bytes in front of the payload.
    #[inline]
    pub(super) const fn len(self) -> usize {
        HEADER_LEN + self.tags * TAG_LEN
    }

    /// The network header of a frame.
    pub(in crate::net) fn network(self) -> Result<(Ip, usize), Missing> {
        match self.ether_type {
            Some(ether_type::IPV4) => Ok((Ip::V4, self.len())),
            Some(ether_type::IPV6) => Ok((Ip::V6, self.len())),
            Some(ether_type::VLAN | ether_type::SERVICE_VLAN) => Err(Missing::Unknown),
            _ => Err(Missing::Absent),
        }
    }
}

/// Why no transport header was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Missing {
    /// There are more headers in front of it than are followed.
    Unknown,
    /// It is not there.
    Absent,
}

/// A transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transport {
    /// What it is inside of.
    pub(super) ip: Ip,
    /// What it is.
    pub(super) protocol: u8,
    /// Where it begins.
    pub(super) start: usize,
}

impl Transport {
    /// Follows the network header at `at`.
    pub(super) fn of(frame: &[u8], ip: Ip, at: usize) -> Result<Self, Missing> {
        let packet = frame.get(at..).ok_or(Missing::Absent)?;
        let (protocol, len) = match ip {
            Ip::V4 => v4(packet).ok_or(Missing::Absent)?,
            Ip::V6 => v6(packet)?,
        };
        Ok(Self { ip, protocol, start: at + len })
    }

    /// Where its payload begins; none when it does not lie in the frame, or is neither TCP nor
    /// UDP.
    pub(super) fn end(self, frame: &[u8]) -> Option<usize> {
        let bytes = frame.get(self.start..)?;
        let len = match self.protocol {
            protocol::TCP => {
                let header = bytes.first_chunk::<20>()?;
                usize::from(header[12] >> 4) * 4
            }
            protocol::UDP => 8,
            _ => return None,
        };
        let least = if self.protocol == protocol::TCP { 20 } else { 8 };
        (len >= least && len <= bytes.len()).then_some(self.start + len)
    }
}

/// The version that the byte at `at` shows.
pub(super) fn version(frame: &[u8], at: usize) -> Option<Ip> {
    match frame.get(at)? >> 4 {
        4 => Some(Ip::V4),
        6 => Some(Ip::V6),
        _ => None,
    }
}

/// Protocol and header length of an IPv4 packet that begins with its transport header.
fn v4(packet: &[u8]) -> Option<(u8, usize)> {
    let header = packet.first_chunk::<20>()?;
    let len = usize::from(header[0] & 0xf) * 4;
    let is_first = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
    let is_whole = header[0] >> 4 == 4 && len >= 20 && len <= packet.len();
    (is_whole && is_first).then_some((header[9], len))
}

/// The same of an IPv6 packet, behind its extension headers.
fn v6(packet: &[u8]) -> Result<(u8, usize), Missing> {
    let header = packet.first_chunk::<40>().ok_or(Missing::Absent)?;
    if header[0] >> 4 != 6 {
        return Err(Missing::Absent);
    }
    let (mut next, mut at) = (header[6], header.len());
    for _ in 0..EXTENSIONS_MAX {
        let Some(kind) = Extension::of(next) else { return Ok((next, at)) };
        let front = packet.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or(Missing::Absent)?;
        let len = match kind {
            Extension::Options => (usize::from(front[1]) + 1) * 8,
            Extension::Authentication => (usize::from(front[1]) + 2) * 4,
            Extension::Fragment if u16::from_be_bytes([front[2], front[3]]) >> 3 == 0 => 8,
            Extension::Fragment => return Err(Missing::Absent),
        };
        next = front[0];
        at += len;
        if at > packet.len() {
            return Err(Missing::Absent);
        }
    }
    if Extension::of(next).is_some() { Err(Missing::Unknown) } else { Ok((next, at)) }
}

/// How an extension header tells its length.
#[derive(Clone, Copy)]
enum Extension {
    /// In units of 8 bytes, the first not counted.
    Options,
    /// In units of 4 bytes, the first two not counted.
    Authentication,
    /// It has 8 bytes.
    Fragment,
}

impl Extension {
    const fn of(number: u8) -> Option<Self> {
        match number {
            0 | 43 | 60 => Some(Self::Options),
            44 => Some(Self::Fragment),
            51 => Some(Self::Authentication),
            _ => None,
        }
    }
}

/// A big-endian number.
#[inline]
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|number| u16::from_be_bytes(*number))
}
