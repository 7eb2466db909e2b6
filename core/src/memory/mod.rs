//! The memory side of a back-end: which guest memory there is, and where an address leads.
//!
//! * [`MemoryTable`]: the regions of `SET_MEM_TABLE`, `ADD_MEM_REG` and `REM_MEM_REG`, each with
//!   what backs it. It checks, finds and translates; mapping is the caller's work.
//! * [`Iotlb`]: translations of I/O virtual addresses, when an IOMMU is in between.
//! * [`DirtyLog`]: which bits a write to guest memory sets.
//! * [`ring`]: how large the parts of a ring are and where they lie.
//! * [`map`]: which pages of a file to map for a region.
//!
//! Addresses, offsets and lengths are in bytes. All of them come from somebody hostile, so all
//! arithmetic on them is checked, and the work of an operation is bounded by the size of the
//! table, the cache or the log, never by a length.

mod error;
mod iotlb;
mod log;
pub mod map;
mod pieces;
pub mod ring;
mod table;

pub use error::{IotlbError, LogError, MapError, MemoryError, PlaceError, RingSizeError};
pub use iotlb::{Entry, Iotlb, Miss};
pub use log::{DirtyLog, LogMemory, PAGE_SIZE};
pub use map::{Backing, MapRange};
pub(crate) use pieces::reach;
pub use pieces::{Location, Pieces, ResolveError, resolve};
pub use ring::{Part, Placement, RingParts, RingSize};
pub use table::{MemoryTable, Slot};

use crate::vhost_user::payload::Region;

/// `VIRTIO_F_IOMMU_PLATFORM`, a virtio feature bit.
const IOMMU_PLATFORM: u64 = 1 << 33;

/// `VHOST_USER_PROTOCOL_F_GPA_ADDRESSES`, a protocol feature bit.
const GPA_ADDRESSES: u64 = 1 << 21;

/// Which of the two addresses of a region an address is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// User addresses of the front-end (VU-144).
    User,
    /// Guest physical addresses (VU-145).
    Guest,
}

impl Space {
    /// What the user address of a front-end's IOTLB message is: a guest physical address when
    /// `GPA_ADDRESSES` was negotiated, else a user address (VU-265).
    #[must_use]
    pub const fn of_iotlb(protocol_features: u64) -> Self {
        if protocol_features & GPA_ADDRESSES != 0 { Self::Guest } else { Self::User }
    }

    /// The first address of `region`.
    #[must_use]
    #[inline]
    pub const fn start(self, region: &Region) -> u64 {
        match self {
            Self::User => region.user_address,
            Self::Guest => region.guest_address,
        }
    }
}

/// What the addresses of a ring are (spec §2 P-ADDR).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// I/O virtual addresses: with `IOMMU_PLATFORM` (VU-080).
    Iova,
    /// Guest physical addresses: without it and with `GPA_ADDRESSES` (VU-081).
    Guest,
    /// User addresses of the front-end: without both (VU-082).
    User,
}

impl AddressKind {
    /// The kind of ring addresses after these virtio and protocol features were negotiated.
    #[must_use]
    pub const fn of_rings(features: u64, protocol_features: u64) -> Self {
        if features & IOMMU_PLATFORM != 0 {
            Self::Iova
        } else if protocol_features & GPA_ADDRESSES != 0 {
            Self::Guest
        } else {
            Self::User
        }
    }

    /// The kind of the addresses in descriptors: I/O virtual with `IOMMU_PLATFORM` (VU-146),
    /// else guest physical (VU-145). They are never user addresses (MT18).
    #[must_use]
    pub const fn of_buffers(features: u64) -> Self {
        if features & IOMMU_PLATFORM != 0 { Self::Iova } else { Self::Guest }
    }
}

/// What is wanted from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// To read.
    Read,
    /// To write.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// The permissions that it needs: bit 0 read, bit 1 write (P-IOTLB).
    #[must_use]
    #[inline]
    pub const fn permissions(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::ReadWrite => 3,
        }
    }

    /// Whether `permissions` allow it.
    #[must_use]
    #[inline]
    pub const fn is_in(self, permissions: u8) -> bool {
        permissions & self.permissions() == self.permissions()
    }
}

/// Whether `len` bytes from `start` end below 2^64. An end of exactly 2^64 counts as a wrap, so
/// that the end of every good range is a u64 (DC-020).
#[inline]
const fn wraps(start: u64, len: u64) -> bool {
    start.checked_add(len).is_none()
}

/// Whether two ranges that are not empty share a byte. No sum is built, so none can wrap.
#[inline]
const fn overlap(start: u64, len: u64, other: u64, other_len: u64) -> bool {
    match start.checked_sub(other) {
        Some(ahead) => ahead < other_len,
        None => other.abs_diff(start) < len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_kind_follows_the_features() {
        let kind = AddressKind::of_rings;
        assert_eq!(kind(0, 0), AddressKind::User);
        assert_eq!(kind(0, 1 << 21), AddressKind::Guest);
        assert_eq!(kind(1 << 33, 1 << 21), AddressKind::Iova);
        assert_eq!(AddressKind::of_buffers(0), AddressKind::Guest);
        assert_eq!(AddressKind::of_buffers(1 << 33), AddressKind::Iova);
        assert_eq!((Space::of_iotlb(0), Space::of_iotlb(1 << 21)), (Space::User, Space::Guest));
    }

    #[test]
    fn neighbours_do_not_overlap() {
        assert!(!overlap(0, 4, 4, 4) && !overlap(4, 4, 0, 4));
        assert!(overlap(0, 5, 4, 4) && overlap(4, 4, 0, 5) && overlap(0, 9, 4, 1));
        assert!(overlap(0, u64::MAX, u64::MAX - 1, 1));
    }

    #[test]
    fn an_end_of_two_to_the_64_is_a_wrap() {
        assert!(wraps(u64::MAX, 1));
        assert!(!wraps(u64::MAX - 1, 1));
    }
}
