//! Starting, stopping, resetting and restarting (spec §2.1, §2.6).

use vhost_fuzz_core::memory::{Part, PlaceError, RingSizeError};
use vhost_fuzz_core::ring::{
    ActivateError, BindError, Features, PackedQueue, Position, PutReason, Ring, Setup,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::lists::list;
use super::{Rig, START, after, idle, used};
use crate::ram::Ram;
use crate::rig::{self, AVAILABLE, DESCRIPTORS, END, NOWHERE, USED, ram};

/// Starts a queue of at most 1024 slots, with nothing in flight.
fn start(ram: &Ram, setup: &Setup) -> Result<PackedQueue, ActivateError> {
    let mut queue = PackedQueue::new(rig::size(1024));
    queue.activate(setup, idle(START), &ram.guest())?;
    Ok(queue)
}

/// A ring of 5 whose parts are at these addresses.
fn at(descriptor: u64, available: u64, used: u64) -> Setup {
    let mut setup = rig::setup(5);
    let addresses = &mut setup.addresses;
    (addresses.descriptor, addresses.available, addresses.used) = (descriptor, available, used);
    setup
}

#[test]
fn parts_that_are_not_aligned_are_refused() {
    let _shows = shows(&["PK-001"]);
    let ram = ram();
    for (part, align) in [(Part::Descriptor, 16), (Part::Available, 4), (Part::Used, 4)] {
        for off in 0..32 {
            let place = |base, which| base + if part == which { off } else { 0 };
            let setup = at(
                place(DESCRIPTORS, Part::Descriptor),
                place(AVAILABLE, Part::Available),
                place(USED, Part::Used),
            );
            let address = part.address(&setup.addresses);
            let error = ActivateError::Place(PlaceError::Misaligned { part, address, align });
            if off % align == 0 {
                start(&ram, &setup).expect("it is aligned");
            } else {
                assert_refused!(start(&ram, &setup), error);
            }
        }
    }
}

#[test]
fn any_size_that_the_device_has_is_accepted() {
    let _shows = shows(&["PK-002"]);
    let ram = ram();
    for num in 1..=1024 {
        start(&ram, &rig::setup(num)).expect("any size");
    }
    for num in [1025, 32767, 32768] {
        let error = RingSizeError::AboveDevice { num: num.into(), limit: 1024 };
        assert_refused!(start(&ram, &rig::setup(num)), ActivateError::Size(error));
    }
    let mut queue = PackedQueue::new(rig::size(32768));
    for num in [1025, 32767, 32768] {
        let setup = rig::setup(num);
        queue.activate(&setup, idle(START), &ram.guest()).expect("any size");
    }
}

#[test]
fn parts_that_are_not_in_memory_are_refused() {
    let _shows = shows(&["VQ-005"]);
    let mut ram = ram();
    ram.add(END + 16, 0x1000, 0x1000, 0);
    let (d, a, u) = (DESCRIPTORS, AVAILABLE, USED);
    for (setup, part, address) in [
        (at(NOWHERE, a, u), Part::Descriptor, NOWHERE),
        (at(d, NOWHERE, u), Part::Available, NOWHERE),
        (at(d, a, NOWHERE), Part::Used, NOWHERE),
        (at(END - 64, a, u), Part::Descriptor, END),
        (at(END, a, u), Part::Descriptor, END),
        (at(d, END, u), Part::Available, END),
        (at(d, a, END + 12), Part::Used, END + 12),
    ] {
        let error = ActivateError::Place(PlaceError::Unmapped { part, address });
        assert_refused!(start(&ram, &setup), error);
    }
    for setup in [at(END - 80, a, u), at(d, END - 4, u), at(d, a, END - 4)] {
        start(&ram, &setup).expect("up to the last byte");
    }
}

#[test]
fn a_part_whose_fields_cannot_be_accessed_at_once_is_refused() {
    let mut ram = Ram::of(&[(DESCRIPTORS, 0x1000)]);
    ram.add(END, 0x1000, 0x1000, 4);
    ram.add(END + 0x10_0000, 0x1000, 0x1000, 2);
    let (even, by_4, by_2) = (DESCRIPTORS + 0x800, END, END + 0x10_0000);
    for (setup, part, align) in [
        (at(by_4, even, even), Part::Descriptor, 8),
        (at(DESCRIPTORS, by_2, even), Part::Available, 4),
        (at(DESCRIPTORS, even, by_2), Part::Used, 4),
    ] {
        assert_refused!(start(&ram, &setup), ActivateError::HostAlignment { part, align });
    }
    start(&ram, &at(DESCRIPTORS, by_4, by_4)).expect("a multiple of 4 will do");
    // A border of regions through the middle of a descriptor, and between its halves.
    for (border, is_good) in [(8, true), (4, false), (24, true), (20, false)] {
        let mut ram = Ram::of(&[(DESCRIPTORS, border)]);
        ram.add(DESCRIPTORS + border, 0x1000, 0x1000, border);
        let setup = at(DESCRIPTORS, DESCRIPTORS + 0x100, DESCRIPTORS + 0x200);
        let started = start(&ram, &setup);
        if is_good {
            started.expect("each half is in one region");
        } else {
            let part = Part::Descriptor;
            assert_refused!(started, ActivateError::HostAlignment { part, align: 8 });
        }
    }
}

#[test]
fn a_ring_cut_by_a_border_works_like_any_other() {
    let _shows = shows(&["VQ-028", "PK-041"]);
    for border in [8, 16, 24, 40] {
        let mut rig = Rig::new(5);
        let mut ram = Ram::of(&[(DESCRIPTORS, border)]);
        ram.add(DESCRIPTORS + border, 0x1000, 0x1000, border);
        ram.add(rig::BUFFER, 0x1000, 0x1000, 0);
        rig.setup = at(DESCRIPTORS, DESCRIPTORS + 0x100, DESCRIPTORS + 0x200);
        for slot in 0..5 {
            let found = rig.walk_at(&ram, (slot, true), &list(4, 2)).expect("a good list");
            assert_eq!((found.0.len(), found.1.len()), (2, 2), "{border} {slot}");
        }
    }
}

#[test]
fn a_ring_without_version_1_is_refused() {
    let (ram, mut setup) = (ram(), rig::setup(5));
    setup.features = Features { event_idx: true, indirect: true, ..Features::default() };
    assert_refused!(start(&ram, &setup), ActivateError::Legacy);
}

#[test]
fn a_position_outside_of_the_ring_is_refused() {
    let ram = ram();
    for num in [1, 5, 32767] {
        let (setup, mut queue) = (rig::setup(num), PackedQueue::new(rig::size(num)));
        for slot in [num, num + 1, 0x7fff] {
            if slot > 0x7fff {
                continue;
            }
            for base in [u32::from(slot), u32::from(slot) << 16, u32::from(slot) * 0x1_0001] {
                let position = Position::of(base | 0x8000_8000, true, true);
                let error = ActivateError::Slot { slot, size: num };
                assert_refused!(queue.activate(&setup, position, &ram.guest()), error);
                assert_eq!(queue.position(), None);
            }
        }
    }
    let mut queue = PackedQueue::new(rig::size(5));
    let split = Position::Split { available: 0 };
    let error = ActivateError::Layout;
    assert_refused!(queue.activate(&rig::setup(5), split, &ram.guest()), error);
}

#[test]
fn more_in_flight_than_the_ring_has_is_refused_at_the_start() {
    let ram = ram();
    for size in [1, 3, 5] {
        let mut queue = PackedQueue::new(rig::size(size));
        let places: Vec<_> = (0..size).flat_map(|slot| [(slot, true), (slot, false)]).collect();
        for &from in &places {
            for slots in 0..2 * size {
                let to = (0..slots).fold(from, |at, _| after(at, 1, size));
                let position = Position::Packed {
                    available: to.0,
                    available_wrap: to.1,
                    used: from.0,
                    used_wrap: from.1,
                };
                let started = queue.activate(&rig::setup(size), position, &ram.guest());
                if slots > size {
                    assert_refused!(started, ActivateError::Distance { slots, size });
                } else {
                    started.expect("at most its size");
                    assert_eq!(queue.in_flight(), slots);
                }
            }
        }
    }
}

#[test]
fn bases_carry_all_four_fields() {
    let _shows = shows(&["PK-038"]);
    let (ram, rig) = (ram(), Rig::new(5));
    for (available, available_wrap) in [(0, true), (4, false), (2, true)] {
        for behind in 0..=5 {
            let point = (0..10 - behind).fold((available, available_wrap), |at, _| after(at, 1, 5));
            let base = u32::from(available)
                | u32::from(available_wrap) << 15
                | u32::from(point.0) << 16
                | u32::from(point.1) << 31;
            let position = Position::of(base, true, true);
            let (used, used_wrap) = point;
            let expected = Position::Packed { available, available_wrap, used, used_wrap };
            assert_eq!((position, position.base()), (expected, base));
            let mut queue = rig.start_with(&ram, position);
            assert_eq!((queue.in_flight(), queue.position()), (behind, Some(expected)));
            assert_eq!(queue.stop(), Some(expected));
        }
    }
}

#[test]
fn a_base_without_an_upper_half_has_nothing_in_flight() {
    let _shows = shows(&["PK-040"]);
    let (ram, rig) = (ram(), Rig::new(5));
    for (low, at) in [(0x8000, (0, true)), (0x8003, (3, true)), (4, (4, false)), (0, (0, false))] {
        let position = Position::of(low, true, false);
        assert_eq!(position, idle(at), "{low:#x}");
        // The driver of such a front-end sees its buffers come back.
        rig.lay_out(&ram, at);
        let mut queue = rig.start_with(&ram, position);
        rig.offer_plain(&ram, &[3]);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let token = rig::token(ring.pop(&mut rig.chain()));
        ring.put(token, 0).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
        assert_eq!(rig.slot(&ram, at.0), (3, 0, used(at.1)));
    }
    // While requests are tracked, the half is what it says.
    let literal =
        Position::Packed { available: 4, available_wrap: false, used: 0, used_wrap: false };
    assert_eq!(Position::of(4, true, true), literal);
}

#[test]
fn a_stopped_or_reset_queue_touches_nothing() {
    let _shows = shows(&["VQ-052"]);
    for is_reset in [false, true] {
        let (ram, rig) = (ram(), Rig::new(5));
        let mut queue = PackedQueue::new(rig.setup.size);
        let guest = ram.guest();
        assert_refused!(queue.bind(&guest).map(|_| ()), BindError::Stopped);
        assert_eq!((queue.position(), queue.stop()), (None, None));

        queue = rig.start(&ram);
        rig.offer(&ram, &list(2, 0));
        rig.offer_plain(&ram, &[7]);
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut chain = rig.chain();
        let [held, token] = [0; 2].map(|_| rig::token(ring.pop(&mut chain)));
        // Given back, and not shown: the driver never sees it.
        ring.put(held, 0).expect("it is taken");
        let flags = rig.slot(&ram, 0).2;
        if is_reset {
            queue.reset();
        } else {
            let (available, used) = (3, 0);
            let position =
                Position::Packed { available, available_wrap: true, used, used_wrap: true };
            assert_eq!(queue.stop(), Some(position));
        }
        ram.touches();
        assert_refused!(queue.bind(&guest).map(|_| ()), BindError::Stopped);
        assert_eq!((queue.position(), queue.in_flight(), queue.broken()), (None, 0, None));
        queue.set_log(Some(0));
        assert_eq!((ram.touches(), rig.slot(&ram, 0).2), (vec![], flags));

        // What was taken before is worth nothing after a restart.
        queue.activate(&rig.setup, idle((3, true)), &guest).expect("a good ring");
        let mut ring = queue.bind(&guest).expect("it is there");
        ram.touches();
        let refused = ring.put(token, 0).expect_err("it is stale");
        assert_refused!(Err::<(), _>(refused.reason), PutReason::Stale);
        assert_eq!((ring.publish(), ram.touches()), (Ok(false), vec![]));
    }
}

#[test]
fn a_reset_queue_is_like_a_new_one() {
    let _shows = shows(&["VQ-054", "PK-003"]);
    let mut rig = Rig::in_order(5);
    rig.setup.features.event_idx = true;
    // A life with slots in flight, something held back, a batch, decisions, and a broken end.
    let memory = ram();
    let mut used = rig.start_at(&memory, (3, false));
    let guest = memory.guest();
    let mut chain = rig.chain();
    rig.offer_plain(&memory, &[1, 2, 3, 4, 5]);
    let mut ring = used.bind(&guest).expect("it is there");
    let [a, b, c, ..] = [0; 5].map(|_| rig::token(ring.pop(&mut chain)));
    ring.put(a, 0).expect("the oldest");
    ring.publish().expect("it is in order");
    ring.put(b, 0).expect("the oldest");
    ring.skip(c).expect("the oldest");
    rig.offer_plain(&memory, &[6, 7]);
    let mut ring = used.bind(&guest).expect("it is there");
    let _sixth = rig::taken(ring.pop(&mut chain));
    assert!(ring.pop(&mut chain).is_err());
    used.reset();

    let run = |mut queue: PackedQueue| {
        let (ram, rig) = (ram(), rig.clone());
        rig.lay_out(&ram, START);
        rig.wish(&ram, (2, true), 2);
        let guest = ram.guest();
        queue.activate(&rig.setup, idle(START), &guest).expect("a good ring");
        let mut said = vec![];
        for round in 0..7_u16 {
            rig.offer(&ram, &list(1 + round % 2, 0));
            rig.offer_plain(&ram, &[round, 7]);
            let mut ring = queue.bind(&guest).expect("it is there");
            for at in 0..3 {
                let token = rig::token(ring.pop(&mut rig.chain()));
                if at == 1 { ring.skip(token) } else { ring.put(token, 0) }.expect("in order");
                said.push(ring.publish());
            }
            said.push(ring.arm());
        }
        (said, queue.position(), queue.in_flight(), ram.touches())
    };
    assert_eq!(run(used), run(PackedQueue::new(rig.setup.size)));
}

#[test]
fn a_restart_may_bring_another_size_and_other_addresses() {
    let _shows = shows(&["VQ-055", "VQ-065"]);
    let ram = ram();
    let mut queue = PackedQueue::new(rig::size(1024));
    let guest = ram.guest();
    for (round, num) in (0_u64..).zip([5, 1024, 1, 255, 2]) {
        let mut rig = Rig::new(num);
        let shift = 0x1000 * round;
        rig.setup = at(DESCRIPTORS + 4 * shift, AVAILABLE + shift, USED + 4 * shift);
        rig.setup.size = rig::size(num);
        rig.lay_out(&ram, START);
        queue.activate(&rig.setup, idle(START), &guest).expect("a good ring");
        let ids: Vec<u16> = (0..num).rev().collect();
        rig.offer_plain(&ram, &ids);
        ram.touches();
        let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
        for id in ids {
            let token = rig::token(ring.pop(&mut chain));
            assert_eq!(token.id(), id);
            ring.put(token, 0).expect("it is taken");
        }
        assert_eq!(ring.publish(), Ok(true));
        assert_eq!(rig.slot(&ram, 0), (num - 1, 0, used(true)));
        let parts = [DESCRIPTORS + 4 * shift, AVAILABLE + shift, USED + 4 * shift];
        for (at, _) in ram.touches().into_iter().filter_map(crate::ram::Touch::range) {
            assert!(parts.iter().any(|start| (*start..*start + 0x4000).contains(&at)), "{at:#x}");
        }
    }
}

#[test]
fn a_restored_queue_goes_on_where_it_was() {
    let _shows = shows(&["PK-038", "VQ-050"]);
    let (ram, rig) = (ram(), Rig::new(5));
    let guest = ram.guest();
    let mut queue = rig.start(&ram);
    let mut at = START;
    for round in 0..17_u16 {
        let count = 1 + round % 3;
        rig.offer(&ram, &list(count, 0));
        let mut ring = queue.bind(&guest).expect("it is there");
        let token = rig::token(ring.pop(&mut rig.chain()));
        ring.put(token, 0).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
        assert_eq!(rig.slot(&ram, at.0), (100 + count - 1, 0, used(at.1)));
        at = after(at, count, 5);
        // Another process goes on with nothing but the base.
        let base = queue.stop().expect("it runs").base();
        queue = PackedQueue::new(rig.setup.size);
        let position = Position::of(base, true, false);
        queue.activate(&rig.setup, position, &guest).expect("a good ring");
        assert_eq!(queue.position(), Some(idle(at)));
    }
}
