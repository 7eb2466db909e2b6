//! Every oracle of the target `net_device` catches the device that is broken for it, on the
//! committed corpus. One without a mistake passes.

use vhost_fuzz_core::net::device::Device;
use vhost_fuzz_harness::broken::net_device::{self as broken, BrokenDevice};
use vhost_fuzz_harness::broken::verdicts::{self, Verdict, assert_spoke};
use vhost_fuzz_harness::net_device::{NetDevice, Run, Watch, step};
use vhost_fuzz_harness::target::net_device;

fn verdicts<D: NetDevice>() -> Vec<Verdict> {
    verdicts::verdicts("net_device", |bytes| _ = net_device::check::<D>(bytes))
}

#[test]
fn devices_without_a_mistake_pass() {
    assert_eq!(verdicts::<Device>(), []);
    assert_eq!(verdicts::<BrokenDevice<broken::Nothing>>(), []);
}

/// Demands that one of these oracles spoke first wherever one spoke, and the first of them
/// somewhere.
#[track_caller]
fn assert_only(verdicts: &[Verdict], oracles: &[&str]) {
    assert_spoke(verdicts, oracles[0]);
    for Verdict { seed, text } in verdicts {
        let is_one = oracles.iter().any(|oracle| text.starts_with(&format!("{oracle}: ")));
        assert!(is_one, "{seed}: {text}");
    }
}

/// No seed asks a device for anything after its last ring broke: only the good guest does.
#[test]
fn a_device_that_a_reset_does_not_help_is_found_by_the_good_guest() {
    assert_only(&verdicts::<BrokenDevice<broken::StaysBroken>>(), &["liveness"]);
}

/// The other parser comes before the model, which would find every wrong byte as well, unless it
/// were wrong about the same.
#[cfg(feature = "peer-net")]
#[test]
fn a_checksum_that_is_left_to_the_driver_is_found_by_another_parser() {
    assert_only(&verdicts::<BrokenDevice<broken::LeavesChecksums>>(), &["wire check"]);
}

/// Memory that flips says nothing itself. It makes a device that looks twice do something else than
/// the model, and perhaps write where the model does not. Where it does not flip, there is nothing
/// to be found.
#[test]
fn a_frame_that_is_looked_at_before_it_is_copied_is_found_by_memory_that_flips() {
    type Twin = BrokenDevice<broken::LooksFirst>;
    let unflipped = verdicts::verdicts("net_device", |bytes| {
        let _ = Run::<Twin>::default().steps(Watch::Lightly, step::steps(bytes));
    });
    assert_eq!(unflipped, []);
    assert_only(&verdicts::<Twin>(), &["model", "guard"]);
}

/// Demands that the named oracle spoke.
#[track_caller]
fn assert_caught<M: broken::Mistake>(oracle: &str) {
    assert_spoke(&verdicts::<BrokenDevice<M>>(), oracle);
}

caught! {
    buffers_that_are_told_as_filled: TellsWholeBuffers by "model";
    buffers_that_are_shown_one_by_one: PublishesEachBuffer by "model";
    small_buffers_that_are_used_up: UsesUpSmallBuffers by "guard";
    a_frame_that_had_to_wait_and_is_lost: LosesWhatHasToWait by "guard";
    a_sleep_without_a_wish_for_kicks: NeverArms by "guarded memory";
    a_wish_for_kicks_of_the_receive_queue: WantsKicksForBuffers by "model";
    sent_chains_that_are_kept: KeepsWhatIsSent by "model";
    commands_that_are_kept: KeepsCommands by "model";
    results_that_are_not_told: ForgetsResults by "model";
    a_call_that_is_forgotten: NeverCalls by "model";
    calls_that_nobody_wants: AlwaysCalls by "model";
    a_rest_that_is_forgotten: ForgetsTheRest by "model";
    a_broken_ring_that_is_hidden: HidesBrokenRings by "model";
    frames_that_are_never_spread: NeverMerges by "model";
    frames_that_are_always_spread: AlwaysMerges by "model";
    a_header_that_is_too_short: ShortensHeaders by "model";
    frames_above_the_mtu: IgnoresTheMtu by "guard";
    frames_that_were_filtered_out: IgnoresTheFilter by "model";
    an_answer_on_an_unused_queue: AnswersOnUnusedQueues by "model";
    a_clock_that_stands_still: StandsStill by "model";
    memory_for_each_wake_up: Allocates by "budget";
    memory_that_is_read_for_nothing: ReadsTooMuch by "budget";
    memory_that_is_written_for_nothing: WritesToTheDriver by "guard";
    a_device_that_gives_up: GivesUp by "model";
}
