//! A back-end that serves one connection on a socket, one message at a time.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use arrayvec::ArrayVec;
use rustix::io::{Errno, retry_on_intr, write};
use vhost_fuzz_core::session::{Done, Offer, OfferError, Position, Refusal, Reply, Session, Step};
use vhost_fuzz_core::session::{Effect, Service};
use vhost_fuzz_core::vhost_user::{DEFAULT_PAYLOAD_LIMIT, Kind};

use super::{Host, Mapping, ReceiveError, Receiver, send};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// No reply was due.
    Silent,
    /// One reply was sent; with the reason if it says no.
    Replied(Option<Refusal>),
    /// The request was refused so that the connection has to be closed.
    Closed(Refusal),
    /// The front-end closed the connection, between two messages.
    Ended,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeError {
    /// Nothing more can be received. `EAGAIN` of a socket that does not block is no end: the
    /// next call goes on.
    Receive(ReceiveError),
    /// A reply could not be sent as a whole (VU-021).
    Send(Errno),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(error) => error.fmt(f),
            Self::Send(error) => write!(f, "sendmsg: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// How an answer leaves. Broken implementations have another way than [`AsItIs`].
pub trait Delivery {
    /// Sends what the session answers to the request with these first bytes.
    ///
    /// # Errors
    /// Those of [`send`].
    fn deliver(
        &mut self,
        socket: BorrowedFd<'_>,
        request: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno>;
}

/// Id and flags of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Message id.
    pub code: u32,
    /// Flags as they came.
    pub flags: u32,
}

impl Head {
    #[inline]
    fn of(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            bytes
                .get(at..)
                .and_then(<[u8]>::first_chunk)
                .map_or(0, |word| u32::from_ne_bytes(*word))
        };
        Self { code: word(0), flags: word(4) }
    }
}

/// Replies leave as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsItIs;

impl Delivery for AsItIs {
    #[inline]
    fn deliver(
        &mut self,
        socket: BorrowedFd<'_>,
        _: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno> {
        let Some(Reply { bytes, fd, .. }) = reply else { return Ok(()) };
        let fds: ArrayVec<_, 1> = fd.iter().map(AsFd::as_fd).collect();
        send(socket, bytes, &fds)
    }
}

/// A back-end on a socket. Everything is allocated by [`new`](Self::new); a message costs
/// nothing but system calls and what its effects take.
#[derive(Debug)]
pub struct Server<D = AsItIs> {
    receiver: Receiver,
    session: Session<OwnedFd, Mapping>,
    host: Host,
    delivery: D,
}

impl<D: Delivery> Server<D> {
    /// A back-end for one connection after another. The device's configuration space is
    /// `config`, as many bytes as the offer says.
    ///
    /// # Errors
    /// When no device may make this offer.
    pub fn new(offer: Offer, config: &[u8], delivery: D) -> Result<Self, OfferError> {
        let host = Host::new(config, offer.page_size);
        let receiver = Receiver::new(Kind::FRONTEND_REQUEST, DEFAULT_PAYLOAD_LIMIT);
        Ok(Self { receiver, session: Session::new(offer)?, host, delivery })
    }

    /// Forgets the connection; the next message is the first of a new one.
    pub fn reset(&mut self) {
        self.receiver.reset(Kind::FRONTEND_REQUEST);
        self.session.reset();
        self.host.reset();
    }

    /// Receives one message from the socket, does what it asks for and sends the reply that is
    /// due, if one is: one at most, before the next message is looked at (VU-010).
    ///
    /// # Errors
    /// When the connection cannot go on. The caller closes it, as after [`Served::Closed`].
    #[inline]
    pub fn serve_one(&mut self, socket: BorrowedFd<'_>) -> Result<Served, ServeError> {
        let Self { receiver, session, host, delivery } = self;
        let Some(frame) = receiver.receive(socket).map_err(ServeError::Receive)? else {
            return Ok(Served::Ended);
        };
        let head = Head::of(frame.bytes);
        let mut step = session.on_frame(frame);
        let (reply, served) = loop {
            match step {
                Step::Need(Effect::StopRing { index, .. }) => {
                    let base = reached(session, index);
                    step = session.on_done(Ok(Done::Base(base)));
                }
                Step::Need(effect) => {
                    let result = host.perform(effect);
                    step = session.on_done(result);
                }
                Step::Silent => break (None, Served::Silent),
                Step::Reply(reply) => {
                    let refusal = reply.refusal;
                    break (Some(reply), Served::Replied(refusal));
                }
                Step::Close(refusal) => return Ok(Served::Closed(refusal)),
            }
        };
        delivery.deliver(socket, head, reply).map_err(ServeError::Send)?;
        Ok(served)
    }

    /// Tells the driver that ring `index` has used buffers: an 8-byte write to the descriptor
    /// given last (VU-015, VU-103). Says whether there was anything to write to: a stopped ring
    /// is silent (VU-074), and so is one without a call descriptor (VU-104).
    ///
    /// # Errors
    /// What the write says. A counter that is full has been heard already and is none.
    pub fn call(&self, index: u32) -> Result<bool, Errno> {
        if self.session.service(index) == Service::Idle {
            return Ok(false);
        }
        let Some(fd) = self.session.ring(index).and_then(|ring| ring.call().fd()) else {
            return Ok(false);
        };
        match retry_on_intr(|| write(fd, &1_u64.to_ne_bytes())) {
            Ok(_) | Err(Errno::AGAIN) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// What the front-end said so far.
    #[must_use]
    pub fn session(&self) -> &Session<OwnedFd, Mapping> {
        &self.session
    }

    /// The device.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }
}

/// Where a device that has processed nothing stands: where it was told to begin. Before
/// `SET_FEATURES` nobody knows how to read that.
fn reached<F, M>(session: &Session<F, M>, index: u32) -> u32 {
    match session.negotiated().virtio {
        Some(_) => session.position(index).map_or(0, Position::base),
        None => session.ring(index).map_or(0, |ring| ring.base()),
    }
}
