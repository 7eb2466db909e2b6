//! What requests do, one by one.

use super::*;

#[test]
fn base_of_a_split_and_of_a_packed_ring() {
    let mut peer = Peer::fresh(offer());
    peer.silent(10, &halves(&[0, 0x8000_8000]), 0);
    peer.reply(11, &halves(&[0, 0]), 0, &halves(&[0, 0x8000_8000]));
    peer.silent(10, &halves(&[0, 0x8000]), 0);
    peer.done(2, &words(&[PACKED]), 0, Effect::Features(PACKED));
    // What was set comes back, also the form that is completed when the ring is used (DV-32).
    peer.reply(11, &halves(&[0, 9]), 0, &halves(&[0, 0x8000]));
    for base in [0x8000_8000, 0x0001_8000, 0x7fff, 0] {
        peer.silent(10, &halves(&[0, base]), 0);
        peer.reply(11, &halves(&[0, 0]), 0, &halves(&[0, base]));
    }
    peer.silent(10, &halves(&[0, 0x1_2345]), 0);
    peer.done(2, &words(&[0]), 0, Effect::Features(0));
    peer.reply(11, &halves(&[0, 0]), 0, &halves(&[0, 0x2345]));
}

#[test]
fn a_packed_base_without_its_upper_half() {
    let mut peer = Peer::fresh(offer());
    peer.silent(16, &words(&[1 << 12]), 0);
    let position = |peer: &mut Peer, base| {
        peer.silent(10, &halves(&[0, base]), 0);
        peer.backend.position(0)
    };
    // Before SET_FEATURES nobody knows that it is packed.
    assert_eq!(position(&mut peer, 0x8003), [0x8003, 0, 0, 0]);
    peer.done(2, &words(&[PACKED]), 0, Effect::Features(PACKED));
    for (base, expected) in [
        (0x8003, [3, 1, 3, 1]),
        (3, [3, 0, 3, 0]),
        (0, [0; 4]),
        (0x8000_8000, [0, 1, 0, 1]),
        (0x8000_0003, [3, 0, 0, 1]),
        (0x1_8003, [3, 1, 1, 0]),
    ] {
        assert_eq!(position(&mut peer, base), expected, "{base:#x}");
    }
    let area = inflight(0x10000, 0, 2, 8);
    let effect = Effect::MapInflight { size: 0x10000, offset: 0, queues: 2, queue_size: 8 };
    peer.done(32, &area, 1, effect);
    assert_eq!(position(&mut peer, 0x8003), [3, 1, 0, 0]);
    assert_eq!(position(&mut peer, 3), [3, 0, 0, 0]);
    peer.done(2, &words(&[0]), 0, Effect::Features(0));
    assert_eq!(peer.backend.position(0), [3, 0, 0, 0]);
}

#[test]
fn enable_states() {
    let mut peer = Peer::fresh(offer());
    let enabled = |peer: &Peer| peer.backend.rings().iter().filter(|ring| ring.enabled).count();
    peer.silent(18, &halves(&[2, 1]), 0);
    peer.done(2, &words(&[BIT_30]), 0, Effect::Features(BIT_30));
    assert_eq!(enabled(&peer), 1);
    peer.done(2, &words(&[0]), 0, Effect::Features(0));
    assert_eq!(enabled(&peer), 4);
    peer.silent(18, &halves(&[0, 1]), 0);
    peer.silent(18, &halves(&[0, 0]), 0);
    assert_eq!(enabled(&peer), 3);
    peer.kick(0);
    // No change, no effect.
    peer.silent(18, &halves(&[0, 0]), 0);
    peer.done(18, &halves(&[0, 1]), 0, Effect::UpdateRing(0, "Enable"));
    peer.silent(4, &[], 0);
    assert_eq!(enabled(&peer), 0);
    assert!(peer.backend.rings()[0].started);
    peer.effect(
        2,
        &words(&[1 << 26]),
        0,
        Effect::Features(1 << 26),
        Outcome::Failed,
        &Step::Close(Id::Vu(33)),
    );
    assert_eq!((peer.backend.virtio(), enabled(&peer)), (Some(0), 0));
}

#[test]
fn notifiers_are_replaced() {
    let mut peer = Peer::usual();
    for code in [13, 14] {
        peer.ack(code, &words(&[1]), 1);
        peer.ack(code, &words(&[1]), 1);
    }
    assert_eq!(peer.backend.held_fds(), 2);
    peer.done(12, &words(&[0x101]), 0, Effect::StartRing(1));
    assert_eq!(peer.backend.rings()[1].kick, Notifier::Flag);
    peer.done(12, &words(&[1]), 1, Effect::UpdateRing(1, "Kick"));
    peer.done(13, &words(&[0x101]), 0, Effect::UpdateRing(1, "Call"));
    peer.done(14, &words(&[0x101]), 0, Effect::UpdateRing(1, "Err"));
    assert_eq!(peer.backend.held_fds(), 1);
    // A change that fails stays.
    let failed = refusal(12, &words(&[1]), Id::Vu(33));
    let update = Effect::UpdateRing(1, "Kick");
    peer.effect(12, &words(&[0x101]), 0, update, Outcome::Failed, &failed);
    assert_eq!((peer.backend.rings()[1].started, peer.backend.held_fds()), (true, 0));
    // A start that fails does not.
    let start = Effect::StartRing(2);
    peer.effect(12, &words(&[2]), 1, start, Outcome::Failed, &failed);
    assert_eq!((peer.backend.rings()[2].started, peer.backend.held_fds()), (false, 0));
}

#[test]
fn kicks_in_band() {
    let mut peer = Peer::usual();
    let start = Effect::StartRing(3);
    let failed = refusal(35, &words(&[1]), Id::Vu(33));
    peer.effect(35, &halves(&[3, 0]), 0, start, Outcome::Failed, &failed);
    peer.done(35, &halves(&[3, 0]), 0, Effect::StartRing(3));
    peer.done(35, &halves(&[3, 77]), 0, Effect::KickRing(3));
    peer.done(12, &words(&[0x103]), 0, Effect::UpdateRing(3, "Kick"));
    peer.done(35, &halves(&[3, 0]), 0, Effect::KickRing(3));
    peer.done(12, &words(&[3]), 1, Effect::UpdateRing(3, "Kick"));
    // VU-101.
    peer.ack(35, &halves(&[3, 0]), 0);
}

#[test]
fn config_windows() {
    let mut peer = Peer::usual();
    let read = |offset, size| Effect::ReadConfig { offset, size };
    let bytes = vec![1, 2, 3, 4, 5, 6, 7, 8, 9];
    let outcome = Outcome::Done { number: 0, bytes, fd: false };
    // More bytes than asked for do not get out.
    let expected = answer(24, &config([56, 6, 1], &[1, 2, 3, 4, 0, 0]));
    peer.effect(24, &config([56, 6, 1], &[0; 6]), 0, read(56, 4), outcome, &expected);
    peer.reply(24, &config([60, 2, 0], &[9; 2]), 0, &config([60, 2, 0], &[0; 2]));
    peer.reply(24, &config([0, 0, 0], &[]), 0, &config([0, 0, 0], &[]));
    for (body, id) in [
        (config([61, 0, 0], &[]), Id::Vu(193)),
        (config([0, 257, 0], &[0; 257]), Id::Vu(193)),
        (config([u32::MAX, 1, 0], &[0; 1]), Id::Vu(193)),
        (config([0, 4096, 0], &[0; 8]), Id::Dc(7)),
    ] {
        assert_eq!(peer.send(24, &body, 0), refusal(24, &[], id));
    }
    let failed = refusal(24, &[], Id::Vu(33));
    peer.effect(24, &config([0, 1, 0], &[0]), 0, read(0, 1), Outcome::Failed, &failed);
    let write = |offset, flags| Effect::WriteConfig { offset, flags, data: vec![5; 4] };
    peer.done(25, &config([8, 4, 0], &[5; 4]), 0, write(8, 0));
    peer.done(25, &config([0, 4, 1], &[5; 4]), 0, write(0, 1));
    peer.ack(25, &config([0, 0, 0], &[]), 0);
    for (body, id) in [
        (config([61, 1, 2], &[0; 1]), 194),
        (config([57, 4, 0], &[0; 4]), 193),
        (config([61, 0, 0], &[]), 193),
        (config([0xffff_fff0, 32, 1], &[0; 32]), 193),
        (config([9, 4, 0], &[0; 4]), 195),
        (config([8, 4, 0], &[0; 3]), 269),
    ] {
        peer.refused(25, &body, 0, Id::Vu(id));
    }
}

#[test]
fn in_flight_areas() {
    let mut peer = Peer::usual();
    let zeros = inflight(0, 0, 0, 0);
    for (queues, size, id) in [
        (0, 128, Id::Dc(31)),
        (1, 0, Id::Dc(31)),
        (1, 100, Id::Dc(31)),
        (5, 128, Id::Vu(182)),
        (1, 2048, Id::Vu(78)),
    ] {
        let step = peer.send(31, &inflight(0, 0, queues, size), 0);
        assert_eq!(step, refusal(31, &zeros, id));
        peer.refused(32, &inflight(1 << 20, 0, queues, size), 1, id);
    }
    let wanted = || Effect::AllocateInflight { queues: 1, queue_size: 2 };
    let none = refusal(31, &zeros, Id::Vu(33));
    for outcome in [well(), Outcome::Failed] {
        peer.effect(31, &inflight(0, 0, 1, 2), 0, wanted(), outcome, &none);
    }
    // 16 + 16 x 4 is 80, so 128.
    peer.refused(32, &inflight(255, 0, 2, 4), 1, Id::Vu(182));
    let area = Effect::MapInflight { size: 256, offset: 64, queues: 2, queue_size: 4 };
    peer.done(32, &inflight(256, 64, 2, 4), 1, area);
    assert_eq!(peer.backend.held_mappings(), 1);
    peer.refused(32, &inflight(256, u64::MAX - 255, 2, 4), 1, Id::Vu(182));
    peer.kick(0);
    peer.refused(32, &inflight(0, 0, 0, 0), 1, Id::Dc(18));
    let mut peer = Peer::negotiated(EVERY, BIT_30 | PACKED);
    // 32 + 32 x 3 is 128.
    peer.refused(32, &inflight(127, 0, 1, 3), 1, Id::Vu(182));
    let area = Effect::MapInflight { size: 128, offset: 0, queues: 1, queue_size: 3 };
    peer.done(32, &inflight(128, 0, 1, 3), 1, area);
}

#[test]
fn device_state() {
    let mut peer = Peer::usual();
    peer.refused(43, &[], 0, Id::Vu(170));
    let error = |id| refusal(42, &words(&[0x101]), id);
    for body in [[2, 0], [0, 1]] {
        assert_eq!(peer.send(42, &halves(&body), 1), error(Id::Vu(165)));
    }
    assert_eq!(peer.send(42, &halves(&[0, 0]), 0), error(Id::Vu(20)));
    let failed = error(Id::Vu(33));
    peer.effect(42, &halves(&[0, 0]), 1, Effect::Transfer(0), Outcome::Failed, &failed);
    peer.refused(43, &[], 0, Id::Vu(170));
    let own = Outcome::Done { number: 0, bytes: Vec::new(), fd: true };
    let step = answer_with_fd(42, &words(&[0]));
    peer.effect(42, &halves(&[0, 0]), 1, Effect::Transfer(0), own, &step);
    peer.done(43, &[], 0, Effect::CheckTransfer);
    peer.refused(43, &[], 0, Id::Vu(170));
    let step = answer(42, &words(&[0x100]));
    peer.effect(42, &halves(&[1, 0]), 1, Effect::Transfer(1), well(), &step);
    let failed = refusal(43, &words(&[1]), Id::Vu(33));
    peer.effect(43, &[], 0, Effect::CheckTransfer, Outcome::Failed, &failed);
    peer.refused(43, &[], 0, Id::Vu(170));
    peer.kick(0);
    assert_eq!(peer.send(42, &halves(&[1, 0]), 1), error(Id::Vu(166)));
}

#[test]
fn crypto_sessions_and_shared_objects() {
    let mut peer = Peer::usual();
    let with_id = |id: u64| [vec![0; 1064], words(&[id])].concat();
    let body = vec![0; 1072];
    let step = answer(26, &with_id(77));
    peer.effect(26, &body, 0, Effect::CreateCrypto, number(77), &step);
    let failed = refusal(26, &with_id(u64::MAX), Id::Vu(33));
    peer.effect(26, &body, 0, Effect::CreateCrypto, Outcome::Failed, &failed);
    assert_eq!(peer.send(26, &[0; 4], 0), refusal(26, &with_id(u64::MAX), Id::Dc(5)));
    peer.done(27, &words(&[77]), 0, Effect::CloseCrypto(77));
    peer.reply(41, &[], 0, &[]);
    let found = Outcome::Done { number: 0, bytes: Vec::new(), fd: true };
    let object = || Effect::SharedObject([3; 16]);
    peer.effect(41, &[3; 16], 0, object(), found, &answer_with_fd(41, &[]));
    peer.effect(41, &[3; 16], 0, object(), well(), &answer(41, &[]));
    let failed = refusal(41, &[], Id::Vu(33));
    peer.effect(41, &[3; 16], 0, object(), Outcome::Failed, &failed);
    assert_eq!(peer.send(41, &[3; 15], 0), refusal(41, &[], Id::Dc(5)));
}

#[test]
fn the_shared_memory_regions_are_counted() {
    let mut shmem = vec![0; 256];
    (shmem[3], shmem[255]) = (4096, 8192);
    let mut peer = Peer::fresh(Offer { shmem: shmem.clone(), ..offer() });
    peer.silent(16, &words(&[1 << 22]), 0);
    let expected = [halves(&[2, 0]), words(&shmem)].concat();
    peer.reply(44, &[], 0, &expected);
    let mut peer = Peer::usual();
    peer.reply(44, &[], 0, &[0; 2056]);
}

#[test]
fn a_reset_keeps_what_dc_019_names() {
    let mut peer = Peer::usual();
    peer.table(&[[0, 0x1000, 0x1000, 0]]);
    peer.ack(7, &[], 1);
    peer.done(21, &[], 1, Effect::OpenChannel);
    let area = Effect::MapInflight { size: 64, offset: 0, queues: 1, queue_size: 2 };
    peer.done(32, &inflight(64, 0, 1, 2), 1, area);
    peer.done(39, &words(&[15]), 0, Effect::Status(15));
    peer.ack(13, &words(&[0]), 1);
    peer.ack(14, &words(&[0]), 1);
    peer.ack(23, &halves(&[0, 1]), 0);
    assert!(peer.backend.rings()[0].big_endian);
    peer.start(1);
    peer.done(18, &halves(&[0, 1]), 0, Effect::UpdateRing(0, "Enable"));
    let failed = refusal(34, &words(&[1]), Id::Vu(33));
    peer.effect(34, &[], 0, Effect::Reset, Outcome::Failed, &failed);
    assert!(peer.backend.rings()[0].started);
    peer.done(34, &[], 0, Effect::Reset);
    let backend = &peer.backend;
    let fd = Notifier::Fd;
    assert_eq!(backend.rings()[0], super::super::Ring { call: fd, err: fd, ..Default::default() });
    assert_eq!((backend.virtio(), backend.status(), backend.protocol()), (None, 0, EVERY));
    assert!(backend.has_channel() && !backend.has_inflight());
    assert_eq!((backend.held_fds(), backend.held_mappings()), (3, 1));
}

#[test]
fn an_answer_is_due_when_reply_ack_was_negotiated_before() {
    let mut peer = Peer::fresh(offer());
    peer.need_reply = true;
    peer.silent(16, &words(&[EVERY]), 0);
    peer.reply(3, &[], 0, &words(&[0]));
    peer.reply(16, &words(&[0]), 0, &words(&[0]));
    peer.silent(3, &[], 0);
}

#[test]
fn mtu_and_socket() {
    let mut peer = Peer::usual();
    for mtu in [68, 65535] {
        peer.done(20, &words(&[mtu]), 0, Effect::Mtu(mtu));
    }
    for mtu in [67, 65536, 1 << 32 | 1500] {
        peer.refused(20, &words(&[mtu]), 0, Id::Vu(200));
    }
    peer.done(33, &[], 1, Effect::GpuSocket);
    assert_eq!(peer.backend.done(well()), Step::Silent);
}
