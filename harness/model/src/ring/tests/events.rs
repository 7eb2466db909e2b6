//! Decisions about calls, compared with the formulas of spec/virtio.md §1.7 and §2.5.

use crate::ring::Position;
use crate::ring::event::{need_event, packed_decision, packed_need_event};

fn formula(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// §2.5. `current_wrap` is the wrap counter after the update.
fn packed_formula(event: Position, current_wrap: bool, new: u16, old: u16, size: u16) -> bool {
    let old = if new <= old { old.wrapping_sub(size) } else { old };
    let off = event.offset;
    let off = if event.wrap != current_wrap { off.wrapping_sub(size) } else { off };
    formula(off, new, old)
}

#[test]
fn vectors_of_the_specification() {
    for (event, new, old) in
        [(0, 1, 0), (5, 6, 5), (0xffff, 0, 0xffff), (0xfffe, 1, 0xfffd), (0x7fff, 0x8000, 0)]
    {
        assert!(need_event(event, new, old), "{event:x} {new:x} {old:x}");
    }
    for (event, new, old) in [(1, 1, 0), (5, 5, 5), (2, 1, 0xfffd)] {
        assert!(!need_event(event, new, old), "{event:x} {new:x} {old:x}");
    }
}

#[test]
fn split_walk_and_formula_agree_in_windows() {
    for start in [0u16, 1, 0x7ff0, 0x8000, 0xfff0, 0xffff] {
        for old in 0..20 {
            for count in 0..20 {
                for event in 0..48 {
                    let old = start.wrapping_add(old);
                    let new = old.wrapping_add(count);
                    let event = start.wrapping_add(event).wrapping_sub(4);
                    let says = need_event(event, new, old);
                    assert_eq!(says, formula(event, new, old), "{event:x} {new:x} {old:x}");
                }
            }
        }
    }
}

#[test]
fn split_walk_and_formula_agree_over_the_largest_ring() {
    for old in [0u16, 1, 0x8000, 0xffff] {
        let new = old.wrapping_add(0x8000);
        for event in (0..=u16::MAX).step_by(257).chain([old, new, new.wrapping_sub(1)]) {
            assert_eq!(need_event(event, new, old), formula(event, new, old), "{event:x}");
        }
    }
}

#[test]
fn packed_vectors_of_the_specification() {
    let at = |offset, wrap| Position { offset, wrap };
    // N = 4, old = 2, new = 1: three slots.
    assert!(packed_need_event(at(3, true), at(1, false), 3, 4));
    assert!(!packed_need_event(at(1, false), at(1, false), 3, 4));
    // N = 5, a full lap from 0.
    assert!(packed_need_event(at(2, true), at(0, false), 5, 5));
    // N = 4: a run of five slots is longer than the formula can tell.
    assert!(packed_need_event(at(2, true), at(1, false), 5, 4));
    assert!(!packed_formula(at(2, true), false, 1, 0, 4));
}

/// Every event, in range or not, against every run of 1 to N slots that ends anywhere.
#[test]
fn packed_walk_and_formula_agree_for_small_rings() {
    for size in 1..=8u16 {
        for (new, wrap) in (0..size).flat_map(|new| [(new, false), (new, true)]) {
            for count in 1..=size {
                let old = (new + size - count) % size;
                for bits in 0..u16::from(u8::MAX) {
                    let event = Position { offset: bits / 2, wrap: bits % 2 == 1 };
                    let used = Position { offset: new, wrap };
                    let says = packed_need_event(event, used, count.into(), size);
                    let told = packed_formula(event, wrap, new, old, size);
                    assert_eq!(says, told, "N={size} {event:?} {used:?} {count} slots");
                }
            }
        }
    }
}

/// In range, the walk is a search among the positions of the run on the circle of 2N.
#[test]
fn packed_walk_finds_what_the_run_passed() {
    for size in 1..=6u16 {
        for start in 0..2 * size {
            for count in 1..=size {
                let place = |point: u16| {
                    let point = point % (2 * size);
                    Position { offset: point % size, wrap: point < size }
                };
                let run: Vec<Position> = (start..start + count).map(place).collect();
                for event in (0..2 * size).map(place) {
                    let says = packed_need_event(event, place(start + count), count.into(), size);
                    assert_eq!(says, run.contains(&event), "N={size} {run:?} {event:?}");
                }
            }
        }
    }
}

#[test]
fn packed_walk_and_formula_agree_for_large_rings() {
    for size in [255u16, 256, 32767, 32768] {
        let places = [0, 1, size / 2, size - 1];
        for (new, wrap) in places.into_iter().flat_map(|new| [(new, false), (new, true)]) {
            for count in [1, 2, size / 2, size - 1, size] {
                let old = u32::from(new) + u32::from(size) - u32::from(count);
                let old = u16::try_from(old % u32::from(size)).unwrap();
                for half in [0, 1, old, new, size - 1, 0x7fff] {
                    for event in [false, true].map(|wrap| Position { offset: half % 0x8000, wrap })
                    {
                        let used = Position { offset: new, wrap };
                        let says = packed_need_event(event, used, count.into(), size);
                        let told = packed_formula(event, wrap, new, old, size);
                        assert_eq!(says, told, "N={size} {event:?} {used:?} {count} slots");
                    }
                }
            }
        }
    }
}

#[test]
fn flags_of_the_event_structure() {
    let used = Position { offset: 1, wrap: true };
    let ask = |off_wrap: u16, flags: u16, event_idx| {
        let [a, b] = off_wrap.to_le_bytes();
        let [c, d] = flags.to_le_bytes();
        packed_decision([a, b, c, d], event_idx, used, 1, 4)
    };
    for event_idx in [false, true] {
        assert!(ask(0, 0, event_idx));
        assert!(!ask(0x8000, 1, event_idx));
        // PK-033: the reserved value and reserved bits.
        for flags in [3, 4, 5, 6, 0x8001, 0x8002] {
            assert!(ask(0x8003, flags, event_idx), "{flags:x}");
        }
    }
    assert!(ask(0x8003, 2, false));
    assert!(!ask(0x8003, 2, true));
    assert!(ask(0x8000, 2, true));
    assert!(!ask(0x0000, 2, true));
    // PK-035: five slots into the lap before is one slot into this one, past what was used.
    assert!(!ask(0x0005, 2, true));
    assert!(ask(0x0004, 2, true));
    assert!(!ask(0x7fff, 2, true));
    assert!(!ask(0xffff, 2, true));
}
