//! Event suppression (spec §2.5).

use vhost_fuzz_core::ring::{Ring, Wish};
use vhost_fuzz_harness::evidence::shows;

use super::lists::list;
use super::{At, Rig, START, after};
use crate::ram::{Ram, Touch};
use crate::rig::{self, USED, ram};

/// The device gives back a buffer of each of these numbers of slots, and shows them together.
/// Whether it calls the driver.
fn publish(
    (rig, ram): (&Rig, &Ram),
    queue: &mut vhost_fuzz_core::ring::PackedQueue,
    counts: &[u16],
) -> bool {
    for count in counts {
        rig.offer(ram, &list(*count, 0));
    }
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    for _ in counts {
        let token = rig::token(ring.pop(&mut chain));
        ring.put(token, 0).expect("it is taken");
    }
    ring.publish().expect("it is in order")
}

#[test]
fn the_flags_of_the_driver_decide() {
    let _shows = shows(&["PK-032", "PK-033"]);
    let ram = ram();
    for rig in [Rig::new(5), Rig::with_events(5)] {
        let mut queue = rig.start(&ram);
        assert!(publish((&rig, &ram), &mut queue, &[1]));
        for at in [(0, true), (3, false), (0x7fff, true)] {
            for (flags, is_wanted) in [
                (0, true),
                (1, false),
                (3, true),
                (4, true),
                (5, true),
                (0x8001, true),
                (0xffff, true),
            ] {
                rig.wish(&ram, at, flags);
                let is_told = publish((&rig, &ram), &mut queue, &[1, 1]);
                assert_eq!(is_told, is_wanted, "{flags:#x}");
            }
            // By position without EVENT_IDX: nothing was agreed, so always.
            if !rig.setup.features.event_idx {
                rig.wish(&ram, at, 2);
                assert!(publish((&rig, &ram), &mut queue, &[1]));
            }
        }
    }
}

/// Whether a run of slots has a place in it.
fn covers(size: u16, from: At, slots: u16, place: At) -> bool {
    (0..slots).any(|ahead| after(from, ahead, size) == place)
}

#[test]
fn a_place_in_the_run_is_told_and_no_other() {
    let _shows = shows(&["PK-032", "PK-034"]);
    let ram = ram();
    for size in 1..=6 {
        let rig = Rig::with_events(size);
        for slot in 0..size {
            for wrap in [false, true] {
                // A first buffer, after which every one is decided about.
                let mut queue = rig.start_at(&ram, (slot, wrap));
                assert!(publish((&rig, &ram), &mut queue, &[1]));
                let mut from = after((slot, wrap), 1, size);
                for slots in 1..=size {
                    for place in 0..size {
                        for place_wrap in [false, true] {
                            rig.wish(&ram, (place, place_wrap), 2);
                            // As one list, or as one list and single slots.
                            let first = slots.div_ceil(2);
                            let counts =
                                [vec![first], vec![1; usize::from(slots - first)]].concat();
                            let is_told = publish((&rig, &ram), &mut queue, &counts);
                            let expected = covers(size, from, slots, (place, place_wrap));
                            assert_eq!(is_told, expected, "{size}: {slots} from {from:?}");
                            from = after(from, slots, size);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_place_outside_of_the_ring_is_only_a_number() {
    let _shows = shows(&["PK-035"]);
    let ram = ram();
    for size in [1, 5, 32768] {
        let rig = Rig::with_events(size);
        let mut queue = rig.start(&ram);
        publish((&rig, &ram), &mut queue, &[1]);
        for place in [size, size + 1, 0x7ffe, 0x7fff] {
            if place > 0x7fff {
                continue;
            }
            for wrap in [false, true] {
                rig.wish(&ram, (place, wrap), 2);
                // It may call or not; the ring goes on as it was.
                for count in [1, size.min(100)] {
                    publish((&rig, &ram), &mut queue, &[count]);
                    assert_eq!(queue.in_flight(), 0);
                }
            }
        }
        // No access depends on it.
        for touch in ram.touches() {
            if let Some((at, len)) = touch.range() {
                let end = rig::DESCRIPTORS + 16 * u64::from(size);
                let is_event = at >= rig::AVAILABLE && at + len <= rig::AVAILABLE + 4
                    || at >= USED && at + len <= USED + 4;
                assert!(is_event || at >= rig::DESCRIPTORS && at + len <= end, "{touch:?}");
            }
        }
    }
    // And no result is more than a yes or a no.
    for place in [5, 9, 0x7fff] {
        for (old, new) in [(0, 0), (4, 1), (0, 4), (3, 2)] {
            for wrap in [false, true] {
                let wish = Wish::At { slot: place, wrap: !wrap };
                let plain = Wish::At { slot: place - 5, wrap };
                if place < 10 {
                    assert_eq!(wish.is_met(5, old, new, wrap), plain.is_met(5, old, new, wrap));
                }
            }
        }
    }
}

#[test]
fn the_first_buffers_of_a_life_are_told_in_any_case() {
    let _shows = shows(&["VQ-050"]);
    let ram = ram();
    for (rig, flags) in [(Rig::new(5), 1), (Rig::with_events(5), 1), (Rig::with_events(5), 2)] {
        let mut queue = rig.start(&ram);
        rig.wish(&ram, (4, true), flags);
        for _ in 0..3 {
            assert!(!publish((&rig, &ram), &mut queue, &[]), "nothing to tell is no decision");
            assert!(publish((&rig, &ram), &mut queue, &[1]), "the first");
            assert!(!publish((&rig, &ram), &mut queue, &[1]), "the second");
            let position = queue.stop().expect("it runs");
            queue.activate(&rig.setup, position, &ram.guest()).expect("it is as it was");
            rig.wish(&ram, (4, false), flags);
        }
    }
}

#[test]
fn what_comes_while_kicks_are_armed_is_not_missed() {
    let _shows = shows(&["PK-037", "VQ-048"]);
    let ram = ram();
    for rig in [Rig::new(3), Rig::with_events(3)] {
        for at in [START, (2, true), (0, false), (2, false)] {
            let mut queue = rig.start_at(&ram, at);
            let guest = ram.guest();
            let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
            ring.disarm().expect("it is in order");
            assert_eq!(ring.pop(&mut chain), Ok(None));
            rig.offer_plain(&ram, &[6]);
            assert_eq!(ring.arm(), Ok(true));
            let token = rig::token(ring.pop(&mut chain));
            assert_eq!(ring.arm(), Ok(false));
            if rig.setup.features.event_idx {
                let (slot, wrap) = after(at, 1, 3);
                assert_eq!(rig.device_wish(&ram), (slot | u16::from(wrap) << 15, 2));
            }
            ring.put(token, 0).expect("it is taken");
        }
    }
}

#[test]
fn the_device_wishes_nothing_reserved() {
    let _shows = shows(&["PK-036"]);
    let ram = ram();
    for mut rig in [Rig::new(3), Rig::with_events(3)] {
        ram.put(USED, &[0xff; 4]);
        let mut queue = rig.start(&ram);
        assert_eq!(rig.device_wish(&ram).1, 0, "whatever was there");
        rig.setup.limits.is_strict = true;
        let mut wishes = std::collections::BTreeSet::new();
        ram.touches();
        for _ in 0..8 {
            publish((&rig, &ram), &mut queue, &[1]);
            let guest = ram.guest();
            let mut ring = queue.bind(&guest).expect("it is there");
            assert_eq!(ring.arm(), Ok(false));
            wishes.insert(rig.device_wish(&ram).1);
            ring.disarm().expect("it is in order");
            wishes.insert(rig.device_wish(&ram).1);
        }
        let expected = if rig.setup.features.event_idx { [1, 2] } else { [0, 1] };
        assert_eq!(wishes, expected.into());
        // The driver's own structure is not touched.
        let stores = ram.touches().into_iter().filter(|touch| matches!(touch, Touch::Store(..)));
        let mut ranges = stores.filter_map(Touch::range);
        assert!(ranges.all(|(at, _)| !(rig::AVAILABLE..rig::AVAILABLE + 4).contains(&at)));
    }
}
