//! A legal driver of a packed ring, in one thread with its device.

use std::sync::atomic::Ordering;

use vhost_fuzz_core::ring::flag::{AVAIL, INDIRECT, NEXT, USED, WRITE};
use vhost_fuzz_model::ring::Position;
use vhost_fuzz_model::ring::event::packed_decision;

use super::driver::{Driver, Features, Parts, Reaped, Wish, Wrong, add, front};
use super::plan::{CELL_COUNT, Element, Form, Plan};
use crate::ram::{GuestRam as _, Ram};

/// Values of the flags of an event structure.
const ENABLE: u16 = 0;
const DISABLE: u16 = 1;
const DESCRIPTOR: u16 = 2;

/// Flag bits that say nothing in a slot (VQ-030, PK-026).
const NO_MEANING: u16 = !(NEXT | WRITE | INDIRECT | AVAIL | USED);

/// A request that the device has.
#[derive(Debug)]
struct Flying {
    request: usize,
    id: u16,
    slots: u16,
}

/// The driver's side of a packed ring.
#[derive(Debug)]
pub struct Packed {
    size: u16,
    parts: Parts,
    features: Features,
    /// Slots that no request has.
    free: u16,
    /// Where the next request begins.
    next: Position,
    /// Slots that were offered since the device was last shown some.
    offered: u16,
    /// Place and flags of the first of them: the device sees nothing before these.
    held: Option<(u64, u16)>,
    /// Where the next used descriptor is.
    used: Position,
    /// Oldest first.
    flying: Vec<Flying>,
}

impl Packed {
    /// A ring that goes on at a position, with nothing in flight.
    #[must_use]
    pub fn new(ram: &Ram, parts: Parts, size: u16, features: Features, start: Position) -> Self {
        // The slots are as the laps before have left them: used, each in the last lap over it.
        let before = if start.wrap { 0..start.offset } else { start.offset..size };
        for slot in before {
            let place = parts.descriptor + 16 * u64::from(slot) + 14;
            ram.store_u16(place, AVAIL | USED, Ordering::Relaxed);
        }
        let mut driver = Self {
            size,
            parts,
            features,
            free: size,
            next: start,
            offered: 0,
            held: None,
            used: start,
            flying: Vec::with_capacity(CELL_COUNT),
        };
        driver.want_calls(ram, Wish::Always);
        driver
    }

    /// Writes a slot, but not its flags, which may come later; gives the place of those.
    fn put_slot(&self, ram: &Ram, at: Position, element: &Element, id: u16) -> u64 {
        let place = self.parts.descriptor + 16 * u64::from(at.offset);
        let [address_and_len @ .., _, _, _, _] = front(element);
        ram.put(place, &address_and_len);
        ram.store_u16(place + 12, id, Ordering::Relaxed);
        place + 14
    }

    /// Writes the slots of a request; the first is the last that the device may see.
    fn put_list(&mut self, ram: &Ram, elements: &[Element], id: u16, more: u16) {
        let mut first = None;
        for (index, element) in elements.iter().enumerate() {
            let next = if index + 1 < elements.len() { NEXT } else { 0 };
            let write = if element.is_writable { WRITE } else { 0 };
            let lap = if self.next.wrap { AVAIL } else { USED };
            // The id of the last slot counts (PK-022); the others have what they like.
            let slot_id = if next == 0 { id } else { !id };
            let place = self.put_slot(ram, self.next, element, slot_id);
            let flags = next | write | lap | more;
            if index == 0 {
                first = Some((place, flags));
            } else {
                ram.store_u16(place, flags, Ordering::Relaxed);
            }
            self.next = step(self.next, 1, self.size);
        }
        let Some((place, flags)) = first else { return };
        if self.held.is_some() {
            ram.store_u16(place, flags, Ordering::Release);
        } else {
            self.held = Some((place, flags));
        }
    }

    const fn half(position: Position) -> u16 {
        position.offset | (position.wrap as u16) << 15
    }
}

impl Driver for Packed {
    fn has_room(&self, plan: &Plan) -> bool {
        plan.packed_slots() <= self.free.into()
    }

    fn offer(&mut self, ram: &Ram, plan: &Plan, request: usize) {
        // No two requests in flight have the same cell.
        let cell = u16::try_from(plan.cell).unwrap_or(0);
        let id = if plan.is_shuffled { !cell } else { cell };
        let noise = if plan.is_noisy { NO_MEANING } else { 0 };
        match plan.form {
            Form::Direct => self.put_list(ram, &plan.elements, id, noise),
            Form::Table { address, .. } => {
                for (at, element) in (0..).zip(&plan.elements) {
                    let mut bytes = front(element);
                    // NEXT and INDIRECT say as little as the id (PK-018, PK-019).
                    let noise = if plan.is_noisy { !WRITE } else { 0 };
                    let flags = if element.is_writable { noise | WRITE } else { noise };
                    bytes[12..14].copy_from_slice(&noise.to_le_bytes());
                    bytes[14..].copy_from_slice(&flags.to_le_bytes());
                    ram.put(address + 16 * at, &bytes);
                }
                let len = u32::try_from(16 * plan.elements.len()).unwrap_or(0);
                // Its own WRITE says nothing (PK-020).
                let table = Element { address, len, is_writable: plan.is_noisy };
                self.put_list(ram, &[table], id, INDIRECT | noise);
            }
        }
        let slots = u16::try_from(plan.packed_slots()).unwrap_or(0);
        self.free -= slots;
        self.offered += slots;
        self.flying.push(Flying { request, id, slots });
    }

    fn publish(&mut self, ram: &Ram) -> bool {
        if let Some((place, flags)) = self.held.take() {
            ram.store_u16(place, flags, Ordering::Release);
        }
        ram.fence();
        let count = std::mem::take(&mut self.offered).into();
        let structure = ram.load_u32(self.parts.used).to_le_bytes();
        packed_decision(structure, self.features.event_idx, self.next, count, self.size)
    }

    fn reap(&mut self, ram: &Ram, reaped: &mut Vec<Reaped>) -> Result<(), Wrong> {
        while !self.flying.is_empty() {
            let place = self.parts.descriptor + 16 * u64::from(self.used.offset);
            let flags = ram.load_u16(place + 14, Ordering::Acquire);
            let lap = if self.used.wrap { AVAIL | USED } else { 0 };
            if flags & (AVAIL | USED) != lap {
                break;
            }
            let [a, b, c, d, e, f] = ram.bytes(place + 8);
            let (len, id) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]));
            let expected = lap | if len > 0 { WRITE } else { 0 };
            if flags != expected {
                return Err(Wrong::Flags(flags));
            }
            let found = self.flying.iter().position(|flying| flying.id == id);
            let found = found.ok_or(Wrong::Id(id.into()))?;
            let first = if self.features.in_order { 0 } else { found };
            let slots = self.flying[first..=found].iter().map(|flying| flying.slots).sum();
            self.used = step(self.used, slots, self.size);
            self.free += slots;
            add(self.flying.drain(first..=found).map(|flying| flying.request), len, reaped);
        }
        Ok(())
    }

    fn want_calls(&mut self, ram: &Ram, wish: Wish) {
        let (position, flags) = match wish {
            Wish::Never => (0, DISABLE),
            Wish::After(count) if self.features.event_idx => {
                // No further ahead than a lap: of a later one nothing can be said.
                let ahead = u16::from(count) % self.size;
                (Self::half(step(self.used, ahead, self.size)), DESCRIPTOR)
            }
            Wish::Always | Wish::After(_) => (0, ENABLE),
        };
        // The position first, so that nobody takes the old one for it (spec §2.5).
        ram.store_u16(self.parts.available, position, Ordering::Relaxed);
        ram.store_u16(self.parts.available + 2, flags, Ordering::Release);
        ram.fence();
    }

    fn is_idle(&self) -> bool {
        self.flying.is_empty() && self.free == self.size
    }
}

/// The position `slots` further on, at most a lap.
pub(super) const fn step(from: Position, slots: u16, size: u16) -> Position {
    let offset = from.offset + slots;
    if offset < size {
        Position { offset, wrap: from.wrap }
    } else {
        Position { offset: offset - size, wrap: !from.wrap }
    }
}
