//! The driver of a packed ring (spec §2).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use fastrand::Rng;

use super::flight::{Flight, Flights};
use super::heap::Heap;
use super::legal::lay;
use super::{
    Calls, Completion, Driver, Field, Form, Format, Full, Request, Setup, Style, Tag, Violation,
    hostile,
};
use crate::ram::GuestRam;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;
/// Flag bits without meaning.
const NO_MEANING: u16 = !(NEXT | WRITE | INDIRECT | AVAIL | USED);

/// Values of the flags of an event structure.
const ENABLE: u16 = 0;
const DISABLE: u16 = 1;
const AT_SLOT: u16 = 2;

/// A slot, and the wrap counter of the lap that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Position {
    slot: u16,
    wrap: bool,
}

impl Position {
    /// What bits 0-14 and bit 15 say.
    const fn of(base: u16) -> Self {
        Self { slot: base & 0x7fff, wrap: base & 0x8000 != 0 }
    }

    const fn encode(self) -> u16 {
        self.slot | (self.wrap as u16) << 15
    }

    /// The position so many slots later, at most a lap.
    fn after(self, slots: u16, size: u16) -> Self {
        let slot = u32::from(self.slot) + u32::from(slots);
        match slot.checked_sub(size.into()) {
            Some(slot) => Self { slot: u16::try_from(slot).unwrap_or(0), wrap: !self.wrap },
            None => Self { slot: u16::try_from(slot).unwrap_or(0), wrap: self.wrap },
        }
    }
}

/// The driver of a packed ring.
#[derive(Clone, Debug, Default)]
pub struct PackedDriver {
    setup: Setup,
    heap: Heap,
    flights: Flights,
    /// Slots that nobody has.
    free: u16,
    next_id: u16,
    next_available: Position,
    next_used: Position,
    /// The flags of the first slot since the last flush, and where they go.
    held: Option<(u64, u16)>,
    /// Slots made available since the last decision about a kick, at most 65,535.
    made: u16,
    /// Slots of what was added since the last flush.
    hidden: u16,
    has_decided: bool,
    scratch: Vec<u8>,
}

impl PackedDriver {
    /// A driver that has started; see [`Driver::start`].
    #[must_use]
    pub fn new<R: GuestRam + ?Sized>(setup: Setup, ram: &R) -> Self {
        let mut driver = Self::default();
        driver.start(setup, ram);
        driver
    }

    const fn slot(&self, slot: u16) -> u64 {
        self.setup.descriptor + 16 * slot as u64
    }

    /// Lays a request out, and its table.
    fn prepare<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        request: &Request<'_>,
        (style, rng): (&Style, &mut Rng),
        flight: &mut Flight,
    ) -> Result<(), Full> {
        let is_indirect = self.setup.indirect && style.form != Form::Direct;
        let most = if is_indirect { self.setup.table_max.max(1) } else { self.free };
        if self.free == 0 {
            return Err(Full);
        }
        lay(ram, request, (style, rng), most.into(), &mut self.heap, flight)?;
        let buffers = flight.buffers.len();
        if !is_indirect {
            flight.slots = u16::try_from(buffers).map_err(|_| Full)?;
            return Ok(());
        }
        let bytes = 16 * buffers as u64;
        let table = self.heap.take(bytes, style.fit(), rng).ok_or(Full)?;
        flight.memory.push((table, bytes));
        (flight.table, flight.slots) = (Some((table, bytes)), 1);
        self.scratch.clear();
        for buffer in &flight.buffers {
            let write = if buffer.is_writable { WRITE } else { 0 };
            // All but WRITE means nothing here, NEXT and INDIRECT too (PK-018, PK-019).
            let flags = write | style.noise(rng, !WRITE);
            let id = style.noise(rng, u16::MAX);
            self.scratch.extend(encode(buffer.address, buffer.len, id));
            self.scratch.extend(flags.to_le_bytes());
        }
        ram.put(table, &self.scratch);
        Ok(())
    }

    /// An id that no request has.
    fn take_id(&mut self, style: &Style, rng: &mut Rng) -> u16 {
        loop {
            let id = if style.has_any_id { rng.u16(..) } else { self.next_id };
            self.next_id = (self.next_id + 1) % self.setup.size;
            // There are fewer requests than slots, so one of the next ids is free.
            if !self.flights.has(id) {
                return id;
            }
        }
    }

    /// Writes a descriptor, or holds back the flags that make everything since the last flush
    /// available.
    fn write<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        at: Position,
        (address, len, id, flags): (u64, u32, u16, u16),
        is_first: bool,
    ) {
        let place = self.slot(at.slot);
        ram.put(place, &encode(address, len, id));
        let flags = flags | if at.wrap { AVAIL } else { USED };
        if !is_first {
            ram.store_u16(place + 14, flags, Relaxed);
        } else if self.held.is_none() {
            self.held = Some((place + 14, flags));
        } else {
            // The device does not come here before the flags that are held back.
            ram.store_u16(place + 14, flags, Release);
        }
    }

    /// Writes the slots of a request, the first one last (PK-014).
    fn write_slots<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        flight: &Flight,
        id: u16,
        (style, rng): (&Style, &mut Rng),
    ) {
        let (size, start) = (self.setup.size, self.next_available);
        if let Some((address, bytes)) = flight.table {
            let mark = if style.marks_table { WRITE } else { 0 };
            let flags = INDIRECT | mark | style.noise(rng, NO_MEANING);
            let len = u32::try_from(bytes).expect("tables are short");
            self.write(ram, start, (address, len, id, flags), true);
        } else {
            for (offset, buffer) in (0..flight.slots).zip(&flight.buffers).rev() {
                let is_last = offset + 1 == flight.slots;
                let write = if buffer.is_writable { WRITE } else { 0 };
                let next = if is_last { 0 } else { NEXT };
                let flags = write | next | style.noise(rng, NO_MEANING);
                // Only the id of the last slot means something (PK-022).
                let id = if is_last || !style.has_noise { id } else { rng.u16(..) };
                let at = start.after(offset, size);
                self.write(ram, at, (buffer.address, buffer.len, id, flags), offset == 0);
            }
        }
        self.next_available = start.after(flight.slots, size);
    }

    /// The flags of the next slot to take back, when it was used.
    fn used_flags<R: GuestRam + ?Sized>(&self, ram: &R, at: Position) -> Option<u16> {
        let flags = ram.load_u16(self.slot(at.slot) + 14, Acquire);
        let is_used = (flags & AVAIL != 0) == at.wrap && (flags & USED != 0) == at.wrap;
        is_used.then_some(flags)
    }

    /// Takes back what a used descriptor stands for.
    fn take_used<R: GuestRam + ?Sized>(&mut self, ram: &R, flags: u16) -> Result<(), Violation> {
        let [a, b, c, d, e, f] = ram.bytes(self.slot(self.next_used.slot) + 8);
        let (len, id) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]));
        self.flights.batch(id, len).ok_or(Violation::UnknownId { id })??;
        if (flags & WRITE != 0) != (len > 0) {
            return Err(Violation::WriteFlag { id, len });
        }
        if flags & (NEXT | INDIRECT) != 0 {
            return Err(Violation::UsedFlags { flags });
        }
        let mut slots = 0;
        let heap = &mut self.heap;
        self.flights.take(ram, (id, len), |flight| {
            flight.release(heap);
            slots += flight.slots;
        });
        self.free += slots;
        self.next_used = self.next_used.after(slots, self.setup.size);
        Ok(())
    }
}

/// The first 14 bytes of a descriptor, all but its flags.
fn encode(address: u64, len: u32, id: u16) -> [u8; 14] {
    let mut raw = [0; 14];
    raw[..8].copy_from_slice(&address.to_le_bytes());
    raw[8..12].copy_from_slice(&len.to_le_bytes());
    raw[12..].copy_from_slice(&id.to_le_bytes());
    raw
}

impl Driver for PackedDriver {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn format(&self) -> Format {
        Format::Packed
    }

    fn start<R: GuestRam + ?Sized>(&mut self, setup: Setup, ram: &R) {
        let start = Position::of(setup.base);
        assert!(start.slot < setup.size, "slot {} of {}", start.slot, setup.size);
        self.heap.reset(ram.areas(), &setup.parts(Format::Packed));
        self.flights.reset(setup.in_order);
        (self.setup, self.free, self.next_id) = (setup, setup.size, 0);
        (self.next_available, self.next_used) = (start, start);
        (self.held, self.made, self.hidden, self.has_decided) = (None, 0, 0, false);
        // All slots are used: those in front in this lap, the others in the one before.
        self.scratch.clear();
        for slot in 0..setup.size {
            let wrap = start.wrap == (slot < start.slot);
            let [low, high] = if wrap { (AVAIL | USED).to_le_bytes() } else { [0; 2] };
            self.scratch.extend([0; 14]);
            self.scratch.extend([low, high]);
        }
        ram.put(setup.descriptor, &self.scratch);
        ram.put(setup.available, &[0; 4]);
        ram.put(setup.used, &[0; 4]);
    }

    fn add<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        request: &Request<'_>,
        style: &Style,
    ) -> Result<Tag, Full> {
        let mut flight = self.flights.blank();
        let mut rng = style.rng();
        if self.prepare(ram, request, (style, &mut rng), &mut flight).is_err() {
            flight.release(&mut self.heap);
            self.flights.recycle(flight);
            return Err(Full);
        }
        let id = self.take_id(style, &mut rng);
        self.write_slots(ram, &flight, id, (style, &mut rng));
        self.free -= flight.slots;
        self.hidden += flight.slots;
        Ok(self.flights.add(id, flight))
    }

    fn flush<R: GuestRam + ?Sized>(&mut self, ram: &R) {
        if let Some((place, flags)) = self.held.take() {
            // Pairs with the acquire of whoever loads the flags (§2.7).
            ram.store_u16(place, flags, Release);
        }
        self.made = self.made.saturating_add(std::mem::take(&mut self.hidden));
        self.flights.expose();
    }

    fn reap<R: GuestRam + ?Sized>(&mut self, ram: &R) -> Result<Option<Completion>, Violation> {
        if self.flights.ready.is_empty()
            && let Some(flags) = self.used_flags(ram, self.next_used)
        {
            self.take_used(ram, flags)?;
        }
        Ok(self.flights.ready.pop_front())
    }

    fn needs_kick<R: GuestRam + ?Sized>(&mut self, ram: &R) -> Result<bool, Violation> {
        // The flags are stored before what the device says is loaded (§2.7).
        ram.fence();
        let structure = ram.load_u32(self.setup.used);
        let [a, b, c, d] = structure.to_le_bytes();
        let (event, flags) = (Position::of(u16::from_le_bytes([a, b])), u16::from_le_bytes([c, d]));
        let size = self.setup.size;
        let is_allowed = match flags {
            ENABLE | DISABLE => true,
            AT_SLOT => self.setup.event_idx && event.slot < size,
            _ => false,
        };
        if !is_allowed {
            return Err(Violation::EventStructure { structure });
        }
        let made = std::mem::take(&mut self.made);
        if !std::mem::replace(&mut self.has_decided, true) || flags == ENABLE && made > 0 {
            return Ok(true);
        }
        if flags != AT_SLOT || made == 0 {
            return Ok(false);
        }
        // Beyond a lap nobody can tell, and one kick too many does no harm (§2.5).
        let now = self.visible();
        let event = if event.wrap == now.wrap { event.slot } else { event.slot.wrapping_sub(size) };
        Ok(made > size || now.slot.wrapping_sub(event).wrapping_sub(1) < made)
    }

    fn want_calls<R: GuestRam + ?Sized>(&mut self, ram: &R, how: Calls) -> bool {
        let Setup { available, size, event_idx, .. } = self.setup;
        let mut last = self.next_used;
        match how {
            Calls::After(count) if event_idx && count < size => {
                last = self.next_used.after(count, size);
                ram.store_u16(available, last.encode(), Relaxed);
                // A device that finds the flags finds the slot.
                ram.store_u16(available + 2, AT_SLOT, Release);
            }
            Calls::Never => ram.store_u16(available + 2, DISABLE, Relaxed),
            Calls::Always | Calls::After(_) => ram.store_u16(available + 2, ENABLE, Relaxed),
        }
        ram.fence();
        how != Calls::Never && self.used_flags(ram, last).is_some()
    }

    fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn base(&self) -> u32 {
        u32::from(self.visible().encode()) * 0x1_0001
    }

    fn locate(&self, field: Field) -> Option<(u64, usize)> {
        let Setup { size, available, used, .. } = self.setup;
        Some(match field {
            Field::Descriptor { index, member } => {
                member.of(Format::Packed, self.slot(index % size))
            }
            Field::Entry { table, entry, member } => {
                member.of(Format::Packed, hostile::entry(self.flights.tables(), table, entry)?)
            }
            Field::DriverPosition => (available, 2),
            Field::DriverFlags => (available + 2, 2),
            Field::DevicePosition => (used, 2),
            Field::DeviceFlags => (used + 2, 2),
            _ => return None,
        })
    }
}

impl PackedDriver {
    /// The position up to which the device can see slots.
    fn visible(&self) -> Position {
        let back = self.setup.size - self.hidden;
        // So many slots back is a lap less so many slots on, on the lap before.
        let Position { slot, wrap } = self.next_available.after(back, self.setup.size);
        Position { slot, wrap: !wrap }
    }
}
