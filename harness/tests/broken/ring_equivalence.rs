//! Every oracle of the target `ring_equivalence` catches the device that is broken for it, on the
//! committed corpus and by its own name. One without a mistake passes.

use vhost_fuzz_harness::broken::ring_equivalence as broken;
use vhost_fuzz_harness::broken::verdicts::{self, Verdict, assert_spoke};
use vhost_fuzz_harness::equivalence::device::{Core, Device};
use vhost_fuzz_harness::target::ring_equivalence;

fn verdicts<D: Device>() -> Vec<Verdict> {
    verdicts::verdicts("ring_equivalence", |bytes| _ = ring_equivalence::check::<D>(bytes))
}

/// Demands that the named oracle spoke, and none but those of this target.
#[track_caller]
fn assert_caught<D: Device>(oracle: &str) {
    const ORACLES: [&str; 4] = ["model: ", "ring ledger: ", "liveness: ", "equivalence: "];
    let verdicts = verdicts::<D>();
    assert_spoke(&verdicts, oracle);
    for Verdict { seed, text } in verdicts {
        assert!(ORACLES.iter().any(|oracle| text.starts_with(oracle)), "{seed}: {text}");
    }
}

#[test]
fn a_device_without_a_mistake_passes() {
    assert_eq!(verdicts::<Core>(), []);
    assert_eq!(verdicts::<broken::Nothing>(), []);
}

caught! {
    a_buffer_that_is_used_twice: DeliversTwice by "ring ledger";
    a_completion_that_is_lost: LosesACompletion by "ring ledger";
    two_ids_that_are_swapped: SwapsTwoIds by "ring ledger";
    a_length_that_is_one_too_many: ReportsOneMore by "model";
    a_byte_that_nobody_is_told_of: WritesOneMore by "model";
    a_byte_that_was_not_written: WritesOneLess by "model";
    a_device_that_does_not_ask_for_kicks: ForgetsToArm by "liveness";
    a_device_that_sleeps_on_work: SleepsOnWork by "liveness";
    a_call_that_is_lost: LosesACall by "liveness";
    a_call_that_nobody_wants: CallsAlways by "model";
    a_request_that_is_not_found: FindsNothing by "liveness";
    a_batch_without_its_front: ForgetsABatch by "model";
    a_list_over_the_end_that_is_not_read_well: StumblesOverTheEnd by "model";
}
