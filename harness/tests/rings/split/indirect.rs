//! Indirect tables (spec §1.4).

use vhost_fuzz_core::ring::flag::{INDIRECT, NEXT, WRITE};
use vhost_fuzz_core::ring::{Chain, Limits, Ring, Shape};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::{Rig, malformed};
use crate::ram::Ram;
use crate::rig::{self, BUFFER, END, Fields, NOWHERE, TABLE, ram};

/// Entries with 4 bytes each, in order; the last `writable` of them writable.
fn entries(count: u16, writable: u16) -> Vec<Fields> {
    (0..count)
        .map(|index| {
            let flags = if index + writable < count { 0 } else { WRITE };
            let more = if index + 1 < count { NEXT } else { 0 };
            (BUFFER + 4 * u64::from(index), 4, flags | more, index + 1)
        })
        .collect()
}

/// Buffers of 4 bytes.
fn fours(from: u16, to: u16) -> Vec<(u64, u32)> {
    (from..to).map(|index| (BUFFER + 4 * u64::from(index), 4)).collect()
}

/// Whether a byte of where the tables are was loaded in the last walk.
fn is_touched(ram: &Ram) -> bool {
    ram.is_touched(TABLE..BUFFER)
}

#[test]
fn a_table_that_was_not_negotiated_is_refused() {
    let (ram, mut rig) = (ram(), Rig::new(8));
    rig.setup.features.indirect = false;
    let shape = malformed(Shape::IndirectNotNegotiated { address: TABLE });
    // It is the first thing that is wrong with such a descriptor.
    for (len, flags) in [(32, 0), (32, WRITE), (0, 0), (17, NEXT), (u32::MAX, 0)] {
        assert_refused!(rig.walk_of(&ram, &[(TABLE, len, INDIRECT | flags, 9)]), shape);
        let table = [(BUFFER, 4, WRITE | NEXT, 1), (TABLE, len, INDIRECT | flags, 0)];
        assert_refused!(rig.walk_of(&ram, &table), shape);
        assert!(!is_touched(&ram));
    }
}

#[test]
fn a_table_in_a_table_is_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    for entry in 0..4 {
        for flags in [0, NEXT, WRITE, NEXT | WRITE] {
            let mut table = entries(4, 0);
            table[usize::from(entry)].2 = INDIRECT | flags;
            let shape = Shape::NestedIndirect { entry };
            assert_refused!(rig.walk_table(&ram, &table), malformed(shape));
        }
    }
}

#[test]
fn a_table_with_next_is_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    rig::put_table(&ram, TABLE, &entries(2, 0));
    let shape = malformed(Shape::IndirectWithNext { address: TABLE });
    for (len, next) in [(32, 1), (0, 1), (17, 0), (32, u16::MAX)] {
        let table = [(TABLE, len, INDIRECT | NEXT, next), (BUFFER, 4, 0, 0)];
        assert_refused!(rig.walk_of(&ram, &table), shape);
        let table = [(BUFFER, 4, NEXT, 1), (TABLE, len, INDIRECT | NEXT, next)];
        assert_refused!(rig.walk_of(&ram, &table), shape);
    }
}

#[test]
fn write_on_the_descriptor_of_a_table_says_nothing() {
    let _shows = shows(&["VQ-018"]);
    let (ram, rig) = (ram(), Rig::new(8));
    for writable in 0..=3 {
        rig::put_table(&ram, TABLE, &entries(3, writable));
        let found = (fours(0, 3 - writable), fours(3 - writable, 3));
        for flags in [0, WRITE] {
            assert_eq!(rig.walk_of(&ram, &[(TABLE, 48, INDIRECT | flags, 7)]), Ok(found.clone()));
        }
    }
    // Neither does its absence after a writable buffer.
    rig::put_table(&ram, TABLE, &entries(2, 2));
    let table = [(BUFFER + 64, 4, WRITE | NEXT, 1), (TABLE, 32, INDIRECT, 0)];
    let writable = [vec![(BUFFER + 64, 4)], fours(0, 2)].concat();
    assert_eq!(rig.walk_of(&ram, &table), Ok((vec![], writable)));
}

#[test]
fn direct_descriptors_may_come_before_a_table() {
    let _shows = shows(&["VQ-019"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig::put_table(&ram, TABLE, &entries(3, 1));
    for direct in 0..8 {
        let mut table: Vec<Fields> =
            (0..direct).map(|index| (BUFFER + 0x100, 1, NEXT, index + 1)).collect();
        table.push((TABLE, 48, INDIRECT, 0));
        let readable = [vec![(BUFFER + 0x100, 1); direct.into()], fours(0, 2)].concat();
        assert_eq!(rig.walk_of(&ram, &table), Ok((readable, fours(2, 3))));
    }
    // The order of readable and writable is that of the whole chain.
    let table = [(BUFFER + 0x100, 1, WRITE | NEXT, 1), (TABLE, 48, INDIRECT, 0)];
    let shape = Shape::ReadableAfterWritable { address: BUFFER, len: 4 };
    assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
    // And so is the number of bytes.
    let mut ram = ram;
    ram.add(1 << 32, 1 << 32, 0, 0);
    rig::put_table(&ram, TABLE, &[(1 << 32, u32::MAX, NEXT, 1), (1 << 32, 1, 0, 0)]);
    let table = [(BUFFER, 1, NEXT, 1), (TABLE, 32, INDIRECT, 0)];
    let shape = Shape::TooManyBytes { bytes: (1 << 32) + 1 };
    assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
}

#[test]
fn a_table_of_no_whole_entries_is_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    for len in [0, 1, 8, 15, 17, 24, 31, 33, 0x8000_0001, u32::MAX] {
        for address in [TABLE, NOWHERE] {
            let shape = Shape::IndirectLength { len };
            let table = [(address, len, INDIRECT, 0)];
            assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
        }
    }
}

#[test]
fn a_table_that_is_too_long_is_refused_before_it_is_read() {
    let ram = ram();
    for (num, limit, set) in [(8, 1024, None), (2048, 2048, None), (8, 3, Some(3))] {
        let mut rig = Rig::new(num);
        assert_eq!(Limits::of(rig.setup.size).table, limit.max(1024));
        rig.setup.limits.table = set.unwrap_or(rig.setup.limits.table);
        let last = u16::try_from(limit).expect("a short table");
        rig::put_table(&ram, TABLE, &entries(last, 0));
        let found = rig.walk_of(&ram, &[(TABLE, 16 * limit, INDIRECT, 0)]);
        assert_eq!(found, Ok((fours(0, last), vec![])), "a table longer than the ring");
        assert!(is_touched(&ram));
        for entries in [limit + 1, 0xffff, 0x0fff_ffff] {
            let shape = malformed(Shape::IndirectTooLong { entries, limit });
            assert_refused!(rig.walk_of(&ram, &[(TABLE, 16 * entries, INDIRECT, 0)]), shape);
            assert!(!is_touched(&ram));
            // Its place is not looked at.
            assert_refused!(rig.walk_of(&ram, &[(NOWHERE, 16 * entries, INDIRECT, 0)]), shape);
        }
    }
}

#[test]
fn a_loop_in_a_table_ends_after_its_entries() {
    let _shows = shows(&["VQ-069"]);
    let (ram, rig) = (ram(), Rig::new(8));
    for (count, len) in [(1, 0), (1, 4), (2, 0), (5, 4), (1024, 0), (1024, 4)] {
        for back in [0, count / 2, count - 1] {
            let mut table = entries(count, 0);
            table.iter_mut().for_each(|entry| entry.1 = len);
            let last = table.last_mut().expect("an entry");
            (last.2, last.3) = (NEXT, back);
            let shape = Shape::TooManyDescriptors { limit: count.into() };
            assert_refused!(rig.walk_table(&ram, &table), malformed(shape));
        }
    }
    // The longest of all: as many descriptors as the ring has, and as many entries as are taken.
    let mut table: Vec<Fields> = (1..=8).map(|next| (BUFFER, 1, NEXT, next)).collect();
    table[7] = (TABLE, 16 * 1024, INDIRECT, 0);
    rig.put(&ram, 0, &table);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    ram.touches();
    let (_, error) = rig::taken(ring.pop(&mut chain));
    assert_eq!(error, Some(malformed(Shape::TooManyDescriptors { limit: 1024 })));
    assert_eq!(ram.touches().len(), 2 + 8 + 1024);
}

#[test]
fn the_longest_chain_fits_into_the_chain_that_the_limits_ask_for() {
    let _shows = shows(&["VQ-011"]);
    let (ram, rig) = (ram(), Rig::new(8));
    let mut table: Vec<Fields> = (1..=8).map(|next| (BUFFER, 1, NEXT, next)).collect();
    table[7] = (TABLE, 16 * 1024, INDIRECT, 0);
    rig::put_table(&ram, TABLE, &entries(1024, 1024));
    let (readable, writable) = rig.walk_of(&ram, &table).expect("a good chain");
    assert_eq!((readable.len(), writable.len()), (7, 1024));
    // A device may have room for less.
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    let (token, error) = rig::taken(ring.pop(&mut Chain::with_capacity(1030)));
    assert_eq!(error, Some(malformed(Shape::TooManyElements { limit: 1030 })));
    ring.put(token, 0).expect("it goes back");
}

#[test]
fn a_next_that_leads_out_of_a_table_is_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    // Within the ring and not within the table, and the other way round.
    for (count, next) in [(2, 2), (2, 7), (2, u16::MAX), (1, 1)] {
        let mut table = entries(count, 0);
        (table[0].2, table[0].3) = (NEXT, next);
        let shape = Shape::NextOutOfRange { next, limit: count.into() };
        assert_refused!(rig.walk_table(&ram, &table), malformed(shape));
    }
    let mut table = entries(20, 0);
    (table[0].3, table[19].3) = (19, 0);
    let found = rig.walk_table(&ram, &table);
    assert_eq!(found, Ok((vec![(BUFFER, 4), (BUFFER + 76, 4)], vec![])));
}

#[test]
fn a_table_that_ends_beyond_the_last_address_is_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    for (address, len) in [(u64::MAX, 16), (u64::MAX - 15, 16), (u64::MAX - 16, 32)] {
        let shape = Shape::AddressOverflow { address, len };
        assert_refused!(rig.walk_of(&ram, &[(address, len, INDIRECT, 0)]), malformed(shape));
    }
}

#[test]
fn a_table_with_a_byte_outside_of_memory_is_refused_before_it_is_read() {
    let (mut ram, rig) = (ram(), Rig::new(8));
    ram.add(END + 0x10, 0x1000, 0x1000, 0);
    for address in [0, NOWHERE, u64::MAX - 32, END - 16, END - 31, END - 1, END, END + 0xff1] {
        // One good entry says that the chain ends before what is not there.
        for at in [address, address + 16] {
            if at < END && at + 16 <= END && at > TABLE {
                rig::put_table(&ram, at, &[(BUFFER, 4, 0, 0)]);
            }
        }
        let shape = Shape::TableOutsideMemory { address, len: 32 };
        assert_refused!(rig.walk_of(&ram, &[(address, 32, INDIRECT, 0)]), malformed(shape));
        assert!(!ram.is_touched(BUFFER..NOWHERE));
        // Nor does it help that a buffer before it is in the same region.
        let table = [(BUFFER, 4, NEXT, 1), (address, 32, INDIRECT, 0)];
        assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
    }
    // What is wrong in a table that is there.
    let table = [(BUFFER, 4, NEXT, 1), (NOWHERE, 4, 0, 0)];
    let shape = Shape::OutsideMemory { address: NOWHERE, len: 4 };
    assert_refused!(rig.walk_table(&ram, &table), malformed(shape));
}

#[test]
fn a_table_may_be_cut_by_a_border_anywhere() {
    let _shows = shows(&["VQ-028"]);
    let rig = Rig::new(8);
    let mut ram = ram();
    ram.add(END + 8, 0x1000, 0x1000, 0);
    // A region in between that is shorter than an entry.
    ram.add(END, 8, 8, 0);
    for before in 0..=48 {
        let address = END - before;
        rig::put_table(&ram, address, &entries(3, 1));
        let found = rig.walk_of(&ram, &[(address, 48, INDIRECT, 0)]);
        assert_eq!(found, Ok((fours(0, 2), fours(2, 3))), "{before} bytes before the border");
    }
}

#[test]
fn a_table_may_be_at_any_address() {
    let _shows = shows(&["VQ-028"]);
    let (ram, rig) = (ram(), Rig::new(8));
    for address in TABLE..TABLE + 16 {
        rig::put_table(&ram, address, &entries(3, 2));
        let found = rig.walk_of(&ram, &[(address, 48, INDIRECT, 0)]);
        assert_eq!(found, Ok((fours(0, 1), fours(1, 3))), "{address:#x}");
    }
}

#[test]
fn flags_without_a_meaning_are_ignored_in_tables() {
    let _shows = shows(&["VQ-030"]);
    let (ram, rig) = (ram(), Rig::new(8));
    for bits in (3..16).map(|bit| 1 << bit).chain([0xfff8]) {
        let mut table = entries(3, 1);
        table.iter_mut().for_each(|entry| entry.2 |= bits);
        rig::put_table(&ram, TABLE, &table);
        let found = rig.walk_of(&ram, &[(TABLE, 48, INDIRECT | bits, 0)]);
        assert_eq!(found, Ok((fours(0, 2), fours(2, 3))));
    }
}

#[test]
fn a_table_that_changes_while_it_is_read_changes_nothing() {
    let _shows = shows(&["VQ-024"]);
    let (mut rig, mut ram) = (Rig::new(8), ram());
    rig.is_fickle = true;
    ram.add(END, 0x1000, 0x1000, 0);
    for address in [TABLE, TABLE + 1, END - 24] {
        rig::put_table(&ram, address, &entries(3, 1));
        let found = rig.walk_of(&ram, &[(address, 48, INDIRECT, 0)]);
        assert_eq!(found, Ok((fours(0, 2), fours(2, 3))));
    }
    let shape = Shape::NextOutOfRange { next: 3, limit: 3 };
    let table = [(BUFFER, 4, NEXT, 2), (BUFFER, 4, 0, 0), (BUFFER, 4, NEXT, 3)];
    assert_refused!(rig.walk_table(&ram, &table), malformed(shape));
}

#[test]
fn in_order_does_not_make_links_trusted() {
    let _shows = shows(&["VQ-057"]);
    let (ram, rig) = (ram(), Rig::in_order(8));
    let table = [(BUFFER, 1, NEXT, 5), (BUFFER, 2, 0, 0)];
    rig.put(&ram, 0, &table);
    rig.put(&ram, 5, &[(BUFFER, 5, 0, 0)]);
    assert_eq!(rig.walk(&ram, 0), Ok((vec![(BUFFER, 1), (BUFFER, 5)], vec![])));
    let table = [(BUFFER, 1, NEXT, 2), (BUFFER, 2, 0, 0), (BUFFER, 3, NEXT, 1)];
    let found = rig.walk_table(&ram, &table);
    assert_eq!(found, Ok((vec![(BUFFER, 1), (BUFFER, 3), (BUFFER, 2)], vec![])));
    let shape = Shape::NextOutOfRange { next: 8, limit: 8 };
    assert_refused!(rig.walk_of(&ram, &[(BUFFER, 1, NEXT, 8)]), malformed(shape));
}
