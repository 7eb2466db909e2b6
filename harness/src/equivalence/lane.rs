//! One ring with its memory, its driver and its device.

use std::fmt;

use vhost_fuzz_core::memory::{AddressKind, RingSize};
use vhost_fuzz_core::ring::{
    Chain, Features as CoreFeatures, Guest, Layout, Limits, PopError, Position, Queue, Setup, Token,
};
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_model::ring as model;

use super::calls::Calls;
use super::device::{Device, Ground};
use super::driver::{Driver, Features, Parts, Reaped};
use super::packed::Packed;
use super::plan::{BYTES_MAX, CELL_COUNT, ELEMENTS_MAX, Plan};
use super::split::Split;
use crate::ram::{self, GuestRam as _, Ram};

/// Most entries of a ring.
pub const SIZE_MAX: u16 = 256;

/// Chains of a rig: one for each request that can be in flight, and one to find nothing in.
const CHAINS: usize = CELL_COUNT + 1;

/// Where the parts of a ring are. The cells of requests come after them.
const PARTS: Parts = Parts { descriptor: 0x1_0000, available: 0x1_1000, used: 0x1_1400 };

/// From guest addresses of the first region to user addresses.
const USER: u64 = 0x7f00_0000_0000;

/// What the driver leaves where the device may write.
const BLANK: u8 = 0x5a;

/// What every lane keeps from one session to the next.
#[derive(Debug)]
pub struct Rig {
    layout: Layout,
    ram: Ram,
    queue: Queue,
    /// A chain for each request that can be in flight.
    chains: Vec<Chain>,
}

impl Rig {
    /// Memory and a stopped queue.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        let max = RingSize::check(SIZE_MAX.into(), false, SIZE_MAX).expect("a power of two");
        Self {
            layout,
            ram: Ram::new(ram::Layout::Odd),
            queue: Queue::new(layout, max),
            chains: (0..CHAINS).map(|_| Chain::with_capacity(ELEMENTS_MAX)).collect(),
        }
    }
}

/// How a ring starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Entries.
    pub size: u16,
    /// Free-running index (split), or slot and in bit 15 the wrap counter (packed).
    pub at: u16,
    /// What was negotiated.
    pub features: Features,
}

/// One ring with its memory, its driver and its device.
pub struct Lane<D> {
    rig: Rig,
    start: Start,
    setup: Setup,
    driver: Box<dyn Driver>,
    device: D,
    calls: Calls,
    /// What the device has, oldest first.
    tokens: Vec<Token>,
    /// The chain of each of them, and its number among those of the rig.
    taken: Vec<usize>,
    /// Chains of the rig that no request has.
    spare: Vec<usize>,
    /// The device waits for a kick.
    is_asleep: bool,
    /// All that the driver has heard.
    heard: Vec<Reaped>,
}

impl<D> fmt::Debug for Lane<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("start", &self.start).finish_non_exhaustive()
    }
}

impl<D: Device> Lane<D> {
    /// A ring that has just started.
    ///
    /// # Panics
    /// The core refuses it.
    #[must_use]
    pub fn new(rig: Rig, start: Start) -> Self {
        rig.ram.clear();
        let Start { size, at, features } = start;
        let driver: Box<dyn Driver> = match rig.layout {
            Layout::Split => Box::new(Split::new(&rig.ram, PARTS, size, features, at)),
            Layout::Packed => {
                let at = model::Position::of_half(at);
                Box::new(Packed::new(&rig.ram, PARTS, size, features, at))
            }
        };
        let setup = setup(rig.layout, &start);
        let calls = Calls::new(rig.layout, size, PARTS, features, at);
        let device = D::new(&Ground { layout: rig.layout, setup, start: at });
        let mut lane = Self {
            rig,
            start,
            setup,
            driver,
            device,
            calls,
            tokens: Vec::with_capacity(CELL_COUNT),
            taken: Vec::with_capacity(CELL_COUNT),
            spare: (0..CHAINS).rev().collect(),
            is_asleep: false,
            heard: Vec::new(),
        };
        lane.activate();
        lane
    }

    /// What can be used again.
    #[must_use]
    pub fn into_rig(mut self) -> Rig {
        self.rig.queue.reset();
        self.rig
    }

    /// The layout of the ring.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.rig.layout
    }

    /// The name of the ring, for people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.rig.layout {
            Layout::Split => "the split ring",
            Layout::Packed => "the packed ring",
        }
    }

    /// All that the driver has heard.
    #[must_use]
    pub fn heard(&self) -> &[Reaped] {
        &self.heard
    }

    /// The device waits for a kick.
    #[must_use]
    pub const fn is_asleep(&self) -> bool {
        self.is_asleep
    }

    /// The driver's side.
    #[must_use]
    pub fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    fn activate(&mut self) {
        let Rig { layout, ram, queue, .. } = &mut self.rig;
        let at = self.calls.position();
        let base = match layout {
            Layout::Split => at.into(),
            Layout::Packed => {
                let at = model::Position::of_half(at);
                model::Position::base(at, at)
            }
        };
        let position = Position::of(base, *layout == Layout::Packed, true);
        let started = queue.activate(&self.setup, position, &Guest::new(ram.table()));
        assert!(started.is_ok(), "model: {} does not start: {started:?}", self.name());
    }

    /// The device stops, and starts where it was. Nothing is in flight.
    ///
    /// # Panics
    /// It is somewhere else.
    pub fn restart(&mut self) {
        let stopped = self.rig.queue.stop().map(Position::base);
        let at = self.calls.position();
        let half = u32::from(at);
        let expected = match self.layout() {
            Layout::Split => half,
            Layout::Packed => half << 16 | half,
        };
        assert!(
            stopped == Some(expected),
            "model: {} stopped at {stopped:x?}, not at {expected:#x}",
            self.name()
        );
        self.calls.restart();
        self.is_asleep = false;
        self.activate();
    }

    /// The driver writes a request with this content.
    pub fn offer(&mut self, plan: &Plan, number: usize, mut content: &[u8]) {
        let ram = &self.rig.ram;
        for element in &plan.elements {
            let len = element.len as usize;
            if element.is_writable {
                ram.put(element.address, &[BLANK; BYTES_MAX as usize][..len]);
            } else {
                let (now, later) = content.split_at(len);
                ram.put(element.address, now);
                content = later;
            }
        }
        self.driver.offer(ram, plan, number);
    }

    /// The driver shows what it has offered. `true`: it kicks the device.
    ///
    /// # Panics
    /// It kicks no device that sleeps.
    pub fn show(&mut self) -> bool {
        let is_kicked = self.driver.publish(&self.rig.ram);
        assert!(
            is_kicked || !self.is_asleep,
            "liveness: {} sleeps and is not kicked: VQ-048, PK-037",
            self.name()
        );
        self.is_asleep &= !is_kicked;
        is_kicked
    }

    /// The driver says when it wants to be called.
    pub fn want_calls(&mut self, wish: super::driver::Wish) {
        self.driver.want_calls(&self.rig.ram, wish);
    }

    /// The driver looks what was used.
    ///
    /// # Panics
    /// The device says what it may not.
    pub fn reap(&mut self) {
        let reaped = self.driver.reap(&self.rig.ram, &mut self.heard);
        if let Err(wrong) = reaped {
            panic!("ring ledger: {}: {wrong}: VQ-040", self.name());
        }
    }

    /// What the device wrote to a request: the front has to be `expected`, and the rest is as it
    /// was.
    ///
    /// # Panics
    /// It is not.
    pub fn check_written(&self, plan: &Plan, number: usize, expected: &[u8]) {
        let mut bytes = [0; BYTES_MAX as usize];
        let mut len = 0;
        for element in plan.elements.iter().filter(|element| element.is_writable) {
            let end = len + element.len as usize;
            if element.len > 0 {
                self.rig.ram.get(element.address, &mut bytes[len..end]);
            }
            len = end;
        }
        let (front, rest) = bytes[..len].split_at(expected.len());
        let name = self.name();
        assert!(front == expected, "model: {name}: request {number} got {front:x?}");
        let is_blank = rest.iter().all(|byte| *byte == BLANK);
        assert!(is_blank, "model: {name}: request {number} has more than was written: {rest:x?}");
    }

    /// The device takes at most `count` chains, which have to be `expected`: content and room,
    /// and the slots that they take. Gives how many turns it took.
    ///
    /// # Panics
    /// They are not.
    pub fn take<'a>(
        &mut self,
        count: usize,
        mut expected: impl Iterator<Item = (usize, &'a [u8], u64)>,
    ) -> usize {
        let (mut taken, mut turns) = (0, 0);
        loop {
            turns += 1;
            let done = self.turn(count - taken, &mut expected);
            taken += done;
            if taken == count || done < usize::from(self.start.size) {
                break;
            }
        }
        let left = expected.next().map(|(number, ..)| number);
        assert!(left.is_none(), "liveness: {} does not find request {left:?}", self.name());
        turns
    }

    /// One wake-up: takes at most `count` chains.
    fn turn<'a>(
        &mut self,
        count: usize,
        expected: &mut impl Iterator<Item = (usize, &'a [u8], u64)>,
    ) -> usize {
        let name = self.name();
        let Self { rig, device, tokens, taken, spare, start, .. } = self;
        let Rig { ram, queue, chains, .. } = rig;
        let mut ring = match queue.bind(&Guest::new(ram.table())) {
            Ok(ring) => ring,
            Err(error) => panic!("model: {name} is not bound: {error}"),
        };
        for done in 0..count {
            // There is one: a request that nobody made would have ended the run.
            let Some(at) = spare.pop() else { panic!("ring ledger: {name} takes too many chains") };
            let chain = &mut chains[at];
            let token = match device.pop(&mut ring, chain) {
                Ok(Some(token)) => token,
                other => {
                    spare.push(at);
                    let is_turn = matches!(other, Err(PopError::Yield));
                    assert!(
                        is_turn == (done == usize::from(start.size)) && (is_turn || other.is_ok()),
                        "model: {name}: a legal chain is not taken: {other:?}, {done} were before"
                    );
                    return done;
                }
            };
            tokens.push(token);
            taken.push(at);
            let Some((number, content, room)) = expected.next() else {
                panic!("ring ledger: {name}: nobody made a chain available: {chain:x?}")
            };
            let mut bytes = [0; 2 * BYTES_MAX as usize];
            let read = device.read(&ring, chain, &mut bytes);
            let Ok(len) = read else { panic!("model: {name}: request {number}: {read:?}") };
            assert!(
                bytes[..len] == *content && chain.writable_bytes() == room,
                "model: {name}: request {number} has {:x?} and room for {}, not {content:x?} and {room}",
                &bytes[..len],
                chain.writable_bytes()
            );
        }
        count
    }

    /// The device writes to one of the requests that it has, and gives it back.
    ///
    /// # Panics
    /// The core refuses.
    pub fn complete(&mut self, at: usize, plan: &Plan, bytes: &[u8]) {
        let name = self.name();
        let Self { rig, device, tokens, taken, spare, calls, .. } = self;
        let Rig { ram, queue, chains, .. } = rig;
        let ring = queue.bind(&Guest::new(ram.table()));
        let Ok(mut ring) = ring else { panic!("model: {name} is not bound: {ring:?}") };
        let number = taken.remove(at);
        let written = device.write(&ring, &chains[number], bytes);
        let Ok(len) = written else { panic!("model: {name}: a buffer is gone: {written:?}") };
        let put = device.put(&mut ring, tokens, at, len);
        assert!(put.is_ok(), "model: {name}: a buffer is not given back: {put:?}");
        spare.push(number);
        calls.put(slots(plan));
    }

    /// The oldest request that the device has becomes part of a batch.
    ///
    /// # Panics
    /// The core refuses.
    pub fn skip(&mut self, plan: &Plan) {
        let name = self.name();
        let Self { rig, device, tokens, taken, spare, calls, .. } = self;
        let ring = rig.queue.bind(&Guest::new(rig.ram.table()));
        let Ok(mut ring) = ring else { panic!("model: {name} is not bound: {ring:?}") };
        let skipped = device.skip(&mut ring, tokens);
        assert!(skipped.is_ok(), "model: {name}: a buffer is in no batch: {skipped:?}");
        spare.push(taken.remove(0));
        calls.put(slots(plan));
    }

    /// The device shows what it gave back. `true`: it calls the driver.
    ///
    /// # Panics
    /// It calls when the driver does not want that, or does not call when it does.
    pub fn publish(&mut self) -> bool {
        let name = self.name();
        let is_called = self.wake(|device, ring| device.publish(ring));
        let is_wanted = self.calls.publish(&self.rig.ram);
        if is_wanted {
            assert!(is_called, "liveness: {name}: a call is lost: VQ-043, VQ-045, PK-033, PK-034");
        } else {
            assert!(!is_called, "model: {name}: nobody wants the call: VQ-044, VQ-046, PK-034");
        }
        is_called
    }

    /// The device asks for kicks; `is_more` says whether there is more to do. Without, it sleeps.
    ///
    /// # Panics
    /// It sees less, or more.
    pub fn arm(&mut self, is_more: bool) {
        let found = self.wake(|device, ring| device.arm(ring));
        assert!(
            found == is_more,
            "liveness: {}: more to do: {is_more}; the device says {found}: VQ-048, PK-037",
            self.name()
        );
        self.is_asleep = !found;
    }

    /// The device asks for no kicks, and does not sleep.
    pub fn disarm(&mut self) {
        self.wake(|device, ring| device.disarm(ring));
        self.is_asleep = false;
    }

    /// One wake-up for one call.
    fn wake<T>(
        &mut self,
        call: impl FnOnce(
            &mut D,
            &mut super::device::Bound<'_>,
        ) -> Result<T, vhost_fuzz_core::ring::Broken>,
    ) -> T {
        let name = self.name();
        let Self { rig, device, .. } = self;
        let ring = rig.queue.bind(&Guest::new(rig.ram.table()));
        let Ok(mut ring) = ring else { panic!("model: {name} is not bound: {ring:?}") };
        match call(device, &mut ring) {
            Ok(value) => value,
            Err(broken) => panic!("model: {name} is broken: {broken}"),
        }
    }

    /// Nothing is in flight on either side.
    ///
    /// # Panics
    /// Something is.
    pub fn assert_idle(&self) {
        let in_flight = self.rig.queue.in_flight();
        assert!(
            self.tokens.is_empty() && in_flight == 0 && self.driver.is_idle(),
            "ring ledger: {}: {in_flight} are in flight at the end: VQ-040",
            self.name()
        );
    }
}

fn slots(plan: &Plan) -> u16 {
    u16::try_from(plan.packed_slots()).unwrap_or(u16::MAX)
}

/// What the front-end says about a ring.
fn setup(layout: Layout, start: &Start) -> Setup {
    let is_packed = layout == Layout::Packed;
    let size = RingSize::check(start.size.into(), is_packed, SIZE_MAX).expect("a legal size");
    let Features { event_idx, indirect, in_order } = start.features;
    Setup {
        size,
        addresses: VringAddr {
            index: 0,
            flags: 0,
            descriptor: USER + PARTS.descriptor,
            used: USER + PARTS.used,
            available: USER + PARTS.available,
            log: 0,
        },
        ring_kind: AddressKind::User,
        buffer_kind: AddressKind::Guest,
        features: CoreFeatures { event_idx, indirect, in_order, version_1: true },
        limits: Limits::of(size),
    }
}
