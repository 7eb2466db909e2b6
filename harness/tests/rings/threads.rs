//! Driver and device on two threads over one mapped memory: 200,000 chains, and devices that the
//! same run has to refuse. `cargo xtask soak rings` sends ten million.

use vhost_fuzz_core::ring::Layout::{self, Packed, Split};
use vhost_fuzz_harness::broken::soak::{
    AnswersLate, ForgetsToArm, ForgetsToCall, ForgetsToLookAgain, KeepsABuffer,
};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::soak::{Config, Fault, Habits, PATIENCE, Row, Tally, ring, rings};

const CHAINS: u64 = 200_000;

#[test]
fn each_chain_arrives_whole_and_comes_back_once() {
    let _shows = shows(&["VQ-036", "VQ-037", "VQ-040", "VQ-048", "PK-037"]);
    let mut heard = 0;
    let report = rings(CHAINS, |_, returned| heard = returned);
    assert_eq!(report.failure, None, "{report:#?}");
    assert_eq!(report.rows.len(), Config::all().len());
    let mut sum = 0;
    for row in &report.rows {
        let sent = row.tally.sent;
        assert!(row.tally.is_exact(sent), "{row:?}");
        // It was worth it: the ring went round, and the driver had to be told at least once.
        assert!(row.laps > 1 && row.calls > 0, "{row:?}");
        assert!(row.kicks <= sent && row.calls <= sent, "{row:?}");
        sum += sent;
    }
    assert_eq!(sum, CHAINS);
    assert!((1..=CHAINS).contains(&heard), "{heard}");
    let sleeps = |row: &Row| row.driver_sleeps + row.device_sleeps;
    assert!(report.rows.iter().map(sleeps).sum::<u64>() > 100, "{report:#?}");
    assert!(report.rows.iter().map(|row| row.kicks).sum::<u64>() > 10, "{report:#?}");
}

/// Chains within which a mistake is to be noticed.
const ENOUGH: u64 = 2_000_000;

/// The fault that the run finds in a device, with event indices and without.
fn faults<H: Habits>(layout: Layout, size: u16, habits: &H) -> [Fault; 2] {
    [false, true].map(|event_idx| {
        let config = Config { layout, size, event_idx, indirect: true };
        match ring(config, ENOUGH, habits, PATIENCE, |_| {}) {
            Ok(row) => panic!("{config}: not noticed: {row:?}"),
            Err(fault) => fault,
        }
    })
}

/// Both sides sleep, and somebody waits for something.
fn is_deadlock(fault: &Fault) -> bool {
    matches!(fault, Fault::Hang { is_driver_asleep: true, is_device_asleep: true, .. })
}

#[test]
fn a_device_that_forgets_to_arm_hangs() {
    for fault in [Split, Packed].into_iter().flat_map(|layout| faults(layout, 16, &ForgetsToArm)) {
        assert!(is_deadlock(&fault), "{fault}");
    }
}

#[test]
fn a_device_that_does_not_look_again_hangs() {
    for layout in [Split, Packed] {
        for fault in faults(layout, 16, &ForgetsToLookAgain) {
            assert!(is_deadlock(&fault), "{fault}");
        }
    }
}

#[test]
fn a_device_that_does_not_call_hangs() {
    for fault in [Split, Packed].into_iter().flat_map(|layout| faults(layout, 16, &ForgetsToCall)) {
        assert!(is_deadlock(&fault), "{fault}");
    }
}

#[test]
fn a_device_that_answers_late_is_noticed() {
    for fault in [Split, Packed].into_iter().flat_map(|layout| faults(layout, 16, &AnswersLate)) {
        assert!(matches!(fault, Fault::Answer { .. } | Fault::Length { .. }), "{fault}");
    }
}

#[test]
fn a_device_that_keeps_a_buffer_is_noticed() {
    for fault in [Split, Packed].into_iter().flat_map(|layout| faults(layout, 1, &KeepsABuffer)) {
        let Fault::Hang { tally, .. } = fault else { panic!("{fault}") };
        assert_eq!(tally, Tally { sent: 21, taken: 21, given: 20, returned: 20 });
    }
}
