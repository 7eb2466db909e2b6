//! Runs the main channel of a script through a session and the model, side by side.

use std::collections::VecDeque;

use vhost_fuzz_core::session::{Refusal, Step};
use vhost_fuzz_core::vhost_user::{
    self as wire, DEFAULT_PAYLOAD_LIMIT, Flags, Frame, Framer, HEADER_LEN, Header, Kind, MAX_FDS,
};
use vhost_fuzz_core::wire::Reader;
use vhost_fuzz_model::Id;
use vhost_fuzz_model::session as model;

use super::back_end::BackEnd;
use super::offer::ScriptOffer;
use super::outcome::Outcomes;
use super::setup::offers;
use crate::ledger::{Ledger, Token};
use crate::oracle;
use crate::script::{Actor, Record};

/// How closely an input is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// What the session believes and holds is compared after every message.
    Closely,
    /// It is compared at the end.
    AtTheEnd,
}

/// What came of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that were given to the session.
    pub messages: usize,
    /// Requests that were refused, by their place among the messages, and why.
    pub refusals: Vec<(usize, Id)>,
    /// Connections that the session ended.
    pub closed: usize,
}

/// A session, its model and what surrounds them.
#[derive(Debug)]
pub struct Run<B> {
    back_end: B,
    model: model::Backend,
    fds: Ledger,
    mappings: Ledger,
    outcomes: Outcomes,
    framer: Option<Framer<Token>>,
    pending_fds: usize,
    watch: Watch,
    outcome: Outcome,
}

impl<B: BackEnd> Run<B> {
    /// A run of a device with this offer.
    #[must_use]
    pub fn new(offer: &ScriptOffer, watch: Watch) -> Self {
        let (core, model) = offers(offer);
        Self {
            back_end: B::new(core),
            model: model::Backend::new(model),
            fds: Ledger::default(),
            mappings: Ledger::default(),
            outcomes: Outcomes::default(),
            framer: None,
            pending_fds: 0,
            watch,
            outcome: Outcome::default(),
        }
    }

    /// Runs all records of a script, then ends the connection.
    ///
    /// # Panics
    /// When an oracle finds a fault.
    pub fn script(mut self, records: Vec<Record<'_>>) -> Outcome {
        let mut records = VecDeque::from(records);
        while let Some(record) = records.pop_front() {
            self.record(&record, &mut records);
        }
        self.finish()
    }

    /// What the session under test believes now.
    #[must_use]
    pub fn back_end(&self) -> &B {
        &self.back_end
    }

    /// What came of the input so far.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// One record. Those that follow are looked at while an effect is pending.
    ///
    /// # Panics
    /// When an oracle finds a fault.
    pub fn record(&mut self, record: &Record<'_>, rest: &mut VecDeque<Record<'_>>) {
        match record {
            Record::Fd { .. } => self.pending_fds += 1,
            Record::Message { kind: Kind::FRONTEND_REQUEST, bytes } => {
                let fds = std::mem::take(&mut self.pending_fds);
                self.bytes(bytes, fds, rest);
            }
            // The descriptors of a message of another direction are not for this session.
            Record::Message { .. } => self.pending_fds = 0,
            Record::EffectResult { is_ok, value } => self.outcomes.push(*is_ok, *value),
            Record::Close | Record::Reconnect => self.disconnect(),
            Record::Action { actor: Actor::Device | Actor::Driver, .. }
            | Record::Border
            | Record::ControlTruncated
            | Record::GuestWrite { .. } => {}
        }
    }

    /// Bytes on the main channel: mostly one whole message, which needs no framer.
    fn bytes(&mut self, bytes: &[u8], fds: usize, rest: &mut VecDeque<Record<'_>>) {
        if self.framer.is_none() && is_whole(bytes) && fds <= MAX_FDS {
            self.message(bytes, fds, rest);
            return;
        }
        if let Err(()) = self.stream(bytes, fds, rest) {
            self.disconnect();
        }
    }

    /// Bytes that are no whole message: they go through the framer, as all do that come out of a
    /// socket.
    fn stream(
        &mut self,
        mut bytes: &[u8],
        fds: usize,
        rest: &mut VecDeque<Record<'_>>,
    ) -> Result<(), ()> {
        let mut framer = self
            .framer
            .take()
            .unwrap_or_else(|| Framer::new(Kind::FRONTEND_REQUEST, DEFAULT_PAYLOAD_LIMIT));
        let mut fds: Vec<_> = (0..fds).map(|_| self.fds.open()).collect();
        loop {
            let segment = wire::Segment::with_fds(bytes, std::mem::take(&mut fds));
            let taken = framer.push(segment).map_err(drop)?;
            bytes = &bytes[taken..];
            if let Some(frame) = framer.take() {
                let (message, fds) = (frame.bytes.to_vec(), frame.fds.len());
                drop(frame);
                self.message(&message, fds, rest);
            }
            if bytes.is_empty() {
                break;
            }
        }
        if framer.missing() != HEADER_LEN {
            self.framer = Some(framer); // it holds the beginning of a message
        }
        Ok(())
    }

    /// One whole message.
    fn message(&mut self, bytes: &[u8], fds: usize, rest: &mut VecDeque<Record<'_>>) {
        self.outcome.messages += 1;
        let number = self.outcome.messages;
        let tokens = (0..fds).map(|_| self.fds.open()).collect();
        let mut expected = self.model.message(bytes, fds);
        let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes, fds: tokens };
        let is_watched = self.watch == Watch::Closely;
        let layout = self.back_end.session().layout();
        let mut got = budget(is_watched, || self.back_end.on_frame(frame));
        let refused = loop {
            if let (true, Step::Reply(reply)) = (is_watched, &got) {
                oracle::session::wire_check(layout, bytes, reply);
            }
            let refused = oracle::session::step(&got, &expected);
            let Step::Need(effect) = got else { break refused };
            let is_drained =
                matches!(effect, vhost_fuzz_core::session::Effect::StopRing { drain: true, .. });
            let ending = self.outcomes.end(effect);
            if is_drained {
                self.in_between(rest);
            }
            expected = self.model.done(self.outcomes.for_model(ending));
            let result = self.outcomes.for_core(ending, &self.fds, &self.mappings);
            got = budget(is_watched, || self.back_end.on_done(result));
        };
        let is_closed = matches!(got, Step::Close(_));
        drop(got);
        if let Some(id) = refused {
            self.outcome.refusals.push((number, id));
        }
        if is_closed {
            self.outcome.closed += 1;
            self.disconnect();
        }
        if is_watched {
            self.compare();
        }
    }

    /// While rings are drained a translation may have to come first (spec §6.12): if the next
    /// message is one, it is given now.
    fn in_between(&mut self, rest: &mut VecDeque<Record<'_>>) {
        let Some(Record::Message { kind: Kind::FRONTEND_REQUEST, bytes }) = rest.front() else {
            return;
        };
        let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes, fds: <_>::default() };
        if !is_whole(bytes) || !self.back_end.session().takes(&frame) {
            return;
        }
        let expected = self.model.message(bytes, 0);
        let got = self.back_end.on_frame(frame);
        let refused = oracle::session::step(&got, &expected);
        assert!(!matches!(got, Step::Need(_)), "model: an effect while another one is pending");
        self.outcome.messages += 1;
        if let Some(id) = refused {
            self.outcome.refusals.push((self.outcome.messages, id));
        }
        rest.pop_front();
    }

    /// The connection ends, from either side.
    fn disconnect(&mut self) {
        self.back_end.reset();
        self.model.disconnect();
        self.framer = None;
        self.pending_fds = 0;
    }

    /// What the session believes and holds is what the model says.
    fn compare(&self) {
        oracle::session::state(self.back_end.session(), &self.model);
        // The framer may hold the descriptors of half a message.
        if self.framer.is_none() {
            assert_eq!(
                self.fds.open_count(),
                self.model.held_fds(),
                "fd ledger: descriptors that are open between two messages"
            );
        }
        assert_eq!(
            self.mappings.open_count(),
            self.model.held_mappings(),
            "mapping ledger: mappings that exist between two messages"
        );
    }

    /// The end of the input: the session still answers, and everything is given back.
    fn finish(mut self) -> Outcome {
        self.framer = None;
        self.compare();
        self.still_answers();
        let outcome = std::mem::take(&mut self.outcome);
        drop(self.back_end);
        self.fds.settle();
        self.mappings.settle();
        outcome
    }

    /// Liveness: whatever came before, the next request is served.
    fn still_answers(&mut self) {
        let mut request = [0; HEADER_LEN];
        let header = Header { code: 1, flags: Flags::REQUEST, size: 0 };
        header.write(&mut wire_sink(&mut request));
        let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes: &request, fds: <_>::default() };
        match self.back_end.on_frame(frame) {
            Step::Reply(reply) if reply.refusal.is_none() => {}
            Step::Close(Refusal::Busy { code }) => {
                panic!("liveness: request {code} is never answered")
            }
            other => panic!("liveness: GET_FEATURES is answered by {other:?}"),
        }
    }
}

/// Runs a step of a session; watched, it may not allocate: everything was allocated before.
fn budget<'a>(is_watched: bool, run: impl FnOnce() -> Step<'a, Token>) -> Step<'a, Token> {
    if !is_watched {
        return run();
    }
    let mut step = None;
    let info = allocation_counter::measure(|| step = Some(run()));
    assert!(
        info.count_total == 0,
        "budget: a message allocated {} times, {} bytes",
        info.count_total,
        info.bytes_total
    );
    step.unwrap_or(Step::Silent)
}

fn wire_sink(bytes: &mut [u8]) -> vhost_fuzz_core::wire::SliceSink<'_> {
    vhost_fuzz_core::wire::SliceSink::new(bytes)
}

/// Whether these bytes are one message and nothing else.
fn is_whole(bytes: &[u8]) -> bool {
    bytes.len() <= HEADER_LEN + DEFAULT_PAYLOAD_LIMIT as usize
        && Header::read(&mut Reader::new(bytes))
            .is_ok_and(|header| bytes.len() - HEADER_LEN == header.size as usize)
}
