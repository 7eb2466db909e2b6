//! What the memory target tests: the memory side of a back-end.

use arrayvec::ArrayVec;
use vhost_fuzz_core::memory::{
    self, Access, AddressKind, DirtyLog, Iotlb, IotlbError, Location, LogError, LogMemory,
    MapError, MapRange, MemoryError, MemoryTable, PlaceError, Placement, ResolveError, RingParts,
    RingSize, RingSizeError, Space, ring,
};
use vhost_fuzz_core::vhost_user::payload::{Iotlb as IotlbMessage, LogBase, Region, VringAddr};

use crate::ledger::Token;

/// What backs a region: a counted descriptor, or a counted mapping.
pub type Backing = memory::Backing<Token, Token>;

/// A region with what backs it.
pub type Slot = memory::Slot<Backing>;

/// The regions that come out of one message.
pub type Slots = ArrayVec<Slot, 8>;

/// What comes of adding a region: what was in its place, or why not and the backing.
pub type Added = Result<Option<Slot>, (MemoryError, Backing)>;

/// The memory of the core.
#[derive(Debug)]
pub struct Core {
    /// Regions.
    pub table: MemoryTable<Backing>,
    /// Translations.
    pub iotlb: Iotlb,
    /// The log, when there is one.
    pub log: Option<DirtyLog>,
}

/// Memory of a back-end: ours, a broken one, or yours. What it does not define is done by the
/// core.
pub trait Memory {
    /// Memory with room for so many regions and translations.
    fn open(slots: usize, translations: usize) -> Self;

    /// The core's part of it.
    fn core(&self) -> &Core;

    /// The core's part of it.
    fn core_mut(&mut self) -> &mut Core;

    /// As [`memory::Backing::of`]; mapping always succeeds.
    fn back(&self, region: &Region, fd: Token, map: impl FnOnce(Token) -> Token) -> Backing {
        let mapped = Backing::of(region, fd, |fd| Ok::<_, std::convert::Infallible>(map(fd)));
        match mapped {
            Ok(backing) => backing,
        }
    }

    /// As [`MapRange::of`].
    ///
    /// # Errors
    /// As [`MapRange::of`].
    fn map_range(&self, region: &Region, page_size: u64) -> Result<MapRange, MapError> {
        MapRange::of(region, page_size)
    }

    /// As [`MemoryTable::check_table`].
    ///
    /// # Errors
    /// As [`MemoryTable::check_table`].
    fn check_table(&self, regions: &[Region]) -> Result<(), MemoryError> {
        self.core().table.check_table(regions)
    }

    /// As [`MemoryTable::check_add`].
    ///
    /// # Errors
    /// As [`MemoryTable::check_add`].
    fn check_add(&self, region: &Region) -> Result<(), MemoryError> {
        self.core().table.check_add(region)
    }

    /// As [`MemoryTable::replace`].
    ///
    /// # Errors
    /// As [`MemoryTable::replace`].
    fn replace(&mut self, new: &mut Slots) -> Result<(), MemoryError> {
        self.core_mut().table.replace(new)
    }

    /// As [`MemoryTable::add`].
    ///
    /// # Errors
    /// As [`MemoryTable::add`].
    fn add(&mut self, region: Region, backing: Backing) -> Added {
        self.core_mut().table.add(region, backing)
    }

    /// As [`MemoryTable::remove`].
    ///
    /// # Errors
    /// As [`MemoryTable::remove`].
    fn remove(&mut self, region: &Region) -> Result<Option<Slot>, MemoryError> {
        self.core_mut().table.remove(region)
    }

    /// As [`MemoryTable::clear`].
    fn clear(&mut self) {
        self.core_mut().table.clear();
    }

    /// As [`MemoryTable::locate`].
    ///
    /// # Errors
    /// As [`MemoryTable::locate`].
    fn locate(&self, space: Space, address: u64, len: u64) -> Result<Location, MemoryError> {
        self.core().table.locate(space, address, len)
    }

    /// As [`memory::resolve`]; shows each piece.
    ///
    /// # Errors
    /// As [`memory::resolve`].
    fn resolve(
        &self,
        kind: AddressKind,
        address: u64,
        len: u64,
        access: Access,
        see: &mut dyn FnMut(Location),
    ) -> Result<(), ResolveError> {
        let Core { table, iotlb, .. } = self.core();
        let pieces = memory::resolve(table, Some(iotlb), kind, address, len, access)?;
        pieces.for_each(see);
        Ok(())
    }

    /// As [`Iotlb::message`].
    ///
    /// # Errors
    /// As [`Iotlb::message`].
    fn iotlb(&mut self, message: &IotlbMessage, space: Space) -> Result<(), IotlbError> {
        let Core { table, iotlb, .. } = self.core_mut();
        iotlb.message(message, space, table)
    }

    /// As [`DirtyLog::check`].
    ///
    /// # Errors
    /// As [`DirtyLog::check`].
    fn check_log(&self, base: &LogBase) -> Result<DirtyLog, LogError> {
        DirtyLog::check(base)
    }

    /// As [`DirtyLog::mark`].
    fn mark(&self, log: &DirtyLog, address: u64, len: u64, memory: &impl LogMemory) {
        log.mark(address, len, memory);
    }

    /// As [`DirtyLog::mark_pieces`], for a range of addresses.
    ///
    /// # Errors
    /// As [`memory::resolve`].
    fn write(
        &self,
        log: &DirtyLog,
        kind: AddressKind,
        address: u64,
        len: u64,
        memory: &impl LogMemory,
    ) -> Result<(), ResolveError> {
        let Core { table, iotlb, .. } = self.core();
        let pieces = memory::resolve(table, Some(iotlb), kind, address, len, Access::Write)?;
        log.mark_pieces(pieces, memory);
        Ok(())
    }

    /// As [`DirtyLog::mark_used`].
    fn mark_used(
        &self,
        log: &DirtyLog,
        address: u64,
        offset: u64,
        len: u64,
        memory: &impl LogMemory,
    ) {
        log.mark_used(address, offset, len, memory);
    }

    /// As [`RingSize::check`].
    ///
    /// # Errors
    /// As [`RingSize::check`].
    fn ring_size(&self, num: u32, packed: bool, limit: u16) -> Result<RingSize, RingSizeError> {
        RingSize::check(num, packed, limit)
    }

    /// As [`ring::check_addresses`].
    ///
    /// # Errors
    /// As [`ring::check_addresses`].
    fn check_addresses(&self, addresses: &VringAddr, parts: &RingParts) -> Result<(), PlaceError> {
        ring::check_addresses(addresses, parts)
    }

    /// As [`ring::used_log_inside`].
    ///
    /// # Errors
    /// As [`ring::used_log_inside`].
    fn used_log_inside(
        &self,
        log: &DirtyLog,
        addresses: &VringAddr,
        parts: &RingParts,
    ) -> Result<(), LogError> {
        ring::used_log_inside(log, addresses, parts)
    }

    /// As [`ring::place`].
    ///
    /// # Errors
    /// As [`ring::place`].
    fn place(
        &self,
        kind: AddressKind,
        addresses: &VringAddr,
        parts: &RingParts,
    ) -> Result<Placement, PlaceError> {
        let Core { table, iotlb, .. } = self.core();
        ring::place(table, Some(iotlb), kind, addresses, parts)
    }

    /// As [`Placement::is_current`].
    fn is_current(&self, placement: &Placement) -> bool {
        let Core { table, iotlb, .. } = self.core();
        placement.is_current(table, Some(iotlb))
    }
}

impl Memory for Core {
    fn open(slots: usize, translations: usize) -> Self {
        Self { table: MemoryTable::new(slots), iotlb: Iotlb::new(translations), log: None }
    }

    fn core(&self) -> &Core {
        self
    }

    fn core_mut(&mut self) -> &mut Core {
        self
    }
}
