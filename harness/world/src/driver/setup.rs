//! What a ring is started with.

use crate::ram::Area;

/// How a ring is laid out in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Descriptor table, available ring and used ring (spec §1).
    Split,
    /// One ring of descriptors, and two event structures (spec §2).
    Packed,
}

/// What a driver starts a ring with. Addresses are guest addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Setup {
    /// Entries: 1-32,768; a power of two in a split ring.
    pub size: u16,
    /// Descriptor table or ring.
    pub descriptor: u64,
    /// Available ring, or the driver's event structure.
    pub available: u64,
    /// Used ring, or the device's event structure.
    pub used: u64,
    /// `EVENT_IDX` was negotiated.
    pub event_idx: bool,
    /// `INDIRECT_DESC` was negotiated.
    pub indirect: bool,
    /// `IN_ORDER` was negotiated.
    pub in_order: bool,
    /// Where the ring begins. Split: both indices. Packed: the slot in bits 0-14, less than
    /// `size`, and the wrap counter in bit 15; a fresh ring begins at `0x8000`.
    pub base: u16,
    /// Most entries of an indirect table.
    pub table_max: u16,
}

impl Setup {
    /// Bytes and alignment of the three parts, with their event fields.
    #[must_use]
    pub const fn sizes(format: Format, size: u16) -> [(u64, u64); 3] {
        let size = size as u64;
        match format {
            Format::Split => [(16 * size, 16), (6 + 2 * size, 2), (6 + 8 * size, 4)],
            Format::Packed => [(16 * size, 16), (4, 4), (4, 4)],
        }
    }

    /// Address and bytes of the three parts: descriptor, available, used.
    #[must_use]
    pub const fn parts(&self, format: Format) -> [(u64, u64); 3] {
        let [(descriptors, _), (available, _), (used, _)] = Self::sizes(format, self.size);
        [(self.descriptor, descriptors), (self.available, available), (self.used, used)]
    }

    /// A fresh ring without features whose parts lie one after the other at the front of the
    /// first region that has room for them.
    #[must_use]
    pub fn place(areas: &[Area], format: Format, size: u16) -> Option<Self> {
        areas.iter().find_map(|area| {
            let mut end = area.start;
            let [descriptor, available, used] = Self::sizes(format, size).map(|(bytes, align)| {
                let start = end.next_multiple_of(align);
                end = start + bytes;
                start
            });
            let base = if format == Format::Packed { 0x8000 } else { 0 };
            let table_max = size.max(1024);
            let setup =
                Self { size, descriptor, available, used, base, table_max, ..Self::default() };
            (end - area.start <= area.size).then_some(setup)
        })
    }
}
