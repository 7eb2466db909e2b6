//! Plays one history on a split and a packed ring, and judges both by the model of a queue.
//!
//! * **model**: requests arrive in order, with what the driver wrote; completions arrive in order,
//!   with what the device wrote; nobody is called who does not want it.
//! * **ring ledger**: what is given back was in flight, and at the end nothing is.
//! * **liveness**: what is available is found, who sleeps is kicked, and who waits is called.
//! * **equivalence**: the drivers of both rings have heard the same.

use std::collections::VecDeque;

use vhost_fuzz_core::ring::Layout;
use vhost_fuzz_model::ring::History;

use crate::equivalence::device::Device;
use crate::equivalence::driver::{Reaped, Wish};
use crate::equivalence::lane::{Lane, Rig, Start};
use crate::equivalence::plan::{BYTES_MAX, Cells, Form, Plan, Request, Style, content};
use crate::target::ring_equivalence::{Setup, Step};

/// Most requests that the driver remembers before it offers them.
const REQUESTS_MAX: usize = 256;

/// What is kept from one input to the next.
#[derive(Debug)]
pub struct Rigs {
    rigs: [Rig; 2],
    history: History,
}

impl Default for Rigs {
    fn default() -> Self {
        let rigs = [Layout::Split, Layout::Packed].map(Rig::new);
        Self { rigs, history: History::new(false) }
    }
}

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident = $bit:literal,)*) => {
        /// A place that a history may come through.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Mark {
            $($(#[$doc])* $name = $bit,)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

marks! {
    /// An index of the split ring goes from 65,535 to 0.
    IndexWraps = 0,
    /// A list of the packed ring goes over its end.
    ListOverTheEnd = 1,
    /// A list, not of one slot, fills the packed ring.
    ListFillsTheRing = 2,
    /// A chain, not of one descriptor, fills the split ring.
    ChainFillsTheRing = 3,
    /// A request has a table.
    Table = 4,
    /// A chain has a table after other descriptors.
    ChainWithTable = 5,
    /// A request has a descriptor without bytes.
    Empty = 6,
    /// A buffer or a table goes over the border of two regions.
    Border = 7,
    /// A batch of several requests.
    Batch = 8,
    /// A request is completed before an older one.
    OutOfOrder = 9,
    /// With `EVENT_IDX`, what is shown is followed by a call on a ring...
    CallWanted = 10,
    /// ... and by none.
    CallSuppressed = 11,
    /// An update calls on one of the rings only.
    CallOnOneRing = 12,
    /// A device that sleeps is kicked.
    Woken = 13,
    /// A device that does not sleep is not kicked.
    KickSuppressed = 14,
    /// A device that asks for kicks has more to do.
    MoreToDo = 15,
    /// A device stops and starts while requests wait.
    RestartWithWork = 16,
    /// There is no room for a request.
    NoRoom = 17,
    /// A device takes so many requests that it gives way.
    Yields = 18,
    /// The packed ring's size is no power of two.
    OddSize = 19,
}

/// The marks that a history came through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u32);

impl Marks {
    fn add(&mut self, mark: Mark, is_here: bool) {
        self.0 |= u32::from(is_here) << mark as u8;
    }

    /// Whether a mark is among them.
    #[must_use]
    pub const fn has(self, mark: Mark) -> bool {
        self.0 >> mark as u8 & 1 == 1
    }
}

/// What became of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that were played.
    pub steps: usize,
    /// Requests that were delivered.
    pub deliveries: usize,
    /// Where the history came through.
    pub marks: Marks,
}

/// Plays these steps, and brings to its end what they begin.
///
/// # Panics
/// When an oracle finds a fault.
pub fn play<D: Device>(mut rigs: Rigs, steps: impl Iterator<Item = Step>) -> (Outcome, Rigs) {
    let mut outcome = Outcome::default();
    let mut steps = steps.peekable();
    while let Some(first) = steps.peek() {
        let setup = match *first {
            Step::Start(setup) => {
                steps.next();
                outcome.steps += 1;
                setup
            }
            _ => Setup::default(),
        };
        let mut game = Match::<D>::new(rigs, &setup, outcome);
        while let Some(step) = steps.next_if(|step| !matches!(step, Step::Start(_))) {
            game.step(&step);
        }
        (outcome, rigs) = game.end();
    }
    (outcome, rigs)
}

/// A split and a packed ring, and what has to come of both.
#[derive(Debug)]
struct Match<D> {
    in_order: bool,
    event_idx: bool,
    indirect: bool,
    history: History,
    lanes: [Lane<D>; 2],
    /// Entries of each ring.
    sizes: [u16; 2],
    /// Available index of the split ring.
    index: u16,
    /// Available slot of the packed ring.
    slot: usize,
    /// Requests that the driver has not offered.
    requests: VecDeque<Request>,
    /// How each offered request lies in memory, by its number.
    plans: Vec<Plan>,
    cells: Cells,
    /// Requests that the device has, oldest first.
    held: Vec<usize>,
    /// Deliveries that the driver has heard.
    heard: usize,
    outcome: Outcome,
}

impl<D: Device> Match<D> {
    /// Two rings that have just started.
    fn new(rigs: Rigs, setup: &Setup, mut outcome: Outcome) -> Self {
        let Rigs { rigs: [split, packed], mut history } = rigs;
        let Setup { features, at: index, .. } = *setup;
        history.clear(features.in_order);
        let split = Lane::new(split, Start { size: setup.split, at: index, features });
        let at = setup.packed_at();
        let packed = Lane::new(packed, Start { size: setup.packed, at, features });
        outcome.marks.add(Mark::OddSize, !setup.packed.is_power_of_two());
        Self {
            in_order: features.in_order,
            event_idx: features.event_idx,
            indirect: features.indirect,
            history,
            lanes: [split, packed],
            sizes: [setup.split, setup.packed],
            index,
            slot: usize::from(at % 0x8000),
            requests: VecDeque::with_capacity(16),
            plans: Vec::with_capacity(16),
            cells: Cells::default(),
            held: Vec::with_capacity(16),
            heard: 0,
            outcome,
        }
    }

    fn mark(&mut self, mark: Mark, is_here: bool) {
        self.outcome.marks.add(mark, is_here);
    }

    /// One step.
    fn step(&mut self, step: &Step) {
        self.outcome.steps += 1;
        match *step {
            // Ends this match.
            Step::Start(_) => {}
            Step::Request(request) => {
                if self.requests.len() < REQUESTS_MAX {
                    self.requests.push_back(request);
                }
            }
            Step::Offer { count } => self.offer(count),
            Step::Reap => self.reap(),
            Step::Want(wish) => self.lanes.iter_mut().for_each(|lane| lane.want_calls(wish)),
            Step::Take { count } => self.take(count),
            Step::Complete { which, len } => {
                if let Some(which) = which.checked_rem(self.held.len()) {
                    self.complete(if self.in_order { 0 } else { which }, len);
                }
            }
            Step::Publish => _ = self.publish(),
            Step::Arm => self.arm(),
            Step::Disarm => self.lanes.iter_mut().for_each(Lane::disarm),
            Step::Restart => self.restart(),
            Step::Batch { count, len } => self.batch(count, len),
        }
    }

    /// The driver offers requests, and kicks.
    fn offer(&mut self, count: usize) {
        let before = self.plans.len();
        for _ in 0..count {
            let Some(request) = self.requests.pop_front() else { break };
            self.offer_one(&request);
        }
        if self.plans.len() == before {
            return;
        }
        let was_asleep = self.lanes[0].is_asleep();
        let [split, packed] = self.lanes.each_mut().map(Lane::show);
        self.mark(Mark::Woken, was_asleep);
        self.mark(Mark::KickSuppressed, !split || !packed);
    }

    /// Offers a request for which there is room on both rings: there is as much as the drivers
    /// say, whatever the device thinks.
    fn offer_one(&mut self, request: &Request) {
        let Some(cell) = self.cells.take(request.style) else {
            return self.mark(Mark::NoRoom, true);
        };
        let plan = Plan::new(request, cell, self.indirect);
        if !self.lanes.iter().all(|lane| lane.driver().has_room(&plan)) {
            self.cells.free(cell);
            return self.mark(Mark::NoRoom, true);
        }
        let mut bytes = [0; BYTES_MAX as usize];
        let readable = &mut bytes[..request.readable.into()];
        let number = self.plans.len();
        content(number, false, readable);
        self.history.offer(readable, request.writable.into());
        for lane in &mut self.lanes {
            lane.offer(&plan, number, readable);
        }
        self.mark_plan(&plan);
        self.plans.push(plan);
    }

    fn mark_plan(&mut self, plan: &Plan) {
        let (split, packed) = (plan.split_slots(), plan.packed_slots());
        let [split_size, packed_size] = self.sizes.map(usize::from);
        let end = self.slot + packed;
        self.slot = end % packed_size;
        self.index = self.index.wrapping_add(1);
        self.mark(Mark::IndexWraps, self.index == 0);
        self.mark(Mark::ListOverTheEnd, end > packed_size);
        self.mark(Mark::ListFillsTheRing, packed > 1 && packed == packed_size);
        self.mark(Mark::ChainFillsTheRing, split > 1 && split == split_size);
        let from = match plan.form {
            Form::Direct => None,
            Form::Table { from, .. } => Some(from),
        };
        self.mark(Mark::Table, from.is_some());
        self.mark(Mark::ChainWithTable, from.is_some_and(|from| from > 0));
        self.mark(Mark::Empty, plan.elements.iter().any(|element| element.len == 0));
        self.mark(Mark::Border, plan.crosses_a_border());
    }

    /// The driver of each ring looks what was used: all that was shown, in order.
    fn reap(&mut self) {
        let Self { history, lanes, plans, heard, .. } = self;
        for lane in &mut *lanes {
            lane.reap();
            let name = lane.name();
            let mut reaped = lane.heard()[*heard..].iter();
            for delivery in history.deliveries().skip(*heard) {
                let (request, len) = (delivery.request, delivery.len());
                let Some(heard) = reaped.next() else {
                    panic!("ring ledger: {name}: request {request} was lost: VQ-036, PK-024");
                };
                assert!(
                    heard.request == request,
                    "ring ledger: {name}: {heard:?}, but request {request} was completed: VQ-040"
                );
                assert!(heard.len == len, "model: {name}: {heard:?}, not {len}: VQ-037, PK-025");
                lane.check_written(&plans[request], request, delivery.bytes);
            }
            let more = reaped.next();
            assert!(more.is_none(), "ring ledger: {name}: nobody completed {more:?}: VQ-040");
        }
        let [split, packed] = &*lanes;
        assert!(
            split.heard() == packed.heard(),
            "equivalence: one driver heard {:?}, the other one {:?}",
            &split.heard()[*heard..],
            &packed.heard()[*heard..]
        );
        for Reaped { request, .. } in &split.heard()[*heard..] {
            self.cells.free(plans[*request].cell);
        }
        *heard = split.heard().len();
    }

    /// The device takes requests.
    fn take(&mut self, count: usize) {
        let waiting = self.history.waiting();
        let first = waiting.start;
        let taken = waiting.len().min(count);
        for _ in 0..taken {
            self.history.take();
        }
        let mut turns = 0;
        for lane in &mut self.lanes {
            let received = self.history.received().skip(first);
            let expected =
                (first..).zip(received).map(|(number, (bytes, room))| (number, bytes, room));
            turns = turns.max(lane.take(count, expected));
        }
        self.mark(Mark::Yields, turns > 1);
        self.held.extend(first..first + taken);
    }

    /// The device completes one of the requests that it has.
    fn complete(&mut self, at: usize, len: u16) {
        let request = self.held.remove(at);
        let plan = &self.plans[request];
        let mut bytes = [0; BYTES_MAX as usize];
        let bytes = &mut bytes[..len.min(plan.room).into()];
        content(request, true, bytes);
        let done = self.history.complete(request, bytes);
        assert!(done.is_ok(), "harness: no device may complete request {request}: {done:?}");
        for lane in &mut self.lanes {
            lane.complete(at, plan, bytes);
        }
        self.mark(Mark::OutOfOrder, at > 0);
    }

    /// The device completes the oldest requests at once: those that cannot be written to, and one
    /// more (VQ-058, VQ-059, PK-031).
    fn batch(&mut self, count: usize, len: u16) {
        let Some(more) = self.held.len().min(count).checked_sub(1).filter(|_| self.in_order) else {
            return;
        };
        let is_read_only = |request: &&usize| self.plans[**request].room == 0;
        let skipped = self.held[..more].iter().take_while(is_read_only).count();
        for request in self.held.drain(..skipped) {
            let done = self.history.complete(request, &[]);
            assert!(done.is_ok(), "harness: no device may complete request {request}: {done:?}");
            for lane in &mut self.lanes {
                lane.skip(&self.plans[request]);
            }
        }
        self.mark(Mark::Batch, skipped > 0);
        self.complete(0, len);
    }

    /// The device shows what it completed. `true`: both drivers are called.
    fn publish(&mut self) -> bool {
        let is_new = self.history.publish();
        let [split, packed] = self.lanes.each_mut().map(Lane::publish);
        if is_new {
            self.mark(Mark::CallWanted, self.event_idx && (split || packed));
            self.mark(Mark::CallSuppressed, self.event_idx && !(split && packed));
            self.mark(Mark::CallOnOneRing, split != packed);
        }
        split && packed
    }

    fn arm(&mut self) {
        let is_more = !self.history.waiting().is_empty();
        self.mark(Mark::MoreToDo, is_more);
        self.lanes.iter_mut().for_each(|lane| lane.arm(is_more));
    }

    fn restart(&mut self) {
        if self.held.is_empty() && self.history.unpublished().next().is_none() {
            let is_waiting = !self.history.waiting().is_empty();
            self.mark(Mark::RestartWithWork, is_waiting);
            self.lanes.iter_mut().for_each(Lane::restart);
        }
    }

    /// All that was offered is taken, completed and heard of.
    fn settle(&mut self) {
        self.reap();
        self.lanes.iter_mut().for_each(|lane| lane.want_calls(Wish::Always));
        // One more than there is: the end is found, too.
        self.take(self.history.waiting().len() + 1);
        while !self.held.is_empty() {
            self.complete(0, BYTES_MAX);
        }
        self.publish();
        self.reap();
        assert!(self.history.is_settled(), "harness: the history has no end");
    }

    /// Brings everything to its end, and lets one more request go round, for which each side has
    /// to wake the other.
    fn end(mut self) -> (Outcome, Rigs) {
        self.settle();
        self.outcome.deliveries += self.plans.len();
        self.arm();
        self.requests.clear();
        self.requests.push_back(Request { readable: 3, writable: 5, style: Style::default() });
        let before = self.plans.len();
        self.offer(1);
        if self.plans.len() > before {
            self.take(2);
            self.complete(0, BYTES_MAX);
            assert!(self.publish(), "liveness: a driver that wants every call is not called");
            self.reap();
        }
        self.lanes.iter().for_each(Lane::assert_idle);
        let Self { lanes: [split, packed], history, outcome, .. } = self;
        (outcome, Rigs { rigs: [split.into_rig(), packed.into_rig()], history })
    }
}
