//! Every oracle of the session target catches the session that is broken for it, on the committed
//! corpus and by its own name. One without a mistake passes.

use vhost_fuzz_harness::broken::session as broken;
use vhost_fuzz_harness::broken::verdicts::{Verdict, assert_spoke, verdicts};
use vhost_fuzz_harness::session::back_end::{BackEnd, Core};
use vhost_fuzz_harness::target::session;

fn run<B: BackEnd>() -> Vec<Verdict> {
    verdicts("session", |bytes| drop(session::check::<B>(bytes)))
}

#[test]
fn a_session_without_a_mistake_passes() {
    assert_eq!(run::<Core>(), []);
    assert_eq!(run::<broken::Nothing>(), []);
}

/// Demands that the named oracle spoke.
#[track_caller]
fn assert_caught<B: BackEnd>(oracle: &str) {
    assert_spoke(&run::<B>(), oracle);
}

caught! {
    an_acknowledgement_that_nobody_asked_for: AcksUnasked by "model";
    an_acknowledgement_that_is_missing: ForgetsAcks by "model";
    a_refusal_that_is_told_as_success: SaysYes by "model";
    an_index_that_is_cut: CutsTheIndex by "model";
    an_early_enable_that_is_refused: WantsFeaturesFirst by "model";
    protocol_features_that_have_to_wait: GatesProtocolFeatures by "model";
    a_size_that_is_rounded: RoundsTheSize by "model";
    rings_that_outlive_a_reset: KeepsRingsOnReset by "model";
    a_ring_that_does_not_stop: RestartsAfterBase by "model";
    flags_that_come_back: EchoesFlags by "wire check";
    a_reply_to_another_request: AnswersAnother by "wire check";
    a_descriptor_that_leaks_on_refusal: LeaksOnRefusal by "fd ledger";
    a_descriptor_that_leaks_when_replaced: LeaksReplaced by "fd ledger";
    a_descriptor_with_two_owners: ClosesTwice by "fd ledger";
    a_mapping_that_leaks_on_failure: LeaksMappings by "mapping ledger";
    a_session_that_stalls: Stalls by "liveness";
    memory_for_each_message: Allocates by "budget";
}
