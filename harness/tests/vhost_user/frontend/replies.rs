//! Which replies a front-end takes on the main channel. Every other one ends the connection.

use vhost_fuzz_core::channel::OrderError;
use vhost_fuzz_core::frontend::{Postcopy, ReplyError, SizesError};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{
    Config, CryptoSession, Inflight, LogBase, ShmemConfig, Transfer,
};
use vhost_fuzz_core::vhost_user::{
    Channel, DecodeError, Flags, FrontendRequest as R, HeaderError, Message, Payload,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use crate::frontend::peer::*;

/// The reply is refused with this error, and the connection is over.
macro_rules! assert_closes {
    ($peer:expr, $result:expr, $error:expr) => {{
        let result = $result;
        assert_refused!(result, $error);
        assert!($peer.frontend.is_closed(), "VU-022");
        assert_eq!($peer.descriptors.open_count(), 0, "VU-019");
    }};
}

fn asked(request: R, payload: Payload<'_>) -> Peer {
    let mut peer = Peer::new();
    peer.sends(request, payload);
    peer
}

#[test]
fn a_reply_answers_the_oldest_request() {
    let _shows = shows(&["VU-009", "VU-010", "VU-022"]);
    let mut peer = asked(R::GET_STATUS, Payload::None);
    let order = |error| ReplyError::Order(error);
    let wrong = OrderError::WrongId { code: 17, oldest: 40 };
    let result = peer.replies(R::GET_QUEUE_NUM, Payload::U64(1));
    assert_closes!(peer, result, order(wrong));
    let result = peer.replies(R::GET_STATUS, Payload::U64(1));
    assert_closes!(peer, result, ReplyError::Closed);

    let mut peer = asked(R::GET_STATUS, Payload::None);
    peer.sends(R::GET_QUEUE_NUM, Payload::None);
    let early = OrderError::OutOfOrder { code: 17, oldest: 40 };
    let result = peer.replies(R::GET_QUEUE_NUM, Payload::U64(1));
    assert_closes!(peer, result, order(early));

    // Nobody asked: no reply at all was due.
    let mut peer = asked(R::SET_OWNER, Payload::None);
    let result = peer.replies(R::SET_OWNER, Payload::U64(0));
    assert_closes!(peer, result, order(OrderError::Unasked { code: 3 }));
}

#[test]
fn a_reply_is_a_legal_message() {
    let _shows = shows(&["VU-022"]);
    let decode = |error| ReplyError::Decode(error);
    let reply = Message::reply(Channel::Main, R::GET_STATUS.0, Payload::U64(1));
    for (flags, error) in [
        (0xd, HeaderError::NeedReplyInReply),
        (0x15, HeaderError::ReservedFlags { bits: 0x10 }),
        (0x1, HeaderError::ReplyBitMissing),
    ] {
        let mut peer = asked(R::GET_STATUS, Payload::None);
        let result = peer.replies_as(&Message { flags: Flags(flags), ..reply }, 0);
        assert_closes!(peer, result, decode(error.into()));
    }
    let mut peer = asked(R::GET_STATUS, Payload::None);
    let result = peer.replies(R::GET_STATUS, Payload::None);
    let short = DecodeError::PayloadTooShort { code: 40, need: 8, have: 0 };
    assert_closes!(peer, result, decode(short));
    let mut peer = asked(R::GET_STATUS, Payload::None);
    let result = peer.replies_with(R::GET_STATUS, Payload::U64(1), 1);
    let surplus = DecodeError::TooManyFds { code: 40, limit: 0, have: 1 };
    assert_closes!(peer, result, decode(surplus));
    let mut peer = asked(R::POSTCOPY_ADVISE, Payload::None);
    let result = peer.replies(R::POSTCOPY_ADVISE, Payload::None);
    let missing = DecodeError::TooFewFds { code: 28, need: 1, have: 0 };
    assert_closes!(peer, result, decode(missing));
}

#[test]
fn an_acknowledgement_is_a_number() {
    let mut peer = Peer::new();
    let asking = log().with_need_reply();
    let mut without = Peer::with(FEATURES, PROTOCOL & !protocol::LOG_SHMFD);
    let number = Message::frontend(R::SET_LOG_BASE, Payload::U64(0)).with_need_reply();
    assert_eq!(without.send(&number, 0), Ok(()));
    let result = without.replies(R::SET_LOG_BASE, Payload::None);
    assert_closes!(without, result, ReplyError::NotU64 { code: 6 });
    // With LOG_SHMFD the reply may be anything, and there is one only.
    assert_eq!(peer.send(&asking, 1), Ok(()));
    assert_eq!(peer.frontend.awaited(), 1);
    assert_eq!(peer.replies(R::SET_LOG_BASE, Payload::None), Ok(true));
    // A table is acknowledged with a number outside of postcopy.
    let mut peer = Peer::new();
    let regions = [region(0, 0, PAGE)];
    let sent = with_table(&regions, |table| {
        peer.send(&Message::frontend(R::SET_MEM_TABLE, table).with_need_reply(), 1)
    });
    assert_eq!(sent, Ok(()));
    let result = with_table(&regions, |table| peer.replies(R::SET_MEM_TABLE, table));
    assert_closes!(peer, result, ReplyError::NotU64 { code: 5 });
}

fn log() -> Message<'static> {
    Message::frontend(R::SET_LOG_BASE, Payload::Log(LogBase { size: 8, offset: 0 }))
}

#[test]
fn what_a_reply_tells_is_learned() {
    let _shows = shows(&["VU-034", "VU-051"]);
    let mut peer = Peer::new();
    assert_eq!(peer.frontend.driver_offer(), FEATURES & !virtio::PROTOCOL_FEATURES);
    let negotiated = *peer.frontend.negotiated();
    assert_eq!((negotiated.offered_virtio, negotiated.offered_protocol), (FEATURES, PROTOCOL));
    assert_eq!((negotiated.virtio, negotiated.protocol), (Some(FEATURES), PROTOCOL));
    // need_reply makes no second reply where there is one anyway.
    let asking = Message::frontend(R::GET_QUEUE_NUM, Payload::None).with_need_reply();
    assert_eq!(peer.send(&asking, 0), Ok(()));
    assert_eq!(peer.frontend.awaited(), 1);
    assert_eq!(peer.replies(R::GET_QUEUE_NUM, Payload::U64(2)), Ok(true));
    assert_eq!(peer.frontend.awaited(), 0);
}

#[test]
fn a_refusal_takes_back_what_was_chosen() {
    let _shows = shows(&["DC-065"]);
    let mut peer = Peer::new();
    let fewer = PROTOCOL & !protocol::STATUS;
    for (request, value) in [(R::SET_FEATURES, 0), (R::SET_PROTOCOL_FEATURES, fewer)] {
        let message = Message::frontend(request, Payload::U64(value)).with_need_reply();
        assert_eq!(peer.send(&message, 0), Ok(()));
        assert_eq!(peer.replies(request, Payload::U64(7)), Ok(false));
    }
    assert_eq!(peer.frontend.negotiated().virtio, Some(FEATURES));
    assert_eq!(peer.frontend.negotiated().protocol, PROTOCOL);
    let channel = Message::frontend(R::SET_BACKEND_REQ_FD, Payload::None).with_need_reply();
    assert_eq!(peer.send(&channel, 1), Ok(()));
    assert!(peer.frontend.is_channel_open());
    assert_eq!(peer.replies(R::SET_BACKEND_REQ_FD, Payload::U64(1)), Ok(false));
    assert!(!peer.frontend.is_channel_open());
    let listen = Message::frontend(R::POSTCOPY_LISTEN, Payload::None).with_need_reply();
    peer.sends(R::POSTCOPY_ADVISE, Payload::None);
    assert_eq!(peer.replies_with(R::POSTCOPY_ADVISE, Payload::None, 1), Ok(true));
    assert_eq!(peer.send(&listen, 0), Ok(()));
    assert_eq!(peer.replies(R::POSTCOPY_LISTEN, Payload::U64(1)), Ok(false));
    assert_eq!(peer.frontend.postcopy(), Postcopy::Advised);
}

#[test]
fn the_offer_does_not_change() {
    let mut peer = Peer::new();
    peer.learns(R::GET_FEATURES, FEATURES);
    peer.sends(R::GET_FEATURES, Payload::None);
    let bits = 1 << 40;
    let result = peer.replies(R::GET_FEATURES, Payload::U64(FEATURES | bits));
    assert_closes!(peer, result, ReplyError::FeaturesChanged { bits });
}

#[test]
fn a_base_is_that_of_the_ring() {
    let mut peer = asked(R::GET_VRING_BASE, state(1, 0));
    let result = peer.replies(R::GET_VRING_BASE, state(0, 7));
    assert_closes!(peer, result, ReplyError::BaseIndex { asked: 1, index: 0 });
    let mut peer = asked(R::GET_VRING_BASE_SKIP_DRAIN, state(1, 0));
    let result = peer.replies(R::GET_VRING_BASE_SKIP_DRAIN, state(1, 0x1_0000));
    assert_closes!(peer, result, ReplyError::SplitBase { base: 0x1_0000 });
    let mut peer = asked(R::GET_VRING_BASE, state(1, 0));
    assert_eq!(peer.replies(R::GET_VRING_BASE, state(1, 0xffff)), Ok(true));
    let mut packed = Peer::with(FEATURES | virtio::RING_PACKED, PROTOCOL);
    packed.sends(R::GET_VRING_BASE, state(1, 0));
    assert_eq!(packed.replies(R::GET_VRING_BASE, state(1, 0x8001_8001)), Ok(true));
}

#[test]
fn a_configuration_window_has_the_size_that_was_asked_for() {
    let _shows = shows(&["VU-191"]);
    let data = [0; 16];
    let config = |size| {
        let data = &data[..usize::try_from(size).expect("small")];
        Payload::Config(Config { offset: 0, size, flags: 0, payload: data })
    };
    let mut peer = asked(R::GET_CONFIG, config(16));
    let result = peer.replies(R::GET_CONFIG, config(8));
    assert_closes!(peer, result, ReplyError::ConfigSize { asked: 16, size: 8 });
    for (answer, is_success) in [(config(16), true), (config(0), false), (Payload::None, false)] {
        let mut peer = asked(R::GET_CONFIG, config(16));
        assert_eq!(peer.replies(R::GET_CONFIG, answer), Ok(is_success));
    }
}

#[test]
fn the_shared_memory_regions_are_whole_pages_and_do_not_change() {
    fn answered(peer: &mut Peer, regions: u32, size: u64) -> Result<bool, ReplyError> {
        let mut sizes = [0; 2048];
        sizes[..8].copy_from_slice(&size.to_ne_bytes());
        let config = ShmemConfig { regions, padding: 0, sizes: &sizes };
        peer.sends(R::GET_SHMEM_CONFIG, Payload::None);
        peer.replies(R::GET_SHMEM_CONFIG, Payload::ShmemConfig(config))
    }
    let shmem = ReplyError::Shmem;
    let mut peer = Peer::new();
    assert_eq!(answered(&mut peer, 1, PAGE), Ok(true));
    assert_eq!(answered(&mut peer, 1, PAGE), Ok(true));
    let result = answered(&mut peer, 1, 2 * PAGE);
    let changed = SizesError::Changed { shmid: 0, size: 2 * PAGE };
    assert_closes!(peer, result, shmem(changed));
    let mut peer = Peer::new();
    let result = answered(&mut peer, 1, 100);
    assert_closes!(peer, result, shmem(SizesError::NotPages { shmid: 0, size: 100 }));
    let mut peer = Peer::new();
    let result = answered(&mut peer, 2, PAGE);
    assert_closes!(peer, result, shmem(SizesError::Count { announced: 2, count: 1 }));
}

/// A front-end that has sent a table of two regions after `POSTCOPY_LISTEN`.
fn listening() -> Peer {
    let mut peer = Peer::new();
    peer.sends(R::POSTCOPY_ADVISE, Payload::None);
    assert_eq!(peer.replies_with(R::POSTCOPY_ADVISE, Payload::None, 1), Ok(true));
    peer.sends(R::POSTCOPY_LISTEN, Payload::None);
    let regions = [region(0, 0, PAGE), region(PAGE, PAGE, PAGE)];
    assert_eq!(peer.send_table(&regions), Ok(()));
    peer
}

#[test]
fn a_postcopy_table_comes_back_with_other_user_addresses_only() {
    let mut peer = listening();
    let result = peer.replies(R::SET_MEM_TABLE, Payload::U64(0));
    assert_closes!(peer, result, ReplyError::NotATable);
    let mut peer = listening();
    let result = with_table(&[region(0, 9, PAGE)], |table| peer.replies(R::SET_MEM_TABLE, table));
    assert_closes!(peer, result, ReplyError::RegionCount { sent: 2, came: 1 });
    for changed in [region(0, 9, PAGE), region(PAGE, 9, 2 * PAGE)] {
        let mut peer = listening();
        let regions = [region(0, 8, PAGE), changed];
        let result = with_table(&regions, |table| peer.replies(R::SET_MEM_TABLE, table));
        assert_closes!(peer, result, ReplyError::RegionChanged { at: 1 });
    }
    let mut peer = listening();
    let theirs = [region(0, 1 << 40, PAGE), region(PAGE, 1 << 41, PAGE)];
    let result = with_table(&theirs, |table| peer.replies(R::SET_MEM_TABLE, table));
    assert_eq!(result, Ok(true));
}

#[test]
fn each_reply_has_its_form_of_failure() {
    let inflight = |mmap_size| Inflight {
        mmap_size,
        mmap_offset: 0,
        num_queues: 1,
        queue_size: 8,
        padding: 0,
    };
    for (mmap_size, fds) in [(0, 0), (4096, 1)] {
        let mut peer = asked(R::GET_INFLIGHT_FD, Payload::Inflight(inflight(0)));
        let answer = Payload::Inflight(inflight(mmap_size));
        assert_eq!(peer.replies_with(R::GET_INFLIGHT_FD, answer, fds), Ok(fds == 1));
    }
    for (id, is_success) in [(-1_i64, false), (0, true)] {
        let mut session = [0; CryptoSession::LEN as usize];
        let mut peer =
            asked(R::CREATE_CRYPTO_SESSION, Payload::Crypto(CryptoSession::new(&[0; 1072])));
        session[1064..].copy_from_slice(&id.to_ne_bytes());
        let answer = Payload::Crypto(CryptoSession::new(&session));
        assert_eq!(peer.replies(R::CREATE_CRYPTO_SESSION, answer), Ok(is_success));
    }
    let transfer = Payload::Transfer(Transfer { direction: 0, phase: 0 });
    for (answer, is_success) in [(0x100, true), (0x101, false)] {
        let mut peer = Peer::new();
        peer.sends_with(R::SET_DEVICE_STATE_FD, transfer, 1);
        let result = peer.replies(R::SET_DEVICE_STATE_FD, Payload::U64(answer));
        assert_eq!(result, Ok(is_success));
    }
}
