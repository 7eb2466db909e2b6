//! Every oracle of the target `ndp` catches the gateway that is broken for it, on the committed
//! corpus and by its own name. One without a mistake passes.

use vhost_fuzz_harness::broken::ndp as broken;
use vhost_fuzz_harness::broken::verdicts::{self, Verdict, assert_spoke};
use vhost_fuzz_harness::ipv6::Responder;
use vhost_fuzz_harness::ipv6::ndp::Core;
use vhost_fuzz_harness::target::ndp;

fn verdicts<R: Responder>() -> Vec<Verdict> {
    verdicts::verdicts("ndp", |bytes| _ = ndp::check::<R>(bytes))
}

#[test]
fn a_gateway_without_a_mistake_passes() {
    assert_eq!(verdicts::<Core>(), []);
    assert_eq!(verdicts::<broken::Nothing>(), []);
}

/// Demands that the named oracle spoke.
#[track_caller]
fn assert_caught<R: Responder>(oracle: &str) {
    assert_spoke(&verdicts::<R>(), oracle);
}

caught! {
    a_hop_limit_that_is_not_seen: IgnoresHopLimit by "model";
    a_code_that_is_not_seen: IgnoresCode by "model";
    a_checksum_that_is_not_seen: IgnoresChecksum by "model";
    a_partial_checksum_that_is_compared: WantsChecksum by "model";
    an_option_without_length_that_is_forgiven: ForgivesEmptyOptions by "model";
    bytes_of_a_reply_that_are_stale: LeavesBytes by "model";
    a_default_router_that_is_none: IsAlwaysDefault by "model";
    an_answer_for_the_guest: AnswersForTheGuest by "model";
    an_answer_to_the_guest_about_itself: OwnsTheGuest by "model";
    a_frame_for_a_third_station: HasAnotherStation by "wire check";
    an_advertisement_without_pause: NeverTires by "model";
    an_answer_that_goes_to_all: AnswersToAll by "model";
    a_question_that_was_a_probe: AnswersProbesAsQuestions by "wire check";
    a_station_that_is_another: TellsAnotherStation by "wire check";
    a_router_that_is_not_link_local: AdvertisesGlobally by "wire check";
    a_checksum_that_is_wrong: MiscountsChecksums by "wire check";
    a_hop_limit_of_64: AnswersWithFewHops by "wire check";
    a_tag_that_is_lost: DropsTheTag by "wire check";
    padding_that_comes_back: EchoesPadding by "wire check";
    a_byte_behind_a_reply: WritesBeyond by "room";
    half_a_reply: CutsReplies by "room";
    a_copy_of_a_frame: Allocates by "budget";
    silence_after_a_broken_frame: FallsSilent by "liveness";
}
