//! Runs the steps of an input and asks every oracle.

use vhost_fuzz_core::memory::{Part, RingSize};
use vhost_fuzz_core::ring::{ActivateError, BindError, Chain, Layout as Form, Limits, Token};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::ring as model;

use super::compare;
use super::device::Device;
use super::driver::{Driver, poke};
use super::model::{Model, form};
use super::step::{Descriptors, Start, Step, feature};
use super::wake::Wake;
use super::world::{World, position, setup};
use crate::ram::Layout;

/// Entries of the rings in small memory at most.
const SMALL_MAX: u16 = 1024;

/// How closely an input is watched. The model, the ledger, the budgets and what is written are
/// looked at after every step in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// No more than that.
    Lightly,
    /// Allocations are counted, writes are guarded range by range, and a byte that is read again
    /// in one step has another value.
    Closely,
}

/// What became of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Things that driver and device did with the ring.
    pub operations: usize,
    /// The rules that were broken, in their order.
    pub broken: Vec<Id>,
}

/// A device, its memories, and the model beside it. It is kept from one input to the next.
#[derive(Debug)]
pub struct Run<D> {
    small: Side<D>,
    odd: Option<Box<Side<D>>>,
    skewed: Option<Box<Side<D>>>,
    large: Option<Box<Side<D>>>,
}

/// A device and its memory.
#[derive(Debug)]
pub(super) struct Side<D> {
    pub(super) world: World,
    pub(super) device: D,
    max: u16,
    pub(super) books: Books,
}

/// What is known about a device.
#[derive(Debug)]
pub(super) struct Books {
    /// None while the device is stopped.
    pub(super) model: Option<Model>,
    pub(super) start: Start,
    pub(super) driver: Driver,
    /// Buffers that are out, in the order in which they were taken.
    pub(super) owed: Vec<(Token, model::Token)>,
    pub(super) chain: Chain,
    pub(super) taken: model::Chain,
    /// The chain that was taken last is in `chain`, and its memory is there.
    pub(super) is_chain_good: bool,
    pub(super) writes: model::Writes,
    pub(super) watch: Watch,
    pub(super) outcome: Outcome,
}

impl<D: Device> Default for Run<D> {
    fn default() -> Self {
        Self { small: Side::new(Layout::Small), odd: None, skewed: None, large: None }
    }
}

impl<D: Device> Run<D> {
    /// Runs an input. It begins with a ring of 16 entries, unless its first step starts another.
    ///
    /// # Panics
    /// When an oracle finds a fault. Then the run cannot be used again.
    pub fn steps<'a>(
        &mut self,
        watch: Watch,
        steps: impl IntoIterator<Item = Step<'a>>,
    ) -> Outcome {
        let mut steps = steps.into_iter().peekable();
        let fresh = match D::LAYOUT {
            Form::Split => 0,
            Form::Packed => 0x8000_8000,
        };
        let mut outcome = Outcome::default();
        let mut start = match steps.next_if(|step| matches!(step, Step::Start(_))) {
            Some(Step::Start(start)) => start,
            _ => Start::of(16, fresh),
        };
        loop {
            let side = self.side(start.layout);
            side.begin(watch, &start, std::mem::take(&mut outcome));
            let next = side.run(&mut steps);
            side.settle();
            side.assert_alive(fresh);
            outcome = std::mem::take(&mut side.books.outcome);
            match next {
                Some(next) => start = next,
                None => return outcome,
            }
        }
    }

    fn side(&mut self, layout: Layout) -> &mut Side<D> {
        let make = || Box::new(Side::new(layout));
        match layout {
            Layout::Small => &mut self.small,
            Layout::Odd => self.odd.get_or_insert_with(make),
            Layout::Skewed => self.skewed.get_or_insert_with(make),
            Layout::Large => self.large.get_or_insert_with(make),
        }
    }
}

impl<D: Device> Side<D> {
    fn new(layout: Layout) -> Self {
        let max = if layout == Layout::Large { RingSize::MAX } else { SMALL_MAX };
        let max_size = RingSize::check(max.into(), true, RingSize::MAX).expect("a size");
        let start = Start::of(1, 0);
        let room = Limits::of(max_size).table.max(0x1_0000);
        let chain = Chain::with_capacity(usize::from(max) + room as usize);
        Self {
            world: World::new(layout),
            device: D::new(max_size),
            max,
            books: Books {
                model: None,
                start,
                driver: Driver::new(D::LAYOUT, &start),
                owed: Vec::with_capacity(usize::from(max)),
                chain,
                taken: model::Chain::new(),
                is_chain_good: false,
                writes: model::Writes::new(),
                watch: Watch::Lightly,
                outcome: Outcome::default(),
            },
        }
    }

    fn begin(&mut self, watch: Watch, start: &Start, outcome: Outcome) {
        self.world.clear();
        self.books.watch = watch;
        self.books.outcome = outcome;
        if watch == Watch::Closely {
            self.world.ram.flip(true);
        }
        self.start(start, true);
    }

    /// Starts the ring. A device has no more entries than it has.
    ///
    /// The upper half of the base of a new split ring is its used index, which is in memory.
    fn start(&mut self, start: &Start, is_new: bool) {
        let mut start = *start;
        if start.size > self.max {
            start.size = self.max;
        }
        let Self { world, device, books, .. } = self;
        books.start = start;
        books.driver = Driver::new(D::LAYOUT, &start);
        books.owed.clear();
        books.is_chain_good = false;
        books.model = None;
        books.writes.clear();
        if D::LAYOUT == Form::Split && is_new {
            // Where an earlier device got to is in memory only (VU-085).
            let [.., low, high] = start.base.to_le_bytes();
            poke(&world.ram, start.parts[2].wrapping_add(2), &[low, high]);
        }
        world.ram.unguard();
        world.ram.begin();
        let guest = world.guest();
        let answer = match setup(&start) {
            Some(setup) => {
                device.activate(&setup, position(D::LAYOUT, start.base), &guest).map_err(Some)
            }
            None => {
                // There is no such size, so there is nothing that a device could be told.
                device.stop();
                Err(None)
            }
        };
        let expected = Model::activate(D::LAYOUT, &start, world, &mut books.writes);
        match (answer, expected) {
            (Ok(()), Ok(model)) => {
                books.model = Some(model);
                books.check_writes(world, "activate");
            }
            (Err(Some(ActivateError::HostAlignment { part, .. })), _) => {
                let (at, len) = range(D::LAYOUT, &start, part);
                assert!(
                    world.is_odd(at, len),
                    "liveness: the {part} was refused for how it is mapped, and is mapped well"
                );
            }
            (Err(None), Err(expected @ model::Refusal::Size { .. })) => {
                books.outcome.broken.push(expected.rule(form(D::LAYOUT)));
            }
            (Err(Some(error)), Err(expected)) => {
                assert!(
                    compare::is_refused_alike(error, expected),
                    "model: the device refuses to start with {error:?}, the model {expected:?}"
                );
                books.outcome.broken.push(expected.rule(form(D::LAYOUT)));
            }
            (answer, expected) => panic!(
                "model: starting {start:?}: the device says {answer:?}, the model {:?}",
                expected.map(drop)
            ),
        }
    }

    /// Runs steps up to the next that starts another ring.
    fn run<'a>(&mut self, steps: &mut impl Iterator<Item = Step<'a>>) -> Option<Start> {
        let mut next = steps.next();
        while let Some(step) = next {
            next = match step {
                Step::Start(start) => return Some(start),
                Step::Memory { regions } => {
                    self.books.is_chain_good = false;
                    self.world.set_regions(regions);
                    steps.next()
                }
                Step::Restart { is_fresh } => {
                    self.restart(is_fresh);
                    steps.next()
                }
                step if self.books.drive(&self.world, &step) => steps.next(),
                step => self.wake(step, steps),
            };
        }
        None
    }

    /// A wake-up, which lasts until a step that cannot be in one.
    fn wake<'a>(
        &mut self,
        step: Step<'a>,
        steps: &mut impl Iterator<Item = Step<'a>>,
    ) -> Option<Step<'a>> {
        let Self { world, device, books, .. } = self;
        world.ram.begin();
        let guest = world.guest();
        let bound = device.bind(&guest);
        let Some(model) = &mut books.model else {
            assert!(matches!(bound, Err(BindError::Stopped)), "model: a stopped ring was bound");
            return steps.next();
        };
        if let Some(expected) = model.stopped() {
            match bound {
                Err(BindError::Broken(broken)) => {
                    compare::assert_stop("bind", broken, expected);
                }
                _ => panic!("model: a broken ring was bound, which is {expected:?}"),
            }
            return steps.next();
        }
        match (bound, model.bind(world)) {
            (Ok(ring), Ok(())) => Wake { ring, world, books }.run(step, steps),
            (Err(BindError::Place(ActivateError::Place(_))), Err(expected)) => {
                books.outcome.broken.push(expected.rule(form(D::LAYOUT)));
                steps.next()
            }
            (bound, expected) => panic!(
                "model: binding: the device says {:?}, the model {expected:?}",
                bound.map(drop)
            ),
        }
    }

    /// Stops the ring and starts it again.
    fn restart(&mut self, is_fresh: bool) {
        let position = self.device.stop();
        let base = self.books.model.take().map(|model| model.base());
        let found = position.map(vhost_fuzz_core::ring::Position::base);
        assert!(found == base, "model: the device stopped at {found:x?}, the model at {base:x?}");
        let mut start = self.books.start;
        match (is_fresh, base) {
            (false, Some(base)) => start.base = base,
            (false, None) => {}
            (true, _) => {
                start.base = match D::LAYOUT {
                    Form::Split => 0,
                    Form::Packed => 0x8000_8000,
                };
            }
        }
        let driver = self.books.driver;
        self.start(&start, is_fresh);
        if !is_fresh {
            self.books.driver = driver;
        }
    }

    /// Gives back all that is out.
    fn settle(&mut self) {
        while self.books.is_running() && !self.books.owed.is_empty() {
            let steps = &mut std::iter::empty();
            let before = self.books.owed.len();
            self.wake(Step::Batch { count: u8::MAX, len: 0 }, steps);
            self.wake(Step::Put { which: 0, len: 0 }, steps);
            if self.books.owed.len() == before {
                return; // The parts of the ring are not in memory.
            }
        }
        if self.books.is_running() {
            self.wake(Step::Publish, &mut std::iter::empty());
        }
    }

    /// Whatever came before, a good driver is served.
    fn assert_alive(&mut self, fresh: u32) {
        self.world.clear();
        self.start(&Start::of(4, fresh).within(self.world.ram.layout()), true);
        let start = self.books.start;
        let buffer = super::step::Descriptor { address: start.end(), len: 8, flags: 0 }.bytes();
        let chain = Step::Chain { id: 1, descriptors: Descriptors(buffer.as_slice().into()) };
        let operations = self.books.outcome.operations;
        self.books.drive(&self.world, &chain);
        let mut steps = [Step::Put { which: 0, len: 0 }, Step::Publish].into_iter();
        self.wake(Step::Pop { count: 1 }, &mut steps);
        self.books.outcome.operations = operations;
        let is_served =
            self.books.model.is_some() && self.books.owed.is_empty() && self.books.is_chain_good;
        assert!(is_served, "liveness: a good driver was not served");
    }
}

/// Address and bytes of a part of a ring.
fn range(form: Form, start: &Start, part: Part) -> (u64, u64) {
    let [descriptor, driver, device] = start.parts;
    let size = u64::from(start.size);
    let event = if start.features & feature::EVENT_IDX != 0 { 2 } else { 0 };
    match (part, form) {
        (Part::Descriptor, _) => (descriptor, 16 * size),
        (Part::Available, Form::Split) => (driver, 4 + 2 * size + event),
        (Part::Used, Form::Split) => (device, 4 + 8 * size + event),
        (Part::Available, Form::Packed) => (driver, 4),
        (Part::Used, Form::Packed) => (device, 4),
    }
}

impl Books {
    /// Does what a step says the driver does; `false` when it is not about the driver.
    pub(super) fn drive(&mut self, world: &World, step: &Step<'_>) -> bool {
        match step {
            Step::Poke { address, bytes } => poke(&world.ram, *address, bytes),
            Step::Chain { id, descriptors } => {
                self.outcome.operations += 1;
                self.driver.chain(&world.ram, *id, descriptors);
            }
            Step::Table { address, descriptors } => {
                self.driver.table(&world.ram, *address, descriptors);
            }
            Step::Wish { flags, event } => {
                self.outcome.operations += 1;
                self.driver.wish(&world.ram, *flags, *event);
            }
            Step::Advance { by } => self.driver.advance(&world.ram, *by),
            _ => return false,
        }
        true
    }

    /// The ring is a packed one.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.model, Some(Model::Packed(_)))
    }

    fn is_running(&self) -> bool {
        self.model.as_ref().is_some_and(|model| model.stopped().is_none())
    }

    /// The device has written what the model says, and nothing else.
    pub(super) fn check_writes(&self, world: &World, what: &str) {
        use crate::ram::GuestRam as _;
        let mut bytes = 0;
        for write in self.writes.list() {
            let expected = write.bytes();
            let mut found = [0; 16];
            let found = &mut found[..expected.len()];
            world.ram.get(write.address, found);
            assert!(
                found == expected,
                "ring ledger: {what}: {found:02x?} at {:#x}, not {expected:02x?}",
                write.address
            );
            bytes += expected.len() as u64;
        }
        let written = world.ram.counts().written_bytes;
        assert!(
            written == bytes,
            "guarded memory: {what}: the device wrote {written} bytes, not {bytes}"
        );
    }
}
