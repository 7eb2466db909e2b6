//! Properties of what a gateway answers about the link.

use std::net::Ipv6Addr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::ipv6::{ALL_NODES, ALL_ROUTERS, solicited_node};
use vhost_fuzz_harness::ipv6::draft::{Draft, link_option, reseal};
use vhost_fuzz_harness::ipv6::ndp::{Core, GATEWAY, GUEST, GUEST_SECOND, OTHER, SECOND};
use vhost_fuzz_harness::ipv6::{GATEWAY_MAC, GUEST_MAC, Outcome, encode};
use vhost_fuzz_harness::target::ndp;

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::Suite;

const FRAMES: Suite = Suite { target: "ndp", times: 4 };

/// Runs every oracle; the outcome is also that of the model alone.
fn check(input: &[u8]) -> Outcome {
    let outcome = ndp::check::<Core>(input);
    assert_eq!(outcome, ndp::judge(input));
    outcome
}

fn address() -> impl Strategy<Value = Ipv6Addr> + Clone {
    let known = [GATEWAY, SECOND, GUEST, GUEST_SECOND, OTHER, ALL_NODES, ALL_ROUTERS];
    let groups = known.map(solicited_node);
    let none = [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST];
    prop_oneof![
        8 => select(known.to_vec()),
        4 => select(groups.to_vec()),
        2 => select(none.to_vec()),
        1 => any::<[u8; 16]>().prop_map(Ipv6Addr::from),
    ]
}

/// Who asks.
fn source() -> impl Strategy<Value = Ipv6Addr> + Clone {
    prop_oneof![6 => Just(GUEST), 2 => Just(Ipv6Addr::UNSPECIFIED), 1 => address()]
}

fn mac() -> impl Strategy<Value = Mac> + Clone {
    prop_oneof![8 => Just(GUEST_MAC), 1 => Just(GATEWAY_MAC), 1 => any::<[u8; 6]>().prop_map(Mac)]
}

fn options() -> impl Strategy<Value = Vec<u8>> + Clone {
    let other = (number::u8(), prop_oneof![4 => 1..=2_u8, 1 => number::u8()]).prop_map(
        |(option, units)| {
            let mut bytes = vec![0; 8 * usize::from(units.clamp(1, 4))];
            (bytes[0], bytes[1]) = (option, units);
            bytes
        },
    );
    let link = (1..=2_u8, mac()).prop_map(|(option, mac)| link_option(option, mac));
    vec(prop_oneof![link, other], 0..=3).prop_map(|options| options.concat())
}

/// A message of any kind: type, code, and what follows.
fn message() -> impl Strategy<Value = Vec<u8>> + Clone {
    let code = || prop_oneof![15 => Just(0_u8), 1 => number::u8()];
    let discovery = (133..=137_u8, code(), number::u8(), address(), options(), any::<bool>());
    let discovery = discovery.prop_map(|(kind, code, flags, target, options, is_short)| {
        let mut bytes = vec![kind, code, 0, 0, flags, 0, 0, 0];
        let target = target.octets();
        match kind {
            133 => {}
            134 => bytes.extend([0; 8]),
            137 => bytes.extend([target, target].concat()),
            _ => bytes.extend(target),
        }
        bytes.extend(options);
        if is_short && code == 0 && flags == 1 {
            bytes.truncate(bytes.len() / 2);
        }
        bytes
    });
    let echo = (code(), number::bytes(0..=40))
        .prop_map(|(code, data)| [&[128, code, 0, 0][..], &data].concat());
    prop_oneof![8 => discovery, 2 => echo, 1 => number::bytes(0..=50)]
}

fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> + Clone {
    let bytes = prop_oneof![
        8 => Just(vec![0, 1, 4, 0, 0, 0, 0]),
        1 => Just(vec![0; 7]),
        1 => vec(number::u8(), 7),
    ];
    (select(vec![0, 43, 44, 59, 60]), bytes)
}

fn draft() -> impl Strategy<Value = Draft> + Clone {
    let tag = option::weighted(0.1, (select(vec![0x8100, 0x88a8]), number::u16()));
    let extensions = prop_oneof![6 => Just(vec![]), 1 => vec(extension(), 1..=5)];
    let hops = prop_oneof![12 => Just(255), 1 => number::u8()];
    let spoil = prop_oneof![15 => Just(0), 1 => number::u16()];
    let way = (source(), address(), mac(), option::weighted(0.1, mac()));
    (way, message(), tag, extensions, hops, spoil).prop_map(
        |((source, destination, sender, to), message, tag, extensions, hop_limit, spoil)| {
            let draft = Draft::icmp(source, destination, &message);
            let destination_mac = to.unwrap_or(draft.destination_mac);
            let source_mac = sender;
            Draft { tag, extensions, hop_limit, spoil, destination_mac, source_mac, ..draft }
        },
    )
}

type Case = (u8, Vec<(u8, Draft)>);

fn frames() -> impl Strategy<Value = Case> + Clone {
    (number::u8(), vec((0..=16_u8, draft()), 1..=5))
}

fn bytes((setup, frames): &Case) -> Vec<u8> {
    let frames: Vec<_> = frames.iter().map(|(delay, draft)| (*delay, draft.frame())).collect();
    encode(*setup, &frames)
}

#[test]
fn any_frames_are_answered_as_the_model_says() {
    FRAMES.for_all(&frames(), bytes, |_, input| _ = check(input));
}

/// Whoever asks for an address of the gateway from an address of its own is answered.
#[test]
fn a_question_for_the_gateway_is_always_answered() {
    let case = (number::u8(), select(vec![GUEST, GUEST_SECOND, OTHER]), any::<[bool; 2]>());
    let input = |(setup, source, [to_group, link]): &(u8, Ipv6Addr, [bool; 2])| {
        let destination = if *to_group { solicited_node(GATEWAY) } else { GATEWAY };
        encode(*setup, &[(0, Draft::neighbor(*source, destination, GATEWAY, *link).frame())])
    };
    FRAMES.for_all(&case, input, |_, input| assert_eq!(check(input).replies, 1));
}

/// V6-002, whatever else is configured.
#[test]
fn nobody_answers_for_an_address_of_the_guest() {
    let case = (number::u8(), source(), select(vec![GUEST, GUEST_SECOND]), address());
    let input = |(setup, source, target, to): &(u8, Ipv6Addr, Ipv6Addr, Ipv6Addr)| {
        encode(*setup, &[(0, Draft::neighbor(*source, *to, *target, false).frame())])
    };
    FRAMES.for_all(&case, input, |_, input| assert_eq!(check(input).replies, 0));
}

/// Bytes that differ in one place, with and without a right checksum.
#[test]
fn one_flipped_byte_of_a_frame() {
    let case = (number::u8(), draft(), any::<Index>(), 1..=u8::MAX, any::<bool>());
    let input = |(setup, draft, at, bits, seal): &(u8, Draft, Index, u8, bool)| {
        let mut frame = draft.frame();
        let at = at.index(frame.len());
        frame[at] ^= bits;
        if *seal {
            let _ = reseal(&mut frame);
        }
        encode(*setup, &[(0, frame)])
    };
    FRAMES.for_all(&case, input, |_, input| _ = check(input));
}

#[test]
fn a_frame_that_ends_early() {
    let case = (number::u8(), draft(), any::<Index>());
    let input = |(setup, draft, at): &(u8, Draft, Index)| {
        let mut frame = draft.frame();
        frame.truncate(at.index(frame.len()));
        encode(*setup, &[(0, frame)])
    };
    FRAMES.for_all(&case, input, |_, input| _ = check(input));
}

#[test]
fn arbitrary_bytes_as_an_input() {
    FRAMES.for_all(&number::bytes(0..=200), Vec::clone, |_, input| _ = check(input));
}
