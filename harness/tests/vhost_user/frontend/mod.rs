//! What a strict front-end sends on the main channel, rule by rule, and which replies it takes.

mod memory;
mod model;
mod peer;
mod replies;

use vhost_fuzz_core::frontend::{Postcopy, SendError};
use vhost_fuzz_core::memory::RingSizeError;
use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::gate::Negotiated;
use vhost_fuzz_core::vhost_user::payload::{
    Config, CryptoSession, Inflight, SharedObject, Transfer, VringFd,
};
use vhost_fuzz_core::vhost_user::{
    Channel, DecodeError, Frame, FrontendRequest as R, HeaderError, Kind, Message, Payload,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use peer::*;

const INFLIGHT: Inflight =
    Inflight { mmap_size: 0, mmap_offset: 0, num_queues: 1, queue_size: 8, padding: 0 };

#[test]
fn each_request_needs_its_features() {
    let session = CryptoSession::new(&[0; CryptoSession::LEN as usize]);
    let config = Config { offset: 0, size: 0, flags: 0, payload: &[] };
    let transfer = Transfer { direction: 0, phase: 0 };
    let object = SharedObject { uuid: [7; 16] };
    let requests = [
        (R::GET_QUEUE_NUM, Payload::None, 0, protocol::MQ, 115),
        (R::SEND_RARP, Payload::U64(1), 0, protocol::RARP, 197),
        (R::NET_SET_MTU, Payload::U64(1500), 0, protocol::MTU, 199),
        (R::SET_BACKEND_REQ_FD, Payload::None, 1, protocol::BACKEND_REQ, 201),
        (R::SET_VRING_ENDIAN, state(0, 1), 0, protocol::CROSS_ENDIAN, 111),
        (R::GET_CONFIG, Payload::Config(config), 0, protocol::CONFIG, 189),
        (R::SET_CONFIG, Payload::Config(config), 0, protocol::CONFIG, 189),
        (R::CREATE_CRYPTO_SESSION, Payload::Crypto(session), 0, protocol::CRYPTO_SESSION, 247),
        (R::CLOSE_CRYPTO_SESSION, Payload::U64(1), 0, protocol::CRYPTO_SESSION, 247),
        (R::POSTCOPY_ADVISE, Payload::None, 0, protocol::PAGEFAULT, 26),
        (R::GET_INFLIGHT_FD, Payload::Inflight(INFLIGHT), 0, protocol::INFLIGHT_SHMFD, 178),
        (R::SET_INFLIGHT_FD, Payload::Inflight(INFLIGHT), 1, protocol::INFLIGHT_SHMFD, 178),
        (R::RESET_DEVICE, Payload::None, 0, protocol::RESET_DEVICE, 221),
        (R::VRING_KICK, state(0, 0), 0, protocol::INBAND_NOTIFICATIONS, 26),
        (R::SET_STATUS, Payload::U64(1), 0, protocol::STATUS, 225),
        (R::GET_STATUS, Payload::None, 0, protocol::STATUS, 225),
        (R::GET_SHARED_OBJECT, Payload::Shared(object), 0, protocol::SHARED_OBJECT, 228),
        (R::SET_DEVICE_STATE_FD, Payload::Transfer(transfer), 1, protocol::DEVICE_STATE, 158),
        (R::CHECK_DEVICE_STATE, Payload::None, 0, protocol::DEVICE_STATE, 158),
        (R::GET_SHMEM_CONFIG, Payload::None, 0, protocol::SHMEM, 237),
        (R::GET_VRING_BASE_SKIP_DRAIN, state(0, 0), 0, protocol::GET_VRING_BASE_SKIP_DRAIN, 93),
    ];
    for (request, payload, fds, bit, number) in requests {
        let gate = SendError::Gate { code: request.0, rule: Rule::vu(number) };
        // Without what depends on the missing bit in its turn.
        let chosen = match bit {
            protocol::BACKEND_REQ => PROTOCOL & !bit & !protocol::INBAND_NOTIFICATIONS,
            protocol::INFLIGHT_SHMFD => PROTOCOL & !bit & !protocol::GET_VRING_BASE_SKIP_DRAIN,
            _ => PROTOCOL & !bit,
        };
        let mut peer = Peer::with(FEATURES, chosen);
        assert_refused!(peer.send(&Message::frontend(request, payload), fds), gate);
        let is_should = [108, 111, 115, 199, 201, 207, 247].contains(&number);
        assert_eq!(gate.is_advice(), is_should, "{request:?}");
        let mut peer = Peer::new();
        peer.objects.add(ME, [7; 16]).expect("room");
        if request == R::CHECK_DEVICE_STATE {
            continue; // It needs a transfer, too.
        }
        peer.sends_with(request, payload, fds);
    }
}

#[test]
fn memory_slots_need_their_feature_and_exclude_postcopy() {
    let slots = PROTOCOL | protocol::CONFIGURE_MEM_SLOTS;
    let region = added(region(0, 0, PAGE));
    for (request, payload, fds) in [
        (R::GET_MAX_MEM_SLOTS, Payload::None, 0),
        (R::ADD_MEM_REG, region, 1),
        (R::REM_MEM_REG, region, 0),
    ] {
        let gate = SendError::Gate { code: request.0, rule: Rule::vu(135) };
        assert_refused!(Peer::new().send(&Message::frontend(request, payload), fds), gate);
    }
    for request in [R::POSTCOPY_ADVISE, R::POSTCOPY_LISTEN, R::POSTCOPY_END] {
        let gate = SendError::Gate { code: request.0, rule: Rule::vu(173) };
        assert_refused!(Peer::with(FEATURES, slots).tries(request, Payload::None), gate);
    }
}

#[test]
fn virtio_features_open_gates_too() {
    for (request, payload, number) in [
        (R::GET_PROTOCOL_FEATURES, Payload::None, 44),
        (R::SET_PROTOCOL_FEATURES, Payload::U64(0), 47),
        (R::SET_VRING_ENABLE, state(0, 1), 108),
    ] {
        let mut peer = Peer::fresh();
        peer.learns(R::GET_FEATURES, virtio::NET_MTU);
        let gate = SendError::Gate { code: request.0, rule: Rule::vu(number) };
        assert_refused!(peer.tries(request, payload), gate);
    }
    let gate = SendError::Gate { code: 22, rule: Rule::vu(207) };
    let iotlb = memory::iotlb(3, 0, PAGE, 0, 0);
    assert_refused!(Peer::new().tries(R::IOTLB_MSG, iotlb), gate);
    assert!(gate.is_advice());
    // VIRTIO_NET_F_MTU is needed besides the protocol feature.
    let mut peer = Peer::with(FEATURES & !virtio::NET_MTU, PROTOCOL);
    let gate = SendError::Gate { code: 20, rule: Rule::vu(199) };
    assert_refused!(peer.tries(R::NET_SET_MTU, Payload::U64(1500)), gate);
    // The channel waits for bit 30 to be chosen.
    let mut peer = Peer::fresh();
    peer.learns(R::GET_FEATURES, FEATURES);
    peer.learns(R::GET_PROTOCOL_FEATURES, PROTOCOL);
    peer.sends(R::SET_PROTOCOL_FEATURES, Payload::U64(PROTOCOL));
    let early = SendError::ChannelBeforeFeatures;
    let channel = Message::frontend(R::SET_BACKEND_REQ_FD, Payload::None);
    assert_refused!(peer.send(&channel, 1), early);
    assert!(early.is_advice());
    let unknown = Message::frontend(R(46), Payload::None);
    assert_refused!(peer.send(&unknown, 0), SendError::UnknownRequest { code: 46 });
}

#[test]
fn only_what_is_offered_is_chosen() {
    let mut peer = Peer::fresh();
    let bits = FEATURES;
    assert_refused!(
        peer.tries(R::SET_FEATURES, Payload::U64(bits)),
        SendError::FeaturesNotOffered { bits }
    );
    peer.learns(R::GET_FEATURES, FEATURES);
    let bits = 1 << 63;
    assert_refused!(
        peer.tries(R::SET_FEATURES, Payload::U64(FEATURES | bits)),
        SendError::FeaturesNotOffered { bits }
    );
    peer.sends(R::SET_FEATURES, Payload::U64(FEATURES));
    peer.learns(R::GET_PROTOCOL_FEATURES, protocol::ALL & !protocol::MQ);
    let bits = protocol::MQ;
    assert_refused!(
        peer.tries(R::SET_PROTOCOL_FEATURES, Payload::U64(protocol::ALL)),
        SendError::ProtocolNotOffered { bits }
    );
}

#[test]
fn features_that_need_others_are_not_chosen_alone() {
    let inband = protocol::INBAND_NOTIFICATIONS;
    let skip = protocol::GET_VRING_BASE_SKIP_DRAIN;
    let inflight = protocol::GET_VRING_BASE_INFLIGHT;
    for bits in [inband, inband | protocol::REPLY_ACK, inband | protocol::BACKEND_REQ] {
        let result = Peer::new().tries(R::SET_PROTOCOL_FEATURES, Payload::U64(bits));
        assert_refused!(result, SendError::InbandAlone { bits });
    }
    for bits in [skip, skip | inflight, skip | protocol::INFLIGHT_SHMFD] {
        let result = Peer::new().tries(R::SET_PROTOCOL_FEATURES, Payload::U64(bits));
        assert_refused!(result, SendError::SkipDrainAlone { bits });
    }
    let bits = inband | protocol::REPLY_ACK | protocol::BACKEND_REQ;
    Peer::new().sends(R::SET_PROTOCOL_FEATURES, Payload::U64(bits));
}

#[test]
fn acknowledgements_are_asked_for_only_where_they_exist() {
    let _shows = shows(&["DC-068"]);
    let asking = Message::frontend(R::SET_OWNER, Payload::None).with_need_reply();
    let mut peer = Peer::with(FEATURES, PROTOCOL & !protocol::REPLY_ACK & !(1 << 14));
    assert_refused!(peer.send(&asking, 0), SendError::NeedReply { code: 3 });
    let mut peer = Peer::new();
    assert_eq!(peer.send(&asking, 0), Ok(()));
    // On the message that switches them, nobody could tell.
    let bits = Payload::U64(0);
    let switch = Message::frontend(R::SET_PROTOCOL_FEATURES, bits).with_need_reply();
    assert_refused!(peer.send(&switch, 0), SendError::NeedReply { code: 16 });
    let kept = Payload::U64(protocol::REPLY_ACK);
    let kept = Message::frontend(R::SET_PROTOCOL_FEATURES, kept).with_need_reply();
    assert_eq!(peer.send(&kept, 0), Ok(()));
    assert_eq!(peer.frontend.awaited(), 2);
}

#[test]
fn an_area_in_flight_is_fetched_again_after_a_reset() {
    let area = Inflight { mmap_size: PAGE, ..INFLIGHT };
    let mut peer = Peer::new();
    // That of an earlier connection may be handed back.
    peer.sends_with(R::SET_INFLIGHT_FD, Payload::Inflight(area), 1);
    let fetch = |peer: &mut Peer| {
        peer.sends(R::GET_INFLIGHT_FD, Payload::Inflight(INFLIGHT));
        let fetched = peer.replies_with(R::GET_INFLIGHT_FD, Payload::Inflight(area), 1);
        assert_eq!(fetched, Ok(true));
    };
    fetch(&mut peer);
    peer.sends_with(R::SET_INFLIGHT_FD, Payload::Inflight(area), 1);
    peer.sends(R::RESET_DEVICE, Payload::None);
    let set = Message::frontend(R::SET_INFLIGHT_FD, Payload::Inflight(area));
    assert_refused!(peer.send(&set, 1), SendError::OutdatedInflight);
    assert!(SendError::OutdatedInflight.is_advice());
    fetch(&mut peer);
    assert_eq!(peer.send(&set, 1), Ok(()));
}

#[test]
fn requests_carry_their_descriptors() {
    let _shows = shows(&["VU-159", "VU-181", "VU-202", "VU-250"]);
    for request in [R::SET_LOG_FD, R::SET_BACKEND_REQ_FD, R::GPU_SET_SOCKET] {
        let error = SendError::MissingFds { code: request.0, need: 1, have: 0 };
        assert_refused!(Peer::new().tries(request, Payload::None), error);
    }
    let error = SendError::MissingFds { code: 32, need: 1, have: 0 };
    let result = Peer::new().tries(R::SET_INFLIGHT_FD, Payload::Inflight(INFLIGHT));
    assert_refused!(result, error);
    let transfer = Payload::Transfer(Transfer { direction: 0, phase: 0 });
    let error = SendError::MissingFds { code: 42, need: 1, have: 0 };
    assert_refused!(Peer::new().tries(R::SET_DEVICE_STATE_FD, transfer), error);
    for (request, error) in [
        (R::SET_VRING_KICK, DecodeError::KickFdFlag { fds: 0 }),
        (R::SET_VRING_CALL, DecodeError::CallFdFlag { fds: 0 }),
        (R::SET_VRING_ERR, DecodeError::ErrFdFlag { fds: 0 }),
    ] {
        let result = Peer::new().tries(request, Payload::VringFd(VringFd(1)));
        assert_refused!(result, SendError::Malformed(error));
        Peer::new().sends(request, Payload::VringFd(VringFd(1 | VringFd::NO_FD)));
        Peer::new().sends_with(request, Payload::VringFd(VringFd(1)), 1);
    }
    let surplus = DecodeError::TooManyFds { code: 3, limit: 0, have: 1 };
    let owner = Message::frontend(R::SET_OWNER, Payload::None);
    assert_refused!(Peer::new().send(&owner, 1), SendError::Malformed(surplus));
}

#[test]
fn what_is_no_message_is_not_sent() {
    let reply = Message::reply(Channel::Main, R::SET_OWNER.0, Payload::None);
    let error = HeaderError::ReplyBitInRequest;
    assert_refused!(Peer::new().send(&reply, 0), SendError::Malformed(error.into()));
    let short = DecodeError::PayloadTooShort { code: 2, need: 8, have: 0 };
    let result = Peer::new().tries(R::SET_FEATURES, Payload::None);
    assert_refused!(result, SendError::Malformed(short));
    let long = vec![0; 5000];
    let result = Peer::new().tries(R(46), Payload::Unknown(&long));
    let large = HeaderError::TooLarge { size: 5000, limit: 4096 };
    assert_refused!(result, SendError::Malformed(large.into()));
}

#[test]
fn the_session_has_an_owner_before_a_ring_starts() {
    let mut peer = Peer::fresh();
    peer.learns(R::GET_FEATURES, FEATURES);
    peer.learns(R::GET_PROTOCOL_FEATURES, PROTOCOL);
    peer.sends(R::SET_PROTOCOL_FEATURES, Payload::U64(PROTOCOL));
    peer.sends(R::SET_FEATURES, Payload::U64(FEATURES));
    let kick = Payload::VringFd(VringFd(VringFd::NO_FD));
    assert_refused!(peer.tries(R::SET_VRING_KICK, kick), SendError::NoOwner);
    assert_refused!(peer.tries(R::VRING_KICK, state(0, 0)), SendError::NoOwner);
    peer.sends(R::SET_VRING_CALL, kick);
    peer.sends(R::SET_OWNER, Payload::None);
    peer.sends(R::SET_VRING_KICK, kick);
    peer.sends(R::VRING_KICK, state(0, 0));
    let reset = SendError::ResetOwner;
    assert_refused!(peer.tries(R::RESET_OWNER, Payload::None), reset);
    assert!(reset.is_advice());
}

#[test]
fn numbers_of_rings_are_what_they_have_to_be() {
    let mut peer = Peer::new();
    for index in [u32::from(QUEUES), 0x8000_0000] {
        let error = SendError::RingIndex { index, queues: QUEUES };
        assert_refused!(peer.tries(R::SET_VRING_NUM, state(index, 256)), error);
        assert_refused!(peer.tries(R::GET_VRING_BASE, state(index, 0)), error);
    }
    let kick = Payload::VringFd(VringFd(VringFd::NO_FD | 4));
    let error = SendError::RingIndex { index: 4, queues: QUEUES };
    assert_refused!(peer.tries(R::SET_VRING_KICK, kick), error);
    for (num, error) in [
        (0, RingSizeError::Zero),
        (3, RingSizeError::NotPowerOfTwo { num: 3 }),
        (65536, RingSizeError::TooLarge { num: 65536 }),
    ] {
        let error = SendError::RingSize { index: 0, error };
        assert_refused!(peer.tries(R::SET_VRING_NUM, state(0, num)), error);
    }
    let num = 0xdead_beef;
    assert_refused!(peer.tries(R::GET_VRING_BASE, state(0, num)), SendError::BaseNum { num });
    let skip = R::GET_VRING_BASE_SKIP_DRAIN;
    assert_refused!(peer.tries(skip, state(0, num)), SendError::SkipDrainNum { num });
    assert_refused!(peer.tries(R::VRING_KICK, state(0, num)), SendError::KickNum { num });
    assert_refused!(peer.tries(R::SET_VRING_ENDIAN, state(0, 2)), SendError::EndianNum { num: 2 });
    assert_refused!(peer.tries(R::SET_VRING_ENABLE, state(0, 2)), SendError::EnableNum { num: 2 });
    peer.sends(R::SET_VRING_ENDIAN, state(0, 1));
    peer.sends(R::SET_VRING_ENABLE, state(0, 0));
}

#[test]
fn no_more_rings_are_used_than_were_reported() {
    let _shows = shows(&["VU-119"]);
    let mut peer = Peer::new();
    peer.sends(R::SET_VRING_NUM, state(3, 256)); // Nothing was reported yet.
    peer.learns(R::GET_QUEUE_NUM, 2);
    let more = SendError::MoreQueues { index: 2, reported: 2 };
    assert_refused!(peer.tries(R::SET_VRING_NUM, state(2, 256)), more);
    assert!(more.is_advice());
    peer.sends(R::SET_VRING_NUM, state(1, 256));
    // A device with a fixed number of queues works without MQ (VU-119).
    let mut peer = Peer::with(FEATURES, PROTOCOL & !protocol::MQ);
    peer.sends(R::SET_VRING_NUM, state(3, 256));
}

#[test]
fn a_base_has_the_form_of_its_ring() {
    let _shows = shows(&["VU-084", "VU-086"]);
    let mut split = Peer::new();
    for base in [0x1_0000, 0xffff_0000, u32::MAX] {
        let error = SendError::SplitBase { base };
        assert_refused!(split.tries(R::SET_VRING_BASE, state(0, base)), error);
    }
    split.sends(R::SET_VRING_BASE, state(0, 0xffff));
    let mut packed = Peer::with(FEATURES | virtio::RING_PACKED, PROTOCOL);
    let error = SendError::PackedBase { base: 0x8000 };
    assert_refused!(packed.tries(R::SET_VRING_BASE, state(0, 0x8000)), error);
    for base in [0x8000_8000, 0x8003_8003, 0x8005_0001, 0] {
        packed.sends(R::SET_VRING_BASE, state(0, base));
    }
    packed.sends(R::SET_VRING_NUM, state(0, 3));
}

#[test]
fn an_object_is_fetched_from_its_exporter() {
    let object = |byte| Payload::Shared(SharedObject { uuid: [byte; 16] });
    let mut peer = Peer::new();
    peer.objects.add(ME, [1; 16]).expect("room");
    peer.objects.add(ME + 1, [2; 16]).expect("room");
    peer.sends(R::GET_SHARED_OBJECT, object(1));
    for payload in [object(2), object(3), Payload::None] {
        assert_refused!(peer.tries(R::GET_SHARED_OBJECT, payload), SendError::NotExported);
    }
}

#[test]
fn a_transfer_is_checked_after_its_end() {
    let _shows = shows(&["VU-163", "VU-167", "VU-168"]);
    let transfer = Payload::Transfer(Transfer { direction: Transfer::LOAD, phase: 0 });
    let check = |peer: &mut Peer| peer.tries(R::CHECK_DEVICE_STATE, Payload::None);
    for (answer, fds, left) in [(0x100, 0, 1), (0, 1, 1)] {
        let mut peer = Peer::new();
        assert_refused!(check(&mut peer), SendError::TransferNotEnded);
        let own = peer.descriptors.open();
        let own_number = own.number();
        peer.frontend.keep_transfer_channel(own);
        peer.sends_with(R::SET_DEVICE_STATE_FD, transfer, 1);
        assert_refused!(check(&mut peer), SendError::TransferNotEnded);
        let accepted = peer.replies_with(R::SET_DEVICE_STATE_FD, Payload::U64(answer), fds);
        assert_eq!(accepted, Ok(true));
        // A descriptor that came back replaces the own one, which is closed.
        assert_eq!(peer.descriptors.open_count(), left);
        let channel = peer.frontend.transfer_channel().map(|token| token.number());
        assert_eq!(channel.map(|number| number == own_number), Some(fds == 0));
        assert_refused!(check(&mut peer), SendError::TransferNotEnded);
        peer.frontend.on_transfer_end();
        assert_eq!(peer.descriptors.open_count(), 0, "the end closes the channel");
        assert_eq!(check(&mut peer), Ok(()));
        assert_refused!(check(&mut peer), SendError::TransferNotEnded);
        assert_eq!(peer.replies(R::CHECK_DEVICE_STATE, Payload::U64(0)), Ok(true));
    }
    let mut peer = Peer::new();
    peer.frontend.keep_transfer_channel(peer.descriptors.open());
    peer.sends_with(R::SET_DEVICE_STATE_FD, transfer, 1);
    assert_eq!(peer.replies(R::SET_DEVICE_STATE_FD, Payload::U64(0x101)), Ok(false));
    assert_eq!(peer.descriptors.open_count(), 0, "what was refused needs no channel");
    peer.frontend.on_transfer_end();
    assert_refused!(check(&mut peer), SendError::TransferNotEnded);
}

#[test]
fn postcopy_goes_step_by_step() {
    let _shows = shows(&["VU-130", "VU-133"]);
    let mut peer = Peer::with(FEATURES, PROTOCOL & !protocol::REPLY_ACK & !(1 << 14));
    let order = |code, state| SendError::PostcopyOrder { code, state };
    for request in [R::POSTCOPY_LISTEN, R::POSTCOPY_END] {
        let error = order(request.0, Postcopy::Off);
        assert_refused!(peer.tries(request, Payload::None), error);
    }
    peer.sends(R::POSTCOPY_ADVISE, Payload::None);
    assert_eq!(peer.replies_with(R::POSTCOPY_ADVISE, Payload::None, 1), Ok(true));
    let error = order(28, Postcopy::Advised);
    assert_refused!(peer.tries(R::POSTCOPY_ADVISE, Payload::None), error);
    let error = order(30, Postcopy::Advised);
    assert_refused!(peer.tries(R::POSTCOPY_END, Payload::None), error);
    peer.sends(R::POSTCOPY_LISTEN, Payload::None);
    let mine = [region(0, 0x10_0000, PAGE), region(PAGE, 0x20_0000, PAGE)];
    assert_eq!(peer.send_table(&mine), Ok(()));
    // Nothing more about memory before the reply, and then only its acknowledgement.
    assert_refused!(peer.send_table(&mine), SendError::PostcopyAckDue);
    let theirs = mine.map(|mine| region(mine.guest_address, mine.user_address + 0x7f00, PAGE));
    let answer = with_table(&theirs, |table| peer.replies(R::SET_MEM_TABLE, table));
    assert_eq!(answer, Ok(true));
    assert_eq!(peer.frontend.postcopy(), Postcopy::AckDue);
    assert_refused!(peer.send_table(&mine), SendError::PostcopyAckDue);
    let wrong = SendError::PostcopyAck { value: 1 };
    assert_refused!(peer.tries(R::SET_MEM_TABLE, Payload::U64(1)), wrong);
    let error = order(30, Postcopy::AckDue);
    assert_refused!(peer.tries(R::POSTCOPY_END, Payload::None), error);
    peer.sends(R::SET_MEM_TABLE, Payload::U64(0));
    assert_eq!((peer.frontend.awaited(), peer.frontend.postcopy()), (0, Postcopy::Active));
    peer.sends(R::POSTCOPY_END, Payload::None);
    assert_eq!(peer.replies(R::POSTCOPY_END, Payload::U64(0)), Ok(true));
    assert_eq!(peer.frontend.postcopy(), Postcopy::Off);
}

#[test]
fn a_postcopy_table_asks_for_no_acknowledgement() {
    let mut peer = Peer::new();
    peer.sends(R::POSTCOPY_ADVISE, Payload::None);
    peer.sends(R::POSTCOPY_LISTEN, Payload::None);
    let regions = [region(0, 0, PAGE)];
    let result = with_table(&regions, |table| {
        peer.send(&Message::frontend(R::SET_MEM_TABLE, table).with_need_reply(), 1)
    });
    assert_refused!(result, SendError::PostcopyNeedReply);
    assert_eq!(peer.send_table(&regions), Ok(()));
}

#[test]
fn outstanding_replies_are_bounded() {
    let mut peer = Peer::new();
    let limit = vhost_fuzz_harness::frontend::Core::MAX_AWAITED;
    for _ in 0..limit {
        peer.sends(R::GET_FEATURES, Payload::None);
    }
    let full = SendError::TooManyAwaited { limit };
    assert_refused!(peer.tries(R::GET_FEATURES, Payload::None), full);
    peer.sends(R::SET_OWNER, Payload::None);
    assert_eq!(peer.replies(R::GET_FEATURES, Payload::U64(FEATURES)), Ok(true));
    peer.sends(R::GET_FEATURES, Payload::None);
}

#[test]
fn a_message_that_was_not_sent_whole_ends_the_connection() {
    let _shows = shows(&["VU-021"]);
    let mut peer = Peer::new();
    peer.sends_with(R::SET_BACKEND_REQ_FD, Payload::None, 1);
    peer.frontend.on_send_failed();
    assert!(peer.frontend.is_closed() && !peer.frontend.is_channel_open());
    assert_refused!(peer.tries(R::SET_OWNER, Payload::None), SendError::Closed);
}

#[test]
fn a_front_end_connects_again_as_if_for_the_first_time() {
    let _shows = shows(&["VU-023"]);
    let mut peer = Peer::new();
    assert_eq!(peer.send_table(&[region(0, 0, PAGE)]), Ok(()));
    peer.learns(R::GET_QUEUE_NUM, 1);
    peer.sends(R::GET_STATUS, Payload::None);
    peer.frontend.on_send_failed();
    peer.frontend.reset(&mut peer.objects);
    assert_eq!(*peer.frontend.negotiated(), Negotiated::default());
    assert_eq!((peer.frontend.awaited(), peer.frontend.is_closed()), (0, false));
    // Another offer than before is no change of the offer, and nothing else is remembered.
    peer.learns(R::GET_FEATURES, FEATURES | 1 << 40);
    peer.learns(R::GET_PROTOCOL_FEATURES, PROTOCOL);
    peer.sends(R::SET_PROTOCOL_FEATURES, Payload::U64(PROTOCOL));
    peer.sends(R::SET_FEATURES, Payload::U64(FEATURES));
    let kick = Payload::VringFd(VringFd(VringFd::NO_FD | 3));
    assert_refused!(peer.tries(R::SET_VRING_KICK, kick), SendError::NoOwner);
    peer.sends(R::SET_OWNER, Payload::None);
    peer.sends(R::SET_VRING_KICK, kick);
}

/// Sending and receiving allocate nothing: everything is there since the start.
#[test]
fn nothing_is_allocated_for_a_message() {
    let mut peer = Peer::new();
    let regions = [region(0, 0, PAGE), region(PAGE, PAGE, PAGE)];
    let status = Message::frontend(R::GET_STATUS, Payload::None);
    let reply = bytes(&Message::reply(Channel::Main, R::GET_STATUS.0, Payload::U64(1)));
    with_table(&regions, |table| {
        let table = Message::frontend(R::SET_MEM_TABLE, table);
        let info = allocation_counter::measure(|| {
            for _ in 0..100 {
                let sent = peer.frontend.send(&table, 2, &peer.objects).is_ok();
                let asked = peer.frontend.send(&status, 0, &peer.objects).is_ok();
                let fds = arrayvec::ArrayVec::new();
                let frame = Frame { kind: Kind::BACKEND_REPLY, bytes: &reply, fds };
                assert!(sent && asked && peer.frontend.on_reply(frame).is_ok());
            }
        });
        assert_eq!((info.count_total, info.bytes_total), (0, 0));
    });
}
