//! Model checking of the handshake between driver and device: the code of `core::ring`, over
//! memory of loom, against a driver that does no more than the standard demands.
//!
//! Every order of the two threads is tried, and every value that a load may return: a barrier
//! that is missing shows even where the processor that runs this would never show it. Each
//! program is run as it is, which must pass, and once for each barrier, re-check or notification
//! that is taken out of it, which must fail.
//!
//! A program that passes is run in every order. Two are too long for that, [`litmus::content`]
//! with two chains and [`litmus::conversation`]: of these, every order with at most two
//! preemptions. `--nocapture` shows how many runs that are.

mod driver;
mod litmus;
mod memory;
mod packed;
mod split;

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use litmus::{Case, batch, call, content, conversation, kick, wish};
use memory::Fault::{
    self, NoAcquire, NoArm, NoCall, NoDriverRecheck, NoFence, NoRecheck, NoRelease,
};
use vhost_fuzz_core::ring::Layout::{self, Packed, Split};
use vhost_fuzz_harness::evidence::shows;

/// Preemptions in the programs that are too long for every order, and in those that fail, where
/// they are enough.
const BOUND: Option<usize> = Some(2);

/// Runs a program in every order. `preemptions`: at most so many switches from a thread that
/// could go on; `None` is no bound.
fn check(program: fn(Case), case: Case, preemptions: Option<usize>) -> u64 {
    let runs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&runs);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 10_000;
    model.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        program(case);
    });
    runs.load(Ordering::Relaxed)
}

/// The program as it is passes, with event indices and without.
fn passes(program: fn(Case), layout: Layout, preemptions: Option<usize>) {
    for event_idx in [false, true] {
        let case = Case { layout, event_idx, fault: Fault::None };
        let runs = check(program, case, preemptions);
        println!("{runs} runs of {case:?}");
        assert!(runs > 1, "{case:?} was run in one order only");
    }
}

/// With each fault it does not, and the message says what went wrong.
fn is_caught(program: fn(Case), layout: Layout, faults: &[(Fault, &str)]) {
    for &(fault, message) in faults {
        for event_idx in [false, true] {
            let case = Case { layout, event_idx, fault };
            let text = failure(program, case).unwrap_or_else(|| panic!("{case:?} was not caught"));
            assert!(text.contains(message), "{case:?} was caught by another check: {text}");
        }
    }
}

/// What a program that fails says.
fn failure(program: fn(Case), case: Case) -> Option<String> {
    let panic = catch_unwind(|| check(program, case, BOUND)).err()?;
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Some(text.unwrap_or_default().to_owned())
}

#[test]
fn a_chain_is_what_the_driver_wrote() {
    let _shows = shows(&["VQ-049"]);
    for layout in [Split, Packed] {
        passes(content::<1>, layout, None);
        passes(content::<2>, layout, BOUND);
        is_caught(content::<1>, layout, &[(NoAcquire, "content")]);
    }
}

#[test]
fn an_answer_is_what_the_device_wrote() {
    let _shows = shows(&["VQ-036", "VQ-037", "VQ-049", "PK-024"]);
    for layout in [Split, Packed] {
        passes(batch, layout, None);
        is_caught(batch, layout, &[(NoRelease, "answer")]);
    }
}

#[test]
fn no_kick_is_lost() {
    let _shows = shows(&["VQ-048", "PK-037"]);
    let lost = "lost kick";
    for layout in [Split, Packed] {
        passes(kick, layout, None);
        is_caught(kick, layout, &[(NoFence, lost), (NoRecheck, lost), (NoArm, lost)]);
        is_caught(kick, layout, &[(NoAcquire, "content")]);
    }
}

#[test]
fn no_call_is_lost() {
    let lost = "lost call";
    for layout in [Split, Packed] {
        passes(call, layout, None);
        is_caught(call, layout, &[(NoFence, lost), (NoCall, lost), (NoDriverRecheck, lost)]);
        is_caught(call, layout, &[(NoRelease, "answer")]);
    }
}

#[test]
fn a_position_is_there_before_the_flags_that_refer_to_it() {
    let case = Case { layout: Packed, event_idx: true, fault: Fault::None };
    check(wish, case, None);
    let text = failure(wish, Case { fault: NoRelease, ..case }).expect("a failure");
    assert!(text.contains("position of an older wish"), "{text}");
}

#[test]
fn chains_go_round_and_both_sides_sleep() {
    let stuck = "deadlock";
    for layout in [Split, Packed] {
        passes(conversation, layout, BOUND);
        is_caught(conversation, layout, &[(NoFence, stuck), (NoRecheck, stuck), (NoCall, stuck)]);
    }
}
