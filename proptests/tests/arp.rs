//! Properties of ARP, `ping` and UDP at a gateway.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_harness::gateway::build::{Arp, frame, icmp, seal};
use vhost_fuzz_harness::gateway::{
    self, Core, GATEWAY_MAC, GATEWAYS, GUEST_MAC, LEASES, Record, Setup,
};
use vhost_fuzz_harness::oracle::gateway::{Outcome, judge};
use vhost_fuzz_harness::target::arp;
use vhost_fuzz_model::net::gateway::Said;
use vhost_fuzz_model::net::ipv4::{write, write_datagram};
use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::Suite;

const FRAMES: Suite = Suite { target: "arp", times: 4 };

/// Options without those that bound replies: room, MTU and rate.
const BOUNDS: u8 = 0x70;

fn check(bytes: &[u8]) -> Outcome {
    arp::check::<Core>(bytes)
}

fn one(options: u8, frame: &[u8]) -> Vec<u8> {
    gateway::encode(Setup(options), &[Record::new(frame)])
}

/// Frames of one input, one after another.
fn many(options: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let records: Vec<_> = frames.iter().map(|frame| Record::new(frame)).collect();
    gateway::encode(Setup(options), &records)
}

fn address() -> impl Strategy<Value = [u8; 4]> + Clone {
    const OTHERS: [[u8; 4]; 8] = [
        [0; 4],
        [255; 4],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [240, 0, 0, 1],
        [169, 254, 77, 7],
        [198, 51, 100, 7],
        [0, 0, 0, 1],
    ];
    let known = GATEWAYS.into_iter().chain(LEASES).chain(OTHERS).collect::<Vec<_>>();
    prop_oneof![8 => select(known), 1 => any::<[u8; 4]>()]
}

fn mac() -> impl Strategy<Value = [u8; 6]> + Clone {
    let known = vec![GUEST_MAC, GATEWAY_MAC, [0xff; 6], [0; 6], [1, 0, 0x5e, 0, 0, 1]];
    prop_oneof![8 => select(known), 1 => any::<[u8; 6]>()]
}

fn tag() -> impl Strategy<Value = Option<(u16, u16)>> + Clone {
    let tag = (select(vec![0x8100_u16, 0x88a8]), any::<u16>());
    prop_oneof![3 => Just(None), 1 => tag.prop_map(Some)]
}

/// A packet of a guest that behaves, about any address.
fn legal_arp() -> impl Strategy<Value = Arp> + Clone {
    let padding = number::bytes(0..=24);
    (any::<bool>(), tag(), 1..=3_u16, address(), mac(), address(), padding).prop_map(
        |(is_unicast, tag, op, spa, tha, tpa, padding)| {
            let destination = if is_unicast { GATEWAY_MAC } else { [0xff; 6] };
            Arp { destination, tag, op, spa, tha, tpa, padding, ..Arp::default() }
        },
    )
}

/// The same with one field that is anything.
fn hostile_arp() -> impl Strategy<Value = Arp> + Clone {
    (legal_arp(), 0..5, mac(), any::<[u8; 6]>(), any::<u16>()).prop_map(
        |(mut arp, what, mac, form, op)| {
            match what {
                0 => arp.destination = mac,
                1 => arp.source = mac,
                2 => arp.sha = mac,
                3 => arp.form = form,
                _ => arp.op = op,
            }
            arp
        },
    )
}

/// A packet to the gateway: an echo, another ICMP message, or a datagram.
fn packet() -> impl Strategy<Value = Vec<u8>> + Clone {
    let data = || number::bytes(0..=200);
    let echo = (address(), address(), any::<[u8; 4]>(), data())
        .prop_map(|(from, to, rest, data)| write(from, to, 1, &icmp(8, 0, rest, &data)));
    let other = (address(), any::<u8>(), any::<u8>(), data()).prop_map(|(to, kind, code, data)| {
        write(LEASES[0], to, 1, &icmp(kind, code, [0; 4], &data))
    });
    let ports = select(vec![7_u16, 67, 68, 53, 0]);
    let datagram = (address(), address(), any::<u16>(), ports, data()).prop_map(
        |(from, to, source, destination, data)| {
            write_datagram((from, source), (to, destination), &data)
        },
    );
    prop_oneof![3 => echo, 1 => other, 3 => datagram]
}

fn ipv4() -> impl Strategy<Value = Vec<u8>> + Clone {
    let destination = prop_oneof![6 => Just(GATEWAY_MAC), 1 => mac()];
    (destination, tag(), packet(), number::bytes(0..=8)).prop_map(
        |(destination, tag, packet, padding)| {
            frame(destination, GUEST_MAC, tag, 0x0800, &[packet, padding].concat())
        },
    )
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> + Clone {
    prop_oneof![
        3 => legal_arp().prop_map(|arp| arp.bytes()),
        2 => hostile_arp().prop_map(|arp| arp.bytes()),
        4 => ipv4(),
    ]
}

/// A request for the gateway is answered, whatever it says besides.
#[test]
fn the_gateway_is_found() {
    let requests = (any::<u8>(), legal_arp(), select(GATEWAYS.to_vec()));
    let request = |(_, arp, tpa): &(u8, Arp, [u8; 4])| {
        let tpa = *tpa;
        Arp { op: 1, spa: LEASES[0], tpa, ..arp.clone() }.bytes()
    };
    let bytes = |case: &(u8, Arp, [u8; 4])| one(case.0, &request(case));
    FRAMES.for_all(&requests, bytes, |_, bytes| {
        let outcome = check(bytes);
        assert_eq!((outcome.replies, outcome.broken), (1, None));
    });
}

/// A host that probes for an address that is not the gateway's is never told that it is taken.
#[test]
fn probes_for_other_addresses_are_never_answered() {
    let probes = (any::<u8>(), legal_arp(), address());
    let bytes = |(options, arp, tpa): &(u8, Arp, [u8; 4])| {
        let own = GATEWAYS.contains(tpa);
        let tpa = if own { [10, 0, 0, 2] } else { *tpa };
        one(*options, &Arp { op: 1, spa: [0; 4], tpa, ..arp.clone() }.bytes())
    };
    FRAMES.for_all(&probes, bytes, |_, bytes| {
        let outcome = check(bytes);
        assert_eq!((outcome.replies, outcome.broken), (0, None));
    });
}

/// Nothing but a request is answered, but an address that is defended.
#[test]
fn replies_and_other_operations_are_never_answered() {
    let cases = (any::<u8>(), legal_arp(), any::<u16>());
    let bytes = |(options, arp, op): &(u8, Arp, u16)| {
        let op = if *op == 1 { 2 } else { *op };
        let is_defended = GATEWAYS.contains(&arp.spa);
        let options = if is_defended { options & !8 } else { *options };
        one(options, &Arp { op, ..arp.clone() }.bytes())
    };
    FRAMES.for_all(&cases, bytes, |_, bytes| assert_eq!(check(bytes).replies, 0));
}

/// Padding changes no answer (L2-005).
#[test]
fn padding_changes_nothing() {
    let cases = (any::<u8>(), any_frame(), number::bytes(1..=64));
    let padded = |(options, frame, padding): &(u8, Vec<u8>, Vec<u8>)| {
        (*options, [&frame[..], padding].concat())
    };
    let bytes = |case: &(u8, Vec<u8>, Vec<u8>)| {
        let (options, frame) = padded(case);
        one(options, &frame)
    };
    FRAMES.for_all(&cases, bytes, |(options, frame, _), bytes| {
        let _ = check(bytes);
        // What ends too early is made longer by padding.
        let plain = judge(&one(*options, frame));
        if !matches!(plain[..], [Said::Refused(_)]) {
            assert_eq!(judge(bytes), plain);
        }
    });
}

/// A byte-identical request gets a byte-identical reply, whatever came between (AR-015).
#[test]
fn what_came_before_changes_no_reply() {
    let cases = (any::<u8>(), any_frame(), prop::collection::vec(any_frame(), 0..6));
    let bytes = |(options, asked, others): &(u8, Vec<u8>, Vec<Vec<u8>>)| {
        let frames = [&others[..], std::slice::from_ref(asked)].concat();
        // A defence depends on time, and a bound on what was sent.
        many(options & !(BOUNDS | 8), &frames)
    };
    FRAMES.for_all(&cases, bytes, |(options, asked, _), bytes| {
        let _ = check(bytes);
        let alone = judge(&one(options & !(BOUNDS | 8), asked));
        assert_eq!(judge(bytes).pop(), alone.into_iter().next_back());
    });
}

#[test]
fn any_frames_one_after_another() {
    let cases = (any::<u8>(), prop::collection::vec(any_frame(), 0..8));
    let bytes = |(options, frames): &(u8, Vec<Vec<u8>>)| many(*options, frames);
    FRAMES.for_all(&cases, bytes, |(_, frames), bytes| {
        assert_eq!(check(bytes).frames, frames.len());
    });
}

/// One byte is another, with and without the checksums that hide it.
#[test]
fn one_flipped_byte_of_a_frame() {
    let cases = (any_frame(), any::<Index>(), 1..=u8::MAX, any::<bool>());
    let bytes = |(frame, at, bits, is_sealed): &(Vec<u8>, Index, u8, bool)| {
        let mut frame = frame.clone();
        let at = at.index(frame.len());
        frame[at] ^= bits;
        if *is_sealed {
            seal(&mut frame);
        }
        one(2, &frame)
    };
    FRAMES.for_all(&cases, bytes, |_, bytes| _ = check(bytes));
}

#[test]
fn frames_that_end_early() {
    let cases = (any_frame(), any::<Index>());
    let bytes = |(frame, at): &(Vec<u8>, Index)| one(2, &frame[..at.index(frame.len())]);
    FRAMES.for_all(&cases, bytes, |_, bytes| _ = check(bytes));
}

#[test]
fn arbitrary_bytes_as_an_input() {
    FRAMES.for_all(&number::bytes(0..=600), Vec::clone, |_, bytes| _ = check(bytes));
}

/// What the strategies make gets every answer that a whole frame can get.
#[test]
fn frames_reach_every_answer() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut found = BTreeSet::new();
    let cases = (any::<u8>(), prop::collection::vec(any_frame(), 1..8));
    for _ in 0..4000 {
        let case = cases.new_tree(&mut runner).expect("a case");
        let (options, frames) = case.current();
        for said in judge(&many(options, &frames)) {
            found.insert(match said {
                Said::Reply(_) => "reply".to_owned(),
                Said::Silent(id) | Said::Refused(id) => id.to_string(),
            });
        }
    }
    for id in [
        "reply", "L2-002", "L2-006", "L2-007", "L2-012", "L2-013", "AR-001", "AR-002", "AR-005",
        "AR-006", "AR-009", "AR-010", "AR-011", "AR-012", "AR-014", "AR-017", "DC-105",
    ] {
        assert!(found.contains(id), "{id} is not reached: {found:?}");
    }
}
