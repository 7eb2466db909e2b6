//! Inputs of the stream target: scripts of messages in pieces, descriptors and accidents.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use vhost_fuzz_core::vhost_user::{Kind, MAX_FDS};
use vhost_fuzz_harness::script::{Actor, FdKind, Record, encode};

use crate::choice::Choice;
use crate::flat::Flat;
use crate::hostile;
use crate::message::{OwnedMessage, message, message_of, unknown, unknown_of};
use crate::number::{self, u8, u64};
use crate::stream::Received;

/// Most steps of a script.
const STEPS: usize = 12;

/// Most pieces that a message is cut in.
const PIECES: usize = 5;

/// Where a message is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Offset in the message, modulo its length.
    pub at: usize,
    /// Whether what follows is received apart.
    pub border: bool,
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> + Clone {
    // Half of all cuts are in or around the header.
    let at = prop_oneof![0..=13_usize, 0..=4200_usize];
    vec((at, any::<bool>()).prop_map(|(at, border)| Cut { at, border }), 0..PIECES)
}

/// A legal message on its way: cut in pieces, its descriptors with the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message.
    pub message: OwnedMessage,
    /// Where it is cut.
    pub cuts: Vec<Cut>,
    /// What its descriptors are.
    pub fd: FdKind,
}

impl Sent {
    /// The records that send it.
    #[must_use]
    pub fn records(&self) -> Vec<Record<'static>> {
        let fd = Record::Fd { kind: self.fd, seals: 0, size: 0 };
        let mut records = vec![fd; self.message.body.fds];
        records.extend(pieces(self.message.kind, &self.message.encode(), &self.cuts));
        records
    }
}

/// The records of bytes that are cut, without empty pieces.
fn pieces(kind: Kind, bytes: &[u8], cuts: &[Cut]) -> Vec<Record<'static>> {
    let mut cuts: Vec<Cut> = cuts
        .iter()
        .filter_map(|cut| cut.at.checked_rem(bytes.len()).map(|at| Cut { at, ..*cut }))
        .filter(|cut| cut.at > 0)
        .collect();
    cuts.sort_by_key(|cut| cut.at);
    cuts.dedup_by_key(|cut| cut.at);
    let mut records = Vec::new();
    let mut from = 0;
    for cut in cuts {
        records.push(piece(kind, &bytes[from..cut.at]));
        records.extend(cut.border.then_some(Record::Border));
        from = cut.at;
    }
    records.push(piece(kind, &bytes[from..]));
    records
}

/// A record with a message, or a piece of one.
#[must_use]
pub fn piece(kind: Kind, bytes: &[u8]) -> Record<'static> {
    Record::Message { kind, bytes: Cow::Owned(bytes.to_vec()) }
}

/// A legal message, whole or cut.
pub fn sent(
    messages: impl Strategy<Value = OwnedMessage> + Clone,
) -> impl Strategy<Value = Sent> + Clone {
    (messages, cuts(), fd_kind()).prop_map(|(message, cuts, fd)| Sent { message, cuts, fd })
}

/// Legal messages of all four directions, one after another on one connection.
pub fn session() -> impl Strategy<Value = Vec<Sent>> + Clone {
    vec(sent(prop_oneof![9 => message(), 1 => unknown()]), 0..=STEPS)
}

/// The script that sends a session.
#[must_use]
pub fn script_of(session: &[Sent]) -> Vec<u8> {
    encode(&session.iter().flat_map(Sent::records).collect::<Vec<_>>())
}

/// What has to come out of a session: every message with its descriptors, in order, and a clean
/// end.
#[must_use]
pub fn expected(session: &[Sent]) -> Vec<Received> {
    let stream = |kind: Kind| {
        let mut next_fd = 0..;
        let messages: Vec<_> = session
            .iter()
            .map(|sent| &sent.message)
            .filter(|message| message.kind == kind)
            .map(|message| (message.encode(), next_fd.by_ref().take(message.body.fds).collect()))
            .collect();
        (!messages.is_empty()).then_some(Received { kind, messages, end: Ok(()) })
    };
    Kind::ALL.into_iter().filter_map(stream).collect()
}

/// Any kind of descriptor.
pub fn fd_kind() -> impl Strategy<Value = FdKind> + Clone {
    u8().prop_map(FdKind)
}

/// Any descriptor.
pub fn fd() -> impl Strategy<Value = Record<'static>> + Clone {
    (fd_kind(), u8(), u64()).prop_map(|(kind, seals, size)| Record::Fd { kind, seals, size })
}

/// Any single record, also those that mean nothing to the stream target.
pub fn record() -> impl Strategy<Value = Record<'static>> + Clone {
    let bytes = || number::bytes(0..=64).prop_map(Cow::Owned);
    let message =
        (select(&Kind::ALL[..]), bytes()).prop_map(|(kind, bytes)| Record::Message { kind, bytes });
    prop_oneof![accident(), message, fd(), inert()]
}

/// Any records, in an order that makes no sense.
pub fn records() -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    Flat(vec(record().prop_map(|record| vec![record]), 0..=20))
}

/// What a kernel or a peer does between messages.
fn accident() -> impl Strategy<Value = Record<'static>> + Clone {
    select(vec![Record::Border, Record::ControlTruncated, Record::Close, Record::Reconnect])
}

fn inert() -> impl Strategy<Value = Record<'static>> + Clone {
    let bytes = || number::bytes(0..=64).prop_map(Cow::Owned);
    let actor = select(vec![Actor::Driver, Actor::Device]);
    prop_oneof![
        (any::<bool>(), u64()).prop_map(|(is_ok, value)| Record::EffectResult { is_ok, value }),
        (u64(), bytes()).prop_map(|(address, bytes)| Record::GuestWrite { address, bytes }),
        (actor, u8(), bytes()).prop_map(|(actor, operation, arguments)| Record::Action {
            actor,
            operation,
            arguments,
        }),
    ]
}

/// Any script. Each draws which steps and which directions it has, because an accident that
/// never comes lets other things happen for longer. It shrinks to single records.
pub fn script() -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    let kinds: Vec<Directed> = Kind::ALL.into_iter().map(Directed::new).collect();
    let swarm = (1..1_usize << STEP_COUNT, 1..1_usize << kinds.len()).no_shrink();
    Flat(swarm.prop_flat_map(move |(steps, directions)| {
        let chosen = kinds.iter().enumerate().filter(|(at, _)| directions >> at & 1 == 1);
        let options: Vec<_> = chosen.flat_map(|(_, directed)| directed.steps(steps)).collect();
        vec(Choice::new(options), 0..=STEPS)
    }))
}

type Step = BoxedStrategy<Vec<Record<'static>>>;

/// How many kinds of steps there are.
const STEP_COUNT: usize = 8;

/// The steps of a script in one direction. They are built once, because building a strategy for
/// every request costs more than drawing from it.
#[derive(Clone, Debug)]
struct Directed([(u32, Step); STEP_COUNT]);

impl Directed {
    fn new(kind: Kind) -> Self {
        let legal = || prop_oneof![9 => message_of(kind), 1 => unknown_of(kind)];
        let one = |record: Record<'static>| vec![record];
        Self([
            (8, sent(legal()).prop_map(|sent| sent.records()).boxed()),
            (1, accident().prop_map(one).boxed()),
            (2, Just(vec![Record::Border]).boxed()),
            (2, damaged(legal().boxed()).boxed()),
            (1, late_fds(legal().boxed()).boxed()),
            (1, vec(fd(), 1..=MAX_FDS + 1).boxed()),
            (1, cut_off(legal().boxed()).boxed()),
            (1, noise(kind).boxed()),
        ])
    }

    /// The steps whose bits are set in `mask`.
    fn steps(&self, mask: usize) -> impl Iterator<Item = (u32, Step)> {
        let chosen = move |(at, _): &(usize, _)| mask >> at & 1 == 1;
        self.0.iter().enumerate().filter(chosen).map(|(_, step)| step.clone())
    }
}

/// A message with damage, cut in pieces.
fn damaged(
    messages: BoxedStrategy<OwnedMessage>,
) -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    (hostile::of(messages), cuts(), fd()).prop_map(|(hostile, cuts, fd)| {
        let (context, bytes) = hostile.parts();
        let mut records = vec![fd; context.fds];
        records.extend(pieces(hostile.message.kind, &bytes, &cuts));
        records
    })
}

/// A message whose descriptors come with a later byte (DC-002).
fn late_fds(
    messages: BoxedStrategy<OwnedMessage>,
) -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    (messages, 1..=4200_usize, vec(fd(), 1..=MAX_FDS)).prop_map(|(message, at, fds)| {
        let bytes = message.encode();
        let (head, tail) = bytes.split_at(at.min(bytes.len() - 1));
        let mut records = vec![piece(message.kind, head)];
        records.extend(fds);
        records.push(piece(message.kind, tail));
        records
    })
}

/// The front of a message, and the end of the connection.
fn cut_off(
    messages: BoxedStrategy<OwnedMessage>,
) -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    let end = select(vec![Record::Close, Record::Reconnect]);
    let at = prop_oneof![1..=13_usize, 1..=4200_usize];
    (messages, at, end).prop_map(|(message, at, end)| {
        let bytes = message.encode();
        vec![piece(message.kind, &bytes[..at.min(bytes.len() - 1)]), end]
    })
}

/// Bytes that are no message, or a record that means nothing to a stream.
fn noise(kind: Kind) -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    let bytes = number::bytes(0..=64).prop_map(move |bytes| piece(kind, &bytes));
    prop_oneof![bytes, inert()].prop_map(|record| vec![record])
}
