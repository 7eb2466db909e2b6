//! Every seed does what it is there for, with the code under test too.

use std::panic::catch_unwind;

use vhost_fuzz_core::ring::{PackedQueue, SplitQueue};
use vhost_fuzz_harness::ring::target::{check_image, check_script};

use super::*;
use crate::corpus::judge::{RingAnswer as Answer, Rings, judge};
use vhost_fuzz_harness::ring::step::steps;
use vhost_fuzz_model::ring::PutRefusal;

/// What is wrong with seeds, a line each.
fn problems(target: &str, seeds: &[Seed], broken: fn(&[u8]) -> Vec<String>) -> Vec<String> {
    let problem = |seed: &Seed| {
        let expected = match seed.entry.expect.as_str() {
            OK => None,
            rule => Some(rule.to_owned()),
        };
        let judged = judge(target, &seed.bytes).expect("a model").verdict;
        if judged != seed.entry.expect {
            return Some(format!("{}: {judged}, not {}", seed.name, seed.entry.expect));
        }
        match catch_unwind(|| broken(&seed.bytes)) {
            Err(_) => Some(format!("{}: it panics", seed.name)),
            Ok(broken) if broken.first() != expected.as_ref() => {
                Some(format!("{}: broken {broken:?}, not {expected:?}", seed.name))
            }
            Ok(_) => None,
        }
    };
    seeds.iter().filter_map(problem).collect()
}

fn texts(broken: &[vhost_fuzz_model::Id]) -> Vec<String> {
    broken.iter().map(ToString::to_string).collect()
}

#[test]
fn every_script_comes_out_as_it_says() {
    let split = problems("split_ring", &scripts(Form::Split), |bytes| {
        texts(&check_script::<SplitQueue>(bytes).broken)
    });
    let packed = problems("packed_ring", &scripts(Form::Packed), |bytes| {
        texts(&check_script::<PackedQueue>(bytes).broken)
    });
    let problems = [split, packed].concat();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_image_comes_out_as_it_says() {
    let split = problems("split_chain", &images(Form::Split), |bytes| {
        texts(&check_image::<SplitQueue>(bytes).expect("a header").broken)
    });
    let packed = problems("packed_chain", &images(Form::Packed), |bytes| {
        texts(&check_image::<PackedQueue>(bytes).expect("a header").broken)
    });
    let problems = [split, packed].concat();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Everything that the model answers to the script of this name.
fn answers(form: Form, name: &str) -> Vec<Answer> {
    let seeds = scripts(form);
    let seed = seeds.iter().find(|seed| seed.name == name);
    let seed = seed.unwrap_or_else(|| panic!("{form:?}: there is no seed {name}"));
    let mut rings = Rings::new(form);
    steps(&seed.bytes).flat_map(|step| rings.step(&step)).collect()
}

/// What a script is there for, where no broken rule tells.
#[test]
fn scripts_come_to_what_they_are_there_for() {
    type Is = fn(&Answer) -> bool;
    let kept_long: Is = |it| matches!(it, Answer::Kept(PutRefusal::TooLong { len: 17, .. }));
    let kept_writable: Is = |it| matches!(it, Answer::Kept(PutRefusal::LengthNotImplied { .. }));
    let whole: Is = |it| matches!(it, Answer::Taken(token, _) if token.slots == 5);
    let in_regions: Is = |it| matches!(it, Answer::Taken(_, chain) if chain.elements.len() == 3);
    let same: Is = |it| matches!(it, Answer::Taken(token, _) if token.id == 5);
    let called: Is = |it| *it == Answer::Call(true);
    let not_called: Is = |it| *it == Answer::Call(false);
    let both: &[(&str, Is, usize)] = &[
        ("hz-8-02-refill", |it| *it == Answer::Yield, 1),
        ("hz-8-02-refill-of-one", |it| *it == Answer::Yield, 1),
        ("hz-8-08-cut-after-8", in_regions, 1),
        ("hz-8-08-cut-after-17", in_regions, 1),
        ("vq-039-one-byte-too-many", kept_long, 1),
        ("vq-056-out-of-order", |it| *it == Answer::Kept(PutRefusal::OutOfOrder), 3),
        ("dc-089-newest-first", |it| *it == Answer::Untaken, 4),
        ("dc-089-not-the-newest", |it| *it == Answer::Kept(PutRefusal::NotNewest), 3),
        ("dc-089-yield", |it| *it == Answer::Yield, 3),
        ("vq-058-batch", |it| *it == Answer::Given(4), 1),
        ("vq-056-malformed-in-batch", |it| *it == Answer::Given(4), 1),
        ("batch-of-the-whole-ring", |it| *it == Answer::Given(8), 1),
        ("vq-059-writable-in-the-middle", |it| *it == Answer::Given(2), 1),
        ("vq-059-writable-first", kept_writable, 1),
        ("batch-not-negotiated", |it| *it == Answer::Kept(PutRefusal::NoBatch), 2),
        ("vq-048-more-while-arming", |it| *it == Answer::More(true), 2),
        ("vq-050-first-call", called, 3),
        ("vq-050-first-call", not_called, 1),
        ("calls-by-flag", called, 2),
        ("calls-by-flag", not_called, 3),
        ("vq-047-spurious-kicks", |it| *it == Answer::Empty, 4),
        ("hz-8-17-whole-ring", |it| matches!(it, Answer::Dropped(..)), 8),
    ];
    let split: &[(&str, Is, usize)] =
        &[("event-idx", called, 6), ("event-idx-wraps", called, 6), ("event-idx-half", called, 6)];
    let packed: &[(&str, Is, usize)] = &[
        ("laps-of-5", whole, 2),
        ("pk-023-same-id", same, 3),
        ("event-slot-over-the-end", called, 5),
        ("event-slot-over-the-end", not_called, 1),
        ("event-slot-second-wrap", called, 3),
    ];
    let mut problems = vec![];
    for (form, own) in [(Form::Split, split), (Form::Packed, packed)] {
        for (name, is, count) in both.iter().chain(own) {
            let answers = answers(form, name);
            let found = answers.iter().filter(|answer| is(answer)).count();
            if found != *count {
                problems.push(format!("{form:?} {name}: {found}, not {count}: {answers:?}"));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Most of what is done is work that comes to something.
#[test]
fn scripts_are_long_and_mostly_useful() {
    for form in [Form::Split, Form::Packed] {
        let seeds = scripts(form);
        let (mut operations, mut served) = (0, 0);
        for seed in &seeds {
            let mut rings = Rings::new(form);
            let answers: Vec<_> = steps(&seed.bytes).flat_map(|step| rings.step(&step)).collect();
            operations += rings.operations;
            let is_served = |answer: &&Answer| matches!(answer, Answer::Taken(..));
            served += answers.iter().filter(is_served).count();
        }
        assert!(operations >= 16 * seeds.len(), "{form:?}: {operations} in {}", seeds.len());
        assert!(served >= 4 * seeds.len(), "{form:?}: {served} chains in {}", seeds.len());
    }
}
