//! Memory of a back-end: the table, translation, the dirty log and where rings lie.
//!
//! The input is a [script]. [`steps`] tells what its records mean here:
//!
//! | Record | Meaning |
//! |---|---|
//! | message of the front-end | one whole request; one that is not about memory is skipped |
//! | descriptor | comes with the next request; a memfd has the size that the record says |
//! | close, reconnect | everything starts over, without features |
//! | device action 0 | everything starts over: features (8), protocol features (8), slots (1) |
//! | driver action 1 | finds a range: 0 user or 1 guest addresses (1), address (8), length (8) |
//! | driver action 2 | translates: permissions (1), I/O virtual address (8), length (8) |
//! | driver action 3 | logs a write to guest memory: address (8), length (8) |
//! | driver action 4 | places a ring: index (1) |
//! | driver action 5 | logs a write to a used ring: index (1), offset (8), length (8) |
//! | driver action 6 | logs a write through a descriptor: address (8), length (8) |
//!
//! Numbers are little-endian. A request without descriptor records has as many descriptors as a
//! front-end would attach.

use vhost_fuzz_model::{Id, memory as model};

use crate::memory::{Core, Memory};
use crate::oracle;
use crate::run::{self, Summary};
use crate::script::{self, Actor, FdKind, Record};
use vhost_fuzz_core::vhost_user::Kind;

/// Slots of a session that says nothing about them: one more than a message fills, so that
/// `ADD_MEM_REG` has room after it.
pub const SLOTS: usize = 9;

/// Most slots of a session.
pub const SLOTS_MAX: usize = 16;

/// Translations that the IOTLB holds; few, so that the oldest has to go now and then.
pub const TRANSLATIONS: usize = 4;

/// Runs one input through the memory of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("mem_table", bytes, |bytes| {
        let outcome = check::<Core>(bytes);
        Summary { is_accepted: outcome.broken.is_none(), messages: outcome.steps }
    });
}

/// Runs one input through any memory.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<M: Memory>(bytes: &[u8]) -> Outcome {
    oracle::memory::check::<M>(steps(bytes))
}

/// What became of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that were judged.
    pub steps: usize,
    /// The first rule that one of them breaks.
    pub broken: Option<Id>,
}

impl Outcome {
    /// Adds the verdict about one more step.
    pub fn add(&mut self, verdict: Result<(), Id>) {
        self.steps += 1;
        self.broken = self.broken.or(verdict.err());
    }
}

/// What the model says about an input, without the code under test.
#[must_use]
pub fn judge(bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut machine = Step::start(0, 0, SLOTS).machine();
    for step in steps(bytes) {
        if let Some(verdict) = step.judge(&mut machine) {
            outcome.add(verdict);
        }
    }
    outcome
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A session begins.
    Start {
        /// Negotiated virtio features.
        features: u64,
        /// Negotiated protocol features.
        protocol_features: u64,
        /// Most regions, at most [`SLOTS_MAX`].
        slots: usize,
    },
    /// The front-end sends a request about memory.
    Request {
        /// Header and payload.
        bytes: std::borrow::Cow<'a, [u8]>,
        /// The sizes of the files of its descriptors; `None` for one without records.
        files: Option<Vec<Option<u64>>>,
    },
    /// Where is a range of region addresses?
    Find {
        /// They are guest physical, not user addresses.
        is_guest: bool,
        /// The first.
        address: u64,
        /// Bytes.
        len: u64,
    },
    /// Where is a range of I/O virtual addresses?
    Translate {
        /// What is wanted, 1 to 3.
        permissions: u8,
        /// The first.
        iova: u64,
        /// Bytes.
        len: u64,
    },
    /// Guest memory was written to.
    Mark {
        /// The first guest physical address.
        address: u64,
        /// Bytes.
        len: u64,
    },
    /// Where is a ring?
    Place {
        /// Its index.
        ring: usize,
    },
    /// A used ring was written to.
    MarkUsed {
        /// Its index.
        ring: usize,
        /// Offset in the used ring.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// A descriptor's buffer was written to.
    Write {
        /// The descriptor's address.
        address: u64,
        /// Bytes.
        len: u64,
    },
}

impl Step<'_> {
    const fn start(features: u64, protocol_features: u64, slots: usize) -> Self {
        Self::Start { features, protocol_features, slots }
    }

    /// A model of the session that this step begins; without a beginning, one of the defaults.
    #[must_use]
    pub fn machine(&self) -> model::Machine {
        let (features, protocol_features, slots) = match *self {
            Self::Start { features, protocol_features, slots } => {
                (features, protocol_features, slots)
            }
            _ => (0, 0, SLOTS),
        };
        model::Machine::new(features, protocol_features, slots, TRANSLATIONS)
    }

    /// What the model says; `None` when the step is about a ring that there is not.
    pub fn judge(&self, machine: &mut model::Machine) -> Option<Result<(), Id>> {
        let id = |refusal: model::Refusal| refusal.id;
        Some(match self {
            Self::Start { .. } => {
                *machine = self.machine();
                Ok(())
            }
            Self::Request { bytes, files } => {
                machine.message(bytes, &attached(machine, bytes, files.as_deref()))
            }
            Self::Find { is_guest, address, len } => {
                let space = if *is_guest { model::Space::Guest } else { model::Space::User };
                machine.pieces(space, *address, *len).map(drop).map_err(id)
            }
            Self::Translate { permissions, iova, len } => {
                let space = model::Space::Iova(*permissions);
                machine.pieces(space, *iova, *len).map(drop).map_err(id)
            }
            Self::Mark { address, len } => {
                machine.mark(*address, *len);
                Ok(())
            }
            Self::Place { ring } => machine.place(*ring)?.map(drop).map_err(id),
            Self::MarkUsed { ring, offset, len } => {
                machine.write_used(*ring, *offset, *len)?.map_err(id)
            }
            Self::Write { address, len } => machine.write(*address, *len).map_err(id),
        })
    }
}

/// The files of the descriptors of a request: those that the script says, or as many as a
/// front-end attaches.
#[must_use]
pub fn attached(
    machine: &model::Machine,
    bytes: &[u8],
    files: Option<&[Option<u64>]>,
) -> Vec<Option<u64>> {
    files.map_or_else(
        || {
            let context = machine.context();
            vec![None; vhost_fuzz_model::vhost_user::message::natural_fds(context, bytes)]
        },
        <[_]>::to_vec,
    )
}

/// What the records of a script mean for memory.
pub fn steps(bytes: &[u8]) -> impl Iterator<Item = Step<'_>> {
    let mut files: Option<Vec<Option<u64>>> = None;
    script::records(bytes).filter_map(move |record| match record {
        Record::Fd { kind, size, .. } => {
            files.get_or_insert_default().push((kind == FdKind::MEMFD).then_some(size));
            None
        }
        Record::Message { kind: Kind::FRONTEND_REQUEST, bytes } => {
            let files = files.take();
            let code = bytes.first_chunk().map(|code| u32::from_ne_bytes(*code));
            code.is_some_and(|code| model::is_about_memory(code.into()))
                .then_some(Step::Request { bytes, files })
        }
        Record::Close | Record::Reconnect => {
            files = None;
            Some(Step::start(0, 0, SLOTS))
        }
        Record::Action { actor, operation, arguments } => {
            action(actor, operation, Arguments(&arguments))
        }
        _ => None,
    })
}

/// The numbers of an action, from its front.
struct Arguments<'a>(&'a [u8]);

impl Arguments<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn long(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }
}

fn action(actor: Actor, operation: u8, mut arguments: Arguments<'_>) -> Option<Step<'static>> {
    let args = &mut arguments;
    Some(match (actor, operation) {
        (Actor::Device, 0) => {
            let (features, protocol_features) = (args.long()?, args.long()?);
            let slots = args.byte().map_or(SLOTS, |slots| usize::from(slots).min(SLOTS_MAX));
            Step::start(features, protocol_features, slots)
        }
        (Actor::Driver, 1) => {
            Step::Find { is_guest: args.byte()? & 1 == 1, address: args.long()?, len: args.long()? }
        }
        (Actor::Driver, 2) => Step::Translate {
            permissions: args.byte()?.clamp(1, 3),
            iova: args.long()?,
            len: args.long()?,
        },
        (Actor::Driver, 3) => Step::Mark { address: args.long()?, len: args.long()? },
        (Actor::Driver, 4) => Step::Place { ring: args.byte()?.into() },
        (Actor::Driver, 5) => {
            Step::MarkUsed { ring: args.byte()?.into(), offset: args.long()?, len: args.long()? }
        }
        (Actor::Driver, 6) => Step::Write { address: args.long()?, len: args.long()? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(operation: u8, arguments: &[u8]) -> Record<'_> {
        Record::Action { actor: Actor::Driver, operation, arguments: arguments.into() }
    }

    #[test]
    fn records_are_steps() {
        let numbers = [1_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat();
        let device = Record::Action {
            actor: Actor::Device,
            operation: 0,
            arguments: [&numbers[..], &[99]].concat().into(),
        };
        let with_byte = [&[7][..], &numbers].concat();
        let request = [5_u32, 1, 0].map(u32::to_ne_bytes).concat();
        let message =
            Record::Message { kind: Kind::FRONTEND_REQUEST, bytes: request.clone().into() };
        let other = Record::Message { kind: Kind::BACKEND_REPLY, bytes: request.clone().into() };
        let script = script::encode(&[
            device,
            Record::Fd { kind: FdKind::MEMFD, seals: 0, size: 5 },
            Record::Fd { kind: FdKind::PIPE, seals: 0, size: 5 },
            message.clone(),
            other,
            message,
            driver(1, &with_byte),
            driver(2, &with_byte),
            driver(3, &numbers),
            driver(4, &[3]),
            driver(5, &with_byte),
            driver(6, &numbers),
            driver(6, &[1]),
            driver(99, &numbers),
            Record::Close,
        ]);
        let files = Some(vec![Some(5), None]);
        assert_eq!(
            steps(&script).collect::<Vec<_>>(),
            [
                Step::start(1, 2, SLOTS_MAX),
                Step::Request { bytes: request.clone().into(), files },
                Step::Request { bytes: request.into(), files: None },
                Step::Find { is_guest: true, address: 1, len: 2 },
                Step::Translate { permissions: 3, iova: 1, len: 2 },
                Step::Mark { address: 1, len: 2 },
                Step::Place { ring: 3 },
                Step::MarkUsed { ring: 7, offset: 1, len: 2 },
                Step::Write { address: 1, len: 2 },
                Step::start(0, 0, SLOTS),
            ]
        );
    }

    #[test]
    fn model_and_code_agree_on_how_an_input_ends() {
        let find = [&[0][..], &[0; 16]].concat();
        let script = script::encode(&[driver(4, &[0]), driver(1, &find)]);
        let expected = Outcome { steps: 1, broken: Some(Id::Vu(144)) };
        assert_eq!((judge(&script), check::<Core>(&script)), (expected, expected));
    }
}
