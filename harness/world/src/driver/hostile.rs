//! Writing what no honest driver writes, field by field.

use arrayvec::ArrayVec;

use super::{Driver, Format, Setup};
use crate::ram::{Area, GuestRam};

/// Most values that [`values`] gives.
pub const VALUES_MAX: usize = 48;

/// A field of a descriptor or of a table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Member {
    /// Address of the buffer, 8 bytes.
    Address,
    /// Its bytes, 4 bytes.
    Len,
    /// Flags, 2 bytes.
    Flags,
    /// `next` in a split ring, the buffer id in a packed one, 2 bytes.
    NextOrId,
}

impl Member {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Address, Self::Len, Self::Flags, Self::NextOrId];

    /// Its address in the descriptor at `descriptor`, and its bytes.
    pub(super) const fn of(self, format: Format, descriptor: u64) -> (u64, usize) {
        let (offset, bytes) = match (self, format) {
            (Self::Address, _) => (0, 8),
            (Self::Len, _) => (8, 4),
            (Self::Flags, Format::Split) | (Self::NextOrId, Format::Packed) => (12, 2),
            (Self::NextOrId, Format::Split) | (Self::Flags, Format::Packed) => (14, 2),
        };
        (descriptor + offset, bytes)
    }
}

/// A field that a driver can write to. Numbers that are too large are reduced to what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// A descriptor in the ring.
    Descriptor {
        /// Its index or slot.
        index: u16,
        /// Which field.
        member: Member,
    },
    /// An entry of the indirect table of a request that has not come back.
    Entry {
        /// Which table, by head or id of its request.
        table: u16,
        /// Which entry.
        entry: u16,
        /// Which field.
        member: Member,
    },
    /// Split: flags of the available ring.
    AvailableFlags,
    /// Split: available index.
    AvailableIndex,
    /// Split: an entry of the available ring.
    Head {
        /// Which one.
        slot: u16,
    },
    /// Split: used index at which the driver wants to be called.
    UsedEvent,
    /// Split: flags of the used ring, which are the device's.
    UsedFlags,
    /// Split: used index, which is the device's.
    UsedIndex,
    /// Split: an element of the used ring, which is the device's, 8 bytes.
    Element {
        /// Which one.
        slot: u16,
    },
    /// Split: available index at which the device wants to be kicked; it is the device's.
    AvailableEvent,
    /// Packed: slot and wrap counter at which the driver wants to be called.
    DriverPosition,
    /// Packed: whether the driver wants to be called.
    DriverFlags,
    /// Packed: slot and wrap counter at which the device wants to be kicked; they are the device's.
    DevicePosition,
    /// Packed: whether the device wants to be kicked; they are the device's.
    DeviceFlags,
}

impl Field {
    /// A field of a ring of this format for every number. Half of them are descriptors or
    /// entries.
    #[must_use]
    pub const fn draw(format: Format, choice: u64) -> Self {
        let [kind, member, a, b, c, d, ..] = choice.to_le_bytes();
        let (index, entry) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let member = Member::ALL[member as usize % Member::ALL.len()];
        match (kind % 16, format) {
            (0..5, _) => Self::Descriptor { index, member },
            (5..8, _) => Self::Entry { table: index, entry, member },
            (8 | 9, Format::Split) => Self::AvailableIndex,
            (10 | 11, Format::Split) => Self::Head { slot: index },
            (12, Format::Split) => Self::AvailableFlags,
            (13, Format::Split) => Self::UsedEvent,
            (14, Format::Split) => Self::UsedIndex,
            (_, Format::Split) => match index % 3 {
                0 => Self::UsedFlags,
                1 => Self::Element { slot: entry },
                _ => Self::AvailableEvent,
            },
            (8..11, Format::Packed) => Self::DriverPosition,
            (11..14, Format::Packed) => Self::DriverFlags,
            (14, Format::Packed) => Self::DevicePosition,
            (_, Format::Packed) => Self::DeviceFlags,
        }
    }
}

/// The address of an entry of a table; `None` when there are no tables.
pub(super) fn entry(
    mut tables: impl Iterator<Item = (u64, u64)> + Clone,
    table: u16,
    entry: u16,
) -> Option<u64> {
    let count = tables.clone().count();
    let (address, bytes) = tables.nth(usize::from(table).checked_rem(count)?)?;
    Some(address + 16 * (u64::from(entry).checked_rem(bytes / 16)?))
}

/// What is in a field. `None`: there is no such field, or it is not in memory.
pub fn peek<R: GuestRam + ?Sized>(driver: &impl Driver, ram: &R, field: Field) -> Option<u64> {
    let (address, bytes) = find(driver, ram, field)?;
    let mut raw = [0; 8];
    ram.get(address, &mut raw[..bytes]);
    Some(u64::from_le_bytes(raw))
}

/// Writes the low bytes of `value` into a field. `false`: there is no such field, or it is not in
/// memory.
pub fn poke<R: GuestRam + ?Sized>(driver: &impl Driver, ram: &R, field: Field, value: u64) -> bool {
    let found = find(driver, ram, field);
    if let Some((address, bytes)) = found {
        ram.put(address, &value.to_le_bytes()[..bytes]);
    }
    found.is_some()
}

fn find<R: GuestRam + ?Sized>(driver: &impl Driver, ram: &R, field: Field) -> Option<(u64, usize)> {
    driver.locate(field).filter(|&(address, bytes)| ram.is_memory(address, bytes as u64))
}

/// Values that devices have tripped over, for this field with what is in it now. Nothing is left
/// out because it is legal.
pub fn values<R: GuestRam + ?Sized>(
    driver: &impl Driver,
    ram: &R,
    field: Field,
) -> ArrayVec<u64, VALUES_MAX> {
    let Some(now) = peek(driver, ram, field) else { return ArrayVec::new() };
    let mut list = Values { list: ArrayVec::new(), now };
    let (setup, format) = (driver.setup(), driver.format());
    let size = u64::from(setup.size);
    match field {
        Field::Descriptor { index, member } => {
            list.member(member, setup, format, ram.areas());
            if member == Member::NextOrId {
                // The shortest loop.
                list.add([u64::from(index % setup.size)]);
            }
        }
        Field::Entry { entry, member, .. } => {
            list.member(member, setup, format, ram.areas());
            if member == Member::NextOrId {
                list.add([u64::from(entry)]);
            }
        }
        Field::AvailableIndex | Field::UsedIndex => {
            let ahead = [1, 2, size - 1, size, size + 1, 2 * size, 0x8000, 0xffff, 0xfffe];
            list.add(ahead.map(|ahead| now.wrapping_add(ahead)));
            list.add([0, size, 0x7fff, 0x8000, 0xffff]);
        }
        Field::Head { slot } => {
            list.around(&[0, size, 0xffff, 0x8000]);
            // What was made available before, once more.
            for back in 1..4 {
                let slot = slot.wrapping_sub(back);
                list.add(peek(driver, ram, Field::Head { slot }));
            }
        }
        Field::UsedEvent | Field::AvailableEvent => {
            list.around(&[0, 0x8000, now]);
            let index = peek(driver, ram, Field::UsedIndex).unwrap_or(0);
            list.around(&[index, index.wrapping_add(size), index.wrapping_add(0x8000)]);
        }
        Field::DriverPosition | Field::DevicePosition => {
            list.around(&[0, size, 0x8000, 0x8000 + size, now]);
            list.add([now ^ 0x8000, 0x7fff, 0xffff]);
        }
        Field::AvailableFlags | Field::UsedFlags | Field::DriverFlags | Field::DeviceFlags => {
            list.add([0, 1, 2, 3, 4, 5, 6, 7, 0x100, 0x8000, 0x8001, 0x8002, 0xfffe, 0xffff]);
        }
        Field::Element { .. } => list.around(&[0, size, 1 << 32, now]),
    }
    list.list
}

struct Values {
    list: ArrayVec<u64, VALUES_MAX>,
    now: u64,
}

impl Values {
    /// Takes values in, as far as there is room.
    fn add(&mut self, values: impl IntoIterator<Item = u64>) {
        for value in values {
            // There is more room than any field has values.
            let _ = self.list.try_push(value);
        }
    }

    /// Values, and those next to them.
    fn around(&mut self, values: &[u64]) {
        for value in values {
            self.add([value.wrapping_sub(1), *value, value.wrapping_add(1)]);
        }
    }

    fn member(&mut self, member: Member, setup: &Setup, format: Format, areas: &[Area]) {
        let (size, now) = (u64::from(setup.size), self.now);
        let table = u64::from(setup.table_max);
        match member {
            Member::Address => {
                for area in areas {
                    let end = area.start.wrapping_add(area.size);
                    let starts = [area.start.wrapping_sub(1), area.start];
                    let ends = [end.wrapping_sub(16), end.wrapping_sub(1), end];
                    self.add(starts.into_iter().chain(ends));
                    // The front-end's address of the same byte.
                    self.add([area.user]);
                }
                let parts = setup.parts(format);
                self.add(parts.iter().map(|part| part.0));
                self.add([0, u64::MAX, u64::MAX - 15, 1 << 63, 1 << 32]);
                self.add([now.wrapping_add(1), now.wrapping_sub(1), now ^ 1 << 63, now ^ 1 << 32]);
            }
            Member::Len => {
                self.around(&[0, 16, 32, 16 * size, 16 * table, 1 << 31, 1 << 32]);
                self.add([16 * (size + 1), 16 * (table + 1), 16 * 0xffff, 0x10_0000]);
                self.add([0xffff_f000, 0xffff_fff0, now.wrapping_add(1), now.wrapping_sub(1)]);
                self.add([now.wrapping_mul(2), now ^ 1 << 31]);
            }
            Member::Flags => {
                self.add((0..8).map(|bits| now & !7 | bits));
                self.add((0..16).map(|bit| now ^ 1 << bit));
                self.add([0, 0xffff, !now & 0xffff, now ^ 0x8080, 0x0080, 0x8000, 0x8080]);
            }
            Member::NextOrId => {
                self.around(&[0, size, 2 * size, 0x8000, now]);
                self.around(&[table]);
            }
        }
    }
}
