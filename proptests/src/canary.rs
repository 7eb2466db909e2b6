//! The strategies have to make the inputs on which broken implementations show. The corpus does
//! so as well, in the tests of the harness; here nothing but drawn cases is used.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRng, TestRunner};

use vhost_fuzz_core::vhost_user::Framer;
use vhost_fuzz_harness::broken::codec;
use vhost_fuzz_harness::broken::framing::{self, Plain};
use vhost_fuzz_harness::codec::{Codec, Core};
use vhost_fuzz_harness::framing::Framing;
use vhost_fuzz_harness::ledger::Token;
use vhost_fuzz_harness::script::encode;
use vhost_fuzz_harness::target::{msg_decode, msg_stream};

use crate::hostile::hostile;
use crate::message::message;
use crate::runner::config;
use crate::script::script;

/// Cases of each strategy.
const CASES: usize = 2000;

/// Names of the oracles that speak on drawn cases.
fn oracles<S: Strategy>(strategy: &S, check: impl Fn(S::Value)) -> BTreeSet<String> {
    let config = Config { max_shrink_iters: 0, ..config() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let mut oracles = BTreeSet::new();
    for _ in 0..CASES {
        let tree = strategy.new_tree(&mut runner).expect("every case can be drawn");
        let result = runner.run_one(tree, |case| {
            check(case);
            Ok(())
        });
        if let Err(error) = result {
            let TestError::Fail(reason, _) = error else { panic!("{error}") };
            let (oracle, _) = reason.message().split_once(':').expect("the name of an oracle");
            oracles.insert(oracle.to_owned());
        }
    }
    oracles
}

fn of_codec(codec: &impl Codec) -> BTreeSet<String> {
    let check = |input: &[u8]| _ = msg_decode::check(codec, input);
    let mut oracles = oracles(&message(), |message| check(&message.input()));
    oracles.extend(self::oracles(&hostile(), |hostile| check(&hostile.input())));
    oracles
}

fn of_framer<F: Framing>() -> BTreeSet<String> {
    oracles(&script(), |records| _ = msg_stream::check::<F>(&encode(&records)))
}

#[test]
fn the_core_passes() {
    assert_eq!(of_codec(&Core), BTreeSet::new());
    assert_eq!(of_framer::<Framer<Token>>(), BTreeSet::new());
    assert_eq!(of_framer::<Plain<framing::Nothing>>(), BTreeSet::new());
}

fn assert_codec_caught(codec: &(impl Codec + std::fmt::Debug), oracle: &str) {
    let oracles = of_codec(codec);
    assert!(oracles.contains(oracle), "{codec:?}: not `{oracle}` but {oracles:?}");
}

#[test]
fn messages_catch_every_broken_codec() {
    assert_codec_caught(&codec::SwapsAField, "wire check");
    assert_codec_caught(&codec::MixesTwoRequests, "wire check");
    assert_codec_caught(&codec::IgnoresFds, "model");
    assert_codec_caught(&codec::IgnoresTheVersion, "model");
    assert_codec_caught(&codec::RefusesPaddedTables, "model");
    assert_codec_caught(&codec::Allocates, "budget");
    assert_codec_caught(&codec::LosesPadding, "round trip");
    assert_codec_caught(&codec::SendsStaleBytes, "round trip");
}

#[track_caller]
fn assert_framer_caught<M: 'static>(oracle: &str) {
    let oracles = of_framer::<Plain<M>>();
    assert!(oracles.contains(oracle), "not `{oracle}` but {oracles:?}");
}

#[test]
fn scripts_catch_every_broken_framer() {
    assert_framer_caught::<framing::ShortHeaderIsWhole>("segmentation");
    assert_framer_caught::<framing::NoSplitPayload>("segmentation");
    assert_framer_caught::<framing::LeaksOnError>("fd ledger");
    assert_framer_caught::<framing::TakesLateFds>("model");
    assert_framer_caught::<framing::IgnoresTruncation>("model");
    assert_framer_caught::<framing::ClosesTwice>("fd ledger");
    assert_framer_caught::<framing::DelaysFds>("model");
    assert_framer_caught::<framing::AllocatesTheSize>("budget");
    assert_framer_caught::<framing::NoLimit>("model");
    assert_framer_caught::<framing::StallsOnEmptyPayload>("budget");
    assert_framer_caught::<framing::ForgivesEof>("model");
}
