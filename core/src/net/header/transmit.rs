//! Frames from the driver (spec §3.4): each rule T1 to T18 is beside the line that keeps it.

use super::Port;
use super::error::TxError;
use super::features::Features;
use super::lookup::{Ip, Link};
use super::segments::{Checksum, Headers, Kind, SEGMENTS_LEN_MAX, Segments, Tunnel};
use super::wire::{Header, flags, gso};
use crate::net::checksum::Transport;
use crate::net::ethernet::HEADER_LEN;

/// A frame of the driver, and what it asks for. There is nothing in it that was not negotiated,
/// and no place that is outside of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// What follows the header, with all tags and padding.
    pub frame: &'a [u8],
    /// The checksum that the device has to finish.
    pub checksum: Option<Checksum>,
    /// How the device has to cut it.
    pub segments: Option<Segments>,
    /// Where the headers are of a frame that is to be cut. Without it the device has to look for
    /// itself, and does not find them near. `hdr_len` is in no way part of it (NET-008).
    pub headers: Option<Headers>,
    /// Where the outer network header is, as the driver says; inside the frame (NET-016).
    pub outer_network: Option<u16>,
    /// What to encrypt it with.
    pub security: Option<Resource>,
}

/// What a frame is encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Its number.
    pub id: u32,
    /// Its kind.
    pub kind: u16,
}

impl<'a> Transmit<'a> {
    /// A frame of which nothing is said.
    const fn whole(frame: &'a [u8]) -> Self {
        Self {
            frame,
            checksum: None,
            segments: None,
            headers: None,
            outer_network: None,
            security: None,
        }
    }
    /// What is known of the checksum of its transport: never that it is right (NET-007,
    /// NET-014).
    #[must_use]
    #[inline]
    pub const fn transport(&self) -> Transport {
        match self.checksum {
            Some(_) => Transport::Partial,
            None => Transport::Complete,
        }
    }
}

/// What a driver that has one of them may use checksums for, whether or not it took `CSUM`
/// (spec §3.2).
const CHECKSUMS: Features = Features::from_bits(
    Features::CSUM.bits()
        | Features::HOST_TSO4.bits()
        | Features::HOST_TSO6.bits()
        | Features::HOST_UFO.bits()
        | Features::HOST_USO.bits(),
);

impl Port {
    /// Reads what a driver sent: the readable bytes of a chain, copied out of guest memory, and
    /// how many writable ones it has.
    ///
    /// # Errors
    /// The first rule that it breaks, in the order of DC-090. The frame is dropped then.
    #[inline]
    pub fn transmit<'a>(&self, bytes: &'a [u8], writable: u64) -> Result<Transmit<'a>, TxError> {
        if writable > 0 {
            return Err(TxError::Writable { bytes: writable }); // T2
        }
        let (len, need) = (bytes.len(), self.features.header_len());
        // What says nothing is most of what comes. Flags without meaning are in the first byte, too.
        let is_long = self.features.has_any(Features::OUT_NET_HEADER | Features::IPSEC);
        if let [0, gso::NONE, ..] = bytes
            && !is_long
            && let Some(frame) = bytes.get(need..)
            && frame.len() >= HEADER_LEN
        {
            self.check_len(frame, Link::of(frame))?;
            return Ok(Transmit::whole(frame));
        }
        let (header, frame) = match Header::decode(self.features, bytes) {
            Some((header, frame)) if !frame.is_empty() => (header, frame),
            _ => return Err(TxError::NoFrame { len, header: need }), // T1
        };
        if frame.len() < HEADER_LEN {
            return Err(TxError::ShortFrame { len: frame.len() }); // T1
        }
        if header.flags == 0 && header.gso_type == gso::NONE {
            self.check_len(frame, Link::of(frame))?;
            return Ok(self.plain(&header, frame));
        }
        self.offloaded(&header, frame)
    }

    /// A frame without checksum and segments.
    #[inline]
    fn plain<'a>(&self, header: &Header, frame: &'a [u8]) -> Transmit<'a> {
        let outer = header.outer_nh_offset;
        // NET-016: neither of them is read when it was not negotiated.
        let is_inside = usize::from(outer) >= HEADER_LEN && usize::from(outer) < frame.len();
        let is_secured = self.features.has(Features::IPSEC) && header.has(flags::SECURITY); // T15
        let resource = Resource { id: header.resource_id, kind: header.resource_type };
        Transmit {
            outer_network: is_inside.then_some(outer),
            security: is_secured.then_some(resource),
            ..Transmit::whole(frame)
        }
    }

    fn offloaded<'a>(&self, header: &Header, frame: &'a [u8]) -> Result<Transmit<'a>, TxError> {
        let kind = self.check_type(header.gso_type)?;
        self.check_flags(header)?;
        // T6: otherwise the two fields are not read. T3, T4, T17: nor is anything else.
        let checksum = header
            .has(flags::NEEDS_CSUM)
            .then_some(Checksum { start: header.csum_start, offset: header.csum_offset });
        if kind.is_some() {
            if checksum.is_none() {
                return Err(TxError::Unfinished { gso_type: header.gso_type }); // T9
            }
            if header.gso_size == 0 {
                return Err(TxError::SizeZero { gso_type: header.gso_type }); // T9
            }
        }
        let link = Link::of(frame);
        let limit = SEGMENTS_LEN_MAX + link.len() - HEADER_LEN;
        match kind {
            None => self.check_len(frame, link)?,
            Some(_) if frame.len() > limit => {
                return Err(TxError::SegmentsTooLong { len: frame.len(), limit });
            }
            Some(_) => {}
        }
        let mut transmit = Transmit { checksum, ..self.plain(header, frame) };
        if let Some(checksum) = checksum {
            if !checksum.fits(frame.len()) {
                return Err(TxError::Position { checksum, len: frame.len() }); // T7
            }
            if let Some(kind) = kind {
                let segments = segments(header, kind, checksum, frame.len())?;
                let found = segments.headers(frame, link);
                let mismatch = |_| TxError::Mismatch { gso_type: header.gso_type };
                transmit.headers = found.map_err(mismatch)?; // T9, T11
                transmit.segments = Some(segments);
            }
        }
        Ok(transmit)
    }

    /// T8, T10, T12: the type is one that may be used, with these bits.
    fn check_type(&self, gso_type: u8) -> Result<Option<Kind>, TxError> {
        let kind = Kind::of(gso_type);
        if kind.is_none() && gso_type & gso::VALUE != gso::NONE {
            return Err(TxError::Type { gso_type });
        }
        let is_tunnel = gso_type & (gso::TUNNEL_IPV4 | gso::TUNNEL_IPV6) != 0;
        let has_kind = kind.is_none_or(|kind| self.features.has(kind.to_send()));
        if !has_kind || is_tunnel && !self.features.has(Features::HOST_UDP_TUNNEL_GSO) {
            return Err(TxError::TypeFeature { gso_type });
        }
        if gso_type & gso::TUNNEL_IPV4 != 0 && gso_type & gso::TUNNEL_IPV6 != 0 {
            return Err(TxError::BothTunnels { gso_type });
        }
        if is_tunnel && kind.is_none() {
            return Err(TxError::TunnelOfNothing { gso_type });
        }
        if is_tunnel && kind == Some(Kind::Udp) {
            return Err(TxError::TunnelOfFragments { gso_type });
        }
        if gso_type & gso::ECN != 0 {
            if !kind.is_some_and(Kind::is_tcp) {
                return Err(TxError::Ecn { gso_type });
            }
            if !self.features.has(Features::HOST_ECN) {
                return Err(TxError::TypeFeature { gso_type });
            }
        }
        Ok(kind)
    }

    /// T5, T12: the flags are ones that may be used, with this type.
    fn check_flags(&self, header: &Header) -> Result<(), TxError> {
        let is_tunnel = header.gso_type & (gso::TUNNEL_IPV4 | gso::TUNNEL_IPV6) != 0;
        if header.has(flags::NEEDS_CSUM) && !self.features.has_any(CHECKSUMS) {
            return Err(TxError::ChecksumFeature);
        }
        if header.has(flags::UDP_TUNNEL_CSUM) {
            if !is_tunnel {
                return Err(TxError::TunnelChecksumAlone);
            }
            if !self.features.has(Features::HOST_UDP_TUNNEL_GSO_CSUM) {
                return Err(TxError::TunnelChecksumFeature);
            }
        }
        if is_tunnel && !header.has(flags::NEEDS_CSUM) {
            return Err(TxError::TunnelUnfinished { gso_type: header.gso_type });
        }
        if is_tunnel && header.has(flags::DATA_VALID) {
            return Err(TxError::TunnelValid { gso_type: header.gso_type });
        }
        Ok(())
    }

    /// T16: the frame is no longer than the driver may send.
    #[inline]
    fn check_len(&self, frame: &[u8], link: Link) -> Result<(), TxError> {
        let limit = self.limit(link);
        if frame.len() > limit {
            return Err(TxError::FrameTooLong { len: frame.len(), limit });
        }
        Ok(())
    }

    /// Bytes of the longest frame with such tags that is not cut.
    #[inline]
    pub(super) fn limit(&self, link: Link) -> usize {
        if self.features.has(Features::MTU) {
            usize::from(self.mtu) + link.len() // NET-017, NET-018
        } else {
            self.frame_max
        }
    }
}

/// What is to be cut, and that its tunnel is in order (T13, T14).
fn segments(
    header: &Header,
    kind: Kind,
    checksum: Checksum,
    len: usize,
) -> Result<Segments, TxError> {
    let ip = match header.gso_type & (gso::TUNNEL_IPV4 | gso::TUNNEL_IPV6) {
        0 => None,
        gso::TUNNEL_IPV4 => Some(Ip::V4),
        _ => Some(Ip::V6),
    };
    let tunnel = ip.map(|ip| Tunnel {
        ip,
        checksum: header.has(flags::UDP_TUNNEL_CSUM),
        outer_transport: header.outer_th_offset,
        inner_network: header.inner_nh_offset,
    });
    if let Some(tunnel) = tunnel
        && !tunnel.is_in_order(checksum, len)
    {
        return Err(TxError::TunnelOrder { tunnel, start: checksum.start });
    }
    let ecn = header.gso_type & gso::ECN != 0;
    Ok(Segments { kind, size: header.gso_size, ecn, tunnel })
}
