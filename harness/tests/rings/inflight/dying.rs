//! Memory that outlives its processes, a process of which may end before any store: guest memory
//! with a ring, and a region of the in-flight area. One clock counts the stores to both.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use vhost_fuzz_core::inflight::AreaMemory;
use vhost_fuzz_core::ring::{At, RingMemory};

/// When a process ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Rc<State>);

#[derive(Debug, Default)]
struct State {
    left: Cell<Option<usize>>,
    is_over: Cell<bool>,
}

impl Clock {
    /// A process begins; it ends before the store after so many, or not at all.
    pub(crate) fn begin(&self, stores: Option<usize>) {
        self.0.left.set(stores);
        self.0.is_over.set(false);
    }

    /// Whether the process has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over.get()
    }

    /// A store: whether it is done.
    fn tick(&self) -> bool {
        match self.0.left.get() {
            Some(0) => self.0.is_over.set(true),
            left => self.0.left.set(left.map(|left| left - 1)),
        }
        !self.is_over()
    }
}

/// Guest memory as a process sees it that may end.
#[derive(Clone, Debug)]
pub(crate) struct Dying<M> {
    pub(crate) memory: M,
    pub(crate) clock: Clock,
}

impl<M: RingMemory> Dying<M> {
    /// Does a store if the process lives. It does not hear that it has ended.
    fn store(&self, store: impl FnOnce(&M) -> Option<()>) -> Option<()> {
        if self.clock.tick() { store(&self.memory) } else { Some(()) }
    }
}

impl<M: RingMemory> RingMemory for Dying<M> {
    type Table<'a>
        = At<'a, Self>
    where
        Self: 'a;

    fn table(&self, offset: u64, len: u64) -> Option<At<'_, Self>> {
        self.memory.table(offset, len)?;
        Some(At { memory: self, offset })
    }

    fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16> {
        self.memory.load_u16(offset, order)
    }

    fn load_u32(&self, offset: u64) -> Option<u32> {
        self.memory.load_u32(offset)
    }

    fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64> {
        self.memory.load_u64(offset, order)
    }

    fn load_descriptor(&self, offset: u64) -> Option<u128> {
        self.memory.load_descriptor(offset)
    }

    fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()> {
        self.store(|memory| memory.store_u16(offset, value, order))
    }

    fn store_u32(&self, offset: u64, value: u32) -> Option<()> {
        self.store(|memory| memory.store_u32(offset, value))
    }

    fn store_u64(&self, offset: u64, value: u64) -> Option<()> {
        self.store(|memory| memory.store_u64(offset, value))
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        self.memory.read(offset, bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        self.store(|memory| memory.write(offset, bytes))
    }

    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        self.memory.is_aligned(offset, align)
    }

    fn fence(&self) {
        self.memory.fence();
    }
}

/// A region of the in-flight area as a process sees it that may end.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    bytes: Rc<[Cell<u8>]>,
    clock: Clock,
}

impl Region {
    /// A new region of so many bytes.
    pub(crate) fn new(len: usize, clock: &Clock) -> Self {
        Self { bytes: vec![Cell::new(0); len].into(), clock: clock.clone() }
    }

    /// Changes bytes as the front-end can.
    pub(crate) fn tamper(&self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..].iter().zip(bytes).for_each(|(cell, byte)| cell.set(*byte));
    }

    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        Some(self.bytes.get(offset..)?.first_chunk::<N>()?.each_ref().map(Cell::get))
    }

    fn store<const N: usize>(&self, offset: usize, bytes: [u8; N]) -> Option<()> {
        let cells = self.bytes.get(offset..)?.first_chunk::<N>()?;
        if self.clock.tick() {
            cells.iter().zip(bytes).for_each(|(cell, byte)| cell.set(byte));
        }
        Some(())
    }
}

impl AreaMemory for Region {
    fn load_u8(&self, offset: usize, _: Ordering) -> Option<u8> {
        self.load(offset).map(u8::from_ne_bytes)
    }

    fn load_u16(&self, offset: usize, _: Ordering) -> Option<u16> {
        self.load(offset).map(u16::from_ne_bytes)
    }

    fn load_u64(&self, offset: usize, _: Ordering) -> Option<u64> {
        self.load(offset).map(u64::from_ne_bytes)
    }

    fn store_u8(&self, offset: usize, value: u8, _: Ordering) -> Option<()> {
        self.store(offset, value.to_ne_bytes())
    }

    fn store_u16(&self, offset: usize, value: u16, _: Ordering) -> Option<()> {
        self.store(offset, value.to_ne_bytes())
    }

    fn store_u64(&self, offset: usize, value: u64, _: Ordering) -> Option<()> {
        self.store(offset, value.to_ne_bytes())
    }
}
