//! Sessions that somebody saw, as scripts: what was sent and received, piece by piece.
//!
//! Who saw them says it in [`Call`]s, as the front-end made them: a log of strace is one source,
//! a relay between both ends another. [`sessions`] finds the connections in them; [`scripts`] and
//! [`conversation`] are inputs of the targets `msg_stream` and `session`.

mod backend;
pub mod fds;
#[cfg(test)]
mod log;
mod session;

use std::collections::HashMap;

use vhost_fuzz_core::vhost_user::Layout;

use crate::corpus::SEED_LIMIT;
use crate::script::{self, Record};

pub use session::{Connection, Piece, Recorded, messages, sessions};

/// What a call of the front-end did to a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Bytes were sent.
    Send,
    /// Bytes were received.
    Receive,
    /// The peer has closed its end: a receive call returned 0.
    End,
    /// The descriptor was closed.
    Close,
    /// A call whose arguments are not known moved bytes.
    Unread,
}

/// One call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where it stands among the calls: the line of a log, from 1, in which it returned.
    pub line: usize,
    /// The descriptor.
    pub fd: i64,
    /// What happened.
    pub act: Act,
    /// The bytes that are known, at most `len`.
    pub bytes: Vec<u8>,
    /// How many bytes went over the socket: the value that the call returned.
    pub len: usize,
    /// Descriptors in the control data.
    pub fds: usize,
    /// The kernel cut the control data.
    pub control_truncated: bool,
}

/// Bytes of one message record. The format has room for a little more.
const RECORD_LIMIT: usize = 0x8000;

/// The scripts of a session: one, or more if it is longer than a seed may be. It is parted only
/// where no stream is inside a message.
#[must_use]
pub fn scripts(session: &[Connection<'_>]) -> Vec<Vec<u8>> {
    parts(session, Parts::default())
}

/// The script of a session for a back-end that keeps track of it: what its device offers and how
/// its effects end is what the recorded back-end showed. Of a session that is longer than a seed
/// may be it is as much as fits, from the start.
#[must_use]
pub fn conversation(session: &[Connection<'_>]) -> Option<Vec<u8>> {
    let open = vec![backend::offer(session).record()];
    parts(session, Parts { open, has_results: true, ..Parts::default() }).into_iter().next()
}

fn parts<'a>(session: &[Connection<'a>], mut parts: Parts<'a>) -> Vec<Vec<u8>> {
    for (number, connection) in session.iter().enumerate() {
        if number > 0 {
            parts.open.push(Record::Reconnect);
        }
        let messages = messages(connection);
        let begun: HashMap<_, _> =
            messages.iter().rev().map(|message| ((message.piece, message.kind), message)).collect();
        let results =
            if parts.has_results { backend::results(&messages) } else { HashMap::default() };
        // The piece in which every message that has begun so far is whole.
        let mut whole_at = 0;
        for (number, piece) in connection.pieces.iter().enumerate() {
            let first = begun.get(&(number, piece.kind)).copied();
            parts.open.extend(results.get(&number).cloned().unwrap_or_default());
            records(&mut parts.open, piece, first);
            let begins = messages.iter().skip_while(|message| message.piece < number);
            let ends = begins.take_while(|message| message.piece == number);
            whole_at = ends.map(|message| message.end).fold(whole_at, usize::max);
            if whole_at <= number {
                parts.close_piece();
            }
        }
    }
    parts.end()
}

/// The records of one piece; `first` is the message that it begins.
fn records<'a>(records: &mut Vec<Record<'a>>, piece: &Piece<'a>, first: Option<&Recorded>) {
    let Piece { call, kind } = *piece;
    let (layout, message) =
        first.map_or((Layout::default(), &call.bytes), |message| (message.layout, &message.bytes));
    records.extend(fds::records(kind, layout, message, call.fds));
    if call.control_truncated {
        records.push(Record::ControlTruncated);
    }
    let chunks = call.bytes.chunks(RECORD_LIMIT);
    records.extend(chunks.map(|bytes| Record::Message { kind, bytes: bytes.into() }));
    records.push(Record::Border);
}

/// A script that is parted when it gets too long.
#[derive(Default)]
struct Parts<'a> {
    done: Vec<Vec<u8>>,
    /// The part in the making, up to a point where it can end, and its length.
    current: Vec<Record<'a>>,
    len: usize,
    /// What follows that point.
    open: Vec<Record<'a>>,
    /// The script says how the effects of its requests end.
    has_results: bool,
}

impl Parts<'_> {
    /// The script may be parted after what is open.
    fn close_piece(&mut self) {
        let len = script::encode(&self.open).len();
        // Every part has a version before it and a `Close` behind it, of 1 and 3 bytes.
        if self.len + len + 4 > SEED_LIMIT {
            self.close_part();
        }
        self.len += len;
        self.current.append(&mut self.open);
    }

    fn close_part(&mut self) {
        if !self.current.is_empty() {
            self.current.push(Record::Close);
            self.done.push(script::encode(&self.current));
        }
        self.current.clear();
        self.len = 0;
    }

    fn end(mut self) -> Vec<Vec<u8>> {
        self.close_piece();
        self.close_part();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::log::Log;
    use super::*;
    use crate::session::offer::ScriptOffer;
    use crate::target::msg_stream;

    #[test]
    fn a_long_session_is_parted_between_messages() {
        let mut log = Log::default().send(3, &[3, 1, 0]);
        for _ in 0..400 {
            log = log.send(3, &[8, 9]).send(3, &[8, 0, 256]);
        }
        let sessions = sessions(&log.calls);
        let scripts = scripts(&sessions[0]);
        assert!(scripts.len() > 1);
        let mut bytes = Vec::new();
        for script in &scripts {
            assert!(script.len() <= SEED_LIMIT, "{}", script.len());
            assert_eq!(script::decode(script).last(), Some(&Record::Close));
            let streams = msg_stream::streams(script);
            let stream: Vec<u8> =
                streams[0].segments.iter().flat_map(|segment| segment.bytes.clone()).collect();
            assert_eq!((stream.len() % 20) % 12, 0, "parted inside a message");
            bytes.extend(stream);
        }
        assert_eq!(bytes.len(), 12 + 400 * 20);
    }

    #[test]
    fn only_the_first_part_of_a_long_session_is_a_conversation() {
        let log = (0..1000).fold(Log::default(), |log, _| log.send(3, &[1, 1, 0]));
        let sessions = sessions(&log.calls);
        let script = conversation(&sessions[0]).expect("a script");
        assert!(script.len() <= SEED_LIMIT, "{}", script.len());
        assert!(scripts(&sessions[0])[0].len() <= SEED_LIMIT);
        let records = script::decode(&script);
        assert_eq!(ScriptOffer::of_record(&records[0]), Some(backend::offer(&sessions[0])));
        assert_eq!(records.last(), Some(&Record::Close));
    }

    #[test]
    fn a_short_session_is_one_script() {
        let log = Log::default().send(3, &[3, 1, 0]);
        let scripts = scripts(&sessions(&log.calls)[0]);
        assert_eq!(scripts.len(), 1);
        let kinds = script::decode(&scripts[0]);
        assert_eq!(kinds[1..], [Record::Border, Record::Close]);
    }
}
