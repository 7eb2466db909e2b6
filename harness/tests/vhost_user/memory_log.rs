//! The rules of dirty logs and of ring addresses (spec §6.5, §6.8), each with the exact error.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU8, Ordering};

use vhost_fuzz_core::memory::{
    Access, AddressKind, DirtyLog, Iotlb, LogError, LogMemory, MemoryTable, Part, PlaceError,
    RingParts, RingSize, RingSizeError, Space, ring,
};
use vhost_fuzz_core::vhost_user::payload::{Iotlb as IotlbMessage, LogBase, VringAddr};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::memory::{SIZE, USER, region, table};

fn update(iova: u64, size: u64, user_address: u64, permissions: u8) -> IotlbMessage {
    let kind = IotlbMessage::UPDATE;
    IotlbMessage { iova, size, user_address, permissions, kind, padding: [0; 6] }
}

/// A log in memory that panics beyond its end.
struct Log(RefCell<Vec<u8>>);

impl LogMemory for Log {
    fn or(&self, offset: u64, bits: u8) {
        let mut bytes = self.0.borrow_mut();
        let byte = usize::try_from(offset).ok().and_then(|offset| bytes.get_mut(offset));
        *byte.unwrap_or_else(|| panic!("byte {offset:#x} is not in the log")) |= bits;
    }
}

fn log_of(size: u64) -> (DirtyLog, Log) {
    let log = DirtyLog::check(&LogBase { size, offset: 0x1000 }).expect("a good log");
    (log, Log(RefCell::new(vec![0; usize::try_from(size).expect("small")])))
}

fn marked(size: u64, address: u64, len: u64) -> Vec<u8> {
    let (log, memory) = log_of(size);
    log.mark(address, len, &memory);
    memory.0.into_inner()
}

#[test]
fn a_page_is_a_bit_of_a_byte() {
    let _shows = shows(&["VU-149"]);
    for page in 0..16 {
        let mut expected = [0; 2];
        expected[page / 8] = 1 << (page % 8);
        let address = page as u64 * 4096;
        assert_eq!(marked(2, address, 1), expected);
        assert_eq!(marked(2, address + 4095, 1), expected);
        assert_eq!(marked(2, address, 4096), expected);
    }
    assert_eq!(marked(2, 4095, 2), [0b11, 0]);
    assert_eq!(marked(2, 7 * 4096 + 4095, 4098), [0x80, 0b11]);
}

#[test]
fn a_write_through_descriptors_is_logged_by_guest_address() {
    let _shows = shows(&["VU-147"]);
    let (table, mut iotlb) = (table(), Iotlb::new(4));
    let (log, memory) = log_of(4);
    // Two pages at the start of the second region: guest pages 16 and 17.
    let user = region(1).user_address;
    iotlb.message(&update(0x7000, 0x3000, user, 2), Space::User, &table).expect("a good update");
    let pieces = iotlb.translate(&table, 0x7fff, 2, Access::Write).expect("it is translated");
    log.mark_pieces(pieces, &memory);
    // A write over the border of the regions: guest pages 15 and 16.
    let pieces = table.pieces(Space::Guest, SIZE - 1, 2).expect("the regions touch");
    log.mark_pieces(pieces, &memory);
    assert_eq!(memory.0.into_inner(), [0, 0x80, 0b11, 0]);
}

#[test]
fn a_write_to_the_used_ring_is_logged_at_the_log_address() {
    let _shows = shows(&["VU-148"]);
    let (log, memory) = log_of(2);
    log.mark_used(0x3ff0, 2, 2, &memory);
    assert_eq!(*memory.0.borrow(), [1 << 3, 0]);
    log.mark_used(0x3ff0, 12, 8, &memory);
    assert_eq!(*memory.0.borrow(), [0b11 << 3, 0]);
    log.mark_used(u64::MAX - 1, 2, 8, &memory);
    assert_eq!(*memory.0.borrow(), [0b11 << 3, 0]);
}

#[test]
fn threads_lose_no_bit() {
    let _shows = shows(&["VU-150"]);
    const ROUNDS: usize = 2000;
    let log = DirtyLog::check(&LogBase { size: 1, offset: 0 }).expect("a good log");
    let memory: &[AtomicU8] = &[AtomicU8::new(0)];
    let ready = std::sync::Barrier::new(2);
    for _ in 0..ROUNDS {
        memory[0].store(0, Ordering::SeqCst);
        std::thread::scope(|scope| {
            for first in 0..2 {
                let ready = &ready;
                scope.spawn(move || {
                    ready.wait();
                    for page in (first..8).step_by(2) {
                        log.mark(page * 4096, 1, memory);
                    }
                });
            }
        });
        assert_eq!(memory[0].load(Ordering::SeqCst), 0xff);
    }
}

#[test]
fn a_write_beyond_the_log_touches_nothing() {
    let _shows = shows(&["VU-153"]);
    let end = 2 << 15;
    assert_eq!(marked(2, end, 1), [0, 0]);
    assert_eq!(marked(2, u64::MAX, 1), [0, 0]);
    assert_eq!(marked(2, end - 1, u64::MAX), [0, 0x80]);
    assert_eq!(marked(2, 0, u64::MAX), [0xff, 0xff]);
    // `LogMemory` for atomics ignores what is outside by itself, too.
    let memory: &[AtomicU8] = &[AtomicU8::new(0)];
    memory.or(1, 0xff);
    assert_eq!(memory[0].load(Ordering::SeqCst), 0);
}

#[test]
fn a_log_that_is_empty_wraps_or_is_misaligned_is_refused() {
    let check = |size, offset| DirtyLog::check(&LogBase { size, offset });
    assert_refused!(check(0, 0), LogError::Empty);
    for (size, offset) in [(0x1000, u64::MAX - 0xfff), (u64::MAX, 0x1000), (1, u64::MAX)] {
        assert_refused!(check(size, offset), LogError::OffsetWraps { offset, size });
    }
    for offset in [1, 0x800, 0xfff, 0x1001] {
        assert_refused!(check(8, offset), LogError::OffsetMisaligned { offset });
    }
    assert_eq!(check(u64::MAX - 0x1000, 0x1000).map(|log| log.size()), Ok(u64::MAX - 0x1000));
}

fn parts(num: u32, packed: bool, event_idx: bool) -> RingParts {
    let size = RingSize::check(num, packed, RingSize::MAX).expect("a good size");
    RingParts::new(size, packed, event_idx)
}

#[test]
fn a_used_ring_that_ends_after_the_log_is_refused() {
    let (log, _) = log_of(1);
    let ring = |log| VringAddr { log, flags: VringAddr::LOG, ..ring_at(0) };
    // 4 + 8 x 2 bytes, or 2 more with EVENT_IDX; 8 pages are 32 KiB.
    for (event_idx, len) in [(false, 20), (true, 22)] {
        let parts = parts(2, false, event_idx);
        assert_eq!(ring::used_log_inside(&log, &ring(0x8000 - len), &parts), Ok(()));
        for address in [0x8000 - len + 1, 0x8000, u64::MAX] {
            let error = LogError::UsedRing { address, len, size: 1 };
            assert_refused!(ring::used_log_inside(&log, &ring(address), &parts), error);
        }
    }
}

#[test]
fn a_ring_size_out_of_range_is_refused() {
    let check = |num| RingSize::check(num, false, 256);
    assert_refused!(check(0), RingSizeError::Zero);
    for num in [3, 6, 255] {
        assert_refused!(check(num), RingSizeError::NotPowerOfTwo { num });
    }
    for num in [257, 512, 32768] {
        assert_refused!(check(num), RingSizeError::AboveDevice { num, limit: 256 });
    }
    for num in [32769, 65536, 65792, u32::MAX] {
        assert_refused!(check(num), RingSizeError::TooLarge { num });
    }
    assert_refused!(RingSize::check(0, true, 256), RingSizeError::Zero);
    for num in [1, 3, 255, 256] {
        assert_eq!(RingSize::check(num, true, 256).map(|size| u32::from(size.get())), Ok(num));
    }
}

/// A ring at user addresses: descriptors at this offset of the first region, used ring and
/// available ring each half a region later.
fn ring_at(offset: u64) -> VringAddr {
    let descriptor = USER + offset;
    let (used, available) = (USER + SIZE / 2, USER + SIZE / 2 + 0x1000);
    VringAddr { index: 0, flags: 0, descriptor, used, available, log: 0 }
}

#[test]
fn a_ring_part_that_is_misaligned_or_not_in_memory_is_refused() {
    let table = table();
    let parts = parts(4, false, true);
    let place = |ring: &VringAddr| ring::place(&table, None, AddressKind::User, ring, &parts);
    for (part, align) in [(Part::Descriptor, 16), (Part::Used, 4), (Part::Available, 2)] {
        let at = |address: u64| match part {
            Part::Descriptor => VringAddr { descriptor: address, ..ring_at(0) },
            Part::Used => VringAddr { used: address, ..ring_at(0) },
            Part::Available => VringAddr { available: address, ..ring_at(0) },
        };
        let len = parts.size(part);
        let address = USER + align / 2;
        assert_refused!(place(&at(address)), PlaceError::Misaligned { part, address, align });
        let address = u64::MAX - (align - 1);
        assert_refused!(place(&at(address)), PlaceError::Wraps { part, address, len });
        // Not at all, from before, and over the end: the last bytes alone say nothing (MT15).
        for (address, missing) in
            [(SIZE, SIZE), (USER - align, USER - align), (USER + SIZE - align, USER + SIZE)]
        {
            let unmapped = PlaceError::Unmapped { part, address: missing };
            assert_refused!(place(&at(address)), unmapped, "{part:?}");
        }
        let fits = (USER + SIZE - len) / align * align;
        assert!(place(&at(fits)).is_ok(), "{part:?}");
    }
}

#[test]
fn undefined_ring_flags_are_ignored() {
    let _shows = shows(&["DC-029"]);
    let (table, parts) = (table(), parts(4, false, false));
    let plain = ring::place(&table, None, AddressKind::User, &ring_at(0), &parts);
    let flags = VringAddr { flags: !VringAddr::LOG, ..ring_at(0) };
    assert!(plain.is_ok());
    assert_eq!(ring::place(&table, None, AddressKind::User, &flags, &parts), plain);
}

#[test]
fn a_ring_needs_translations_for_what_the_device_does() {
    let _shows = shows(&["DC-028"]);
    let table = table();
    // Descriptors, used and available part on a page each.
    let ring = VringAddr { descriptor: 0, used: 0x1000, available: 0x2000, ..ring_at(0) };
    for (packed, needed) in [(false, [1, 3, 1]), (true, [3, 2, 1])] {
        let parts = parts(4, packed, false);
        let mut iotlb = Iotlb::new(4);
        for ((page, permissions), part) in (0..).zip(needed).zip(Part::ALL) {
            let iova = page * 0x1000;
            let missing = PlaceError::Miss { part, iova, permissions };
            let place =
                |iotlb: &Iotlb| ring::place(&table, Some(iotlb), AddressKind::Iova, &ring, &parts);
            assert_refused!(place(&iotlb), missing);
            for fewer in (0..4).filter(|fewer| fewer & permissions != permissions) {
                let update = update(iova, 0x1000, USER + iova, fewer);
                iotlb.message(&update, Space::User, &table).expect("a good update");
                assert_refused!(place(&iotlb), missing);
            }
            let update = update(iova, 0x1000, USER + iova, permissions);
            iotlb.message(&update, Space::User, &table).expect("a good update");
        }
        assert!(ring::place(&table, Some(&iotlb), AddressKind::Iova, &ring, &parts).is_ok());
    }
}

#[test]
fn a_placement_shows_when_it_has_to_be_made_again() {
    let (mut table, parts) = (table(), parts(4, false, false));
    let place =
        |table: &MemoryTable<()>| ring::place(table, None, AddressKind::User, &ring_at(0), &parts);
    let first = place(&table).expect("it is in memory");
    assert!(first.is_current(&table, None));
    table.remove(&region(0)).expect("a good region").expect("it is there");
    assert!(!first.is_current(&table, None));
    let unmapped = PlaceError::Unmapped { part: Part::Descriptor, address: USER };
    assert_refused!(place(&table), unmapped);
    table.add(region(0), ()).expect("a free slot");
    let again = place(&table).expect("it is in memory again");
    assert_eq!((first.descriptor.first.slot, again.descriptor.first.slot), (0, 1));
}

/// A log that counts what is asked of it.
struct Counted(RefCell<Vec<u64>>);

impl LogMemory for Counted {
    fn or(&self, offset: u64, _bits: u8) {
        self.0.borrow_mut().push(offset);
    }
}

/// A descriptor of no bytes is no write: it takes no place in the log, wherever it points.
#[test]
fn a_write_of_no_bytes_is_not_logged() {
    let _shows = shows(&["VU-147", "VU-148"]);
    let (log, _) = log_of(4);
    let memory = Counted(RefCell::new(Vec::new()));
    let table = table();
    for address in [0, 1, 0xfff, 0x1000, 4 << 15, u64::MAX] {
        log.mark(address, 0, &memory);
        log.mark_used(address, 0, 0, &memory);
        log.mark_used(address, u64::MAX, 0, &memory);
    }
    for address in [0, SIZE - 1, SIZE, 2 * SIZE - 1] {
        let pieces = table.pieces(Space::Guest, address, 0).expect("an address in memory");
        log.mark_pieces(pieces, &memory);
    }
    assert!(memory.0.borrow().is_empty());
    log.mark(SIZE - 1, 1, &memory);
    assert_eq!(*memory.0.borrow(), [1]);
}
