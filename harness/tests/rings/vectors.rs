//! The vectors of spec §10 that are about rings.

use vhost_fuzz_core::ring::{Broken, PopError, Position, Ring, Wish, need_event};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use crate::rig::{self, AVAILABLE, USED, ram};
use crate::split;

#[test]
fn need_event_has_the_results_of_the_table() {
    let _shows = shows(&["VQ-045", "VQ-046"]);
    for (event, new, old) in
        [(0, 1, 0), (5, 6, 5), (0xffff, 0, 0xffff), (0xfffe, 1, 0xfffd), (0x7fff, 0x8000, 0)]
    {
        assert!(need_event(event, new, old), "{event:#x} {new:#x} {old:#x}");
    }
    for (event, new, old) in [(1, 1, 0), (5, 5, 5), (2, 1, 0xfffd)] {
        assert!(!need_event(event, new, old), "{event:#x} {new:#x} {old:#x}");
    }
}

#[test]
fn a_packed_event_is_found_across_the_end_of_the_ring() {
    let _shows = shows(&["PK-034"]);
    let at = |slot, wrap| Wish::At { slot, wrap };
    // Four slots, from 2 to 1 of the next lap.
    assert!(at(3, true).is_met(4, 2, 1, false));
    assert!(!at(1, false).is_met(4, 2, 1, false));
    // A full lap of five.
    assert!(at(2, true).is_met(5, 0, 0, false));
    // Five slots of four between two decisions: the event was passed, and the formula misses it.
    assert!(!at(2, true).is_met(4, 0, 1, false));
}

#[test]
fn so_a_decision_is_made_before_the_ring_is_passed() {
    let _shows = shows(&["PK-034"]);
    // No more slots than the ring has can be given back before the driver is shown them.
    let (ram, rig) = (ram(), crate::packed::Rig::with_events(4));
    let mut queue = rig.start(&ram);
    rig.offer_plain(&ram, &[0, 1, 2, 3]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    for _ in 0..4 {
        let token = rig::token(ring.pop(&mut chain));
        ring.put(token, 0).expect("it is taken");
    }
    rig.offer_plain(&ram, &[4]);
    let mut ring = queue.bind(&guest).expect("it is there");
    let broken = Broken::TooManySlotsInFlight { size: 4 };
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
}

#[test]
fn the_event_fields_of_a_ring_of_256() {
    let _shows = shows(&["VQ-045", "VQ-048"]);
    let (ram, rig) = (ram(), split::Rig::with_events(256));
    assert_eq!(rig.used_event_at() - AVAILABLE, 516);
    assert_eq!(rig.avail_event_at() - USED, 2052);
    rig.put_plain(&ram);
    let mut queue = rig.start_from(&ram, 0x1233);
    rig.offer(&ram, &[0, 1]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    // The first buffer is told in any case; the second one only because of the field.
    for wanted in [true, true] {
        ram.put_u16(AVAILABLE + 516, 0x1234);
        let token = rig::token(ring.pop(&mut chain));
        ring.put(token, 0).expect("it is taken");
        assert_eq!(ring.publish(), Ok(wanted));
    }
    assert_eq!((ring.arm(), ram.u16(USED + 2052)), (Ok(false), 0x1235));
}

#[test]
fn the_bases_of_a_fresh_packed_ring() {
    let _shows = shows(&["PK-038", "PK-040"]);
    let fresh = Position::Packed { available: 0, available_wrap: true, used: 0, used_wrap: true };
    assert_eq!((Position::of(0x8000_8000, true, false), fresh.base()), (fresh, 0x8000_8000));
    // The same, from a front-end that sends only the low half, with nothing in flight.
    assert_eq!(Position::of(0x0000_8000, true, false), fresh);
}

#[test]
fn the_distance_of_the_available_index() {
    let _shows = shows(&["VQ-032"]);
    let (ram, rig) = (ram(), split::Rig::new(256));
    rig.put_plain(&ram);
    let guest = ram.guest();
    let heads: Vec<u16> = (0..256).collect();
    let mut queue = rig.start_from(&ram, 0xff50);
    rig.offer(&ram, &heads);
    assert_eq!(rig.avail_idx(&ram), 0x0050);
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    for _ in 0..256 {
        let token = rig::token(ring.pop(&mut chain));
        ring.put(token, 0).expect("it is taken");
    }
    assert_eq!(queue.position(), Some(Position::Split { available: 0x0050 }));

    let mut queue = rig.start_from(&ram, 0xff50);
    rig.set_avail_idx(&ram, 0x0051);
    let mut ring = queue.bind(&guest).expect("it is there");
    let broken = Broken::AvailIndex { index: 0x0051, next: 0xff50, size: 256 };
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
}
