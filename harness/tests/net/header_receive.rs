//! What a device may write in front of a frame: spec/virtio.md §3.5.

use vhost_fuzz_core::net::header::{
    Checksum, Features, HASH_REPORT_MAX, HEADER_LEN_MAX, Hash, Header, Ip, Joined, Kind, Port,
    Receive, RxError, SEGMENTS_LEN_MAX, Segments, Verified, flags, gso,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::seeds::net_header::{Layers, header, wire};

const PLAIN: Receive =
    Receive { checksum: Verified::No, segments: None, joined: None, hash: None, buffers: 1 };

/// Everything but `MTU` and `RSC_EXT`.
fn all() -> Port {
    all_but(Features::default())
}

fn all_but(less: Features) -> Port {
    let less = less | Features::MTU | Features::RSC_EXT;
    Port::new(Features::from_bits(!less.bits()), 1500)
}

fn segments(kind: Kind) -> Segments {
    Segments { kind, size: 32, ecn: false, tunnel: None }
}

/// What a device says about a frame that could be cut.
fn about(kind: Kind, layers: Layers) -> Receive {
    let checksum = Verified::Partial(layers.checksum());
    Receive { checksum, segments: Some(segments(kind)), ..PLAIN }
}

const TCP4: Layers = Layers::of(Kind::Tcp4, 64);

#[test]
fn a_driver_without_guest_csum_gets_no_flags() {
    let frame = TCP4.frame();
    let port = all_but(Features::GUEST_CSUM);
    let partial = Verified::Partial(TCP4.checksum());
    for about in [
        Receive { checksum: Verified::Yes, ..PLAIN },
        Receive { checksum: partial, ..PLAIN },
        about(Kind::Tcp4, TCP4),
        Receive { joined: Some(Joined { segments: 2, duplicates: 0 }), ..PLAIN },
    ] {
        assert_refused!(port.receive(&frame, &about), RxError::ChecksumFeature);
    }
    assert_eq!(port.receive(&frame, &PLAIN).map(|header| header.flags), Ok(0));
    let right = Receive { checksum: Verified::Yes, ..PLAIN };
    let given = all().receive(&frame, &right).map(|header| header.flags);
    assert_eq!(given, Ok(flags::DATA_VALID));
    let partial = all().receive(&frame, &Receive { checksum: partial, ..PLAIN });
    let expected =
        Header { flags: 1, csum_start: 34, csum_offset: 16, num_buffers: 1, ..Header::default() };
    assert_eq!(partial, Ok(expected));
}

#[test]
fn only_kinds_that_the_driver_takes_are_given() {
    let (v4, v6) = (Ip::V4, Ip::V6);
    for (kind, ip, needs) in [
        (Kind::Tcp4, v4, Features::GUEST_TSO4),
        (Kind::Tcp6, v6, Features::GUEST_TSO6),
        (Kind::Udp, v4, Features::GUEST_UFO),
        (Kind::Udp, v6, Features::GUEST_UFO),
        (Kind::UdpL4, v4, Features::GUEST_USO4),
        (Kind::UdpL4, v6, Features::GUEST_USO6),
    ] {
        let layers = Layers::new(ip, kind.is_tcp(), 64);
        let (frame, about) = (layers.frame(), about(kind, layers));
        let alone = Port::new(Features::GUEST_CSUM | needs, 1500);
        let given = alone.receive(&frame, &about).expect("the driver takes it");
        assert_eq!((given.gso_type, given.gso_size), (kind.value(), 32));
        let refused = all_but(needs).receive(&frame, &about);
        assert_refused!(refused, RxError::TypeFeature { gso_type: kind.value() });
    }
    let segments = Segments { ecn: true, ..segments(Kind::Tcp4) };
    let about = Receive { segments: Some(segments), ..about(Kind::Tcp4, TCP4) };
    let given = all().receive(&TCP4.frame(), &about).expect("the driver takes marks");
    assert_eq!(given.gso_type, gso::TCPV4 | gso::ECN);
    let refused = all_but(Features::GUEST_ECN).receive(&TCP4.frame(), &about);
    assert_refused!(refused, RxError::TypeFeature { gso_type: gso::TCPV4 | gso::ECN });
    // More headers than are followed: both versions have to be taken.
    let many = Layers { extensions: 9, ..Layers::new(Ip::V6, false, 64) };
    let about = self::about(Kind::UdpL4, many);
    assert!(all().receive(&many.frame(), &about).is_ok());
    let refused = all_but(Features::GUEST_USO4).receive(&many.frame(), &about);
    assert_refused!(refused, RxError::TypeFeature { gso_type: gso::UDP_L4 });
}

#[test]
fn what_could_be_cut_has_a_partial_checksum_and_a_size() {
    let kind = Kind::Tcp4;
    for checksum in [Verified::No, Verified::Yes] {
        let about = Receive { checksum, ..about(kind, TCP4) };
        assert_refused!(all().receive(&TCP4.frame(), &about), RxError::Unfinished { kind });
    }
    let zero = Some(Segments { size: 0, ..segments(kind) });
    let about = Receive { segments: zero, ..about(kind, TCP4) };
    assert_refused!(all().receive(&TCP4.frame(), &about), RxError::SizeZero { kind });
}

#[test]
fn the_length_of_all_headers_is_told() {
    let _shows = shows(&["NET-031"]);
    for kind in [Kind::Tcp4, Kind::Tcp6, Kind::Udp, Kind::UdpL4] {
        for tags in 0..3 {
            let layers = Layers { tags, ..Layers::of(kind, 64) };
            let given = all().receive(&layers.frame(), &about(kind, layers)).expect("legal");
            assert_eq!(usize::from(given.hdr_len), layers.headers());
            assert!(given.has(flags::NEEDS_CSUM));
            assert_eq!(given.csum_start, layers.checksum().start);
        }
    }
}

#[test]
fn what_is_said_of_a_frame_is_true_of_it() {
    let kind = Kind::Tcp4;
    let udp = Layers::of(Kind::Udp, 64);
    let refused = all().receive(&udp.frame(), &about(kind, TCP4));
    assert_refused!(refused, RxError::Mismatch { kind });
    let len = TCP4.frame().len();
    let at = |start, offset| {
        let checksum = Checksum { start, offset };
        let about = Receive { checksum: Verified::Partial(checksum), ..about(kind, TCP4) };
        (all().receive(&TCP4.frame(), &about), checksum)
    };
    let (refused, checksum) = at(34, 0xffff);
    assert_refused!(refused, RxError::Position { checksum, len });
    let (refused, checksum) = at(13, 16);
    assert_refused!(refused, RxError::Position { checksum, len });
    // As it would be counted without the Ethernet header, or for another protocol.
    for (start, offset) in [(20, 16), (34, 6), (48, 16)] {
        let (refused, checksum) = at(start, offset);
        assert_refused!(refused, RxError::Elsewhere { checksum, transport: 34 });
    }
    for kind in [Kind::Udp, Kind::UdpL4] {
        let marked = Some(Segments { ecn: true, ..segments(kind) });
        let about = Receive { segments: marked, ..about(kind, udp) };
        assert_refused!(all().receive(&udp.frame(), &about), RxError::Ecn { kind });
    }
    assert_refused!(all().receive(&[0; 13], &PLAIN), RxError::ShortFrame { len: 13 });
}

#[test]
fn joined_segments_are_told_to_a_driver_that_asks_and_to_no_other() {
    let frame = TCP4.frame();
    let asks = Port { features: all().features | Features::RSC_EXT, ..all() };
    let joined = Some(Joined { segments: 3, duplicates: 1 });
    let about = about(Kind::Tcp4, TCP4);
    let told = Receive { joined, ..about };
    assert_refused!(all().receive(&frame, &told), RxError::JoinedFeature);
    let given = asks.receive(&frame, &told).expect("the driver asks");
    assert!(given.has(flags::RSC_INFO | flags::NEEDS_CSUM));
    assert_eq!((given.csum_start, given.csum_offset), (3, 1));
    let _shows = shows(&["DC-098"]);
    let kind = Kind::Tcp4;
    assert_refused!(asks.receive(&frame, &about), RxError::NotJoined { kind });
    let alone = Receive { segments: None, ..told };
    assert_refused!(asks.receive(&frame, &alone), RxError::JoinedAlone);
    assert_eq!(asks.receive(&frame, &PLAIN).map(|header| header.flags), Ok(0));
}

#[test]
fn tunnels_are_given_to_a_driver_that_takes_them() {
    let (frame, tunnel, checksum) = TCP4.inside(Ip::V6);
    let given = |port: Port, checksum: Verified, segments: Segments| {
        port.receive(&frame, &Receive { checksum, segments: Some(segments), ..PLAIN })
    };
    let partial = Verified::Partial(checksum);
    let inner = Segments { tunnel: Some(tunnel), ..segments(Kind::Tcp4) };
    let header = given(all(), partial, inner).expect("legal");
    assert_eq!(header.gso_type, gso::TCPV4 | gso::TUNNEL_IPV6);
    assert_eq!((header.outer_th_offset, header.inner_nh_offset), (54, 70));
    assert_refused!(given(all(), Verified::Yes, inner), RxError::TunnelValid);
    let gso_type = header.gso_type;
    let off = all_but(Features::GUEST_UDP_TUNNEL_GSO);
    assert_refused!(given(off, partial, inner), RxError::TypeFeature { gso_type });
    let mut outer = tunnel;
    outer.checksum = true;
    let outer = Segments { tunnel: Some(outer), ..inner };
    let header = given(all(), partial, outer).expect("legal");
    assert!(header.has(flags::UDP_TUNNEL_CSUM | flags::NEEDS_CSUM));
    let off = all_but(Features::GUEST_UDP_TUNNEL_GSO_CSUM);
    assert_refused!(given(off, partial, outer), RxError::TunnelChecksumFeature);
    let mut wrong = tunnel;
    wrong.inner_network = tunnel.outer_transport;
    let start = checksum.start;
    let refused = given(all(), partial, Segments { tunnel: Some(wrong), ..inner });
    assert_refused!(refused, RxError::TunnelOrder { tunnel: wrong, start });
    let refused = given(all(), partial, Segments { kind: Kind::Udp, ..inner });
    assert_refused!(refused, RxError::TunnelOfFragments);
}

#[test]
fn bytes_without_meaning_are_zero() {
    let _shows = shows(&["NET-034"]);
    for features in [
        Features::default(),
        Features::VERSION_1,
        Features::HASH_REPORT,
        Features::GUEST_UDP_TUNNEL_GSO,
        Features::OUT_NET_HEADER | Features::IPSEC | Features::HASH_REPORT,
    ] {
        let port = Port::new(features, 1500);
        let header = port.receive(&TCP4.frame(), &PLAIN).expect("a plain frame");
        // Stale bytes would show.
        let mut out = [0xa5; HEADER_LEN_MAX];
        let len = header.encode(features, &mut out).expect("room");
        let mut expected = vec![0; len];
        if len > 10 {
            expected[10] = 1;
        }
        assert_eq!(out[..len], expected);
    }
}

#[test]
fn a_hash_is_told_when_there_is_one_and_the_driver_asked() {
    let _shows = shows(&["NET-035"]);
    let given = |features: Features, hash: Option<Hash>| {
        let header =
            Port::new(features, 1500).receive(&TCP4.frame(), &Receive { hash, ..PLAIN })?;
        Ok::<_, RxError>(wire(&header, features)[12..].to_vec())
    };
    let asks = Features::VERSION_1 | Features::HASH_REPORT;
    let hash = |report| Some(Hash { value: 0x1234_5678, report });
    assert_eq!(given(asks, None), Ok(vec![0; 8]));
    for report in 1..=HASH_REPORT_MAX {
        let low = u8::try_from(report).expect("small");
        let expected = vec![0x78, 0x56, 0x34, 0x12, low, 0, 0, 0];
        assert_eq!(given(asks, hash(report)), Ok(expected));
    }
    // Padding of a longer header.
    assert_eq!(given(Features::GUEST_UDP_TUNNEL_GSO, hash(1)), Ok(vec![0; 12]));
    for report in [0, HASH_REPORT_MAX + 1, u16::MAX] {
        assert_refused!(given(asks, hash(report)), RxError::Hash { report });
    }
}

#[test]
fn a_frame_above_the_mtu_is_not_given() {
    let port = Port::new(Features::VERSION_1 | Features::MTU, 1500);
    assert!(port.receive(&[0; 1514], &PLAIN).is_ok());
    let refused = port.receive(&[0; 1515], &PLAIN);
    assert_refused!(refused, RxError::FrameTooLong { len: 1515, limit: 1514 });
    let mut tagged = Layers { tags: 1, ..TCP4 }.frame();
    tagged.resize(1518, 0);
    assert!(port.receive(&tagged, &PLAIN).is_ok());
    tagged.push(0);
    let refused = port.receive(&tagged, &PLAIN);
    assert_refused!(refused, RxError::FrameTooLong { len: 1519, limit: 1518 });
    // What could be cut is longer.
    let layers = Layers::of(Kind::Tcp4, SEGMENTS_LEN_MAX - 54);
    let port = Port { features: all().features | Features::MTU, ..port };
    assert!(port.receive(&layers.frame(), &about(Kind::Tcp4, layers)).is_ok());
    let layers = Layers { payload: layers.payload + 1, ..layers };
    let (len, limit) = (SEGMENTS_LEN_MAX + 1, SEGMENTS_LEN_MAX);
    let refused = port.receive(&layers.frame(), &about(Kind::Tcp4, layers));
    assert_refused!(refused, RxError::SegmentsTooLong { len, limit });
}

#[test]
fn buffers_are_one_unless_they_are_merged() {
    let frame = TCP4.frame();
    let given = |features: Features, buffers: u16| {
        Port::new(features, 1500).receive(&frame, &Receive { buffers, ..PLAIN })
    };
    let _shows = shows(&["NET-022", "NET-023"]);
    for buffers in [0, 2, u16::MAX] {
        assert_refused!(given(Features::VERSION_1, buffers), RxError::Buffers { buffers });
    }
    assert_eq!(given(Features::VERSION_1, 1).map(|header| header.num_buffers), Ok(1));
    for buffers in [1, 2, u16::MAX] {
        let header = given(Features::MRG_RXBUF, buffers).map(|header| header.num_buffers);
        assert_eq!(header, Ok(buffers));
    }
    assert_refused!(given(Features::MRG_RXBUF, 0), RxError::NoBuffer);
}

/// What one driver sends is given to another as it was said (NH14, NH15).
#[test]
fn what_one_driver_says_is_told_to_another() {
    for kind in [Kind::Tcp4, Kind::Tcp6, Kind::Udp, Kind::UdpL4] {
        let layers = Layers::of(kind, 64);
        let said = header(&segments(kind), layers.checksum());
        let bytes = [wire(&said, all().features), layers.frame()].concat();
        let sent = all().transmit(&bytes, 0).expect("legal");
        let given = all().receive(sent.frame, &Receive::from(&sent)).expect("legal");
        let hdr_len = u16::try_from(layers.headers()).expect("small");
        assert_eq!(given, Header { hdr_len, num_buffers: 1, ..said });
    }
    let partial = Header { flags: 1, csum_start: 34, csum_offset: 16, ..Header::default() };
    let bytes = [wire(&partial, all().features), TCP4.frame()].concat();
    let sent = all().transmit(&bytes, 0).expect("legal");
    let given = all().receive(sent.frame, &Receive::from(&sent));
    assert_eq!(given, Ok(Header { num_buffers: 1, ..partial }));
}

/// Several mistakes at once: the first in the order is named.
#[test]
fn the_first_mistake_is_the_verdict() {
    let _shows = shows(&["DC-099"]);
    let frame = vec![0; 1600];
    let joined = Some(Joined { segments: 1, duplicates: 0 });
    let hash = Some(Hash { value: 0, report: 0 });
    let partial = Verified::Partial(Checksum { start: 0, offset: 0 });
    let mut about = Receive { checksum: partial, segments: None, joined, hash, buffers: 2 };
    let mtu = Features::MTU;
    let mut rules = Vec::new();
    let mut note = |features: Features, frame: &[u8], about: &Receive| {
        let error = Port::new(features, 1500).receive(frame, about).expect_err("a mistake");
        rules.push(error.rule().to_string());
    };
    note(mtu, &frame[..13], &about);
    note(mtu, &frame, &about);
    about.buffers = 1;
    note(mtu, &frame, &about);
    note(mtu | Features::GUEST_CSUM, &frame, &about);
    about.joined = None;
    note(mtu | Features::GUEST_CSUM, &frame, &about);
    note(mtu | Features::GUEST_CSUM, &frame[..1514], &about);
    about.checksum = Verified::Yes;
    note(mtu | Features::GUEST_CSUM, &frame[..1514], &about);
    let expected = ["L2-001", "NET-022", "NET-029", "NET-033", "NET-019", "NET-013", "NET-035"];
    assert_eq!(rules, expected);
}
