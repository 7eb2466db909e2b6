//! What a stream of bytes and descriptors means, byte by byte (spec §1.5, §1.7).

use super::{Context, flags, number};
use crate::Id;

/// What one receive call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bytes.
    pub bytes: Vec<u8>,
    /// Descriptors, by numbers that the harness gave them.
    pub fds: Vec<u32>,
    /// Control data was cut.
    pub control_truncated: bool,
}

/// What has to come out of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whole messages with their descriptors, in order.
    pub messages: Vec<(Vec<u8>, Vec<u32>)>,
    /// The requirement that ended the stream, if it did not end well.
    pub error: Option<Id>,
}

/// Judges a stream that is cut into segments and then closed.
#[must_use]
pub fn judge(context: Context, limit: u32, segments: &[Segment]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut message = Vec::new();
    let mut fds = Vec::new();
    for segment in segments {
        if segment.control_truncated {
            outcome.error = Some(Id::Dc(3));
            return outcome;
        }
        if !segment.fds.is_empty() {
            if !message.is_empty() || segment.bytes.is_empty() {
                outcome.error = Some(Id::Dc(2));
                return outcome;
            }
            if segment.fds.len() > 8 {
                outcome.error = Some(Id::Dc(4));
                return outcome;
            }
            fds.clone_from(&segment.fds);
        }
        for byte in &segment.bytes {
            message.push(*byte);
            if message.len() == 12 {
                let fault = flags(&message, context).err();
                let too_large = (number(&message, 8, 4) > u64::from(limit)).then_some(Id::Dc(1));
                if let Some(id) = fault.or(too_large) {
                    outcome.error = Some(id);
                    return outcome;
                }
            }
            if message.len() >= 12 && message.len() as u64 == 12 + number(&message, 8, 4) {
                outcome.messages.push((std::mem::take(&mut message), std::mem::take(&mut fds)));
            }
        }
    }
    if !message.is_empty() {
        outcome.error = Some(Id::Vu(1));
    }
    outcome
}
