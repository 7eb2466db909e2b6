//! Taking lists (spec §2.3).

use vhost_fuzz_core::inflight;
use vhost_fuzz_core::ring::flag::{INDIRECT, NEXT, WRITE};
use vhost_fuzz_core::ring::{
    BindError, Broken, PackedQueue, PopError, Position, PutReason, Ring, Shape, Token,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::lists::list;
use super::{AVAIL, Rig, START, USED, after, idle, malformed, used};
use crate::ram::Ram;
use crate::rig::{self, BUFFER, NOWHERE, TABLE, ram};

#[test]
fn a_slot_is_available_when_both_bits_say_so() {
    let _shows = shows(&["PK-003", "PK-004"]);
    let ram = ram();
    for size in [1, 3, 8, 32768] {
        let rig = Rig::new(size);
        for slot in [0, size / 2, size - 1] {
            for wrap in [false, true] {
                let mut queue = rig.start_at(&ram, (slot, wrap));
                let guest = ram.guest();
                for bits in [0, AVAIL, USED, AVAIL | USED] {
                    // What else is in the slot says nothing.
                    for more in [0, WRITE, 0x7f78] {
                        rig.put(&ram, slot, (BUFFER, 4, bits | more, 3));
                        let mut ring = queue.bind(&guest).expect("it is there");
                        let is_available = bits == if wrap { AVAIL } else { USED };
                        assert_eq!(ring.arm(), Ok(is_available), "{slot} {wrap} {bits:#x}");
                        if !is_available {
                            assert_eq!(ring.pop(&mut rig.chain()), Ok(None));
                        }
                    }
                }
                rig.put(&ram, slot, (BUFFER, 4, if wrap { AVAIL } else { USED }, 3));
                let mut ring = queue.bind(&guest).expect("it is there");
                assert_eq!(rig::token(ring.pop(&mut rig.chain())).id(), 3);
                let next = after((slot, wrap), 1, size);
                let position = Position::Packed {
                    available: next.0,
                    available_wrap: next.1,
                    used: slot,
                    used_wrap: wrap,
                };
                assert_eq!(queue.position(), Some(position));
            }
        }
    }
}

#[test]
fn lists_are_taken_in_the_order_of_the_ring() {
    let _shows = shows(&["PK-008"]);
    let (ram, rig) = (ram(), Rig::new(7));
    for slot in 0..7 {
        let mut queue = rig.start_at(&ram, (slot, true));
        for (count, id) in [(2, 40), (1, 10), (3, 20), (1, 30)] {
            let mut list = list(count, 0);
            list.last_mut().expect("a slot").3 = id;
            rig.offer(&ram, &list);
        }
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        let ids = [0; 4].map(|_| rig::token(ring.pop(&mut chain)).id());
        assert_eq!((ids, ring.pop(&mut chain)), ([40, 10, 20, 30], Ok(None)));
        assert_eq!(queue.in_flight(), 7);
    }
}

#[test]
fn more_slots_in_flight_than_the_ring_has_break_it() {
    let (ram, rig) = (ram(), Rig::new(5));
    for slot in 0..5 {
        for given in [0, 1, 2] {
            // Lists of 2, 1 and 2 slots; given back and not shown is still in flight.
            let mut queue = rig.start_at(&ram, (slot, true));
            for count in [2, 1, 2] {
                rig.offer(&ram, &list(count, 0));
            }
            let guest = ram.guest();
            let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
            let tokens = [0; 3].map(|_| rig::token(ring.pop(&mut chain)));
            for token in tokens.into_iter().take(given) {
                ring.put(token, 0).expect("it is taken");
            }
            // The driver overwrites what is in flight.
            rig.offer(&ram, &list(1, 0));
            let broken = Broken::TooManySlotsInFlight { size: 5 };
            assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
            assert_eq!(queue.in_flight(), 5);
        }
        // A list whose later slots are in flight.
        let mut queue = rig.start_at(&ram, (slot, true));
        rig.offer(&ram, &list(3, 0));
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        let _token = rig::token(ring.pop(&mut chain));
        rig.offer(&ram, &list(3, 0));
        let broken = Broken::TooManySlotsInFlight { size: 5 };
        assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
        rig::assert_empty(&chain);
    }
    // What was shown makes room.
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &list(3, 0));
    rig.offer(&ram, &list(2, 0));
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let [first, _second] = [0; 2].map(|_| rig::token(ring.pop(&mut chain)));
    ring.put(first, 0).expect("it is taken");
    assert_eq!(ring.publish(), Ok(true));
    rig.offer(&ram, &list(3, 0));
    assert_eq!(rig::token(ring.pop(&mut chain)).slots(), 3);
    assert_eq!(queue.in_flight(), 5);
}

#[test]
fn ids_are_the_drivers_own_affair() {
    let _shows = shows(&["PK-023"]);
    let (ram, rig) = (ram(), Rig::new(5));
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    let mut chain = rig.chain();
    for ids in [[0xffff, 5, 0x8000], [3, 3, 3], [0, 0, 1]] {
        let start = queue.position();
        let Some(Position::Packed { used: first, used_wrap, .. }) = start else { panic!("split") };
        rig.offer_plain(&ram, &ids);
        let mut ring = queue.bind(&guest).expect("it is there");
        let tokens = [0; 3].map(|_| rig::token(ring.pop(&mut chain)));
        assert_eq!(tokens.each_ref().map(Token::id), ids);
        let [a, b, c] = tokens;
        for token in [c, a, b] {
            ring.put(token, 0).expect("it is taken");
        }
        ring.publish().expect("it is in order");
        let place = |slots| after((first, used_wrap), slots, 5).0;
        let echoed = [0, 1, 2].map(|slots| rig.slot(&ram, place(slots)).0);
        assert_eq!(echoed, [ids[2], ids[0], ids[1]]);
    }
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn a_wake_up_ends_after_as_many_lists_as_the_ring_has_slots() {
    let _shows = shows(&["VQ-047"]);
    let (ram, rig) = (ram(), Rig::new(3));
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    let mut chain = rig.chain();
    for _ in 0..5 {
        let mut ring = queue.bind(&guest).expect("it is there");
        assert_eq!(ring.pop(&mut chain), Ok(None), "a kick without a reason");
        for id in 0..3_u16 {
            // Malformed ones count, too.
            let address = if id == 1 { NOWHERE } else { BUFFER };
            rig.offer(&ram, &[(address, 1, 0, id)]);
            let (token, _) = rig::taken(ring.pop(&mut chain));
            assert_eq!(token.id(), id);
            ring.put(token, 0).expect("it is taken");
            ring.publish().expect("it is in order");
        }
        rig.offer_plain(&ram, &[7]);
        ram.touches();
        assert_refused!(ring.pop(&mut chain), PopError::Yield);
        assert_eq!(ram.touches(), [], "nothing is looked at");
        assert_eq!(ring.arm(), Ok(true), "the device comes back without a kick");
        let mut ring = queue.bind(&guest).expect("it is there");
        let token = rig::token(ring.pop(&mut chain));
        ring.put(token, 0).expect("it is taken");
        ring.publish().expect("it is in order");
    }
}

#[test]
fn a_broken_ring_touches_no_memory() {
    let _shows = shows(&["VQ-068"]);
    let (ram, rig) = (ram(), Rig::new(5));
    let mut queue = rig.start(&ram);
    rig.offer_plain(&ram, &[0, 1, 2]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let [first, second, third] = [0; 3].map(|_| rig::token(ring.pop(&mut chain)));
    rig.offer(&ram, &list(3, 0));
    ring.put(first, 0).expect("it is taken");
    let broken = Broken::TooManySlotsInFlight { size: 5 };
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    ram.touches();
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    let refused = ring.put(second, 0).expect_err("it is broken");
    assert_eq!((refused.reason, refused.token.id()), (PutReason::Broken(broken), 1));
    let refused = ring.skip(third).expect_err("it is broken");
    assert_eq!((refused.reason, refused.token.id()), (PutReason::Broken(broken), 2));
    let refused = ring.unpop(refused.token).expect_err("it is broken");
    assert_eq!((refused.reason, refused.token.id()), (PutReason::Broken(broken), 2));
    assert_refused!(ring.publish(), broken);
    assert_refused!(ring.arm(), broken);
    assert_refused!(ring.disarm(), broken);
    let descriptor = inflight::Descriptor::default();
    assert_refused!(ring.retake([descriptor], &mut chain), PopError::Broken(broken));
    assert_refused!(queue.bind(&guest).map(|_| ()), BindError::Broken(broken));
    assert_eq!((queue.broken(), ram.touches()), (Some(broken), vec![]));
    // It tells where it was, and after a start it works again.
    let position = queue.stop().expect("it was started");
    assert_eq!(Position::of(position.base(), true, true), position);
    assert_eq!(ram.touches(), []);
    let mut queue = rig.start(&ram);
    rig.offer_plain(&ram, &[4]);
    let mut ring = queue.bind(&guest).expect("it is there");
    assert_eq!(rig::token(ring.pop(&mut chain)).id(), 4);
}

/// Descriptors as the in-flight area has them: address, flags, id.
fn lost(list: &[(u64, u16, u16)]) -> Vec<inflight::Descriptor> {
    let descriptor = |(addr, flags, id)| inflight::Descriptor { addr, len: 4, id, flags };
    list.iter().copied().map(descriptor).collect()
}

/// A ring of 5 of whose slots so many were taken in an earlier life, which began at slot 3.
fn behind(rig: &Rig, ram: &Ram, slots: u16) -> PackedQueue {
    let (available, available_wrap) = after((3, true), slots, 5);
    rig.lay_out(ram, (available, available_wrap));
    let position = Position::Packed { available, available_wrap, used: 3, used_wrap: true };
    let queue = rig.start_with(ram, position);
    assert_eq!((queue.in_flight(), queue.position()), (slots, Some(position)));
    queue
}

#[test]
fn lists_of_an_earlier_life_are_taken_again() {
    let _shows = shows(&["PK-022", "PK-027", "PK-029", "VQ-040"]);
    let (ram, rig) = (ram(), Rig::new(5));
    super::put_table(&ram, TABLE, &[(BUFFER, 4, WRITE, 0)]);
    let mut queue = behind(&rig, &ram, 4);
    rig.offer_plain(&ram, &[9]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    // What is in the ring does not matter.
    let list = lost(&[(BUFFER, NEXT, 1), (BUFFER + 8, WRITE, 2)]);
    let first = ring.retake(list, &mut chain).expect("a good list");
    assert_eq!(rig::buffers(&chain), (vec![(BUFFER, 4)], vec![(BUFFER + 8, 4)]));
    let (second, error) = rig::taken(ring.retake(lost(&[(NOWHERE, 0, 3)]), &mut chain).map(Some));
    let shape = Shape::OutsideMemory { address: NOWHERE, len: 4 };
    assert_eq!(error, Some(malformed(shape)));
    rig::assert_empty(&chain);
    let table = [inflight::Descriptor { addr: TABLE, len: 16, id: 4, flags: INDIRECT }];
    let third = ring.retake(table, &mut chain).expect("a good table");
    assert_eq!((first.slots(), second.slots(), third.writable()), (2, 1, 4));
    let fourth = rig::token(ring.pop(&mut chain));
    for token in [third, fourth, first, second] {
        ring.put(token, 0).expect("it is taken");
    }
    assert_eq!(ring.publish(), Ok(true));
    // From slot 3 on, each as many slots further as it had.
    let ids = [3, 4, 0, 2].map(|slot| (rig.slot(&ram, slot).0, rig.slot(&ram, slot).2));
    assert_eq!(ids, [(4, used(true)), (9, used(true)), (2, used(false)), (3, used(false))]);
    assert_eq!(queue.position(), Some(idle((3, false))));
}

#[test]
fn more_slots_than_an_earlier_life_can_have_taken_break_the_ring() {
    let (ram, rig) = (ram(), Rig::new(5));
    let guest = ram.guest();
    let mut chain = rig.chain();
    let broken = Broken::TooManySlotsInFlight { size: 5 };
    for (slots, lists) in [(0, &[1][..]), (1, &[2]), (3, &[2, 2]), (5, &[6]), (5, &[5, 1])] {
        let mut queue = behind(&rig, &ram, slots);
        let mut ring = queue.bind(&guest).expect("it is there");
        let (last, good) = lists.split_last().expect("a list");
        let list = |count| lost(&vec![(BUFFER, NEXT, 1); count]);
        for count in good {
            let _token = ring.retake(list(*count), &mut chain).expect("it may be lost");
        }
        assert_refused!(ring.retake(list(*last), &mut chain), PopError::Broken(broken));
        rig::assert_empty(&chain);
        assert_eq!(queue.broken(), Some(broken));
    }
}

#[test]
fn a_table_in_a_list_of_an_earlier_life_is_refused() {
    let (ram, rig) = (ram(), Rig::new(5));
    let mut queue = behind(&rig, &ram, 4);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    for list in [
        lost(&[(BUFFER, NEXT, 1), (TABLE, INDIRECT, 2)]),
        lost(&[(TABLE, INDIRECT | NEXT, 1), (BUFFER, 0, 2)]),
    ] {
        let (token, error) = rig::taken(ring.retake(list, &mut chain).map(Some));
        let shape = Shape::IndirectInList { address: TABLE };
        assert_refused!(error.map_or(Ok(()), Err), malformed(shape));
        assert_eq!((token.id(), token.slots()), (2, 2));
        ring.put(token, 0).expect("it goes back");
    }
    ring.publish().expect("it is in order");
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn an_empty_ring_is_empty_however_often_one_asks() {
    let _shows = shows(&["VQ-047", "PK-004"]);
    let (ram, rig) = (ram(), Rig::new(3));
    for at in [START, (2, false), (0, false)] {
        let mut queue = rig.start_at(&ram, at);
        let guest = ram.guest();
        for _ in 0..100 {
            let mut ring = queue.bind(&guest).expect("it is there");
            // What says "not empty" gives a chain.
            assert_eq!((ring.arm(), ring.pop(&mut rig.chain())), (Ok(false), Ok(None)));
        }
        rig.offer_plain(&ram, &[1]);
        let mut ring = queue.bind(&guest).expect("it is there");
        assert_eq!(ring.arm(), Ok(true));
        assert_eq!(rig::token(ring.pop(&mut rig.chain())).id(), 1);
    }
}
