//! Our split ring and that of the `virtio-queue` crate, given the same memory: the chains that are
//! taken, the data in them, the used ring, notifications and errors have to be the same, unless
//! [`divergences`](crate::peer::queue::divergences) allows the difference.
//!
//! The input is a [script]. [`steps`] tells what its records mean here:
//!
//! | Record | Meaning |
//! |---|---|
//! | guest write | the driver writes to memory |
//! | device action 0 | starts a ring: size (2), features (1), base (2), three addresses (8 each) |
//! | device action 1 | takes and reads chains: at most how many (1), bytes to write to each (2) |
//! | device action 2 | gives back: from which in flight on (1), how many (1), length (4) |
//! | device action 3 | asks for kicks |
//! | device action 4 | asks for no kicks |
//! | device action 5 | stops and starts again: 0 drained, 1 at the used index, 2 as it was (1) |
//! | driver action 0 | describes: first descriptor (2), descriptors (16 each) |
//! | driver action 1 | makes chains available: heads (2 each) |
//! | driver action 2 | asks for a notification: `used_event` (2) |
//! | driver action 3 | asks for notifications, or for none: flags of the available ring (2) |
//!
//! The addresses are those of the descriptor table, the available and the used ring. Without a
//! length, a buffer goes back with as many bytes as were written to it; after buffers went back,
//! both decide on a notification.
//!
//! Numbers are little-endian; those that are missing are 0. The bits of the features are in
//! [`feature`](crate::peer::queue::walk::feature). Actions of the driver are about the ring that
//! was started last, whether or not it runs. [`REGIONS`](crate::peer::queue::image::REGIONS) says
//! what there is of memory.

use std::borrow::Cow;
use std::cell::Cell;

use crate::draw;
use crate::peer::queue::device::{Core, Device};
use crate::peer::queue::image::Images;
use crate::peer::queue::judge::{Came, Judge};
use crate::peer::queue::walk::Start;
use crate::peer::queue::{Lockstep, Resume, Tally};
use crate::run::{self, Summary};
use crate::script::{self, Actor, Record};

/// Most steps of an input that are done.
const STEPS: usize = 400;

/// Runs one input through our ring and the peer's.
///
/// # Panics
/// When the oracle finds a difference that is not allowed.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static STAGE: Cell<Option<Box<Stage<Core>>>> = const { Cell::new(None) };
    }
    run::input("diff_virtio_queue", bytes, |bytes| {
        let mut stage = STAGE.take().unwrap_or_default();
        let tally = stage.check(bytes);
        let is_accepted = tally.chains > 0 && tally.shapes.is_empty();
        let messages = tally.operations;
        STAGE.set(Some(stage));
        Summary { is_accepted, messages }
    });
}

/// Both sides and their memory, kept from one input to the next.
#[derive(Debug)]
pub struct Stage<D> {
    sides: Lockstep<D>,
}

impl<D: Device> Default for Stage<D> {
    fn default() -> Self {
        Self { sides: Lockstep::new() }
    }
}

impl<D: Device> Stage<D> {
    /// Runs one input, from memory that is zero.
    ///
    /// # Panics
    /// When an oracle finds a fault.
    pub fn check(&mut self, bytes: &[u8]) -> &Tally {
        self.sides.clear();
        let drawn = draw::number(bytes);
        for step in steps(bytes).take(STEPS) {
            step.act(&mut self.sides);
            if self.sides.is_spent() {
                break;
            }
        }
        self.sides.finish();
        // Each costs as much as a short input.
        match drawn % 64 {
            0 => self.sides.settle(),
            1..=8 => self.sides.serve(),
            _ => {}
        }
        self.sides.tally()
    }

    /// Looks at all of memory, and serves a fresh ring: what [`check`](Self::check) does after
    /// some inputs only.
    ///
    /// # Panics
    /// When an oracle finds a fault.
    pub fn end(&mut self) {
        self.sides.settle();
        self.sides.serve();
    }

    /// What the last input came to.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        self.sides.tally()
    }

    /// Both sides.
    pub fn sides(&mut self) -> &mut Lockstep<D> {
        &mut self.sides
    }
}

/// What has to become of each step of an input, judged by the specification alone.
#[must_use]
pub fn judge(bytes: &[u8]) -> Vec<(Step<'_>, Vec<Came>)> {
    let mut judge = Judge::new();
    let mut all = Vec::new();
    for step in steps(bytes).take(STEPS) {
        let came = step.judge(&mut judge);
        all.push((step, came));
        if judge.is_spent() {
            break;
        }
    }
    all
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A ring starts.
    Start(Start),
    /// The driver writes to memory.
    Write {
        /// Guest address.
        address: u64,
        /// What it writes.
        bytes: Cow<'a, [u8]>,
    },
    /// The driver writes descriptors.
    Describe {
        /// Index of the first.
        index: u16,
        /// Their bytes.
        bytes: Cow<'a, [u8]>,
    },
    /// The driver makes chains available.
    Offer(Vec<u16>),
    /// The driver asks for a notification when this index is used.
    UsedEvent(u16),
    /// The driver sets the flags of the available ring.
    Flags(u16),
    /// The device takes chains.
    Take {
        /// At most so many.
        limit: usize,
        /// Bytes that it writes to each.
        fill: usize,
    },
    /// The device gives buffers back.
    Put {
        /// The first of them, of those in flight.
        at: usize,
        /// How many.
        count: usize,
        /// The length of each; otherwise what was written.
        len: Option<u32>,
    },
    /// The device asks for kicks.
    Arm,
    /// The device asks for no kicks.
    Disarm,
    /// The ring stops and starts again.
    Restart(Resume),
}

/// What the records of a script mean here.
pub fn steps(bytes: &[u8]) -> impl Iterator<Item = Step<'_>> {
    script::records(bytes).filter_map(|record| match record {
        Record::GuestWrite { address, bytes } => Some(Step::Write { address, bytes }),
        Record::Action { actor, operation, arguments } => action(actor, operation, arguments),
        _ => None,
    })
}

/// The number at the front of some bytes, which are taken off.
fn number<const N: usize>(bytes: &mut &[u8]) -> u64 {
    let (front, rest) = bytes.split_at(bytes.len().min(N));
    *bytes = rest;
    front.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn short(bytes: &mut &[u8]) -> u16 {
    u16::try_from(number::<2>(bytes)).unwrap_or(u16::MAX)
}

fn action(actor: Actor, operation: u8, arguments: Cow<'_, [u8]>) -> Option<Step<'_>> {
    if (actor, operation) == (Actor::Driver, 0) {
        return Some(describe(arguments));
    }
    let bytes = &mut &arguments[..];
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Some(match (actor, operation) {
        (Actor::Device, 0) => {
            let size = short(bytes);
            let features = u8::try_from(number::<1>(bytes)).unwrap_or(0);
            let base = short(bytes);
            let [descriptor, available, used] = [(); 3].map(|()| number::<8>(bytes));
            Step::Start(Start { size, features, descriptor, available, used, base })
        }
        (Actor::Device, 1) => {
            let limit = place(number::<1>(bytes));
            Step::Take { limit: if limit == 0 { 256 } else { limit }, fill: short(bytes).into() }
        }
        (Actor::Device, 2) => {
            let (at, count) = (place(number::<1>(bytes)), place(number::<1>(bytes)));
            let has_len = !bytes.is_empty();
            let len = u32::try_from(number::<4>(bytes)).ok().filter(|_| has_len);
            Step::Put { at, count, len }
        }
        (Actor::Device, 3) => Step::Arm,
        (Actor::Device, 4) => Step::Disarm,
        (Actor::Device, 5) => Step::Restart(match number::<1>(bytes) {
            1 => Resume::AtUsed,
            2 => Resume::Kept,
            _ => Resume::Drained,
        }),
        (Actor::Driver, 1) => {
            Step::Offer(bytes.chunks(2).map(|mut head| short(&mut head)).collect())
        }
        (Actor::Driver, 2) => Step::UsedEvent(short(bytes)),
        (Actor::Driver, 3) => Step::Flags(short(bytes)),
        _ => return None,
    })
}

fn describe(arguments: Cow<'_, [u8]>) -> Step<'_> {
    let index = short(&mut &arguments[..]);
    let bytes = match arguments {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(2..).unwrap_or_default()),
        Cow::Owned(bytes) => Cow::Owned(bytes.get(2..).unwrap_or_default().to_vec()),
    };
    Step::Describe { index, bytes }
}

impl Step<'_> {
    /// Does it on both sides.
    ///
    /// # Panics
    /// When an oracle finds a fault.
    pub fn act<D: Device>(&self, sides: &mut Lockstep<D>) {
        match self {
            Self::Start(start) => sides.start(start),
            Self::Take { limit, fill } => sides.take(*limit, *fill),
            Self::Put { at, count, len } => sides.put(*at, *count, *len),
            Self::Arm => sides.arm(),
            Self::Disarm => sides.disarm(),
            Self::Restart(resume) => sides.restart(*resume),
            driver => {
                let start = sides.known().start;
                driver.write(&start, sides.images_mut());
            }
        }
    }

    /// What has to become of it; nothing of what a driver does.
    pub fn judge(&self, judge: &mut Judge) -> Vec<Came> {
        match self {
            Self::Start(start) => vec![judge.start(start)],
            Self::Take { limit, fill } => judge.take(*limit, *fill),
            Self::Put { at, count, len } => judge.put(*at, *count, *len),
            Self::Arm => vec![judge.arm()],
            Self::Disarm => vec![judge.disarm()],
            Self::Restart(resume) => judge.restart(*resume),
            driver => {
                let start = judge.known().start;
                driver.write(&start, judge.images_mut());
                Vec::new()
            }
        }
    }

    /// What the driver of a ring writes.
    fn write(&self, start: &Start, images: &mut Images) {
        match self {
            Self::Write { address, bytes } => images.write(*address, bytes),
            Self::Describe { index, bytes } => {
                images.write(start.descriptor.wrapping_add(16 * u64::from(*index)), bytes);
            }
            Self::Offer(heads) => offer(images, start, heads),
            Self::UsedEvent(event) => images.write(start.used_event(), &event.to_le_bytes()),
            Self::Flags(flags) => images.write(start.available, &flags.to_le_bytes()),
            _ => {}
        }
    }
}

/// Writes heads behind those that are available, and moves the index.
fn offer(images: &mut Images, start: &Start, heads: &[u16]) {
    let at = start.available.wrapping_add(2);
    let mut index = images.ours.u16(at);
    for head in heads {
        images.write(start.entry(index), &head.to_le_bytes());
        index = index.wrapping_add(1);
    }
    images.write(at, &index.to_le_bytes());
}
