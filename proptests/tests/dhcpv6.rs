//! Properties of a `DHCPv6` server.

use std::net::Ipv6Addr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_harness::ipv6::dhcpv6::{
    CLIENT_ID, Core, LEASE, SERVER_ID, association, client, message, option, server,
};
use vhost_fuzz_harness::ipv6::draft::{Draft, reseal};
use vhost_fuzz_harness::ipv6::ndp::{GATEWAY, OTHER};
use vhost_fuzz_harness::ipv6::{GATEWAY_MAC, Outcome, encode};
use vhost_fuzz_harness::target::dhcpv6;

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::Suite;

const FRAMES: Suite = Suite { target: "dhcpv6", times: 4 };

/// Runs every oracle; the outcome is also that of the model alone.
fn check(input: &[u8]) -> Outcome {
    let outcome = dhcpv6::check::<Core>(input);
    assert_eq!(outcome, dhcpv6::judge(input));
    outcome
}

fn addresses() -> impl Strategy<Value = Vec<Ipv6Addr>> + Clone {
    vec(select(vec![LEASE, LEASE, OTHER]), 0..=3)
}

/// An option of a client, legal most of the time.
fn some_option() -> impl Strategy<Value = Vec<u8>> + Clone {
    let known = select(vec![
        client(),
        server(),
        option(1, &CLIENT_ID[..4]),
        option(2, &SERVER_ID[..9]),
        option(6, &[0, 23]),
        option(8, &[0, 1]),
        option(14, &[]),
    ]);
    let inner = vec((select(vec![3_u16, 5, 13, 26, 99]), number::bytes(0..=30)), 0..=2);
    let inner = inner.prop_map(|options| {
        options.iter().flat_map(|(code, value)| option(*code, value)).collect::<Vec<u8>>()
    });
    let nested = (select(vec![3_u16, 4, 25]), inner).prop_map(|(code, inner)| {
        let fixed = vec![0; if code == 4 { 4 } else { 12 }];
        option(code, &[fixed, inner].concat())
    });
    let any = (0..=30_u16, number::bytes(0..=30)).prop_map(|(code, value)| option(code, &value));
    let leases = (0..3_u32, addresses()).prop_map(|(id, all)| association(id, &all));
    prop_oneof![6 => known, 4 => leases, 3 => nested, 1 => any, 1 => number::bytes(0..=6)]
}

fn draft() -> impl Strategy<Value = Draft> + Clone {
    let kind = prop_oneof![12 => 1..=11_u8, 1 => number::u8()];
    let named = any::<[bool; 2]>();
    let unicast = prop::bool::weighted(0.1);
    let spoil = prop_oneof![20 => Just(0), 1 => number::u16()];
    (kind, named, vec(some_option(), 0..=4), unicast, spoil).prop_map(
        |(kind, [has_client, has_server], options, unicast, spoil)| {
            let mut all = Vec::new();
            if has_client {
                all.extend(client());
            }
            if has_server {
                all.extend(server());
            }
            all.extend(options.concat());
            let draft = Draft { spoil, ..message(kind, &all) };
            if unicast {
                Draft { destination: GATEWAY, destination_mac: GATEWAY_MAC, ..draft }
            } else {
                draft
            }
        },
    )
}

type Case = (u8, Vec<(u8, Draft)>);

fn bytes((setup, frames): &Case) -> Vec<u8> {
    let frames: Vec<_> = frames.iter().map(|(delay, draft)| (*delay, draft.frame())).collect();
    encode(*setup, &frames)
}

#[test]
fn any_messages_are_answered_as_the_model_says() {
    let case = (number::u8(), vec((0..=30_u8, draft()), 1..=6));
    FRAMES.for_all(&case, bytes, |_, input| _ = check(input));
}

/// From its first message to its last a client is answered, whatever it calls itself.
#[test]
fn a_client_that_keeps_to_the_rules_is_answered_each_time() {
    let case = (number::u8(), number::bytes(3..=130), number::u32());
    let input = |(setup, id, number): &(u8, Vec<u8>, u32)| {
        let who = option(1, id);
        let lease = association(*number, &[LEASE]);
        let fresh = [who.clone(), association(*number, &[])].concat();
        let known = [who.clone(), server(), lease.clone()].concat();
        let bound = [who, lease].concat();
        let talk = [(1, &fresh), (3, &known), (5, &known), (6, &bound), (4, &bound), (8, &known)];
        let frames = talk.map(|(kind, options)| (1, message(kind, options).frame()));
        encode(*setup, &frames)
    };
    FRAMES.for_all(&case, input, |_, input| {
        let outcome = check(input);
        assert_eq!((outcome.replies, outcome.broken), (6, None));
    });
}

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
fn arbitrary_bytes_as_an_input() {
    FRAMES.for_all(&number::bytes(0..=200), Vec::clone, |_, input| _ = check(input));
}
