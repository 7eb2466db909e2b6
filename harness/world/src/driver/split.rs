//! The driver of a split ring (spec §1).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use fastrand::Rng;

use super::flight::{Buffer, Flight, Flights};
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
/// Flag bits without meaning.
const NO_MEANING: u16 = !7;

/// The driver of a split ring.
#[derive(Clone, Debug, Default)]
pub struct SplitDriver {
    setup: Setup,
    heap: Heap,
    flights: Flights,
    /// Descriptors that nobody has. With `IN_ORDER` only their number counts.
    free: Vec<u16>,
    /// With `IN_ORDER`: the next descriptor.
    next_descriptor: u16,
    /// The next index that is made available, whether the device can see it or not.
    next_available: u16,
    /// The next used index that is taken back.
    next_used: u16,
    /// The available index that the device can see.
    visible: u16,
    /// That index at the last decision about a kick.
    decided: Option<u16>,
    scratch: Vec<u8>,
}

impl SplitDriver {
    /// A driver that has started; see [`Driver::start`].
    #[must_use]
    pub fn new<R: GuestRam + ?Sized>(setup: Setup, ram: &R) -> Self {
        let mut driver = Self::default();
        driver.start(setup, ram);
        driver
    }

    /// Lays a request out, and takes memory for its table. Returns how many buffers are described
    /// in the ring, and how many entries the table has.
    fn prepare<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        request: &Request<'_>,
        (style, rng): (&Style, &mut Rng),
        flight: &mut Flight,
    ) -> Result<(usize, usize), Full> {
        let (free, most) = (self.free.len(), usize::from(self.setup.table_max));
        let before = free.checked_sub(1).ok_or(Full)?;
        let prefix = match style.form {
            Form::Prefixed(count) if self.setup.indirect => Some(usize::from(count).min(before)),
            Form::Indirect if self.setup.indirect => Some(0),
            _ => None,
        };
        let room = prefix.map_or(free, |prefix| prefix + most);
        lay(ram, request, (style, rng), room, &mut self.heap, flight)?;
        let buffers = flight.buffers.len();
        let Some(prefix) = prefix else { return Ok((buffers, 0)) };
        // A table is not empty.
        let direct = prefix.min(buffers - 1);
        let entries = (buffers - direct + usize::from(style.spare_entries)).min(most.max(1));
        let bytes = 16 * entries as u64;
        let table = self.heap.take(bytes, style.fit(), rng).ok_or(Full)?;
        flight.memory.push((table, bytes));
        flight.table = Some((table, bytes));
        Ok((direct, entries))
    }

    /// Takes descriptors that nobody has.
    fn take_descriptors(&mut self, count: usize, style: &Style, rng: &mut Rng, out: &mut Vec<u16>) {
        for _ in 0..count {
            let Some(mut descriptor) = self.free.pop() else { unreachable!("they were counted") };
            if self.setup.in_order {
                descriptor = self.next_descriptor;
                self.next_descriptor = (descriptor + 1) % self.setup.size;
            } else if style.is_shuffled && !self.free.is_empty() {
                let other = rng.usize(..self.free.len());
                descriptor = std::mem::replace(&mut self.free[other], descriptor);
            }
            out.push(descriptor);
        }
    }

    /// Writes the indirect table: entries that lead from 0 on through all of `buffers`.
    fn write_table<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        buffers: &[Buffer],
        (style, rng): (&Style, &mut Rng),
        (table, entries): (u64, usize),
    ) {
        // Entries that no chain leads to are nonsense: a next that is nowhere, flags that are not
        // allowed.
        self.scratch.clear();
        self.scratch.resize(16 * entries, 0xff);
        let mut order: Vec<usize> = (0..entries).collect();
        if style.is_shuffled && !self.setup.in_order {
            rng.shuffle(&mut order[1..]);
        }
        for (at, buffer) in buffers.iter().enumerate() {
            let next = order.get(at + 1).filter(|_| at + 1 < buffers.len());
            let next = next.map(|next| u16::try_from(*next).expect("tables are short"));
            let raw = descriptor(buffer, next, (style, rng));
            self.scratch[16 * order[at]..][..16].copy_from_slice(&raw);
        }
        ram.put(table, &self.scratch);
    }

    fn used_element(&self, index: u16) -> u64 {
        self.setup.used + 4 + 8 * u64::from(index % self.setup.size)
    }

    /// Takes back what the next used element stands for.
    fn take_used<R: GuestRam + ?Sized>(&mut self, ram: &R, covered: u16) -> Result<(), Violation> {
        let [a, b, c, d, e, f, g, h] = ram.bytes(self.used_element(self.next_used));
        let (raw, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let unknown = Violation::UnknownHead { id: raw };
        let id = u16::try_from(raw).map_err(|_| unknown)?;
        let count = self.flights.batch(id, len).ok_or(unknown)??;
        if count > usize::from(covered) {
            return Err(Violation::BatchBeyondIndex { id, count, covered });
        }
        let Self { flights, heap, free, .. } = self;
        flights.take(ram, (id, len), |flight| {
            flight.release(heap);
            free.extend(flight.descriptors.drain(..).rev());
        });
        self.next_used = self.next_used.wrapping_add(u16::try_from(count).unwrap_or(covered));
        Ok(())
    }
}

/// A descriptor or a table entry.
fn descriptor(buffer: &Buffer, next: Option<u16>, (style, rng): (&Style, &mut Rng)) -> [u8; 16] {
    let mut flags = style.noise(rng, NO_MEANING);
    flags |= if buffer.is_writable { WRITE } else { 0 };
    flags |= if next.is_some() { NEXT } else { 0 };
    let next = next.unwrap_or_else(|| style.noise(rng, u16::MAX));
    encode(buffer.address, buffer.len, flags, next)
}

fn encode(address: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
    let mut raw = [0; 16];
    raw[..8].copy_from_slice(&address.to_le_bytes());
    raw[8..12].copy_from_slice(&len.to_le_bytes());
    raw[12..14].copy_from_slice(&flags.to_le_bytes());
    raw[14..].copy_from_slice(&next.to_le_bytes());
    raw
}

impl Driver for SplitDriver {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn format(&self) -> Format {
        Format::Split
    }

    fn start<R: GuestRam + ?Sized>(&mut self, setup: Setup, ram: &R) {
        assert!(setup.size.is_power_of_two(), "a split ring of {} entries", setup.size);
        self.heap.reset(ram.areas(), &setup.parts(Format::Split));
        self.flights.reset(setup.in_order);
        self.free.clear();
        self.free.extend((0..setup.size).rev());
        (self.next_descriptor, self.decided) = (0, None);
        (self.next_available, self.next_used) = (setup.base, setup.base);
        self.visible = setup.base;
        let [low, high] = setup.base.to_le_bytes();
        ram.put(setup.available, &[0, 0, low, high]);
        ram.put(setup.used, &[0, 0, low, high]);
        if setup.event_idx {
            // Without, they need not be memory (VQ-006).
            ram.put(setup.available + 4 + 2 * u64::from(setup.size), &[low, high]);
            ram.put(setup.used + 4 + 8 * u64::from(setup.size), &[low, high]);
        }
        self.setup = setup;
    }

    fn add<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        request: &Request<'_>,
        style: &Style,
    ) -> Result<Tag, Full> {
        let mut flight = self.flights.blank();
        let mut rng = style.rng();
        let prepared = self.prepare(ram, request, (style, &mut rng), &mut flight);
        let Ok((direct, entries)) = prepared else {
            flight.release(&mut self.heap);
            self.flights.recycle(flight);
            return Err(Full);
        };
        let count = direct + usize::from(entries > 0);
        let mut descriptors = std::mem::take(&mut flight.descriptors);
        self.take_descriptors(count, style, &mut rng, &mut descriptors);
        for (at, index) in descriptors.iter().enumerate() {
            let next = descriptors.get(at + 1).copied();
            let raw = match flight.table {
                Some((address, bytes)) if at == direct => {
                    let mark = if style.marks_table { WRITE } else { 0 };
                    let flags = INDIRECT | mark | style.noise(&mut rng, NO_MEANING);
                    let len = u32::try_from(bytes).expect("tables are short");
                    encode(address, len, flags, style.noise(&mut rng, u16::MAX))
                }
                _ => descriptor(&flight.buffers[at], next, (style, &mut rng)),
            };
            ram.put(self.setup.descriptor + 16 * u64::from(*index), &raw);
        }
        if let Some((table, _)) = flight.table {
            let buffers = &flight.buffers[direct..];
            self.write_table(ram, buffers, (style, &mut rng), (table, entries));
        }
        let head = descriptors[0];
        flight.descriptors = descriptors;
        let slot = u64::from(self.next_available % self.setup.size);
        ram.store_u16(self.setup.available + 4 + 2 * slot, head, Relaxed);
        self.next_available = self.next_available.wrapping_add(1);
        Ok(self.flights.add(head, flight))
    }

    fn flush<R: GuestRam + ?Sized>(&mut self, ram: &R) {
        // Pairs with the acquire of whoever loads the index (VQ-049).
        self.visible = self.next_available;
        ram.store_u16(self.setup.available + 2, self.visible, Release);
        self.flights.expose();
    }

    fn reap<R: GuestRam + ?Sized>(&mut self, ram: &R) -> Result<Option<Completion>, Violation> {
        if self.flights.ready.is_empty() {
            let index = ram.load_u16(self.setup.used + 2, Acquire);
            let covered = index.wrapping_sub(self.next_used);
            let exposed = self.flights.exposed();
            if usize::from(covered) > exposed {
                return Err(Violation::TooManyUsed { index, next: self.next_used, exposed });
            }
            if covered > 0 {
                self.take_used(ram, covered)?;
            }
        }
        Ok(self.flights.ready.pop_front())
    }

    fn needs_kick<R: GuestRam + ?Sized>(&mut self, ram: &R) -> Result<bool, Violation> {
        // The index is stored before what the device says is loaded (§1.8).
        ram.fence();
        let flags = ram.load_u16(self.setup.used, Relaxed);
        if self.setup.event_idx && flags != 0 {
            return Err(Violation::RingFlagsWithEventIdx { flags });
        }
        if flags > 1 {
            return Err(Violation::RingFlags { flags });
        }
        let visible = self.visible;
        let Some(old) = self.decided.replace(visible) else { return Ok(true) };
        if !self.setup.event_idx {
            return Ok(flags == 0 && visible != old);
        }
        let event = self.setup.used + 4 + 8 * u64::from(self.setup.size);
        let event = ram.load_u16(event, Relaxed);
        let made = visible.wrapping_sub(old);
        Ok(visible.wrapping_sub(event).wrapping_sub(1) < made)
    }

    fn want_calls<R: GuestRam + ?Sized>(&mut self, ram: &R, how: Calls) -> bool {
        let Setup { available, size, event_idx, .. } = self.setup;
        let last = match how {
            Calls::After(count) if event_idx => count,
            _ => 0,
        };
        if event_idx {
            // The index before the next one is not reached before 2^16 buffers were used.
            let ahead = if how == Calls::Never { u16::MAX } else { last };
            let event = self.next_used.wrapping_add(ahead);
            ram.store_u16(available + 4 + 2 * u64::from(size), event, Relaxed);
        } else {
            ram.store_u16(available, u16::from(how == Calls::Never), Relaxed);
        }
        ram.fence();
        let used = ram.load_u16(self.setup.used + 2, Acquire).wrapping_sub(self.next_used);
        how != Calls::Never && used > last
    }

    fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn base(&self) -> u32 {
        self.visible.into()
    }

    fn locate(&self, field: Field) -> Option<(u64, usize)> {
        let Setup { size, descriptor, available, used, .. } = self.setup;
        let slots = u64::from(size);
        Some(match field {
            Field::Descriptor { index, member } => {
                member.of(Format::Split, descriptor + 16 * u64::from(index % size))
            }
            Field::Entry { table, entry, member } => {
                member.of(Format::Split, hostile::entry(self.flights.tables(), table, entry)?)
            }
            Field::AvailableFlags => (available, 2),
            Field::AvailableIndex => (available + 2, 2),
            Field::Head { slot } => (available + 4 + 2 * u64::from(slot % size), 2),
            Field::UsedEvent => (available + 4 + 2 * slots, 2),
            Field::UsedFlags => (used, 2),
            Field::UsedIndex => (used + 2, 2),
            Field::Element { slot } => (self.used_element(slot), 8),
            Field::AvailableEvent => (used + 4 + 8 * slots, 2),
            _ => return None,
        })
    }
}
