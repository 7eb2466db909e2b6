//! What a driver may write in front of a frame: spec/virtio.md §3.1 and §3.4.

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::header::{
    Checksum, FRAME_MAX, Features, Header, Headers, Ip, Kind, Port, Resource, SEGMENTS_LEN_MAX,
    Segments, Transmit, TxError, flags, gso,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::seeds::net_header::{Layers, header, wire};

const V1: Features = Features::VERSION_1;
const TCP4: Layers = Layers::of(Kind::Tcp4, 100);

/// Everything that a driver may ask for, without `MTU`.
fn all() -> Features {
    Features::from_bits(!Features::MTU.bits())
}

/// Everything but this.
fn all_but(less: Features) -> Port {
    Port::new(Features::from_bits(all().bits() & !less.bits()), 1500)
}

fn port(features: Features) -> Port {
    Port::new(features, 1500)
}

fn segments(kind: Kind) -> Segments {
    Segments { kind, size: 32, ecn: false, tunnel: None }
}

/// A header for [`TCP4`].
fn tcp4() -> Header {
    header(&segments(Kind::Tcp4), TCP4.checksum())
}

fn chain(port: &Port, header: &Header, frame: &[u8]) -> Vec<u8> {
    [wire(header, port.features), frame.to_vec()].concat()
}

/// Sends a frame; what comes out without its bytes.
fn send(port: &Port, header: &Header, frame: &[u8]) -> Result<Transmit<'static>, TxError> {
    let bytes = chain(port, header, frame);
    let sent = port.transmit(&bytes, 0)?;
    assert_eq!(sent.frame, frame);
    Ok(Transmit { frame: &[], ..sent })
}

/// What comes out of a frame that asks for nothing.
const PLAIN: Transmit<'_> = Transmit {
    frame: &[],
    checksum: None,
    segments: None,
    headers: None,
    outer_network: None,
    security: None,
};

#[test]
fn the_header_has_the_length_of_the_table_in_both_directions() {
    let _shows = shows(&["NET-001"]);
    for (features, len) in [
        (Features::default(), 10),
        (Features::MRG_RXBUF, 12),
        (V1, 12),
        (V1 | Features::HASH_REPORT, 20),
        (V1 | Features::GUEST_UDP_TUNNEL_GSO, 24),
        (V1 | Features::HOST_UDP_TUNNEL_GSO | Features::HASH_REPORT, 24),
        (Features::OUT_NET_HEADER, 32),
        (V1 | Features::IPSEC, 32),
    ] {
        let port = port(features);
        let frame: Vec<u8> = (0x40..0x40 + 60).collect();
        let bytes = [vec![0; len], frame.clone()].concat();
        assert_eq!(port.transmit(&bytes, 0), Ok(Transmit { frame: &frame, ..PLAIN }));
        let given = port.receive(&frame, &Default::default()).expect("a plain frame");
        let mut out = [0xa5; 40];
        assert_eq!(given.encode(features, &mut out), Ok(len));
        assert_eq!(out[len..], [0xa5; 40][len..]);
    }
}

#[test]
fn a_chain_without_a_frame_is_dropped() {
    let port = port(V1);
    for len in 0..=12 {
        let bytes = vec![0; len];
        assert_refused!(port.transmit(&bytes, 0), TxError::NoFrame { len, header: 12 });
    }
    for len in 1..14 {
        let bytes = vec![0; 12 + len];
        assert_refused!(port.transmit(&bytes, 0), TxError::ShortFrame { len });
    }
    assert!(port.transmit(&[0; 26], 0).is_ok());
}

#[test]
fn a_chain_with_writable_bytes_is_dropped() {
    assert_refused!(port(V1).transmit(&[0; 72], 1), TxError::Writable { bytes: 1 });
    assert_refused!(port(V1).transmit(&[], u64::MAX), TxError::Writable { bytes: u64::MAX });
}

#[test]
fn flags_without_meaning_are_ignored() {
    let _shows = shows(&["NET-005"]);
    for bit in [flags::SECURITY, 32, 64, 128, 0xf0] {
        let header = Header { flags: bit, ..Header::default() };
        assert_eq!(send(&port(V1), &header, &TCP4.frame()), Ok(PLAIN), "{bit:#x}");
        let cut = Header { flags: bit | 1, ..tcp4() };
        let port = all_but(Features::IPSEC);
        assert_eq!(send(&port, &cut, &TCP4.frame()), send(&port, &tcp4(), &TCP4.frame()));
    }
}

#[test]
fn checksum_fields_are_not_read_without_their_flag() {
    let _shows = shows(&["NET-006", "NET-007"]);
    for (csum_start, csum_offset) in [(34, 16), (0, 0), (0xffff, 0xffff)] {
        let header = Header { csum_start, csum_offset, ..Header::default() };
        let sent = send(&port(all()), &header, &TCP4.frame()).expect("nothing is asked for");
        assert_eq!((sent.checksum, sent.transport()), (None, Transport::Complete));
    }
}

#[test]
fn flags_of_the_device_say_nothing_about_a_checksum() {
    let _shows = shows(&["NET-007", "NET-014"]);
    for flags in [flags::DATA_VALID, flags::RSC_INFO, flags::DATA_VALID | flags::RSC_INFO] {
        let header = Header { flags, ..Header::default() };
        let sent = send(&port(all()), &header, &TCP4.frame()).expect("ignored");
        // It is verified like any other.
        assert_eq!((sent.checksum, sent.transport()), (None, Transport::Complete));
        assert!(send(&port(V1), &header, &TCP4.frame()).is_ok(), "NET-010 ignores them, too");
    }
}

#[test]
fn hdr_len_is_never_relied_on() {
    let _shows = shows(&["NET-008"]);
    let headers = Some(Headers { ip: Ip::V4, transport: 34, len: 54 });
    for port in [port(all()), all_but(Features::GUEST_HDRLEN)] {
        for hdr_len in [0, 1, 34, 53, 54, 55, 0x7fff, 0xffff] {
            let sent = send(&port, &Header { hdr_len, ..tcp4() }, &TCP4.frame());
            assert_eq!(sent.expect("no value is refused").headers, headers, "{hdr_len}");
        }
    }
}

#[test]
fn num_buffers_of_a_driver_is_ignored() {
    let _shows = shows(&["NET-009"]);
    for num_buffers in [0, 1, 0xffff] {
        let header = Header { num_buffers, ..Header::default() };
        assert_eq!(send(&port(V1), &header, &TCP4.frame()), Ok(PLAIN));
    }
}

#[test]
fn a_partial_checksum_needs_csum_or_what_implies_it() {
    let header = Header { flags: 1, csum_start: 34, csum_offset: 16, ..Header::default() };
    assert_refused!(send(&port(V1), &header, &TCP4.frame()), TxError::ChecksumFeature);
    let _shows = shows(&["NET-010"]);
    for features in [
        Features::CSUM,
        Features::HOST_TSO4,
        Features::HOST_TSO6,
        Features::HOST_UFO,
        Features::HOST_USO,
    ] {
        let sent = send(&port(features), &header, &TCP4.frame()).expect("it is implied");
        assert_eq!(sent.checksum, Some(TCP4.checksum()));
    }
    // What the driver takes says nothing about what it may send.
    let guest = port(Features::GUEST_CSUM | Features::GUEST_TSO4);
    assert_refused!(send(&guest, &header, &TCP4.frame()), TxError::ChecksumFeature);
}

#[test]
fn a_type_needs_its_feature() {
    for (kind, feature) in [
        (Kind::Tcp4, Features::HOST_TSO4),
        (Kind::Udp, Features::HOST_UFO),
        (Kind::Tcp6, Features::HOST_TSO6),
        (Kind::UdpL4, Features::HOST_USO),
    ] {
        let layers = Layers::of(kind, 64);
        let header = header(&segments(kind), layers.checksum());
        let sent = send(&port(feature), &header, &layers.frame()).expect("negotiated");
        assert_eq!(sent.segments, Some(segments(kind)));
        let gso_type = kind.value();
        let refused = send(&all_but(feature), &header, &layers.frame());
        assert_refused!(refused, TxError::TypeFeature { gso_type });
    }
    for gso_type in [2, 6, 7, 30, 31] {
        let header = Header { gso_type, ..tcp4() };
        let refused = send(&port(all()), &header, &TCP4.frame());
        assert_refused!(refused, TxError::Type { gso_type });
    }
}

#[test]
fn congestion_marks_are_for_tcp() {
    let _shows = shows(&["DC-093"]);
    for kind in [Kind::Tcp4, Kind::Tcp6] {
        let layers = Layers::of(kind, 64);
        let marked = Segments { ecn: true, ..segments(kind) };
        let header = header(&marked, layers.checksum());
        let sent = send(&port(all()), &header, &layers.frame()).expect("negotiated");
        assert_eq!(sent.segments, Some(marked));
        let refused = send(&all_but(Features::HOST_ECN), &header, &layers.frame());
        assert_refused!(refused, TxError::TypeFeature { gso_type: kind.value() | gso::ECN });
    }
    for value in [gso::NONE, gso::UDP, gso::UDP_L4] {
        let gso_type = value | gso::ECN;
        let refused = send(&port(all()), &Header { gso_type, ..tcp4() }, &TCP4.frame());
        assert_refused!(refused, TxError::Ecn { gso_type });
    }
}

#[test]
fn what_is_cut_has_a_partial_checksum_and_a_size() {
    let gso_type = gso::TCPV4;
    let unfinished = Header { flags: 0, ..tcp4() };
    let refused = send(&port(all()), &unfinished, &TCP4.frame());
    assert_refused!(refused, TxError::Unfinished { gso_type });
    let zero = Header { gso_size: 0, ..tcp4() };
    assert_refused!(send(&port(all()), &zero, &TCP4.frame()), TxError::SizeZero { gso_type });
    let one = send(&port(all()), &Header { gso_size: 1, ..tcp4() }, &TCP4.frame());
    assert_eq!(one.expect("any other size").segments.map(|segments| segments.size), Some(1));
}

#[test]
fn a_checksum_lies_in_the_frame_and_not_in_the_ethernet_header() {
    let len = 60;
    for (start, offset, is_inside) in [
        (14, 0, true),
        (14, 44, true),
        (58, 0, true),
        (13, 0, false),
        (0, 20, false),
        (14, 45, false),
        (59, 0, false),
        (60, 0, false),
        // Over 65535: in 16 bits these would be inside.
        (0xfff0, 0x20, false),
        (20, 0xfffc, false),
        (0xffff, 0xffff, false),
    ] {
        let checksum = Checksum { start, offset };
        let header =
            Header { flags: 1, csum_start: start, csum_offset: offset, ..Header::default() };
        let sent = send(&port(Features::CSUM), &header, &[0; 60]);
        if is_inside {
            assert_eq!(sent.expect("inside").checksum, Some(checksum));
        } else {
            assert_refused!(sent, TxError::Position { checksum, len });
        }
    }
}

#[test]
fn a_partial_checksum_is_finished_or_not_compared() {
    let _shows = shows(&["NET-055"]);
    for kind in [Kind::Tcp4, Kind::Tcp6, Kind::UdpL4] {
        let layers = Layers::of(kind, 77);
        let header = header(&segments(kind), layers.checksum());
        let sent = send(&port(all()), &header, &layers.frame()).expect("legal");
        assert_eq!(sent.transport(), Transport::Partial);
        let mut frame = layers.frame();
        assert!(sent.checksum.expect("it is partial").finish(&mut frame));
        is_complete(&frame);
    }
}

/// An independent parser finds the checksum right.
#[cfg(feature = "peer-net")]
#[track_caller]
fn is_complete(frame: &[u8]) {
    let packet = etherparse::PacketHeaders::from_ethernet_slice(frame).expect("a whole packet");
    let (net, transport) = (packet.net.expect("IP"), packet.transport.expect("TCP or UDP"));
    let payload = packet.payload.slice();
    let mut expected = transport.clone();
    match net {
        etherparse::NetHeaders::Ipv4(ip, _) => {
            expected.update_checksum_ipv4(&ip, payload).expect("a length");
        }
        etherparse::NetHeaders::Ipv6(ip, _) => {
            expected.update_checksum_ipv6(&ip, payload).expect("a length");
        }
        etherparse::NetHeaders::Arp(_) => panic!("ARP has no transport"),
    }
    assert_eq!(transport, expected);
}

#[cfg(not(feature = "peer-net"))]
fn is_complete(_: &[u8]) {}

#[test]
fn without_its_feature_or_flag_a_place_is_not_used() {
    let _shows = shows(&["NET-016", "DC-097"]);
    let full = [0xff; 32];
    // Every byte is set, but no flag and no type.
    let mut bytes = [&full[..], &TCP4.frame()].concat();
    bytes[..2].fill(0);
    let none = port(Features::HOST_UDP_TUNNEL_GSO | Features::IPSEC | Features::OUT_NET_HEADER);
    let sent = none.transmit(&bytes, 0).expect("nothing is asked for");
    assert_eq!(Transmit { frame: &[], ..sent }, PLAIN, "outer_nh_offset is outside of the frame");
    for (outer, is_used) in [(0, false), (13, false), (14, true), (153, true), (154, false)] {
        let header = Header { outer_nh_offset: outer, ..Header::default() };
        let sent = send(&port(Features::OUT_NET_HEADER), &header, &TCP4.frame());
        assert_eq!(sent.expect("legal").outer_network, is_used.then_some(outer), "{outer}");
        let bytes = chain(&port(Features::OUT_NET_HEADER), &header, &TCP4.frame());
        let sent = port(Features::IPSEC).transmit(&bytes, 0).expect("padding");
        assert_eq!(sent.outer_network, None);
    }
    let secured = Header {
        flags: flags::SECURITY,
        resource_id: 0x1234_5678,
        resource_type: 9,
        ..Header::default()
    };
    let sent = send(&port(Features::IPSEC), &secured, &TCP4.frame()).expect("legal");
    assert_eq!(sent.security, Some(Resource { id: 0x1234_5678, kind: 9 }));
    let bytes = chain(&port(Features::IPSEC), &secured, &TCP4.frame());
    let sent = port(Features::OUT_NET_HEADER).transmit(&bytes, 0).expect("a flag without meaning");
    assert_eq!(sent.security, None);
}

#[test]
fn a_plain_frame_is_as_long_as_the_mtu_says() {
    let _shows = shows(&["NET-018"]);
    let frame = |tags: usize, len: usize| {
        let mut frame = Layers { tags, ..TCP4 }.frame();
        frame.resize(len, 0);
        frame
    };
    for mtu in [68, 1500, 65535] {
        let port = Port::new(V1 | Features::MTU, mtu);
        for tags in 0..=2 {
            let limit = usize::from(mtu) + 14 + 4 * tags;
            assert_eq!(send(&port, &Header::default(), &frame(tags, limit)), Ok(PLAIN));
            let refused = send(&port, &Header::default(), &frame(tags, limit + 1));
            assert_refused!(refused, TxError::FrameTooLong { len: limit + 1, limit });
        }
    }
}

#[test]
fn without_mtu_only_the_limit_of_the_device_counts() {
    let _shows = shows(&["NET-017"]);
    for len in [1514, 1515, 1519, 9000, FRAME_MAX] {
        assert_eq!(send(&port(V1), &Header::default(), &vec![0; len]), Ok(PLAIN), "{len}");
    }
    let (len, limit) = (FRAME_MAX + 1, FRAME_MAX);
    let refused = send(&port(V1), &Header::default(), &vec![0; len]);
    assert_refused!(refused, TxError::FrameTooLong { len, limit });
    let own = Port { frame_max: 9000, ..port(V1) };
    assert_eq!(send(&own, &Header::default(), &[0; 9000]), Ok(PLAIN));
    let refused = send(&own, &Header::default(), &[0; 9001]);
    assert_refused!(refused, TxError::FrameTooLong { len: 9001, limit: 9000 });
}

#[test]
fn what_is_cut_may_be_longer_than_the_mtu_but_has_a_limit() {
    let _shows = shows(&["DC-092"]);
    let port = Port::new(all() | Features::MTU, 1500);
    for tags in 0..=9 {
        let layers = Layers { tags, ..TCP4 };
        let header = header(&segments(Kind::Tcp4), layers.checksum());
        let limit = SEGMENTS_LEN_MAX + 4 * tags.min(8);
        let mut frame = layers.frame();
        frame.resize(limit, 0);
        assert!(send(&port, &header, &frame).is_ok(), "{tags} tags");
        frame.push(0);
        let refused = send(&port, &header, &frame);
        assert_refused!(refused, TxError::SegmentsTooLong { len: limit + 1, limit });
    }
}
