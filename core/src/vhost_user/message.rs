//! A decoded message, and its way back to bytes.

use super::{
    BackendRequest, Channel, DecodeError, EncodeError, Flags, FrontendRequest, HEADER_LEN, Header,
    Kind, Payload, Row, decode, request,
};
use crate::wire::{Counter, SliceSink};

/// What the layout of a payload depends on besides the message id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// `XEN_MMAP` was negotiated: regions have 40 bytes (VU-126).
    pub xen_mmap: bool,
    /// `LOG_SHMFD` was negotiated: `SET_LOG_BASE` has 16 bytes and a descriptor (VU-155).
    pub log_shmfd: bool,
    /// A memory table was answered after `POSTCOPY_LISTEN`, so a `SET_MEM_TABLE` of 0 or 8 bytes
    /// without descriptors acknowledges it (VU-133).
    pub postcopy_ack: bool,
}

/// One vhost-user message. It borrows the bytes it was decoded from.
///
/// ```
/// use vhost_fuzz_core::vhost_user::{Kind, Layout, Message};
///
/// let mut bytes = Vec::new();
/// for word in [8_u32, 0x9, 8, 1, 256] {
///     bytes.extend(word.to_ne_bytes());
/// }
/// let message = Message::decode(Kind::FRONTEND_REQUEST, Layout::default(), &bytes, 0)?;
/// assert_eq!(message.to_string(), "SET_VRING_NUM need_reply index=1 num=256");
/// # Ok::<(), vhost_fuzz_core::vhost_user::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Channel and direction.
    pub kind: Kind,
    /// Message id, in the id space of the channel.
    pub code: u32,
    /// Flags.
    pub flags: Flags,
    /// Payload. Its length is the header's size field.
    pub payload: Payload<'a>,
}

impl<'a> Message<'a> {
    /// A request on the main channel.
    #[must_use]
    pub const fn frontend(request: FrontendRequest, payload: Payload<'a>) -> Self {
        Self { kind: Kind::FRONTEND_REQUEST, code: request.0, flags: Flags::REQUEST, payload }
    }

    /// A request on the back-end channel.
    #[must_use]
    pub const fn backend(request: BackendRequest, payload: Payload<'a>) -> Self {
        Self { kind: Kind::BACKEND_REQUEST, code: request.0, flags: Flags::REQUEST, payload }
    }

    /// A reply. It is built from scratch, so that no bit of the request's flags gets into it
    /// (VU-004, VU-005, VU-007, VU-008), and carries the id that it answers (VU-009).
    #[must_use]
    pub const fn reply(channel: Channel, code: u32, payload: Payload<'a>) -> Self {
        let kind = match channel {
            Channel::Main => Kind::BACKEND_REPLY,
            Channel::Backend => Kind::FRONTEND_REPLY,
        };
        Self { kind, code, flags: Flags::REPLY, payload }
    }

    /// The same request, asking for an acknowledgement.
    #[must_use]
    pub const fn with_need_reply(self) -> Self {
        Self { flags: Flags::NEED_REPLY, ..self }
    }

    /// The row of the message's id, if the specification has it.
    #[must_use]
    pub fn row(&self) -> Option<&'static Row> {
        request::row(self.kind.channel, self.code)
    }

    /// Decodes one whole message: `bytes` are its header and its payload and nothing else, and
    /// `fds` is the number of descriptors that came with it.
    ///
    /// An id that the specification does not have is no error here: its payload is
    /// [`Payload::Unknown`] and the session refuses it (VU-012).
    ///
    /// # Errors
    /// The first rule that the message breaks, in the order of spec §1.7: header, payload size,
    /// descriptors.
    #[inline(always)]
    pub fn decode(
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Self, DecodeError> {
        decode::message(kind, layout, bytes, fds)
    }

    /// Bytes of the encoded message, header included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut counter = Counter::default();
        self.payload.write(&mut counter);
        HEADER_LEN + counter.count()
    }

    /// Writes header and payload to the front of `out`; returns how many bytes that were.
    ///
    /// # Errors
    /// [`EncodeError`] when `out` is too small; its content is unspecified then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let have = out.len();
        let too_small = || EncodeError { need: self.encoded_len(), have };
        // One pass: the payload first, because the header tells how long it is.
        let (head, body) = out.split_at_mut_checked(HEADER_LEN).ok_or_else(too_small)?;
        let room = body.len();
        let mut sink = SliceSink::new(body);
        self.payload.write(&mut sink);
        if sink.missing() > 0 {
            return Err(too_small());
        }
        let written = room - sink.room();
        let size = u32::try_from(written).map_err(|_| too_small())?;
        Header { code: self.code, flags: self.flags, size }.write(&mut SliceSink::new(head));
        Ok(HEADER_LEN + written)
    }
}
