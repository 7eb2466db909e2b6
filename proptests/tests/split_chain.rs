//! Properties of a single chain of a split ring.

use proptest::prelude::*;
use proptest::sample::Index;

use vhost_fuzz_core::ring::{Layout, SplitQueue};
use vhost_fuzz_harness::broken::ring::{self as broken, BrokenDevice};
use vhost_fuzz_harness::ring::target::check_image;
use vhost_fuzz_harness::ring::{Device, Outcome};

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::ring::descriptors::{Input, input};
use vhost_fuzz_proptests::ring::trial::{assert_reached, cases, caught, rules};
use vhost_fuzz_proptests::runner::Suite;

const CHAINS: Suite = Suite { target: "split_chain", times: 4 };

const FORM: Layout = Layout::Split;

fn check(input: &[u8]) -> Outcome {
    check_image::<SplitQueue>(input).expect("a header")
}

/// A chain is refused if something is wrong with its image, and not always then: what is wrong
/// may be in another chain.
#[test]
fn chains() {
    CHAINS.for_all(&input(FORM), Input::bytes, |input, bytes| {
        let outcome = check(bytes);
        assert!(outcome.broken.len() <= 1, "{outcome:?}");
        assert!(!input.is_legal() || outcome.broken.is_empty(), "{outcome:?}");
    });
}

/// Flags without a meaning have none (VQ-030), in the ring and in tables.
#[test]
fn undefined_flags_change_nothing() {
    const UNDEFINED: u16 = 0x7f78;
    let flagged = |(input, bits): &(Input, u16)| {
        let mut input = input.clone();
        let entries = input.image.tables.iter_mut().flat_map(|table| &mut table.entries);
        for descriptor in input.image.descriptors.iter_mut().chain(entries) {
            descriptor.flags ^= bits & UNDEFINED;
        }
        input
    };
    let bytes = |case: &(Input, u16)| flagged(case).bytes();
    CHAINS.for_all(&(input(FORM), number::u16()), bytes, |(input, _), bytes| {
        assert_eq!(check(bytes), check(&input.bytes()));
    });
}

/// The same memory with fewer bytes of it set.
#[test]
fn images_that_end_early() {
    let cut = |(input, at): &(Input, Index)| {
        let mut bytes = input.bytes();
        bytes.truncate(4 + at.index(bytes.len() - 3));
        bytes
    };
    CHAINS.for_all(&(input(FORM), any::<Index>()), cut, |_, bytes| _ = check(bytes));
}

#[test]
fn one_flipped_byte_of_an_image() {
    let flipped = |(input, at, bits): &(Input, Index, u8)| {
        let mut bytes = input.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        bytes
    };
    let cases = (input(FORM), any::<Index>(), 1..=u8::MAX);
    CHAINS.for_all(&cases, flipped, |_, bytes| _ = check(bytes));
}

#[test]
fn arbitrary_bytes_as_an_image() {
    CHAINS.for_all(&number::bytes(0..=600), Vec::clone, |_, bytes| {
        assert_eq!(check_image::<SplitQueue>(bytes).is_some(), bytes.len() >= 4);
    });
}

/// Images that are drawn to see what they reach.
const CASES: usize = 4000;

#[test]
fn images_break_every_rule_of_a_chain() {
    let outcomes: Vec<_> = cases(input(FORM), CASES).map(|input| check(&input.bytes())).collect();
    let refused = outcomes.iter().filter(|outcome| !outcome.broken.is_empty()).count();
    assert!((CASES / 8..CASES / 2).contains(&refused), "{refused} of {CASES} are refused");
    assert_reached(&rules(outcomes), &RULES);
}

/// Says which oracle speaks first of a device, and the image that is left.
fn caught_in<D: Device>() -> Option<(String, Input)> {
    // It is not asked how small the image gets.
    caught(&input(FORM), CASES, 0, |input| _ = check_image::<D>(&input.bytes()))
}

macro_rules! caught {
    ($($fault:ident by $($oracle:literal)|+),* $(,)?) => {$(
        let name = stringify!($fault);
        let caught = caught_in::<BrokenDevice<SplitQueue, broken::$fault>>();
        let (oracle, input) = caught.expect(name);
        assert!(matches!(&*oracle, $($oracle)|+), "{name}: {oracle}: {input:?}");
    )*};
}

#[test]
fn a_device_without_a_mistake_is_not_caught() {
    assert_eq!(caught_in::<SplitQueue>(), None);
}

#[test]
fn images_catch_devices_that_walk_wrongly() {
    caught! {
        FetchesTwice by "model" | "budget",
        MindsUndefinedFlags by "model",
        LooksTooOften by "budget",
        Allocates by "budget",
        ShowsPrefixes by "model",
        MindsLongChains by "model",
        IgnoresIndirectFeature by "model",
        IgnoresTableLimit by "model",
    }
}

/// Every rule that a chain of an image can break.
const RULES: [&str; 11] = [
    "VQ-012", "VQ-014", "VQ-015", "VQ-016", "VQ-017", "VQ-020", "VQ-021", "VQ-022", "VQ-023",
    "VQ-025", "VQ-026",
];
