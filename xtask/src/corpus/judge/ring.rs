//! What the model of a ring says about each step of an input, without the code under test.
//!
//! It is the device too: what the model says the device has to store is stored.

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::ram::{GuestRam as _, Layout};
use vhost_fuzz_harness::ring::driver::Driver;
use vhost_fuzz_harness::ring::image;
use vhost_fuzz_harness::ring::step::steps;
use vhost_fuzz_harness::ring::step::{Start, Step, feature};
use vhost_fuzz_harness::ring::world::{World, model_setup};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::ring::{
    self as model, Chain, Drop, Packed, Pop, Position, PutRefusal, Refusal, Split, Stop, Token,
    Writes,
};

use super::{ACCEPT, Judgement};

/// Entries of the rings in small memory at most, as a run of the harness has it.
const SMALL_MAX: u16 = 1024;

/// Most bytes that one step writes to a chain, as a run of the harness has it.
const WRITE_MAX: u8 = 16;

/// Most chains that one step takes, as a run of the harness has it.
const POPS_MAX: u8 = 64;

/// What comes of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::corpus) enum Answer {
    /// The ring runs.
    Started,
    /// The ring cannot run, or its parts are not in memory any more.
    Refused(Refusal),
    /// The ring does not run, and nothing happens.
    Down,
    /// The queue is broken, from now on or before.
    Stopped(Stop),
    /// A chain was taken.
    Taken(Token, Chain),
    /// A malformed chain was taken.
    Dropped(Token, Drop),
    /// Nothing is available.
    Empty,
    /// Enough was taken in this wake-up.
    Yield,
    /// So many buffers were given back.
    Given(usize),
    /// It was taken back that a chain was taken.
    Untaken,
    /// A buffer was not given back.
    Kept(PutRefusal),
    /// Whether the driver is called.
    Call(bool),
    /// Whether more is available already.
    More(bool),
    /// Bytes were written to the chain that was taken last.
    Written(u8),
}

/// A running model.
#[derive(Clone, Debug)]
enum Model {
    Split(Split),
    Packed(Packed),
}

/// Calls a method of whichever it is.
macro_rules! either {
    ($model:expr, $it:ident => $call:expr) => {
        match $model {
            Model::Split($it) => $call,
            Model::Packed($it) => $call,
        }
    };
}

/// A ring, its memory and its driver.
pub(in crate::corpus) struct Rings {
    form: Form,
    world: World,
    start: Start,
    driver: Driver,
    model: Option<Model>,
    is_bound: bool,
    owed: Vec<Token>,
    /// The chain that was taken last, while its memory is there.
    chain: Option<Chain>,
    /// The rules that were broken, in their order.
    pub(in crate::corpus) broken: Vec<Id>,
    /// Things that driver and device did with the ring.
    pub(in crate::corpus) operations: usize,
}

impl Rings {
    /// A ring of 16 entries, as it is unless the first step starts another one.
    pub(in crate::corpus) fn new(form: Form) -> Self {
        let start = Start::of(16, fresh(form));
        let mut rings = Self {
            form,
            world: World::new(start.layout),
            start,
            driver: Driver::new(form, &start),
            model: None,
            is_bound: false,
            owed: Vec::new(),
            chain: None,
            broken: Vec::new(),
            operations: 0,
        };
        rings.start(&start, true);
        rings
    }

    /// All steps of an input of one of the ring targets.
    pub(in crate::corpus) fn of(target: &str, input: &[u8]) -> Self {
        let form = form(target);
        let mut rings = Self::new(form);
        if is_image(target) {
            for step in image::steps(form, input).into_iter().flatten() {
                rings.step(&step);
            }
        } else {
            for step in steps(input) {
                rings.step(&step);
            }
        }
        rings
    }

    /// What is to be said at the end.
    pub(super) fn judgement(mut self) -> Judgement {
        self.settle();
        let verdict = self.broken.first().map_or(ACCEPT.to_owned(), Id::to_string);
        Judgement { verdict, messages: Vec::new() }
    }

    /// The memory, for a driver that writes to it by itself.
    pub(in crate::corpus) fn ram(&self) -> &vhost_fuzz_harness::ram::Ram {
        &self.world.ram
    }

    /// Does a step.
    pub(in crate::corpus) fn step(&mut self, step: &Step<'_>) -> Vec<Answer> {
        match step {
            Step::Start(start) => {
                self.settle();
                self.world.clear();
                if start.layout != self.world.ram.layout() {
                    self.world = World::new(start.layout);
                }
                vec![self.start(start, true)]
            }
            Step::Memory { regions } => {
                (self.is_bound, self.chain) = (false, None);
                self.world.set_regions(*regions);
                vec![]
            }
            Step::Restart { is_fresh } => vec![self.restart(*is_fresh)],
            step if self.drive(step) => vec![],
            step => self.work(step),
        }
    }

    fn start(&mut self, start: &Start, is_new: bool) -> Answer {
        let is_large = start.layout == Layout::Large;
        let size = if is_large { start.size } else { start.size.min(SMALL_MAX) };
        self.start = Start { size: size.min(0x8000), ..*start };
        self.driver = Driver::new(self.form, &self.start);
        self.owed.clear();
        (self.chain, self.model, self.is_bound) = (None, None, false);
        if self.form == Form::Split && is_new {
            let [.., low, high] = start.base.to_le_bytes();
            self.poke(start.parts[2].wrapping_add(2), &[low, high]);
        }
        let mut writes = Writes::new();
        let (setup, regions) = (model_setup(&self.start), &self.world.regions);
        let base = self.start.base;
        let answer = match self.form {
            Form::Split => {
                let [low, high, ..] = base.to_le_bytes();
                let next = u16::from_le_bytes([low, high]);
                Split::activate(&setup, next, regions, &self.world.view, &mut writes)
                    .map(Model::Split)
            }
            Form::Packed => {
                let (available, used) = Position::of_base(base);
                Packed::activate(&setup, [available, used], regions, &mut writes).map(Model::Packed)
            }
        };
        self.store(&writes);
        match answer {
            Ok(model) => {
                self.model = Some(model);
                Answer::Started
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Answer {
        self.broken.push(refusal.rule(self.rules()));
        Answer::Refused(refusal)
    }

    fn restart(&mut self, is_fresh: bool) -> Answer {
        let base = self.model.take().map(|model| match model {
            Model::Split(model) => model.next().into(),
            Model::Packed(model) => Position::base(model.next(), model.published()),
        });
        let mut start = self.start;
        start.base = if is_fresh { fresh(self.form) } else { base.unwrap_or(start.base) };
        let driver = self.driver;
        let answer = self.start(&start, is_fresh);
        if !is_fresh {
            self.driver = driver;
        }
        answer
    }

    fn drive(&mut self, step: &Step<'_>) -> bool {
        let ram = &self.world.ram;
        match step {
            Step::Poke { address, bytes } => self.poke(*address, bytes),
            Step::Chain { id, descriptors } => {
                self.operations += 1;
                self.driver.chain(ram, *id, descriptors);
            }
            Step::Table { address, descriptors } => self.driver.table(ram, *address, descriptors),
            Step::Wish { flags, event } => {
                self.operations += 1;
                self.driver.wish(ram, *flags, *event);
            }
            Step::Advance { by } => self.driver.advance(ram, *by),
            _ => return false,
        }
        true
    }

    /// Binds the ring for a wake-up, unless it is bound.
    fn bind(&mut self) -> Option<Answer> {
        if self.is_bound {
            return None;
        }
        let Some(model) = &mut self.model else { return Some(Answer::Down) };
        if let Some(stop) = either!(model, it => it.stopped()) {
            return Some(Answer::Stopped(stop));
        }
        match either!(model, it => it.bind(&self.world.regions)) {
            Ok(()) => {
                self.is_bound = true;
                None
            }
            Err(refusal) => Some(self.refuse(refusal)),
        }
    }

    /// What a device does in a wake-up.
    fn work(&mut self, step: &Step<'_>) -> Vec<Answer> {
        if *step == Step::Wake {
            self.is_bound = false;
        }
        if let Some(answer) = self.bind() {
            return vec![answer];
        }
        if let Step::Pop { count } = step {
            let mut answers = Vec::new();
            for _ in 0..(*count).clamp(1, POPS_MAX) {
                answers.push(self.pop());
                if !matches!(answers.last(), Some(Answer::Taken(..) | Answer::Dropped(..))) {
                    break;
                }
            }
            return answers;
        }
        if *step == Step::Wake {
            return vec![];
        }
        self.operations += 1;
        match step {
            Step::Unpop { which } => self.unpop(*which),
            Step::Put { which, len } => self.put(*which, *len),
            Step::Batch { count, len } => self.batch(*count, *len),
            Step::Publish => self.publish(),
            Step::Arm => self.arm(),
            Step::Disarm => self.disarm(),
            Step::Write { len } => self.write(*len),
            _ => None,
        }
        .into_iter()
        .collect()
    }

    fn pop(&mut self) -> Answer {
        self.operations += 1;
        let World { view, regions, .. } = &self.world;
        let mut chain = Chain::new();
        self.chain = None;
        let Some(model) = &mut self.model else { return Answer::Down };
        match either!(model, it => it.pop(view, regions, &mut chain)) {
            Pop::Empty => Answer::Empty,
            Pop::Yield => Answer::Yield,
            Pop::Chain { token } => {
                self.owed.push(token);
                self.chain = Some(chain.clone());
                Answer::Taken(token, chain)
            }
            Pop::Dropped { token, error } => {
                self.owed.push(token);
                self.broken.push(error.rule(self.rules()));
                Answer::Dropped(token, error)
            }
            Pop::Stopped(stop) => self.stopped(stop),
        }
    }

    fn stopped(&mut self, stop: Stop) -> Answer {
        let rule = stop.rule(self.rules());
        if self.broken.last() != Some(&rule) {
            self.broken.push(rule);
        }
        Answer::Stopped(stop)
    }

    /// As a run of the harness does it: the newest is 0.
    fn unpop(&mut self, which: u8) -> Option<Answer> {
        let last = self.owed.len().checked_sub(1)?;
        let which = last - usize::from(which) % (last + 1);
        self.chain = None;
        let token = self.owed[which];
        Some(match either!(self.model.as_mut()?, it => it.unpop(token)) {
            Ok(()) => {
                self.owed.remove(which);
                Answer::Untaken
            }
            Err(refusal) => Answer::Kept(refusal),
        })
    }

    fn put(&mut self, which: u8, len: u32) -> Option<Answer> {
        let which = usize::from(which).checked_rem(self.owed.len())?;
        let token = self.owed[which];
        let mut writes = Writes::new();
        Some(match either!(self.model.as_mut()?, it => it.put(token, len, &mut writes)) {
            Ok(()) => {
                self.owed.remove(which);
                self.store(&writes);
                Answer::Given(1)
            }
            Err(refusal) => Answer::Kept(refusal),
        })
    }

    /// The longest batch that can be given back, as a run of the harness does.
    fn batch(&mut self, count: u8, len: u32) -> Option<Answer> {
        let last = usize::from(count).min(self.owed.len()).checked_sub(1)?;
        if last == 0 {
            return self.put(0, len);
        }
        if let Some(stop) = either!(self.model.as_ref()?, it => it.stopped()) {
            return Some(Answer::Kept(PutRefusal::Stopped(stop)));
        }
        let unfit = self.owed[..last].iter().position(|token| token.writable > 0);
        let last = match unfit {
            _ if self.start.features & feature::IN_ORDER == 0 => {
                return Some(Answer::Kept(PutRefusal::NoBatch));
            }
            Some(0) => return Some(Answer::Kept(PutRefusal::LengthNotImplied { index: 0 })),
            Some(at) => at - 1,
            None => last,
        };
        let tokens: Vec<_> = self.owed[..=last].to_vec();
        let len = len.min(tokens[last].writable);
        let mut writes = Writes::new();
        Some(match either!(self.model.as_mut()?, it => it.put_batch(&tokens, len, &mut writes)) {
            Ok(()) => {
                self.owed.drain(..=last);
                self.store(&writes);
                Answer::Given(tokens.len())
            }
            Err(refusal) => Answer::Kept(refusal),
        })
    }

    fn publish(&mut self) -> Option<Answer> {
        let answer = self.stored(|model, World { view, regions, .. }, writes| {
            either!(model, it => it.publish(view, regions, writes))
        })?;
        Some(answer.map_or_else(|stop| self.stopped(stop), Answer::Call))
    }

    fn arm(&mut self) -> Option<Answer> {
        let answer = self.stored(|model, World { view, regions, .. }, writes| {
            either!(model, it => it.arm(view, regions, writes))
        })?;
        Some(answer.map_or_else(|stop| self.stopped(stop), Answer::More))
    }

    fn disarm(&mut self) -> Option<Answer> {
        let mut writes = Writes::new();
        let model = self.model.as_ref()?;
        either!(model, it => it.disarm(&mut writes));
        let stopped = either!(model, it => it.stopped());
        self.store(&writes);
        stopped.map(|stop| self.stopped(stop))
    }

    /// Does what stores first and reads then: what is stored may lie where is read, so it is asked
    /// twice, and stores in between.
    fn stored<T>(&mut self, act: impl Fn(&mut Model, &World, &mut Writes) -> T) -> Option<T> {
        let mut writes = Writes::new();
        act(&mut self.model.clone()?, &self.world, &mut writes);
        self.store(&writes);
        writes.clear();
        Some(act(self.model.as_mut()?, &self.world, &mut writes))
    }

    fn store(&self, writes: &Writes) {
        for write in writes.list() {
            self.world.ram.put(write.address, write.bytes());
        }
    }

    fn write(&mut self, len: u8) -> Option<Answer> {
        let chain = self.chain.as_ref()?;
        let writable = chain.elements.iter().filter(|element| element.writable);
        let addresses = writable.flat_map(|element| {
            (0..element.len).map(|offset| element.address.wrapping_add(offset.into()))
        });
        let mut written = 0;
        for (address, at) in addresses.zip(0..len.min(WRITE_MAX)) {
            self.world.ram.put(address, &[0xa0 ^ at]);
            written = at + 1;
        }
        Some(Answer::Written(written))
    }

    /// Gives back all that is out, as every run ends. It is not counted.
    fn settle(&mut self) {
        let operations = self.operations;
        while self.is_running() && !self.owed.is_empty() {
            let before = self.owed.len();
            for step in [Step::Batch { count: u8::MAX, len: 0 }, Step::Put { which: 0, len: 0 }] {
                self.is_bound = false;
                self.work(&step);
            }
            if self.owed.len() == before {
                break; // The parts of the ring are not in memory.
            }
        }
        if self.is_running() && self.owed.is_empty() {
            self.is_bound = false;
            self.work(&Step::Publish);
        }
        self.operations = operations;
    }

    fn is_running(&self) -> bool {
        let stopped = self.model.as_ref().map(|model| either!(model, it => it.stopped()));
        stopped == Some(None)
    }

    fn poke(&self, address: u64, bytes: &[u8]) {
        if self.world.ram.is_memory(address, bytes.len() as u64) {
            self.world.ram.put(address, bytes);
        }
    }

    const fn rules(&self) -> model::Form {
        Self::rules_of(self.form)
    }

    /// Whose rules are broken.
    pub(in crate::corpus) const fn rules_of(form: Form) -> model::Form {
        match form {
            Form::Split => model::Form::Split,
            Form::Packed => model::Form::Packed,
        }
    }
}

/// The form of the rings of a target.
pub(in crate::corpus) fn form(target: &str) -> Form {
    if target.starts_with("packed") { Form::Packed } else { Form::Split }
}

/// The inputs of a target are images, not scripts.
fn is_image(target: &str) -> bool {
    target.ends_with("chain")
}

/// The base of a new ring.
const fn fresh(form: Form) -> u32 {
    match form {
        Form::Split => 0,
        Form::Packed => 0x8000_8000,
    }
}
