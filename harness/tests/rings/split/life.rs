//! Starting, stopping, resetting and restarting (spec §1.10, §1.11).

use vhost_fuzz_core::memory::{AddressKind, Part, PlaceError, RingSizeError};
use vhost_fuzz_core::ring::{
    ActivateError, BindError, Features, Position, PutReason, Ring, Setup, SplitQueue,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use super::Rig;
use crate::ram::{Ram, USER};
use crate::rig::{self, AVAILABLE, DESCRIPTORS, END, NOWHERE, USED, ram};

/// Starts a queue of at most 1024 entries.
fn start(ram: &Ram, setup: &Setup) -> Result<SplitQueue, ActivateError> {
    let mut queue = SplitQueue::new(rig::size(1024));
    queue.activate(setup, Position::Split { available: 0 }, &ram.guest())?;
    Ok(queue)
}

/// A ring whose parts are at these addresses.
fn at(descriptor: u64, available: u64, used: u64) -> Setup {
    let mut setup = rig::setup(8);
    let addresses = &mut setup.addresses;
    (addresses.descriptor, addresses.available, addresses.used) = (descriptor, available, used);
    setup
}

#[test]
fn parts_that_are_not_aligned_are_refused() {
    let _shows = shows(&["VQ-001", "VQ-002", "VQ-003"]);
    let ram = ram();
    for (part, align) in [(Part::Descriptor, 16), (Part::Available, 2), (Part::Used, 4)] {
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
fn sizes_that_are_no_power_of_two_or_too_large_are_refused() {
    let _shows = shows(&["VQ-004"]);
    let ram = ram();
    for num in (1..=1025).chain([2048, 32767, 32768]) {
        let started = start(&ram, &rig::setup(num));
        let num = u32::from(num);
        let error = if num > 1024 {
            RingSizeError::AboveDevice { num, limit: 1024 }
        } else {
            RingSizeError::NotPowerOfTwo { num }
        };
        if num <= 1024 && num.is_power_of_two() {
            started.expect("a power of two");
        } else {
            assert_refused!(started, ActivateError::Size(error));
        }
    }
}

#[test]
fn parts_that_are_not_in_memory_are_refused() {
    let _shows = shows(&["VQ-005"]);
    let mut ram = ram();
    // A hole of 16 bytes.
    ram.add(END + 16, 0x1000, 0x1000, 0);
    let outside =
        |part, address| Err::<(), _>(ActivateError::Place(PlaceError::Unmapped { part, address }));
    // The first byte that is missing: at the start, in the middle, at the end, of each part.
    let (d, a, u) = (DESCRIPTORS, AVAILABLE, USED);
    for (setup, part, missing) in [
        (at(NOWHERE, a, u), Part::Descriptor, NOWHERE),
        (at(d, NOWHERE, u), Part::Available, NOWHERE),
        (at(d, a, NOWHERE), Part::Used, NOWHERE),
        (at(END - 112, a, u), Part::Descriptor, END),
        (at(END - 16, a, u), Part::Descriptor, END),
        (at(END, a, u), Part::Descriptor, END),
        (at(d, END - 18, u), Part::Available, END),
        (at(d, END + 14, u), Part::Available, END + 14),
        (at(d, a, END - 64), Part::Used, END),
        (at(d, a, END + 0x1010 - 64), Part::Used, END + 0x1010),
        (at(DESCRIPTORS - 16, a, u), Part::Descriptor, DESCRIPTORS - 16),
    ] {
        let started = start(&ram, &setup).map(|_| ());
        assert_eq!(started, outside(part, missing), "{part} at {missing:#x}");
        assert_refused!(started, outside(part, missing).expect_err("an error"));
    }
    for setup in [at(END - 128, a, u), at(d, END - 20, u), at(d, a, END - 68)] {
        start(&ram, &setup).expect("up to the last byte");
    }
    // A wrap is no address.
    let (part, address) = (Part::Descriptor, u64::MAX - 127);
    let error = ActivateError::Place(PlaceError::Wraps { part, address, len: 128 });
    assert_refused!(start(&ram, &at(address, a, u)), error);
}

#[test]
fn the_event_fields_have_to_be_there_with_event_idx_only() {
    let _shows = shows(&["VQ-006"]);
    let ram = ram();
    for (available, used) in [(END - 20, USED), (AVAILABLE, END - 68)] {
        let mut setup = at(DESCRIPTORS, available, used);
        let mut queue = start(&ram, &setup).expect("the event field is not needed");
        // It works like any other.
        let mut rig = Rig::new(8);
        rig.setup = setup;
        rig.put_plain(&ram);
        rig.set_avail_idx(&ram, 0);
        rig.offer(&ram, &[7]);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let token = rig::token(ring.pop(&mut rig.chain()));
        ring.put(token, 0).expect("it is taken");
        assert_eq!((ring.publish(), ring.arm()), (Ok(true), Ok(false)));
        setup.features.event_idx = true;
        let part = if used == USED { Part::Available } else { Part::Used };
        let error = ActivateError::Place(PlaceError::Unmapped { part, address: END });
        assert_refused!(start(&ram, &setup), error);
        ram.put(END - 68, &[0; 68]);
    }
}

#[test]
fn a_ring_without_version_1_is_refused() {
    let (ram, mut setup) = (ram(), rig::setup(8));
    setup.features = Features { event_idx: true, indirect: true, ..Features::default() };
    assert_refused!(start(&ram, &setup), ActivateError::Legacy);
}

#[test]
fn a_position_of_a_packed_ring_is_refused() {
    let (ram, setup) = (ram(), rig::setup(8));
    let mut queue = SplitQueue::new(rig::size(8));
    let packed = Position::of(0x8000_8000, true, false);
    assert_refused!(queue.activate(&setup, packed, &ram.guest()), ActivateError::Layout);
    assert_eq!(queue.position(), None);
}

#[test]
fn more_in_flight_than_the_ring_has_is_refused_at_the_start() {
    let (ram, rig) = (ram(), Rig::new(8));
    let mut queue = SplitQueue::new(rig.setup.size);
    for available in [0_u16, 5, 0xffff] {
        for behind in 0..=8 {
            rig.set_used_idx(&ram, available.wrapping_sub(behind));
            let position = Position::Split { available };
            queue.activate(&rig.setup, position, &ram.guest()).expect("at most its size");
            assert_eq!(queue.in_flight(), behind);
        }
        for behind in [9, 10, 0x8000, 0xffff] {
            let used = available.wrapping_sub(behind);
            rig.set_used_idx(&ram, used);
            let position = Position::Split { available };
            let error = ActivateError::UsedIndex { available, used, size: 8 };
            assert_refused!(queue.activate(&rig.setup, position, &ram.guest()), error);
            assert_eq!(queue.position(), None, "a queue that was refused is stopped");
        }
    }
}

#[test]
fn a_part_whose_fields_cannot_be_accessed_at_once_is_refused() {
    let _shows = shows(&["DC-087"]);
    // The region is mapped so that even guest addresses are odd for the processor.
    let mut ram = Ram::of(&[(DESCRIPTORS, 0x1000)]);
    ram.add(END, 0x1000, 0x1000, 1);
    let (even, odd) = (DESCRIPTORS + 0x800, END);
    for (setup, part) in
        [(at(DESCRIPTORS, odd, even), Part::Available), (at(DESCRIPTORS, even, odd), Part::Used)]
    {
        assert_refused!(start(&ram, &setup), ActivateError::HostAlignment { part, align: 2 });
    }
    // Descriptors are copied, and may be anywhere.
    start(&ram, &at(odd, DESCRIPTORS, DESCRIPTORS + 0x800)).expect("they are copied");

    // A border of regions cuts a field.
    let ram = ram_with_odd_border();
    let border = DESCRIPTORS + 0x1001;
    let even = DESCRIPTORS + 0x400;
    for (setup, part) in [
        (at(DESCRIPTORS, border - 5, even), Part::Available),
        (at(DESCRIPTORS, even, border - 9), Part::Used),
    ] {
        assert_refused!(start(&ram, &setup), ActivateError::HostAlignment { part, align: 2 });
    }
}

/// Two regions that touch at an odd address; the second one is seen at an odd address as well.
fn ram_with_odd_border() -> Ram {
    let mut ram = Ram::of(&[(DESCRIPTORS, 0x1001)]);
    ram.add(DESCRIPTORS + 0x1001, 0x1000, 0x1000, 1);
    ram
}

#[test]
fn rings_may_be_given_by_user_addresses() {
    let _shows = shows(&["VQ-055"]);
    let (ram, mut rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    rig.setup = at(USER + DESCRIPTORS, USER + AVAILABLE, USER + USED);
    rig.setup.ring_kind = AddressKind::User;
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[3]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    // Descriptors have guest addresses all the same.
    assert_eq!(rig::token(ring.pop(&mut rig.chain())).id(), 3);
    // A guest address is not taken for a user address, nor the other way round.
    let mut setup = rig.setup;
    setup.ring_kind = AddressKind::Guest;
    let (part, address) = (Part::Descriptor, USER + DESCRIPTORS);
    let error = ActivateError::Place(PlaceError::Unmapped { part, address });
    assert_refused!(start(&ram, &setup), error);
}

#[test]
fn a_stopped_or_reset_queue_touches_nothing() {
    for is_reset in [false, true] {
        let (ram, rig) = (ram(), Rig::new(8));
        rig.put_plain(&ram);
        let mut queue = SplitQueue::new(rig.setup.size);
        let guest = ram.guest();
        assert_refused!(queue.bind(&guest).map(|_| ()), BindError::Stopped);
        assert_eq!((queue.position(), queue.stop()), (None, None));

        queue = rig.start(&ram);
        rig.offer(&ram, &[0, 1, 2]);
        let mut ring = queue.bind(&guest).expect("it is there");
        let token = rig::token(ring.pop(&mut rig.chain()));
        if is_reset {
            queue.reset();
        } else {
            assert_eq!(queue.stop(), Some(Position::Split { available: 1 }));
        }
        ram.touches();
        assert_refused!(queue.bind(&guest).map(|_| ()), BindError::Stopped);
        assert_eq!((queue.position(), queue.in_flight(), queue.broken()), (None, 0, None));
        queue.set_log(Some(0));
        assert_eq!(ram.touches(), []);

        // What was taken before is worth nothing after a restart.
        let mut queue_again = queue;
        let position = Position::Split { available: 1 };
        queue_again.activate(&rig.setup, position, &guest).expect("a good ring");
        let mut ring = queue_again.bind(&guest).expect("it is there");
        ram.touches();
        let refused = ring.put(token, 0).expect_err("it is stale");
        assert_eq!(refused.token.id(), 0);
        assert_refused!(Err::<(), _>(refused.reason), PutReason::Stale);
        assert_eq!((ring.publish(), ram.touches()), (Ok(false), vec![]));
    }
}

#[test]
fn after_a_stop_nothing_is_executed_or_told() {
    let _shows = shows(&["VQ-052", "VQ-053"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0, 1]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    let token = rig::token(ring.pop(&mut rig.chain()));
    // Given back, and not shown: the driver never sees it.
    ring.put(token, 0).expect("it is taken");
    queue.reset();
    ram.touches();
    for _ in 0..3 {
        assert_eq!(queue.bind(&guest).err(), Some(BindError::Stopped));
    }
    assert_eq!((rig.used_idx(&ram), ram.touches()), (0, vec![]));
}

#[test]
fn a_reset_queue_is_like_a_new_one() {
    let _shows = shows(&["VQ-054"]);
    // A life with heads in flight, a skipped batch, decisions, and at last a broken ring.
    let (ram, mut rig) = (ram(), Rig::in_order(8));
    rig.setup.features.event_idx = true;
    rig.put_plain(&ram);
    let mut used = rig.start(&ram);
    rig.offer(&ram, &[0, 1, 2, 3, 99]);
    let guest = ram.guest();
    let mut ring = used.bind(&guest).expect("it is there");
    let mut chain = rig.chain();
    let [a, b, c, d] = [0; 4].map(|_| rig::token(ring.pop(&mut chain)));
    ring.put(a, 0).expect("the oldest");
    ring.publish().expect("it is in order");
    ring.put(b, 0).expect("the oldest");
    ring.skip(c).expect("the oldest");
    assert_eq!(d.id(), 3);
    assert!(ring.pop(&mut chain).is_err());
    used.reset();

    // A history of the driver, seen by that queue and by a new one.
    let run = |mut queue: SplitQueue| {
        let ram = rig::ram();
        rig.put_plain(&ram);
        rig.set_used_event(&ram, 3);
        let guest = ram.guest();
        let position = Position::Split { available: 0 };
        queue.activate(&rig.setup, position, &guest).expect("a good ring");
        let mut said = vec![];
        for round in 0..4_u16 {
            rig.offer(&ram, &[0, 1, 2, 3].map(|head| (head + round) % 8));
            let mut ring = queue.bind(&guest).expect("it is there");
            for at in 0..4 {
                let token = rig::token(ring.pop(&mut rig.chain()));
                let is_last = at % 2 == 1;
                if is_last { ring.put(token, 0) } else { ring.skip(token) }.expect("in order");
                said.push(ring.publish());
            }
            said.push(ring.arm());
        }
        (said, queue.position(), queue.in_flight(), ram.touches())
    };
    assert_eq!(run(used), run(SplitQueue::new(rig.setup.size)));
}

#[test]
fn a_restart_may_bring_another_size_and_other_addresses() {
    let _shows = shows(&["VQ-055", "VQ-065"]);
    let ram = ram();
    let mut queue = SplitQueue::new(rig::size(1024));
    let guest = ram.guest();
    let mut chain = Rig::new(1024).chain();
    for (round, num) in (0_u64..).zip([8, 1024, 1, 256, 2]) {
        let mut rig = Rig::new(num);
        let shift = 0x1000 * round;
        rig.setup = at(DESCRIPTORS + 4 * shift, AVAILABLE + shift, USED + 4 * shift);
        rig.setup.size = rig::size(num);
        rig.put_plain(&ram);
        let position = Position::Split { available: 0 };
        queue.activate(&rig.setup, position, &guest).expect("a good ring");
        let heads: Vec<u16> = (0..num).rev().collect();
        rig.offer(&ram, &heads);
        ram.touches();
        let mut ring = queue.bind(&guest).expect("it is there");
        for head in heads {
            let token = rig::token(ring.pop(&mut chain));
            assert_eq!(token.id(), head);
            ring.put(token, 0).expect("it is taken");
        }
        assert_eq!(ring.publish(), Ok(true));
        assert_eq!(rig.used_idx(&ram), num);
        // The parts of the lives before are left alone.
        let ends = [DESCRIPTORS + 4 * shift, AVAILABLE + shift, USED + 4 * shift];
        for (at, _) in ram.touches().into_iter().filter_map(crate::ram::Touch::range) {
            assert!(ends.iter().any(|start| (*start..*start + 0x4000).contains(&at)), "{at:#x}");
        }
    }
}

#[test]
fn a_running_ring_keeps_its_size_and_addresses() {
    let _shows = shows(&["VQ-065"]);
    // There is no way to change them; a second start is a stop and a start, and is judged anew.
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    let token = rig::token(ring.pop(&mut rig.chain()));
    let position = Position::Split { available: 1 };
    let error = ActivateError::Size(RingSizeError::AboveDevice { num: 16, limit: 8 });
    assert_refused!(queue.activate(&rig::setup(16), position, &guest), error);
    assert_eq!(queue.bind(&guest).err(), Some(BindError::Stopped));
    queue.activate(&rig.setup, position, &guest).expect("a good ring");
    let mut ring = queue.bind(&guest).expect("it is there");
    assert_eq!(ring.put(token, 0).err().map(|error| error.reason), Some(PutReason::Stale));
}

#[test]
fn a_restored_queue_goes_on_where_it_was() {
    let _shows = shows(&["VQ-032", "VQ-050"]);
    let (ram, rig) = (ram(), Rig::new(8));
    rig.put_plain(&ram);
    let guest = ram.guest();
    let mut queue = rig.start_from(&ram, 0xfffc);
    for round in 0..12_u16 {
        rig.offer(&ram, &[round % 8]);
        let mut ring = queue.bind(&guest).expect("it is there");
        let token = rig::token(ring.pop(&mut rig.chain()));
        assert_eq!(token.id(), round % 8);
        ring.put(token, 0).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
        // Another process goes on with nothing but the position.
        let position = queue.stop().expect("it runs");
        queue = SplitQueue::new(rig.setup.size);
        queue.activate(&rig.setup, position, &guest).expect("a good ring");
    }
    assert_eq!(rig.used_idx(&ram), 8);
    // What it is given is judged like a fresh one: hostile state comes out at the first step.
    rig.set_avail_idx(&ram, 100);
    let mut ring = queue.bind(&guest).expect("it is there");
    assert!(ring.pop(&mut rig.chain()).is_err());
}
