//! Completions, calls and kicks of the packed ring.

use super::packed::Bench;
use super::{AVAIL, DATA, DESC, NEXT, USED, WRITE, setup};
use crate::Id;
use crate::ring::{Form, Position, PutRefusal, Setup, Token};

fn slot(index: u64) -> u64 {
    DESC + 16 * index
}

/// Length, id and flags of a slot.
fn used(bench: &Bench, index: u64) -> (u32, u16, u16) {
    let bytes = bench.ram.load(slot(index) + 8, 8);
    (
        u32::from_le_bytes(bytes[..4].try_into().unwrap()),
        u16::from_le_bytes([bytes[4], bytes[5]]),
        u16::from_le_bytes([bytes[6], bytes[7]]),
    )
}

/// Three buffers in a ring of five that start at slot 3 of the first lap: two slots, one, two.
fn three(setup: Setup) -> (Bench, [Token; 3]) {
    let mut bench = Bench::new(setup, Position { offset: 3, wrap: true });
    bench.offer(&[
        (DATA, 8, 10, NEXT),
        (DATA, 8, 11, WRITE),
        (DATA, 8, 12, 0),
        (DATA, 8, 13, NEXT | WRITE),
        (DATA, 8, 14, WRITE),
    ]);
    let tokens = [0; 3].map(|_| bench.take());
    (bench, tokens)
}

#[test]
fn first_flags_come_last() {
    let (mut bench, [first, second, third]) = three(setup(5));
    bench.ring.put(second, 0, &mut bench.writes).unwrap();
    bench.ring.put(third, 16, &mut bench.writes).unwrap();
    bench.ring.put(first, 0, &mut bench.writes).unwrap();
    let regions = bench.ram.regions.clone();
    assert_eq!(bench.ring.publish(&bench.ram, &regions, &mut bench.writes), Ok(true));
    let stores: Vec<_> =
        bench.writes.list().iter().map(|write| (write.address, write.bytes().to_vec())).collect();
    let wanted = [
        // One slot at 3, then two from 4 over the end, then two from 1 in the second lap.
        (slot(3) + 8, vec![0, 0, 0, 0, 12, 0]),
        (slot(4) + 8, vec![16, 0, 0, 0, 14, 0]),
        (slot(4) + 14, vec![0x82, 0x80]),
        (slot(1) + 8, vec![0, 0, 0, 0, 11, 0]),
        (slot(1) + 14, vec![0, 0]),
        (slot(3) + 14, vec![0x80, 0x80]),
    ];
    assert_eq!(stores, wanted);
    assert_eq!(bench.ring.published(), Position { offset: 3, wrap: false });
}

#[test]
fn flags_of_used_slots() {
    for (wrap, both) in [(true, 0x8080), (false, 0)] {
        let mut bench = Bench::new(setup(5), Position { offset: 0, wrap });
        bench.offer(&[(DATA, 8, 0xffff, WRITE), (DATA, 8, 2, WRITE)]);
        let (first, second) = (bench.take(), bench.take());
        bench.put(first, 8).unwrap();
        bench.publish().unwrap();
        assert_eq!(used(&bench, 0), (8, 0xffff, both | WRITE));
        // PK-025: nothing written, so no WRITE and no length.
        bench.put(second, 0).unwrap();
        bench.publish().unwrap();
        assert_eq!(used(&bench, 1), (0, 2, both));
    }
}

#[test]
fn what_is_not_shown_is_not_used() {
    let (mut bench, [first, second, third]) = three(setup(5));
    bench.put(first, 0).unwrap();
    let start = Position { offset: 3, wrap: true };
    assert_eq!(bench.ring.published(), start);
    assert_eq!(bench.ring.clone().stop(), [Position { offset: 3, wrap: false }, start]);
    assert_eq!(bench.ram.load16(slot(3) + 14) & 0x8080, 0x0080);
    assert_eq!(bench.publish(), Ok(true));
    assert_eq!(bench.ram.load16(slot(3) + 14) & 0x8080, 0x8080);
    bench.ram.take_reads();
    assert_eq!(bench.publish(), Ok(false));
    assert!(bench.ram.take_reads().is_empty() && bench.writes.list().is_empty());
    bench.put(second, 0).unwrap();
    bench.put(third, 0).unwrap();
    bench.publish().unwrap();
    assert_eq!(bench.ring.stop(), [Position { offset: 3, wrap: false }; 2]);
}

#[test]
fn batches() {
    let (mut bench, [first, second, third]) = three(Setup { in_order: true, ..setup(5) });
    assert_eq!(bench.put(second, 0), Err(PutRefusal::OutOfOrder));
    let mut batch = |tokens: &[Token], len| bench.ring.put_batch(tokens, len, &mut bench.writes);
    let implied = PutRefusal::LengthNotImplied { index: 0 };
    assert_eq!(batch(&[first, second], 0), Err(implied));
    assert_eq!(batch(&[first], 8), Ok(()));
    assert_eq!(batch(&[second, third], 16), Ok(()));
    bench.ram.apply(&mut bench.writes);
    bench.publish().unwrap();
    assert_eq!(used(&bench, 3), (8, 11, 0x8082));
    // PK-031: the id of the last over the slot of the first, then three slots are skipped.
    assert_eq!(used(&bench, 0), (16, 14, 0x0002));
    assert_eq!(bench.ring.published(), Position { offset: 3, wrap: false });

    let (mut bench, [first, ..]) = three(setup(5));
    let refused = bench.ring.put_batch(&[first], 0, &mut bench.writes).unwrap_err();
    assert_eq!((refused, refused.rule(Form::Packed)), (PutRefusal::NoBatch, Id::Pk(31)));
}

#[test]
fn calls() {
    let (mut bench, tokens) = three(Setup { event_idx: true, ..setup(5) });
    let event = |bench: &mut Bench, off_wrap: u16, flags: u16| {
        bench.ram.store16(AVAIL, off_wrap);
        bench.ram.store16(AVAIL + 2, flags);
    };
    // VQ-050: even a driver that wants no calls gets the first one.
    event(&mut bench, 0, 1);
    bench.put(tokens[0], 0).unwrap();
    bench.ram.take_reads();
    assert_eq!(bench.publish(), Ok(true));
    assert!(bench.ram.take_reads().is_empty());
    // Slot 0 of the second lap; the event is about slot 1.
    event(&mut bench, 1, 2);
    bench.put(tokens[1], 0).unwrap();
    bench.ram.take_reads();
    assert_eq!(bench.publish(), Ok(false));
    assert_eq!(bench.ram.take_reads(), [(AVAIL, 4)]);
    // Slots 1 and 2; it is about slot 2.
    event(&mut bench, 2, 2);
    bench.put(tokens[2], 0).unwrap();
    assert_eq!(bench.publish(), Ok(true));
}

/// All slots at once, from the second to the second of the next lap.
#[test]
fn a_full_lap_calls_for_every_slot_of_it() {
    for off in 0..5u16 {
        for wrap in [false, true] {
            let start = Position { offset: 1, wrap: true };
            let mut bench = Bench::new(Setup { event_idx: true, ..setup(5) }, start);
            // The first decision is of another kind.
            bench.offer(&[(DATA, 1, 0, 0)]);
            let token = bench.take();
            bench.put(token, 0).unwrap();
            bench.publish().unwrap();
            bench.bind();
            let lap = [NEXT, NEXT, NEXT, NEXT, 0].map(|flags| (DATA, 1, 0, flags));
            bench.offer(&lap);
            let token = bench.take();
            assert_eq!(token.slots, 5);
            bench.put(token, 0).unwrap();
            bench.ram.store16(AVAIL, Position { offset: off, wrap }.half());
            bench.ram.store16(AVAIL + 2, 2);
            // Slots 2, 3, 4 of the first lap, 0 and 1 of the second.
            assert_eq!(bench.publish(), Ok(wrap == (off >= 2)), "{off} {wrap}");
        }
    }
}

#[test]
fn kicks() {
    let mut bench = Bench::new(setup(5), Position { offset: 4, wrap: true });
    bench.ring.disarm(&mut bench.writes);
    bench.ram.apply(&mut bench.writes);
    assert_eq!(bench.ram.load(USED, 4), [0, 0, 1, 0]);
    bench.ram.take_reads();
    assert_eq!(bench.arm(), Ok(false));
    assert_eq!(bench.ram.take_reads(), [(slot(4) + 14, 2)]);
    assert_eq!(bench.ram.load(USED, 4), [0; 4]);
    bench.offer(&[(DATA, 1, 0, 0)]);
    assert_eq!(bench.arm(), Ok(true));
    bench.take();
    assert_eq!(bench.arm(), Ok(false));
}

#[test]
fn kicks_by_event() {
    let eventful = Setup { event_idx: true, ..setup(5) };
    for (wrap, high) in [(true, 0x80), (false, 0)] {
        let mut bench = Bench::new(eventful, Position { offset: 4, wrap });
        let regions = bench.ram.regions.clone();
        assert_eq!(bench.ring.arm(&bench.ram, &regions, &mut bench.writes), Ok(false));
        // The place first, then the flags (§2.5).
        let stores: Vec<_> = bench
            .writes
            .list()
            .iter()
            .map(|write| (write.address, write.bytes().to_vec()))
            .collect();
        assert_eq!(stores, [(USED, vec![4, high]), (USED + 2, vec![2, 0])]);
        bench.ram.apply(&mut bench.writes);
        bench.ring.disarm(&mut bench.writes);
        bench.ram.apply(&mut bench.writes);
        assert_eq!(bench.ram.load(USED, 4), [4, high, 1, 0]);
    }
}
