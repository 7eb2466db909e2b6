//! Judges a gateway frame by frame.

#[cfg(feature = "peer-net")]
mod wire;

use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::gateway as model;

use crate::budget;
use crate::gateway::build::Arp;
use crate::gateway::{self, GATEWAYS, LEASES, Port, ROOM, Record, Said, Setup};

/// What lies where a reply is written: every byte of a reply has to be written (L2-006).
const FILL: u8 = 0xa5;

/// How closely a gateway is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Allocations are counted, too.
    Closely,
    /// They are not.
    Lightly,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Frames that were judged.
    pub frames: usize,
    /// Frames that were answered.
    pub replies: usize,
    /// The first rule that one of them breaks.
    pub broken: Option<Id>,
}

/// What the model says about an input, without the code under test.
#[must_use]
pub fn judge(bytes: &[u8]) -> Vec<model::Said> {
    let (setup, records) = gateway::decode(bytes);
    let (mut model, mut now_ms) = (setup.model(), 0);
    records
        .iter()
        .map(|record| {
            now_ms += record.wait_ms();
            model.frame(record.frame, record.is_partial, now_ms)
        })
        .collect()
}

/// The first rule that an input breaks, by the model.
#[must_use]
pub fn broken(said: &[model::Said]) -> Option<Id> {
    said.iter().find_map(|said| match said {
        model::Said::Refused(id) => Some(*id),
        _ => None,
    })
}

/// Runs every oracle on an input.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<P: Port>(bytes: &[u8], watch: Watch) -> Outcome {
    let (setup, records) = gateway::decode(bytes);
    let mut pair = Pair::<P>::new(setup, watch);
    for record in &records {
        pair.frame(record);
    }
    pair.serve();
    pair.outcome
}

/// A gateway and its model.
struct Pair<P> {
    setup: Setup,
    watch: Watch,
    port: P,
    model: model::Gateway,
    now_ms: u64,
    outcome: Outcome,
}

impl<P: Port> Pair<P> {
    fn new(setup: Setup, watch: Watch) -> Self {
        let (port, model) = (P::new(setup), setup.model());
        Self { setup, watch, port, model, now_ms: 0, outcome: Outcome::default() }
    }

    /// Gives one frame to both, and compares.
    fn frame(&mut self, record: &Record<'_>) {
        self.now_ms += record.wait_ms();
        let mut out = [FILL; ROOM + 1];
        let said = self.ask(record, &mut out);
        let len = if let Said::Reply(len) = said { len } else { 0 };
        let room = self.setup.room();
        assert!(len <= room, "guarded memory: a reply of {len} bytes, with room for {room}");
        let (reply, rest) = out.split_at(len);
        if let Some(at) = rest.iter().position(|byte| *byte != FILL) {
            let at = len + at;
            panic!("guarded memory: byte {at} was written, {said:?} to {:02x?}", record.frame);
        }
        #[cfg(feature = "peer-net")]
        if len > 0 {
            wire::check(reply);
        }
        let expected = self.model.frame(record.frame, record.is_partial, self.now_ms);
        self.outcome.frames += 1;
        self.outcome.replies += usize::from(len > 0);
        if let model::Said::Refused(id) = expected {
            self.outcome.broken = self.outcome.broken.or(Some(id));
        }
        let is_same = match (said, &expected) {
            (Said::Reply(_), model::Said::Reply(expected)) => reply == expected,
            (Said::Silent(rule), model::Said::Silent(id))
            | (Said::Refused(rule), model::Said::Refused(id)) => super::id(rule) == *id,
            _ => false,
        };
        assert!(
            is_same,
            "model: {said:?} {reply:02x?}, not {expected:02x?}, to {:02x?}",
            record.frame
        );
    }

    fn ask(&mut self, record: &Record<'_>, out: &mut [u8]) -> Said {
        let Self { setup, watch, port, now_ms, .. } = self;
        let Some(out) = out.get_mut(..setup.room()) else { unreachable!("it is no larger") };
        let mut ask = || port.frame(record.frame, record.transport(), *now_ms, out);
        match watch {
            Watch::Closely => budget::without_allocating("a frame", ask),
            Watch::Lightly => ask(),
        }
    }

    /// Whatever came before, the guest finds its gateway a minute later.
    fn serve(&mut self) {
        self.now_ms += 60_000;
        let request = Arp::request(LEASES[0], GATEWAYS[0]).bytes();
        let mut out = [FILL; ROOM];
        let said = self.ask(&Record::new(&request), &mut out);
        let reply = if let Said::Reply(len) = said { &out[..len] } else { &[] };
        let expected = self.model.frame(&request, false, self.now_ms);
        assert!(
            matches!(&expected, model::Said::Reply(expected) if expected == reply),
            "liveness: the guest asks for its gateway, and is told {said:?} {reply:02x?}"
        );
    }
}
