//! The regions of guest memory.

use arrayvec::ArrayVec;

use super::pieces::Route;
use super::{Location, MemoryError, Pieces, Space, overlap, wraps};
use crate::vhost_user::{MAX_REGIONS, payload::Region};

/// Most regions that one message replaces the table with.
const MESSAGE_MAX: usize = MAX_REGIONS as usize;

/// A region and what backs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<B> {
    /// The region, as the front-end described it.
    pub region: Region,
    /// What backs it, such as a [`Backing`](super::Backing). Dropping it unmaps it.
    pub backing: B,
}

/// The active regions. No two of them share a guest physical address or a user address
/// (VU-120, VU-121).
///
/// The order is that of addition. Memory for the slots is taken once, in [`new`](Self::new).
/// Looking for an address costs time linear in the number of regions.
#[derive(Debug)]
pub struct MemoryTable<B> {
    slots: Vec<Slot<B>>,
    max_slots: usize,
    generation: u64,
}

impl<B> MemoryTable<B> {
    /// A table without regions, for at most `max_slots`: the number that `GET_MAX_MEM_SLOTS`
    /// tells (VU-134).
    #[must_use]
    pub fn new(max_slots: usize) -> Self {
        // A new table is put in place before the old one goes, so there is room for both.
        let slots = Vec::with_capacity(max_slots.saturating_add(MESSAGE_MAX));
        Self { slots, max_slots, generation: 0 }
    }

    /// Most regions that the table takes.
    #[must_use]
    pub const fn max_slots(&self) -> usize {
        self.max_slots
    }

    /// The active regions, in the order of addition.
    #[must_use]
    #[inline]
    pub fn slots(&self) -> &[Slot<B>] {
        &self.slots
    }

    /// A number that every change of the table changes. Who kept locations compares it, and
    /// finds them again when it differs (VU-258).
    #[must_use]
    #[inline]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Judges a region by itself (VU-123).
    ///
    /// # Errors
    /// It is empty, or one of its three ends is not below 2^64 (DC-020).
    pub const fn check_region(region: &Region) -> Result<(), MemoryError> {
        let Region { guest_address, size, user_address, mmap_offset, .. } = *region;
        if size == 0 {
            Err(MemoryError::EmptyRegion { guest_address })
        } else if wraps(guest_address, size) {
            Err(MemoryError::GuestAddressWraps { guest_address, size })
        } else if wraps(user_address, size) {
            Err(MemoryError::UserAddressWraps { user_address, size })
        } else if wraps(mmap_offset, size) {
            Err(MemoryError::MmapOffsetWraps { mmap_offset, size })
        } else {
            Ok(())
        }
    }

    /// Judges a table that is to replace this one. The regions in use do not matter.
    ///
    /// # Errors
    /// There are more regions than slots (DC-022, HZ-59), or the first region is found that is
    /// wrong by itself (VU-123) or overlaps one before it (VU-124).
    pub fn check_table(&self, regions: &[Region]) -> Result<(), MemoryError> {
        self.check_each(regions.iter())
    }

    fn check_each<'a>(
        &self,
        regions: impl ExactSizeIterator<Item = &'a Region> + Clone,
    ) -> Result<(), MemoryError> {
        let count = regions.len();
        if count > self.max_slots {
            return Err(MemoryError::TooManyRegions { count, limit: self.max_slots });
        }
        for (index, region) in regions.clone().enumerate() {
            Self::check_region(region)?;
            check_apart(region, regions.clone().take(index))?;
        }
        Ok(())
    }

    /// Judges a region that is to join the active ones, or to take the place of itself.
    ///
    /// # Errors
    /// As [`check_new`](Self::check_new); one that is active has its slot and overlaps nothing,
    /// but may be wrong by itself (VU-123).
    pub fn check_add(&self, region: &Region) -> Result<(), MemoryError> {
        if self.find(region).is_ok() {
            return Self::check_region(region); // DC-161: its mmap offset may be another one.
        }
        self.check_new(region)
    }

    /// Judges a region that is to join the active ones, and must not be one of them.
    ///
    /// # Errors
    /// All slots are in use (DC-022), or the region is wrong by itself (VU-123) or overlaps an
    /// active one (VU-124).
    pub fn check_new(&self, region: &Region) -> Result<(), MemoryError> {
        if self.slots.len() >= self.max_slots {
            let count = self.slots.len().saturating_add(1);
            return Err(MemoryError::TooManyRegions { count, limit: self.max_slots });
        }
        Self::check_region(region)?;
        check_apart(region, self.slots.iter().map(|slot| &slot.region))
    }

    /// Adds a region to the active ones (VU-137). If [`find`](Self::find) finds it, it takes the
    /// place of what is there, which comes back (DC-161): front-ends exist that keep a list of
    /// regions for each pair of queues, and tell all of them.
    ///
    /// # Errors
    /// As [`check_add`](Self::check_add); the backing comes back.
    pub fn add(&mut self, region: Region, backing: B) -> Result<Option<Slot<B>>, (MemoryError, B)> {
        if let Err(error) = self.check_add(&region) {
            return Err((error, backing));
        }
        self.bump();
        let new = Slot { region, backing };
        let active = self.find(&region).ok().and_then(|index| self.slots.get_mut(index));
        if let Some(active) = active {
            return Ok(Some(core::mem::replace(active, new)));
        }
        self.slots.push(new);
        Ok(None)
    }

    /// The index of the region with this guest physical address, user address and size (VU-138).
    /// The mmap offset and the Xen fields are ignored (VU-139).
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, region: &Region) -> Result<usize, MemoryError> {
        let Region { guest_address, size, user_address, .. } = *region;
        self.slots
            .iter()
            .position(|slot| {
                slot.region.guest_address == guest_address
                    && slot.region.user_address == user_address
                    && slot.region.size == size
            })
            .ok_or(MemoryError::UnknownRegion { guest_address, user_address, size })
    }

    /// The index of a region that is to be removed, as [`find`](Self::find) says it; `None` if
    /// nothing of it is there, so that there is nothing to do (DC-162).
    ///
    /// # Errors
    /// It is not there, but shares an address with one that is, or cannot have been there: it is
    /// empty or wraps (VU-143).
    pub fn check_remove(&self, region: &Region) -> Result<Option<usize>, MemoryError> {
        let unknown = match self.find(region) {
            Ok(index) => return Ok(Some(index)),
            Err(unknown) => unknown,
        };
        let gone = Region { mmap_offset: 0, ..*region }; // VU-139
        Self::check_region(&gone)
            .and_then(|()| check_apart(&gone, self.slots.iter().map(|slot| &slot.region)))
            .map_or(Err(unknown), |()| Ok(None))
    }

    /// Takes out a region, if it is there; those after it move up.
    ///
    /// # Errors
    /// As [`check_remove`](Self::check_remove).
    pub fn remove(&mut self, region: &Region) -> Result<Option<Slot<B>>, MemoryError> {
        let Some(index) = self.check_remove(region)? else { return Ok(None) };
        self.bump();
        Ok(Some(self.slots.remove(index)))
    }

    /// Takes out all regions and drops what backs them.
    pub fn clear(&mut self) {
        self.bump();
        self.slots.clear();
    }

    /// The regions in `new` take the place of all that are in the table (VU-260).
    ///
    /// The old slots come back in `new`, in their order. When more than fit had been added one by
    /// one, the first 8 come back and the rest is dropped. No old backing is dropped before the
    /// new ones are in place, so a process that fails in between has never lost both.
    ///
    /// # Errors
    /// As [`check_table`](Self::check_table); then neither the table nor `new` has changed.
    pub fn replace(&mut self, new: &mut ArrayVec<Slot<B>, MESSAGE_MAX>) -> Result<(), MemoryError> {
        self.check_each(new.iter().map(|slot| &slot.region))?;
        self.bump();
        let (old_len, new_len) = (self.slots.len(), new.len());
        self.slots.extend(new.drain(..));
        self.slots.rotate_left(old_len);
        for old in self.slots.drain(new_len..) {
            // What does not fit is handed back by `try_push`, and dropped here.
            let _ = new.try_push(old);
        }
        Ok(())
    }

    /// Finds a range that has to lie in one region, next to each other.
    ///
    /// # Errors
    /// An address of it is in no region (VU-144, VU-145), or it goes over the border of two
    /// regions (DC-023).
    #[inline]
    pub fn locate(&self, space: Space, address: u64, len: u64) -> Result<Location, MemoryError> {
        match self.reach(space, address, len) {
            Some(location) if location.len == len => Ok(location),
            Some(Location { len: inside, .. }) => self
                .pieces(space, address, len)
                .and(Err(MemoryError::CrossesRegions { address, len, inside })),
            None => Err(unmapped(space, address)),
        }
    }

    /// Finds a range that may go on in the region that begins where one ends, in this address
    /// space (DC-023, MT14). It is checked as a whole before the first piece comes out. A range
    /// of 0 bytes has no pieces, but its address has to be in a region (MT08).
    ///
    /// # Errors
    /// An address of it is in no region (VU-144, VU-145).
    #[inline]
    pub fn pieces(
        &self,
        space: Space,
        address: u64,
        len: u64,
    ) -> Result<Pieces<'_, B>, MemoryError> {
        Pieces::checked(self, Route::Direct(space), address, len)
            .map_err(|address| unmapped(space, address))
    }

    /// The guest physical address of a location's first byte, which is what the dirty log counts
    /// pages of (VU-147), however the location was found. `None` when it is not of this table.
    #[must_use]
    #[inline]
    pub fn guest_address(&self, location: &Location) -> Option<u64> {
        let region = &self.slots.get(location.slot)?.region;
        let end = location.offset.checked_add(location.len)?;
        if end > region.size {
            return None;
        }
        region.guest_address.checked_add(location.offset)
    }

    /// What of the `len` bytes from `address` is in the region that holds `address`.
    #[inline]
    pub(super) fn reach(&self, space: Space, address: u64, len: u64) -> Option<Location> {
        self.slots.iter().enumerate().find_map(|(slot, held)| {
            let offset = address.checked_sub(space.start(&held.region))?;
            let left = held.region.size.checked_sub(offset).filter(|left| *left > 0)?;
            Some(Location { slot, offset, len: left.min(len) })
        })
    }

    const fn bump(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }
}

const fn unmapped(space: Space, address: u64) -> MemoryError {
    match space {
        Space::User => MemoryError::UserUnmapped { address },
        Space::Guest => MemoryError::GuestUnmapped { address },
    }
}

/// A region shares no address with any of `others` (VU-124).
fn check_apart<'a>(
    region: &Region,
    others: impl Iterator<Item = &'a Region>,
) -> Result<(), MemoryError> {
    for other in others {
        let Region { guest_address, size, user_address, .. } = *region;
        if overlap(guest_address, size, other.guest_address, other.size) {
            return Err(MemoryError::GuestOverlap { guest_address, other: other.guest_address });
        }
        if overlap(user_address, size, other.user_address, other.size) {
            return Err(MemoryError::UserOverlap { user_address, other: other.user_address });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A region whose user address and mmap offset follow from its guest address.
    fn region(guest_address: u64, size: u64) -> Region {
        let user_address = 0x7000_0000_0000 + guest_address * 2;
        Region { guest_address, size, user_address, mmap_offset: 0, xen: None }
    }

    fn table(regions: &[Region]) -> MemoryTable<usize> {
        let mut table = MemoryTable::new(8);
        for (backing, region) in regions.iter().enumerate() {
            table.add(*region, backing).unwrap();
        }
        table
    }

    #[test]
    fn a_range_is_found_up_to_the_last_byte_of_its_region() {
        let table = table(&[region(0x1000, 0x1000)]);
        let found = table.locate(Space::Guest, 0x1fff, 1);
        assert_eq!(found, Ok(Location { slot: 0, offset: 0xfff, len: 1 }));
        let beyond = MemoryError::GuestUnmapped { address: 0x2000 };
        assert_eq!(table.locate(Space::Guest, 0x1fff, 2), Err(beyond));
        assert_eq!(table.locate(Space::Guest, 0x2000, 0), Err(beyond));
        assert_eq!(table.locate(Space::Guest, 0x1fff, u64::MAX), Err(beyond));
    }

    #[test]
    fn a_range_over_a_border_has_two_pieces_in_the_space_where_the_regions_touch() {
        let table = table(&[region(0x2000, 0x1000), region(0x1000, 0x1000)]);
        let pieces: Vec<_> = table.pieces(Space::Guest, 0x1ff0, 0x20).unwrap().collect();
        assert_eq!(
            pieces,
            [
                Location { slot: 1, offset: 0xff0, len: 0x10 },
                Location { slot: 0, offset: 0, len: 0x10 },
            ]
        );
        let crosses = MemoryError::CrossesRegions { address: 0x1ff0, len: 0x20, inside: 0x10 };
        assert_eq!(table.locate(Space::Guest, 0x1ff0, 0x20), Err(crosses));
        let user = table.slots()[1].region.user_address;
        let hole = MemoryError::UserUnmapped { address: user + 0x1000 };
        assert_eq!(table.pieces(Space::User, user + 0xff0, 0x20).err(), Some(hole));
    }

    #[test]
    fn an_empty_range_has_no_pieces_and_needs_its_address() {
        let table = table(&[region(0x1000, 0x1000)]);
        assert_eq!(table.pieces(Space::Guest, 0x1000, 0).unwrap().count(), 0);
        let outside = MemoryError::GuestUnmapped { address: 0xfff };
        assert_eq!(table.pieces(Space::Guest, 0xfff, 0).err(), Some(outside));
    }

    #[test]
    fn every_change_and_no_refusal_changes_the_generation() {
        let mut table = table(&[region(0x1000, 0x1000)]);
        let mut seen = vec![table.generation()];
        assert!(table.add(region(0x1fff, 2), 1).is_err());
        assert!(table.remove(&region(0x1fff, 2)).is_err());
        let mut twice: ArrayVec<_, 8> = ArrayVec::new();
        twice.push(Slot { region: region(0, 1), backing: 5 });
        twice.push(Slot { region: region(0, 1), backing: 6 });
        assert!(table.replace(&mut twice).is_err());
        assert_eq!((table.generation(), twice.len()), (seen[0], 2));
        twice.pop();
        table.replace(&mut twice).unwrap();
        seen.push(table.generation());
        table.remove(&region(0, 1)).unwrap().unwrap();
        seen.push(table.generation());
        table.clear();
        seen.push(table.generation());
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_replaced_table_hands_back_the_first_eight() {
        let mut table = MemoryTable::new(12);
        let capacity = table.slots.capacity();
        for index in 0..12 {
            table.add(region(index * 0x1000, 0x1000), index).unwrap();
        }
        let mut new: ArrayVec<_, 8> = ArrayVec::new();
        new.push(Slot { region: region(0x1_0000, 0x1000), backing: 20 });
        table.replace(&mut new).unwrap();
        assert_eq!(table.slots(), [Slot { region: region(0x1_0000, 0x1000), backing: 20 }]);
        let back: Vec<_> = new.iter().map(|slot| slot.backing).collect();
        assert_eq!(back, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(table.slots.capacity(), capacity, "the slots were moved");
    }

    #[test]
    fn a_location_of_another_table_has_no_guest_address() {
        let table = table(&[region(0x1000, 0x1000)]);
        let guest = |slot, offset, len| table.guest_address(&Location { slot, offset, len });
        assert_eq!(guest(0, 0x10, 0x10), Some(0x1010));
        assert_eq!((guest(1, 0, 0), guest(0, 0xfff, 2), guest(0, u64::MAX, 1)), (None, None, None));
    }
}
