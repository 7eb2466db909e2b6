//! What a device answers itself: reset, status, network, crypto, shared objects, channels and
//! shared memory (spec §3, §6.7, §6.14, §6.15).

use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::session::{EffectError, Offer, OfferError, Refusal, Session};
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_core::vhost_user::payload::{
    CryptoSession, Inflight, Iotlb, LogBase, SharedObject, Transfer, VringAddr,
};
use vhost_fuzz_core::vhost_user::{DecodeError, FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::ledger::Token;
use vhost_fuzz_harness::session::talk::{
    Ending, Seen, Talk, USER, bare, number, offer, state, vring_addr, vring_fd,
};

/// A talk with everything that a reset may or may not take away.
fn full() -> Talk {
    let mut talk = Talk::ready();
    talk.features(Talk::FEATURES | virtio::IOMMU_PLATFORM | virtio::LOG_ALL);
    talk.ask(bare(R::SET_OWNER)).acked();
    talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).acked();
    talk.ask_with(bare(R::SET_LOG_FD), 1).acked();
    let log = Payload::Log(LogBase { size: 0x1000, offset: 0 });
    assert_eq!(talk.send(Message::frontend(R::SET_LOG_BASE, log), 1).payload().len(), 16);
    let area =
        Inflight { mmap_size: 4224, mmap_offset: 0, num_queues: 2, queue_size: 128, padding: 0 };
    talk.ask_with(Message::frontend(R::SET_INFLIGHT_FD, Payload::Inflight(area)), 1).acked();
    talk.run();
    let update = Iotlb {
        iova: USER,
        size: 0x1000,
        user_address: USER,
        permissions: 3,
        kind: Iotlb::UPDATE,
        padding: [0; 6],
    };
    talk.send(Message::frontend(R::IOTLB_MSG, Payload::Iotlb(update)), 0).acked();
    talk.send(state(R::SET_VRING_ENDIAN, 1, 1), 0).silent();
    talk.send(state(R::SET_VRING_BASE, 1, 7), 0).silent();
    talk.send(vring_fd(R::SET_VRING_CALL, 0), 1).silent();
    talk.send(vring_fd(R::SET_VRING_ERR, 0), 1).silent();
    talk.ask(number(R::SET_STATUS, 15)).acked();
    talk.seen();
    talk
}

#[test]
fn a_reset_brings_the_device_back_and_keeps_the_connection() {
    let _shows = shows(&["VU-222", "VU-223", "VU-224", "DC-019"]);
    let mut talk = full();
    let protocol = talk.session().negotiated().protocol;
    assert!(talk.session().bind(0).is_ok());
    talk.ask(bare(R::RESET_DEVICE)).acked();
    assert_eq!(talk.seen(), [Seen::Reset]);
    let session = talk.session();
    assert!(session.is_suspended());
    for ring in session.rings() {
        assert!(!ring.state().started && !ring.state().enabled);
        assert_eq!((ring.size(), ring.addr(), ring.base(), ring.endian()), (0, None, 0, None));
        assert!(ring.kick().fd().is_none());
    }
    assert_eq!((session.negotiated().virtio, session.status()), (None, 0));
    assert_eq!(session.iotlb().entries().len(), 0);
    assert!(session.inflight().is_none() && !session.is_transferring());
    // What belongs to the connection stays.
    assert_eq!(session.negotiated().protocol, protocol);
    assert!(session.is_owned() && session.has_channel() && session.log_fd().is_some());
    assert!(session.log().is_some() && session.memory().slots().len() == 2);
    assert!(talk.ring(0).call().fd().is_some() && talk.ring(0).err().fd().is_some());
    assert_eq!((talk.open_fds(), talk.open_mappings()), (3, 3));
    // And the device can be set up again.
    talk.features(Talk::FEATURES);
    talk.run();
    assert!(talk.session().bind(0).is_ok());
}

#[test]
fn a_reset_ends_a_transfer() {
    let mut talk = Talk::ready();
    let transfer = Payload::Transfer(Transfer { direction: 1, phase: 0 });
    assert!(talk.send(Message::frontend(R::SET_DEVICE_STATE_FD, transfer), 1).has_fd());
    talk.ask(bare(R::RESET_DEVICE)).acked();
    assert_refused!(talk.send(bare(R::CHECK_DEVICE_STATE), 0).nack(), Refusal::NoTransfer);
}

#[test]
fn the_end_of_a_connection_leaves_nothing() {
    let _shows = shows(&["VU-058"]);
    let mut talk = full();
    talk.stop(0);
    let transfer = Payload::Transfer(Transfer { direction: 0, phase: 0 });
    assert!(talk.send(Message::frontend(R::SET_DEVICE_STATE_FD, transfer), 1).has_fd());
    assert!(talk.send(bare(R::POSTCOPY_ADVISE), 0).has_fd());
    talk.disconnect();
    assert_eq!(talk.belief(), Talk::new().belief());
    assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 0));
}

#[test]
fn a_reset_is_accepted_at_any_time() {
    let _shows = shows(&["VU-223"]);
    let mut talk = Talk::new();
    talk.send(bare(R::RESET_DEVICE), 0).silent();
    talk.send(bare(R::RESET_DEVICE), 0).silent();
    talk.negotiate(offer().protocol_features);
    talk.features(Talk::FEATURES);
    talk.run();
    talk.ask(bare(R::RESET_DEVICE)).acked();
    talk.ask(bare(R::RESET_DEVICE)).acked();
    assert!(talk.session().is_suspended());
}

#[test]
fn the_status_is_what_the_driver_wrote() {
    let _shows = shows(&["VU-226"]);
    let mut talk = Talk::ready();
    assert_eq!(talk.ask(bare(R::GET_STATUS)).u64(), 0);
    for status in [0x0b, 0, 8, 255] {
        talk.ask(number(R::SET_STATUS, status)).acked();
        assert_eq!(talk.ask(bare(R::GET_STATUS)).u64(), status);
        let byte = u8::try_from(status).expect("a byte");
        assert_eq!(talk.seen(), [Seen::Status(byte)]);
    }
}

#[test]
fn a_status_of_more_than_a_byte_is_refused() {
    let mut talk = Talk::ready();
    for status in [0x100, u64::MAX] {
        assert_refused!(talk.ask(number(R::SET_STATUS, status)).nack(), Refusal::Status { status });
    }
    assert_eq!((talk.seen(), talk.session().status()), (vec![], 0));
}

#[test]
fn an_mtu_is_valid_or_refused() {
    let _shows = shows(&["VU-200"]);
    let mut talk = Talk::ready();
    for (mtu, seen) in [(68, 68), (1500, 1500), (65535, 65535)] {
        talk.ask(number(R::NET_SET_MTU, mtu)).acked();
        assert_eq!(talk.seen(), [Seen::Mtu(seen)]);
    }
    for mtu in [0, 10, 67, 65536, u64::MAX] {
        assert_refused!(talk.ask(number(R::NET_SET_MTU, mtu)).nack(), Refusal::Mtu { mtu });
    }
    assert_eq!(talk.seen(), []);
}

#[test]
fn the_guest_is_announced_by_the_first_six_bytes() {
    let _shows = shows(&["VU-198"]);
    let mut talk = Talk::ready();
    let mac = u64::from_ne_bytes([0x52, 0x54, 0, 1, 2, 3, 0xff, 0xff]);
    talk.ask(number(R::SEND_RARP, mac)).acked();
    assert_eq!(talk.seen(), [Seen::Rarp([0x52, 0x54, 0, 1, 2, 3])]);
}

#[test]
fn a_channel_is_opened_or_refused() {
    let _shows = shows(&["VU-203", "VU-206"]);
    let mut talk = Talk::ready();
    assert!(!talk.session().has_channel());
    talk.fail_next(88);
    let code = R::SET_BACKEND_REQ_FD.0;
    let refusal = Refusal::Effect { code, error: EffectError(88) };
    assert_refused!(talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).nack(), refusal);
    assert!(!talk.session().has_channel());
    for _ in 0..2 {
        talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).acked();
        assert!(talk.session().has_channel());
    }
    assert_eq!(talk.seen(), [Seen::OpenChannel, Seen::OpenChannel, Seen::OpenChannel]);
    let none = DecodeError::TooFewFds { code, need: 1, have: 0 };
    assert_refused!(talk.ask(bare(R::SET_BACKEND_REQ_FD)).nack(), Refusal::Decode(none));
    // A device that does not offer it has none to open.
    let mut talk = Talk::with(Offer { protocol_features: 8, ..offer() });
    talk.negotiate(8);
    let refusal = Refusal::Gate { code, rule: Rule::vu(201) };
    assert_refused!(talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).nack(), refusal);
}

#[test]
fn a_socket_for_a_gpu_is_handed_on() {
    let mut talk = Talk::ready();
    talk.ask_with(bare(R::GPU_SET_SOCKET), 1).acked();
    assert_eq!((talk.seen(), talk.open_fds()), (vec![Seen::GpuSocket], 0));
}

#[test]
fn a_shared_object_is_a_descriptor_or_none() {
    let _shows = shows(&["VU-229"]);
    let mut talk = Talk::ready();
    let uuid = [7; 16];
    let message = Message::frontend(R::GET_SHARED_OBJECT, Payload::Shared(SharedObject { uuid }));
    let said = talk.send(message, 0);
    assert_eq!((said.payload(), said.has_fd()), (&[][..], true));
    talk.next_effect(Ending::MaybeFd(false));
    let said = talk.ask(message);
    assert_eq!((said.payload(), said.has_fd()), (&[][..], false));
    assert_eq!(talk.seen(), [Seen::SharedObject(uuid), Seen::SharedObject(uuid)]);
    talk.fail_next(2);
    let refusal = Refusal::Effect { code: R::GET_SHARED_OBJECT.0, error: EffectError(2) };
    assert_refused!(talk.send(message, 0).failure(&[]), refusal);
}

/// A session without keys.
static CRYPTO: [u8; CryptoSession::LEN as usize] = [0; CryptoSession::LEN as usize];

/// The payload of a reply: zeros and the id.
fn crypto_reply(id: i64) -> Vec<u8> {
    let mut bytes = vec![0; CryptoSession::LEN as usize - 8];
    bytes.extend(id.to_ne_bytes());
    bytes
}

#[test]
fn a_crypto_session_has_an_id_and_a_failure_a_negative_one() {
    let _shows = shows(&["VU-248"]);
    let mut talk = Talk::ready();
    let mut bytes = CRYPTO;
    bytes[40..56].fill(0xa5); // pointers of the front-end, which do not come back
    let session = Payload::Crypto(CryptoSession::new(&bytes));
    let message = Message::frontend(R::CREATE_CRYPTO_SESSION, session);
    for id in [0, 7, i64::MAX, -1, -22] {
        talk.next_effect(Ending::Crypto(id));
        assert_eq!(talk.send(message, 0).payload(), crypto_reply(id));
    }
    talk.fail_next(22);
    let refusal = Refusal::Effect { code: R::CREATE_CRYPTO_SESSION.0, error: EffectError(22) };
    assert_refused!(talk.send(message, 0).failure(&crypto_reply(-1)), refusal);
    bytes[12..16].copy_from_slice(&65_u32.to_ne_bytes());
    let session = Payload::Crypto(CryptoSession::new(&bytes));
    let message = Message::frontend(R::CREATE_CRYPTO_SESSION, session);
    let error = Refusal::Decode(DecodeError::CipherKeyLength { len: 65, limit: 64 });
    assert_refused!(talk.send(message, 0).failure(&crypto_reply(-1)), error);
    talk.seen();
    talk.ask(number(R::CLOSE_CRYPTO_SESSION, 7)).acked();
    assert_eq!(talk.seen(), [Seen::CloseCrypto(7)]);
}

#[test]
fn a_crypto_device_has_crypto_sessions() {
    let _shows = shows(&["VU-249"]);
    let crypto = |bits| Offer { device: Offer::CRYPTO, protocol_features: bits, ..offer() };
    let made = Session::<Token, Token>::new(crypto(0x8)).map(drop);
    assert_refused!(made, OfferError::CryptoWithoutSessions);
    assert!(Session::<Token, Token>::new(crypto(0x88)).is_ok());
}

#[test]
fn shared_memory_is_told_by_id_and_does_not_change() {
    let _shows = shows(&["VU-238", "VU-239", "VU-240"]);
    let mut sizes = Box::new([0; 256]);
    (sizes[2], sizes[255]) = (0x1000, 0x2_0000);
    let mut talk = Talk::with(Offer { shmem: Some(sizes), ..offer() });
    talk.negotiate(offer().protocol_features);
    let first = talk.send(bare(R::GET_SHMEM_CONFIG), 0);
    let payload = first.payload();
    assert_eq!(payload.len(), 2056);
    assert_eq!(payload[..8], [2_u32, 0].map(u32::to_ne_bytes).concat(), "a count, not an id");
    let size = |id: usize| u64::from_ne_bytes(payload[8 + id * 8..][..8].try_into().expect("8"));
    assert_eq!((0..256).map(size).sum::<u64>(), 0x2_1000);
    assert_eq!((size(2), size(255)), (0x1000, 0x2_0000));
    talk.features(Talk::FEATURES);
    talk.run();
    talk.ask(bare(R::RESET_DEVICE)).acked();
    assert_eq!(talk.ask(bare(R::GET_SHMEM_CONFIG)), first);
    let mut none = Talk::with(Offer { shmem: None, ..offer() });
    none.negotiate(offer().protocol_features);
    assert_eq!(none.send(bare(R::GET_SHMEM_CONFIG), 0).payload(), [0; 2056]);
}

#[test]
fn shared_memory_comes_in_whole_pages() {
    let mut sizes = Box::new([0; 256]);
    sizes[9] = 0x1800;
    let odd = Session::<Token, Token>::new(Offer { shmem: Some(sizes), ..offer() }).map(drop);
    assert_refused!(odd, OfferError::ShmemSize { size: 0x1800, page: 0x1000 });
}

#[test]
fn a_logged_used_ring_is_bound_with_its_log_address() {
    let mut talk = Talk::ready();
    talk.run();
    assert_eq!(talk.session().bind(0).map(|ring| ring.setup.log_address()), Ok(None));
    let logged = VringAddr { flags: 1, log: 0x1234, ..vring_addr(0) };
    talk.ask(Message::frontend(R::SET_VRING_ADDR, Payload::Addr(logged))).acked();
    assert_eq!(talk.session().bind(0).map(|ring| ring.setup.log_address()), Ok(Some(0x1234)));
}
