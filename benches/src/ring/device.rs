//! The device: the walkers of the core on the memory of a plan.

use std::hint::black_box;
use std::time::{Duration, Instant};

use vhost_fuzz_core::memory::{AddressKind, MemoryTable, RingSize};
use vhost_fuzz_core::ring::{
    Chain, Features, Guest, Layout, Limits, PackedQueue, Position, Ring, Setup, SplitQueue, Token,
};

use super::memory::Backing;
use super::{Driver, Memory, Plan};

/// A device, its driver and their memory.
#[derive(Debug)]
pub struct Device {
    plan: Plan,
    driver: Driver,
    table: MemoryTable<Backing>,
    queue: Queue,
    work: Work,
    setup: Setup,
    /// Where the batch begins that [`take`](Self::take) takes again and again.
    begin: Option<Position>,
}

#[derive(Debug)]
enum Queue {
    Split(SplitQueue),
    Packed(PackedQueue),
}

/// What a device needs to work on chains, allocated once.
#[derive(Debug)]
struct Work {
    chain: Chain,
    tokens: Vec<Token>,
    payload: Vec<u8>,
}

/// Calls `$work` with the ring of a queue, whichever layout it has.
macro_rules! on {
    ($queue:expr, $guest:expr, $work:expr) => {
        match $queue {
            Queue::Split(queue) => $work(&mut queue.bind($guest).expect("a ring")),
            Queue::Packed(queue) => $work(&mut queue.bind($guest).expect("a ring")),
        }
    };
}

/// Calls a method of a queue, whichever layout it has.
macro_rules! on_queue {
    ($either:expr, |$queue:ident| $call:expr) => {
        match $either {
            Queue::Split($queue) => $call,
            Queue::Packed($queue) => $call,
        }
    };
}

impl Device {
    /// A device on memory of its own, which has gone through a batch and found the payload right.
    ///
    /// # Panics
    /// When a chain or its payload is not what the driver made.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let memory = Memory::new(plan);
        let table = memory.table();
        let size = RingSize::check(plan.size().into(), plan.layout == Layout::Packed, 1024);
        let size = size.expect("a size of a ring");
        let limits = Limits::of(size);
        let setup = Setup {
            size,
            addresses: memory.addresses(),
            ring_kind: AddressKind::Guest,
            buffer_kind: AddressKind::Guest,
            features: Features { indirect: true, version_1: true, ..Features::default() },
            limits,
        };
        let queue = activate(&setup, plan.layout, &Guest::new(&table));
        let work = Work {
            chain: Chain::with_capacity(limits.elements(size)),
            tokens: Vec::with_capacity(plan.chains().into()),
            payload: vec![0; plan.payload],
        };
        let mut device =
            Self { plan, driver: Driver::new(&memory), table, queue, work, setup, begin: None };
        for _ in 0..2 {
            device.work.payload.fill(0);
            device.walk();
            assert_eq!(device.work.payload, plan.expected(), "{plan:?}: the payload");
            device.serve();
            device.each();
        }
        device
    }

    /// Descriptors of a batch, in the ring and in tables.
    #[must_use]
    pub fn descriptors(&self) -> u64 {
        let tables = u64::from(self.plan.is_indirect);
        u64::from(self.plan.chains()) * (u64::from(self.plan.buffers) + tables)
    }

    /// Takes the chains of a batch, and nothing else. The queue starts before it where it was
    /// before the first time, which costs less than an instruction a descriptor, and the driver
    /// does nothing.
    ///
    /// # Panics
    /// When a chain is not what the driver made.
    pub fn take(&mut self) {
        let Self { plan, driver, table, queue, work, setup, begin } = self;
        let guest = Guest::new(table);
        let position = *begin.get_or_insert_with(|| {
            let position = on_queue!(queue, |queue| queue.position());
            driver.arm();
            position.expect("a running queue")
        });
        on_queue!(queue, |queue| queue.activate(setup, position, &guest)).expect("a ring");
        on!(queue, &guest, |ring| take_only(ring, &guest, plan, work));
    }

    /// Takes the chains of a batch, then gives all back and publishes. Returns how long taking
    /// them took, with reading their payloads.
    pub fn walk(&mut self) -> Duration {
        self.driver.arm();
        let Self { plan, table, queue, work, .. } = self;
        let guest = Guest::new(table);
        let start = Instant::now();
        on!(queue, &guest, |ring| take(ring, &guest, plan, work));
        let time = start.elapsed();
        on!(queue, &guest, |ring| give(ring, work));
        time
    }

    /// Takes the chains of a batch, then gives all back and publishes. Returns how long giving
    /// them back and publishing took.
    pub fn publish(&mut self) -> Duration {
        self.driver.arm();
        let Self { plan, table, queue, work, .. } = self;
        let guest = Guest::new(table);
        on!(queue, &guest, |ring| take(ring, &guest, plan, work));
        let start = Instant::now();
        on!(queue, &guest, |ring| give(ring, work));
        start.elapsed()
    }

    /// Takes each chain of a batch and gives it back before the next, and publishes. Returns how
    /// long that took, with reading their payloads.
    pub fn serve(&mut self) -> Duration {
        self.one_by_one(false)
    }

    /// As [`serve`](Self::serve), but publishes after each chain.
    pub fn each(&mut self) -> Duration {
        self.one_by_one(true)
    }

    fn one_by_one(&mut self, publish: bool) -> Duration {
        self.driver.arm();
        let Self { plan, table, queue, work, .. } = self;
        let guest = Guest::new(table);
        let start = Instant::now();
        on!(queue, &guest, |ring| serve(ring, &guest, plan, work, publish));
        start.elapsed()
    }
}

fn activate(setup: &Setup, layout: Layout, guest: &Guest<'_, Backing>) -> Queue {
    match layout {
        Layout::Split => {
            let mut queue = SplitQueue::new(setup.size);
            let position = Position::Split { available: 0 };
            queue.activate(setup, position, guest).expect("a ring");
            Queue::Split(queue)
        }
        Layout::Packed => {
            let mut queue = PackedQueue::new(setup.size);
            let position =
                Position::Packed { available: 0, available_wrap: true, used: 0, used_wrap: true };
            queue.activate(setup, position, guest).expect("a ring");
            Queue::Packed(queue)
        }
    }
}

/// Takes a chain and reads its payload. Returns what is owed for it, and the bytes that it has.
#[inline(always)]
fn next(
    ring: &mut impl Ring,
    guest: &Guest<'_, Backing>,
    chain: &mut Chain,
    payload: &mut [u8],
) -> (Token, u64) {
    let token = ring.pop(chain).expect("a good chain").expect("a chain");
    let chain = black_box(&*chain);
    if !payload.is_empty() {
        let is_whole = chain.reader(guest).read_exact(payload);
        assert_eq!(is_whole, Ok(true), "the payload");
        black_box(payload);
    }
    (token, chain.readable_bytes() + chain.writable_bytes())
}

/// Takes the chains of a batch.
#[inline(never)]
fn take(ring: &mut impl Ring, guest: &Guest<'_, Backing>, plan: &Plan, work: &mut Work) {
    let mut sum = 0;
    for _ in 0..plan.chains() {
        let (token, bytes) = next(ring, guest, &mut work.chain, &mut work.payload);
        work.tokens.push(token);
        sum += bytes;
    }
    assert_eq!(sum, plan.bytes(), "the bytes of all chains");
}

/// Takes the chains of a batch, and keeps nothing of them.
#[inline(never)]
fn take_only(ring: &mut impl Ring, guest: &Guest<'_, Backing>, plan: &Plan, work: &mut Work) {
    let mut sum = 0;
    for _ in 0..plan.chains() {
        let (token, bytes) = next(ring, guest, &mut work.chain, &mut work.payload);
        sum += bytes;
        drop(black_box(token));
    }
    assert_eq!(sum, plan.bytes(), "the bytes of all chains");
}

/// Gives the chains of a batch back.
#[inline(never)]
fn give(ring: &mut impl Ring, work: &mut Work) {
    for token in work.tokens.drain(..) {
        ring.put(token, 0).expect("a token");
    }
    assert_eq!(ring.publish(), Ok(true), "the driver wants a call");
}

/// Takes and gives back one chain after the other, and publishes all at the end or each.
#[inline(never)]
fn serve(
    ring: &mut impl Ring,
    guest: &Guest<'_, Backing>,
    plan: &Plan,
    work: &mut Work,
    publish: bool,
) {
    let (mut sum, mut left) = (0, plan.chains());
    while left > 0 {
        left -= 1;
        let (token, bytes) = next(ring, guest, &mut work.chain, &mut work.payload);
        sum += bytes;
        ring.put(token, 0).expect("a token");
        if publish || left == 0 {
            assert_eq!(ring.publish(), Ok(true), "the driver wants a call");
        }
    }
    assert_eq!(sum, plan.bytes(), "the bytes of all chains");
}

/// A chain whose buffers are read, or written, again and again.
#[derive(Debug)]
pub struct Transfer {
    table: MemoryTable<Backing>,
    chain: Chain,
    bytes: Vec<u8>,
    is_write: bool,
}

impl Transfer {
    /// The bytes are read from the readable buffers of the first chain of a plan.
    ///
    /// # Panics
    /// When they are not those that the driver wrote.
    #[must_use]
    pub fn read(plan: Plan) -> Self {
        let Device { table, mut work, .. } = Device::new(plan);
        work.payload.fill(0);
        let mut transfer = Self { table, chain: work.chain, bytes: work.payload, is_write: false };
        transfer.run(1);
        assert_eq!(transfer.bytes, plan.expected(), "{plan:?}: the payload");
        transfer
    }

    /// As many bytes are written to its writable buffers.
    ///
    /// # Panics
    /// When there is no room for them.
    #[must_use]
    pub fn write(plan: Plan) -> Self {
        Self { is_write: true, ..Self::read(plan) }
    }

    /// Makes a reader or a writer and moves the bytes, `times` times.
    ///
    /// # Panics
    /// When not all of them can be moved.
    #[inline(never)]
    pub fn run(&mut self, times: u64) {
        let Self { table, chain, bytes, is_write } = self;
        let guest = Guest::new(table);
        for _ in 0..times {
            let chain = black_box(&*chain);
            let moved = if *is_write {
                chain.writer(&guest).write(black_box(bytes)).expect("memory")
            } else {
                chain.reader(&guest).read(black_box(bytes)).expect("memory")
            };
            assert_eq!(moved, bytes.len(), "the bytes that were moved");
        }
    }
}
