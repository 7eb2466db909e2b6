//! Taking back that a chain was taken (DC-089).

use vhost_fuzz_core::ring::flag::WRITE;
use vhost_fuzz_core::ring::{PopError, Position, PutReason, Ring};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::Rig;
use crate::rig::{self, NOWHERE, ram};

#[test]
fn a_chain_that_was_taken_back_was_never_taken() {
    let _shows = shows(&["DC-089"]);
    let (ram, rig) = (ram(), Rig::new(4));
    rig.put_plain(&ram);
    rig.put(&ram, 2, &[(NOWHERE, 1, WRITE, 0)]);
    for begin in [0, 0xfffd] {
        let mut queue = rig.start_from(&ram, begin);
        rig.offer(&ram, &[3, 2, 0, 1]);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        for _ in 0..3 {
            let mut tokens: Vec<_> = (0..4).map(|_| rig::taken(ring.pop(&mut chain)).0).collect();
            assert_eq!(tokens.iter().map(|token| token.id()).collect::<Vec<_>>(), [3, 2, 0, 1]);
            assert!(matches!(ring.pop(&mut chain), Err(PopError::Yield)));
            ram.touches();
            while let Some(token) = tokens.pop() {
                ring.unpop(token).expect("it was taken last");
            }
            assert_eq!(ram.touches(), []);
            assert_eq!(ring.publish(), Ok(false));
        }
        assert_eq!(queue.in_flight(), 0);
        assert_eq!(queue.position(), Some(Position::Split { available: begin }));
    }
}

#[test]
fn only_the_newest_is_taken_back() {
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    // Head 7 is of an earlier life.
    rig.set_used_idx(&ram, 0);
    rig.set_avail_idx(&ram, 0);
    rig.offer(&ram, &[7, 0, 1, 2]);
    let mut queue = rig.start_at(&ram, 1);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let again = rig::token(ring.retake(7, &mut chain).map(Some));
    let refused = ring.unpop(again).expect_err("its place is not known");
    let again = refused.token;
    assert_refused!(Err::<(), _>(refused.reason), PutReason::NotNewest);
    let [first, second, third] = [0; 3].map(|_| rig::token(ring.pop(&mut chain)));
    let refused = ring.unpop(second).expect_err("it is not the newest");
    let second = refused.token;
    assert_refused!(Err::<(), _>(refused.reason), PutReason::NotNewest);
    ring.put(third, 0).expect("it was taken");
    let refused = ring.unpop(second).expect_err("the newest was given back");
    let second = refused.token;
    assert_refused!(Err::<(), _>(refused.reason), PutReason::NotNewest);
    for token in [second, again, first] {
        ring.put(token, 0).expect("it was taken");
    }
    rig.offer(&ram, &[4]);
    let late = rig::token(ring.pop(&mut chain));
    queue.activate(&rig.setup, Position::Split { available: 4 }, &guest).expect("a good ring");
    let refused = queue.bind(&guest).expect("it is there").unpop(late);
    let refused = refused.expect_err("it is of another life").reason;
    assert_refused!(Err::<(), _>(refused), PutReason::Stale);
}

#[test]
fn a_later_wake_up_may_take_a_chain_back() {
    let _shows = shows(&["DC-089"]);
    let (ram, rig) = (ram(), Rig::in_order(2));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[1, 0]);
    let guest = ram.guest();
    let mut chain = rig.chain();
    let tokens =
        [0; 2].map(|_| rig::token(queue.bind(&guest).expect("it is there").pop(&mut chain)));
    let mut ring = queue.bind(&guest).expect("it is there");
    for token in tokens.into_iter().rev() {
        ring.unpop(token).expect("it is the newest");
    }
    // The wake-up still takes no more than the ring has.
    for head in [1, 0] {
        let token = rig::token(ring.pop(&mut chain));
        assert_eq!(token.id(), head);
        ring.put(token, 0).expect("in order");
        let _ = ring.publish().expect("it is in order");
        rig.offer(&ram, &[head]);
    }
    assert!(matches!(ring.pop(&mut chain), Err(PopError::Yield)));
}
