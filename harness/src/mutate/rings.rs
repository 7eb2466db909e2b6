//! Mutates a history of two rings step by step: what comes out has only steps that mean
//! something, and most of its requests go somewhere.

use super::{ByteMutator, is_bytes_turn, put, script};
use crate::equivalence::driver::{Features, Wish};
use crate::equivalence::lane::SIZE_MAX;
use crate::equivalence::plan::{BYTES_MAX, Request, Style};
use crate::script::Record;
use crate::target::ring_equivalence::{Setup, Step, steps};

/// Most requests of a batch that is drawn.
const BATCH_MAX: usize = 9;

/// Longest run of steps that is copied at once.
const RUN_MAX: usize = 12;

/// Changes `data[..size]` into another script of at most `max_size` bytes; returns its length.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: ByteMutator<'_>,
) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    if is_bytes_turn(&mut rng) {
        return bytes(data, size);
    }
    let mut history: Vec<_> = steps(&data[..size]).collect();
    for _ in 0..=rng.u8(..3) {
        Change::draw(&mut rng).apply(&mut history, &mut rng);
    }
    let records: Vec<Record<'_>> = history.iter().map(Step::record).collect();
    put(data, max_size, &script::fitting(&records, max_size))
}

/// One way to change a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// How the rings start.
    Setup,
    /// One more step.
    Step,
    /// Requests that go round, or part of the way.
    Round,
    /// Another number in a step.
    Number,
    /// A run of steps once more.
    Copy,
    /// A run of steps elsewhere.
    Move,
    /// One step less.
    Remove,
}

impl Change {
    /// As often as each is drawn.
    const DRAWN: [Self; 10] = [
        Self::Setup,
        Self::Step,
        Self::Step,
        Self::Round,
        Self::Round,
        Self::Number,
        Self::Number,
        Self::Copy,
        Self::Move,
        Self::Remove,
    ];

    fn draw(rng: &mut fastrand::Rng) -> Self {
        Self::DRAWN[rng.usize(..Self::DRAWN.len())]
    }

    fn apply(self, history: &mut Vec<Step>, rng: &mut fastrand::Rng) {
        match self {
            Self::Setup => match history.first_mut() {
                Some(Step::Start(setup)) => alter(setup, rng),
                _ => history.insert(0, Step::Start(setup(rng))),
            },
            Self::Step => {
                let at = place(history, rng);
                history.insert(at, step(rng));
            }
            Self::Round => {
                let at = place(history, rng);
                history.splice(at..at, round(rng));
            }
            Self::Number => {
                let Some(at) = any(history, rng) else { return };
                change(&mut history[at], rng);
            }
            Self::Copy => {
                let Some(from) = any(history, rng) else { return };
                let end = (from + 1 + rng.usize(..RUN_MAX)).min(history.len());
                let run = history[from..end].to_vec();
                let at = place(history, rng);
                history.splice(at..at, run);
            }
            Self::Move => {
                let Some(from) = any(history, rng) else { return };
                let end = (from + 1 + rng.usize(..RUN_MAX)).min(history.len());
                let run: Vec<_> = history.drain(from..end).collect();
                let at = place(history, rng);
                history.splice(at..at, run);
            }
            Self::Remove => {
                let Some(at) = any(history, rng) else { return };
                history.remove(at);
            }
        }
    }
}

/// The steps behind the one that starts the rings.
fn first(history: &[Step]) -> usize {
    usize::from(matches!(history.first(), Some(Step::Start(_))))
}

/// A step, but not the one that starts the rings.
fn any(history: &[Step], rng: &mut fastrand::Rng) -> Option<usize> {
    let first = first(history);
    (first < history.len()).then(|| rng.usize(first..history.len()))
}

/// Where a step may come in.
fn place(history: &[Step], rng: &mut fastrand::Rng) -> usize {
    rng.usize(first(history)..=history.len())
}

fn setup(rng: &mut fastrand::Rng) -> Setup {
    let mut setup = Setup::default();
    (0..4).for_each(|_| alter(&mut setup, rng));
    setup
}

fn alter(setup: &mut Setup, rng: &mut fastrand::Rng) {
    // Small rings are soon full, and soon gone round.
    let (most, bits) = if rng.bool() { (12, 4) } else { (SIZE_MAX, 9) };
    match rng.u8(..6) {
        0 => setup.split = 1 << rng.u8(..bits),
        1 => setup.packed = rng.u16(1..=most),
        2 => setup.at = 0_u16.wrapping_sub(rng.u16(..12)) ^ if rng.bool() { 0x8000 } else { 0 },
        3 => setup.at = rng.u16(..),
        _ => {
            let Features { event_idx, indirect, in_order } = &mut setup.features;
            let feature = match rng.u8(..3) {
                0 => event_idx,
                1 => indirect,
                _ => in_order,
            };
            *feature = !*feature;
        }
    }
}

fn len(rng: &mut fastrand::Rng) -> u16 {
    match rng.u8(..4) {
        0 => 0,
        1 => rng.u16(..4),
        _ => rng.u16(..=BYTES_MAX),
    }
}

fn request(rng: &mut fastrand::Rng) -> Request {
    // Half of the styles have one bit or none besides their pieces.
    let style = if rng.bool() { rng.u16(..0x40) | 1 << rng.u8(6..16) } else { rng.u16(..) };
    Request { readable: len(rng), writable: len(rng), style: Style(style) }
}

fn wish(rng: &mut fastrand::Rng) -> Wish {
    match rng.u8(..4) {
        0 => Wish::Always,
        1 => Wish::Never,
        2 => Wish::After(rng.u8(..8)),
        _ => Wish::After(rng.u8(..=253)),
    }
}

fn count(rng: &mut fastrand::Rng) -> usize {
    if rng.u8(..8) == 0 { rng.usize(1..=255) } else { rng.usize(1..=BATCH_MAX) }
}

fn step(rng: &mut fastrand::Rng) -> Step {
    match rng.u8(..14) {
        0 | 1 => Step::Request(request(rng)),
        2 => Step::Offer { count: count(rng) },
        3 => Step::Reap,
        4 | 5 => Step::Want(wish(rng)),
        6 => Step::Take { count: count(rng) },
        7 => Step::Complete { which: rng.usize(..16), len: len(rng) },
        8 => Step::Publish,
        9 => Step::Arm,
        10 => Step::Disarm,
        11 => Step::Restart,
        12 => Step::Batch { count: count(rng), len: len(rng) },
        _ => Step::Start(setup(rng)),
    }
}

/// Requests that are offered at once, and what becomes of them.
fn round(rng: &mut fastrand::Rng) -> Vec<Step> {
    let count = rng.usize(1..=BATCH_MAX);
    let request = request(rng);
    let mut round = vec![Step::Request(request); count];
    round.extend([Step::Offer { count }, Step::Take { count: count + rng.usize(..2) }]);
    for _ in 0..rng.usize(..=count) {
        round.push(match rng.u8(..4) {
            0 => Step::Batch { count: rng.usize(1..=count), len: len(rng) },
            _ => Step::Complete { which: rng.usize(..count), len: len(rng) },
        });
        if rng.bool() {
            round.push(Step::Publish);
        }
    }
    round.push(Step::Publish);
    round.extend([Step::Reap, Step::Arm].into_iter().filter(|_| rng.bool()));
    round
}

/// Draws a number of a step again; in a request it is one of three.
fn change(step: &mut Step, rng: &mut fastrand::Rng) {
    match step {
        Step::Start(setup) => alter(setup, rng),
        Step::Request(request) => match rng.u8(..4) {
            0 => request.readable = len(rng),
            1 => request.writable = len(rng),
            _ => request.style.0 ^= 1 << rng.u8(..16),
        },
        Step::Offer { count: number } | Step::Take { count: number } => *number = count(rng),
        Step::Want(old) => *old = wish(rng),
        Step::Complete { which, len: bytes } => {
            (*which, *bytes) = (rng.usize(..16), len(rng));
        }
        Step::Batch { count: number, len: bytes } => (*number, *bytes) = (count(rng), len(rng)),
        Step::Reap | Step::Publish | Step::Arm | Step::Disarm | Step::Restart => {
            *step = [Step::Reap, Step::Publish, Step::Arm, Step::Disarm][rng.usize(..4)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus;
    use crate::equivalence::device::Core;
    use crate::script::{decode, encode};
    use crate::target::ring_equivalence::check;
    use std::collections::BTreeSet;

    fn begun() -> Vec<Step> {
        let mut rng = fastrand::Rng::with_seed(5);
        [vec![Step::Start(Setup::default())], round(&mut rng), round(&mut rng)].concat()
    }

    #[test]
    fn every_change_is_drawn_and_makes_a_history() {
        let mut rng = fastrand::Rng::with_seed(1);
        let drawn: BTreeSet<_> =
            (0..300).map(|_| format!("{:?}", Change::draw(&mut rng))).collect();
        assert_eq!(drawn.len(), 7, "{drawn:?}");
        for change in Change::DRAWN {
            let before = begun();
            let mut differ = 0;
            for seed in 0..100 {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut history = before.clone();
                change.apply(&mut history, &mut rng);
                differ += usize::from(history != before);
                assert!(matches!(history[0], Step::Start(_)), "{change:?}");
                let records: Vec<_> = history.iter().map(Step::record).collect();
                let script = encode(&records);
                assert_eq!(decode(&script), records);
                assert_eq!(steps(&script).collect::<Vec<_>>(), history, "{change:?}");
                let mut none = Vec::new();
                change.apply(&mut none, &mut rng); // no history is one, too
            }
            assert!(differ > 50, "{change:?} changes {differ} of 100");
        }
    }

    #[test]
    fn every_step_is_drawn() {
        let mut rng = fastrand::Rng::with_seed(2);
        let name = |step: Step| format!("{step:?}").split([' ', '(']).next().map(str::to_owned);
        let drawn: BTreeSet<_> = (0..500).filter_map(|_| name(step(&mut rng))).collect();
        assert_eq!(drawn.len(), 12, "{drawn:?}");
    }

    #[test]
    fn children_fit_and_most_of_them_deliver() {
        let seeds = corpus::seeds("ring_equivalence").expect("a corpus");
        let (mut deliveries, mut children) = (0, 0);
        for (number, seed) in (0..).zip(&seeds) {
            for round in 0..4 {
                let mut data = seed.bytes.clone();
                data.resize(4096, 0);
                let seed_number = 4 * number + round;
                let len =
                    mutate(&mut data, seed.bytes.len(), 300, seed_number, &mut |_, size| size);
                assert!(len <= 300 || len == seed.bytes.len());
                deliveries += check::<Core>(&data[..len]).deliveries;
                children += 1;
            }
        }
        assert!(deliveries > 2 * children, "{deliveries} deliveries of {children} children");
    }
}
