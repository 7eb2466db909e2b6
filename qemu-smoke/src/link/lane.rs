//! One direction of a connection: pieces of a stream, with their descriptors.
//!
//! A stream has no borders, and descriptors are found at a byte of it. So that they stay with
//! their message, no piece reaches from one message into the next: the length of a message is read
//! in its header. Within a message the pieces are as they come.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
};
use vhost_fuzz_core::vhost_user::{HEADER_LEN, Header};
use vhost_fuzz_core::wire::Reader;

/// Descriptors that the kernel passes on with one call at most (`SCM_MAX_FD`).
const FDS_MAX: usize = 253;

/// Bytes that are passed on at once.
const PIECE_MAX: usize = 0x1_0000;

/// What one call took from a socket, or one call puts into it.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
    /// There were more descriptors than could be received.
    pub(super) is_truncated: bool,
    /// A message begins with it.
    pub(super) begins: bool,
}

/// What a look at a socket has found.
#[derive(Debug)]
pub(super) enum Taken {
    Piece(Piece),
    /// Nothing for now.
    Nothing,
    /// There will be no more.
    End,
}

/// A direction.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The header of the message that is under way, as far as it has come.
    header: Vec<u8>,
    /// Bytes of its payload that are still to come.
    left: usize,
    /// Taken from one socket, and not yet put into the other.
    pub(super) pending: Option<Piece>,
    /// The socket that it comes from has ended.
    pub(super) has_ended: bool,
    /// The socket that it goes to was told so.
    pub(super) has_told: bool,
}

impl Lane {
    /// Whether the pieces so far end where a message does.
    pub(super) fn is_between(&self) -> bool {
        self.header.is_empty() && self.left == 0
    }

    /// Whether they end inside a header.
    pub(super) fn is_in_header(&self) -> bool {
        !self.header.is_empty()
    }

    /// Takes a piece of a message from a socket.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn take(&mut self, from: impl AsFd) -> Result<Taken, Errno> {
        let from = from.as_fd();
        let Some(want) = self.missing(from)? else { return Ok(Taken::Nothing) };
        let mut bytes = vec![0; want];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = match retry_on_intr(|| {
            recvmsg(from, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
        }) {
            Err(Errno::AGAIN) => return Ok(Taken::Nothing),
            other => other?,
        };
        let fds = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let fds = fds.flatten().collect();
        if received.bytes == 0 {
            return Ok(Taken::End);
        }
        bytes.truncate(received.bytes);
        let begins = self.is_between();
        self.count(&bytes);
        let is_truncated = received.flags.contains(ReturnFlags::CTRUNC);
        Ok(Taken::Piece(Piece { bytes, fds, is_truncated, begins }))
    }

    /// How much may be taken from a socket: no more than the message has. `None`: nothing is
    /// there yet.
    fn missing(&self, from: BorrowedFd<'_>) -> Result<Option<usize>, Errno> {
        if self.left > 0 {
            return Ok(Some(self.left.min(PIECE_MAX)));
        }
        let mut header = self.header.clone();
        let mut bytes = [0; HEADER_LEN];
        let rest = bytes.get_mut(header.len()..).unwrap_or_default();
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        let seen = match retry_on_intr(|| recv(from, &mut *rest, flags)) {
            Err(Errno::AGAIN) => return Ok(None),
            Ok((seen, _)) => seen,
            Err(error) => return Err(error),
        };
        header.extend(rest.get(..seen).unwrap_or_default());
        // At the end of the stream one byte is asked for, and none comes.
        Ok(Some((seen + payload(&header)).clamp(1, PIECE_MAX)))
    }

    /// Follows the messages.
    fn count(&mut self, bytes: &[u8]) {
        if self.left > 0 {
            self.left = self.left.saturating_sub(bytes.len());
            return;
        }
        let needed = HEADER_LEN - self.header.len();
        let (head, rest) = bytes.split_at(needed.min(bytes.len()));
        self.header.extend(head);
        if self.header.len() == HEADER_LEN {
            self.left = payload(&self.header).saturating_sub(rest.len());
            self.header.clear();
        }
    }

    /// Puts what is pending into a socket, as much as there is room for.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn put(&mut self, to: impl AsFd) -> Result<(), Errno> {
        let Some(piece) = &mut self.pending else { return Ok(()) };
        let to = to.as_fd();
        while !piece.bytes.is_empty() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds: Vec<_> = piece.fds.iter().map(AsFd::as_fd).collect();
            if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(Errno::INVAL);
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent =
                retry_on_intr(|| sendmsg(to, &[IoSlice::new(&piece.bytes)], &mut control, flags));
            match sent {
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error),
                Ok(sent) => {
                    piece.bytes.drain(..sent);
                    // They went with the first byte.
                    piece.fds.clear();
                }
            }
        }
        self.pending = None;
        Ok(())
    }
}

/// Bytes behind a header, if it is whole.
fn payload(header: &[u8]) -> usize {
    let header = header.first_chunk::<HEADER_LEN>();
    let header = header.and_then(|bytes| Header::read(&mut Reader::new(bytes)).ok());
    header.map_or(0, |header| usize::try_from(header.size).unwrap_or(usize::MAX - PIECE_MAX))
}
