//! Every oracle of the target `arp` catches the gateway that is broken for it, on the committed
//! corpus. One without a mistake passes.

use vhost_fuzz_harness::broken::gateway::{self as broken, Broken};
use vhost_fuzz_harness::broken::verdicts::{self, Verdict, assert_spoke};
use vhost_fuzz_harness::gateway::{Core, Port};
use vhost_fuzz_harness::target::arp;

fn verdicts<P: Port>() -> Vec<Verdict> {
    verdicts::verdicts("arp", |bytes| _ = arp::check::<P>(bytes))
}

#[test]
fn gateways_without_a_mistake_pass() {
    assert_eq!(verdicts::<Core>(), []);
    assert_eq!(verdicts::<Broken<broken::Nothing>>(), []);
}

/// Demands that the named oracle spoke.
#[track_caller]
fn assert_caught<M: broken::Mistake>(oracle: &str) {
    assert_spoke(&verdicts::<Broken<M>>(), oracle);
}

caught! {
    a_frame_for_somebody_else_that_is_answered: AnswersOtherStations by "model";
    an_address_length_that_is_not_looked_at: IgnoresAddressLengths by "model";
    a_short_packet_that_is_read_past_its_end: ReadsPastTheEnd by "model";
    a_sender_that_is_believed: BelievesTheSender by "model";
    padding_that_is_minded: MindsPadding by "model";
    a_target_that_is_minded: MindsTheTarget by "model";
    checksums_that_are_not_compared: IgnoresChecksums by "model";
    partial_checksums_that_are_compared: ComparesPartialChecksums by "model";
    fragments_that_are_taken: TakesFragments by "model";
    a_header_checksum_that_is_not_compared: IgnoresTheHeaderChecksum by "model";
    a_clock_that_runs_fast: RunsFast by "model";
    memory_for_each_frame: Allocates by "budget";
    a_byte_behind_a_reply: WritesBehind by "guarded memory";
    a_reply_that_is_written_and_not_sent: WritesFirst by "guarded memory";
    broadcast_replies: BroadcastsAlways by "model";
    a_tag_that_is_forgotten: ForgetsTheTag by "model";
    an_answer_for_the_guest: AnswersForTheGuest by "model";
    a_strictness_that_nobody_asked_for: IsAlwaysStrict by "model";
    a_defence_that_nobody_asked_for: AlwaysDefends by "model";
    a_reply_longer_than_the_mtu: IgnoresTheMtu by "model";
    replies_without_bound: AnswersWithoutBound by "model";
    a_gateway_that_gives_up: GivesUp by "liveness";
}

#[cfg(feature = "peer-net")]
caught! {
    padding_that_is_echoed: EchoesPadding by "wire check";
    memory_that_is_shown: PadsWithMemory by "wire check";
    addresses_that_are_swapped: SwapsAddresses by "wire check";
    a_source_that_is_not_the_sender: SendsAsTheGuest by "wire check";
    a_checksum_that_is_left_out: LeavesChecksums by "wire check";
}
