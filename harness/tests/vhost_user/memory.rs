//! The rules of memory (spec §6.4, §6.12): regions, addresses, translations and mappings, each
//! with the exact error.

use arrayvec::ArrayVec;
use vhost_fuzz_core::memory::{
    Access, AddressKind, Backing, Entry, Iotlb, IotlbError, Location, MapError, MapRange,
    MemoryError, MemoryTable, Miss, Slot, Space, map, resolve,
};
use vhost_fuzz_core::vhost_user::payload::{Iotlb as IotlbMessage, Region, XenMmap};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::corpus::seeds;
use vhost_fuzz_harness::evidence::{self, shows};
use vhost_fuzz_harness::ledger::Ledger;
use vhost_fuzz_harness::memory::Core;
use vhost_fuzz_harness::target::mem_table;

pub(super) const SIZE: u64 = 0x1_0000;
pub(super) const USER: u64 = 0x7f00_0000_0000;

/// Regions that touch in guest addresses and have a gap of a page between user addresses.
pub(super) fn region(index: u64) -> Region {
    Region {
        guest_address: index * SIZE,
        size: SIZE,
        user_address: USER + index * (SIZE + 0x1000),
        mmap_offset: index * 0x10_0000,
        xen: None,
    }
}

fn table_of(regions: &[Region]) -> MemoryTable<()> {
    let mut table = MemoryTable::new(8);
    for region in regions {
        table.add(*region, ()).expect("a good region");
    }
    table
}

pub(super) fn table() -> MemoryTable<()> {
    table_of(&[region(0), region(1)])
}

#[test]
fn an_empty_region_and_each_wrap_is_refused() {
    let check = MemoryTable::<()>::check_region;
    let size = SIZE;
    assert_refused!(
        check(&Region { size: 0, ..region(1) }),
        MemoryError::EmptyRegion { guest_address: SIZE }
    );
    // An end of exactly 2^64 counts as a wrap (DC-020).
    let start = u64::MAX - SIZE + 1;
    for start in [start, start + 1, u64::MAX] {
        assert_refused!(
            check(&Region { guest_address: start, ..region(1) }),
            MemoryError::GuestAddressWraps { guest_address: start, size }
        );
        assert_refused!(
            check(&Region { user_address: start, ..region(1) }),
            MemoryError::UserAddressWraps { user_address: start, size }
        );
        assert_refused!(
            check(&Region { mmap_offset: start, ..region(1) }),
            MemoryError::MmapOffsetWraps { mmap_offset: start, size }
        );
    }
}

#[test]
fn a_region_may_end_one_byte_before_two_to_the_64() {
    let _shows = shows(&["DC-020"]);
    let start = u64::MAX - SIZE;
    let last =
        Region { guest_address: start, user_address: start, mmap_offset: start, ..region(0) };
    assert_eq!(MemoryTable::<()>::check_region(&last), Ok(()));
    let beyond = Region { guest_address: start + 1, ..last };
    assert!(MemoryTable::<()>::check_region(&beyond).is_err());
    let table = table_of(&[last]);
    assert!(table.locate(Space::Guest, u64::MAX - 1, 1).is_ok());
    assert!(table.locate(Space::Guest, u64::MAX - 1, 2).is_err());
}

#[test]
fn an_overlap_is_refused_in_a_table_and_with_active_regions() {
    let guest = Region { guest_address: 2 * SIZE - 1, ..region(2) };
    let guest_overlap =
        MemoryError::GuestOverlap { guest_address: guest.guest_address, other: SIZE };
    let user = Region { user_address: region(1).user_address + SIZE - 1, ..region(2) };
    let user_overlap =
        MemoryError::UserOverlap { user_address: user.user_address, other: region(1).user_address };
    for (bad, error) in [(guest, guest_overlap), (user, user_overlap)] {
        assert_refused!(table().check_table(&[region(0), region(1), bad]), error);
        assert_refused!(table().check_add(&bad), error);
        assert_refused!(table().add(bad, ()).map_err(|(error, ())| error), error);
        let slots = [region(0), region(1), bad].map(|region| Slot { region, backing: () });
        assert_refused!(table().replace(&mut slots.into_iter().collect()), error);
    }
    let twice = MemoryError::GuestOverlap { guest_address: SIZE, other: SIZE };
    assert_refused!(table().check_table(&[region(1), region(1)]), twice);
    // A new table may have the regions of the old one (VU-260).
    assert_eq!(table().check_table(&[region(1), region(0)]), Ok(()));
}

#[test]
fn more_regions_than_slots_are_refused() {
    let mut table = MemoryTable::new(2);
    let too_many = MemoryError::TooManyRegions { count: 3, limit: 2 };
    assert_refused!(table.check_table(&[0, 1, 2].map(region)), too_many);
    for index in 0..2 {
        table.add(region(index), index).expect("a free slot");
    }
    assert_refused!(table.check_add(&region(2)), too_many);
    assert_eq!(table.add(region(2), 2), Err((too_many, 2)));
    assert_eq!(table.slots().len(), 2);
}

#[test]
fn an_added_region_is_there_beside_the_others() {
    let _shows = shows(&["VU-137"]);
    let mut table = table();
    let before = table.generation();
    table.add(region(2), ()).expect("a free slot");
    assert_ne!(table.generation(), before);
    for index in 0..3 {
        let slot = usize::try_from(index).expect("small");
        let found = table.locate(Space::Guest, index * SIZE + 5, 1);
        assert_eq!(found, Ok(Location { slot, offset: 5, len: 1 }));
    }
}

#[test]
fn a_region_is_removed_by_addresses_and_size_alone() {
    let _shows = shows(&["VU-138", "VU-139"]);
    let mut table = MemoryTable::new(8);
    for index in 0..2 {
        table.add(region(index), index).expect("a free slot");
    }
    let removed = table.remove(&Region { mmap_offset: 0x1234_5678, ..region(0) });
    assert_eq!(removed, Ok(Some(Slot { region: region(0), backing: 0 })));
    let [left] = table.slots() else { panic!("one region is left") };
    assert_eq!(left.backing, 1);
}

#[test]
fn a_region_that_is_not_there_cannot_be_removed() {
    let mut table = table();
    for unknown in [
        Region { guest_address: SIZE + 0x1000, ..region(1) },
        Region { user_address: USER, ..region(1) },
        Region { size: SIZE - 1, ..region(1) },
        Region { size: 0, ..region(2) },
        Region { guest_address: u64::MAX - SIZE + 1, ..region(2) },
        Region { user_address: u64::MAX - SIZE + 1, ..region(2) },
    ] {
        let Region { guest_address, user_address, size, .. } = unknown;
        let error = MemoryError::UnknownRegion { guest_address, user_address, size };
        assert_refused!(table.remove(&unknown), error);
    }
    assert_eq!(table.slots().len(), 2);
}

#[test]
fn nothing_is_removed_of_a_region_that_is_gone() {
    let _shows = shows(&["DC-162"]);
    let mut table = table();
    assert!(table.remove(&region(1)).is_ok_and(|removed| removed.is_some()));
    let before = table.generation();
    for gone in [region(1), region(2), Region { mmap_offset: u64::MAX, ..region(2) }] {
        assert_eq!((table.check_remove(&gone), table.remove(&gone)), (Ok(None), Ok(None)));
    }
    assert_eq!((table.slots().len(), table.generation()), (1, before));
}

#[test]
fn a_region_that_is_there_takes_the_place_of_itself() {
    let _shows = shows(&["DC-161"]);
    // As many slots as regions: it needs none.
    let mut table = MemoryTable::new(2);
    for index in 0..2 {
        table.add(region(index), index).expect("a free slot");
    }
    let before = table.generation();
    let moved = Region { mmap_offset: 0x7000, ..region(0) };
    let replaced = table.add(moved, 7);
    assert_eq!(replaced, Ok(Some(Slot { region: region(0), backing: 0 })));
    assert_ne!(table.generation(), before, "who kept a place of it looks again");
    let slots = [Slot { region: moved, backing: 7 }, Slot { region: region(1), backing: 1 }];
    assert_eq!(table.slots(), slots);
    let mmap_offset = u64::MAX;
    let error = MemoryError::MmapOffsetWraps { mmap_offset, size: SIZE };
    let wrapping = Region { mmap_offset, ..region(0) };
    assert_refused!(table.check_add(&wrapping), error);
    assert_eq!((table.add(wrapping, 8), table.slots()), (Err((error, 8)), &slots[..]));
}

#[test]
fn a_table_replaces_all_regions_and_later_changes_build_on_it() {
    let _shows = shows(&["VU-260"]);
    let ledger = Ledger::default();
    let mut table = MemoryTable::new(12);
    for index in 0..10 {
        table.add(region(index), ledger.open()).expect("a free slot");
    }
    let mut new: ArrayVec<_, 8> = ArrayVec::new();
    new.push(Slot { region: region(20), backing: ledger.open() });
    table.replace(&mut new).expect("a good table");
    // The first eight came back, and the two that do not fit were dropped.
    assert_eq!(
        new.iter().map(|slot| slot.backing.number()).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6, 7]
    );
    assert_eq!(ledger.open_count(), 9);
    drop(new);
    assert_eq!(table.slots().iter().map(|slot| slot.region).collect::<Vec<_>>(), [region(20)]);
    table.add(region(0), ledger.open()).expect("a free slot");
    table.remove(&region(20)).expect("a good region").expect("it is there");
    assert_eq!(table.slots().iter().map(|slot| slot.region).collect::<Vec<_>>(), [region(0)]);
    table.clear();
    ledger.settle();
}

#[test]
fn a_region_that_must_not_be_mapped_keeps_its_descriptor() {
    let _shows = shows(&["VU-127"]);
    let ledger = Ledger::default();
    let on_demand = |flags| Region { xen: Some(XenMmap { flags, domid: 1 }), ..region(0) };
    for (flags, is_mapped) in [(0, true), (1, true), (0xff, true), (0x100, false), (0x102, false)] {
        let region = on_demand(flags);
        let mut maps = 0;
        let backing = Backing::of(&region, ledger.open(), |fd| {
            maps += 1;
            Ok::<_, ()>(fd)
        });
        let backing = backing.expect("mapping succeeds");
        assert_eq!((maps, map::is_on_demand(&region)), (u32::from(is_mapped), !is_mapped));
        assert_eq!(matches!(backing, Backing::Mapped(_)), is_mapped);
        // Its pieces are found, and each can be mapped by itself.
        let mut table = MemoryTable::new(1);
        table.add(region, backing).expect("a free slot");
        let piece = table.locate(Space::Guest, 0x2ff8, 16).expect("it is inside");
        assert_eq!(piece, Location { slot: 0, offset: 0x2ff8, len: 16 });
        assert_eq!(
            MapRange::of_piece(&region, piece.offset, piece.len, 0x1000),
            Ok(MapRange { file_offset: 0x2000, len: 0x2000, skip: 0xff8 })
        );
    }
    ledger.settle();
    let outside = MapError::OutsideRegion { offset: SIZE, len: 1, size: SIZE };
    assert_refused!(MapRange::of_piece(&on_demand(0x100), SIZE, 1, 0x1000), outside);
}

#[test]
fn an_address_is_found_in_the_region_that_holds_it() {
    let _shows = shows(&["VU-144", "VU-145"]);
    let table = table();
    let Region { user_address, .. } = region(1);
    for (offset, len) in [(0, 1), (0, SIZE), (SIZE - 1, 1), (SIZE - 1, 0), (0x123, 0x456)] {
        let found = Ok(Location { slot: 1, offset, len });
        assert_eq!(table.locate(Space::User, user_address + offset, len), found);
        assert_eq!(table.locate(Space::Guest, SIZE + offset, len), found);
    }
}

#[test]
fn an_address_outside_is_refused() {
    let table = table();
    let end = region(1).user_address + SIZE;
    for (address, len, missing) in [
        (end, 0, end),
        (end - 1, 2, end),
        (0, 0, 0),
        (USER - 1, 2, USER - 1),
        (USER + SIZE - 1, 2, USER + SIZE),
        (USER, u64::MAX, USER + SIZE),
        (u64::MAX, u64::MAX, u64::MAX),
    ] {
        let unmapped = MemoryError::UserUnmapped { address: missing };
        assert_refused!(table.locate(Space::User, address, len), unmapped, "{address:#x}");
        assert_refused!(table.pieces(Space::User, address, len), unmapped, "{address:#x}");
    }
    let unmapped = MemoryError::GuestUnmapped { address: 2 * SIZE };
    assert_refused!(table.locate(Space::Guest, 2 * SIZE - 1, 2), unmapped);
    assert_refused!(table.pieces(Space::Guest, 0, 2 * SIZE + 1), unmapped);
    assert_refused!(table.pieces(Space::Guest, 2 * SIZE, 0), unmapped);
}

#[test]
fn a_range_goes_over_a_border_in_pieces() {
    let table = table();
    let pieces = table.pieces(Space::Guest, SIZE - 4, 8).expect("the regions touch");
    assert_eq!(
        pieces.collect::<Vec<_>>(),
        [Location { slot: 0, offset: SIZE - 4, len: 4 }, Location { slot: 1, offset: 0, len: 4 }]
    );
    let crosses = MemoryError::CrossesRegions { address: SIZE - 4, len: 8, inside: 4 };
    assert_refused!(table.locate(Space::Guest, SIZE - 4, 8), crosses);
}

fn message(kind: u8, iova: u64, size: u64, user_address: u64, permissions: u8) -> IotlbMessage {
    IotlbMessage { iova, size, user_address, permissions, kind, padding: [0; 6] }
}

fn update(iova: u64, size: u64, user_address: u64, permissions: u8) -> IotlbMessage {
    message(IotlbMessage::UPDATE, iova, size, user_address, permissions)
}

#[test]
fn with_an_iommu_addresses_go_through_the_iotlb_only() {
    let _shows = shows(&["VU-146"]);
    let (table, mut iotlb) = (table(), Iotlb::new(4));
    let features = 1 << 33;
    let kind = AddressKind::of_buffers(features);
    assert_eq!((kind, AddressKind::of_rings(features, 1 << 21)), (AddressKind::Iova, kind));
    let find = |iotlb: &Iotlb, address| {
        resolve(&table, Some(iotlb), kind, address, 4, Access::Read)
            .map(|pieces| pieces.collect::<Vec<_>>())
    };
    // Guest address 0 is in a region, but is not looked at.
    let miss = |iova| Miss { iova, permissions: 1 };
    assert_refused!(find(&iotlb, 0), miss(0).into());
    let entry = update(0, 0x1000, region(1).user_address + 0x2000, 1);
    iotlb.message(&entry, Space::User, &table).expect("a good update");
    assert_eq!(find(&iotlb, 0), Ok(vec![Location { slot: 1, offset: 0x2000, len: 4 }]));
    assert_refused!(find(&iotlb, 0xffd), miss(0x1000).into());
    let without = resolve(&table, None, kind, 0, 4, Access::Read);
    assert_refused!(without, miss(0).into());
}

#[test]
fn a_miss_asks_for_the_address_and_the_permissions() {
    let _shows = shows(&["VU-212"]);
    let (table, iotlb) = (table(), Iotlb::new(4));
    for (access, permissions) in [(Access::Read, 1), (Access::Write, 2), (Access::ReadWrite, 3)] {
        let miss = iotlb.translate(&table, 0x1234, 1, access).expect_err("nothing is there");
        assert_eq!(miss.message(), message(1, 0x1234, 0, 0, permissions));
    }
}

#[test]
fn an_update_outside_memory_is_refused() {
    let (table, mut iotlb) = (table(), Iotlb::new(4));
    let mut apply = |update: IotlbMessage| iotlb.message(&update, Space::User, &table);
    let outside = |address| IotlbError::OutsideMemory { address };
    assert_refused!(apply(update(0, 1, 0, 3)), outside(0));
    assert_refused!(apply(update(0, 0x2001, USER + SIZE - 0x2000, 3)), outside(USER + SIZE));
    let user_address = u64::MAX - 0xfff;
    let wraps = IotlbError::UserAddressWraps { user_address, size: 0x1000 };
    assert_refused!(apply(update(0, 0x1000, user_address, 3)), wraps);
    assert_eq!(iotlb.entries().len(), 0);
}

#[test]
fn an_unknown_type_or_permission_is_refused() {
    let (table, mut iotlb) = (table(), Iotlb::new(4));
    let mut apply = |message: IotlbMessage| iotlb.message(&message, Space::User, &table);
    for kind in [0, IotlbMessage::MISS, IotlbMessage::ACCESS_FAIL, 5, 9, 255] {
        assert_refused!(apply(message(kind, 0, 1, USER, 3)), IotlbError::Kind { kind });
    }
    for permissions in [4, 7, 255] {
        let unknown = IotlbError::Permissions { permissions };
        assert_refused!(apply(update(0, 1, USER, permissions)), unknown);
    }
    for permissions in 0..=3 {
        assert_eq!(apply(update(0, 1, USER, permissions)), Ok(()));
    }
    // An invalidation has neither (VU-211).
    assert_eq!(apply(message(IotlbMessage::INVALIDATE, 0, 1, 0, 255)), Ok(()));
}

#[test]
fn an_empty_or_wrapping_range_of_the_iotlb_is_refused() {
    let (table, mut iotlb) = (table(), Iotlb::new(4));
    for kind in [IotlbMessage::UPDATE, IotlbMessage::INVALIDATE] {
        let mut apply =
            |iova, size| iotlb.message(&message(kind, iova, size, USER, 3), Space::User, &table);
        assert_refused!(apply(0x1000, 0), IotlbError::Empty { iova: 0x1000 });
        for (iova, size) in [(u64::MAX, 1), (u64::MAX - 0xfff, 0x1000), (0x1000, u64::MAX)] {
            assert_refused!(apply(iova, size), IotlbError::IovaWraps { iova, size });
        }
    }
}

#[test]
fn what_an_update_or_an_invalidation_touches_is_gone() {
    let _shows = shows(&["DC-021"]);
    let (table, mut iotlb) = (table(), Iotlb::new(8));
    let mut apply = |message: IotlbMessage| iotlb.message(&message, Space::User, &table).is_ok();
    for page in 0..4 {
        assert!(apply(update(page * 0x1000, 0x1000, USER, 3)));
    }
    assert!(apply(update(0xfff, 2, USER + 0x5000, 1)));
    assert!(apply(message(IotlbMessage::INVALIDATE, 0x3fff, 1, 0, 0)));
    let left: Vec<_> = iotlb.entries().map(|entry| (entry.iova, entry.size)).collect();
    assert_eq!(left, [(0xfff, 2), (0x2000, 0x1000)]);
}

#[test]
fn memory_that_went_away_under_a_translation_is_a_miss() {
    let _shows = shows(&["DC-027"]);
    let (mut table, mut iotlb) = (table(), Iotlb::new(4));
    iotlb.message(&update(0, 0x1000, USER, 3), Space::User, &table).expect("a good update");
    table.remove(&region(0)).expect("a good region").expect("it is there");
    let miss = Miss { iova: 0, permissions: 1 };
    assert_refused!(iotlb.translate(&table, 0, 1, Access::Read), miss);
    // Permissions that do not suffice are the same.
    table.add(region(0), ()).expect("a free slot");
    iotlb.message(&update(0, 0x1000, USER, 1), Space::User, &table).expect("a good update");
    let miss = Miss { iova: 0, permissions: 3 };
    assert_refused!(iotlb.translate(&table, 0, 1, Access::ReadWrite), miss);
}

#[test]
fn with_gpa_addresses_an_update_carries_guest_addresses() {
    let _shows = shows(&["VU-265"]);
    let (table, mut iotlb) = (table(), Iotlb::new(4));
    assert_eq!((Space::of_iotlb(0), Space::of_iotlb(1 << 21)), (Space::User, Space::Guest));
    let guest = update(0x5000, 0x1000, SIZE, 3);
    iotlb.message(&guest, Space::Guest, &table).expect("a guest address");
    let entry =
        Entry { iova: 0x5000, size: 0x1000, address: SIZE, space: Space::Guest, permissions: 3 };
    assert_eq!(iotlb.entries().collect::<Vec<_>>(), [&entry]);
    let found = iotlb.translate(&table, 0x5010, 1, Access::Write).map(|mut pieces| pieces.next());
    assert_eq!(found, Ok(Some(Location { slot: 1, offset: 0x10, len: 1 })));
    // The same number is no user address.
    let outside = IotlbError::OutsideMemory { address: SIZE };
    assert_refused!(iotlb.message(&guest, Space::User, &table), outside);
}

#[test]
fn a_huge_page_file_is_mapped_by_whole_pages() {
    let _shows = shows(&["VU-259"]);
    let huge = 2 << 20;
    for (mmap_offset, size, file_offset, len, skip) in [
        (0, huge, 0, huge, 0),
        (0x1000, huge, 0, 2 * huge, 0x1000),
        (0x1000, 0x1000, 0, huge, 0x1000),
        (3 * huge + 0x5678, huge - 0x5678, 3 * huge, huge, 0x5678),
        (huge - 1, 2, 0, 2 * huge, huge - 1),
    ] {
        let region = Region { mmap_offset, size, ..region(0) };
        assert_eq!(MapRange::of(&region, huge), Ok(MapRange { file_offset, len, skip }));
    }
    for page_size in [0, 3, huge - 1] {
        assert_refused!(MapRange::of(&region(0), page_size), MapError::PageSize { page_size });
    }
}

#[test]
fn a_region_that_no_file_holds_is_refused() {
    let last = i64::MAX.unsigned_abs();
    let at = |mmap_offset, size| Region { mmap_offset, size, ..region(0) };
    for (start, len) in [(last, 1), (0, last), (last - 0xfff, 0x1000), (0, u64::MAX)] {
        assert_refused!(MapRange::of(&at(start, len), 0x1000), MapError::TooFar { start, len });
    }
    assert!(MapRange::of(&at(0, last - 0xfff), 0x1000).is_ok());
    let short = MapError::FileTooShort { need: 0x3000, have: 0x2fff };
    assert_refused!(map::check_file(&at(0x1000, 0x2000), 0x2fff), short);
    assert_eq!(map::check_file(&at(0x1000, 0x2000), 0x3000), Ok(()));
    // 2^60 bytes: it can be described, but the file is not there (HZ-58b).
    let short = MapError::FileTooShort { need: 1 << 60, have: 1 << 30 };
    assert_refused!(map::check_file(&at(0, 1 << 60), 1 << 30), short);
}

#[test]
fn mem_table_seeds_come_out_as_their_manifest_says() {
    for seed in seeds("mem_table").expect("a corpus") {
        let outcome = mem_table::check::<Core>(&seed.bytes);
        let got = outcome.broken.map_or("accept".to_owned(), |id| id.to_string());
        assert_eq!(got, seed.entry.expect, "{}", seed.name);
        if outcome.broken.is_some() {
            evidence::refused(&got);
        }
    }
}

/// A length of 0 satisfies every comparison of lengths; the address still has to lead somewhere.
#[test]
fn an_empty_range_needs_an_address_in_memory() {
    let (table, mut iotlb) = (table(), Iotlb::new(4));
    let entry = update(0x8000, 0x1000, USER, 1);
    iotlb.message(&entry, Space::User, &table).expect("a good update");
    let count = |kind, address| {
        resolve(&table, Some(&iotlb), kind, address, 0, Access::Read).map(Iterator::count)
    };
    let (user, guest, iova) = (AddressKind::User, AddressKind::Guest, AddressKind::Iova);
    for (kind, address) in [(user, USER), (guest, 2 * SIZE - 1), (iova, 0x8fff)] {
        assert_eq!(count(kind, address), Ok(0), "{address:#x}");
    }
    for address in [0, USER - 1, USER + SIZE, u64::MAX] {
        assert_refused!(count(user, address), MemoryError::UserUnmapped { address }.into());
    }
    for address in [2 * SIZE, USER, u64::MAX] {
        assert_refused!(count(guest, address), MemoryError::GuestUnmapped { address }.into());
    }
    for address in [0, 0x7fff, 0x9000, u64::MAX] {
        let miss = Miss { iova: address, permissions: 1 };
        assert_refused!(count(iova, address), miss.into());
    }
    // Nor does it need less permission.
    let written = resolve(&table, Some(&iotlb), iova, 0x8000, 0, Access::Write);
    assert_refused!(written, Miss { iova: 0x8000, permissions: 2 }.into());
}
