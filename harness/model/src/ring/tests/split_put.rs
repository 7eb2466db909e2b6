//! Completions, calls and kicks of the split ring.

use super::split::Bench;
use super::{AVAIL, DATA, NEXT, USED, WRITE, setup};
use crate::Id;
use crate::ring::{Form, Pop, PutRefusal, Setup, Stop, Token};

/// A ring of four with a chain in each descriptor: 0 and 1 readable, 2 and 3 writable.
fn bench(setup: Setup, start: u16) -> (Bench, [Token; 4]) {
    let mut bench = Bench::new(setup, start);
    for head in 0..4 {
        bench.desc(head, DATA, 8, if head < 2 { 0 } else { WRITE }, 0);
        bench.offer(head);
    }
    let tokens = [0; 4].map(|_| bench.take());
    bench.ram.take_reads();
    (bench, tokens)
}

fn element(bench: &Bench, slot: u64) -> (u32, u32) {
    let bytes = bench.ram.load(USED + 4 + 8 * slot, 8);
    let part = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    (part(0), part(4))
}

#[test]
fn elements_first_then_the_index() {
    let (mut bench, [first, second, third, _]) = bench(setup(4), 0xfffe);
    bench.ring.put(third, 8, &mut bench.writes).unwrap();
    bench.ring.put(first, 0, &mut bench.writes).unwrap();
    bench.ring.put(second, 0, &mut bench.writes).unwrap();
    assert_eq!(bench.ring.in_flight().len(), 1);
    let regions = bench.ram.regions.clone();
    assert_eq!(bench.ring.publish(&bench.ram, &regions, &mut bench.writes), Ok(true));
    let stores: Vec<_> =
        bench.writes.list().iter().map(|write| (write.address, write.bytes().to_vec())).collect();
    let wanted = [
        (USED + 4 + 16, vec![2, 0, 0, 0, 8, 0, 0, 0]),
        (USED + 4 + 24, vec![0; 8]),
        (USED + 4, vec![1, 0, 0, 0, 0, 0, 0, 0]),
        (USED + 2, vec![1, 0]),
    ];
    assert_eq!(stores, wanted);
    assert_eq!(bench.ring.published(), 1);
}

#[test]
fn refused_completions() {
    let (mut bench, [first, _, third, fourth]) = bench(setup(4), 0);
    let judge = |refusal: PutRefusal, rule| {
        assert_eq!(refusal.rule(Form::Split), Id::Vq(rule));
        Err(refusal)
    };
    let long = |len, writable| judge(PutRefusal::TooLong { len, writable }, 39);
    assert_eq!(bench.put(first, 1), long(1, 0));
    assert_eq!(bench.put(third, 9), long(9, 8));
    assert_eq!(bench.put(third, u32::MAX), long(u32::MAX, 8));
    let other = Token { epoch: 1, ..third };
    assert_eq!(bench.put(other, 0), judge(PutRefusal::Stale, 40));
    // A refused completion leaves the chain where it was.
    assert_eq!(bench.put(third, 8), Ok(()));
    assert_eq!(bench.put(third, 8), Err(PutRefusal::Stale));
    let batch = bench.ring.put_batch(&[first], 0, &mut bench.writes);
    assert_eq!(batch, judge(PutRefusal::NoBatch, 58));
    assert!(bench.writes.list().is_empty());
    assert_eq!(bench.put(fourth, 0), Ok(()));
    assert_eq!(bench.ring.in_flight().len(), 2);
}

#[test]
fn in_order() {
    let ordered = Setup { in_order: true, ..setup(4) };
    let (mut bench, [first, second, third, fourth]) = bench(ordered, 2);
    assert_eq!(bench.put(second, 0), Err(PutRefusal::OutOfOrder));
    assert_eq!(PutRefusal::OutOfOrder.rule(Form::Split), Id::Vq(56));
    // A length that is wrong is wrong in any order.
    let long = PutRefusal::TooLong { len: 9, writable: 0 };
    assert_eq!(bench.put(second, 9), Err(long));
    let mut batch = |tokens: &[Token], len| bench.ring.put_batch(tokens, len, &mut bench.writes);
    assert_eq!(batch(&[second, first], 0), Err(PutRefusal::OutOfOrder));
    assert_eq!(batch(&[first, first], 0), Err(PutRefusal::OutOfOrder));
    assert_eq!(batch(&[first, third], 0), Err(PutRefusal::OutOfOrder));
    let long = PutRefusal::TooLong { len: 9, writable: 8 };
    assert_eq!(batch(&[first, second, third], 9), Err(long));
    let implied = PutRefusal::LengthNotImplied { index: 2 };
    assert_eq!(batch(&[first, second, third, fourth], 0), Err(implied));
    assert_eq!(implied.rule(Form::Split), Id::Vq(59));
    assert_eq!(batch(&[], 0), Ok(()));
    assert_eq!(batch(&[first, Token { epoch: 7, ..second }], 0), Err(PutRefusal::Stale));
    assert_eq!(batch(&[first, second, third], 8), Ok(()));
    bench.ram.apply(&mut bench.writes);
    // The element is in the slot of the first, with the head of the last (VQ-058).
    assert_eq!(element(&bench, 2), (2, 8));
    assert_eq!(element(&bench, 3), (0, 0));
    assert_eq!(bench.publish(), Ok(true));
    assert_eq!(bench.ram.load16(USED + 2), 5);
    bench.put(fourth, 3).unwrap();
    assert_eq!(element(&bench, 1), (3, 3));
    // Every head of the batch may come again.
    bench.publish().unwrap();
    bench.bind();
    for head in 0..4 {
        bench.offer(head);
        assert_eq!(bench.take().id, head);
    }
}

#[test]
fn dropped_heads_keep_their_place() {
    let mut bench = Bench::new(Setup { in_order: true, ..setup(4) }, 0);
    bench.desc(0, DATA, 1, NEXT, 4);
    bench.desc(1, DATA, 1, WRITE, 0);
    bench.offer(0);
    bench.offer(1);
    let Pop::Dropped { token, .. } = bench.pop() else { panic!("not dropped") };
    let good = bench.take();
    assert_eq!(bench.put(good, 1), Err(PutRefusal::OutOfOrder));
    // Its length is implied: it has no writable bytes to speak of.
    bench.ring.put_batch(&[token, good], 1, &mut bench.writes).unwrap();
    bench.ram.apply(&mut bench.writes);
    assert_eq!(element(&bench, 0), (1, 1));
}

#[test]
fn calls_by_flag() {
    let (mut bench, tokens) = bench(setup(4), 0);
    bench.ram.store16(AVAIL, 1);
    let mut publish = |index: usize| {
        bench.put(tokens[index], 0).unwrap();
        bench.ram.take_reads();
        (bench.publish().unwrap(), bench.ram.take_reads())
    };
    // VQ-050: the first one calls in any case.
    assert_eq!(publish(0), (true, vec![]));
    assert_eq!(publish(1), (false, vec![(AVAIL, 2)]));
    bench.ram.store16(AVAIL, 0xfffe);
    bench.put(tokens[2], 0).unwrap();
    assert_eq!(bench.publish(), Ok(true));
    assert_eq!(bench.publish(), Ok(false));
}

#[test]
fn calls_by_event() {
    let (mut bench, tokens) = bench(Setup { event_idx: true, ..setup(4) }, 0xfffe);
    let event = AVAIL + 4 + 8;
    // VQ-045: the flag says nothing now.
    bench.ram.store16(AVAIL, 1);
    bench.ram.store16(event, 0x1234);
    bench.put(tokens[0], 0).unwrap();
    assert_eq!(bench.publish(), Ok(true));
    bench.ram.store16(event, 0xfffe);
    bench.put(tokens[1], 0).unwrap();
    bench.ram.take_reads();
    assert_eq!(bench.publish(), Ok(false));
    assert_eq!(bench.ram.take_reads(), [(event, 2)]);
    // Entries 0 and 1 at once.
    bench.ram.store16(event, 1);
    bench.put(tokens[2], 0).unwrap();
    bench.put(tokens[3], 0).unwrap();
    assert_eq!(bench.publish(), Ok(true));
    assert_eq!(bench.ram.load16(USED + 2), 2);
}

#[test]
fn kicks_by_flag() {
    let mut bench = Bench::new(setup(4), 0);
    bench.ring.disarm(&mut bench.writes);
    bench.ram.apply(&mut bench.writes);
    assert_eq!(bench.ram.load16(USED), 1);
    bench.ram.take_reads();
    assert_eq!(bench.arm(), Ok(false));
    assert_eq!(bench.ram.take_reads(), [(AVAIL + 2, 2)]);
    assert_eq!(bench.ram.load16(USED), 0);
    bench.offer(0);
    assert_eq!(bench.arm(), Ok(true));
    bench.take();
    assert_eq!(bench.arm(), Ok(false));
}

#[test]
fn kicks_by_event() {
    let mut bench = Bench::new(Setup { event_idx: true, ..setup(4) }, 0xffff);
    bench.ring.disarm(&mut bench.writes);
    assert!(bench.writes.list().is_empty());
    bench.offer(0);
    bench.take();
    bench.ram.store16(USED + 4 + 32, 0x5555);
    assert_eq!(bench.arm(), Ok(false));
    assert_eq!(bench.ram.load16(USED + 4 + 32), 0);
    // VQ-042.
    assert_eq!(bench.ram.load16(USED), 0);
    bench.offer(1);
    assert_eq!(bench.arm(), Ok(true));
}

#[test]
fn an_index_that_is_wrong_while_arming() {
    let mut bench = Bench::new(setup(4), 3);
    bench.ram.store16(AVAIL + 2, 8);
    let stop = Stop::AvailIndex { index: 8, next: 3, size: 4 };
    assert_eq!(bench.arm(), Err(stop));
    bench.stays(stop);
}

/// The event fields of the largest ring of spec §10 are where they have to be.
#[test]
fn place_of_the_event_fields() {
    let mut ram = super::Ram::new(&[(0, 0x8000)]);
    let setup =
        Setup { descriptor: 0, available: 0x1000, used: 0x2000, event_idx: true, ..setup(256) };
    ram.describe(0, 0, 1, [0, 0]);
    ram.store16(0x1002, 2);
    ram.store16(0x1006, 1);
    let (mut writes, regions) = (super::Writes::new(), ram.regions.clone());
    let mut chain = super::Chain::new();
    let mut ring = crate::ring::Split::activate(&setup, 0, &regions, &ram, &mut writes).unwrap();
    for is_first in [true, false] {
        let Pop::Chain { token } = ring.pop(&ram, &regions, &mut chain) else { panic!("none") };
        ring.put(token, 0, &mut writes).unwrap();
        ram.take_reads();
        ring.publish(&ram, &regions, &mut writes).unwrap();
        let wanted = if is_first { vec![] } else { vec![(0x1000 + 516, 2)] };
        assert_eq!(ram.take_reads(), wanted);
    }
    writes.clear();
    ring.arm(&ram, &regions, &mut writes).unwrap();
    assert_eq!(writes.list()[0].address, 0x2000 + 2052);
}
