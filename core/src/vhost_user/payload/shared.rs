//! Payloads about memory that is not the guest's: P-SHARED, P-MMAP and P-SHMEMCFG (spec §2).

use super::Fixed;
use crate::wire::{Reader, Short, Sink};

/// P-SHARED: the name of a shared object (16 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedObject {
    /// UUID in the byte order of RFC 4122, first three components big-endian (VU-230).
    pub uuid: [u8; 16],
}

impl Fixed for SharedObject {
    const LEN: u32 = 16;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        r.array().map(|uuid| Self { uuid })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.put(&self.uuid);
    }
}

/// P-MMAP: a mapping into a shared memory region (40 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 1 | shared memory region id |
/// | 1 | 7 | padding |
/// | 8 | 8 | offset in the descriptor |
/// | 16 | 8 | offset in the region |
/// | 24 | 8 | length in bytes |
/// | 32 | 8 | flags: 0 read-only, 1 read-write |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShmemMap {
    /// Region id, 0-255.
    pub shmid: u8,
    /// The seven bytes after it, which nobody checks.
    pub padding: [u8; 7],
    /// Offset in the attached descriptor; 0 to unmap.
    pub fd_offset: u64,
    /// Offset in the region.
    pub shm_offset: u64,
    /// Bytes.
    pub len: u64,
    /// [`ShmemMap::READ_ONLY`] or [`ShmemMap::READ_WRITE`]; other values are kept (VU-245).
    pub flags: u64,
}

impl ShmemMap {
    /// Map for reading.
    pub const READ_ONLY: u64 = 0;
    /// Map for reading and writing.
    pub const READ_WRITE: u64 = 1;
}

impl Fixed for ShmemMap {
    const LEN: u32 = 40;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self {
            shmid: r.u8()?,
            padding: r.array()?,
            fd_offset: r.ne_u64()?,
            shm_offset: r.ne_u64()?,
            len: r.ne_u64()?,
            flags: r.ne_u64()?,
        })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.u8(self.shmid);
        sink.put(&self.padding);
        sink.ne_u64(self.fd_offset);
        sink.ne_u64(self.shm_offset);
        sink.ne_u64(self.len);
        sink.ne_u64(self.flags);
    }
}

/// P-SHMEMCFG: the shared memory regions of a device (2056 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 4 | number of sizes that are not 0 |
/// | 4 | 4 | padding |
/// | 8 | 2048 | 256 sizes in bytes, indexed by region id |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmemConfig<'a> {
    /// Count of non-zero sizes, not the highest id (VU-240).
    pub regions: u32,
    /// The four bytes after it, which nobody checks.
    pub padding: u32,
    /// 256 native-endian u64.
    pub sizes: &'a [u8; 2048],
}

impl<'a> ShmemConfig<'a> {
    /// Bytes on the wire.
    pub const LEN: u32 = 2056;

    /// Size of region `shmid` in bytes; 0 when the device has no such region.
    #[must_use]
    #[inline]
    pub fn size(&self, shmid: u8) -> u64 {
        let (sizes, _) = self.sizes.as_chunks::<8>();
        sizes.get(usize::from(shmid)).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Short> {
        Ok(Self { regions: r.ne_u32()?, padding: r.ne_u32()?, sizes: r.array_ref()? })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink) {
        sink.ne_u32(self.regions);
        sink.ne_u32(self.padding);
        sink.put(self.sizes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_indexed_by_region_id() {
        let mut sizes = [0; 2048];
        sizes[255 * 8..].copy_from_slice(&0x1000_u64.to_ne_bytes());
        let config = ShmemConfig { regions: 1, padding: 0, sizes: &sizes };
        assert_eq!(config.size(255), 0x1000);
        assert_eq!(config.size(0), 0);
    }
}
