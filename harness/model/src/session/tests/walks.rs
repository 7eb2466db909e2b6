//! The orders of spec §6.1, from the first message on.

use super::*;

const LOW: [u64; 4] = [0, 0x10_0000, 0x7f00_0000_0000, 0];
const HIGH: [u64; 4] = [0x1_0000_0000, 0x4000_0000, 0x7f00_4000_0000, 0x10_0000];

#[test]
fn qemu_block() {
    let mut peer = Peer::fresh(offer());
    peer.reply(1, &[], 0, &words(&[offer().features]));
    peer.reply(15, &[], 0, &words(&[offer().protocol_features]));
    let protocol = EVERY | 1 << 15 | 1 << 1;
    peer.silent(16, &words(&[protocol]), 0);
    peer.reply(17, &[], 0, &words(&[4]));
    peer.reply(36, &[], 0, &words(&[8]));
    peer.need_reply = true;
    peer.done(21, &[], 1, Effect::OpenChannel);
    assert!(peer.backend.has_channel());
    peer.need_reply = false;
    peer.silent(3, &[], 0);
    peer.reply(1, &[], 0, &words(&[offer().features]));
    for index in 0..2 {
        peer.silent(13, &words(&[index]), 1);
        peer.silent(14, &words(&[index]), 1);
    }
    assert_eq!(peer.backend.held_fds(), 4);
    peer.done(34, &[], 0, Effect::Reset);
    assert_eq!(peer.backend.held_fds(), 4);
    let features = BIT_30 | 1 << 32;
    peer.done(2, &words(&[features]), 0, Effect::Features(features));
    peer.reply(40, &[], 0, &words(&[0]));
    peer.done(39, &words(&[8]), 0, Effect::Status(8));
    let wanted = Effect::AllocateInflight { queues: 2, queue_size: 128 };
    let made = answer_with_fd(31, &inflight(4224, 0, 2, 128));
    peer.effect(31, &inflight(0, 0, 2, 128), 0, wanted, number(4224), &made);
    let area = Effect::MapInflight { size: 4224, offset: 0, queues: 2, queue_size: 128 };
    peer.done(32, &inflight(4224, 0, 2, 128), 1, area);
    assert!(peer.backend.has_inflight());
    peer.need_reply = true;
    for [guest, size, user, offset] in [LOW, HIGH] {
        let body = slot([guest, size, user, offset]);
        peer.done(37, &body, 1, Effect::MapRegion { guest, size, user, offset });
    }
    assert_eq!(peer.backend.held_mappings(), 3);
    peer.start(2);
    for index in 0..2 {
        let body = halves(&[index, 1]);
        peer.done(18, &body, 0, Effect::UpdateRing(index.into(), "Enable"));
    }
    peer.done(39, &words(&[15]), 0, Effect::Status(15));
    peer.reply(40, &[], 0, &words(&[15]));
    for index in 0..2 {
        let body = halves(&[index, 0]);
        peer.done(18, &body, 0, Effect::UpdateRing(index.into(), "Enable"));
        let stop = Effect::StopRing { index: index.into(), drain: true };
        let base = answer(11, &halves(&[index, 17]));
        peer.effect(11, &halves(&[index, 0]), 0, stop, number(17), &base);
    }
    assert!(peer.backend.rings().iter().all(|ring| !ring.started && !ring.enabled));
    // Calls and errors stay, kicks are gone.
    assert_eq!(peer.backend.held_fds(), 4);
    peer.backend.disconnect();
    assert_eq!((peer.backend.held_fds(), peer.backend.held_mappings()), (0, 0));
    assert_eq!((peer.backend.virtio(), peer.backend.protocol()), (None, 0));
    assert_eq!(peer.backend.rings().len(), 4);
}

#[test]
fn qemu_net_enables_before_features_and_migrates() {
    let mut peer = Peer::fresh(offer());
    for _ in 0..2 {
        peer.reply(1, &[], 0, &words(&[offer().features]));
        peer.silent(16, &words(&[EVERY | 1 << 1]), 0);
        peer.silent(3, &[], 0);
    }
    for _ in 0..2 {
        for index in 0..2 {
            peer.silent(18, &halves(&[index, 1]), 0);
        }
    }
    let features = BIT_30 | 1 << 32;
    peer.done(2, &words(&[features]), 0, Effect::Features(features));
    assert_eq!(peer.backend.rings().iter().filter(|ring| ring.enabled).count(), 2);
    peer.table(&[LOW, HIGH]);
    peer.start(2);
    peer.done(13, &words(&[0]), 1, Effect::UpdateRing(0, "Call"));
    // Migration begins.
    peer.need_reply = true;
    let log = Effect::MapLog { size: 8192, offset: 0x1000 };
    let echo = answer(6, &words(&[8192, 0x1000]));
    peer.effect(6, &words(&[8192, 0x1000]), 1, log, well(), &echo);
    assert!(peer.backend.has_log());
    assert_eq!(peer.backend.held_mappings(), 3);
    let logging = features | 1 << 26;
    peer.done(2, &words(&[logging]), 0, Effect::Features(logging));
    peer.done(9, &addr(0, 0x10000), 0, Effect::UpdateRing(0, "Addr"));
    // A larger log replaces the first under running rings.
    let log = Effect::MapLog { size: 16384, offset: 0 };
    let step = peer.send(6, &words(&[16384, 0]), 1);
    assert_eq!(step, Step::Need(log));
    assert_eq!(peer.backend.done(well()), Step::Need(Effect::Quiesce));
    assert_eq!(peer.backend.held_mappings(), 4);
    assert_eq!(peer.backend.done(well()), answer(6, &words(&[16384, 0])));
    assert_eq!(peer.backend.held_mappings(), 3);
    for index in 0..2 {
        let stop = Effect::StopRing { index: index.into(), drain: true };
        let base = answer(11, &halves(&[index, 0xffff]));
        peer.effect(11, &halves(&[index, 0]), 0, stop, number(0x1_ffff), &base);
    }
    peer.ack(7, &[], 1);
    assert_eq!(peer.backend.held_fds(), 2);
    peer.done(19, &[1, 2, 3, 4, 5, 6, 0, 0], 0, Effect::Rarp([1, 2, 3, 4, 5, 6]));
}

#[test]
fn virtio_user() {
    let mut peer = Peer::fresh(offer());
    peer.silent(3, &[], 0);
    peer.reply(1, &[], 0, &words(&[offer().features]));
    peer.reply(15, &[], 0, &words(&[offer().protocol_features]));
    peer.silent(16, &words(&[1 | 1 << 3 | 1 << 16]), 0);
    for index in 0..4 {
        peer.silent(13, &words(&[index]), 1);
    }
    let features = PACKED | 1 << 32 | BIT_30;
    peer.done(2, &words(&[features]), 0, Effect::Features(features));
    peer.need_reply = true;
    peer.done(39, &words(&[0x0b]), 0, Effect::Status(0x0b));
    peer.reply(40, &[], 0, &words(&[0x0b]));
    peer.table(&[[0x7f00_0000_0000, 0x1000_0000, 0x7f00_0000_0000, 0]]);
    peer.need_reply = false;
    for index in 0..2 {
        peer.silent(8, &halves(&[index, 300]), 0);
        peer.silent(10, &halves(&[index, 0x8000]), 0);
        peer.silent(9, &addr(index, 0x7f00_0000_0000), 0);
        peer.kick(index);
        peer.done(18, &halves(&[index, 1]), 0, Effect::UpdateRing(index.into(), "Enable"));
    }
    // Memory hot-plug: a new table between disable and enable, nothing else.
    for (index, value) in [(0, 0), (1, 0)] {
        peer.done(18, &halves(&[index, value]), 0, Effect::UpdateRing(index.into(), "Enable"));
    }
    peer.table(&[[0x7f00_0000_0000, 0x2000_0000, 0x7f00_0000_0000, 0]]);
    assert!(peer.backend.rings()[0].addr.is_some());
    let stop = Effect::StopRing { index: 0, drain: true };
    let base = answer(11, &halves(&[0, 0x8001_8001]));
    peer.effect(11, &halves(&[0, 0xdead_beef]), 0, stop, number(0x8001_8001), &base);
}

#[test]
fn spdk_without_acknowledgements() {
    let mut peer = Peer::fresh(offer());
    peer.silent(3, &[], 0);
    peer.reply(1, &[], 0, &words(&[offer().features]));
    let features = 1 << 32 | BIT_30;
    peer.done(2, &words(&[features]), 0, Effect::Features(features));
    peer.reply(15, &[], 0, &words(&[offer().protocol_features]));
    peer.silent(16, &words(&[1 | 1 << 9]), 0);
    let read = Effect::ReadConfig { offset: 0, size: 60 };
    let bytes = vec![7; 60];
    let mut expected = config([0, 256, 0], &bytes);
    expected.resize(268, 0);
    let outcome = Outcome::Done { number: 0, bytes, fd: false };
    peer.effect(24, &config([0, 256, 0], &[0; 256]), 0, read, outcome, &answer(24, &expected));
    peer.silent(18, &halves(&[0, 1]), 0);
    peer.reply(17, &[], 0, &words(&[4]));
    peer.silent(13, &words(&[0]), 1);
    peer.table(&[LOW]);
    peer.reply(1, &[], 0, &words(&[offer().features]));
    peer.start(1);
    let write = Effect::WriteConfig { offset: 32, flags: 0, data: vec![9] };
    peer.done(25, &config([32, 1, 0], &[9; 256]), 0, write);
    let stop = Effect::StopRing { index: 0, drain: true };
    peer.effect(11, &halves(&[0, 0]), 0, stop, number(3), &answer(11, &halves(&[0, 3])));
    peer.table(&[LOW]);
}

#[test]
fn cloud_hypervisor_sets_sizes_first_and_the_channel_last() {
    let mut peer = Peer::negotiated(EVERY | 1 << 15, BIT_30 | 1 << 32);
    peer.table(&[LOW]);
    for index in 0..2 {
        peer.ack(8, &halves(&[index, 256]), 0);
    }
    for index in 0..2 {
        peer.ack(9, &addr(index, 0x10000), 0);
        peer.ack(10, &halves(&[index, 0]), 0);
        peer.ack(13, &words(&[index.into()]), 1);
        peer.kick(index);
    }
    for index in 0..2 {
        peer.done(18, &halves(&[index, 1]), 0, Effect::UpdateRing(index.into(), "Enable"));
    }
    peer.done(21, &[], 1, Effect::OpenChannel);
    let [guest, size, user, offset] = HIGH;
    peer.done(37, &slot(HIGH), 1, Effect::MapRegion { guest, size, user, offset });
    assert_eq!(peer.backend.regions(), [LOW, HIGH]);
    // VU-139: the mmap offset does not count; VU-141: a descriptor may come.
    peer.done(38, &slot([guest, size, user, 0]), 1, Effect::Quiesce);
    assert_eq!(peer.backend.regions(), [LOW]);
    // VU-260: a table replaces what was added.
    peer.table(&[HIGH]);
}
