//! What is inside of a frame that a driver wants to have cut, and tunnels: spec/virtio.md §3.4,
//! T9 and T12 to T14. Also the order in which rules are looked at.

use vhost_fuzz_core::net::header::{
    EXTENSIONS_MAX, Features, Header, Headers, Ip, Kind, Port, Segments, TAGS_MAX, Transmit,
    Tunnel, TxError, flags,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::seeds::net_header::{Layers, header, wire};

fn all() -> Port {
    Port::new(Features::from_bits(!Features::MTU.bits()), 1500)
}

fn all_but(less: Features) -> Port {
    let Port { features, .. } = all();
    Port::new(Features::from_bits(features.bits() & !less.bits()), 1500)
}

fn segments(kind: Kind) -> Segments {
    Segments { kind, size: 32, ecn: false, tunnel: None }
}

/// Sends a frame; what comes out without its bytes.
fn send(port: &Port, header: &Header, frame: &[u8]) -> Result<Transmit<'static>, TxError> {
    let bytes = [wire(header, port.features), frame.to_vec()].concat();
    let sent = port.transmit(&bytes, 0)?;
    assert_eq!(sent.frame, frame);
    Ok(Transmit { frame: &[], ..sent })
}

/// Sends a frame that is to be cut, after a change; where its headers are.
fn look(
    kind: Kind,
    layers: Layers,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<Option<Headers>, TxError> {
    let mut frame = layers.frame();
    change(&mut frame);
    let header = header(&segments(kind), layers.checksum());
    send(&all(), &header, &frame).map(|sent| sent.headers)
}

const TCP4: Layers = Layers::of(Kind::Tcp4, 64);
const TCP6: Layers = Layers::of(Kind::Tcp6, 64);

#[test]
fn headers_are_found_behind_tags_and_extensions() {
    let _shows = shows(&["DC-094"]);
    for (kind, ip) in [
        (Kind::Tcp4, Ip::V4),
        (Kind::Tcp6, Ip::V6),
        (Kind::Udp, Ip::V4),
        (Kind::Udp, Ip::V6),
        (Kind::UdpL4, Ip::V4),
        (Kind::UdpL4, Ip::V6),
    ] {
        for tags in 0..=TAGS_MAX {
            let most = if ip == Ip::V6 { EXTENSIONS_MAX } else { 0 };
            for extensions in 0..=most {
                let is_tcp = kind.is_tcp();
                let layers = Layers { tags, ip, extensions, is_tcp, payload: 9 };
                let (transport, len) = (layers.transport(), layers.headers());
                let found = look(kind, layers, |_| ()).expect("it has these headers");
                assert_eq!(found, Some(Headers { ip, transport, len }), "{layers:?}");
            }
        }
    }
}

#[test]
fn more_headers_than_are_followed_are_no_mismatch() {
    let _shows = shows(&["DC-094"]);
    for layers in [
        Layers { tags: TAGS_MAX + 1, ..TCP6 },
        Layers { extensions: EXTENSIONS_MAX + 1, ..TCP6 },
        Layers { extensions: 40, ..TCP6 },
    ] {
        assert_eq!(look(Kind::Tcp6, layers, |_| ()), Ok(None), "{layers:?}");
    }
}

#[test]
fn a_type_that_the_frame_has_not_is_dropped() {
    let others = [
        (Kind::Tcp4, TCP6),
        (Kind::Tcp6, TCP4),
        (Kind::Tcp4, Layers::of(Kind::Udp, 64)),
        (Kind::Udp, TCP4),
        (Kind::UdpL4, TCP6),
    ];
    for (kind, layers) in others {
        let gso_type = kind.value();
        assert_refused!(look(kind, layers, |_| ()), TxError::Mismatch { gso_type }, "{layers:?}");
    }
}

/// What is done to a frame, in words and in bytes.
type Change = (&'static str, fn(&mut Vec<u8>));

#[test]
fn headers_that_are_not_there_are_a_mismatch() {
    let v4 = TxError::Mismatch { gso_type: Kind::Tcp4.value() };
    let v6 = TxError::Mismatch { gso_type: Kind::Tcp6.value() };
    let changes: [Change; 10] = [
        ("no IP", |frame| frame[12..14].copy_from_slice(&[8, 6])),
        ("a length", |frame| frame[12..14].copy_from_slice(&[0, 46])),
        ("version 6", |frame| frame[14] = 0x65),
        ("a header of 16 bytes", |frame| frame[14] = 0x44),
        ("the second fragment", |frame| frame[21] = 1),
        ("ICMP", |frame| frame[23] = 1),
        ("a TCP header of 16 bytes", |frame| frame[46] = 0x40),
        ("half a TCP header", |frame| frame.truncate(53)),
        ("options that are not there", |frame| {
            frame[46] = 0xf0;
            frame.truncate(60);
        }),
        ("a tag", |frame| frame[12..14].copy_from_slice(&[0x81, 0])),
    ];
    for (name, change) in changes {
        assert_refused!(look(Kind::Tcp4, TCP4, change), v4, "{name}");
    }
    let one = Layers { extensions: 1, ..TCP6 };
    let changes: [Change; 5] = [
        ("version 4", |frame| frame[14] = 0x40),
        ("no next header", |frame| frame[20] = 59),
        ("encrypted", |frame| frame[20] = 50),
        ("an extension header beyond the frame", |frame| frame[55] = 0xff),
        ("the second fragment", |frame| {
            frame[20] = 44;
            frame[56..58].copy_from_slice(&[0, 8]);
        }),
    ];
    for (name, change) in changes {
        assert_refused!(look(Kind::Tcp6, one, change), v6, "{name}");
    }
}

#[test]
fn options_and_first_fragments_are_followed() {
    let _shows = shows(&["DC-094"]);
    let options = look(Kind::Tcp4, TCP4, |frame| {
        frame[14] = 0x46;
        frame.splice(34..34, [1, 1, 1, 0]);
    });
    assert_eq!(options, Ok(Some(Headers { ip: Ip::V4, transport: 38, len: 58 })));
    let first = look(Kind::Tcp4, TCP4, |frame| frame[20] = 0x20);
    assert_eq!(first, Ok(Some(Headers { ip: Ip::V4, transport: 34, len: 54 })));
    let one = Layers { extensions: 1, ..TCP6 };
    let found = Ok(Some(Headers { ip: Ip::V6, transport: 62, len: 82 }));
    let atomic = look(Kind::Tcp6, one, |frame| {
        frame[20] = 44;
        frame[55..62].fill(0);
    });
    assert_eq!(atomic, found);
    // An authentication header counts its length in units of four bytes.
    let signed = look(Kind::Tcp6, one, |frame| {
        frame[20] = 51;
        frame[55] = 0;
    });
    assert_eq!(signed, found);
}

/// A frame in a tunnel, and its header.
fn tunnel(outer: Ip, kind: Kind) -> (Header, Vec<u8>, Tunnel) {
    let (frame, tunnel, checksum) = Layers::of(kind, 64).inside(outer);
    let segments = Segments { tunnel: Some(tunnel), ..segments(kind) };
    (header(&segments, checksum), frame, tunnel)
}

#[test]
fn tunnels_are_followed_to_their_inner_headers() {
    let _shows = shows(&["NET-015", "DC-094"]);
    for outer in [Ip::V4, Ip::V6] {
        for kind in [Kind::Tcp4, Kind::Tcp6, Kind::UdpL4] {
            for checksum in [false, true] {
                let (mut header, frame, tunnel) = tunnel(outer, kind);
                header.flags |= if checksum { flags::UDP_TUNNEL_CSUM } else { 0 };
                let sent = send(&all(), &header, &frame).expect("legal");
                let tunnel = Some(Tunnel { checksum, ..tunnel });
                assert_eq!(sent.segments, Some(Segments { tunnel, ..segments(kind) }));
                let transport = usize::from(header.csum_start);
                let len = transport + if kind.is_tcp() { 20 } else { 8 };
                let ip = if kind == Kind::Tcp6 { Ip::V6 } else { Ip::V4 };
                assert_eq!(sent.headers, Some(Headers { ip, transport, len }));
            }
        }
    }
}

#[test]
fn tunnel_bits_go_with_some_flags_and_types_only() {
    let (header, frame, _) = tunnel(Ip::V4, Kind::Tcp4);
    let refused = |port: Port, flags: u8, gso_type: u8| {
        send(&port, &Header { flags, gso_type, ..header }, &frame)
    };
    let off = all_but(Features::HOST_UDP_TUNNEL_GSO);
    assert_refused!(refused(off, 1, 0x21), TxError::TypeFeature { gso_type: 0x21 });
    assert_refused!(refused(all(), 1, 0x61), TxError::BothTunnels { gso_type: 0x61 });
    assert_refused!(refused(all(), 1, 0x20), TxError::TunnelOfNothing { gso_type: 0x20 });
    assert_refused!(refused(all(), 1, 0x23), TxError::TunnelOfFragments { gso_type: 0x23 });
    assert_refused!(refused(all(), 0, 0x21), TxError::TunnelUnfinished { gso_type: 0x21 });
    assert_refused!(refused(all(), 3, 0x41), TxError::TunnelValid { gso_type: 0x41 });
    assert_refused!(refused(all(), 9, 0x01), TxError::TunnelChecksumAlone);
    assert_refused!(refused(all(), 8, 0x00), TxError::TunnelChecksumAlone);
    let off = all_but(Features::HOST_UDP_TUNNEL_GSO_CSUM);
    assert_refused!(refused(off, 9, 0x21), TxError::TunnelChecksumFeature);
    assert!(refused(off, 1, 0x21).is_ok());
}

#[test]
fn the_headers_of_a_tunnel_are_in_order() {
    let (header, frame, tunnel) = tunnel(Ip::V4, Kind::Tcp4);
    let start = header.csum_start;
    assert_eq!((tunnel.outer_transport, tunnel.inner_network, start), (34, 50, 70));
    for (outer, inner) in [(43, 50), (0xffff, 50), (34, 41), (34, 70), (34, 0xffff), (50, 34)] {
        let places = Header { outer_th_offset: outer, inner_nh_offset: inner, ..header };
        let tunnel = Tunnel { outer_transport: outer, inner_network: inner, ..tunnel };
        let refused = send(&all(), &places, &frame);
        assert_refused!(refused, TxError::TunnelOrder { tunnel, start });
    }
    let nearest = Header { outer_th_offset: 42, ..header };
    assert!(send(&all(), &nearest, &frame).is_ok(), "no header between is needed");
}

#[test]
fn a_tunnel_is_over_the_version_that_it_says() {
    let (header, frame, _) = tunnel(Ip::V4, Kind::Tcp4);
    let other = Header { gso_type: 0x41, ..header };
    let refused = send(&all(), &other, &frame);
    assert_refused!(refused, TxError::Mismatch { gso_type: 0x41 });
    // The outer transport is TCP.
    let mut tcp = frame.clone();
    tcp[23] = 6;
    let refused = send(&all(), &header, &tcp);
    assert_refused!(refused, TxError::Mismatch { gso_type: 0x21 });
    let inner = Header { inner_nh_offset: 42, ..header };
    let refused = send(&all(), &inner, &frame);
    assert_refused!(refused, TxError::Mismatch { gso_type: 0x21 });
}

/// A frame that breaks every rule is mended one rule at a time.
#[test]
fn the_first_broken_rule_is_the_verdict() {
    let _shows = shows(&["DC-090"]);
    let features = Features::CSUM | Features::HOST_TSO4 | Features::HOST_UDP_TUNNEL_GSO;
    let mut port = Port::new(Features::HOST_UDP_TUNNEL_GSO, 1500);
    let (whole, frame, _) = tunnel(Ip::V4, Kind::Tcp4);
    let mut long = frame.clone();
    long.resize(65590, 0);
    long[12] = 0; // no IP
    let mut header = Header { flags: 8, gso_type: 0x62, csum_start: 13, ..Header::default() };
    let mut rules = Vec::new();
    let mut note = |port: &Port, header: &Header, frame: &[u8], writable: u64| {
        let bytes = [wire(header, port.features), frame.to_vec()].concat();
        let error = port.transmit(&bytes, writable).expect_err("something is wrong");
        rules.push(error.rule().to_string());
    };
    note(&port, &header, &[], 1);
    note(&port, &header, &[], 0);
    note(&port, &header, &long[..13], 0);
    note(&port, &header, &long, 0); // an undefined type
    header.gso_type = 0x61;
    note(&port, &header, &long, 0); // without its feature
    port.features = Features::HOST_TSO4 | Features::HOST_UDP_TUNNEL_GSO;
    note(&port, &header, &long, 0); // both tunnels
    header.gso_type = 0x21;
    note(&port, &header, &long, 0); // the outer checksum was not negotiated
    header.flags = 0;
    note(&port, &header, &long, 0); // a tunnel without a partial checksum
    header.flags = 1;
    note(&port, &header, &long, 0); // a size of 0
    header.gso_size = 32;
    note(&port, &header, &long, 0); // longer than can be cut
    long.truncate(frame.len());
    note(&port, &header, &long, 0); // the place of the checksum
    header.csum_start = whole.csum_start;
    note(&port, &header, &long, 0); // the order of the tunnel
    (header.outer_th_offset, header.inner_nh_offset) =
        (whole.outer_th_offset, whole.inner_nh_offset);
    note(&port, &header, &long, 0); // no such headers
    let expected = [
        "NET-003", "NET-002", "L2-001", "NET-011", "NET-011", "NET-015", "DC-091", "NET-015",
        "NET-012", "DC-092", "NET-013", "DC-095", "DC-094",
    ];
    assert_eq!(rules, expected);
    assert!(send(&Port { features, ..port }, &header, &frame).is_ok());
}
