//! Runs the main channel of a script through a session and the model, side by side.

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
use crate::frontend;
use crate::ledger::{Ledger, Token};
use crate::oracle;
use crate::oracle::frontend::Judge;
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
    /// Requests of the back-end channel that the front-end refused, and why.
    pub back_end_refusals: Vec<Id>,
}

/// The records of a script, one after another. A copy looks ahead.
pub trait Records<'a>: Iterator<Item = Record<'a>> + Clone {}

impl<'a, I: Iterator<Item = Record<'a>> + Clone> Records<'a> for I {}

/// A session, its model and what surrounds them.
#[derive(Debug)]
pub struct Run<B> {
    back_end: B,
    model: model::Backend,
    /// The other end of the back-end channel, from its first request on.
    front_end: Option<FrontEnd>,
    offer: ScriptOffer,
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
    pub fn new(offer: &ScriptOffer) -> Self {
        let (core, model) = offers(offer);
        Self {
            back_end: B::new(core),
            model: model::Backend::new(model),
            front_end: None,
            offer: offer.clone(),
            fds: Ledger::default(),
            mappings: Ledger::default(),
            outcomes: Outcomes::default(),
            framer: None,
            pending_fds: 0,
            watch: Watch::Closely,
            outcome: Outcome::default(),
        }
    }

    /// Runs all records of a script, then ends the connection. The next script begins anew.
    ///
    /// # Panics
    /// When an oracle finds a fault.
    pub fn script<'a>(&mut self, watch: Watch, mut records: impl Records<'a>) -> Outcome {
        self.watch = watch;
        while let Some(record) = records.next() {
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
    pub fn record<'a>(&mut self, record: &Record<'_>, rest: &mut impl Records<'a>) {
        match record {
            Record::Fd { .. } => self.pending_fds += 1,
            Record::Message { kind: Kind::FRONTEND_REQUEST, bytes } => {
                let fds = std::mem::take(&mut self.pending_fds);
                self.bytes(bytes, fds, rest);
            }
            Record::Message { kind: Kind::BACKEND_REQUEST, bytes } => {
                let fds = std::mem::take(&mut self.pending_fds);
                self.back_end_request(bytes, fds);
            }
            // What was replied to others; its descriptors are not for this session.
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
    fn bytes<'a>(&mut self, bytes: &[u8], fds: usize, rest: &mut impl Records<'a>) {
        if self.framer.is_none() && is_whole(bytes) && fds <= MAX_FDS {
            self.message(bytes, fds, rest);
            return;
        }
        if let Err(()) = self.stream(bytes, fds, rest) {
            self.disconnect();
        }
    }

    /// A request of the back-end channel goes to a front-end that negotiated the same.
    fn back_end_request(&mut self, bytes: &[u8], fds: usize) {
        if !self.model.has_channel() || !is_whole(bytes) || fds > MAX_FDS {
            return;
        }
        let features = (self.model.virtio().unwrap_or(0), self.model.protocol());
        if self.front_end.as_ref().is_some_and(|front_end| front_end.features != features) {
            self.end_channel();
        }
        let offer = &self.offer;
        let front_end = self.front_end.get_or_insert_with(|| FrontEnd::new(offer, features));
        let outcome = self.outcomes.for_front_end();
        let refused = front_end.judge.request(bytes, fds, outcome);
        self.outcome.messages += 1;
        self.outcome.back_end_refusals.extend(refused);
    }

    /// The back-end channel ends: everything that it mapped is given back.
    fn end_channel(&mut self) {
        if let Some(front_end) = self.front_end.take() {
            front_end.judge.finish();
        }
    }

    /// Bytes that are no whole message: they go through the framer, as all do that come out of a
    /// socket.
    fn stream<'a>(
        &mut self,
        mut bytes: &[u8],
        fds: usize,
        rest: &mut impl Records<'a>,
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
                let closed = self.outcome.closed;
                self.message(&message, fds, rest);
                if self.outcome.closed != closed {
                    return Ok(()); // nobody reads what the peer sent after it
                }
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
    fn message<'a>(&mut self, bytes: &[u8], fds: usize, rest: &mut impl Records<'a>) {
        self.outcome.messages += 1;
        let number = self.outcome.messages;
        let tokens = (0..fds).map(|_| self.fds.open()).collect();
        let mut expected = self.model.message(bytes, fds);
        let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes, fds: tokens };
        let is_watched = self.watch == Watch::Closely;
        let layout = self.back_end.session().layout();
        let mut got = budget(is_watched, || self.back_end.on_frame(frame));
        let (refused, is_closed) = loop {
            if is_watched && let Step::Reply(reply) = &got {
                oracle::session::wire_check(layout, bytes, reply);
            }
            let refused = oracle::session::step(&got, &expected);
            let effect = match got {
                Step::Need(effect) => effect,
                Step::Close(_) => break (refused, true),
                Step::Silent => break (refused, false),
                Step::Reply(reply) => {
                    drop(reply); // it is sent, and its descriptor with it
                    break (refused, false);
                }
            };
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
    fn in_between<'a>(&mut self, rest: &mut impl Records<'a>) {
        let mut ahead = rest.clone();
        let Some(Record::Message { kind: Kind::FRONTEND_REQUEST, bytes }) = ahead.next() else {
            return;
        };
        let bytes = &bytes[..];
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
        *rest = ahead;
    }

    /// The connection ends, from either side.
    fn disconnect(&mut self) {
        self.back_end.reset();
        self.model.disconnect();
        self.framer = None;
        self.pending_fds = 0;
        self.end_channel();
    }

    /// What the session believes and holds is what the model says.
    fn compare(&self) {
        oracle::session::state(self.back_end.session(), &self.model);
        // The framer may hold the descriptors of half a message.
        if self.framer.is_none() {
            let (open, held) = (self.fds.open_count(), self.model.held_fds());
            assert!(open == held, "fd ledger: {open} are open between two messages, not {held}");
        }
        let (open, held) = (self.mappings.open_count(), self.model.held_mappings());
        assert!(open == held, "mapping ledger: {open} exist between two messages, not {held}");
    }

    /// The end of the input: the session still answers, and everything is given back.
    fn finish(&mut self) -> Outcome {
        self.framer = None;
        self.compare();
        self.still_answers();
        self.disconnect();
        self.fds.settle();
        self.mappings.settle_as("mapping ledger: mapping");
        self.fds.clear();
        self.mappings.clear();
        self.outcomes.clear();
        std::mem::take(&mut self.outcome)
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

/// The front-end's end of the back-end channel, judged by a model and ledgers of its own.
#[derive(Debug)]
struct FrontEnd {
    judge: Judge<frontend::Core>,
    features: (u64, u64),
}

impl FrontEnd {
    fn new(offer: &ScriptOffer, features: (u64, u64)) -> Self {
        let mut shmem = Box::new([0; 256]);
        for (id, size) in &offer.shmem {
            shmem[usize::from(*id)] = *size;
        }
        let (virtio, protocol) = features;
        let (queues, page_size) = (offer.queues, offer.page_size);
        let offer = oracle::frontend::Offer { virtio, protocol, queues, page_size, shmem };
        Self { judge: Judge::new(&offer), features }
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
