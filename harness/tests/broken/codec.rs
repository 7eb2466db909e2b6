//! Every oracle catches the implementation that is broken for it, on the committed corpus and by
//! its own name. A plain implementation without a mistake passes, so that it is the mistake that
//! is caught.

use std::process::Command;

use vhost_fuzz_harness::broken::verdicts::{assert_spoke, verdicts};
use vhost_fuzz_harness::broken::{codec, framing};
use vhost_fuzz_harness::codec::{Codec, Core};
use vhost_fuzz_harness::framing::Framing;
use vhost_fuzz_harness::target::{msg_decode, msg_stream};

#[track_caller]
fn assert_codec_caught(codec: &(impl Codec + Sync), oracle: &str) {
    let run = |bytes: &[u8]| _ = msg_decode::check(codec, bytes);
    assert_spoke(&verdicts("msg_decode", run), oracle);
}

#[track_caller]
fn assert_framing_caught<F: Framing>(oracle: &str) {
    let run = |bytes: &[u8]| _ = msg_stream::check::<F>(bytes);
    assert_spoke(&verdicts("msg_stream", run), oracle);
}

#[test]
fn the_codec_of_the_core_passes() {
    let run = |bytes: &[u8]| _ = msg_decode::check(&Core, bytes);
    assert_eq!(verdicts("msg_decode", run), []);
}

#[test]
fn a_swapped_field_is_caught_by_the_wire_check() {
    assert_codec_caught(&codec::SwapsAField, "wire check");
}

#[test]
fn a_cut_index_is_caught_by_the_wire_check() {
    assert_codec_caught(&codec::CutsTheIndex, "wire check");
}

#[test]
fn a_wrong_request_number_is_caught_by_the_wire_check() {
    assert_codec_caught(&codec::MixesTwoRequests, "wire check");
}

#[test]
fn uncounted_descriptors_are_caught_by_the_model() {
    assert_codec_caught(&codec::IgnoresFds, "model");
}

#[test]
fn a_refusal_by_another_rule_is_caught_by_the_model() {
    assert_codec_caught(&codec::IgnoresTheVersion, "model");
}

#[test]
fn a_refused_legal_message_is_caught_by_the_model() {
    assert_codec_caught(&codec::RefusesPaddedTables, "model");
}

#[test]
fn an_allocation_is_caught_by_the_budget() {
    assert_codec_caught(&codec::Allocates, "budget");
}

#[test]
fn lost_padding_is_caught_by_the_round_trip() {
    assert_codec_caught(&codec::LosesPadding, "round trip");
}

#[test]
fn stale_bytes_are_caught_by_the_round_trip() {
    assert_codec_caught(&codec::SendsStaleBytes, "round trip");
}

#[test]
fn a_plain_framer_without_a_mistake_passes() {
    let run = |bytes: &[u8]| _ = msg_stream::check::<framing::Plain<framing::Nothing>>(bytes);
    assert_eq!(verdicts("msg_stream", run), []);
}

#[test]
fn a_short_header_that_is_taken_for_a_whole_one_is_caught_by_the_segmentation() {
    assert_framing_caught::<framing::Plain<framing::ShortHeaderIsWhole>>("segmentation");
}

#[test]
fn a_payload_that_may_not_be_split_is_caught_by_the_segmentation() {
    assert_framing_caught::<framing::Plain<framing::NoSplitPayload>>("segmentation");
}

#[test]
fn descriptors_that_leak_on_error_are_caught_by_the_ledger() {
    assert_framing_caught::<framing::Plain<framing::LeaksOnError>>("fd ledger");
}

#[test]
fn a_descriptor_that_is_closed_twice_is_caught_by_the_ledger() {
    assert_framing_caught::<framing::Plain<framing::ClosesTwice>>("fd ledger");
}

#[test]
fn late_descriptors_that_are_taken_are_caught_by_the_model() {
    assert_framing_caught::<framing::Plain<framing::TakesLateFds>>("model");
}

#[test]
fn truncation_that_is_ignored_is_caught_by_the_model() {
    assert_framing_caught::<framing::Plain<framing::IgnoresTruncation>>("model");
}

#[test]
fn descriptors_of_another_message_are_caught_by_the_model() {
    assert_framing_caught::<framing::Plain<framing::DelaysFds>>("model");
}

#[test]
fn a_size_without_a_limit_is_caught_by_the_model() {
    assert_framing_caught::<framing::Plain<framing::NoLimit>>("model");
}

#[test]
fn a_forgiven_end_is_caught_by_the_model() {
    assert_framing_caught::<framing::Plain<framing::ForgivesEof>>("model");
}

#[test]
fn an_allocation_of_the_announced_size_is_caught_by_the_budget() {
    assert_framing_caught::<framing::Plain<framing::AllocatesTheSize>>("budget");
}

#[test]
fn a_stall_is_caught_by_the_budget() {
    assert_framing_caught::<framing::Plain<framing::StallsOnEmptyPayload>>("budget");
}

/// The variable that makes the next test fail on purpose, in a process of its own.
const ON_PURPOSE: &str = "VHOST_FUZZ_PANIC_ON_PURPOSE";

#[test]
fn a_finding_prints_a_test_to_paste() {
    if std::env::var_os(ON_PURPOSE).is_some() {
        vhost_fuzz_harness::run::input("msg_decode", &[1, 2, 0xff], |_| {
            panic!("model: on purpose")
        });
    }
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "codec::a_finding_prints_a_test_to_paste", "--nocapture"])
        .env(ON_PURPOSE, "1")
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "the child passed: {text}");
    for part in [
        "#[test]\nfn msg_decode_",
        "vhost_fuzz_harness::target::msg_decode::run(&[\n        0x01, 0x02, 0xff,\n    ]);",
        "cargo xtask corpus add msg_decode FILE",
        "model: on purpose",
    ] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}
