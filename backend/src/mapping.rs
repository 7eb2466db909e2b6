//! Files of a front-end in memory.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};

use crate::sigbus::Watched;
use rustix::fs::{FileType, MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::io::Errno;
use vhost_fuzz_core::inflight::{AreaMemory, Geometry};
use vhost_fuzz_core::memory::LogMemory;
use vhost_fuzz_core::memory::map::{MapRange, check_file};
use vhost_fuzz_core::ring::{DescriptorTable, Mapped, RingMemory};
use vhost_fuzz_core::vhost_user::payload::Region;
use vm_memory::{AtomicInteger, FileOffset, MmapRegion, VolatileMemory as _, VolatileSlice, mmap};

/// Bytes of a file, mapped shared and writable until it is dropped.
///
/// The bytes asked for may begin in the middle of the first page.
#[derive(Debug)]
pub struct Mapping {
    /// Dropped before the mapping ends.
    watched: Watched,
    region: MmapRegion<()>,
    /// Bytes of the first page that come before what was asked for.
    skip: usize,
    len: usize,
}

impl Mapping {
    /// Maps a memory region in pages of `page_size` bytes.
    ///
    /// # Errors
    /// `ENXIO` when it does not lie in its file (DC-026), `ENODEV` when that is no regular file
    /// (HZ-46b), `EINVAL` when no file is that long, and what `mmap` says.
    pub fn of_region(region: &Region, fd: OwnedFd, page_size: u64) -> Result<Self, Errno> {
        check_file(region, file_len(&fd)?).map_err(|_| Errno::NXIO)?;
        let range = MapRange::of(region, page_size).map_err(|_| Errno::INVAL)?;
        Self::of_range(fd, &range, region.size)
    }

    /// Maps `len` bytes from `offset` of a file, such as a dirty log.
    ///
    /// # Errors
    /// As [`of_region`](Self::of_region); `EOVERFLOW` when the end is no number.
    pub fn of_file(fd: OwnedFd, offset: u64, len: u64, page_size: u64) -> Result<Self, Errno> {
        let end = offset.checked_add(len).ok_or(Errno::OVERFLOW)?;
        if end > file_len(&fd)? {
            return Err(Errno::NXIO); // HZ-46: an access beyond would be fatal.
        }
        let skip = offset & page_size.wrapping_sub(1);
        let range = MapRange { file_offset: offset - skip, len: len + skip, skip };
        Self::of_range(fd, &range, len)
    }

    fn of_range(fd: OwnedFd, range: &MapRange, len: u64) -> Result<Self, Errno> {
        let file = FileOffset::new(File::from(fd), range.file_offset);
        let size = usize::try_from(range.len).map_err(|_| Errno::OVERFLOW)?;
        let number = |value: u64| usize::try_from(value).map_err(|_| Errno::OVERFLOW);
        Self::new(file, size, number(range.skip)?, number(len)?)
    }

    /// Maps the same pages once more, of which the `len` bytes from `offset` count: a ring keeps
    /// its part of an in-flight area as long as it runs, and borrows it from nobody.
    ///
    /// # Errors
    /// `EINVAL` when they are not there, and what `mmap` says.
    pub fn part(&self, offset: u64, len: u64) -> Result<Self, Errno> {
        let number = |value: u64| usize::try_from(value).map_err(|_| Errno::INVAL);
        let (offset, len) = (number(offset)?, number(len)?);
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(Errno::INVAL);
        }
        let file = self.region.file_offset().cloned().ok_or(Errno::INVAL)?;
        Self::new(file, self.region.size(), self.skip + offset, len)
    }

    fn new(file: FileOffset, size: usize, skip: usize, len: usize) -> Result<Self, Errno> {
        let region = MmapRegion::from_file(file, size).map_err(|error| match error {
            mmap::MmapRegionError::Mmap(error) => {
                Errno::from_io_error(&error).unwrap_or(Errno::NOMEM)
            }
            mmap::MmapRegionError::MappingPastEof => Errno::NXIO,
            _ => Errno::INVAL,
        })?;
        let watched = Watched::new(region.as_ptr().expose_provenance(), region.size());
        Ok(Self { watched, region, skip, len })
    }

    /// Its address in this process.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.region.as_ptr().addr() as u64 + self.skip as u64
    }

    /// Bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Its file was shortened, and somebody was there since: what is read is worth nothing. Only
    /// a program that has called [`install`](crate::sigbus::install) lives to see it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.watched.is_lost()
    }

    /// There are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was asked for. Every access through it is checked against its length.
    #[inline]
    fn memory(&self) -> Option<Mapped<VolatileSlice<'_>>> {
        self.region.get_slice(self.skip, self.len).ok().map(Mapped)
    }

    /// An atomic at an offset.
    #[inline]
    fn atomic<T: AtomicInteger>(&self, offset: usize) -> Option<&T> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.len {
            return None;
        }
        self.region.get_atomic_ref(self.skip.checked_add(offset)?).ok()
    }
}

/// Bytes of a regular file. Nothing else has a size that means anything (HZ-46b).
fn file_len(fd: &impl AsFd) -> Result<u64, Errno> {
    let stat = fstat(fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::NODEV);
    }
    u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)
}

/// Makes the file of an in-flight area, and says how long it is.
///
/// # Errors
/// What the system says.
pub fn inflight_file(geometry: Geometry) -> Result<(OwnedFd, u64), Errno> {
    let len = geometry.area_len();
    let fd = memfd_create(c"inflight", MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, len)?;
    Ok((fd, len))
}

/// Through the checked slice that was asked for.
macro_rules! through {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $result:ty;)+) => {
        $(
            #[inline]
            fn $name(&self $(, $argument: $type)*) -> $result {
                self.memory()?.$name($($argument),*)
            }
        )+
    };
}

impl RingMemory for Mapping {
    type Table<'a> = Table<'a>;

    #[inline]
    fn table(&self, offset: u64, len: u64) -> Option<Table<'_>> {
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        if offset.checked_add(len)? > self.len {
            return None;
        }
        self.region
            .get_slice(self.skip.checked_add(offset)?, len)
            .ok()
            .map(|slice| Table(Mapped(slice)))
    }

    through! {
        fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16>;
        fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()>;
        fn load_u32(&self, offset: u64) -> Option<u32>;
        fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64>;
        fn load_descriptor(&self, offset: u64) -> Option<u128>;
        fn store_u32(&self, offset: u64, value: u32) -> Option<()>;
        fn store_u64(&self, offset: u64, value: u64) -> Option<()>;
        fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()>;
        fn write(&self, offset: u64, bytes: &[u8]) -> Option<()>;
    }

    #[inline]
    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        self.memory().is_some_and(|memory| memory.is_aligned(offset, align))
    }

    #[inline]
    fn fence(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// Descriptors in a mapping.
#[derive(Debug)]
pub struct Table<'a>(Mapped<VolatileSlice<'a>>);

impl DescriptorTable for Table<'_> {
    #[inline]
    fn descriptor(&self, index: u32) -> Option<u128> {
        self.0.load_descriptor(u64::from(index) * 16)
    }
}

impl LogMemory for Mapping {
    /// What was written to the page before is seen by who finds the bit.
    #[inline]
    fn or(&self, offset: u64, bits: u8) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(byte) = self.atomic::<AtomicU8>(offset) {
            byte.fetch_or(bits, Ordering::Release);
        }
    }
}

/// In the order of this machine: the area never leaves it.
impl AreaMemory for Mapping {
    fn load_u8(&self, offset: usize, order: Ordering) -> Option<u8> {
        self.atomic::<AtomicU8>(offset).map(|field| field.load(order))
    }

    fn load_u16(&self, offset: usize, order: Ordering) -> Option<u16> {
        self.atomic::<AtomicU16>(offset).map(|field| field.load(order))
    }

    fn load_u64(&self, offset: usize, order: Ordering) -> Option<u64> {
        self.atomic::<AtomicU64>(offset).map(|field| field.load(order))
    }

    fn store_u8(&self, offset: usize, value: u8, order: Ordering) -> Option<()> {
        self.atomic::<AtomicU8>(offset).map(|field| field.store(value, order))
    }

    fn store_u16(&self, offset: usize, value: u16, order: Ordering) -> Option<()> {
        self.atomic::<AtomicU16>(offset).map(|field| field.store(value, order))
    }

    fn store_u64(&self, offset: usize, value: u64, order: Ordering) -> Option<()> {
        self.atomic::<AtomicU64>(offset).map(|field| field.store(value, order))
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::pwrite;

    use super::*;

    const PAGE: u64 = 4096;

    fn file(len: u64) -> OwnedFd {
        let fd = memfd_create(c"memory", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, len).unwrap();
        fd
    }

    #[test]
    fn what_is_asked_for_may_begin_in_a_page() {
        let fd = file(2 * PAGE);
        pwrite(&fd, &[7, 8], PAGE + 0x10).unwrap();
        let mapping = Mapping::of_file(fd, PAGE + 0x10, PAGE - 0x10, PAGE).unwrap();
        let mut bytes = [0; 2];
        mapping.read(0, &mut bytes).unwrap();
        assert_eq!((bytes, mapping.len(), mapping.address() % PAGE), ([7, 8], 0xff0, 0x10));
        assert!(
            mapping.read(0xfef, &mut bytes).is_none() && mapping.read(0xfee, &mut bytes).is_some()
        );
        assert!(RingMemory::load_u16(&mapping, u64::MAX, Ordering::Relaxed).is_none());
        assert!(mapping.is_aligned(0, 16) && !mapping.is_aligned(8, 16));
    }

    #[test]
    fn a_part_is_the_same_memory_and_ends_where_it_is_told_to() {
        let whole = Mapping::of_file(file(2 * PAGE), 0x10, PAGE, PAGE).unwrap();
        let part = whole.part(PAGE - 0x20, 0x20).unwrap();
        assert_eq!(AreaMemory::store_u64(&part, 0x18, 5, Ordering::Release), Some(()));
        let offset = usize::try_from(PAGE).unwrap() - 8;
        assert_eq!(AreaMemory::load_u64(&whole, offset, Ordering::Acquire), Some(5));
        assert_eq!(AreaMemory::load_u8(&part, 0x20, Ordering::Acquire), None);
        for (offset, len) in [(PAGE - 0x20, 0x21), (PAGE + 1, 0), (u64::MAX, 1)] {
            assert_eq!(whole.part(offset, len).err(), Some(Errno::INVAL));
        }
        drop(whole);
        assert_eq!(AreaMemory::load_u64(&part, 0x18, Ordering::Acquire), Some(5));
    }

    #[test]
    fn nothing_beyond_the_file_is_mapped() {
        let size = |len| Mapping::of_file(file(PAGE), 0, len, PAGE).map(|mapping| mapping.len());
        assert_eq!(size(PAGE), Ok(4096));
        assert_eq!(size(PAGE + 1), Err(Errno::NXIO));
        let end = Mapping::of_file(file(PAGE), u64::MAX, 1, PAGE).err();
        assert_eq!(end, Some(Errno::OVERFLOW));
        let (pipe, _) = rustix::pipe::pipe().unwrap();
        assert_eq!(Mapping::of_file(pipe, 0, 1, PAGE).err(), Some(Errno::NODEV));
    }

    #[test]
    fn a_table_and_the_atomics_end_where_the_mapping_does() {
        let mapping = Mapping::of_file(file(PAGE), 0x10, 0x20, PAGE).unwrap();
        assert!(mapping.table(0x10, 0x10).unwrap().descriptor(0).is_some());
        assert!(mapping.table(0x10, 0x10).unwrap().descriptor(1).is_none());
        assert!(mapping.table(0x10, 0x11).is_none() && mapping.table(u64::MAX, 1).is_none());
        assert_eq!(AreaMemory::store_u64(&mapping, 0x18, 5, Ordering::Release), Some(()));
        assert_eq!(AreaMemory::load_u64(&mapping, 0x18, Ordering::Acquire), Some(5));
        assert_eq!(AreaMemory::load_u64(&mapping, 0x19, Ordering::Acquire), None);
        mapping.or(0x1f, 0x81);
        mapping.or(0x20, 0xff);
        assert_eq!(AreaMemory::load_u8(&mapping, 0x1f, Ordering::Acquire), Some(0x81));
    }
}
