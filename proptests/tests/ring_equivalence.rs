//! Properties of two rings that have to end alike.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestError, TestRng, TestRunner};

use vhost_fuzz_core::ring::Features as Negotiated;
use vhost_fuzz_harness::broken::ring_equivalence as broken;
use vhost_fuzz_harness::equivalence::device::{Core, Device};
use vhost_fuzz_harness::equivalence::driver::{Features, Wish};
use vhost_fuzz_harness::equivalence::plan::{BYTES_MAX, Request, Style};
use vhost_fuzz_harness::script::{VERSION, encode};
use vhost_fuzz_harness::target::ring_equivalence::{Mark, Outcome, Setup, Step, check};

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::ring::history::{Act, Calls, history};
use vhost_fuzz_proptests::ring::{features, index, packed_size, split_size};
use vhost_fuzz_proptests::runner::{Suite, config};

const HISTORIES: Suite = Suite { target: "ring_equivalence", times: 4 };

/// Most rounds and single acts of a history.
const ACTS_MAX: usize = 10;

fn setup() -> impl Strategy<Value = Setup> + Clone {
    (split_size(256), packed_size(256), features(), index()).prop_map(
        |(split, packed, negotiated, at)| {
            let Negotiated { event_idx, indirect, in_order, .. } = negotiated;
            let features = Features { event_idx, indirect, in_order };
            // A fresh packed ring is the simplest.
            Setup { split, packed, features, at: at ^ 0x8000 }
        },
    )
}

fn step(act: &Act) -> Step {
    match *act {
        Act::Request { readable, writable, style } => Step::Request(Request {
            readable: u16::from(readable).min(BYTES_MAX),
            writable: u16::from(writable).min(BYTES_MAX),
            style: Style(style),
        }),
        Act::Offer(count) => Step::Offer { count: count.into() },
        Act::Reap => Step::Reap,
        Act::Want(Calls::Always) => Step::Want(Wish::Always),
        Act::Want(Calls::Never) => Step::Want(Wish::Never),
        Act::Want(Calls::After(count)) => Step::Want(Wish::After(count)),
        Act::Take(count) => Step::Take { count: count.into() },
        Act::Complete { which, len } => Step::Complete { which: which.into(), len: len.into() },
        Act::Batch { count, len } => Step::Batch { count: count.into(), len: len.into() },
        Act::Publish => Step::Publish,
        Act::Arm => Step::Arm,
        Act::Disarm => Step::Disarm,
        Act::Restart => Step::Restart,
    }
}

type Case = (Setup, Vec<Act>);

fn case() -> impl Strategy<Value = Case> + Clone {
    (setup(), history(ACTS_MAX))
}

fn script((setup, acts): &Case) -> Vec<u8> {
    let steps = [Step::Start(*setup)].into_iter().chain(acts.iter().map(step));
    encode(&steps.map(|step| step.record()).collect::<Vec<_>>())
}

#[test]
fn histories() {
    HISTORIES.for_all(&case(), script, |(_, acts), input| {
        assert_eq!(check::<Core>(input).steps, acts.len() + 1);
    });
}

#[test]
fn one_life_after_another() {
    let lives = vec(case(), 0..=3);
    let input = |lives: &Vec<Case>| {
        let records = lives.iter().flat_map(|life| script(life)[1..].to_vec());
        [VERSION].into_iter().chain(records).collect()
    };
    HISTORIES.for_all(&lives, input, |lives, input| {
        let together = check::<Core>(input);
        // What came before leaves nothing behind.
        let alone = lives.iter().map(|life| check::<Core>(&script(life)).deliveries);
        assert_eq!(together.deliveries, alone.sum::<usize>());
    });
}

#[test]
fn one_flipped_byte_of_a_history() {
    let flipped = (case(), any::<Index>(), 1..=u8::MAX);
    let input = |(case, at, bits): &(Case, Index, u8)| {
        let mut script = script(case);
        let at = at.index(script.len());
        script[at] ^= bits;
        script
    };
    HISTORIES.for_all(&flipped, input, |_, input| _ = check::<Core>(input));
}

#[test]
fn arbitrary_bytes_as_actions() {
    let records = vec((8..=9_u8, number::bytes(0..=8)), 0..=40);
    let input = |records: &Vec<(u8, Vec<u8>)>| {
        let mut script = vec![VERSION];
        for (kind, body) in records {
            script.extend([*kind, u8::try_from(body.len()).expect("at most 8"), 0]);
            script.extend(body);
        }
        script
    };
    HISTORIES.for_all(&records, input, |_, input| _ = check::<Core>(input));
}

/// What becomes of drawn histories.
fn outcomes(count: usize) -> impl Iterator<Item = Outcome> {
    let rng = TestRng::deterministic_rng(config().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config(), rng);
    std::iter::repeat_with(move || {
        let case = case().new_tree(&mut runner).expect("a history").current();
        check::<Core>(&script(&case))
    })
    .take(count)
}

#[test]
fn histories_come_through_every_place() {
    let (mut reached, mut deliveries) = (BTreeSet::<Mark>::new(), 0);
    for outcome in outcomes(2000) {
        reached.extend(Mark::ALL.iter().filter(|mark| outcome.marks.has(**mark)));
        deliveries += outcome.deliveries;
    }
    for mark in Mark::ALL {
        assert!(reached.contains(mark), "no history comes through {mark:?}");
    }
    assert!(deliveries > 3 * 2000, "{deliveries} deliveries of 2000 histories");
}

/// What the oracle says that speaks first on drawn histories, and the smallest of them.
fn caught<D: Device>() -> Option<(String, Case)> {
    let rng = TestRng::deterministic_rng(config().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config(), rng);
    (0..4000).find_map(|_| {
        let case = case().new_tree(&mut runner).expect("a history");
        let result = runner.run_one(case, |case| {
            let _ = check::<D>(&script(&case));
            Ok(())
        });
        let Err(TestError::Fail(reason, case)) = result else { return None };
        let (oracle, _) = reason.message().split_once(':')?;
        Some((oracle.to_owned(), case))
    })
}

#[test]
fn a_device_without_a_mistake_is_not_caught() {
    assert_eq!(caught::<Core>(), None);
    assert_eq!(caught::<broken::Nothing>(), None);
}

macro_rules! caught {
    ($($twin:ident by $($oracle:literal)|+ in $acts:literal),* $(,)?) => {$(
        let (oracle, (_, acts)) = caught::<broken::$twin>().expect(stringify!($twin));
        assert!(matches!(&*oracle, $($oracle)|+), "{}: {oracle}: {acts:?}", stringify!($twin));
        assert!(acts.len() <= $acts, "{}: {acts:?}", stringify!($twin));
    )*};
}

/// Each mistake shows, and the history that shows it shrinks to a few acts.
#[test]
fn histories_catch_every_broken_device() {
    caught! {
        DeliversTwice by "ring ledger" in 4,
        LosesACompletion by "liveness" in 8,
        SwapsTwoIds by "ring ledger" in 4,
        ReportsOneMore by "model" in 4,
        WritesOneMore by "model" in 4,
        WritesOneLess by "model" in 4,
        ForgetsToArm by "liveness" in 4,
        SleepsOnWork by "liveness" in 4,
        LosesACall by "liveness" in 8,
        CallsAlways by "model" in 8,
        FindsNothing by "liveness" | "model" in 8,
        ForgetsABatch by "model" in 8,
        StumblesOverTheEnd by "model" in 8,
    }
}
