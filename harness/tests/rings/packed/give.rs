//! Giving back (spec §2.4, §2.7).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use vhost_fuzz_core::ring::flag::WRITE;
use vhost_fuzz_core::ring::{PutReason, Ring, Token};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::lists::list;
use super::{Rig, after, slot_of, used};
use crate::ram::Touch;
use crate::rig::{self, AVAILABLE, BUFFER, DESCRIPTORS, USED, ram};

#[test]
fn every_step_is_ordered_before_the_next() {
    let _shows = shows(&["VQ-036", "VQ-037", "VQ-049", "PK-024", "PK-037"]);
    let (ram, mut rig) = (ram(), Rig::new(5));
    for event_idx in [false, true] {
        rig.setup.features.event_idx = event_idx;
        let mut queue = rig.start(&ram);
        let guest = ram.guest();
        let mut chain = rig.chain();
        for round in 0..7_u16 {
            let at = DESCRIPTORS + 16 * u64::from(round % 5);
            rig.offer(&ram, &[(BUFFER, 8, WRITE, round)]);
            let mut ring = queue.bind(&guest).expect("it is there");
            ram.touches();
            // The flags are acquired before anything else of the list is loaded.
            let token = rig::token(ring.pop(&mut chain));
            let halves = [Touch::Load(at + 8, 8, Some(Acquire)), Touch::Load(at, 8, Some(Relaxed))];
            assert_eq!(ram.touches(), halves);
            // Length and id, then the flags, then a barrier before the driver's wish.
            ring.put(token, 8).expect("it is taken");
            let filled = [Touch::Store(at + 8, 4, None), Touch::Store(at + 12, 2, Some(Relaxed))];
            assert_eq!(ram.touches(), filled);
            ring.publish().expect("it is in order");
            let wish = Touch::Load(AVAILABLE, 4, Some(Relaxed));
            let published = [Touch::Store(at + 14, 2, Some(Release)), Touch::Fence, wish];
            assert_eq!(ram.touches(), published[..if round == 0 { 2 } else { 3 }]);
            // Own wish, its position before its flags, a barrier, and the flags of the next slot.
            assert_eq!(ring.arm(), Ok(false));
            let next = DESCRIPTORS + 16 * u64::from((round + 1) % 5);
            let mut armed = ram.touches();
            // Whoever takes the slot loads its flags again, so the order of this does not matter.
            assert_eq!(armed.pop().and_then(Touch::range), Some((next + 14, 2)));
            let wishes = [
                Touch::Store(USED, 2, Some(Relaxed)),
                Touch::Store(USED + 2, 2, Some(Release)),
                Touch::Fence,
            ];
            assert_eq!(armed, wishes[usize::from(!event_idx)..]);
        }
    }
}

#[test]
fn later_slots_are_loaded_after_the_first_and_whole() {
    let _shows = shows(&["PK-030"]);
    let (ram, rig) = (ram(), Rig::new(5));
    let mut queue = rig.start_at(&ram, (4, true));
    rig.offer(&ram, &list(3, 0));
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    ram.touches();
    let _token = rig::token(ring.pop(&mut rig.chain()));
    let slots = ram.touches().into_iter().map(|touch| slot_of(touch, 5)).collect::<Vec<_>>();
    assert_eq!(slots, [Some(4), Some(4), Some(0), Some(1)]);
}

#[test]
fn a_used_descriptor_says_what_was_written() {
    let _shows = shows(&["PK-024", "PK-025", "PK-026", "VQ-038", "VQ-039"]);
    let ram = ram();
    for (flags, len, lens) in [(0, 8, &[0][..]), (WRITE, 8, &[0, 1, 7, 8]), (WRITE, 0, &[0])] {
        for &written in lens {
            for wrap in [false, true] {
                // Bits of the available descriptor that the used one must not have.
                let rig = Rig::new(3);
                let mut queue = rig.start_at(&ram, (1, wrap));
                rig.offer(&ram, &[(BUFFER, 8, flags | 0x7f78, 0x55), (BUFFER, len, flags, 0x1234)]);
                let guest = ram.guest();
                let mut ring = queue.bind(&guest).expect("it is there");
                let token = rig::token(ring.pop(&mut rig.chain()));
                ring.put(token, written).expect("at most that much");
                ring.publish().expect("it is in order");
                let write = if written > 0 { WRITE } else { 0 };
                assert_eq!(rig.slot(&ram, 1), (0x1234, written, used(wrap) | write));
            }
        }
    }
}

#[test]
fn a_used_length_above_the_writable_bytes_is_refused() {
    let (ram, rig) = (ram(), Rig::new(5));
    for (list, writable) in [
        (vec![(BUFFER, 8, 0, 1)], 0),
        (vec![(BUFFER, 8, WRITE, 1)], 8),
        (vec![(BUFFER, 8, 0, 1), (BUFFER, 8, WRITE, 2), (BUFFER, 1, WRITE, 3)], 9),
    ] {
        let mut queue = rig.start(&ram);
        rig.offer(&ram, &list);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut token = rig::token(ring.pop(&mut rig.chain()));
        ram.touches();
        for len in [writable + 1, 1000, u32::MAX] {
            let refused = ring.put(token, len).expect_err("too long");
            let reason = PutReason::TooLong { len, writable };
            assert_refused!(Err::<(), _>(refused.reason), reason);
            token = refused.token;
        }
        assert_eq!(ram.touches(), []);
        ring.put(token, writable).expect("that much");
    }
}

#[test]
fn used_descriptors_are_written_in_the_order_of_completion() {
    let _shows = shows(&["PK-009", "PK-027"]);
    for size in [6, 7, 32768] {
        let (ram, rig) = (ram(), Rig::new(size));
        for start in [0, 1, size - 1, size - 3] {
            let mut queue = rig.start_at(&ram, (start, true));
            let guest = ram.guest();
            let (mut at, mut chain) = ((start, true), rig.chain());
            for round in 0..30_u16 {
                for (count, id) in [(2, 1), (1, 2), (3, 3)] {
                    let mut list = list(count, 0);
                    list.last_mut().expect("a slot").3 = id;
                    rig.offer(&ram, &list);
                }
                let mut ring = queue.bind(&guest).expect("it is there");
                let mut tokens: Vec<Token> =
                    (0..3).map(|_| rig::token(ring.pop(&mut chain))).collect();
                tokens.rotate_left(usize::from(round % 3));
                for token in tokens {
                    let (id, slots) = (token.id(), token.slots());
                    ring.put(token, 0).expect("it is taken");
                    ring.publish().expect("it is in order");
                    assert_eq!(rig.slot(&ram, at.0), (id, 0, used(at.1)));
                    // Exactly the slots of that buffer are left out.
                    at = after(at, slots, size);
                }
                assert_eq!(queue.position(), Some(super::idle(at)));
            }
        }
    }
}

#[test]
fn the_first_used_descriptor_is_shown_last() {
    let _shows = shows(&["PK-024", "PK-028"]);
    let (ram, rig) = (ram(), Rig::new(5));
    for slot in 0..5 {
        let mut queue = rig.start_at(&ram, (slot, true));
        rig.offer_plain(&ram, &[1, 2, 3]);
        let guest = ram.guest();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        let tokens = [0; 3].map(|_| rig::token(ring.pop(&mut chain)));
        ram.touches();
        let before = rig.slot(&ram, slot).2;
        for token in tokens {
            ring.put(token, 0).expect("it is taken");
            assert_eq!(rig.slot(&ram, slot).2, before, "the driver sees nothing yet");
        }
        ring.publish().expect("it is in order");
        let flags: Vec<_> = ram
            .touches()
            .into_iter()
            .filter(|touch| matches!(touch, Touch::Store(_, 2, Some(Release))))
            .filter_map(|touch| slot_of(touch, 5))
            .collect();
        assert_eq!(flags, [1, 2, 0].map(|ahead| after((slot, true), ahead, 5).0));
    }
}

#[test]
fn a_slot_is_not_touched_after_it_was_used() {
    let _shows = shows(&["PK-005"]);
    let (ram, rig) = (ram(), Rig::new(5));
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    let mut chain = rig.chain();
    let mut at = (0, true);
    for round in 0..40_u16 {
        let lists: &[u16] = [&[1, 1, 1][..], &[2, 1], &[3], &[1, 3, 1]][usize::from(round % 4)];
        for count in lists {
            rig.offer(&ram, &list(*count, *count));
        }
        let mut ring = queue.bind(&guest).expect("it is there");
        let tokens: Vec<_> = lists.iter().map(|_| rig::token(ring.pop(&mut chain))).collect();
        ram.touches();
        let mut allowed = Vec::new();
        for token in tokens {
            allowed.push(at.0);
            at = after(at, token.slots(), 5);
            let len = token.writable();
            ring.put(token, len).expect("it is taken");
        }
        ring.publish().expect("it is in order");
        ring.disarm().expect("it is in order");
        assert_eq!(ring.arm(), Ok(false));
        let mut flagged = [false; 5];
        for touch in ram.touches() {
            let Touch::Store(address, len, order) = touch else { continue };
            let Some(slot) = slot_of(touch, 5) else {
                assert!(address >= USED && address + len <= USED + 4, "{touch:?}");
                continue;
            };
            // Only the slots that used descriptors go to, and nothing after their flags.
            assert!(allowed.contains(&slot), "{touch:?}");
            assert!(!flagged[usize::from(slot)], "{touch:?} after its flags");
            flagged[usize::from(slot)] |= order == Some(Release);
        }
        assert_eq!(flagged.into_iter().filter(|flagged| *flagged).count(), lists.len());
    }
}

#[test]
fn publishing_nothing_touches_nothing() {
    let _shows = shows(&["PK-032"]);
    for rig in [Rig::new(3), Rig::with_events(3)] {
        let ram = ram();
        let mut queue = rig.start(&ram);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        ram.touches();
        assert_eq!((ring.publish(), ram.touches()), (Ok(false), vec![]));
        rig.offer_plain(&ram, &[1]);
        let token = rig::token(ring.pop(&mut rig.chain()));
        ring.put(token, 0).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
        ram.touches();
        assert_eq!((ring.publish(), ram.touches()), (Ok(false), vec![]));
    }
}
