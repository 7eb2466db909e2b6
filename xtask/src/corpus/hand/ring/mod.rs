//! Inputs of the ring targets: a script or an image for each way in which a ring or a chain is
//! refused, for the borders of what is not, and for each hostile input of spec/virtio.md §8 that
//! is about rings (`hz-8-NN-…`).

mod events;
mod life;
mod places;
mod recorded;
mod shape;
mod start;
mod stop;
#[cfg(test)]
mod tests;
mod used;

use vhost_fuzz_core::ring::{Layout as Form, flag};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ring::step::{Descriptor, Start, Step};
use vhost_fuzz_harness::script;

const OK: &str = "accept";

/// Seeds of `split_ring` or `packed_ring`.
pub(super) fn scripts(form: Form) -> Vec<Seed> {
    [
        shape::scripts(form),
        start::seeds(form),
        stop::seeds(form),
        used::seeds(form),
        events::seeds(form),
        life::seeds(form),
        places::seeds(form),
        recorded::seeds(form),
    ]
    .concat()
}

/// Seeds of `split_chain` or `packed_chain`.
pub(super) fn images(form: Form) -> Vec<Seed> {
    shape::images(form)
}

/// The base of a new ring.
const fn fresh(form: Form) -> u32 {
    match form {
        Form::Split => 0,
        Form::Packed => 0x8000_8000,
    }
}

/// A buffer that the device reads.
const fn readable(address: u64, len: u32) -> Descriptor {
    Descriptor { address, len, flags: 0 }
}

/// A buffer that the device writes.
const fn writable(address: u64, len: u32) -> Descriptor {
    Descriptor { address, len, flags: flag::WRITE }
}

/// A chain of these descriptors: all but the last one are followed by another.
fn linked(descriptors: &[Descriptor]) -> Vec<Descriptor> {
    let mut linked = descriptors.to_vec();
    if let Some((_, others)) = linked.split_last_mut() {
        others.iter_mut().for_each(|descriptor| descriptor.flags |= flag::NEXT);
    }
    linked
}

/// A script in the making.
#[derive(Clone)]
struct Script {
    start: Start,
    steps: Vec<Step<'static>>,
}

/// What comes out in a ring of this form.
const fn pick<T: Copy>(form: Form, split: T, packed: T) -> T {
    match form {
        Form::Split => split,
        Form::Packed => packed,
    }
}

impl Script {
    /// A ring of so many entries with event index and indirect tables.
    fn new(form: Form, size: u16) -> Self {
        Self::start(Start::of(size, fresh(form)))
    }

    /// A ring of so many entries with these features.
    fn with(form: Form, size: u16, features: u8) -> Self {
        Self::start(Start { features, ..Start::of(size, fresh(form)) })
    }

    /// A script that starts a ring.
    fn start(start: Start) -> Self {
        Self { start, steps: vec![Step::Start(start)] }
    }

    /// The same with another step.
    fn then(mut self, step: Step<'static>) -> Self {
        self.steps.push(step);
        self
    }

    fn poke(self, address: u64, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return self;
        }
        self.then(Step::Poke { address, bytes: bytes.to_vec().into() })
    }

    fn wake(self) -> Self {
        self.then(Step::Wake)
    }

    fn pop(self, count: u8) -> Self {
        self.then(Step::Pop { count })
    }

    fn unpop(self, which: u8) -> Self {
        self.then(Step::Unpop { which })
    }

    fn put(self, which: u8, len: u32) -> Self {
        self.then(Step::Put { which, len })
    }

    fn publish(self) -> Self {
        self.then(Step::Publish)
    }

    fn arm(self) -> Self {
        self.then(Step::Arm)
    }

    fn disarm(self) -> Self {
        self.then(Step::Disarm)
    }

    fn batch(self, count: u8, len: u32) -> Self {
        self.then(Step::Batch { count, len })
    }

    fn wish(self, flags: u16, event: u16) -> Self {
        self.then(Step::Wish { flags, event })
    }

    fn advance(self, by: u16) -> Self {
        self.then(Step::Advance { by })
    }

    fn memory(self, regions: u8) -> Self {
        self.then(Step::Memory { regions })
    }

    /// Goes on where it was.
    fn resume(self) -> Self {
        self.then(Step::Restart { is_fresh: false })
    }

    /// Begins from the beginning.
    fn reset(self) -> Self {
        self.then(Step::Restart { is_fresh: true })
    }

    /// Starts another ring.
    fn ring(self, start: Start) -> Self {
        Self { start, ..self }.then(Step::Start(start))
    }

    fn table(self, address: u64, descriptors: &[Descriptor]) -> Self {
        let descriptors = linked(descriptors).into_iter().collect();
        self.then(Step::Table { address, descriptors })
    }

    fn read(self, border: u16, len: u8) -> Self {
        self.then(Step::Read { border, len })
    }

    fn write(self, len: u8) -> Self {
        self.then(Step::Write { len })
    }

    /// A chain of descriptors as they are.
    fn chain(self, id: u16, descriptors: &[Descriptor]) -> Self {
        let descriptors = descriptors.iter().copied().collect();
        self.then(Step::Chain { id, descriptors })
    }

    /// A good chain of two descriptors, or of one when the ring has no more.
    fn good(self, id: u16) -> Self {
        let at = self.buffer(id);
        let pair = linked(&[readable(at, 24), writable(at + 24, 16)]);
        let pair = if self.start.size < 2 { vec![writable(at, 16)] } else { pair };
        self.chain(id, &pair)
    }

    /// A chain of one readable descriptor.
    fn quiet(self, id: u16) -> Self {
        let at = self.buffer(id);
        self.chain(id, &[readable(at, 20)])
    }

    /// A chain of one writable descriptor.
    fn loud(self, id: u16) -> Self {
        let at = self.buffer(id);
        self.chain(id, &[writable(at, 20)])
    }

    /// So many times the same, with the number of the time.
    fn times(self, count: u16, what: impl Fn(Self, u16) -> Self) -> Self {
        (0..count).fold(self, what)
    }

    /// A good chain that is taken and given back at once.
    fn one(self, id: u16) -> Self {
        self.good(id).pop(1).put(0, 7).publish()
    }

    /// Where the good chain of this id has its buffers.
    fn buffer(&self, id: u16) -> u64 {
        self.start.end() + 0x30 * u64::from(id % 16)
    }

    /// Good work: chains are made available, taken, read, written to and given back. It is as many
    /// as there is room for.
    fn serve(mut self, chains: u8) -> Self {
        let chains = u16::from(chains).min((self.start.size / 2).max(1));
        for at in 0..chains {
            self = self.good(2 * at);
        }
        self = self.wake().pop(u8::try_from(chains).unwrap_or(u8::MAX)).read(9, 5).write(12);
        for _ in 0..chains {
            self = self.put(0, 12);
        }
        self.publish()
    }

    /// The same ring from the beginning, and good work.
    fn again(self, chains: u8) -> Self {
        let start = self.start;
        self.then(Step::Start(start)).serve(chains)
    }

    fn seed(&self, name: &str, expect: &str, shows: &str) -> Seed {
        let records: Vec<_> = self.steps.iter().map(Step::record).collect();
        super::seed(name, expect, shows, script::encode(&records))
    }
}
