//! Unit tests of packets.

use super::*;

const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

fn packet(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    assert!(write_header(&mut bytes, SOURCE, ALL_NODES, next, 64, payload.len()).is_some());
    bytes.extend(payload);
    bytes
}

#[test]
fn a_packet_is_taken_apart_without_its_padding() {
    let mut bytes = packet(protocol::UDP, &[1, 2, 3]);
    bytes.extend([0xaa; 9]);
    let parsed = Packet::parse(&bytes).unwrap().unwrap();
    assert_eq!((parsed.source, parsed.destination), (SOURCE, ALL_NODES));
    assert_eq!((parsed.hop_limit, parsed.protocol), (64, protocol::UDP));
    assert_eq!(parsed.payload, [1, 2, 3]);
    for len in 0..HEADER_LEN {
        assert_eq!(Packet::parse(&bytes[..len]), Err(Ipv6Error::Short { len }));
    }
    let cut = &bytes[..HEADER_LEN + 2];
    assert_eq!(Packet::parse(cut), Err(Ipv6Error::Length { len: 3, room: 2 }));
    bytes[0] = 0x4f;
    assert_eq!(Packet::parse(&bytes), Err(Ipv6Error::Version { version: 4 }));
}

#[test]
fn extension_headers_are_skipped_up_to_a_bound() {
    let pad = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    let mut chain = Vec::new();
    for _ in 1..EXTENSIONS_MAX {
        chain.extend(pad(protocol::DESTINATION));
    }
    chain.extend(pad(protocol::UDP));
    chain.push(7);
    let bytes = packet(protocol::DESTINATION, &chain);
    let parsed = Packet::parse(&bytes).unwrap().unwrap();
    assert_eq!((parsed.protocol, parsed.payload), (protocol::UDP, &[7][..]));
    let more = packet(protocol::DESTINATION, &[&pad(protocol::DESTINATION)[..], &chain].concat());
    assert_eq!(Packet::parse(&more), Ok(None));
}

#[test]
fn addresses_have_groups() {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0x1234, 0x5678, 0x9abc);
    let group = solicited_node(address);
    assert_eq!(group.to_string(), "ff02::1:ff78:9abc");
    assert!(is_solicited_node(group) && !is_solicited_node(address));
    assert!(!is_solicited_node(ALL_NODES));
    assert_eq!(group_mac(group), Mac([0x33, 0x33, 0xff, 0x78, 0x9a, 0xbc]));
}

#[test]
fn a_pen_stops_at_the_end() {
    let mut bytes = [0; 3];
    let mut pen = Pen::new(&mut bytes);
    assert_eq!(pen.put(&[1, 2]), Some(()));
    assert_eq!(pen.rest().len(), 1);
    assert_eq!(pen.put(&[3, 4]), None);
    assert_eq!(bytes, [1, 2, 0]);
}
