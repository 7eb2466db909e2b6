//! Judges a framer on one stream.

use vhost_fuzz_core::vhost_user::{FrameError, Kind, Segment};
use vhost_fuzz_model::vhost_user::stream as model;

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

/// Which other ways a stream is received in once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// All of them.
    All,
    /// One, drawn by this number. A fuzzer sees enough inputs to draw every one, and runs more of
    /// them in the same time.
    Drawn(u64),
}

impl Cuts {
    fn of(self) -> &'static [Reading] {
        const ALL: &[Reading] = &[
            Reading::Exact,
            Reading::Chunks(1),
            Reading::Chunks(7),
            Reading::Chunks(13),
            Reading::Joined,
        ];
        match self {
            Self::All => ALL,
            Self::Drawn(number) => {
                let at = number % ALL.len() as u64;
                ALL.get(usize::try_from(at).unwrap_or(0)..).map_or(ALL, |rest| &rest[..1])
            }
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
    let mut received = Received::default();
    received.error = receive::<F>(kind, segments, Reading::Whole, |bytes, fds| {
        received.messages.push((bytes.to_vec(), fds.iter().map(Token::number).collect()));
    });
    judge(kind, segments, &received);
    for (bytes, fds) in &received.messages {
        let context = Context { fds: fds.len(), ..Context::plain(kind, 0) };
        let _ = message::check(&Core, context, bytes);
    }
    for reading in cuts.of() {
        match reading {
            Reading::Joined => again::<F>(kind, &join(segments), *reading, &received),
            _ => again::<F>(kind, segments, *reading, &received),
        }
    }
    received.messages.len()
}

/// Receives once more in another way; the same has to come out.
fn again<F: Framing>(kind: Kind, segments: &[model::Segment], reading: Reading, before: &Received) {
    let mut count = 0;
    let error = receive::<F>(kind, segments, reading, |bytes, fds| {
        let expected = before.messages.get(count);
        let is_same = expected.is_some_and(|(old, numbers)| {
            bytes == old && fds.iter().map(Token::number).eq(numbers.iter().copied())
        });
        assert!(
            is_same,
            "segmentation: {reading:?} makes message {count} {bytes:x?} with {fds:?}\n \
             before it was {expected:x?}"
        );
        count += 1;
    });
    assert!(
        (count, error) == (before.messages.len(), before.error),
        "segmentation: {reading:?} gives {count} messages and {error:?}\n before it gave {} and {:?}",
        before.messages.len(),
        before.error
    );
}

/// Compares with the model.
fn judge(kind: Kind, segments: &[model::Segment], received: &Received) {
    let context = Context::plain(kind, 0).model();
    let expected = model::judge(context, LIMIT, segments);
    let error = received.error.map(|error| super::id(error.rule()));
    assert!(
        received.messages == expected.messages && error == expected.error,
        "model: the framer gave {received:x?}\n the model {expected:x?}"
    );
}

/// How a stream is handed over. Descriptors stay with the byte they came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// All of a segment; the framer stops at the end of a message.
    Whole,
    /// What the framer asks for, as a reader of a socket does.
    Exact,
    /// At most so many bytes at once.
    Chunks(usize),
    /// As few segments as possible.
    Joined,
}

/// Feeds a framer and shows what comes out; returns how the stream ended.
fn receive<F: Framing>(
    kind: Kind,
    segments: &[model::Segment],
    reading: Reading,
    mut see: impl FnMut(&[u8], &[Token]),
) -> Option<FrameError> {
    let ledger = Ledger::default();
    let mut error = None;
    {
        let mut framer = F::open(kind, LIMIT);
        for segment in segments {
            error = feed(&mut framer, &ledger, segment, reading, &mut see).err();
            if error.is_some() {
                break;
            }
        }
        match error {
            None => error = framer.finish().err(),
            Some(error) => stays_failed(&mut framer, &ledger, error),
        }
    }
    ledger.settle();
    error
}

/// A stream that has failed stays so, gives nothing any more, and keeps nothing.
fn stays_failed<F: Framing>(framer: &mut F, ledger: &Ledger, error: FrameError) {
    let later =
        framer.push(Segment::<[Token; 0]> { bytes: &[0; 12], fds: [], control_truncated: false });
    assert!(later == Err(error), "model: after {error:?} comes {later:?}");
    assert!(framer.finish() == Err(error), "model: {error:?} is forgotten at the end");
    assert!(framer.take().is_none(), "model: a message comes after {error:?}");
    assert!(
        ledger.open_count() == 0,
        "fd ledger: {} descriptors are kept after {error:?}",
        ledger.open_count()
    );
}

/// Hands over one segment and takes what becomes whole.
fn feed<F: Framing>(
    framer: &mut F,
    ledger: &Ledger,
    segment: &model::Segment,
    reading: Reading,
    see: &mut impl FnMut(&[u8], &[Token]),
) -> Result<(), FrameError> {
    let tokens: Vec<Token> = segment.fds.iter().map(|_| ledger.open()).collect();
    let mut rest = &segment.bytes[..];
    let mut fds = tokens.into_iter();
    let mut control_truncated = segment.control_truncated;
    loop {
        let wanted = match reading {
            Reading::Whole | Reading::Joined => rest.len(),
            Reading::Exact => framer.missing().min(rest.len()),
            Reading::Chunks(len) => len.min(rest.len()),
        };
        let fds = std::mem::take(&mut fds);
        let taken = push(framer, Segment { bytes: &rest[..wanted], fds, control_truncated })?;
        control_truncated = false;
        rest = &rest[taken..];
        let frame = framer.take();
        let is_whole = frame.is_some();
        if let Some(frame) = frame {
            see(frame.bytes, &frame.fds);
        }
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

/// The same stream in as few segments as possible.
fn join(segments: &[model::Segment]) -> Vec<model::Segment> {
    let mut joined: Vec<model::Segment> = Vec::new();
    for segment in segments {
        let is_plain = segment.fds.is_empty() && !segment.control_truncated;
        match joined.last_mut() {
            // Descriptors that came with no byte must not get the next one.
            Some(last) if is_plain && !last.bytes.is_empty() => last.bytes.extend(&segment.bytes),
            _ => joined.push(segment.clone()),
        }
    }
    joined
}
