//! Direct chains (spec §1.4).

use vhost_fuzz_core::ring::flag::{NEXT, WRITE};
use vhost_fuzz_core::ring::{Chain, PopError, Ring, Shape};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::{Rig, malformed};
use crate::ram::{Ram, Touch};
use crate::rig::{self, BUFFER, END, Fields, NOWHERE, ram};

/// A chain of so many descriptors, each with one byte; the last `writable` of them writable.
fn bytes(count: u16, writable: u16) -> Vec<Fields> {
    (0..count)
        .map(|index| {
            let flags = if index + writable < count { 0 } else { WRITE };
            let more = if index + 1 < count { NEXT } else { 0 };
            (BUFFER + u64::from(index), 1, flags | more, index + 1)
        })
        .collect()
}

#[test]
fn buffers_come_in_order_however_they_are_cut() {
    let _shows = shows(&["VQ-010"]);
    let (ram, rig) = (ram(), Rig::new(16));
    for count in 1..=16 {
        for writable in 0..=count {
            let found = rig.walk_of(&ram, &bytes(count, writable));
            let (readable, writable_found) = found.expect("a good chain");
            let all: Vec<_> = (0..count).map(|index| (BUFFER + u64::from(index), 1)).collect();
            assert_eq!([readable, writable_found.clone()].concat(), all);
            assert_eq!(writable_found.len(), usize::from(writable));
        }
    }
    // The order is that of the links, not of the table.
    let table = [(BUFFER, 4, WRITE, 9), (0, 0, 0, 0), (BUFFER + 8, 5, NEXT, 0)];
    rig.put(&ram, 0, &table);
    assert_eq!(rig.walk(&ram, 2), Ok((vec![(BUFFER + 8, 5)], vec![(BUFFER, 4)])));
}

#[test]
fn more_buffers_than_the_device_has_room_for_are_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put(&ram, 0, &bytes(5, 2));
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0, 1]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    let mut chain = Chain::with_capacity(4);
    let (token, error) = rig::taken(ring.pop(&mut chain));
    let shape = Shape::TooManyElements { limit: 4 };
    assert_refused!(error.map_or(Ok(()), Err), malformed(shape));
    rig::assert_empty(&chain);
    ring.put(token, 0).expect("it goes back");
    // The chain from the second descriptor on fits.
    let token = rig::token(ring.pop(&mut chain));
    assert_eq!((token.id(), token.writable(), chain.readable().len()), (1, 2, 2));
}

#[test]
fn a_readable_buffer_after_a_writable_one_is_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    // Empty ones count, too.
    for first in [0, 4] {
        for len in [0, 4] {
            let table = [
                (BUFFER, 4, NEXT, 1),
                (BUFFER + 8, first, WRITE | NEXT, 2),
                (BUFFER + 16, len, NEXT, 3),
                (BUFFER + 24, 4, WRITE, 0),
            ];
            let shape = Shape::ReadableAfterWritable { address: BUFFER + 16, len };
            assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
        }
    }
    // It is refused also where the buffer is nowhere: the order is judged first.
    let table = [(BUFFER, 4, WRITE | NEXT, 1), (NOWHERE, 4, 0, 0)];
    let shape = Shape::ReadableAfterWritable { address: NOWHERE, len: 4 };
    assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
}

/// Memory with a region of 4 GiB, of which only some is there.
fn large() -> Ram {
    let mut ram = ram();
    ram.add(1 << 32, 1 << 33, 0x1000, 0);
    ram
}

#[test]
fn a_chain_of_2_to_the_32_bytes_is_accepted_and_one_more_is_not() {
    let _shows = shows(&["VQ-013"]);
    let (ram, rig) = (large(), Rig::new(8));
    let (large, max) = (1 << 32, u32::MAX);
    for (first, second) in [(0, 0), (0, WRITE), (WRITE, WRITE)] {
        for (a, b) in [(max, 1), (1, max), (1 << 31, 1 << 31)] {
            let table = [(large, a, first | NEXT, 1), (large, b, second | NEXT, 2)];
            let table = [table[0], table[1], (large, 0, second, 0)];
            let (readable, writable) = rig.walk_of(&ram, &table).expect("exactly 2^32 bytes");
            assert_eq!([readable, writable].concat(), [(large, a), (large, b)]);

            let table = [table[0], table[1], (large, 1, second, 0)];
            let shape = Shape::TooManyBytes { bytes: (1 << 32) + 1 };
            assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
        }
    }
    // The sum does not wrap at 32 bits.
    let link = |next| (large, max, if next < 8 { NEXT } else { 0 }, next);
    let table: Vec<_> = (1..=8).map(link).collect();
    let shape = Shape::TooManyBytes { bytes: 8 * u64::from(max) };
    assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
}

#[test]
fn a_token_of_2_to_the_32_writable_bytes_has_what_fits_into_the_used_length() {
    let _shows = shows(&["VQ-039"]);
    let (ram, rig) = (large(), Rig::new(8));
    let table = [(1 << 32, u32::MAX, WRITE | NEXT, 1), (1 << 32, 1, WRITE, 0)];
    rig.put(&ram, 0, &table);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let token = rig::token(ring.pop(&mut chain));
    assert_eq!((token.writable(), chain.writable_bytes()), (u32::MAX, 1 << 32));
}

/// The descriptors that were loaded, by address.
fn descriptors(ram: &Ram) -> Vec<u64> {
    let touches = ram.touches().into_iter();
    touches
        .filter_map(|touch| touch.range().filter(|(_, len)| *len == 16))
        .map(|(at, _)| at)
        .collect()
}

#[test]
fn a_chain_of_n_descriptors_is_accepted_and_a_loop_is_not() {
    let (ram, rig) = (ram(), Rig::new(8));
    rig.walk_of(&ram, &bytes(8, 4)).expect("as many as the ring has");
    // Each descriptor leads to the one that it says; the last one leads back.
    for (len, count) in [(0, 1), (4, 1), (0, 2), (4, 2), (0, 8), (4, 8)] {
        for back in 0..count {
            let table: Vec<_> = (0..count)
                .map(|index| (BUFFER, len, NEXT, if index + 1 < count { index + 1 } else { back }))
                .collect();
            rig.put(&ram, 0, &table);
            let shape = Shape::TooManyDescriptors { limit: 8 };
            assert_refused!(rig.walk(&ram, 0), malformed(shape), "{count} back to {back}");
        }
    }
}

#[test]
fn a_loop_costs_as_many_loads_as_the_table_has_entries() {
    let _shows = shows(&["VQ-014", "VQ-069"]);
    for num in [1, 2, 256, 32768] {
        let (ram, rig) = (ram(), Rig::new(num));
        rig.put(&ram, 0, &[(BUFFER, 0, NEXT, 0)]);
        let mut queue = rig.start(&ram);
        rig.offer(&ram, &[0]);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        ram.touches();
        let (_, error) = rig::taken(ring.pop(&mut chain));
        let shape = Shape::TooManyDescriptors { limit: num.into() };
        assert_eq!(error, Some(malformed(shape)));
        assert_eq!(descriptors(&ram).len(), usize::from(num));
    }
}

#[test]
fn a_next_that_leads_out_of_the_table_is_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    for next in [8, 9, 0x7fff, 0x8000, u16::MAX] {
        let shape = Shape::NextOutOfRange { next, limit: 8 };
        assert_refused!(rig.walk_of(&ram, &[(BUFFER, 4, NEXT, next)]), malformed(shape));
        // Without NEXT it means nothing.
        let found = rig.walk_of(&ram, &[(BUFFER, 4, 0, next)]);
        assert_eq!(found, Ok((vec![(BUFFER, 4)], vec![])));
    }
    // The last descriptor that a chain may have is judged as well.
    let mut table = bytes(8, 0);
    (table[7].2, table[7].3) = (NEXT, 8);
    let shape = Shape::NextOutOfRange { next: 8, limit: 8 };
    assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
}

#[test]
fn a_buffer_that_ends_beyond_the_last_address_is_refused() {
    let rig = Rig::new(8);
    let (mut ram, last) = (ram(), u64::MAX);
    ram.add(last - 0xfff, 0xfff, 0, 0);
    for (address, len) in
        [(last, 1), (last, u32::MAX), (last - 1, 2), (last - 0xfff, 0x1000), (last - 8, 9)]
    {
        for flags in [0, WRITE] {
            let shape = Shape::AddressOverflow { address, len };
            let table = [(BUFFER, 4, flags | NEXT, 1), (address, len, flags, 0)];
            assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
        }
    }
    let found = rig.walk_of(&ram, &[(last - 0xfff, 0xfff, 0, 0)]);
    assert_eq!(found, Ok((vec![(last - 0xfff, 0xfff)], vec![])));
}

#[test]
fn a_buffer_with_a_byte_outside_of_memory_is_refused() {
    let rig = Rig::new(8);
    let mut ram = ram();
    // A hole of one page, and behind it a region.
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
            let table = [(BUFFER, 4, flags | NEXT, 1), (address, len, flags | NEXT, 2)];
            assert_refused!(rig.walk_of(&ram, &table), shape);
            // Behind many good ones, and as the only one.
            let mut table = bytes(8, if flags == 0 { 0 } else { 8 });
            (table[7].0, table[7].1) = (address, len);
            assert_refused!(rig.walk_of(&ram, &table), shape);
            assert_refused!(rig.walk_of(&ram, &[(address, len, flags, 0)]), shape);
        }
    }
}

#[test]
fn a_buffer_over_the_border_of_regions_is_accepted() {
    let _shows = shows(&["VQ-027"]);
    let rig = Rig::new(8);
    let mut ram = ram();
    // Later slots, not in the order of addresses.
    ram.add(END + 0x1000, 0x1000, 0x1000, 0);
    ram.add(END, 0x1000, 0x1000, 0);
    for (address, len) in
        [(END - 1, 2), (END - 8, 16), (END - 8, 0x1010), (END - 0x1000, 0x3000), (END + 0xfff, 2)]
    {
        let found = rig.walk_of(&ram, &[(address, len, NEXT, 1), (address, len, WRITE, 0)]);
        assert_eq!(found, Ok((vec![(address, len)], vec![(address, len)])));
    }
}

#[test]
fn an_empty_buffer_is_a_descriptor_and_nothing_else() {
    let _shows = shows(&["VQ-029"]);
    let (ram, rig) = (ram(), Rig::new(8));
    for address in [0, NOWHERE, END, u64::MAX] {
        for flags in [0, WRITE] {
            assert_eq!(rig.walk_of(&ram, &[(address, 0, flags, 0)]), Ok((vec![], vec![])));
        }
        let table = [
            (address, 0, NEXT, 1),
            (BUFFER, 4, NEXT, 2),
            (address, 0, NEXT, 3),
            (address, 0, WRITE | NEXT, 4),
            (BUFFER + 4, 4, WRITE | NEXT, 5),
            (address, 0, WRITE, 0),
        ];
        let found = rig.walk_of(&ram, &table);
        assert_eq!(found, Ok((vec![(BUFFER, 4)], vec![(BUFFER + 4, 4)])));
    }
    // As many as the ring has, and not one more.
    let empty: Vec<_> = (1..=8).map(|next| (NOWHERE, 0, NEXT, next % 8)).collect();
    let shape = Shape::TooManyDescriptors { limit: 8 };
    assert_refused!(rig.walk_of(&ram, &empty), malformed(shape));
}

#[test]
fn flags_without_a_meaning_are_ignored() {
    let _shows = shows(&["VQ-030"]);
    let (ram, rig) = (ram(), Rig::new(8));
    for bits in (3..16).map(|bit| 1 << bit).chain([0xfff8]) {
        let table = [(BUFFER, 4, NEXT | bits, 1), (BUFFER + 8, 4, WRITE | bits, 0)];
        let found = rig.walk_of(&ram, &table);
        assert_eq!(found, Ok((vec![(BUFFER, 4)], vec![(BUFFER + 8, 4)])));
    }
}

#[test]
fn what_is_wrong_first_is_what_is_reported() {
    let (ram, rig) = (ram(), Rig::new(2));
    // Of two wrong descriptors the first one counts, of two wrong fields the one of the buffer.
    let table = [(NOWHERE, 4, NEXT, 9), (BUFFER, 4, NEXT, 9)];
    let shape = Shape::OutsideMemory { address: NOWHERE, len: 4 };
    assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
    // A bad link is seen before the length of the chain.
    let table = [(BUFFER, 4, NEXT, 1), (BUFFER, 4, NEXT, 2)];
    let shape = Shape::NextOutOfRange { next: 2, limit: 2 };
    assert_refused!(rig.walk_of(&ram, &table), malformed(shape));
}

#[test]
fn chains_may_share_buffers_and_overlap_the_ring() {
    let _shows = shows(&["VQ-066"]);
    let (ram, rig) = (ram(), Rig::new(8));
    let chain = |data| [(BUFFER, 12, NEXT, 1), (data, 0x1000, WRITE, 0)];
    // A header area of all chains, data that overlaps it, and data that is the ring itself.
    for data in [BUFFER, BUFFER + 4, rig::DESCRIPTORS, rig::AVAILABLE, rig::USED] {
        assert_eq!(rig.walk_of(&ram, &chain(data)), Ok((vec![(BUFFER, 12)], vec![(data, 0x1000)])));
    }
}

#[test]
fn a_descriptor_that_changes_after_it_was_read_changes_nothing() {
    let _shows = shows(&["VQ-024", "VQ-060"]);
    let ram = ram();
    let mut rig = Rig::new(8);
    rig.is_fickle = true;
    let good = [(BUFFER, 4, NEXT, 1), (BUFFER + 8, 4, NEXT | WRITE, 2), (BUFFER, 9, WRITE, 0)];
    let found = rig.walk_of(&ram, &good);
    assert_eq!(found, Ok((vec![(BUFFER, 4)], vec![(BUFFER + 8, 4), (BUFFER, 9)])));
    let shape = Shape::NextOutOfRange { next: 8, limit: 8 };
    assert_refused!(rig.walk_of(&ram, &[(BUFFER, 4, NEXT, 8)]), malformed(shape));
    let shape = Shape::OutsideMemory { address: NOWHERE, len: 4 };
    assert_refused!(rig.walk_of(&ram, &[(NOWHERE, 4, 0, 0)]), malformed(shape));

    // After it was taken, the driver may write what it likes.
    rig.put(&ram, 0, &good);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let token = rig::token(ring.pop(&mut chain));
    rig.put(&ram, 0, &[(NOWHERE, 1, NEXT, 7); 8]);
    assert_eq!(rig::buffers(&chain), (vec![(BUFFER, 4)], vec![(BUFFER + 8, 4), (BUFFER, 9)]));
    assert_eq!((token.id(), token.writable()), (0, 13));
}

#[test]
fn each_byte_of_a_chain_is_loaded_once() {
    let _shows = shows(&["VQ-024"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put(&ram, 0, &bytes(7, 3));
    rig.put(&ram, 6, &[(rig::TABLE, 48, super::flag::INDIRECT, 0)]);
    let entry = |next| (BUFFER, 4, WRITE | if next < 3 { NEXT } else { 0 }, next);
    rig::put_table(&ram, rig::TABLE, &[entry(1), entry(2), entry(3)]);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    ram.touches();
    let token = rig::token(ring.pop(&mut chain));
    let mut seen = std::collections::BTreeSet::new();
    let mut count = 0;
    for touch in ram.touches() {
        let (at, len) = touch.range().expect("a load");
        assert!((at..at + len).all(|byte| seen.insert(byte)), "{touch:?} once more");
        count += 1;
    }
    // The index, the entry of the ring, and each descriptor.
    assert_eq!((count, token.writable()), (2 + 7 + 3, 2 + 12));
}

#[test]
fn taking_a_chain_allocates_nothing() {
    let _shows = shows(&["VQ-069"]);
    let (ram, rig) = (ram(), Rig::new(256));
    for (table, is_good) in [(bytes(256, 100), true), (vec![(BUFFER, 1, NEXT, 0)], false)] {
        rig.put(&ram, 0, &table);
        let mut queue = rig.start(&ram);
        rig.offer(&ram, &[0]);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        let mut popped = Ok(None);
        // The bench remembers accesses in a vector; it has room for them.
        ram.reserve(2000);
        let info = allocation_counter::measure(|| popped = ring.pop(&mut chain));
        assert_eq!(info.count_total, 0);
        let error = matches!(popped, Err(PopError::Malformed { .. }));
        assert_eq!((popped.is_ok(), error), (is_good, !is_good));
    }
}

#[test]
fn a_device_writes_to_no_descriptor_and_to_no_readable_buffer() {
    let _shows = shows(&["VQ-007", "VQ-009"]);
    let (ram, rig) = (ram(), Rig::new(4));
    rig.put(&ram, 0, &[(BUFFER, 4, NEXT, 1), (BUFFER + 8, 4, WRITE, 0), (BUFFER, 4, 0, 0)]);
    let mut queue = rig.start(&ram);
    let mut chain = rig.chain();
    for _ in 0..3 {
        rig.offer(&ram, &[0, 2]);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        for _ in 0..2 {
            let token = rig::token(ring.pop(&mut chain));
            let len = token.writable();
            ring.put(token, len).expect("it is taken");
        }
        ring.publish().expect("it is in order");
        ring.disarm().expect("it is in order");
        assert_eq!(ring.arm(), Ok(false));
    }
    let used = rig::USED..rig::USED + 4 + 8 * 4;
    for touch in ram.touches() {
        if let Touch::Store(at, len, _) = touch {
            assert!(used.contains(&at) && at + len <= used.end, "{touch:?}");
        }
    }
}
