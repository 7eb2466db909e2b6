//! The virtio-net header: what a driver may send, and what it may be given.
//!
//! | Bytes | Meaning |
//! |---|---|
//! | 0 | bit 0: a frame for the driver; bit 1: a chain to send has a writable byte |
//! | 1-9 | negotiated features 0 to 71 |
//! | 10-11 | `mtu`; what is less than 68 is 68 |
//! | 12-13 | bytes of the longest frame without `MTU`; 0 is the default, else at least 82 |
//! | 14- | to send: the readable bytes of the chain, header and frame |
//! | 14- | for the driver: [`ABOUT_LEN`] bytes about the frame, as [`about`] reads them, and it |
//!
//! Numbers are little-endian. What is cut is 0.

use vhost_fuzz_core::net::header::{
    Checksum, FRAME_MAX, Features, Hash, Ip, Joined, Kind, Port, Receive, Segments, Tunnel,
    Verified, flags, gso,
};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::header as model;

use crate::offload::{Core, Offload};
use crate::oracle;
use crate::run::{self, Summary};

/// Bytes in front of those of the chain or the frame.
pub const SETUP_LEN: usize = 14;

/// Bytes about a frame for the driver.
pub const ABOUT_LEN: usize = 24;

/// The flag of a frame for the driver that says that there is a hash.
pub const HAS_HASH: u8 = 0x80;

/// The least `mtu` that a device may have.
const MTU_MIN: u16 = 68;

/// Runs one input through the header of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("net_header", bytes, |bytes| Summary {
        is_accepted: check(&Core, bytes).is_ok(),
        messages: 1,
    });
}

/// Runs one input through any header; says whether the frame is legal.
///
/// # Errors
/// The requirement that it breaks, in the model's words.
///
/// # Panics
/// When an oracle finds a fault.
pub fn check(offload: &impl Offload, bytes: &[u8]) -> Result<(), Id> {
    let (port, input) = Input::split(bytes);
    oracle::net_header::check(offload, &port, &input)
}

/// What the model says about an input, without the code under test.
///
/// # Errors
/// The requirement that it breaks.
pub fn judge(bytes: &[u8]) -> Result<(), Id> {
    let (port, input) = Input::split(bytes);
    let port = model_port(&port);
    match input {
        Input::Send { bytes, writable } => model::transmit(&port, bytes, writable).map(drop),
        Input::Receive { frame, about } => {
            model::receive(&port, frame, &model_about(&about)).map(drop)
        }
    }
}

/// One input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The driver sends.
    Send {
        /// Header and frame.
        bytes: &'a [u8],
        /// Writable bytes of the chain.
        writable: u64,
    },
    /// The driver is given a frame.
    Receive {
        /// The frame.
        frame: &'a [u8],
        /// What the device says about it.
        about: Receive,
    },
}

impl<'a> Input<'a> {
    /// Takes the bytes of an input apart.
    #[must_use]
    pub fn split(bytes: &'a [u8]) -> (Port, Self) {
        let mut setup = [0; SETUP_LEN];
        let (front, rest) = bytes.split_at(bytes.len().min(SETUP_LEN));
        setup[..front.len()].copy_from_slice(front);
        let mut features = [0; 16];
        features[..9].copy_from_slice(&setup[1..10]);
        let limit = u16::from_le_bytes([setup[12], setup[13]]);
        let frame_max = if limit == 0 { FRAME_MAX } else { usize::from(limit.max(MTU_MIN + 14)) };
        let port = Port {
            features: Features::from_bits(u128::from_le_bytes(features)),
            mtu: u16::from_le_bytes([setup[10], setup[11]]).max(MTU_MIN),
            frame_max,
        };
        if setup[0] & 1 == 0 {
            let writable = u64::from(setup[0] >> 1 & 1);
            return (port, Self::Send { bytes: rest, writable });
        }
        let (front, frame) = rest.split_at(rest.len().min(ABOUT_LEN));
        let mut bytes = [0; ABOUT_LEN];
        bytes[..front.len()].copy_from_slice(front);
        (port, Self::Receive { frame, about: about(&bytes) })
    }
}

/// What a device says about a frame:
///
/// | Bytes | Meaning |
/// |---|---|
/// | 0 | flags as in the header; 0x80: there is a hash |
/// | 1 | `gso_type` as in the header; a value without meaning is 0 |
/// | 2-11 | `num_buffers`, `gso_size`, `csum_start`, `csum_offset`, `hash_report` |
/// | 12-15 | `hash_value` |
/// | 16-23 | `outer_th_offset`, `inner_nh_offset`, segments and duplicates that were joined |
#[must_use]
pub fn about(bytes: &[u8; ABOUT_LEN]) -> Receive {
    let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let [flags, gso_type, ..] = *bytes;
    let has = |flag: u8| flags & flag != 0;
    let checksum = if has(flags::NEEDS_CSUM) {
        Verified::Partial(Checksum { start: number(6), offset: number(8) })
    } else if has(flags::DATA_VALID) {
        Verified::Yes
    } else {
        Verified::No
    };
    let ip = match gso_type & (gso::TUNNEL_IPV4 | gso::TUNNEL_IPV6) {
        0 => None,
        gso::TUNNEL_IPV4 => Some(Ip::V4),
        _ => Some(Ip::V6),
    };
    let tunnel = ip.map(|ip| Tunnel {
        ip,
        checksum: has(flags::UDP_TUNNEL_CSUM),
        outer_transport: number(16),
        inner_network: number(18),
    });
    let ecn = gso_type & gso::ECN != 0;
    let segments = Kind::of(gso_type).map(|kind| Segments { kind, size: number(4), ecn, tunnel });
    let joined = Joined { segments: number(20), duplicates: number(22) };
    let [.., v0, v1, v2, v3, _, _, _, _, _, _, _, _] = *bytes;
    let hash = Hash { value: u32::from_le_bytes([v0, v1, v2, v3]), report: number(10) };
    Receive {
        checksum,
        segments,
        joined: has(flags::RSC_INFO).then_some(joined),
        hash: has(HAS_HASH).then_some(hash),
        buffers: number(2),
    }
}

/// A port in the words of the model.
#[must_use]
pub fn model_port(port: &Port) -> model::Port {
    let Port { features, mtu, frame_max } = *port;
    model::Port { features: features.bits(), mtu, frame_max }
}

/// How a frame is cut, in the words of the model.
#[must_use]
pub fn model_cut(segments: &Segments) -> model::Cut {
    let Segments { kind, size, ecn, tunnel } = *segments;
    let tunnel = tunnel.map(|tunnel| model::Tunnel {
        version: version(tunnel.ip),
        checksum: tunnel.checksum,
        outer: tunnel.outer_transport,
        inner: tunnel.inner_network,
    });
    model::Cut { value: kind.value(), size, ecn, tunnel }
}

/// 4 or 6.
#[must_use]
pub const fn version(ip: Ip) -> u8 {
    match ip {
        Ip::V4 => 4,
        Ip::V6 => 6,
    }
}

/// What a device says, in the words of the model.
#[must_use]
pub fn model_about(about: &Receive) -> model::About {
    let Receive { checksum, segments, joined, hash, buffers } = *about;
    model::About {
        sum: match checksum {
            Verified::No => model::Sum::Unknown,
            Verified::Yes => model::Sum::Right,
            Verified::Partial(Checksum { start, offset }) => model::Sum::Partial(start, offset),
        },
        cut: segments.as_ref().map(model_cut),
        joined: joined.map(|Joined { segments, duplicates }| (segments, duplicates)),
        hash: hash.map(|Hash { value, report }| (value, report)),
        buffers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_input_is_an_empty_chain() {
        let (port, input) = Input::split(&[]);
        assert_eq!(port, Port::new(Features::default(), MTU_MIN));
        assert_eq!(input, Input::Send { bytes: &[], writable: 0 });
        assert_eq!((judge(&[]), check(&Core, &[])), (Err(Id::Net(2)), Err(Id::Net(2))));
    }

    #[test]
    fn every_byte_of_an_input_has_its_place() {
        let bytes: Vec<u8> = (1..=40).collect();
        let (port, input) = Input::split(&bytes);
        assert_eq!(port.features.bits(), 0x0a_0908_0706_0504_0302);
        assert_eq!((port.mtu, port.frame_max), (0x0c0b, 0x0e0d));
        let Input::Receive { frame, about } = input else { panic!("bit 0 is set") };
        assert_eq!(frame, [39, 40]);
        assert_eq!(about.buffers, 0x1211);
        assert_eq!(about.checksum, Verified::Partial(Checksum { start: 0x1615, offset: 0x1817 }));
        // The hash and the joined segments are only there with their flags.
        assert_eq!((about.hash, about.segments), (None, None));
        assert_eq!(about.joined, Some(Joined { segments: 0x2423, duplicates: 0x2625 }));
        let mut bytes = [0; ABOUT_LEN];
        bytes[..2].copy_from_slice(&[HAS_HASH | flags::UDP_TUNNEL_CSUM, 0xa1]);
        bytes[4..6].copy_from_slice(&[1, 2]);
        bytes[10..20].copy_from_slice(&[3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let about = super::about(&bytes);
        assert_eq!(about.hash, Some(Hash { value: 0x0807_0605, report: 0x0403 }));
        let tunnel =
            Tunnel { ip: Ip::V4, checksum: true, outer_transport: 0x0a09, inner_network: 0x0c0b };
        let segments = Segments { kind: Kind::Tcp4, size: 0x0201, ecn: true, tunnel: Some(tunnel) };
        assert_eq!(about.segments, Some(segments));
    }
}
