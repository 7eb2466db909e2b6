//! Every committed input, through its target and against its manifest: on stable, with overflow
//! checks, without libFuzzer.

use vhost_fuzz_core::ring::{PackedQueue, SplitQueue};
use vhost_fuzz_core::vhost_user::{Framer, Message};
use vhost_fuzz_harness::corpus::seeds;
use vhost_fuzz_harness::ledger::Token;
use vhost_fuzz_harness::ring::Outcome;
use vhost_fuzz_harness::ring::target::{check_image, check_script};
use vhost_fuzz_harness::target::{TARGETS, dhcp, msg_decode, msg_stream};
use vhost_fuzz_harness::{codec, context, evidence, oracle};
use vhost_fuzz_model::vhost_user::stream;

#[test]
fn every_seed_runs() {
    for target in TARGETS {
        let seeds = seeds(target.name).expect("files and manifest agree");
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in seeds {
            // The test that a failure prints has the bytes; the name is in this line.
            println!("{}/{}", target.name, seed.name);
            (target.run)(&seed.bytes);
        }
    }
}

#[test]
fn msg_decode_seeds_come_out_as_their_manifest_says() {
    for seed in seeds("msg_decode").expect("a corpus") {
        let verdict = msg_decode::check(&codec::Core, &seed.bytes);
        let got = verdict.err().map_or("accept".to_owned(), |id| id.to_string());
        assert_eq!(got, seed.entry.expect, "{}", seed.name);
        if verdict.is_err() {
            evidence::refused(&got);
        }
    }
}

#[test]
fn msg_stream_seeds_come_out_as_their_manifest_says() {
    for seed in seeds("msg_stream").expect("a corpus") {
        let first_error = msg_stream::streams(&seed.bytes).into_iter().find_map(|stream| {
            let context = context::Context::plain(stream.kind, 0).model();
            stream::judge(context, oracle::stream::LIMIT, &stream.segments).error
        });
        let got = first_error.map_or("accept".to_owned(), |id| id.to_string());
        assert_eq!(got, seed.entry.expect, "{}", seed.name);
        // All cuts, where the target draws one.
        let _ = msg_stream::check::<Framer<Token>>(&seed.bytes);
        if first_error.is_some() {
            evidence::refused(&got);
        }
    }
}

#[test]
fn dhcp_seeds_come_out_as_their_manifest_says() {
    for seed in seeds("dhcp").expect("a corpus") {
        let broken = dhcp::check::<vhost_fuzz_core::net::dhcp::Server>(&seed.bytes).broken;
        let got = broken.map_or("accept".to_owned(), |id| id.to_string());
        assert_eq!(got, seed.entry.expect, "{}", seed.name);
        if broken.is_some() {
            evidence::refused(&got);
        }
    }
}

/// The seeds of a ring target, watched closely and not, each with what came of it.
fn ring_outcomes(target: &str) -> impl Iterator<Item = Outcome> {
    let check = match target {
        "packed_chain" => |bytes: &[u8]| check_image::<PackedQueue>(bytes).expect("a header"),
        "packed_ring" => check_script::<PackedQueue>,
        "split_chain" => |bytes: &[u8]| check_image::<SplitQueue>(bytes).expect("a header"),
        _ => check_script::<SplitQueue>,
    };
    seeds(target).expect("a corpus").into_iter().map(move |seed| {
        let outcome = check(&seed.bytes);
        let got = outcome.broken.first().map_or("accept".to_owned(), ToString::to_string);
        assert_eq!(got, seed.entry.expect, "{}", seed.name);
        outcome
    })
}

#[test]
fn ring_seeds_come_out_as_their_manifest_says() {
    for target in ["packed_chain", "packed_ring", "split_chain", "split_ring"] {
        for outcome in ring_outcomes(target) {
            outcome.broken.iter().for_each(|rule| evidence::refused(rule.to_string()));
        }
    }
}

/// What `cargo xtask fuzz --bench split_ring` and `packed_ring` count on.
#[test]
fn ring_scripts_are_long() {
    for target in ["packed_ring", "split_ring"] {
        let operations: Vec<_> = ring_outcomes(target).map(|outcome| outcome.operations).collect();
        let sum: usize = operations.iter().sum();
        assert!(sum >= 16 * operations.len(), "{target}: {sum} in {}", operations.len());
    }
}

/// What `cargo xtask fuzz --bench msg_decode` counts on.
#[test]
fn msg_decode_seeds_are_long_and_mostly_legal() {
    let seeds = seeds("msg_decode").expect("a corpus");
    let bytes: usize = seeds.iter().map(|seed| seed.bytes.len()).sum();
    let legal = seeds.iter().filter(|seed| seed.entry.expect == "accept").count();
    assert!(bytes / seeds.len() >= 64, "{} bytes on average", bytes / seeds.len());
    assert!(legal * 5 >= seeds.len() * 4, "{legal} of {} are legal", seeds.len());
}

/// Messages off real sockets are decoded, not only tolerated.
#[test]
fn recorded_messages_print_under_their_names() {
    let mut recorded = 0;
    for seed in seeds("msg_decode").expect("a corpus") {
        if !seed.entry.origin.starts_with("trace") || seed.entry.expect != "accept" {
            continue;
        }
        let (bytes, context) = context::Context::split(&seed.bytes);
        let message = Message::decode(context.kind, context.layout, bytes, context.fds)
            .unwrap_or_else(|error| panic!("{}: {error}", seed.name));
        let row = message.row().unwrap_or_else(|| panic!("{} has an unknown id", seed.name));
        assert!(message.to_string().starts_with(row.name), "{}", seed.name);
        recorded += 1;
    }
    assert!(recorded >= 40, "only {recorded} recorded messages");
}
