//! Properties of one message.

use proptest::prelude::*;
use proptest::sample::Index;

use vhost_fuzz_core::vhost_user::request::Shape;
use vhost_fuzz_core::vhost_user::{
    DecodeError, EncodeError, HEADER_LEN, Header, HeaderError, MAX_FDS, Payload,
};
use vhost_fuzz_core::wire::{Counter, Reader};
use vhost_fuzz_harness::codec::Core;
use vhost_fuzz_harness::context::{Context, TAIL_LEN};
use vhost_fuzz_harness::{oracle, target::msg_decode};

use vhost_fuzz_proptests::hostile::{Hostile, hostile};
use vhost_fuzz_proptests::message::{OwnedMessage, message, unknown};
use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::payload::OwnedPayload;
use vhost_fuzz_proptests::runner::Suite;

/// A case takes microseconds, and one in a hundred is of a given request.
const MESSAGES: Suite = Suite { target: "msg_decode", times: 16 };

/// Runs every oracle on an input; says whether the message is legal.
fn check(input: &[u8]) -> bool {
    msg_decode::check(&Core, input).is_ok()
}

/// Runs every oracle on bytes in a context, whether or not an input can hold both.
fn judge(context: Context, bytes: &[u8]) -> bool {
    oracle::message::check(&Core, context, bytes).is_ok()
}

/// The size field that a header announces.
fn size_of(bytes: &[u8]) -> u32 {
    Header::read(&mut Reader::new(bytes)).expect("a whole header").size
}

#[test]
fn legal_messages_come_back() {
    MESSAGES.for_all(&message(), OwnedMessage::input, |message, input| {
        let bytes = message.encode();
        assert_eq!(Context::split(input), (&bytes[..], message.context()));
        assert!(check(input));
        let decoded = message.decode(&bytes).expect("legal");
        assert!(message.is(&decoded), "sent {message:?}, got {decoded:?}");
    });
}

#[test]
fn unknown_ids_come_back_with_their_bytes() {
    MESSAGES.for_all(&unknown(), OwnedMessage::input, |message, input| {
        assert!(check(input));
        let bytes = message.encode();
        let decoded = message.decode(&bytes).expect("an id is no error of the codec");
        assert_eq!(decoded.payload, Payload::Unknown(&bytes[HEADER_LEN..]));
        assert!(message.is(&decoded), "sent {message:?}, got {decoded:?}");
    });
}

#[test]
fn the_length_is_what_is_written() {
    let larger = (message(), number::len(0..=64));
    MESSAGES.for_all(
        &larger,
        |(message, _)| message.input(),
        |(message, room), _| {
            message.with(|message| {
                let need = message.encoded_len();
                let mut out = vec![0xa5; need + room];
                assert_eq!(message.encode(&mut out), Ok(need));
                assert_eq!(size_of(&out) as usize, need - HEADER_LEN);
                assert!(out[need..].iter().all(|byte| *byte == 0xa5), "more was written");
                let mut counter = Counter::default();
                message.payload.write(&mut counter);
                assert_eq!(HEADER_LEN + counter.count(), need);
            });
        },
    );
}

#[test]
fn a_buffer_that_is_too_small_is_refused_with_both_numbers() {
    // One byte short most of the time, else any length down to nothing.
    let missing = prop_oneof![Just(1_usize), number::len(1..=4096)];
    let smaller = (message(), missing);
    MESSAGES.for_all(
        &smaller,
        |(message, _)| message.input(),
        |(message, missing), _| {
            message.with(|message| {
                let need = message.encoded_len();
                let have = need.saturating_sub(*missing);
                let mut out = vec![0; have];
                assert_eq!(message.encode(&mut out), Err(EncodeError { need, have }));
            });
        },
    );
}

#[test]
fn a_line_starts_with_the_name() {
    MESSAGES.for_all(&message(), OwnedMessage::input, |message, _| {
        let name = message.row().expect("a row").name;
        message.with(|message| {
            let line = message.to_string();
            let is_reply = message.flags.is_reply();
            let rest = line.strip_prefix(name).expect("the name of the request comes first");
            assert_eq!(rest.starts_with(" reply"), is_reply, "{line}");
            assert_eq!(rest.contains(" need_reply"), message.flags.needs_reply(), "{line}");
            assert!(!line.contains('\n') && !line.ends_with(' '), "{line:?}");
            let words = usize::from(is_reply) + usize::from(message.flags.needs_reply());
            let has_fields = rest.split_whitespace().count() > words;
            assert_eq!(has_fields, message.payload != Payload::None, "{line}");
        });
    });
    MESSAGES.for_all(&unknown(), OwnedMessage::input, |message, _| {
        let line = message.with(|message| message.to_string());
        assert!(line.starts_with(&format!("request {}", message.code)), "{line}");
    });
}

#[test]
fn a_line_does_not_tell_the_keys() {
    // Bytes 120-631 of a session belong to a key in both of its forms.
    let poked = (message(), 120..632_usize, 1..=u8::MAX);
    MESSAGES.for_all(
        &poked,
        |(message, ..)| message.input(),
        |(message, at, bits), _| {
            if let OwnedPayload::Crypto(_) = message.body.payload {
                let before = message.encode();
                let mut after = before.clone();
                after[HEADER_LEN + at] ^= bits;
                let line = |bytes: &[u8]| message.decode(bytes).expect("still legal").to_string();
                assert_eq!(line(&before), line(&after));
            }
        },
    );
}

#[test]
fn one_flipped_byte_of_the_header() {
    let flipped = (message(), 0..HEADER_LEN, 1..=u8::MAX);
    let flip = |(message, at, bits): &(OwnedMessage, usize, u8)| {
        let mut bytes = message.encode();
        bytes[*at] ^= bits;
        bytes
    };
    let input = |case: &(OwnedMessage, usize, u8)| case.0.context().join(&flip(case));
    MESSAGES.for_all(&flipped, input, |case, input| {
        check(input);
        // An input cannot give a context to a message whose size field lies.
        judge(case.0.context(), &flip(case));
    });
}

#[test]
fn one_flipped_byte_of_the_payload() {
    let flipped = (message(), any::<Index>(), 1..=u8::MAX);
    let input = |(message, at, bits): &(OwnedMessage, Index, u8)| {
        let mut bytes = message.encode();
        match &mut bytes[HEADER_LEN..] {
            [] => {}
            payload => payload[at.index(payload.len())] ^= bits,
        }
        message.context().join(&bytes)
    };
    MESSAGES.for_all(&flipped, input, |_, input| {
        check(input);
    });
}

/// The one size that payloads of a shape have, whatever is in them; none where there are several.
fn has_one_size(shape: Shape) -> bool {
    match shape {
        Shape::None
        | Shape::U64
        | Shape::VringFd
        | Shape::State
        | Shape::Addr
        | Shape::MemReg
        | Shape::Iotlb
        | Shape::Area
        | Shape::Inflight
        | Shape::InflightReply
        | Shape::Shared
        | Shape::Transfer
        | Shape::TransferReply
        | Shape::LookupReply
        | Shape::ShmemMap
        | Shape::ShmemConfig
        | Shape::CryptoRequest
        | Shape::CryptoReply => true,
        Shape::MemTable
        | Shape::MemTableReply
        | Shape::MemRegReply
        | Shape::Log
        | Shape::LogReply
        | Shape::ConfigGet
        | Shape::ConfigSet
        | Shape::ConfigReply
        | Shape::SharedOrNone => false,
    }
}

/// The message with a payload of another length, and a size field that says so.
fn resized(message: &OwnedMessage, len: usize) -> Vec<u8> {
    let mut bytes = message.encode();
    bytes.resize(HEADER_LEN + len, 0x5a);
    let size = u32::try_from(len).expect("a length of the tests");
    bytes[8..HEADER_LEN].copy_from_slice(&size.to_ne_bytes());
    bytes
}

fn payload_len(message: &OwnedMessage) -> usize {
    message.encode().len() - HEADER_LEN
}

#[test]
fn one_byte_short_is_refused() {
    let input = |message: &OwnedMessage| {
        message.context().join(&resized(message, payload_len(message).saturating_sub(1)))
    };
    MESSAGES.for_all(&message(), input, |message, input| {
        let Some(len) = payload_len(message).checked_sub(1) else { return };
        let is_legal = check(input);
        if has_one_size(message.shape().expect("a row")) {
            let need = u32::try_from(len + 1).expect("a payload's");
            let error = DecodeError::PayloadTooShort { code: message.code, need, have: need - 1 };
            assert_eq!(message.decode(&resized(message, len)), Err(error));
            assert!(!is_legal);
        }
    });
}

#[test]
fn one_byte_long_is_refused() {
    let input = |message: &OwnedMessage| {
        message.context().join(&resized(message, payload_len(message) + 1))
    };
    MESSAGES.for_all(&message(), input, |message, input| {
        let len = payload_len(message);
        let is_legal = check(input);
        if has_one_size(message.shape().expect("a row")) {
            let limit = u32::try_from(len).expect("a payload's");
            let error = DecodeError::PayloadTooLong { code: message.code, limit, have: limit + 1 };
            assert_eq!(message.decode(&resized(message, len + 1)), Err(error));
            assert!(!is_legal);
        }
    });
}

#[test]
fn every_front_of_a_message_is_refused() {
    let cut = (message(), any::<Index>());
    let front = |(message, at): &(OwnedMessage, Index)| {
        let mut bytes = message.encode();
        bytes.truncate(at.index(bytes.len()));
        bytes
    };
    MESSAGES.for_all(&cut, front, |case, input| {
        let (message, _) = case;
        let announced = size_of(&message.encode());
        let have = input.len();
        let error = match have.checked_sub(HEADER_LEN) {
            None => DecodeError::HeaderTruncated { have },
            Some(have) => DecodeError::LengthMismatch { announced, have },
        };
        assert_eq!(message.decode(input), Err(error));
        assert!(!judge(message.context(), input));
        check(input);
    });
}

#[test]
fn a_size_field_that_lies_is_refused() {
    let lying = (message(), number::u32());
    MESSAGES.for_all(
        &lying,
        |(message, _)| message.input(),
        |(message, announced), _| {
            let mut bytes = message.encode();
            let have = bytes.len() - HEADER_LEN;
            bytes[8..HEADER_LEN].copy_from_slice(&announced.to_ne_bytes());
            if *announced as usize == have {
                assert!(judge(message.context(), &bytes));
            } else {
                let error = DecodeError::LengthMismatch { announced: *announced, have };
                assert_eq!(message.decode(&bytes), Err(error));
                assert!(!judge(message.context(), &bytes));
            }
        },
    );
}

#[test]
fn descriptors_are_counted() {
    MESSAGES.for_all(&message(), OwnedMessage::input, |message, _| {
        for fds in 0..=MAX_FDS + 1 {
            let context = Context { fds, ..message.context() };
            let is_legal = check(&context.join(&message.encode()));
            assert!(is_legal || fds != message.body.fds, "{fds} descriptors are the right number");
        }
    });
}

#[test]
fn hostile_messages() {
    MESSAGES.for_all(&hostile(), Hostile::input, |hostile, input| {
        check(input);
        let (context, bytes) = hostile.parts();
        judge(context, &bytes);
    });
}

#[test]
fn the_numbers_of_an_error_are_those_of_the_message() {
    MESSAGES.for_all(&hostile(), Hostile::input, |hostile, _| {
        let (context, bytes) = hostile.parts();
        let Context { kind, layout, fds } = context;
        let decoded = vhost_fuzz_core::vhost_user::Message::decode(kind, layout, &bytes, fds);
        if let Err(error) = decoded {
            assert_eq!(own_numbers(error, &bytes, fds), Ok(()), "{error:?}");
            assert!(!error.to_string().is_empty());
        }
    });
}

/// Whether the numbers in an error are true of the message that it is about.
fn own_numbers(error: DecodeError, bytes: &[u8], came: usize) -> Result<(), &'static str> {
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let wide = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let body = HEADER_LEN;
    let len = bytes.len().saturating_sub(HEADER_LEN);
    let is_len = |have: u32| have as usize == len;
    let flag_says =
        |fds: usize, code: u32, no_fd: bool| fds == came && word(0) == code && no_fd == (came > 0);
    let no_fd = || wide(body) & 0x100 != 0;
    let is_true = match error {
        DecodeError::Header(error) => return own_flags(error, word(4)),
        DecodeError::HeaderTruncated { have } => have == bytes.len() && have < HEADER_LEN,
        DecodeError::LengthMismatch { announced, have } => {
            announced == word(8) && have == len && announced as usize != have
        }
        DecodeError::PayloadTooShort { code, need, have } => {
            code == word(0) && is_len(have) && have < need
        }
        DecodeError::PayloadTooLong { code, limit, have } => {
            code == word(0) && is_len(have) && have > limit
        }
        DecodeError::RegionCount { count, limit } => {
            count == word(body) && limit == 8 && !(1..=limit).contains(&count)
        }
        DecodeError::ConfigTooShort { size, have } => {
            size == word(body + 4) && is_len(have + 12) && have < size
        }
        DecodeError::ConfigSize { size, have } => {
            size == word(body + 4) && is_len(have + 12) && have != size
        }
        DecodeError::CipherKeyLength { len, limit } => {
            len == word(body + 12) && limit == 64 && len > limit
        }
        DecodeError::AuthKeyLength { len, limit } => {
            len == word(body + 24) && limit == 512 && len > limit
        }
        DecodeError::AsymmetricKeyLength { len, limit } => {
            len == word(body + 16) && limit == 1024 && len > limit
        }
        DecodeError::TooFewFds { code, need, have } => {
            code == word(0) && have == came && have < need
        }
        DecodeError::TooManyFds { code, limit, have } => {
            code == word(0) && have == came && have > limit
        }
        DecodeError::RegionFds { regions, fds } => {
            regions == word(body) && fds == came && regions as usize != fds
        }
        DecodeError::KickFdFlag { fds } => flag_says(fds, 12, no_fd()),
        DecodeError::CallFdFlag { fds } => flag_says(fds, 13, no_fd()),
        DecodeError::ErrFdFlag { fds } => flag_says(fds, 14, no_fd()),
        DecodeError::NotifierFdFlag { fds } => flag_says(fds, 3, no_fd()),
        DecodeError::InflightFd { mmap_size, fds } => {
            mmap_size == wide(body) && fds == came && (mmap_size == 0) != (fds == 0)
        }
        DecodeError::StateErrorWithFd { status } => {
            u64::from(status) == wide(body) & 0xff && status != 0 && came > 0
        }
        DecodeError::StateFdFlag { fds } => flag_says(fds, 42, no_fd()),
        DecodeError::LookupFd { status, fds } => {
            status == wide(body) && fds == came && (status == 0) != (fds == 1)
        }
    };
    if is_true { Ok(()) } else { Err("a number is not that of the message") }
}

fn own_flags(error: HeaderError, flags: u32) -> Result<(), &'static str> {
    let is_true = match error {
        HeaderError::Version { version } => version == flags & 3 && version != 1,
        HeaderError::ReplyBitInRequest => flags & 4 != 0,
        HeaderError::ReplyBitMissing | HeaderError::BackendReplyBitMissing => flags & 4 == 0,
        HeaderError::NeedReplyInReply => flags & 12 == 12,
        HeaderError::ReservedFlags { bits } => bits == flags & !15 && bits != 0,
        HeaderError::TooLarge { .. } => return Err("a codec has no limit"),
    };
    if is_true { Ok(()) } else { Err("the flags are not so") }
}

#[test]
fn arbitrary_bytes() {
    MESSAGES.for_all(&number::bytes(0..=4200), Vec::clone, |_, input| {
        check(input);
    });
}

#[test]
fn arbitrary_payloads_under_the_header_of_a_message() {
    let payloads = (message(), number::bytes(0..=2100));
    let input = |(message, payload): &(OwnedMessage, Vec<u8>)| {
        let mut bytes = resized(message, payload.len());
        bytes[HEADER_LEN..].copy_from_slice(payload);
        message.context().join(&bytes)
    };
    MESSAGES.for_all(&payloads, input, |_, input| {
        check(input);
    });
}

#[test]
fn a_tail_gives_the_context() {
    let tailed = (message(), any::<[u8; TAIL_LEN]>());
    let input = |(message, tail): &(OwnedMessage, [u8; TAIL_LEN])| {
        let mut input = message.encode();
        input.extend(tail);
        input
    };
    MESSAGES.for_all(&tailed, input, |(message, tail), input| {
        let (bytes, context) = Context::split(input);
        assert_eq!(bytes, message.encode());
        if tail[1] & 0x20 != 0 {
            assert_eq!(context.fds, usize::from(tail[0] & 0xf));
        }
        assert_eq!(Context::split(&context.join(bytes)), (bytes, context));
        check(input);
    });
}

#[test]
fn any_other_surplus_belongs_to_the_message() {
    let surplus = number::bytes(1..=40).prop_filter("a tail", |bytes| bytes.len() != TAIL_LEN);
    let input = |(message, surplus): &(OwnedMessage, Vec<u8>)| {
        let mut input = message.encode();
        input.extend(surplus);
        input
    };
    MESSAGES.for_all(&(message(), surplus), input, |_, input| {
        assert_eq!(Context::split(input).0, input);
        assert!(!check(input));
    });
}
