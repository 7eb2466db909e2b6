//! Every error of the codec has a seed that gives it.

use std::collections::BTreeSet;

use vhost_fuzz_core::vhost_user::{DecodeError, HeaderError, Message};

use super::*;

/// The name of a variant. The match has no wildcard, so that a new variant has to come in here
/// and, by the test below, needs a seed.
fn variant(error: DecodeError) -> &'static str {
    use DecodeError as E;
    match error {
        E::Header(error) => match error {
            HeaderError::Version { .. } => "Version",
            HeaderError::ReplyBitInRequest => "ReplyBitInRequest",
            HeaderError::ReplyBitMissing => "ReplyBitMissing",
            HeaderError::BackendReplyBitMissing => "BackendReplyBitMissing",
            HeaderError::NeedReplyInReply => "NeedReplyInReply",
            HeaderError::ReservedFlags { .. } => "ReservedFlags",
            HeaderError::TooLarge { .. } => "TooLarge",
        },
        E::HeaderTruncated { .. } => "HeaderTruncated",
        E::LengthMismatch { .. } => "LengthMismatch",
        E::PayloadTooShort { .. } => "PayloadTooShort",
        E::PayloadTooLong { .. } => "PayloadTooLong",
        E::RegionCount { .. } => "RegionCount",
        E::ConfigTooShort { .. } => "ConfigTooShort",
        E::ConfigSize { .. } => "ConfigSize",
        E::CipherKeyLength { .. } => "CipherKeyLength",
        E::AuthKeyLength { .. } => "AuthKeyLength",
        E::AsymmetricKeyLength { .. } => "AsymmetricKeyLength",
        E::TooFewFds { .. } => "TooFewFds",
        E::TooManyFds { .. } => "TooManyFds",
        E::RegionFds { .. } => "RegionFds",
        E::KickFdFlag { .. } => "KickFdFlag",
        E::CallFdFlag { .. } => "CallFdFlag",
        E::ErrFdFlag { .. } => "ErrFdFlag",
        E::NotifierFdFlag { .. } => "NotifierFdFlag",
        E::InflightFd { .. } => "InflightFd",
        E::StateErrorWithFd { .. } => "StateErrorWithFd",
        E::StateFdFlag { .. } => "StateFdFlag",
        E::LookupFd { .. } => "LookupFd",
    }
}

/// All variants but `TooLarge`, which only the framer gives.
const VARIANTS: usize = 27;

#[test]
fn every_refusal_has_a_seed_that_shows_it() {
    let mut seen = BTreeSet::new();
    for seed in seeds() {
        let (bytes, context) = Context::split(&seed.bytes);
        match Message::decode(context.kind, context.layout, bytes, context.fds) {
            Ok(message) => assert_eq!(seed.entry.expect, OK, "{}: {message}", seed.name),
            Err(error) => {
                assert_eq!(seed.entry.expect, error.rule().to_string(), "{}: {error}", seed.name);
                seen.insert(variant(error));
            }
        }
    }
    assert!(!seen.contains("TooLarge"));
    assert_eq!(seen.len(), VARIANTS, "{seen:?}");
}

#[test]
fn contexts_survive_in_the_input() {
    let bytes = wire(Fe::SET_MEM_TABLE.0, ASK_ACK, &table(33));
    let input = ask(15, &bytes);
    assert_eq!(Context::split(&input), (&bytes[..], Context::plain(Kind::FRONTEND_REQUEST, 15)));
}
