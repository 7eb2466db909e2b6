//! Each refusal that needs no scene of its own, and how each class of request tells it.

use super::*;

#[test]
fn a_header_that_is_wrong_ends_the_connection() {
    let mut backend = Backend::new(offer());
    for (bytes, rule) in [
        (frame(1, 1, &[])[..11].to_vec(), 1),
        (frame(1, 1, &[])[..12].iter().copied().chain([0]).collect(), 1),
        (frame(1, 2, &[]), 11),
        (frame(1, 5, &[]), 6),
        (frame(1, 0x11, &[]), 7),
    ] {
        assert_eq!(backend.message(&bytes, 0), Step::Close(Id::Vu(rule)));
    }
}

#[test]
fn a_closed_gate_is_told_by_class() {
    let vring = halves(&[0, 0]);
    let bodies: [(u32, Vec<u8>, usize, u16); 25] = [
        (19, words(&[0]), 0, 197),
        (20, words(&[1500]), 0, 199),
        (21, vec![], 1, 201),
        (22, iotlb(0, 1, 0, 0, 3), 0, 207),
        (23, vring.clone(), 0, 111),
        (24, config([0, 1, 0], &[0]), 0, 189),
        (25, config([0, 1, 1], &[0]), 0, 189),
        (26, vec![0; 1072], 0, 247),
        (27, words(&[0]), 0, 247),
        (28, vec![], 0, 26),
        (29, vec![], 0, 26),
        (30, vec![], 0, 26),
        (31, inflight(0, 0, 1, 2), 0, 178),
        (32, inflight(64, 0, 1, 2), 1, 178),
        (34, vec![], 0, 221),
        (35, vring.clone(), 0, 26),
        (36, vec![], 0, 135),
        (37, slot([0, 1, 0, 0]), 1, 135),
        (39, words(&[0]), 0, 225),
        (40, vec![], 0, 225),
        (41, vec![], 0, 228),
        (42, halves(&[0, 0]), 1, 158),
        (43, vec![], 0, 158),
        (44, vec![], 0, 237),
        (45, vring, 0, 93),
    ];
    let has_reply = [22, 24, 26, 28, 30, 31, 36, 40, 41, 42, 43, 44, 45];
    for (code, body, fds, rule) in bodies {
        // Of some it counts that they were offered, of the others that they were negotiated.
        let asks_for_the_offer = [19, 20, 21, 34].contains(&code);
        let protocol_features = if asks_for_the_offer { 1 << 3 } else { offer().protocol_features };
        let mut peer = Peer::fresh(Offer { protocol_features, ..offer() });
        peer.silent(16, &words(&[1 << 3]), 0);
        peer.done(2, &words(&[BIT_30]), 0, Effect::Features(BIT_30));
        peer.need_reply = true;
        if has_reply.contains(&code) {
            peer.closed(code, &body, fds, Id::Vu(rule));
        } else {
            peer.refused(code, &body, fds, Id::Vu(rule));
            peer.need_reply = false;
            peer.closed(code, &body, fds, Id::Vu(rule));
        }
    }
    let mut peer = Peer::fresh(Offer { features: 0, ..offer() });
    peer.closed(15, &[], 0, Id::Vu(44));
    peer.closed(16, &words(&[0]), 0, Id::Vu(47));
}

#[test]
fn an_unknown_request_is_never_acknowledged() {
    let mut peer = Peer::usual();
    for code in [0, 46, u32::MAX] {
        peer.need_reply = true;
        peer.refused(code, &[1, 2, 3], 2, Id::Vu(12));
        peer.need_reply = false;
        peer.closed(code, &[], 0, Id::Vu(12));
    }
}

#[test]
fn features() {
    let mut peer = Peer::usual();
    peer.refused(2, &words(&[1 << 63]), 0, Id::Vu(41));
    peer.refused(16, &words(&[1 << 40]), 0, Id::Vu(50));
    peer.closed(16, &words(&[1 << 40 | 1 << 14]), 0, Id::Vu(217));
    peer.closed(16, &words(&[1 << 14 | 1 << 23 | 1 << 3]), 0, Id::Vu(217));
    peer.closed(16, &words(&[1 << 14 | 1 << 5]), 0, Id::Vu(217));
    peer.refused(16, &words(&[1 << 23 | 1 << 20]), 0, Id::Vu(96));
    peer.refused(16, &words(&[1 << 23 | 1 << 12]), 0, Id::Vu(96));
    peer.kick(0);
    peer.refused(2, &words(&[BIT_30]), 0, Id::Dc(16));
    let same = BIT_30 | 1 << 32;
    peer.done(2, &words(&[same]), 0, Effect::Features(same));
    peer.ack(16, &words(&[EVERY]), 0);
    peer.refused(39, &words(&[256]), 0, Id::Vu(227));
    // Before the first SET_FEATURES none counts as taken.
    let mut peer = Peer::fresh(offer());
    peer.kick(0);
    peer.done(2, &words(&[1 << 26]), 0, Effect::Features(1 << 26));
    peer.closed(2, &words(&[BIT_30]), 0, Id::Dc(16));
}

#[test]
fn ring_messages() {
    let mut peer = Peer::usual();
    for code in [8, 10, 18, 23, 35] {
        peer.refused(code, &halves(&[4, 2]), 0, Id::Vu(79));
        peer.refused(code, &halves(&[0x8000_0000, 2]), 0, Id::Vu(79));
    }
    for code in [11, 45] {
        peer.closed(code, &halves(&[4, 0]), 0, Id::Vu(79));
    }
    for code in [12, 13, 14] {
        peer.refused(code, &words(&[4]), 1, Id::Vu(79));
    }
    for (code, rule) in [(12, 99), (13, 102), (14, 105)] {
        peer.refused(code, &words(&[0]), 0, Id::Vu(rule));
        peer.refused(code, &words(&[0x100]), 1, Id::Vu(rule));
    }
    peer.refused(9, &addr(4, 1), 0, Id::Vu(79));
    for size in [0, 3, 1000, 2048, 65536, 65792] {
        peer.refused(8, &halves(&[0, size]), 0, Id::Vu(78));
    }
    for parts in [[8, 0, 0], [0, 2, 0], [0, 0, 1]] {
        let body = [halves(&[0, 2]), words(&parts), words(&[0])].concat();
        peer.refused(9, &body, 0, Id::Vu(83));
    }
    // Available at 2 is fine for a split ring only.
    let odd = [halves(&[0, 2]), words(&[16, 4, 2, 0])].concat();
    peer.ack(9, &odd, 0);
    assert_eq!(peer.backend.rings()[0].addr, Some([0, 2, 16, 4, 2, 0]));
    peer.refused(10, &halves(&[0, 0x1_0000]), 0, Id::Vu(87));
    peer.refused(18, &halves(&[0, 2]), 0, Id::Vu(110));
    peer.refused(23, &halves(&[0, 2]), 0, Id::Vu(112));
    peer.kick(0);
    for code in [8, 10, 23] {
        peer.refused(code, &halves(&[0, 0x1_0000]), 0, Id::Dc(17));
    }
    let stop = Effect::StopRing { index: 0, drain: false };
    let closed = Step::Close(Id::Vu(33));
    peer.effect(45, &halves(&[0, 0]), 0, stop, Outcome::Failed, &closed);
    let mut peer = Peer::negotiated(EVERY, BIT_30 | PACKED);
    peer.refused(9, &odd, 0, Id::Vu(83));
    peer.ack(8, &halves(&[0, 1000]), 0);
}

#[test]
fn log() {
    let mut peer = Peer::usual();
    peer.ack(6, &words(&[0, 0]), 0);
    peer.ack(6, &words(&[0]), 0);
    peer.refused(6, &words(&[8192, 0]), 1, Id::Vu(20));
    assert!(!peer.backend.has_log());
    // With LOG_SHMFD the reply has no form for failure (DC-035).
    let mut peer = Peer::negotiated(EVERY | 1 << 1, BIT_30);
    peer.closed(6, &words(&[0, 0]), 1, Id::Vu(157));
    peer.closed(6, &words(&[0x1000, u64::MAX - 0xfff]), 1, Id::Vu(157));
    peer.closed(6, &words(&[0]), 0, Id::Dc(5));
    let log = Effect::MapLog { size: 1, offset: 0 };
    let closed = Step::Close(Id::Vu(33));
    peer.effect(6, &words(&[1, 0]), 1, log, Outcome::Failed, &closed);
    assert_eq!(peer.backend.held_mappings(), 0);
}

#[test]
fn a_wrong_size_is_told_by_class() {
    let mut peer = Peer::usual();
    peer.refused(2, &[0; 4], 0, Id::Dc(5));
    peer.refused(3, &[], 1, Id::Vu(20));
    peer.closed(1, &[0; 8], 0, Id::Dc(5));
    peer.closed(11, &[], 0, Id::Dc(5));
    peer.refused(30, &[0; 8], 0, Id::Dc(5));
    let step = peer.send(31, &[0; 20], 0);
    assert_eq!(step, refusal(31, &[0; 24], Id::Dc(5)));
    // Behind a closed gate even the form for failure stays away; the size is judged first.
    let mut peer = Peer::negotiated(1 << 3, BIT_30);
    peer.closed(31, &[0; 20], 0, Id::Dc(5));
}
