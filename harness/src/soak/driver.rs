//! The driver: sends, takes back and checks, and sleeps when there is nothing to do.

use std::sync::atomic::Ordering::{self, Relaxed};

use arrayvec::ArrayVec;
use vhost_fuzz_core::ring::{Layout, RingMemory as _};

use super::bell::Link;
use super::content::{ANSWER_MAX, REQUEST_MAX, Shape};
use super::device::BUFFERS;
use super::packed::PackedSide;
use super::split::SplitSide;
use super::{Config, Fault};
use crate::ram::{self, SharedRegion};

/// Bytes that belong to a buffer id: a table, the request and the room for the answer.
const STRIDE: u64 = 256;
/// Offsets in them.
const REQUEST_AT: u64 = 64;
const ANSWER_AT: u64 = 144;

/// Where everything is, as guest addresses in the first region of [`RAM`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    config: Config,
    base: u64,
}

/// The memory of a run.
pub(super) const RAM: ram::Layout = ram::Layout::Large;

impl Plan {
    pub(super) fn of(config: Config) -> Self {
        Self { config, base: RAM.areas()[0].start }
    }

    pub(super) const fn descriptors(self) -> u64 {
        self.base
    }

    pub(super) fn driver_area(self) -> u64 {
        self.base + 16 * u64::from(self.config.size)
    }

    pub(super) fn device_area(self) -> u64 {
        (self.driver_area() + 2 * u64::from(self.config.size) + 6).next_multiple_of(4)
    }

    /// What belongs to an id.
    fn slot(self, id: u16) -> u64 {
        let area = self.device_area() + 8 * u64::from(self.config.size) + 6;
        area.next_multiple_of(STRIDE) + STRIDE * u64::from(id)
    }
}

/// Guest memory of a driver, by guest address; all of it is in one region.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    region: SharedRegion,
    base: u64,
}

/// The plan of a run has room for all that the driver touches.
const ROOM: &str = "it is in the plan";

impl Memory {
    pub(super) fn new(region: SharedRegion) -> Self {
        Self { region, base: RAM.areas()[0].start }
    }

    pub(super) fn put(&self, address: u64, bytes: &[u8]) {
        self.region.write(address - self.base, bytes).expect(ROOM);
    }

    pub(super) fn get(&self, address: u64, bytes: &mut [u8]) {
        self.region.read(address - self.base, bytes).expect(ROOM);
    }

    pub(super) fn load(&self, address: u64, order: Ordering) -> u16 {
        self.region.load_u16(address - self.base, order).expect(ROOM)
    }

    pub(super) fn load_u32(&self, address: u64) -> u32 {
        self.region.load_u32(address - self.base).expect(ROOM)
    }

    pub(super) fn store(&self, address: u64, value: u16, order: Ordering) {
        self.region.store_u16(address - self.base, value, order).expect(ROOM);
    }

    pub(super) fn fence(&self) {
        self.region.fence();
    }
}

/// A buffer of a chain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Buffer {
    pub(super) address: u64,
    pub(super) len: u32,
    pub(super) is_writable: bool,
}

impl Buffer {
    /// The table that has descriptors of these buffers.
    pub(super) fn table(address: u64, buffers: &[Self]) -> Self {
        Self { address, len: buffers.iter().map(|_| 16).sum(), is_writable: false }
    }
}

/// A driver's side of a ring, with the orderings that the standard demands of it.
pub(super) trait Side {
    /// Takes an id for a chain of so many descriptors; `None` when there is no room.
    fn reserve(&mut self, descriptors: usize) -> Option<u16>;

    /// Makes a chain available, with the id that was taken for it. The device may see it from
    /// now on, and does from the next [`publish`](Self::publish) on.
    fn send(&mut self, id: u16, buffers: &[Buffer]);

    /// Writes a table of buffers and makes it available as one descriptor.
    fn send_table(&mut self, id: u16, table: u64, buffers: &[Buffer]);

    /// Shows the device what was sent. `true`: the device wants to be kicked.
    fn publish(&mut self) -> bool;

    /// Takes the next used buffer: its id, and its length.
    fn take(&mut self) -> Option<(u32, u32)>;

    /// An id may be used again.
    fn release(&mut self, id: u16);

    /// Asks for calls. `true`: a buffer was used in between.
    fn arm(&mut self) -> bool;

    /// Asks for no calls.
    fn disarm(&mut self);

    /// Times that the driver went round its ring.
    fn laps(&self) -> u64;
}

/// What a driver did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) sent: u64,
    pub(super) returned: u64,
    pub(super) kicks: u64,
    pub(super) sleeps: u64,
    pub(super) laps: u64,
}

pub(super) struct Driver<'a, S> {
    config: Config,
    chains: u64,
    plan: Plan,
    memory: Memory,
    side: S,
    link: &'a Link,
    draw: fastrand::Rng,
    /// The chain that each id stands for, until it comes back.
    out: Vec<Option<Shape>>,
    done: Done,
}

/// Runs a driver that sends `chains` chains, and waits until each has come back.
pub(super) fn run(
    config: Config,
    chains: u64,
    region: SharedRegion,
    link: &Link,
) -> Result<Done, Fault> {
    let memory = Memory::new(region);
    match config.layout {
        Layout::Split => {
            let side = SplitSide::new(config, memory.clone());
            Driver::new(config, chains, memory, side, link).run()
        }
        Layout::Packed => {
            let side = PackedSide::new(config, memory.clone());
            Driver::new(config, chains, memory, side, link).run()
        }
    }
}

impl<'a, S: Side> Driver<'a, S> {
    fn new(config: Config, chains: u64, memory: Memory, side: S, link: &'a Link) -> Self {
        Self {
            config,
            chains,
            plan: Plan::of(config),
            memory,
            side,
            link,
            draw: fastrand::Rng::with_seed(!config.seed()),
            out: vec![None; config.size.into()],
            done: Done::default(),
        }
    }

    fn run(mut self) -> Result<Done, Fault> {
        self.side.disarm();
        while self.done.returned < self.chains {
            if self.link.is_stopped() {
                return Err(Fault::Stopped);
            }
            let sent = self.send_some();
            let returned = self.take_all()?;
            // With room left it does not always wait for more: the device runs dry then, and both
            // sides go to sleep.
            let is_idle = returned == 0 && (sent == 0 || self.draw.u8(..) < 32);
            if is_idle && self.done.returned < self.chains {
                self.sleep();
            }
        }
        if self.side.take().is_some() {
            return Err(Fault::TooMany);
        }
        self.done.laps = self.side.laps();
        Ok(self.done)
    }

    /// Sends some chains, as many as there is room for at most.
    fn send_some(&mut self) -> u64 {
        let before = self.done.sent;
        let burst = self.draw.u64(1..=u64::from(self.config.size));
        let end = self.chains.min(before + burst);
        while self.done.sent < end && self.send() {
            self.done.sent += 1;
        }
        let sent = self.done.sent - before;
        if sent > 0 {
            self.link.sent.store(self.done.sent, Relaxed);
            if self.side.publish() {
                self.done.kicks += 1;
                self.link.kick.ring();
            }
        }
        sent
    }

    /// Sends the next chain; `false` when there is no room.
    fn send(&mut self) -> bool {
        let shape = Shape::of(self.config.seed(), self.done.sent);
        let is_table = self.config.is_table(&shape);
        let mut buffers = buffers(&shape, is_table || usize::from(self.config.size) >= BUFFERS);
        let Some(id) = self.side.reserve(if is_table { 1 } else { buffers.len() }) else {
            return false;
        };
        let slot = self.plan.slot(id);
        buffers.iter_mut().for_each(|buffer| buffer.address += slot);
        let mut request = [0; REQUEST_MAX];
        self.memory.put(slot + REQUEST_AT, shape.write_request(&mut request));
        if is_table {
            self.side.send_table(id, slot, &buffers);
        } else {
            self.side.send(id, &buffers);
        }
        self.out[usize::from(id)] = Some(shape);
        true
    }

    /// Takes back all that was used.
    fn take_all(&mut self) -> Result<u64, Fault> {
        let before = self.done.returned;
        while let Some((id, len)) = self.side.take() {
            let unknown = Fault::NotInFlight { id };
            let Ok(id) = u16::try_from(id) else { return Err(unknown) };
            // Each chain comes back once: its id stands for it only until then.
            let out = self.out.get_mut(usize::from(id)).and_then(Option::take);
            let shape = out.ok_or(unknown)?;
            let number = shape.number();
            let expected = shape.answer.into();
            if len != expected {
                return Err(Fault::Length { number, len, expected });
            }
            let (mut expected, mut got) = ([0; ANSWER_MAX], [0; ANSWER_MAX]);
            let got = &mut got[..shape.answer.into()];
            self.memory.get(self.plan.slot(id) + ANSWER_AT, got);
            if got != shape.write_answer(&mut expected) {
                return Err(Fault::Answer { number });
            }
            self.side.release(id);
            self.done.returned += 1;
        }
        self.link.returned.store(self.done.returned, Relaxed);
        Ok(self.done.returned - before)
    }

    /// Sleeps until the device calls, unless there is something to take already.
    fn sleep(&mut self) {
        if !self.side.arm() {
            self.done.sleeps += 1;
            self.link.call.wait();
        }
        self.side.disarm();
    }
}

/// The buffers of a chain, from the start of its slot. `is_cut`: those that can be are cut in two.
fn buffers(shape: &Shape, is_cut: bool) -> ArrayVec<Buffer, BUFFERS> {
    let parts = [
        (REQUEST_AT, shape.request, shape.request_cut, false),
        (ANSWER_AT, shape.capacity, shape.answer_cut, true),
    ];
    let mut buffers = ArrayVec::new();
    for (at, len, cut, is_writable) in parts {
        let cut = if is_cut { cut } else { 0 };
        for (from, to) in [(0, cut), (cut, len)] {
            if from < to {
                let (address, len) = (at + u64::from(from), u32::from(to - from));
                buffers.push(Buffer { address, len, is_writable });
            }
        }
    }
    buffers
}
