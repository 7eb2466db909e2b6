use super::*;
use crate::vhost_user::payload::VringState;
use crate::vhost_user::{Channel as Socket, HEADER_LEN};
use arrayvec::ArrayVec;

const PAGE: u64 = 4096;

fn negotiated(protocol: u64) -> Negotiated {
    Negotiated { protocol, ..Negotiated::default() }
}

fn call() -> Message<'static> {
    Message::backend(B::VRING_CALL, Payload::State(VringState { index: 1, num: 0 }))
}

fn bytes(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_request_is_given_as_bytes_and_its_reply_is_due() {
    let inband = protocol::BACKEND_REQ | protocol::INBAND_NOTIFICATIONS | protocol::REPLY_ACK;
    let mut channel = Channel::new();
    let features = negotiated(inband);
    assert_eq!(channel.request(&call(), 0, &features, false, PAGE), Err(SendError::NotOpen));
    channel.open();
    let sent = channel.request(&call(), 0, &features, false, PAGE).map(<[u8]>::len);
    assert_eq!((sent, channel.awaited()), (Ok(HEADER_LEN + 8), 0));
    let asking = call().with_need_reply();
    assert_eq!(channel.request(&asking, 0, &features, false, PAGE), Ok(&bytes(&asking)[..]));
    assert_eq!(channel.awaited(), 1);

    let reply = bytes(&Message::reply(Socket::Backend, B::VRING_CALL.0, Payload::U64(0)));
    let frame = |bytes| Frame::<u8> { kind: Kind::FRONTEND_REPLY, bytes, fds: ArrayVec::new() };
    let answer = channel.on_reply(frame(&reply));
    assert_eq!(answer, Ok(Response { request: B::VRING_CALL, value: 0, fd: None }));
    let unasked = ReplyError::Order(OrderError::Unasked { code: B::VRING_CALL.0 });
    assert_eq!(channel.on_reply(frame(&reply)), Err(unasked));
    assert!(!channel.is_open());
}

#[test]
fn outstanding_replies_are_bounded() {
    let features =
        negotiated(protocol::BACKEND_REQ | protocol::INBAND_NOTIFICATIONS | protocol::REPLY_ACK);
    let mut channel = Channel::new();
    channel.open();
    for _ in 0..Channel::MAX_AWAITED {
        channel.request(&call().with_need_reply(), 0, &features, false, PAGE).unwrap();
    }
    let full = SendError::TooManyAwaited { limit: Channel::MAX_AWAITED };
    let asking = call().with_need_reply();
    assert_eq!(channel.request(&asking, 0, &features, false, PAGE), Err(full));
    assert!(channel.request(&call(), 0, &features, false, PAGE).is_ok(), "nothing more is due");
    channel.open();
    assert_eq!(channel.awaited(), 0);
}

#[test]
fn a_descriptor_is_preferred_and_silence_is_kept() {
    assert_eq!(signal(true, false, &Notifier::Fd(7), true), Signal::Fd(&7));
    assert_eq!(signal(true, false, &Notifier::<u8>::None, true), Signal::Message);
    assert_eq!(signal(true, false, &Notifier::<u8>::None, false), Signal::None);
    assert_eq!(signal(true, false, &Notifier::<u8>::Flag, true), Signal::None);
    assert_eq!(signal(false, false, &Notifier::Fd(7), true), Signal::None);
    assert_eq!(signal(true, true, &Notifier::Fd(7), true), Signal::None);
}
