//! What the framer of the core makes of a script, by value: the messages with the numbers of
//! their descriptors, and the exact error. The oracles compare with a model and between ways to
//! cut; a property wants to say what must come out.

use vhost_fuzz_core::vhost_user::{FrameError, Kind};
use vhost_fuzz_harness::target::msg_stream::{self, Stream, streams};

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
    let msg_stream::Received { messages, end } = stream.receive();
    Received { kind: stream.kind, messages, end }
}
