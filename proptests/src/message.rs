//! Whole legal messages: 55 requests, 55 replies, and ids that the specification does not have.

use std::collections::HashMap;

use proptest::prelude::*;

use vhost_fuzz_core::vhost_user::request::{self, Shape, forms};
use vhost_fuzz_core::vhost_user::{
    DecodeError, Direction, Flags, HEADER_LEN, Kind, MAX_FDS, Message, Payload, Row,
};
use vhost_fuzz_harness::context::Context;

use crate::choice::Choice;
use crate::number::{self, Boundary};
use crate::payload::{self, OwnedPayload};
use crate::shape::{self, Body};

/// A message that owns its payload, with all that its receiver knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedMessage {
    /// Channel and direction.
    pub kind: Kind,
    /// Message id.
    pub code: u32,
    /// Whether an acknowledgement is asked for; never in a reply.
    pub need_reply: bool,
    /// What was negotiated, descriptors and payload.
    pub body: Body,
}

impl OwnedMessage {
    /// Shows the message as the codec knows it.
    pub fn with<R>(&self, see: impl FnOnce(&Message<'_>) -> R) -> R {
        let flags = match self.kind.direction {
            Direction::Reply => Flags::REPLY,
            Direction::Request if self.need_reply => Flags::NEED_REPLY,
            Direction::Request => Flags::REQUEST,
        };
        let Self { kind, code, .. } = *self;
        self.body.payload.with(|payload| see(&Message { kind, code, flags, payload }))
    }

    /// The message as the codec encodes it.
    ///
    /// # Panics
    /// When the encoder does not take a buffer of the length that it asks for.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.with(|message| {
            let mut bytes = vec![0xa5; message.encoded_len()];
            let written = message.encode(&mut bytes);
            assert_eq!(written, Ok(bytes.len()), "encoding `{message}`");
            bytes
        });
        if let OwnedPayload::MemTable(table) = &self.body.payload {
            // A table is built without padding; only a decoded one can have some.
            bytes[HEADER_LEN..][4..8].copy_from_slice(&table.padding.to_ne_bytes());
        }
        bytes
    }

    /// What the receiver knows.
    #[must_use]
    pub fn context(&self) -> Context {
        Context { kind: self.kind, layout: self.body.layout, fds: self.body.fds }
    }

    /// The input of `msg_decode` that holds this message.
    #[must_use]
    pub fn input(&self) -> Vec<u8> {
        self.context().join(&self.encode())
    }

    /// The row of the message's id, if the specification has it.
    #[must_use]
    pub fn row(&self) -> Option<&'static Row> {
        request::row(self.kind.channel, self.code)
    }

    /// The shape of the payload, if the specification has the id.
    #[must_use]
    pub fn shape(&self) -> Option<Shape> {
        self.row().map(|row| row.form(self.kind.direction).0)
    }

    /// Decodes bytes in the context of this message.
    ///
    /// # Errors
    /// As [`Message::decode`].
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let Body { layout, fds, .. } = self.body;
        Message::decode(self.kind, layout, bytes, fds)
    }

    /// Whether `decoded` is this message, by value. The tail of a table has no value: that it is
    /// kept is seen when the message is encoded again.
    #[must_use]
    pub fn is(&self, decoded: &Message<'_>) -> bool {
        match (&self.body.payload, decoded.payload) {
            (OwnedPayload::MemTable(sent), Payload::MemTable(got)) => {
                let header = |message: &Message<'_>| (message.kind, message.code, message.flags);
                self.with(header) == header(decoded)
                    && sent.count() == got.count()
                    && sent.padding == got.padding()
                    && sent.regions.iter().copied().eq(got.regions())
            }
            _ => self.with(|sent| sent == decoded),
        }
    }
}

/// A legal message of any kind.
pub fn message() -> impl Strategy<Value = OwnedMessage> + Clone {
    choice(forms())
}

/// A legal message of one kind.
pub fn message_of(kind: Kind) -> impl Strategy<Value = OwnedMessage> + Clone {
    choice(forms().filter(move |(other, _)| *other == kind))
}

/// Nearly half of all forms are a bare u64. So that they do not drown the others, a form counts
/// the more the fewer forms share its shape.
fn choice(forms: impl Iterator<Item = (Kind, &'static Row)>) -> Choice<OwnedMessage> {
    const SHAPE_WEIGHT: u32 = 24;
    const FORM_WEIGHT: u32 = 6;
    let forms: Vec<_> = forms.collect();
    let mut forms_of: HashMap<Shape, u32> = HashMap::new();
    for (kind, row) in &forms {
        *forms_of.entry(row.form(kind.direction).0).or_default() += 1;
    }
    Choice::new(forms.into_iter().map(|(kind, row)| {
        let forms = forms_of[&row.form(kind.direction).0];
        (FORM_WEIGHT + SHAPE_WEIGHT / forms, form(kind, row))
    }))
}

/// A legal request of a row, or a legal reply to it.
pub fn form(kind: Kind, row: &Row) -> BoxedStrategy<OwnedMessage> {
    let (shape, fds) = row.form(kind.direction);
    let code = row.code;
    (need_reply(kind), shape::body(shape, fds))
        .prop_map(move |(need_reply, body)| OwnedMessage { kind, code, need_reply, body })
        .boxed()
}

/// A message with an id that the specification does not have. The codec takes it, whatever its
/// payload and its descriptors are; refusing it is the business of the session (VU-012).
pub fn unknown() -> impl Strategy<Value = OwnedMessage> + Clone {
    Choice::new(Kind::ALL.map(|kind| (1, unknown_of(kind))))
}

/// The same of one kind.
pub fn unknown_of(kind: Kind) -> BoxedStrategy<OwnedMessage> {
    let first_free = Row::all(kind.channel).len() as u64 + 1;
    let code = prop_oneof![Just(0), Boundary::new(first_free..=u32::MAX.into())]
        .prop_map(|code| u32::try_from(code).expect("no more than the largest id"));
    let payload = number::bytes(0..=300).prop_map(OwnedPayload::Unknown);
    (need_reply(kind), code, payload::layout(), number::len(0..=MAX_FDS), payload)
        .prop_map(move |(need_reply, code, layout, fds, payload)| {
            let body = Body { layout, fds, payload };
            OwnedMessage { kind, code, need_reply, body }
        })
        .boxed()
}

fn need_reply(kind: Kind) -> impl Strategy<Value = bool> + Clone {
    any::<bool>().prop_map(move |asks| asks && kind.direction == Direction::Request)
}
