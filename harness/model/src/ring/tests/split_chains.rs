//! Chains of the split ring: what is legal, and every reason to drop one.

use super::split::Bench;
use super::{BASE, DATA, DESC, END, INDIRECT, NEXT, Ram, WRITE, elements, setup};
use crate::Id;
use crate::ring::{Chain, Drop, Form, Pop, Setup};

/// The verdict about head 0 of a ring of four, with a table at [`DATA`].
fn verdict(setup: Setup, main: &[(u64, u32, u16, u16)], table: &[(u64, u32, u16, u16)]) -> Bench {
    let mut bench = Bench::new(setup, 0);
    for (index, &(address, len, flags, next)) in (0..).zip(main) {
        bench.desc(index, address, len, flags, next);
    }
    for (at, &(address, len, flags, next)) in (0u64..).zip(table) {
        bench.ram.describe(DATA + 16 * at, address, len, [flags, next]);
    }
    bench.offer(0);
    bench
}

fn accepts(main: &[(u64, u32, u16, u16)], table: &[(u64, u32, u16, u16)]) -> Chain {
    let mut bench = verdict(setup(4), main, table);
    assert_eq!(bench.take().id, 0);
    bench.chain
}

fn drops(main: &[(u64, u32, u16, u16)], table: &[(u64, u32, u16, u16)], rule: u16) -> Drop {
    drops_with(setup(4), main, table, rule)
}

fn drops_with(
    setup: Setup,
    main: &[(u64, u32, u16, u16)],
    table: &[(u64, u32, u16, u16)],
    rule: u16,
) -> Drop {
    let mut bench = verdict(setup, main, table);
    let Pop::Dropped { token, error } = bench.pop() else { panic!("not dropped") };
    assert_eq!(error.rule(Form::Split), Id::Vq(rule), "{error:?}");
    assert_eq!((token.id, token.slots, token.writable), (0, 1, 0));
    // Nothing of it is shown, and the head can go back.
    assert_eq!(bench.chain, Chain::new());
    assert!(bench.put(token, 1).is_err());
    bench.put(token, 0).unwrap();
    assert_eq!(bench.publish(), Ok(true));
    assert_eq!(bench.ring.next(), 1);
    error
}

#[test]
fn readable_then_writable() {
    let chain = accepts(
        &[
            (DATA, 1, NEXT, 3),
            (0, 0, 0, 0),
            (DATA + 8, 4, WRITE | 0xfff8, 0),
            (DATA + 4, 2, NEXT | WRITE, 2),
        ],
        &[],
    );
    let wanted = [(DATA, 1, false), (DATA + 4, 2, true), (DATA + 8, 4, true)];
    assert_eq!(elements(&chain), wanted);
    assert_eq!((chain.readable, chain.writable, chain.id, chain.slots), (1, 6, 0, 1));
}

#[test]
fn zero_lengths_count_as_descriptors_only() {
    // VQ-029: an address that is nowhere does not matter.
    let chain = accepts(&[(u64::MAX, 0, NEXT, 1), (DATA, 1, WRITE, 0)], &[]);
    assert_eq!(elements(&chain), [(DATA, 1, true)]);
    let chain = accepts(&[(5, 0, 0, 0)], &[]);
    assert_eq!((elements(&chain), chain.readable), (vec![], 0));
    let looped = [(5, 0, NEXT, 1), (5, 0, NEXT, 0)];
    assert_eq!(drops(&looped, &[], 14), Drop::TooManyDescriptors { limit: 4 });
}

#[test]
fn order_of_elements() {
    let after = Drop::ReadableAfterWritable;
    assert_eq!(drops(&[(DATA, 1, NEXT | WRITE, 1), (DATA, 1, 0, 0)], &[], 12), after);
    // Zero lengths on either side are in the order as well.
    assert_eq!(drops(&[(0, 0, NEXT | WRITE, 1), (DATA, 1, 0, 0)], &[], 12), after);
    assert_eq!(drops(&[(DATA, 1, NEXT | WRITE, 1), (0, 0, 0, 0)], &[], 12), after);
    // Over the border of a table.
    let main = [(DATA, 1, NEXT | WRITE, 1), (DATA, 16, INDIRECT, 0)];
    assert_eq!(drops(&main, &[(DATA, 1, 0, 0)], 12), after);
}

#[test]
fn loops_and_lengths() {
    let many = Drop::TooManyDescriptors { limit: 4 };
    assert_eq!(drops(&[(DATA, 1, NEXT, 0)], &[], 14), many);
    let all: Vec<_> = (1..=4).map(|next| (DATA, 1, NEXT, next % 4)).collect();
    assert_eq!(drops(&all, &[], 14), many);
    let whole: Vec<_> = (1..=4).map(|next| (DATA, 1, u16::from(next < 4), next)).collect();
    assert_eq!(accepts(&whole, &[]).readable, 4);
    let table = [(DATA, 1, NEXT, 1), (DATA, 1, NEXT, 0)];
    let error = drops(&[(DATA, 32, INDIRECT, 0)], &table, 14);
    assert_eq!(error, Drop::TooManyDescriptors { limit: 2 });
}

#[test]
fn a_loop_ends_after_as_many_reads_as_there_are_entries() {
    let mut bench = verdict(setup(4), &[(DATA, 1, NEXT, 0)], &[]);
    bench.ram.take_reads();
    bench.pop();
    let reads = bench.ram.take_reads();
    assert_eq!(reads.iter().filter(|read| **read == (DESC, 16)).count(), 4);
    assert_eq!(reads.len(), 6);
}

#[test]
fn next_out_of_range() {
    let error = drops(&[(DATA, 1, NEXT, 4)], &[], 22);
    assert_eq!(error, Drop::NextOutOfRange { next: 4, limit: 4 });
    let error = drops(&[(DATA, 32, INDIRECT, 0)], &[(DATA, 1, NEXT, 2)], 22);
    assert_eq!(error, Drop::NextOutOfRange { next: 2, limit: 2 });
    // Without NEXT the field says nothing.
    assert_eq!(accepts(&[(DATA, 1, 0, 0xffff)], &[]).readable, 1);
    // An element is judged before what comes after it.
    let error = drops(&[(0, 1, NEXT, 4)], &[], 26);
    assert_eq!(error, Drop::OutsideMemory { address: 0, len: 1 });
}

#[test]
fn tables() {
    // VQ-019 and VQ-018: after a direct one, and WRITE at the table says nothing.
    let main = [(DATA, 1, NEXT, 1), (DATA, 48, INDIRECT | WRITE, 9)];
    let table = [(DATA, 2, NEXT, 2), (DATA, 9, 0, 0), (DATA, 4, WRITE, 0)];
    let chain = accepts(&main, &table);
    assert_eq!(elements(&chain), [(DATA, 1, false), (DATA, 2, false), (DATA, 4, true)]);
    // An entry of its own address is not read before entry 0.
    assert_eq!(accepts(&[(DATA, 16, INDIRECT, 0)], &[(DATA, 7, WRITE, 0)]).writable, 7);
}

#[test]
fn a_table_counts_for_itself() {
    // Three direct ones, then eight in a table: more than the ring has (VQ-014).
    let main =
        [(DATA, 1, NEXT, 1), (DATA, 1, NEXT, 2), (DATA, 1, NEXT, 3), (DATA, 128, INDIRECT, 0)];
    let table: Vec<_> = (1..=8).map(|next| (DATA, 1, u16::from(next < 8), next)).collect();
    assert_eq!(accepts(&main, &table).readable, 11);
}

#[test]
fn descriptors_of_tables() {
    let refused = Setup { indirect: false, ..setup(4) };
    let main = [(DATA, 16, INDIRECT, 0)];
    assert_eq!(drops_with(refused, &main, &[], 15), Drop::IndirectNotNegotiated);
    // What was not negotiated comes before how it is used.
    let both = [(DATA, 15, INDIRECT | NEXT, 1)];
    assert_eq!(drops_with(refused, &both, &[], 15), Drop::IndirectNotNegotiated);
    assert_eq!(drops(&both, &[], 17), Drop::IndirectWithNext);
    for flags in [INDIRECT, INDIRECT | NEXT] {
        assert_eq!(drops(&main, &[(DATA, 16, flags, 0)], 16), Drop::NestedIndirect);
        assert_eq!(drops_with(refused, &main, &[(DATA, 16, flags, 0)], 15), {
            Drop::IndirectNotNegotiated
        });
    }
    for len in [0, 1, 15, 17, u32::MAX] {
        assert_eq!(drops(&[(DATA, len, INDIRECT, 0)], &[], 20), Drop::IndirectLength { len });
    }
}

#[test]
fn table_cap() {
    let capped = Setup { cap: 2, ..setup(4) };
    let error = drops_with(capped, &[(0, 48, INDIRECT, 0)], &[], 21);
    assert_eq!(error, Drop::IndirectTooLong { entries: 3, cap: 2 });
    let len = 0xffff_fff0;
    let error = drops(&[(u64::MAX, len, INDIRECT, 0)], &[], 21);
    assert_eq!(error, Drop::IndirectTooLong { entries: len / 16, cap: 1024 });
    assert_eq!((Setup::default_cap(1024), Setup::default_cap(32768)), (1024, 32768));
    let main = [(DATA, 32, INDIRECT, 0)];
    let mut bench = verdict(capped, &main, &[(DATA, 3, NEXT, 1), (DATA, 3, 0, 0)]);
    bench.take();
    assert_eq!(bench.chain.readable, 6);
}

#[test]
fn tables_outside_of_memory() {
    for (address, len) in [(0, 16), (END, 16), (END - 16, 32), (BASE - 1, 16)] {
        let error = drops(&[(address, len, INDIRECT, 0)], &[], 26);
        assert_eq!(error, Drop::TableOutsideMemory { address, len });
    }
    for address in [u64::MAX, u64::MAX - 14, u64::MAX - 15] {
        let error = drops(&[(address, 16, INDIRECT, 0)], &[], 25);
        assert_eq!(error, Drop::AddressOverflow { address, len: 16 });
    }
    let address = u64::MAX - 16;
    let error = drops(&[(address, 16, INDIRECT, 0)], &[], 26);
    assert_eq!(error, Drop::TableOutsideMemory { address, len: 16 });
}

#[test]
fn elements_outside_of_memory() {
    for (address, len) in [(0, 1), (END, 1), (END - 1, 2), (BASE - 1, 2), (BASE, u32::MAX)] {
        for flags in [0, WRITE] {
            let error = drops(&[(DATA, 1, NEXT, 1), (address, len, flags, 0)], &[], 26);
            assert_eq!(error, Drop::OutsideMemory { address, len });
        }
    }
    // An end of 2^64 counts as a wrap.
    for (address, len) in [(u64::MAX, 1), (u64::MAX, 2), (u64::MAX - 0xffff_fffe, u32::MAX)] {
        let error = drops(&[(address, len, 0, 0)], &[], 25);
        assert_eq!(error, Drop::AddressOverflow { address, len });
    }
    let error = drops(&[(u64::MAX - 1, 1, 0, 0)], &[], 26);
    assert_eq!(error, Drop::OutsideMemory { address: u64::MAX - 1, len: 1 });
}

/// Memory of 4 GiB that is only there for its addresses.
fn vast(last: u32) -> Pop {
    let mut ram = Ram::plain();
    ram.describe(DESC, 1 << 40, u32::MAX, [NEXT, 1]);
    ram.describe(DESC + 16, 1 << 40, last, [WRITE, 0]);
    ram.regions.push(crate::ring::Region { start: 1 << 40, size: 1 << 32 });
    let mut bench = Bench::on(ram, setup(4), 0);
    bench.offer(0);
    bench.pop()
}

#[test]
fn bytes_of_a_chain() {
    assert!(matches!(vast(1), Pop::Chain { .. }));
    let Pop::Dropped { error, .. } = vast(2) else { panic!("not dropped") };
    assert_eq!(error, Drop::TooManyBytes { bytes: (1 << 32) + 1 });
    assert_eq!(error.rule(Form::Split), Id::Vq(13));
}

#[test]
fn writable_bytes_of_a_token_are_cut() {
    let mut ram = Ram::plain();
    ram.describe(DESC, 1 << 40, u32::MAX, [NEXT | WRITE, 1]);
    ram.describe(DESC + 16, 1 << 40, 1, [WRITE, 0]);
    ram.regions.push(crate::ring::Region { start: 1 << 40, size: 1 << 32 });
    let mut bench = Bench::on(ram, setup(4), 0);
    bench.offer(0);
    let token = bench.take();
    assert_eq!((token.writable, bench.chain.writable), (u32::MAX, 1 << 32));
    assert_eq!(bench.put(token, u32::MAX), Ok(()));
}

/// Regions side by side, in the wrong order, cut inside a table entry and inside an element.
#[test]
fn borders_of_regions() {
    let cut = DATA + 5;
    let mut ram = Ram::new(&[(cut, 0x100), (BASE, cut - BASE), (cut + 0x100, 1)]);
    ram.describe(DESC, DATA, 32, [INDIRECT, 0]);
    ram.describe(DATA, cut - 2, 0x103, [NEXT, 1]);
    ram.describe(DATA + 16, cut + 0x100, 1, [WRITE, 0]);
    let mut bench = Bench::on(ram, setup(4), 0);
    bench.offer(0);
    bench.ram.take_reads();
    bench.take();
    let wanted = [(cut - 2, 0x103, false), (cut + 0x100, 1, true)];
    assert_eq!(elements(&bench.chain), wanted);
    // The first entry is one fetch of two pieces (VQ-028).
    let reads = bench.ram.take_reads();
    assert_eq!(reads[3..], [(DATA, 5), (cut, 11), (DATA + 16, 16)]);

    bench.desc(1, cut - 2, 0x104, 0, 0);
    bench.offer(1);
    let Pop::Dropped { error, .. } = bench.pop() else { panic!("not dropped") };
    assert_eq!(error, Drop::OutsideMemory { address: cut - 2, len: 0x104 });
}

/// VQ-066: descriptors that describe the ring itself.
#[test]
fn buffers_may_be_anywhere() {
    let chain = accepts(&[(DESC, 64, NEXT, 1), (BASE, 0x2000, WRITE, 0)], &[]);
    assert_eq!((chain.readable, chain.writable), (64, 0x2000));
    // The descriptor is an entry of its own table.
    assert_eq!(drops(&[(DESC, 64, INDIRECT, 0)], &[], 16), Drop::NestedIndirect);
}
