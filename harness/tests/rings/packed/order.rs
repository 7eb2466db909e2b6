//! `IN_ORDER` in a packed ring (spec §2.4).

use vhost_fuzz_core::ring::flag::WRITE;
use vhost_fuzz_core::ring::{PutError, PutReason, Ring, Token};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::lists::list;
use super::{Rig, after, idle, used};
use crate::rig::{self, BUFFER, NOWHERE, ram};

/// Why a buffer was not given back; the token.
fn refused(given: Result<(), PutError>) -> (Token, Result<(), PutReason>) {
    let error = given.expect_err("it is refused");
    (error.token, Err(error.reason))
}

#[test]
fn a_buffer_before_an_older_one_is_refused() {
    let (ram, rig) = (ram(), Rig::in_order(7));
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    let mut chain = rig.chain();
    for _ in 0..5 {
        // The second one is malformed and goes back in its turn like the others.
        rig.offer(&ram, &list(2, 0));
        rig.offer(&ram, &[(BUFFER, 1, 0, 5), (NOWHERE, 1, 0, 6)]);
        rig.offer_plain(&ram, &[7, 8]);
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut tokens: Vec<_> = (0..4).map(|_| rig::taken(ring.pop(&mut chain)).0).collect();
        ram.touches();
        while !tokens.is_empty() {
            for at in 1..tokens.len() {
                let (token, reason) = refused(ring.put(tokens.remove(at), 0));
                assert_refused!(reason, PutReason::OutOfOrder);
                let (token, reason) = refused(ring.skip(token));
                assert_refused!(reason, PutReason::OutOfOrder);
                tokens.insert(at, token);
            }
            assert_eq!(ram.touches(), []);
            ring.put(tokens.remove(0), 0).expect("it is the oldest");
            ram.touches();
        }
        ring.publish().expect("it is in order");
        assert_eq!(queue.in_flight(), 0);
    }
}

#[test]
fn a_batch_goes_back_as_its_last_buffer() {
    let _shows = shows(&["VQ-058", "PK-031"]);
    let (ram, rig) = (ram(), Rig::in_order(9));
    for slot in 0..9 {
        for wrap in [false, true] {
            let mut queue = rig.start_at(&ram, (slot, wrap));
            rig.offer(&ram, &list(2, 0));
            rig.offer_plain(&ram, &[1]);
            rig.offer(&ram, &[(BUFFER, 1, 0, 2), (BUFFER, 8, WRITE, 3)]);
            rig.offer_plain(&ram, &[4, 5]);
            let guest = ram.guest();
            let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
            let [a, b, c, d, e] = [0; 5].map(|_| rig::token(ring.pop(&mut chain)));
            let slots: Vec<_> = (0..9).map(|slot| rig.slot(&ram, slot)).collect();
            ring.skip(a).expect("it has nothing to write to");
            ring.skip(b).expect("it has nothing to write to");
            assert_eq!(ring.publish(), Ok(false), "a batch without its end is nothing");
            assert_eq!(
                queue.position().map(|at| at.base() >> 16),
                Some(idle((slot, wrap)).base() >> 16)
            );
            let mut ring = queue.bind(&guest).expect("it is there");
            ring.put(c, 8).expect("the end of the batch");
            ring.put(d, 0).expect("one by itself");
            ring.skip(e).expect("the beginning of a batch");
            assert_eq!(ring.publish(), Ok(true));
            // One in the first slot of all five, with the id of the last; one after them.
            let (first, second) = ((slot, wrap), after((slot, wrap), 5, 9));
            for (index, before) in (0..9).zip(slots) {
                let expected = if index == first.0 {
                    (3, 8, used(first.1) | WRITE)
                } else if index == second.0 {
                    (4, 0, used(second.1))
                } else {
                    before
                };
                assert_eq!(rig.slot(&ram, index), expected, "slot {index}");
            }
            assert_eq!(queue.in_flight(), 1);
        }
    }
}

#[test]
fn a_buffer_whose_length_nobody_would_know_is_in_no_batch() {
    let (ram, rig) = (ram(), Rig::in_order(3));
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[(BUFFER, 8, WRITE, 1)]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    let token = rig::token(ring.pop(&mut rig.chain()));
    let (token, reason) = refused(ring.skip(token));
    assert_refused!(reason, PutReason::NotReadOnly { writable: 8 });
    ring.put(token, 3).expect("it is a batch of one");
}

#[test]
fn there_are_no_batches_without_in_order() {
    let (ram, rig) = (ram(), Rig::new(3));
    let mut queue = rig.start(&ram);
    rig.offer_plain(&ram, &[1]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    let token = rig::token(ring.pop(&mut rig.chain()));
    let (token, reason) = refused(ring.skip(token));
    assert_refused!(reason, PutReason::NotInOrder);
    ring.put(token, 0).expect("it is still owed");
}
