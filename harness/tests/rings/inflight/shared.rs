//! Memory that outlives its processes: a region and a ring.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use vhost_fuzz_core::inflight::AreaMemory;
use vhost_fuzz_model::inflight::Store;

/// A region, the parts of a ring that count, and a process that may end before any store.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    bytes: RefCell<Vec<u8>>,
    ring_idx: Cell<u16>,
    ring_flags: RefCell<Vec<u16>>,
    /// Stores before the process ends; `None` when it does not.
    left: Cell<Option<usize>>,
    is_dead: Cell<bool>,
    loads: Cell<usize>,
    log: RefCell<Vec<Store>>,
}

/// The memory, as one of its users holds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Rc<Memory>);

impl Deref for Shared {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.0
    }
}

impl Shared {
    /// A region with these bytes.
    pub(crate) fn region(bytes: &[u8]) -> Self {
        let shared = Self::default();
        *shared.bytes.borrow_mut() = bytes.to_vec();
        shared
    }

    /// A new region and ring.
    pub(crate) fn new(len: usize, queue_size: u16) -> Self {
        let shared = Self::region(&vec![0; len]);
        *shared.ring_flags.borrow_mut() = vec![0; queue_size.into()];
        shared
    }

    /// Another memory with the same contents.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::region(&self.bytes());
        copy.ring_idx.set(self.ring_idx.get());
        *copy.ring_flags.borrow_mut() = self.ring_flags();
        copy
    }
}

impl Memory {
    /// A new process begins; it ends before the store after so many.
    pub(crate) fn begin(&self, stores: Option<usize>) {
        self.left.set(stores);
        self.is_dead.set(false);
        self.loads.set(0);
        self.log.borrow_mut().clear();
    }

    /// Whether the process has ended.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.get()
    }

    /// Loads of this process.
    pub(crate) fn loads(&self) -> usize {
        self.loads.get()
    }

    /// Stores of this process.
    pub(crate) fn stores(&self) -> usize {
        self.log.borrow().len()
    }

    /// Takes what this process stored since the last call.
    pub(crate) fn take_log(&self) -> Vec<Store> {
        self.log.take()
    }

    /// The region.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// Changes the region as the front-end can.
    pub(crate) fn tamper(&self, change: impl FnOnce(&mut [u8])) {
        change(&mut self.bytes.borrow_mut());
    }

    /// Index of the split used ring.
    pub(crate) fn ring_idx(&self) -> u16 {
        self.ring_idx.get()
    }

    /// Flags of the packed ring.
    pub(crate) fn ring_flags(&self) -> Vec<u16> {
        self.ring_flags.borrow().clone()
    }

    /// The driver stores flags, which is no store of the process.
    pub(crate) fn driver_stores(&self, index: u16, flags: u16) {
        self.ring_flags.borrow_mut()[usize::from(index)] = flags;
    }

    /// One store of the process, if it has not ended.
    pub(crate) fn store(&self, store: Store) {
        match self.left.get() {
            Some(0) => return self.is_dead.set(true),
            left => self.left.set(left.map(|left| left - 1)),
        }
        match &store {
            Store::Region { offset, bytes } => {
                self.bytes.borrow_mut()[*offset..][..bytes.len()].copy_from_slice(bytes);
            }
            Store::RingIdx(idx) => self.ring_idx.set(*idx),
            Store::RingFlags { index, flags } => {
                self.ring_flags.borrow_mut()[usize::from(*index)] = *flags;
            }
        }
        self.log.borrow_mut().push(store);
    }

    fn load<const N: usize>(&self, offset: usize, order: Ordering) -> Option<[u8; N]> {
        assert!(matches!(order, Ordering::Acquire), "a load with {order:?}");
        assert!(offset.is_multiple_of(N), "an unaligned load at {offset}");
        self.loads.set(self.loads.get() + 1);
        let bytes = self.bytes.borrow();
        bytes.get(offset..)?.first_chunk().copied()
    }

    fn write(&self, offset: usize, bytes: &[u8], order: Ordering) -> Option<()> {
        assert!(matches!(order, Ordering::Release), "a store with {order:?}");
        assert!(offset.is_multiple_of(bytes.len()), "an unaligned store at {offset}");
        if offset + bytes.len() > self.bytes.borrow().len() {
            return None;
        }
        self.store(Store::Region { offset, bytes: bytes.to_vec() });
        Some(())
    }
}

impl AreaMemory for Shared {
    fn load_u8(&self, offset: usize, order: Ordering) -> Option<u8> {
        self.load(offset, order).map(u8::from_ne_bytes)
    }

    fn load_u16(&self, offset: usize, order: Ordering) -> Option<u16> {
        self.load(offset, order).map(u16::from_ne_bytes)
    }

    fn load_u64(&self, offset: usize, order: Ordering) -> Option<u64> {
        self.load(offset, order).map(u64::from_ne_bytes)
    }

    fn store_u8(&self, offset: usize, value: u8, order: Ordering) -> Option<()> {
        self.write(offset, &value.to_ne_bytes(), order)
    }

    fn store_u16(&self, offset: usize, value: u16, order: Ordering) -> Option<()> {
        self.write(offset, &value.to_ne_bytes(), order)
    }

    fn store_u64(&self, offset: usize, value: u64, order: Ordering) -> Option<()> {
        self.write(offset, &value.to_ne_bytes(), order)
    }
}

/// Builds a region field by field, in native byte order.
#[derive(Clone, Debug)]
pub(crate) struct Image(pub(crate) Vec<u8>);

impl Image {
    pub(crate) fn zero(len: usize) -> Self {
        Self(vec![0; len])
    }

    pub(crate) fn u8(mut self, offset: usize, value: u8) -> Self {
        self.0[offset] = value;
        self
    }

    pub(crate) fn u16(mut self, offset: usize, value: u16) -> Self {
        self.0[offset..][..2].copy_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn u32(mut self, offset: usize, value: u32) -> Self {
        self.0[offset..][..4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn u64(mut self, offset: usize, value: u64) -> Self {
        self.0[offset..][..8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn shared(&self) -> Shared {
        Shared::region(&self.0)
    }
}

/// A store of two bytes.
pub(crate) fn stored_u16(offset: usize, value: u16) -> Store {
    Store::Region { offset, bytes: value.to_ne_bytes().to_vec() }
}

/// A store of one byte.
pub(crate) fn stored_u8(offset: usize, value: u8) -> Store {
    Store::Region { offset, bytes: vec![value] }
}

/// A store of eight bytes.
pub(crate) fn stored_u64(offset: usize, value: u64) -> Store {
    Store::Region { offset, bytes: value.to_ne_bytes().to_vec() }
}
