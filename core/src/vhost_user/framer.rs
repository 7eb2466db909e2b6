//! Cuts whole messages out of a stream of bytes and descriptors, by the receive procedure of
//! spec §1.7.
//!
//! The framer does no I/O. Its caller reads at most [`Framer::missing`] bytes with one
//! `recvmsg`, hands over what came as a [`Segment`], and takes a [`Frame`] when one is whole:
//!
//! ```
//! use vhost_fuzz_core::vhost_user::{Framer, Kind, Layout, Segment};
//!
//! let mut framer = Framer::<std::fs::File>::new(Kind::FRONTEND_REQUEST, 4096);
//! let header: Vec<u8> = [1_u32, 0x1, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
//! for byte in header.chunks(1) {
//!     assert!(framer.take().is_none());
//!     framer.push(Segment::bytes(byte))?;
//! }
//! let frame = framer.take().expect("a whole message");
//! let message = frame.decode(Layout::default()).expect("a legal one");
//! assert_eq!(message.to_string(), "GET_FEATURES");
//! # Ok::<(), vhost_fuzz_core::vhost_user::FrameError>(())
//! ```

use arrayvec::ArrayVec;

use super::{
    DecodeError, FrameError, HEADER_LEN, Header, HeaderError, Kind, Layout, MAX_FDS, Message,
};
use crate::wire::Reader;

/// What one `recvmsg` returned.
#[derive(Debug)]
pub struct Segment<'a, I> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The descriptors of all its control messages, in order. They belong to the first byte.
    pub fds: I,
    /// Whether the kernel set `MSG_CTRUNC`.
    pub control_truncated: bool,
}

impl<'a, F> Segment<'a, [F; 0]> {
    /// Bytes without descriptors.
    #[must_use]
    pub const fn bytes(bytes: &'a [u8]) -> Self {
        Self { bytes, fds: [], control_truncated: false }
    }
}

impl<'a, I> Segment<'a, I> {
    /// Bytes with descriptors.
    #[must_use]
    pub const fn with_fds(bytes: &'a [u8], fds: I) -> Self {
        Self { bytes, fds, control_truncated: false }
    }
}

/// Cuts one direction of one socket into messages.
///
/// `F` is an owned descriptor, or whatever stands for one: the framer only keeps it, and drops it
/// when it does not deliver it (VU-019). All memory is allocated by [`Framer::new`].
#[derive(Debug)]
pub struct Framer<F> {
    kind: Kind,
    limit: u32,
    /// Header and payload of the message being received.
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes of the whole message, once its header is known.
    total: Option<usize>,
    fds: ArrayVec<F, MAX_FDS>,
    /// The error that ended the stream.
    failed: Option<FrameError>,
}

impl<F> Framer<F> {
    /// A framer for messages of one kind with payloads of at most `limit` bytes.
    #[must_use]
    pub fn new(kind: Kind, limit: u32) -> Self {
        let capacity = HEADER_LEN.saturating_add(usize::try_from(limit).unwrap_or(usize::MAX));
        Self {
            kind,
            limit,
            buffer: vec![0; capacity].into_boxed_slice(),
            filled: 0,
            total: None,
            fds: ArrayVec::new(),
            failed: None,
        }
    }

    /// Bytes that are missing from the header, or from the payload once the header is known; 0
    /// when a message is whole or the stream has failed.
    ///
    /// Reading no more than this with one `recvmsg` keeps the descriptors of the next message
    /// apart from this one (spec §1.1).
    #[must_use]
    pub fn missing(&self) -> usize {
        if self.failed.is_some() {
            return 0;
        }
        self.total.unwrap_or(HEADER_LEN) - self.filled
    }

    /// Whether a message is whole and waits for [`take`](Self::take).
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.failed.is_none() && self.total == Some(self.filled)
    }

    /// Takes bytes up to the end of the message; returns how many it took. The caller hands over
    /// the others, without descriptors, after [`take`](Self::take).
    ///
    /// A segment without bytes and descriptors is nothing; the end of a stream is
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// The first rule that the stream breaks. All descriptors held and given are dropped then,
    /// and every later call returns the same error.
    pub fn push<I>(&mut self, segment: Segment<'_, I>) -> Result<usize, FrameError>
    where
        I: IntoIterator<Item = F>,
    {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Segment { bytes, fds, control_truncated } = segment;
        if let Err(error) = self.accept(bytes.is_empty(), fds, control_truncated) {
            return Err(self.fail(error));
        }
        self.fill(bytes).map_err(|error| self.fail(error))
    }

    /// Takes the whole message, if there is one. Descriptors that the frame still holds when it
    /// is dropped are dropped with it.
    pub fn take(&mut self) -> Option<Frame<'_, F>> {
        if !self.is_whole() {
            return None;
        }
        let bytes = self.buffer.get(..self.filled)?;
        self.filled = 0;
        self.total = None;
        Some(Frame { kind: self.kind, bytes, fds: core::mem::take(&mut self.fds) })
    }

    /// The peer closed the stream.
    ///
    /// # Errors
    /// [`FrameError::EofInHeader`] or [`FrameError::EofInPayload`] when that cut a message, or
    /// the error that ended the stream before (spec §1.7 step 1).
    pub fn finish(&mut self) -> Result<(), FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.total {
            None if self.filled == 0 => Ok(()),
            None => Err(self.fail(FrameError::EofInHeader { have: self.filled })),
            Some(total) if total == self.filled => Ok(()),
            Some(total) => Err(self.fail(FrameError::EofInPayload {
                have: self.filled - HEADER_LEN,
                need: total - HEADER_LEN,
            })),
        }
    }

    /// Forgets the stream and starts a new one with the same buffer, as on a new connection.
    pub fn reset(&mut self, kind: Kind) {
        self.kind = kind;
        self.filled = 0;
        self.total = None;
        self.fds.clear();
        self.failed = None;
    }

    /// Takes the descriptors of a segment, or drops them all.
    fn accept(
        &mut self,
        is_empty: bool,
        fds: impl IntoIterator<Item = F>,
        control_truncated: bool,
    ) -> Result<(), FrameError> {
        let mut fds = fds.into_iter();
        // DC-003: descriptors may be missing, so the message cannot be trusted.
        if control_truncated {
            return Err(FrameError::ControlTruncated);
        }
        let Some(first) = fds.next() else { return Ok(()) };
        // DC-002: descriptors come with the first byte of a header (spec §1.5). A segment that
        // has no byte has no first one.
        if self.filled != 0 || is_empty {
            drop(first);
            return Err(FrameError::LateFds { offset: self.filled, fds: 1 + fds.count() });
        }
        self.fds.push(first);
        while let Some(fd) = fds.next() {
            // DC-004: no message carries more.
            if let Err(full) = self.fds.try_push(fd) {
                drop(full);
                return Err(FrameError::TooManyFds {
                    fds: MAX_FDS + 1 + fds.count(),
                    limit: MAX_FDS,
                });
            }
        }
        Ok(())
    }

    /// Copies bytes up to the end of the message.
    fn fill(&mut self, mut bytes: &[u8]) -> Result<usize, FrameError> {
        let mut taken = 0;
        // At most two turns: the header, then the payload.
        while !bytes.is_empty() && self.total != Some(self.filled) {
            let wanted = self.total.unwrap_or(HEADER_LEN) - self.filled;
            let (head, rest) = bytes.split_at(wanted.min(bytes.len()));
            if let Some(space) = self.buffer.get_mut(self.filled..self.filled + head.len()) {
                space.copy_from_slice(head);
            }
            self.filled += head.len();
            taken += head.len();
            bytes = rest;
            if self.total.is_none() && self.filled == HEADER_LEN {
                self.total = Some(self.header()?);
            }
        }
        Ok(taken)
    }

    /// Checks a whole header before a byte of payload is read (spec §1.7 step 3); returns the
    /// length of the message.
    fn header(&self) -> Result<usize, FrameError> {
        let header = Header::read(&mut Reader::new(&self.buffer))
            .map_err(|short| FrameError::EofInHeader { have: short.have })?;
        header.check(self.kind)?;
        let too_large = HeaderError::TooLarge { size: header.size, limit: self.limit };
        if header.size > self.limit {
            return Err(too_large.into()); // DC-001
        }
        let size = usize::try_from(header.size).map_err(|_| too_large)?;
        Ok(HEADER_LEN + size)
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.fds.clear(); // VU-019
        self.failed = Some(error);
        error
    }
}

/// A whole message with its descriptors.
#[derive(Debug)]
pub struct Frame<'a, F> {
    /// Channel and direction.
    pub kind: Kind,
    /// Header and payload.
    pub bytes: &'a [u8],
    /// The descriptors that came with its first byte.
    pub fds: ArrayVec<F, MAX_FDS>,
}

impl<'a, F> Frame<'a, F> {
    /// Decodes the message.
    ///
    /// # Errors
    /// As [`Message::decode`].
    pub fn decode(&self, layout: Layout) -> Result<Message<'a>, DecodeError> {
        Message::decode(self.kind, layout, self.bytes, self.fds.len())
    }
}
