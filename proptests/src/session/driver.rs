//! Plays a script to a session, without a model, and keeps every answer.
//!
//! The target compares a session with a model, step by step. A property compares two scripts, so
//! it needs all that a front-end sees of each. Every byte goes through a framer, as all do that
//! come out of a socket.

use std::collections::VecDeque;

use vhost_fuzz_core::session::{Effect, Refusal, Step};
use vhost_fuzz_core::vhost_user::{DEFAULT_PAYLOAD_LIMIT, Frame, Framer, Header, Kind, Segment};
use vhost_fuzz_core::wire::Reader;
use vhost_fuzz_harness::ledger::{Ledger, Token};
use vhost_fuzz_harness::script::Record;
use vhost_fuzz_harness::session::back_end::{BackEnd, Core};
use vhost_fuzz_harness::session::offer::ScriptOffer;
use vhost_fuzz_harness::session::outcome::Outcomes;
use vhost_fuzz_harness::session::setup::offers;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was taken, and nothing was due.
    Nothing,
    /// A reply.
    Reply {
        /// Header and payload.
        bytes: Vec<u8>,
        /// Whether a descriptor came along.
        has_fd: bool,
        /// Why the request was refused, if it was.
        refusal: Option<Refusal>,
    },
    /// The connection ended; without a refusal, because the bytes were no message.
    Closed(Option<Refusal>),
}

impl Answer {
    /// Whether the request was accepted.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Nothing | Self::Reply { refusal: None, .. })
    }
}

macro_rules! effects {
    ($($name:ident)*) => {
        /// Names of all effects.
        pub const EFFECTS: &[&str] = &[$(stringify!($name)),*];

        /// The name of an effect. One that is not in the list does not compile.
        const fn name(effect: &Effect<'_, Token>) -> &'static str {
            match effect {
                $(Effect::$name { .. } => stringify!($name),)*
            }
        }
    };
}

effects! {
    Features MapRegion Quiesce MapLog StartRing UpdateRing StopRing KickRing OpenChannel Rarp Mtu
    ReadConfig WriteConfig CreateCrypto CloseCrypto OpenUserfault RegisterUserfault CloseUserfault
    AllocateInflight MapInflight GpuSocket Reset Status SharedObject Transfer CheckTransfer
}

/// A session and what surrounds it.
#[derive(Debug)]
pub struct Driver {
    session: Core,
    fds: Ledger,
    mappings: Ledger,
    outcomes: Outcomes,
    framer: Framer<Token>,
    pending_fds: usize,
    answers: Vec<(u32, Answer)>,
    effects: Vec<(&'static str, bool)>,
    overtaking: usize,
}

impl Driver {
    /// A session of a device.
    #[must_use]
    pub fn new(offer: &ScriptOffer) -> Self {
        Self {
            session: <Core as BackEnd>::new(offers(offer).0),
            fds: Ledger::default(),
            mappings: Ledger::default(),
            outcomes: Outcomes::default(),
            framer: Framer::new(Kind::FRONTEND_REQUEST, DEFAULT_PAYLOAD_LIMIT),
            pending_fds: 0,
            answers: Vec::new(),
            effects: Vec::new(),
            overtaking: 0,
        }
    }

    /// The ids of all messages of a script and what became of them, in their order: none
    /// overtakes another.
    #[must_use]
    pub fn play(offer: &ScriptOffer, records: &[Record<'_>]) -> Vec<(u32, Answer)> {
        let mut driver = Self::new(offer);
        for record in records {
            driver.record(record, &mut VecDeque::new());
        }
        driver.answers
    }

    /// What the session believes now.
    #[must_use]
    pub fn session(&self) -> &Core {
        &self.session
    }

    /// Ids of the messages so far and what became of them.
    #[must_use]
    pub fn answers(&self) -> &[(u32, Answer)] {
        &self.answers
    }

    /// Names of the effects so far, and whether they succeeded.
    #[must_use]
    pub fn effects(&self) -> &[(&'static str, bool)] {
        &self.effects
    }

    /// How many translations came while a ring was drained, and were taken.
    #[must_use]
    pub const fn overtaking(&self) -> usize {
        self.overtaking
    }

    /// One record. A translation at the front of those that follow may overtake it.
    pub fn record(&mut self, record: &Record<'_>, rest: &mut VecDeque<Record<'_>>) {
        match record {
            Record::Fd { .. } => self.pending_fds += 1,
            Record::Message { kind: Kind::FRONTEND_REQUEST, bytes } => self.bytes(bytes, rest),
            Record::Message { .. } => self.pending_fds = 0,
            Record::EffectResult { is_ok, value } => self.outcomes.push(*is_ok, *value),
            Record::Close | Record::Reconnect => self.disconnect(),
            _ => {}
        }
    }

    fn bytes(&mut self, mut bytes: &[u8], rest: &mut VecDeque<Record<'_>>) {
        let fds = std::mem::take(&mut self.pending_fds);
        let mut fds: Vec<_> = (0..fds).map(|_| self.fds.open()).collect();
        loop {
            let segment = Segment::with_fds(bytes, std::mem::take(&mut fds));
            let Ok(taken) = self.framer.push(segment) else {
                self.answers.push((code(bytes), Answer::Closed(None)));
                self.disconnect();
                return;
            };
            bytes = &bytes[taken..];
            let Some(mut frame) = self.framer.take() else { return };
            let (message, fds) = (frame.bytes.to_vec(), std::mem::take(&mut frame.fds));
            drop(frame);
            let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes: &message, fds };
            let answer = self.message(frame, rest);
            let is_closed = matches!(answer, Answer::Closed(_));
            self.answers.push((code(&message), answer));
            if is_closed {
                self.disconnect();
                return;
            }
            if bytes.is_empty() {
                return;
            }
        }
    }

    fn message(&mut self, frame: Frame<'_, Token>, rest: &mut VecDeque<Record<'_>>) -> Answer {
        let mut step = self.session.on_frame(frame);
        loop {
            let effect = match step {
                Step::Need(effect) => effect,
                other => return answer(other),
            };
            let name = name(&effect);
            let is_drained = matches!(effect, Effect::StopRing { drain: true, .. });
            let ending = self.outcomes.end(effect);
            if is_drained {
                self.overtake(rest);
            }
            let result = self.outcomes.for_core(ending, &self.fds, &self.mappings);
            self.effects.push((name, result.is_ok()));
            step = self.session.on_done(result);
        }
    }

    /// Gives the session the next message, if it may come now (spec §6.12).
    fn overtake(&mut self, rest: &mut VecDeque<Record<'_>>) {
        let Some(Record::Message { kind: Kind::FRONTEND_REQUEST, bytes }) = rest.front() else {
            return;
        };
        let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes, fds: <_>::default() };
        if self.session.takes(&frame) {
            let answer = answer(self.session.on_frame(frame));
            self.overtaking += usize::from(answer.is_accepted());
            self.answers.push((code(bytes), answer));
            rest.pop_front();
        }
    }

    fn disconnect(&mut self) {
        self.session.reset();
        self.framer = Framer::new(Kind::FRONTEND_REQUEST, DEFAULT_PAYLOAD_LIMIT);
        self.outcomes = Outcomes::default();
        self.pending_fds = 0;
    }
}

fn answer(step: Step<'_, Token>) -> Answer {
    match step {
        Step::Silent => Answer::Nothing,
        Step::Reply(reply) => Answer::Reply {
            bytes: reply.bytes.to_vec(),
            has_fd: reply.fd.is_some(),
            refusal: reply.refusal,
        },
        Step::Close(refusal) => Answer::Closed(Some(refusal)),
        Step::Need(effect) => panic!("{effect:?} while another effect is pending"),
    }
}

/// The id of a message; 0 of bytes that have none.
fn code(bytes: &[u8]) -> u32 {
    Header::read(&mut Reader::new(bytes)).map_or(0, |header| header.code)
}
