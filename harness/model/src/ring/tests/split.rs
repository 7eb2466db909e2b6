//! Heads, indices and stops of the split ring.

use super::{AVAIL, BASE, DATA, DESC, END, NEXT, Ram, USED, setup};
use crate::Id;
use crate::ring::{Chain, Form, Pop, PutRefusal, Setup, Split, Stop, Token, Writes};

/// A driver and a model on one memory.
pub(super) struct Bench {
    pub(super) ram: Ram,
    pub(super) ring: Split,
    pub(super) chain: Chain,
    pub(super) writes: Writes,
    size: u16,
    /// The driver's available index.
    idx: u16,
}

impl Bench {
    pub(super) fn new(setup: Setup, start: u16) -> Self {
        Self::on(Ram::new(&[(BASE, END - BASE)]), setup, start)
    }

    pub(super) fn on(mut ram: Ram, setup: Setup, start: u16) -> Self {
        let mut writes = Writes::new();
        ram.store16(USED + 2, start);
        ram.store16(AVAIL + 2, start);
        let regions = ram.regions.clone();
        let ring = Split::activate(&setup, start, &regions, &ram, &mut writes).unwrap();
        ram.apply(&mut writes);
        ram.take_reads();
        Self { ram, ring, chain: Chain::new(), writes, size: setup.size, idx: start }
    }

    /// The ring that is in memory, with `ahead` entries available.
    pub(super) fn on_bytes(ram: &Ram, setup: Setup, ahead: u16) -> Self {
        let mut bench = Self::on(ram.clone(), setup, 0);
        bench.ram.store16(AVAIL + 2, ahead);
        bench
    }

    pub(super) fn desc(&mut self, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        self.ram.describe(DESC + 16 * u64::from(index), address, len, [flags, next]);
    }

    pub(super) fn offer(&mut self, head: u16) {
        self.ram.store16(AVAIL + 4 + 2 * u64::from(self.idx % self.size), head);
        self.idx = self.idx.wrapping_add(1);
        self.ram.store16(AVAIL + 2, self.idx);
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
    pub(super) fn stays(&mut self, stop: Stop) {
        let token = Token { id: 0, slots: 1, writable: 0, sequence: 0, epoch: 0 };
        self.ram.take_reads();
        for _ in 0..2 {
            assert_eq!(self.pop(), Pop::Stopped(stop));
            let put = self.ring.put(token, 0, &mut self.writes).unwrap_err();
            assert_eq!(put, PutRefusal::Stopped(stop));
            assert_eq!(put.rule(Form::Split), Id::Vq(68));
            let batch = self.ring.put_batch(&[], 0, &mut self.writes);
            assert_eq!(batch, Err(PutRefusal::Stopped(stop)));
            assert_eq!(self.publish(), Err(stop));
            assert_eq!(self.arm(), Err(stop));
            self.ring.disarm(&mut self.writes);
            assert!(self.writes.list().is_empty());
            assert!(self.ram.take_reads().is_empty());
            self.bind();
        }
        assert_eq!(self.ring.stopped(), Some(stop));
    }
}

#[test]
fn nothing_available() {
    let mut bench = Bench::new(setup(4), 0);
    assert_eq!(bench.pop(), Pop::Empty);
    assert_eq!(bench.ram.take_reads(), [(AVAIL + 2, 2)]);
    assert_eq!(bench.publish(), Ok(false));
    assert!(bench.ram.take_reads().is_empty());
}

#[test]
fn index_is_read_when_what_was_seen_is_taken() {
    let mut bench = Bench::new(setup(4), 0xfffe);
    for index in 0..4 {
        bench.desc(index, DATA, 1, 0, 0);
        bench.offer(index);
    }
    bench.ram.take_reads();
    for index in 0..4 {
        assert_eq!(bench.take().id, index);
        let place = AVAIL + 4 + 2 * u64::from((index + 2) % 4);
        let mut reads = vec![(place, 2), (DESC + 16 * u64::from(index), 16)];
        if index == 0 {
            reads.insert(0, (AVAIL + 2, 2));
        }
        assert_eq!(bench.ram.take_reads(), reads);
    }
    assert_eq!(bench.pop(), Pop::Yield);
    assert!(bench.ram.take_reads().is_empty());
    bench.bind();
    assert_eq!(bench.pop(), Pop::Empty);
    assert_eq!(bench.ring.stop(), 2);
}

#[test]
fn a_bind_looks_again() {
    let mut bench = Bench::new(setup(4), 0);
    bench.offer(0);
    bench.offer(1);
    bench.take();
    // The driver takes the second one back, which it may not: it counts until the next bind.
    bench.ram.store16(AVAIL + 2, 1);
    bench.bind();
    assert_eq!(bench.pop(), Pop::Empty);
    bench.ram.store16(AVAIL + 2, 0);
    let stop = Stop::AvailIndex { index: 0, next: 1, size: 4 };
    assert_eq!(bench.pop(), Pop::Stopped(stop));
    assert_eq!(stop.rule(Form::Split), Id::Vq(32));
    bench.stays(stop);
}

/// The distances of spec §10.
#[test]
fn available_distance() {
    for (idx, is_legal) in [(0x0050, true), (0x0051, false)] {
        let mut ram = Ram::new(&[(0, 0x8000)]);
        let setup = Setup { descriptor: 0, available: 0x1000, used: 0x2000, ..setup(256) };
        ram.store16(0x2002, 0xff50);
        ram.store16(0x1002, idx);
        let (mut writes, mut chain) = (Writes::new(), Chain::new());
        let regions = ram.regions.clone();
        let mut ring = Split::activate(&setup, 0xff50, &regions, &ram, &mut writes).unwrap();
        match ring.pop(&ram, &regions, &mut chain) {
            Pop::Chain { .. } => assert!(is_legal),
            Pop::Stopped(stop) => {
                assert!(!is_legal);
                assert_eq!(stop, Stop::AvailIndex { index: idx, next: 0xff50, size: 256 });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn head_out_of_range() {
    let mut bench = Bench::new(setup(4), 0);
    bench.offer(4);
    let stop = Stop::Head { head: 4, size: 4 };
    assert_eq!(bench.pop(), Pop::Stopped(stop));
    assert_eq!(stop.rule(Form::Split), Id::Vq(23));
    bench.stays(stop);
    assert_eq!(bench.ring.next(), 0);
}

#[test]
fn head_twice() {
    let mut bench = Bench::new(setup(4), 0);
    bench.offer(1);
    let token = bench.take();
    bench.put(token, 0).unwrap();
    // Given back, so it may come again, before the driver is shown as well.
    bench.offer(1);
    bench.take();
    bench.offer(1);
    let stop = Stop::HeadInFlight { head: 1 };
    assert_eq!(bench.pop(), Pop::Stopped(stop));
    assert_eq!(stop.rule(Form::Split), Id::Vq(34));
    bench.stays(stop);
}

#[test]
fn a_dropped_head_is_in_flight_too() {
    let mut bench = Bench::new(setup(4), 0);
    bench.desc(1, DATA, 1, NEXT, 9);
    bench.offer(1);
    assert!(matches!(bench.pop(), Pop::Dropped { .. }));
    bench.offer(1);
    assert_eq!(bench.pop(), Pop::Stopped(Stop::HeadInFlight { head: 1 }));
}

#[test]
fn more_in_flight_than_the_ring_has() {
    let mut bench = Bench::new(setup(2), 0xffff);
    bench.offer(0);
    bench.offer(1);
    let token = bench.take();
    bench.take();
    bench.bind();
    assert_eq!(bench.pop(), Pop::Empty);
    bench.put(token, 0).unwrap();
    bench.offer(0);
    // Given back is not enough: the driver has not seen it.
    let stop = Stop::TooManyInFlight;
    assert_eq!(bench.pop(), Pop::Stopped(stop));
    assert_eq!(stop.rule(Form::Split), Id::Vq(33));
    bench.stays(stop);

    let mut bench = Bench::new(setup(2), 0xffff);
    bench.offer(0);
    bench.offer(1);
    let token = bench.take();
    bench.take();
    bench.put(token, 0).unwrap();
    assert_eq!(bench.publish(), Ok(true));
    bench.offer(0);
    bench.bind();
    assert_eq!(bench.take().id, 0);
}

#[test]
fn a_ring_of_one_entry_goes_round() {
    let mut bench = Bench::new(setup(1), 0xfffe);
    bench.desc(0, DATA, 8, 2, 0);
    for round in 0..5u16 {
        bench.bind();
        bench.offer(0);
        let token = bench.take();
        assert_eq!(bench.pop(), Pop::Yield);
        bench.put(token, round.into()).unwrap();
        assert_eq!(bench.publish(), Ok(true));
        assert_eq!(bench.ram.load16(USED + 2), 0xffffu16.wrapping_add(round));
        assert_eq!(bench.ram.load(USED + 4, 8), [0, 0, 0, 0, round.to_le_bytes()[0], 0, 0, 0]);
    }
}

/// What is between used and available index at the start is out of reach, but counts.
#[test]
fn an_earlier_life_counts() {
    let mut ram = Ram::plain();
    ram.store16(USED + 2, 0xffff);
    ram.store16(AVAIL + 2, 2);
    let (mut writes, mut chain) = (Writes::new(), Chain::new());
    let regions = ram.regions.clone();
    let mut ring = Split::activate(&setup(2), 1, &regions, &ram, &mut writes).unwrap();
    assert_eq!(ring.pop(&ram, &regions, &mut chain), Pop::Stopped(Stop::TooManyInFlight));

    let mut ring = Split::activate(&setup(2), 1, &regions, &ram, &mut writes).unwrap();
    ram.describe(DESC, DATA, 5, [2, 0]);
    ram.describe(DESC + 16, DATA, 5, [NEXT, 7]);
    assert_eq!(ring.retake(&ram, &regions, 2, &mut chain), None);
    let Some(Pop::Chain { token }) = ring.retake(&ram, &regions, 0, &mut chain) else {
        panic!("no chain");
    };
    assert_eq!((chain.writable, ring.next()), (5, 1));
    assert_eq!(ring.retake(&ram, &regions, 0, &mut chain), None);
    let dropped = ring.retake(&ram, &regions, 1, &mut chain);
    assert!(matches!(dropped, Some(Pop::Dropped { .. })));
    assert_eq!(ring.retake(&ram, &regions, 1, &mut chain), None);
    let mut other = Split::activate(&setup(2), 0, &regions, &ram, &mut writes).unwrap();
    assert!(other.retake(&ram, &regions, 1, &mut chain).is_some());
    assert_eq!(other.retake(&ram, &regions, 0, &mut chain), None, "there was only one");
    ring.put(token, 5, &mut writes).unwrap();
    assert_eq!(ring.publish(&ram, &regions, &mut writes), Ok(true));
    assert_eq!(ring.published(), 0);
    assert!(matches!(ring.pop(&ram, &regions, &mut chain), Pop::Chain { .. }));
}
