//! Payloads about memory: P-REGION, P-MEMTABLE, P-MEMREG, P-LOG and P-IOTLB (spec §2).

use super::Fixed;
use crate::vhost_user::{MAX_REGIONS, message::Layout};
use crate::wire::{Reader, Short, Sink, SliceSink};

/// The two fields that `XEN_MMAP` adds to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XenMmap {
    /// Bit 0 foreign mapping, bit 1 grant mapping, bit 8 must not be mapped in advance.
    pub flags: u32,
    /// Xen domain id.
    pub domid: u32,
}

/// P-REGION: one region of guest memory (32 bytes; 40 with `XEN_MMAP`, VU-126).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 8 | guest physical address |
/// | 8 | 8 | size in bytes |
/// | 16 | 8 | user address |
/// | 24 | 8 | offset in the descriptor |
/// | 32 | 4 | xen mmap flags, with `XEN_MMAP` only |
/// | 36 | 4 | domid, with `XEN_MMAP` only |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// Guest physical address of the first byte.
    pub guest_address: u64,
    /// Bytes.
    pub size: u64,
    /// The front-end's user address of the first byte.
    pub user_address: u64,
    /// Where the region starts in the mapped descriptor.
    pub mmap_offset: u64,
    /// Present exactly when `XEN_MMAP` was negotiated.
    pub xen: Option<XenMmap>,
}

impl Region {
    /// Bytes of a region in this layout.
    #[must_use]
    #[inline]
    pub const fn encoded_len(xen_mmap: bool) -> u32 {
        if xen_mmap { 40 } else { 32 }
    }

    /// Reads one region.
    ///
    /// # Errors
    /// [`Short`] when the region does not fit in what is left.
    #[inline(always)]
    pub fn read(r: &mut Reader<'_>, xen_mmap: bool) -> Result<Self, Short> {
        Ok(Self {
            guest_address: r.ne_u64()?,
            size: r.ne_u64()?,
            user_address: r.ne_u64()?,
            mmap_offset: r.ne_u64()?,
            xen: if xen_mmap {
                Some(XenMmap { flags: r.ne_u32()?, domid: r.ne_u32()? })
            } else {
                None
            },
        })
    }

    /// Writes the region, with the Xen fields if it has them.
    #[inline]
    pub fn write(&self, sink: &mut impl Sink) {
        sink.ne_u64(self.guest_address);
        sink.ne_u64(self.size);
        sink.ne_u64(self.user_address);
        sink.ne_u64(self.mmap_offset);
        if let Some(xen) = self.xen {
            sink.ne_u32(xen.flags);
            sink.ne_u32(xen.domid);
        }
    }
}

/// P-MEMTABLE: the whole memory table.
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 4 | number of regions n |
/// | 4 | 4 | padding |
/// | 8 | 32 n or 40 n | regions |
/// | | up to the full 8 regions | tail, ignored (VU-262) |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemTable<'a> {
    count: u32,
    padding: u32,
    xen_mmap: bool,
    bytes: &'a [u8],
}

impl<'a> MemTable<'a> {
    /// Bytes before the first region.
    pub const PREFIX_LEN: u32 = 8;

    /// A table of `count` regions over their encoded bytes, for encoding. Nothing is checked, so
    /// that illegal tables can be written too.
    #[must_use]
    pub const fn new(count: u32, layout: Layout, bytes: &'a [u8]) -> Self {
        Self { count, padding: 0, xen_mmap: layout.xen_mmap, bytes }
    }

    /// Bytes of the table when it has all 8 regions.
    #[must_use]
    #[inline]
    pub const fn full_len(layout: Layout) -> u32 {
        Self::PREFIX_LEN + MAX_REGIONS * Region::encoded_len(layout.xen_mmap)
    }

    /// Takes the two numbers at the front; the rest is the regions.
    ///
    /// # Errors
    /// [`Short`] when fewer than 8 bytes are left.
    #[inline]
    pub(crate) fn read(mut r: Reader<'a>, layout: Layout) -> Result<Self, Short> {
        Ok(Self {
            count: r.ne_u32()?,
            padding: r.ne_u32()?,
            xen_mmap: layout.xen_mmap,
            bytes: r.rest(),
        })
    }

    /// Writes the table with its padding and its tail.
    pub(crate) fn write(&self, sink: &mut impl Sink) {
        sink.ne_u32(self.count);
        sink.ne_u32(self.padding);
        sink.put(self.bytes);
    }

    /// The number of regions that the message announces. A decoded message has 1 to 8.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The same table with these bytes after its count.
    #[must_use]
    pub const fn with_padding(self, padding: u32) -> Self {
        Self { padding, ..self }
    }

    /// The four bytes after the count, which nobody checks.
    #[must_use]
    pub const fn padding(&self) -> u32 {
        self.padding
    }

    /// The regions in order; region i belongs to descriptor i (VU-128).
    #[must_use]
    #[inline]
    pub fn regions(&self) -> Regions<'a> {
        Regions { left: self.count, xen_mmap: self.xen_mmap, reader: Reader::new(self.bytes) }
    }
}

/// The regions of a [`MemTable`]. It ends after `count` regions or where the bytes end.
#[derive(Clone, Debug)]
pub struct Regions<'a> {
    left: u32,
    xen_mmap: bool,
    reader: Reader<'a>,
}

impl Iterator for Regions<'_> {
    type Item = Region;

    #[inline]
    fn next(&mut self) -> Option<Region> {
        self.left = self.left.checked_sub(1)?;
        Region::read(&mut self.reader, self.xen_mmap).ok()
    }
}

/// Up to 8 encoded regions: what a [`MemTable`] borrows when a table is built.
#[derive(Clone, Debug)]
pub struct RegionBytes {
    bytes: [u8; MAX_REGIONS as usize * 40],
    len: usize,
}

impl RegionBytes {
    /// Encodes the first 8 of `regions`.
    #[must_use]
    pub fn new(regions: &[Region]) -> Self {
        let mut bytes = [0; MAX_REGIONS as usize * 40];
        let space = bytes.len();
        let mut sink = SliceSink::new(&mut bytes);
        let mut len = 0;
        for region in regions.iter().take(MAX_REGIONS as usize) {
            region.write(&mut sink);
            len += Region::encoded_len(region.xen.is_some()) as usize;
        }
        Self { bytes, len: len.min(space) }
    }

    /// The encoded regions.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// P-MEMREG: one region to add or remove (40 bytes; 48 with `XEN_MMAP`).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 8 | padding |
/// | 8 | 32 or 40 | region |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemReg {
    /// The eight bytes at the front, which nobody checks.
    pub padding: u64,
    /// The region.
    pub region: Region,
}

impl MemReg {
    /// Bytes in this layout.
    #[must_use]
    #[inline]
    pub const fn encoded_len(layout: Layout) -> u32 {
        8 + Region::encoded_len(layout.xen_mmap)
    }

    #[inline]
    pub(crate) fn read(r: &mut Reader<'_>, layout: Layout) -> Result<Self, Short> {
        Ok(Self { padding: r.ne_u64()?, region: Region::read(r, layout.xen_mmap)? })
    }

    #[inline]
    pub(crate) fn write(&self, sink: &mut impl Sink) {
        sink.ne_u64(self.padding);
        self.region.write(sink);
    }
}

/// P-LOG: the dirty log (16 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 8 | log size in bytes |
/// | 8 | 8 | offset of the log in the descriptor |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogBase {
    /// Bytes of the log.
    pub size: u64,
    /// Where in the descriptor the byte with the bit of guest address 0 is.
    pub offset: u64,
}

impl Fixed for LogBase {
    const LEN: u32 = 16;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self { size: r.ne_u64()?, offset: r.ne_u64()? })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.ne_u64(self.size);
        sink.ne_u64(self.offset);
    }
}

/// P-IOTLB: one IOTLB message (32 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 8 | iova |
/// | 8 | 8 | size in bytes |
/// | 16 | 8 | user address |
/// | 24 | 1 | permissions: bit 0 read, bit 1 write |
/// | 25 | 1 | type: 1 miss, 2 update, 3 invalidate, 4 access fail |
/// | 26 | 6 | padding |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Iotlb {
    /// I/O virtual address of the first byte.
    pub iova: u64,
    /// Bytes.
    pub size: u64,
    /// User address of the first byte; a guest physical address from a front-end that
    /// negotiated `GPA_ADDRESSES` (VU-265).
    pub user_address: u64,
    /// 0 none, 1 read, 2 write, 3 both; other values are kept.
    pub permissions: u8,
    /// [`Iotlb::MISS`] and its neighbours; other values are kept.
    pub kind: u8,
    /// The six bytes at the end, which nobody checks.
    pub padding: [u8; 6],
}

impl Iotlb {
    /// Type 1: the back-end asks for a translation.
    pub const MISS: u8 = 1;
    /// Type 2: the front-end gives one.
    pub const UPDATE: u8 = 2;
    /// Type 3: the front-end takes one back.
    pub const INVALIDATE: u8 = 3;
    /// Type 4: the back-end may not do what it wanted.
    pub const ACCESS_FAIL: u8 = 4;
}

impl Fixed for Iotlb {
    const LEN: u32 = 32;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self {
            iova: r.ne_u64()?,
            size: r.ne_u64()?,
            user_address: r.ne_u64()?,
            permissions: r.u8()?,
            kind: r.u8()?,
            padding: r.array()?,
        })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.ne_u64(self.iova);
        sink.ne_u64(self.size);
        sink.ne_u64(self.user_address);
        sink.u8(self.permissions);
        sink.u8(self.kind);
        sink.put(&self.padding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Region = Region {
        guest_address: 0x1000,
        size: 0x2000,
        user_address: 0x7f00_0000_0000,
        mmap_offset: 0x3000,
        xen: None,
    };

    #[test]
    fn region_bytes_hold_what_a_table_reads_back() {
        let xen = Region { xen: Some(XenMmap { flags: 1, domid: 7 }), ..PLAIN };
        for (region, layout) in
            [(PLAIN, Layout::default()), (xen, Layout { xen_mmap: true, ..Layout::default() })]
        {
            let bytes = RegionBytes::new(&[region; 3]);
            let table = MemTable::new(3, layout, bytes.as_bytes());
            assert_eq!(table.regions().collect::<Vec<_>>(), [region; 3]);
        }
    }

    #[test]
    fn a_ninth_region_is_left_out() {
        let bytes = RegionBytes::new(&[PLAIN; 9]);
        assert_eq!(bytes.as_bytes().len(), 8 * 32);
    }

    #[test]
    fn the_iterator_stops_where_the_bytes_end() {
        let bytes = RegionBytes::new(&[PLAIN; 2]);
        let lying = MemTable::new(u32::MAX, Layout::default(), bytes.as_bytes());
        assert_eq!(lying.regions().count(), 2);
    }
}
