//! Judges a framer on one stream.

use vhost_fuzz_core::vhost_user::{FrameError, Kind, Segment};
use vhost_fuzz_model::vhost_user::stream::{self as model, Outcome};

use crate::codec::Core;
use crate::context::Context;
use crate::framing::Framing;
use crate::ledger::{Ledger, Token};
use crate::oracle::message;

/// What a stream gave: messages with the numbers of their descriptors, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Received {
    messages: Vec<(Vec<u8>, Vec<u32>)>,
    error: Option<FrameError>,
}

/// Payload limit of the framers under test: small enough for a fuzzer to pass it.
pub const LIMIT: u32 = 4096;

/// Which cuts a stream is received in once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// All of them.
    All,
    /// One, drawn by this number. A fuzzer sees enough inputs to draw every one, and runs several
    /// times as many in the same time.
    Drawn(usize),
}

impl Cuts {
    fn of(self) -> &'static [Cut] {
        const ALL: &[Cut] = &[Cut::Bytes, Cut::Chunks(7), Cut::Chunks(13), Cut::Joined];
        match self {
            Self::All => ALL,
            Self::Drawn(number) => &ALL[number % ALL.len()..][..1],
        }
    }
}

/// Runs every oracle on a stream that is received in these segments and then closed. Returns
/// how many messages came out.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<F: Framing>(kind: Kind, segments: &[model::Segment], cuts: Cuts) -> usize {
    let received = receive::<F>(kind, segments, Reading::Whole);
    judge(kind, segments, &received);
    for (bytes, fds) in &received.messages {
        let context = Context { fds: fds.len(), ..Context::plain(kind, 0) };
        let _ = message::check(&Core, context, bytes);
    }
    for cut in cuts.of() {
        let again = receive::<F>(kind, &cut.apply(segments), Reading::Whole);
        assert!(
            again == received,
            "segmentation: {cut:?} changed what comes out\n before {received:x?}\n after {again:x?}"
        );
    }
    let exact = receive::<F>(kind, segments, Reading::Exact);
    assert!(
        exact == received,
        "segmentation: exact reads changed what comes out\n before {received:x?}\n after {exact:x?}"
    );
    received.messages.len()
}

/// Compares with the model.
fn judge(kind: Kind, segments: &[model::Segment], received: &Received) {
    let context = Context::plain(kind, 0).model();
    let expected = model::judge(context, LIMIT, segments);
    let got = Outcome {
        messages: received.messages.clone(),
        error: received.error.map(|error| super::id(error.rule())),
    };
    assert!(
        got == expected,
        "model: the framer gave {got:x?}\n the model {expected:x?}\n the error is {:?}",
        received.error
    );
}

/// How much of a segment is handed over at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// All that came; the framer stops at the end of a message.
    Whole,
    /// What the framer asks for, as a reader of a socket does.
    Exact,
}

fn receive<F: Framing>(kind: Kind, segments: &[model::Segment], reading: Reading) -> Received {
    let ledger = Ledger::default();
    let mut received = Received::default();
    {
        let mut framer = F::open(kind, LIMIT);
        for segment in segments {
            if let Err(error) = feed(&mut framer, &ledger, segment, reading, &mut received) {
                received.error = Some(error);
                break;
            }
        }
        match received.error {
            None => received.error = framer.finish().err(),
            Some(error) => {
                // A stream that has failed stays so, and gives nothing any more.
                let later = framer.push(Segment::<[Token; 0]> {
                    bytes: &[0; 12],
                    fds: [],
                    control_truncated: false,
                });
                assert!(later == Err(error), "model: after {error:?} comes {later:?}");
                assert!(framer.finish() == Err(error), "model: {error:?} is forgotten at the end");
                assert!(framer.take().is_none(), "model: a message comes after {error:?}");
                assert!(
                    ledger.open_count() == 0,
                    "fd ledger: {} descriptors are kept after {error:?}",
                    ledger.open_count()
                );
            }
        }
    }
    ledger.settle();
    received
}

/// Hands over one segment and takes what becomes whole.
fn feed<F: Framing>(
    framer: &mut F,
    ledger: &Ledger,
    segment: &model::Segment,
    reading: Reading,
    received: &mut Received,
) -> Result<(), FrameError> {
    let tokens: Vec<Token> = segment.fds.iter().map(|_| ledger.open()).collect();
    let mut rest = &segment.bytes[..];
    let mut fds = tokens.into_iter();
    let mut control_truncated = segment.control_truncated;
    loop {
        let wanted = match reading {
            Reading::Whole => rest.len(),
            Reading::Exact => framer.missing().min(rest.len()),
        };
        let fds = std::mem::take(&mut fds);
        let taken = push(framer, Segment { bytes: &rest[..wanted], fds, control_truncated })?;
        control_truncated = false;
        rest = &rest[taken..];
        let is_whole = take(framer, received);
        if rest.is_empty() {
            return Ok(());
        }
        assert!(
            taken > 0 || is_whole,
            "budget: the framer takes none of {} bytes and has no message",
            rest.len()
        );
    }
}

/// Pushes with the allocator watched: the framer has all its memory already.
fn push<F: Framing>(
    framer: &mut F,
    segment: Segment<'_, std::vec::IntoIter<Token>>,
) -> Result<usize, FrameError> {
    let mut result = Ok(0);
    let offered = segment.bytes.len();
    let info = allocation_counter::measure(|| result = framer.push(segment));
    assert!(
        info.count_total == 0,
        "budget: receiving {offered} bytes allocated {} times, {} bytes",
        info.count_total,
        info.bytes_total
    );
    let taken = result?;
    assert!(taken <= offered, "budget: the framer took {taken} of {offered} bytes");
    Ok(taken)
}

/// Takes a message if one is whole.
fn take<F: Framing>(framer: &mut F, received: &mut Received) -> bool {
    let Some(frame) = framer.take() else { return false };
    let numbers = frame.fds.iter().map(Token::number).collect();
    received.messages.push((frame.bytes.to_vec(), numbers));
    true
}

/// Ways to cut a stream anew. Descriptors stay with the byte they came with.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Every byte alone.
    Bytes,
    /// Pieces of this many bytes.
    Chunks(usize),
    /// As few segments as possible.
    Joined,
}

impl Cut {
    fn apply(self, segments: &[model::Segment]) -> Vec<model::Segment> {
        let mut cut: Vec<model::Segment> = Vec::new();
        for segment in segments {
            let chunk = match self {
                Self::Bytes => 1,
                Self::Chunks(len) => len,
                Self::Joined => usize::MAX,
            };
            let plain = segment.fds.is_empty() && !segment.control_truncated;
            match cut.last_mut() {
                // Descriptors that came with no byte must not get the next one.
                Some(last) if plain && matches!(self, Self::Joined) && !last.bytes.is_empty() => {
                    last.bytes.extend(&segment.bytes);
                    continue;
                }
                _ => {}
            }
            let mut first = model::Segment { bytes: Vec::new(), ..segment.clone() };
            let mut chunks = segment.bytes.chunks(chunk);
            first.bytes.extend(chunks.next().unwrap_or_default());
            cut.push(first);
            cut.extend(chunks.map(|bytes| model::Segment {
                bytes: bytes.to_vec(),
                fds: Vec::new(),
                control_truncated: false,
            }));
        }
        cut
    }
}
