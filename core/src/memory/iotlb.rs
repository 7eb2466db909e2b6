//! Translations of I/O virtual addresses (spec §6.12).

use core::fmt;

use super::pieces::Route;
use super::{Access, IotlbError, Location, MemoryTable, Pieces, Space, wraps};
use crate::rule::Rule;
use crate::vhost_user::payload::Iotlb as IotlbMessage;

/// One translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// First I/O virtual address.
    pub iova: u64,
    /// Bytes; not 0.
    pub size: u64,
    /// The address of the same byte in memory.
    pub address: u64,
    /// What `address` is (VU-265).
    pub space: Space,
    /// Bit 0 read, bit 1 write.
    pub permissions: u8,
}

/// The translation of an I/O virtual address for an access is not known. The front-end is asked
/// for it with [`message`](Self::message); the access is tried again after its update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Miss {
    /// The first such address of the range.
    pub iova: u64,
    /// What is wanted: bit 0 read, bit 1 write.
    pub permissions: u8,
}

impl Miss {
    /// Memory is accessed through translations only.
    #[must_use]
    pub const fn rule(self) -> Rule {
        Rule::vu(146)
    }

    /// The request to the front-end: type 1, the address and the permissions (VU-212). The user
    /// address and the size say nothing.
    #[must_use]
    pub const fn message(self) -> IotlbMessage {
        IotlbMessage {
            iova: self.iova,
            size: 0,
            user_address: 0,
            permissions: self.permissions,
            kind: IotlbMessage::MISS,
            padding: [0; 6],
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iova, permissions } = self;
        write!(f, "I/O virtual address {iova:#x} has no translation for {permissions}")
    }
}

impl core::error::Error for Miss {}

/// A cache of translations. When it is full, the oldest makes room.
///
/// No two translations overlap: an update takes out every one that it touches (DC-021). Memory
/// for them is taken once, in [`new`](Self::new). A lookup is a binary search, an update costs
/// time linear in the capacity.
#[derive(Clone, Debug)]
pub struct Iotlb {
    /// Ordered by I/O virtual address.
    entries: Vec<Aged>,
    capacity: usize,
    /// The age of the next entry.
    clock: u64,
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Aged {
    entry: Entry,
    born: u64,
}

impl Iotlb {
    /// An empty cache for `capacity` translations, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { entries: Vec::with_capacity(capacity), capacity, clock: 0, generation: 0 }
    }

    /// The translations, ordered by I/O virtual address.
    #[must_use]
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter().map(|aged| &aged.entry)
    }

    /// A number that every update and every invalidation changes. Who kept locations compares it,
    /// and translates again when it differs.
    #[must_use]
    #[inline]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Does what a front-end's message says. `space` is what its user address is: see
    /// [`Space::of_iotlb`] (VU-265).
    ///
    /// # Errors
    /// The message is neither an update nor an invalidation (VU-215), or as
    /// [`update`](Self::update) and [`invalidate`](Self::invalidate). Then nothing has changed.
    pub fn message<B>(
        &mut self,
        message: &IotlbMessage,
        space: Space,
        table: &MemoryTable<B>,
    ) -> Result<(), IotlbError> {
        match message.kind {
            IotlbMessage::UPDATE => self.update(message, space, table),
            IotlbMessage::INVALIDATE => self.invalidate(message.iova, message.size),
            kind => Err(IotlbError::Kind { kind }),
        }
    }

    /// Takes a translation in, and those out that overlap it (DC-021).
    ///
    /// # Errors
    /// The permissions are unknown (VU-215), the range is empty or wraps (DC-024, HZ-95), or its
    /// memory is not in the table (VU-210). Then nothing has changed.
    pub fn update<B>(
        &mut self,
        message: &IotlbMessage,
        space: Space,
        table: &MemoryTable<B>,
    ) -> Result<(), IotlbError> {
        let IotlbMessage { iova, size, user_address, permissions, .. } = *message;
        if permissions > Access::ReadWrite.permissions() {
            return Err(IotlbError::Permissions { permissions });
        }
        check_range(iova, size)?;
        if wraps(user_address, size) {
            return Err(IotlbError::UserAddressWraps { user_address, size });
        }
        Pieces::checked(table, Route::Direct(space), user_address, size)
            .map_err(|address| IotlbError::OutsideMemory { address })?;
        self.forget(iova, size);
        if self.entries.len() >= self.capacity {
            self.evict();
        }
        let entry = Entry { iova, size, address: user_address, space, permissions };
        let at = self.entries.partition_point(|aged| aged.entry.iova < iova);
        self.entries.insert(at, Aged { entry, born: self.clock });
        self.clock = self.clock.wrapping_add(1);
        self.bump();
        Ok(())
    }

    /// Judges an invalidation before anything is done about it.
    ///
    /// # Errors
    /// The range is empty or wraps (DC-024).
    pub fn check_invalidate(message: &IotlbMessage) -> Result<(), IotlbError> {
        check_range(message.iova, message.size)
    }

    /// Takes out every translation that has an address in the range, also those that go beyond
    /// it (DC-021): too few translations cost a miss, too many are a hole in the IOMMU.
    ///
    /// # Errors
    /// The range is empty or wraps (DC-024). Then nothing has changed.
    pub fn invalidate(&mut self, iova: u64, size: u64) -> Result<(), IotlbError> {
        check_range(iova, size)?;
        self.forget(iova, size);
        self.bump();
        Ok(())
    }

    /// Takes out all translations.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bump();
    }

    /// Finds a range of I/O virtual addresses; it may go over the borders of translations and of
    /// regions (DC-023). It is checked as a whole before the first piece comes out. A range of 0
    /// bytes has no pieces, but its address has to have a translation (MT08).
    ///
    /// # Errors
    /// The first address without a translation that allows `access` to memory in the table.
    #[inline]
    pub fn translate<'a, B>(
        &'a self,
        table: &'a MemoryTable<B>,
        iova: u64,
        len: u64,
        access: Access,
    ) -> Result<Pieces<'a, B>, Miss> {
        Pieces::checked(table, Route::Iotlb(self, access), iova, len)
            .map_err(|iova| Miss { iova, permissions: access.permissions() })
    }

    /// What of the `len` bytes from `iova` lies next to each other in memory. The table may have
    /// changed since the update, so the memory is looked up each time (DC-027).
    #[inline]
    pub(super) fn reach<B>(
        &self,
        table: &MemoryTable<B>,
        iova: u64,
        len: u64,
        access: Access,
    ) -> Option<Location> {
        let after = self.entries.partition_point(|aged| aged.entry.iova <= iova);
        let Entry { iova: start, size, address, space, permissions } =
            self.entries.get(after.checked_sub(1)?)?.entry;
        let offset = iova.checked_sub(start)?;
        let left = size.checked_sub(offset).filter(|left| *left > 0)?;
        if !access.is_in(permissions) {
            return None;
        }
        table.reach(space, address.checked_add(offset)?, left.min(len))
    }

    /// Takes out every entry with an address in the range, which does not wrap. As entries do not
    /// overlap, those are neighbours in the order.
    fn forget(&mut self, iova: u64, size: u64) {
        let end = iova.saturating_add(size);
        let first = self
            .entries
            .partition_point(|aged| aged.entry.iova.saturating_add(aged.entry.size) <= iova);
        let last = self.entries.partition_point(|aged| aged.entry.iova < end);
        if first < last {
            self.entries.drain(first..last);
        }
    }

    fn evict(&mut self) {
        let oldest = self.entries.iter().enumerate().min_by_key(|(_, aged)| aged.born);
        if let Some((index, _)) = oldest {
            self.entries.remove(index);
        }
    }

    const fn bump(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }
}

const fn check_range(iova: u64, size: u64) -> Result<(), IotlbError> {
    if size == 0 {
        Err(IotlbError::Empty { iova })
    } else if wraps(iova, size) {
        Err(IotlbError::IovaWraps { iova, size })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vhost_user::payload::Region;

    const USER: u64 = 0x7000_0000_0000;

    /// Two regions that touch in guest addresses but not in user addresses.
    fn table() -> MemoryTable<()> {
        let mut table = MemoryTable::new(2);
        for index in 0..2 {
            let region = Region {
                guest_address: index * 0x4000,
                size: 0x4000,
                user_address: USER + index * 0x10000,
                mmap_offset: 0,
                xen: None,
            };
            table.add(region, ()).unwrap();
        }
        table
    }

    fn update(iova: u64, size: u64, user_address: u64, permissions: u8) -> IotlbMessage {
        let kind = IotlbMessage::UPDATE;
        IotlbMessage { iova, size, user_address, permissions, kind, padding: [0; 6] }
    }

    fn iovas(iotlb: &Iotlb) -> Vec<u64> {
        iotlb.entries().map(|entry| entry.iova).collect()
    }

    #[test]
    fn the_oldest_entry_makes_room() {
        let (table, mut iotlb) = (table(), Iotlb::new(2));
        for iova in [0x3000, 0x1000, 0x2000] {
            iotlb.update(&update(iova, 0x1000, USER, 3), Space::User, &table).unwrap();
        }
        assert_eq!(iovas(&iotlb), [0x1000, 0x2000]);
    }

    #[test]
    fn an_update_takes_out_what_it_touches_and_leaves_its_neighbours() {
        let (table, mut iotlb) = (table(), Iotlb::new(8));
        for iova in [0, 0x1000, 0x2000, 0x3000] {
            iotlb.update(&update(iova, 0x1000, USER, 3), Space::User, &table).unwrap();
        }
        iotlb.update(&update(0x1800, 0x1000, USER, 1), Space::User, &table).unwrap();
        assert_eq!(iovas(&iotlb), [0, 0x1800, 0x3000]);
        iotlb.invalidate(0x2fff, 1).unwrap();
        assert_eq!(iovas(&iotlb), [0, 0x1800, 0x3000]);
        iotlb.invalidate(0x27ff, 1).unwrap();
        assert_eq!(iovas(&iotlb), [0, 0x3000]);
        iotlb.invalidate(0, u64::MAX).unwrap();
        assert!(iovas(&iotlb).is_empty());
    }

    #[test]
    fn a_range_goes_over_entries_and_regions() {
        let (table, mut iotlb) = (table(), Iotlb::new(8));
        iotlb.update(&update(0x1000, 0x1000, 0x3800, 3), Space::Guest, &table).unwrap();
        iotlb.update(&update(0x2000, 0x1000, 0, 1), Space::Guest, &table).unwrap();
        let pieces: Vec<_> =
            iotlb.translate(&table, 0x1400, 0x1400, Access::Read).unwrap().collect();
        assert_eq!(
            pieces,
            [
                Location { slot: 0, offset: 0x3c00, len: 0x400 },
                Location { slot: 1, offset: 0, len: 0x800 },
                Location { slot: 0, offset: 0, len: 0x800 },
            ]
        );
        let miss = Miss { iova: 0x2000, permissions: 2 };
        assert_eq!(iotlb.translate(&table, 0x1400, 0x1400, Access::Write).err(), Some(miss));
    }

    #[test]
    fn memory_that_left_the_table_is_a_miss() {
        let (mut table, mut iotlb) = (table(), Iotlb::new(8));
        iotlb.update(&update(0x1000, 0x1000, USER, 3), Space::User, &table).unwrap();
        table.clear();
        let miss = Miss { iova: 0x1800, permissions: 1 };
        assert_eq!(iotlb.translate(&table, 0x1800, 1, Access::Read).err(), Some(miss));
        assert_eq!(iotlb.translate(&table, 0x1800, 0, Access::Read).err(), Some(miss));
    }

    #[test]
    fn a_refused_message_changes_nothing() {
        let (table, mut iotlb) = (table(), Iotlb::new(8));
        iotlb.update(&update(0x1000, 0x1000, USER, 3), Space::User, &table).unwrap();
        let before = iotlb.generation();
        for refused in [
            IotlbMessage { kind: IotlbMessage::MISS, ..update(0x1000, 1, USER, 3) },
            update(0x1000, 1, USER, 4),
            update(0x1000, 0, USER, 3),
            update(u64::MAX, 1, USER, 3),
            update(0x1000, 0x1000, u64::MAX - 1, 3),
            update(0x1000, 0x4001, USER, 3),
            IotlbMessage { kind: IotlbMessage::INVALIDATE, ..update(0x1000, 0, 0, 0) },
        ] {
            assert!(iotlb.message(&refused, Space::User, &table).is_err(), "{refused:?}");
        }
        assert_eq!((iovas(&iotlb), iotlb.generation()), (vec![0x1000], before));
    }
}
