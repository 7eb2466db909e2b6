//! What the framer of the core makes of a script, by value: the messages with the numbers of
//! their descriptors, and the exact error. The oracles compare with a model and between ways to
//! cut; a property wants to say what must come out.

use vhost_fuzz_core::vhost_user::{FrameError, Framer, Kind, Segment};
use vhost_fuzz_harness::oracle::stream::LIMIT;
use vhost_fuzz_harness::target::msg_stream::{Stream, streams};

/// What came out of one direction of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What travelled on it.
    pub kind: Kind,
    /// Messages with the numbers of their descriptors, counted from the start of the stream.
    pub messages: Vec<(Vec<u8>, Vec<u32>)>,
    /// How the stream ended.
    pub end: Result<(), FrameError>,
}

/// Runs every stream of a script through a framer.
#[must_use]
pub fn receive(script: &[u8]) -> Vec<Received> {
    streams(script).iter().map(one).collect()
}

fn one(stream: &Stream) -> Received {
    let mut framer = Framer::<u32>::new(stream.kind, LIMIT);
    let mut messages = Vec::new();
    let end = feed(&mut framer, stream, &mut messages).and_then(|()| framer.finish());
    Received { kind: stream.kind, messages, end }
}

fn feed(
    framer: &mut Framer<u32>,
    stream: &Stream,
    messages: &mut Vec<(Vec<u8>, Vec<u32>)>,
) -> Result<(), FrameError> {
    for segment in &stream.segments {
        let mut bytes = &segment.bytes[..];
        let mut fds = segment.fds.clone();
        let mut control_truncated = segment.control_truncated;
        loop {
            let fds = std::mem::take(&mut fds);
            let taken = framer.push(Segment { bytes, fds, control_truncated })?;
            control_truncated = false;
            bytes = &bytes[taken..];
            let is_whole = framer.is_whole();
            if let Some(frame) = framer.take() {
                messages.push((frame.bytes.to_vec(), frame.fds.to_vec()));
            }
            if bytes.is_empty() {
                break;
            }
            assert!(taken > 0 || is_whole, "the framer takes none of {} bytes", bytes.len());
        }
    }
    Ok(())
}
