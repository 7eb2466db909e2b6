//! Who is answered, with what, and when (spec §1.6, §6.2, §6.12).

use std::collections::BTreeSet;

use vhost_fuzz_core::session::{Offer, Refusal};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Config, CryptoSession, Inflight, Iotlb, LogBase};
use vhost_fuzz_core::vhost_user::request::{ReplyClass, Row};
use vhost_fuzz_core::vhost_user::{Channel, DecodeError, FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{
    Ending, Said, Seen, Talk, USER, address, bare, encode, mem_reg, no_fd, number, offer, raw,
    region, state, table, vring_fd,
};

/// Requests that are acknowledged, in an order in which all succeed, with their descriptors.
fn acknowledged() -> Vec<(Message<'static>, usize)> {
    let area =
        Inflight { mmap_size: 4224, mmap_offset: 0, num_queues: 2, queue_size: 128, padding: 0 };
    vec![
        (number(R::SET_FEATURES, Talk::FEATURES), 0),
        (bare(R::SET_OWNER), 0),
        (bare(R::RESET_OWNER), 0),
        (bare(R::SET_LOG_FD), 1),
        (Message::frontend(R::SET_INFLIGHT_FD, Payload::Inflight(area)), 1),
        (state(R::SET_VRING_NUM, 0, 16), 0),
        (address(0), 0),
        (state(R::SET_VRING_BASE, 0, 0), 0),
        (state(R::SET_VRING_ENDIAN, 0, 0), 0),
        (vring_fd(R::SET_VRING_KICK, 0), 1),
        (vring_fd(R::SET_VRING_CALL, 0), 1),
        (no_fd(R::SET_VRING_ERR, 0), 0),
        (state(R::SET_VRING_ENABLE, 0, 1), 0),
        (number(R::SEND_RARP, 0), 0),
        (number(R::NET_SET_MTU, 1500), 0),
        (bare(R::SET_BACKEND_REQ_FD), 1),
        (number(R::CLOSE_CRYPTO_SESSION, 0), 0),
        (bare(R::GPU_SET_SOCKET), 1),
        (bare(R::RESET_DEVICE), 0),
        (number(R::SET_STATUS, 1), 0),
    ]
}

/// The ids of requests with a reply of their own that need no payload and no step before.
const QUERIES: [R; 7] = [
    R::GET_FEATURES,
    R::GET_PROTOCOL_FEATURES,
    R::GET_QUEUE_NUM,
    R::GET_STATUS,
    R::GET_SHARED_OBJECT,
    R::GET_SHMEM_CONFIG,
    R::POSTCOPY_ADVISE,
];

#[test]
fn an_acknowledgement_needs_the_feature_and_the_flag() {
    let _shows = shows(&["VU-027", "VU-032", "VU-033"]);
    let all = offer().protocol_features & !protocol::CONFIGURE_MEM_SLOTS;
    let mut talk = Talk::having(all & !protocol::REPLY_ACK);
    for (message, fds) in acknowledged() {
        talk.ask_with(message, fds).silent();
    }
    for (has_flag, message, fds) in
        acknowledged().into_iter().flat_map(|(m, fds)| [(true, m, fds), (false, m, fds)])
    {
        let mut talk = Talk::having(all);
        if has_flag {
            let said = talk.ask_with(message, fds);
            assert!(matches!(said, Said::Reply { code, .. } if code == message.code));
            said.acked();
        } else {
            talk.send(message, fds).silent();
        }
    }
}

#[test]
fn a_refused_request_is_told_or_ends_the_connection() {
    let _shows = shows(&["VU-024", "VU-025", "VU-033"]);
    let mut talk = Talk::ready();
    let refusal = Refusal::Status { status: 256 };
    assert_refused!(talk.ask(number(R::SET_STATUS, 256)).nack(), refusal);
    // After a NACK the connection goes on.
    talk.ask(number(R::SET_STATUS, 255)).acked();
    assert_refused!(talk.send(number(R::SET_STATUS, 256), 0).closed(), refusal);
}

#[test]
fn an_id_that_does_not_exist_is_never_a_success() {
    let mut talk = Talk::ready();
    for code in [0, 46, 47, 65, 257, 1006, 0x1_0001, 0x8000_0001, u32::MAX] {
        let refusal = Refusal::UnknownRequest { code };
        let mut bytes = raw(code, &[1; 8]);
        for fds in [0, 1, 8] {
            assert_refused!(talk.bytes(&bytes, fds).nack(), refusal, "id {code}");
        }
        bytes[4] = 1;
        assert_refused!(talk.bytes(&bytes, 0).closed(), refusal, "id {code}");
    }
    assert_eq!(talk.open_fds(), 0);
}

#[test]
fn a_reply_of_its_own_comes_whatever_the_flag_says() {
    let _shows = shows(&["VU-028", "VU-034"]);
    for request in QUERIES {
        let (mut asks, mut sends) = (Talk::ready(), Talk::ready());
        let said = sends.send(bare(request), 0);
        let Said::Reply { code, refusal: None, .. } = said else { panic!("{request:?}: {said:?}") };
        assert_eq!(code, request.0);
        assert_eq!(asks.ask(bare(request)), said);
    }
    for request in [R::GET_VRING_BASE, R::GET_VRING_BASE_SKIP_DRAIN] {
        let mut talk = Talk::having(offer().protocol_features & !protocol::REPLY_ACK);
        for _ in 0..2 {
            talk.start(1);
            assert_eq!(talk.ask(state(request, 1, 0)).state(), (1, 0));
            assert_eq!(talk.send(state(request, 1, 0), 0).state(), (1, 0));
        }
    }
}

#[test]
fn replies_come_in_the_order_of_requests() {
    let _shows = shows(&["VU-010"]);
    let mut talk = Talk::ready();
    talk.start(0);
    let requests = [
        bare(R::GET_FEATURES),
        state(R::SET_VRING_ENABLE, 0, 1),
        state(R::GET_VRING_BASE, 0, 0),
        number(R::SET_STATUS, 256),
        bare(R::GET_STATUS),
    ];
    for request in requests {
        let Said::Reply { code, .. } = talk.ask(request) else { panic!("{request} has a reply") };
        assert_eq!(code, request.code);
    }
    // While one is worked on, the next is not taken.
    let held = talk.hold(number(R::SET_STATUS, 1), 0);
    assert!(!talk.takes(bare(R::GET_FEATURES)));
    talk.release(&held, &Ending::Well).silent();
    assert!(talk.takes(bare(R::GET_FEATURES)));
}

#[test]
fn what_the_text_lists_is_answered() {
    let _shows = shows(&["VU-029", "VU-030"]);
    let mut talk = Talk::having(protocol::LOG_SHMFD | protocol::INFLIGHT_SHMFD);
    let log = Payload::Log(LogBase { size: 0x1000, offset: 0 });
    assert_eq!(talk.send(Message::frontend(R::SET_LOG_BASE, log), 1).payload().len(), 16);
    let wanted =
        Inflight { mmap_size: 0, mmap_offset: 0, num_queues: 1, queue_size: 64, padding: 0 };
    let said = talk.send(Message::frontend(R::GET_INFLIGHT_FD, Payload::Inflight(wanted)), 0);
    assert!(said.has_fd() && said.payload().len() == 24);
}

#[test]
fn listening_is_acknowledged_without_the_feature() {
    let _shows = shows(&["VU-263"]);
    let mut talk = Talk::having(protocol::PAGEFAULT);
    let early = talk.ask(bare(R::POSTCOPY_LISTEN));
    assert!(early.nack().is_err());
    assert!(talk.ask(bare(R::POSTCOPY_ADVISE)).has_fd());
    talk.ask(bare(R::POSTCOPY_LISTEN)).acked();
    let mut talk = Talk::having(protocol::PAGEFAULT | protocol::REPLY_ACK);
    assert!(talk.ask(bare(R::POSTCOPY_ADVISE)).has_fd());
    talk.send(bare(R::POSTCOPY_LISTEN), 0).silent();
}

#[test]
fn the_number_of_queues_is_told_without_the_feature() {
    let _shows = shows(&["VU-114", "VU-267"]);
    for bits in [0, protocol::MQ] {
        let mut talk = Talk::having(bits);
        assert_eq!(talk.send(bare(R::GET_QUEUE_NUM), 0).u64(), 4);
    }
}

fn update(kind: u8) -> Message<'static> {
    let iotlb =
        Iotlb { iova: 0, size: 0x1000, user_address: USER, permissions: 3, kind, padding: [0; 6] };
    Message::frontend(R::IOTLB_MSG, Payload::Iotlb(iotlb))
}

/// A talk with an IOMMU whose ring 0 is being stopped, and the effect that is pending.
fn draining(request: R) -> (Talk, Seen) {
    let mut talk = Talk::ready();
    talk.features(Talk::FEATURES | virtio::IOMMU_PLATFORM);
    talk.run();
    let held = talk.hold(state(request, 0, 0), 0);
    (talk, held)
}

#[test]
fn a_base_is_told_when_the_ring_is_drained() {
    let _shows = shows(&["VU-092"]);
    let (mut talk, held) = draining(R::GET_VRING_BASE);
    assert_eq!(held, Seen::StopRing { index: 0, drain: true });
    // Requests in flight still need the ring and its memory.
    assert!(talk.ring(0).state().started && talk.session().pending() == Some(R::GET_VRING_BASE));
    assert_eq!(talk.release(&held, &Ending::Base(5)).state(), (0, 5));
    assert!(!talk.ring(0).state().started && talk.session().pending().is_none());
}

#[test]
fn a_base_is_told_at_once_when_draining_is_skipped() {
    let _shows = shows(&["VU-094"]);
    let (mut talk, held) = draining(R::GET_VRING_BASE_SKIP_DRAIN);
    assert_eq!(held, Seen::StopRing { index: 0, drain: false });
    assert!(!talk.takes(update(Iotlb::UPDATE)), "nothing is waited for");
    assert_eq!(talk.release(&held, &Ending::Base(5)).state(), (0, 5));
}

#[test]
fn a_translation_gets_through_while_a_ring_is_drained() {
    let _shows = shows(&["DC-036"]);
    let (mut talk, held) = draining(R::GET_VRING_BASE);
    assert!(talk.takes(update(Iotlb::UPDATE)));
    talk.send(update(Iotlb::UPDATE), 0).acked();
    talk.ask(update(Iotlb::UPDATE)).acked();
    assert_eq!(talk.session().iotlb().entries().len(), 1);
    assert!(talk.session().bind(0).is_err(), "the ring itself lies elsewhere");
    let Message { kind, code, flags, .. } = update(Iotlb::UPDATE);
    let bad = Iotlb { iova: 0, size: 0, user_address: 0, permissions: 0, kind: 2, padding: [0; 6] };
    let bad = Message { kind, code, flags, payload: Payload::Iotlb(bad) };
    assert!(talk.send(bad, 0).nack().is_err());
    // The answer to the first request still comes, and it is that of the first request.
    let said = talk.release(&held, &Ending::Base(3));
    assert!(matches!(said, Said::Reply { code, .. } if code == R::GET_VRING_BASE.0));
    assert_eq!(said.state(), (0, 3));
}

#[test]
fn everything_else_is_too_early_while_a_ring_is_drained() {
    let others = [
        bare(R::GET_FEATURES),
        state(R::GET_VRING_BASE, 0, 0),
        update(Iotlb::INVALIDATE),
        update(Iotlb::MISS),
        number(R::SET_STATUS, 0),
    ];
    for message in others {
        let (mut talk, _) = draining(R::GET_VRING_BASE);
        assert!(!talk.takes(message), "{message}");
        let refusal = Refusal::Busy { code: R::GET_VRING_BASE.0 };
        assert_refused!(talk.ask(message).closed(), refusal, "{message}");
        talk.disconnect();
        assert!(talk.session().pending().is_none());
        assert_eq!(talk.ask(bare(R::GET_FEATURES)).u64(), offer().features);
    }
    // A message that only begins like an update is none.
    let (mut talk, _) = draining(R::GET_VRING_BASE);
    let mut bytes = encode(&update(Iotlb::UPDATE));
    bytes.truncate(12 + 26);
    bytes[8] = 26;
    let refusal = Refusal::Busy { code: R::GET_VRING_BASE.0 };
    assert_refused!(talk.bytes(&bytes, 0).closed(), refusal);
}

#[test]
fn other_effects_let_nothing_through() {
    let mut talk = Talk::ready();
    talk.features(Talk::FEATURES | virtio::IOMMU_PLATFORM);
    talk.run();
    let held = talk.hold(update(Iotlb::INVALIDATE), 0);
    assert_eq!(held, Seen::Quiesce);
    let refusal = Refusal::Busy { code: R::IOTLB_MSG.0 };
    assert_refused!(talk.send(update(Iotlb::UPDATE), 0).closed(), refusal);
    let mut talk = Talk::ready();
    let held = talk.hold(number(R::SET_FEATURES, Talk::FEATURES), 0);
    assert_eq!(held, Seen::Features(Talk::FEATURES));
    let refusal = Refusal::Busy { code: R::SET_FEATURES.0 };
    assert_refused!(talk.table(&[region(0)]).closed(), refusal);
    assert_eq!(talk.open_fds(), 0);
}

#[test]
fn bytes_that_are_no_message_end_the_connection() {
    let mut talk = Talk::ready();
    for (bytes, error) in [
        (vec![1, 0, 0], DecodeError::HeaderTruncated { have: 3 }),
        (
            encode(&bare(R::GET_FEATURES)).into_iter().chain([0]).collect(),
            DecodeError::LengthMismatch { announced: 0, have: 1 },
        ),
    ] {
        assert_refused!(talk.bytes(&bytes, 1).closed(), Refusal::Decode(error));
    }
    assert_eq!(talk.open_fds(), 0);
}

/// The failure form of a reply belongs to the feature: a front-end without it cannot read it.
#[test]
fn a_malformed_request_without_its_feature_ends_the_connection() {
    let of_none = |request: R| (Talk::having(protocol::REPLY_ACK), request.0);
    let of_all = |request: R| (Talk::ready(), request.0);
    for request in [R::GET_CONFIG, R::GET_INFLIGHT_FD, R::GET_SHARED_OBJECT, R::IOTLB_MSG] {
        let (mut talk, code) = of_none(request);
        let closed = talk.bytes(&raw(code, &[0; 3]), 0).closed();
        assert!(matches!(closed, Err(Refusal::Decode(_))), "{request:?}: {closed:?}");
    }
    for request in [R::GET_CONFIG, R::GET_INFLIGHT_FD, R::GET_SHARED_OBJECT] {
        let (mut talk, code) = of_all(request);
        let said = talk.bytes(&raw(code, &[0; 3]), 0);
        assert!(matches!(said, Said::Reply { refusal: Some(Refusal::Decode(_)), .. }), "{said:?}");
    }
    // An acknowledgement has one form for all.
    let (mut talk, code) = of_none(R::SET_STATUS);
    assert!(talk.bytes(&raw(code, &[0; 3]), 0).nack().is_err());
}

/// Requests without a reply of their own that [`acknowledged`] leaves out, each with what its
/// session negotiates, the requests before it, and its own descriptors.
fn acknowledged_elsewhere() -> Vec<(u64, Vec<Message<'static>>, Vec<u8>, usize)> {
    let slots = protocol::CONFIGURE_MEM_SLOTS;
    let inband = protocol::INBAND_NOTIFICATIONS | protocol::BACKEND_REQ;
    let log = Message::frontend(R::SET_LOG_BASE, Payload::Log(LogBase { size: 1, offset: 0 }));
    let window = Config { offset: 0, size: 1, flags: 0, payload: &[1] };
    let config = Message::frontend(R::SET_CONFIG, Payload::Config(window));
    let kick = state(R::VRING_KICK, 0, 0);
    vec![
        (0, vec![], table(&[region(0)]), 1),
        (0, vec![], encode(&log), 0),
        (0, vec![], encode(&number(R::SET_PROTOCOL_FEATURES, protocol::REPLY_ACK)), 0),
        (protocol::CONFIG, vec![], encode(&config), 0),
        (protocol::PAGEFAULT, vec![bare(R::POSTCOPY_ADVISE)], encode(&bare(R::POSTCOPY_LISTEN)), 0),
        (inband, vec![], encode(&kick), 0),
        (inband, vec![kick], encode(&kick), 0),
        (slots, vec![], encode(&mem_reg(R::ADD_MEM_REG, region(0))), 1),
    ]
}

/// None is left out: a front-end that asks for an acknowledgement waits for it.
#[test]
fn every_request_without_a_reply_of_its_own_is_acknowledged() {
    let _shows = shows(&["VU-032", "VU-033"]);
    let mut left: BTreeSet<_> = Row::all(Channel::Main)
        .iter()
        .filter(|row| row.reply.class != ReplyClass::Data)
        .map(|row| row.code)
        .collect();
    let mut heard = |said: &Said| {
        let Said::Reply { code, .. } = said else { panic!("{said:?}") };
        left.remove(code);
    };
    for (message, fds) in acknowledged() {
        let said = Talk::ready().ask_with(message, fds);
        heard(&said);
        said.acked();
    }
    for (bits, before, mut bytes, fds) in acknowledged_elsewhere() {
        let mut talk = Talk::having(bits | protocol::REPLY_ACK);
        for message in before {
            let _ = talk.send(message, 0);
        }
        bytes[4] |= 8;
        let said = talk.bytes(&bytes, fds);
        heard(&said);
        said.acked();
    }
    let mut talk = Talk::having(protocol::CONFIGURE_MEM_SLOTS | protocol::REPLY_ACK);
    talk.table(&[region(0)]).silent();
    let said = talk.ask(mem_reg(R::REM_MEM_REG, region(0)));
    heard(&said);
    said.acked();
    assert_eq!(left, BTreeSet::new());
}

/// What answers a request that failed is a whole reply, with the id of that request.
#[test]
fn a_refusal_is_a_reply_to_its_own_request() {
    let _shows = shows(&["VU-033"]);
    for row in Row::all(Channel::Main) {
        // Longer than any payload of a fixed size, and no legal one of any other.
        for payload in [vec![0xff; 3], vec![0xff; 2000]] {
            let said = Talk::ready().bytes(&raw(row.code, &payload), 0);
            match (said, row.reply.class) {
                (Said::Reply { code, payload, refusal: Some(_), fd: false }, class) => {
                    assert_eq!(code, row.code, "{}", row.name);
                    let is_ack = class != ReplyClass::Data;
                    assert!(!is_ack || payload == 1_u64.to_ne_bytes(), "{}", row.name);
                }
                (Said::Closed(_), ReplyClass::Data | ReplyClass::Conditional) => {}
                (said, _) => panic!("{}: {said:?}", row.name),
            }
        }
    }
    let mut talk = Talk::ready();
    talk.fail_next(5);
    let said = talk.ask(number(R::SET_STATUS, 1));
    assert!(matches!(said, Said::Reply { code, .. } if code == R::SET_STATUS.0), "{said:?}");
}

/// A device whose replies are long and full.
fn talkative() -> Talk {
    let shmem = Some(Box::new([0x5a5a_5a5a_5a5a_5000; 256]));
    let mut talk = Talk::with(Offer { shmem, config_len: 100, config_limit: 4084, ..offer() });
    talk.negotiate(offer().protocol_features);
    talk.features(Talk::FEATURES);
    talk
}

/// Padding, and what nobody filled in, are zero: not what the reply before had there, nor what
/// the request had.
#[test]
fn a_reply_holds_nothing_of_an_earlier_one() {
    let _shows = shows(&["VU-268"]);
    let config = |size: u32, payload: &'static [u8]| {
        let window = Config { offset: 0, size, flags: 0, payload };
        Message::frontend(R::GET_CONFIG, Payload::Config(window))
    };
    static ONES: [u8; 1500] = [0xff; 1500];
    static CRYPTO: [u8; CryptoSession::LEN as usize] = [0; CryptoSession::LEN as usize];
    let crypto = Payload::Crypto(CryptoSession::new(&CRYPTO));
    let crypto = Message::frontend(R::CREATE_CRYPTO_SESSION, crypto);
    let area = Inflight {
        mmap_size: u64::MAX,
        mmap_offset: u64::MAX,
        num_queues: 1,
        queue_size: 64,
        padding: u32::MAX,
    };
    let area = Message::frontend(R::GET_INFLIGHT_FD, Payload::Inflight(area));
    let cases = [
        (config(1500, &ONES), Ending::Well, 112..1512),
        (config(1500, &ONES), Ending::Config(vec![]), 12..1512),
        (crypto, Ending::Crypto(-1), 0..1064),
        (crypto, Ending::Fails(5), 0..1064),
        (area, Ending::Area(0x2000, 0x1000), 20..24),
        (area, Ending::Fails(5), 0..24),
        (bare(R::GET_SHMEM_CONFIG), Ending::Well, 4..8),
    ];
    for (message, ending, zeros) in cases {
        let mut talk = talkative();
        assert_eq!(talk.send(bare(R::GET_SHMEM_CONFIG), 0).payload().len(), 2056);
        talk.next_effect(ending);
        let said = talk.send(message, 0);
        let Said::Reply { payload, .. } = said else { panic!("{message}: {said:?}") };
        assert!(payload[zeros].iter().all(|byte| *byte == 0), "{message}");
        assert!(payload.iter().filter(|byte| **byte == 0xff).count() <= 8, "{message}");
    }
}
