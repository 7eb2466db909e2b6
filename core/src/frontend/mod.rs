//! The front-end role: what a strict front-end sends, what replies mean, and how it serves the
//! back-end channel.
//!
//! A [`Frontend`] does no I/O. On the main channel, [`send`](Frontend::send) tells whether a
//! request may be sent now and gives its bytes; [`on_reply`](Frontend::on_reply) judges what
//! comes back and learns from it. On the back-end channel, [`on_request`](Frontend::on_request)
//! takes one request and gives one [`FrontendStep`]; where that is an effect, the caller does it
//! and answers with [`on_done`](Frontend::on_done).
//!
//! `F` is an owned descriptor and `M` an owned mapping, or what stands for them: dropping one
//! closes or unmaps it. All memory is allocated by [`Frontend::new`].

mod effect;
mod main_state;
mod objects;
mod regions;
mod reply;
mod reply_error;
mod request;
mod request_error;
mod rules;
mod send_error;
mod setup;
mod shmem;
mod transfer;

pub use effect::{FrontendDone, FrontendEffect, FrontendReply, FrontendStep};
pub use main_state::Postcopy;
pub use objects::{ObjectError, SharedObjects};
pub use reply::Answer;
pub use reply_error::ReplyError;
pub use request_error::RequestError;
pub use send_error::SendError;
pub use setup::Setup;
pub use shmem::{MapError, ShmemRange, SizesError};

use crate::channel::{Awaited, Draft};
use crate::session::EffectError;
use crate::vhost_user::features::virtio;
use crate::vhost_user::gate::Negotiated;
use crate::vhost_user::{Frame, FrontendRequest as R, HEADER_LEN, Kind, Layout, Message, Payload};
use main_state::{Main, Note};
use request::BackendChannel;
use rules::Checks;
use transfer::Transfer;

/// The front-end of one connection.
#[derive(Debug)]
pub struct Frontend<F, M> {
    setup: Setup,
    is_closed: bool,
    main: Main,
    awaited: Awaited<Note>,
    draft: Draft,
    transfer: Transfer<F>,
    channel: BackendChannel<M>,
}

impl<F, M> Frontend<F, M> {
    /// Most requests whose replies are outstanding at once (DC-067).
    pub const MAX_AWAITED: usize = 64;

    /// A front-end that has just connected.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            is_closed: false,
            main: Main::new(&setup),
            awaited: Awaited::new(Self::MAX_AWAITED),
            draft: Draft::new(),
            transfer: Transfer::None,
            channel: BackendChannel::new(&setup),
        }
    }

    /// The connection ended: back to [`new`](Self::new). What this back-end exported is gone
    /// (DC-064), and so are its mappings.
    pub fn reset(&mut self, objects: &mut SharedObjects) {
        objects.forget(self.setup.owner);
        self.is_closed = false;
        self.main.reset();
        self.awaited.clear();
        self.transfer = Transfer::None;
        self.channel.reset();
    }

    /// What was learned and chosen.
    #[must_use]
    pub const fn negotiated(&self) -> &Negotiated {
        &self.main.negotiated
    }

    /// The features that a virtio driver may be offered: bit 30 is not among them (VU-051).
    #[must_use]
    pub const fn driver_offer(&self) -> u64 {
        self.main.negotiated.offered_virtio & !virtio::PROTOCOL_FEATURES
    }

    /// How the next reply on the main channel is laid out.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.main.layout()
    }

    /// Whether the connection has to be closed: after a wrong reply (VU-022), or because a
    /// message was not sent whole (VU-021).
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// How many replies are due on the main channel.
    #[must_use]
    pub fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// Where a postcopy migration is.
    #[must_use]
    pub const fn postcopy(&self) -> Postcopy {
        self.main.postcopy
    }

    /// Judges a request with so many descriptors before it is sent. If it may be sent, it counts
    /// as sent: its reply is awaited, and later requests are judged by what it changes. Returns
    /// the bytes to send with one call.
    ///
    /// # Errors
    /// The first rule that the request would break; it must not be sent then, or not by a
    /// careful front-end where [`is_advice`](SendError::is_advice). Nothing has changed.
    pub fn send(
        &mut self,
        message: &Message<'_>,
        fds: usize,
        objects: &SharedObjects,
    ) -> Result<&[u8], SendError> {
        let len = self.note(message, fds, Some(objects))?;
        Ok(self.draft.bytes(len))
    }

    /// Counts a request as sent without judging it: for who watches a front-end that is not this
    /// one, and for the advice that a caller does not take.
    ///
    /// # Errors
    /// The connection is closed, the bytes are no message, or too many replies are outstanding.
    pub fn sent(&mut self, message: &Message<'_>, fds: usize) -> Result<(), SendError> {
        self.note(message, fds, None).map(drop)
    }

    /// Judges a request where `objects` are given, and notes it; returns its length in bytes.
    fn note(
        &mut self,
        message: &Message<'_>,
        fds: usize,
        objects: Option<&SharedObjects>,
    ) -> Result<usize, SendError> {
        if self.is_closed {
            return Err(SendError::Closed);
        }
        let layout = self.main.layout();
        let (message, len) = self
            .draft
            .judge(message, Kind::FRONTEND_REQUEST, layout, fds)
            .map_err(SendError::from_decode)?;
        if let Some(objects) = objects {
            let (setup, main) = (&self.setup, &self.main);
            let checks = Checks { setup, main, transfer: self.transfer.state(), objects };
            checks.check(&message, fds, len - HEADER_LEN)?;
        }
        if self.awaited.is_full() && self.main.awaits(&message) {
            return Err(SendError::TooManyAwaited { limit: Self::MAX_AWAITED });
        }
        if let Some(note) = self.main.sent(&message) {
            self.awaited.push(message.code, note);
        }
        match (R(message.code), message.payload) {
            (R::SET_BACKEND_REQ_FD, _) => self.channel.open(),
            // VU-244, DC-068
            (R::RESET_DEVICE, _) | (R::SET_STATUS, Payload::U64(0)) => {
                self.on_device_reset();
            }
            (R::SET_DEVICE_STATE_FD, _) => self.transfer.asked(),
            (R::CHECK_DEVICE_STATE, _) => self.transfer.checked(),
            _ => {}
        }
        Ok(len)
    }

    /// A message was not sent whole: the connection is to be closed (VU-021).
    pub fn on_send_failed(&mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.awaited.clear();
        self.transfer = Transfer::None;
        self.channel.close();
    }

    /// The device was reset by other means than a message, such as a reset of the machine: what
    /// the back-end mapped goes (VU-244). `RESET_DEVICE` and `SET_STATUS` 0 do it by themselves
    /// (DC-068).
    pub fn on_device_reset(&mut self) {
        self.main.on_device_reset();
        self.channel.on_device_reset();
    }

    /// Gives the front-end's own end of a device state channel into its keeping, before
    /// `SET_DEVICE_STATE_FD` is sent. A descriptor in the reply replaces it (VU-163).
    pub fn keep_transfer_channel(&mut self, fd: F) {
        self.transfer.keep(fd);
    }

    /// The channel of a transfer that was accepted.
    #[must_use]
    pub const fn transfer_channel(&self) -> Option<&F> {
        self.transfer.channel()
    }

    /// All data was transferred: the front-end has read to the end of the stream (VU-168), or
    /// has written everything. The channel is closed by this (VU-167), and `CHECK_DEVICE_STATE`
    /// may be sent (VU-170).
    pub fn on_transfer_end(&mut self) {
        self.transfer.end();
    }

    /// Whether requests of the back-end channel are taken.
    #[must_use]
    pub const fn is_channel_open(&self) -> bool {
        self.channel.is_open()
    }

    /// Whether an effect is pending: no request of the back-end channel is taken now (DC-069).
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.channel.is_busy()
    }

    /// The mapping of the host notifier of a ring.
    #[must_use]
    pub fn notifier(&self, index: u32) -> Option<&M> {
        self.channel.notifier(index)
    }

    /// What the back-end has mapped into shared memory regions.
    #[must_use]
    pub fn mappings(&self) -> &[(ShmemRange, M)] {
        self.channel.shmem.mappings()
    }

    /// Handles one request of the back-end channel. Descriptors that no effect hands over are
    /// dropped (VU-019).
    pub fn on_request(
        &mut self,
        frame: Frame<'_, F>,
        objects: &mut SharedObjects,
    ) -> FrontendStep<'_, F> {
        self.channel.on_request(frame, &self.setup, &self.main.negotiated, objects)
    }

    /// Goes on after the effect that [`on_request`](Self::on_request) needed. Without one, the
    /// result is dropped and nothing is due.
    pub fn on_done(
        &mut self,
        result: Result<FrontendDone<F, M>, EffectError>,
    ) -> FrontendStep<'_, F> {
        self.channel.on_done(result)
    }
}

#[cfg(test)]
mod tests;
