//! What an answer looks like, and how a refusal is told (spec §1.6).

use super::postcopy::Postcopy;
use super::{Backend, Request, Step, bit};
use crate::Id;

/// Session id in a P-CRYPTO that says that none was created (VU-248).
const NO_CRYPTO_SESSION: u64 = u64::MAX;

impl Request {
    /// A reply with this payload.
    pub(super) fn reply(self, payload: &[u8]) -> Step {
        Step::Reply { bytes: self.bytes(payload), fds: 0, refusal: None }
    }

    /// A reply with this payload and one descriptor, or none.
    pub(super) fn reply_with(self, payload: &[u8], fd: bool) -> Step {
        Step::Reply { bytes: self.bytes(payload), fds: usize::from(fd), refusal: None }
    }

    /// A reply with a P-U64.
    pub(super) fn reply_number(self, value: u64) -> Step {
        self.reply(&value.to_ne_bytes())
    }

    /// Success of a request without a reply of its own (VU-027, VU-032, VU-033).
    pub(super) fn success(self) -> Step {
        if self.ack { self.reply_number(0) } else { Step::Silent }
    }

    fn bytes(self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + payload.len());
        for field in [self.code, 5, payload.len() as u64] {
            bytes.extend(four(field));
        }
        bytes.extend(payload);
        bytes
    }

    fn refusal(self, payload: &[u8], id: Id) -> Step {
        Step::Reply { bytes: self.bytes(payload), fds: 0, refusal: Some(id) }
    }
}

/// A number that is known to fit in a field of four bytes.
pub(super) fn four(value: u64) -> [u8; 4] {
    u32::try_from(value).expect("the field has four bytes").to_ne_bytes()
}

/// A number that is known to fit in a field of two bytes.
pub(super) fn two(value: u64) -> [u8; 2] {
    u16::try_from(value).expect("the field has two bytes").to_ne_bytes()
}

/// A P-STATE.
pub(super) fn state(index: u64, value: u64) -> [u8; 8] {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&four(index));
    payload[4..].copy_from_slice(&four(value));
    payload
}

/// A P-CRYPTO that holds a session id and nothing else.
pub(super) fn crypto(session: u64) -> [u8; 1072] {
    let mut payload = [0; 1072];
    payload[1064..].copy_from_slice(&session.to_ne_bytes());
    payload
}

impl Backend {
    /// Tells that a request broke a rule, as its class has it.
    pub(super) fn refuse(&self, request: Request, id: Id) -> Step {
        let in_postcopy =
            matches!(self.postcopy, Postcopy::Listening | Postcopy::TableSent | Postcopy::Active);
        let is_open = self.gate(request.code).is_ok();
        match request.code {
            // R-cond under its condition.
            5 if in_postcopy => Step::Close(id),
            // DC-035: nobody reads the payload of this reply.
            6 if bit(self.protocol, 1) => Step::Close(id),
            // R-data with a form for failure.
            22 | 30 | 43 if is_open => request.refusal(&1_u64.to_ne_bytes(), id),
            24 | 41 if is_open => request.refusal(&[], id),
            26 if is_open => request.refusal(&crypto(NO_CRYPTO_SESSION), id),
            31 if is_open => request.refusal(&[0; 24], id),
            42 if is_open => request.refusal(&0x101_u64.to_ne_bytes(), id),
            // R-data without one, or behind a closed gate.
            1 | 11 | 15 | 17 | 22 | 24 | 26 | 28 | 30 | 31 | 36 | 40..=45 => Step::Close(id),
            // R-ack (VU-012, VU-033).
            _ if request.ack => request.refusal(&1_u64.to_ne_bytes(), id),
            _ => Step::Close(id),
        }
    }
}
