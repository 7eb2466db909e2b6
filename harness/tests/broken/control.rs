//! Every device that makes a mistake with its control queue is caught, on steps that are drawn
//! from fixed seeds. One without a mistake passes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;
use vhost_fuzz_core::net::control::Control;
use vhost_fuzz_harness::broken::control::{self as broken, Broken};
use vhost_fuzz_harness::broken::verdicts::{Verdict, assert_spoke};
use vhost_fuzz_harness::control::{Device, Setup, draw, judge};
use vhost_fuzz_harness::report;

/// How many sequences of steps there are.
const SEEDS: u64 = 120;

/// What the oracles say, one verdict for each seed; the first few are enough.
fn verdicts<D: Device>() -> Vec<Verdict> {
    let of = |seed: u64| {
        // A thread of its own: a panic leaves a count of allocations half open.
        let run = move || {
            catch_unwind(AssertUnwindSafe(|| {
                let mut rng = Rng::with_seed(seed);
                let setup = Setup { pairs: rng.u16(1..=4), ..Setup::default() };
                let steps = draw::steps(&mut rng, setup, 40);
                _ = judge::<D>(setup, &steps);
            }))
        };
        let ended = std::thread::scope(|scope| scope.spawn(run).join());
        let panic = ended.and_then(|result| result).err()?;
        Some(Verdict { seed: seed.to_string(), text: report::panic_text(&*panic) })
    };
    (0..SEEDS).filter_map(of).collect()
}

#[test]
fn devices_without_a_mistake_pass() {
    assert_eq!(verdicts::<Control>(), []);
    assert_eq!(verdicts::<Broken<broken::Nothing>>(), []);
}

/// Demands that the named oracle spoke.
#[track_caller]
fn assert_caught<M: broken::Mistake>(oracle: &str) {
    assert_spoke(&verdicts::<Broken<M>>(), oracle);
}

caught! {
    features_that_are_not_looked_at: IgnoresFeatures by "model";
    a_command_that_is_read_past_its_end: ReadsPastTheEnd by "model";
    bytes_too_many_that_are_minded: WantsNoSurplus by "model";
    a_number_of_addresses_that_wraps: WrapsTheCount by "model";
    a_long_table_that_is_refused: RefusesLongTables by "model";
    a_long_table_that_is_cut: CutsLongTables by "model";
    half_a_table_that_is_taken: TakesHalfATable by "model";
    groups_that_hear_nothing: DropsGroups by "model";
    a_filter_that_lets_all_pass: FiltersNothing by "model";
    a_filter_of_somebody_else: FiltersForOthers by "model";
    a_priority_that_is_a_vlan: DropsPriorityTags by "model";
    tags_that_nobody_filters: DropsTagsAlways by "model";
    service_tags_that_are_filtered: MindsServiceTags by "model";
    an_address_that_is_not_told: ForgetsTheAddress by "model";
    a_group_as_an_address: TakesGroups by "model";
    an_announcement_that_is_asked_for_again: AsksForever by "model";
    no_pairs_of_queues: TakesNoPairs by "model";
    more_pairs_than_there_are: TakesAnyPairs by "model";
    an_offload_that_was_not_negotiated: TakesAnyOffload by "model";
    tunnels_that_cannot_be_switched_off: ForgetsTunnels by "model";
    the_control_queue_among_those_for_frames: CountsTheControlQueue by "model";
    a_queue_that_is_not_there: TakesAnyQueue by "model";
    a_table_of_any_size: TakesOddTables by "model";
    a_table_without_room: TakesLongTables by "model";
    a_key_that_is_cut: CutsLongKeys by "model";
    a_frame_for_a_queue_under_reset: MindsNoReset by "model";
    a_frame_for_a_queue_behind: UsesEveryPair by "model";
    a_report_that_is_one_less: ReportsTheBit by "model";
    a_hash_the_other_way_round: SwapsTheHash by "model";
    a_fragment_with_ports: HashesFragments by "model";
    a_table_that_stays: KeepsTheTable by "model";
    a_byte_behind_a_result: WritesBehind by "guarded memory";
    a_used_length_of_all_there_is: TellsItsRoom by "model";
    a_reset_that_keeps_things: NeverForgets by "model";
    memory_for_each_command: Allocates by "budget";
    pairs_that_are_not_told: ForgetsPairs by "model";
    a_device_that_gives_up: GivesUp by "liveness";
}
