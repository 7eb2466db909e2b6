//! What the strategies reach. Each test draws a fixed number of cases from a fixed seed and
//! fails when one of the things that it names was never drawn.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use vhost_fuzz_core::vhost_user::payload::CryptoSession;
use vhost_fuzz_core::vhost_user::request::forms;
use vhost_fuzz_core::vhost_user::{
    DecodeError, FrameError, HEADER_LEN, HeaderError, MAX_FDS, Message, Payload,
};
use vhost_fuzz_harness::context::Context;
use vhost_fuzz_harness::script::{Record, encode};
use vhost_fuzz_harness::target::msg_stream::streams;

use crate::hostile::hostile;
use crate::message::{OwnedMessage, message, unknown};
use crate::number;
use crate::payload::OwnedPayload;
use crate::script::{script, session};
use crate::stream::receive;

/// Cases of each test. A run of the properties has fewer, but many runs have many more.
const CASES: usize = 2000;

/// The first cases of a strategy, the same in every run.
fn cases<S: Strategy>(strategy: S) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::deterministic();
    std::iter::repeat_with(move || {
        strategy.new_tree(&mut runner).expect("every case can be drawn").current()
    })
    .take(CASES)
}

/// Everything that has to be reached was, and nothing else has a name.
fn assert_reached<T: Ord + Debug>(
    reached: impl IntoIterator<Item = T>,
    wanted: impl IntoIterator<Item = T>,
) {
    let reached: BTreeSet<T> = reached.into_iter().collect();
    let missed: Vec<T> = wanted.into_iter().filter(|wanted| !reached.contains(wanted)).collect();
    assert!(missed.is_empty(), "never drawn in {CASES} cases: {missed:?}");
}

/// Names the variants of an enum: all of them, and that of a value. A new variant without a
/// place here does not compile.
macro_rules! variants {
    ($all:ident, $of:ident, $type:ty: $enum:ident { $($name:ident)* }) => {
        const $all: &[&str] = &[$(stringify!($name)),*];

        fn $of(value: $type) -> &'static str {
            match value {
                $($enum::$name { .. } => stringify!($name),)*
            }
        }
    };
}

variants!(PAYLOADS, payload_name, &Payload<'_>: Payload {
    None U64 VringFd State Addr MemTable MemReg Log Iotlb Config Area Inflight Shared Transfer
    ShmemMap ShmemConfig Crypto Unknown
});

variants!(DECODE_ERRORS, decode_error_name, DecodeError: DecodeError {
    Header HeaderTruncated LengthMismatch PayloadTooShort PayloadTooLong RegionCount
    ConfigTooShort ConfigSize CipherKeyLength AuthKeyLength AsymmetricKeyLength TooFewFds
    TooManyFds RegionFds KickFdFlag CallFdFlag ErrFdFlag NotifierFdFlag InflightFd
    StateErrorWithFd StateFdFlag LookupFd
});

variants!(HEADER_ERRORS, header_error_name, HeaderError: HeaderError {
    Version ReplyBitInRequest ReplyBitMissing BackendReplyBitMissing NeedReplyInReply
    ReservedFlags TooLarge
});

variants!(FRAME_ERRORS, frame_error_name, FrameError: FrameError {
    Header LateFds ControlTruncated TooManyFds EofInHeader EofInPayload
});

variants!(RECORDS, record_name, &Record<'_>: Record {
    Message Fd Border ControlTruncated Close Reconnect GuestWrite Action EffectResult
});

#[test]
fn messages_reach_every_request_and_every_reply() {
    let reached = cases(message())
        .map(|message| (message.kind, message.row().expect("a row").name))
        .map(|form| format!("{form:?}"));
    assert_reached(reached, forms().map(|(kind, row)| format!("{:?}", (kind, row.name))));
}

#[test]
fn messages_reach_every_shape_and_every_payload() {
    let shapes = cases(message()).filter_map(|message| message.shape());
    let wanted = forms().map(|(kind, row)| row.form(kind.direction).0);
    assert_reached(
        shapes.map(|shape| format!("{shape:?}")),
        wanted.map(|shape| format!("{shape:?}")),
    );
    let payloads = cases(message())
        .chain(cases(unknown()))
        .map(|message| message.body.payload.with(|payload| payload_name(&payload)));
    assert_reached(payloads, PAYLOADS.iter().copied());
}

/// A state with its name.
type State<T> = (&'static str, fn(&T) -> bool);

/// States of a legal message that bugs have hidden in.
const LEGAL: &[State<OwnedMessage>] = &[
    ("asks for an acknowledgement", |message| message.need_reply),
    ("one region", |message| regions(message) == Some((1, false))),
    ("eight regions", |message| regions(message) == Some((8, false))),
    ("eight Xen regions", |message| regions(message) == Some((8, true))),
    ("a full tail", |message| payload_len(message) == 8 + 8 * 32 && is_padded(message)),
    ("a full Xen tail", |message| payload_len(message) == 8 + 8 * 40 && is_padded(message)),
    ("a tail that is no region", |message| {
        is_padded(message) && !(payload_len(message) - 8).is_multiple_of(8)
    }),
    ("a table with padding", |message| match &message.body.payload {
        OwnedPayload::MemTable(table) => table.padding != 0,
        _ => false,
    }),
    ("an empty postcopy acknowledgement", |message| is_ack(message, &Payload::None)),
    ("a postcopy acknowledgement of 0", |message| is_ack(message, &Payload::U64(0))),
    ("a descriptor", |message| message.body.fds == 1),
    ("a ring without a descriptor", |message| match message.body.payload {
        OwnedPayload::Plain(Payload::VringFd(vring)) => vring.has_no_fd(),
        _ => false,
    }),
    ("a ring with bits that nobody knows", |message| match message.body.payload {
        OwnedPayload::Plain(Payload::VringFd(vring)) => vring.0 >> 9 != 0,
        _ => false,
    }),
    ("a window of 0 bytes", |message| window(message) == Some((0, 0))),
    ("a window of 256 bytes", |message| window(message) == Some((256, 256))),
    ("a window larger than any padded one", |message| {
        window(message).is_some_and(|(size, _)| size > 256)
    }),
    ("a window padded to 256 bytes", |message| {
        window(message).is_some_and(|(size, len)| size < 256 && len == 256)
    }),
    ("the largest payload", |message| payload_len(message) == 4096),
    ("a cipher key that fills its field", |message| match &message.body.payload {
        OwnedPayload::Crypto(session) => {
            !session.is_asymmetric() && session.cipher_key_len == CryptoSession::CIPHER_KEY_LIMIT
        }
        _ => false,
    }),
    ("an asymmetric key that fills its field", |message| match &message.body.payload {
        OwnedPayload::Crypto(session) => {
            session.is_asymmetric()
                && session.asymmetric_key_len == CryptoSession::ASYMMETRIC_KEY_LIMIT
        }
        _ => false,
    }),
    ("no in-flight area", |message| match message.body.payload {
        OwnedPayload::Plain(Payload::Inflight(area)) => area.mmap_size == 0,
        _ => false,
    }),
    ("the last shared memory region", |message| match &message.body.payload {
        OwnedPayload::ShmemConfig(config) => config.by_id.iter().any(|(id, _)| *id == 255),
        _ => false,
    }),
];

fn payload_len(message: &OwnedMessage) -> usize {
    message.encode().len() - HEADER_LEN
}

fn regions(message: &OwnedMessage) -> Option<(usize, bool)> {
    match &message.body.payload {
        OwnedPayload::MemTable(table) => Some((table.regions.len(), table.is_xen())),
        _ => None,
    }
}

fn is_padded(message: &OwnedMessage) -> bool {
    match &message.body.payload {
        OwnedPayload::MemTable(table) => !table.tail.is_empty(),
        _ => false,
    }
}

fn is_ack(message: &OwnedMessage, payload: &Payload<'static>) -> bool {
    message.row().expect("a row").name == "SET_MEM_TABLE"
        && message.body.layout.postcopy_ack
        && message.body.payload == OwnedPayload::Plain(*payload)
}

/// Size field and bytes of data of a configuration window.
fn window(message: &OwnedMessage) -> Option<(u32, usize)> {
    match &message.body.payload {
        OwnedPayload::Config(window) => Some((window.size, window.data.len())),
        _ => None,
    }
}

#[test]
fn messages_reach_the_states_that_bugs_have_hidden_in() {
    let reached = cases(message()).flat_map(|message| {
        LEGAL.iter().filter(move |(_, is)| is(&message)).map(|(name, _)| *name)
    });
    assert_reached(reached, LEGAL.iter().map(|(name, _)| *name));
}

#[test]
fn hostile_messages_reach_every_refusal() {
    let errors: Vec<DecodeError> = cases(hostile())
        .filter_map(|hostile| {
            let (Context { kind, layout, fds }, bytes) = hostile.parts();
            Message::decode(kind, layout, &bytes, fds).err()
        })
        .collect();
    assert_reached(
        errors.iter().map(|error| decode_error_name(*error)),
        DECODE_ERRORS.iter().copied(),
    );
    let headers = errors.iter().filter_map(|error| match error {
        DecodeError::Header(error) => Some(header_error_name(*error)),
        _ => None,
    });
    // A whole message has no limit; only the framer has one.
    let wanted = HEADER_ERRORS.iter().copied().filter(|name| *name != "TooLarge");
    assert_reached(headers, wanted);
    let share = errors.len() * 100 / CASES;
    assert!((50..=95).contains(&share), "{share}% of the hostile messages are refused");
}

#[test]
fn scripts_reach_every_record_and_every_end() {
    let scripts: Vec<_> = cases(script()).collect();
    assert_reached(scripts.iter().flatten().map(record_name), RECORDS.iter().copied());
    let ends: Vec<_> = scripts
        .iter()
        .flat_map(|records| receive(&encode(records)))
        .map(|stream| stream.end)
        .collect();
    let errors = || ends.iter().filter_map(|end| end.err());
    assert_reached(errors().map(frame_error_name), FRAME_ERRORS.iter().copied());
    let headers = errors().filter_map(|error| match error {
        FrameError::Header(error) => Some(header_error_name(error)),
        _ => None,
    });
    assert_reached(headers, HEADER_ERRORS.iter().copied());
    let clean = ends.iter().filter(|end| end.is_ok()).count() * 100 / ends.len();
    assert!((20..=80).contains(&clean), "{clean}% of the streams end well");
}

/// States of a legal session.
const SENT: &[State<[u8]>] = &[
    ("a message in one piece", |script| pieces(script).any(|(bytes, _)| bytes.len() >= HEADER_LEN)),
    ("a piece that ends inside a header", |script| {
        pieces(script).any(|(bytes, _)| bytes.len() < HEADER_LEN)
    }),
    ("a piece of one byte", |script| pieces(script).any(|(bytes, _)| bytes.len() == 1)),
    ("two messages in one segment", |script| {
        streams(script)
            .iter()
            .zip(receive(script))
            .any(|(stream, received)| stream.segments.len() < received.messages.len())
    }),
    ("as many descriptors as any message has", |script| {
        pieces(script).any(|(_, fds)| fds == MAX_FDS)
    }),
    ("messages in all four directions", |script| streams(script).len() == 4),
    ("a message as large as the limit", |script| {
        receive(script)
            .iter()
            .flat_map(|stream| &stream.messages)
            .any(|(bytes, _)| bytes.len() == HEADER_LEN + 4096)
    }),
];

/// Bytes and number of descriptors of every segment.
fn pieces(script: &[u8]) -> impl Iterator<Item = (Vec<u8>, usize)> {
    streams(script)
        .into_iter()
        .flat_map(|stream| stream.segments)
        .map(|segment| (segment.bytes, segment.fds.len()))
}

#[test]
fn sessions_reach_every_way_to_cut() {
    let reached = cases(session()).flat_map(|session| {
        let script = crate::script::script_of(&session);
        SENT.iter().filter(move |(_, is)| is(&script)).map(|(name, _)| *name)
    });
    assert_reached(reached, SENT.iter().map(|(name, _)| *name));
}

#[test]
fn numbers_reach_every_boundary() {
    let powers = (0..64).map(|power| 1_u64 << power);
    let wanted = [0, 1, u64::MAX - 1, u64::MAX].into_iter().chain(powers);
    // One number in 512 is a given power.
    let pairs = cases((number::u64(), number::u64(), number::u64(), number::u64()));
    assert_reached(pairs.flat_map(<[u64; 4]>::from), wanted);
    assert_reached(cases(number::u8()), [0, 1, 127, 128, 129, 254, 255]);
    assert_reached(cases(number::len(3..=12)), 3..=12);
    assert!(cases(number::len(3..=12)).all(|len| (3..=12).contains(&len)));
}
