//! The memory table, the IOTLB and postcopy.

use super::*;

const PAGE: [u64; 4] = [0x1000, 0x1000, 0x5000_0000, 0];
const NEXT: [u64; 4] = [0x2000, 0x1000, 0x5000_1000, 0x1000];

fn effect(region: [u64; 4]) -> Effect {
    let [guest, size, user, offset] = region;
    Effect::MapRegion { guest, size, user, offset }
}

fn map(region: [u64; 4]) -> Step {
    Step::Need(effect(region))
}

#[test]
fn addresses_are_found_in_one_region() {
    let mut peer = Peer::usual();
    peer.table(&[PAGE, NEXT]);
    let backend = &peer.backend;
    assert_eq!(backend.translate_guest(0x1fff, 1), Some((0, 0xfff)));
    assert_eq!(backend.translate_guest(0x1fff, 2), None);
    assert_eq!(backend.translate_guest(0x2000, 0x1000), Some((1, 0)));
    assert_eq!(backend.translate_guest(0x3000, 0), None);
    assert_eq!(backend.translate_user(0x5000_1010, 8), Some((1, 0x10)));
    assert_eq!(backend.translate_user(0x1000, 1), None);
    assert_eq!(backend.translate_user(u64::MAX, u64::MAX), None);
}

#[test]
fn the_limit_comes_before_the_regions_one_after_another() {
    let mut peer = Peer::fresh(Offer { max_mem_slots: 3, ..offer() });
    peer.silent(16, &words(&[EVERY]), 0);
    peer.need_reply = true;
    let top = u64::MAX - 0xfff;
    for bad in [
        [0x1000, 0, 0x5000_0000, 0],
        // DC-020: an end of 2^64 wraps.
        [top, 0x1000, 0x5000_0000, 0],
        [0x1000, 0x1000, top, 0],
        [0x1000, 0x1000, 0x5000_0000, top],
    ] {
        peer.refused(5, &table(&[PAGE, NEXT, bad]), 3, Id::Vu(123));
        peer.refused(5, &table(&[PAGE, bad, PAGE]), 3, Id::Vu(123));
        peer.refused(5, &table(&[PAGE, PAGE, bad]), 3, Id::Vu(124));
    }
    peer.refused(5, &table(&[PAGE, [0x1fff, 2, 0x6000_0000, 0]]), 2, Id::Vu(124));
    peer.refused(5, &table(&[PAGE, [0x9000, 1, 0x5000_0fff, 0]]), 2, Id::Vu(124));
    peer.refused(5, &table(&[PAGE; 4]), 4, Id::Dc(22));
    peer.refused(5, &table(&[]), 0, Id::Vu(129));
    peer.refused(5, &table(&[PAGE]), 2, Id::Vu(128));
    peer.table(&[PAGE]);
}

#[test]
fn a_table_that_cannot_be_mapped_leaves_the_old_one() {
    let mut peer = Peer::usual();
    peer.table(&[PAGE]);
    let third = [0x9000, 0x1000, 0x6000_0000, 0];
    assert_eq!(peer.send(5, &table(&[third, NEXT]), 2), map(third));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (1, 1));
    assert_eq!(peer.backend.done(well()), map(NEXT));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (0, 2));
    assert_eq!(peer.backend.done(Outcome::Failed), refusal(5, &words(&[1]), Id::Vu(33)));
    assert_eq!(peer.backend.regions(), [PAGE]);
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (0, 1));
    // A padded table is one region long all the same (VU-262).
    let mut padded = table(&[NEXT]);
    padded.resize(264, 0xee);
    assert_eq!(peer.send(5, &padded, 1), map(NEXT));
    assert_eq!(peer.backend.done(well()), peer.success(5));
    assert_eq!(peer.backend.regions(), [NEXT]);
}

#[test]
fn slots_are_added_and_removed() {
    let mut peer = Peer::negotiated(EVERY | 1 << 15, BIT_30);
    let region = |index: u64| [index * 0x1000, 0x1000, 0x5000_0000 + index * 0x1000, 0];
    peer.ack(38, &slot(region(0)), 0);
    peer.refused(38, &slot([0x1000, 0, 0x5000_0000, 0]), 0, Id::Vu(143));
    peer.refused(37, &slot([0, 0, 0, 0]), 1, Id::Vu(123));
    for index in 0..8 {
        assert_eq!(peer.send(37, &slot(region(index)), 1), map(region(index)));
        assert_eq!(peer.backend.done(well()), peer.success(37));
    }
    peer.refused(37, &slot([0, 0, 0, 0]), 1, Id::Dc(22));
    peer.refused(37, &slot(region(9)), 1, Id::Dc(22));
    peer.done(37, &slot(region(7)), 1, effect(region(7)));
    peer.refused(37, &slot(region(8)), 2, Id::Vu(20));
    peer.refused(38, &slot([0, 0x1000, 0x5000_1000, 0]), 0, Id::Vu(143));
    peer.ack(38, &slot(region(3)), 0);
    peer.ack(38, &slot([0x3000, 0x1000, 0x5000_3000, 0x77]), 1);
    peer.refused(37, &slot([0x7000, 0x1000, 0x5000_3000, 0]), 1, Id::Vu(124));
    assert_eq!(peer.send(37, &slot(region(8)), 1), map(region(8)));
    assert_eq!(peer.backend.done(Outcome::Failed), refusal(37, &words(&[1]), Id::Vu(33)));
    assert_eq!(peer.backend.regions().len(), 7);
    assert_eq!(peer.backend.held_mappings(), 7);
}

#[test]
fn a_slot_that_is_filled_again_has_what_came_last() {
    let mut peer = Peer::negotiated(EVERY | 1 << 15 | 1 << 17, BIT_30);
    let xen = |offset: u64, flags: u32| {
        [words(&[0]), words(&[PAGE[0], PAGE[1], PAGE[2], offset]), halves(&[flags, 7])].concat()
    };
    let now = |offset: u64| [PAGE[0], PAGE[1], PAGE[2], offset];
    peer.ack(37, &xen(0, 0x100), 1);
    peer.refused(37, &xen(u64::MAX, 0x100), 1, Id::Vu(123));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (1, 0));
    peer.done(37, &xen(5, 1), 1, effect(now(5)));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (0, 1));
    assert_eq!(peer.backend.regions(), [now(5)]);
    // While a ring runs nobody may be in what goes, and until then both are there.
    peer.start(1);
    let fds = peer.backend.held_fds();
    assert_eq!(peer.send(37, &xen(6, 0x100), 1), Step::Need(Effect::Quiesce));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (fds + 1, 1));
    assert_eq!(peer.backend.regions(), [now(5)]);
    assert_eq!(peer.backend.done(well()), peer.success(37));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (fds + 1, 0));
    assert_eq!(peer.send(37, &xen(7, 1), 1), map(now(7)));
    assert_eq!(peer.backend.done(well()), Step::Need(Effect::Quiesce));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (fds + 1, 1));
    assert_eq!(peer.backend.done(Outcome::Failed), Step::Close(Id::Vu(33)));
}

#[test]
fn regions_that_are_mapped_on_demand_keep_their_descriptor() {
    let mut peer = Peer::negotiated(EVERY | 1 << 15 | 1 << 17, BIT_30);
    let xen = |region: [u64; 4], flags: u32| [words(&region), halves(&[flags, 7])].concat();
    let body = [words(&[3]), xen(PAGE, 0x101), xen(NEXT, 1)].concat();
    let last = [0x9000, 0x1000, 0x6000_0000, 0];
    let body = [body, xen(last, 0x100)].concat();
    assert_eq!(peer.send(5, &body, 3), map(NEXT));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (2, 0));
    assert_eq!(peer.backend.done(well()), peer.success(5));
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (2, 1));
    let more = [0x1_0000, 0x1000, 0x7000_0000, 0];
    peer.ack(37, &[words(&[0]), xen(more, 0x100)].concat(), 1);
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (3, 1));
    peer.ack(38, &[words(&[0]), xen(PAGE, 0)].concat(), 0);
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (2, 1));
}

#[test]
fn iotlb_rules() {
    let mut peer = Peer::negotiated(EVERY, BIT_30 | IOMMU);
    peer.table(&[PAGE, NEXT]);
    let top = u64::MAX;
    for (body, id) in [
        (iotlb(0, 1, 0x5000_0000, 3, 1), Id::Vu(215)),
        (iotlb(0, 1, 0x5000_0000, 3, 9), Id::Vu(215)),
        (iotlb(0, 0, 0x5000_0000, 4, 2), Id::Vu(215)),
        (iotlb(0, 0, 0x5000_0000, 3, 2), Id::Dc(24)),
        (iotlb(top, 1, 0x5000_0000, 3, 2), Id::Dc(24)),
        (iotlb(0, 2, top, 3, 2), Id::Vu(210)),
        (iotlb(0, 0x2001, 0x5000_0000, 3, 2), Id::Vu(210)),
        (iotlb(0, 1, 0x1000, 3, 2), Id::Vu(210)),
        (iotlb(0, 0, 0, 9, 3), Id::Dc(24)),
        (iotlb(top, 1, 0, 0, 3), Id::Dc(24)),
    ] {
        peer.refused(22, &body, 0, id);
    }
    // Two regions side by side hold it together.
    peer.reply(22, &iotlb(0, 0x2000, 0x5000_0000, 0, 2), 0, &words(&[0]));
    peer.reply(22, &iotlb(0, top, 0, 9, 3), 0, &words(&[0]));
    peer.kick(0);
    peer.done(22, &iotlb(0, 1, 0, 0, 3), 0, Effect::Quiesce);
    assert_eq!(peer.send(22, &iotlb(0, 1, 0, 0, 3), 0), Step::Need(Effect::Quiesce));
    assert_eq!(peer.backend.done(Outcome::Failed), Step::Close(Id::Vu(33)));
    // VU-265.
    let mut peer = Peer::negotiated(EVERY | 1 << 21, BIT_30 | IOMMU);
    peer.table(&[PAGE]);
    peer.reply(22, &iotlb(0, 1, 0x1000, 1, 2), 0, &words(&[0]));
    peer.refused(22, &iotlb(0, 1, 0x5000_0000, 1, 2), 0, Id::Vu(210));
}

#[test]
fn translations_come_in_while_a_ring_drains() {
    let mut peer = Peer::negotiated(EVERY, BIT_30 | IOMMU);
    peer.table(&[PAGE]);
    peer.kick(0);
    let stop = Effect::StopRing { index: 0, drain: true };
    assert_eq!(peer.send(11, &halves(&[0, 0]), 0), Step::Need(stop));
    peer.reply(22, &iotlb(0, 1, 0x5000_0000, 3, 2), 0, &words(&[0]));
    peer.refused(22, &iotlb(0, 1, 0, 3, 2), 0, Id::Vu(210));
    peer.closed(22, &iotlb(0, 1, 0, 0, 3), 0, Id::Dc(36));
    peer.closed(1, &[], 0, Id::Dc(36));
    assert_eq!(peer.backend.done(number(5)), answer(11, &halves(&[0, 5])));
    // Nothing waits when nothing is completed.
    peer.kick(0);
    let stop = Effect::StopRing { index: 0, drain: false };
    assert_eq!(peer.send(45, &halves(&[0, 0]), 0), Step::Need(stop));
    peer.closed(22, &iotlb(0, 1, 0x5000_0000, 3, 2), 0, Id::Dc(36));
}

#[test]
fn the_postcopy_dance() {
    let mut peer = Peer::negotiated(1 << 8, BIT_30);
    // Without REPLY_ACK only 29 is answered (VU-263).
    peer.effect(28, &[], 0, Effect::OpenUserfault, well(), &answer_with_fd(28, &[]));
    assert_eq!(peer.backend.postcopy(), "Advised");
    peer.reply(29, &[], 0, &words(&[0]));
    peer.refused(29, &[], 0, Id::Vu(175));
    for ack in [vec![], vec![0; 8]] {
        let mut sent = table(&[PAGE, NEXT]);
        sent.resize(264, 0);
        assert_eq!(peer.send(5, &sent, 2), map(PAGE));
        assert_eq!(peer.backend.done(number(0x7fff_1000)), map(NEXT));
        let own = [[0x1000, 0x1000, 0x7fff_1000, 0], [0x2000, 0x1000, 0x7fff_9000, 0x1000]];
        let mut expected = table(&own);
        expected.resize(264, 0);
        assert_eq!(peer.backend.done(number(0x7fff_9000)), answer(5, &expected));
        assert_eq!(peer.backend.postcopy(), "TableSent");
        peer.refused(30, &[], 0, Id::Vu(175));
        let register = Effect::RegisterUserfault;
        peer.effect(5, &ack, 0, register, well(), &Step::Silent);
        assert_eq!(peer.backend.postcopy(), "Active");
    }
    let failed = refusal(30, &words(&[1]), Id::Vu(33));
    peer.effect(30, &[], 0, Effect::CloseUserfault, Outcome::Failed, &failed);
    let ended = answer(30, &words(&[0]));
    peer.effect(30, &[], 0, Effect::CloseUserfault, well(), &ended);
    assert_eq!(peer.backend.postcopy(), "Off");
    peer.refused(30, &[], 0, Id::Vu(175));
}

#[test]
fn a_wrong_step_of_postcopy_ends_the_connection() {
    let listening = || {
        let mut peer = Peer::usual();
        peer.effect(28, &[], 0, Effect::OpenUserfault, well(), &answer_with_fd(28, &[]));
        peer.ack(29, &[], 0);
        peer
    };
    listening().closed(28, &[], 0, Id::Vu(175));
    listening().closed(5, &table(&[PAGE, PAGE]), 2, Id::Vu(124));
    listening().closed(5, &[], 0, Id::Dc(5));
    let mut peer = listening();
    assert_eq!(peer.send(5, &table(&[PAGE]), 1), map(PAGE));
    assert_eq!(peer.backend.done(Outcome::Failed), Step::Close(Id::Vu(33)));
    let sent = || {
        let mut peer = listening();
        assert_eq!(peer.send(5, &table(&[PAGE]), 1), map(PAGE));
        assert!(matches!(peer.backend.done(well()), Step::Reply { .. }));
        peer
    };
    sent().closed(5, &table(&[PAGE]), 1, Id::Vu(133));
    sent().closed(5, &[0; 8], 1, Id::Vu(129));
    let failed = Step::Close(Id::Vu(33));
    sent().effect(5, &[], 0, Effect::RegisterUserfault, Outcome::Failed, &failed);
    let mut peer = Peer::usual();
    peer.effect(28, &[], 0, Effect::OpenUserfault, Outcome::Failed, &failed);
    assert_eq!(peer.backend.postcopy(), "Off");
    let mut peer = Peer::negotiated(EVERY | 1 << 15, BIT_30);
    peer.closed(28, &[], 0, Id::Vu(173));
    peer.refused(29, &[], 0, Id::Vu(173));
}
