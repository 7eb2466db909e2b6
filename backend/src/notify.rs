//! Calls and errors: by a descriptor, or as messages of the back-end channel (spec §6.13).
//!
//! A message asks for an acknowledgement, and nobody waits for it. The next one about the same
//! ring is sent when it has come, and stands for all that happened in between (DC-154). So few
//! messages are outstanding that a front-end which reads nothing cannot stop the device.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use arrayvec::ArrayVec;
use rustix::io::Errno;
use vhost_fuzz_core::channel::{Channel, Notifier, SendError, Signal, signal as way};
use vhost_fuzz_core::session::{Service, Session};
use vhost_fuzz_core::vhost_user::payload::VringState;
use vhost_fuzz_core::vhost_user::{BackendRequest, DEFAULT_PAYLOAD_LIMIT, Kind, Message, Payload};

use crate::Mapping;
use crate::event::signal;
use crate::socket::{ReceiveError, Receiver, send_now};

/// What a front-end is told about a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The driver has to look at used buffers.
    Call,
    /// The ring is broken.
    Error,
}

impl Notice {
    const fn request(self) -> BackendRequest {
        match self {
            Self::Call => BackendRequest::VRING_CALL,
            Self::Error => BackendRequest::VRING_ERR,
        }
    }
}

/// The back-end's end of the back-end channel.
#[derive(Debug)]
pub(crate) struct Notices {
    socket: Option<OwnedFd>,
    channel: Channel,
    receiver: Receiver,
    /// What was sent and not acknowledged, oldest first.
    sent: ArrayVec<(u32, Notice), { Channel::MAX_AWAITED }>,
}

impl Notices {
    /// No channel. Its memory is allocated here.
    pub(crate) fn new() -> Self {
        let receiver = Receiver::new(Kind::FRONTEND_REPLY, DEFAULT_PAYLOAD_LIMIT);
        Self {
            socket: None,
            channel: Channel::new(),
            receiver: receiver.without_waiting(),
            sent: ArrayVec::new(),
        }
    }

    /// The front-end has sent its end of a channel, which takes the place of an earlier one.
    pub(crate) fn open(&mut self, socket: OwnedFd) {
        self.close();
        self.channel.open();
        self.socket = Some(socket);
    }

    /// The channel is of no use any more. The main channel lives on.
    pub(crate) fn close(&mut self) {
        self.channel.close();
        self.receiver.reset(Kind::FRONTEND_REPLY);
        self.sent.clear();
        self.socket = None;
    }

    /// What to wait at for acknowledgements.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(|socket| socket.as_fd())
    }

    /// Tells the front-end about a ring. `false`: not now, because an acknowledgement is due. A
    /// descriptor that cannot be written to is the front-end's own fault.
    pub(crate) fn tell(
        &mut self,
        session: &Session<OwnedFd, Mapping>,
        index: u32,
        notice: Notice,
    ) -> bool {
        let Some(ring) = session.ring(index) else { return true };
        let notifier: &Notifier<OwnedFd> = match notice {
            Notice::Call => ring.call(),
            Notice::Error => ring.err(),
        };
        let is_started = session.service(index) != Service::Idle;
        let inband = session.has_inband_notifications();
        match way(is_started, session.is_suspended(), notifier, inband) {
            Signal::None => true,
            Signal::Fd(fd) => {
                let _ = signal(fd);
                true
            }
            Signal::Message => self.send(session, index, notice),
        }
    }

    fn send(&mut self, session: &Session<OwnedFd, Mapping>, index: u32, notice: Notice) -> bool {
        let Self { socket, channel, sent, .. } = self;
        // VU-206: without a channel there is nobody to tell.
        let Some(socket) = socket else { return true };
        if sent.contains(&(index, notice)) {
            return false;
        }
        let state = Payload::State(VringState { index, num: 0 }); // VU-220
        let message = Message::backend(notice.request(), state).with_need_reply();
        let (negotiated, page_size) = (session.negotiated(), session.offer().page_size);
        let is_suspended = session.is_suspended();
        match channel.request(&message, 0, negotiated, is_suspended, page_size) {
            Ok(bytes) => {
                if send_now(socket.as_fd(), bytes) == Ok(()) {
                    sent.push((index, notice));
                } else {
                    self.close();
                }
                true
            }
            Err(SendError::TooManyAwaited { .. }) => false,
            // Nothing else is wrong with a message that was asked for.
            Err(_) => true,
        }
    }

    /// Takes the acknowledgements that are there. What a front-end answers says nothing that a
    /// device could make use of; a wrong one, and the end of the stream, close the channel.
    pub(crate) fn receive(&mut self) {
        let Self { socket, channel, receiver, sent } = self;
        let Some(socket) = socket else { return };
        let is_over = loop {
            match receiver.receive(socket.as_fd()) {
                Ok(Some(frame)) => match channel.on_reply(frame) {
                    // Replies come in the order of their requests.
                    Ok(_) => drop(sent.pop_at(0)),
                    Err(_) => break true,
                },
                Err(ReceiveError::System(Errno::AGAIN)) => break false,
                Ok(None) | Err(_) => break true,
            }
        };
        if is_over {
            self.close();
        }
    }
}
