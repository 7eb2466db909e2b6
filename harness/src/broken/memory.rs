//! Memory with one mistake each.

use vhost_fuzz_core::memory::{
    Access, AddressKind, DirtyLog, IotlbError, Location, LogError, LogMemory, MapError, MapRange,
    MemoryError, PAGE_SIZE, PlaceError, Placement, ResolveError, RingParts, RingSize,
    RingSizeError, Space, ring::Part,
};
use vhost_fuzz_core::vhost_user::payload::{Iotlb as IotlbMessage, LogBase, Region, VringAddr};

use crate::ledger::Token;
use crate::memory::{Added, Backing, Core, Memory, Slot, Slots};

macro_rules! twins {
    ($($(#[$doc:meta])* $name:ident { $($method:item)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Core);

        impl Memory for $name {
            fn open(slots: usize, translations: usize) -> Self {
                Self(Core::open(slots, translations))
            }

            fn core(&self) -> &Core {
                &self.0
            }

            fn core_mut(&mut self) -> &mut Core {
                &mut self.0
            }

            $($method)*
        }
    )*};
}

// Tables.
twins! {
    /// No mistake.
    Nothing {}

    /// Does not see that guest address plus size wraps (MT16).
    IgnoresWraps {
        fn check_table(&self, regions: &[Region]) -> Result<(), MemoryError> {
            match self.0.check_table(regions) {
                Err(MemoryError::GuestAddressWraps { .. }) => Ok(()),
                other => other,
            }
        }

        fn replace(&mut self, new: &mut Slots) -> Result<(), MemoryError> {
            for Slot { region, .. } in new.iter_mut() {
                region.size = region.size.min(u64::MAX - region.guest_address);
            }
            self.0.replace(new)
        }
    }

    /// Compares the guest addresses of regions, but not their user addresses (HZ-44).
    IgnoresUserOverlap {
        fn check_table(&self, regions: &[Region]) -> Result<(), MemoryError> {
            match self.0.check_table(regions) {
                Err(MemoryError::UserOverlap { .. }) => Ok(()),
                other => other,
            }
        }

        fn replace(&mut self, new: &mut Slots) -> Result<(), MemoryError> {
            for (at, Slot { region, .. }) in (0..).zip(new.iter_mut()) {
                region.user_address = at << 56;
            }
            self.0.replace(new)
        }
    }

    /// Takes more regions than there are slots (HZ-59).
    IgnoresTheSlots {
        fn check_add(&self, region: &Region) -> Result<(), MemoryError> {
            match self.0.check_add(region) {
                Err(MemoryError::TooManyRegions { .. }) => Ok(()),
                other => other,
            }
        }

        fn add(&mut self, region: Region, backing: Backing) -> Added {
            match self.0.add(region, backing) {
                Err((MemoryError::TooManyRegions { .. }, _)) => Ok(None),
                other => other,
            }
        }
    }

    /// Refuses a region that is there already (HZ-47).
    RefusesARepetition {
        fn check_add(&self, region: &Region) -> Result<(), MemoryError> {
            let Region { guest_address, .. } = *region;
            match self.0.table.find(region) {
                Ok(_) => Err(MemoryError::GuestOverlap { guest_address, other: guest_address }),
                Err(_) => self.0.check_add(region),
            }
        }
    }

    /// Keeps what it has when a region comes once more, and not what came (DC-161).
    IgnoresARepetition {
        fn add(&mut self, region: Region, backing: Backing) -> Added {
            match self.0.table.find(&region) {
                Ok(_) => Ok(Some(Slot { region, backing })),
                Err(_) => self.0.add(region, backing),
            }
        }
    }

    /// Forgets what was behind a region that comes once more.
    LeaksARepetition {
        fn add(&mut self, region: Region, backing: Backing) -> Added {
            self.0.add(region, backing).map(|old| {
                std::mem::forget(old);
                None
            })
        }
    }

    /// Counts a region that comes once more as one more (HZ-59).
    CountsARepetition {
        fn check_add(&self, region: &Region) -> Result<(), MemoryError> {
            let (count, limit) = (self.0.table.slots().len() + 1, self.0.table.max_slots());
            if count > limit {
                return Err(MemoryError::TooManyRegions { count, limit });
            }
            self.0.check_add(region)
        }
    }

    /// Refuses to remove what is not there any more (HZ-55).
    RefusesToRemoveAgain {
        fn remove(&mut self, region: &Region) -> Result<Option<Slot>, MemoryError> {
            self.0.table.find(region)?;
            self.0.remove(region)
        }
    }

    /// Says that what it does not find was removed, also a piece of a region (HZ-56).
    RemovesWhatItDoesNotFind {
        fn remove(&mut self, region: &Region) -> Result<Option<Slot>, MemoryError> {
            match self.0.remove(region) {
                Err(MemoryError::UnknownRegion { .. }) => Ok(None),
                other => other,
            }
        }
    }

    /// Finds the region to remove by its guest address alone (HZ-56).
    RemovesByGuestAddress {
        fn remove(&mut self, region: &Region) -> Result<Option<Slot>, MemoryError> {
            let mut regions = self.0.table.slots().iter().map(|slot| slot.region);
            let found = regions.find(|other| other.guest_address == region.guest_address);
            self.0.remove(&found.unwrap_or(*region))
        }
    }

    /// Wants the mmap offset of a region that is to be removed (VU-139).
    ComparesTheOffset {
        fn remove(&mut self, region: &Region) -> Result<Option<Slot>, MemoryError> {
            let found = self.0.table.find(region)?;
            let Region { guest_address, size, user_address, mmap_offset, .. } = *region;
            if self.0.table.slots()[found].region.mmap_offset != mmap_offset {
                return Err(MemoryError::UnknownRegion { guest_address, size, user_address });
            }
            self.0.remove(region)
        }
    }

    /// Maps every region as soon as it comes (VU-127).
    MapsInAdvance {
        fn back(&self, _: &Region, fd: Token, map: impl FnOnce(Token) -> Token) -> Backing {
            Backing::Mapped(map(fd))
        }
    }

    /// Maps from the offset as it is, whatever the page size (HZ-58a).
    MapsUnaligned {
        fn map_range(&self, region: &Region, _: u64) -> Result<MapRange, MapError> {
            MapRange::of(region, 1)
        }
    }

    /// Drops the old table before the new one is there.
    DropsFirst {
        fn replace(&mut self, new: &mut Slots) -> Result<(), MemoryError> {
            self.0.clear();
            self.0.replace(new)
        }
    }

    /// Forgets what backs the regions when the peer goes away.
    Leaks {
        fn clear(&mut self) {
            while let Some(region) = self.0.table.slots().first().map(|slot| slot.region) {
                std::mem::forget(self.0.remove(&region));
            }
        }
    }

    /// Unmaps a region when its removal is asked for, and once more when it is done.
    UnmapsTwice {
        fn remove(&mut self, region: &Region) -> Result<Option<Slot>, MemoryError> {
            let slot = self.0.remove(region)?;
            if let Some(Slot { backing: Backing::Mapped(fd) | Backing::OnDemand(fd), .. }) = &slot {
                drop(fd.alias());
            }
            Ok(slot)
        }
    }
}

/// More pieces than an answer has.
type Pieces = arrayvec::ArrayVec<Location, 256>;

/// Pieces as they are, for a mistake that changes them.
fn pieces(
    core: &Core,
    kind: AddressKind,
    address: u64,
    len: u64,
    access: Access,
) -> Result<Pieces, ResolveError> {
    let mut pieces = Pieces::new();
    core.resolve(kind, address, len, access, &mut |piece| pieces.push(piece))?;
    Ok(pieces)
}

// Translation.
twins! {
    /// Counts offsets from the start of the file, not of the region (MT17).
    AddsTheMmapOffset {
        fn locate(&self, space: Space, address: u64, len: u64) -> Result<Location, MemoryError> {
            let found = self.0.locate(space, address, len)?;
            let region = &self.0.table.slots()[found.slot].region;
            Ok(Location { offset: found.offset.wrapping_add(region.mmap_offset), ..found })
        }
    }

    /// Takes a range without bytes to be in memory wherever it is (MT08).
    ForgivesEmptyRanges {
        fn resolve(
            &self,
            kind: AddressKind,
            address: u64,
            len: u64,
            access: Access,
            see: &mut dyn FnMut(Location),
        ) -> Result<(), ResolveError> {
            if len == 0 { Ok(()) } else { self.0.resolve(kind, address, len, access, see) }
        }
    }

    /// Wants every range to be in one region (MT14).
    WantsOneRegion {
        fn resolve(
            &self,
            kind: AddressKind,
            address: u64,
            len: u64,
            access: Access,
            see: &mut dyn FnMut(Location),
        ) -> Result<(), ResolveError> {
            if kind == AddressKind::Guest {
                self.0.table.locate(Space::Guest, address, len)?;
            }
            self.0.resolve(kind, address, len, access, see)
        }
    }

    /// Takes regions that touch in addresses for regions that touch in memory (MT03).
    JoinsRegions {
        fn resolve(
            &self,
            kind: AddressKind,
            address: u64,
            len: u64,
            access: Access,
            see: &mut dyn FnMut(Location),
        ) -> Result<(), ResolveError> {
            let found = pieces(&self.0, kind, address, len, access)?;
            found.first().into_iter().for_each(|first| see(Location { len, ..*first }));
            Ok(())
        }
    }

    /// Translates whatever the permissions say.
    IgnoresPermissions {
        fn resolve(
            &self,
            kind: AddressKind,
            address: u64,
            len: u64,
            access: Access,
            see: &mut dyn FnMut(Location),
        ) -> Result<(), ResolveError> {
            let allowed = [access, Access::Read, Access::Write]
                .into_iter()
                .find(|access| pieces(&self.0, kind, address, len, *access).is_ok());
            self.0.resolve(kind, address, len, allowed.unwrap_or(access), see)
        }
    }

    /// Makes a list of the pieces.
    Allocates {
        fn resolve(
            &self,
            kind: AddressKind,
            address: u64,
            len: u64,
            access: Access,
            see: &mut dyn FnMut(Location),
        ) -> Result<(), ResolveError> {
            let found = pieces(&self.0, kind, address, len, access)?.to_vec();
            std::hint::black_box(found).into_iter().for_each(see);
            Ok(())
        }
    }

    /// Takes out only the translations that lie in an invalidated range (DC-021).
    KeepsParts {
        fn iotlb(&mut self, message: &IotlbMessage, space: Space) -> Result<(), IotlbError> {
            let end = message.iova.saturating_add(message.size);
            let is_part = self.0.iotlb.entries().any(|entry| {
                entry.iova < message.iova || entry.iova.saturating_add(entry.size) > end
            });
            if message.kind == IotlbMessage::INVALIDATE && message.size > 0 && is_part {
                return Ok(());
            }
            self.0.iotlb(message, space)
        }
    }

    /// Does nothing about an IOTLB message of a type that it does not know (VU-215).
    TakesEveryKind {
        fn iotlb(&mut self, message: &IotlbMessage, space: Space) -> Result<(), IotlbError> {
            match self.0.iotlb(message, space) {
                Err(IotlbError::Kind { .. }) => Ok(()),
                other => other,
            }
        }
    }

    /// Takes user addresses for guest physical ones, or the reverse (VU-265, MT18).
    MixesSpaces {
        fn iotlb(&mut self, message: &IotlbMessage, space: Space) -> Result<(), IotlbError> {
            let other = match space {
                Space::User => Space::Guest,
                Space::Guest => Space::User,
            };
            self.0.iotlb(message, other)
        }
    }
}

/// A log whose bits are counted from the other end of their byte.
struct Reversed<'a, L>(&'a L);

impl<L: LogMemory> LogMemory for Reversed<'_, L> {
    fn or(&self, offset: u64, bits: u8) {
        self.0.or(offset, bits.reverse_bits());
    }
}

// The log.
twins! {
    /// Does not see that offset plus size wraps (MT06).
    IgnoresTheLogOffset {
        fn check_log(&self, base: &LogBase) -> Result<DirtyLog, LogError> {
            DirtyLog::check(&LogBase { offset: 0, ..*base })
        }
    }

    /// Does not compare a page with the end of the log (MT07).
    MarksBeyondTheEnd {
        fn mark(&self, log: &DirtyLog, address: u64, len: u64, memory: &impl LogMemory) {
            let size = log.size() + 1;
            let longer = DirtyLog::check(&LogBase { size, offset: 0 }).unwrap_or(*log);
            longer.mark(address, len, memory);
        }
    }

    /// Marks the page that a write begins in.
    MarksTheFirstPage {
        fn mark(&self, log: &DirtyLog, address: u64, len: u64, memory: &impl LogMemory) {
            log.mark(address, len.min(1), memory);
        }
    }

    /// Counts bits from the most significant (VU-149).
    ReversesBits {
        fn mark(&self, log: &DirtyLog, address: u64, len: u64, memory: &impl LogMemory) {
            log.mark(address, len, &Reversed(memory));
        }
    }

    /// Sets the bits of a byte one by one.
    MarksPageByPage {
        fn mark(&self, log: &DirtyLog, address: u64, len: u64, memory: &impl LogMemory) {
            let end = address.saturating_add(len).min(log.size().saturating_mul(8 * PAGE_SIZE));
            let mut from = address;
            while from < end {
                log.mark(from, 1, memory);
                from = (from / PAGE_SIZE + 1) * PAGE_SIZE;
            }
        }
    }

    /// Marks the pages of I/O virtual addresses (DV-80).
    MarksIovas {
        fn write(
            &self,
            log: &DirtyLog,
            kind: AddressKind,
            address: u64,
            len: u64,
            memory: &impl LogMemory,
        ) -> Result<(), ResolveError> {
            pieces(&self.0, kind, address, len, Access::Write)?;
            log.mark(address, len, memory);
            Ok(())
        }
    }

    /// Marks the start of the used ring, wherever it was written to (VU-148).
    MarksTheUsedIndex {
        fn mark_used(
            &self,
            log: &DirtyLog,
            address: u64,
            _: u64,
            len: u64,
            memory: &impl LogMemory,
        ) {
            log.mark_used(address, 0, len, memory);
        }
    }
}

/// The last bytes of a ring, as a ring of one descriptor.
fn tail(addresses: &VringAddr, parts: &RingParts) -> Option<(VringAddr, RingParts)> {
    let small = RingParts::new(RingSize::check(1, false, 1).ok()?, false, false);
    let skip = |part| {
        let len = parts.size(part).saturating_sub(small.size(part));
        part.address(addresses).checked_add(len)
    };
    let moved = VringAddr {
        descriptor: skip(Part::Descriptor)?,
        used: skip(Part::Used)?,
        available: skip(Part::Available)?,
        ..*addresses
    };
    Some((moved, small))
}

// Rings.
twins! {
    /// Rounds the size of a split ring up (HZ-61).
    RoundsRingSizes {
        fn ring_size(&self, num: u32, packed: bool, limit: u16) -> Result<RingSize, RingSizeError> {
            match self.0.ring_size(num, packed, limit) {
                Err(RingSizeError::NotPowerOfTwo { num }) => {
                    self.0.ring_size(num.next_power_of_two(), packed, limit)
                }
                other => other,
            }
        }
    }

    /// Does not look at alignment (HZ-74).
    IgnoresAlignment {
        fn check_addresses(
            &self,
            addresses: &VringAddr,
            parts: &RingParts,
        ) -> Result<(), PlaceError> {
            match self.0.check_addresses(addresses, parts) {
                Err(PlaceError::Misaligned { .. }) => Ok(()),
                other => other,
            }
        }
    }

    /// Takes ring addresses for guest physical ones (MT18).
    PlacesInGuestMemory {
        fn place(
            &self,
            _: AddressKind,
            addresses: &VringAddr,
            parts: &RingParts,
        ) -> Result<Placement, PlaceError> {
            self.0.place(AddressKind::Guest, addresses, parts)
        }
    }

    /// Looks where the end of each part is, and nowhere else (MT15).
    LooksAtTheEnd {
        fn place(
            &self,
            kind: AddressKind,
            addresses: &VringAddr,
            parts: &RingParts,
        ) -> Result<Placement, PlaceError> {
            let found = self.0.place(kind, addresses, parts);
            match tail(addresses, parts) {
                Some((addresses, parts)) if matches!(found, Err(PlaceError::Unmapped { .. })) => {
                    self.0.place(kind, &addresses, &parts)
                }
                _ => found,
            }
        }
    }

    /// Goes on with the places of rings after the table has changed (HZ-57).
    KeepsPlacements {
        fn is_current(&self, _: &Placement) -> bool {
            true
        }
    }

    /// Takes a log that ends before the used ring does (VU-152).
    IgnoresTheUsedLog {
        fn used_log_inside(
            &self,
            _: &DirtyLog,
            _: &VringAddr,
            _: &RingParts,
        ) -> Result<(), LogError> {
            Ok(())
        }
    }
}
