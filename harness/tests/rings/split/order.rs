//! `IN_ORDER` (spec §1.9).

use vhost_fuzz_core::ring::flag::{NEXT, WRITE};
use vhost_fuzz_core::ring::{PutReason, Ring, Token};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::Rig;
use crate::ram::Ram;
use crate::rig::{self, BUFFER, NOWHERE, ram};

/// A ring of 8 where heads 2 and 5 are malformed and head 6 is writable.
fn rig(ram: &Ram) -> Rig {
    let rig = Rig::in_order(8);
    rig.put_plain(ram);
    rig.put(ram, 2, &[(NOWHERE, 1, 0, 0)]);
    rig.put(ram, 5, &[(BUFFER, 1, NEXT, 8)]);
    rig.put(ram, 6, &[(BUFFER, 8, WRITE, 0)]);
    rig
}

/// Why a buffer was not given back; the token.
fn refused(given: Result<(), vhost_fuzz_core::ring::PutError>) -> (Token, Result<(), PutReason>) {
    let error = given.expect_err("it is refused");
    (error.token, Err(error.reason))
}

#[test]
fn a_buffer_before_an_older_one_is_refused() {
    let ram = ram();
    let rig = rig(&ram);
    let mut queue = rig.start_from(&ram, 0xfffd);
    let guest = ram.guest();
    let mut chain = rig.chain();
    for _ in 0..3 {
        rig.offer(&ram, &[0, 1, 2, 3, 4, 5, 6, 7]);
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut tokens = Vec::new();
        for head in 0..8 {
            let (token, error) = rig::taken(ring.pop(&mut chain));
            assert_eq!(error.is_some(), [2, 5].contains(&head));
            tokens.push(token);
        }
        ram.touches();
        while !tokens.is_empty() {
            // Every one but the oldest is refused, the malformed ones like the others.
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
        let used = rig.used_idx(&ram);
        let ids = (1..=8).rev().map(|back| rig.element(&ram, used.wrapping_sub(back)));
        assert_eq!(ids.collect::<Vec<_>>(), (0..8).map(|id| (id, 0)).collect::<Vec<_>>());
    }
}

#[test]
fn without_in_order_any_buffer_may_go_back_first() {
    let _shows = shows(&["VQ-040"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[4, 2, 7]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let [first, second, third] = [0; 3].map(|_| rig::token(ring.pop(&mut chain)));
    for token in [second, third, first] {
        ring.put(token, 0).expect("in any order");
    }
    ring.publish().expect("it is in order");
    assert_eq!([0, 1, 2].map(|index| rig.element(&ram, index).0), [2, 7, 4]);
}

#[test]
fn a_batch_goes_back_as_its_last_buffer() {
    let _shows = shows(&["VQ-058"]);
    let ram = ram();
    let rig = rig(&ram);
    for start in [0, 6, 0xfffe] {
        let mut queue = rig.start_from(&ram, start);
        rig.offer(&ram, &[3, 0, 6, 1, 7]);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        let [a, b, c, d, e] = [0; 5].map(|_| rig::token(ring.pop(&mut chain)));
        ram.put(rig::USED + 4, &[0xee; 64]);
        ring.skip(a).expect("it has nothing to write to");
        ring.skip(b).expect("it has nothing to write to");
        assert_eq!(ring.publish(), Ok(false), "a batch without its end is nothing");
        ring.put(c, 8).expect("the end of the batch");
        ring.put(d, 0).expect("one by itself");
        ring.skip(e).expect("the beginning of a batch");
        assert_eq!(ring.publish(), Ok(true));
        assert_eq!(rig.used_idx(&ram), start.wrapping_add(4));
        // The element stands where the batch began; the others are as they were.
        let elements = [0, 1, 2, 3, 4].map(|at| rig.element(&ram, start.wrapping_add(at)));
        let none = (0xeeee_eeee, 0xeeee_eeee);
        assert_eq!(elements, [(6, 8), none, none, (1, 0), none]);
        assert_eq!(queue.in_flight(), 1);
        // The batch goes on in the next wake-up.
        rig.offer(&ram, &[4]);
        let mut ring = queue.bind(&guest).expect("it is there");
        let last = rig::token(ring.pop(&mut chain));
        ring.put(last, 0).expect("the end of the batch");
        ring.publish().expect("it is in order");
        assert_eq!(rig.used_idx(&ram), start.wrapping_add(6));
        assert_eq!(rig.element(&ram, start.wrapping_add(4)), (4, 0));
    }
}

#[test]
fn a_buffer_whose_length_nobody_would_know_is_in_no_batch() {
    let ram = ram();
    let rig = rig(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[6, 0]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let token = rig::token(ring.pop(&mut chain));
    let (token, reason) = refused(ring.skip(token));
    assert_refused!(reason, PutReason::NotReadOnly { writable: 8 });
    ring.put(token, 3).expect("it ends a batch of one");
    let token = rig::token(ring.pop(&mut chain));
    ring.skip(token).expect("it has nothing to write to");
}

#[test]
fn there_are_no_batches_without_in_order() {
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    let token = rig::token(ring.pop(&mut rig.chain()));
    let (token, reason) = refused(ring.skip(token));
    assert_refused!(reason, PutReason::NotInOrder);
    ring.put(token, 0).expect("it is still owed");
}

#[test]
fn buffers_of_an_earlier_life_keep_their_order() {
    let _shows = shows(&["VQ-056"]);
    let ram = ram();
    let rig = rig(&ram);
    rig.set_used_idx(&ram, 0);
    rig.set_avail_idx(&ram, 0);
    rig.offer(&ram, &[3, 2, 0]);
    let mut queue = rig.start_at(&ram, 2);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let (first, _) = rig::taken(ring.retake(3, &mut chain).map(Some));
    let (second, error) = rig::taken(ring.retake(2, &mut chain).map(Some));
    let third = rig::token(ring.pop(&mut chain));
    assert!(error.is_some());
    let (third, _) = refused(ring.put(third, 0));
    let (second, _) = refused(ring.put(second, 0));
    for token in [first, second, third] {
        ring.put(token, 0).expect("it is the oldest");
    }
    ring.publish().expect("it is in order");
    assert_eq!([0, 1, 2].map(|index| rig.element(&ram, index).0), [3, 2, 0]);
}
