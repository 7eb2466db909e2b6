//! Giving back and notifications (spec §1.6, §1.7, §1.8).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use vhost_fuzz_core::ring::flag::WRITE;
use vhost_fuzz_core::ring::{Chain, PutReason, Ring, SplitRing};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::{Rig, load, store};
use crate::ram::{Bank, Ram, Touch};
use crate::rig::{self, AVAILABLE, BUFFER, DESCRIPTORS, NOWHERE, USED, ram};

/// The driver makes heads available and the device takes and gives them back, without showing it.
fn use_up(
    (rig, ram): (&Rig, &Ram),
    ring: &mut SplitRing<'_, Bank, [std::sync::atomic::AtomicU8]>,
    heads: &[u16],
) {
    rig.offer(ram, heads);
    let mut chain = Chain::with_capacity(4);
    for _ in heads {
        let token = rig::token(ring.pop(&mut chain));
        ring.put(token, 0).expect("it is taken");
    }
}

#[test]
fn every_step_is_ordered_before_the_next() {
    let _shows = shows(&["VQ-036", "VQ-037", "VQ-048", "VQ-049"]);
    let (ram, mut rig) = (ram(), Rig::new(8));
    rig.put(&ram, 0, &[(BUFFER, 8, WRITE, 0); 8]);
    for event_idx in [false, true] {
        rig.setup.features.event_idx = event_idx;
        // With EVENT_IDX, event fields take the place of the flags.
        let (theirs, ours) =
            if event_idx { (rig.used_event_at(), rig.avail_event_at()) } else { (AVAILABLE, USED) };
        let mut queue = rig.start(&ram);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        for slot in 0..3_u16 {
            rig.offer(&ram, &[5 - slot]);
            ram.touches();
            // The index is acquired before anything that it covers is loaded.
            let token = rig::token(ring.pop(&mut chain));
            let entry = load(AVAILABLE + 4 + 2 * u64::from(slot), Relaxed);
            let descriptor = Touch::Load(DESCRIPTORS + 16 * u64::from(5 - slot), 16, None);
            assert_eq!(ram.touches(), [load(AVAILABLE + 2, Acquire), entry, descriptor]);
            // Element, index, barrier, wish of the driver; the first time it does not matter.
            ring.put(token, 5).expect("it is taken");
            assert_eq!(ram.touches(), [Touch::Store(rig.element_at(slot), 8, None)]);
            ring.publish().expect("it is in order");
            let published = [store(USED + 2, Release), Touch::Fence, load(theirs, Relaxed)];
            assert_eq!(ram.touches(), published[..if slot == 0 { 2 } else { 3 }]);
            // Own wish, barrier, index.
            assert_eq!(ring.arm(), Ok(false));
            let mut armed = ram.touches();
            // Whoever takes the chain loads the index again, so the order of this does not matter.
            assert_eq!(armed.pop().and_then(Touch::range), Some((AVAILABLE + 2, 2)));
            assert_eq!(armed, [store(ours, Relaxed), Touch::Fence]);
            assert_eq!(rig.element(&ram, slot), (u32::from(5 - slot), 5));
        }
    }
}

#[test]
fn one_index_is_loaded_for_all_that_it_covers() {
    let _shows = shows(&["VQ-024"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0, 1, 2]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    ram.touches();
    for _ in 0..3 {
        let _taken = rig::token(ring.pop(&mut chain));
    }
    let index = load(AVAILABLE + 2, Acquire);
    assert_eq!(ram.touches().into_iter().filter(|touch| *touch == index).count(), 1);
}

#[test]
fn a_used_length_above_the_writable_bytes_is_refused() {
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put(&ram, 0, &[(BUFFER, 8, 0, 0), (BUFFER, 8, WRITE, 0)]);
    rig.put(&ram, 2, &[(BUFFER, 8, 1, 1)]);
    for (head, writable, lens) in
        [(0, 0, &[1, 8, u32::MAX][..]), (1, 8, &[9, u32::MAX]), (2, 8, &[9, 16])]
    {
        let mut queue = rig.start(&ram);
        rig.offer(&ram, &[head]);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut token = rig::token(ring.pop(&mut rig.chain()));
        ram.touches();
        for &len in lens {
            let refused = ring.put(token, len).expect_err("too long");
            assert_eq!(refused.reason, PutReason::TooLong { len, writable });
            token = refused.token;
        }
        assert_eq!(ram.touches(), [], "nothing is written");
        // The token is good for what is true, also for less than was written (VQ-038).
        ring.put(token, writable).expect("that much");
        ring.publish().expect("it is in order");
        assert_eq!(rig.element(&ram, 0), (head.into(), writable));
    }
    let reason = PutReason::TooLong { len: 1, writable: 0 };
    assert_refused!(Err::<(), _>(reason), reason);
}

#[test]
fn less_than_was_written_may_be_reported() {
    let _shows = shows(&["VQ-038", "VQ-039"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put(&ram, 0, &[(BUFFER, 8, WRITE, 0)]);
    for len in 0..=8 {
        let mut queue = rig.start(&ram);
        rig.offer(&ram, &[0]);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let token = rig::token(ring.pop(&mut rig.chain()));
        ring.put(token, len).expect("at most that much");
        ring.publish().expect("it is in order");
        assert_eq!(rig.element(&ram, 0), (0, len));
    }
}

#[test]
fn elements_go_around_the_ring_and_the_index_around_65536() {
    let _shows = shows(&["VQ-036"]);
    for num in [1, 2, 8, 32768] {
        let (ram, rig) = (ram(), Rig::new(num));
        rig.put_plain(&ram);
        let start = 0_u16.wrapping_sub(num.min(16));
        let mut queue = rig.start_from(&ram, start);
        let guest = ram.guest();
        for round in 0..3 * num.min(16) {
            let mut ring = queue.bind(&guest).expect("it is there");
            let head = (round * 3) % num;
            use_up((&rig, &ram), &mut ring, &[head]);
            let index = start.wrapping_add(round);
            assert_eq!(rig.used_idx(&ram), index, "the driver does not see it yet");
            ring.publish().expect("it is in order");
            assert_eq!(rig.element(&ram, index), (head.into(), 0));
            assert_eq!(rig.used_idx(&ram), index.wrapping_add(1));
        }
    }
}

#[test]
fn publishing_nothing_touches_nothing() {
    let _shows = shows(&["VQ-044", "VQ-046"]);
    for rig in [Rig::new(8), Rig::with_events(8)] {
        let ram = ram();
        rig.put_plain(&ram);
        let mut queue = rig.start(&ram);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        ram.touches();
        assert_eq!(ring.publish(), Ok(false));
        assert_eq!(ram.touches(), []);
        use_up((&rig, &ram), &mut ring, &[0]);
        assert_eq!(ring.publish(), Ok(true));
        ram.touches();
        assert_eq!(ring.publish(), Ok(false), "it was told");
        assert_eq!(ram.touches(), []);
    }
}

#[test]
fn without_event_idx_the_flags_of_the_device_are_0_or_1() {
    let _shows = shows(&["VQ-041"]);
    let (ram, rig) = (ram(), Rig::new(8));
    ram.put_u16(USED, 0xffff);
    let mut queue = rig.start(&ram);
    assert_eq!(rig.used_flags(&ram), 0, "whatever was there");
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    for _ in 0..2 {
        ring.disarm().expect("it is in order");
        assert_eq!(rig.used_flags(&ram), 1);
        assert_eq!((ring.arm(), rig.used_flags(&ram)), (Ok(false), 0));
    }
    // The event field is not theirs then.
    let flags_only = ram.touches().into_iter().all(|touch| match touch {
        Touch::Store(at, len, _) => (at, len) == (USED, 2),
        Touch::Load(..) | Touch::Fence => true,
    });
    assert!(flags_only);
}

#[test]
fn with_event_idx_the_flags_of_the_device_are_0() {
    let _shows = shows(&["VQ-042"]);
    let (ram, rig) = (ram(), Rig::with_events(8));
    rig.put_plain(&ram);
    ram.put_u16(USED, 0xffff);
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    ram.touches();
    for round in 0..20_u16 {
        let mut ring = queue.bind(&guest).expect("it is there");
        ring.disarm().expect("it is in order");
        use_up((&rig, &ram), &mut ring, &[round % 8]);
        ring.publish().expect("it is in order");
        assert_eq!(ring.arm(), Ok(false));
        assert_eq!((rig.used_flags(&ram), rig.avail_event(&ram)), (0, round + 1));
    }
    let touches = ram.touches();
    assert!(!touches.iter().any(|touch| matches!(touch, Touch::Store(USED, ..))));
}

#[test]
fn the_flags_of_the_driver_decide_without_event_idx() {
    let _shows = shows(&["VQ-043", "VQ-044"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    use_up((&rig, &ram), &mut ring, &[0]);
    ring.publish().expect("it is in order");
    for (flags, is_wanted) in [(0, true), (1, false), (2, true), (0xfffe, true), (0xffff, false)] {
        // What is in the place of used_event says nothing.
        for event in [0, 1, 0x8000] {
            let mut ring = queue.bind(&guest).expect("it is there");
            rig.set_avail_flags(&ram, flags);
            rig.set_used_event(&ram, event);
            use_up((&rig, &ram), &mut ring, &[0, 1]);
            assert_eq!(ring.publish(), Ok(is_wanted), "{flags:#x}");
        }
    }
}

#[test]
fn the_event_index_of_the_driver_decides_with_event_idx() {
    let _shows = shows(&["VQ-045", "VQ-046"]);
    let (ram, rig) = (ram(), Rig::with_events(8));
    rig.put_plain(&ram);
    for start in [0, 3, 0x7ffe, 0x7fff, 0xfffc, 0xfffe, 0xffff] {
        for count in 1..=8_u16 {
            for ahead in (0..12).chain([0x7fff, 0x8000, 0xfff0, 0xffff]) {
                let mut queue = rig.start_from(&ram, start - start.min(1));
                let guest = ram.guest();
                let mut ring = queue.bind(&guest).expect("it is there");
                use_up((&rig, &ram), &mut ring, &[0]);
                ring.publish().expect("it is in order");
                // All before `old` was told; now `count` more are.
                let old = rig.used_idx(&ram);
                let mut ring = queue.bind(&guest).expect("it is there");
                rig.set_used_event(&ram, old.wrapping_add(ahead));
                rig.set_avail_flags(&ram, ahead & 1);
                use_up((&rig, &ram), &mut ring, &[0, 1, 2, 3, 4, 5, 6, 7][..count.into()]);
                assert_eq!(ring.publish(), Ok(ahead < count), "{old:#x} {count} {ahead:#x}");
                // It is decided once.
                assert_eq!(ring.publish(), Ok(false));
            }
        }
    }
}

#[test]
fn an_event_is_not_lost_between_two_decisions() {
    let _shows = shows(&["VQ-045"]);
    let (ram, rig) = (ram(), Rig::with_events(4));
    rig.put_plain(&ram);
    let mut queue = rig.start_from(&ram, 0xfff0);
    let guest = ram.guest();
    let mut event = 0xfff2_u16;
    rig.set_used_event(&ram, event);
    let mut told = Vec::new();
    for round in 0..64_u16 {
        let mut ring = queue.bind(&guest).expect("it is there");
        let count = usize::from(round % 4) + 1;
        let old = rig.used_idx(&ram);
        use_up((&rig, &ram), &mut ring, &[0, 1, 2, 3][..count]);
        let is_told = ring.publish().expect("it is in order");
        let new = rig.used_idx(&ram);
        let covered = (0..4).map(|at| old.wrapping_add(at)).take(count).any(|at| at == event);
        assert_eq!(is_told, covered || round == 0, "{old:#x} to {new:#x}, event {event:#x}");
        if is_told {
            event = new.wrapping_add(3);
            rig.set_used_event(&ram, event);
            told.push(new);
        }
    }
    assert!(told.len() > 20 && told.first() > told.last(), "the index went around: {told:?}");
}

#[test]
fn a_malformed_chain_is_told_like_any_other() {
    let _shows = shows(&["VQ-040", "VQ-043", "VQ-045"]);
    for rig in [Rig::new(8), Rig::with_events(8)] {
        let ram = ram();
        rig.put_plain(&ram);
        rig.put(&ram, 1, &[(NOWHERE, 1, 0, 0), (BUFFER, 1, 1, 9)]);
        let mut queue = rig.start(&ram);
        let guest = ram.guest();
        for round in 0..9_u16 {
            let mut ring = queue.bind(&guest).expect("it is there");
            rig.set_used_event(&ram, rig.used_idx(&ram));
            rig.offer(&ram, &[round % 3]);
            let (token, error) = rig::taken(ring.pop(&mut rig.chain()));
            assert_eq!(error.is_some(), round % 3 > 0);
            ring.put(token, 0).expect("it goes back");
            assert_eq!(ring.publish(), Ok(true), "round {round}");
        }
    }
}

#[test]
fn the_first_buffers_of_a_life_are_told_in_any_case() {
    let _shows = shows(&["VQ-050"]);
    for rig in [Rig::new(8), Rig::with_events(8)] {
        for start in [0, 5, 0xffff] {
            let ram = ram();
            rig.put_plain(&ram);
            let guest = ram.guest();
            let mut queue = rig.start_from(&ram, start);
            rig.set_avail_flags(&ram, 1);
            for _ in 0..3 {
                // Nothing to tell is no decision.
                let mut ring = queue.bind(&guest).expect("it is there");
                assert_eq!(ring.publish(), Ok(false));
                rig.set_used_event(&ram, rig.used_idx(&ram).wrapping_add(100));
                use_up((&rig, &ram), &mut ring, &[0]);
                assert_eq!(ring.publish(), Ok(true), "the first");
                use_up((&rig, &ram), &mut ring, &[1]);
                assert_eq!(ring.publish(), Ok(false), "the second");
                // A stop, and a start from there.
                let position = queue.stop().expect("it runs");
                queue.activate(&rig.setup, position, &guest).expect("it is as it was");
            }
        }
    }
}

#[test]
fn what_comes_while_kicks_are_armed_is_not_missed() {
    let _shows = shows(&["VQ-048"]);
    for rig in [Rig::new(8), Rig::with_events(8)] {
        let ram = ram();
        rig.put_plain(&ram);
        for start in [0, 0xffff] {
            let mut queue = rig.start_from(&ram, start);
            let guest = ram.guest();
            let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
            ring.disarm().expect("it is in order");
            assert_eq!(ring.pop(&mut chain), Ok(None));
            // The driver sees that no kick is wanted, and gives none.
            rig.offer(&ram, &[5]);
            assert_eq!(ring.arm(), Ok(true));
            let token = rig::token(ring.pop(&mut chain));
            assert_eq!(ring.arm(), Ok(false));
            if rig.setup.features.event_idx {
                // The next entry that the driver fills has this index.
                assert_eq!(rig.avail_event(&ram), rig.avail_idx(&ram));
            }
            ring.put(token, 0).expect("it is taken");
        }
    }
}
