//! What a back-end has mapped into the shared memory regions of its device (spec §6.15).

use core::fmt;

use crate::rule::Rule;
use crate::vhost_user::payload::{ShmemConfig, ShmemMap};

/// A range of a shared memory region, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShmemRange {
    /// The region.
    pub shmid: u8,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

impl ShmemRange {
    fn shares_a_byte_with(&self, other: &Self) -> bool {
        // Both were checked, so neither end wraps; an end that would is beyond everything.
        let end = |range: &Self| range.offset.saturating_add(range.len);
        self.shmid == other.shmid && self.offset < end(other) && other.offset < end(self)
    }
}

/// Sizes of the regions, and the mappings in them. `M` is a handle that unmaps when it is dropped.
#[derive(Debug)]
pub(super) struct Shmem<M> {
    /// Sizes by region id; all 0 before `GET_SHMEM_CONFIG` was answered.
    sizes: Box<[u64; 256]>,
    is_known: bool,
    mappings: Vec<(ShmemRange, M)>,
    limit: usize,
}

impl<M> Shmem<M> {
    pub(super) fn new(limit: usize) -> Self {
        let sizes = Box::new([0; 256]);
        Self { sizes, is_known: false, mappings: Vec::with_capacity(limit), limit }
    }

    pub(super) fn reset(&mut self) {
        self.unmap_all();
        self.sizes.fill(0);
        self.is_known = false;
    }

    /// VU-244.
    pub(super) fn unmap_all(&mut self) {
        self.mappings.clear();
    }

    pub(super) fn mappings(&self) -> &[(ShmemRange, M)] {
        &self.mappings
    }

    /// Learns the sizes from a `GET_SHMEM_CONFIG` reply; judges it first.
    pub(super) fn learn(&mut self, config: &ShmemConfig<'_>, page: u64) -> Result<(), SizesError> {
        let mut count = 0_u32;
        for shmid in 0..=u8::MAX {
            let size = config.size(shmid);
            let known = self.sizes.get(usize::from(shmid)).copied().unwrap_or(0);
            if self.is_known && known != size {
                return Err(SizesError::Changed { shmid, size }); // VU-238
            }
            if size.checked_rem(page) != Some(0) {
                return Err(SizesError::NotPages { shmid, size }); // VU-239
            }
            count += u32::from(size != 0);
        }
        if count != config.regions {
            return Err(SizesError::Count { announced: config.regions, count }); // VU-240
        }
        for shmid in 0..=u8::MAX {
            if let Some(known) = self.sizes.get_mut(usize::from(shmid)) {
                *known = config.size(shmid);
            }
        }
        self.is_known = true;
        Ok(())
    }

    /// Judges a `SHMEM_MAP`.
    pub(super) fn check_map(&self, map: &ShmemMap, page: u64) -> Result<ShmemRange, MapError> {
        let ShmemMap { shmid, shm_offset: offset, len, fd_offset, flags, .. } = *map;
        let size = self.sizes.get(usize::from(shmid)).copied().unwrap_or(0);
        if size == 0 {
            return Err(MapError::UnknownRegion { shmid });
        }
        if len == 0 {
            return Err(MapError::Empty);
        }
        if offset.checked_add(len).is_none_or(|end| end > size) {
            return Err(MapError::OutsideRegion { offset, len, size });
        }
        for value in [offset, len, fd_offset] {
            if value.checked_rem(page) != Some(0) {
                return Err(MapError::Misaligned { value }); // DC-061
            }
        }
        if flags > ShmemMap::READ_WRITE {
            return Err(MapError::Flags { flags }); // VU-245
        }
        let range = ShmemRange { shmid, offset, len };
        let clash = self.mappings.iter().find(|(other, _)| other.shares_a_byte_with(&range));
        if let Some((other, _)) = clash {
            return Err(MapError::Overlap { offset, other: other.offset }); // VU-242
        }
        if self.mappings.len() >= self.limit {
            return Err(MapError::TooMany { limit: self.limit }); // VU-243
        }
        Ok(range)
    }

    /// Keeps a mapping that [`check_map`](Self::check_map) allowed. It cannot be more than the
    /// limit, because only one request is worked on at a time.
    pub(super) fn keep(&mut self, range: ShmemRange, mapping: M) {
        if self.mappings.len() < self.limit {
            self.mappings.push((range, mapping));
        }
    }

    /// Removes the one mapping that a `SHMEM_UNMAP` names; flags and descriptor offset say
    /// nothing (DC-061).
    pub(super) fn unmap(&mut self, map: &ShmemMap) -> Result<(), MapError> {
        let ShmemMap { shmid, shm_offset: offset, len, .. } = *map;
        let range = ShmemRange { shmid, offset, len };
        match self.mappings.iter().position(|(other, _)| *other == range) {
            Some(at) => {
                self.mappings.swap_remove(at);
                Ok(())
            }
            None => Err(MapError::NoMapping { offset, len }), // VU-246
        }
    }
}

/// A `SHMEM_MAP` or `SHMEM_UNMAP` that cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapError {
    /// The device has no such region.
    UnknownRegion {
        /// Region id.
        shmid: u8,
    },
    /// No byte is to be mapped.
    Empty,
    /// The range wraps or ends beyond the region.
    OutsideRegion {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes of the region.
        size: u64,
    },
    /// An offset or a length is no multiple of the page size.
    Misaligned {
        /// It.
        value: u64,
    },
    /// Flags without a meaning.
    Flags {
        /// The flags.
        flags: u64,
    },
    /// The range shares a byte with a mapping.
    Overlap {
        /// First byte of the range.
        offset: u64,
        /// First byte of the mapping.
        other: u64,
    },
    /// There are as many mappings as the front-end has room for.
    TooMany {
        /// Most mappings.
        limit: usize,
    },
    /// The range is not exactly one mapping.
    NoMapping {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
}

impl MapError {
    /// The requirement that the request breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::UnknownRegion { .. } | Self::Empty | Self::OutsideRegion { .. } => Rule::vu(241),
            Self::Misaligned { .. } => Rule::dc(61),
            Self::Flags { .. } => Rule::vu(245),
            Self::Overlap { .. } => Rule::vu(242),
            Self::TooMany { .. } => Rule::vu(243),
            Self::NoMapping { .. } => Rule::vu(246),
        }
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRegion { shmid } => write!(f, "there is no shared memory region {shmid}"),
            Self::Empty => f.write_str("a mapping of 0 bytes"),
            Self::OutsideRegion { offset, len, size } => {
                write!(f, "{len} bytes at {offset:#x} of a region of {size:#x} bytes")
            }
            Self::Misaligned { value } => write!(f, "{value:#x} is no multiple of the page size"),
            Self::Flags { flags } => write!(f, "map flags {flags:#x}"),
            Self::Overlap { offset, other } => {
                write!(f, "the range at {offset:#x} overlaps the mapping at {other:#x}")
            }
            Self::TooMany { limit } => write!(f, "{limit} mappings exist already"),
            Self::NoMapping { offset, len } => {
                write!(f, "no mapping is {len} bytes at {offset:#x}")
            }
        }
    }
}

impl core::error::Error for MapError {}

/// A `GET_SHMEM_CONFIG` reply that cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SizesError {
    /// A size is not what it was before.
    Changed {
        /// Region id.
        shmid: u8,
        /// The new size in bytes.
        size: u64,
    },
    /// A size is no multiple of the page size.
    NotPages {
        /// Region id.
        shmid: u8,
        /// Bytes.
        size: u64,
    },
    /// The number of regions is not the number of sizes that are not 0.
    Count {
        /// What the reply says.
        announced: u32,
        /// What it has.
        count: u32,
    },
}

impl SizesError {
    /// The requirement that the reply breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Changed { .. } => Rule::vu(238),
            Self::NotPages { .. } => Rule::vu(239),
            Self::Count { .. } => Rule::vu(240),
        }
    }
}

impl fmt::Display for SizesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { shmid, size } => {
                write!(f, "shared memory region {shmid} has {size:#x} bytes now")
            }
            Self::NotPages { shmid, size } => {
                write!(f, "shared memory region {shmid} of {size:#x} bytes, not whole pages")
            }
            Self::Count { announced, count } => {
                write!(f, "{announced} shared memory regions announced, {count} have a size")
            }
        }
    }
}

impl core::error::Error for SizesError {}
