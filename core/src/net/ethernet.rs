//! Ethernet II and 802.1Q (spec §6.1).

use core::fmt;

use super::Mac;
use crate::rule::Rule;

/// Bytes of a header without tags.
pub const HEADER_LEN: usize = 14;

/// Bytes of a tag.
pub const TAG_LEN: usize = 4;

/// What a frame carries.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// An 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// An 802.1ad service tag.
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// The first value that is a type: smaller ones are lengths.
const FIRST_TYPE: u16 = 0x0600;

/// The largest value that is a length.
const LAST_LENGTH: u16 = 0x05dc;

/// A tag: protocol, and priority, drop eligibility and VLAN in one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// [`VLAN`](ether_type::VLAN) or [`SERVICE_VLAN`](ether_type::SERVICE_VLAN).
    pub protocol: u16,
    /// Priority (bits 15 to 13), drop eligibility (12), VLAN (11 to 0).
    pub control: u16,
}

impl Tag {
    /// The VLAN; 0 is none, only a priority.
    #[must_use]
    #[inline]
    pub const fn vlan(self) -> u16 {
        self.control & 0xfff
    }
}

/// A frame, taken apart. There is no checksum behind it on virtio, and no least length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Who it is for.
    pub destination: Mac,
    /// Who sent it: one station.
    pub source: Mac,
    /// Its tag, if it has one. What answers it has the same (L2-004).
    pub tag: Option<Tag>,
    /// What it carries. Below 0x0600 it is the length of an 802.3 payload.
    pub ether_type: u16,
    /// What comes after the header, padding included. An 802.3 payload has no padding any more.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a frame apart.
    ///
    /// # Errors
    /// The rule that it breaks. Nobody answers such a frame.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LinkError> {
        let short = LinkError::Short { len: bytes.len() };
        let (destination, rest) = bytes.split_first_chunk().ok_or(short)?;
        let (source, rest) = rest.split_first_chunk().ok_or(short)?;
        let (value, rest) = rest.split_first_chunk().ok_or(short)?;
        let (destination, source) = (Mac(*destination), Mac(*source));
        if source.is_group() {
            return Err(LinkError::GroupSource { source }); // L2-002
        }
        let (mut ether_type, mut payload) = (u16::from_be_bytes(*value), rest);
        let mut tag = None;
        if is_tag(ether_type) {
            let cut = LinkError::TagCut { len: bytes.len() };
            let (control, rest) = payload.split_first_chunk().ok_or(cut)?; // L2-001
            let (inner, rest) = rest.split_first_chunk().ok_or(cut)?;
            tag = Some(Tag { protocol: ether_type, control: u16::from_be_bytes(*control) });
            (ether_type, payload) = (u16::from_be_bytes(*inner), rest);
            if is_tag(ether_type) {
                return Err(LinkError::TwoTags); // L2-004
            }
        }
        if ether_type < FIRST_TYPE {
            let len = usize::from(ether_type);
            payload = match payload.get(..len) {
                Some(payload) if ether_type <= LAST_LENGTH => payload,
                _ => return Err(LinkError::Length { value: ether_type }), // L2-003
            };
        }
        Ok(Self { destination, source, tag, ether_type, payload })
    }
}

/// Bytes of a header with such a tag.
#[must_use]
#[inline]
pub const fn header_len(tag: Option<Tag>) -> usize {
    if tag.is_some() { HEADER_LEN + TAG_LEN } else { HEADER_LEN }
}

/// Writes a header in front of `out`, and gives what is left of it; none when it does not fit.
#[must_use]
#[inline]
pub fn write_header(
    out: &mut [u8],
    destination: Mac,
    source: Mac,
    tag: Option<Tag>,
    ether_type: u16,
) -> Option<&mut [u8]> {
    let (at, rest) = out.split_first_chunk_mut::<6>()?;
    *at = destination.0;
    let (at, mut rest) = rest.split_first_chunk_mut::<6>()?;
    *at = source.0;
    if let Some(Tag { protocol, control }) = tag {
        for number in [protocol, control] {
            let (at, behind) = rest.split_first_chunk_mut::<2>()?;
            *at = number.to_be_bytes();
            rest = behind;
        }
    }
    let (at, rest) = rest.split_first_chunk_mut::<2>()?;
    *at = ether_type.to_be_bytes();
    Some(rest)
}

#[inline]
const fn is_tag(value: u16) -> bool {
    matches!(value, ether_type::VLAN | ether_type::SERVICE_VLAN)
}

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkError {
    /// It ends in its header.
    Short {
        /// Its bytes.
        len: usize,
    },
    /// It ends in its tag.
    TagCut {
        /// Its bytes.
        len: usize,
    },
    /// It says that a group sent it.
    GroupSource {
        /// That group.
        source: Mac,
    },
    /// It has more than one tag.
    TwoTags,
    /// What could be a type or a length is neither, or more than there is.
    Length {
        /// The value.
        value: u16,
    },
}

impl LinkError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Short { .. } | Self::TagCut { .. } => Rule::l2(1),
            Self::GroupSource { .. } => Rule::l2(2),
            Self::Length { .. } => Rule::l2(3),
            Self::TwoTags => Rule::l2(4),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "a frame of {len} bytes ends in its header of {HEADER_LEN}")
            }
            Self::TagCut { len } => write!(f, "a frame of {len} bytes ends in its tag"),
            Self::GroupSource { source } => write!(f, "the source {source} is a group"),
            Self::TwoTags => f.write_str("a frame has more than one tag"),
            Self::Length { value } => {
                write!(f, "{value:#06x} is no type, and no length of what follows")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for LinkError {}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn frame(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [Mac::BROADCAST.0, SOURCE.0].concat();
        for tag in tags {
            bytes.extend(tag.to_be_bytes());
            bytes.extend([0x20, 0x05]);
        }
        bytes.extend(ether_type.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_frame_is_taken_apart() {
        let bytes = frame(&[], ether_type::ARP, &[1, 2, 3]);
        let parsed = Frame::parse(&bytes).unwrap();
        assert_eq!((parsed.destination, parsed.source), (Mac::BROADCAST, SOURCE));
        assert_eq!((parsed.tag, parsed.ether_type), (None, ether_type::ARP));
        assert_eq!(parsed.payload, [1, 2, 3]);
        let empty = &bytes[..HEADER_LEN];
        assert_eq!(Frame::parse(empty).unwrap().payload, []);
        for len in 0..HEADER_LEN {
            assert_eq!(Frame::parse(&bytes[..len]), Err(LinkError::Short { len }));
        }
    }

    #[test]
    fn one_tag_is_kept() {
        let bytes = frame(&[ether_type::VLAN], ether_type::IPV4, &[9]);
        let parsed = Frame::parse(&bytes).unwrap();
        let tag = parsed.tag.unwrap();
        assert_eq!((tag.protocol, tag.control, tag.vlan()), (ether_type::VLAN, 0x2005, 5));
        assert_eq!((parsed.ether_type, parsed.payload), (ether_type::IPV4, &[9][..]));
        for len in HEADER_LEN..HEADER_LEN + TAG_LEN {
            assert_eq!(Frame::parse(&bytes[..len]), Err(LinkError::TagCut { len }));
        }
        let two = frame(&[ether_type::SERVICE_VLAN, ether_type::VLAN], ether_type::IPV4, &[]);
        assert_eq!(Frame::parse(&two), Err(LinkError::TwoTags));
    }

    #[test]
    fn a_length_is_no_type() {
        let trimmed = frame(&[], 2, &[7, 8, 0, 0]);
        assert_eq!(Frame::parse(&trimmed).unwrap().payload, [7, 8]);
        for value in [5, 0x05dd, 0x05ff] {
            let bytes = frame(&[], value, &[0; 4]);
            assert_eq!(Frame::parse(&bytes), Err(LinkError::Length { value }));
        }
    }

    #[test]
    fn a_group_sends_nothing() {
        let mut bytes = frame(&[], ether_type::ARP, &[]);
        bytes[6] |= 1;
        let source = Mac([3, 0, 0, 0, 0, 1]);
        assert_eq!(Frame::parse(&bytes), Err(LinkError::GroupSource { source }));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for tag in [None, Some(Tag { protocol: ether_type::VLAN, control: 0xe123 })] {
            let mut out = [0xaa; 20];
            let rest = write_header(&mut out, SOURCE, Mac([4; 6]), tag, ether_type::IPV6).unwrap();
            assert_eq!(rest.len(), 20 - header_len(tag));
            let parsed = Frame::parse(&out).unwrap();
            assert_eq!((parsed.destination, parsed.source), (SOURCE, Mac([4; 6])));
            assert_eq!((parsed.tag, parsed.ether_type), (tag, ether_type::IPV6));
            let mut short = [0; 20];
            let short = &mut short[..header_len(tag) - 1];
            assert!(write_header(short, SOURCE, SOURCE, tag, 0x0800).is_none());
        }
    }
}
