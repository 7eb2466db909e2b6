//! The framer: how a stream is cut never changes what comes out.
//!
//! The input is a [script]. Each of the four directions of a connection is a
//! stream of its own; a segment is what was sent between two borders, and starts anew with each
//! message that has descriptors.

use vhost_fuzz_core::vhost_user::{self as wire, FrameError, Framer, Kind};
use vhost_fuzz_model::vhost_user::stream::Segment;

use crate::draw;
use crate::framing::Framing;
use crate::ledger::Token;
use crate::oracle::{self, stream::Cuts};
use crate::run::{self, Summary};
use crate::script::{self, Record};

/// Runs one input through the framer of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("msg_stream", bytes, |bytes| {
        let number = draw::number(bytes);
        let messages = check_cuts::<Framer<Token>>(bytes, Cuts::Drawn(number));
        Summary { is_accepted: messages > 0, messages }
    });
}

/// Runs one input through any framer, cut in every way; returns how many messages came out.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<F: Framing>(bytes: &[u8]) -> usize {
    check_cuts::<F>(bytes, Cuts::All)
}

fn check_cuts<F: Framing>(bytes: &[u8], cuts: Cuts) -> usize {
    streams(bytes)
        .iter()
        .map(|stream| oracle::stream::check::<F>(stream.kind, &stream.segments, cuts))
        .sum()
}

/// One direction of one connection, from its start to its end.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What travels on it.
    pub kind: Kind,
    /// What was received, in order.
    pub segments: Vec<Segment>,
}

/// What came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Messages with the numbers of their descriptors.
    pub messages: Vec<(Vec<u8>, Vec<u32>)>,
    /// How the stream ended.
    pub end: Result<(), FrameError>,
}

impl Stream {
    /// What the framer of the core makes of the stream: its messages with their descriptors, and
    /// how it ends.
    ///
    /// # Panics
    /// When the framer neither takes a byte nor has a message.
    #[must_use]
    pub fn receive(&self) -> Received {
        let mut messages = Vec::new();
        let end = self.feed(|bytes, fds| messages.push((bytes.to_vec(), fds.to_vec())));
        Received { messages, end }
    }

    fn feed(&self, mut see: impl FnMut(&[u8], &[u32])) -> Result<(), FrameError> {
        let mut framer = Framer::new(self.kind, oracle::stream::LIMIT);
        for segment in &self.segments {
            let mut bytes = &segment.bytes[..];
            let mut fds = segment.fds.clone();
            let mut control_truncated = segment.control_truncated;
            loop {
                let fds = std::mem::take(&mut fds);
                let taken = framer.push(wire::Segment { bytes, fds, control_truncated })?;
                control_truncated = false;
                bytes = &bytes[taken..];
                let is_whole = framer.is_whole();
                if let Some(frame) = framer.take() {
                    see(frame.bytes, &frame.fds);
                }
                if bytes.is_empty() {
                    break;
                }
                assert!(taken > 0 || is_whole, "the framer takes none of {} bytes", bytes.len());
            }
        }
        framer.finish()
    }
}

/// The streams of a script that carried anything.
#[must_use]
pub fn streams(bytes: &[u8]) -> Vec<Stream> {
    let mut done = Vec::new();
    let mut connection = Connection::default();
    for record in script::records(bytes) {
        match record {
            Record::Message { kind, bytes } => connection.send(kind, &bytes),
            Record::Fd { .. } => connection.pending_fds += 1,
            Record::Border => connection.is_open = [false; 4],
            Record::ControlTruncated => connection.pending_truncation = true,
            Record::Close | Record::Reconnect => {
                done.extend(std::mem::take(&mut connection).end());
            }
            Record::GuestWrite { .. } | Record::Action { .. } | Record::EffectResult { .. } => {}
        }
    }
    done.extend(connection.end());
    done
}

#[derive(Default)]
struct Connection {
    segments: [Vec<Segment>; 4],
    /// Whether the last segment of each direction can grow.
    is_open: [bool; 4],
    pending_fds: u32,
    pending_truncation: bool,
    /// Descriptors that were attached so far, in each direction.
    fds: [u32; 4],
}

impl Connection {
    fn send(&mut self, kind: Kind, bytes: &[u8]) {
        let Some(at) = Kind::ALL.iter().position(|other| *other == kind) else { return };
        let count = std::mem::take(&mut self.pending_fds);
        let control_truncated = std::mem::take(&mut self.pending_truncation);
        let starts = count > 0 || control_truncated || !self.is_open[at];
        match self.segments[at].last_mut() {
            Some(last) if !starts => last.bytes.extend(bytes),
            _ => {
                let first = self.fds[at];
                self.fds[at] += count;
                self.segments[at].push(Segment {
                    bytes: bytes.to_vec(),
                    fds: (first..first + count).collect(),
                    control_truncated,
                });
            }
        }
        self.is_open[at] = true;
    }

    fn end(self) -> impl Iterator<Item = Stream> {
        Kind::ALL
            .into_iter()
            .zip(self.segments)
            .filter(|(_, segments)| !segments.is_empty())
            .map(|(kind, segments)| Stream { kind, segments })
    }
}
