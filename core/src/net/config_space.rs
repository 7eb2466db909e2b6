//! The configuration space of a network device (spec §3.3).

use super::Mac;

/// Bytes of it.
pub const LEN: usize = 28;

/// Bits of `status`.
pub mod status {
    /// The link is up.
    pub const LINK_UP: u16 = 1;
    /// The driver should announce itself.
    pub const ANNOUNCE: u16 = 2;
}

/// Its fields, little-endian on the wire. A field of a feature that is not offered means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfigSpace {
    /// Address of the driver.
    pub mac: Mac,
    /// Bits of [`status`].
    pub status: u16,
    /// Pairs of queues, 1 to 0x8000.
    pub max_virtqueue_pairs: u16,
    /// Bytes of the longest packet, 68 to 65535; 0 when the device does not say.
    pub mtu: u16,
    /// Mbit/s, at most 0x7fffffff, or 0xffffffff when it is not known.
    pub speed: u32,
    /// 1 is full, 0 is half, 0xff is not known.
    pub duplex: u8,
    /// Bytes of the longest key; 0 when nothing is hashed.
    pub rss_max_key_size: u8,
    /// Entries of the longest table; 0 when frames are not distributed by hash.
    pub rss_max_indirection_table_length: u16,
    /// Bits of the kinds of hash.
    pub supported_hash_types: u32,
    /// Bits of the tunnels that are hashed by what is inside.
    pub supported_tunnel_types: u32,
}

impl ConfigSpace {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; LEN] {
        let [m0, m1, m2, m3, m4, m5] = self.mac.0;
        let [s0, s1] = self.status.to_le_bytes();
        let [p0, p1] = self.max_virtqueue_pairs.to_le_bytes();
        let [u0, u1] = self.mtu.to_le_bytes();
        let [v0, v1, v2, v3] = self.speed.to_le_bytes();
        let [l0, l1] = self.rss_max_indirection_table_length.to_le_bytes();
        let [h0, h1, h2, h3] = self.supported_hash_types.to_le_bytes();
        let [t0, t1, t2, t3] = self.supported_tunnel_types.to_le_bytes();
        let (duplex, key) = (self.duplex, self.rss_max_key_size);
        [
            m0, m1, m2, m3, m4, m5, s0, s1, p0, p1, u0, u1, v0, v1, v2, v3, duplex, key, l0, l1,
            h0, h1, h2, h3, t0, t1, t2, t3,
        ]
    }

    /// Fills `out` with the bytes from `offset` on, whatever both are. What lies behind the last
    /// field is 0 (NET-054).
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        let bytes = self.bytes();
        let start = usize::try_from(offset).unwrap_or(LEN).min(LEN);
        let inside = bytes.get(start..).unwrap_or_default();
        let padded = inside.iter().copied().chain(core::iter::repeat(0));
        out.iter_mut().zip(padded).for_each(|(to, from)| *to = from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: ConfigSpace = ConfigSpace {
        mac: Mac([1, 2, 3, 4, 5, 6]),
        status: 0x0807,
        max_virtqueue_pairs: 0x0a09,
        mtu: 0x0c0b,
        speed: 0x100f_0e0d,
        duplex: 0x11,
        rss_max_key_size: 0x12,
        rss_max_indirection_table_length: 0x1413,
        supported_hash_types: 0x1817_1615,
        supported_tunnel_types: 0x1c1b_1a19,
    };

    #[test]
    fn every_field_has_its_place() {
        let expected: Vec<u8> = (1..=28).collect();
        assert_eq!(SPACE.bytes()[..], expected);
    }

    #[test]
    fn any_window_can_be_read() {
        let all = SPACE.bytes();
        for offset in 0..40_usize {
            for len in 0..40 {
                let mut out = vec![0xa5; len];
                SPACE.read(offset as u64, &mut out);
                let at = |at: usize| all.get(offset + at).copied().unwrap_or(0);
                assert!((0..len).all(|byte| out[byte] == at(byte)), "{offset} {len}");
            }
        }
        for offset in [u64::MAX, u64::MAX - 4, 1 << 32] {
            let mut out = [0xa5; 8];
            SPACE.read(offset, &mut out);
            assert_eq!(out, [0; 8]);
        }
    }
}
