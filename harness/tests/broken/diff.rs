//! The oracle `differential` catches back-ends that answer wrongly, on the committed corpus, and
//! lets the right one pass.
#![cfg(feature = "peer-vhost")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use vhost_fuzz_harness::broken::server;
use vhost_fuzz_harness::corpus::{Seed, seeds};
use vhost_fuzz_harness::report;
use vhost_fuzz_harness::socket::{AsItIs, Delivery};
use vhost_fuzz_harness::target::diff_vhost::Stage;

/// Runs the seeds until an oracle speaks; returns what it says and the name of the seed.
fn verdict<D: Delivery + Copy>(delivery: D) -> Option<(String, String)> {
    let mut stage = Stage::new(delivery);
    seeds("diff_vhost").expect("a corpus").into_iter().find_map(|Seed { name, bytes, .. }| {
        let panic = catch_unwind(AssertUnwindSafe(|| stage.check(&bytes))).err()?;
        Some((report::panic_text(&*panic), name))
    })
}

#[track_caller]
fn assert_caught<D: Delivery + Copy>(delivery: D) {
    let (text, name) = verdict(delivery).expect("no oracle spoke");
    assert!(text.starts_with("differential: "), "{name}: {text}");
}

#[test]
fn the_server_of_the_core_passes() {
    assert_eq!(verdict(AsItIs), None);
}

#[test]
fn acknowledgements_that_nobody_asked_for_are_caught() {
    assert_caught(server::AcksUnasked);
}

#[test]
fn need_reply_in_a_reply_is_caught() {
    assert_caught(server::KeepsNeedReply);
}

#[test]
fn a_dropped_reply_is_caught() {
    assert_caught(server::DropsReplies);
}

#[test]
fn a_refusal_that_is_acknowledged_as_success_is_caught() {
    assert_caught(server::NeverSaysNo);
}

#[test]
fn a_reply_without_its_descriptor_is_caught() {
    assert_caught(server::ForgetsFds);
}

#[test]
fn a_reply_that_is_sent_twice_is_caught() {
    assert_caught(server::RepliesTwice);
}
