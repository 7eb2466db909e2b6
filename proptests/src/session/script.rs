//! Scripts of the target `session`.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_core::vhost_user::{HEADER_LEN, Header, Kind};
use vhost_fuzz_core::wire::Reader;
use vhost_fuzz_harness::script::{FdKind, Record};
use vhost_fuzz_harness::session::offer::ScriptOffer;

use super::careful::Careful;
use super::offer::offer;
use super::phrase::{MOST, Phrase, negotiation, phrases};
use super::request::request;
use crate::choice::Choice;
use crate::flat::Flat;
use crate::hostile::{self, Hostile};
use crate::message::{OwnedMessage, message_of, unknown_of};
use crate::number::u64;
use crate::script::{piece, record};

/// Most phrases of a script.
const PHRASES: usize = 8;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A request, changed until it may be sent, or left out.
    Careful(OwnedMessage),
    /// The same, cut in two somewhere.
    Cut(OwnedMessage, Index),
    /// A request as it was drawn, whether or not it may be sent.
    Rash(OwnedMessage),
    /// A request with damage.
    Damaged(Hostile),
    /// How the next effect ends: whether well, and with which number.
    Result(bool, u64),
    /// A record that is no message: the end of a connection, or something without a meaning.
    Other(Record<'static>),
}

/// A device, and what happens to it.
pub type Story = (ScriptOffer, Vec<Step>);

/// The records of a story, those of a step together. The offer leads them, if it is not the
/// default.
#[must_use]
pub fn records((offer, steps): &Story) -> Vec<Vec<Record<'static>>> {
    let mut front_end = Careful::new(offer);
    let lead = (*offer != ScriptOffer::default()).then(|| vec![offer.record()]);
    let steps = steps.iter().map(|step| records_of(step, &mut front_end));
    lead.into_iter().chain(steps).collect()
}

fn records_of(step: &Step, front_end: &mut Careful) -> Vec<Record<'static>> {
    match step {
        Step::Careful(message) => {
            front_end.send(message.clone()).map_or(Vec::new(), |message| whole(&message))
        }
        Step::Cut(message, at) => {
            front_end.send(message.clone()).map_or(Vec::new(), |message| cut(whole(&message), *at))
        }
        Step::Rash(message) => {
            let message = front_end.laid_out(message.clone());
            // It will hardly know better after that, but somewhat.
            let _ = front_end.send(message.clone());
            whole(&message)
        }
        Step::Damaged(hostile) => {
            let (context, bytes) = hostile.parts();
            with_fds(context.fds, piece(Kind::FRONTEND_REQUEST, &bytes))
        }
        Step::Result(is_ok, value) => {
            vec![Record::EffectResult { is_ok: *is_ok, value: *value }]
        }
        Step::Other(record) => {
            if matches!(record, Record::Close | Record::Reconnect) {
                front_end.reconnect();
            }
            vec![record.clone()]
        }
    }
}

fn whole(message: &OwnedMessage) -> Vec<Record<'static>> {
    with_fds(message.body.fds, piece(message.kind, &message.encode()))
}

fn with_fds(fds: usize, message: Record<'static>) -> Vec<Record<'static>> {
    let mut records = vec![Record::Fd { kind: FdKind(0), seals: 0, size: 0 }; fds];
    records.push(message);
    records
}

/// The same records with the last, a message, in two pieces.
#[must_use]
pub fn cut(mut records: Vec<Record<'static>>, at: Index) -> Vec<Record<'static>> {
    if let Some(Record::Message { kind, bytes }) = records.pop() {
        let (head, tail) = bytes.split_at(1 + at.index(bytes.len() - 1));
        records.extend([piece(kind, head), piece(kind, tail)]);
    }
    records
}

/// A step that sends bytes that are no whole message would change what a message after it means.
fn is_whole(step: &Step) -> bool {
    let Step::Damaged(hostile) = step else { return !matches!(step, Step::Cut(..)) };
    let (_, bytes) = hostile.parts();
    Header::read(&mut Reader::new(&bytes))
        .is_ok_and(|header| bytes.len() - HEADER_LEN == header.size as usize)
}

/// How a request of a phrase is sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    Careful,
    Rash,
    Cut(Index),
}

/// How a front-end sends its phrases, and how its requests end.
#[derive(Clone, Debug)]
struct Manner {
    ways: BoxedStrategy<Way>,
    results: BoxedStrategy<Option<(bool, u64)>>,
}

impl Manner {
    /// Everything is legal and succeeds.
    fn kind() -> Self {
        // 0 would be an in-flight area without a byte.
        let result = u64().prop_map(|value| (true, value.max(1)));
        Self { ways: Just(Way::Careful).boxed(), results: weighted(0.2, result).boxed() }
    }

    /// Some requests are sent rashly or in pieces, and some effects fail.
    fn rough() -> Self {
        let ways = prop_oneof![
            16 => Just(Way::Careful),
            2 => Just(Way::Rash),
            1 => any::<Index>().prop_map(Way::Cut),
        ];
        Self { ways: ways.boxed(), results: weighted(0.2, (any::<bool>(), u64())).boxed() }
    }

    /// The steps of a phrase.
    fn of(&self, phrase: Phrase) -> BoxedStrategy<Vec<Step>> {
        let step = |(message, (way, result)): (_, (Way, Option<(bool, u64)>))| {
            let result = result.map(|(is_ok, value)| Step::Result(is_ok, value));
            let request = match way {
                Way::Careful => Step::Careful(message),
                Way::Rash => Step::Rash(message),
                Way::Cut(at) => Step::Cut(message, at),
            };
            result.into_iter().chain([request])
        };
        let ways = vec((self.ways.clone(), self.results.clone()), MOST);
        (phrase, ways)
            .prop_map(move |(messages, ways)| {
                messages.into_iter().zip(ways).flat_map(step).collect()
            })
            .boxed()
    }
}

/// Phrases and whatever else happens. Each script draws which of them it has, because what never
/// comes lets other things happen for longer.
fn story(manner: &Manner, others: Vec<(u32, BoxedStrategy<Vec<Step>>)>) -> BoxedStrategy<Story> {
    let mut options: Vec<_> =
        phrases().into_iter().map(|(weight, phrase)| (weight, manner.of(phrase))).collect();
    options.extend(others);
    let begin = manner.of(negotiation());
    let begin = prop_oneof![1 => Just(Vec::new()), 8 => begin].boxed();
    let swarm = (1..1_usize << options.len()).no_shrink();
    let phrases = swarm.prop_flat_map(move |mask| {
        let chosen = options.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
        let chosen = chosen.map(|(_, option)| option.clone());
        let phrases = vec(Choice::new(chosen), 0..=PHRASES);
        (begin.clone(), phrases).prop_map(|(begin, mut phrases)| {
            phrases.insert(0, begin);
            phrases
        })
    });
    (offer(), Flat(phrases)).boxed()
}

fn ends() -> BoxedStrategy<Vec<Step>> {
    select(vec![Record::Reconnect, Record::Close]).prop_map(|end| vec![Step::Other(end)]).boxed()
}

/// What a correct front-end does to a correct device, over any number of connections: nothing of
/// it may be refused.
pub fn legal() -> BoxedStrategy<Story> {
    story(&Manner::kind(), vec![(1, ends())])
}

/// What anybody does.
pub fn mixed() -> BoxedStrategy<Story> {
    let legal =
        || prop_oneof![2 => request().boxed(), 1 => message_of(Kind::FRONTEND_REQUEST).boxed()];
    let any = prop_oneof![9 => legal(), 1 => unknown_of(Kind::FRONTEND_REQUEST)].boxed();
    let rash = any.clone().prop_map(|message| vec![Step::Rash(message)]).boxed();
    let damaged = hostile::of(any).prop_map(|hostile| vec![Step::Damaged(hostile)]).boxed();
    let others = vec![
        (1, ends()),
        (3, rash),
        (3, damaged),
        (1, record().prop_map(|record| vec![Step::Other(record)]).boxed()),
    ];
    story(&Manner::rough(), others)
}

/// The same in whole messages of the main channel, so that a message has one answer.
pub fn whole_messages() -> BoxedStrategy<Story> {
    mixed()
        .prop_map(|(offer, mut steps)| {
            steps.retain(|step| match step {
                Step::Other(record) => matches!(record, Record::Close | Record::Reconnect),
                step => is_whole(step),
            });
            (offer, steps)
        })
        .boxed()
}

/// Any script of the target. It shrinks to single records.
pub fn script() -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    Flat(mixed().prop_map(|story| records(&story)))
}

/// Whether a record is a message that a front-end sends on the main channel.
#[must_use]
pub const fn is_request(record: &Record<'_>) -> bool {
    matches!(record, Record::Message { kind: Kind::FRONTEND_REQUEST, .. })
}
