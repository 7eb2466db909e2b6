//! Inputs of `ring_equivalence`: histories that come through every place where a ring can go
//! wrong, each on a split and on a packed ring.

mod notify;
mod shape;
mod turn;

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::equivalence::driver::{Features, Wish};
use vhost_fuzz_harness::equivalence::plan::{Request, Style};
use vhost_fuzz_harness::script;
use vhost_fuzz_harness::target::ring_equivalence::{Setup, Step};

// Bits of a style, and the pieces of each direction.
const INDIRECT: u16 = 1 << 6;
const MIXED: u16 = 2 << 6;
const SHUFFLED: u16 = 1 << 8;
const EMPTY: u16 = 1 << 9;
const BORDER: u16 = 1 << 10;
const LATE_TABLE: u16 = 1 << 11;
const BYTEWISE: u16 = 1 << 12;
const BACKWARDS: u16 = 1 << 13;
const NOISE: u16 = 1 << 14;

/// A style with so many readable and writable pieces, one to eight each.
const fn pieces(readable: u16, writable: u16) -> u16 {
    (readable - 1) | (writable - 1) << 3
}

// What can be negotiated.
const NOTHING: Features = Features { event_idx: false, indirect: false, in_order: false };
const EVENTS: Features = Features { event_idx: true, ..NOTHING };
const TABLES: Features = Features { indirect: true, ..NOTHING };
const ORDER: Features = Features { in_order: true, ..NOTHING };
const ALL: Features = Features { event_idx: true, indirect: true, in_order: true };

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [turn::seeds(), shape::seeds(), notify::seeds()].concat()
}

/// A history in the making.
#[derive(Clone)]
struct History(Vec<Step>);

impl History {
    /// Fresh rings.
    fn new(split: u16, packed: u16, features: Features) -> Self {
        Self::at(split, packed, features, 0)
    }

    /// Rings that go on somewhere: the indices of the split ring, and the slot of the packed one
    /// in its first lap when they are below 32,768, else in its second.
    fn at(split: u16, packed: u16, features: Features, index: u16) -> Self {
        let at = index ^ 0x8000;
        Self(vec![Step::Start(Setup { split, packed, features, at })])
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    fn request(self, readable: u16, writable: u16, style: u16) -> Self {
        self.then(Step::Request(Request { readable, writable, style: Style(style) }))
    }

    /// As many requests, offered in one batch.
    fn offer(self, count: usize, readable: u16, writable: u16, style: u16) -> Self {
        let requests = |history: Self, _| history.request(readable, writable, style);
        (0..count).fold(self, requests).then(Step::Offer { count })
    }

    fn want(self, wish: Wish) -> Self {
        self.then(Step::Want(wish))
    }

    fn take(self, count: usize) -> Self {
        self.then(Step::Take { count })
    }

    fn complete(self, which: usize, len: u16) -> Self {
        self.then(Step::Complete { which, len })
    }

    fn batch(self, count: usize, len: u16) -> Self {
        self.then(Step::Batch { count, len })
    }

    /// Completes as many requests, the oldest first, and tells of each.
    fn serve(self, count: usize, len: u16) -> Self {
        (0..count).fold(self, |history, _| history.complete(0, len).show())
    }

    fn show(self) -> Self {
        self.then(Step::Publish)
    }

    fn reap(self) -> Self {
        self.then(Step::Reap)
    }

    fn arm(self) -> Self {
        self.then(Step::Arm)
    }

    fn disarm(self) -> Self {
        self.then(Step::Disarm)
    }

    fn restart(self) -> Self {
        self.then(Step::Restart)
    }

    /// The same so many times.
    fn times(self, count: usize, turn: impl Fn(Self) -> Self) -> Self {
        (0..count).fold(self, |history, _| turn(history))
    }

    /// So many requests that go round together.
    fn round(self, count: usize, (readable, writable): (u16, u16), style: u16) -> Self {
        self.offer(count, readable, writable, style).take(count).serve(count, writable).reap()
    }

    /// The seed of this history.
    fn seed(self, name: &str, shows: &str) -> Seed {
        let records: Vec<_> = self.0.iter().map(Step::record).collect();
        super::seed(name, "accept", shows, script::encode(&records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::equivalence::device::Core;
    use vhost_fuzz_harness::target::ring_equivalence::{Mark, check, steps};

    #[test]
    fn seeds_come_through_every_place() {
        let seeds = seeds();
        assert!(seeds.len() >= 30);
        let outcomes: Vec<_> = seeds.iter().map(|seed| check::<Core>(&seed.bytes)).collect();
        for mark in Mark::ALL {
            let is_reached = outcomes.iter().any(|outcome| outcome.marks.has(*mark));
            assert!(is_reached, "no seed comes through {mark:?}");
        }
        for (seed, outcome) in seeds.iter().zip(&outcomes) {
            assert!(outcome.deliveries > 0, "{} delivers nothing", seed.name);
            assert_eq!(steps(&seed.bytes).count(), outcome.steps, "{}", seed.name);
        }
    }

    #[test]
    fn seeds_have_some_length() {
        let seeds = seeds();
        let steps: usize = seeds.iter().map(|seed| steps(&seed.bytes).count()).sum();
        assert!(steps / seeds.len() >= 16, "{} steps a seed", steps / seeds.len());
    }
}
