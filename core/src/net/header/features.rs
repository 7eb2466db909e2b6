//! What was negotiated, as far as frames depend on it (spec §3.1, §3.2).

use core::ops::BitOr;

/// Bytes of the longest header.
pub const HEADER_LEN_MAX: usize = 32;

/// A set of feature bits. Some of virtio-net are above 63, where no vhost-user message reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Features(u128);

impl Features {
    /// The driver may leave checksums to the device.
    pub const CSUM: Self = Self(1 << 0);
    /// The driver takes frames whose checksum is partial, or known to be right.
    pub const GUEST_CSUM: Self = Self(1 << 1);
    /// The driver may switch off what it takes.
    pub const CTRL_GUEST_OFFLOADS: Self = Self(1 << 2);
    /// The device says how long frames may be.
    pub const MTU: Self = Self(1 << 3);
    /// The device has an address for the driver.
    pub const MAC: Self = Self(1 << 5);
    /// The driver takes TCP over IPv4 that is not segmented.
    pub const GUEST_TSO4: Self = Self(1 << 7);
    /// The driver takes TCP over IPv6 that is not segmented.
    pub const GUEST_TSO6: Self = Self(1 << 8);
    /// The driver takes TCP with congestion marks that is not segmented.
    pub const GUEST_ECN: Self = Self(1 << 9);
    /// The driver takes UDP that is not fragmented.
    pub const GUEST_UFO: Self = Self(1 << 10);
    /// The device segments TCP over IPv4.
    pub const HOST_TSO4: Self = Self(1 << 11);
    /// The device segments TCP over IPv6.
    pub const HOST_TSO6: Self = Self(1 << 12);
    /// The device segments TCP with congestion marks.
    pub const HOST_ECN: Self = Self(1 << 13);
    /// The device fragments UDP.
    pub const HOST_UFO: Self = Self(1 << 14);
    /// A received frame may lie in several buffers.
    pub const MRG_RXBUF: Self = Self(1 << 15);
    /// The device says whether the link is up.
    pub const STATUS: Self = Self(1 << 16);
    /// There is a control queue.
    pub const CTRL_VQ: Self = Self(1 << 17);
    /// The driver says which addresses it receives for.
    pub const CTRL_RX: Self = Self(1 << 18);
    /// The driver says which VLANs it receives from.
    pub const CTRL_VLAN: Self = Self(1 << 19);
    /// The driver may suppress what it receives.
    pub const CTRL_RX_EXTRA: Self = Self(1 << 20);
    /// The device may ask the driver to announce itself.
    pub const GUEST_ANNOUNCE: Self = Self(1 << 21);
    /// The device has several pairs of queues.
    pub const MQ: Self = Self(1 << 22);
    /// The driver may change its address.
    pub const CTRL_MAC_ADDR: Self = Self(1 << 23);
    /// Virtio 1.0 and later.
    pub const VERSION_1: Self = Self(1 << 32);
    /// The driver says which tunnels are hashed by what is inside.
    pub const HASH_TUNNEL: Self = Self(1 << 51);
    /// The driver says for each queue how seldom it wants to be notified.
    pub const VQ_NOTF_COAL: Self = Self(1 << 52);
    /// The driver says how seldom it wants to be notified.
    pub const NOTF_COAL: Self = Self(1 << 53);
    /// The driver takes UDP over IPv4 that is not segmented.
    pub const GUEST_USO4: Self = Self(1 << 54);
    /// The driver takes UDP over IPv6 that is not segmented.
    pub const GUEST_USO6: Self = Self(1 << 55);
    /// The device segments UDP.
    pub const HOST_USO: Self = Self(1 << 56);
    /// The device tells the hash of a received frame.
    pub const HASH_REPORT: Self = Self(1 << 57);
    /// `hdr_len` of a driver is exact.
    pub const GUEST_HDRLEN: Self = Self(1 << 59);
    /// The driver says which frames go to which queue.
    pub const RSS: Self = Self(1 << 60);
    /// The device tells how many segments it joined.
    pub const RSC_EXT: Self = Self(1 << 61);
    /// The device says how fast the link is.
    pub const SPEED_DUPLEX: Self = Self(1 << 63);
    /// The driver takes tunnels in UDP that are not segmented.
    pub const GUEST_UDP_TUNNEL_GSO: Self = Self(1 << 65);
    /// The same, and the outer checksum may be partial.
    pub const GUEST_UDP_TUNNEL_GSO_CSUM: Self = Self(1 << 66);
    /// The device segments tunnels in UDP.
    pub const HOST_UDP_TUNNEL_GSO: Self = Self(1 << 67);
    /// The same, and completes the outer checksum.
    pub const HOST_UDP_TUNNEL_GSO_CSUM: Self = Self(1 << 68);
    /// The driver tells where the outer network header is.
    pub const OUT_NET_HEADER: Self = Self(1 << 69);
    /// The device encrypts.
    pub const IPSEC: Self = Self(1 << 70);

    /// A set of these bits.
    #[must_use]
    #[inline]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    #[inline]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// All of `other` is in it.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Something of `other` is in it.
    #[must_use]
    #[inline]
    pub const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is in it and not in `other`.
    #[must_use]
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Bytes of the header of every frame, in both directions (NET-001): 10, 12, 20, 24 or 32.
    ///
    /// Fields below the last one are there even when their own feature is off.
    #[must_use]
    #[inline]
    pub const fn header_len(self) -> usize {
        let tunnels = Self(Self::HOST_UDP_TUNNEL_GSO.0 | Self::GUEST_UDP_TUNNEL_GSO.0);
        if self.has_any(Self(Self::OUT_NET_HEADER.0 | Self::IPSEC.0)) {
            32
        } else if self.has_any(tunnels) {
            24
        } else if self.has(Self::HASH_REPORT) {
            20
        } else if self.has_any(Self(Self::VERSION_1.0 | Self::MRG_RXBUF.0)) {
            12
        } else {
            10
        }
    }
}

impl From<u64> for Features {
    /// The bits of a `SET_FEATURES`.
    fn from(bits: u64) -> Self {
        Self(bits.into())
    }
}

impl BitOr for Features {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_of_the_table_wins() {
        assert_eq!(Features::default().header_len(), 10);
        let mut features = Features::default();
        for (more, len) in [
            (Features::MRG_RXBUF, 12),
            (Features::VERSION_1, 12),
            (Features::HASH_REPORT, 20),
            (Features::GUEST_UDP_TUNNEL_GSO, 24),
            (Features::HOST_UDP_TUNNEL_GSO, 24),
            (Features::OUT_NET_HEADER, 32),
            (Features::IPSEC, HEADER_LEN_MAX),
        ] {
            features = features | more;
            assert_eq!((more.header_len(), features.header_len()), (len, len), "{features:?}");
        }
    }

    #[test]
    fn sets_are_compared_as_a_whole_or_in_part() {
        let both = Features::CSUM | Features::HOST_TSO4;
        assert!(both.has(Features::CSUM) && !Features::CSUM.has(both));
        assert!(Features::CSUM.has_any(both) && !Features::MTU.has_any(both));
        assert_eq!(Features::from(1 << 32), Features::VERSION_1);
        assert_eq!(Features::from_bits(both.bits()), both);
    }
}
