//! The model of a back-end, fed with the records of a script as the target `session` feeds it.

use std::collections::VecDeque;

use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_core::vhost_user::{HEADER_LEN, Kind, Layout, MAX_FDS};
use vhost_fuzz_harness::oracle::stream::LIMIT;
use vhost_fuzz_harness::script::Record;
use vhost_fuzz_harness::session::offer::ScriptOffer;
use vhost_fuzz_harness::session::outcome::{AREA, MAPPING};
use vhost_fuzz_harness::session::setup;
use vhost_fuzz_model::Id;
use vhost_fuzz_model::session::{Backend, Effect, Outcome, Step};
use vhost_fuzz_model::vhost_user::stream::{self, Segment};
use vhost_fuzz_model::vhost_user::{Context, number};

/// `IOTLB_MSG`, its payload in bytes, and its type for an update (spec §2 P-IOTLB).
const IOTLB_MSG: u64 = 22;
const IOTLB_LEN: usize = 32;
const IOTLB_UPDATE: u8 = 2;

/// What the model makes of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::corpus) struct Answer {
    /// Header and payload of the request.
    pub(in crate::corpus) bytes: Vec<u8>,
    /// Descriptors that came with it.
    pub(in crate::corpus) fds: usize,
    /// What had been negotiated by then.
    pub(in crate::corpus) layout: Layout,
    /// What had to be done for it, and how that ended.
    pub(in crate::corpus) effects: Vec<(Effect, Outcome)>,
    /// What came of it at last: nothing, a reply, or the end of the connection.
    pub(in crate::corpus) step: Step,
}

impl Answer {
    /// The requirement that the request breaks, if it is refused.
    pub(in crate::corpus) fn refusal(&self) -> Option<Id> {
        match self.step {
            Step::Silent | Step::Need(_) => None,
            Step::Reply { refusal, .. } => refusal,
            Step::Close(rule) => Some(rule),
        }
    }
}

/// What came of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::corpus) struct Heard {
    /// The messages that the record makes whole, in the order in which they are answered.
    pub(in crate::corpus) answers: Vec<Answer>,
    /// The requirement that the stream breaks, which ends the connection.
    pub(in crate::corpus) broken: Option<Id>,
    /// The record was heard before, while a ring was drained.
    pub(in crate::corpus) was_heard: bool,
}

/// A back-end that listens to the main channel.
pub(in crate::corpus) struct BackEnd {
    model: Backend,
    results: VecDeque<(bool, u64)>,
    /// What was received since the stream was last between two messages, and how many messages
    /// of that were answered.
    open: Vec<Segment>,
    answered: usize,
    fds: usize,
    next_was_heard: bool,
}

impl BackEnd {
    /// A back-end with this device.
    pub(in crate::corpus) fn new(offer: &ScriptOffer) -> Self {
        Self {
            model: Backend::new(setup::offers(offer).1),
            results: VecDeque::new(),
            open: Vec::new(),
            answered: 0,
            fds: 0,
            next_was_heard: false,
        }
    }

    /// Takes one record. A translation in the `next` one is heard while a ring is drained.
    pub(in crate::corpus) fn record(
        &mut self,
        record: &Record<'_>,
        next: Option<&Record<'_>>,
    ) -> Heard {
        if std::mem::take(&mut self.next_was_heard) {
            return Heard { was_heard: true, ..Heard::default() };
        }
        match record {
            Record::Fd { .. } => self.fds += 1,
            Record::Message { kind: Kind::FRONTEND_REQUEST, bytes } => {
                let fds = std::mem::take(&mut self.fds);
                return self.bytes(bytes, fds, next);
            }
            Record::Message { .. } => self.fds = 0,
            Record::EffectResult { is_ok, value } => self.results.push_back((*is_ok, *value)),
            Record::Close | Record::Reconnect => self.disconnect(),
            Record::Border
            | Record::ControlTruncated
            | Record::GuestWrite { .. }
            | Record::Action { .. } => {}
        }
        Heard::default()
    }

    fn disconnect(&mut self) {
        self.model.disconnect();
        self.open.clear();
        self.answered = 0;
        self.fds = 0;
    }

    fn bytes(&mut self, bytes: &[u8], fds: usize, next: Option<&Record<'_>>) -> Heard {
        let mut heard = Heard::default();
        if self.open.is_empty() && is_whole(bytes) && fds <= MAX_FDS {
            heard.answers = self.message(bytes, fds, next);
            return heard;
        }
        let fds = (0..u32::try_from(fds).unwrap_or(u32::MAX)).collect();
        self.open.push(Segment { bytes: bytes.to_vec(), fds, control_truncated: false });
        let outcome = stream::judge(Context::default(), LIMIT, &self.open);
        for (bytes, fds) in outcome.messages.iter().skip(self.answered) {
            heard.answers.extend(self.message(bytes, fds.len(), next));
        }
        self.answered = outcome.messages.len();
        match outcome.error {
            // Not a fault yet: the rest of the message is to come.
            Some(Id::Vu(1)) => {}
            Some(rule) => {
                heard.broken = Some(rule);
                self.disconnect();
            }
            None => {
                self.open.clear();
                self.answered = 0;
            }
        }
        heard
    }

    fn message(&mut self, bytes: &[u8], fds: usize, next: Option<&Record<'_>>) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut effects = Vec::new();
        let layout = self.layout();
        let mut step = self.model.message(bytes, fds);
        while let Step::Need(effect) = step {
            let outcome = outcome(&effect, self.results.pop_front());
            if let Effect::StopRing { drain: true, .. } = effect
                && let Some(Record::Message { kind: Kind::FRONTEND_REQUEST, bytes }) = next
                && !self.next_was_heard
                && is_update(bytes)
            {
                self.next_was_heard = true;
                let (bytes, effects) = (bytes.to_vec(), Vec::new());
                let step = self.model.message(&bytes, 0);
                answers.push(Answer { bytes, fds: 0, layout, effects, step });
            }
            step = self.model.done(outcome.clone());
            effects.push((effect, outcome));
        }
        if let Step::Close(_) = step {
            self.model.disconnect();
        }
        answers.push(Answer { bytes: bytes.to_vec(), fds, layout, effects, step });
        answers
    }
}

impl BackEnd {
    /// What the next message is read with.
    fn layout(&self) -> Layout {
        let bits = self.model.protocol();
        Layout {
            xen_mmap: bits & protocol::XEN_MMAP != 0,
            log_shmfd: bits & protocol::LOG_SHMFD != 0,
            postcopy_ack: self.model.postcopy() == "TableSent",
        }
    }
}

/// How an effect ends that the script tells this of.
fn outcome(effect: &Effect, told: Option<(bool, u64)>) -> Outcome {
    let (is_ok, value) = told.unwrap_or((true, 0));
    if !is_ok {
        return Outcome::Failed;
    }
    let number = match (effect, told) {
        (Effect::MapRegion { .. } | Effect::MapLog { .. } | Effect::MapInflight { .. }, None) => {
            MAPPING
        }
        (Effect::AllocateInflight { .. }, None) => AREA,
        (Effect::StopRing { .. }, _) => value & u64::from(u32::MAX),
        _ => value,
    };
    let bytes = match effect {
        Effect::ReadConfig { size, .. } => {
            let len = if value == 0 { *size } else { value.min(*size) };
            vec![0x5a; usize::try_from(len).unwrap_or(0)]
        }
        _ => Vec::new(),
    };
    // An even number brings a descriptor back.
    Outcome::Done { number, bytes, fd: number.is_multiple_of(2) }
}

/// Whether these bytes are one message and nothing else.
fn is_whole(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN
        && bytes.len() - HEADER_LEN <= LIMIT as usize
        && number(bytes, 8, 4) == (bytes.len() - HEADER_LEN) as u64
}

/// Whether these bytes are an `IOTLB_MSG` that a back-end takes while it drains a ring.
fn is_update(bytes: &[u8]) -> bool {
    is_whole(bytes)
        && number(bytes, 0, 4) == IOTLB_MSG
        && bytes.len() == HEADER_LEN + IOTLB_LEN
        && bytes[HEADER_LEN + 25] == IOTLB_UPDATE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(words: &[u32]) -> Record<'static> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Record::Message { kind: Kind::FRONTEND_REQUEST, bytes: bytes.into() }
    }

    fn heard(records: &[Record<'_>]) -> Vec<Heard> {
        let mut back_end = BackEnd::new(&ScriptOffer::default());
        let next = records.iter().skip(1).map(Some).chain([None]);
        records.iter().zip(next).map(|(record, next)| back_end.record(record, next)).collect()
    }

    #[test]
    fn messages_in_pieces_are_heard_when_they_are_whole() {
        let records = [message(&[1, 1]), Record::Border, message(&[0, 3, 1, 0, 2]), message(&[1])];
        let counts: Vec<_> = heard(&records).iter().map(|heard| heard.answers.len()).collect();
        assert_eq!(counts, [0, 0, 2, 0]);
        let cut = [message(&[1, 1]), Record::Reconnect, message(&[1, 1, 0])];
        assert_eq!(heard(&cut)[2].answers.len(), 1);
    }

    #[test]
    fn a_broken_stream_ends_the_connection() {
        let records = [message(&[1]), message(&[2, 0, 0]), message(&[1, 1, 0])];
        let heard = heard(&records);
        assert_eq!((heard[1].broken, heard[1].answers.len()), (Some(Id::Vu(11)), 0));
        assert_eq!(heard[2].answers.len(), 1);
    }

    #[test]
    fn effects_end_as_the_script_says() {
        let kick = message(&[12, 1, 8, 0x100, 0]);
        let records = [
            message(&[2, 1, 8, 0, 2]),
            Record::EffectResult { is_ok: true, value: 0 },
            Record::EffectResult { is_ok: true, value: 0x7_0009 },
            kick.clone(),
            message(&[11, 1, 8, 0, 0]),
            Record::EffectResult { is_ok: false, value: 5 },
            kick,
        ];
        let heard = heard(&records);
        let answer = |at: usize| &heard[at].answers[0];
        assert_eq!(answer(3).effects[0].0, Effect::StartRing(0));
        assert_eq!(answer(3).refusal(), None);
        // A split base has 16 bits.
        let Step::Reply { bytes, .. } = &answer(4).step else { panic!("{:?}", answer(4)) };
        assert_eq!(bytes[16..], 9_u32.to_ne_bytes());
        assert_eq!(answer(6).effects, [(Effect::StartRing(0), Outcome::Failed)]);
        assert_eq!(answer(6).step, Step::Close(Id::Vu(33)));
    }

    #[test]
    fn a_translation_is_heard_while_a_ring_is_drained() {
        let update = [22, 1, 32, 0, 0, 0x1000, 0, 0, 0, 0x0203, 0];
        let records = [
            message(&[2, 1, 8, 0, 2]),
            message(&[12, 1, 8, 0x100, 0]),
            message(&[11, 1, 8, 0, 0]),
            message(&update),
            message(&[1, 1, 0]),
        ];
        let heard = heard(&records);
        let codes: Vec<_> = heard[2].answers.iter().map(|answer| answer.bytes[0]).collect();
        assert_eq!(codes, [22, 11]);
        assert!(heard[3].was_heard && heard[3].answers.is_empty());
        assert_eq!(heard[4].answers.len(), 1);
    }
}
