//! Memory under the rings: borders, changes, translations, and what is shorter than it should be.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use vhost_fuzz_core::memory::{AddressKind, Miss, Part, PlaceError};
use vhost_fuzz_core::ring::flag::{INDIRECT, NEXT, WRITE};
use vhost_fuzz_core::ring::{
    ActivateError, BindError, Broken, Layout, Malformed, PopError, Position, Queue, Ring, Shape,
    SplitQueue,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use crate::ram::{Ram, Touch};
use crate::rig::{self, AVAILABLE, BUFFER, DESCRIPTORS, END, Fields, TABLE, USED, ram};
use crate::{packed, split};

/// A request with a header of 3 and data of 5 bytes, cut in odd ways, and room for 9 bytes.
pub(crate) const REQUEST: [Fields; 6] = [
    (BUFFER, 1, 0, 1),
    (BUFFER + 0x10, 0, 0, 2),
    (BUFFER + 0x20, 5, 0, 3),
    (BUFFER + 0x30, 2, 0, 4),
    (BUFFER + 0x40, 4, WRITE, 5),
    (BUFFER + 0x50, 5, WRITE, 6),
];

/// The driver of either layout offers a chain.
pub(crate) fn offer(ram: &Ram, queue: &Queue, list: &[Fields]) {
    match queue {
        Queue::Split(_) => {
            let count = list.len();
            let linked: Vec<Fields> = (1_u16..)
                .zip(list)
                .map(|(next, (address, len, flags, _))| {
                    let more = if usize::from(next) < count { NEXT } else { 0 };
                    (*address, *len, flags | more, next)
                })
                .collect();
            let rig = split::Rig::new(8);
            rig.put(ram, 0, &linked);
            rig.offer(ram, &[0]);
        }
        Queue::Packed(_) => packed::Rig::new(8).offer(ram, list),
    }
}

/// A fresh queue of either layout.
pub(crate) fn start(ram: &Ram, layout: Layout) -> Queue {
    let mut queue = Queue::new(layout, rig::size(8));
    let base = if layout == Layout::Split { 0 } else { 0x8000_8000 };
    let position = Position::of(base, layout == Layout::Packed, false);
    queue.activate(&rig::setup(8), position, &ram.guest()).expect("a good ring");
    assert_eq!((queue.layout(), queue.position()), (layout, Some(position)));
    queue
}

#[test]
fn a_ring_cut_by_borders_works_like_any_other() {
    let _shows = shows(&["VQ-005", "VQ-028", "VQ-049"]);
    // A border through every part, anywhere in a descriptor, at every field of the others.
    for cut in (0..=128).step_by(2) {
        let mut rig = split::Rig::with_events(8);
        let borders = [(DESCRIPTORS, cut + 1), (AVAILABLE, cut % 24), (USED, cut % 72)];
        let mut ram = Ram::of(&[]);
        for (start, cut) in borders {
            let border = start + 0x100 + cut;
            ram.add(border, 0x1000, 0x1000, border);
            ram.add(start, border - start, usize::try_from(border - start).expect("small"), 0);
        }
        ram.add(BUFFER, 0x1000, 0x1000, 0);
        let addresses = &mut rig.setup.addresses;
        addresses.descriptor += 0x100;
        addresses.available += 0x100;
        addresses.used += 0x100;
        rig.put_plain(&ram);
        rig.set_used_event(&ram, 0x1234);
        let mut queue = rig.start(&ram);
        let guest = ram.guest();
        let mut chain = rig.chain();
        for round in 0..20_u16 {
            let mut ring = queue.bind(&guest).expect("it is there");
            let head = (round * 3) % 8;
            rig.offer(&ram, &[head]);
            let token = rig::token(ring.pop(&mut chain));
            let expected = vec![(BUFFER + 8 * u64::from(head), 8)];
            assert_eq!((token.id(), rig::buffers(&chain).0), (head, expected));
            ring.put(token, 0).expect("it is taken");
            assert_eq!((ring.publish(), ring.arm()), (Ok(round == 0), Ok(false)));
            assert_eq!(rig.element(&ram, round), (head.into(), 0), "cut at {cut}");
            assert_eq!((rig.used_idx(&ram), rig.avail_event(&ram)), (round + 1, round + 1));
        }
    }
}

#[test]
fn what_is_refused_in_one_region_is_refused_over_borders() {
    let _shows = shows(&["VQ-028", "PK-041"]);
    let w = WRITE;
    let tables: [&[Fields]; 8] = [
        &[(BUFFER, 1, NEXT, 1), (BUFFER, 2, w, 0)],
        &[(BUFFER, 1, NEXT | w, 1), (BUFFER, 2, 0, 0)],
        &[(BUFFER, 1, NEXT, 2), (BUFFER, 2, 0, 0)],
        &[(BUFFER, 1, NEXT, 1), (BUFFER, 2, NEXT, 0)],
        &[(BUFFER, 1, NEXT, 1), (BUFFER, 2, INDIRECT, 0)],
        &[(BUFFER, 1, NEXT, 1), (rig::NOWHERE, 2, 0, 0)],
        &[(BUFFER, 1, NEXT, 1), (u64::MAX, 2, 0, 0)],
        &[(BUFFER, 1, NEXT, 1), (rig::NOWHERE, 0, 0, 0)],
    ];
    // A border through the descriptors, and one through the table.
    let cut = 24;
    let mut borders = Ram::of(&[(DESCRIPTORS, cut), (TABLE, cut), (AVAILABLE, 0x1000)]);
    borders.add(DESCRIPTORS + cut, 0x1000, 0x1000, cut);
    borders.add(TABLE + cut, 0x1000, 0x1000, cut);
    borders.add(USED, 0x1000, 0x1000, 0);
    borders.add(BUFFER, 0x1000, 0x1000, 0);
    let whole = ram();
    let (mut split, packed) = (split::Rig::new(2), packed::Rig::new(2));
    let mut refused = 0;
    for table in tables {
        let list: Vec<Fields> =
            table.iter().map(|entry| (entry.0, entry.1, entry.2 & w, 7)).collect();
        let of = |ram: &Ram| {
            let direct = split.walk_of(ram, table);
            let slots = [packed.walk(ram, &list), packed.walk_table(ram, table)];
            (direct, split.walk_table(ram, table), slots)
        };
        let (direct, indirect, [slots, entries]) = of(&whole);
        refused += [&direct, &indirect].into_iter().filter(|walked| walked.is_err()).count();
        refused += [&slots, &entries].into_iter().filter(|walked| walked.is_err()).count();
        assert_eq!(of(&borders), (direct, indirect, [slots, entries]), "{table:x?}");
    }
    assert_eq!(refused, 6 + 6 + 3 + 3);
    split.setup.features.indirect = false;
    let table = tables[0];
    assert_eq!(split.walk_table(&borders, table), split.walk_table(&whole, table));
    assert!(split.walk_table(&whole, table).is_err());
}

#[test]
fn after_a_change_of_memory_the_ring_is_looked_for_again() {
    let _shows = shows(&["VQ-005", "VQ-065"]);
    for layout in [Layout::Split, Layout::Packed] {
        for (part, start_of_part) in PARTS {
            let mut ram = Ram::of(&[(DESCRIPTORS, 0x1000), (AVAILABLE, 0x1000), (USED, 0x1000)]);
            ram.add(BUFFER, 0x1000, 0x1000, 0);
            let mut queue = start(&ram, layout);
            offer(&ram, &queue, &REQUEST);
            let mut chain = split::Rig::new(8).chain();
            let guest = ram.guest();
            let token = rig::token(queue.bind(&guest).expect("it is there").pop(&mut chain));
            let position = queue.position();

            let bytes: [u8; 0x1000] = ram.get(start_of_part);
            ram.remove(start_of_part, 0x1000);
            ram.touches();
            let place = PlaceError::Unmapped { part, address: start_of_part };
            let error = BindError::Place(ActivateError::Place(place));
            assert_refused!(queue.bind(&ram.guest()).map(|_| ()), error);
            assert_eq!((queue.position(), ram.touches()), (position, vec![]));

            // It comes back, in another slot of the table, and the ring goes on.
            ram.add(start_of_part, 0x1000, 0x1000, 0);
            ram.put(start_of_part, &bytes);
            let guest = ram.guest();
            let mut ring = queue.bind(&guest).expect("it is there again");
            ring.put(token, 9).expect("it is still owed");
            assert_eq!(ring.publish(), Ok(true));
            assert_eq!(queue.in_flight(), 0);
        }
    }
}

/// The parts of a ring, and where they are.
const PARTS: [(Part, u64); 3] =
    [(Part::Descriptor, DESCRIPTORS), (Part::Available, AVAILABLE), (Part::Used, USED)];

/// Each part in a region of its own of 0x1000 bytes, one of them backed by only `len`.
fn short(part: Part, len: usize) -> Ram {
    let mut ram = Ram::of(&[(BUFFER, 0x1000)]);
    for (which, start) in PARTS {
        ram.add(start, 0x1000, if which == part { len } else { 0x1000 }, 0);
    }
    ram
}

#[test]
fn after_a_change_of_memory_buffers_are_looked_for_again() {
    let _shows = shows(&["VQ-026", "VQ-065", "PK-041"]);
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        let others = [END, END + 0x1000, END + 0x2000];
        others.into_iter().for_each(|start| ram.add(start, 0x1000, 0x1000, 0));
        let mut queue = start(&ram, layout);
        let mut chain = split::Rig::new(8).chain();
        // The slot of the region that the last buffer was in has another region, or none.
        let packed = packed::Rig::new(8);
        for (gone, at) in others.into_iter().rev().zip(0..) {
            let list = [(gone + 8, 8, 0, 7)];
            for is_there in [true, false] {
                match &queue {
                    Queue::Split(_) => {
                        split::Rig::new(8).put(&ram, at, &list);
                        split::Rig::new(8).offer(&ram, &[at]);
                    }
                    Queue::Packed(_) => packed.offer(&ram, &list),
                }
                let guest = ram.guest();
                let mut ring = queue.bind(&guest).expect("the ring is there");
                let (token, error) = rig::taken(ring.pop(&mut chain));
                let shape = Shape::OutsideMemory { address: gone + 8, len: 8 };
                let expected = (!is_there).then_some(Malformed { layout, shape });
                assert_eq!(error, expected);
                ring.put(token, 0).expect("it goes back");
                ring.publish().expect("it is in order");
                if is_there {
                    ram.remove(gone, 0x1000);
                }
            }
        }
    }
}

#[test]
fn what_was_found_before_makes_no_range_longer() {
    let _shows = shows(&["VQ-026", "PK-041"]);
    for layout in [Layout::Split, Layout::Packed] {
        let ram = ram();
        let mut queue = start(&ram, layout);
        let mut chain = split::Rig::new(8).chain();
        let packed = packed::Rig::new(8);
        // The first entry of the table is there, and says that the chain ends.
        rig::put_table(&ram, END - 16, &[(BUFFER, 4, 0, 0)]);
        let (table, buffer) = ((END - 16, 32), (END - 8, 9));
        let shape = |shape| Some(Malformed { layout, shape });
        let outside = Shape::OutsideMemory { address: buffer.0, len: buffer.1 };
        let no_table = Shape::TableOutsideMemory { address: table.0, len: table.1 };
        let cases = [
            ((BUFFER, 4, 0, 7), None),
            ((table.0, table.1, INDIRECT, 7), shape(no_table)),
            ((END - 16, 16, 0, 7), None),
            ((buffer.0, buffer.1, 0, 7), shape(outside)),
            ((table.0, table.1, INDIRECT, 7), shape(no_table)),
            ((END - 16, 16, INDIRECT, 7), None),
        ];
        for (at, (slot, expected)) in (0..).zip(cases) {
            match &queue {
                Queue::Split(_) => {
                    split::Rig::new(8).put(&ram, at, &[slot]);
                    split::Rig::new(8).offer(&ram, &[at]);
                }
                Queue::Packed(_) => packed.offer(&ram, &[slot]),
            }
            let guest = ram.guest();
            let mut ring = queue.bind(&guest).expect("the ring is there");
            let (token, error) = rig::taken(ring.pop(&mut chain));
            assert_eq!(error, expected, "{layout:?} {at}");
            ring.put(token, 0).expect("it goes back");
            ring.publish().expect("it is in order");
        }
    }
}

#[test]
fn a_ring_part_that_is_shorter_than_its_region_breaks_the_ring() {
    let rig = split::Rig::with_events(8);
    let mut chain = rig.chain();
    // Descriptors: all of a descriptor or nothing.
    let ram = short(Part::Descriptor, 0x7f);
    rig.put(&ram, 0, &[(BUFFER, 8, NEXT, 7)]);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("the table says so");
    let broken = Broken::Access { part: Part::Descriptor };
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    rig::assert_empty(&chain);
    ram.touches();
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    assert_eq!((ring.publish(), ring.arm(), ram.touches()), (Err(broken), Err(broken), vec![]));

    // The available ring: its entries, its event field.
    let ram = short(Part::Available, 6);
    rig.put_plain(&ram);
    let mut queue = rig.start_from(&ram, 1);
    rig.set_avail_idx(&ram, 2);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("the table says so");
    let broken = Broken::Access { part: Part::Available };
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    let ram = short(Part::Available, 20);
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0, 1]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("the table says so");
    for is_first in [true, false] {
        let token = rig::token(ring.pop(&mut chain));
        ring.put(token, 0).expect("it is taken");
        if is_first {
            assert_eq!(ring.publish(), Ok(true), "no matter what the driver wishes");
        }
    }
    assert_refused!(ring.publish(), broken);

    // The used ring: its elements, its event field, and its index when the ring starts.
    let ram = short(Part::Used, 11);
    rig.put_plain(&ram);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("the table says so");
    let token = rig::token(ring.pop(&mut chain));
    let broken = Broken::Access { part: Part::Used };
    let refused = ring.put(token, 0).expect_err("it is not there");
    assert_refused!(Err::<(), _>(refused.reason), vhost_fuzz_core::ring::PutReason::Broken(broken));
    assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
    let ram = short(Part::Used, 69);
    let mut queue = rig.start(&ram);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("the table says so");
    assert_refused!(ring.arm(), broken);
    let ram = short(Part::Used, 3);
    let mut queue = SplitQueue::new(rig.setup.size);
    let error = ActivateError::Access { part: Part::Used };
    let position = Position::Split { available: 0 };
    assert_refused!(queue.activate(&rig.setup, position, &ram.guest()), error);
}

/// A packed queue over such memory, whose driver has offered these lists.
fn packed_over(part: Part, len: usize, lists: &[&[Fields]]) -> (Queue, Ram) {
    let (whole, rig) = (short(part, 0x1000), packed::Rig::new(8));
    rig.lay_out(&whole, packed::START);
    lists.iter().for_each(|list| rig.offer(&whole, list));
    let ram = short(part, len);
    for (which, start) in PARTS {
        let bytes: [u8; 0x1000] = whole.get(start);
        ram.put(start, if which == part { &bytes[..len] } else { &bytes });
    }
    let queue = start(&ram, Layout::Packed);
    (queue, ram)
}

#[test]
fn a_packed_ring_part_that_is_shorter_than_its_region_breaks_the_ring() {
    let mut chain = packed::Rig::new(8).chain();
    let slot = (BUFFER, 8, 0, 1);
    for (len, lists) in [(7, &[&[slot][..]][..]), (15, &[&[slot]]), (31, &[&[slot, slot]])] {
        let (mut queue, ram) = packed_over(Part::Descriptor, len, lists);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("the table says so");
        let broken = Broken::Access { part: Part::Descriptor };
        assert_refused!(ring.pop(&mut chain), PopError::Broken(broken));
        rig::assert_empty(&chain);
        ram.touches();
        assert_eq!((ring.arm(), ring.publish(), ram.touches()), (Err(broken), Err(broken), vec![]));
    }
    let (mut queue, ram) = packed_over(Part::Available, 3, &[&[slot], &[slot]]);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("the table says so");
    let [first, second] = [0; 2].map(|_| rig::token(ring.pop(&mut chain)));
    ring.put(first, 0).expect("it is taken");
    assert_eq!(ring.publish(), Ok(true), "no matter what the driver wishes");
    ring.put(second, 0).expect("it is taken");
    assert_refused!(ring.publish(), Broken::Access { part: Part::Available });

    let ram = short(Part::Used, 3);
    let mut queue = Queue::new(Layout::Packed, rig::size(8));
    let (error, fresh) = (ActivateError::Access { part: Part::Used }, 0x8000_8000);
    let position = Position::of(fresh, true, false);
    assert_refused!(queue.activate(&rig::setup(8), position, &ram.guest()), error);
}

#[test]
fn a_table_that_is_shorter_than_its_region_is_outside_of_memory() {
    let _shows = shows(&["VQ-026"]);
    let mut ram = ram();
    ram.add(END, 0x1000, 0x18, 0);
    let rig = split::Rig::new(8);
    rig::put_table(&ram, END, &[(BUFFER, 4, NEXT, 1)]);
    let shape = Shape::TableOutsideMemory { address: END, len: 32 };
    assert_refused!(rig.walk_of(&ram, &[(END, 32, INDIRECT, 0)]), split::malformed(shape));
    let rig = packed::Rig::new(8);
    assert_refused!(rig.walk(&ram, &[(END, 32, INDIRECT, 0)]), packed::malformed(shape));
}

/// A ring at I/O virtual addresses that are its guest addresses and 2^40.
const IOVA: u64 = 1 << 40;

/// The queue of either layout over an IOMMU, which knows the parts of the ring.
fn behind_iommu(ram: &mut Ram, layout: Layout) -> Queue {
    for (start, permissions) in [(DESCRIPTORS, 3), (AVAILABLE, 1), (USED, 3)] {
        ram.translate(IOVA + start, 0x1000, start, permissions);
    }
    let mut setup = rig::setup(8);
    let addresses = &mut setup.addresses;
    addresses.descriptor += IOVA;
    addresses.available += IOVA;
    addresses.used += IOVA;
    (setup.ring_kind, setup.buffer_kind) = (AddressKind::Iova, AddressKind::Iova);
    let mut queue = Queue::new(layout, rig::size(8));
    let position = Position::of(0x8000_8000, layout == Layout::Packed, false);
    let position =
        if layout == Layout::Split { Position::Split { available: 0 } } else { position };
    queue.activate(&setup, position, &ram.guest()).expect("a good ring");
    queue
}

#[test]
fn a_missing_translation_takes_nothing() {
    let _shows = shows(&["VQ-026", "PK-041", "DC-086"]);
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        let mut queue = behind_iommu(&mut ram, layout);
        // Guest addresses lead nowhere here.
        let at = |offset| 2 * IOVA + offset;
        offer(&ram, &queue, &[(at(0), 8, 0, 1), (at(0xffc), 8, 0, 2), (at(0x2000), 8, WRITE, 3)]);
        let position = queue.position();
        let mut chain = split::Rig::new(8).chain();
        // Each is asked for until it is there, with what the buffer is for.
        let answers = [
            (at(0), 1, Some((at(0), 2))),
            (at(0), 1, Some((at(0), 1))),
            (at(0x1000), 1, Some((at(0x1000), 3))),
            (at(0x2000), 2, Some((at(0x2000), 1))),
            (at(0x2000), 2, Some((at(0x2000), 2))),
        ];
        for (iova, permissions, answer) in answers {
            let guest = ram.guest();
            let mut ring = queue.bind(&guest).expect("it is there");
            ram.touches();
            let miss = Miss { iova, permissions };
            assert_refused!(ring.pop(&mut chain), PopError::Miss(miss));
            rig::assert_empty(&chain);
            assert_refused!(ring.pop(&mut chain), PopError::Miss(miss));
            assert!(ram.touches().iter().all(|touch| matches!(touch, Touch::Load(..))));
            assert_eq!((queue.position(), queue.in_flight()), (position, 0));
            if let Some((iova, permissions)) = answer {
                // Not next to each other in memory.
                let guest_address = BUFFER + 0x1_0000 - (iova - at(0));
                ram.translate(iova, 0x1000, guest_address, permissions);
            }
        }
        ram.put(BUFFER + 0x1_0000, &[1; 8]);
        ram.put(BUFFER + 0x1_0000 + 0xffc, &[2; 4]);
        ram.put(BUFFER + 0xf000, &[3; 4]);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let token = rig::token(ring.pop(&mut chain));
        let mut data = [0; 16];
        assert_eq!(chain.reader(&guest).read_exact(&mut data), Ok(true));
        assert_eq!(data, [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
        assert_eq!(chain.writer(&guest).write(&[9; 8]), Ok(8));
        assert_eq!(ram.get(BUFFER + 0xe000), [9, 9, 9, 9, 9, 9, 9, 9, 0]);
        ring.put(token, 8).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
    }
}

#[test]
fn a_missing_translation_of_a_table_takes_nothing() {
    let _shows = shows(&["VQ-028"]);
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        let mut queue = behind_iommu(&mut ram, layout);
        let table = 2 * IOVA + 0x1000 - 20;
        offer(&ram, &queue, &[(table, 32, INDIRECT, 5)]);
        ram.translate(2 * IOVA, 0x1000, TABLE, 1);
        let mut chain = split::Rig::new(8).chain();
        let miss = Miss { iova: 2 * IOVA + 0x1000, permissions: 1 };
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        ram.touches();
        assert_refused!(ring.pop(&mut chain), PopError::Miss(miss));
        assert!(!ram.is_touched(TABLE..BUFFER), "all of it is there, or nothing is read");
        // The second half of its last but one entry is elsewhere.
        ram.translate(2 * IOVA + 0x1000, 0x1000, TABLE + 0x8000, 1);
        ram.translate(3 * IOVA, 0x1000, BUFFER, 3);
        let (first, second) = ((3 * IOVA, 4, 0, 1), (3 * IOVA + 8, 4, WRITE, 0));
        let entries = match layout {
            Layout::Split => [(first.0, first.1, NEXT, 1), second],
            Layout::Packed => [first, second],
        };
        let bytes = entries.map(|(address, len, flags, id)| match layout {
            Layout::Split => rig::bytes((address, len, flags, id)),
            Layout::Packed => rig::bytes((address, len, id, flags)),
        });
        let (front, back) = bytes.as_flattened().split_at(20);
        ram.put(TABLE + 0x1000 - 20, front);
        ram.put(TABLE + 0x8000, back);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let _token = rig::token(ring.pop(&mut chain));
        let expected = (vec![(3 * IOVA, 4)], vec![(3 * IOVA + 8, 4)]);
        assert_eq!(rig::buffers(&chain), expected);
    }
}

#[test]
fn a_ring_whose_translation_goes_is_not_touched_until_it_is_back() {
    let _shows = shows(&["VQ-005", "VQ-065"]);
    for layout in [Layout::Split, Layout::Packed] {
        for (part, start, permissions) in [
            (Part::Descriptor, DESCRIPTORS, 1),
            (Part::Available, AVAILABLE, 1),
            (Part::Used, USED, 3),
        ] {
            let mut ram = ram();
            let mut queue = behind_iommu(&mut ram, layout);
            let position = queue.position();
            ram.iotlb.as_mut().expect("an IOMMU").invalidate(IOVA + start, 1).expect("a range");
            let permissions = match (part, layout) {
                (Part::Descriptor, Layout::Packed) => 3,
                (Part::Used, Layout::Packed) => 2,
                _ => permissions,
            };
            let miss = PlaceError::Miss { part, iova: IOVA + start, permissions };
            let error = BindError::Place(ActivateError::Place(miss));
            ram.touches();
            assert_refused!(queue.bind(&ram.guest()).map(|_| ()), error);
            assert_eq!((queue.position(), ram.touches()), (position, vec![]));
            // It comes back somewhere else, and what was there is not touched any more.
            ram.translate(IOVA + start, 0x1000, TABLE, 3);
            let guest = ram.guest();
            let mut ring = queue.bind(&guest).expect("it is back");
            assert_eq!(
                (ring.arm(), ring.pop(&mut split::Rig::new(8).chain())),
                (Ok(false), Ok(None))
            );
            assert!(!ram.is_touched(start..start + 0x1000));
        }
    }
}

#[test]
fn an_index_is_loaded_at_once() {
    let _shows = shows(&["VQ-049"]);
    // Aligned loads and stores of 2 bytes, by way of translations too.
    let mut ram = ram();
    let mut queue = behind_iommu(&mut ram, Layout::Split);
    let guest = ram.guest();
    let mut ring = queue.bind(&guest).expect("it is there");
    ram.touches();
    assert_eq!(ring.pop(&mut split::Rig::new(8).chain()), Ok(None));
    assert_eq!(ram.touches(), [Touch::Load(AVAILABLE + 2, 2, Some(Acquire))]);
    ring.disarm().expect("it is in order");
    assert_eq!(ram.touches(), [Touch::Store(USED, 2, Some(Relaxed))]);
}
