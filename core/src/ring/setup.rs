//! What a ring is set up with.

use crate::memory::{AddressKind, RingSize};
use crate::vhost_user::features::virtio;
use crate::vhost_user::payload::VringAddr;

/// What the features of a device mean for its rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Features {
    /// `EVENT_IDX`: notifications are suppressed by position.
    pub event_idx: bool,
    /// `INDIRECT_DESC`: descriptors may refer to tables.
    pub indirect: bool,
    /// `IN_ORDER`: buffers are used in the order in which they were made available.
    pub in_order: bool,
    /// `VERSION_1`: rings are little-endian.
    pub version_1: bool,
}

impl Features {
    /// What these negotiated virtio features mean.
    #[must_use]
    pub const fn of(features: u64) -> Self {
        Self {
            event_idx: features & virtio::EVENT_IDX != 0,
            indirect: features & virtio::INDIRECT_DESC != 0,
            in_order: features & virtio::IN_ORDER != 0,
            version_1: features & virtio::VERSION_1 != 0,
        }
    }
}

/// What a device takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Entries of an indirect table (VQ-021, PK-021).
    pub table: u32,
    /// The later slots of a packed list have to have the availability bits of their lap (PK-015).
    pub is_strict: bool,
}

impl Limits {
    /// Entries that are accepted in a table at least: drivers build tables longer than a short
    /// ring (spec §1.4).
    pub const TABLE_MIN: u32 = 1024;

    /// The limits of a ring that nobody said anything else about.
    #[must_use]
    pub const fn of(size: RingSize) -> Self {
        let size = size.get() as u32;
        let table = if size > Self::TABLE_MIN { size } else { Self::TABLE_MIN };
        Self { table, is_strict: true }
    }

    /// Most buffers of a chain that keeps to the limits in a ring of this size: direct
    /// descriptors and then a table. It is what a [`Chain`](super::Chain) is made for.
    #[must_use]
    pub const fn elements(self, size: RingSize) -> usize {
        (size.get() as usize).saturating_add(self.table as usize)
    }
}

/// All that is known about a ring when it starts, except where it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Entries.
    pub size: RingSize,
    /// Where its parts are, and where writes to the device area are logged.
    pub addresses: VringAddr,
    /// What those addresses are.
    pub ring_kind: AddressKind,
    /// What the addresses in descriptors are.
    pub buffer_kind: AddressKind,
    /// Features.
    pub features: Features,
    /// Limits.
    pub limits: Limits,
}

impl Setup {
    /// Log address of the device area, when writes to it are logged (VU-148).
    #[must_use]
    pub fn log_address(&self) -> Option<u64> {
        (self.addresses.flags & VringAddr::LOG != 0).then_some(self.addresses.log)
    }

    /// Logs writes to the device area at this address, or not at all.
    pub(super) const fn set_log(&mut self, address: Option<u64>) {
        match address {
            Some(address) => {
                self.addresses.flags |= VringAddr::LOG;
                self.addresses.log = address;
            }
            None => self.addresses.flags &= !VringAddr::LOG,
        }
    }
}
