//! The same through every kind of ring.

use vhost_fuzz_harness::guest::{GATEWAY_IP, Options, TestBackend, VhostTestClient, packet, parse};

use crate::guest::{IP, MAC, SOON};

/// Every combination of what a guest can want of its rings.
fn every_kind() -> impl Iterator<Item = Options> {
    (0..32).map(|bits: u8| {
        let has = |bit: u8| bits & 1 << bit != 0;
        Options {
            packed: has(0),
            event_idx: has(1),
            indirect: has(2),
            in_order: has(3),
            mergeable: has(4),
        }
    })
}

/// More round trips than a ring has entries, with frames that take one receive buffer and several.
#[test]
fn frames_go_both_ways_through_every_kind_of_ring() {
    let backend = TestBackend::new(MAC, Some(IP)).expect("a back-end");
    for options in every_kind() {
        let mut client = VhostTestClient::with(backend.path(), options).expect("a guest");
        for round in 0..150_u16 {
            let data = vec![7; usize::from(round * 13 % 1400)];
            client.send_packet(&packet::echo_request(MAC, IP, GATEWAY_IP, &data)).expect("room");
            let reply = client.recv_packet(SOON);
            let reply = reply.unwrap_or_else(|error| panic!("{options:?}, {round}: {error}"));
            assert_eq!(parse::echo_reply(&reply), Some(data), "{options:?}, {round}");
        }
        client.stop().expect("both queues stop");
    }
    assert_eq!(backend.stop().expect("it ran to its end").len(), 32);
}

/// Requests that are sent together are answered in their order.
#[test]
fn a_burst_is_answered_in_order() {
    let backend = TestBackend::new(MAC, Some(IP)).expect("a back-end");
    for packed in [false, true] {
        let options = Options { packed, ..Options::default() };
        let mut client = VhostTestClient::with(backend.path(), options).expect("a guest");
        for round in 0..20_u8 {
            for at in 0..16 {
                let request = packet::echo_request(MAC, IP, GATEWAY_IP, &[round, at]);
                client.send_packet(&request).expect("there is room");
            }
            for at in 0..16 {
                let reply = client.recv_packet(SOON).expect("an answer");
                assert_eq!(parse::echo_reply(&reply), Some(vec![round, at]));
            }
        }
    }
}
