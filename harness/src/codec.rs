//! What the message targets test: a decoder with its encoder.

use vhost_fuzz_core::vhost_user::{DecodeError, EncodeError, Kind, Layout, Message};

/// A message codec: ours, a broken one, or yours. What it does not define is done by the core.
pub trait Codec {
    /// As [`Message::decode`].
    ///
    /// # Errors
    /// As [`Message::decode`].
    #[inline]
    fn decode<'a>(
        &self,
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Message<'a>, DecodeError> {
        Message::decode(kind, layout, bytes, fds)
    }

    /// As [`Message::encode`].
    ///
    /// # Errors
    /// As [`Message::encode`].
    fn encode(&self, message: &Message<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
        message.encode(out)
    }
}

/// The codec of the core.
#[derive(Clone, Copy, Debug)]
pub struct Core;

impl Codec for Core {}
