//! Memory that is mapped, for two threads or two processes.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost_fuzz_core::memory::MemoryTable;
use vhost_fuzz_core::ring::{Mapped, RingMemory};
use vm_memory::volatile_memory::{Error, Result};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

use super::GuestRam;
use super::layout::{Area, Layout, pieces};

/// What backs a region of [`Shared`]: the memory of production.
pub type SharedRegion = Mapped<Window>;

/// Part of a mapping, which may begin at any byte of a page.
#[derive(Clone, Debug)]
pub struct Window {
    map: Arc<MmapRegion>,
    start: usize,
    len: usize,
}

impl VolatileMemory for Window {
    type B = ();

    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn get_slice(&self, offset: usize, count: usize) -> Result<VolatileSlice<'_, ()>> {
        let end =
            offset.checked_add(count).ok_or(Error::Overflow { base: offset, offset: count })?;
        if end > self.len {
            return Err(Error::OutOfBounds { addr: end });
        }
        self.map.get_slice(self.start + offset, count)
    }
}

/// Memory in a memfd that is mapped: the regions of a [`Layout`], at the places that
/// [`Layout::regions`] tells, with the accesses of production.
#[derive(Debug)]
pub struct Shared {
    layout: Layout,
    file: Arc<File>,
    table: MemoryTable<SharedRegion>,
}

impl Shared {
    /// Memory full of zeros.
    ///
    /// # Errors
    /// The system gives no memory.
    pub fn new(layout: Layout) -> io::Result<Self> {
        let file = Arc::new(File::from(memfd_create("guest", MemfdFlags::CLOEXEC)?));
        let (places, end) = layout.places();
        ftruncate(&*file, end)?;
        let too_large = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let len = usize::try_from(end).map_err(too_large)?;
        let whole = FileOffset::from_arc(Arc::clone(&file), 0);
        let map = Arc::new(MmapRegion::from_file(whole, len).map_err(io::Error::other)?);
        let mut table = MemoryTable::new(places.len());
        for region in layout.regions() {
            let start = usize::try_from(region.mmap_offset).map_err(too_large)?;
            let len = usize::try_from(region.size).map_err(too_large)?;
            let window = Window { map: Arc::clone(&map), start, len };
            table.add(region, Mapped(window)).map_err(|(error, _)| io::Error::other(error))?;
        }
        Ok(Self { layout, file, table })
    }

    /// Which regions there are.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The file that the regions are in, to be sent to another process.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The regions in the order of the layout, for a device.
    #[must_use]
    pub const fn table(&self) -> &MemoryTable<SharedRegion> {
        &self.table
    }

    /// What backs a region.
    ///
    /// # Panics
    /// There is no such region.
    #[must_use]
    pub fn region(&self, index: usize) -> SharedRegion {
        self.table.slots()[index].backing.clone()
    }

    /// The region and the offset of a field of `len` bytes that is aligned and in one region.
    fn field(&self, address: u64, len: u64) -> Option<(&SharedRegion, u64)> {
        let piece = pieces(self.areas(), address, len).next().filter(|piece| piece.len == len)?;
        let region = &self.table.slots()[piece.index].backing;
        region.is_aligned(piece.offset, len).then_some((region, piece.offset))
    }
}

impl GuestRam for Shared {
    fn areas(&self) -> &'static [Area] {
        self.layout.areas()
    }

    fn put(&self, address: u64, mut bytes: &[u8]) {
        for piece in pieces(self.areas(), address, bytes.len() as u64) {
            let (now, later) = bytes.split_at(usize::try_from(piece.len).unwrap_or(usize::MAX));
            let put = self.table.slots()[piece.index].backing.write(piece.offset, now);
            assert!(put.is_some(), "the memory of region {} is too short", piece.index);
            bytes = later;
        }
        assert!(bytes.is_empty(), "the driver wrote to no memory, {} bytes short", bytes.len());
    }

    fn get(&self, address: u64, mut bytes: &mut [u8]) {
        for piece in pieces(self.areas(), address, bytes.len() as u64) {
            let len = usize::try_from(piece.len).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at_mut(len);
            let got = self.table.slots()[piece.index].backing.read(piece.offset, now);
            assert!(got.is_some(), "the memory of region {} is too short", piece.index);
            bytes = later;
        }
        assert!(bytes.is_empty(), "the driver read no memory, {} bytes short", bytes.len());
    }

    fn store_u16(&self, address: u64, value: u16, order: Ordering) {
        let stored = self
            .field(address, 2)
            .and_then(|(region, offset)| region.store_u16(offset, value, order));
        if stored.is_none() {
            // No processor stores it at once: a device refuses such a ring.
            self.put(address, &value.to_le_bytes());
        }
    }

    fn load_u16(&self, address: u64, order: Ordering) -> u16 {
        self.field(address, 2)
            .and_then(|(region, offset)| region.load_u16(offset, order))
            .unwrap_or_else(|| u16::from_le_bytes(self.bytes(address)))
    }

    fn load_u32(&self, address: u64) -> u32 {
        self.field(address, 4)
            .and_then(|(region, offset)| region.load_u32(offset))
            .unwrap_or_else(|| u32::from_le_bytes(self.bytes(address)))
    }

    fn fence(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}
