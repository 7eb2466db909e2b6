//! What can be wrong with memory and with addresses. One variant for each broken rule.

use core::fmt;

use super::ring::Part;
use crate::rule::Rule;

/// A region, a table or a range is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryError {
    /// A region has size 0.
    EmptyRegion {
        /// Its guest physical address.
        guest_address: u64,
    },
    /// The end of a region is no guest physical address below 2^64.
    GuestAddressWraps {
        /// First address.
        guest_address: u64,
        /// Bytes.
        size: u64,
    },
    /// The end of a region is no user address below 2^64.
    UserAddressWraps {
        /// First address.
        user_address: u64,
        /// Bytes.
        size: u64,
    },
    /// The end of a region is no file offset below 2^64.
    MmapOffsetWraps {
        /// First offset.
        mmap_offset: u64,
        /// Bytes.
        size: u64,
    },
    /// A region shares guest physical addresses with another one.
    GuestOverlap {
        /// Its guest physical address.
        guest_address: u64,
        /// The other's guest physical address.
        other: u64,
    },
    /// A region shares user addresses with another one.
    UserOverlap {
        /// Its user address.
        user_address: u64,
        /// The other's user address.
        other: u64,
    },
    /// There would be more regions than the back-end has slots.
    TooManyRegions {
        /// Regions that there would be.
        count: usize,
        /// Slots.
        limit: usize,
    },
    /// No region has this guest physical address, user address and size.
    UnknownRegion {
        /// Guest physical address.
        guest_address: u64,
        /// User address.
        user_address: u64,
        /// Bytes.
        size: u64,
    },
    /// A user address is in no region.
    UserUnmapped {
        /// The first such address of the range.
        address: u64,
    },
    /// A guest physical address is in no region.
    GuestUnmapped {
        /// The first such address of the range.
        address: u64,
    },
    /// A range is in memory, but not in one region.
    CrossesRegions {
        /// First address.
        address: u64,
        /// Bytes.
        len: u64,
        /// Bytes of it in the region of the first address.
        inside: u64,
    },
}

impl MemoryError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::EmptyRegion { .. }
            | Self::GuestAddressWraps { .. }
            | Self::UserAddressWraps { .. }
            | Self::MmapOffsetWraps { .. } => Rule::vu(123),
            Self::GuestOverlap { .. } | Self::UserOverlap { .. } => Rule::vu(124),
            Self::TooManyRegions { .. } => Rule::dc(22),
            Self::UnknownRegion { .. } => Rule::vu(143),
            Self::UserUnmapped { .. } => Rule::vu(144),
            Self::GuestUnmapped { .. } => Rule::vu(145),
            Self::CrossesRegions { .. } => Rule::dc(23),
        }
    }
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyRegion { guest_address } => {
                write!(f, "the region at guest address {guest_address:#x} is empty")
            }
            Self::GuestAddressWraps { guest_address, size } => {
                write!(f, "guest address {guest_address:#x} plus size {size:#x} wraps")
            }
            Self::UserAddressWraps { user_address, size } => {
                write!(f, "user address {user_address:#x} plus size {size:#x} wraps")
            }
            Self::MmapOffsetWraps { mmap_offset, size } => {
                write!(f, "mmap offset {mmap_offset:#x} plus size {size:#x} wraps")
            }
            Self::GuestOverlap { guest_address, other } => write!(
                f,
                "the regions at guest addresses {guest_address:#x} and {other:#x} overlap"
            ),
            Self::UserOverlap { user_address, other } => {
                write!(f, "the regions at user addresses {user_address:#x} and {other:#x} overlap")
            }
            Self::TooManyRegions { count, limit } => {
                write!(f, "{count} regions, there are {limit} slots")
            }
            Self::UnknownRegion { guest_address, user_address, size } => write!(
                f,
                "no region has guest address {guest_address:#x}, user address {user_address:#x} \
                 and size {size:#x}"
            ),
            Self::UserUnmapped { address } => {
                write!(f, "user address {address:#x} is in no region")
            }
            Self::GuestUnmapped { address } => {
                write!(f, "guest address {address:#x} is in no region")
            }
            Self::CrossesRegions { address, len, inside } => write!(
                f,
                "{len:#x} bytes from {address:#x} are wanted in one region, which has {inside:#x}"
            ),
        }
    }
}

impl core::error::Error for MemoryError {}

/// A front-end's IOTLB message is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IotlbError {
    /// The type is neither update nor invalidation.
    Kind {
        /// The type.
        kind: u8,
    },
    /// The permissions of an update have a bit without a meaning.
    Permissions {
        /// The permissions.
        permissions: u8,
    },
    /// The size is 0.
    Empty {
        /// First I/O virtual address.
        iova: u64,
    },
    /// The end is no I/O virtual address below 2^64.
    IovaWraps {
        /// First I/O virtual address.
        iova: u64,
        /// Bytes.
        size: u64,
    },
    /// The end of an update is no user address below 2^64.
    UserAddressWraps {
        /// First user address.
        user_address: u64,
        /// Bytes.
        size: u64,
    },
    /// An update is not for memory that is in the table.
    OutsideMemory {
        /// The first address that is in no region.
        address: u64,
    },
}

impl IotlbError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Kind { .. } | Self::Permissions { .. } => Rule::vu(215),
            Self::Empty { .. } | Self::IovaWraps { .. } => Rule::dc(24),
            Self::UserAddressWraps { .. } | Self::OutsideMemory { .. } => Rule::vu(210),
        }
    }
}

impl fmt::Display for IotlbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { kind } => write!(f, "a front-end sends no IOTLB message of type {kind}"),
            Self::Permissions { permissions } => {
                write!(f, "IOTLB permissions {permissions}, at most 3 have a meaning")
            }
            Self::Empty { iova } => write!(f, "the IOTLB message at {iova:#x} is for no byte"),
            Self::IovaWraps { iova, size } => {
                write!(f, "I/O virtual address {iova:#x} plus size {size:#x} wraps")
            }
            Self::UserAddressWraps { user_address, size } => {
                write!(f, "user address {user_address:#x} plus size {size:#x} wraps")
            }
            Self::OutsideMemory { address } => {
                write!(f, "an IOTLB update for {address:#x}, which is in no region")
            }
        }
    }
}

impl core::error::Error for IotlbError {}

/// A dirty log is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogError {
    /// It has no bytes.
    Empty,
    /// Its end is no file offset below 2^64.
    OffsetWraps {
        /// First file offset.
        offset: u64,
        /// Bytes.
        size: u64,
    },
    /// Its file offset is not a multiple of the page size.
    OffsetMisaligned {
        /// File offset.
        offset: u64,
    },
    /// The last byte of a logged used ring is not in it.
    UsedRing {
        /// Log address of the ring's first byte.
        address: u64,
        /// Bytes of the used ring.
        len: u64,
        /// Bytes of the log.
        size: u64,
    },
}

impl LogError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Empty | Self::OffsetWraps { .. } => Rule::vu(157),
            Self::OffsetMisaligned { .. } => Rule::dc(25),
            Self::UsedRing { .. } => Rule::vu(152),
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the log has no bytes"),
            Self::OffsetWraps { offset, size } => {
                write!(f, "log offset {offset:#x} plus size {size:#x} wraps")
            }
            Self::OffsetMisaligned { offset } => {
                write!(f, "log offset {offset:#x} is not a multiple of the page size")
            }
            Self::UsedRing { address, len, size } => write!(
                f,
                "a used ring of {len:#x} bytes logged at {address:#x}, in a log of {size:#x} bytes"
            ),
        }
    }
}

impl core::error::Error for LogError {}

/// A region cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapError {
    /// The page size is not a power of two.
    PageSize {
        /// Bytes.
        page_size: u64,
    },
    /// The wanted piece is not in the region.
    OutsideRegion {
        /// Offset of the piece in the region.
        offset: u64,
        /// Bytes of the piece.
        len: u64,
        /// Bytes of the region.
        size: u64,
    },
    /// The pages end beyond the largest file offset that there is, 2^63 - 1.
    TooFar {
        /// File offset of the first byte.
        start: u64,
        /// Bytes.
        len: u64,
    },
    /// The file ends before the region does.
    FileTooShort {
        /// Bytes that the file needs.
        need: u64,
        /// Bytes that the file has.
        have: u64,
    },
}

impl MapError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::PageSize { .. } => Rule::vu(259),
            Self::OutsideRegion { .. } => Rule::vu(127),
            Self::TooFar { .. } | Self::FileTooShort { .. } => Rule::dc(26),
        }
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageSize { page_size } => {
                write!(f, "a page size of {page_size:#x}, which is not a power of two")
            }
            Self::OutsideRegion { offset, len, size } => write!(
                f,
                "{len:#x} bytes from offset {offset:#x} are not in a region of {size:#x} bytes"
            ),
            Self::TooFar { start, len } => {
                write!(f, "{len:#x} bytes from file offset {start:#x} cannot be mapped")
            }
            Self::FileTooShort { need, have } => {
                write!(f, "a file of {have:#x} bytes for a region that ends at {need:#x}")
            }
        }
    }
}

impl core::error::Error for MapError {}

/// The number of a `SET_VRING_NUM` is wrong (VU-078).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RingSizeError {
    /// No descriptors.
    Zero,
    /// More than 32,768.
    TooLarge {
        /// Descriptors.
        num: u32,
    },
    /// More than the device has.
    AboveDevice {
        /// Descriptors.
        num: u32,
        /// The device's maximum.
        limit: u32,
    },
    /// Not a power of two, which a split ring needs.
    NotPowerOfTwo {
        /// Descriptors.
        num: u32,
    },
}

impl RingSizeError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Zero
            | Self::TooLarge { .. }
            | Self::AboveDevice { .. }
            | Self::NotPowerOfTwo { .. } => Rule::vu(78),
        }
    }
}

impl fmt::Display for RingSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("a ring without descriptors"),
            Self::TooLarge { num } => write!(f, "a ring of {num} descriptors, at most 32768"),
            Self::AboveDevice { num, limit } => {
                write!(f, "a ring of {num} descriptors, the device has at most {limit}")
            }
            Self::NotPowerOfTwo { num } => {
                write!(f, "a split ring of {num} descriptors, which is not a power of two")
            }
        }
    }
}

impl core::error::Error for RingSizeError {}

/// A part of a ring cannot be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaceError {
    /// Its address is not a multiple of what the part needs.
    Misaligned {
        /// Which part.
        part: Part,
        /// Its address.
        address: u64,
        /// What the address has to be a multiple of.
        align: u64,
    },
    /// Its end is no address below 2^64.
    Wraps {
        /// Which part.
        part: Part,
        /// Its address.
        address: u64,
        /// Bytes.
        len: u64,
    },
    /// It does not lie completely in memory.
    Unmapped {
        /// Which part.
        part: Part,
        /// The first address of the part that is in no region.
        address: u64,
    },
    /// The translation of an I/O virtual address is not known yet.
    Miss {
        /// Which part.
        part: Part,
        /// The first such address of the part.
        iova: u64,
        /// What is wanted: bit 0 read, bit 1 write.
        permissions: u8,
    },
}

impl PlaceError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Misaligned { .. } | Self::Wraps { .. } | Self::Unmapped { .. } => Rule::vu(83),
            Self::Miss { .. } => Rule::vu(146),
        }
    }
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned { part, address, align } => {
                write!(f, "the {part} is at {address:#x}, not a multiple of {align}")
            }
            Self::Wraps { part, address, len } => {
                write!(f, "the {part} of {len:#x} bytes at {address:#x} wraps")
            }
            Self::Unmapped { part, address } => {
                write!(f, "address {address:#x} of the {part} is in no region")
            }
            Self::Miss { part, iova, permissions } => write!(
                f,
                "I/O virtual address {iova:#x} of the {part} has no translation for {permissions}"
            ),
        }
    }
}

impl core::error::Error for PlaceError {}
