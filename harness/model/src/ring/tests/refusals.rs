//! Rings that cannot start.

use super::{AVAIL, BASE, DESC, END, Ram, USED, setup};
use crate::Id;
use crate::ring::{Form, Packed, Part, Position, Refusal, Setup, Split, Writes};

fn split(ram: &Ram, setup: &Setup, next: u16) -> Result<(), (Refusal, Id)> {
    let mut writes = Writes::new();
    let result = Split::activate(setup, next, &ram.regions, ram, &mut writes);
    assert_eq!(writes.list().len(), usize::from(result.is_ok()));
    result.map(drop).map_err(|refusal| (refusal, refusal.rule(Form::Split)))
}

fn packed(ram: &Ram, setup: &Setup, positions: [Position; 2]) -> Result<(), (Refusal, Id)> {
    let mut writes = Writes::new();
    let result = Packed::activate(setup, positions, &ram.regions, &mut writes);
    assert_eq!(writes.list().len(), usize::from(result.is_ok()));
    result.map(drop).map_err(|refusal| (refusal, refusal.rule(Form::Packed)))
}

const FRESH: [Position; 2] = [Position::FRESH; 2];

#[test]
fn sizes() {
    let ram = Ram::new(&[(0, 0x10_0000)]);
    let wide = |size| Setup { descriptor: 0, available: 0x8_0000, used: 0xa_0000, ..setup(size) };
    for size in [0, 3, 5, 255, 257, 16383, 32767, 32769, 65535] {
        assert_eq!(split(&ram, &wide(size), 0), Err((Refusal::Size { size }, Id::Vq(4))));
    }
    for bit in 0..=15 {
        assert_eq!(split(&ram, &wide(1 << bit), 0), Ok(()));
    }
    for size in [0, 32769, 65535] {
        assert_eq!(packed(&ram, &wide(size), FRESH), Err((Refusal::Size { size }, Id::Pk(2))));
    }
    for size in [1, 2, 3, 5, 255, 257, 32767, 32768] {
        assert_eq!(packed(&ram, &wide(size), FRESH), Ok(()));
    }
}

#[test]
fn alignment() {
    let ram = Ram::plain();
    for off in 1..16 {
        let address = DESC + off;
        let refusal = Refusal::Misaligned { part: Part::Descriptor, address };
        let shifted = Setup { descriptor: address, ..setup(4) };
        assert_eq!(split(&ram, &shifted, 0), Err((refusal, Id::Vq(1))));
        assert_eq!(packed(&ram, &shifted, FRESH), Err((refusal, Id::Pk(1))));

        let address = USED + off;
        let refusal = Refusal::Misaligned { part: Part::Used, address };
        let shifted = Setup { used: address, ..setup(4) };
        let is_aligned = off % 4 == 0;
        assert_eq!(split(&ram, &shifted, 0).is_ok(), is_aligned);
        if !is_aligned {
            assert_eq!(split(&ram, &shifted, 0), Err((refusal, Id::Vq(3))));
            assert_eq!(packed(&ram, &shifted, FRESH), Err((refusal, Id::Pk(1))));
        }

        let address = AVAIL + off;
        let refusal = Refusal::Misaligned { part: Part::Available, address };
        let shifted = Setup { available: address, ..setup(4) };
        assert_eq!(split(&ram, &shifted, 0).is_ok(), off % 2 == 0);
        assert_eq!(packed(&ram, &shifted, FRESH).is_ok(), off % 4 == 0);
        if off % 2 == 1 {
            assert_eq!(split(&ram, &shifted, 0), Err((refusal, Id::Vq(2))));
            assert_eq!(packed(&ram, &shifted, FRESH), Err((refusal, Id::Pk(1))));
        }
    }
}

/// Every part at the end of memory: it fits exactly, and not with its last byte cut off.
#[test]
fn place_of_the_parts() {
    let with = |part, address, event_idx| {
        let mut setup = Setup { event_idx, ..setup(4) };
        match part {
            Part::Descriptor => setup.descriptor = address,
            Part::Used => setup.used = address,
            Part::Available => setup.available = address,
        }
        setup
    };
    let lens = [
        (Part::Descriptor, false, 64, 64),
        (Part::Used, false, 36, 4),
        (Part::Used, true, 38, 4),
        (Part::Available, false, 12, 4),
        (Part::Available, true, 14, 4),
    ];
    for (part, event_idx, split_len, packed_len) in lens {
        for (is_split, len) in [(true, split_len), (false, packed_len)] {
            let address = END - 64;
            let start = |end: u64| {
                let ram = Ram::new(&[(BASE, end - BASE)]);
                let setup = with(part, address, event_idx);
                if is_split { split(&ram, &setup, 0) } else { packed(&ram, &setup, FRESH) }
            };
            assert_eq!(start(address + len), Ok(()), "{part:?} {is_split}");
            // VQ-006: the event field does not have to be there without the feature.
            let refusal = Refusal::Outside { part, address };
            assert_eq!(start(address + len - 1), Err((refusal, Id::Vq(5))), "{part:?}");
        }
        for address in [0, END, 0u64.wrapping_sub(16)] {
            let refusal = Refusal::Outside { part, address };
            let result = split(&Ram::plain(), &with(part, address, event_idx), 0);
            assert_eq!(result, Err((refusal, Id::Vq(5))));
        }
    }
}

#[test]
fn parts_over_borders_of_regions() {
    let mut ram = Ram::new(&[(BASE, 16), (BASE + 16, END - BASE - 16)]);
    assert_eq!(split(&ram, &setup(4), 0), Ok(()));
    assert_eq!(packed(&ram, &setup(4), FRESH), Ok(()));
    ram.regions[1].start += 1;
    let refusal = Refusal::Outside { part: Part::Descriptor, address: DESC };
    assert_eq!(split(&ram, &setup(4), 0), Err((refusal, Id::Vq(5))));
}

#[test]
fn a_table_change_can_end_a_ring() {
    let ram = Ram::plain();
    let mut writes = Writes::new();
    let mut ring = Split::activate(&setup(4), 0, &ram.regions, &ram, &mut writes).unwrap();
    assert_eq!(ring.bind(&ram.regions), Ok(()));
    let refusal = Refusal::Outside { part: Part::Descriptor, address: DESC };
    assert_eq!(ring.bind(&[]), Err(refusal));
    let mut ring = Packed::activate(&setup(4), FRESH, &ram.regions, &mut writes).unwrap();
    assert_eq!(ring.bind(&ram.regions), Ok(()));
    assert_eq!(ring.bind(&[]), Err(refusal));
}

#[test]
fn legacy() {
    let ram = Ram::plain();
    let old = Setup { version_1: false, ..setup(4) };
    assert_eq!(split(&ram, &old, 0), Err((Refusal::Legacy, Id::Vq(67))));
    assert_eq!(packed(&ram, &old, FRESH), Err((Refusal::Legacy, Id::Vq(67))));
}

/// Hazard 8.26.
#[test]
fn used_index_in_memory() {
    for used in [0u16, 1, 0x7fff, 0x8000, 0xfffd, 0xffff] {
        let mut ram = Ram::plain();
        ram.store16(USED + 2, used);
        for ahead in 0..=4 {
            assert_eq!(split(&ram, &setup(4), used.wrapping_add(ahead)), Ok(()));
        }
        for ahead in [5, 6, 0x8000, 0xffff] {
            let available = used.wrapping_add(ahead);
            let refusal = Refusal::UsedIndex { available, used };
            assert_eq!(split(&ram, &setup(4), available), Err((refusal, Id::Vq(32))));
        }
    }
}

#[test]
fn packed_positions() {
    let ram = Ram::plain();
    let at = |offset, wrap| Position { offset, wrap };
    let start = |available, used| packed(&ram, &setup(3), [available, used]);
    for wrap in [false, true] {
        let refusal = Refusal::Offset { offset: 3 };
        assert_eq!(start(at(3, wrap), at(0, wrap)), Err((refusal, Id::Pk(39))));
        assert_eq!(start(at(0, wrap), at(3, wrap)), Err((refusal, Id::Pk(39))));
        let refusal = Refusal::Offset { offset: 0x7fff };
        assert_eq!(start(at(0x7fff, wrap), at(3, wrap)), Err((refusal, Id::Pk(39))));
        for (available, used, distance) in [
            (at(0, wrap), at(0, wrap), 0),
            (at(2, wrap), at(1, wrap), 1),
            (at(0, !wrap), at(1, wrap), 2),
            (at(1, !wrap), at(1, wrap), 3),
            (at(2, !wrap), at(1, wrap), 4),
            (at(0, wrap), at(1, wrap), 5),
        ] {
            let refusal = Refusal::Distance { distance };
            let wanted = if distance <= 3 { Ok(()) } else { Err((refusal, Id::Pk(39))) };
            assert_eq!(start(available, used), wanted, "{available:?} {used:?}");
        }
    }
}

/// What is wrong first is what is said.
#[test]
fn order_of_refusals() {
    let ram = Ram::plain();
    let mut wrong = Setup { size: 0, descriptor: 1, used: 4, version_1: false, ..setup(4) };
    let name = |wrong: &Setup| split(&ram, wrong, 5).unwrap_err().0;
    assert_eq!(name(&wrong), Refusal::Size { size: 0 });
    wrong.size = 4;
    assert_eq!(name(&wrong), Refusal::Misaligned { part: Part::Descriptor, address: 1 });
    wrong.descriptor = DESC;
    assert_eq!(name(&wrong), Refusal::Outside { part: Part::Used, address: 4 });
    wrong.used = USED;
    assert_eq!(name(&wrong), Refusal::Legacy);
    wrong.version_1 = true;
    assert_eq!(name(&wrong), Refusal::UsedIndex { available: 5, used: 0 });
}

/// §2.6, and the vectors of §10.
#[test]
fn vring_base() {
    let fresh = Position { offset: 0, wrap: true };
    assert_eq!(Position::base(fresh, fresh), 0x8000_8000);
    assert_eq!(Position::of_base(0x8000_8000), (fresh, fresh));
    assert_eq!(Position::of_base(0x0000_8000), (fresh, fresh));
    let (available, used) =
        (Position { offset: 3, wrap: false }, Position { offset: 5, wrap: true });
    assert_eq!(Position::base(available, used), 0x8005_0003);
    assert_eq!(Position::of_base(0x8005_0003), (available, used));
    assert_eq!(Position::of_base(0x0000_0003), (available, available));
    let end = Position { offset: 0x7fff, wrap: true };
    assert_eq!(Position::of_base(u32::MAX), (end, end));
}
