//! The active memory regions, as the front-end has told them.

use arrayvec::ArrayVec;

use super::send_error::SendError;
use crate::memory::{MemoryError, MemoryTable, Slot};
use crate::vhost_user::MAX_REGIONS;
use crate::vhost_user::payload::{MemTable, Region};

/// The regions of one message.
pub(super) type Regions = ArrayVec<Region, { MAX_REGIONS as usize }>;

/// The active regions, and those that a table replaced, in case it is refused.
#[derive(Debug)]
pub(super) struct ActiveRegions {
    table: MemoryTable<()>,
    /// What the table number `replaced_by` replaced.
    replaced: Vec<Region>,
    replaced_by: u64,
}

impl ActiveRegions {
    pub(super) fn new(limit: usize) -> Self {
        let room = limit.saturating_add(MAX_REGIONS as usize);
        let replaced = Vec::with_capacity(room);
        Self { table: MemoryTable::new(limit), replaced, replaced_by: 0 }
    }

    pub(super) fn reset(&mut self) {
        self.table.clear();
        self.replaced.clear();
        self.replaced_by = 0;
    }

    pub(super) const fn table(&self) -> &MemoryTable<()> {
        &self.table
    }

    pub(super) fn len(&self) -> usize {
        self.table.slots().len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Region> {
        self.table.slots().iter().map(|slot| &slot.region)
    }

    /// A whole table: no overlap in it (VU-120, VU-121).
    pub(super) fn check_table(&self, table: &MemTable<'_>) -> Result<(), SendError> {
        let regions: Regions = table.regions().take(MAX_REGIONS as usize).collect();
        self.table.check_table(&regions).map_err(|error| match error {
            MemoryError::GuestOverlap { guest_address: address, other } => {
                SendError::GuestOverlap { address, other }
            }
            MemoryError::UserOverlap { user_address: address, other } => {
                SendError::UserOverlap { address, other }
            }
            error => SendError::Memory(error),
        })
    }

    /// One more region: what overlaps it was removed before (VU-122). Back-ends take one that is
    /// there (DC-161), but it overlaps itself.
    pub(super) fn check_add(&self, region: &Region) -> Result<(), SendError> {
        self.table.check_new(region).map_err(|error| match error {
            MemoryError::GuestOverlap { other, .. } => {
                SendError::NotRemoved { address: region.guest_address, other }
            }
            MemoryError::UserOverlap { other, .. } => {
                SendError::NotRemoved { address: region.user_address, other }
            }
            error => SendError::Memory(error),
        })
    }

    pub(super) fn check_remove(&self, region: &Region) -> Result<(), SendError> {
        self.table.find(region).map(drop).map_err(SendError::Memory)
    }

    /// A table was sent; returns its number.
    pub(super) fn replace(&mut self, table: &MemTable<'_>) -> u64 {
        self.replaced.clear();
        self.replaced.extend(self.table.slots().iter().map(|slot| slot.region));
        self.replaced_by = self.replaced_by.wrapping_add(1);
        let mut slots: ArrayVec<_, { MAX_REGIONS as usize }> = table
            .regions()
            .take(MAX_REGIONS as usize)
            .map(|region| Slot { region, backing: () })
            .collect();
        if self.table.replace(&mut slots).is_err() {
            // Sent against the rules: nobody knows what the back-end has now.
            self.table.clear();
        }
        self.replaced_by
    }

    /// The table of this number was refused (DC-065).
    pub(super) fn restore(&mut self, number: u64) {
        if number != self.replaced_by {
            return; // A later table has replaced it anyway.
        }
        self.table.clear();
        for &region in &self.replaced {
            // They were together before, so no two of them overlap.
            let _ = self.table.add(region, ());
        }
    }

    pub(super) fn add(&mut self, region: Region) {
        // Regions that were sent against the rules are not kept.
        let _ = self.table.add(region, ());
    }

    pub(super) fn remove(&mut self, region: &Region) {
        let _ = self.table.remove(region);
    }
}
