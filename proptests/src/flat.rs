//! Lists of lists that shrink element by element.
//!
//! A script is drawn in steps of several records each, because a message that is cut in pieces
//! is several records that belong together. A person who reads a failure wants the fewest
//! records, wherever they came from. So shrinking first drops and shrinks whole steps, and then
//! single records.

use std::fmt::Debug;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Joins the lists that `S` gives.
#[derive(Clone, Debug)]
pub struct Flat<S>(pub S);

impl<S, T> Strategy for Flat<S>
where
    S: Strategy<Value = Vec<Vec<T>>>,
    T: Clone + Debug,
{
    type Tree = FlatTree<S::Tree, T>;
    type Value = Vec<T>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        self.0.new_tree(runner).map(FlatTree::Steps)
    }
}

/// The tree of a [`Flat`].
#[derive(Clone, Debug)]
pub enum FlatTree<V, T> {
    /// Whole steps shrink.
    Steps(V),
    /// No step shrinks any more; single elements are dropped.
    Elements(Elements<T>),
}

/// Elements of which each is dropped in turn, and comes back when the failure needs it. Rounds
/// are made until one drops nothing: an element may be needed only as long as another is there.
#[derive(Clone, Debug)]
pub struct Elements<T> {
    kept: Vec<T>,
    /// The next element to drop; this round keeps those before it.
    next: usize,
    /// The element that was at `next`.
    dropped: Option<T>,
    /// Elements at the start of the round.
    round: usize,
}

impl<T> Elements<T> {
    fn new(kept: Vec<T>) -> Self {
        let round = kept.len();
        Self { kept, next: 0, dropped: None, round }
    }

    /// Drops the next element, the last one for good.
    fn simplify(&mut self) -> bool {
        if self.next == self.kept.len() && self.kept.len() < self.round {
            self.next = 0;
            self.round = self.kept.len();
        }
        let has_next = self.next < self.kept.len();
        self.dropped = has_next.then(|| self.kept.remove(self.next));
        has_next
    }

    /// Puts back what was dropped last.
    fn complicate(&mut self) -> bool {
        let Some(element) = self.dropped.take() else { return false };
        self.kept.insert(self.next, element);
        self.next += 1;
        true
    }
}

impl<V, T> ValueTree for FlatTree<V, T>
where
    V: ValueTree<Value = Vec<Vec<T>>>,
    T: Clone + Debug,
{
    type Value = Vec<T>;

    fn current(&self) -> Vec<T> {
        match self {
            Self::Steps(steps) => steps.current().concat(),
            Self::Elements(elements) => elements.kept.clone(),
        }
    }

    fn simplify(&mut self) -> bool {
        if let Self::Steps(steps) = self {
            if steps.simplify() {
                return true;
            }
            *self = Self::Elements(Elements::new(steps.current().concat()));
        }
        match self {
            Self::Steps(_) => false,
            Self::Elements(elements) => elements.simplify(),
        }
    }

    fn complicate(&mut self) -> bool {
        match self {
            Self::Steps(steps) => steps.complicate(),
            Self::Elements(elements) => elements.complicate(),
        }
    }
}
