//! Guest memory, mapped once, for each side of the comparison.
//!
//! Each side has an image of its own, so that what one writes is nowhere but in what the other
//! writes as well: used elements, indexes, flags and buffers are compared where they are.

use vhost_fuzz_core::memory::MemoryTable;
use vhost_fuzz_core::ring::Mapped;
use vhost_fuzz_core::vhost_user::payload::Region;
use vm_memory::bitmap::BS;
use vm_memory::volatile_memory::Result as VolatileResult;
use vm_memory::{ByteValued, GuestMemoryRegion, VolatileSlice};
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion, VolatileMemory};

use std::sync::Arc;

/// Guest address and size of each region.
///
/// The first two touch where a descriptor or a used element can be cut. After a hole come two
/// more, which touch at an odd address: no field in the last of them can be accessed at once. The
/// far one is there for its size; hardly a page of it is ever touched.
pub const REGIONS: [(u64, u64); 5] =
    [(0, 0x5008), (0x5008, 0x4ff8), (0xc000, 0x2003), (0xe003, 0x1ffd), (FAR, FAR_LEN)];

/// Address of the far region.
pub const FAR: u64 = 0x1000_0000;

/// Bytes of the far region: 64 buffers as long as it have 2^32 bytes.
pub const FAR_LEN: u64 = 64 << 20;

/// The region at an odd address.
pub const ODD: (u64, u64) = REGIONS[3];

/// A mapping that a table can own and be as cheap as a reference.
#[derive(Clone, Debug)]
pub struct Handle(Arc<GuestRegionMmap>);

impl VolatileMemory for Handle {
    type B = ();

    #[inline]
    fn len(&self) -> usize {
        VolatileMemory::len(&**self.0)
    }

    #[inline]
    fn get_slice(
        &self,
        offset: usize,
        count: usize,
    ) -> VolatileResult<VolatileSlice<'_, BS<'_, ()>>> {
        VolatileMemory::get_slice(&**self.0, offset, count)
    }
}

/// The memory of one side.
#[derive(Debug)]
pub struct Image {
    memory: GuestMemoryMmap,
    table: MemoryTable<Mapped<Handle>>,
}

impl Image {
    /// Maps all regions.
    fn new() -> Self {
        let map = |(guest, len): (u64, u64)| {
            let len = usize::try_from(len).expect("at most 64 MiB");
            let region = MmapRegion::new(len).expect("address space");
            let region = GuestRegionMmap::new(region, GuestAddress(guest));
            Arc::new(region.expect("it ends below 2^64"))
        };
        let regions: Vec<_> = REGIONS.into_iter().map(map).collect();
        let mut table = MemoryTable::new(REGIONS.len());
        for region in &regions {
            let guest_address = region.start_addr().0;
            let size = GuestMemoryRegion::len(&**region);
            // User addresses are those of the guest.
            let user_address = guest_address;
            let entry = Region { guest_address, size, user_address, mmap_offset: 0, xen: None };
            let added = table.add(entry, Mapped(Handle(Arc::clone(region))));
            added.map_err(|(error, _)| error).expect("they do not overlap");
        }
        let memory = GuestMemoryMmap::from_arc_regions(regions).expect("they are in order");
        Self { memory, table }
    }

    /// As the peer sees it.
    #[must_use]
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// As ours does.
    #[must_use]
    pub fn table(&self) -> &MemoryTable<Mapped<Handle>> {
        &self.table
    }

    /// What backs a range that lies in one region, and its offset there.
    ///
    /// An instrumented target pays for every comparison, and nearly every range is such a one.
    #[inline]
    fn spot(&self, address: u64, len: usize) -> Option<(&Handle, usize)> {
        let slots = self.table.slots();
        let slot = slots
            .iter()
            .find(|slot| address.wrapping_sub(slot.region.guest_address) < slot.region.size)?;
        let offset = address - slot.region.guest_address;
        let is_inside = len as u64 <= slot.region.size - offset;
        is_inside.then_some((&slot.backing.0, usize::try_from(offset).ok()?))
    }

    /// A number at an address, which is 0 where nothing is mapped.
    #[inline]
    fn number<T: ByteValued, const N: usize>(&self, address: u64, of: fn([u8; N]) -> T) -> T {
        if let Some((handle, offset)) = self.spot(address, N)
            && let Ok(field) = handle.get_ref::<T>(offset)
        {
            return field.load();
        }
        let mut bytes = [0; N];
        self.each(address, N, |slice, at| {
            slice.copy_to(&mut bytes[at..]);
        });
        of(bytes)
    }

    /// Shows what is mapped of a range, piece by piece: the slice and its place in the range.
    fn each(&self, address: u64, len: usize, mut see: impl FnMut(&VolatileSlice<'_>, usize)) {
        let mut at = 0;
        for slot in self.table.slots() {
            let Region { guest_address: start, size, .. } = slot.region;
            let begin = address.max(start);
            let end = address.saturating_add(len as u64).min(start + size);
            if begin >= end {
                continue;
            }
            let place = |address: u64| usize::try_from(address).expect("at most 64 MiB");
            let slice = slot.backing.0.get_slice(place(begin - start), place(end - begin));
            see(&slice.expect("it is in the region"), place(begin - address));
            at += place(end - begin);
            if at == len {
                break;
            }
        }
    }

    /// Whether every byte of a range is mapped; of an empty one there is none.
    #[must_use]
    pub fn has(&self, address: u64, len: u64) -> bool {
        let Some(end) = address.checked_add(len) else { return false };
        let mut at = address;
        // The regions are in the order of their addresses.
        for (start, size) in REGIONS {
            if at < end && (start..start + size).contains(&at) {
                at = start + size;
            }
        }
        at >= end
    }

    /// Copies out what is mapped of a range; the rest stays as it is.
    #[inline]
    pub fn read(&self, address: u64, bytes: &mut [u8]) {
        if let Some((handle, offset)) = self.spot(address, bytes.len())
            && let Ok(slice) = handle.get_slice(offset, bytes.len())
        {
            slice.copy_to(bytes);
            return;
        }
        self.each(address, bytes.len(), |slice, at| {
            slice.copy_to(&mut bytes[at..]);
        });
    }

    /// Copies in what is mapped of a range.
    #[inline]
    pub fn write(&self, address: u64, bytes: &[u8]) {
        if let Some((handle, offset)) = self.spot(address, bytes.len()) {
            if let Some(short) = bytes.first_chunk::<2>()
                && bytes.len() == 2
                && let Ok(field) = handle.get_ref(offset)
            {
                field.store(u16::from_ne_bytes(*short));
                return;
            }
            if let Ok(slice) = handle.get_slice(offset, bytes.len()) {
                slice.copy_from(bytes);
                return;
            }
        }
        self.each(address, bytes.len(), |slice, at| slice.copy_from(&bytes[at..]));
    }

    /// A number of 2 bytes, 0 where nothing is mapped.
    #[must_use]
    #[inline]
    pub fn u16(&self, address: u64) -> u16 {
        u16::from_le(self.number(address, u16::from_ne_bytes))
    }

    /// A number of 8 bytes, 0 where nothing is mapped.
    #[must_use]
    #[inline]
    pub fn u64(&self, address: u64) -> u64 {
        u64::from_le(self.number(address, u64::from_ne_bytes))
    }

    /// A number of 16 bytes, of which those are 0 that are not mapped.
    #[must_use]
    #[inline]
    pub fn u128(&self, address: u64) -> u128 {
        u128::from_le(self.number(address, u128::from_ne_bytes))
    }
}

/// Ranges that are not zero.
#[derive(Debug)]
pub(super) struct Touched {
    /// A bit for each page of the regions below 64 KiB.
    pages: [u64; NEAR / PAGE / 64],
    /// Ranges that are anywhere else as well.
    far: Vec<(u64, usize)>,
}

/// Bytes below which all regions but the far one end.
const NEAR: usize = 0x1_0000;

/// Bytes that are cleared at once. Most inputs touch less than ten such pages.
const PAGE: usize = 0x100;

impl Touched {
    /// Somebody writes, or has written, to a range.
    #[inline]
    pub(super) fn add(&mut self, address: u64, len: usize) {
        let start = usize::try_from(address).unwrap_or(usize::MAX);
        let end = start.saturating_add(len);
        if end > NEAR {
            self.far.push((address, len));
            return;
        }
        let mut page = start / PAGE;
        while page * PAGE < end {
            self.pages[page / 64] |= 1 << (page % 64);
            page += 1;
        }
    }

    /// Every range, in pieces of at most a page.
    fn each(&self, mut see: impl FnMut(u64, usize)) {
        for (at, &word) in self.pages.iter().enumerate() {
            let mut left = word;
            while left != 0 {
                let page = 64 * at + left.trailing_zeros() as usize;
                see((page * PAGE) as u64, PAGE);
                left &= left - 1;
            }
        }
        for &(address, len) in &self.far {
            for at in (0..len).step_by(PAGE) {
                see(address.saturating_add(at as u64), (len - at).min(PAGE));
            }
        }
    }
}

/// The memory of both sides, and what of it is not zero.
#[derive(Debug)]
pub struct Images {
    /// Ours.
    pub ours: Image,
    /// The peer's.
    pub theirs: Image,
    pub(super) touched: Touched,
}

impl Images {
    /// Maps memory for both.
    ///
    /// # Panics
    /// When there is no address space for it.
    #[must_use]
    pub fn new() -> Self {
        let touched = Touched { pages: [0; NEAR / PAGE / 64], far: Vec::with_capacity(64) };
        Self { ours: Image::new(), theirs: Image::new(), touched }
    }

    /// The driver writes.
    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        self.touch(address, bytes.len());
        self.ours.write(address, bytes);
        self.theirs.write(address, bytes);
    }

    /// Somebody writes, or has written, to a range.
    #[inline]
    pub fn touch(&mut self, address: u64, len: usize) {
        self.touched.add(address, len);
    }

    /// Whether both hold the same in a range.
    #[must_use]
    pub fn agree(&self, address: u64, len: usize) -> bool {
        if len == 2 {
            return self.ours.u16(address) == self.theirs.u16(address);
        }
        let (mut ours, mut theirs) = ([0; 64], [0; 64]);
        (0..len).step_by(64).all(|at| {
            let now = (len - at).min(64);
            let address = address.saturating_add(at as u64);
            self.ours.read(address, &mut ours[..now]);
            self.theirs.read(address, &mut theirs[..now]);
            ours[..now] == theirs[..now]
        })
    }

    /// Gives the peer what ours holds in every page that was touched.
    pub fn align(&mut self) {
        let Self { ours, theirs, touched } = self;
        touched.each(|address, len| {
            let mut bytes = [0; PAGE];
            ours.read(address, &mut bytes[..len]);
            theirs.write(address, &bytes[..len]);
        });
    }

    /// Makes all that was touched zero.
    pub fn clear(&mut self) {
        const ZEROS: [u8; PAGE] = [0; PAGE];
        let Self { ours, theirs, touched } = self;
        touched.each(|address, len| {
            ours.write(address, &ZEROS[..len]);
            theirs.write(address, &ZEROS[..len]);
        });
        touched.pages.fill(0);
        touched.far.clear();
    }

    /// Demands that all but the far region is the same for both.
    ///
    /// # Panics
    /// When it is not.
    pub fn settle(&self) {
        for (start, len) in REGIONS.into_iter().filter(|(start, _)| *start != FAR) {
            let whole = |image: &Image| {
                let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
                image.read(start, &mut bytes);
                bytes
            };
            let is_same = whole(&self.ours) == whole(&self.theirs);
            assert!(is_same, "differential: memory from {start:#x} on is not the same");
        }
    }

    /// Whether all but the far region is zero: what was touched and not told would be seen.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let is_zero = |image: &Image| {
            (0..NEAR as u64).step_by(64).all(|address| {
                let mut bytes = [0; 64];
                image.read(address, &mut bytes);
                bytes == [0; 64]
            })
        };
        is_zero(&self.ours) && is_zero(&self.theirs)
    }
}

impl Default for Images {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_go_over_borders_and_stop_at_holes() {
        let mut images = Images::new();
        images.write(0x5000, &[7; 16]);
        images.write(0x9ffe, &[7; 4]);
        images.write(0xbffe, &[7; 4]);
        images.write(u64::MAX - 1, &[7; 4]);
        images.write(FAR + FAR_LEN - 1, &[7; 4]);
        for image in [&images.ours, &images.theirs] {
            assert_eq!(
                (image.u64(0x5000), image.u64(0x5008)),
                (0x0707_0707_0707_0707, 0x0707_0707_0707_0707)
            );
            assert_eq!((image.u16(0x9ffe), image.u16(0xa000)), (0x0707, 0));
            assert_eq!((image.u16(0xbffe), image.u16(0xc000)), (0, 0x0707));
            assert_eq!(image.u16(FAR + FAR_LEN - 1), 7);
        }
        assert!(!images.is_clear());
        images.clear();
        assert!(images.is_clear());
        assert_eq!(images.ours.u16(FAR + FAR_LEN - 1), 0);
    }

    #[test]
    fn what_one_side_writes_is_its_own() {
        let mut images = Images::new();
        images.ours.write(0x5000, &[1; 100]);
        assert!(images.agree(0x4000, 0x1000) && !images.agree(0x5000, 100));
        images.align();
        assert!(!images.agree(0x5000, 100), "nobody said that it was touched");
        images.touch(0x5000, 100);
        images.align();
        assert!(images.agree(0x5000, 100));
        images.clear();
        assert!(images.is_clear());
    }

    #[test]
    fn ranges_are_mapped_byte_by_byte() {
        let images = Images::new();
        let has = |address, len| images.ours.has(address, len);
        assert!(has(0, 0xa000) && has(0x5007, 2) && has(0xc000, 0x4000) && has(FAR, FAR_LEN));
        assert!(!has(0, 0xa001) && !has(0xa000, 1) && !has(0xbfff, 2) && !has(FAR, FAR_LEN + 1));
        assert!(!has(u64::MAX, 1) && !has(u64::MAX, 2) && has(0xa000, 0) && has(u64::MAX, 0));
    }
}
