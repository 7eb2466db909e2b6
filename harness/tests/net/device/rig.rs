//! What the tests share.

use std::cell::RefCell;

use vhost_fuzz_core::memory::RingSize;
use vhost_fuzz_core::net::device::{Device, Due};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::ring::{Layout as Form, Queue};
use vhost_fuzz_harness::net_device::{NetDevice, Outcome, Start, Step, bit, run, setup};
use vhost_fuzz_harness::ram::GuestRam as _;
use vhost_fuzz_harness::ring::world::{World, position};
use vhost_fuzz_world::net::driver::{self, Driver};
use vhost_fuzz_world::net::{CONTROL, QUEUES, receive, transmit};
use vhost_fuzz_world::ring::{step::Start as Ring, world};

/// Every way to lay out rings.
pub(crate) fn starts() -> impl Iterator<Item = Start> {
    [Form::Split, Form::Packed]
        .into_iter()
        .flat_map(|form| (0..8).map(move |rings| Start { form, rings, ..Start::default() }))
}

/// A device with more features.
pub(crate) fn with(features: u128) -> Start {
    let start = Start::default();
    Start { features: start.features | features, ..start }
}

/// Buffers may be merged.
pub(crate) fn merging(start: Start) -> Start {
    Start { features: start.features | bit::MRG_RXBUF, ..start }
}

/// Runs steps on a device that starts so, with every oracle.
pub(crate) fn run(start: Start, steps: &[Step<'_>]) -> Outcome {
    let mut all = vec![Step::Start(start)];
    all.extend_from_slice(steps);
    run::check_core(&all)
}

/// Frames that the driver gets for these, with a buffer of 2048 bytes for each.
pub(crate) fn answers(start: Start, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let count = u8::try_from(frames.len()).expect("a few frames");
    let mut steps = vec![Step::post(0, count, 2048)];
    steps.extend(frames.iter().map(|frame| Step::frame(0, &frame[..])));
    steps.push(Step::wake(0));
    run(start, &steps).replies
}

/// The same after commands.
pub(crate) fn answers_after(start: Start, commands: &[&[u8]], frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut steps: Vec<_> = commands.iter().map(|command| Step::command(*command)).collect();
    steps.extend([Step::Wake { queue: CONTROL }, Step::post(0, 8, 2048)]);
    steps.extend(frames.iter().map(|frame| Step::frame(0, &frame[..])));
    steps.push(Step::wake(0));
    run(start, &steps).replies
}

/// A device on split rings without a model: what is in memory is looked at here.
pub(crate) struct Bare {
    pub(crate) world: World,
    pub(crate) device: Device,
    pub(crate) queues: [Queue; QUEUES],
    rings: [Ring; QUEUES],
    driver: Driver,
}

impl Bare {
    pub(crate) fn new(start: Start) -> Self {
        let start = Start { form: Form::Split, ..start };
        let world = World::new(start.layout);
        let max = RingSize::check(128, false, RingSize::MAX).expect("a size");
        let mut device = Device::open(setup::config(&start, max));
        let features = Features::from_bits(start.features);
        NetDevice::negotiated(&mut device, features);
        let rings = driver::rings(&start);
        let mut driver = Driver::new(&start, &rings);
        driver.header_len = features.header_len();
        // What is not written is seen.
        for address in (0x1_4400_u64..0x1_bc00).step_by(256) {
            world.ram.put(address, &[0xa5; 256]);
        }
        let queues = std::array::from_fn(|queue| {
            let mut it = Queue::new(start.form, max);
            let setup = world::setup(&rings[queue]).expect("a size");
            it.activate(&setup, position(start.form, 0), &world.guest()).expect("a ring");
            it
        });
        Self { world, device, queues, rings, driver }
    }

    /// The driver does something.
    pub(crate) fn drive(&mut self, step: &Step<'_>) {
        assert!(self.driver.drive([&self.world.ram, &self.world.ram], step));
    }

    /// The driver sends a frame on the first pair.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.drive(&Step::frame(0, frame));
    }

    /// Serves the first pair.
    pub(crate) fn serve(&mut self) -> [Due; 2] {
        let Self { world, device, queues, .. } = self;
        let guest = world.guest();
        let pair = [transmit(0), receive(0)];
        let [sent, received] = queues.get_disjoint_mut(pair).expect("two queues");
        let mut sent = sent.bind(&guest).expect("a ring");
        let mut received = received.bind(&guest).expect("a ring");
        device.serve(&mut sent, Some(&mut received), &guest, 0)
    }

    /// Obeys commands.
    pub(crate) fn obey(&mut self) -> Due {
        let Self { world, device, queues, .. } = self;
        let guest = world.guest();
        let mut queue = queues[CONTROL].bind(&guest).expect("a ring");
        device.command(&mut queue, &guest)
    }

    /// What the driver finds used: head and length of each.
    pub(crate) fn used(&self, queue: usize) -> Vec<(u32, u32)> {
        let [.., used] = self.rings[queue].parts;
        let index = u16::from_le_bytes(self.world.ram.bytes(used + 2));
        (0..u64::from(index))
            .map(|at| {
                let [a, b, c, d, e, f, g, h] = self.world.ram.bytes(used + 4 + 8 * at);
                (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
            })
            .collect()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.world.ram.get(address, &mut bytes);
        bytes
    }
}

/// Where the first receive buffer of a driver is. Each has a byte between it and the next.
pub(crate) const BUFFERS: u64 = 0x1_7e00;

thread_local! {
    /// What receive rings were asked for.
    pub(crate) static CALLS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}
