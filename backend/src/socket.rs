//! Receiving and sending on a real socket (spec §1.7), in safe code.

use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use vhost_fuzz_core::vhost_user::{Frame, FrameError, Framer, HEADER_LEN, Kind, MAX_FDS, Segment};

/// Bytes of a `cmsghdr` on a 64-bit Linux: length (8), level (4), type (4).
const CMSG_HEADER_LEN: usize = 16;

/// `CMSG_LEN` of one descriptor more than any message carries, so that a message with too many
/// is told from one whose descriptors the kernel cut off (spec §1.7 step 1).
const CONTROL_LEN: usize = CMSG_HEADER_LEN + (MAX_FDS + 1) * size_of::<i32>();

/// Room for the control data of one call, aligned as a `cmsghdr`, so that all of it is used.
#[repr(align(8))]
struct Control([MaybeUninit<u8>; CONTROL_LEN]);

impl Control {
    const fn new() -> Self {
        Self([MaybeUninit::uninit(); CONTROL_LEN])
    }
}

/// Why nothing more comes out of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// The stream breaks a rule; every later call returns the same error.
    Frame(FrameError),
    /// A system call failed. After `EAGAIN` the next call goes on where this one stopped.
    System(Errno),
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "{error}"),
            Self::System(error) => write!(f, "recvmsg: {error}"),
        }
    }
}

impl std::error::Error for ReceiveError {}

impl From<FrameError> for ReceiveError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<Errno> for ReceiveError {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

/// Takes whole messages, with their descriptors, from a socket. It allocates in
/// [`new`](Self::new) only.
#[derive(Debug)]
pub struct Receiver {
    framer: Framer<OwnedFd>,
    buffer: Box<[u8]>,
    flags: RecvFlags,
}

impl Receiver {
    /// A receiver of messages of one kind with payloads of at most `limit` bytes.
    #[must_use]
    pub fn new(kind: Kind, limit: u32) -> Self {
        let payload = usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            framer: Framer::new(kind, limit),
            buffer: vec![0; payload.max(HEADER_LEN)].into_boxed_slice(),
            flags: RecvFlags::CMSG_CLOEXEC,
        }
    }

    /// The same, but a call that would have to wait ends in `EAGAIN`, also on a socket that
    /// blocks. The next one goes on there.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.flags |= RecvFlags::DONTWAIT;
        self
    }

    /// The next message, or `None` when the peer closed the socket between two messages.
    ///
    /// A call reads no more than what is missing from the header, then from the payload, so that
    /// descriptors stay with their message (spec §1.1); any split is put together (VU-013).
    ///
    /// # Errors
    /// The first rule that the stream breaks, or what a system call says; `EINTR` is retried.
    #[inline]
    pub fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
    ) -> Result<Option<Frame<'_, OwnedFd>>, ReceiveError> {
        while !self.framer.is_whole() {
            // A framer that has failed misses nothing and says why.
            let missing = self.framer.missing().min(self.buffer.len());
            if missing == 0 || !self.read(socket, missing)? {
                self.framer.finish()?;
                return Ok(None);
            }
        }
        Ok(self.framer.take())
    }

    /// Reads at most `missing` bytes with one call; says whether the stream goes on.
    #[inline]
    fn read(&mut self, socket: BorrowedFd<'_>, missing: usize) -> Result<bool, ReceiveError> {
        let Self { framer, buffer, flags } = self;
        let mut space = Control::new();
        let mut control = RecvAncillaryBuffer::new(&mut space.0);
        let buffer = buffer.get_mut(..missing).unwrap_or_default();
        let received = retry_on_intr(|| {
            let pieces = &mut [IoSliceMut::new(buffer)];
            recvmsg(socket, pieces, &mut control, *flags)
        })?;
        if received.bytes == 0 {
            return Ok(false);
        }
        let bytes = buffer.get(..received.bytes).unwrap_or_default();
        // Those that the framer does not take are closed when the iterator is dropped (VU-019).
        let fds = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let control_truncated = received.flags.contains(ReturnFlags::CTRUNC);
        framer.push(Segment { bytes, fds: fds.flatten(), control_truncated })?;
        Ok(true)
    }

    /// Forgets the stream, as for a new connection. What it held is closed.
    pub fn reset(&mut self, kind: Kind) {
        self.framer.reset(kind);
    }
}

/// Sends one message with its descriptors, by one `sendmsg` if the socket has room: peers exist
/// that take a header and a payload with one `recv` each (VU-261). What a full socket did not take
/// follows, without the descriptors, which went with the first byte (VU-017).
///
/// # Errors
/// What the system call says, `EPIPE` for a socket that the peer closed, and `EINVAL` for more
/// than [`MAX_FDS`] descriptors. The connection cannot be used after one (VU-021).
#[inline]
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = Control::new();
    let mut control = SendAncillaryBuffer::new(&mut space.0);
    if !fds.is_empty()
        && (fds.len() > MAX_FDS || !control.push(SendAncillaryMessage::ScmRights(fds)))
    {
        return Err(Errno::INVAL);
    }
    let mut rest = bytes;
    loop {
        let sent = retry_on_intr(|| {
            sendmsg(socket, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL)
        })?;
        rest = rest.get(sent..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        control.clear();
    }
}

/// Sends one short message, without descriptors, without waiting.
///
/// # Errors
/// What the system call says, and `EAGAIN` when the socket has no room for all of it. The
/// connection cannot be used after one (VU-021).
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = retry_on_intr(|| rustix::net::send(socket, bytes, flags))?;
    if sent == bytes.len() { Ok(()) } else { Err(Errno::AGAIN) }
}
