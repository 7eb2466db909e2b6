//! Frames to be cut, and inputs of the target `net_header` around them.

use vhost_fuzz_core::net::checksum::Sum;
use vhost_fuzz_core::net::header::{
    Checksum, Features, HEADER_LEN_MAX, Hash, Header, Ip, Joined, Kind, Receive, Segments, Tunnel,
    Verified, flags, gso,
};

use crate::target::net_header::{ABOUT_LEN, HAS_HASH};

/// What a frame has inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Tags.
    pub tags: usize,
    /// The network protocol.
    pub ip: Ip,
    /// Extension headers of IPv6, of 8 bytes each.
    pub extensions: usize,
    /// It is TCP, else UDP.
    pub is_tcp: bool,
    /// Bytes of payload.
    pub payload: usize,
}

impl Layers {
    /// A frame without tags.
    #[must_use]
    pub const fn new(ip: Ip, is_tcp: bool, payload: usize) -> Self {
        Self { tags: 0, ip, extensions: 0, is_tcp, payload }
    }

    /// What `kind` cuts.
    #[must_use]
    pub const fn of(kind: Kind, payload: usize) -> Self {
        let ip = if matches!(kind, Kind::Tcp6) { Ip::V6 } else { Ip::V4 };
        Self::new(ip, kind.is_tcp(), payload)
    }

    /// Where the network header begins.
    #[must_use]
    pub const fn network(&self) -> usize {
        14 + 4 * self.tags
    }

    /// Where the transport header begins.
    #[must_use]
    pub const fn transport(&self) -> usize {
        let len = match self.ip {
            Ip::V4 => 20,
            Ip::V6 => 40 + 8 * self.extensions,
        };
        self.network() + len
    }

    /// Where the payload begins.
    #[must_use]
    pub const fn headers(&self) -> usize {
        self.transport() + if self.is_tcp { 20 } else { 8 }
    }

    /// The checksum that is left to do.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        let start = u16::try_from(self.transport()).unwrap_or(u16::MAX);
        Checksum { start, offset: if self.is_tcp { 16 } else { 6 } }
    }

    /// The frame, with a partial checksum. Lengths that do not fit their field are the largest
    /// that do.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for _ in 0..self.tags {
            frame.extend([0x81, 0, 0, 5]);
        }
        frame.extend(match self.ip {
            Ip::V4 => [8, 0],
            Ip::V6 => [0x86, 0xdd],
        });
        frame.extend(self.packet());
        frame
    }

    /// The same without Ethernet header and tags.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let protocol = if self.is_tcp { 6 } else { 17 };
        let len = self.headers() - self.transport() + self.payload;
        let short = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        let (mut packet, addresses) = match self.ip {
            Ip::V4 => {
                let [high, low] = short(20 + len);
                let mut header = vec![0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0];
                let addresses = [169, 254, 0, 1, 192, 0, 2, 10].to_vec();
                header.extend(&addresses);
                let sum = Sum::new().bytes(&header).finish().to_be_bytes();
                header[10..12].copy_from_slice(&sum);
                (header, addresses)
            }
            Ip::V6 => {
                let [high, low] = short(8 * self.extensions + len);
                let first = if self.extensions == 0 { protocol } else { 60 };
                let mut header = vec![0x60, 0, 0, 0, high, low, first, 64];
                let mut addresses = vec![0xfe, 0x80];
                addresses.resize(15, 0);
                addresses.push(1);
                addresses.extend_from_within(..);
                header.extend(&addresses);
                for index in 1..=self.extensions {
                    let next = if index == self.extensions { protocol } else { 60 };
                    // PadN of four bytes.
                    header.extend([next, 0, 1, 4, 0, 0, 0, 0]);
                }
                (header, addresses)
            }
        };
        let sum = Sum::new().bytes(&addresses).word(protocol.into()).bytes(&short(len)).folded();
        let sum = sum.to_be_bytes();
        if self.is_tcp {
            packet.extend([0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff]);
            packet.extend([sum[0], sum[1], 0, 0]);
        } else {
            let [high, low] = short(len);
            packet.extend([0x12, 0x34, 0, 67, high, low, sum[0], sum[1]]);
        }
        packet.extend((0..=u8::MAX).cycle().take(self.payload));
        packet
    }

    /// This frame inside of a tunnel over `ip`, whose frame it gives with the tunnel and the
    /// inner checksum.
    #[must_use]
    pub fn inside(&self, ip: Ip) -> (Vec<u8>, Tunnel, Checksum) {
        let inner = self.packet();
        let outer = Self { payload: 8 + inner.len(), ..Self::new(ip, false, 0) };
        let mut frame = outer.frame();
        // A header of Geneve.
        frame.truncate(outer.headers());
        frame.extend([0, 0, 0x08, 0, 0, 0, 0, 0]);
        let at = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        let tunnel = Tunnel {
            ip,
            checksum: false,
            outer_transport: at(outer.transport()),
            inner_network: at(frame.len()),
        };
        let start = frame.len() + self.transport() - self.network();
        frame.extend(inner);
        (frame, tunnel, Checksum { start: at(start), ..self.checksum() })
    }
}

/// The header of a frame to be cut as the driver writes it.
#[must_use]
pub fn header(segments: &Segments, checksum: Checksum) -> Header {
    let tunnel = segments.tunnel;
    let is_partial = tunnel.is_some_and(|tunnel| tunnel.checksum);
    let outer = if is_partial { flags::UDP_TUNNEL_CSUM } else { 0 };
    Header {
        flags: flags::NEEDS_CSUM | outer,
        gso_type: gso_type(segments),
        gso_size: segments.size,
        csum_start: checksum.start,
        csum_offset: checksum.offset,
        outer_th_offset: tunnel.map_or(0, |tunnel| tunnel.outer_transport),
        inner_nh_offset: tunnel.map_or(0, |tunnel| tunnel.inner_network),
        ..Header::default()
    }
}

fn gso_type(segments: &Segments) -> u8 {
    let tunnel = match segments.tunnel.map(|tunnel| tunnel.ip) {
        None => 0,
        Some(Ip::V4) => gso::TUNNEL_IPV4,
        Some(Ip::V6) => gso::TUNNEL_IPV6,
    };
    segments.kind.value() | tunnel | if segments.ecn { gso::ECN } else { 0 }
}

/// A header as bytes.
#[must_use]
pub fn wire(header: &Header, features: Features) -> Vec<u8> {
    let mut bytes = [0; HEADER_LEN_MAX];
    let len = header.encode(features, &mut bytes).unwrap_or_default();
    bytes[..len].to_vec()
}

/// The front of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Setup {
    /// What was negotiated.
    pub features: Features,
    /// The `mtu`.
    pub mtu: u16,
    /// The longest frame without it.
    pub frame_max: u16,
    /// The chain has a writable byte.
    pub writable: bool,
}

impl Setup {
    /// Without limits.
    #[must_use]
    pub fn new(features: Features) -> Self {
        Self { features, ..Self::default() }
    }

    fn bytes(&self, first: u8) -> Vec<u8> {
        let mut bytes = vec![first];
        bytes.extend(&self.features.bits().to_le_bytes()[..9]);
        bytes.extend(self.mtu.to_le_bytes());
        bytes.extend(self.frame_max.to_le_bytes());
        bytes
    }

    /// An input whose driver sends these bytes.
    #[must_use]
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        [self.bytes(if self.writable { 2 } else { 0 }), bytes.to_vec()].concat()
    }

    /// An input whose driver sends a frame with this header.
    #[must_use]
    pub fn send(&self, header: &Header, frame: &[u8]) -> Vec<u8> {
        self.raw(&[wire(header, self.features), frame.to_vec()].concat())
    }

    /// An input whose driver is given a frame.
    #[must_use]
    pub fn give(&self, about: &Receive, frame: &[u8]) -> Vec<u8> {
        [self.bytes(1), spell(about).to_vec(), frame.to_vec()].concat()
    }
}

/// What the device says about a frame, as an input holds it.
#[must_use]
fn spell(about: &Receive) -> [u8; ABOUT_LEN] {
    let mut bytes = [0; ABOUT_LEN];
    let mut put = |at: usize, value: u16| {
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    };
    let mut first = 0;
    put(2, about.buffers);
    match about.checksum {
        Verified::No => {}
        Verified::Yes => first |= flags::DATA_VALID,
        Verified::Partial(Checksum { start, offset }) => {
            first |= flags::NEEDS_CSUM;
            put(6, start);
            put(8, offset);
        }
    }
    let mut second = 0;
    if let Some(segments) = &about.segments {
        second = gso_type(segments);
        put(4, segments.size);
        if let Some(tunnel) = segments.tunnel {
            first |= if tunnel.checksum { flags::UDP_TUNNEL_CSUM } else { 0 };
            put(16, tunnel.outer_transport);
            put(18, tunnel.inner_network);
        }
    }
    if let Some(Joined { segments, duplicates }) = about.joined {
        first |= flags::RSC_INFO;
        put(20, segments);
        put(22, duplicates);
    }
    if let Some(Hash { value, report }) = about.hash {
        first |= HAS_HASH;
        put(10, report);
        bytes[12..16].copy_from_slice(&value.to_le_bytes());
    }
    [bytes[0], bytes[1]] = [first, second];
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::net_header::{Input, about};

    #[test]
    fn what_is_spelled_is_read() {
        let tunnel = Tunnel { ip: Ip::V6, checksum: true, outer_transport: 54, inner_network: 70 };
        let segments = Segments { kind: Kind::Tcp6, size: 1400, ecn: true, tunnel: Some(tunnel) };
        let given = Receive {
            checksum: Verified::Partial(Checksum { start: 110, offset: 16 }),
            segments: Some(segments),
            joined: Some(Joined { segments: 3, duplicates: 1 }),
            hash: Some(Hash { value: 0x1234_5678, report: 2 }),
            buffers: 5,
        };
        assert_eq!(about(&spell(&given)), given);
        let features = Features::from_bits((1 << 70) | (1 << 3) | 1);
        let setup = Setup { features, mtu: 1500, frame_max: 2000, writable: true };
        let bytes = setup.give(&given, &[1, 2, 3]);
        let (port, input) = Input::split(&bytes);
        assert_eq!((port.features, port.mtu, port.frame_max), (features, 1500, 2000));
        assert_eq!(input, Input::Receive { frame: &[1, 2, 3], about: given });
        let bytes = setup.send(&Header::default(), &[4]);
        let expected = [vec![0; 32], vec![4]].concat();
        assert_eq!(Input::split(&bytes).1, Input::Send { bytes: &expected, writable: 1 });
    }
}
