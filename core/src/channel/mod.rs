//! The back-end channel, seen from the back-end: what it may ask, and what the answers mean
//! (spec §4, §6.6).
//!
//! A [`Channel`] does no I/O. It tells whether a request may be sent now and gives its bytes,
//! remembers which replies are due, and judges those that come. [`signal()`] tells which way a
//! used buffer or a ring error is made known.

mod awaited;
mod draft;
mod error;
mod notifier;
mod signal;

pub(crate) use awaited::Awaited;
pub use awaited::OrderError;
pub(crate) use draft::Draft;
pub use error::{ReplyError, SendError};
pub use notifier::Notifier;
pub use signal::{NOTIFICATION, Signal, signal};

use crate::vhost_user::features::protocol;
use crate::vhost_user::gate::Negotiated;
use crate::vhost_user::payload::{Iotlb, ShmemMap};
use crate::vhost_user::request::ReplyClass;
use crate::vhost_user::{BackendRequest as B, Frame, Kind, Layout, MAX_FDS, Message, Payload, Row};

/// The back-end's end of the back-end channel.
#[derive(Debug)]
pub struct Channel {
    is_open: bool,
    awaited: Awaited<()>,
    draft: Draft,
}

/// What the front-end answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<F> {
    /// The request.
    pub request: B,
    /// 0 for success.
    pub value: u64,
    /// The descriptor of a shared object that was found.
    pub fd: Option<F>,
}

impl Default for Channel {
    fn default() -> Self {
        Self::new()
    }
}

impl Channel {
    /// Most requests whose replies are outstanding at once (DC-067).
    pub const MAX_AWAITED: usize = 16;

    /// A channel that is not open. Its memory is allocated here.
    #[must_use]
    pub fn new() -> Self {
        Self { is_open: false, awaited: Awaited::new(Self::MAX_AWAITED), draft: Draft::new() }
    }

    /// `SET_BACKEND_REQ_FD` came. Replies of an earlier channel are not awaited any more.
    pub fn open(&mut self) {
        self.awaited.clear();
        self.is_open = true;
    }

    /// The channel or the connection ended.
    pub fn close(&mut self) {
        self.awaited.clear();
        self.is_open = false;
    }

    /// Whether requests can be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// How many replies are due.
    #[must_use]
    pub fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// Judges a request with so many descriptors before it is sent, and remembers that its reply
    /// is due, if one is. Returns the bytes to send with one call.
    ///
    /// `suspended` tells whether every ring is stopped; `page_size` is in bytes.
    ///
    /// # Errors
    /// The first rule that the request would break. It must not be sent then, and nothing is
    /// remembered.
    pub fn request(
        &mut self,
        message: &Message<'_>,
        fds: usize,
        negotiated: &Negotiated,
        suspended: bool,
        page_size: u64,
    ) -> Result<&[u8], SendError> {
        if !self.is_open {
            return Err(SendError::NotOpen); // VU-206
        }
        if fds > MAX_FDS {
            return Err(SendError::TooManyFds { fds }); // VU-204
        }
        let (message, len) =
            self.draft.judge(message, Kind::BACKEND_REQUEST, Layout::default(), fds)?;
        let row = message.row().ok_or(SendError::UnknownRequest { code: message.code })?;
        check_gate(row, &message, fds, negotiated)?;
        if suspended {
            return Err(SendError::Suspended { code: message.code }); // VU-075
        }
        check_fields(&message, page_size)?;
        let is_data = row.reply.class == ReplyClass::Data;
        if (is_data || message.flags.needs_reply()) && !self.awaited.push(message.code, ()) {
            return Err(SendError::TooManyAwaited { limit: Self::MAX_AWAITED });
        }
        Ok(self.draft.bytes(len))
    }

    /// Judges a reply of the front-end. Its descriptors are dropped with any error.
    ///
    /// # Errors
    /// It is no legal reply, or not to the oldest request that waits for one (VU-009, VU-010).
    /// Nobody can tell what later replies would mean: the channel is closed.
    pub fn on_reply<F>(&mut self, mut frame: Frame<'_, F>) -> Result<Response<F>, ReplyError> {
        let result = self.judge_reply(&frame);
        match result {
            Ok((request, value)) => Ok(Response { request, value, fd: frame.fds.pop() }),
            Err(error) => {
                self.close();
                Err(error)
            }
        }
    }

    fn judge_reply<F>(&mut self, frame: &Frame<'_, F>) -> Result<(B, u64), ReplyError> {
        if !self.is_open {
            return Err(ReplyError::NotOpen);
        }
        let fds = frame.fds.len();
        let reply = Message::decode(Kind::FRONTEND_REPLY, Layout::default(), frame.bytes, fds)
            .map_err(ReplyError::Decode)?;
        self.awaited.answer(reply.code).map_err(ReplyError::Order)?;
        match reply.payload {
            Payload::U64(value) => Ok((B(reply.code), value)),
            // Every request of this channel is answered with a u64, and no other id is awaited.
            _ => Err(ReplyError::Order(OrderError::Unasked { code: reply.code })),
        }
    }
}

/// What has to be negotiated for the request itself, its flags and its descriptors.
fn check_gate(
    row: &Row,
    message: &Message<'_>,
    fds: usize,
    negotiated: &Negotiated,
) -> Result<(), SendError> {
    let code = message.code;
    if let Some(rule) = closed_gate(row, negotiated) {
        return Err(SendError::Gate { code, rule });
    }
    if message.flags.needs_reply() && !negotiated.has_reply_ack() {
        return Err(SendError::NeedReply { code });
    }
    if fds > 0 && !negotiated.has(protocol::BACKEND_SEND_FD) {
        return Err(SendError::FdsNotNegotiated { code, fds }); // VU-205
    }
    Ok(())
}

/// The requirement that a request of the back-end channel breaks for want of a feature: all of
/// them need `BACKEND_REQ` (spec §4), and most another one.
pub(crate) fn closed_gate(row: &Row, negotiated: &Negotiated) -> Option<crate::rule::Rule> {
    // VU-196, VU-233, VU-234, VU-026
    let is_open = negotiated.has(protocol::BACKEND_REQ) && row.gate.lets_in(negotiated);
    (!is_open).then(|| row.gate.rule(negotiated))
}

fn check_fields(message: &Message<'_>, page_size: u64) -> Result<(), SendError> {
    let code = message.code;
    match (B(code), message.payload) {
        (B::IOTLB_MSG, Payload::Iotlb(iotlb)) => check_iotlb(&iotlb),
        (B::VRING_CALL | B::VRING_ERR, Payload::State(state)) if state.num != 0 => {
            Err(SendError::Num { code, num: state.num }) // VU-220
        }
        // VU-235. To remove a notifier no size is needed (DC-062).
        (B::VRING_HOST_NOTIFIER_MSG, Payload::Area(area))
            if !area.vring.has_no_fd() && area.size != page_size =>
        {
            Err(SendError::NotifierSize { size: area.size, page: page_size })
        }
        (B::SHMEM_MAP | B::SHMEM_UNMAP, Payload::ShmemMap(map)) => check_range(code, &map),
        _ => Ok(()),
    }
}

/// A miss and an access failure carry an address and what was wanted there. The user address of
/// a back-end's message stays a user address whatever was negotiated (VU-265): it is not judged.
fn check_iotlb(iotlb: &Iotlb) -> Result<(), SendError> {
    let Iotlb { kind, permissions, .. } = *iotlb;
    let wants_something = (1..=3).contains(&permissions);
    match kind {
        Iotlb::MISS if wants_something => Ok(()),
        Iotlb::MISS => Err(SendError::MissPermissions { permissions }), // VU-212
        Iotlb::ACCESS_FAIL if wants_something => Ok(()),
        Iotlb::ACCESS_FAIL => Err(SendError::AccessPermissions { permissions }), // VU-213
        _ => Err(SendError::IotlbKind { kind }),
    }
}

fn check_range(code: u32, map: &ShmemMap) -> Result<(), SendError> {
    let ShmemMap { shm_offset, len, flags, .. } = *map;
    if len == 0 || shm_offset.checked_add(len).is_none() {
        return Err(SendError::MapRange { code, offset: shm_offset, len }); // VU-241, VU-246
    }
    if B(code) == B::SHMEM_MAP && flags > ShmemMap::READ_WRITE {
        return Err(SendError::MapFlags { flags }); // VU-245
    }
    Ok(())
}

#[cfg(test)]
mod tests;
