//! Properties of the session of a back-end.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_core::channel::Notifier;
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_core::vhost_user::request::ReplyClass;
use vhost_fuzz_core::vhost_user::{Flags, FrontendRequest as R, HEADER_LEN, Kind};
use vhost_fuzz_harness::ledger::Token;
use vhost_fuzz_harness::script::{Record, VERSION, encode};
use vhost_fuzz_harness::session::back_end::Core;
use vhost_fuzz_harness::session::offer::ScriptOffer;
use vhost_fuzz_harness::session::run::Outcome;
use vhost_fuzz_harness::target::session;

use vhost_fuzz_proptests::message::OwnedMessage;
use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::Suite;
use vhost_fuzz_proptests::script::piece;
use vhost_fuzz_proptests::session::careful::Careful;
use vhost_fuzz_proptests::session::driver::{Answer, Driver};
use vhost_fuzz_proptests::session::request::{self, all, of, set_ring};
use vhost_fuzz_proptests::session::script::{
    Step, Story, cut, is_request, legal, mixed, records, script, whole_messages,
};

type Records = Vec<Record<'static>>;

/// A script has up to a hundred messages.
const SCRIPTS: Suite = Suite { target: "session", times: 4 };

/// Runs every oracle.
fn check(input: &[u8]) -> Outcome {
    session::check::<Core>(input)
}

fn encoded(story: &Story) -> Vec<u8> {
    encode(&records(story).concat())
}

fn play(story: &Story, records: &[Record<'_>]) -> Vec<(u32, Answer)> {
    Driver::play(&story.0, records)
}

#[test]
fn arbitrary_scripts() {
    SCRIPTS.for_all(&script(), |records| encode(records), |_, input| _ = check(input));
}

#[test]
fn what_is_legal_is_not_refused() {
    SCRIPTS.for_all(&legal(), encoded, |story, input| {
        let messages = records(story).concat().iter().filter(|record| is_request(record)).count();
        assert_eq!(check(input), Outcome { messages, ..Outcome::default() });
    });
}

/// What a ring was told.
type Told = (String, u16, Option<VringAddr>, u32, [&'static str; 3]);

fn told(driver: &Driver, ring: u8) -> Told {
    const fn kind(notifier: &Notifier<Token>) -> &'static str {
        match notifier {
            Notifier::None => "none",
            Notifier::Flag => "no descriptor",
            Notifier::Fd(_) => "descriptor",
        }
    }
    let ring = driver.session().ring(ring.into()).expect("the device has four rings");
    let notifiers = [ring.kick(), ring.call(), ring.err()].map(kind);
    (ring.state().to_string(), ring.size(), ring.addr().copied(), ring.base(), notifiers)
}

/// A ring is set up in two orders. Each request is legal in every order: sizes are powers of two
/// and bases have 16 bits, whatever comes first.
#[derive(Clone, Debug)]
struct SetUp {
    ring: u8,
    usual: Vec<OwnedMessage>,
    order: Vec<OwnedMessage>,
    kick: OwnedMessage,
}

fn set_up() -> impl Strategy<Value = SetUp> {
    let features = request::number(R::SET_FEATURES, Just(virtio::PROTOCOL_FEATURES));
    let mut requests = vec![features];
    requests.extend([3, 8, 9, 10, 13, 14, 18].map(|id| of(R(id))));
    let order: Vec<usize> = (0..requests.len()).collect();
    let order = Just(order).prop_shuffle();
    (0..4_u8, all(requests), order, of(R::SET_VRING_KICK)).prop_map(
        |(ring, messages, order, kick)| {
            let mut front_end = Careful::new(&ScriptOffer::default());
            let mut legal = |mut message| {
                set_ring(&mut message, ring);
                front_end.send(message).expect("the usual order is legal")
            };
            let usual: Vec<_> = messages.into_iter().map(&mut legal).collect();
            let kick = legal(kick);
            let order = order.iter().map(|at| usual[*at].clone()).collect();
            SetUp { ring, usual, order, kick }
        },
    )
}

impl SetUp {
    /// The records of these messages, and then of the kick.
    fn records(&self, messages: &[OwnedMessage]) -> Records {
        let rash = |message: &OwnedMessage| Step::Rash(message.clone());
        let steps = messages.iter().chain([&self.kick]).map(rash).collect();
        records(&(ScriptOffer::default(), steps)).concat()
    }
}

/// Any permutation of 2, 3, 8, 9, 10, 13, 14 and 18 before 12, so also `SET_OWNER` anywhere and
/// `SET_VRING_ENABLE` before `SET_FEATURES` (spec §6.1, DV-23).
#[test]
fn the_order_of_a_set_up_does_not_matter() {
    let input = |set_up: &SetUp| encode(&set_up.records(&set_up.order));
    SCRIPTS.for_all(&set_up(), input, |set_up, input| {
        let messages = set_up.order.len() + 1;
        assert_eq!(check(input), Outcome { messages, ..Outcome::default() });
        let [usual, other] = [&set_up.usual, &set_up.order].map(|messages| {
            let mut driver = Driver::new(&ScriptOffer::default());
            for record in set_up.records(messages) {
                driver.record(&record, &mut <_>::default());
            }
            told(&driver, set_up.ring)
        });
        assert_eq!(usual, other);
    });
}

/// A script with questions in it, and which messages they are.
type Asked = (Vec<Vec<Record<'static>>>, Vec<bool>);

/// Puts a question before each of the steps at these places.
fn ask(story: &Story, questions: &[(Index, R)]) -> Asked {
    let steps = records(story);
    let mut asked: Asked = <_>::default();
    for (at, step) in steps.iter().enumerate() {
        let here = questions.iter().filter(|(place, _)| place.index(steps.len()) == at);
        for (_, question) in here {
            asked.0.push(vec![bare(*question)]);
            asked.1.push(true);
        }
        asked.1.extend(step.iter().filter(|record| is_request(record)).map(|_| false));
        asked.0.push(step.clone());
    }
    asked
}

/// A request without a payload.
fn bare(code: R) -> Record<'static> {
    let mut bytes = [0; HEADER_LEN];
    bytes[..4].copy_from_slice(&code.0.to_ne_bytes());
    bytes[4..8].copy_from_slice(&Flags::REQUEST.0.to_ne_bytes());
    piece(Kind::FRONTEND_REQUEST, &bytes)
}

#[test]
fn questions_change_nothing() {
    let question = select(vec![R::GET_FEATURES, R::GET_QUEUE_NUM, R::GET_PROTOCOL_FEATURES]);
    let questions = vec((any::<Index>(), question), 1..=8);
    let story = whole_messages().prop_map(|(mut offer, steps)| {
        offer.features |= virtio::PROTOCOL_FEATURES; // GET_PROTOCOL_FEATURES needs it (VU-044)
        (offer, steps)
    });
    let input =
        |(story, questions): &(Story, Vec<(Index, R)>)| encode(&ask(story, questions).0.concat());
    SCRIPTS.for_all(&(story, questions), input, |(story, questions), input| {
        check(input);
        let (with, is_question) = ask(story, questions);
        let with = play(story, &with.concat());
        assert_eq!(with.len(), is_question.len());
        let (asked, rest): (Vec<_>, Vec<_>) =
            with.into_iter().zip(is_question).partition(|(_, is_question)| *is_question);
        assert!(asked.iter().all(|((_, answer), _)| answer.is_accepted()), "{asked:?}");
        let rest: Vec<_> = rest.into_iter().map(|(answer, _)| answer).collect();
        assert_eq!(rest, play(story, &records(story).concat()));
    });
}

/// The same message with the other `need_reply`, if it is a request with a reply of its own.
fn ask_otherwise(record: &Record<'static>) -> Record<'static> {
    let Record::Message { kind: Kind::FRONTEND_REQUEST, bytes } = record else {
        return record.clone();
    };
    let mut bytes = bytes.to_vec();
    let code = bytes.first_chunk().map_or(0, |code| u32::from_ne_bytes(*code));
    let is_data = R(code).row().is_some_and(|row| row.reply.class == ReplyClass::Data);
    if let (true, Some(flags)) = (is_data, bytes.get_mut(4..8)) {
        let need_reply = Flags::NEED_REPLY.0 ^ Flags::REQUEST.0;
        flags.iter_mut().zip(need_reply.to_ne_bytes()).for_each(|(byte, bit)| *byte ^= bit);
    }
    piece(Kind::FRONTEND_REQUEST, &bytes)
}

/// VU-034.
#[test]
fn need_reply_changes_no_reply_with_data() {
    let otherwise =
        |story: &Story| -> Records { records(story).concat().iter().map(ask_otherwise).collect() };
    let input = |story: &Story| encode(&otherwise(story));
    SCRIPTS.for_all(&whole_messages(), input, |story, input| {
        check(input);
        assert_eq!(play(story, &otherwise(story)), play(story, &records(story).concat()));
    });
}

#[test]
fn a_cut_changes_nothing() {
    // Damage may end the stream at the header; what is left of the message is another one then.
    let story = whole_messages().prop_map(|(offer, mut steps)| {
        steps.retain(|step| !matches!(step, Step::Damaged(_)));
        (offer, steps)
    });
    let pieces = |(story, cuts): &(Story, Vec<Index>)| -> Records {
        let cuts = cuts.iter().cycle();
        let is_message = |step: &Records| step.last().is_some_and(is_request);
        let steps = records(story)
            .into_iter()
            .zip(cuts)
            .map(|(step, at)| if is_message(&step) { cut(step, *at) } else { step });
        steps.flatten().collect()
    };
    let input = |case: &_| encode(&pieces(case));
    SCRIPTS.for_all(&(story, vec(any::<Index>(), 1..=8)), input, |case, input| {
        check(input);
        let (story, _) = case;
        assert_eq!(play(story, &pieces(case)), play(story, &records(story).concat()));
    });
}

/// VU-058.
#[test]
fn a_new_connection_knows_nothing_of_the_old_one() {
    let end = select(vec![Record::Close, Record::Reconnect]);
    let halves = (mixed(), end, mixed()).prop_map(|(first, end, (_, steps))| {
        let second = (first.0.clone(), steps);
        (first, end, second)
    });
    let both = |(first, end, second): &(Story, Record<'static>, Story)| -> Records {
        [records(first).concat(), vec![end.clone()], records(second).concat()].concat()
    };
    let input = |case: &_| encode(&both(case));
    SCRIPTS.for_all(&halves, input, |case, input| {
        check(input);
        let (first, _, second) = case;
        let [before, after] = [first, second].map(|half| play(half, &records(half).concat()));
        assert_eq!(play(first, &both(case)), [before, after].concat());
    });
}

#[test]
fn arbitrary_bytes_as_a_script() {
    SCRIPTS.for_all(&number::bytes(0..=2000), Vec::clone, |_, input| _ = check(input));
    let records = vec((0..=11_u8, number::bytes(0..=60)), 0..=20);
    let input = |records: &Vec<(u8, Vec<u8>)>| {
        let mut script = vec![VERSION];
        for (kind, body) in records {
            let len = u16::try_from(body.len()).expect("at most 60");
            script.push(*kind);
            script.extend(len.to_le_bytes());
            script.extend(body);
        }
        script
    };
    SCRIPTS.for_all(&records, input, |_, input| _ = check(input));
}

#[test]
fn one_flipped_byte_of_a_script() {
    let flipped = (script(), any::<Index>(), 1..=u8::MAX);
    let input = |(records, at, bits): &(Records, Index, u8)| {
        let mut script = encode(records);
        let at = at.index(script.len());
        script[at] ^= bits;
        script
    };
    SCRIPTS.for_all(&flipped, input, |_, input| _ = check(input));
}
