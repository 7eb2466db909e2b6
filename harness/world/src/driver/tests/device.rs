//! Devices that trust the driver, and panic when it does not deserve it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::driver::{Format, Setup};
use crate::ram::GuestRam;

/// What was seen of the ways to lay out a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Direct,
    Indirect,
    IndirectAfterDirect,
    SeveralBuffers,
    NextNotInOrder,
    Empty,
    OverBorder,
    TableOverBorder,
    TableCutInEntry,
    WriteOnTable,
    MeaninglessFlags,
    SpareEntries,
    LongerThanRing,
    IdAboveSize,
    OtherIdsInList,
    Aliased,
}

/// A chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    pub(super) id: u16,
    pub(super) slots: u16,
    pub(super) readable: Vec<u8>,
    pub(super) writable: Vec<(u64, u32)>,
    pub(super) bytes: u64,
}

impl Taken {
    pub(super) fn writable_bytes(&self) -> u64 {
        self.writable.iter().map(|(_, len)| u64::from(*len)).sum()
    }

    /// Writes bytes to the front of what is writable.
    pub(super) fn fill(&self, ram: &impl GuestRam, mut bytes: &[u8]) {
        for (address, len) in &self.writable {
            let (now, later) = bytes.split_at(bytes.len().min(*len as usize));
            if !now.is_empty() {
                ram.put(*address, now);
            }
            bytes = later;
        }
        assert!(bytes.is_empty());
    }
}

/// A device of either format.
pub(super) struct Device {
    format: Format,
    setup: Setup,
    /// Split: free running. Packed: slots on a circle of two laps, the first with wrap counter 1.
    available: u32,
    used: u32,
    /// `used` at the last decision about a call.
    decided: u32,
    pub(super) shapes: BTreeSet<Shape>,
}

struct Raw {
    address: u64,
    len: u32,
    third: u16,
    fourth: u16,
}

fn raw(ram: &impl GuestRam, address: u64) -> Raw {
    let le16 = |offset| u16::from_le_bytes(ram.bytes(address + offset));
    Raw {
        address: u64::from_le_bytes(ram.bytes(address)),
        len: u32::from_le_bytes(ram.bytes(address + 8)),
        third: le16(12),
        fourth: le16(14),
    }
}

impl Device {
    pub(super) fn new(format: Format, setup: Setup) -> Self {
        let at = match format {
            Format::Split => setup.base.into(),
            Format::Packed if setup.base & 0x8000 != 0 => u32::from(setup.base & 0x7fff),
            Format::Packed => u32::from(setup.base + setup.size),
        };
        Self { format, setup, available: at, used: at, decided: at, shapes: BTreeSet::new() }
    }

    fn circle(&self) -> u32 {
        match self.format {
            Format::Split => 0x1_0000,
            Format::Packed => 2 * u32::from(self.setup.size),
        }
    }

    /// Slot and wrap counter of a place on the circle of a packed ring.
    fn slot(&self, at: u32) -> (u64, bool) {
        let size = u32::from(self.setup.size);
        (u64::from(at % size), at % (2 * size) < size)
    }

    fn see(&mut self, shape: Shape, is_seen: bool) {
        if is_seen {
            self.shapes.insert(shape);
        }
    }

    pub(super) fn take(&mut self, ram: &impl GuestRam) -> Option<Taken> {
        let taken = match self.format {
            Format::Split => self.take_split(ram)?,
            Format::Packed => self.take_packed(ram)?,
        };
        self.available = (self.available + u32::from(taken.slots)) % self.circle();
        assert!(taken.bytes <= 1 << 32);
        let mut sorted = taken.writable.clone();
        sorted.sort_unstable();
        let aliased = sorted.windows(2).any(|pair| pair[0].0 + u64::from(pair[0].1) > pair[1].0);
        self.see(Shape::Aliased, aliased);
        Some(taken)
    }

    fn buffer(
        &mut self,
        ram: &impl GuestRam,
        taken: &mut Taken,
        (address, len): (u64, u32),
        write: bool,
    ) {
        taken.bytes += u64::from(len);
        self.see(Shape::Empty, len == 0);
        if len == 0 {
            assert!(write || taken.writable.is_empty());
            return;
        }
        assert!(ram.is_memory(address, len.into()), "{address:#x} {len}");
        let is_over = ram
            .areas()
            .iter()
            .any(|area| address < area.start && address + u64::from(len) > area.start);
        self.see(Shape::OverBorder, is_over);
        if write {
            taken.writable.push((address, len));
        } else {
            assert!(taken.writable.is_empty(), "readable after writable");
            let at = taken.readable.len();
            taken.readable.resize(at + len as usize, 0);
            ram.get(address, &mut taken.readable[at..]);
        }
    }

    fn table(&mut self, ram: &impl GuestRam, address: u64, len: u32) -> u32 {
        assert!(self.setup.indirect && len > 0 && len.is_multiple_of(16));
        assert!(len / 16 <= self.setup.table_max.into());
        assert!(ram.is_memory(address, len.into()));
        for area in ram.areas() {
            let cut = area.start.wrapping_sub(address);
            self.see(Shape::TableOverBorder, cut > 0 && cut < len.into());
            self.see(Shape::TableCutInEntry, cut < len.into() && cut % 16 != 0);
        }
        self.see(Shape::LongerThanRing, len / 16 > self.setup.size.into());
        len / 16
    }

    fn take_split(&mut self, ram: &impl GuestRam) -> Option<Taken> {
        let Setup { size, descriptor, available, in_order, .. } = self.setup;
        if u32::from(ram.load_u16(available + 2, Acquire)) == self.available {
            return None;
        }
        let slot = u64::from(self.available) % u64::from(size);
        let id = ram.load_u16(available + 4 + 2 * slot, Relaxed);
        let mut taken = Taken { id, slots: 1, ..Taken::default() };
        let (mut table, mut entries, mut index) = (descriptor, u32::from(size), id);
        let mut count = 0;
        loop {
            assert!(u32::from(index) < entries, "{index} of {entries}");
            let Raw { address, len, third: flags, fourth: next } =
                raw(ram, table + 16 * u64::from(index));
            count += 1;
            assert!(count <= entries);
            self.see(Shape::MeaninglessFlags, flags & !7 != 0);
            if flags & 4 != 0 {
                assert!(table == descriptor && flags & 1 == 0);
                entries = self.table(ram, address, len);
                self.see(Shape::Indirect, count == 1);
                self.see(Shape::IndirectAfterDirect, count > 1);
                self.see(Shape::WriteOnTable, flags & 2 != 0);
                (table, index, count) = (address, 0, 0);
                continue;
            }
            self.buffer(ram, &mut taken, (address, len), flags & 2 != 0);
            if flags & 1 == 0 {
                break;
            }
            self.see(Shape::SeveralBuffers, true);
            let expected = u32::from(index) + 1;
            let is_in_order = u32::from(next) == expected % entries.max(1);
            assert!(!in_order || is_in_order, "VQ-057");
            self.see(Shape::NextNotInOrder, !is_in_order);
            index = next;
        }
        self.see(Shape::SpareEntries, table != descriptor && count < entries);
        self.see(Shape::Direct, table == descriptor);
        Some(taken)
    }

    fn take_packed(&mut self, ram: &impl GuestRam) -> Option<Taken> {
        let mut taken = Taken::default();
        let mut ids = Vec::new();
        loop {
            let (slot, wrap) = self.slot(self.available + u32::from(taken.slots));
            let place = self.setup.descriptor + 16 * slot;
            let flags = ram.load_u16(place + 14, Acquire);
            let is_available = (flags & 0x80 != 0) == wrap && (flags & 0x8000 != 0) != wrap;
            if !is_available {
                assert!(taken.slots == 0, "PK-014, PK-015");
                return None;
            }
            let Raw { address, len, third: id, .. } = raw(ram, place);
            taken.slots += 1;
            assert!(taken.slots <= self.setup.size);
            (taken.id, _) = (id, ids.push(id));
            self.see(Shape::MeaninglessFlags, flags & !0x8087 != 0);
            if flags & 4 != 0 {
                assert!(flags & 1 == 0 && taken.slots == 1);
                self.see(Shape::Indirect, true);
                self.see(Shape::WriteOnTable, flags & 2 != 0);
                for entry in 0..self.table(ram, address, len) {
                    let entry = raw(ram, address + 16 * u64::from(entry));
                    self.see(Shape::MeaninglessFlags, entry.fourth & !2 != 0);
                    let write = entry.fourth & 2 != 0;
                    self.buffer(ram, &mut taken, (entry.address, entry.len), write);
                }
                break;
            }
            self.buffer(ram, &mut taken, (address, len), flags & 2 != 0);
            self.see(Shape::Direct, true);
            if flags & 1 == 0 {
                break;
            }
            self.see(Shape::SeveralBuffers, true);
        }
        self.see(Shape::IdAboveSize, taken.id >= self.setup.size);
        self.see(Shape::OtherIdsInList, ids.iter().any(|id| *id != taken.id));
        Some(taken)
    }

    /// Gives back a batch, or one chain, by one used element.
    pub(super) fn give(&mut self, ram: &impl GuestRam, batch: &[Taken], len: u32) {
        let slots: u32 = batch.iter().map(|taken| u32::from(taken.slots)).sum();
        self.element(ram, batch.last().unwrap().id, len);
        self.used = (self.used + slots) % self.circle();
        if self.format == Format::Split {
            let index = u16::try_from(self.used).unwrap();
            ram.store_u16(self.setup.used + 2, index, Release);
        }
    }

    /// Writes a used element, and nothing else.
    pub(super) fn element(&mut self, ram: &impl GuestRam, id: u16, len: u32) {
        let mut raw = [0; 8];
        match self.format {
            Format::Split => {
                raw[..2].copy_from_slice(&id.to_le_bytes());
                raw[4..].copy_from_slice(&len.to_le_bytes());
                let slot = u64::from(self.used) % u64::from(self.setup.size);
                ram.put(self.setup.used + 4 + 8 * slot, &raw);
            }
            Format::Packed => {
                let (slot, wrap) = self.slot(self.used);
                raw[..4].copy_from_slice(&len.to_le_bytes());
                raw[4..6].copy_from_slice(&id.to_le_bytes());
                let place = self.setup.descriptor + 16 * slot;
                ram.put(place + 8, &raw[..6]);
                let bits = if wrap { 0x8080 } else { 0 };
                ram.store_u16(place + 14, bits | if len > 0 { 2 } else { 0 }, Release);
            }
        }
    }

    /// Whether the driver is to be called for what was used since the last time.
    pub(super) fn calls(&mut self, ram: &impl GuestRam) -> bool {
        ram.fence();
        let Setup { available, size, event_idx, .. } = self.setup;
        let mut run = Vec::new();
        while self.decided != self.used {
            run.push(self.decided);
            self.decided = (self.decided + 1) % self.circle();
        }
        let is_in_run = |event: u32| run.contains(&event);
        match self.format {
            Format::Split if event_idx => {
                let event = ram.load_u16(available + 4 + 2 * u64::from(size), Relaxed);
                is_in_run(event.into())
            }
            Format::Split => ram.load_u16(available, Relaxed) & 1 == 0 && !run.is_empty(),
            Format::Packed => {
                let structure = ram.load_u32(available);
                let lap = if structure & 0x8000 == 0 { size.into() } else { 0 };
                match structure >> 16 {
                    0 => !run.is_empty(),
                    1 => false,
                    2 if event_idx => is_in_run((structure & 0x7fff) + lap),
                    other => panic!("event flags {other}"),
                }
            }
        }
    }

    /// Asks for a kick when the chain after `ahead` more slots is made available.
    pub(super) fn want_kick_after(&self, ram: &impl GuestRam, ahead: u32) {
        let Setup { used, size, .. } = self.setup;
        match self.format {
            Format::Split => {
                let event = u16::try_from((self.available + ahead) % 0x1_0000).unwrap();
                ram.store_u16(used + 4 + 8 * u64::from(size), event, Relaxed);
            }
            Format::Packed => {
                let (slot, wrap) = self.slot(self.available + ahead);
                let position = u16::try_from(slot).unwrap() | if wrap { 0x8000 } else { 0 };
                ram.store_u16(used, position, Relaxed);
                ram.store_u16(used + 2, 2, Release);
            }
        }
        ram.fence();
    }

    /// Asks for all kicks or none, where there is no event index.
    pub(super) fn want_kicks(&self, ram: &impl GuestRam, wants: bool) {
        let flags = if self.format == Format::Split { 0 } else { 2 };
        ram.store_u16(self.setup.used + flags, u16::from(!wants), Relaxed);
        ram.fence();
    }
}
