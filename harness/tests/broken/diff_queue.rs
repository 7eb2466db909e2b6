//! The oracles of the target `diff_virtio_queue` catch split rings with one mistake each, on the
//! committed corpus and by their own names, and let the right one pass.
#![cfg(feature = "peer-virtio-queue")]

use std::collections::BTreeSet;

use vhost_fuzz_harness::broken::queue as broken;
use vhost_fuzz_harness::broken::verdicts::{self, Verdict, assert_spoke};
use vhost_fuzz_harness::corpus::seeds;
use vhost_fuzz_harness::evidence;
use vhost_fuzz_harness::peer::queue::Tally;
use vhost_fuzz_harness::peer::queue::device::{Core, Device};
use vhost_fuzz_harness::peer::queue::divergences::ALLOWED;
use vhost_fuzz_harness::peer::queue::judge::Came;
use vhost_fuzz_harness::target::diff_virtio_queue::{Stage, judge, steps};

fn verdicts<D: Device>() -> Vec<Verdict> {
    verdicts::verdicts("diff_virtio_queue", |bytes| {
        let mut stage = Stage::<D>::default();
        stage.check(bytes);
        stage.end();
    })
}

/// Demands that the named oracle spoke.
#[track_caller]
fn assert_caught<D: Device>(oracle: &str) {
    assert_spoke(&verdicts::<D>(), oracle);
}

#[test]
fn the_ring_of_the_core_passes() {
    assert_eq!(verdicts::<Core>(), []);
}

caught! {
    a_next_that_is_out_of_range: FollowsAnyNext by "differential";
    a_loop_that_is_an_end: EndsLoops by "differential";
    a_table_in_a_table_that_is_an_end: EndsAtTables by "differential";
    a_buffer_that_is_nowhere: IgnoresHoles by "differential";
    a_chain_without_bytes_that_is_refused: RefusesNothing by "differential";
    a_chain_of_all_bytes_that_is_refused: RefusesAllBytes by "differential";
    an_impossible_index_that_is_nothing: SleepsOnBadIndexes by "differential";
    a_second_chain_that_is_not_seen: TakesOne by "differential";
    a_table_that_ends_early: EndsTablesEarly by "differential";
    directions_that_are_swapped: SwapsDirections by "differential";
    a_reader_that_leaves_the_chain: ReadsOneBuffer by "differential";
    a_reader_that_counts_one_more: CountsOneMore by "differential";
    a_writer_that_leaves_a_byte_out: WritesOneLess by "differential";
    a_used_length_that_is_one_less: ReportsOneLess by "ring ledger";
    a_used_length_that_nobody_checks: ReportsAnything by "differential";
    a_dropped_buffer_that_is_lost: LosesDropped by "ring ledger";
    a_used_event_without_wrap: ComparesWithoutWrap by "differential";
    a_flag_that_is_ignored: IgnoresTheFlag by "differential";
    a_first_decision_that_is_not_one: TrustsTheStart by "differential";
    an_avail_event_that_is_not_stored: ForgetsAvailEvent by "differential";
    a_wake_up_that_is_lost: LosesWakeUps by "differential";
    kicks_that_stay_on: NeverDisarms by "differential";
    flags_that_stay: KeepsFlags by "differential";
    a_position_that_is_ignored: BeginsAtZero by "differential";
    a_write_that_nobody_asked_for: WritesElsewhere by "differential";
}

#[test]
fn seeds_come_out_as_their_manifest_says() {
    for seed in seeds("diff_virtio_queue").expect("a corpus") {
        let mut came = judge(&seed.bytes).into_iter().flat_map(|(_, came)| came);
        let broken = came.find_map(|came| came.broken());
        let got = broken.map_or("accept".to_owned(), |id| id.to_string());
        assert_eq!(got, seed.entry.expect, "{}", seed.name);
        if broken.is_some() {
            evidence::refused(&got);
        }
    }
}

/// What was judged without either ring is what the two did.
#[test]
fn the_judge_and_the_two_rings_agree() {
    let mut stage = Stage::<Core>::default();
    let (mut shapes, mut chains) = (BTreeSet::new(), 0);
    for seed in seeds("diff_virtio_queue").expect("a corpus") {
        let judged: Vec<_> = judge(&seed.bytes).into_iter().flat_map(|(_, came)| came).collect();
        stage.check(&seed.bytes);
        let Tally { shapes: seen, chains: taken, .. } = stage.tally().clone();
        let shaped: Vec<_> = judged
            .iter()
            .filter_map(|came| match came {
                Came::Shaped(shape) => Some(*shape),
                _ => None,
            })
            .collect();
        // What is given back at the end is not in the script.
        assert!(seen.starts_with(&shaped), "{}: {seen:?}, judged {shaped:?}", seed.name);
        let whole = judged.iter().filter(|came| matches!(came, Came::Took { .. })).count();
        assert_eq!(taken, whole, "{}", seed.name);
        shapes.extend(seen.iter().map(|shape| format!("{shape:?}")));
        chains += taken;
    }
    for row in ALLOWED {
        assert!(shapes.contains(&format!("{:?}", row.shape)), "no seed for {row:?}");
    }
    assert!(chains > 100, "{chains} chains");
}

/// A stage is as good as new after any input.
#[test]
fn memory_is_clear_after_every_seed() {
    let mut stage = Stage::<Core>::default();
    for seed in seeds("diff_virtio_queue").expect("a corpus") {
        stage.check(&seed.bytes);
        stage.sides().clear();
        assert!(stage.sides().images().is_clear(), "{}", seed.name);
        assert!(steps(&seed.bytes).count() > 1, "{}", seed.name);
    }
}
