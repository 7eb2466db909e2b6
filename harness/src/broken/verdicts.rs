//! What the oracles say about a broken implementation on the committed corpus.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::corpus::{Seed, seeds};
use crate::report;

/// What an oracle said about one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Name of the seed.
    pub seed: String,
    /// The message of the panic; it begins with the name of the oracle.
    pub text: String,
}

/// Runs every seed of a target through `run`; returns what the oracles said.
///
/// Each seed has a thread of its own, because a panic leaves a count of allocations half open.
///
/// # Panics
/// When there is no such corpus.
#[must_use]
pub fn verdicts(target: &str, run: impl Fn(&[u8]) + Sync) -> Vec<Verdict> {
    let seeds = seeds(target).unwrap_or_else(|error| panic!("the corpus of {target}: {error}"));
    let of = |seed: Seed| {
        let run = || catch_unwind(AssertUnwindSafe(|| run(&seed.bytes)));
        let ended = std::thread::scope(|scope| scope.spawn(run).join());
        let panic = ended.and_then(|result| result).err()?;
        Some(Verdict { seed: seed.name, text: report::panic_text(&*panic) })
    };
    seeds.into_iter().filter_map(of).collect()
}

/// Demands that the named oracle spoke at least once.
///
/// # Panics
/// When it did not.
#[track_caller]
pub fn assert_spoke(verdicts: &[Verdict], oracle: &str) {
    let spoke = |verdict: &Verdict| verdict.text.starts_with(&format!("{oracle}: "));
    assert!(
        verdicts.iter().any(spoke),
        "the {oracle} oracle did not speak; {} verdicts, the first is {:?}",
        verdicts.len(),
        verdicts.first()
    );
}
