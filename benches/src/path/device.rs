//! The device of the core on both rings.

use std::time::{Duration, Instant};

use vhost_fuzz_core::memory::{AddressKind, MemoryTable, RingSize};
use vhost_fuzz_core::net::device::{self, Config, Due};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::net::rate::Limiter;
use vhost_fuzz_core::net::{control::ControlConfig, gateway};
use vhost_fuzz_core::ring::{
    Features as RingFeatures, Guest, Layout, Limits, Position, Queue, Setup,
};

use super::memory::Backing;
use super::{BATCH, Driver, HEADER, Memory, Plan, Request, Ring};
use crate::frames::samples;

/// A device, its driver and their memory.
#[derive(Debug)]
pub struct Device {
    device: device::Device,
    memory: Memory,
    table: MemoryTable<Backing>,
    queues: [Queue; 2],
    drivers: [Driver; 2],
    now_ms: u64,
}

/// A ring that was started.
fn queue(plan: Plan, ring: Ring, guest: &Guest<'_, Backing>) -> Queue {
    let size = RingSize::check(BATCH.into(), false, BATCH).expect("a size");
    let setup = Setup {
        size,
        addresses: ring.addresses(),
        ring_kind: AddressKind::Guest,
        buffer_kind: AddressKind::Guest,
        features: RingFeatures { indirect: true, version_1: true, ..RingFeatures::default() },
        limits: Limits::of(size),
    };
    let position = match plan.layout {
        Layout::Split => Position::Split { available: 0 },
        Layout::Packed => {
            Position::Packed { available: 0, available_wrap: true, used: 0, used_wrap: true }
        }
    };
    let mut queue = Queue::new(plan.layout, size);
    queue.activate(&setup, position, guest).expect("a ring");
    queue
}

impl Device {
    /// A device on memory of its own, which has gone through two batches and answered everything.
    ///
    /// # Panics
    /// When an answer is not there.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let memory = Memory::new(plan);
        let table = memory.table();
        let rings = [Ring::Receive, Ring::Transmit];
        let queues = rings.map(|ring| queue(plan, ring, &Guest::new(&table)));
        let drivers = rings.map(|ring| Driver::new(&memory, ring));
        let limiter = Limiter::new(u32::MAX, u32::MAX);
        let config = Config {
            control: ControlConfig::new(vhost_fuzz_harness::dhcp::GUEST),
            gateway: gateway::Config { limiter, ..samples::config() },
            queue_max: RingSize::check(BATCH.into(), false, BATCH).expect("a size"),
        };
        let mut device = device::Device::new(config).expect("a device");
        device.negotiated(Features::VERSION_1 | Features::MRG_RXBUF);
        let mut path = Self { device, memory, table, queues, drivers, now_ms: 0 };
        for _ in 0..2 {
            path.memory.forget();
            path.serve();
            path.check(plan.request);
        }
        path
    }

    /// What was received is what was asked for.
    fn check(&self, request: Request) {
        let answer = samples::answer(&request.frame());
        assert!(!answer.is_empty(), "an answer");
        for at in 0..BATCH {
            assert_eq!(self.memory.received(at, answer.len()), answer, "buffer {at}");
        }
    }

    /// Answers a batch. How long that took, without the driver.
    ///
    /// # Panics
    /// When the driver is not to be called, or a ring is broken.
    pub fn serve(&mut self) -> Duration {
        self.drivers.iter_mut().for_each(Driver::arm);
        let Self { device, table, queues: [receive, transmit], now_ms, .. } = self;
        let guest = Guest::new(table);
        *now_ms += 1;
        let start = Instant::now();
        let mut receive = receive.bind(&guest).expect("a ring");
        let mut transmit = transmit.bind(&guest).expect("a ring");
        let dues = device.serve(&mut transmit, Some(&mut receive), &guest, *now_ms);
        let time = start.elapsed();
        // The whole ring was its share of one wake-up, so it does not ask for kicks.
        let [sent, received] = [true, false].map(|again| Due { call: true, again, broken: None });
        assert_eq!(dues, [sent, received]);
        time
    }
}

const _: () = assert!(HEADER == 12);
