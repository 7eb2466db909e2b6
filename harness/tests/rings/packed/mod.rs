//! The packed ring (spec §2).

mod event;
mod give;
mod life;
mod lists;
mod order;
mod table;
mod take;
mod unpop;

use std::cell::Cell;

use vhost_fuzz_core::ring::flag::{AVAIL, NEXT, USED};
use vhost_fuzz_core::ring::{
    Chain, Layout, Malformed, PackedQueue, Position, PutReason, Ring, Setup, Shape, flag,
};

use crate::ram::{Ram, Touch};
use crate::rig::{self, Buffers, DESCRIPTORS, Fields};

/// A slot and its wrap counter.
pub(crate) type At = (u16, bool);

/// The start of a fresh ring.
pub(crate) const START: At = (0, true);

/// A packed ring as its driver sees it.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) setup: Setup,
    /// The slot that the driver makes available next.
    next: Cell<At>,
    /// While a chain is taken, bytes that are loaded again are others.
    is_fickle: bool,
}

/// Where the ring of so many slots goes on after `slots` of them.
fn after((slot, wrap): At, slots: u16, size: u16) -> At {
    let point = u32::from(slot) + u32::from(slots);
    match u16::try_from(point).ok().filter(|slot| *slot < size) {
        Some(slot) => (slot, wrap),
        None => (u16::try_from(point - u32::from(size)).expect("at most one lap"), !wrap),
    }
}

/// The bits of a slot that is available in a lap.
fn available(wrap: bool) -> u16 {
    if wrap { AVAIL } else { USED }
}

/// The bits of a slot that is used in a lap.
fn used(wrap: bool) -> u16 {
    if wrap { AVAIL | USED } else { 0 }
}

/// A position where nothing is in flight.
fn idle((slot, wrap): At) -> Position {
    Position::Packed { available: slot, available_wrap: wrap, used: slot, used_wrap: wrap }
}

impl Rig {
    pub(crate) fn new(size: u16) -> Self {
        Self { setup: rig::setup(size), next: Cell::new(START), is_fickle: false }
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

    /// Where a slot is.
    pub(crate) fn slot_at(&self, slot: u16) -> u64 {
        self.setup.addresses.descriptor + 16 * u64::from(slot)
    }

    /// Writes a slot: address, length, flags, id.
    pub(crate) fn put(&self, ram: &Ram, slot: u16, (address, len, flags, id): Fields) {
        ram.put(self.slot_at(slot), &rig::bytes((address, len, id, flags)));
    }

    /// Id, length and flags of a slot.
    pub(crate) fn slot(&self, ram: &Ram, slot: u16) -> (u16, u32, u16) {
        let [a, b, c, d, e, f, g, h] = ram.get(self.slot_at(slot) + 8);
        let len = u32::from_le_bytes([a, b, c, d]);
        (u16::from_le_bytes([e, f]), len, u16::from_le_bytes([g, h]))
    }

    /// The driver makes a list available: the slots follow each other, and all but the last have
    /// NEXT.
    pub(crate) fn offer(&self, ram: &Ram, list: &[Fields]) {
        for (index, (address, len, flags, id)) in list.iter().enumerate() {
            let more = if index + 1 < list.len() { NEXT } else { 0 };
            self.offer_slot(ram, (*address, *len, flags | more, *id));
        }
    }

    /// The driver makes one slot available, with these flags and the bits of its lap.
    pub(crate) fn offer_slot(&self, ram: &Ram, (address, len, flags, id): Fields) {
        let (slot, wrap) = self.next.get();
        self.put(ram, slot, (address, len, flags | available(wrap), id));
        self.next.set(after((slot, wrap), 1, self.size()));
    }

    /// The driver makes readable buffers of one slot available, with these ids.
    pub(crate) fn offer_plain(&self, ram: &Ram, ids: &[u16]) {
        for id in ids {
            self.offer_slot(ram, (rig::BUFFER + u64::from(*id), 1, 0, *id));
        }
    }

    /// What the driver wishes: position and flags.
    pub(crate) fn wish(&self, ram: &Ram, (slot, wrap): At, flags: u16) {
        ram.put_u16(rig::AVAILABLE, slot | u16::from(wrap) << 15);
        ram.put_u16(rig::AVAILABLE + 2, flags);
    }

    /// What the device wishes: position and flags.
    pub(crate) fn device_wish(&self, ram: &Ram) -> (u16, u16) {
        (ram.u16(rig::USED), ram.u16(rig::USED + 2))
    }

    /// A queue at a position.
    pub(crate) fn start_with(&self, ram: &Ram, position: Position) -> PackedQueue {
        let mut queue = PackedQueue::new(self.setup.size);
        queue.activate(&self.setup, position, &ram.guest()).expect("a good ring");
        queue
    }

    /// Writes a ring that has come to a place: all of its slots are used.
    pub(crate) fn lay_out(&self, ram: &Ram, at: At) {
        for slot in 0..self.size() {
            // The slots behind were used in this lap, the others in the one before.
            let flags = used(if slot < at.0 { at.1 } else { !at.1 });
            self.put(ram, slot, (0, 0, flags, 0));
        }
        self.next.set(at);
    }

    /// A queue at a place where nothing is in flight.
    pub(crate) fn start_at(&self, ram: &Ram, at: At) -> PackedQueue {
        self.lay_out(ram, at);
        self.start_with(ram, idle(at))
    }

    /// A fresh queue.
    pub(crate) fn start(&self, ram: &Ram) -> PackedQueue {
        self.start_at(ram, START)
    }

    /// A chain buffer for what may come.
    pub(crate) fn chain(&self) -> Chain {
        Chain::with_capacity(self.setup.limits.elements(self.setup.size))
    }

    /// What a queue at a place makes of a list: its buffers, or what is wrong with it. Either way
    /// the list goes back as a whole, and the ring goes on.
    pub(crate) fn walk_at(&self, ram: &Ram, at: At, list: &[Fields]) -> Result<Buffers, Malformed> {
        let mut queue = self.start_at(ram, at);
        self.offer(ram, list);
        let slots = u16::try_from(list.len()).expect("at most the ring");
        let (.., id) = *list.last().expect("a slot");
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), self.chain());
        ram.touches();
        ram.set_fickle(self.is_fickle);
        let (mut token, error) = rig::taken(ring.pop(&mut chain));
        ram.set_fickle(false);
        // Taking a chain writes nothing, whatever comes of it.
        assert!(ram.peek().iter().all(|touch| matches!(touch, Touch::Load(..))));
        assert_eq!((token.id(), token.slots()), (id, slots));
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
        let write = if len > 0 { flag::WRITE } else { 0 };
        assert_eq!(self.slot(ram, at.0), (id, len, used(at.1) | write));
        // The ring goes on after all of its slots.
        let mut ring = queue.bind(&guest).expect("it is there");
        assert_eq!(ring.pop(&mut chain), Ok(None));
        assert_eq!(queue.position(), Some(idle(after(at, slots, self.size()))));
        error.map_or(Ok(found), Err)
    }

    /// As [`walk_at`](Self::walk_at), at the start.
    pub(crate) fn walk(&self, ram: &Ram, list: &[Fields]) -> Result<Buffers, Malformed> {
        self.walk_at(ram, START, list)
    }

    /// As [`walk`](Self::walk), of one slot that refers to this table.
    pub(crate) fn walk_table(&self, ram: &Ram, table: &[Fields]) -> Result<Buffers, Malformed> {
        put_table(ram, rig::TABLE, table);
        let len = u32::try_from(16 * table.len()).expect("a short table");
        self.walk(ram, &[(rig::TABLE, len, flag::INDIRECT, 7)])
    }
}

/// Writes a table of entries: address, length, flags, id.
pub(crate) fn put_table(ram: &Ram, address: u64, table: &[Fields]) {
    for (address, (buffer, len, flags, id)) in (address..).step_by(16).zip(table) {
        ram.put(address, &rig::bytes((*buffer, *len, *id, *flags)));
    }
}

/// The malformed chain of a packed ring.
pub(crate) fn malformed(shape: Shape) -> Malformed {
    Malformed { layout: Layout::Packed, shape }
}

/// The slot that an access is to, if it is to one.
fn slot_of(touch: Touch, size: u16) -> Option<u16> {
    let (at, _) = touch.range()?;
    let slot = at.checked_sub(DESCRIPTORS)? / 16;
    u16::try_from(slot).ok().filter(|slot| *slot < size)
}
