//! Each kind of frame, over each kind of ring.

use vhost_fuzz_harness::net_device::setup::{DHCPV6, Setup};
use vhost_fuzz_harness::net_device::{Start, bit, frames};

use crate::rig::{answers, merging, starts};

#[test]
fn every_protocol_is_answered_over_every_ring() {
    let gateway = [DHCPV6, 0, 0, 0];
    let asked = [
        frames::arp(),
        frames::echo(100),
        frames::discover(),
        frames::request(Setup(gateway)),
        frames::neighbor(),
        frames::router(),
        frames::echo6(100),
        frames::solicit(),
    ];
    let mut all = Vec::new();
    for start in starts() {
        let start = Start { gateway, ..start };
        for start in [start, merging(start)] {
            let replies = answers(start, &asked);
            assert_eq!(replies.len(), asked.len(), "{start:?}");
            all.push(replies);
        }
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn every_header_is_as_long_as_the_table_says() {
    for features in [
        bit::VERSION_1,
        bit::VERSION_1 | bit::HASH_REPORT,
        bit::VERSION_1 | bit::HOST_TUNNELS,
        bit::VERSION_1 | bit::OUT_NET_HEADER,
        0,
        bit::MRG_RXBUF,
    ] {
        for start in starts() {
            let start = Start { features, ..start };
            assert_eq!(answers(start, &[frames::arp(), frames::echo(10)]).len(), 2, "{start:?}");
        }
    }
}
