//! Ethernet, IPv4, UDP and ICMP echo: the rules L2 of `spec/virtio.md` §7.5, and the decisions.

use std::net::{Ipv4Addr, SocketAddrV4};

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::checksum::{Sum, Transport};
use vhost_fuzz_core::net::ethernet::{Frame, LinkError};
use vhost_fuzz_core::net::icmp::{Answer, EchoError, Responder};
use vhost_fuzz_core::net::ipv4::{Packet, PacketError};
use vhost_fuzz_core::net::rate::Limiter;
use vhost_fuzz_core::net::udp::{self, Datagram, DatagramError};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::gateway::build::{Arp, datagram, echo, frame, icmp, resealed, to_gateway};
use vhost_fuzz_harness::gateway::{GATEWAY_MAC, GATEWAYS, GUEST_MAC, LEASES, Setup};
use vhost_fuzz_model::net::ipv4::{write, write_datagram};

/// An echo request whose byte `at` has this value, with a right checksum.
fn with(at: usize, value: u8) -> Vec<u8> {
    let mut packet = echo(GATEWAYS[0], b"abcd");
    packet[at] = value;
    resealed(packet)
}

#[test]
fn frames_that_are_cut_are_dropped() {
    let whole = Arp::default().bytes();
    for len in 0..14 {
        assert_refused!(Frame::parse(&whole[..len]), LinkError::Short { len });
    }
    let tagged = Arp { tag: Some((0x8100, 5)), ..Arp::default() }.bytes();
    for len in 14..18 {
        assert_refused!(Frame::parse(&tagged[..len]), LinkError::TagCut { len });
    }
}

#[test]
fn frames_that_nobody_sends_are_dropped() {
    let source = Mac([3, 0, 0, 0, 0, 1]);
    let group = Arp { source: source.0, ..Arp::default() }.bytes();
    assert_refused!(Frame::parse(&group), LinkError::GroupSource { source });
    let typed = |value, len| frame([0xff; 6], GUEST_MAC, None, value, &vec![0; len]);
    for (value, len) in [(0x5dd, 1600), (0x5ff, 1600), (47, 46), (0x5dc, 0x5db)] {
        assert_refused!(Frame::parse(&typed(value, len)), LinkError::Length { value });
    }
    for (value, len) in [(0x5dc, 0x5dc), (46, 46), (0, 46), (0x600, 0)] {
        assert!(Frame::parse(&typed(value, len)).is_ok(), "{value:#x}");
    }
    let mut two = Arp { tag: Some((0x88a8, 5)), ..Arp::default() }.bytes();
    two.splice(12..12, [0x81, 0, 0, 9]);
    assert_refused!(Frame::parse(&two), LinkError::TwoTags);
}

#[test]
fn lengths_of_a_packet_are_those_of_what_there_is() {
    let whole = echo(GATEWAYS[0], b"abcd");
    for len in 0..20 {
        assert_refused!(Packet::parse(&whole[..len]), PacketError::Short { len });
    }
    for len in 20..whole.len() {
        assert_refused!(Packet::parse(&whole[..len]), PacketError::TotalLength { value: 32 });
    }
    for version in (0..16).filter(|version| *version != 4) {
        let packet = with(0, version << 4 | 5);
        assert_refused!(Packet::parse(&packet), PacketError::Version { version });
    }
    for words in (0..5).chain(9..16) {
        let packet = with(0, 0x40 | words);
        let len = usize::from(words) * 4;
        assert_refused!(Packet::parse(&packet), PacketError::HeaderLength { len });
    }
    for value in (0..20).chain(33..=255) {
        let packet = with(3, value);
        assert_refused!(Packet::parse(&packet), PacketError::TotalLength { value: value.into() });
    }
}

#[test]
fn a_damaged_header_is_dropped() {
    for bit in 0..8 {
        for at in 4..20 {
            let mut packet = echo(GATEWAYS[0], b"abcd");
            packet[at] ^= 1 << bit;
            let sum = Sum::new().bytes(&packet[..20]).folded();
            assert_refused!(Packet::parse(&packet), PacketError::Checksum { sum }, "{at} {bit}");
        }
    }
    assert_refused!(Packet::parse(&with(8, 0)), PacketError::Ttl);
    assert!(Packet::parse(&with(8, 1)).is_ok());
}

#[test]
fn nobody_sends_from_such_an_address() {
    let from = |source| write(source, GATEWAYS[0], 1, &icmp(8, 0, [0; 4], &[]));
    for source in [
        [0; 4],
        [127, 0, 0, 0],
        [127, 255, 255, 255],
        [224, 0, 0, 0],
        [239, 255, 255, 255],
        [240, 0, 0, 0],
        [255; 4],
    ] {
        let error = PacketError::Source { source: source.into() };
        assert_refused!(Packet::parse(&from(source)), error);
    }
    for source in [[0, 0, 0, 1], [126, 255, 255, 255], [128, 0, 0, 0], [223, 255, 255, 255]] {
        assert!(Packet::parse(&from(source)).is_ok(), "{source:?}");
    }
}

#[test]
fn fragments_are_not_answered() {
    for fragment in [0x2000, 0x3fff, 1, 0x1fff, 0x2001] {
        for others in [0, 0x4000, 0x8000, 0xc000_u16] {
            let mut packet = echo(GATEWAYS[0], b"abcd");
            packet[6..8].copy_from_slice(&(fragment | others).to_be_bytes());
            let packet = resealed(packet);
            assert_refused!(Packet::parse(&packet), PacketError::Fragment { fragment });
        }
    }
    for whole in [0, 0x40, 0x80, 0xc0] {
        assert!(Packet::parse(&with(6, whole)).is_ok(), "{whole:#x}");
    }
}

#[test]
fn options_and_padding_are_not_the_payload() {
    let _shows = shows(&["L2-005", "L2-007"]);
    let plain = echo(GATEWAYS[0], b"abcd");
    for words in 6..16_u8 {
        let options = vec![0x83; usize::from(words - 5) * 4];
        let mut packet = [&plain[..20], &options, &plain[20..], &[0xee; 9]].concat();
        packet[0] = 0x40 | words;
        packet[3] = words * 4 + 12;
        let packet = resealed(packet);
        assert_eq!(Packet::parse(&packet).expect("a packet").payload, &plain[20..]);
    }
}

/// What the datagram of a packet is.
fn parse(packet: &[u8], transport: Transport) -> Result<(u16, u16, Vec<u8>), DatagramError> {
    let packet = Packet::parse(packet).expect("a packet");
    let Datagram { source_port, destination_port, payload } = Datagram::parse(&packet, transport)?;
    Ok((source_port, destination_port, payload.to_vec()))
}

#[test]
fn a_datagram_lies_in_its_packet() {
    for len in 0..8 {
        let packet = write(LEASES[0], GATEWAYS[0], 17, &vec![0; len]);
        assert_refused!(parse(&packet, Transport::Complete), DatagramError::Short { len });
    }
    for value in (0..8_u16).chain([14, 255, 256, 0xffff]) {
        let mut packet = datagram(GATEWAYS[0], 7, b"hello");
        packet[24..26].copy_from_slice(&value.to_be_bytes());
        for transport in [Transport::Complete, Transport::Partial] {
            assert_refused!(parse(&packet, transport), DatagramError::Length { value });
        }
    }
    // What the packet has after it is ignored.
    let mut inner = datagram(GATEWAYS[0], 7, b"hello")[20..].to_vec();
    inner.extend([0xee; 3]);
    let packet = write(LEASES[0], GATEWAYS[0], 17, &inner);
    let expected = (40_000, 7, b"hello".to_vec());
    assert_eq!(parse(&packet, Transport::Complete), Ok(expected));
}

#[test]
fn the_checksum_of_a_datagram_is_verified_when_there_is_one() {
    let _shows = shows(&["NET-055", "L2-010"]);
    let whole = datagram(GATEWAYS[0], 7, b"hello");
    for at in [20, 21, 22, 23, 26, 27, 28, 32] {
        let mut packet = whole.clone();
        packet[at] ^= 1;
        let pseudo = [&packet[12..20], &[0, 17], &packet[24..26]].concat();
        let sum = Sum::new().bytes(&pseudo).bytes(&packet[20..]).folded();
        assert_refused!(parse(&packet, Transport::Complete), DatagramError::Checksum { sum });
        assert!(parse(&packet, Transport::Partial).is_ok(), "{at}");
        packet[26..28].copy_from_slice(&[0, 0]);
        assert!(parse(&packet, Transport::Complete).is_ok(), "{at}");
    }
    // As a driver with checksum offload leaves it: the folded sum of the pseudo-header.
    let mut partial = whole.clone();
    let pseudo = [&whole[12..20], &[0, 17], &whole[24..26]].concat();
    let left = Sum::new().bytes(&pseudo).folded();
    partial[26..28].copy_from_slice(&left.to_be_bytes());
    assert_eq!(parse(&partial, Transport::Partial), parse(&whole, Transport::Complete));
    assert!(parse(&partial, Transport::Complete).is_err());
}

#[test]
fn a_host_without_an_address_speaks_to_dhcp_only() {
    let _shows = shows(&["DC-107"]);
    let from_nobody = |port| write_datagram(([0; 4], 68), ([255; 4], port), b"discover");
    assert!(parse(&from_nobody(67), Transport::Complete).is_ok());
    for destination_port in [0, 7, 66, 68, 0x4300] {
        let said = parse(&from_nobody(destination_port), Transport::Complete);
        assert_refused!(said, DatagramError::Source { destination_port });
    }
}

#[test]
fn a_checksum_of_zero_is_sent_as_all_ones() {
    let _shows = shows(&["L2-011", "DC-106"]);
    let (here, there) =
        (SocketAddrV4::new(GATEWAYS[0].into(), 67), SocketAddrV4::new(LEASES[0].into(), 68));
    let mut zeroes = 0;
    for number in 0..=u16::MAX {
        let mut out = [&[0xa5; udp::HEADROOM][..], &number.to_be_bytes()].concat();
        assert_eq!(udp::write_headers(&mut out, here, there, 2), Some(30));
        let expected = write_datagram((GATEWAYS[0], 67), (LEASES[0], 68), &number.to_be_bytes());
        assert_eq!(out, expected);
        assert!(out[26..28] != [0, 0]);
        zeroes += usize::from(out[26..28] == [0xff, 0xff]);
        assert!(parse(&out, Transport::Complete).is_ok());
    }
    assert_eq!(zeroes, 1);
}

fn responder(mtu: u16) -> Responder {
    let owned = GATEWAYS.into_iter().map(Ipv4Addr::from).collect();
    Responder { mac: Mac(GATEWAY_MAC), owned, mtu }
}

/// What is said to a frame, and the reply.
fn ping(frame: &[u8], transport: Transport) -> Result<Option<Vec<u8>>, EchoError> {
    let frame = Frame::parse(frame).expect("a frame");
    let packet = Packet::parse(frame.payload).expect("a packet");
    let mut out = [0xa5; 2048];
    let answer = responder(1500).answer(&frame, &packet, transport, &mut out)?;
    let len = match answer {
        Answer::Reply { len } => len,
        Answer::Silent => 0,
    };
    assert!(out[len..].iter().all(|byte| *byte == 0xa5), "bytes behind the reply");
    Ok((len > 0).then(|| out[..len].to_vec()))
}

/// The reply to an echo request with this data.
fn pong(from: [u8; 4], tag: Option<(u16, u16)>, data: &[u8]) -> Vec<u8> {
    let packet = write(from, LEASES[0], 1, &icmp(0, 0, [0x12, 0x34, 0, 1], data));
    frame(GUEST_MAC, GATEWAY_MAC, tag, 0x0800, &packet)
}

#[test]
fn a_ping_comes_back() {
    let _shows = shows(&["DC-105", "DC-106", "L2-004", "L2-005", "L2-006"]);
    for len in [0, 1, 2, 55, 56, 1471, 1472] {
        let data: Vec<u8> = (0..=255).cycle().take(len).collect();
        for to in GATEWAYS {
            for tag in [None, Some((0x8100, 0x6005))] {
                let packet = [echo(to, &data), vec![0xee; 5]].concat();
                let request = frame(GATEWAY_MAC, GUEST_MAC, tag, 0x0800, &packet);
                let said = ping(&request, Transport::Complete);
                assert_eq!(said, Ok(Some(pong(to, tag, &data))), "{len}");
            }
        }
    }
}

#[test]
fn what_is_not_asked_of_the_gateway_is_not_answered() {
    let _shows = shows(&["DC-105"]);
    let message = |bytes: &[u8]| to_gateway(&write(LEASES[0], GATEWAYS[0], 1, bytes));
    let whole = echo(GATEWAYS[0], b"abcd");
    let to = |destination| frame(destination, GUEST_MAC, None, 0x0800, &whole);
    let own = write(GATEWAYS[1], GATEWAYS[0], 1, &icmp(8, 0, [0; 4], &[]));
    for silent in [
        to([0xff; 6]),
        to([1, 0, 0x5e, 0, 0, 1]),
        to(GUEST_MAC),
        to_gateway(&echo([198, 51, 100, 7], b"x")),
        to_gateway(&echo([255; 4], b"x")),
        to_gateway(&own),
        message(&icmp(8, 1, [0; 4], &[])),
    ] {
        assert_eq!(ping(&silent, Transport::Complete), Ok(None), "{silent:02x?}");
    }
    for kind in (0..=255).filter(|kind| *kind != 8) {
        let silent = message(&icmp(kind, 0, [0; 4], &[0; 12]));
        assert_eq!(ping(&silent, Transport::Complete), Ok(None), "{kind}");
    }
}

#[test]
fn damaged_echoes_are_dropped() {
    for len in 0..8 {
        let short = to_gateway(&write(LEASES[0], GATEWAYS[0], 1, &vec![0; len]));
        assert_refused!(ping(&short, Transport::Complete), EchoError::Short { len });
    }
    let whole = to_gateway(&echo(GATEWAYS[0], b"abcd"));
    for at in 34..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let sum = Sum::new().bytes(&damaged[34..]).folded();
        assert_refused!(ping(&damaged, Transport::Complete), EchoError::Checksum { sum });
    }
    let _shows = shows(&["NET-055"]);
    let mut partial = whole;
    partial[36..38].copy_from_slice(&[0, 0]);
    let expected = pong(GATEWAYS[0], None, b"abcd");
    assert_eq!(ping(&partial, Transport::Partial), Ok(Some(expected)));
}

#[test]
fn an_echo_is_no_longer_than_the_guest_can_take() {
    for (mtu, data, fits) in [(1500, 1472, true), (1500, 1473, false), (28, 0, true)] {
        let bytes = to_gateway(&echo(GATEWAYS[0], &vec![0x61; data]));
        let frame = Frame::parse(&bytes).expect("a frame");
        let packet = Packet::parse(frame.payload).expect("a packet");
        let mut out = [0xa5; 2048];
        let said = responder(mtu).answer(&frame, &packet, Transport::Complete, &mut out);
        if fits {
            assert_eq!(said, Ok(Answer::Reply { len: data + 42 }));
        } else {
            assert_refused!(said, EchoError::TooLong { len: data + 28, mtu });
            assert_eq!(out, [0xa5; 2048]);
        }
        for room in [0, 13, 41, data + 41] {
            let mut out = vec![0xa5; room];
            let said = responder(u16::MAX).answer(&frame, &packet, Transport::Complete, &mut out);
            assert_refused!(said, EchoError::NoRoom { needed: data + 42, room });
            assert!(out.iter().all(|byte| *byte == 0xa5));
        }
    }
}

#[test]
fn replies_of_a_port_are_bounded() {
    let _shows = shows(&["L2-013", "DC-108"]);
    for (per_second, burst) in [(1, 1), (10, 4), (1000, 64), (3, 2)] {
        let mut limiter = Limiter::new(per_second, burst);
        let mut ask = |now_ms| {
            let is_allowed = limiter.allows(now_ms);
            if is_allowed {
                limiter.spend();
            }
            u64::from(is_allowed)
        };
        let start = 5_000_000;
        let at_once: u64 = (0..1000).map(|_| ask(start)).sum();
        assert_eq!(at_once, u64::from(burst));
        // Time that goes back gives nothing.
        assert_eq!(ask(0), 0);
        // Asked every millisecond, in ten seconds.
        let later: u64 = (1..=10_000).map(|passed| ask(start + passed)).sum();
        assert_eq!(later, u64::from(per_second) * 10, "{per_second} {burst}");
        // A long silence gives no more than the burst.
        let at_once: u64 = (0..1000).map(|_| ask(u64::MAX)).sum();
        assert_eq!(at_once, u64::from(burst));
    }
    // What is only asked costs nothing.
    let mut limiter = Limiter::new(1, 1);
    assert!((0..100).all(|_| limiter.allows(0)));
    let mut none = Limiter::new(0, 0);
    assert!(!none.allows(0) && !none.allows(u64::MAX));
    assert_eq!(Setup(0).rate(), (1000, 1000));
}

#[test]
fn errors_say_what_and_which_rule() {
    let error = PacketError::Source { source: Ipv4Addr::LOCALHOST };
    assert_eq!(error.to_string(), "127.0.0.1 sends no IPv4 packet: L2-007");
    let error = DatagramError::Length { value: 7 };
    assert_eq!(error.to_string(), "a UDP datagram cannot have 7 bytes here: L2-009");
    let error = EchoError::TooLong { len: 1501, mtu: 1500 };
    let text = "an echo of 1501 bytes is longer than the 1500 of the guest: L2-012";
    assert_eq!(error.to_string(), text);
}
