//! Requests that the device has.

use std::collections::{BTreeMap, VecDeque};

use super::heap::Heap;
use super::{Completion, DATA_MAX, Tag, Violation};
use crate::ram::GuestRam;

/// A buffer of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    /// Guest address.
    pub(super) address: u64,
    /// Bytes.
    pub(super) len: u32,
    /// The device may write to it.
    pub(super) is_writable: bool,
}

/// A request, in private memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    pub(super) tag: Tag,
    /// Its buffers, in order.
    pub(super) buffers: Vec<Buffer>,
    /// Descriptors that it has in a split ring.
    pub(super) descriptors: Vec<u16>,
    /// Slots that it has in a packed ring.
    pub(super) slots: u16,
    /// Its indirect table: first address and bytes.
    pub(super) table: Option<(u64, u64)>,
    /// Memory that it has: first address and length.
    pub(super) memory: Vec<(u64, u64)>,
    /// Bytes of its writable buffers.
    pub(super) writable: u64,
    pub(super) is_aliased: bool,
}

impl Flight {
    /// Makes it empty, and keeps the room.
    fn clear(&mut self) {
        self.buffers.clear();
        self.descriptors.clear();
        self.memory.clear();
        (self.slots, self.table, self.writable, self.is_aliased) = (0, None, 0, false);
    }

    /// Gives its memory back.
    pub(super) fn release(&mut self, heap: &mut Heap) {
        for (start, len) in self.memory.drain(..) {
            heap.give(start, len);
        }
    }

    /// What comes of it when `len` bytes were written.
    fn complete<R: GuestRam + ?Sized>(&self, ram: &R, len: u32) -> Completion {
        let mut data = vec![0; usize::try_from(len).map_or(DATA_MAX, |len| len.min(DATA_MAX))];
        let mut rest = &mut data[..];
        for buffer in self.buffers.iter().filter(|buffer| buffer.is_writable) {
            let here = usize::try_from(buffer.len).map_or(rest.len(), |len| len.min(rest.len()));
            let (now, later) = rest.split_at_mut(here);
            if !now.is_empty() {
                ram.get(buffer.address, now);
            }
            rest = later;
        }
        Completion { tag: self.tag, len, data, is_aliased: self.is_aliased }
    }
}

/// All requests that have not come back, and those that have and were not taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    by_id: BTreeMap<u16, Flight>,
    /// Heads or ids by age; only with `IN_ORDER`.
    by_age: VecDeque<u16>,
    in_order: bool,
    next_tag: u64,
    /// The tag of the first request that the device cannot see yet.
    hidden_tag: u64,
    /// Requests that a batch brought back.
    pub(super) ready: VecDeque<Completion>,
    spare: Vec<Flight>,
}

impl Flights {
    /// Forgets everything.
    pub(super) fn reset(&mut self, in_order: bool) {
        while let Some((_, flight)) = self.by_id.pop_first() {
            self.recycle(flight);
        }
        self.by_age.clear();
        self.ready.clear();
        (self.in_order, self.next_tag, self.hidden_tag) = (in_order, 0, 0);
    }

    /// An empty request.
    pub(super) fn blank(&mut self) -> Flight {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps the room of a request.
    pub(super) fn recycle(&mut self, mut flight: Flight) {
        flight.clear();
        self.spare.push(flight);
    }

    /// A request was written into the ring.
    pub(super) fn add(&mut self, id: u16, mut flight: Flight) -> Tag {
        let tag = Tag(self.next_tag);
        flight.tag = tag;
        self.next_tag += 1;
        if self.in_order {
            self.by_age.push_back(id);
        }
        self.by_id.insert(id, flight);
        tag
    }

    /// The device can see all of them.
    pub(super) fn expose(&mut self) {
        self.hidden_tag = self.next_tag;
    }

    /// Requests that have not come back to the user of the driver.
    pub(super) fn len(&self) -> usize {
        self.by_id.len() + self.ready.len()
    }

    /// Requests that the device has and can see.
    pub(super) fn exposed(&self) -> usize {
        let hidden = usize::try_from(self.next_tag - self.hidden_tag).unwrap_or(usize::MAX);
        self.by_id.len().saturating_sub(hidden)
    }

    /// Whether a head or id is in use.
    pub(super) fn has(&self, id: u16) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The indirect tables that the device may read, by head or id.
    pub(super) fn tables(&self) -> impl Iterator<Item = (u64, u64)> + Clone {
        self.by_id.values().filter_map(|flight| flight.table)
    }

    /// How many of the oldest requests a used element stands for: with `IN_ORDER` all up to this
    /// one, else this one. `None`: the device has no such request.
    pub(super) fn batch(&self, id: u16, len: u32) -> Option<Result<usize, Violation>> {
        let flight = self.by_id.get(&id).filter(|flight| flight.tag.0 < self.hidden_tag)?;
        let writable = flight.writable;
        if u64::from(len) > writable {
            return Some(Err(Violation::TooLong { id, len, writable }));
        }
        if !self.in_order {
            return Some(Ok(1));
        }
        let before = self.by_age.iter().position(|other| *other == id)?;
        let skipped = self.by_age.iter().take(before);
        for id in skipped.copied() {
            if self.by_id.get(&id).is_some_and(|flight| flight.writable > 0) {
                return Some(Err(Violation::BatchSkipsWritable { id }));
            }
        }
        Some(Ok(before + 1))
    }

    /// Takes back what a used element stands for, which [`batch`](Self::batch) has judged. Each
    /// request is shown to `free`, oldest first.
    pub(super) fn take<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        (id, len): (u16, u32),
        mut free: impl FnMut(&mut Flight),
    ) {
        loop {
            let oldest = if self.in_order { self.by_age.pop_front() } else { Some(id) };
            let Some((oldest, mut flight)) =
                oldest.and_then(|oldest| Some((oldest, self.by_id.remove(&oldest)?)))
            else {
                return;
            };
            let is_last = oldest == id;
            self.ready.push_back(flight.complete(ram, if is_last { len } else { 0 }));
            free(&mut flight);
            self.recycle(flight);
            if is_last {
                return;
            }
        }
    }
}
