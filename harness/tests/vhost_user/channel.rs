//! The back-end channel at both ends: each rule with its exact error, and both against their
//! models.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrayvec::ArrayVec;
use vhost_fuzz_core::channel::{
    Channel, NOTIFICATION, Notifier, OrderError, ReplyError, Response, SendError, Signal, signal,
};
use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::gate::Negotiated;
use vhost_fuzz_core::vhost_user::payload::{
    Iotlb, SharedObject, ShmemMap, VringArea, VringFd, VringState,
};
use vhost_fuzz_core::vhost_user::request::Row;
use vhost_fuzz_core::vhost_user::{
    BackendRequest as B, Channel as Socket, DecodeError, Flags, Frame, Kind, Layout, Message,
    Payload,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::broken::frontend as broken;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::frontend::{Core, FrontendRole};
use vhost_fuzz_harness::oracle::frontend::{Event, FOREIGN_OBJECT, Offer, Outcome, check};
use vhost_fuzz_harness::oracle::id;
use vhost_fuzz_harness::seeds::{Random, forms_of};
use vhost_fuzz_model::{Id, Verdict, channel as model};

const PAGE: u64 = 4096;

const EVERYTHING: Negotiated = Negotiated {
    offered_virtio: u64::MAX,
    virtio: Some(u64::MAX),
    offered_protocol: protocol::ALL,
    protocol: protocol::ALL,
};

fn state(request: B, index: u32, num: u32) -> Message<'static> {
    Message::backend(request, Payload::State(VringState { index, num }))
}

fn iotlb(kind: u8, permissions: u8) -> Message<'static> {
    let user_address = 0x7f00_0000_0000;
    let iotlb = Iotlb { iova: 0x1000, size: 0, user_address, permissions, kind, padding: [0; 6] };
    Message::backend(B::IOTLB_MSG, Payload::Iotlb(iotlb))
}

fn notifier(vring: u64, size: u64) -> Message<'static> {
    let area = VringArea { vring: VringFd(vring), size, offset: 0x2000 };
    Message::backend(B::VRING_HOST_NOTIFIER_MSG, Payload::Area(area))
}

fn object(request: B) -> Message<'static> {
    Message::backend(request, Payload::Shared(SharedObject { uuid: FOREIGN_OBJECT }))
}

fn mapping(request: B, shmid: u8, shm_offset: u64, len: u64, flags: u64) -> Message<'static> {
    let map = ShmemMap { shmid, padding: [0; 7], fd_offset: 0, shm_offset, len, flags };
    Message::backend(request, Payload::ShmemMap(map))
}

/// A legal message of each request, with its number of descriptors.
fn each() -> [(Message<'static>, usize); 10] {
    [
        (iotlb(Iotlb::MISS, 3), 0),
        (Message::backend(B::CONFIG_CHANGE_MSG, Payload::None), 0),
        (notifier(1, PAGE), 1),
        (state(B::VRING_CALL, 1, 0), 0),
        (state(B::VRING_ERR, 1, 0), 0),
        (object(B::SHARED_OBJECT_ADD), 0),
        (object(B::SHARED_OBJECT_REMOVE), 0),
        (object(B::SHARED_OBJECT_LOOKUP), 0),
        (mapping(B::SHMEM_MAP, 1, 0, PAGE, 1), 1),
        (mapping(B::SHMEM_UNMAP, 1, 0, PAGE, 0), 0),
    ]
}

fn bytes(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).expect("room");
    bytes
}

fn open() -> Channel {
    let mut channel = Channel::new();
    channel.open();
    channel
}

/// What an open channel with every feature but `without` says to a message.
fn send(message: &Message<'_>, fds: usize, without: u64) -> Result<usize, SendError> {
    let negotiated = Negotiated { protocol: protocol::ALL & !without, ..EVERYTHING };
    open().request(message, fds, &negotiated, false, PAGE).map(<[u8]>::len)
}

#[test]
fn everything_legal_may_be_sent() {
    let _shows = shows(&["VU-212", "VU-213", "VU-265", "VU-241", "VU-246"]);
    for (message, fds) in each() {
        let sent = open().request(&message, fds, &EVERYTHING, false, PAGE).map(<[u8]>::to_vec);
        assert_eq!(sent, Ok(bytes(&message)), "{message}");
        let sent = send(&message.with_need_reply(), fds, 0);
        assert_eq!(sent, Ok(message.encoded_len()), "{message}");
    }
    // VU-265: the user address goes out as it is, although GPA_ADDRESSES was negotiated.
    let fault = iotlb(Iotlb::ACCESS_FAIL, 2);
    assert_eq!(send(&fault, 0, 0), Ok(fault.encoded_len()));
}

#[test]
fn nothing_is_sent_before_the_channel_is_there() {
    for (message, fds) in each() {
        let mut channel = Channel::new();
        let request = |channel: &mut Channel| {
            channel.request(&message, fds, &EVERYTHING, false, PAGE).map(<[u8]>::len)
        };
        assert_refused!(request(&mut channel), SendError::NotOpen);
        channel.open();
        assert!(request(&mut channel).is_ok());
        channel.close();
        assert_refused!(request(&mut channel), SendError::NotOpen);
    }
}

#[test]
fn nothing_is_sent_while_every_ring_is_stopped() {
    for (message, fds) in each() {
        let result = open().request(&message, fds, &EVERYTHING, true, PAGE).map(<[u8]>::len);
        assert_refused!(result, SendError::Suspended { code: message.code });
    }
}

#[test]
fn each_request_needs_its_features() {
    let bits = [
        0,
        protocol::CONFIG,
        protocol::HOST_NOTIFIER,
        protocol::INBAND_NOTIFICATIONS,
        protocol::INBAND_NOTIFICATIONS,
        protocol::SHARED_OBJECT,
        protocol::SHARED_OBJECT,
        protocol::SHARED_OBJECT,
        protocol::SHMEM,
        protocol::SHMEM,
    ];
    let rules = [26, 196, 234, 26, 26, 233, 233, 233, 26, 26].map(Rule::vu);
    for (((message, fds), bit), rule) in each().into_iter().zip(bits).zip(rules) {
        let gate = SendError::Gate { code: message.code, rule };
        if bit != 0 {
            assert_refused!(send(&message, fds, bit), gate);
        }
        assert_refused!(send(&message, fds, protocol::BACKEND_REQ), gate);
    }
    let negotiated = Negotiated { virtio: Some(!virtio::IOMMU_PLATFORM), ..EVERYTHING };
    let mut channel = open();
    let result = channel.request(&iotlb(Iotlb::MISS, 1), 0, &negotiated, false, PAGE);
    let gate = SendError::Gate { code: 1, rule: Rule::vu(26) };
    assert_refused!(result.map(<[u8]>::len), gate);
    let unknown = Message { code: 11, ..iotlb(Iotlb::MISS, 1) };
    assert_refused!(send(&unknown, 0, 0), SendError::UnknownRequest { code: 11 });
    let asking = state(B::VRING_CALL, 0, 0).with_need_reply();
    let need_reply = SendError::NeedReply { code: 4 };
    assert_refused!(send(&asking, 0, protocol::REPLY_ACK), need_reply);
}

#[test]
fn descriptors_need_their_feature_and_are_few() {
    for (message, fds) in each().into_iter().filter(|(_, fds)| *fds > 0) {
        let error = SendError::FdsNotNegotiated { code: message.code, fds };
        assert_refused!(send(&message, fds, protocol::BACKEND_SEND_FD), error);
    }
    assert_refused!(send(&notifier(1, PAGE), 9, 0), SendError::TooManyFds { fds: 9 });
    let surplus = DecodeError::TooManyFds { code: 2, limit: 0, have: 1 };
    let config = Message::backend(B::CONFIG_CHANGE_MSG, Payload::None);
    assert_refused!(send(&config, 1, 0), SendError::Malformed(surplus));
}

#[test]
fn fields_of_requests_are_what_they_have_to_be() {
    for request in [B::VRING_CALL, B::VRING_ERR] {
        let error = SendError::Num { code: request.0, num: 7 };
        assert_refused!(send(&state(request, 0, 7), 0, 0), error);
    }
    for permissions in [0, 4, 255] {
        let error = SendError::MissPermissions { permissions };
        assert_refused!(send(&iotlb(Iotlb::MISS, permissions), 0, 0), error);
        let error = SendError::AccessPermissions { permissions };
        assert_refused!(send(&iotlb(Iotlb::ACCESS_FAIL, permissions), 0, 0), error);
    }
    for kind in [0, Iotlb::UPDATE, Iotlb::INVALIDATE, 5] {
        assert_refused!(send(&iotlb(kind, 1), 0, 0), SendError::IotlbKind { kind });
    }
    for size in [0, PAGE / 2, 2 * PAGE] {
        let error = SendError::NotifierSize { size, page: PAGE };
        assert_refused!(send(&notifier(0, size), 1, 0), error);
    }
    let removal = notifier(VringFd::NO_FD, 0);
    assert_eq!(send(&removal, 0, 0), Ok(removal.encoded_len()), "DC-062");
    let (map, unmap) = (B::SHMEM_MAP, B::SHMEM_UNMAP);
    for (request, fds) in [(map, 1), (unmap, 0)] {
        for (offset, len) in [(0, 0), (u64::MAX, 1)] {
            let error = SendError::MapRange { code: request.0, offset, len };
            assert_refused!(send(&mapping(request, 1, offset, len, 0), fds, 0), error);
        }
    }
    assert_refused!(send(&mapping(map, 1, 0, 1, 2), 1, 0), SendError::MapFlags { flags: 2 });
}

fn answer(channel: &mut Channel, reply: &Message<'_>, fds: usize) -> Result<u64, ReplyError> {
    let bytes = bytes(reply);
    let fds = (0..fds).collect::<ArrayVec<usize, 8>>();
    let count = fds.len();
    let frame = Frame { kind: Kind::FRONTEND_REPLY, bytes: &bytes, fds };
    channel.on_reply(frame).map(|Response { request, value, fd }| {
        assert_eq!((request.0, fd.iter().count()), (reply.code, count));
        value
    })
}

fn reply(request: B, value: u64) -> Message<'static> {
    Message::reply(Socket::Backend, request.0, Payload::U64(value))
}

/// A channel that waits for a miss, then for a lookup.
fn waiting() -> Channel {
    let mut channel = open();
    for message in [iotlb(Iotlb::MISS, 1).with_need_reply(), object(B::SHARED_OBJECT_LOOKUP)] {
        channel.request(&message, 0, &EVERYTHING, false, PAGE).expect("legal");
    }
    channel
}

#[test]
fn replies_answer_the_oldest_request() {
    let _shows = shows(&["VU-010", "VU-036", "VU-232"]);
    let mut channel = waiting();
    assert_eq!(answer(&mut channel, &reply(B::IOTLB_MSG, 0), 0), Ok(0));
    assert_eq!(answer(&mut channel, &reply(B::SHARED_OBJECT_LOOKUP, 0), 1), Ok(0));
    assert_eq!(channel.awaited(), 0);
    let lookup = reply(B::SHARED_OBJECT_LOOKUP, 0);
    let order = |error| ReplyError::Order(error);
    assert_refused!(answer(&mut channel, &lookup, 1), order(OrderError::Unasked { code: 8 }));
    assert_refused!(answer(&mut channel, &lookup, 1), ReplyError::NotOpen);
    assert_refused!(
        answer(&mut waiting(), &lookup, 1),
        order(OrderError::OutOfOrder { code: 8, oldest: 1 })
    );
    assert_refused!(
        answer(&mut waiting(), &reply(B::VRING_CALL, 0), 0),
        order(OrderError::WrongId { code: 4, oldest: 1 })
    );
}

#[test]
fn a_lookup_has_a_descriptor_exactly_when_it_succeeds() {
    for (value, fds) in [(0, 0), (1, 1)] {
        let mut channel = waiting();
        assert_eq!(answer(&mut channel, &reply(B::IOTLB_MSG, 1), 0), Ok(1));
        let result = answer(&mut channel, &reply(B::SHARED_OBJECT_LOOKUP, value), fds);
        let error = DecodeError::LookupFd { status: value, fds };
        assert_refused!(result, ReplyError::Decode(error));
        assert!(!channel.is_open());
    }
    let mut channel = waiting();
    assert_eq!(answer(&mut channel, &reply(B::IOTLB_MSG, 0), 0), Ok(0));
    assert_eq!(answer(&mut channel, &reply(B::SHARED_OBJECT_LOOKUP, 5), 0), Ok(5));
}

#[test]
fn a_reply_without_a_u64_ends_the_channel() {
    let result = answer(&mut waiting(), &Message { payload: Payload::None, ..reply(B(1), 0) }, 0);
    let error = DecodeError::PayloadTooShort { code: 1, need: 8, have: 0 };
    assert_refused!(result, ReplyError::Decode(error));
    let unknown = Message { payload: Payload::Unknown(&[]), ..reply(B(11), 0) };
    let error = OrderError::WrongId { code: 11, oldest: 1 };
    assert_refused!(answer(&mut waiting(), &unknown, 0), ReplyError::Order(error));
}

#[test]
fn outstanding_replies_are_bounded() {
    let mut channel = open();
    let asking = iotlb(Iotlb::MISS, 1).with_need_reply();
    let mut send = || channel.request(&asking, 0, &EVERYTHING, false, PAGE).map(<[u8]>::len);
    for _ in 0..Channel::MAX_AWAITED {
        assert_eq!(send(), Ok(asking.encoded_len()));
    }
    assert_refused!(send(), SendError::TooManyAwaited { limit: Channel::MAX_AWAITED });
}

#[test]
fn notifications_go_the_preferred_way() {
    let _shows = shows(&["VU-101", "VU-103", "VU-104", "VU-106", "VU-266", "VU-074", "DC-066"]);
    for inband in [false, true] {
        let given = Notifier::Fd(7);
        assert_eq!(signal(true, false, &given, inband), Signal::Fd(&7));
        // A stopped ring, and a suspended device, are silent.
        assert_eq!(signal(false, false, &given, inband), Signal::None);
        assert_eq!(signal(true, true, &given, inband), Signal::None);
        assert_eq!(signal(true, false, &Notifier::<u8>::Flag, inband), Signal::None);
    }
    assert_eq!(signal(true, false, &Notifier::<u8>::None, true), Signal::Message);
    assert_eq!(signal(true, false, &Notifier::<u8>::None, false), Signal::None);
}

#[test]
fn a_notification_is_eight_bytes() {
    let _shows = shows(&["VU-015"]);
    assert_eq!(NOTIFICATION.len(), 8);
    // An eventfd adds the number; 0 would wake nobody.
    assert_eq!(u64::from_ne_bytes(NOTIFICATION), 1);
}

/// A message near the border of the legal: any form with random numbers, often corrected.
fn random_message(rng: &mut fastrand::Rng) -> (Vec<u8>, usize) {
    let rows = Row::all(Socket::Backend);
    let row = &rows[rng.usize(..rows.len())];
    let forms = forms_of(Kind::BACKEND_REQUEST, row, &mut Random(rng));
    let form = &forms[rng.usize(..forms.len())];
    let (mut bytes, mut fds) = (form.bytes.clone(), form.context.fds);
    if rng.u8(..8) > 0 {
        bytes[4] = Flags::NEED_REPLY.0.to_ne_bytes()[0];
    }
    let body = &mut bytes[12..];
    let mut put = |at: usize, value: u64, width: usize| {
        body[at..at + width].copy_from_slice(&value.to_ne_bytes()[..width]);
    };
    let small = |rng: &mut fastrand::Rng| rng.u64(..6) * PAGE;
    match B(row.code) {
        B::IOTLB_MSG => {
            put(24, rng.u64(..5), 1);
            put(25, rng.u64(..6), 1);
        }
        B::VRING_HOST_NOTIFIER_MSG => {
            put(0, rng.u64(..4), 1);
            put(8, if rng.u8(..4) > 0 { PAGE } else { small(rng) }, 8);
        }
        B::VRING_CALL | B::VRING_ERR => {
            put(0, rng.u64(..4), 4);
            put(4, rng.u64(..4) / 3, 4);
        }
        B::SHARED_OBJECT_ADD | B::SHARED_OBJECT_REMOVE | B::SHARED_OBJECT_LOOKUP => {
            let byte = [0xf0, 1, 2, 3, 4, 5, 6, 7, 8][rng.usize(..9)];
            (0..16).for_each(|at| put(at, byte, 1));
        }
        B::SHMEM_MAP | B::SHMEM_UNMAP if rng.u8(..8) > 0 => {
            put(0, rng.u64(..3), 1);
            put(8, small(rng), 8);
            put(16, small(rng), 8);
            put(24, ((small(rng) / 2) & !(PAGE - 1)) | (rng.u64(..16) / 15), 8);
            put(32, rng.u64(..5) / 2, 8);
        }
        _ => {}
    }
    match rng.u8(..32) {
        0 => fds = rng.usize(..9),
        1 => bytes.truncate(rng.usize(..=bytes.len())),
        2 => bytes[4] = rng.u8(..),
        3 => bytes[0] = rng.u8(..13),
        _ => {}
    }
    (bytes, fds)
}

#[test]
fn what_may_be_sent_is_what_the_model_allows() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut verdicts = std::collections::BTreeSet::new();
    for _ in 0..20_000 {
        let (bytes, fds) = random_message(&mut rng);
        let kind = Kind::BACKEND_REQUEST;
        // A back-end sends messages, not bytes: those that decode, with any descriptors.
        let decoded =
            (0..=1).find_map(|fds| Message::decode(kind, Layout::default(), &bytes, fds).ok());
        let Some(message) = decoded else { continue };
        let state = random_state(&mut rng);
        let negotiated = Negotiated {
            virtio: Some(state.virtio),
            protocol: state.protocol,
            ..Negotiated::default()
        };
        let mut channel = if state.open { open() } else { Channel::new() };
        let got = channel
            .request(&message, fds, &negotiated, state.suspended, state.page)
            .map(<[u8]>::len)
            .map_err(|error| id(error.rule()));
        let got = match got {
            Ok(_) => Verdict::Accept(channel.awaited() == 1),
            Err(id) => Verdict::Reject(id),
        };
        assert_eq!(got, model::request(&state, &bytes, fds), "{message} with {fds} in {state:?}");
        verdicts.insert(format!("{got:?}"));
    }
    assert!(verdicts.len() >= 16, "only {verdicts:?}");
}

fn random_state(rng: &mut fastrand::Rng) -> model::State {
    model::State {
        open: rng.u8(..8) > 0,
        virtio: if rng.u8(..4) > 0 { u64::MAX } else { 0 },
        protocol: match rng.u8(..6) {
            0 => protocol::ALL & rng.u64(..),
            1 | 2 => protocol::ALL & !(1 << rng.u8(..24)),
            _ => protocol::ALL,
        },
        suspended: rng.u8(..8) == 0,
        page: PAGE,
    }
}

fn offer(rng: &mut fastrand::Rng) -> Offer {
    let model::State { virtio, protocol, .. } = random_state(rng);
    let mut shmem = Box::new([0; 256]);
    shmem[1] = 4 * PAGE;
    shmem[2] = 2 * PAGE;
    Offer { virtio, protocol, queues: 3, page_size: PAGE, shmem }
}

fn random_events(rng: &mut fastrand::Rng) -> Vec<Event<'static>> {
    let count = rng.usize(..40);
    let mut event = || {
        if rng.u8(..24) == 0 {
            return Event::DeviceReset;
        }
        let (bytes, fds) = random_message(rng);
        let outcome = match rng.u8(..8) {
            0 => Outcome::Failed(22),
            1 => Outcome::NoObject,
            _ => Outcome::Done,
        };
        let resets_meanwhile = rng.u8(..24) == 0;
        Event::Request { bytes: Cow::Owned(bytes), fds, outcome, resets_meanwhile }
    };
    (0..count).map(|_| event()).collect()
}

/// Runs random events through a front-end until an oracle speaks; returns what it said, and the
/// rules of all refusals.
fn hunt<R: FrontendRole>(cases: u64) -> (Option<String>, Vec<Id>) {
    let mut rules = Vec::new();
    for seed in 0..cases {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (offer, events) = (offer(&mut rng), random_events(&mut rng));
        match catch_unwind(AssertUnwindSafe(|| check::<R>(&offer, events))) {
            Ok(refusals) => rules.extend(refusals),
            Err(panic) => {
                return (Some(vhost_fuzz_harness::report::panic_text(&*panic)), rules);
            }
        }
    }
    (None, rules)
}

#[test]
fn the_front_end_of_the_core_is_that_of_the_model() {
    let (verdict, rules) = hunt::<Core>(5000);
    assert_eq!(verdict, None);
    let reached = |id: Id| rules.contains(&id);
    for number in [12, 20, 26, 196, 205, 212, 213, 220, 231, 232, 233, 234, 235, 241, 242, 243] {
        assert!(reached(Id::Vu(number)), "no refusal by VU-{number:03} was drawn");
    }
    for id in [Id::Vu(244), Id::Vu(245), Id::Vu(246), Id::Dc(60), Id::Dc(61), Id::Dc(63)] {
        assert!(reached(id), "no refusal by {id} was drawn");
    }
    assert!(reached(Id::Dc(64)) && reached(Id::Vu(206)));
}

#[track_caller]
fn assert_caught<M: 'static>(oracle: &str) {
    let (verdict, _) = hunt::<broken::Mistaken<M>>(5000);
    let text = verdict.unwrap_or_default();
    assert!(text.starts_with(&format!("{oracle}:")), "the {oracle} did not speak: {text:?}");
}

#[test]
fn a_wrapped_front_end_without_a_mistake_passes() {
    assert_eq!(hunt::<broken::Mistaken<broken::Nothing>>(1000).0, None);
}

#[test]
fn descriptors_of_refused_requests_that_leak_are_caught_by_the_ledger() {
    assert_caught::<broken::LeaksRefused>("fd ledger");
}

#[test]
fn mappings_that_outlive_a_reset_are_caught_by_the_ledger() {
    assert_caught::<broken::KeepsMappings>("mapping ledger");
}

#[test]
fn a_lookup_without_its_descriptor_is_caught_by_the_wire_check() {
    assert_caught::<broken::LooksUpWithoutFd>("wire check");
}

#[test]
fn an_acknowledgement_that_is_not_due_is_caught_by_the_model() {
    assert_caught::<broken::AlwaysAcknowledges>("model");
}

#[test]
fn a_failure_that_counts_as_success_is_caught_by_the_model() {
    assert_caught::<broken::IgnoresFailure>("model");
}

#[test]
fn flags_of_the_request_in_the_reply_are_caught_by_the_wire_check() {
    assert_caught::<broken::EchoesFlags>("wire check");
}

#[test]
fn an_allocation_for_a_reply_is_caught_by_the_budget() {
    assert_caught::<broken::Allocates>("budget");
}
