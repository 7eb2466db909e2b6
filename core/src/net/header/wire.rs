//! The header itself, in each of its five lengths (spec §3.1).

use super::features::{Features, HEADER_LEN_MAX};

/// Where each field begins and ends.
mod field {
    use core::ops::Range;

    pub(super) const FLAGS: usize = 0;
    pub(super) const GSO_TYPE: usize = 1;
    pub(super) const HDR_LEN: Range<usize> = 2..4;
    pub(super) const GSO_SIZE: Range<usize> = HDR_LEN.end..6;
    pub(super) const CSUM_START: Range<usize> = GSO_SIZE.end..8;
    pub(super) const CSUM_OFFSET: Range<usize> = CSUM_START.end..10;
    pub(super) const NUM_BUFFERS: Range<usize> = CSUM_OFFSET.end..12;
    pub(super) const HASH_VALUE: Range<usize> = NUM_BUFFERS.end..16;
    pub(super) const HASH_REPORT: Range<usize> = HASH_VALUE.end..18;
    pub(super) const OUTER_TH: Range<usize> = HASH_REPORT.end + 2..22;
    pub(super) const INNER_NH: Range<usize> = OUTER_TH.end..24;
    pub(super) const OUTER_NH: Range<usize> = INNER_NH.end..26;
    pub(super) const RESOURCE_ID: Range<usize> = OUTER_NH.end..30;
    pub(super) const RESOURCE_TYPE: Range<usize> = RESOURCE_ID.end..super::HEADER_LEN_MAX;
}

/// Bits of `flags`.
pub mod flags {
    /// The checksum is partial: `csum_start` and `csum_offset` say what is left to do.
    pub const NEEDS_CSUM: u8 = 1;
    /// The device found the checksum right. From a driver it says nothing.
    pub const DATA_VALID: u8 = 2;
    /// The device joined segments; the checksum fields count them.
    pub const RSC_INFO: u8 = 4;
    /// The outer checksum of a tunnel is partial, too.
    pub const UDP_TUNNEL_CSUM: u8 = 8;
    /// The frame is to be encrypted.
    pub const SECURITY: u8 = 16;
}

/// Values and bits of `gso_type`.
pub mod gso {
    /// Not to be segmented.
    pub const NONE: u8 = 0;
    /// TCP over IPv4.
    pub const TCPV4: u8 = 1;
    /// UDP, to be fragmented.
    pub const UDP: u8 = 3;
    /// TCP over IPv6.
    pub const TCPV6: u8 = 4;
    /// UDP, to be segmented.
    pub const UDP_L4: u8 = 5;
    /// The bits that hold one of the values.
    pub const VALUE: u8 = 0x1f;
    /// It is in a tunnel over IPv4.
    pub const TUNNEL_IPV4: u8 = 0x20;
    /// It is in a tunnel over IPv6.
    pub const TUNNEL_IPV6: u8 = 0x40;
    /// TCP with congestion marks.
    pub const ECN: u8 = 0x80;
}

/// The fields of a header, little-endian on the wire. One that was not negotiated is 0 here,
/// whatever the bytes say (DC-097).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Header {
    /// Bits of [`flags`].
    pub flags: u8,
    /// A value of [`gso`] with its bits.
    pub gso_type: u8,
    /// Bytes of all headers of the frame, as the sender says.
    pub hdr_len: u16,
    /// Bytes of payload in each segment.
    pub gso_size: u16,
    /// Where the checksum begins to count, from the start of the frame.
    pub csum_start: u16,
    /// Where it goes, from `csum_start`.
    pub csum_offset: u16,
    /// Buffers that hold a received frame.
    pub num_buffers: u16,
    /// The hash of a received frame.
    pub hash_value: u32,
    /// Over what it is; 0 is nothing.
    pub hash_report: u16,
    /// Where the outer transport header of a tunnel is.
    pub outer_th_offset: u16,
    /// Where the inner network header of a tunnel is.
    pub inner_nh_offset: u16,
    /// Where the outer network header is; 0 says nothing.
    pub outer_nh_offset: u16,
    /// What to encrypt with.
    pub resource_id: u32,
    /// What kind of resource that is.
    pub resource_type: u16,
}

/// There is less room than a header takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoRoom {
    /// Bytes of the header.
    pub need: usize,
    /// Bytes there are.
    pub have: usize,
}

impl core::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a header of {} bytes does not fit in {}", self.need, self.have)
    }
}

impl core::error::Error for NoRoom {}

impl Header {
    /// Reads the header in front of a frame; gives what follows it. None when there is less.
    #[must_use]
    #[inline]
    pub fn decode(features: Features, bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (front, frame) = bytes.split_at_checked(features.header_len())?;
        let mut whole = [0; HEADER_LEN_MAX];
        whole.get_mut(..front.len())?.copy_from_slice(front);
        let [f0, g0, h0, h1, s0, s1, c0, c1, o0, o1, n0, n1, rest @ ..] = whole;
        let mut header = Self {
            flags: f0,
            gso_type: g0,
            hdr_len: u16::from_le_bytes([h0, h1]),
            gso_size: u16::from_le_bytes([s0, s1]),
            csum_start: u16::from_le_bytes([c0, c1]),
            csum_offset: u16::from_le_bytes([o0, o1]),
            num_buffers: u16::from_le_bytes([n0, n1]),
            ..Self::default()
        };
        if front.len() > field::NUM_BUFFERS.end {
            header.long(features, rest);
        }
        Some((header, frame))
    }

    /// Reads what comes after the first 12 bytes.
    fn long(&mut self, features: Features, bytes: [u8; HEADER_LEN_MAX - 12]) {
        let [v0, v1, v2, v3, r0, r1, _, _, t0, t1, i0, i1, n0, n1, d0, d1, d2, d3, k0, k1] = bytes;
        if features.has(Features::HASH_REPORT) {
            self.hash_value = u32::from_le_bytes([v0, v1, v2, v3]);
            self.hash_report = u16::from_le_bytes([r0, r1]);
        }
        if features.has_any(Features::HOST_UDP_TUNNEL_GSO | Features::GUEST_UDP_TUNNEL_GSO) {
            self.outer_th_offset = u16::from_le_bytes([t0, t1]);
            self.inner_nh_offset = u16::from_le_bytes([i0, i1]);
        }
        if features.has(Features::OUT_NET_HEADER) {
            self.outer_nh_offset = u16::from_le_bytes([n0, n1]);
        }
        if features.has(Features::IPSEC) {
            self.resource_id = u32::from_le_bytes([d0, d1, d2, d3]);
            self.resource_type = u16::from_le_bytes([k0, k1]);
        }
    }

    /// Writes every byte of the header to the front of `out` (NET-034); gives its length.
    ///
    /// # Errors
    /// When `out` is shorter. Nothing is written then.
    #[inline]
    pub fn encode(&self, features: Features, out: &mut [u8]) -> Result<usize, NoRoom> {
        let (need, have) = (features.header_len(), out.len());
        let mut whole = [0; HEADER_LEN_MAX];
        self.fill_short(&mut whole);
        if need > field::NUM_BUFFERS.end {
            self.fill_long(features, &mut whole);
        }
        match (out.get_mut(..need), whole.get(..need)) {
            (Some(out), Some(bytes)) => out.copy_from_slice(bytes),
            _ => return Err(NoRoom { need, have }),
        }
        Ok(need)
    }

    /// Writes the first 12 bytes.
    #[inline]
    fn fill_short(&self, whole: &mut [u8; HEADER_LEN_MAX]) {
        whole[field::FLAGS] = self.flags;
        whole[field::GSO_TYPE] = self.gso_type;
        whole[field::HDR_LEN].copy_from_slice(&self.hdr_len.to_le_bytes());
        whole[field::GSO_SIZE].copy_from_slice(&self.gso_size.to_le_bytes());
        whole[field::CSUM_START].copy_from_slice(&self.csum_start.to_le_bytes());
        whole[field::CSUM_OFFSET].copy_from_slice(&self.csum_offset.to_le_bytes());
        whole[field::NUM_BUFFERS].copy_from_slice(&self.num_buffers.to_le_bytes());
    }

    /// Writes what was negotiated of the others; the rest stays 0.
    fn fill_long(&self, features: Features, whole: &mut [u8; HEADER_LEN_MAX]) {
        if features.has(Features::HASH_REPORT) {
            whole[field::HASH_VALUE].copy_from_slice(&self.hash_value.to_le_bytes());
            whole[field::HASH_REPORT].copy_from_slice(&self.hash_report.to_le_bytes());
        }
        if features.has_any(Features::HOST_UDP_TUNNEL_GSO | Features::GUEST_UDP_TUNNEL_GSO) {
            whole[field::OUTER_TH].copy_from_slice(&self.outer_th_offset.to_le_bytes());
            whole[field::INNER_NH].copy_from_slice(&self.inner_nh_offset.to_le_bytes());
        }
        if features.has(Features::OUT_NET_HEADER) {
            whole[field::OUTER_NH].copy_from_slice(&self.outer_nh_offset.to_le_bytes());
        }
        if features.has(Features::IPSEC) {
            whole[field::RESOURCE_ID].copy_from_slice(&self.resource_id.to_le_bytes());
            whole[field::RESOURCE_TYPE].copy_from_slice(&self.resource_type.to_le_bytes());
        }
    }

    /// All of these flags are set.
    #[must_use]
    #[inline]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Features = Features::from_bits(u128::MAX);

    #[test]
    fn every_field_has_its_place() {
        let bytes: Vec<u8> = (1..=40).collect();
        let (header, frame) = Header::decode(ALL, &bytes).unwrap();
        assert_eq!(frame, &bytes[32..]);
        assert_eq!((header.flags, header.gso_type), (1, 2));
        assert_eq!((header.hdr_len, header.gso_size), (0x0403, 0x0605));
        assert_eq!((header.csum_start, header.csum_offset), (0x0807, 0x0a09));
        assert_eq!((header.num_buffers, header.hash_value), (0x0c0b, 0x100f_0e0d));
        assert_eq!((header.hash_report, header.outer_th_offset), (0x1211, 0x1615));
        assert_eq!((header.inner_nh_offset, header.outer_nh_offset), (0x1817, 0x1a19));
        assert_eq!((header.resource_id, header.resource_type), (0x1e1d_1c1b, 0x201f));
        let mut out = [0xa5; 40];
        assert_eq!(header.encode(ALL, &mut out), Ok(32));
        // The padding is not kept.
        assert_eq!(
            (&out[..18], &out[18..20], &out[20..32]),
            (&bytes[..18], &[0; 2][..], &bytes[20..32])
        );
        assert_eq!(out[32..], [0xa5; 8]);
    }

    #[test]
    fn a_header_that_is_cut_is_none() {
        for features in [Features::default(), Features::VERSION_1, ALL] {
            let len = features.header_len();
            let mut bytes = vec![0; len];
            assert!(Header::decode(features, &bytes[..len - 1]).is_none());
            assert_eq!(Header::decode(features, &bytes), Some((Header::default(), &[][..])));
            let error = Header::default().encode(features, &mut bytes[..len - 1]).unwrap_err();
            assert_eq!(error, NoRoom { need: len, have: len - 1 });
        }
    }

    #[test]
    fn what_was_not_negotiated_is_zero() {
        let bytes = [0xff; 32];
        let (header, _) = Header::decode(Features::IPSEC, &bytes).unwrap();
        assert_eq!((header.hash_value, header.outer_th_offset, header.outer_nh_offset), (0, 0, 0));
        assert_eq!((header.resource_id, header.resource_type), (u32::MAX, u16::MAX));
        let (header, _) = Header::decode(Features::default(), &bytes).unwrap();
        assert_eq!((header.num_buffers, header.csum_offset), (0, u16::MAX));
    }
}
