//! Draws a fixed number of cases from a fixed seed, to say what a strategy reaches and what it
//! catches.

use std::collections::BTreeSet;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestError, TestRng, TestRunner};

use vhost_fuzz_harness::ring::Outcome;

use crate::runner::config;

fn runner(config: Config) -> TestRunner {
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
}

/// The first cases of a strategy, the same in every run.
///
/// # Panics
/// When no case can be drawn.
pub fn cases<S: Strategy>(strategy: S, count: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = runner(config());
    std::iter::repeat_with(move || {
        strategy.new_tree(&mut runner).expect("every case can be drawn").current()
    })
    .take(count)
}

/// What the oracle says that speaks first, up to its colon, and the smallest case of which it, or
/// another one, speaks, as far as that many `steps` of shrinking find it.
///
/// # Panics
/// When no case can be drawn.
pub fn caught<S: Strategy>(
    strategy: &S,
    count: usize,
    steps: u32,
    check: impl Fn(&S::Value),
) -> Option<(String, S::Value)> {
    let config = config();
    let max_shrink_iters = config.max_shrink_iters.min(steps);
    let mut runner = runner(Config { max_shrink_iters, ..config });
    (0..count).find_map(|_| {
        let case = strategy.new_tree(&mut runner).expect("every case can be drawn");
        let result = runner.run_one(case, |case| {
            check(&case);
            Ok(())
        });
        let Err(TestError::Fail(reason, case)) = result else { return None };
        let (oracle, _) = reason.message().split_once(':')?;
        Some((oracle.to_owned(), case))
    })
}

/// The rules that outcomes broke.
#[must_use]
pub fn rules(outcomes: impl IntoIterator<Item = Outcome>) -> BTreeSet<String> {
    outcomes.into_iter().flat_map(|outcome| outcome.broken).map(|rule| rule.to_string()).collect()
}

/// Demands that all of these were reached.
///
/// # Panics
/// When one was not.
#[track_caller]
pub fn assert_reached(reached: &BTreeSet<String>, wanted: &[&str]) {
    let missed: Vec<_> = wanted.iter().filter(|wanted| !reached.contains(**wanted)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}; reached: {reached:?}");
}
