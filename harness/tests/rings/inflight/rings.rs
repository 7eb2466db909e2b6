//! Rings whose requests are recorded: a process may end before any store to the ring, the buffers
//! and the region. Whoever takes over answers each request exactly once, as the driver counts.

use std::sync::atomic::{AtomicU8, Ordering};

use vhost_fuzz_core::inflight::{AreaError, Geometry};
use vhost_fuzz_core::memory::{AddressKind, MemoryTable, RingSize};
use vhost_fuzz_core::ring::{
    ActivateError, Broken, Chain, Features, Guest, Layout as Form, Limits, PopError, Position,
    PutError, PutReason, Queue, Ring as _, Setup, Token, TrackedRing, Tracker,
};
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_world::driver::{self, AnyDriver, Driver as _, Format, Request, Style};
use vhost_fuzz_world::ram::{GuestRam as _, Layout, Shared, SharedRegion};

use crate::inflight::dying::{Clock, Dying, Region};

const SIZE: u16 = 8;

/// A driver, and memory for any number of processes after one another.
struct World {
    ram: Shared,
    clock: Clock,
    table: MemoryTable<Dying<SharedRegion>>,
    region: Region,
    driver: AnyDriver,
    /// Where the first process is told to begin, and, as nobody knows better, each other one.
    base: u32,
    /// Requests that were sent, and how often each came back.
    answers: Vec<u8>,
}

impl World {
    fn new(format: Format, seed: u64) -> Self {
        Self::with(format, seed, false)
    }

    fn with(format: Format, seed: u64, in_order: bool) -> Self {
        let ram = Shared::new(Layout::Odd).expect("memory");
        let clock = Clock::default();
        let mut table = MemoryTable::new(Layout::Odd.areas().len());
        for (index, described) in Layout::Odd.regions().into_iter().enumerate() {
            let memory = Dying { memory: ram.region(index), clock: clock.clone() };
            table.add(described, memory).expect("room");
        }
        // Not at the start of the ring, and packed with both wrap counters.
        let slot = u16::try_from(seed % u64::from(SIZE)).expect("a slot");
        let base = match format {
            Format::Split => slot.wrapping_sub(5),
            Format::Packed if seed.is_multiple_of(3) => slot,
            Format::Packed => slot | 0x8000,
        };
        let place = driver::Setup::place(Layout::Odd.areas(), format, SIZE).expect("room");
        let setup = driver::Setup {
            base,
            event_idx: seed.is_multiple_of(2),
            indirect: true,
            in_order,
            ..place
        };
        let driver = AnyDriver::new(format, setup, &ram);
        let base = driver.base();
        let geometry = Geometry { queues: 1, queue_size: SIZE, packed: format == Format::Packed };
        let len = usize::try_from(geometry.region_len()).expect("a short region");
        let region = Region::new(len, &clock);
        Self { ram, clock, table, region, driver, base, answers: Vec::new() }
    }

    /// Sends requests as long as there is room. Each begins with its number.
    fn send(&mut self, count: usize, seed: u64) {
        for turn in 0..count {
            let number = u8::try_from(self.answers.len()).expect("few requests");
            let style = Style { is_aliased: false, ..Style::draw(seed + turn as u64) };
            let readable = vec![number; 1 + usize::from(number % 5)];
            let request = Request { readable: &readable, writable: self.writable(number) as u64 };
            if self.driver.publish(&self.ram, &request, &style).is_err() {
                break;
            }
            self.answers.push(0);
        }
    }

    /// Bytes that come back. With `IN_ORDER` some requests have none, and can be part of a batch.
    fn writable(&self, number: u8) -> usize {
        let has_none = self.driver.setup().in_order && !number.is_multiple_of(3);
        if has_none { 0 } else { 1 + usize::from(number % 5) }
    }

    /// Takes back what was used.
    fn reap(&mut self) {
        while let Some(done) = self.driver.reap(&self.ram).expect("a strict driver is content") {
            let number = usize::try_from(done.tag.0).expect("few requests");
            self.answers[number] += 1;
            let byte = !u8::try_from(number).expect("few requests");
            let len = self.writable(!byte);
            assert!(done.data == vec![byte; len], "{number}: {done:?}");
        }
    }

    /// The head of the first request in a split ring.
    fn head_of_the_first(&self) -> usize {
        let driver::Setup { available, size, base, .. } = *self.driver.setup();
        let entry = available + 4 + 2 * u64::from(base % size);
        self.ram.load_u16(entry, Ordering::Relaxed).into()
    }

    fn setup(&self) -> Setup {
        let driver::Setup {
            size, descriptor, available, used, event_idx, indirect, in_order, ..
        } = *self.driver.setup();
        let size = RingSize::check(size.into(), true, SIZE).expect("a size");
        Setup {
            size,
            addresses: VringAddr { index: 0, flags: 0, descriptor, used, available, log: 0 },
            ring_kind: AddressKind::Guest,
            buffer_kind: AddressKind::Guest,
            features: Features { event_idx, indirect, version_1: true, in_order },
            limits: Limits::of(size),
        }
    }

    /// A process takes the ring over.
    fn start(&self) -> (Queue, Result<Tracker<Region>, ActivateError>) {
        let setup = self.setup();
        let is_packed = self.driver.format() == Format::Packed;
        let form = if is_packed { Form::Packed } else { Form::Split };
        let mut queue = Queue::new(form, setup.size);
        let base = Position::of(self.base, is_packed, true);
        let guest = Guest::new(&self.table);
        let tracker = Tracker::activate(&mut queue, &setup, base, &guest, self.region.clone());
        (queue, tracker)
    }

    /// A process that ends before the store after so many, or when all is done.
    fn live(&mut self, stores: Option<usize>, habits: u64) {
        self.clock.begin(stores);
        let setup = self.setup();
        let (mut queue, started) = self.start();
        let mut tracker = match started {
            Ok(tracker) => tracker,
            Err(_) if self.clock.is_over() => return,
            Err(error) => panic!("not started: {error}"),
        };
        let guest = Guest::new(&self.table);
        let ring = tracker.bind(queue.bind(&guest).expect("a started ring"));
        let mut device = Device {
            ring,
            chain: Chain::with_capacity(setup.limits.elements(setup.size)),
            held: Vec::new(),
            last: None,
            random: fastrand::Rng::with_seed(habits),
            in_order: setup.features.in_order,
            clock: self.clock.clone(),
        };
        device.run();
    }
}

/// A device that holds requests back, answers them in any order, and takes some back.
struct Device<'r> {
    ring: TrackedRing<'r, Region, Dying<SharedRegion>, [AtomicU8]>,
    chain: Chain,
    held: Vec<(Token, u32)>,
    /// The number of the request that was taken last.
    last: Option<u8>,
    random: fastrand::Rng,
    in_order: bool,
    clock: Clock,
}

impl Device<'_> {
    fn run(&mut self) {
        let mut is_dry = false;
        while !(self.clock.is_over() || is_dry && self.held.is_empty()) {
            match self.random.u8(..8) {
                0..4 => is_dry = !self.take(),
                4 => self.show(),
                _ => self.answer(),
            }
        }
        self.show();
    }

    /// Takes a request, and works for it; `false` when there is none.
    fn take(&mut self) -> bool {
        let taken = match self.ring.pop(&mut self.chain) {
            Ok(taken) => taken,
            Err(PopError::Yield) => None,
            Err(_) if self.clock.is_over() => None,
            Err(error) => panic!("not taken: {error}"),
        };
        let Some(token) = taken else { return false };
        let guest = self.ring.guest();
        let mut bytes = vec![0; usize::try_from(self.chain.readable_bytes()).expect("short")];
        self.chain.reader(&guest).read(&mut bytes).expect("readable");
        // Oldest first, what is owed before what is new (VU-187).
        assert!(self.last < Some(bytes[0]), "{} after {:?}", bytes[0], self.last);
        let token = if self.random.u8(..4) == 0 {
            match self.ring.unpop(token) {
                Ok(()) => return true,
                // It is owed by an earlier process: it is not at the front of the ring any more.
                Err(PutError { token, reason: PutReason::NotNewest }) => token,
                Err(error) => panic!("not taken back: {error}"),
            }
        } else {
            token
        };
        self.last = Some(bytes[0]);
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        let mut writer = self.chain.writer(&guest);
        let room = usize::try_from(self.chain.writable_bytes()).expect("short");
        writer.write(&bytes[..room]).expect("writable");
        let written = writer.written();
        self.held.push((token, written));
        true
    }

    /// Gives one of the requests back, or, with `IN_ORDER`, the oldest ones in a batch.
    fn answer(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let place = if self.in_order { 0 } else { self.random.usize(..self.held.len()) };
        let (token, len) = self.held.remove(place);
        let is_skipped = self.in_order && token.writable() == 0 && !self.held.is_empty();
        let given = if is_skipped && self.random.bool() {
            self.ring.skip(token)
        } else {
            self.ring.put(token, len)
        };
        match given {
            Err(error) if !self.clock.is_over() => panic!("not given back: {error}"),
            _ => {}
        }
    }

    fn show(&mut self) {
        match self.ring.publish() {
            Err(error) if !self.clock.is_over() => panic!("not shown: {error}"),
            _ => {}
        }
    }
}

/// Processes that end after `stores`, a second one after some more, and one that does the rest.
fn lives(format: Format, in_order: bool, seed: u64, stores: usize) -> bool {
    let mut world = World::with(format, seed, in_order);
    world.send(6, seed);
    world.live(Some(stores), seed);
    let is_cut = world.clock.is_over();
    world.reap();
    // As many as one wake-up takes.
    world.send(2, seed + 100);
    world.live(Some(stores * 7 % 40), seed + 1);
    world.reap();
    for round in 2..5 {
        world.live(None, seed + round);
        world.reap();
        assert_eq!(world.driver.in_flight(), 0, "all of {format:?} {seed} {stores} came back");
        world.send(5, seed + 100 * round);
    }
    world.live(None, seed);
    world.reap();
    assert!(world.answers.iter().all(|count| *count == 1), "{:?}", world.answers);
    is_cut
}

fn ends_anywhere(format: Format) {
    let mut cuts = 0;
    for seed in 0..16 {
        let mut stores = 0;
        // Some drivers have IN_ORDER.
        while lives(format, seed % 4 > 1, seed, stores) {
            stores += 1;
        }
        // Setting up the region alone takes some.
        assert!(stores > 40, "{stores}");
        cuts += stores;
    }
    assert!(cuts > 600, "{cuts}");
}

#[test]
fn each_request_of_a_split_ring_is_answered_once_whenever_a_process_ends() {
    let _shows = shows(&["VU-184", "VU-185", "VU-186", "VU-187", "DC-150", "DC-153", "DC-155"]);
    ends_anywhere(Format::Split);
}

#[test]
fn each_request_of_a_packed_ring_is_answered_once_whenever_a_process_ends() {
    let _shows = shows(&["VU-187", "VU-188", "DC-034", "DC-150", "DC-153", "DC-155"]);
    ends_anywhere(Format::Packed);
}

const FORMATS: [Format; 2] = [Format::Split, Format::Packed];

#[test]
fn nothing_is_allocated_for_a_chain() {
    for format in FORMATS {
        let mut world = World::new(format, 2);
        let (mut queue, tracker) = world.start();
        let mut tracker = tracker.expect("a new region");
        let mut chain = Chain::with_capacity(2048);
        for round in 0..40 {
            world.send(3, round);
            let allocations = allocation_counter::measure(|| {
                let guest = Guest::new(&world.table);
                let mut ring = tracker.bind(queue.bind(&guest).expect("a started ring"));
                while let Some(token) = ring.pop(&mut chain).expect("a good chain") {
                    ring.put(token, 0).expect("taken");
                }
                assert!(ring.publish().is_ok());
            });
            assert_eq!(allocations.count_total, 0, "{format:?}");
            while world.driver.reap(&world.ram).expect("a strict driver").is_some() {}
            assert_eq!(world.driver.in_flight(), 0);
        }
    }
}

#[test]
fn malformed_chains_of_an_earlier_process_go_back_unused() {
    let _shows = shows(&["VU-187"]);
    for format in FORMATS {
        let mut world = World::new(format, 2);
        world.send(2, 0);
        for is_second in [false, true] {
            let (mut queue, tracker) = world.start();
            let mut tracker = tracker.expect("a region in order");
            assert_eq!(tracker.owed(), if is_second { 2 } else { 0 });
            let guest = Guest::new(&world.table);
            let mut ring = tracker.bind(queue.bind(&guest).expect("a started ring"));
            for _ in 0..2 {
                // Room for no buffer: every chain has too many.
                let Err(PopError::Malformed { token, .. }) = ring.pop(&mut Chain::with_capacity(0))
                else {
                    panic!("a chain with too many buffers");
                };
                if is_second {
                    ring.put(token, 0).expect("taken again");
                }
            }
            assert_eq!(ring.publish(), Ok(is_second));
        }
        for _ in 0..2 {
            let done = world.driver.reap(&world.ram).expect("a strict driver").expect("used");
            assert_eq!(done.len, 0);
        }
    }
}

#[test]
fn a_region_for_another_ring_is_refused() {
    for format in FORMATS {
        let mut world = World::new(format, 2);
        world.region.tamper(8, &1_u16.to_ne_bytes());
        world.region.tamper(10, &16_u16.to_ne_bytes());
        let error = AreaError::DescNum { desc_num: 16, queue_size: SIZE };
        let (queue, tracker) = world.start();
        assert_refused!(tracker, ActivateError::Region(error));
        assert_eq!(queue.position(), None, "the queue is stopped");
        world.base = 1;
        let other = Position::of(world.base, format == Format::Split, true);
        let (mut queue, _) = world.start();
        let guest = Guest::new(&world.table);
        let started =
            Tracker::activate(&mut queue, &world.setup(), other, &guest, world.region.clone());
        assert_refused!(started, ActivateError::Layout);
    }
}

#[test]
fn a_ring_that_cannot_be_recorded_breaks() {
    for (format, counter_at) in [(Format::Split, 24), (Format::Packed, 40)] {
        let mut world = World::new(format, 2);
        world.send(1, 0);
        let (mut queue, tracker) = world.start();
        let mut tracker = tracker.expect("a new region");
        let mut chain = Chain::with_capacity(2048);
        let guest = Guest::new(&world.table);
        let mut ring = tracker.bind(queue.bind(&guest).expect("a started ring"));
        let _lost = ring.pop(&mut chain).expect("a good chain").expect("a chain");
        // Of the first request, which is to be at entry 0.
        let number = match format {
            Format::Split => world.head_of_the_first(),
            Format::Packed => 0,
        };
        let unit = if format == Format::Split { 16 } else { 32 };
        let last = u64::MAX - 1;
        world.region.tamper(counter_at + unit * number, &last.to_ne_bytes());
        let (mut queue, tracker) = world.start();
        let mut tracker = tracker.expect("a counter that has a next one");
        world.send(1, 1);
        let guest = Guest::new(&world.table);
        let mut ring = tracker.bind(queue.bind(&guest).expect("a started ring"));
        let _owed = ring.pop(&mut chain).expect("a good chain").expect("a chain");
        assert_refused!(ring.pop(&mut chain), PopError::Broken(Broken::Unrecorded));
        assert!(ring.publish().is_err() && ring.arm().is_err(), "it stays broken");
        let error = AreaError::Counter { counter: u64::MAX };
        assert_eq!(tracker.error(), Some(error));
    }
}
