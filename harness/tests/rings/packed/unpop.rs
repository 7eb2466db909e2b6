//! Taking back that a list was taken (DC-089).

use vhost_fuzz_core::inflight;
use vhost_fuzz_core::ring::{PopError, Position, PutReason, Ring};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::lists::list;
use super::{Rig, after, idle};
use crate::rig::{self, BUFFER, NOWHERE, ram};

#[test]
fn a_list_that_was_taken_back_was_never_taken() {
    let _shows = shows(&["DC-089"]);
    let (ram, rig) = (ram(), Rig::new(7));
    for at in [(0, true), (5, false), (6, true)] {
        let mut queue = rig.start_at(&ram, at);
        rig.offer(&ram, &list(3, 0));
        rig.offer(&ram, &[(NOWHERE, 1, 0, 6)]);
        rig.offer(&ram, &list(2, 4));
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        let mut ids = vec![];
        for _ in 0..3 {
            let mut tokens: Vec<_> = (0..3).map(|_| rig::taken(ring.pop(&mut chain)).0).collect();
            ids.push(tokens.iter().map(|token| (token.id(), token.slots())).collect::<Vec<_>>());
            assert_eq!(ring.pop(&mut chain), Ok(None));
            ram.touches();
            while let Some(token) = tokens.pop() {
                ring.unpop(token).expect("it was taken last");
            }
            assert_eq!(ram.touches(), []);
            assert_eq!(ring.publish(), Ok(false));
        }
        assert!(ids.iter().all(|seen| *seen == ids[0] && seen.len() == 3), "{ids:?}");
        assert_eq!((queue.in_flight(), queue.position()), (0, Some(idle(at))));
    }
}

#[test]
fn only_the_newest_is_taken_back() {
    let (ram, rig) = (ram(), Rig::new(5));
    // One slot is of an earlier life, which began at slot 3.
    let (available, available_wrap) = after((3, true), 1, 5);
    rig.lay_out(&ram, (available, available_wrap));
    let position = Position::Packed { available, available_wrap, used: 3, used_wrap: true };
    let mut queue = rig.start_with(&ram, position);
    rig.offer_plain(&ram, &[0, 1, 2]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let lost = [inflight::Descriptor { addr: BUFFER, len: 4, id: 9, flags: 0 }];
    let again = ring.retake(lost, &mut chain).expect("a good list");
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
    let _ = ring.publish().expect("it is in order");
    rig.offer_plain(&ram, &[4]);
    let late = rig::token(ring.pop(&mut chain));
    queue.activate(&rig.setup, position, &guest).expect("a good ring");
    let refused = queue.bind(&guest).expect("it is there").unpop(late);
    let refused = refused.expect_err("it is of another life").reason;
    assert_refused!(Err::<(), _>(refused), PutReason::Stale);
}

#[test]
fn slots_of_older_buffers_take_the_used_descriptors_meanwhile() {
    let _shows = shows(&["DC-089"]);
    let (ram, rig) = (ram(), Rig::new(5));
    for slot in 0..5 {
        let mut queue = rig.start_at(&ram, (slot, true));
        rig.offer_plain(&ram, &[7]);
        rig.offer(&ram, &list(2, 0));
        rig.offer(&ram, &list(2, 4));
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        let [first, second, third] = [0; 3].map(|_| rig::token(ring.pop(&mut chain)));
        let (id, buffers) = (third.id(), rig::buffers(&chain));
        // The newest is taken back between two that are given back out of order.
        ring.put(second, 0).expect("it was taken");
        let _ = ring.publish().expect("it is in order");
        ring.unpop(third).expect("it is the newest");
        ring.put(first, 0).expect("it was taken");
        let _ = ring.publish().expect("it is in order");
        let third = rig::token(ring.pop(&mut chain));
        assert_eq!((third.id(), rig::buffers(&chain)), (id, buffers));
        assert_eq!(ring.pop(&mut chain), Ok(None));
        ring.unpop(third).expect("it is the newest");
        assert_eq!(queue.in_flight(), 0);
    }
}

#[test]
fn a_later_wake_up_may_take_a_list_back() {
    let _shows = shows(&["DC-089"]);
    let (ram, rig) = (ram(), Rig::in_order(2));
    let mut queue = rig.start(&ram);
    rig.offer_plain(&ram, &[1, 0]);
    let guest = ram.guest();
    let mut chain = rig.chain();
    let tokens =
        [0; 2].map(|_| rig::token(queue.bind(&guest).expect("it is there").pop(&mut chain)));
    let mut ring = queue.bind(&guest).expect("it is there");
    for token in tokens.into_iter().rev() {
        ring.unpop(token).expect("it is the newest");
    }
    // The wake-up still takes no more than the ring has.
    for id in [1, 0] {
        let token = rig::token(ring.pop(&mut chain));
        assert_eq!(token.id(), id);
        ring.put(token, 0).expect("in order");
        let _ = ring.publish().expect("it is in order");
        rig.offer_plain(&ram, &[id]);
    }
    assert!(matches!(ring.pop(&mut chain), Err(PopError::Yield)));
}
