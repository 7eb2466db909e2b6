//! The device: the code of the core, in a thread.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use vhost_fuzz_core::memory::{AddressKind, MemoryTable};
use vhost_fuzz_core::ring::{
    Broken, Chain, Features, Guest, Limits, PopError, Position, Queue, QueueRing, Ring, Setup,
    Token,
};
use vhost_fuzz_core::vhost_user::payload::VringAddr;

use super::bell::Link;
use super::content::{ANSWER_MAX, REQUEST_MAX, Shape};
use super::driver::{Memory, Plan};
use super::{Config, Fault, split};
use crate::ram::SharedRegion;

/// Most chains that are given back at a time.
const BATCH: usize = 12;

/// Most buffers of a chain.
pub(super) const BUFFERS: usize = 4;

type Bound<'r> = QueueRing<'r, SharedRegion, [AtomicU8]>;

/// What a device does where it can go wrong.
pub trait Habits: Sync {
    /// The answer is written after the buffer was given back, and not before.
    const ANSWERS_LATE: bool = false;

    /// Prepares for sleep. `true`: there is more to do.
    ///
    /// # Errors
    /// The ring is broken.
    fn rest(&self, ring: &mut impl Ring) -> Result<bool, Broken> {
        ring.arm()
    }

    /// Whether to call, when the ring says that the driver wants it or not.
    fn is_call(&self, is_wanted: bool) -> bool {
        is_wanted
    }

    /// Whether a buffer goes back.
    fn is_given_back(&self, number: u64) -> bool {
        let _ = number;
        true
    }
}

/// The device as it should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Careful;

impl Habits for Careful {}

/// What a device did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    pub(super) taken: u64,
    pub(super) given: u64,
    pub(super) calls: u64,
    pub(super) sleeps: u64,
}

/// A chain that was taken and is not given back.
struct Held {
    token: Token,
    shape: Shape,
    /// Its place among the chains of the device.
    place: usize,
}

/// Why a round ended.
#[derive(PartialEq, Eq)]
enum Round {
    /// It was full.
    Full,
    /// Nothing more is available.
    Empty,
    /// As many chains as the ring has were taken.
    Yield,
}

pub(super) struct Device<'a, H> {
    config: Config,
    chains: u64,
    table: &'a MemoryTable<SharedRegion>,
    link: &'a Link,
    habits: &'a H,
    queue: Queue,
    draw: fastrand::Rng,
    /// Room for the chains of a round.
    pool: Vec<Chain>,
    held: Vec<Held>,
    served: Served,
}

impl<'a, H: Habits> Device<'a, H> {
    /// A device that serves `chains` chains.
    pub(super) fn start(
        config: Config,
        chains: u64,
        table: &'a MemoryTable<SharedRegion>,
        link: &'a Link,
        habits: &'a H,
    ) -> Result<Self, Fault> {
        let size = config.ring_size();
        let plan = Plan::of(config);
        let setup = Setup {
            size,
            addresses: VringAddr {
                index: 0,
                flags: 0,
                descriptor: plan.descriptors(),
                used: plan.device_area(),
                available: plan.driver_area(),
                log: 0,
            },
            ring_kind: AddressKind::Guest,
            buffer_kind: AddressKind::Guest,
            features: Features {
                event_idx: config.event_idx,
                indirect: config.indirect,
                in_order: false,
                version_1: true,
            },
            limits: Limits::of(size),
        };
        if !config.is_packed() {
            split::prepare(plan, &Memory::new(table.slots()[0].backing.clone()));
        }
        let mut queue = Queue::new(config.layout, size);
        let base = if config.is_packed() { 0x8000_8000 } else { split::START.into() };
        let position = Position::of(base, config.is_packed(), false);
        queue.activate(&setup, position, &Guest::new(table)).map_err(Fault::Activate)?;
        Ok(Self {
            config,
            chains,
            table,
            link,
            habits,
            queue,
            draw: fastrand::Rng::with_seed(config.seed()),
            pool: vec![Chain::with_capacity(BUFFERS); BATCH],
            held: Vec::with_capacity(BATCH),
            served: Served::default(),
        })
    }

    /// Serves until all chains went back.
    pub(super) fn run(mut self) -> Result<Served, Fault> {
        while self.served.given < self.chains {
            if self.link.is_stopped() {
                return Err(Fault::Stopped);
            }
            if self.wake()? && self.served.given < self.chains {
                self.served.sleeps += 1;
                self.link.kick.wait();
            }
        }
        Ok(self.served)
    }

    /// One wake-up. `true`: the device goes to sleep.
    fn wake(&mut self) -> Result<bool, Fault> {
        let guest = Guest::new(self.table);
        let mut ring = self.queue.bind(&guest).map_err(Fault::Bind)?;
        ring.disarm().map_err(Fault::Broken)?;
        loop {
            let batch = self.draw.usize(1..=BATCH);
            let mut round = Round::Full;
            for (place, chain) in self.pool.iter_mut().enumerate().take(batch) {
                match ring.pop(chain) {
                    Ok(Some(token)) => {
                        let shape = check_request(self.config, self.served.taken, chain, &guest)?;
                        self.served.taken += 1;
                        self.held.push(Held { token, shape, place });
                    }
                    Ok(None) => round = Round::Empty,
                    Err(PopError::Yield) => round = Round::Yield,
                    Err(error) => return Err(Fault::Pop(error.to_string())),
                }
                if round != Round::Full {
                    break;
                }
            }
            self.link.taken.store(self.served.taken, Relaxed);
            // Buffers may be used in any order.
            self.draw.shuffle(&mut self.held);
            let mut back = Back { pool: &self.pool, habits: self.habits, link: self.link };
            back.give(&mut ring, &mut self.held, &mut self.served)?;
            match round {
                Round::Full => {}
                Round::Yield => return Ok(false),
                Round::Empty => {
                    let is_more = self.habits.rest(&mut ring).map_err(Fault::Broken)?;
                    return Ok(!is_more);
                }
            }
        }
    }
}

/// The way back.
struct Back<'a, H> {
    pool: &'a [Chain],
    habits: &'a H,
    link: &'a Link,
}

impl<H: Habits> Back<'_, H> {
    /// Answers what is held, gives it back, and calls the driver when it wants that.
    fn give(
        &mut self,
        ring: &mut Bound<'_>,
        held: &mut Vec<Held>,
        served: &mut Served,
    ) -> Result<(), Fault> {
        let guest = ring.guest();
        let mut late = Vec::new();
        for Held { token, shape, place } in held.drain(..) {
            let chain = &self.pool[place];
            let mut len = shape.answer.into();
            if H::ANSWERS_LATE {
                late.push((shape, chain));
            } else {
                len = answer(&shape, chain, &guest)?;
            }
            if self.habits.is_given_back(shape.number()) {
                ring.put(token, len).map_err(|error| Fault::Put(error.to_string()))?;
                served.given += 1;
            }
        }
        let is_wanted = ring.publish().map_err(Fault::Broken)?;
        if self.habits.is_call(is_wanted) {
            served.calls += 1;
            self.link.call.ring();
        }
        if H::ANSWERS_LATE {
            // The driver is to have its chance to look, also when there is one processor only.
            std::thread::yield_now();
        }
        for (shape, chain) in late {
            answer(&shape, chain, &guest)?;
        }
        self.link.given.store(served.given, Relaxed);
        Ok(())
    }
}

/// The chain is the next one that the driver sent, whole and unchanged.
fn check_request(
    config: Config,
    number: u64,
    chain: &Chain,
    guest: &Guest<'_, SharedRegion>,
) -> Result<Shape, Fault> {
    let shape = Shape::of(config.seed(), number);
    let (mut expected, mut got) = ([0; REQUEST_MAX], [0; REQUEST_MAX]);
    let expected = shape.write_request(&mut expected);
    let bytes = [chain.readable_bytes(), chain.writable_bytes()];
    if bytes != [shape.request, shape.capacity].map(u64::from) {
        return Err(Fault::Size { number, readable: bytes[0], writable: bytes[1] });
    }
    let got = &mut got[..shape.request.into()];
    let is_read = chain.reader(guest).read_exact(got).map_err(Fault::Access)?;
    if !is_read || got != expected {
        return Err(Fault::Request { number });
    }
    Ok(shape)
}

/// Writes the answer, and gives its length.
fn answer(shape: &Shape, chain: &Chain, guest: &Guest<'_, SharedRegion>) -> Result<u32, Fault> {
    let mut buffer = [0; ANSWER_MAX];
    let mut writer = chain.writer(guest);
    writer.write(shape.write_answer(&mut buffer)).map_err(Fault::Access)?;
    Ok(writer.written())
}
