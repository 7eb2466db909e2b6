use arrayvec::ArrayVec;

use super::*;
use crate::vhost_user::features::{protocol, virtio};
use crate::vhost_user::payload::{SharedObject, VringState};
use crate::vhost_user::{BackendRequest as B, Channel};

const SETUP: Setup =
    Setup { owner: 1, queues: 2, max_regions: 8, max_mappings: 4, page_size: 4096 };

fn bytes(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).unwrap();
    bytes
}

fn frame(kind: Kind, bytes: &[u8]) -> Frame<'_, u8> {
    Frame { kind, bytes, fds: ArrayVec::new() }
}

/// A front-end that has negotiated these protocol features.
fn connected(bits: u64) -> Frontend<u8, u8> {
    let mut frontend = Frontend::new(SETUP);
    let objects = SharedObjects::new(0);
    let features = virtio::PROTOCOL_FEATURES;
    for (get, set, offer) in [
        (R::GET_FEATURES, R::SET_FEATURES, features),
        (R::GET_PROTOCOL_FEATURES, R::SET_PROTOCOL_FEATURES, bits),
    ] {
        frontend.send(&Message::frontend(get, Payload::None), 0, &objects).unwrap();
        let reply = bytes(&Message::reply(Channel::Main, get.0, Payload::U64(offer)));
        frontend.on_reply(frame(Kind::BACKEND_REPLY, &reply)).unwrap();
        frontend.send(&Message::frontend(set, Payload::U64(offer)), 0, &objects).unwrap();
    }
    frontend
}

#[test]
fn features_are_learned_and_chosen() {
    let frontend = connected(protocol::REPLY_ACK);
    assert!(frontend.negotiated().has_reply_ack());
    assert_eq!(frontend.negotiated().offered_virtio, virtio::PROTOCOL_FEATURES);
    assert_eq!(frontend.awaited(), 0);
}

#[test]
fn a_request_that_is_refused_changes_nothing() {
    let mut frontend = connected(protocol::REPLY_ACK);
    let objects = SharedObjects::new(0);
    let request = Message::frontend(R::SET_FEATURES, Payload::U64(0)).with_need_reply();
    frontend.send(&request, 0, &objects).unwrap();
    assert_eq!(frontend.negotiated().virtio, Some(0));
    let nack = bytes(&Message::reply(Channel::Main, R::SET_FEATURES.0, Payload::U64(1)));
    let answer = frontend.on_reply(frame(Kind::BACKEND_REPLY, &nack)).unwrap();
    assert!(!answer.is_success);
    assert_eq!(frontend.negotiated().virtio, Some(virtio::PROTOCOL_FEATURES));
}

#[test]
fn a_wrong_reply_closes_for_good() {
    let mut frontend = connected(0);
    let objects = SharedObjects::new(0);
    let reply = bytes(&Message::reply(Channel::Main, R::GET_FEATURES.0, Payload::U64(0)));
    assert!(frontend.on_reply(frame(Kind::BACKEND_REPLY, &reply)).is_err());
    assert!(frontend.is_closed());
    let request = Message::frontend(R::SET_OWNER, Payload::None);
    assert_eq!(frontend.send(&request, 0, &objects), Err(SendError::Closed));
    frontend.reset(&mut SharedObjects::new(0));
    assert!(frontend.send(&request, 0, &objects).is_ok());
}

#[test]
fn the_back_end_channel_serves_and_refuses() {
    let all = protocol::BACKEND_REQ | protocol::REPLY_ACK | protocol::SHARED_OBJECT;
    let mut frontend = connected(all);
    let mut objects = SharedObjects::new(1);
    let channel = Message::frontend(R::SET_BACKEND_REQ_FD, Payload::None);
    frontend.send(&channel, 1, &objects).unwrap();
    let object = Payload::Shared(SharedObject { uuid: [3; 16] });
    let add = bytes(&Message::backend(B::SHARED_OBJECT_ADD, object).with_need_reply());
    let request = frame(Kind::BACKEND_REQUEST, &add);
    let FrontendStep::Reply(reply) = frontend.on_request(request, &mut objects) else {
        panic!("no reply");
    };
    assert_eq!((reply.bytes[12], reply.fd, reply.refusal), (0, None, None));
    assert_eq!(objects.owner(&[3; 16]), Some(1));

    let call = Payload::State(VringState { index: 0, num: 0 });
    let call = bytes(&Message::backend(B::VRING_CALL, call));
    let step = frontend.on_request(frame(Kind::BACKEND_REQUEST, &call), &mut objects);
    assert!(matches!(step, FrontendStep::Close(RequestError::Gate { code: 4, .. })));
    assert!(!frontend.is_channel_open() && !frontend.is_closed());
}
