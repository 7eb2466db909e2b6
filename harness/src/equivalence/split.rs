//! A legal driver of a split ring, in one thread with its device.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use arrayvec::ArrayVec;
use vhost_fuzz_core::ring::flag::{INDIRECT, NEXT, WRITE};
use vhost_fuzz_model::ring::event::need_event;

use super::driver::{Driver, Features, Parts, Reaped, Wish, Wrong, add, front};
use super::plan::{CELL_COUNT, ELEMENTS_MAX, Element, Form, Plan};
use crate::ram::{GuestRam as _, Ram};

/// Bit 0 of the flags of either ring: no notifications, please.
const QUIET: u16 = 1;

/// Flag bits that say nothing (VQ-030).
const NO_MEANING: u16 = !(NEXT | WRITE | INDIRECT);

/// A request that the device has.
#[derive(Debug)]
struct Flying {
    request: usize,
    descriptors: ArrayVec<u16, ELEMENTS_MAX>,
}

/// The driver's side of a split ring.
#[derive(Debug)]
pub struct Split {
    size: u16,
    parts: Parts,
    features: Features,
    /// Descriptors that no request has.
    free: VecDeque<u16>,
    /// Available index after what was offered.
    offered: u16,
    /// Available index that the device can see.
    shown: u16,
    /// Used index of what was reaped.
    reaped: u16,
    wish: Wish,
    /// Oldest first.
    flying: Vec<Flying>,
}

impl Split {
    /// A ring whose indices begin at `start`.
    #[must_use]
    pub fn new(ram: &Ram, parts: Parts, size: u16, features: Features, start: u16) -> Self {
        ram.store_u16(parts.available + 2, start, Ordering::Relaxed);
        ram.store_u16(parts.used + 2, start, Ordering::Relaxed);
        let mut driver = Self {
            size,
            parts,
            features,
            free: (0..size).collect(),
            offered: start,
            shown: start,
            reaped: start,
            wish: Wish::Always,
            flying: Vec::with_capacity(CELL_COUNT),
        };
        driver.want_calls(ram, Wish::Always);
        driver
    }

    /// Whether the descriptors of a request may come in any order. When the order of requests is
    /// kept, each is the neighbour of the one before (spec §1.4 m); they come back in order, so
    /// that the free ones are neighbours, too.
    const fn is_mixed(&self, plan: &Plan) -> bool {
        plan.is_shuffled && !self.features.in_order
    }

    fn allocate(&mut self, plan: &Plan) -> ArrayVec<u16, ELEMENTS_MAX> {
        let is_mixed = self.is_mixed(plan);
        let mut at = usize::from(self.offered);
        let take = |_| {
            at += 7;
            let at = if is_mixed { at % self.free.len().max(1) } else { 0 };
            if at == 0 { self.free.pop_front() } else { self.free.swap_remove_back(at) }
        };
        (0..plan.split_slots()).map_while(take).collect()
    }

    /// Writes a table, whose entry 0 is the first.
    fn put_table(&self, ram: &Ram, plan: &Plan, address: u64, elements: &[Element]) {
        let is_mixed = self.is_mixed(plan);
        let place = |index: usize| match (is_mixed, index) {
            (true, 1..) => elements.len() - index,
            _ => index,
        };
        for (index, element) in elements.iter().enumerate() {
            let next = (index + 1 < elements.len()).then(|| place(index + 1));
            let next = next.and_then(|next| u16::try_from(next).ok());
            ram.put(
                address + 16 * place(index) as u64,
                &descriptor(element, plan.is_noisy, 0, next),
            );
        }
    }

    /// The descriptors of a request that are in the ring's own table.
    fn put_chain(&self, ram: &Ram, plan: &Plan, indices: &[u16]) {
        let (elements, table) = match plan.form {
            Form::Direct => (&plan.elements[..], None),
            Form::Table { address, from } => {
                let (direct, entries) = plan.elements.split_at(from);
                self.put_table(ram, plan, address, entries);
                let len = u32::try_from(16 * entries.len()).unwrap_or(0);
                (direct, Some(Element { address, len, is_writable: plan.is_noisy }))
            }
        };
        let flags = elements.iter().map(|_| 0).chain([INDIRECT]);
        let elements = elements.iter().chain(&table).zip(flags);
        for (at, ((element, flags), index)) in elements.zip(indices).enumerate() {
            let next = indices.get(at + 1).copied();
            let place = self.parts.descriptor + 16 * u64::from(*index);
            ram.put(place, &descriptor(element, plan.is_noisy, flags, next));
        }
    }

    const fn slot(&self, index: u16) -> u64 {
        (index % self.size) as u64
    }

    fn load(&self, ram: &Ram, offset: u64) -> u16 {
        ram.load_u16(self.parts.used + offset, Ordering::Acquire)
    }
}

impl Driver for Split {
    fn has_room(&self, plan: &Plan) -> bool {
        plan.split_slots() <= self.free.len()
    }

    fn offer(&mut self, ram: &Ram, plan: &Plan, request: usize) {
        let descriptors = self.allocate(plan);
        self.put_chain(ram, plan, &descriptors);
        let place = self.parts.available + 4 + 2 * self.slot(self.offered);
        ram.store_u16(place, descriptors[0], Ordering::Relaxed);
        self.offered = self.offered.wrapping_add(1);
        self.flying.push(Flying { request, descriptors });
    }

    fn publish(&mut self, ram: &Ram) -> bool {
        let (old, new) = (self.shown, self.offered);
        self.shown = new;
        ram.store_u16(self.parts.available + 2, new, Ordering::Release);
        ram.fence();
        if self.features.event_idx {
            need_event(self.load(ram, 4 + 8 * u64::from(self.size)), new, old)
        } else {
            self.load(ram, 0) & QUIET == 0
        }
    }

    fn reap(&mut self, ram: &Ram, reaped: &mut Vec<Reaped>) -> Result<(), Wrong> {
        let index = self.load(ram, 2);
        while self.reaped != index {
            let place = self.parts.used + 4 + 8 * self.slot(self.reaped);
            let [a, b, c, d, e, f, g, h] = ram.bytes(place);
            let (id, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            let is_head = |flying: &Flying| u32::from(flying.descriptors[0]) == id;
            let found = self.flying.iter().position(is_head).ok_or(Wrong::Id(id))?;
            let first = if self.features.in_order { 0 } else { found };
            let count = u16::try_from(found - first + 1).unwrap_or(u16::MAX);
            if count > index.wrapping_sub(self.reaped) {
                return Err(Wrong::Index(index));
            }
            self.reaped = self.reaped.wrapping_add(count);
            let used = self.flying.drain(first..=found);
            add(
                used.map(|flying| {
                    self.free.extend(&flying.descriptors);
                    flying.request
                }),
                len,
                reaped,
            );
        }
        if self.features.event_idx && !matches!(self.wish, Wish::After(_)) {
            // What is always wanted, or never, moves on with what was reaped.
            self.want_calls(ram, self.wish);
        }
        Ok(())
    }

    fn want_calls(&mut self, ram: &Ram, wish: Wish) {
        self.wish = wish;
        let event = match wish {
            Wish::Always => self.reaped,
            // What is reached last.
            Wish::Never => self.reaped.wrapping_sub(1),
            Wish::After(count) => self.reaped.wrapping_add(count.into()),
        };
        let quiet = if wish == Wish::Never { QUIET } else { 0 };
        let (offset, value) = if self.features.event_idx {
            (4 + 2 * u64::from(self.size), event)
        } else {
            (0, quiet)
        };
        ram.store_u16(self.parts.available + offset, value, Ordering::Relaxed);
        ram.fence();
    }

    fn is_idle(&self) -> bool {
        self.flying.is_empty() && self.free.len() == usize::from(self.size)
    }
}

/// A descriptor as it is in memory.
fn descriptor(element: &Element, is_noisy: bool, flags: u16, next: Option<u16>) -> [u8; 16] {
    let mut bytes = front(element);
    let write = if element.is_writable { WRITE } else { 0 };
    let more = if next.is_some() { NEXT } else { 0 };
    let (bits, nowhere) = if is_noisy { (NO_MEANING, u16::MAX) } else { (0, 0) };
    bytes[12..14].copy_from_slice(&(flags | write | more | bits).to_le_bytes());
    bytes[14..].copy_from_slice(&next.unwrap_or(nowhere).to_le_bytes());
    bytes
}
