//! The dirty log under the rings (`vhost-user.md` §6.8).

use vhost_fuzz_core::memory::AddressKind;
use vhost_fuzz_core::ring::flag::{NEXT, WRITE};
use vhost_fuzz_core::ring::{Layout, Position, Queue, Ring};
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_harness::evidence::shows;

use crate::ram::Ram;
use crate::rig::{self, AVAILABLE, BUFFER, DESCRIPTORS, END, USED, ram};
use crate::{packed, split};

/// Where the front-end wants writes to the device area to be logged: not where it is.
const LOGGED: u64 = 0x38_0000;

/// A ring of 1024, so that its parts have several pages, whose writes are logged.
fn logged(layout: Layout, ram: &mut Ram, event_idx: bool) -> (Queue, Position) {
    ram.log(END);
    let mut setup = rig::setup(1024);
    setup.features.event_idx = event_idx;
    (setup.addresses.flags, setup.addresses.log) = (VringAddr::LOG, LOGGED);
    let mut queue = Queue::new(layout, setup.size);
    let position = match layout {
        Layout::Split => Position::Split { available: 0 },
        Layout::Packed => Position::of(0x8000_8000, true, false),
    };
    queue.activate(&setup, position, &ram.guest()).expect("a good ring");
    assert_eq!(ram.marked(), [LOGGED], "the flags of the device");
    (queue, position)
}

/// The page of an address.
fn page(address: u64) -> u64 {
    address & !0xfff
}

#[test]
fn writes_to_a_used_ring_are_logged_at_its_log_address() {
    let _shows = shows(&["VU-148"]);
    for event_idx in [false, true] {
        let mut ram = ram();
        let mut rig = split::Rig::new(1024);
        rig.setup.features.event_idx = event_idx;
        let (mut queue, _) = logged(Layout::Split, &mut ram, event_idx);
        rig.put_plain(&ram);
        let guest = ram.guest();
        let mut chain = rig.chain();
        for round in 0..1500_u16 {
            let mut ring = queue.bind(&guest).expect("it is there");
            rig.offer(&ram, &[round % 1024]);
            let token = rig::token(ring.pop(&mut chain));
            assert!(ram.marked().is_empty(), "nothing was written");
            ring.put(token, 0).expect("it is taken");
            let element = rig.element_at(round % 1024) - USED + LOGGED;
            let pages = if page(element) == page(element + 7) {
                vec![page(element)]
            } else {
                vec![page(element), page(element + 7)]
            };
            assert_eq!(ram.marked(), pages);
            ring.publish().expect("it is in order");
            assert_eq!(ram.marked(), [LOGGED], "the index");
            ring.disarm().expect("it is in order");
            assert_eq!(ram.marked(), if event_idx { vec![] } else { vec![LOGGED] });
            assert_eq!(ring.arm(), Ok(false));
            let event = if event_idx { rig.avail_event_at() - USED + LOGGED } else { LOGGED };
            assert_eq!(ram.marked(), [page(event)]);
        }
    }
}

#[test]
fn writes_to_a_descriptor_ring_are_logged_where_it_is() {
    let _shows = shows(&["VU-147", "VU-148", "DC-085"]);
    for event_idx in [false, true] {
        let mut ram = ram();
        let mut rig = packed::Rig::new(1024);
        rig.setup.features.event_idx = event_idx;
        let (mut queue, _) = logged(Layout::Packed, &mut ram, event_idx);
        let guest = ram.guest();
        let mut chain = rig.chain();
        for round in 0..1500_u16 {
            let mut ring = queue.bind(&guest).expect("it is there");
            rig.offer_plain(&ram, &[round]);
            let token = rig::token(ring.pop(&mut chain));
            assert!(ram.marked().is_empty(), "nothing was written");
            let slot = page(rig.slot_at(round % 1024));
            ring.put(token, 0).expect("it is taken");
            assert_eq!(ram.marked(), [slot], "length and id");
            ring.publish().expect("it is in order");
            assert_eq!(ram.marked(), [slot], "the flags");
            ring.disarm().expect("it is in order");
            assert_eq!((ring.arm(), ram.marked()), (Ok(false), vec![LOGGED]));
        }
    }
}

#[test]
fn nothing_is_logged_that_was_not_asked_for() {
    let _shows = shows(&["VU-148"]);
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        let (mut queue, position) = logged(layout, &mut ram, false);
        // The log of a running ring is switched off, moved and switched on again.
        for (log, pages) in [(None, vec![]), (Some(LOGGED + 0x5000), vec![LOGGED + 0x5000])] {
            queue.set_log(log);
            let guest = ram.guest();
            let mut ring = queue.bind(&guest).expect("it is there");
            ring.disarm().expect("it is in order");
            assert_eq!((ring.arm(), ram.marked()), (Ok(false), pages));
            assert_eq!(queue.position(), Some(position));
        }
        // An address beyond the log, or beyond all addresses, has no page.
        for log in [END, u64::MAX - 1, u64::MAX] {
            queue.set_log(Some(log));
            let guest = ram.guest();
            let mut ring = queue.bind(&guest).expect("it is there");
            ring.disarm().expect("it is in order");
            assert_eq!((ring.arm(), ram.marked()), (Ok(false), vec![]));
        }
    }
}

#[test]
fn buffers_are_logged_where_they_were_written_to() {
    let _shows = shows(&["VU-147"]);
    let mut ram = ram();
    ram.log(END);
    let rig = split::Rig::new(8);
    let table = [
        (BUFFER, 0x3000, NEXT, 1),
        (BUFFER + 0x4ffe, 4, NEXT | WRITE, 2),
        (BUFFER + 0x9000, 0x3000, WRITE, 0),
    ];
    rig.put(&ram, 0, &table);
    let mut queue = rig.start(&ram);
    rig.offer(&ram, &[0]);
    let guest = ram.guest();
    let (mut ring, mut chain) = (queue.bind(&guest).expect("it is there"), rig.chain());
    let token = rig::token(ring.pop(&mut chain));
    assert_eq!(chain.reader(&guest).read(&mut [0; 0x3000]), Ok(0x3000));
    assert!(ram.marked().is_empty(), "it was only read");
    let mut writer = chain.writer(&guest);
    assert_eq!(writer.write(&[1; 2]), Ok(2));
    assert_eq!(ram.marked(), [BUFFER + 0x4000]);
    assert_eq!(writer.write(&[1; 0x1003]), Ok(0x1003));
    assert_eq!(ram.marked(), [BUFFER + 0x5000, BUFFER + 0x9000, BUFFER + 0xa000]);
    // A ring that is not logged leaves no mark of its own.
    ring.put(token, writer.written()).expect("it is taken");
    assert_eq!((ring.publish(), ram.marked()), (Ok(true), vec![]));
}

#[test]
fn behind_an_iommu_pages_of_the_guest_are_logged() {
    let _shows = shows(&["VU-147", "VU-148"]);
    let iova = 1 << 40;
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        ram.log(END);
        for (start, permissions) in [(DESCRIPTORS, 3), (AVAILABLE, 1), (USED, 3), (LOGGED, 2)] {
            ram.translate(iova + start, 0x1000, start, permissions);
        }
        let mut setup = rig::setup(8);
        (setup.ring_kind, setup.buffer_kind) = (AddressKind::Iova, AddressKind::Iova);
        setup.addresses = VringAddr {
            index: 0,
            flags: VringAddr::LOG,
            descriptor: iova + DESCRIPTORS,
            used: iova + USED,
            available: iova + AVAILABLE,
            log: iova + LOGGED,
        };
        let position = match layout {
            Layout::Split => Position::Split { available: 0 },
            Layout::Packed => Position::of(0x8000_8000, true, false),
        };
        let mut queue = Queue::new(layout, setup.size);
        queue.activate(&setup, position, &ram.guest()).expect("a good ring");
        assert_eq!(ram.marked(), [LOGGED]);
        ram.translate(2 * iova, 0x1000, BUFFER + 0x7000, 2);
        ram.translate(2 * iova + 0x1000, 0x1000, BUFFER, 2);
        let buffer = (2 * iova + 0xffc, 8, WRITE, 3);
        match layout {
            Layout::Split => {
                let rig = split::Rig::new(8);
                rig.put(&ram, 0, &[buffer]);
                rig.offer(&ram, &[0]);
            }
            Layout::Packed => packed::Rig::new(8).offer(&ram, &[buffer]),
        }
        let guest = ram.guest();
        let (mut ring, mut chain) =
            (queue.bind(&guest).expect("it is there"), split::Rig::new(8).chain());
        let token = rig::token(ring.pop(&mut chain));
        assert_eq!(chain.writer(&guest).write(&[1; 8]), Ok(8));
        assert_eq!(ram.marked(), [BUFFER, BUFFER + 0x7000]);
        ring.put(token, 8).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
        let ring_page = if layout == Layout::Split { LOGGED } else { DESCRIPTORS };
        assert_eq!(ram.marked(), [ring_page]);
        ring.disarm().expect("it is in order");
        assert_eq!(ram.marked(), [LOGGED]);
        // What has no translation has no page to log.
        ram.iotlb.as_mut().expect("an IOMMU").invalidate(iova + LOGGED, 1).expect("a range");
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        assert_eq!((ring.arm(), ram.marked()), (Ok(false), vec![]));
    }
}
