//! The rules of the header (spec §1.2, §1.3), and of whole messages and their length.

use vhost_fuzz_core::vhost_user::request::forms;
use vhost_fuzz_core::vhost_user::{
    Channel, DecodeError, Direction, EncodeError, Flags, FrontendRequest, HeaderError, Kind,
    Layout, Message, Payload,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::seeds;

fn decode(kind: Kind, flags: u32) -> Result<(), DecodeError> {
    let (code, fds) = match kind.channel {
        Channel::Main => (FrontendRequest::POSTCOPY_LISTEN.0, 0),
        Channel::Backend => (2, 0),
    };
    let size = if kind.direction == Direction::Reply { 8 } else { 0 };
    let mut bytes = [code, flags, size].map(u32::to_ne_bytes).concat();
    bytes.resize(12 + size as usize, 0);
    Message::decode(kind, Layout::default(), &bytes, fds).map(|_| ())
}

#[test]
fn another_version_is_refused() {
    for kind in Kind::ALL {
        let reply = if kind.direction == Direction::Reply { 4 } else { 0 };
        for version in [0, 2, 3] {
            let error = DecodeError::Header(HeaderError::Version { version });
            assert_refused!(decode(kind, version | reply), error);
        }
        assert_eq!(decode(kind, 1 | reply), Ok(()));
    }
}

#[test]
fn the_reply_bit_is_clear_in_requests_and_set_in_replies() {
    for kind in [Kind::FRONTEND_REQUEST, Kind::BACKEND_REQUEST] {
        assert_refused!(decode(kind, 0x5), DecodeError::Header(HeaderError::ReplyBitInRequest));
    }
    assert_refused!(
        decode(Kind::BACKEND_REPLY, 0x1),
        DecodeError::Header(HeaderError::ReplyBitMissing)
    );
    assert_refused!(
        decode(Kind::FRONTEND_REPLY, 0x1),
        DecodeError::Header(HeaderError::BackendReplyBitMissing)
    );
}

#[test]
fn need_reply_is_for_requests_only() {
    for kind in [Kind::BACKEND_REPLY, Kind::FRONTEND_REPLY] {
        assert_refused!(decode(kind, 0xd), DecodeError::Header(HeaderError::NeedReplyInReply));
    }
    for kind in [Kind::FRONTEND_REQUEST, Kind::BACKEND_REQUEST] {
        assert_eq!(decode(kind, 0x9), Ok(()));
    }
}

#[test]
fn reserved_bits_are_zero() {
    for bit in 4..32 {
        let bits = 1 << bit;
        let error = DecodeError::Header(HeaderError::ReservedFlags { bits });
        assert_refused!(decode(Kind::FRONTEND_REQUEST, 0x1 | bits), error);
        assert_refused!(decode(Kind::BACKEND_REPLY, 0x5 | bits), error);
    }
}

/// Every rule has its place in the order of spec §1.7: the first one broken is the one reported.
#[test]
fn the_first_broken_rule_is_reported() {
    let everything = 0xffff_ffff;
    assert_eq!(
        decode(Kind::FRONTEND_REQUEST, everything),
        Err(DecodeError::Header(HeaderError::Version { version: 3 }))
    );
    assert_eq!(
        decode(Kind::FRONTEND_REQUEST, 0xffff_fffd),
        Err(DecodeError::Header(HeaderError::ReplyBitInRequest))
    );
    assert_eq!(
        decode(Kind::BACKEND_REPLY, 0xffff_fffd),
        Err(DecodeError::Header(HeaderError::NeedReplyInReply))
    );
}

#[test]
fn what_is_built_obeys_the_header_rules() {
    let _shows = shows(&["VU-003", "VU-004", "VU-005", "VU-006", "VU-007", "VU-008", "VU-009"]);
    for (kind, row) in forms() {
        let reply = Message::reply(kind.channel, row.code, Payload::U64(0));
        let mut out = [0xa5; 20];
        assert_eq!(reply.encode(&mut out), Ok(20));
        let words: Vec<_> = out[..12]
            .chunks(4)
            .map(|word| word.try_into().expect("four bytes"))
            .map(u32::from_ne_bytes)
            .collect();
        assert_eq!(words, [row.code, 0x5, 8], "{}", row.name);
    }
    let request = Message::frontend(FrontendRequest::SET_OWNER, Payload::None);
    assert_eq!((request.flags, request.with_need_reply().flags), (Flags(0x1), Flags(0x9)));
}

#[test]
fn a_message_is_a_header_and_exactly_its_payload() {
    for form in seeds::forms() {
        for len in 0..form.bytes.len() {
            let kind = form.context.kind;
            let bytes = &form.bytes[..len];
            let result = Message::decode(kind, form.context.layout, bytes, form.context.fds);
            let error = match len.checked_sub(12) {
                None => DecodeError::HeaderTruncated { have: len },
                Some(have) => DecodeError::LengthMismatch {
                    announced: u32::try_from(form.payload_len()).expect("small"),
                    have,
                },
            };
            assert_refused!(result, error, "{} cut to {len}", form.name);
        }
        let mut longer = form.bytes.clone();
        longer.push(0);
        let result =
            Message::decode(form.context.kind, form.context.layout, &longer, form.context.fds);
        assert!(matches!(result, Err(DecodeError::LengthMismatch { .. })), "{}", form.name);
    }
}

#[test]
fn an_encoder_says_how_much_room_it_needs() {
    for form in seeds::forms() {
        let message =
            Message::decode(form.context.kind, form.context.layout, &form.bytes, form.context.fds)
                .expect("a legal form");
        let need = form.bytes.len();
        for have in [0, 11, 12, need - 1].into_iter().filter(|have| *have < need) {
            let mut out = vec![0; have];
            assert_eq!(message.encode(&mut out), Err(EncodeError { need, have }), "{}", form.name);
        }
        let mut out = vec![0; need + 5];
        assert_eq!(message.encode(&mut out), Ok(need), "{}", form.name);
    }
}

#[test]
fn only_broken_framing_is_fatal() {
    assert!(DecodeError::Header(HeaderError::ReplyBitMissing).is_fatal());
    assert!(DecodeError::HeaderTruncated { have: 3 }.is_fatal());
    assert!(DecodeError::LengthMismatch { announced: 3, have: 4 }.is_fatal());
    assert!(!DecodeError::PayloadTooShort { code: 2, need: 8, have: 4 }.is_fatal());
    assert!(!DecodeError::RegionFds { regions: 2, fds: 1 }.is_fatal());
}
