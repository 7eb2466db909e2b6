//! The split ring (spec §1).

mod chains;
mod give;
mod indirect;
mod life;
mod order;
mod take;
mod unpop;

use std::sync::atomic::Ordering;

use vhost_fuzz_core::memory::AddressKind;
use vhost_fuzz_core::ring::{Chain, Malformed, Position, PutReason, Ring, Setup, SplitQueue, flag};

use crate::ram::{Ram, Touch};
use crate::rig::{self, Buffers, Fields};

/// A split ring as its driver sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rig {
    pub(crate) setup: Setup,
    /// While a chain is taken, bytes that are loaded again are others.
    is_fickle: bool,
}

impl Rig {
    pub(crate) fn new(size: u16) -> Self {
        Self { setup: rig::setup(size), is_fickle: false }
    }

    /// With `EVENT_IDX`.
    pub(crate) fn with_events(size: u16) -> Self {
        let mut rig = Self::new(size);
        rig.setup.features.event_idx = true;
        rig
    }

    /// With `IN_ORDER`.
    pub(crate) fn in_order(size: u16) -> Self {
        let mut rig = Self::new(size);
        rig.setup.features.in_order = true;
        rig
    }

    pub(crate) fn size(&self) -> u16 {
        self.setup.size.get()
    }

    /// Guest address of what a ring address leads to.
    fn guest(&self, address: u64) -> u64 {
        if self.setup.ring_kind == AddressKind::User { address - crate::ram::USER } else { address }
    }

    fn available(&self, offset: u64) -> u64 {
        self.guest(self.setup.addresses.available) + offset
    }

    fn used(&self, offset: u64) -> u64 {
        self.guest(self.setup.addresses.used) + offset
    }

    /// Where the element of a slot of the used ring is.
    pub(crate) fn element_at(&self, slot: u16) -> u64 {
        self.used(4 + 8 * u64::from(slot))
    }

    pub(crate) fn used_event_at(&self) -> u64 {
        self.available(4 + 2 * u64::from(self.size()))
    }

    pub(crate) fn avail_event_at(&self) -> u64 {
        self.used(4 + 8 * u64::from(self.size()))
    }

    /// Writes descriptors from index `first` on.
    pub(crate) fn put(&self, ram: &Ram, first: u16, table: &[Fields]) {
        let address = self.guest(self.setup.addresses.descriptor) + 16 * u64::from(first);
        rig::put_table(ram, address, table);
    }

    /// A readable buffer of 8 bytes in each descriptor, each of them a chain.
    pub(crate) fn put_plain(&self, ram: &Ram) {
        for index in 0..self.size() {
            self.put(ram, index, &[(rig::BUFFER + 8 * u64::from(index), 8, 0, 0)]);
        }
    }

    pub(crate) fn avail_idx(&self, ram: &Ram) -> u16 {
        ram.u16(self.available(2))
    }

    pub(crate) fn set_avail_idx(&self, ram: &Ram, index: u16) {
        ram.put_u16(self.available(2), index);
    }

    pub(crate) fn set_avail_flags(&self, ram: &Ram, flags: u16) {
        ram.put_u16(self.available(0), flags);
    }

    pub(crate) fn set_used_event(&self, ram: &Ram, index: u16) {
        ram.put_u16(self.used_event_at(), index);
    }

    pub(crate) fn avail_event(&self, ram: &Ram) -> u16 {
        ram.u16(self.avail_event_at())
    }

    pub(crate) fn used_flags(&self, ram: &Ram) -> u16 {
        ram.u16(self.used(0))
    }

    pub(crate) fn used_idx(&self, ram: &Ram) -> u16 {
        ram.u16(self.used(2))
    }

    pub(crate) fn set_used_idx(&self, ram: &Ram, index: u16) {
        ram.put_u16(self.used(2), index);
    }

    /// Id and length of the element at a used index.
    pub(crate) fn element(&self, ram: &Ram, index: u16) -> (u32, u32) {
        let [a, b, c, d, e, f, g, h] = ram.get(self.element_at(index % self.size()));
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
    }

    /// The driver makes heads available.
    pub(crate) fn offer(&self, ram: &Ram, heads: &[u16]) {
        for head in heads {
            let index = self.avail_idx(ram);
            ram.put_u16(self.available(4 + 2 * u64::from(index % self.size())), *head);
            self.set_avail_idx(ram, index.wrapping_add(1));
        }
    }

    /// A queue that goes on at an available index.
    pub(crate) fn start_at(&self, ram: &Ram, available: u16) -> SplitQueue {
        let mut queue = SplitQueue::new(self.setup.size);
        queue
            .activate(&self.setup, Position::Split { available }, &ram.guest())
            .expect("a good ring");
        queue
    }

    /// A fresh queue.
    pub(crate) fn start(&self, ram: &Ram) -> SplitQueue {
        self.start_from(ram, 0)
    }

    /// A queue of which everything before an index was used.
    pub(crate) fn start_from(&self, ram: &Ram, index: u16) -> SplitQueue {
        self.set_used_idx(ram, index);
        self.set_avail_idx(ram, index);
        self.start_at(ram, index)
    }

    /// A chain buffer for what may come.
    pub(crate) fn chain(&self) -> Chain {
        Chain::with_capacity(self.setup.limits.elements(self.setup.size))
    }

    /// What a fresh queue makes of the chain at a head: its buffers, or what is wrong with it.
    /// Either way the head goes back, and the ring goes on.
    pub(crate) fn walk(&self, ram: &Ram, head: u16) -> Result<Buffers, Malformed> {
        let mut queue = self.start(ram);
        self.offer(ram, &[head]);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), self.chain());
        ram.touches();
        ram.set_fickle(self.is_fickle);
        let (mut token, error) = rig::taken(ring.pop(&mut chain));
        ram.set_fickle(false);
        // Taking a chain writes nothing, whatever comes of it.
        assert!(ram.peek().iter().all(|touch| matches!(touch, Touch::Load(..))));
        assert_eq!(token.id(), head);
        let found = rig::buffers(&chain);
        let mut len = u32::try_from(chain.writable_bytes()).unwrap_or(u32::MAX);
        if error.is_some() {
            rig::assert_empty(&chain);
            assert_eq!(token.writable(), 0);
            let refused = ring.put(token, 1).expect_err("there is nothing to write to");
            assert_eq!(refused.reason, PutReason::TooLong { len: 1, writable: 0 });
            (token, len) = (refused.token, 0);
        }
        ring.put(token, len).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
        assert_eq!((self.element(ram, 0), self.used_idx(ram)), ((head.into(), len), 1));
        // The ring goes on after it: no livelock on the same head (VQ-040).
        assert_eq!(ring.pop(&mut chain), Ok(None));
        assert_eq!(queue.position(), Some(Position::Split { available: 1 }));
        error.map_or(Ok(found), Err)
    }

    /// As [`walk`](Self::walk), of these descriptors from index 0 on.
    pub(crate) fn walk_of(&self, ram: &Ram, table: &[Fields]) -> Result<Buffers, Malformed> {
        self.put(ram, 0, table);
        self.walk(ram, 0)
    }

    /// As [`walk_of`](Self::walk_of), of one descriptor that refers to this table.
    pub(crate) fn walk_table(&self, ram: &Ram, table: &[Fields]) -> Result<Buffers, Malformed> {
        rig::put_table(ram, rig::TABLE, table);
        let len = u32::try_from(16 * table.len()).expect("a short table");
        self.walk_of(ram, &[(rig::TABLE, len, flag::INDIRECT, 0)])
    }
}

/// The malformed chain of a split ring.
pub(crate) fn malformed(shape: vhost_fuzz_core::ring::Shape) -> Malformed {
    Malformed { layout: vhost_fuzz_core::ring::Layout::Split, shape }
}

/// A load of a field of 2 bytes.
fn load(at: u64, order: Ordering) -> Touch {
    Touch::Load(at, 2, Some(order))
}

/// A store to a field of 2 bytes.
fn store(at: u64, order: Ordering) -> Touch {
    Touch::Store(at, 2, Some(order))
}
