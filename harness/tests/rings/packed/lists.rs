//! Lists of slots (spec §2.3).

use vhost_fuzz_core::ring::flag::{NEXT, WRITE};
use vhost_fuzz_core::ring::{Broken, Chain, PopError, Ring, Shape};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::{Rig, START, malformed, used};
use crate::ram::Ram;
use crate::rig::{self, BUFFER, END, Fields, NOWHERE, ram};

/// A list of so many slots, each with one byte; the last `writable` of them writable. Every slot
/// has an id of its own.
pub(super) fn list(count: u16, writable: u16) -> Vec<Fields> {
    (0..count)
        .map(|index| {
            let flags = if index + writable < count { 0 } else { WRITE };
            (BUFFER + u64::from(index), 1, flags, 100 + index)
        })
        .collect()
}

#[test]
fn lists_come_in_order_at_every_place_of_the_ring() {
    let _shows = shows(&["VQ-010", "PK-003", "PK-010", "PK-022", "PK-027"]);
    let ram = ram();
    for size in 1..=7 {
        let rig = Rig::new(size);
        for slot in 0..size {
            for wrap in [false, true] {
                // Over the end of the ring, and as long as the whole ring.
                for count in 1..=size {
                    for writable in 0..=count {
                        let found = rig.walk_at(&ram, (slot, wrap), &list(count, writable));
                        let (readable, writable_found) = found.expect("a good list");
                        let all: Vec<_> =
                            (0..count).map(|index| (BUFFER + u64::from(index), 1)).collect();
                        assert_eq!(writable_found.len(), usize::from(writable));
                        assert_eq!([readable, writable_found].concat(), all);
                    }
                }
            }
        }
    }
}

#[test]
fn a_list_may_take_the_whole_ring_of_any_size() {
    let _shows = shows(&["PK-002", "PK-003", "PK-012"]);
    for size in [1, 3, 100, 255, 1000, 32767, 32768] {
        let (ram, mut rig) = (ram(), Rig::new(size));
        rig.setup.limits.table = 1;
        for at in [START, (size - 1, true), (size / 2, false)] {
            let found = rig.walk_at(&ram, at, &list(size, 1)).expect("as long as the ring");
            assert_eq!((found.0.len(), found.1.len()), (usize::from(size) - 1, 1));
        }
    }
}

#[test]
fn a_list_that_is_longer_than_the_ring_breaks_it() {
    for size in [1, 2, 5, 8] {
        let (ram, mut rig) = (ram(), Rig::new(size));
        for is_strict in [true, false] {
            rig.setup.limits.is_strict = is_strict;
            for fault in [false, true] {
                for slot in 0..size {
                    let mut queue = rig.start_at(&ram, (slot, true));
                    for index in 0..size {
                        let address = if fault { NOWHERE } else { BUFFER };
                        rig.offer_slot(&ram, (address, 1, NEXT, index));
                    }
                    let guest = ram.guest();
                    let (mut ring, mut chain) =
                        (queue.bind(&guest).expect("it is there"), rig.chain());
                    ram.touches();
                    // The slots to skip are not known, so a fault in it does not matter.
                    let broken = Broken::ListTooLong { size };
                    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
                    rig::assert_empty(&chain);
                    assert_eq!(ram.touches().len(), 1 + usize::from(size), "each slot once");
                }
            }
        }
    }
}

#[test]
fn more_buffers_than_the_device_has_room_for_are_refused() {
    let _shows = shows(&["PK-011"]);
    let (ram, rig) = (ram(), Rig::new(8));
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &list(5, 2));
    rig.offer(&ram, &list(3, 2));
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    let mut chain = Chain::with_capacity(4);
    let (token, error) = rig::taken(ring.pop(&mut chain));
    let shape = Shape::TooManyElements { limit: 4 };
    assert_refused!(error.map_or(Ok(()), Err), malformed(shape));
    rig::assert_empty(&chain);
    assert_eq!((token.id(), token.slots(), token.writable()), (104, 5, 0));
    ring.put(token, 0).expect("it goes back");
    let token = rig::token(ring.pop(&mut chain));
    assert_eq!((token.id(), token.writable(), chain.readable().len()), (102, 2, 1));
}

#[test]
fn a_readable_buffer_after_a_writable_one_is_refused() {
    let (ram, rig) = (ram(), Rig::new(7));
    // Empty ones count, too.
    for first in [0, 4] {
        for len in [0, 4] {
            let list = [
                (BUFFER, 4, 0, 1),
                (BUFFER + 8, first, WRITE, 2),
                (BUFFER + 16, len, 0, 3),
                (BUFFER + 24, 4, WRITE, 4),
            ];
            let shape = Shape::ReadableAfterWritable { address: BUFFER + 16, len };
            for slot in 0..7 {
                assert_refused!(rig.walk_at(&ram, (slot, false), &list), malformed(shape));
            }
        }
    }
    let list = [(BUFFER, 4, WRITE, 1), (NOWHERE, 4, 0, 2)];
    let shape = Shape::ReadableAfterWritable { address: NOWHERE, len: 4 };
    assert_refused!(rig.walk(&ram, &list), malformed(shape));
}

#[test]
fn a_chain_of_2_to_the_32_bytes_is_accepted_and_one_more_is_not() {
    let _shows = shows(&["PK-041", "VQ-013"]);
    let (mut ram, rig) = (ram(), Rig::new(9));
    ram.add(1 << 32, 1 << 33, 0x1000, 0);
    let (large, max) = (1 << 32, u32::MAX);
    for (first, second) in [(0, 0), (0, WRITE), (WRITE, WRITE)] {
        for (a, b) in [(max, 1), (1, max), (1 << 31, 1 << 31)] {
            let list = [(large, a, first, 1), (large, b, second, 2), (large, 0, second, 3)];
            let (readable, writable) = rig.walk(&ram, &list).expect("exactly 2^32 bytes");
            assert_eq!([readable, writable].concat(), [(large, a), (large, b)]);
            let list = [list[0], list[1], (large, 1, second, 3)];
            let shape = Shape::TooManyBytes { bytes: (1 << 32) + 1 };
            assert_refused!(rig.walk(&ram, &list), malformed(shape));
        }
    }
    // The sum does not wrap at 32 bits.
    let shape = Shape::TooManyBytes { bytes: 9 * u64::from(max) };
    assert_refused!(rig.walk(&ram, &[(large, max, 0, 0); 9]), malformed(shape));
}

#[test]
fn a_buffer_that_ends_beyond_the_last_address_is_refused() {
    let (mut ram, rig) = (ram(), Rig::new(5));
    let last = u64::MAX;
    ram.add(last - 0xfff, 0xfff, 0, 0);
    for (address, len) in [(last, 1), (last, u32::MAX), (last - 1, 2), (last - 0xfff, 0x1000)] {
        for flags in [0, WRITE] {
            let shape = Shape::AddressOverflow { address, len };
            let list = [(BUFFER, 4, flags, 1), (address, len, flags, 2), (BUFFER, 4, flags, 3)];
            assert_refused!(rig.walk(&ram, &list), malformed(shape));
        }
    }
    let found = rig.walk(&ram, &[(last - 0xfff, 0xfff, 0, 0)]);
    assert_eq!(found, Ok((vec![(last - 0xfff, 0xfff)], vec![])));
}

#[test]
fn a_buffer_with_a_byte_outside_of_memory_is_refused() {
    let (mut ram, rig) = (ram(), Rig::new(5));
    ram.add(END + 0x1000, 0x1000, 0x1000, 0);
    for (address, len) in [
        (NOWHERE, 4),
        (0, 1),
        (u64::MAX - 4, 4),
        (END, 1),
        (END - 1, 2),
        (END + 0xfff, 2),
        (END - 0x800, 0x2000),
        (END + 0x1fff, 2),
        (BUFFER, u32::MAX),
    ] {
        for flags in [0, WRITE] {
            let shape = malformed(Shape::OutsideMemory { address, len });
            for at in 0..3 {
                let mut list =
                    [(BUFFER, 4, flags, 1), (BUFFER, 4, flags, 2), (BUFFER, 4, flags, 3)];
                (list[at].0, list[at].1) = (address, len);
                assert_refused!(rig.walk_at(&ram, (3, true), &list), shape);
            }
        }
    }
}

#[test]
fn a_buffer_over_the_border_of_regions_is_accepted() {
    let _shows = shows(&["VQ-027", "PK-041"]);
    let (mut ram, rig) = (ram(), Rig::new(5));
    ram.add(END + 0x1000, 0x1000, 0x1000, 0);
    ram.add(END, 0x1000, 0x1000, 0);
    for (address, len) in
        [(END - 1, 2), (END - 8, 16), (END - 8, 0x1010), (END - 0x1000, 0x3000), (END + 0xfff, 2)]
    {
        let found = rig.walk(&ram, &[(address, len, 0, 1), (address, len, WRITE, 2)]);
        assert_eq!(found, Ok((vec![(address, len)], vec![(address, len)])));
    }
}

#[test]
fn an_empty_buffer_is_a_slot_and_nothing_else() {
    let _shows = shows(&["VQ-029", "PK-041"]);
    let (ram, rig) = (ram(), Rig::new(7));
    for address in [0, NOWHERE, END, u64::MAX] {
        for flags in [0, WRITE] {
            assert_eq!(rig.walk(&ram, &[(address, 0, flags, 9)]), Ok((vec![], vec![])));
        }
        let list = [
            (address, 0, 0, 1),
            (BUFFER, 4, 0, 2),
            (address, 0, 0, 3),
            (address, 0, WRITE, 4),
            (BUFFER + 4, 4, WRITE, 5),
            (address, 0, WRITE, 6),
        ];
        let found = rig.walk(&ram, &list);
        assert_eq!(found, Ok((vec![(BUFFER, 4)], vec![(BUFFER + 4, 4)])));
    }
}

#[test]
fn flags_without_a_meaning_are_ignored() {
    let _shows = shows(&["VQ-030", "PK-041"]);
    let (ram, rig) = (ram(), Rig::new(5));
    for bits in
        [3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14].map(|bit| 1 << bit).into_iter().chain([0x7f78])
    {
        let found = rig.walk(&ram, &[(BUFFER, 4, bits, 1), (BUFFER + 8, 4, WRITE | bits, 2)]);
        assert_eq!(found, Ok((vec![(BUFFER, 4)], vec![(BUFFER + 8, 4)])));
    }
}

#[test]
fn what_is_wrong_first_is_what_is_reported() {
    let (ram, rig) = (ram(), Rig::new(5));
    let list = [
        (BUFFER, 4, WRITE, 1),
        (NOWHERE, 4, WRITE, 2),
        (BUFFER, 4, 0, 3),
        (rig::TABLE, 3, super::flag::INDIRECT, 4),
    ];
    let shape = Shape::OutsideMemory { address: NOWHERE, len: 4 };
    assert_refused!(rig.walk(&ram, &list), malformed(shape));
}

#[test]
fn a_later_slot_that_is_not_available_breaks_a_strict_ring() {
    let _shows = shows(&["PK-014"]);
    let ram = ram();
    let mut rig = Rig::new(5);
    for slot in 0..5 {
        for wrap in [false, true] {
            for bits in [0, super::AVAIL, super::USED, super::AVAIL | super::USED] {
                for index in 1..3 {
                    let at = super::after((slot, wrap), index, 5);
                    if bits == super::available(at.1) {
                        continue;
                    }
                    let offer = |rig: &Rig, ram: &Ram| {
                        let queue = rig.start_at(ram, (slot, wrap));
                        rig.offer(ram, &list(3, 0));
                        let next = if index < 2 { NEXT } else { 0 };
                        rig.put(ram, at.0, (BUFFER + 5, 1, bits | next, 77));
                        queue
                    };
                    rig.setup.limits.is_strict = true;
                    let mut queue = offer(&rig, &ram);
                    let guest = ram.guest();
                    let mut ring = queue.bind(&guest).expect("it is there");
                    let flags = bits | if index < 2 { NEXT } else { 0 };
                    let broken = Broken::SlotUnavailable { slot: at.0, flags };
                    assert_refused!(ring.pop(&mut rig.chain()), PopError::Broken(broken));
                    // Without the strict mode it is taken as it is.
                    rig.setup.limits.is_strict = false;
                    let mut queue = offer(&rig, &ram);
                    let mut ring = queue.bind(&guest).expect("it is there");
                    let token = rig::token(ring.pop(&mut rig.chain()));
                    assert_eq!((token.slots(), token.id() == 77), (3, index == 2));
                }
            }
        }
    }
    assert!(vhost_fuzz_core::ring::Limits::of(rig.setup.size).is_strict, "it is the default");
}

#[test]
fn a_slot_that_changes_after_it_was_read_changes_nothing() {
    let _shows = shows(&["PK-030", "VQ-024", "VQ-060", "PK-041"]);
    let (ram, mut rig) = (ram(), Rig::new(5));
    rig.is_fickle = true;
    let good = [(BUFFER, 4, 0, 1), (BUFFER + 8, 4, WRITE, 2), (BUFFER, 9, WRITE, 3)];
    for slot in 0..5 {
        let found = rig.walk_at(&ram, (slot, true), &good);
        assert_eq!(found, Ok((vec![(BUFFER, 4)], vec![(BUFFER + 8, 4), (BUFFER, 9)])));
    }
    let shape = Shape::OutsideMemory { address: NOWHERE, len: 4 };
    assert_refused!(rig.walk(&ram, &[(NOWHERE, 4, 0, 0), good[0]]), malformed(shape));

    // After it was taken, the driver may write what it likes, and the device over the slots.
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &good);
    rig.offer_plain(&ram, &[9]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let token = rig::token(ring.pop(&mut chain));
    let later = rig::token(ring.pop(&mut rig.chain()));
    for slot in 0..5 {
        rig.put(&ram, slot, (NOWHERE, 1, NEXT, 55));
    }
    ring.put(later, 0).expect("it is taken");
    ring.put(token, 13).expect("it is taken");
    assert_eq!(ring.publish(), Ok(true));
    assert_eq!(rig::buffers(&chain), (vec![(BUFFER, 4)], vec![(BUFFER + 8, 4), (BUFFER, 9)]));
    assert_eq!(rig.slot(&ram, 0), (9, 0, used(true)));
    assert_eq!(rig.slot(&ram, 1), (3, 13, used(true) | WRITE));
}

#[test]
fn each_byte_of_a_list_is_loaded_once() {
    let _shows = shows(&["PK-030"]);
    let (ram, rig) = (ram(), Rig::new(8));
    let mut queue = rig.start_at(&ram, (6, true));
    rig.offer(&ram, &list(8, 3));
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    ram.touches();
    let token = rig::token(ring.pop(&mut chain));
    let mut seen = std::collections::BTreeSet::new();
    for touch in ram.touches() {
        let (at, len) = touch.range().expect("a load");
        assert!((at..at + len).all(|byte| seen.insert(byte)), "{touch:?} once more");
    }
    assert_eq!((seen.len(), token.slots()), (8 * 16, 8));
}

#[test]
fn taking_a_list_allocates_nothing() {
    let _shows = shows(&["PK-041", "VQ-069"]);
    let (ram, rig) = (ram(), Rig::new(100));
    for (list, is_good) in [(list(100, 40), true), (vec![(NOWHERE, 1, 0, 0); 100], false)] {
        let mut queue = rig.start(&ram);
        rig.offer(&ram, &list);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        let mut popped = Ok(None);
        ram.reserve(2000);
        let info = allocation_counter::measure(|| popped = ring.pop(&mut chain));
        assert_eq!((info.count_total, rig::taken(popped).1.is_none()), (0, is_good));
    }
}
