//! The seeds and the mutators reach what they are for. A generator that quietly stopped to
//! generate something fails here.

use std::collections::BTreeSet;

use vhost_fuzz_core::vhost_user::request::{FRONTEND, Row, forms};
use vhost_fuzz_core::vhost_user::{DecodeError, Direction, FrameError, HeaderError, Message};
use vhost_fuzz_harness::context::Context;
use vhost_fuzz_harness::corpus::seeds;
use vhost_fuzz_harness::mutate;
use vhost_fuzz_harness::script::{self, Record};
use vhost_fuzz_harness::target::msg_stream;

/// Every variant of the two errors of a message, by name.
const DECODE_ERRORS: &[&str] = &[
    "Version",
    "ReplyBitInRequest",
    "ReplyBitMissing",
    "BackendReplyBitMissing",
    "NeedReplyInReply",
    "ReservedFlags",
    "HeaderTruncated",
    "LengthMismatch",
    "PayloadTooShort",
    "PayloadTooLong",
    "RegionCount",
    "ConfigTooShort",
    "ConfigSize",
    "CipherKeyLength",
    "AuthKeyLength",
    "AsymmetricKeyLength",
    "TooFewFds",
    "TooManyFds",
    "RegionFds",
    "KickFdFlag",
    "CallFdFlag",
    "ErrFdFlag",
    "NotifierFdFlag",
    "InflightFd",
    "StateErrorWithFd",
    "StateFdFlag",
    "LookupFd",
];

/// Every variant of the errors of a stream, by name.
const FRAME_ERRORS: &[&str] = &[
    "Version",
    "ReplyBitInRequest",
    "ReplyBitMissing",
    "BackendReplyBitMissing",
    "NeedReplyInReply",
    "ReservedFlags",
    "TooLarge",
    "LateFds",
    "ControlTruncated",
    "TooManyFds",
    "EofInHeader",
    "EofInPayload",
];

/// What an input of `msg_decode` comes to: the name of a request or reply, or of an error.
fn outcome(input: &[u8]) -> String {
    let (bytes, context) = Context::split(input);
    match Message::decode(context.kind, context.layout, bytes, context.fds) {
        Ok(message) => match message.row() {
            Some(row) => form_name(context.kind.direction, context.kind.channel, row),
            None => "unknown id".to_owned(),
        },
        Err(DecodeError::Header(error)) => variant(&error),
        Err(error) => variant(&error),
    }
}

fn form_name(direction: Direction, channel: impl std::fmt::Debug, row: &Row) -> String {
    format!("{channel:?} {direction:?} {}", row.name)
}

/// The name of an error's variant, without its numbers.
fn variant(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
}

fn all_forms() -> BTreeSet<String> {
    forms().map(|(kind, row)| form_name(kind.direction, kind.channel, row)).collect()
}

fn missing<'a>(wanted: impl IntoIterator<Item = &'a str>, seen: &BTreeSet<String>) -> Vec<&'a str> {
    wanted.into_iter().filter(|name| !seen.contains(*name)).collect()
}

#[test]
fn msg_decode_seeds_reach_every_message_and_every_error() {
    let seen: BTreeSet<_> =
        seeds("msg_decode").expect("a corpus").iter().map(|seed| outcome(&seed.bytes)).collect();
    assert_eq!(missing(all_forms().iter().map(String::as_str), &seen), [""; 0]);
    assert_eq!(missing(DECODE_ERRORS.iter().copied(), &seen), [""; 0]);
    assert!(seen.contains("unknown id"));
}

/// How the streams of a script end.
fn endings(input: &[u8]) -> Vec<String> {
    let ending = |stream: &msg_stream::Stream| match stream.receive().end {
        Ok(()) => "clean".to_owned(),
        Err(FrameError::Header(error)) => variant(&error),
        Err(error) => variant(&error),
    };
    msg_stream::streams(input).iter().map(ending).collect()
}

#[test]
fn msg_stream_seeds_reach_every_ending() {
    let seen: BTreeSet<_> = seeds("msg_stream")
        .expect("a corpus")
        .iter()
        .flat_map(|seed| endings(&seed.bytes))
        .collect();
    assert_eq!(missing(FRAME_ERRORS.iter().copied(), &seen), [""; 0]);
    assert!(seen.contains("clean"));
}

#[test]
fn recorded_sessions_hold_the_requests_that_front_ends_send() {
    let mut seen = BTreeSet::new();
    for seed in seeds("msg_stream").expect("a corpus") {
        if !seed.entry.origin.starts_with("trace") {
            continue;
        }
        for record in script::records(&seed.bytes) {
            if let Record::Message { bytes, .. } = record
                && let Some(code) = bytes.first_chunk()
            {
                seen.insert(u32::from_ne_bytes(*code));
            }
        }
    }
    let sent: Vec<_> = FRONTEND.iter().filter(|row| seen.contains(&row.code)).collect();
    assert!(sent.len() >= 18, "only {} requests are in recorded sessions", sent.len());
}

/// Changes the seeds of a target many times; collects what comes out.
fn mutants(
    target: &str,
    rounds: u32,
    mutate: Mutator,
    see: impl Fn(&[u8]) -> Vec<String>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let seeds = seeds(target).expect("a corpus");
    for round in 0..rounds {
        for (at, seed) in (0..).zip(&seeds) {
            let mut data = vec![0; 8192];
            let size = seed.bytes.len().min(data.len());
            data[..size].copy_from_slice(&seed.bytes[..size]);
            let number: u32 = round * 7919 + at;
            let len = mutate(&mut data, size, 8192, number, &mut |data, size| {
                if let Some(byte) = data.get_mut(number as usize % size.max(1)) {
                    *byte = byte.wrapping_add(1);
                }
                size
            });
            assert!(len <= 8192, "{} grew to {len}", seed.name);
            seen.extend(see(&data[..len]));
        }
    }
    seen
}

type Mutator = fn(&mut [u8], usize, usize, u32, mutate::ByteMutator<'_>) -> usize;

#[test]
fn the_message_mutator_reaches_every_message_and_every_error() {
    let seen = mutants("msg_decode", 120, mutate::message, |input| vec![outcome(input)]);
    assert_eq!(missing(all_forms().iter().map(String::as_str), &seen), [""; 0]);
    assert_eq!(missing(DECODE_ERRORS.iter().copied(), &seen), [""; 0]);
}

#[test]
fn the_script_mutator_reaches_every_ending() {
    let seen = mutants("msg_stream", 40, mutate::script, endings);
    assert_eq!(missing(FRAME_ERRORS.iter().copied(), &seen), [""; 0]);
}

#[test]
fn splicing_gives_legal_children_of_both_parents() {
    let seeds = seeds("msg_stream").expect("a corpus");
    let [first, .., last] = &seeds[..] else { panic!("two seeds") };
    let mut mixed = 0;
    for seed in 0..200 {
        let mut out = vec![0; 8192];
        let len = mutate::splice_scripts(&first.bytes, &last.bytes, &mut out, seed);
        let child = script::decode(&out[..len]);
        assert_eq!(script::encode(&child), out[..len], "a child is a script");
        let starts = child.first() == script::decode(&first.bytes).first();
        let ends = child.last() == script::decode(&last.bytes).last();
        mixed += usize::from(starts && ends);
    }
    assert!(mixed > 50, "{mixed} of 200 children have both parents");
}

/// The error lists above are complete: an exhaustive match fails to compile otherwise.
#[test]
fn the_lists_of_errors_are_complete() {
    let header = |error: HeaderError| match error {
        HeaderError::Version { .. }
        | HeaderError::ReplyBitInRequest
        | HeaderError::ReplyBitMissing
        | HeaderError::BackendReplyBitMissing
        | HeaderError::NeedReplyInReply
        | HeaderError::ReservedFlags { .. }
        | HeaderError::TooLarge { .. } => variant(&error),
    };
    assert!(FRAME_ERRORS.contains(&&*header(HeaderError::TooLarge { size: 1, limit: 0 })));
    let decode = |error: DecodeError| match error {
        DecodeError::Header(error) => variant(&error),
        DecodeError::HeaderTruncated { .. }
        | DecodeError::LengthMismatch { .. }
        | DecodeError::PayloadTooShort { .. }
        | DecodeError::PayloadTooLong { .. }
        | DecodeError::RegionCount { .. }
        | DecodeError::ConfigTooShort { .. }
        | DecodeError::ConfigSize { .. }
        | DecodeError::CipherKeyLength { .. }
        | DecodeError::AuthKeyLength { .. }
        | DecodeError::AsymmetricKeyLength { .. }
        | DecodeError::TooFewFds { .. }
        | DecodeError::TooManyFds { .. }
        | DecodeError::RegionFds { .. }
        | DecodeError::KickFdFlag { .. }
        | DecodeError::CallFdFlag { .. }
        | DecodeError::ErrFdFlag { .. }
        | DecodeError::NotifierFdFlag { .. }
        | DecodeError::InflightFd { .. }
        | DecodeError::StateErrorWithFd { .. }
        | DecodeError::StateFdFlag { .. }
        | DecodeError::LookupFd { .. } => variant(&error),
    };
    assert!(DECODE_ERRORS.contains(&&*decode(DecodeError::KickFdFlag { fds: 0 })));
}
