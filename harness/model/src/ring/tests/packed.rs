//! Lists, laps and stops of the packed ring.

use super::{DATA, DESC, END, INDIRECT, NEXT, Ram, WRITE, elements, setup};
use crate::Id;
use crate::ring::{
    Chain, Drop, Form, Packed, Pop, Position, PutRefusal, Setup, Stop, Token, Writes,
};

/// A driver and a model on one memory.
pub(super) struct Bench {
    pub(super) ram: Ram,
    pub(super) ring: Packed,
    pub(super) chain: Chain,
    pub(super) writes: Writes,
    size: u16,
    /// Where the driver makes its next slot available.
    at: Position,
}

impl Bench {
    pub(super) fn new(setup: Setup, start: Position) -> Self {
        Self::on(Ram::plain(), setup, start)
    }

    pub(super) fn on(mut ram: Ram, setup: Setup, start: Position) -> Self {
        let mut writes = Writes::new();
        // A driver in its second lap left all slots used.
        for slot in 0..setup.size {
            let wrap = start.wrap == (slot < start.offset);
            ram.store16(DESC + 16 * u64::from(slot) + 14, if wrap { 0x8080 } else { 0 });
        }
        let regions = ram.regions.clone();
        let ring = Packed::activate(&setup, [start; 2], &regions, &mut writes).unwrap();
        ram.apply(&mut writes);
        Self { ram, ring, chain: Chain::new(), writes, size: setup.size, at: start }
    }

    /// The ring that is in memory.
    pub(super) fn on_bytes(ram: &Ram, setup: Setup) -> Self {
        let bench = Self::new(setup, Position::FRESH);
        Self { ram: ram.clone(), ..bench }
    }

    pub(super) fn fresh(size: u16) -> Self {
        Self::new(setup(size), Position::FRESH)
    }

    /// Makes slots available: address, length, id, flags of each.
    pub(super) fn offer(&mut self, slots: &[(u64, u32, u16, u16)]) {
        for &(address, len, id, flags) in slots {
            let lap = if self.at.wrap { 0x80 } else { 0x8000 };
            let place = DESC + 16 * u64::from(self.at.offset);
            self.ram.describe(place, address, len, [id, flags | lap]);
            self.at.offset += 1;
            if self.at.offset == self.size {
                self.at = Position { offset: 0, wrap: !self.at.wrap };
            }
        }
        self.ram.take_reads();
    }

    pub(super) fn bind(&mut self) {
        self.ring.bind(&self.ram.regions).unwrap();
    }

    pub(super) fn pop(&mut self) -> Pop {
        self.ring.pop(&self.ram, &self.ram.regions, &mut self.chain)
    }

    pub(super) fn take(&mut self) -> Token {
        match self.pop() {
            Pop::Chain { token } => token,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn put(&mut self, token: Token, len: u32) -> Result<(), PutRefusal> {
        let result = self.ring.put(token, len, &mut self.writes);
        self.ram.apply(&mut self.writes);
        result
    }

    pub(super) fn publish(&mut self) -> Result<bool, Stop> {
        let result = self.ring.publish(&self.ram, &self.ram.regions, &mut self.writes);
        self.ram.apply(&mut self.writes);
        result
    }

    pub(super) fn arm(&mut self) -> Result<bool, Stop> {
        let result = self.ring.arm(&self.ram, &self.ram.regions, &mut self.writes);
        self.ram.apply(&mut self.writes);
        result
    }

    /// The ring is broken for this reason, and from now on touches nothing (VQ-068).
    fn stays(&mut self, stop: Stop) {
        let token = Token { id: 0, slots: 1, writable: 0, sequence: 0, epoch: 0 };
        self.ram.take_reads();
        for _ in 0..2 {
            assert_eq!(self.pop(), Pop::Stopped(stop));
            assert_eq!(self.chain, Chain::new());
            let stopped = Err(PutRefusal::Stopped(stop));
            assert_eq!(self.ring.put(token, 0, &mut self.writes), stopped);
            assert_eq!(self.ring.put_batch(&[], 0, &mut self.writes), stopped);
            assert_eq!(self.publish(), Err(stop));
            assert_eq!(self.arm(), Err(stop));
            self.ring.disarm(&mut self.writes);
            assert!(self.writes.list().is_empty());
            assert!(self.ram.take_reads().is_empty());
            self.bind();
        }
        assert_eq!(self.ring.stopped(), Some(stop));
    }

    fn stops(&mut self, stop: Stop, rule: u16) {
        assert_eq!(self.pop(), Pop::Stopped(stop));
        assert_eq!(stop.rule(Form::Packed), Id::Pk(rule));
        self.stays(stop);
    }
}

fn slot(index: u64) -> u64 {
    DESC + 16 * index
}

#[test]
fn nothing_available() {
    for wrap in [false, true] {
        let mut bench = Bench::new(setup(3), Position { offset: 1, wrap });
        bench.ram.take_reads();
        assert_eq!(bench.pop(), Pop::Empty);
        assert_eq!(bench.ram.take_reads(), [(slot(1) + 8, 8)]);
        // "AVAIL differs from USED" is not enough.
        bench.ram.store16(slot(1) + 14, if wrap { 0x8000 } else { 0x0080 });
        assert_eq!(bench.pop(), Pop::Empty);
        bench.ram.store16(slot(1) + 14, if wrap { 0x0080 } else { 0x8000 });
        assert!(matches!(bench.pop(), Pop::Chain { .. }));
    }
}

#[test]
fn lists_over_the_end_of_the_ring() {
    let mut bench = Bench::new(setup(3), Position { offset: 2, wrap: true });
    bench.offer(&[(DATA, 1, 7, NEXT), (DATA + 1, 2, 8, NEXT | WRITE), (DATA + 3, 4, 9, WRITE)]);
    let token = bench.take();
    // The id is that of the last one (PK-022).
    assert_eq!((token.id, token.slots, token.writable), (9, 3, 6));
    assert_eq!((bench.chain.id, bench.chain.slots), (9, 3));
    let wanted = [(DATA, 1, false), (DATA + 1, 2, true), (DATA + 3, 4, true)];
    assert_eq!(elements(&bench.chain), wanted);
    let reads = [2, 0, 1].map(|index| [(slot(index) + 8, 8), (slot(index), 8)]);
    assert_eq!(bench.ram.take_reads(), reads.concat());
    assert_eq!(bench.ring.next(), Position { offset: 2, wrap: false });
    assert_eq!(bench.pop(), Pop::Empty);
    bench.put(token, 6).unwrap();
    bench.publish().unwrap();
    assert_eq!(bench.ring.stop(), [Position { offset: 2, wrap: false }; 2]);
}

#[test]
fn many_laps() {
    for size in 1..=5u16 {
        let mut bench = Bench::fresh(size);
        for round in 0..30u16 {
            let len = round % size + 1;
            let list: Vec<_> = (1..=len)
                .map(|at| (DATA, 1, round * 8 + at, if at < len { NEXT } else { WRITE }))
                .collect();
            bench.offer(&list);
            bench.bind();
            let token = bench.take();
            assert_eq!((token.id, token.slots), (round * 8 + len, len));
            bench.bind();
            assert_eq!(bench.pop(), Pop::Empty);
            bench.put(token, 1).unwrap();
            assert_eq!(bench.publish(), Ok(true));
        }
        assert_eq!(bench.ring.next(), bench.ring.published());
        assert_eq!(bench.ring.in_flight().len(), 0);
    }
}

#[test]
fn as_many_chains_as_slots_in_one_wake_up() {
    let mut bench = Bench::fresh(2);
    for id in 0..2 {
        bench.offer(&[(DATA, 1, id, 0)]);
        let token = bench.take();
        bench.put(token, 0).unwrap();
        bench.publish().unwrap();
    }
    bench.offer(&[(DATA, 1, 2, 0)]);
    assert_eq!(bench.pop(), Pop::Yield);
    assert!(bench.ram.take_reads().is_empty());
    bench.bind();
    assert_eq!(bench.take().id, 2);
}

#[test]
fn equal_ids_are_two_buffers() {
    let mut bench = Bench::fresh(3);
    bench.offer(&[(DATA, 1, 5, NEXT), (DATA, 1, 5, 0), (DATA, 9, 5, WRITE)]);
    let (first, second) = (bench.take(), bench.take());
    assert_ne!(first, second);
    assert_eq!(bench.put(first, 1), Err(PutRefusal::TooLong { len: 1, writable: 0 }));
    assert_eq!(bench.put(second, 9), Ok(()));
    assert_eq!(bench.put(second, 0), Err(PutRefusal::Stale));
    assert_eq!(bench.put(first, 0), Ok(()));
}

#[test]
fn list_without_an_end() {
    let mut bench = Bench::fresh(3);
    bench.offer(&[(DATA, 1, 0, NEXT); 3]);
    bench.stops(Stop::ListTooLong, 12);
    let mut bench = Bench::fresh(1);
    bench.offer(&[(DATA, 1, 0, NEXT)]);
    bench.stops(Stop::ListTooLong, 12);
    // Also when something is wrong with an element of it.
    let mut bench = Bench::fresh(3);
    bench.offer(&[(0, 1, 0, NEXT); 3]);
    bench.stops(Stop::ListTooLong, 12);
}

#[test]
fn more_slots_in_flight_than_the_ring_has() {
    // A whole lap is in flight, and the driver offers the next one.
    let mut bench = Bench::fresh(2);
    bench.offer(&[(DATA, 1, 0, NEXT), (DATA, 1, 0, 0)]);
    let token = bench.take();
    bench.put(token, 0).unwrap();
    bench.offer(&[(DATA, 1, 0, 0)]);
    bench.stops(Stop::TooManyInFlight, 29);
    assert!(bench.ram.take_reads().is_empty());

    // A list goes on into slots that are in flight.
    let mut bench = Bench::fresh(3);
    bench.offer(&[(DATA, 1, 0, 0), (DATA, 1, 0, 0)]);
    bench.take();
    bench.take();
    bench.offer(&[(DATA, 1, 0, NEXT), (DATA, 1, 0, 0)]);
    bench.stops(Stop::TooManyInFlight, 29);
    assert_eq!(bench.ring.next(), Position { offset: 2, wrap: true });

    // In flight from an earlier life.
    let ram = Ram::plain();
    let positions = [Position { offset: 0, wrap: false }, Position::FRESH];
    let mut writes = Writes::new();
    let regions = ram.regions.clone();
    let ring = Packed::activate(&setup(2), positions, &regions, &mut writes).unwrap();
    let mut bench = Bench { ring, ..Bench::fresh(2) };
    bench.at = positions[0];
    bench.offer(&[(DATA, 1, 0, 0)]);
    bench.stops(Stop::TooManyInFlight, 29);
}

#[test]
fn slots_that_are_not_available() {
    let list = [(DATA, 1, 0, NEXT), (DATA, 1, 0, 0), (DATA, 1, 0, 0)];
    for start in [0, 1, 2] {
        for wrong in [0x0000, 0x8080, 0x0080, 0x8000] {
            let begin = |strict| {
                let strict = Setup { strict, ..setup(3) };
                let mut bench = Bench::new(strict, Position { offset: start, wrap: true });
                bench.offer(&list[..2]);
                let second = u64::from((start + 1) % 3);
                bench.ram.store16(slot(second) + 14, wrong);
                bench
            };
            let lap = if start == 2 { 0x8000 } else { 0x0080 };
            let mut bench = begin(true);
            if wrong == lap {
                bench.take();
            } else {
                bench.stops(Stop::Unavailable { slot: (start + 1) % 3 }, 15);
            }
            assert_eq!(begin(false).take().slots, 2);
        }
    }
}

/// The verdict about a list of a fresh ring of four, which has `slots` slots and this id.
fn drops(setup: Setup, list: &[(u64, u32, u16, u16)], rule: u16) -> Drop {
    let mut bench = Bench::new(setup, Position { offset: 3, wrap: false });
    bench.offer(list);
    let Pop::Dropped { token, error } = bench.pop() else { panic!("not dropped") };
    assert_eq!(error.rule(Form::Packed), Id::Pk(rule), "{error:?}");
    assert_eq!(usize::from(token.slots), list.len());
    assert_eq!((token.id, token.writable), (list.last().unwrap().2, 0));
    assert_eq!(bench.chain, Chain::new());
    assert!(bench.put(token, 1).is_err());
    bench.put(token, 0).unwrap();
    assert_eq!(bench.publish(), Ok(true));
    assert_eq!(bench.ring.next(), bench.ring.published());
    error
}

#[test]
fn first_mistake_counts_and_the_list_is_followed_on() {
    let after = Drop::ReadableAfterWritable;
    let list = [(DATA, 1, 0, NEXT | WRITE), (0, 1, 1, NEXT), (DATA, 1, 2, 0)];
    assert_eq!(drops(setup(4), &list, 13), after);
    assert_eq!(drops(setup(4), &[(0, 0, 0, NEXT | WRITE), (0, 0, 1, 0)], 13), after);
    let list = [(0, 1, 0, NEXT | WRITE), (DATA, 1, 1, NEXT), (DATA, 1, 2, INDIRECT)];
    assert_eq!(drops(setup(4), &list, 41), Drop::OutsideMemory { address: 0, len: 1 });
    let list = [(DATA, 1, 0, NEXT), (u64::MAX, 1, 2, 0)];
    assert_eq!(drops(setup(4), &list, 41), Drop::AddressOverflow { address: u64::MAX, len: 1 });
    // A list of the whole ring.
    let list = [(END, 1, 0, NEXT), (END, 2, 1, NEXT), (END, 3, 2, NEXT), (END, 4, 3, 0)];
    assert_eq!(drops(setup(4), &list, 41), Drop::OutsideMemory { address: END, len: 1 });
}

#[test]
fn tables_in_lists() {
    let plain = (DATA, 1, 0, NEXT);
    let table = (DATA, 16, 1, INDIRECT);
    let linked = (DATA, 16, 1, INDIRECT | NEXT);
    let last = (DATA, 1, 9, 0);
    let off = Setup { indirect: false, ..setup(4) };
    assert_eq!(drops(off, &[table], 16), Drop::IndirectNotNegotiated);
    for list in [&[plain, table][..], &[linked, last], &[plain, linked, last]] {
        assert_eq!(drops(setup(4), list, 17), Drop::IndirectInList);
        assert_eq!(drops(off, list, 16), Drop::IndirectNotNegotiated);
    }
    // Nothing of such a table is read.
    let mut bench = Bench::fresh(4);
    bench.offer(&[linked, last]);
    bench.pop();
    assert!(bench.ram.take_reads().iter().all(|(address, _)| *address < DATA));
}

#[test]
fn table_lengths() {
    for len in [0, 8, 17, u32::MAX] {
        let error = drops(setup(4), &[(DATA, len, 3, INDIRECT)], 21);
        assert_eq!(error, Drop::IndirectLength { len });
    }
    let capped = Setup { cap: 2, ..setup(4) };
    let error = drops(capped, &[(u64::MAX, 48, 3, INDIRECT)], 21);
    assert_eq!(error, Drop::IndirectTooLong { entries: 3, cap: 2 });
    let error = drops(setup(4), &[(u64::MAX - 15, 16, 3, INDIRECT)], 41);
    assert_eq!(error, Drop::AddressOverflow { address: u64::MAX - 15, len: 16 });
    let error = drops(setup(4), &[(END - 16, 32, 3, INDIRECT)], 41);
    assert_eq!(error, Drop::TableOutsideMemory { address: END - 16, len: 32 });
}

#[test]
fn all_entries_of_a_table() {
    let mut bench = Bench::fresh(4);
    // Ids and other flags say nothing (PK-019), nor does WRITE at the table (PK-020).
    bench.ram.describe(DATA, 1 << 40, 0, [0xffff, !WRITE]);
    bench.ram.describe(DATA + 16, DATA, 2, [0xaaaa, INDIRECT]);
    bench.ram.describe(DATA + 32, DATA, 4, [0, 0xffff]);
    bench.offer(&[(DATA, 48, 77, INDIRECT | WRITE)]);
    let token = bench.take();
    assert_eq!((token.id, token.slots, token.writable), (77, 1, 4));
    assert_eq!(elements(&bench.chain), [(DATA, 2, false), (DATA, 4, true)]);
    let entries = [0, 16, 32].map(|at| (DATA + at, 16));
    assert_eq!(bench.ram.take_reads(), [&[(slot(0) + 8, 8), (slot(0), 8)][..], &entries].concat());

    bench.ram.describe(DATA, DATA, 1, [0, WRITE]);
    bench.offer(&[(DATA, 48, 78, INDIRECT)]);
    let Pop::Dropped { token, error } = bench.pop() else { panic!("not dropped") };
    assert_eq!((token.id, error), (78, Drop::ReadableAfterWritable));
}

#[test]
fn bytes_of_a_list() {
    for (last, is_legal) in [(1, true), (2, false)] {
        let mut ram = Ram::plain();
        ram.regions.push(crate::ring::Region { start: 1 << 40, size: 1 << 32 });
        let mut bench = Bench::on(ram, setup(4), Position::FRESH);
        bench.offer(&[(1 << 40, u32::MAX, 1, NEXT | WRITE), (1 << 40, last, 2, WRITE)]);
        match bench.pop() {
            Pop::Chain { token } => assert!(is_legal && token.writable == u32::MAX),
            Pop::Dropped { token, error } => {
                assert!(!is_legal && (token.id, token.slots) == (2, 2));
                assert_eq!(error, Drop::TooManyBytes { bytes: (1 << 32) + 1 });
                assert_eq!(error.rule(Form::Packed), Id::Pk(41));
            }
            other => panic!("{other:?}"),
        }
    }
}
