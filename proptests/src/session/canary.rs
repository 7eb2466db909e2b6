//! The scripts have to make the inputs on which broken sessions show, and to shrink to the few
//! records that matter.

use std::panic::catch_unwind;

use proptest::strategy::Strategy;
use proptest::test_runner::{TestError, TestRng, TestRunner};

use vhost_fuzz_harness::broken::session as broken;
use vhost_fuzz_harness::script::Record;
use vhost_fuzz_harness::session::back_end::{BackEnd, Core};
use vhost_fuzz_harness::session::offer::ScriptOffer;
use vhost_fuzz_harness::session::run::{Run, Watch};

use super::script::script;
use crate::runner::config;

/// Scripts that are drawn to find one that fails.
const CASES: usize = 1000;

/// Most records of the script that is left.
const RECORDS: usize = 6;

/// What an oracle says of a script, if one speaks.
fn verdict<B: BackEnd>(records: &[Record<'static>], watch: Watch) -> Option<String> {
    let offer = ScriptOffer::of_script(records);
    let records = || records.iter().cloned();
    let panic = catch_unwind(|| Run::<B>::new(&offer).script(watch, records())).err()?;
    Some(vhost_fuzz_harness::report::panic_text(&*panic))
}

/// What is left of the first script of which this oracle speaks.
fn minimal<B: BackEnd>(oracle: &str, watch: Watch) -> Option<Vec<Record<'static>>> {
    let config = config();
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = script();
    for _ in 0..CASES {
        let tree = strategy.new_tree(&mut runner).expect("every case can be drawn");
        let result = runner.run_one(tree, |records| {
            let verdict = verdict::<B>(&records, watch);
            assert!(!verdict.is_some_and(|verdict| verdict.contains(oracle)), "{oracle}");
            Ok(())
        });
        match result {
            Ok(_) => {}
            Err(TestError::Fail(_, records)) => return Some(records),
            Err(TestError::Abort(reason)) => panic!("{reason}"),
        }
    }
    None
}

#[test]
fn the_core_passes() {
    assert_eq!(minimal::<Core>("", Watch::Closely), None);
    assert_eq!(minimal::<broken::Nothing>("", Watch::AtTheEnd), None);
}

/// Sessions that are broken allocate more than they may, so only the budget is watched closely.
#[track_caller]
fn assert_caught<B: BackEnd>(oracle: &str) {
    let watch = if oracle == "budget" { Watch::Closely } else { Watch::AtTheEnd };
    let records = minimal::<B>(oracle, watch).expect("a script on which it shows");
    assert!(records.len() <= RECORDS, "{} records: {records:#?}", records.len());
}

macro_rules! canaries {
    ($($test:ident $name:ident $oracle:literal;)*) => {$(
        #[test]
        fn $test() {
            assert_caught::<broken::$name>($oracle);
        }
    )*};
}

canaries! {
    acknowledgements_nobody_asked_for AcksUnasked "model";
    forgotten_acknowledgements ForgetsAcks "model";
    flags_of_the_request_in_the_reply EchoesFlags "model";
    a_yes_for_a_no SaysYes "model";
    the_id_of_another_request AnswersAnother "model";
    leaks_on_refusal LeaksOnRefusal "fd ledger";
    a_leak_of_what_is_replaced LeaksReplaced "fd ledger";
    two_owners ClosesTwice "fd ledger";
    leaked_mappings LeaksMappings "mapping ledger";
    a_cut_index CutsTheIndex "model";
    enable_before_features WantsFeaturesFirst "model";
    protocol_features_before_features GatesProtocolFeatures "model";
    a_rounded_size RoundsTheSize "model";
    rings_that_outlive_a_reset KeepsRingsOnReset "model";
    rings_that_outlive_their_base RestartsAfterBase "model";
    a_stall Stalls "liveness";
    memory_for_each_message Allocates "budget";
}
