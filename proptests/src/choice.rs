//! One of many strategies.
//!
//! Proptest's own union walks from the strategy that was drawn to the first one step by step,
//! shrinks what it meets on the way, and stops where a step passes. With 110 strategies a
//! failure of any message ends somewhere in the middle. This one asks for the first, then the
//! second and so on, until one fails, and shrinks only that.

use std::fmt::Debug;
use std::sync::Arc;

use proptest::strategy::{BoxedStrategy, NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Draws from one of the strategies, the more often the greater its weight. Shrinks to the
/// earliest that gives a value that fails.
#[derive(Debug)]
pub struct Choice<T: Debug> {
    options: Options<T>,
}

/// Strategies with their weights.
type Options<T> = Arc<[(u32, BoxedStrategy<T>)]>;

impl<T: Debug> Clone for Choice<T> {
    fn clone(&self) -> Self {
        Self { options: Arc::clone(&self.options) }
    }
}

impl<T: Debug> Choice<T> {
    /// A choice of `options` with their weights, the simplest first.
    ///
    /// # Panics
    /// When there is no option with a weight.
    pub fn new(options: impl IntoIterator<Item = (u32, BoxedStrategy<T>)>) -> Self {
        let options: Options<T> = options.into_iter().collect();
        assert!(options.iter().any(|(weight, _)| *weight > 0), "there is nothing to choose from");
        Self { options }
    }

    /// The option at a number below the sum of all weights.
    fn at(&self, mut number: u32) -> usize {
        let weights = self.options.iter().map(|(weight, _)| *weight);
        let is_here = |weight: u32| match number.checked_sub(weight) {
            None => true,
            Some(rest) => {
                number = rest;
                false
            }
        };
        weights.map(is_here).position(|is_here| is_here).unwrap_or(0)
    }
}

impl<T: Debug> Strategy for Choice<T> {
    type Tree = ChoiceTree<T>;
    type Value = T;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let sum = self.options.iter().map(|(weight, _)| *weight).sum::<u32>();
        let drawn = self.at((0..sum).new_tree(runner)?.current());
        let current = self.options[drawn].1.new_tree(runner)?;
        let runner = TestRunner::new_with_rng(runner.config().clone(), runner.new_rng());
        let options = Arc::clone(&self.options);
        Ok(ChoiceTree { options, runner, current, earlier: 0..drawn, before: None })
    }
}

type Tree<T> = Box<dyn ValueTree<Value = T>>;

/// The tree of a [`Choice`].
pub struct ChoiceTree<T: Debug> {
    options: Options<T>,
    /// Draws from earlier options.
    runner: TestRunner,
    current: Tree<T>,
    /// Options that were not asked yet.
    earlier: std::ops::Range<usize>,
    /// What `current` was before an earlier option was asked.
    before: Option<Tree<T>>,
}

impl<T: Debug> Debug for ChoiceTree<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChoiceTree")
            .field("current", &self.current.current())
            .field("earlier", &self.earlier)
            .finish_non_exhaustive()
    }
}

impl<T: Debug> ValueTree for ChoiceTree<T> {
    type Value = T;

    fn current(&self) -> T {
        self.current.current()
    }

    fn simplify(&mut self) -> bool {
        if self.before.take().is_some() {
            // The earlier option fails too, so it is the earliest.
            self.earlier = 0..0;
        }
        for option in self.earlier.by_ref() {
            if let Ok(tree) = self.options[option].1.new_tree(&mut self.runner) {
                self.before = Some(std::mem::replace(&mut self.current, tree));
                return true;
            }
        }
        self.current.simplify()
    }

    fn complicate(&mut self) -> bool {
        match self.before.take() {
            Some(before) => {
                self.current = before;
                true
            }
            None => self.current.complicate(),
        }
    }
}
