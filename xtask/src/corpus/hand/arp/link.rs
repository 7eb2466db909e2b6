//! Ethernet (L2-001 to L2-004).

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::gateway::GUEST_MAC;
use vhost_fuzz_harness::gateway::build::{Arp, frame};

use super::{OK, PLAIN, seed};

pub(super) fn seeds() -> Vec<Seed> {
    let tagged = |protocol, control| {
        let tag = Some((protocol, control));
        Arp { tag, ..Arp::default() }.bytes()
    };
    let whole = Arp::default().bytes();
    let vlan = tagged(0x8100, 5);
    let two = [&vlan[..16], &[0x81, 0, 0, 6], &vlan[16..]].concat();
    let service = [&vlan[..12], &[0x88, 0xa8, 0, 9], &vlan[12..]].concat();
    let group = Arp { source: [3, 0, 0, 0, 0, 1], ..Arp::default() }.bytes();
    let plain = |ether_type, payload: &[u8]| frame([0xff; 6], GUEST_MAC, None, ether_type, payload);
    let one = |name: &str, expect: &str, shows: &str, frame: &[u8]| {
        seed(name, expect, shows, PLAIN, &[frame.to_vec()])
    };
    vec![
        one("vlan", OK, "one tag, which the reply has too (L2-004)", &vlan),
        one("vlan-priority", OK, "VLAN 0 with a priority", &tagged(0x8100, 0xe000)),
        one("vlan-reserved", OK, "VLAN 0xfff (DC-104)", &tagged(0x8100, 0xffff)),
        one("vlan-service", OK, "one service tag", &tagged(0x88a8, 7)),
        one("vlan-two", "L2-004", "two tags", &two),
        one("vlan-service-and-vlan", "L2-004", "a service tag and a VLAN tag", &service),
        one("vlan-cut", "L2-001", "a frame that ends in its tag", &vlan[..17]),
        one("empty", "L2-001", "a frame of no bytes", &[]),
        one("short", "L2-001", "a frame of 13 bytes", &whole[..13]),
        one("group-source", "L2-002", "a group sends", &group),
        one("undefined-type", "L2-003", "neither a type nor a length", &plain(0x5dd, &[0; 46])),
        one("length-too-long", "L2-003", "a length of 47 bytes, with 46", &plain(47, &[0; 46])),
        one("length", OK, "an 802.3 frame", &plain(3, &[0x42, 0x42, 3, 0, 0])),
        one("ipv6", OK, "a protocol that nobody here reads", &plain(0x86dd, &[0x60; 40])),
        one("header-alone", "AR-001", "a header and nothing", &whole[..14]),
    ]
}
