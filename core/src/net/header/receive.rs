//! Frames for the driver (spec §3.5).
//!
//! A header for the driver is made of what the device knows, not of bytes. What it must not say
//! is a mistake of the device, which is refused here before the driver sees it.

use super::error::RxError;
use super::features::Features;
use super::lookup::{Ip, Link};
use super::segments::{Checksum, Headers, Kind, SEGMENTS_LEN_MAX, Segments};
use super::wire::{Header, flags};
use super::{Port, Transmit};
use crate::net::ethernet::HEADER_LEN;

/// The largest value of `hash_report`.
pub const HASH_REPORT_MAX: u16 = 9;

/// What a device says about a frame for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receive {
    /// What it knows of the checksum.
    pub checksum: Verified,
    /// How the frame could be cut: it is longer than one of the network.
    pub segments: Option<Segments>,
    /// How it was joined, which is told with `RSC_EXT` only.
    pub joined: Option<Joined>,
    /// Its hash. A driver that did not ask is not told.
    pub hash: Option<Hash>,
    /// Buffers that hold it: 1 without `MRG_RXBUF`.
    pub buffers: u16,
}

/// What the device knows of the checksum of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Verified {
    /// It is complete; the driver checks it.
    #[default]
    No,
    /// It is right.
    Yes,
    /// It is partial.
    Partial(Checksum),
}

/// How segments were joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Joined {
    /// Segments.
    pub segments: u16,
    /// Acknowledgements that came more than once.
    pub duplicates: u16,
}

/// The hash of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash {
    /// The hash.
    pub value: u32,
    /// Over what it is, 1 to [`HASH_REPORT_MAX`].
    pub report: u16,
}

impl Default for Receive {
    /// A whole frame in one buffer, of which nothing is known. Every driver may be given that.
    fn default() -> Self {
        Self { checksum: Verified::No, segments: None, joined: None, hash: None, buffers: 1 }
    }
}

impl Receive {
    /// There is nothing to tell but the buffers: so it is with most frames.
    #[inline]
    const fn says_nothing(&self) -> bool {
        matches!(
            self,
            Self { checksum: Verified::No, segments: None, joined: None, hash: None, .. }
        )
    }
}

impl From<&Transmit<'_>> for Receive {
    /// What one driver says to the device, as the device says it to another.
    fn from(sent: &Transmit<'_>) -> Self {
        let checksum = sent.checksum.map_or(Verified::No, Verified::Partial);
        Self { checksum, segments: sent.segments, ..Self::default() }
    }
}

impl Port {
    /// The header in front of a frame for the driver.
    ///
    /// The features of the port are those that are on: a driver can switch off what it negotiated
    /// (`CTRL_GUEST_OFFLOADS`).
    ///
    /// # Errors
    /// The first rule that the device would break, in the order of DC-099.
    #[inline]
    pub fn receive(&self, frame: &[u8], about: &Receive) -> Result<Header, RxError> {
        if frame.len() < HEADER_LEN {
            return Err(RxError::ShortFrame { len: frame.len() });
        }
        self.check_buffers(about.buffers)?;
        let link = Link::of(frame);
        if about.says_nothing() {
            let limit = self.limit(link);
            if frame.len() > limit {
                return Err(RxError::FrameTooLong { len: frame.len(), limit }); // NET-019
            }
            let mut header = Header::default(); // NET-034
            if self.features.header_len() >= 12 {
                header.num_buffers = about.buffers;
            }
            return Ok(header);
        }
        self.check_checksum(about)?;
        let limit = match about.segments {
            None => self.limit(link),
            Some(_) => SEGMENTS_LEN_MAX + link.len() - HEADER_LEN,
        };
        if frame.len() > limit {
            let len = frame.len();
            return Err(match about.segments {
                None => RxError::FrameTooLong { len, limit }, // NET-019
                Some(_) => RxError::SegmentsTooLong { len, limit },
            });
        }
        let mut header = Header::default(); // NET-034
        match about.checksum {
            Verified::No => {}
            Verified::Yes => header.flags |= flags::DATA_VALID,
            Verified::Partial(checksum) => {
                if !checksum.fits(frame.len()) {
                    return Err(RxError::Position { checksum, len: frame.len() });
                }
                header.flags |= flags::NEEDS_CSUM;
                (header.csum_start, header.csum_offset) = (checksum.start, checksum.offset);
                if let Some(segments) = &about.segments {
                    self.cut(&mut header, frame, link, segments, checksum)?;
                }
            }
        }
        if let Some(Joined { segments, duplicates }) = about.joined {
            header.flags |= flags::RSC_INFO;
            (header.csum_start, header.csum_offset) = (segments, duplicates);
        }
        self.tell(&mut header, about)?;
        Ok(header)
    }

    /// NET-022, NET-023: the number of buffers.
    fn check_buffers(&self, buffers: u16) -> Result<(), RxError> {
        let is_merging = self.features.has(Features::MRG_RXBUF);
        match buffers {
            1 => Ok(()),
            0 if is_merging => Err(RxError::NoBuffer),
            _ if is_merging => Ok(()),
            _ => Err(RxError::Buffers { buffers }),
        }
    }

    /// NET-029 to NET-033: the flags are ones that this driver may be given together.
    fn check_checksum(&self, about: &Receive) -> Result<(), RxError> {
        let says_something =
            about.checksum != Verified::No || about.segments.is_some() || about.joined.is_some();
        if says_something && !self.features.has(Features::GUEST_CSUM) {
            return Err(RxError::ChecksumFeature); // NET-029
        }
        if about.joined.is_some() && !self.features.has(Features::RSC_EXT) {
            return Err(RxError::JoinedFeature); // NET-033
        }
        let Some(segments) = &about.segments else {
            return if about.joined.is_some() { Err(RxError::JoinedAlone) } else { Ok(()) };
        };
        if about.checksum == Verified::Yes && segments.tunnel.is_some() {
            return Err(RxError::TunnelValid); // NET-032
        }
        if !matches!(about.checksum, Verified::Partial(_)) {
            return Err(RxError::Unfinished { kind: segments.kind }); // NET-031
        }
        if segments.size == 0 {
            return Err(RxError::SizeZero { kind: segments.kind }); // NET-031
        }
        if about.joined.is_none() && self.features.has(Features::RSC_EXT) {
            return Err(RxError::NotJoined { kind: segments.kind });
        }
        Ok(())
    }

    /// Says how a frame could be cut, if that is true and the driver takes it.
    fn cut(
        &self,
        header: &mut Header,
        frame: &[u8],
        link: Link,
        segments: &Segments,
        checksum: Checksum,
    ) -> Result<(), RxError> {
        let Segments { kind, size, ecn, tunnel } = *segments;
        if let Some(tunnel) = tunnel {
            if kind == Kind::Udp {
                return Err(RxError::TunnelOfFragments);
            }
            if !tunnel.is_in_order(checksum, frame.len()) {
                return Err(RxError::TunnelOrder { tunnel, start: checksum.start });
            }
            (header.outer_th_offset, header.inner_nh_offset) =
                (tunnel.outer_transport, tunnel.inner_network);
        }
        if ecn && !kind.is_tcp() {
            return Err(RxError::Ecn { kind });
        }
        let found = segments.headers(frame, link).map_err(|_| RxError::Mismatch { kind })?;
        self.check_feature(segments, found)?;
        if let Some(Headers { transport, len, .. }) = found {
            let is_there = transport == usize::from(checksum.start);
            if !is_there || checksum.offset != kind.checksum_offset() {
                return Err(RxError::Elsewhere { checksum, transport });
            }
            // Longer than it can say, it says nothing, which is as legal.
            header.hdr_len = u16::try_from(len).unwrap_or_default();
        }
        header.gso_type = segments.gso_type();
        header.gso_size = size;
        header.flags |= segments.flags();
        Ok(())
    }

    /// NET-030: only what was negotiated.
    fn check_feature(&self, segments: &Segments, found: Option<Headers>) -> Result<(), RxError> {
        let Segments { kind, ecn, tunnel, .. } = *segments;
        let has_kind = match found {
            Some(Headers { ip, .. }) => self.features.has(kind.to_receive(ip)),
            None => {
                let either = kind.to_receive(Ip::V4) | kind.to_receive(Ip::V6);
                self.features.has(either)
            }
        };
        let has_tunnel = tunnel.is_none() || self.features.has(Features::GUEST_UDP_TUNNEL_GSO);
        let has_ecn = !ecn || self.features.has(Features::GUEST_ECN);
        if !(has_kind && has_tunnel && has_ecn) {
            return Err(RxError::TypeFeature { gso_type: segments.gso_type() });
        }
        let is_partial = tunnel.is_some_and(|tunnel| tunnel.checksum);
        if is_partial && !self.features.has(Features::GUEST_UDP_TUNNEL_GSO_CSUM) {
            return Err(RxError::TunnelChecksumFeature);
        }
        Ok(())
    }

    /// The fields of longer headers.
    fn tell(&self, header: &mut Header, about: &Receive) -> Result<(), RxError> {
        if self.features.header_len() >= 12 {
            header.num_buffers = about.buffers;
        }
        if let Some(Hash { value, report }) = about.hash {
            if report == 0 || report > HASH_REPORT_MAX {
                return Err(RxError::Hash { report }); // NET-035
            }
            if self.features.has(Features::HASH_REPORT) {
                (header.hash_value, header.hash_report) = (value, report);
            }
        }
        Ok(())
    }
}
