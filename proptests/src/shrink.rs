//! How failures shrink: a property that fails on purpose comes back with the smallest case.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::{TestError, TestRng, TestRunner};

use vhost_fuzz_core::vhost_user::payload::{Region, VringState};
use vhost_fuzz_core::vhost_user::{FrameError, HEADER_LEN, Layout, Payload};
use vhost_fuzz_harness::script::{FdKind, Record, encode};

use crate::flat::Flat;
use crate::hostile::{Damage, hostile};
use crate::message::message;
use crate::number::{self, Boundary};
use crate::payload::{OwnedPayload, Table};
use crate::runner::{Suite, config};
use crate::script::{records, script, session};
use crate::stream::receive;

/// Failures that are shrunk by each test, because one may be lucky.
const FAILURES: usize = 20;

/// What is left of the first cases for which `fails` is true.
fn minimal<S: Strategy>(strategy: &S, fails: impl Fn(&S::Value) -> bool) -> Vec<S::Value> {
    let config = config();
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let mut minimal = Vec::new();
    while minimal.len() < FAILURES {
        let tree = strategy.new_tree(&mut runner).expect("every case can be drawn");
        let result = runner.run_one(tree, |case| {
            assert!(!fails(&case), "on purpose");
            Ok(())
        });
        match result {
            Ok(_) => {}
            Err(TestError::Fail(_, case)) => minimal.push(case),
            Err(TestError::Abort(reason)) => panic!("{reason}"),
        }
    }
    minimal
}

#[test]
fn numbers_shrink_to_the_first_that_fails() {
    for number in minimal(&number::u64(), |number| *number >= 1000) {
        assert_eq!(number, 1000);
    }
    for number in minimal(&number::u8(), |number| *number > 7) {
        assert_eq!(number, 8);
    }
    for number in minimal(&Boundary::new(5..=500), |_| true) {
        assert_eq!(number, 5);
    }
    for bytes in minimal(&number::bytes(0..=300), |bytes| bytes.len() >= 10) {
        assert_eq!(bytes, [0; 10]);
    }
}

#[test]
fn a_field_shrinks_and_the_others_go_to_zero() {
    let is_large = |payload: &OwnedPayload| match payload {
        OwnedPayload::Plain(Payload::State(state)) => state.index >= 1000,
        _ => false,
    };
    for message in minimal(&message(), |message| is_large(&message.body.payload)) {
        let state = Payload::State(VringState { index: 1000, num: 0 });
        assert_eq!(message.body.payload, OwnedPayload::Plain(state));
        assert_eq!(message.body.layout, Layout::default());
        assert!(!message.need_reply);
    }
}

#[test]
fn a_table_shrinks_to_the_fewest_regions() {
    let has_three = |payload: &OwnedPayload| match payload {
        OwnedPayload::MemTable(table) => table.regions.len() >= 3,
        _ => false,
    };
    let empty = Region { guest_address: 0, size: 0, user_address: 0, mmap_offset: 0, xen: None };
    let table = Table { padding: 0, regions: vec![empty; 3], tail: Vec::new() };
    for message in minimal(&message(), |message| has_three(&message.body.payload)) {
        assert_eq!(message.body.payload, OwnedPayload::MemTable(table.clone()));
        assert_eq!(message.body.layout, Layout::default());
    }
}

#[test]
fn damage_shrinks_to_what_is_needed() {
    let has_many = |damage: &Damage| matches!(damage, Damage::Fds(3..));
    for hostile in minimal(&hostile(), |hostile| hostile.damage.iter().any(has_many)) {
        assert_eq!(hostile.damage, [Damage::Fds(3)]);
        assert_eq!(hostile.message.encode().len(), HEADER_LEN, "the first request is empty");
    }
}

#[test]
fn lists_shrink_element_by_element() {
    let steps = Flat(vec(Just(vec![1, 2, 3]), 0..=5));
    for list in minimal(&steps, |list| list.contains(&2)) {
        assert_eq!(list, [2]);
    }
    // The 1 is needed as long as there is a 3.
    let fails = |list: &Vec<i32>| list.contains(&2) && (list.contains(&1) || !list.contains(&3));
    for list in minimal(&steps, fails) {
        assert_eq!(list, [2]);
    }
}

#[test]
fn scripts_shrink_record_by_record() {
    let truncated = |records: &Vec<Record<'_>>| records.contains(&Record::ControlTruncated);
    for records in minimal(&script(), truncated) {
        assert_eq!(records, [Record::ControlTruncated]);
    }
    let is_fd = |record: &Record<'_>| matches!(record, Record::Fd { .. });
    for records in minimal(&records(), |records| records.iter().any(is_fd)) {
        assert_eq!(records, [Record::Fd { kind: FdKind(0), seals: 0, size: 0 }]);
    }
}

#[test]
fn a_stream_shrinks_to_the_records_that_matter() {
    // A descriptor, and a byte or the lack of one that makes it late.
    let ends_late = |records: &Vec<Record<'_>>| {
        receive(&encode(records))
            .iter()
            .any(|stream| matches!(stream.end, Err(FrameError::LateFds { .. })))
    };
    for records in minimal(&script(), ends_late) {
        assert!(records.len() <= 3, "{records:?}");
    }
    let has_two_messages = |records: &Vec<Record<'_>>| {
        receive(&encode(records)).iter().any(|stream| stream.messages.len() >= 2)
    };
    for records in minimal(&script(), has_two_messages) {
        assert_eq!(records.len(), 2, "{records:?}");
    }
}

#[test]
fn a_session_shrinks_to_one_message() {
    for session in
        minimal(&session(), |session| session.iter().any(|sent| sent.message.body.fds > 0))
    {
        let [sent] = &session[..] else { panic!("one message is enough: {session:?}") };
        assert_eq!((sent.message.body.fds, &sent.cuts[..], sent.fd), (1, &[][..], FdKind(0)));
    }
}

const SUITE: Suite = Suite { target: "msg_decode", times: 4 };

#[test]
#[should_panic(expected = "on purpose: 1000")]
fn a_failure_is_shown_on_the_smallest_case() {
    let input = |number: &u64| number.to_ne_bytes().to_vec();
    SUITE.for_all(&number::u64(), input, |number, bytes| {
        assert_eq!(bytes, number.to_ne_bytes());
        assert!(*number < 1000, "on purpose: {number}");
    });
}

#[test]
#[should_panic(expected = "passes when it is run again; it failed with: on purpose")]
fn a_failure_that_does_not_come_again_is_said_to_be_one() {
    let is_first = Cell::new(true);
    let input = |_: &u64| Vec::new();
    SUITE.for_all(&number::u64(), input, |_, _| assert!(!is_first.take(), "on purpose"));
}

#[test]
fn a_property_sees_as_many_cases_as_its_suite_says() {
    let seen = Cell::new(0);
    let input = |_: &u64| Vec::new();
    SUITE.for_all(&number::u64(), input, |_, _| seen.set(seen.get() + 1));
    assert_eq!(seen.get(), 4 * config().cases);
}
