//! One history on a split and on a packed ring: both have to end in the same deliveries.
//!
//! The input is a [script]. [`steps`] tells what its records mean here:
//!
//! | Record | Meaning |
//! |---|---|
//! | device action 0 | both rings start over: see [`Setup`] (7) |
//! | driver action 1 | the driver has a request: readable bytes (1), writable bytes (1), [`Style`] (2) |
//! | driver action 2 | it offers so many (1) of its requests in one batch, at least one, and kicks |
//! | driver action 3 | it looks what was used |
//! | driver action 4 | which calls it wants: 0 all, 1 none, others after so many less two (1) |
//! | device action 1 | the device takes at most so many (1) requests, at least one |
//! | device action 2 | it completes one: which (1) of those it has, bytes written (1) |
//! | device action 3 | it shows what it completed, and calls |
//! | device action 4 | it asks for kicks, and sleeps unless there is more to do |
//! | device action 5 | it asks for no kicks |
//! | device action 6 | it stops and starts, if it has no request and has shown all |
//! | device action 7 | it completes so many (1) of the oldest as one batch, bytes written (1) |
//!
//! Numbers are little-endian, and any number has a meaning: one that is too large is cut to what
//! there is. A batch ends before the second request that could be written to, and there is none
//! without `IN_ORDER`, which also decides which request is completed. The driver forgets a
//! request for which one of the rings has no room. When the rings start over or the script ends,
//! everything that was offered is taken, completed and heard of.

use std::cell::Cell;

use crate::equivalence::device::{Core, Device};
use crate::equivalence::driver::{Features, Wish};
use crate::equivalence::lane::SIZE_MAX;
use crate::equivalence::plan::{BYTES_MAX, Request, Style};
use crate::oracle::{self, equivalence::Rigs};
use crate::run::{self, Summary};
use crate::script::{self, Actor, Record};

pub use crate::oracle::equivalence::{Mark, Marks, Outcome};

/// Runs one input on rings of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static KEPT: Cell<Option<Rigs>> = const { Cell::new(None) };
    }
    run::input("ring_equivalence", bytes, |bytes| {
        // After a panic they are gone, and with them whatever state it left.
        let rigs = KEPT.take().unwrap_or_default();
        let (outcome, rigs) = oracle::equivalence::play::<Core>(rigs, steps(bytes));
        KEPT.set(Some(rigs));
        Summary { is_accepted: true, messages: outcome.steps }
    });
}

/// Runs one input with any device.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<D: Device>(bytes: &[u8]) -> Outcome {
    oracle::equivalence::play::<D>(Rigs::default(), steps(bytes)).0
}

/// How both rings start: 7 bytes.
///
/// | Offset | Size | Meaning |
/// |---|---|---|
/// | 0 | 2 | entries of the split ring, rounded down to a power of two |
/// | 2 | 2 | entries of the packed ring |
/// | 4 | 1 | bit 0: `EVENT_IDX`, bit 1: `INDIRECT_DESC`, bit 2: `IN_ORDER` |
/// | 5 | 2 | the split ring's indices; bit 15 and, modulo its size, the rest: the packed ring's position |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Entries of the split ring: a power of two, at most [`SIZE_MAX`].
    pub split: u16,
    /// Entries of the packed ring, 1 to [`SIZE_MAX`].
    pub packed: u16,
    /// What was negotiated.
    pub features: Features,
    /// Where the rings go on.
    pub at: u16,
}

impl Default for Setup {
    fn default() -> Self {
        let features = Features { event_idx: true, indirect: true, in_order: false };
        Self { split: 8, packed: 5, features, at: 0x8000 }
    }
}

impl Setup {
    /// The setup of these arguments.
    #[must_use]
    pub fn decode(arguments: [u8; 7]) -> Self {
        let [a, b, c, d, features, e, f] = arguments;
        let size = |bytes| u16::from_le_bytes(bytes).clamp(1, SIZE_MAX);
        let bit = |bit: u8| features >> bit & 1 == 1;
        Self {
            split: 1 << size([a, b]).ilog2(),
            packed: size([c, d]),
            features: Features { event_idx: bit(0), indirect: bit(1), in_order: bit(2) },
            at: u16::from_le_bytes([e, f]),
        }
    }

    /// Arguments of this setup.
    #[must_use]
    pub fn encode(&self) -> [u8; 7] {
        let Features { event_idx, indirect, in_order } = self.features;
        let features = u8::from(event_idx) | u8::from(indirect) << 1 | u8::from(in_order) << 2;
        let [[a, b], [c, d], [e, f]] = [self.split, self.packed, self.at].map(u16::to_le_bytes);
        [a, b, c, d, features, e, f]
    }

    /// Position of the packed ring: the slot, and in bit 15 the wrap counter.
    #[must_use]
    pub const fn packed_at(&self) -> u16 {
        (self.at & 0x8000) | (self.at % 0x8000 % self.packed)
    }
}

/// One thing that happens on both rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Both rings start over.
    Start(Setup),
    /// The driver has a request.
    Request(Request),
    /// The driver offers requests.
    Offer {
        /// How many, at least one.
        count: usize,
    },
    /// The driver looks what was used.
    Reap,
    /// The driver says which calls it wants.
    Want(Wish),
    /// The device takes requests.
    Take {
        /// Most of them, at least one.
        count: usize,
    },
    /// The device completes a request.
    Complete {
        /// Which of those that it has, modulo their number.
        which: usize,
        /// Bytes that it writes, if there is room.
        len: u16,
    },
    /// The device shows what it completed.
    Publish,
    /// The device asks for kicks.
    Arm,
    /// The device asks for no kicks.
    Disarm,
    /// The device stops and starts.
    Restart,
    /// The device completes the oldest requests at once.
    Batch {
        /// How many, at least one.
        count: usize,
        /// Bytes that it writes to the last, if there is room.
        len: u16,
    },
}

/// What the records of a script mean for two rings.
pub fn steps(bytes: &[u8]) -> impl Iterator<Item = Step> {
    script::records(bytes).filter_map(|record| match record {
        Record::Action { actor, operation, arguments } => action(actor, operation, &arguments),
        _ => None,
    })
}

fn action(actor: Actor, operation: u8, arguments: &[u8]) -> Option<Step> {
    let count = |count: u8| usize::from(count).max(1);
    Some(match (actor, operation, arguments) {
        (Actor::Device, 0, _) => Step::Start(Setup::decode(*arguments.first_chunk()?)),
        (Actor::Driver, 1, &[readable, writable, low, high, ..]) => Step::Request(Request {
            readable: u16::from(readable).min(BYTES_MAX),
            writable: u16::from(writable).min(BYTES_MAX),
            style: Style(u16::from_le_bytes([low, high])),
        }),
        (Actor::Driver, 2, &[number, ..]) => Step::Offer { count: count(number) },
        (Actor::Driver, 3, _) => Step::Reap,
        (Actor::Driver, 4, &[wish, ..]) => Step::Want(match wish {
            0 => Wish::Always,
            1 => Wish::Never,
            others => Wish::After(others - 2),
        }),
        (Actor::Device, 1, &[number, ..]) => Step::Take { count: count(number) },
        (Actor::Device, 2, &[which, len, ..]) => {
            Step::Complete { which: which.into(), len: len.into() }
        }
        (Actor::Device, 3, _) => Step::Publish,
        (Actor::Device, 4, _) => Step::Arm,
        (Actor::Device, 5, _) => Step::Disarm,
        (Actor::Device, 6, _) => Step::Restart,
        (Actor::Device, 7, &[number, len, ..]) => {
            Step::Batch { count: count(number), len: len.into() }
        }
        _ => return None,
    })
}

impl Step {
    /// A record that means this.
    #[must_use]
    pub fn record(&self) -> Record<'static> {
        let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        let short = |number: u16| byte(number.into());
        let (actor, operation, arguments) = match *self {
            Self::Start(setup) => (Actor::Device, 0, setup.encode().to_vec()),
            Self::Request(Request { readable, writable, style }) => {
                let [low, high] = style.0.to_le_bytes();
                (Actor::Driver, 1, vec![short(readable), short(writable), low, high])
            }
            Self::Offer { count } => (Actor::Driver, 2, vec![byte(count)]),
            Self::Reap => (Actor::Driver, 3, vec![]),
            Self::Want(wish) => {
                let wish = match wish {
                    Wish::Always => 0,
                    Wish::Never => 1,
                    Wish::After(count) => count.saturating_add(2),
                };
                (Actor::Driver, 4, vec![wish])
            }
            Self::Take { count } => (Actor::Device, 1, vec![byte(count)]),
            Self::Complete { which, len } => (Actor::Device, 2, vec![byte(which), short(len)]),
            Self::Publish => (Actor::Device, 3, vec![]),
            Self::Arm => (Actor::Device, 4, vec![]),
            Self::Disarm => (Actor::Device, 5, vec![]),
            Self::Restart => (Actor::Device, 6, vec![]),
            Self::Batch { count, len } => (Actor::Device, 7, vec![byte(count), short(len)]),
        };
        Record::Action { actor, operation, arguments: arguments.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_records_and_back() {
        let features = Features { event_idx: false, indirect: true, in_order: true };
        let request = Request { readable: 3, writable: 200, style: Style(0x1234) };
        let all = [
            Step::Start(Setup { split: 128, packed: 129, features, at: 0x1234 }),
            Step::Request(request),
            Step::Offer { count: 255 },
            Step::Reap,
            Step::Want(Wish::Always),
            Step::Want(Wish::Never),
            Step::Want(Wish::After(253)),
            Step::Take { count: 1 },
            Step::Complete { which: 2, len: 200 },
            Step::Publish,
            Step::Arm,
            Step::Disarm,
            Step::Restart,
            Step::Batch { count: 3, len: 0 },
        ];
        let records = all.map(|step| step.record());
        assert_eq!(steps(&script::encode(&records)).collect::<Vec<_>>(), all);
    }

    #[test]
    fn every_setup_is_legal() {
        let decode = |split: u16, packed: u16| {
            let [[a, b], [c, d]] = [split, packed].map(u16::to_le_bytes);
            let setup = Setup::decode([a, b, c, d, 0xff, 0x36, 0x92]);
            (setup.split, setup.packed, setup.packed_at())
        };
        assert_eq!(decode(0, 0), (1, 1, 0x8000));
        assert_eq!(decode(7, 5), (4, 5, 0x8002));
        assert_eq!(decode(u16::MAX, u16::MAX), (256, 256, 0x8036));
        assert_eq!(Setup::decode(Setup::default().encode()), Setup::default());
    }

    #[test]
    fn what_is_cut_off_is_no_step() {
        let record = |operation, arguments: &'static [u8]| {
            let actor = Actor::Driver;
            Record::Action { actor, operation, arguments: arguments.into() }
        };
        let script = script::encode(&[record(1, &[1, 2, 3]), record(2, &[]), record(9, &[1])]);
        assert_eq!(steps(&script).count(), 0);
    }

    #[test]
    fn an_input_without_steps_is_fine() {
        assert_eq!(check::<Core>(&[]).steps, 0);
    }
}
