//! Indirect tables in a packed ring (spec §2.3).

use vhost_fuzz_core::ring::flag::{INDIRECT, NEXT, WRITE};
use vhost_fuzz_core::ring::{Limits, Shape};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::{Rig, START, malformed, put_table};
use crate::rig::{BUFFER, END, Fields, NOWHERE, TABLE, ram};

/// Entries with 4 bytes each; the last `writable` of them writable.
fn entries(count: u16, writable: u16) -> Vec<Fields> {
    (0..count)
        .map(|index| {
            let flags = if index + writable < count { 0 } else { WRITE };
            (BUFFER + 4 * u64::from(index), 4, flags, 1000 + index)
        })
        .collect()
}

/// Buffers of 4 bytes.
fn fours(from: u16, to: u16) -> Vec<(u64, u32)> {
    (from..to).map(|index| (BUFFER + 4 * u64::from(index), 4)).collect()
}

#[test]
fn a_table_that_was_not_negotiated_is_refused() {
    let (ram, mut rig) = (ram(), Rig::new(5));
    rig.setup.features.indirect = false;
    let shape = malformed(Shape::IndirectNotNegotiated { address: TABLE });
    // It is the first thing that is wrong with such a descriptor, also in a list.
    for (len, flags) in [(32, 0), (32, WRITE), (0, 0), (17, 0), (u32::MAX, 0)] {
        let slot = (TABLE, len, INDIRECT | flags, 7);
        assert_refused!(rig.walk(&ram, &[slot]), shape);
        assert_refused!(rig.walk(&ram, &[slot, (BUFFER, 4, 0, 8)]), shape);
        assert_refused!(rig.walk(&ram, &[(BUFFER, 4, WRITE, 8), slot]), shape);
        assert!(!ram.is_touched(TABLE..BUFFER));
    }
}

#[test]
fn a_table_in_a_list_is_refused() {
    let (ram, rig) = (ram(), Rig::new(5));
    put_table(&ram, TABLE, &entries(2, 0));
    let shape = malformed(Shape::IndirectInList { address: TABLE });
    for count in 2..=5 {
        // First, in the middle and last; of what else is wrong with it nothing counts.
        for index in 0..count {
            for (len, flags) in [(32, INDIRECT), (0, INDIRECT), (32, INDIRECT | WRITE)] {
                let mut list = vec![(BUFFER, 4, 0, 8); count];
                list[index] = (TABLE, len, flags, 9);
                for at in [START, (4, false), (2, true)] {
                    assert_refused!(rig.walk_at(&ram, at, &list), shape);
                    assert!(!ram.is_touched(TABLE..BUFFER));
                }
            }
        }
    }
}

#[test]
fn all_entries_count_and_of_their_flags_only_write() {
    let _shows = shows(&["PK-018", "PK-019"]);
    let (ram, rig) = (ram(), Rig::new(5));
    for flags in (0..16).map(|bit| 1 << bit).chain([0, 0xffff, NEXT | INDIRECT, 0x7ffd]) {
        if flags & WRITE != 0 {
            continue;
        }
        for writable in 0..=4 {
            let mut table = entries(4, writable);
            // With NEXT on some and not on others, and ids of any kind.
            table.iter_mut().step_by(2).for_each(|entry| entry.2 |= flags);
            table[3].2 |= flags & !NEXT;
            table[1].3 = 0xffff;
            let found = rig.walk_table(&ram, &table);
            assert_eq!(found, Ok((fours(0, 4 - writable), fours(4 - writable, 4))), "{flags:#x}");
        }
    }
    // A readable entry after a writable one is judged like anywhere.
    let mut table = entries(4, 2);
    table[3].2 = 0;
    let shape = Shape::ReadableAfterWritable { address: BUFFER + 12, len: 4 };
    assert_refused!(rig.walk_table(&ram, &table), malformed(shape));
}

#[test]
fn write_on_the_slot_of_a_table_says_nothing() {
    let _shows = shows(&["PK-020"]);
    let (ram, rig) = (ram(), Rig::new(5));
    for writable in 0..=3 {
        put_table(&ram, TABLE, &entries(3, writable));
        let found = (fours(0, 3 - writable), fours(3 - writable, 3));
        for flags in [0, WRITE] {
            let slot = (TABLE, 48, INDIRECT | flags, 7);
            assert_eq!(rig.walk(&ram, &[slot]), Ok(found.clone()));
        }
    }
}

#[test]
fn a_table_of_no_whole_entries_or_too_many_is_refused() {
    let (ram, mut rig) = (ram(), Rig::new(5));
    for len in [0, 1, 8, 15, 17, 24, 31, 33, 0x8000_0001, u32::MAX] {
        for address in [TABLE, NOWHERE] {
            let shape = Shape::IndirectLength { len };
            assert_refused!(rig.walk(&ram, &[(address, len, INDIRECT, 7)]), malformed(shape));
        }
    }
    for limit in [1024, 3] {
        assert_eq!(Limits::of(rig.setup.size).table, 1024);
        rig.setup.limits.table = limit;
        let count = u16::try_from(limit).expect("a short table");
        let found = rig.walk_table(&ram, &entries(count, 0));
        assert_eq!(found, Ok((fours(0, count), vec![])), "a table may be longer than the ring");
        for entries in [limit + 1, 0xffff, 0x0fff_ffff] {
            let shape = malformed(Shape::IndirectTooLong { entries, limit });
            for address in [TABLE, NOWHERE] {
                assert_refused!(rig.walk(&ram, &[(address, 16 * entries, INDIRECT, 7)]), shape);
                assert!(!ram.is_touched(TABLE..BUFFER));
            }
        }
    }
}

#[test]
fn a_table_that_is_not_in_memory_is_refused() {
    let (mut ram, rig) = (ram(), Rig::new(5));
    ram.add(END + 0x10, 0x1000, 0x1000, 0);
    for (address, len) in [(u64::MAX, 16), (u64::MAX - 15, 16), (u64::MAX - 16, 32)] {
        let shape = Shape::AddressOverflow { address, len };
        assert_refused!(rig.walk(&ram, &[(address, len, INDIRECT, 7)]), malformed(shape));
    }
    for address in [0, NOWHERE, u64::MAX - 32, END - 16, END - 31, END - 1, END, END + 0xff1] {
        let shape = Shape::TableOutsideMemory { address, len: 32 };
        assert_refused!(rig.walk(&ram, &[(address, 32, INDIRECT, 7)]), malformed(shape));
        assert!(!ram.is_touched(BUFFER..NOWHERE));
    }
    let shape = Shape::OutsideMemory { address: NOWHERE, len: 4 };
    let table = [(BUFFER, 4, 0, 0), (NOWHERE, 4, 0, 0), (BUFFER, 4, 0, 0)];
    assert_refused!(rig.walk_table(&ram, &table), malformed(shape));
}

#[test]
fn a_table_may_be_at_any_address_and_be_cut_by_a_border_anywhere() {
    let _shows = shows(&["VQ-028", "PK-041"]);
    let (mut ram, mut rig) = (ram(), Rig::new(5));
    ram.add(END + 8, 0x1000, 0x1000, 0);
    ram.add(END, 8, 8, 0);
    for is_fickle in [false, true] {
        rig.is_fickle = is_fickle;
        for address in (END - 48..=END).chain(TABLE..TABLE + 16) {
            put_table(&ram, address, &entries(3, 1));
            let found = rig.walk(&ram, &[(address, 48, INDIRECT, 7)]);
            assert_eq!(found, Ok((fours(0, 2), fours(2, 3))), "{address:#x}");
        }
    }
}

#[test]
fn a_table_takes_one_slot_and_the_id_of_that_slot() {
    let _shows = shows(&["PK-022"]);
    let (ram, rig) = (ram(), Rig::new(5));
    put_table(&ram, TABLE, &entries(3, 1));
    for id in [0, 4, 5, 0x8000, 0xffff] {
        // The walk compares id and slots of the token and of the used descriptor.
        let found = rig.walk_at(&ram, (4, true), &[(TABLE, 48, INDIRECT, id)]);
        assert_eq!(found, Ok((fours(0, 2), fours(2, 3))));
    }
}
