//! A message before it is sent: encoded, and read again as its receiver will read it.

use crate::vhost_user::{
    DEFAULT_PAYLOAD_LIMIT, DecodeError, HEADER_LEN, HeaderError, Kind, Layout, Message,
};

/// The buffer that requests are built in. It holds every message of the specification.
#[derive(Debug)]
pub(crate) struct Draft(Box<[u8]>);

impl Draft {
    pub(crate) fn new() -> Self {
        let len = HEADER_LEN + DEFAULT_PAYLOAD_LIMIT as usize;
        Self(vec![0; len].into_boxed_slice())
    }

    /// Encodes a message and decodes it as one of `kind`, so that what is judged afterwards is
    /// what goes over the wire; also gives the length in bytes.
    pub(crate) fn judge(
        &mut self,
        message: &Message<'_>,
        kind: Kind,
        layout: Layout,
        fds: usize,
    ) -> Result<(Message<'_>, usize), DecodeError> {
        let len = message.encode(&mut self.0).map_err(|error| {
            let size = u32::try_from(error.need - HEADER_LEN).unwrap_or(u32::MAX);
            HeaderError::TooLarge { size, limit: DEFAULT_PAYLOAD_LIMIT }
        })?;
        let read = Message::decode(kind, layout, self.bytes(len), fds)?;
        Ok((read, len))
    }

    /// The first `len` bytes.
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        self.0.get(..len).unwrap_or_default()
    }
}
