//! Taking chains (spec §1.3).

use vhost_fuzz_core::ring::flag::{NEXT, WRITE};
use vhost_fuzz_core::ring::{BindError, Broken, PopError, Position, PutReason, Ring, Shape};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::{Rig, malformed};
use crate::rig::{self, BUFFER, NOWHERE, ram};

#[test]
fn an_available_index_too_far_ahead_breaks_the_ring() {
    let ram = ram();
    for num in [1, 2, 8, 32768] {
        let rig = Rig::new(num);
        rig.put_plain(&ram);
        for next in [0, 1, num, 0x7fff, 0x8000, 0xff50, u16::MAX] {
            for ahead in [0, 1, num.wrapping_sub(1), num, num + 1, 0x8001, u16::MAX] {
                let mut queue = rig.start_from(&ram, next);
                let index = next.wrapping_add(ahead);
                let head = next % num;
                rig.offer(&ram, &[head]);
                rig.set_avail_idx(&ram, index);
                let guest = ram.guest();
                let mut ring = queue.bind(&guest).expect("it is there");
                let popped = ring.pop(&mut rig.chain());
                if ahead > num {
                    // Also one that went back: it is nearly 2^16 ahead (VQ-031).
                    let broken = Broken::AvailIndex { index, next, size: num };
                    assert_refused!(popped, PopError::Broken(broken));
                    assert_eq!(queue.broken(), Some(broken));
                } else if ahead == 0 {
                    assert_eq!(popped, Ok(None));
                } else {
                    assert_eq!(rig::token(popped).id(), head);
                }
            }
        }
    }
}

#[test]
fn an_available_index_that_goes_back_breaks_the_ring() {
    let _shows = shows(&["VQ-031"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0, 1]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let _tokens = [0, 1].map(|_| rig::token(ring.pop(&mut chain)));
    rig.set_avail_idx(&ram, 1);
    let broken = Broken::AvailIndex { index: 1, next: 2, size: 8 };
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    // `arm` loads the index as well.
    let mut queue = rig.start_from(&ram, 2);
    rig.set_avail_idx(&ram, 1);
    let mut ring = queue.bind(&guest).expect("it is there");
    assert_refused!(ring.arm(), broken);
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
}

#[test]
fn a_head_outside_of_the_table_breaks_the_ring() {
    let ram = ram();
    for (num, heads) in [(8, &[8, 9, 0x8000, u16::MAX][..]), (32768, &[32768, u16::MAX])] {
        let rig = Rig::new(num);
        rig.put_plain(&ram);
        for head in heads {
            let mut queue = rig.start(&ram);
            rig.offer(&ram, &[7, *head, 0]);
            let guest = ram.guest();
            let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
            let _taken = rig::token(ring.pop(&mut chain));
            let broken = Broken::Head { head: *head, size: num };
            assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
            rig::assert_empty(&chain);
            assert_eq!(queue.position(), Some(Position::Split { available: 1 }));
        }
    }
}

#[test]
fn more_in_flight_than_the_ring_has_breaks_it() {
    let (ram, rig) = (ram(), Rig::new(4));
    rig.put_plain(&ram);
    // Given back and not shown is still in flight: the driver cannot know.
    for given in [0, 1, 4] {
        let mut queue = rig.start_from(&ram, 0xfffe);
        rig.offer(&ram, &[0, 1, 2, 3]);
        let guest = ram.guest();
        let mut chain = rig.chain();
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut tokens = Vec::new();
        for _ in 0..4 {
            tokens.push(rig::token(ring.pop(&mut chain)));
        }
        for token in tokens.drain(..given) {
            ring.put(token, 0).expect("it is taken");
        }
        assert_eq!(queue.in_flight(), 4);
        rig.offer(&ram, &[0]);
        let mut ring = queue.bind(&guest).expect("it is there");
        let broken = Broken::TooManyInFlight { size: 4 };
        assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    }
    // One that was shown makes room for one.
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0, 1, 2, 3]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(rig::token(ring.pop(&mut chain)));
    }
    ring.put(tokens.remove(2), 0).expect("it is taken");
    ring.publish().expect("it is in order");
    assert_eq!(queue.in_flight(), 3);
    rig.offer(&ram, &[2]);
    let mut ring = queue.bind(&guest).expect("it is there");
    assert_eq!(rig::token(ring.pop(&mut chain)).id(), 2);
    assert_eq!(ring.pop(&mut chain), Ok(None));
}

#[test]
fn a_head_that_is_in_flight_breaks_the_ring() {
    let (ram, rig) = (ram(), Rig::new(256));
    rig.put_plain(&ram);
    rig.put(&ram, 130, &[(NOWHERE, 1, 0, 0)]);
    for head in [0, 63, 64, 127, 128, 130, 255] {
        // In the same wake-up and in a later one; a malformed chain is in flight, too.
        for is_later in [false, true] {
            let mut queue = rig.start(&ram);
            rig.offer(&ram, &[head, head ^ 1, head]);
            let guest = ram.guest();
            let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
            let _first = rig::taken(ring.pop(&mut chain));
            let _second = rig::taken(ring.pop(&mut chain));
            if is_later {
                ring = queue.bind(&guest).expect("it is there");
            }
            let broken = Broken::HeadInFlight { head };
            assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
        }
        // After it went back it may come again.
        let mut queue = rig.start(&ram);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        for _ in 0..3 {
            rig.offer(&ram, &[head]);
            let (token, _) = rig::taken(ring.pop(&mut chain));
            ring.put(token, 0).expect("it is taken");
            ring.publish().expect("it is in order");
        }
    }
}

#[test]
fn a_wake_up_ends_after_as_many_chains_as_the_ring_has() {
    let (ram, rig) = (ram(), Rig::new(4));
    rig.put_plain(&ram);
    // Malformed ones count, too.
    rig.put(&ram, 1, &[(NOWHERE, 1, 0, 0)]);
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    let mut chain = rig.chain();
    for round in 0..5_u16 {
        let mut ring = queue.bind(&guest).expect("it is there");
        for head in 0..4 {
            // The driver refills as fast as the device drains.
            rig.offer(&ram, &[head]);
            let (token, _) = rig::taken(ring.pop(&mut chain));
            assert_eq!(token.id(), head);
            ring.put(token, 0).expect("it is taken");
            ring.publish().expect("it is in order");
        }
        rig.offer(&ram, &[0]);
        ram.touches();
        assert_refused!(ring.pop(&mut chain), PopError::Yield);
        assert_refused!(ring.pop(&mut chain), PopError::Yield);
        assert_eq!(ram.touches(), [], "nothing is looked at");
        assert_eq!(ring.arm(), Ok(true), "the device comes back without a kick");
        let available = 5 * round + 4;
        assert_eq!(queue.position(), Some(Position::Split { available }));
        let mut ring = queue.bind(&guest).expect("it is there");
        let (token, _) = rig::taken(ring.pop(&mut chain));
        ring.put(token, 0).expect("it is taken");
        ring.publish().expect("it is in order");
    }
}

#[test]
fn kicks_without_anything_to_do_do_nothing() {
    let _shows = shows(&["VQ-047"]);
    let (ram, rig) = (ram(), Rig::with_events(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    let mut chain = rig.chain();
    ram.touches();
    for _ in 0..100 {
        let mut ring = queue.bind(&guest).expect("it is there");
        assert_eq!((ring.pop(&mut chain), ring.publish()), (Ok(None), Ok(false)));
    }
    let loads = ram.touches();
    assert_eq!(loads, [super::load(rig::AVAILABLE + 2, super::Ordering::Acquire); 100]);
    rig.offer(&ram, &[3]);
    let mut ring = queue.bind(&guest).expect("it is there");
    assert_eq!(rig::token(ring.pop(&mut chain)).id(), 3);
}

#[test]
fn every_head_goes_back_once() {
    let _shows = shows(&["VQ-040"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    // Every other chain is malformed, in ways that come out at different steps.
    let bad = [(NOWHERE, 1, 0, 0), (BUFFER, 1, NEXT, 3), (BUFFER, 1, NEXT, 9), (0, 0, 4, 0)];
    for (index, fields) in (1..).step_by(2).zip(bad) {
        rig.put(&ram, index, &[fields]);
    }
    let mut queue = rig.start(&ram);
    let mut chain = rig.chain();
    let mut offered = Vec::new();
    for round in 0..100_u16 {
        let heads: Vec<u16> = (0..8).map(|at| (at * 5 + round) % 8).collect();
        rig.offer(&ram, &heads);
        offered.extend(heads);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut tokens = Vec::new();
        for _ in 0..8 {
            let (token, error) = rig::taken(ring.pop(&mut chain));
            assert_eq!(error.is_some(), token.id() % 2 == 1);
            tokens.push(token);
        }
        // They go back in another order.
        tokens.rotate_left(usize::from(round % 8));
        let ids: Vec<_> = tokens.iter().map(|token| u32::from(token.id())).collect();
        for token in tokens {
            ring.put(token, 0).expect("it is taken");
        }
        ring.publish().expect("it is in order");
        assert_eq!(rig.used_idx(&ram), 8 * (round + 1));
        let used: Vec<_> = (0..8).map(|at| rig.element(&ram, 8 * round + at)).collect();
        assert_eq!(used, ids.into_iter().map(|id| (id, 0)).collect::<Vec<_>>());
    }
    assert_eq!((queue.in_flight(), offered.len()), (0, 800));
}

#[test]
fn a_broken_ring_touches_no_memory() {
    let _shows = shows(&["VQ-068"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0, 1, 2, 99]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let tokens = [0, 1, 2].map(|_| rig::token(ring.pop(&mut chain)));
    let [first, second, third] = tokens;
    ring.put(first, 0).expect("it is taken");
    let broken = Broken::Head { head: 99, size: 8 };
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    ram.touches();
    // The driver repairs what it did; that does not help.
    rig.offer(&ram, &[3]);
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
    assert_refused!(ring.retake(3, &mut chain), PopError::Broken(broken));
    assert_refused!(queue.bind(&guest).map(|_| ()), BindError::Broken(broken));
    queue.set_log(Some(0));
    assert_refused!(queue.bind(&guest).map(|_| ()), BindError::Broken(broken));
    assert_eq!(ram.touches(), []);

    // Stopped and started it works again, from where it was told.
    assert_eq!(queue.stop(), Some(Position::Split { available: 3 }));
    assert_eq!((queue.broken(), ram.touches().len()), (None, 0));
    let mut queue = rig.start_from(&ram, 3);
    rig.offer(&ram, &[3]);
    let mut ring = queue.bind(&guest).expect("it is there");
    assert_eq!(rig::token(ring.pop(&mut chain)).id(), 3);
}

#[test]
fn heads_of_an_earlier_life_are_taken_again() {
    let _shows = shows(&["VQ-033", "VQ-040"]);
    let (ram, rig) = (ram(), Rig::new(4));
    rig.put_plain(&ram);
    rig.put(&ram, 2, &[(NOWHERE, 1, WRITE, 0)]);
    // Three were taken; the used index says that none of them went back.
    rig.set_used_idx(&ram, 0xfffe);
    rig.set_avail_idx(&ram, 0xfffe);
    rig.offer(&ram, &[3, 2, 1, 0]);
    let mut queue = rig.start_at(&ram, 1);
    assert_eq!(queue.in_flight(), 3);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let (first, error) = rig::taken(ring.retake(3, &mut chain).map(Some));
    assert_eq!((error, rig::buffers(&chain).0), (None, vec![(BUFFER + 24, 8)]));
    let (second, error) = rig::taken(ring.retake(2, &mut chain).map(Some));
    let shape = Shape::OutsideMemory { address: NOWHERE, len: 1 };
    assert_eq!(error, Some(malformed(shape)));
    let (third, _) = rig::taken(ring.retake(1, &mut chain).map(Some));
    let fourth = rig::token(ring.pop(&mut chain));
    assert_eq!([&first, &second, &third, &fourth].map(|token| token.id()), [3, 2, 1, 0]);
    for token in [third, fourth, first, second] {
        ring.put(token, 0).expect("it is taken");
    }
    assert_eq!(ring.publish(), Ok(true));
    let used = [0xfffe, 0xffff, 0, 1].map(|index| rig.element(&ram, index).0);
    assert_eq!((used, rig.used_idx(&ram)), ([1, 0, 3, 2], 2));
}

#[test]
fn a_head_that_cannot_be_of_an_earlier_life_breaks_the_ring() {
    let (ram, rig) = (ram(), Rig::new(4));
    rig.put_plain(&ram);
    let lost = |count: u16| {
        rig.set_used_idx(&ram, 0);
        rig.set_avail_idx(&ram, 0);
        rig.offer(&ram, &[0, 1, 2, 3]);
        rig.start_at(&ram, count)
    };
    let guest = ram.guest();
    let mut chain = rig.chain();
    for (count, heads, broken) in [
        (0, &[0][..], Broken::TooManyInFlight { size: 4 }),
        (2, &[0, 1, 2], Broken::TooManyInFlight { size: 4 }),
        (3, &[0, 1, 0], Broken::HeadInFlight { head: 0 }),
        (2, &[4], Broken::Head { head: 4, size: 4 }),
        (2, &[0, u16::MAX], Broken::Head { head: u16::MAX, size: 4 }),
    ] {
        let mut queue = lost(count);
        let mut ring = queue.bind(&guest).expect("it is there");
        let (last, good) = heads.split_last().expect("a head");
        for head in good {
            let _taken = rig::taken(ring.retake(*head, &mut chain).map(Some));
        }
        assert_refused!(ring.retake(*last, &mut chain), PopError::Broken(broken));
        assert_eq!(queue.broken(), Some(broken));
    }
    // What the driver makes available again while it was lost is found out at the latest then.
    let mut queue = lost(1);
    rig.set_avail_idx(&ram, 1);
    rig.offer(&ram, &[0]);
    let mut ring = queue.bind(&guest).expect("it is there");
    let _taken = rig::token(ring.pop(&mut chain));
    let broken = Broken::HeadInFlight { head: 0 };
    assert_refused!(ring.retake(0, &mut chain), PopError::Broken(broken));
}

#[test]
fn a_ring_that_feeds_itself_ends_its_wake_up() {
    let _shows = shows(&["VQ-035", "VQ-066"]);
    // The used ring over the available ring, so that what the device writes makes new heads.
    for overlap in [rig::AVAILABLE, rig::AVAILABLE - 4, rig::DESCRIPTORS] {
        let (ram, mut rig) = (ram(), Rig::new(8));
        rig.put_plain(&ram);
        rig.setup.addresses.used = overlap;
        let mut queue = rig.start(&ram);
        rig.offer(&ram, &[0, 1]);
        let guest = ram.guest();
        let mut chain = rig.chain();
        for _ in 0..64 {
            let Ok(mut ring) = queue.bind(&guest) else { break };
            let mut taken = 0;
            while let Ok(Some(token)) | Err(PopError::Malformed { token, .. }) =
                ring.pop(&mut chain)
            {
                taken += 1;
                assert_eq!(ring.put(token, 0).err(), None);
                if ring.publish().is_err() {
                    break;
                }
            }
            assert!(taken <= 8, "{taken} chains in one wake-up");
        }
    }
}
