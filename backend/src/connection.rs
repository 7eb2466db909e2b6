//! One front-end, from its first message to its last.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use vhost_fuzz_core::channel::Notifier;
use vhost_fuzz_core::memory::Backing;
use vhost_fuzz_core::session::{Done, Effect, Position, Refusal, Reply, Service, Session, Step};
use vhost_fuzz_core::vhost_user::{DEFAULT_PAYLOAD_LIMIT, Kind};

use crate::device::{Device, Rings};
use crate::event::{NOW, consume};
use crate::host::Host;
use crate::mapping::Mapping;
use crate::notify::Notice;
use crate::offer::{self, DeviceError};
use crate::socket::{ReceiveError, Receiver, send};
use crate::vring::{Memory, Vring};

/// Most rings of an offer.
const MAX_RINGS: usize = 256;

/// How long a front-end may leave a reply in its socket.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the thread sleeps while a ring has no kick and is to be polled (VU-100).
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The front-end closed it, between two messages.
    Closed,
    /// It sent a request after which the connection has to be closed.
    Refused(Refusal),
    /// We were told to stop.
    Stopped,
    /// It has shortened a file that it shares with us (HZ-46).
    MemoryLost,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeError {
    /// Nothing more can be received.
    Receive(ReceiveError),
    /// A reply could not be sent as a whole (VU-021).
    Send(Errno),
    /// The thread cannot sleep.
    Poll(Errno),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(error) => error.fmt(f),
            Self::Send(error) => write!(f, "sendmsg: {error}"),
            Self::Poll(error) => write!(f, "poll: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// A device and what it takes to serve one front-end after another. Everything but what a
/// front-end hands over is allocated by [`new`](Self::new).
#[derive(Debug)]
pub struct Connection<D> {
    receiver: Receiver,
    session: Session<OwnedFd, Mapping>,
    host: Host<D>,
}

impl<D: Device> Connection<D> {
    /// A device that serves nobody yet.
    ///
    /// # Errors
    /// When no device may make its offer, and when this back-end would not do what it offers.
    pub fn new(device: D) -> Result<Self, DeviceError> {
        let offer = device.offer();
        offer::check(&offer)?;
        let host = Host::new(device, &offer);
        let receiver = Receiver::new(Kind::FRONTEND_REQUEST, DEFAULT_PAYLOAD_LIMIT);
        Ok(Self { receiver: receiver.without_waiting(), session: Session::new(offer)?, host })
    }

    /// The device.
    pub const fn device(&self) -> &D {
        &self.host.device
    }

    /// What the front-end said so far.
    pub const fn session(&self) -> &Session<OwnedFd, Mapping> {
        &self.session
    }

    /// Serves a front-end until it is gone, or until `stop` can be read. Nothing of it is left
    /// afterwards: no descriptor, no mapping.
    ///
    /// # Errors
    /// Why the connection cannot go on.
    pub fn serve(
        &mut self,
        socket: BorrowedFd<'_>,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<End, ServeError> {
        set_socket_timeout(socket, Timeout::Send, Some(SEND_TIMEOUT)).map_err(ServeError::Poll)?;
        let end = loop {
            match self.turn(socket, stop) {
                Ok(None) => {}
                Ok(Some(end)) => break Ok(end),
                Err(error) => break Err(error),
            }
        };
        self.receiver.reset(Kind::FRONTEND_REQUEST);
        self.host.reset();
        self.session.reset();
        end
    }

    /// Works, sleeps, and looks who woke it.
    fn turn(
        &mut self,
        socket: BorrowedFd<'_>,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Option<End>, ServeError> {
        let has_more = self.work();
        if self.is_memory_lost() {
            return Ok(Some(End::MemoryLost));
        }
        let woken = self.sleep(socket, stop, has_more).map_err(ServeError::Poll)?;
        if woken.is_stopped {
            return Ok(Some(End::Stopped));
        }
        if woken.is_answered {
            self.host.notices.receive();
        }
        self.consume_kicks(&woken.kicks);
        if woken.is_spoken_to { self.serve_message(socket) } else { Ok(None) }
    }

    /// Whether something that is mapped is not in its file any more.
    fn is_memory_lost(&self) -> bool {
        let Self { session, host, .. } = self;
        let mut regions = session.memory().slots().iter();
        let is_lost = |backing: &Memory| match backing {
            Backing::Mapped(mapping) => mapping.is_lost(),
            Backing::OnDemand(_) => false,
        };
        regions.any(|slot| is_lost(&slot.backing))
            || session.log().is_some_and(|log| log.mapping.is_lost())
            || session.inflight().is_some_and(|area| area.mapping.is_lost())
            || host.vrings.iter().any(Vring::is_region_lost)
    }

    /// Gives every ring with work one wake-up. Says whether there is more.
    fn work(&mut self) -> bool {
        let Self { session, host, .. } = self;
        let Host { device, vrings, notices, .. } = host;
        for index in 0..vrings.len() {
            if vrings.get_mut(index).is_some_and(|vring| std::mem::take(&mut vring.due.work))
                && let Ok(index) = u16::try_from(index)
            {
                device.process(index, &mut Rings { session, vrings });
            }
        }
        let mut has_more = false;
        for (index, vring) in (0..).zip(&mut **vrings) {
            let due = &mut vring.due;
            has_more |= due.work;
            // What cannot be told now is told when an acknowledgement has come.
            due.call = due.call && !notices.tell(session, index, Notice::Call);
            due.error = due.error && !notices.tell(session, index, Notice::Error);
        }
        has_more
    }

    /// Sleeps until there is something to do.
    fn sleep(
        &self,
        socket: BorrowedFd<'_>,
        stop: Option<BorrowedFd<'_>>,
        has_more: bool,
    ) -> Result<Woken, Errno> {
        let mut fds = ArrayVec::<PollFd<'_>, { MAX_RINGS + 3 }>::new();
        let mut rings = ArrayVec::<u32, MAX_RINGS>::new();
        let mut is_polling = false;
        fds.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
        fds.extend(stop.map(|stop| PollFd::from_borrowed_fd(stop, PollFlags::IN)));
        let channel = self.host.notices.socket();
        fds.extend(channel.map(|channel| PollFd::from_borrowed_fd(channel, PollFlags::IN)));
        let vrings = self.session.rings().iter().zip(&*self.host.vrings);
        for (index, (ring, vring)) in (0..).zip(vrings).take(MAX_RINGS) {
            if ring.state().service() == Service::Idle || vring.is_deaf {
                continue;
            }
            match ring.kick() {
                Notifier::Fd(fd) => {
                    fds.push(PollFd::new(fd, PollFlags::IN));
                    rings.push(index);
                }
                Notifier::Flag => is_polling = true,
                Notifier::None => {}
            }
        }
        let timeout = match (has_more, is_polling) {
            (true, _) => Some(&NOW),
            (false, true) => Some(&POLL_INTERVAL),
            (false, false) => None,
        };
        retry_on_intr(|| poll(&mut fds, timeout))?;
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Woken {
            is_spoken_to: ready.next() == Some(true),
            is_stopped: stop.is_some() && ready.next() == Some(true),
            is_answered: channel.is_some() && ready.next() == Some(true),
            kicks: rings
                .iter()
                .zip(ready)
                .filter(|(_, ready)| *ready)
                .map(|(ring, _)| *ring)
                .collect(),
        })
    }

    /// Notes which rings were kicked.
    fn consume_kicks(&mut self, kicks: &[u32]) {
        let Self { session, host, .. } = self;
        for (index, vring) in (0..).zip(&mut *host.vrings) {
            let Some(ring) = session.ring(index) else { continue };
            match ring.kick() {
                Notifier::Fd(fd) if kicks.contains(&index) => {
                    // A descriptor that is of no use would wake us all the time.
                    vring.is_deaf = !consume(fd).unwrap_or(false);
                    vring.due.work = true;
                }
                Notifier::Flag if ring.state().service() != Service::Idle => vring.due.work = true,
                _ => {}
            }
        }
    }

    /// Receives one message, does what it asks for and sends the reply that is due, if one is:
    /// one at most, before the next message is looked at (VU-010).
    fn serve_message(&mut self, socket: BorrowedFd<'_>) -> Result<Option<End>, ServeError> {
        let Self { receiver, session, host } = self;
        let frame = match receiver.receive(socket) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(Some(End::Closed)),
            Err(ReceiveError::System(Errno::AGAIN)) => return Ok(None),
            Err(error) => return Err(ServeError::Receive(error)),
        };
        let mut step = session.on_frame(frame);
        loop {
            match step {
                Step::Need(Effect::StopRing { index, .. }) => {
                    // Nothing is in flight between two wake-ups, so there is nothing to drain.
                    let position = usize::try_from(index).ok();
                    let vring = position.and_then(|index| host.vrings.get_mut(index));
                    let stopped = vring.and_then(Vring::stop).map(Position::base);
                    let base = stopped.unwrap_or_else(|| reached(session, index));
                    step = session.on_done(Ok(Done::Base(base)));
                }
                Step::Need(effect) => {
                    let result = host.perform(effect);
                    step = session.on_done(result);
                }
                Step::Silent => return Ok(None),
                Step::Reply(Reply { bytes, fd, .. }) => {
                    let fds: ArrayVec<_, 1> = fd.iter().map(AsFd::as_fd).collect();
                    return send(socket, bytes, &fds).map(|()| None).map_err(ServeError::Send);
                }
                Step::Close(refusal) => return Ok(Some(End::Refused(refusal))),
            }
        }
    }
}

/// Who woke the thread.
struct Woken {
    is_spoken_to: bool,
    is_stopped: bool,
    is_answered: bool,
    kicks: ArrayVec<u32, MAX_RINGS>,
}

/// Where a ring stands that never ran: where it was told to begin. Before `SET_FEATURES` nobody
/// knows how to read that.
fn reached(session: &Session<OwnedFd, Mapping>, index: u32) -> u32 {
    match session.negotiated().virtio {
        Some(_) => session.position(index).map_or(0, Position::base),
        None => session.ring(index).map_or(0, |ring| ring.base()),
    }
}
