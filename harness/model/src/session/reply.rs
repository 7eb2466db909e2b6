//! What an answer looks like, and how a refusal is told (spec §1.6).

use super::postcopy::Postcopy;
use super::{Backend, Request, Step, bit};
use crate::Id;

/// Session id in a P-CRYPTO that says that none was created (VU-248).
const NO_CRYPTO_SESSION: u64 = u64::MAX;

/// Bytes of a header and of the longest payload that most replies have.
const SHORT: usize = 12 + 24;

/// A reply: header and payload. A short one, as nearly all are, needs no memory of its own.
#[derive(Clone)]
pub struct Bytes {
    short: [u8; SHORT],
    len: usize,
    long: Vec<u8>,
}

impl Bytes {
    fn new(header: [u8; 12], payload: &[u8]) -> Self {
        let len = 12 + payload.len();
        let mut short = [0; SHORT];
        short[..12].copy_from_slice(&header);
        let mut long = Vec::new();
        if len <= SHORT {
            short[12..len].copy_from_slice(payload);
        } else {
            long = [&header, payload].concat();
        }
        Self { short, len, long }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        let mut long = Vec::new();
        match short.get_mut(..bytes.len()) {
            Some(front) => front.copy_from_slice(bytes),
            None => long = bytes.to_vec(),
        }
        Self { short, len: bytes.len(), long }
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if self.len <= SHORT { &self.short[..self.len] } else { &self.long }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

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

    fn bytes(self, payload: &[u8]) -> Bytes {
        let mut header = [0; 12];
        header[..4].copy_from_slice(&four(self.code));
        header[4..8].copy_from_slice(&5_u32.to_ne_bytes());
        header[8..].copy_from_slice(&four(payload.len() as u64));
        Bytes::new(header, payload)
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
