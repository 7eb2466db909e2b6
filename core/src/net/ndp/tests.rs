//! Unit tests of what is read.

use super::*;
use crate::net::ipv6::protocol;

const GUEST: Mac = Mac([2, 0, 0, 0, 0, 9]);
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn read(kind: u8, body: &[u8]) -> Result<Option<Discovery>, NdpError> {
    let packet = Packet {
        source: ADDRESS,
        destination: ipv6::solicited_node(GATEWAY),
        hop_limit: HOP_LIMIT,
        protocol: protocol::ICMPV6,
        payload: &[],
    };
    Discovery::parse(&packet, &Message { kind, code: 0, body }, GUEST)
}

#[test]
fn every_length_below_the_least_is_refused() {
    for (kind, least) in [(133, 8), (134, 16), (135, 24), (136, 24), (137, 40)] {
        let body = vec![0; least - HEADER_LEN];
        assert!(read(kind, &body).unwrap().is_some(), "{kind}");
        for len in 0..body.len() {
            let short = NdpError::Short { kind, len: len + HEADER_LEN };
            assert_eq!(read(kind, &body[..len]), Err(short));
        }
    }
    assert_eq!(read(132, &[]), Ok(None));
}

#[test]
fn options_are_bounded_by_the_message() {
    let with = |option: &[u8]| read(135, &[&[0; 20][..], option].concat());
    let legal = Ok(Some(Discovery::NeighborSolicitation { target: Ipv6Addr::UNSPECIFIED }));
    assert_eq!(with(&[14, 1, 0, 0, 0, 0, 0, 0]), legal);
    assert_eq!(with(&[1, 1, 2, 0, 0, 0, 0, 9]), legal);
    assert_eq!(with(&[14]), Err(NdpError::OptionCut { option: 14 }));
    assert_eq!(with(&[14, 1, 0, 0, 0, 0, 0]), Err(NdpError::OptionCut { option: 14 }));
    assert_eq!(with(&[14, 0, 0, 0, 0, 0, 0, 0]), Err(NdpError::EmptyOption { option: 14 }));
    assert_eq!(with(&[&[1, 2][..], &[0; 14]].concat()), Err(NdpError::LinkLen { units: 2 }));
    let other = Mac([2, 0, 0, 0, 0, 8]);
    assert_eq!(with(&[1, 1, 2, 0, 0, 0, 0, 8]), Err(NdpError::LinkAddress { address: other }));
}
