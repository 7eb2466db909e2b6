//! Legal messages with damage: what a hostile peer sends.
//!
//! Damage is applied to encoded bytes, so that a message can lie in ways that no encoder has. A
//! case may have up to three, because a message that breaks several rules shows in which order
//! they are checked.

use proptest::collection::vec;
use proptest::prelude::*;

use vhost_fuzz_core::vhost_user::payload::{Config, CryptoSession};
use vhost_fuzz_core::vhost_user::request::Shape;
use vhost_fuzz_core::vhost_user::{
    Channel, Direction, HEADER_LEN, Layout, MAX_FDS, MAX_REGIONS, Payload,
};
use vhost_fuzz_harness::context::Context;

use crate::choice::Choice;
use crate::message::{OwnedMessage, message, unknown};
use crate::number::{self, u32};
use crate::payload::{self, OwnedPayload, Session};

/// Longest payload that damage makes.
const PAYLOAD_LIMIT: usize = 4096;

/// One thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Only so many bytes are there, if there are more.
    Cut(usize),
    /// The payload has so many bytes more, and the header says so.
    Longer(usize),
    /// The payload has so many bytes less, and the header says so.
    Shorter(usize),
    /// The size field says this.
    Size(u32),
    /// These bits of the flags are flipped.
    Flags(u32),
    /// The message has this id.
    Code(u32),
    /// So many descriptors come along.
    Fds(usize),
    /// The message comes where the other direction is expected.
    OtherDirection,
    /// The message comes on the other channel.
    OtherChannel,
    /// This was negotiated.
    Layout(Layout),
    /// One of the numbers that the payload is judged by lies; which one, modulo their count. A
    /// payload without such numbers is a byte too long.
    Lie(usize),
    /// A number of the payload is another one: which one, modulo their count, and its value.
    Number(usize, u32),
}

impl Damage {
    /// Does the damage to the bytes and to the context of `message`. Where it has no room it
    /// does nothing: the oracles do not need to know whether a message is legal.
    fn apply(self, message: &OwnedMessage, context: &mut Context, bytes: &mut Vec<u8>) {
        match self {
            Self::Cut(len) => bytes.truncate(len),
            Self::Longer(more) => resize(bytes, |len| (len + more).min(PAYLOAD_LIMIT)),
            Self::Shorter(less) => resize(bytes, |len| len.saturating_sub(less)),
            Self::Size(size) => put(bytes, 8, &size.to_ne_bytes()),
            Self::Flags(bits) => {
                if let Some(flags) = bytes.get_mut(4..8) {
                    flags.iter_mut().zip(bits.to_ne_bytes()).for_each(|(byte, bit)| *byte ^= bit);
                }
            }
            Self::Code(code) => put(bytes, 0, &code.to_ne_bytes()),
            Self::Fds(fds) => context.fds = fds,
            Self::OtherDirection => {
                context.kind.direction = match context.kind.direction {
                    Direction::Request => Direction::Reply,
                    Direction::Reply => Direction::Request,
                };
            }
            Self::OtherChannel => {
                context.kind.channel = match context.kind.channel {
                    Channel::Main => Channel::Backend,
                    Channel::Backend => Channel::Main,
                };
            }
            Self::Layout(layout) => context.layout = layout,
            Self::Lie(which) => {
                let lies = lies(message);
                match which.checked_rem(lies.len()).map(|at| &lies[at]) {
                    Some((at, lie)) => put(bytes, HEADER_LEN + at, lie),
                    None => resize(bytes, |len| len + 1),
                }
            }
            Self::Number(which, value) => {
                let words = bytes.len().saturating_sub(HEADER_LEN) / 4;
                if let Some(word) = which.checked_rem(words) {
                    put(bytes, HEADER_LEN + word * 4, &value.to_ne_bytes());
                }
            }
        }
    }
}

/// Gives the payload another length, and the size field too.
fn resize(bytes: &mut Vec<u8>, len: impl FnOnce(usize) -> usize) {
    let Some(payload) = bytes.len().checked_sub(HEADER_LEN) else { return };
    let len = len(payload);
    bytes.resize(HEADER_LEN + len, 0x5a);
    let size = u32::try_from(len).expect("at most the limit, or a header's");
    put(bytes, 8, &size.to_ne_bytes());
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..field.len())) {
        place.copy_from_slice(field);
    }
}

/// Values just beyond what is legal, each with its offset, for the numbers that decide whether
/// a payload is.
fn lies(message: &OwnedMessage) -> Vec<(usize, Vec<u8>)> {
    let word = |at: usize, value: u32| (at, value.to_ne_bytes().to_vec());
    let wide = |at: usize, value: u64| (at, value.to_ne_bytes().to_vec());
    match &message.body.payload {
        OwnedPayload::MemTable(table) => {
            [0, table.count() + 1, MAX_REGIONS + 1, u32::MAX].map(|count| word(0, count)).to_vec()
        }
        OwnedPayload::Config(window) => {
            let have = u32::try_from(window.data.len()).expect("no more than the limit");
            [have + 1, have.saturating_sub(1), Config::PADDED_LEN, u32::MAX]
                .map(|size| word(4, size))
                .to_vec()
        }
        OwnedPayload::Crypto(session) => {
            let limits: &[_] = if session.is_asymmetric() {
                &[(Session::ASYMMETRIC_KEY_LEN, CryptoSession::ASYMMETRIC_KEY_LIMIT)]
            } else {
                &[
                    (Session::CIPHER_KEY_LEN, CryptoSession::CIPHER_KEY_LIMIT),
                    (Session::AUTH_KEY_LEN, CryptoSession::AUTH_KEY_LIMIT),
                ]
            };
            limits
                .iter()
                .flat_map(|(at, limit)| [limit + 1, u32::MAX].map(|len| word(*at, len)))
                .collect()
        }
        OwnedPayload::Plain(payload) => {
            let has_status =
                matches!(message.shape(), Some(Shape::TransferReply | Shape::LookupReply));
            let front: Option<u64> = match payload {
                Payload::U64(value) => has_status.then_some(*value),
                Payload::VringFd(vring) => Some(vring.0),
                Payload::Area(area) => Some(area.vring.0),
                Payload::Inflight(area) => Some(area.mmap_size),
                _ => None,
            };
            // The no-descriptor flag, a status, and the difference between none and some.
            front.map_or(Vec::new(), |front| {
                [front ^ 0x100, front ^ 1, front ^ 0x101, 0].map(|value| wide(0, value)).to_vec()
            })
        }
        OwnedPayload::ShmemConfig(_) | OwnedPayload::Unknown(_) => Vec::new(),
    }
}

/// A message with damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostile {
    /// What it was.
    pub message: OwnedMessage,
    /// What was done to it, in this order.
    pub damage: Vec<Damage>,
}

impl Hostile {
    /// The damaged bytes, and the context that they are judged in.
    #[must_use]
    pub fn parts(&self) -> (Context, Vec<u8>) {
        let mut context = self.message.context();
        let mut bytes = self.message.encode();
        for damage in &self.damage {
            damage.apply(&self.message, &mut context, &mut bytes);
        }
        (context, bytes)
    }

    /// The input of `msg_decode` with the damaged bytes. A context cannot follow bytes whose
    /// size field lies; such a message is judged as it would be without one.
    #[must_use]
    pub fn input(&self) -> Vec<u8> {
        let (context, bytes) = self.parts();
        context.join(&bytes)
    }
}

/// Any damage; shrinks to a cut.
pub fn damage() -> impl Strategy<Value = Damage> + Clone {
    // Most damage is small, one byte, bit or descriptor, and half of it is to the point.
    let small = || prop_oneof![3 => Just(1), 1 => number::len(1..=64)];
    let bits = prop_oneof![3 => (0_u32..32).prop_map(|bit| 1 << bit), 1 => u32()];
    let code = prop_oneof![3 => 0..=50_u32, 1 => u32()];
    Choice::new([
        (1, number::len(0..=HEADER_LEN + 64).prop_map(Damage::Cut).boxed()),
        (1, small().prop_map(Damage::Longer).boxed()),
        (1, small().prop_map(Damage::Shorter).boxed()),
        (1, u32().prop_map(Damage::Size).boxed()),
        (2, bits.prop_map(Damage::Flags).boxed()),
        (1, code.prop_map(Damage::Code).boxed()),
        (2, number::len(0..=MAX_FDS + 1).prop_map(Damage::Fds).boxed()),
        (1, Just(Damage::OtherDirection).boxed()),
        (1, Just(Damage::OtherChannel).boxed()),
        (1, payload::layout().prop_map(Damage::Layout).boxed()),
        (12, (0..8_usize).prop_map(Damage::Lie).boxed()),
        (
            1,
            (number::len(0..=PAYLOAD_LIMIT / 4), u32())
                .prop_map(|(at, value)| Damage::Number(at, value))
                .boxed(),
        ),
    ])
}

/// A legal message, or one with an unknown id, with one to three damages.
pub fn hostile() -> impl Strategy<Value = Hostile> + Clone {
    of(prop_oneof![15 => message(), 1 => unknown()])
}

/// The same of given messages.
pub fn of(
    messages: impl Strategy<Value = OwnedMessage> + Clone,
) -> impl Strategy<Value = Hostile> + Clone {
    let damage = prop_oneof![2 => vec(damage(), 1), 1 => vec(damage(), 1..=3)];
    (messages, damage).prop_map(|(message, damage)| Hostile { message, damage })
}
