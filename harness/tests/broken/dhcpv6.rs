//! Every oracle of the target `dhcpv6` catches the server that is broken for it, on the committed
//! corpus and by its own name. One without a mistake passes.

use vhost_fuzz_harness::broken::dhcpv6 as broken;
use vhost_fuzz_harness::broken::verdicts::{self, Verdict, assert_spoke};
use vhost_fuzz_harness::ipv6::Responder;
use vhost_fuzz_harness::ipv6::dhcpv6::Core;
use vhost_fuzz_harness::target::dhcpv6;

fn verdicts<R: Responder>() -> Vec<Verdict> {
    verdicts::verdicts("dhcpv6", |bytes| _ = dhcpv6::check::<R>(bytes))
}

#[test]
fn a_server_without_a_mistake_passes() {
    assert_eq!(verdicts::<Core>(), []);
    assert_eq!(verdicts::<broken::Nothing>(), []);
}

/// Demands that the named oracle spoke.
#[track_caller]
fn assert_caught<R: Responder>(oracle: &str) {
    assert_spoke(&verdicts::<R>(), oracle);
}

caught! {
    a_checksum_that_is_not_seen: IgnoresChecksum by "model";
    a_port_that_is_not_seen: AnswersForOthers by "model";
    a_reply_without_an_offer: AlwaysRapid by "model";
    an_address_that_does_not_rest: ForgetsDeclines by "model";
    a_transaction_that_is_another: ForgetsTheTransaction by "wire check";
    a_client_that_is_another: ForgetsTheClient by "wire check";
    an_offer_that_is_a_reply: MixesTypes by "model";
    a_checksum_that_is_wrong: MiscountsChecksums by "wire check";
    a_checksum_that_is_missing: SendsNoChecksum by "wire check";
    a_byte_behind_a_reply: WritesBeyond by "room";
    half_a_reply: CutsReplies by "room";
    a_copy_of_a_frame: Allocates by "budget";
    silence_after_a_broken_frame: FallsSilent by "liveness";
    a_client_that_asks_for_information_only: WantsAddresses by "liveness";
}
