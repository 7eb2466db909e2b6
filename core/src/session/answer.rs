//! Replies: when one is due, what it says, and the buffer it is built in.

use super::NO_INFLIGHT;
use super::effect::Effect;
use super::offer::Offer;
use super::refusal::Refusal;
use crate::vhost_user::payload::{Config, CryptoSession};
use crate::vhost_user::request::{ReplyClass, Row};
use crate::vhost_user::{
    Channel, DEFAULT_PAYLOAD_LIMIT, Flags, FrontendRequest as R, HEADER_LEN, Header, Message,
    Payload,
};
use crate::wire::{Sink, SliceSink};

/// What a session wants after a message or the result of an effect.
#[derive(Debug)]
#[must_use]
pub enum Step<'a, F> {
    /// Nothing is due; the next message may come.
    Silent,
    /// Send this reply, whole and with one call (VU-261); then the next message may come.
    Reply(Reply<'a, F>),
    /// Do this and answer with [`Session::on_done`](super::Session::on_done).
    Need(Effect<'a, F>),
    /// Close the connection.
    Close(Refusal),
}

/// A reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a, F> {
    /// Header and payload.
    pub bytes: &'a [u8],
    /// A descriptor to attach to the first byte.
    pub fd: Option<F>,
    /// Why the request was refused, if it was.
    pub refusal: Option<Refusal>,
}

/// What is owed to the sender of a request (spec §1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// No reply at all (VU-027).
    Nothing,
    /// A u64: 0 for success (VU-032, VU-033).
    Ack,
    /// A reply of its own, whatever the flags say (VU-028, VU-034).
    Data,
}

impl Due {
    /// What an acknowledgement-class request is owed.
    #[inline]
    pub(super) const fn ack(flags: Flags, has_reply_ack: bool) -> Self {
        if has_reply_ack && flags.needs_reply() { Self::Ack } else { Self::Nothing }
    }
}

/// A request that is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) code: R,
    pub(super) due: Due,
}

impl Asked {
    /// What a request of a row is owed; `is_conditional_data` decides those that are answered
    /// with data under a condition.
    #[inline]
    pub(super) fn new(
        row: Option<&Row>,
        code: u32,
        flags: Flags,
        has_reply_ack: bool,
        is_conditional_data: bool,
    ) -> Self {
        let ack = Due::ack(flags, has_reply_ack);
        let due = match row.map(|row| row.reply.class) {
            Some(ReplyClass::Data) => Due::Data,
            Some(ReplyClass::Conditional) if is_conditional_data => Due::Data,
            // VU-263: answered whenever it asks, also without REPLY_ACK.
            _ if R(code) == R::POSTCOPY_LISTEN && flags.needs_reply() => Due::Ack,
            _ => ack,
        };
        Self { code: R(code), due }
    }
}

/// How handling a message went on.
#[derive(Debug)]
pub(super) enum Next<'a, F> {
    /// It succeeded. An acknowledgement, or a status of 0, follows if one is due.
    Success,
    /// The reply is in the buffer, so many bytes of it.
    Answer(usize, Option<F>),
    /// An effect is needed first.
    Need(Effect<'a, F>),
}

/// Where replies are built. It holds the longest.
#[derive(Debug)]
pub(super) struct Buffer(Box<[u8]>);

/// The reply of a transfer that failed: an error in bits 0-7, and bit 8 because there is no
/// descriptor (VU-160, VU-161).
const TRANSFER_FAILED: u64 = 0x101;

/// Any non-zero number tells of a failure (VU-033).
const NACK: u64 = 1;

/// A crypto session of zeros with session id -1 (VU-248).
static NO_CRYPTO: [u8; CryptoSession::LEN as usize] = crypto(-1);

/// A crypto session of zeros with this id. The parameters of the request hold pointers of the
/// front-end; none of them goes back.
pub(super) const fn crypto(id: i64) -> [u8; CryptoSession::LEN as usize] {
    let mut bytes = [0; CryptoSession::LEN as usize];
    let id = id.to_ne_bytes();
    let mut at = 0;
    while at < id.len() {
        bytes[bytes.len() - 8 + at] = id[at];
        at += 1;
    }
    bytes
}

impl Buffer {
    pub(super) fn new() -> Self {
        let len = HEADER_LEN + DEFAULT_PAYLOAD_LIMIT as usize;
        Self(vec![0; len].into_boxed_slice())
    }

    #[inline]
    pub(super) fn bytes(&self, len: usize) -> &[u8] {
        self.0.get(..len).unwrap_or_default()
    }

    /// Builds a reply; returns its length. Every reply of a session fits: the longest has 4096
    /// bytes of payload, because a configuration window is limited to that.
    #[inline]
    pub(super) fn put(&mut self, code: R, payload: Payload<'_>) -> usize {
        let reply = Message::reply(Channel::Main, code.0, payload);
        let written = reply.encode(&mut self.0);
        debug_assert!(written.is_ok(), "{reply:?} does not fit");
        written.unwrap_or(0)
    }

    /// Builds the reply to `GET_CONFIG`: as many bytes as the window has, first those of its
    /// payload, then zeros.
    pub(super) fn put_window(&mut self, window: &Config<'_>) -> usize {
        static ZEROS: [u8; Offer::CONFIG_LIMIT as usize] = [0; Offer::CONFIG_LIMIT as usize];
        let Config { offset, size, flags, payload } = *window;
        let len = usize::try_from(size).unwrap_or(usize::MAX).min(ZEROS.len());
        let data = payload.get(..len).unwrap_or(payload);
        let size = Config::PREFIX_LEN.saturating_add(size);
        let header = Header { code: R::GET_CONFIG.0, flags: Flags::REPLY, size };
        let mut sink = SliceSink::new(&mut self.0);
        header.write(&mut sink);
        sink.ne_u32(offset);
        sink.ne_u32(window.size);
        sink.ne_u32(flags);
        sink.put(data);
        sink.put(ZEROS.get(data.len()..len).unwrap_or_default());
        HEADER_LEN + Config::PREFIX_LEN as usize + len
    }

    /// Puts another number into a reply that is being built.
    pub(super) fn patch(&mut self, offset: usize, number: u64) {
        let bytes = number.to_ne_bytes();
        if let Some(place) = self.0.get_mut(offset..).and_then(|rest| rest.first_chunk_mut()) {
            *place = bytes;
        }
    }

    /// Builds the answer to a request that succeeded, if one is due.
    #[inline]
    pub(super) fn success(&mut self, asked: Asked) -> Option<usize> {
        match asked.due {
            Due::Nothing => None,
            Due::Ack | Due::Data => Some(self.put(asked.code, Payload::U64(0))),
        }
    }

    /// Builds the answer to a request that was refused. `None`: no reply can say so, and the
    /// connection ends.
    pub(super) fn failure(&mut self, asked: Asked, refusal: Refusal) -> Option<usize> {
        if refusal.is_fatal() {
            return None;
        }
        match asked.due {
            Due::Nothing => return None,
            Due::Ack => return Some(self.put(asked.code, Payload::U64(NACK))),
            Due::Data => {}
        }
        if matches!(refusal, Refusal::Gate { .. }) {
            return None;
        }
        let payload = match asked.code {
            R::IOTLB_MSG | R::POSTCOPY_END | R::CHECK_DEVICE_STATE => Payload::U64(NACK),
            R::SET_DEVICE_STATE_FD => Payload::U64(TRANSFER_FAILED),
            R::GET_CONFIG | R::GET_SHARED_OBJECT => Payload::None, // VU-191, VU-229
            R::GET_INFLIGHT_FD => Payload::Inflight(NO_INFLIGHT),
            R::CREATE_CRYPTO_SESSION => Payload::Crypto(CryptoSession::new(&NO_CRYPTO)),
            _ => return None,
        };
        Some(self.put(asked.code, payload))
    }
}
