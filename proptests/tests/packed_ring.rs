//! Properties of a packed ring: what a driver and a device do to it.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use vhost_fuzz_core::ring::{Layout, PackedQueue};
use vhost_fuzz_harness::broken::ring::{self as broken, BrokenDevice};
use vhost_fuzz_harness::ring::target::check_script;
use vhost_fuzz_harness::ring::{Device, Outcome};
use vhost_fuzz_harness::script::VERSION;

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::ring::careful::Careful;
use vhost_fuzz_proptests::ring::steps::{Act, Story, legal, mixed};
use vhost_fuzz_proptests::ring::trial::{assert_reached, cases, caught, rules};
use vhost_fuzz_proptests::runner::Suite;

const STORIES: Suite = Suite { target: "packed_ring", times: 2 };

const FORM: Layout = Layout::Packed;

fn check(input: &[u8]) -> Outcome {
    check_script::<PackedQueue>(input)
}

/// Operations of a story that is legal: those of its steps, and what a run does on its own with
/// each ring.
fn operations(story: &Story) -> usize {
    let told = story.told();
    told.operations + told.starts * check(&[VERSION]).operations
}

#[test]
fn stories() {
    STORIES.for_all(&mixed(FORM), Story::script, |_, input| _ = check(input));
}

/// Nothing is refused, and every step does exactly what the driver expects of it.
#[test]
fn what_is_legal_is_not_refused() {
    STORIES.for_all(&legal(FORM), Story::script, |story, input| {
        let expected = Outcome { operations: operations(story), broken: vec![] };
        assert_eq!(check(input), expected);
    });
}

/// Whatever came before, a legal story is told to its end.
#[test]
fn a_new_ring_knows_nothing_of_the_old_one() {
    let both = |(before, after): &(Story, Story)| {
        let mut script = before.script();
        script.extend(&after.script()[1..]);
        script
    };
    STORIES.for_all(&(mixed(FORM), legal(FORM)), both, |(before, after), input| {
        let mut expected = check(&before.script());
        expected.operations += operations(after);
        assert_eq!(check(input), expected);
    });
}

#[test]
fn one_flipped_byte_of_a_story() {
    let flipped = (mixed(FORM), any::<Index>(), 1..=u8::MAX);
    let input = |(story, at, bits): &(Story, Index, u8)| {
        let mut script = story.script();
        let at = at.index(script.len());
        script[at] ^= bits;
        script
    };
    STORIES.for_all(&flipped, input, |_, input| _ = check(input));
}

#[test]
fn arbitrary_bytes_as_actions() {
    // What somebody writes, and what driver and device do.
    let records = vec((7..=9_u8, number::bytes(0..=40)), 0..=40);
    let input = |records: &Vec<(u8, Vec<u8>)>| {
        let mut script = vec![VERSION];
        for (kind, body) in records {
            script.extend([*kind, u8::try_from(body.len()).expect("at most 40"), 0]);
            script.extend(body);
        }
        script
    };
    STORIES.for_all(&records, input, |_, input| _ = check(input));
}

/// Stories that are drawn to see what they reach.
const CASES: usize = 2000;

#[test]
fn stories_break_every_rule() {
    let stories = cases(mixed(FORM), CASES).map(|story| check(&story.script()));
    assert_reached(&rules(stories), &RULES);
}

#[test]
fn legal_stories_reach_every_state() {
    let (mut reached, mut operations) = (BTreeSet::new(), 0);
    for story in cases(legal(FORM), CASES) {
        let told = story.told();
        operations += told.operations;
        reached.extend(told.reached.into_iter().map(ToOwned::to_owned));
    }
    assert_reached(&reached, &Careful::states(FORM));
    assert!(operations > 10 * CASES, "{operations} operations");
}

/// Says which oracle speaks first of a device, and how many acts are left of the story.
fn caught_in<D: Device>() -> Option<(String, Vec<Act>)> {
    let check = |story: &Story| _ = check_script::<D>(&story.script());
    caught(&mixed(FORM), CASES, u32::MAX, check).map(|(oracle, story)| (oracle, story.acts))
}

macro_rules! caught {
    ($($fault:ident by $($oracle:literal)|+ in $acts:literal),* $(,)?) => {$(
        let name = stringify!($fault);
        let caught = caught_in::<BrokenDevice<PackedQueue, broken::$fault>>();
        let (oracle, acts) = caught.expect(name);
        assert!(matches!(&*oracle, $($oracle)|+), "{name}: {oracle}: {acts:?}");
        assert!(acts.len() <= $acts, "{name}: {acts:?}");
    )*};
}

#[test]
fn a_device_without_a_mistake_is_not_caught() {
    let caught = caught_in::<PackedQueue>();
    assert!(caught.is_none(), "{caught:?}");
}

/// Each mistake shows, and the story that shows it shrinks to a few acts.
#[test]
fn stories_catch_every_broken_device() {
    caught! {
        FetchesTwice by "model" | "budget" in 6,
        MindsUndefinedFlags by "model" in 10,
        LooksTooOften by "budget" in 6,
        WritesBehind by "guarded memory" | "ring ledger" in 6,
        KeepsBuffers by "ring ledger" | "model" in 6,
        UsesUp by "model" | "guarded memory" | "ring ledger" in 8,
        Loses by "model" in 8,
        CountsOneMore by "ring ledger" | "model" in 6,
        NeverCalls by "model" in 6,
        AlwaysCalls by "model" in 8,
        NeverArms by "model" | "ring ledger" | "guarded memory" in 6,
        ArmsBlindly by "model" in 6,
        Allocates by "budget" in 6,
        ShowsPrefixes by "model" in 6,
        MindsLongChains by "model" in 6,
        HidesTheBreak by "model" in 6,
        NeverYields by "model" in 6,
        IgnoresIndirectFeature by "model" in 6,
        IgnoresTableLimit by "model" in 6,
        IgnoresEventFeature by "model" | "ring ledger" | "guarded memory" in 8,
        IgnoresOrder by "model" in 6,
        TakesLegacy by "model" in 6,
        MindsMapping by "liveness" in 6,
    }
}

/// Every rule that a driver can break, and how a ring can be refused.
const RULES: [&str; 13] = [
    "PK-001", "PK-002", "PK-012", "PK-013", "PK-015", "PK-016", "PK-017", "PK-021", "PK-029",
    "PK-039", "PK-041", "VQ-005", "VQ-067",
];
