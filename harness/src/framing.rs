//! What the stream target tests: something that cuts a stream into messages.

use vhost_fuzz_core::vhost_user::{Frame, FrameError, Framer, Kind, Segment};

use crate::ledger::Token;

/// A framer over counted descriptors: ours, or a broken one.
pub trait Framing {
    /// A framer for one direction of one socket.
    fn open(kind: Kind, limit: u32) -> Self;

    /// As [`Framer::missing`].
    fn missing(&self) -> usize;

    /// As [`Framer::push`].
    ///
    /// # Errors
    /// As [`Framer::push`].
    fn push<I: IntoIterator<Item = Token>>(
        &mut self,
        segment: Segment<'_, I>,
    ) -> Result<usize, FrameError>;

    /// As [`Framer::take`].
    fn take(&mut self) -> Option<Frame<'_, Token>>;

    /// As [`Framer::finish`].
    ///
    /// # Errors
    /// As [`Framer::finish`].
    fn finish(&mut self) -> Result<(), FrameError>;
}

impl Framing for Framer<Token> {
    fn open(kind: Kind, limit: u32) -> Self {
        Self::new(kind, limit)
    }

    fn missing(&self) -> usize {
        Self::missing(self)
    }

    fn push<I: IntoIterator<Item = Token>>(
        &mut self,
        segment: Segment<'_, I>,
    ) -> Result<usize, FrameError> {
        Self::push(self, segment)
    }

    fn take(&mut self) -> Option<Frame<'_, Token>> {
        Self::take(self)
    }

    fn finish(&mut self) -> Result<(), FrameError> {
        Self::finish(self)
    }
}
