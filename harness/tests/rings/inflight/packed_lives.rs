//! Packed ring: processes end after any store, and the next one finds what was not returned.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vhost_fuzz_core::inflight::{AreaError, Descriptor, PackedArea, Position};
use vhost_fuzz_harness::broken::inflight::{
    IgnoresTheWrapCounter, NeverRollsBack, Nothing, PackedTracker, PlainPacked,
};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_model::inflight::packed::{self as model, Reading};
use vhost_fuzz_model::inflight::{Store, region_len};

use crate::inflight::shared::Shared;

/// A request of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    number: u16,
    num: u16,
}

impl Request {
    fn descriptors(self) -> Vec<Descriptor> {
        let descriptor = |index| Descriptor {
            addr: u64::from(self.number) << 16 | u64::from(index),
            len: u32::from(self.number) * 0x1_0001 + u32::from(index),
            id: self.number,
            flags: u16::from(index + 1 < self.num),
        };
        (0..self.num).map(descriptor).collect()
    }
}

/// The driver, which no process of the back-end takes with it.
#[derive(Clone, Debug)]
struct Driver {
    size: u16,
    /// Where the next request goes.
    avail: Position,
    /// Where the next used descriptor is looked for.
    used: Position,
    /// Slots that it may write.
    room: u16,
    waiting: VecDeque<Request>,
    number: u16,
}

impl Driver {
    fn new(size: u16) -> Self {
        let (avail, used) = (Position::START, Position::START);
        Self { size, avail, used, room: size, waiting: VecDeque::new(), number: 0 }
    }

    fn step(&self, at: Position) -> Position {
        if at.index + 1 == self.size {
            return Position { index: 0, wrap: !at.wrap };
        }
        Position { index: at.index + 1, ..at }
    }

    /// Makes a request available.
    fn ask(&mut self, shared: &Shared, num: u16) {
        self.number += 1;
        self.room -= num;
        self.waiting.push_back(Request { number: self.number, num });
        for _ in 0..num {
            shared.driver_stores(self.avail.index, if self.avail.wrap { 0x80 } else { 0x8000 });
            self.avail = self.step(self.avail);
        }
    }

    /// Sees a returned request.
    fn takes_back(&mut self, num: u16) {
        self.room += num;
        for _ in 0..num {
            self.used = self.step(self.used);
        }
    }
}

/// What a process does. Numbers are folded into what is possible at that time.
#[derive(Clone, Debug)]
enum Op {
    Fetch {
        num: u16,
    },
    /// When `refill` is not 0, the driver asks again with so many descriptors before the process
    /// goes on.
    Complete {
        pick: usize,
        refill: u16,
    },
}

fn operations(random: &mut fastrand::Rng, count: usize) -> Vec<Op> {
    let mut draw = || {
        if random.u8(..5) < 3 {
            return Op::Fetch { num: random.u16(1..=8) };
        }
        Op::Complete { pick: random.usize(..8), refill: random.u16(..6) }
    };
    (0..count).map(|_| draw()).collect()
}

/// What the back-end owes the driver, whatever becomes of its processes.
#[derive(Clone, Debug, Default)]
struct Owed {
    /// Fetched and not returned, oldest first.
    requests: Vec<Request>,
    /// The process ended while it fetched this one: recorded or not, both are right.
    cut: Option<Request>,
}

struct World {
    shared: Shared,
    driver: RefCell<Driver>,
    owed: Owed,
}

impl World {
    fn new(size: u16) -> Self {
        let shared = Shared::new(region_len(size, true), size);
        Self { shared, driver: Driver::new(size).into(), owed: Owed::default() }
    }

    fn copy(&self) -> Self {
        let (shared, driver) = (self.shared.copy(), self.driver.clone());
        Self { shared, driver, owed: self.owed.clone() }
    }

    /// `None` when the process ended meanwhile.
    fn take_over<T: PackedTracker<Shared>>(&self) -> Option<T> {
        let size = self.driver.borrow().size;
        let flags_at = |index: u16| self.shared.ring_flags()[usize::from(index)];
        let tracker = T::take_over(self.shared.clone(), size, &flags_at);
        // A process that has ended does not see its own stores any more.
        if self.shared.is_dead() {
            return None;
        }
        Some(tracker.unwrap_or_else(|error| panic!("in-flight: refused: {error}")))
    }

    /// Requests in flight as a tracker tells them, with their entries.
    fn told<T: PackedTracker<Shared>>(tracker: &mut T) -> Vec<(u16, Request)> {
        let pending = tracker.pending();
        let request = |entry| {
            let told = tracker_descriptors(tracker, entry);
            let number = told.first().map_or(0, |descriptor| descriptor.id);
            let request = Request { number, num: u16::try_from(told.len()).expect("a chain") };
            assert!(told == request.descriptors(), "in-flight: {told:?} of {request:?}");
            (entry, request)
        };
        pending.into_iter().map(request).collect()
    }

    /// Runs a process until it is done or has ended.
    fn live<T: PackedTracker<Shared>>(&mut self, ops: &[Op]) {
        let Some(mut tracker) = self.take_over::<T>() else { return };
        let mut entries = Self::told(&mut tracker);
        for op in ops {
            match op {
                Op::Fetch { num } => self.fetch(&mut tracker, &mut entries, *num),
                Op::Complete { pick, refill } => {
                    self.complete(&mut tracker, &mut entries, *pick, *refill);
                }
            }
            if self.shared.is_dead() {
                return;
            }
        }
    }

    fn fetch<T: PackedTracker<Shared>>(
        &mut self,
        tracker: &mut T,
        entries: &mut Vec<(u16, Request)>,
        num: u16,
    ) {
        let driver = self.driver.get_mut();
        if driver.waiting.is_empty() && driver.room > 0 {
            driver.ask(&self.shared, num.min(driver.room));
        }
        let Some(request) = driver.waiting.pop_front() else { return };
        let entry = tracker.fetch(&request.descriptors()).expect("room");
        if self.shared.is_dead() {
            self.owed.cut = Some(request);
        } else {
            self.owed.requests.push(request);
            entries.push((entry, request));
        }
    }

    fn complete<T: PackedTracker<Shared>>(
        &mut self,
        tracker: &mut T,
        entries: &mut Vec<(u16, Request)>,
        pick: usize,
        refill: u16,
    ) {
        if entries.is_empty() {
            return;
        }
        let (entry, request) = entries.remove(pick % entries.len());
        let publish = |at: Position| {
            let mut driver = self.driver.borrow_mut();
            assert!(at == driver.used, "in-flight: used at {at:?}, not at {:?}", driver.used);
            let flags = if at.wrap { 0x8080 } else { 0 };
            self.shared.store(Store::RingFlags { index: at.index, flags });
            if !self.shared.is_dead() {
                driver.takes_back(request.num);
                let num = refill.min(driver.room);
                if num > 0 {
                    driver.ask(&self.shared, num);
                }
            }
        };
        let used = self.driver.borrow().used;
        tracker.complete(entry, &publish).expect("in flight");
        if self.driver.borrow().used != used {
            self.owed.requests.retain(|other| *other != request);
        }
    }

    /// Takes over, and demands that exactly what is owed is found, in order and in place.
    fn check<T: PackedTracker<Shared>>(&mut self) {
        let before = self.shared.bytes();
        let flags = self.shared.ring_flags();
        let expected =
            (before[8..10] != [0, 0]).then(|| model::reconnect(&before, &flags, Reading::Decided));
        self.shared.begin(None);
        let mut tracker = self.take_over::<T>().expect("a process that does not end");
        let told = Self::told(&mut tracker);
        let requests: Vec<Request> = told.iter().map(|(_, request)| *request).collect();
        let with_cut: Vec<Request> =
            self.owed.requests.iter().copied().chain(self.owed.cut).collect();
        assert!(
            requests == self.owed.requests || requests == with_cut,
            "in-flight: {requests:?} are done again, owed are {:?}",
            self.owed
        );
        let driver = self.driver.get_mut();
        let (at, expected_at) = (tracker.used(), driver.used);
        assert!(at == expected_at, "in-flight: the next is used at {at:?}, not at {expected_at:?}");
        if let Some(expected) = expected {
            assert_eq!(tracker.pending(), expected.pending, "model: of {before:?}");
            let region = Shared::region(&before);
            expected.stores.into_iter().for_each(|store| region.store(store));
            assert_eq!(self.shared.bytes(), region.bytes(), "model: the region after the recovery");
        }
        if let Some(cut) = self.owed.cut.take_if(|_| requests != with_cut) {
            driver.waiting.push_front(cut);
        }
        self.owed = Owed { requests, cut: None };
    }
}

fn tracker_descriptors<T: PackedTracker<Shared>>(tracker: &T, entry: u16) -> Vec<Descriptor> {
    tracker.descriptors(entry).unwrap_or_else(|error| panic!("in-flight: {entry}: {error}"))
}

/// Ends a process of the kind `T` after every number of stores, and its successor `U` too;
/// returns how many processes ended.
fn end_everywhere<T: PackedTracker<Shared>, U: PackedTracker<Shared>>(seeds: u64) -> usize {
    let mut ends = 0;
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let size = random.u16(1..=6);
        let ops = operations(&mut random, 14);
        for stores in 0.. {
            let mut world = World::new(size);
            world.shared.begin(Some(stores));
            world.live::<T>(&ops);
            let is_done = !world.shared.is_dead();
            for stores in 0.. {
                let mut again = world.copy();
                again.shared.begin(Some(stores));
                drop(again.take_over::<U>());
                ends += 1;
                let is_done = !again.shared.is_dead();
                again.check::<U>();
                if is_done {
                    break;
                }
            }
            if is_done {
                break;
            }
        }
    }
    ends
}

/// Many processes in one region, each ended at some time.
fn many_lives<T: PackedTracker<Shared>, U: PackedTracker<Shared>>(lives: usize) {
    let mut random = fastrand::Rng::with_seed(12);
    let mut world = World::new(7);
    for life in 0..lives {
        let ops = operations(&mut random, 20);
        world.shared.begin(random.bool().then(|| random.usize(..160)));
        if life % 2 == 0 {
            world.live::<T>(&ops);
            world.check::<U>();
        } else {
            world.live::<U>(&ops);
            world.check::<T>();
        }
    }
    assert!(world.driver.borrow().number > 1000, "{:?}", world.driver);
}

/// The model as a process: it makes the stores that the specification lists, by the text alone
/// (`DECIDED` is false) or with DC-034.
struct Model<const DECIDED: bool> {
    shared: Shared,
    pending: Vec<u16>,
    counter: u64,
    used: Position,
}

impl<const DECIDED: bool> Model<DECIDED> {
    const READING: Reading = if DECIDED { Reading::Decided } else { Reading::Text };
}

fn field(bytes: &[u8], offset: usize) -> u16 {
    u16::from_ne_bytes([bytes[offset], bytes[offset + 1]])
}

impl<const DECIDED: bool> PackedTracker<Shared> for Model<DECIDED> {
    fn take_over(
        shared: Shared,
        queue_size: u16,
        _: &dyn Fn(u16) -> u16,
    ) -> Result<Self, AreaError> {
        let bytes = shared.bytes();
        if bytes[8..10] == [0, 0] {
            let stores = model::initialise(&bytes, queue_size);
            stores.into_iter().for_each(|store| shared.store(store));
        }
        let (mut pending, mut counter) = (Vec::new(), 0);
        if !shared.is_dead() {
            let recovery = model::reconnect(&shared.bytes(), &shared.ring_flags(), Self::READING);
            recovery.stores.into_iter().for_each(|store| shared.store(store));
            (pending, counter) = (recovery.pending, recovery.counter);
        }
        let bytes = shared.bytes();
        let used = Position { index: field(&bytes, 16), wrap: bytes[20] == 1 };
        Ok(Self { shared, pending, counter, used })
    }

    fn used(&self) -> Position {
        self.used
    }

    fn pending(&mut self) -> Vec<u16> {
        self.pending.clone()
    }

    fn descriptors(&self, entry: u16) -> Result<Vec<Descriptor>, AreaError> {
        let bytes = self.shared.bytes();
        let offset = |index: u16| 32 + 32 * usize::from(index);
        let mut index = entry;
        let mut found = Vec::new();
        for _ in 0..field(&bytes, offset(entry) + 6) {
            let at = &bytes[offset(index)..][..32];
            found.push(Descriptor {
                addr: u64::from_ne_bytes(at[24..].try_into().expect("eight bytes")),
                len: u32::from_ne_bytes(at[20..24].try_into().expect("four bytes")),
                id: field(at, 16),
                flags: field(at, 18),
            });
            index = field(at, 2);
        }
        Ok(found)
    }

    fn fetch(&mut self, descriptors: &[Descriptor]) -> Result<u16, AreaError> {
        let plain: Vec<_> = descriptors.iter().map(|d| (d.addr, d.len, d.id, d.flags)).collect();
        let (stores, first) = model::fetch(&self.shared.bytes(), &plain, self.counter);
        stores.into_iter().for_each(|store| self.shared.store(store));
        self.counter += 1;
        Ok(first)
    }

    /// The flags of the model are those that `publish` writes.
    fn complete(&mut self, entry: u16, publish: &dyn Fn(Position)) -> Result<(), AreaError> {
        let is_flags = |store: &Store| matches!(store, Store::RingFlags { .. });
        let stores = model::complete(&self.shared.bytes(), &[entry], Self::READING);
        let (flags, region): (Vec<_>, Vec<_>) = stores.iter().cloned().partition(is_flags);
        let before = stores.iter().position(is_flags).unwrap_or(0);
        for (number, store) in region.into_iter().enumerate() {
            if number == before {
                let logged = self.shared.stores();
                publish(self.used);
                let made = self.shared.take_log();
                if !self.shared.is_dead() {
                    assert_eq!(made[logged..], flags, "model: flags in the ring");
                }
            }
            self.shared.store(store);
        }
        let bytes = self.shared.bytes();
        self.used = Position { index: field(&bytes, 16), wrap: bytes[20] == 1 };
        Ok(())
    }
}

type Core = PackedArea<Shared>;
type Plain<T> = PlainPacked<T, Shared>;

#[test]
fn whenever_a_process_ends_the_next_one_finds_what_is_owed() {
    let _shows = shows(&["VU-187", "VU-188", "DC-034"]);
    let ends = end_everywhere::<Core, Core>(40);
    assert!(ends > 5000, "only {ends} processes ended");
}

#[test]
fn the_model_and_the_core_take_over_from_each_other() {
    let _shows = shows(&["VU-187", "VU-188", "DC-034"]);
    end_everywhere::<Model<true>, Core>(20);
    end_everywhere::<Core, Model<true>>(20);
    many_lives::<Model<true>, Core>(400);
}

#[test]
fn a_region_serves_many_processes() {
    let _shows = shows(&["VU-187", "VU-188", "DC-034"]);
    many_lives::<Core, Core>(2000);
}

#[test]
fn a_plain_tracker_without_a_mistake_passes() {
    end_everywhere::<Plain<Nothing>, Plain<Nothing>>(20);
    many_lives::<Plain<Nothing>, Core>(400);
}

#[track_caller]
fn assert_caught<T: PackedTracker<Shared>>() {
    let end = || end_everywhere::<T, T>(40);
    let panic = catch_unwind(AssertUnwindSafe(end)).expect_err("the mistake is not seen");
    let text = vhost_fuzz_harness::report::panic_text(&*panic);
    assert!(text.starts_with("in-flight: "), "{text}");
}

#[test]
fn an_update_that_is_never_rolled_back_is_caught() {
    assert_caught::<Plain<NeverRollsBack>>();
}

#[test]
fn an_update_in_the_wrap_counter_alone_that_is_not_seen_is_caught() {
    assert_caught::<Plain<IgnoresTheWrapCounter>>();
}

/// Why DC-034 exists: by the words of the specification a request that takes the whole ring is
/// no update, because the used index comes back to where it was.
#[test]
fn the_text_alone_is_caught() {
    assert_caught::<Model<false>>();
}
