//! The header in front of a frame (§3.1 to §3.5).

mod inside;
mod received;
mod sent;

pub use received::{About, Sum, receive};
pub use sent::{Sent, finish, transmit};

/// What decides about a frame.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Negotiated features, bit by bit.
    pub features: u128,
    /// `mtu` of the config space.
    pub mtu: u16,
    /// The longest frame without it.
    pub frame_max: usize,
}

impl Port {
    /// Whether a feature was negotiated.
    fn on(&self, bit: u32) -> bool {
        (self.features >> bit) % 2 == 1
    }

    /// The table of §3.1.
    #[must_use]
    pub fn header_len(&self) -> usize {
        let table: [(&[u32], usize); 4] =
            [(&[69, 70], 32), (&[67, 65], 24), (&[57], 20), (&[32, 15], 12)];
        for (bits, len) in table {
            if bits.iter().any(|bit| self.on(*bit)) {
                return len;
            }
        }
        10
    }

    /// The longest frame with so many tags that is not to be cut.
    fn limit(&self, tags: usize) -> usize {
        if self.on(3) { usize::from(self.mtu) + 14 + 4 * tags } else { self.frame_max }
    }
}

/// How a frame is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// `gso_type` without its upper bits: 1, 3, 4 or 5.
    pub value: u8,
    /// `gso_size`.
    pub size: u16,
    /// The ECN bit.
    pub ecn: bool,
    /// The tunnel.
    pub tunnel: Option<Tunnel>,
}

/// A tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// 4 or 6.
    pub version: u8,
    /// The flag `UDP_TUNNEL_CSUM`.
    pub checksum: bool,
    /// `outer_th_offset`.
    pub outer: u16,
    /// `inner_nh_offset`.
    pub inner: u16,
}

/// The headers of a frame that is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// IP version, 4 or 6.
    pub version: u8,
    /// Where the transport header begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// A little-endian number of two bytes.
fn little(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) + 256 * u16::from(bytes[at + 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_table() {
        let len = |bits: &[u32]| {
            let features = bits.iter().map(|bit| 1 << bit).sum();
            Port { features, mtu: 0, frame_max: 0 }.header_len()
        };
        assert_eq!([len(&[]), len(&[0, 1, 11]), len(&[15]), len(&[32])], [10, 10, 12, 12]);
        assert_eq!([len(&[57, 32]), len(&[65]), len(&[67, 57])], [20, 24, 24]);
        assert_eq!([len(&[69, 67]), len(&[70])], [32, 32]);
    }
}
