//! How the front-end serves the back-end channel (spec §4, §6.12 to §6.15): each rule with its
//! exact error.

mod host;
mod mappings;

use arrayvec::ArrayVec;
use vhost_fuzz_core::frontend::{
    FrontendDone, FrontendEffect as E, FrontendStep, ObjectError, RequestError, Setup,
    SharedObjects,
};
use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::session::EffectError;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Iotlb, VringFd};
use vhost_fuzz_core::vhost_user::{
    BackendRequest as B, Channel, DecodeError, Frame, FrontendRequest as R, HeaderError, Kind,
    Message, Payload,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::frontend::Core;
use vhost_fuzz_harness::ledger::{Ledger, Token};

use host::*;

#[test]
fn acknowledgements_come_exactly_when_they_are_due() {
    let _shows = shows(&["VU-005", "VU-034", "VU-036"]);
    let config = Message::backend(B::CONFIG_CHANGE_MSG, Payload::None);
    let mut host = Host::without(0);
    assert_eq!(host.verdict(&config, 0), Ok(None));
    assert_eq!(host.verdict(&config.with_need_reply(), 0), DONE);
    // A lookup has a reply of its own, and only one.
    let add = object(B::SHARED_OBJECT_ADD, 7);
    assert_eq!(host.verdict(&add, 0), DONE);
    for lookup in [object(B::SHARED_OBJECT_LOOKUP, 7), silently(object(B::SHARED_OBJECT_LOOKUP, 7))]
    {
        assert_eq!(host.verdict(&lookup, 0), Ok(Some((0, true))));
    }
    let mut host = Host::without(protocol::REPLY_ACK);
    assert_eq!(host.verdict(&config.with_need_reply(), 0), Ok(None));
    assert_eq!(host.verdict(&silently(object(B::SHARED_OBJECT_ADD, 7)), 0), Ok(None));
    assert_eq!(host.verdict(&silently(object(B::SHARED_OBJECT_LOOKUP, 7)), 0), Ok(Some((0, true))));
}

#[test]
fn what_nobody_asked_an_acknowledgement_for_ends_the_channel_when_it_is_refused() {
    let _shows = shows(&["DC-063"]);
    let mut host = Host::without(0);
    let call = silently(state(B::VRING_CALL, 0, 1));
    assert_refused!(host.verdict(&call, 0), RequestError::Num { code: 4, num: 1 });
    assert_refused!(host.verdict(&state(B::VRING_CALL, 0, 0), 0), RequestError::NotOpen);
    assert!(!host.frontend.is_closed(), "the main channel lives on");
    host.sends(R::SET_BACKEND_REQ_FD, Payload::None, 1);
    assert_eq!(host.verdict(&state(B::VRING_CALL, 0, 0), 0), DONE);
}

#[test]
fn nothing_is_served_before_the_channel_was_handed_over() {
    let setup = Setup { owner: 1, queues: 1, max_regions: 1, max_mappings: 1, page_size: PAGE };
    let mut frontend = Core::new(setup);
    let bytes = bytes(&state(B::VRING_CALL, 0, 0));
    let frame = Frame { kind: Kind::BACKEND_REQUEST, bytes: &bytes, fds: ArrayVec::new() };
    let step = frontend.on_request(frame, &mut SharedObjects::new(0));
    assert_refused!(seen(step).map_err(|(error, _)| error), RequestError::NotOpen);
}

#[test]
fn malformed_requests_are_refused() {
    let mut host = Host::without(0);
    let unknown = Message { code: 11, ..state(B::VRING_CALL, 0, 0) };
    assert_refused!(host.verdict(&unknown, 0), RequestError::UnknownRequest { code: 11 });
    assert_refused!(host.verdict(&unknown, 8), RequestError::UnknownRequest { code: 11 });
    let few = DecodeError::TooFewFds { code: 9, need: 1, have: 0 };
    assert_refused!(host.verdict(&map(B::SHMEM_MAP, 0, PAGE), 0), RequestError::Decode(few));
    let many = DecodeError::TooManyFds { code: 8, limit: 0, have: 2 };
    let lookup = object(B::SHARED_OBJECT_LOOKUP, 1);
    assert_refused!(host.verdict(&lookup, 2), RequestError::Decode(many));
    let header = HeaderError::ReplyBitInRequest;
    let reply = Message::reply(Channel::Backend, 4, Payload::U64(0));
    let result = host.serve(&reply, 1, well);
    assert_eq!(result, Err((RequestError::Decode(header.into()), false)));
    assert!(!host.frontend.is_channel_open(), "nobody knows where the next message begins");
}

#[test]
fn each_request_needs_its_features() {
    let requests = [
        (iotlb(Iotlb::MISS, 1), 0, 0, 26),
        (Message::backend(B::CONFIG_CHANGE_MSG, Payload::None), 0, protocol::CONFIG, 196),
        (notifier(0, PAGE), 1, protocol::HOST_NOTIFIER, 234),
        (state(B::VRING_CALL, 0, 0), 0, protocol::INBAND_NOTIFICATIONS, 26),
        (state(B::VRING_ERR, 0, 0), 0, protocol::INBAND_NOTIFICATIONS, 26),
        (object(B::SHARED_OBJECT_ADD, 1), 0, protocol::SHARED_OBJECT, 233),
        (object(B::SHARED_OBJECT_REMOVE, 1), 0, protocol::SHARED_OBJECT, 233),
        (map(B::SHMEM_MAP, 0, PAGE), 1, protocol::SHMEM, 26),
        (map(B::SHMEM_UNMAP, 0, PAGE), 0, protocol::SHMEM, 26),
    ];
    for (message, fds, bit, number) in requests {
        let gate = RequestError::Gate { code: message.code, rule: Rule::vu(number) };
        for bit in [bit, protocol::BACKEND_REQ].into_iter().filter(|bit| *bit != 0) {
            assert_refused!(Host::without(bit).verdict(&message, fds), gate);
        }
        if fds > 0 {
            let error = RequestError::FdsNotNegotiated { code: message.code };
            let mut host = Host::without(protocol::BACKEND_SEND_FD);
            assert_refused!(host.verdict(&message, fds), error);
        }
    }
    let mut host = Host::with(protocol::ALL, !virtio::IOMMU_PLATFORM);
    let gate = RequestError::Gate { code: 1, rule: Rule::vu(26) };
    assert_refused!(host.verdict(&iotlb(Iotlb::MISS, 1), 0), gate);
    // A lookup behind a closed gate is no lookup: nobody is answered.
    let lookup = object(B::SHARED_OBJECT_LOOKUP, 1);
    let gate = RequestError::Gate { code: 8, rule: Rule::vu(233) };
    let mut host = Host::without(protocol::SHARED_OBJECT);
    assert_eq!(host.serve(&lookup, 0, well), Err((gate, false)));
}

#[test]
fn a_miss_is_acknowledged_after_the_update() {
    let _shows = shows(&["VU-214"]);
    let mut host = Host::without(0);
    let request = bytes(&iotlb(Iotlb::MISS, 3));
    let frame = Frame { kind: Kind::BACKEND_REQUEST, bytes: &request, fds: ArrayVec::new() };
    let step = host.frontend.on_request(frame, &mut host.objects);
    let FrontendStep::Need(effect) = step else { panic!("{step:?}") };
    assert!(matches!(effect, E::Translate { iova: 0x1000, permissions: 3 }), "{effect:?}");
    // Nothing is said before the update is out on the main channel.
    let update = Iotlb {
        iova: 0x1000,
        size: PAGE,
        user_address: 0,
        permissions: 3,
        kind: Iotlb::UPDATE,
        padding: [0; 6],
    };
    host.sends(R::IOTLB_MSG, Payload::Iotlb(update), 0);
    assert_eq!(seen(host.frontend.on_done(Ok(FrontendDone::Nothing))), Ok(Some((0, false))));
    let failed = |_: E<Token>, _: &Ledger| Err(EffectError(14));
    let error = RequestError::Effect { code: 1, error: EffectError(14) };
    assert_eq!(host.serve(&iotlb(Iotlb::MISS, 1), 0, failed), Err((error, true)));
}

#[test]
fn iotlb_messages_are_misses_or_access_failures() {
    let mut host = Host::without(0);
    for kind in [0, Iotlb::UPDATE, Iotlb::INVALIDATE, 5] {
        assert_refused!(host.verdict(&iotlb(kind, 1), 0), RequestError::IotlbKind { kind });
    }
    for permissions in [0, 4] {
        let error = RequestError::MissPermissions { permissions };
        assert_refused!(host.verdict(&iotlb(Iotlb::MISS, permissions), 0), error);
        let error = RequestError::AccessPermissions { permissions };
        assert_refused!(host.verdict(&iotlb(Iotlb::ACCESS_FAIL, permissions), 0), error);
    }
    assert_eq!(host.verdict(&iotlb(Iotlb::ACCESS_FAIL, 2), 0), DONE);
}

#[test]
fn a_host_notifier_replaces_the_earlier_one() {
    let _shows = shows(&["VU-236", "DC-062"]);
    let mut host = Host::without(0);
    for round in 0..2 {
        let mapped = host.serve(&notifier(2, PAGE), 1, |effect, mappings| {
            assert!(matches!(effect, E::MapNotifier { index: 2, offset: 0x2000, size: PAGE, .. }));
            assert_eq!(mappings.open_count(), 0, "the earlier one is gone already, {round}");
            Ok(FrontendDone::Mapped(mappings.open()))
        });
        assert_eq!(mapped, Ok(Some((0, false))));
        assert!(host.frontend.notifier(2).is_some());
    }
    // Removing needs no size, and no notifier.
    for _ in 0..2 {
        assert_eq!(host.verdict(&notifier(2 | VringFd::NO_FD, 0), 0), DONE);
        assert_eq!(host.mappings.open_count(), 0);
    }
    let failed = |_: E<Token>, _: &Ledger| Err(EffectError(22));
    let error = RequestError::Effect { code: 3, error: EffectError(22) };
    assert_eq!(host.verdict(&notifier(0, PAGE), 1), DONE);
    assert_eq!(host.serve(&notifier(0, PAGE), 1, failed), Err((error, true)));
    assert!(host.frontend.notifier(0).is_none(), "removed first, whatever comes of the new one");
    for size in [0, 1, 2 * PAGE] {
        let error = RequestError::NotifierSize { size, page: PAGE };
        assert_refused!(host.verdict(&notifier(0, size), 1), error);
    }
    let error = RequestError::RingIndex { index: 3, queues: QUEUES };
    assert_refused!(host.verdict(&notifier(3, PAGE), 1), error);
}

#[test]
fn calls_and_errors_are_about_rings_that_exist() {
    let mut host = Host::without(0);
    for request in [B::VRING_CALL, B::VRING_ERR] {
        let error = RequestError::Num { code: request.0, num: 9 };
        assert_refused!(host.verdict(&state(request, 0, 9), 0), error);
        for index in [3, 0x8000_0000] {
            let error = RequestError::RingIndex { index, queues: QUEUES };
            assert_refused!(host.verdict(&state(request, index, 0), 0), error);
        }
        let told = host.serve(&state(request, 2, 0), 0, |effect, _| {
            match request {
                B::VRING_CALL => assert!(matches!(effect, E::Call { index: 2 }), "{effect:?}"),
                _ => assert!(matches!(effect, E::RingError { index: 2 }), "{effect:?}"),
            }
            Ok(FrontendDone::Nothing)
        });
        assert_eq!(told, Ok(Some((0, false))));
    }
}

#[test]
fn only_the_owner_removes_an_object() {
    let mut host = Host::without(0);
    host.objects.add(OTHER, [2; 16]).expect("room");
    let remove = object(B::SHARED_OBJECT_REMOVE, 2);
    let error = RequestError::Object(ObjectError::NotOwner { owner: OTHER });
    assert_refused!(host.verdict(&remove, 0), error);
    // Where nobody waits for an acknowledgement, the request has no effect at all.
    assert_eq!(host.verdict(&silently(remove), 0), Ok(None));
    assert_eq!(host.objects.owner(&[2; 16]), Some(OTHER));
    let unknown = object(B::SHARED_OBJECT_REMOVE, 3);
    assert_refused!(host.verdict(&unknown, 0), RequestError::Object(ObjectError::Unknown));
    assert_eq!(host.verdict(&object(B::SHARED_OBJECT_ADD, 3), 0), DONE);
    assert_eq!(host.objects.owner(&[3; 16]), Some(ME));
    assert_eq!(host.verdict(&unknown, 0), DONE);
    assert_eq!(host.objects.len(), 1);
}

#[test]
fn the_table_of_objects_is_bounded_and_forgets_who_is_gone() {
    let _shows = shows(&["DC-064"]);
    let mut host = Host::without(0);
    host.objects.add(OTHER, [9; 16]).expect("room");
    let exists = |owner| RequestError::Object(ObjectError::Exists { owner });
    assert_refused!(host.verdict(&object(B::SHARED_OBJECT_ADD, 9), 0), exists(OTHER));
    assert_eq!(host.verdict(&object(B::SHARED_OBJECT_ADD, 1), 0), DONE);
    assert_refused!(host.verdict(&object(B::SHARED_OBJECT_ADD, 1), 0), exists(ME));
    assert_eq!(host.verdict(&object(B::SHARED_OBJECT_ADD, 2), 0), DONE);
    let full = RequestError::Object(ObjectError::Full { limit: 3 });
    assert_refused!(host.verdict(&object(B::SHARED_OBJECT_ADD, 3), 0), full);
    host.frontend.reset(&mut host.objects);
    assert_eq!((host.objects.len(), host.objects.owner(&[9; 16])), (1, Some(OTHER)));
}

#[test]
fn a_lookup_is_answered_with_the_object_or_without() {
    let mut host = Host::without(0);
    host.objects.add(OTHER, [9; 16]).expect("room");
    let lookup = object(B::SHARED_OBJECT_LOOKUP, 9);
    let found = host.serve(&lookup, 0, |effect, descriptors| {
        let E::FetchObject { owner, uuid } = effect else { panic!("{effect:?}") };
        assert_eq!((owner, uuid), (OTHER, [9; 16]));
        Ok(FrontendDone::Object(Some(descriptors.open())))
    });
    assert_eq!(found, Ok(Some((0, true))));
    let none = host.serve(&lookup, 0, |_, _| Ok(FrontendDone::Object(None)));
    assert_refused!(none.map_err(|(error, _)| error), RequestError::NoObject);
    let failed = host.serve(&lookup, 0, |_, _| Err(EffectError(5)));
    let error = RequestError::Effect { code: 8, error: EffectError(5) };
    assert_eq!(failed, Err((error, true)));
    let nobody = object(B::SHARED_OBJECT_LOOKUP, 8);
    assert_refused!(host.verdict(&nobody, 0), RequestError::NoObject);
    assert_refused!(host.verdict(&silently(nobody), 0), RequestError::NoObject);
}

#[test]
fn one_request_is_worked_on_at_a_time() {
    let mut host = Host::without(0);
    let request = bytes(&map(B::SHMEM_MAP, 0, PAGE));
    for is_second in [false, true] {
        let fds = ArrayVec::from_iter([host.descriptors.open()]);
        let frame = Frame { kind: Kind::BACKEND_REQUEST, bytes: &request, fds };
        let step = host.frontend.on_request(frame, &mut host.objects);
        if is_second {
            assert_refused!(seen(step).map_err(|(error, _)| error), RequestError::Busy);
        } else {
            assert!(matches!(step, FrontendStep::Need(_)));
        }
    }
    assert!(host.frontend.is_busy());
    assert_eq!(host.descriptors.open_count(), 0);
    // The result finds nobody who waits for a reply.
    let mapping = host.mappings.open();
    assert_eq!(seen(host.frontend.on_done(Ok(FrontendDone::Mapped(mapping)))), Ok(None));
    let mut host = Host::without(0);
    let config = Message::backend(B::CONFIG_CHANGE_MSG, Payload::None).with_need_reply();
    let wrong = |_: E<Token>, mappings: &Ledger| Ok(FrontendDone::Mapped(mappings.open()));
    let result = host.serve(&config, 0, wrong).map_err(|(error, _)| error);
    assert_refused!(result, RequestError::WrongResult { code: 2 });
    assert_eq!(host.mappings.open_count(), 0);
    let nothing = host.frontend.on_done(Ok(FrontendDone::Nothing));
    assert_eq!(seen(nothing), Ok(None), "no effect was pending");
}

#[test]
fn a_new_channel_owes_no_replies_of_the_old_one() {
    let mut host = Host::without(0);
    let request = bytes(&map(B::SHMEM_MAP, 0, PAGE));
    let fds = ArrayVec::from_iter([host.descriptors.open()]);
    let frame = Frame { kind: Kind::BACKEND_REQUEST, bytes: &request, fds };
    drop(host.frontend.on_request(frame, &mut host.objects));
    host.sends(R::SET_BACKEND_REQ_FD, Payload::None, 1);
    let step = host.frontend.on_done(Ok(FrontendDone::Mapped(host.mappings.open())));
    assert_eq!(seen(step), Ok(None));
    assert_eq!(host.mappings.open_count(), 1, "the mapping is made all the same");
    assert_eq!(host.verdict(&map(B::SHMEM_UNMAP, 0, PAGE), 0), DONE);
}

#[test]
fn the_end_of_the_connection_drops_everything() {
    let _shows = shows(&["VU-019"]);
    let mut host = Host::without(0);
    assert_eq!(host.verdict(&map(B::SHMEM_MAP, 0, PAGE), 1), DONE);
    assert_eq!(host.verdict(&notifier(0, PAGE), 1), DONE);
    host.frontend.reset(&mut host.objects);
    assert_eq!(host.mappings.open_count(), 0);
    assert!(!host.frontend.is_channel_open());
    drop(host.frontend);
    host.descriptors.settle();
    host.mappings.settle();
}
