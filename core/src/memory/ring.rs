//! How large the parts of a ring are, and where they lie (spec §6.5).

use core::fmt;

use super::{
    Access, AddressKind, DirtyLog, Iotlb, Location, LogError, MemoryTable, Pieces, PlaceError,
    ResolveError, RingSizeError, pieces::walk, resolve, wraps,
};
use crate::vhost_user::payload::VringAddr;

/// The number of descriptors of a ring, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RingSize(u16);

impl RingSize {
    /// Most descriptors of any ring.
    pub const MAX: u16 = 32768;

    /// Judges the number of a `SET_VRING_NUM` (VU-078).
    ///
    /// # Errors
    /// It is 0, over 32,768, over what the device has, or not a power of two for a split ring.
    pub fn check(num: u32, packed: bool, device_max: u16) -> Result<Self, RingSizeError> {
        let size = u16::try_from(num).ok().filter(|size| *size <= Self::MAX);
        let size = size.ok_or(RingSizeError::TooLarge { num })?;
        if size == 0 {
            Err(RingSizeError::Zero)
        } else if size > device_max {
            Err(RingSizeError::AboveDevice { num, limit: device_max.into() })
        } else if !packed && !size.is_power_of_two() {
            Err(RingSizeError::NotPowerOfTwo { num })
        } else {
            Ok(Self(size))
        }
    }

    /// Descriptors, 1-32,768.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// One of the three parts of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Descriptor table; the descriptor ring of a packed ring.
    Descriptor,
    /// Available ring; the driver's event area of a packed ring.
    Available,
    /// Used ring; the device's event area of a packed ring.
    Used,
}

impl Part {
    /// All of them, in the order in which they are judged: that of P-ADDR.
    pub const ALL: [Self; 3] = [Self::Descriptor, Self::Used, Self::Available];

    /// Where a `SET_VRING_ADDR` puts the part.
    #[must_use]
    pub const fn address(self, addresses: &VringAddr) -> u64 {
        match self {
            Self::Descriptor => addresses.descriptor,
            Self::Available => addresses.available,
            Self::Used => addresses.used,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptor => "descriptor area",
            Self::Available => "driver area",
            Self::Used => "device area",
        })
    }
}

/// Size, alignment and use of the parts of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RingParts {
    num: u16,
    packed: bool,
    event_idx: bool,
}

impl RingParts {
    /// The parts of a ring with these features: `RING_PACKED` and `EVENT_IDX`.
    #[must_use]
    pub const fn new(size: RingSize, packed: bool, event_idx: bool) -> Self {
        Self { num: size.0, packed, event_idx }
    }

    /// Bytes of a part; at most 512 KiB.
    #[must_use]
    pub fn size(&self, part: Part) -> u64 {
        let num = u64::from(self.num);
        let event = if self.event_idx { 2 } else { 0 };
        match part {
            Part::Descriptor => 16 * num,
            Part::Available | Part::Used if self.packed => 4,
            Part::Available => 4 + 2 * num + event,
            Part::Used => 4 + 8 * num + event,
        }
    }

    /// What the address of a part has to be a multiple of.
    #[must_use]
    pub const fn align(&self, part: Part) -> u64 {
        match part {
            Part::Descriptor => 16,
            Part::Available if !self.packed => 2,
            Part::Available | Part::Used => 4,
        }
    }

    /// What a device does with a part (DC-028). It reads the used index of a split ring when it
    /// starts (VU-085), and writes into the descriptors of a packed one.
    #[must_use]
    pub const fn access(&self, part: Part) -> Access {
        match (part, self.packed) {
            (Part::Descriptor, false) | (Part::Available, _) => Access::Read,
            (Part::Used, true) => Access::Write,
            (Part::Descriptor, true) | (Part::Used, false) => Access::ReadWrite,
        }
    }
}

/// Judges addresses by themselves: what a back-end can refuse before memory is there (HZ-74).
///
/// # Errors
/// The first part that is misaligned or does not end below 2^64 (VU-083).
pub fn check_addresses(addresses: &VringAddr, parts: &RingParts) -> Result<(), PlaceError> {
    for part in Part::ALL {
        let (address, len, align) = (part.address(addresses), parts.size(part), parts.align(part));
        if !address.is_multiple_of(align) {
            return Err(PlaceError::Misaligned { part, address, align });
        }
        if wraps(address, len) {
            return Err(PlaceError::Wraps { part, address, len });
        }
    }
    Ok(())
}

/// Where a part lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placed {
    /// The address that the front-end gave.
    pub address: u64,
    /// Bytes.
    pub len: u64,
    /// The first piece. It is the whole part unless a border of regions goes through it.
    pub first: Location,
    /// What the device does with it.
    pub access: Access,
}

/// A ring whose parts are all in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// What the addresses are.
    pub kind: AddressKind,
    /// Descriptor table or ring.
    pub descriptor: Placed,
    /// Available ring or driver event area.
    pub available: Placed,
    /// Used ring or device event area.
    pub used: Placed,
    table: u64,
    iotlb: Option<u64>,
}

impl Placement {
    /// Whether nothing changed since the ring was placed. If something did, the same addresses
    /// are to be placed again before the ring is touched (VU-258, HZ-57).
    #[must_use]
    #[inline]
    pub fn is_current<B>(&self, table: &MemoryTable<B>, iotlb: Option<&Iotlb>) -> bool {
        self.table == table.generation() && self.iotlb == generation(self.kind, iotlb)
    }

    /// One of the parts.
    #[must_use]
    #[inline]
    pub const fn part(&self, part: Part) -> &Placed {
        match part {
            Part::Descriptor => &self.descriptor,
            Part::Available => &self.available,
            Part::Used => &self.used,
        }
    }

    /// The pieces of a part, as they are now.
    ///
    /// # Errors
    /// As [`resolve`].
    #[inline]
    pub fn pieces<'a, B>(
        &self,
        part: Part,
        table: &'a MemoryTable<B>,
        iotlb: Option<&'a Iotlb>,
    ) -> Result<Pieces<'a, B>, ResolveError> {
        let Placed { address, len, access, .. } = *self.part(part);
        resolve(table, iotlb, self.kind, address, len, access)
    }
}

/// The generation that the placement of a ring with such addresses depends on.
#[inline]
fn generation(kind: AddressKind, iotlb: Option<&Iotlb>) -> Option<u64> {
    match kind {
        AddressKind::Iova => iotlb.map(Iotlb::generation),
        AddressKind::Guest | AddressKind::User => None,
    }
}

/// Finds the parts of a ring. Each is aligned and lies completely in memory (VU-083), every byte
/// of it and not only the last (MT15); it may go over the border of adjacent regions (MT14).
///
/// Undefined flags of `addresses` are ignored (DC-029, HZ-77).
///
/// # Errors
/// As [`check_addresses`] for any part; then the first part that is not in memory, or whose
/// translation is not known.
pub fn place<B>(
    table: &MemoryTable<B>,
    iotlb: Option<&Iotlb>,
    kind: AddressKind,
    addresses: &VringAddr,
    parts: &RingParts,
) -> Result<Placement, PlaceError> {
    check_addresses(addresses, parts)?;
    let find = |part: Part| {
        let (address, len, access) =
            (part.address(addresses), parts.size(part), parts.access(part));
        let mut pieces = walk(table, iotlb, kind, address, len, access)
            .map_err(|address| missing(part, kind, address, access))?;
        let first = pieces.next().ok_or(PlaceError::Unmapped { part, address })?;
        Ok(Placed { address, len, first, access })
    };
    let (descriptor, used, available) =
        (find(Part::Descriptor)?, find(Part::Used)?, find(Part::Available)?);
    let (table, iotlb) = (table.generation(), generation(kind, iotlb));
    Ok(Placement { kind, descriptor, available, used, table, iotlb })
}

/// An address of a part leads nowhere.
const fn missing(part: Part, kind: AddressKind, address: u64, access: Access) -> PlaceError {
    match kind {
        AddressKind::Iova => {
            PlaceError::Miss { part, iova: address, permissions: access.permissions() }
        }
        AddressKind::Guest | AddressKind::User => PlaceError::Unmapped { part, address },
    }
}

/// The log has a bit for every byte of the used ring, if the ring is logged (VU-152).
///
/// # Errors
/// The log ends before the used ring does, or the log address of its last byte wraps.
pub fn used_log_inside(
    log: &DirtyLog,
    addresses: &VringAddr,
    parts: &RingParts,
) -> Result<(), LogError> {
    if addresses.flags & VringAddr::LOG == 0 {
        return Ok(());
    }
    let (address, len) = (addresses.log, parts.size(Part::Used));
    match address.checked_add(len.saturating_sub(1)) {
        Some(last) if log.covers(last) => Ok(()),
        _ => Err(LogError::UsedRing { address, len, size: log.size() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vhost_user::payload::{LogBase, Region};

    fn parts(num: u32, packed: bool, event_idx: bool) -> RingParts {
        let size = RingSize::check(num, packed, RingSize::MAX).unwrap();
        RingParts::new(size, packed, event_idx)
    }

    /// Two adjacent regions, [0x1000, 0x3000).
    fn table() -> MemoryTable<()> {
        let mut table = MemoryTable::new(2);
        for start in [0x1000, 0x2000] {
            let region = Region {
                guest_address: start,
                size: 0x1000,
                user_address: start,
                mmap_offset: 0,
                xen: None,
            };
            table.add(region, ()).unwrap();
        }
        table
    }

    fn addresses(descriptor: u64, available: u64, used: u64) -> VringAddr {
        VringAddr { index: 0, flags: 0, descriptor, used, available, log: 0 }
    }

    #[test]
    fn the_sizes_are_those_of_the_table_in_the_spec() {
        let sizes = |parts: RingParts| {
            [Part::Descriptor, Part::Available, Part::Used]
                .map(|part| (parts.size(part), parts.align(part)))
        };
        assert_eq!(sizes(parts(256, false, false)), [(4096, 16), (516, 2), (2052, 4)]);
        assert_eq!(sizes(parts(256, false, true)), [(4096, 16), (518, 2), (2054, 4)]);
        assert_eq!(sizes(parts(3, true, true)), [(48, 16), (4, 4), (4, 4)]);
        assert_eq!(parts(32768, false, true).size(Part::Descriptor), 512 << 10);
    }

    #[test]
    fn a_part_may_go_over_a_border_but_not_over_the_end() {
        let (table, parts) = (table(), parts(16, false, false));
        let placed =
            place(&table, None, AddressKind::User, &addresses(0x1f80, 0x1000, 0x2f7c), &parts);
        let placed = placed.unwrap();
        assert_eq!(placed.descriptor.first, Location { slot: 0, offset: 0xf80, len: 0x80 });
        assert_eq!(placed.pieces(Part::Descriptor, &table, None).unwrap().count(), 2);
        assert_eq!(placed.used.first.len, placed.used.len);
        let outside =
            place(&table, None, AddressKind::User, &addresses(0x1f80, 0x1000, 0x2f80), &parts);
        assert_eq!(outside, Err(PlaceError::Unmapped { part: Part::Used, address: 0x3000 }));
    }

    #[test]
    fn a_placement_ends_with_the_table_it_was_made_for() {
        let (mut table, parts) = (table(), parts(1, false, false));
        let ring = addresses(0x1000, 0x1100, 0x1200);
        let placed = place(&table, None, AddressKind::Guest, &ring, &parts).unwrap();
        assert!(placed.is_current(&table, None));
        table.clear();
        assert!(!placed.is_current(&table, None));
    }

    #[test]
    fn an_unaligned_part_is_refused_before_memory_is_looked_at() {
        let parts = parts(1, false, false);
        let empty = MemoryTable::<()>::new(1);
        for (ring, part, align) in [
            (addresses(8, 0, 0), Part::Descriptor, 16),
            (addresses(0, 1, 0), Part::Available, 2),
            (addresses(0, 0, 2), Part::Used, 4),
        ] {
            let address = part.address(&ring);
            assert_eq!(
                place(&empty, None, AddressKind::User, &ring, &parts),
                Err(PlaceError::Misaligned { part, address, align })
            );
        }
        let ring = addresses(u64::MAX - 15, 0, 0);
        let (part, address, len) = (Part::Descriptor, u64::MAX - 15, 16);
        assert_eq!(check_addresses(&ring, &parts), Err(PlaceError::Wraps { part, address, len }));
    }

    #[test]
    fn the_last_byte_of_a_logged_used_ring_is_in_the_log() {
        let parts = parts(1, false, false);
        let log = DirtyLog::check(&LogBase { size: 1, offset: 0 }).unwrap();
        let ring =
            |log| VringAddr { flags: VringAddr::LOG, log, ..addresses(0x1000, 0x1100, 0x1200) };
        assert_eq!(used_log_inside(&log, &ring(0x8000 - 12), &parts), Ok(()));
        for address in [0x8000 - 11, u64::MAX] {
            let refused = LogError::UsedRing { address, len: 12, size: 1 };
            assert_eq!(used_log_inside(&log, &ring(address), &parts), Err(refused));
        }
        let unlogged = VringAddr { flags: 0, ..ring(u64::MAX) };
        assert_eq!(used_log_inside(&log, &unlogged, &parts), Ok(()));
    }
}
