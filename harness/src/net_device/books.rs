//! What is known about a device, and what the oracles say of it.

use std::sync::atomic::AtomicU8;

use vhost_fuzz_core::net::device::{Counters, Due};
use vhost_fuzz_core::ring::{ActivateError, BindError, Guest, Position, Queue, QueueRing};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::device as expected;
use vhost_fuzz_model::ring::Refusal;
use vhost_fuzz_world::net::QUEUES;
use vhost_fuzz_world::net::driver::Driver;
use vhost_fuzz_world::net::shadow::Log;
use vhost_fuzz_world::net::step::Start;

use super::{Outcome, Watch};
use crate::ram::{GuestRam as _, Ram, RamRegion};
use crate::ring::compare;
use crate::ring::model::{Model, form};
use crate::ring::step as ring;
use crate::ring::world::World;

/// A ring during a wake-up.
pub(super) type Bound<'r> = QueueRing<'r, RamRegion, [AtomicU8]>;

/// What is known about a device.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) start: Start,
    /// How each queue starts.
    pub(super) starts: [ring::Start; QUEUES],
    /// None where a queue is stopped.
    pub(super) rings: [Option<Model>; QUEUES],
    pub(super) model: expected::Device,
    pub(super) driver: Driver,
    pub(super) now_ms: u64,
    pub(super) log: Log,
    /// What is compared.
    pub(super) bytes: [Vec<u8>; 2],
    pub(super) watch: Watch,
    pub(super) outcome: Outcome,
}

impl Books {
    /// A new operation: nothing was read or written.
    ///
    /// Memory does not flip for commands. A device reads nothing twice there, and what it does not
    /// need not at all, but the model reads all of it.
    pub(super) fn forget(&mut self, real: &World, shadow: &World, is_command: bool) {
        self.log.clear();
        let is_flipping = self.watch == Watch::Closely && !is_command;
        for world in [real, shadow] {
            world.ram.unguard();
            world.ram.flip(is_flipping);
            world.ram.begin();
        }
    }

    /// Whether a queue starts, and why not.
    pub(super) fn judge_start(
        &mut self,
        answer: Result<(), Option<ActivateError>>,
        expected: Result<Model, Refusal>,
    ) -> Option<Model> {
        match (answer, expected) {
            (Ok(()), Ok(model)) => return Some(model),
            (Err(None), Err(Refusal::Size { size: 0 })) => {}
            (Err(Some(error)), Err(expected)) => {
                assert!(
                    compare::is_refused_alike(error, expected),
                    "model: a queue refuses to start with {error:?}, the model {expected:?}"
                );
                self.note(expected.rule(form(self.start.form)));
            }
            (answer, expected) => panic!(
                "model: a queue starts: the device says {answer:?}, the model {:?}",
                expected.map(drop)
            ),
        }
        None
    }

    /// Binds a queue, if it can be.
    pub(super) fn bind<'r>(
        &mut self,
        device: &'r mut Queue,
        queue: usize,
        guest: &Guest<'r, RamRegion>,
        shadow: &World,
    ) -> Option<Bound<'r>> {
        let bound = device.bind(guest);
        let Some(model) = &mut self.rings[queue] else {
            assert!(matches!(bound, Err(BindError::Stopped)), "model: a stopped queue was bound");
            return None;
        };
        if let Some(expected) = model.stopped() {
            match bound {
                Err(BindError::Broken(broken)) => compare::assert_stop("bind", broken, expected),
                _ => panic!("model: a broken queue was bound, which is {expected:?}"),
            }
            return None;
        }
        match (bound, model.bind(shadow)) {
            (Ok(ring), Ok(())) => Some(ring),
            (Err(BindError::Place(ActivateError::Place(_))), Err(expected)) => {
                self.note(expected.rule(form(self.start.form)));
                None
            }
            (bound, expected) => panic!(
                "model: binding: the device says {:?}, the model {expected:?}",
                bound.map(drop)
            ),
        }
    }

    /// While it is watched closely, the device may write what the model wrote, and nothing else.
    pub(super) fn guard(&self, ram: &Ram) {
        if self.watch == Watch::Closely {
            ram.guard_writes(self.log.writes.iter().copied());
        }
    }

    pub(super) fn note(&mut self, rule: Id) {
        if self.outcome.broken.last() != Some(&rule) {
            self.outcome.broken.push(rule);
        }
    }

    /// What the model says about a wake-up.
    pub(super) fn note_wake(&mut self) {
        self.outcome.operations += usize::try_from(self.log.pops).unwrap_or(0);
        for rule in std::mem::take(&mut self.model.broken) {
            self.note(rule);
        }
        for delivery in self.model.deliveries.drain(..) {
            self.outcome.replies.push(delivery.reply);
        }
    }

    /// Somebody else's parser reads each reply where the driver finds it, before the model is asked
    /// for its bytes: what both are wrong about is found, too.
    ///
    /// A hostile driver puts buffers over one another, or over a ring. A reply that is not there
    /// any more is that of the model.
    #[cfg(feature = "peer-net")]
    pub(super) fn check_replies(&mut self, real: &World, shadow: &World) {
        if self.watch == Watch::Lightly {
            return;
        }
        let [found, expected] = &mut self.bytes;
        for expected::Delivery { request, reply, places, .. } in &self.model.deliveries {
            for (world, bytes) in [(real, &mut *found), (shadow, &mut *expected)] {
                bytes.clear();
                for (address, len) in places {
                    let start = bytes.len();
                    bytes.resize(start + usize::try_from(*len).unwrap_or(0), 0);
                    world.ram.get(*address, &mut bytes[start..]);
                }
            }
            let is_there = expected.ends_with(reply);
            let header_len = found.len() - reply.len();
            super::wire::check(request, if is_there { &found[header_len..] } else { reply });
        }
    }

    pub(super) fn compare_due(&self, what: &str, found: Due, expected: expected::Due) {
        let is_same = (found.call, found.again) == (expected.call, expected.again)
            && found.broken.map(compare::stop) == expected.broken.map(Some);
        assert!(is_same, "model: {what}: due is {found:?}, the model says {expected:?}");
    }

    pub(super) fn compare_counters(&self, found: &Counters) {
        let Counters { taken, malformed, refused, delivered, filtered, dropped } = *found;
        let found = expected::Counters { taken, malformed, refused, delivered, filtered, dropped };
        let expected = self.model.counters;
        assert!(found == expected, "model: the device counts {found:?}, the model {expected:?}");
    }

    /// Where a queue is that is not broken.
    pub(super) fn compare_position(&self, found: Option<Position>, queue: usize) {
        let Some(model) = &self.rings[queue] else { return };
        if model.stopped().is_none() {
            let (found, expected) = (found.map(Position::base), model.base());
            assert!(
                found == Some(expected),
                "model: queue {queue} is at {found:x?}, not at {expected:#x}"
            );
        }
    }

    /// The device has written what the model wrote, nothing else, and has not read too much.
    pub(super) fn check_memory(&mut self, real: &World, shadow: &World, what: &str) {
        let [found, expected] = &mut self.bytes;
        for (address, len) in &self.log.writes {
            let len = usize::try_from(*len).unwrap_or(0);
            found.resize(len, 0);
            expected.resize(len, 0);
            real.ram.get(*address, found);
            shadow.ram.get(*address, expected);
            if found != expected {
                let at = found.iter().zip(&*expected).position(|(a, b)| a != b).unwrap_or(0);
                panic!(
                    "model: {what}: {:02x?} at {:#x}, not {:02x?}",
                    &found[at..len.min(at + 32)],
                    address + at as u64,
                    &expected[at..len.min(at + 32)]
                );
            }
        }
        let counts = real.ram.counts();
        let written = self.log.bytes();
        assert!(
            counts.written_bytes == written,
            "guarded memory: {what}: the device wrote {} bytes, not {written}",
            counts.written_bytes
        );
        let most = shadow.ram.model_read_bytes() + 64 * (1 + self.log.pops);
        assert!(
            counts.read_bytes <= most,
            "budget: {what} read {} bytes of at most {most}",
            counts.read_bytes
        );
    }
}
