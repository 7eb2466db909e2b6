//! Short programs of two threads, each with one thing that must not happen.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use loom::thread;
use vhost_fuzz_core::memory::{AddressKind, MemoryTable, RingSize};
use vhost_fuzz_core::ring::{
    Chain, Features, Guest, Layout, Limits, Position, Queue, QueueRing, Ring as _, RingMemory as _,
    Setup, Token,
};
use vhost_fuzz_core::vhost_user::payload::{Region, VringAddr};

use super::driver::{Driver, Plan, Used};
use super::memory::{Cells, Fault, Faulty};

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) layout: Layout,
    pub(crate) event_idx: bool,
    pub(crate) fault: Fault,
}

type Bound<'r> = QueueRing<'r, Faulty, [AtomicU8]>;

/// The device: the code under test, over the cells.
struct Device {
    queue: Queue,
    table: MemoryTable<Faulty>,
    chain: Chain,
}

impl Device {
    fn start(plan: Plan, cells: Arc<Cells>, fault: Fault) -> Self {
        let is_packed = plan.layout == Layout::Packed;
        let size = RingSize::check(plan.size.into(), is_packed, plan.size).expect("a size");
        let setup = Setup {
            size,
            addresses: VringAddr {
                index: 0,
                flags: 0,
                descriptor: 0,
                used: plan.device_area(),
                available: plan.driver_area(),
                log: 0,
            },
            ring_kind: AddressKind::Guest,
            buffer_kind: AddressKind::Guest,
            features: Features {
                event_idx: plan.event_idx,
                version_1: true,
                ..Features::default()
            },
            limits: Limits::of(size),
        };
        let mut table = MemoryTable::new(1);
        let region = Region {
            guest_address: 0,
            size: plan.bytes(),
            user_address: 0,
            mmap_offset: 0,
            xen: None,
        };
        table.add(region, Faulty { cells, fault }).expect("a region");
        let mut queue = Queue::new(plan.layout, size);
        let base = if is_packed { 0x8000_8000 } else { 0 };
        let position = Position::of(base, is_packed, false);
        queue.activate(&setup, position, &Guest::new(&table)).expect("a queue");
        Self { queue, table, chain: Chain::with_capacity(2) }
    }

    fn wake<R>(&mut self, work: impl FnOnce(&mut Bound<'_>, &mut Chain) -> R) -> R {
        let mut ring = self.queue.bind(&Guest::new(&self.table)).expect("a ring");
        work(&mut ring, &mut self.chain)
    }
}

/// What the device answers.
pub(crate) const fn answer(request: u16) -> u16 {
    !request
}

/// Takes a chain and the request in it.
fn pop(ring: &mut Bound<'_>, chain: &mut Chain) -> Option<(Token, u16)> {
    let token = ring.pop(chain).expect("content: a good chain")?;
    let mut request = [0; 2];
    let read = chain.reader(&ring.guest()).read_exact(&mut request);
    assert_eq!(read, Ok(true), "content: {chain:?}");
    Some((token, u16::from_le_bytes(request)))
}

/// Answers a chain and gives it back.
fn put(ring: &mut Bound<'_>, chain: &Chain, token: Token, request: u16) {
    let mut writer = chain.writer(&ring.guest());
    assert_eq!(writer.write(&answer(request).to_le_bytes()), Ok(2), "content: {chain:?}");
    let len = writer.written();
    ring.put(token, len).expect("a good put");
}

/// A started queue, through which one chain has gone, so that the first notification, which is
/// unconditional, is behind it. Nobody wants to be notified.
fn start(case: Case, size: u16) -> (Plan, Arc<Cells>, Box<dyn Driver>, Device) {
    let plan = Plan { layout: case.layout, size, event_idx: case.event_idx };
    let cells = Cells::new(plan.bytes());
    let mut driver = plan.driver(Arc::clone(&cells));
    let mut device = Device::start(plan, Arc::clone(&cells), case.fault);
    driver.send(FIRST);
    driver.is_kick_wanted();
    device.wake(|ring, chain| {
        let (token, request) = pop(ring, chain).expect("the first chain");
        put(ring, chain, token, request);
        assert_eq!(ring.publish(), Ok(true));
        ring.disarm().expect("a good ring");
    });
    assert_eq!(driver.take(), Some(Used { pair: 0, len: 2, answer: answer(FIRST) }));
    driver.disarm();
    (plan, cells, driver, device)
}

/// Room for two chains. The packed one is no power of two, and its second lap begins within the
/// third chain.
const fn size_of(layout: Layout) -> u16 {
    match layout {
        Layout::Split => 4,
        Layout::Packed => 5,
    }
}

const FIRST: u16 = 0x1111;
const SECOND: u16 = 0x2222;
const THIRD: u16 = 0x3333;

/// What the device takes is what the driver wrote before it made the chain available.
pub(crate) fn content<const CHAINS: usize>(case: Case) {
    let (_, _, mut driver, mut device) = start(case, size_of(case.layout));
    let device = thread::spawn(move || {
        device.wake(|ring, chain| {
            [(); CHAINS].map(|()| pop(ring, chain).map(|(_token, request)| request))
        })
    });
    let sent = &[SECOND, THIRD][..CHAINS];
    sent.iter().for_each(|request| driver.send(*request));
    let seen = device.join().expect("the device");
    let requests: Vec<u16> = seen.into_iter().flatten().collect();
    assert!(sent.starts_with(&requests), "content: {seen:x?}");
}

/// A device that armed takes the chain, or the driver kicks.
pub(crate) fn kick(case: Case) {
    let (_, _, mut driver, mut device) = start(case, size_of(case.layout));
    let device = thread::spawn(move || {
        device.wake(|ring, chain| {
            let is_more = case.fault != Fault::NoArm && ring.arm().expect("a good ring");
            (is_more && case.fault != Fault::NoRecheck).then(|| {
                let (_token, request) = pop(ring, chain).expect("arm said that there is more");
                request
            })
        })
    });
    driver.send(SECOND);
    let is_kicked = driver.is_kick_wanted();
    let seen = device.join().expect("the device");
    assert!(is_kicked || seen.is_some(), "lost kick");
    assert!(matches!(seen, None | Some(SECOND)), "content: {seen:x?}");
}

/// What the driver takes is what the device wrote before it published, and of a batch it sees all
/// or nothing.
pub(crate) fn batch(case: Case) {
    let (_, _, mut driver, mut device) = start(case, size_of(case.layout));
    driver.send(SECOND);
    driver.send(THIRD);
    let device = thread::spawn(move || {
        device.wake(|ring, chain| {
            for expected in [SECOND, THIRD] {
                let (token, request) = pop(ring, chain).expect("a chain");
                assert_eq!(request, expected);
                put(ring, chain, token, request);
            }
            let _ = ring.publish();
        });
    });
    let pairs = case.pairs();
    if let Some(used) = driver.take() {
        let expected = Used { pair: 1 % pairs, len: 2, answer: answer(SECOND) };
        assert_eq!(used, expected, "answer");
        let expected = Used { pair: 2 % pairs, len: 2, answer: answer(THIRD) };
        assert_eq!(driver.take(), Some(expected), "answer: the rest of the batch");
    }
    device.join().expect("the device");
}

/// A driver that armed takes the used buffer, or the device calls.
pub(crate) fn call(case: Case) {
    let (_, _, mut driver, mut device) = start(case, size_of(case.layout));
    driver.send(SECOND);
    let device = thread::spawn(move || {
        device.wake(|ring, chain| {
            let (token, request) = pop(ring, chain).expect("a chain");
            put(ring, chain, token, request);
            ring.publish().expect("a good ring") && case.fault != Fault::NoCall
        })
    });
    let is_more = driver.arm() && case.fault != Fault::NoDriverRecheck;
    let used = is_more.then(|| driver.take());
    let is_called = device.join().expect("the device");
    assert!(is_called || is_more, "lost call");
    let expected = Some(Used { pair: 1 % case.pairs(), len: 2, answer: answer(SECOND) });
    assert!(used.is_none() || used == Some(expected), "answer: {used:x?}");
}

/// A driver of a packed ring that sees the flags of an armed device sees their position.
pub(crate) fn wish(case: Case) {
    let (plan, cells, _driver, mut device) = start(case, size_of(case.layout));
    let device = thread::spawn(move || {
        device.wake(|ring, _| assert_eq!(ring.arm(), Ok(false)));
    });
    let area = plan.device_area();
    let flags = cells.load_u16(area + 2, Acquire);
    if flags == Some(2) {
        let position = cells.load_u16(area, Relaxed);
        assert_eq!(position, Some(1 << 15 | 2), "position of an older wish");
    }
    device.join().expect("the device");
}

impl Case {
    /// Pairs of buffers of the driver.
    const fn pairs(self) -> u16 {
        size_of(self.layout) / 2
    }
}

/// Chains that go round in [`conversation`]: more than fit the ring at a time.
const ROUNDS: u16 = 2;

/// Driver and device hand chains to and fro through a ring that has room for one, and sleep when
/// there is nothing to do. loom reports a deadlock when both sleep.
pub(crate) fn conversation(case: Case) {
    let size = match case.layout {
        Layout::Split => 2,
        Layout::Packed => 3,
    };
    let (_, _, mut driver, mut device) = start(case, size);
    let sleeper = thread::current();
    let device = thread::spawn(move || {
        let mut served = 0;
        while served < ROUNDS {
            let (count, is_call, is_more) = device.wake(|ring, chain| serve(ring, chain, case));
            served += count;
            if is_call {
                sleeper.unpark();
            }
            if !is_more && served < ROUNDS {
                thread::park();
            }
        }
    });
    for round in 0..ROUNDS {
        driver.send(SECOND + round);
        if driver.is_kick_wanted() {
            device.thread().unpark();
        }
        let used = loop {
            if let Some(used) = driver.take() {
                break used;
            }
            if !driver.arm() {
                thread::park();
            }
        };
        let expected = Used { pair: 0, len: 2, answer: answer(SECOND + round) };
        assert_eq!(used, expected, "answer");
        driver.disarm();
    }
    assert_eq!(driver.take(), None, "a buffer too many");
    device.join().expect("the device");
}

/// One wake-up: how many chains it served, whether to call, and whether to stay awake.
fn serve(ring: &mut Bound<'_>, chain: &mut Chain, case: Case) -> (u16, bool, bool) {
    let mut served = 0;
    ring.disarm().expect("a good ring");
    while let Some((token, request)) = pop(ring, chain) {
        put(ring, chain, token, request);
        served += 1;
    }
    let is_call = ring.publish().expect("a good ring") && case.fault != Fault::NoCall;
    let is_more = ring.arm().expect("a good ring") && case.fault != Fault::NoRecheck;
    (served, is_call, is_more)
}
