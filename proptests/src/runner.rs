//! Runs properties.
//!
//! `PROPTEST_CASES` sets how many cases a property sees; it is 256 without it. Nothing is written
//! when a property fails: the seeds that proptest can save die with the first change of a
//! strategy. Instead the minimal case is printed as a test to paste, with the command that keeps
//! its bytes as a regression, which every replay of the corpus runs from then on.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestError, TestRunner};

use vhost_fuzz_harness::report;

/// Steps of shrinking, unless `PROPTEST_MAX_SHRINK_ITERS` says otherwise. Proptest's own limit of
/// four times the number of cases leaves a long script half shrunk.
const SHRINK_STEPS: u32 = 100_000;

/// How properties are run.
#[must_use]
pub fn config() -> Config {
    // `default` reads the environment, and has `u32::MAX` where it depends on other fields.
    let config = Config { failure_persistence: None, ..Config::default() };
    Config { max_shrink_iters: config.max_shrink_iters.min(SHRINK_STEPS), ..config }
}

/// The properties of one target.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Name of the target.
    pub target: &'static str,
    /// How often a property sees the configured number of cases. What is drawn from 110 forms
    /// needs more cases than what does not, and is cheap.
    pub times: u32,
}

impl Suite {
    /// Checks a property of all values of a strategy. `input` gives the bytes of the target that
    /// a value stands for; the property gets both.
    ///
    /// A property calls the `check` of a target, not its `run`: that would print a test to paste
    /// for every step of shrinking.
    ///
    /// # Panics
    /// When the property panics: once more, on the smallest value that makes it, after that
    /// value and a test of its bytes were printed.
    pub fn for_all<S: Strategy>(
        self,
        strategy: &S,
        input: impl Fn(&S::Value) -> Vec<u8>,
        property: impl Fn(&S::Value, &[u8]),
    ) {
        let config = config();
        let cases = config.cases.saturating_mul(self.times);
        let result = TestRunner::new(Config { cases, ..config }).run(strategy, |case| {
            property(&case, &input(&case));
            Ok(())
        });
        match result {
            Ok(()) => {}
            Err(TestError::Abort(reason)) => panic!("no case could be drawn: {reason}"),
            Err(TestError::Fail(reason, case)) => {
                let bytes = input(&case);
                eprintln!("minimal case: {case:?}\n{}", report::test(self.target, &bytes));
                // Outside of proptest, so that the place of the panic and its backtrace are
                // printed.
                property(&case, &bytes);
                panic!("the same case passes when it is run again; it failed with: {reason}");
            }
        }
    }
}
