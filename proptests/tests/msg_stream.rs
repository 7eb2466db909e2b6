//! Properties of the framer.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use vhost_fuzz_core::vhost_user::{FrameError, Framer, HEADER_LEN, HeaderError, Kind, MAX_FDS};
use vhost_fuzz_harness::ledger::Token;
use vhost_fuzz_harness::oracle::stream::LIMIT;
use vhost_fuzz_harness::script::{Record, VERSION, decode, encode};
use vhost_fuzz_harness::target::msg_stream;

use vhost_fuzz_proptests::choice::Choice;
use vhost_fuzz_proptests::message::{OwnedMessage, message_of};
use vhost_fuzz_proptests::number::{self, Boundary};
use vhost_fuzz_proptests::runner::Suite;
use vhost_fuzz_proptests::script::{
    Sent, expected, fd, piece, records, script, script_of, sent, session,
};
use vhost_fuzz_proptests::stream::{Received, receive};

type Records = Vec<Record<'static>>;

/// A case takes ten times as long as that of a message, because each stream is received six times.
const SCRIPTS: Suite = Suite { target: "msg_stream", times: 4 };

/// Runs every oracle; returns how many messages came out.
fn check(script: &[u8]) -> usize {
    msg_stream::check::<Framer<Token>>(script)
}

fn encoded(records: &Records) -> Vec<u8> {
    encode(records)
}

#[test]
fn arbitrary_scripts() {
    SCRIPTS.for_all(&script(), encoded, |_, input| {
        check(input);
    });
}

#[test]
fn legal_messages_come_out_in_order_with_their_descriptors() {
    SCRIPTS.for_all(
        &session(),
        |session| script_of(session),
        |session, input| {
            assert_eq!(check(input), session.len());
            assert_eq!(receive(input), expected(session));
        },
    );
}

#[test]
fn a_new_connection_starts_anew() {
    let connections = (session(), prop_oneof![Just(Record::Close), Just(Record::Reconnect)]);
    let input = |connections: &Vec<(Vec<Sent>, Record<'static>)>| {
        let records: Records = connections
            .iter()
            .flat_map(|(session, end)| session.iter().flat_map(Sent::records).chain([end.clone()]))
            .collect();
        encode(&records)
    };
    SCRIPTS.for_all(&vec(connections, 0..=3), input, |connections, input| {
        let expected: Vec<_> =
            connections.iter().flat_map(|(session, _)| expected(session)).collect();
        assert_eq!(receive(input), expected);
        check(input);
    });
}

/// Something that ends a stream: legal messages, the message that it happens to, and messages
/// that nobody may see any more.
#[derive(Clone, Debug)]
struct Accident {
    before: Vec<Sent>,
    message: OwnedMessage,
    after: Vec<Sent>,
}

fn accident() -> impl Strategy<Value = Accident> + Clone {
    Choice::new(Kind::ALL.map(|kind| {
        let some = || vec(sent(message_of(kind)), 0..=4);
        let accident = (some(), message_of(kind), some())
            .prop_map(|(before, message, after)| Accident { before, message, after });
        (1, accident.boxed())
    }))
}

impl Accident {
    /// The script with these records in the place of the message.
    fn script(&self, happens: impl IntoIterator<Item = Record<'static>>) -> Vec<u8> {
        let before = self.before.iter().flat_map(Sent::records);
        let after = self.after.iter().flat_map(Sent::records);
        encode(&before.chain(happens).chain(after).collect::<Records>())
    }

    fn piece(&self, bytes: &[u8]) -> Record<'static> {
        piece(self.message.kind, bytes)
    }

    /// What came before the accident comes out, and the stream ends with exactly this error.
    fn ends_with(&self, script: &[u8], error: FrameError) {
        let messages = expected(&self.before).pop().map_or(Vec::new(), |stream| stream.messages);
        assert_eq!(check(script), messages.len());
        let end = Err(error);
        assert_eq!(receive(script), [Received { kind: self.message.kind, messages, end }]);
    }
}

#[test]
fn a_size_beyond_the_limit_ends_the_stream() {
    let sizes = Boundary::new(u64::from(LIMIT) + 1..=u32::MAX.into())
        .prop_map(|size| u32::try_from(size).expect("no more than the largest size"));
    let input = |(accident, size): &(Accident, u32)| {
        let mut bytes = accident.message.encode();
        bytes[8..HEADER_LEN].copy_from_slice(&size.to_ne_bytes());
        accident.script([accident.piece(&bytes)])
    };
    SCRIPTS.for_all(&(accident(), sizes), input, |(accident, size), input| {
        let too_large = HeaderError::TooLarge { size: *size, limit: LIMIT };
        accident.ends_with(input, too_large.into());
    });
}

#[test]
fn wrong_flags_end_the_stream() {
    // Any bit but need_reply in a request: 0, 1, 2 and 4 to 31.
    let bits = prop_oneof![0..=2_u32, 4..=31_u32].prop_map(|bit| 1_u32 << bit);
    let input = |(accident, bit): &(Accident, u32)| {
        let mut bytes = accident.message.encode();
        for (byte, bit) in bytes[4..8].iter_mut().zip(bit.to_ne_bytes()) {
            *byte ^= bit;
        }
        accident.script([accident.piece(&bytes)])
    };
    SCRIPTS.for_all(&(accident(), bits), input, |(accident, _), input| {
        let [stream] = &receive(input)[..] else { panic!("there is one stream") };
        assert_eq!(stream.messages.len(), accident.before.len());
        assert!(matches!(stream.end, Err(FrameError::Header(_))), "{:?}", stream.end);
        assert_eq!(check(input), accident.before.len());
    });
}

#[test]
fn late_descriptors_end_the_stream() {
    let late = (accident(), any::<Index>(), vec(fd(), 1..=MAX_FDS + 1), any::<bool>());
    let offset = |accident: &Accident, at: Index| 1 + at.index(accident.message.encode().len() - 1);
    let input = |(accident, at, fds, border): &(Accident, Index, Records, bool)| {
        let bytes = accident.message.encode();
        let (head, tail) = bytes.split_at(offset(accident, *at));
        let happens = [accident.piece(head)]
            .into_iter()
            .chain(border.then_some(Record::Border))
            .chain(fds.iter().cloned())
            .chain([accident.piece(tail)]);
        accident.script(happens)
    };
    SCRIPTS.for_all(&late, input, |(accident, at, fds, _), input| {
        let (offset, fds) = (offset(accident, *at), fds.len());
        accident.ends_with(input, FrameError::LateFds { offset, fds });
    });
}

#[test]
fn more_descriptors_than_any_message_has_end_the_stream() {
    let many = (accident(), vec(fd(), MAX_FDS + 1..=3 * MAX_FDS));
    let input = |(accident, fds): &(Accident, Records)| {
        let message = accident.piece(&accident.message.encode());
        accident.script(fds.iter().cloned().chain([message]))
    };
    SCRIPTS.for_all(&many, input, |(accident, fds), input| {
        let error = FrameError::TooManyFds { fds: fds.len(), limit: MAX_FDS };
        accident.ends_with(input, error);
    });
}

#[test]
fn cut_control_data_ends_the_stream() {
    let cut = (accident(), vec(fd(), 0..=MAX_FDS + 1));
    let input = |(accident, fds): &(Accident, Records)| {
        let message = accident.piece(&accident.message.encode());
        accident.script(fds.iter().cloned().chain([Record::ControlTruncated, message]))
    };
    SCRIPTS.for_all(&cut, input, |(accident, _), input| {
        accident.ends_with(input, FrameError::ControlTruncated);
    });
}

#[test]
fn the_end_of_the_stream_inside_a_message_is_an_error() {
    let cut = (accident(), any::<Index>(), any::<bool>());
    let front = |accident: &Accident, at: Index| {
        let mut bytes = accident.message.encode();
        bytes.truncate(1 + at.index(bytes.len() - 1));
        bytes
    };
    let input = |(accident, at, closes): &(Accident, Index, bool)| {
        let accident = Accident { after: Vec::new(), ..accident.clone() };
        let front = accident.piece(&front(&accident, *at));
        accident.script([front].into_iter().chain(closes.then_some(Record::Close)))
    };
    SCRIPTS.for_all(&cut, input, |(accident, at, _), input| {
        let have = front(accident, *at).len();
        let need = accident.message.encode().len() - HEADER_LEN;
        let error = match have.checked_sub(HEADER_LEN) {
            None => FrameError::EofInHeader { have },
            Some(have) => FrameError::EofInPayload { have, need },
        };
        accident.ends_with(input, error);
    });
}

#[test]
fn arbitrary_bytes_as_a_script() {
    SCRIPTS.for_all(&number::bytes(0..=2000), Vec::clone, |_, input| {
        check(input);
    });
    // The version makes records of what follows.
    let records = vec((0..=11_u8, number::bytes(0..=40)), 0..=20);
    let input = |records: &Vec<(u8, Vec<u8>)>| {
        let mut script = vec![VERSION];
        for (kind, body) in records {
            let len = u16::try_from(body.len()).expect("at most 40");
            script.push(*kind);
            script.extend(len.to_le_bytes());
            script.extend(body);
        }
        script
    };
    SCRIPTS.for_all(&records, input, |_, input| {
        check(input);
    });
}

#[test]
fn one_flipped_byte_of_a_script() {
    let flipped = (script(), any::<Index>(), 1..=u8::MAX);
    let input = |(records, at, bits): &(Records, Index, u8)| {
        let mut script = encode(records);
        let at = at.index(script.len());
        script[at] ^= bits;
        script
    };
    SCRIPTS.for_all(&flipped, input, |_, input| {
        check(input);
    });
}

#[test]
fn records_come_back() {
    let records = prop_oneof![records(), script()];
    SCRIPTS.for_all(&records, encoded, |records, input| {
        assert_eq!(decode(input), *records);
    });
}

#[test]
fn the_front_of_a_script_is_the_front_of_its_records() {
    let cut = (records(), any::<Index>());
    let input = |(records, at): &(Records, Index)| {
        let mut script = encode(records);
        script.truncate(at.index(script.len()));
        script
    };
    SCRIPTS.for_all(&cut, input, |(records, _), input| {
        let front = decode(input);
        assert!(records.starts_with(&front), "{front:?} is not the front of {records:?}");
        check(input);
    });
}
