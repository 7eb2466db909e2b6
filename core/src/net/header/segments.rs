//! What a header says about a frame, in both directions: a partial checksum, and how the frame is
//! to be cut.

use super::features::Features;
use super::lookup::{self, Ip, Link, Missing, Transport, protocol};
use super::wire::{flags, gso};
use crate::net::checksum::Sum;

/// The largest frame that is to be cut, without its tags: Ethernet header, IPv6 header and the
/// largest payload.
pub const SEGMENTS_LEN_MAX: usize = 14 + 40 + 65535;

/// A checksum that somebody has to finish: its field holds the folded sum of the pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// Where it begins to count, from the start of the frame.
    pub start: u16,
    /// Where it goes, from `start`.
    pub offset: u16,
}

impl Checksum {
    /// Both bytes of it lie in a frame of `len` bytes, behind the Ethernet header (NET-013).
    #[must_use]
    #[inline]
    pub const fn fits(self, len: usize) -> bool {
        let (start, offset) = (self.start as usize, self.offset as usize);
        start >= crate::net::ethernet::HEADER_LEN && start + offset + 2 <= len
    }

    /// Finishes it. A sum of 0 is written as 0xffff, its other form: 0 would say that a UDP
    /// datagram has none.
    ///
    /// Gives whether it lay in the frame; if not, nothing was written.
    #[must_use]
    pub fn finish(self, frame: &mut [u8]) -> bool {
        if !self.fits(frame.len()) {
            return false;
        }
        let (start, offset) = (usize::from(self.start), usize::from(self.offset));
        let Some(covered) = frame.get_mut(start..) else { return false };
        let sum = match Sum::new().bytes(covered).finish() {
            0 => u16::MAX,
            sum => sum,
        };
        match covered.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
            Some(field) => *field = sum.to_be_bytes(),
            None => return false,
        }
        true
    }
}

/// What is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// TCP over IPv4.
    Tcp4,
    /// UDP over either version, into fragments.
    Udp,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over either version, into datagrams.
    UdpL4,
}

impl Kind {
    /// The kind of a `gso_type`, whose other bits are not looked at. None when it is no kind.
    #[must_use]
    #[inline]
    pub const fn of(gso_type: u8) -> Option<Self> {
        Some(match gso_type & gso::VALUE {
            gso::TCPV4 => Self::Tcp4,
            gso::UDP => Self::Udp,
            gso::TCPV6 => Self::Tcp6,
            gso::UDP_L4 => Self::UdpL4,
            _ => return None,
        })
    }

    /// Its `gso_type`.
    #[must_use]
    #[inline]
    pub const fn value(self) -> u8 {
        match self {
            Self::Tcp4 => gso::TCPV4,
            Self::Udp => gso::UDP,
            Self::Tcp6 => gso::TCPV6,
            Self::UdpL4 => gso::UDP_L4,
        }
    }

    /// It is TCP.
    #[must_use]
    #[inline]
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp4 | Self::Tcp6)
    }

    /// What a driver needs to send it.
    #[must_use]
    #[inline]
    pub const fn to_send(self) -> Features {
        match self {
            Self::Tcp4 => Features::HOST_TSO4,
            Self::Udp => Features::HOST_UFO,
            Self::Tcp6 => Features::HOST_TSO6,
            Self::UdpL4 => Features::HOST_USO,
        }
    }

    /// What a driver needs to be given it inside of `ip`.
    #[must_use]
    #[inline]
    pub const fn to_receive(self, ip: Ip) -> Features {
        match (self, ip) {
            (Self::Tcp4, _) => Features::GUEST_TSO4,
            (Self::Udp, _) => Features::GUEST_UFO,
            (Self::Tcp6, _) => Features::GUEST_TSO6,
            (Self::UdpL4, Ip::V4) => Features::GUEST_USO4,
            (Self::UdpL4, Ip::V6) => Features::GUEST_USO6,
        }
    }

    /// It is what was found in a frame.
    fn is(self, found: Transport) -> bool {
        match self {
            Self::Tcp4 => found.ip == Ip::V4 && found.protocol == protocol::TCP,
            Self::Tcp6 => found.ip == Ip::V6 && found.protocol == protocol::TCP,
            Self::Udp | Self::UdpL4 => found.protocol == protocol::UDP,
        }
    }

    /// Where the checksum is in its transport header.
    pub(super) const fn checksum_offset(self) -> u16 {
        if self.is_tcp() { 16 } else { 6 }
    }
}

/// How a frame is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segments {
    /// What is cut.
    pub kind: Kind,
    /// Bytes of payload in each segment, at least 1.
    pub size: u16,
    /// The segments carry congestion marks.
    pub ecn: bool,
    /// It lies in a tunnel.
    pub tunnel: Option<Tunnel>,
}

/// A tunnel in UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// What it goes over.
    pub ip: Ip,
    /// The outer checksum is partial, too.
    pub checksum: bool,
    /// Where the outer UDP header is, from the start of the frame.
    pub outer_transport: u16,
    /// Where the inner network header is, from the start of the frame.
    pub inner_network: u16,
}

impl Tunnel {
    /// The headers come one after another (spec §3.4 T14).
    #[must_use]
    #[inline]
    pub const fn is_in_order(self, checksum: Checksum, len: usize) -> bool {
        let (outer, inner) = (self.outer_transport as usize, self.inner_network as usize);
        let start = checksum.start as usize;
        outer + 8 <= inner && inner < start && start <= len
    }
}

/// The transport header that a frame is to be cut behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Headers {
    /// What it is inside of.
    pub ip: Ip,
    /// Where it begins.
    pub transport: usize,
    /// Where the payload begins: bytes of all headers of the frame.
    pub len: usize,
}

/// The frame has other headers than its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

impl Segments {
    /// Looks for the headers in a frame; none when there are too many to follow (DC-094).
    pub(super) fn headers(&self, frame: &[u8], link: Link) -> Result<Option<Headers>, Mismatch> {
        match self.find(frame, link) {
            Ok(found) if self.kind.is(found) => {
                let len = found.end(frame).ok_or(Mismatch)?;
                Ok(Some(Headers { ip: found.ip, transport: found.start, len }))
            }
            Err(Missing::Unknown) => Ok(None),
            Ok(_) | Err(Missing::Absent) => Err(Mismatch),
        }
    }

    fn find(&self, frame: &[u8], link: Link) -> Result<Transport, Missing> {
        let outer = link.network();
        let Some(tunnel) = self.tunnel else {
            let (ip, at) = outer?;
            return Transport::of(frame, ip, at);
        };
        match outer.and_then(|(ip, at)| Transport::of(frame, ip, at)) {
            Ok(found) if found.ip != tunnel.ip || found.protocol != protocol::UDP => {
                return Err(Missing::Absent);
            }
            Err(Missing::Absent) => return Err(Missing::Absent),
            Ok(_) | Err(Missing::Unknown) => {}
        }
        let at = usize::from(tunnel.inner_network);
        let ip = lookup::version(frame, at).ok_or(Missing::Absent)?;
        Transport::of(frame, ip, at)
    }

    /// The `gso_type`.
    #[must_use]
    pub(super) const fn gso_type(&self) -> u8 {
        let tunnel = match self.tunnel {
            None => 0,
            Some(Tunnel { ip: Ip::V4, .. }) => gso::TUNNEL_IPV4,
            Some(Tunnel { ip: Ip::V6, .. }) => gso::TUNNEL_IPV6,
        };
        let ecn = if self.ecn { gso::ECN } else { 0 };
        self.kind.value() | tunnel | ecn
    }

    /// The bits of `flags` besides the checksum's.
    #[must_use]
    pub(super) const fn flags(&self) -> u8 {
        match self.tunnel {
            Some(Tunnel { checksum: true, .. }) => flags::UDP_TUNNEL_CSUM,
            _ => 0,
        }
    }
}
