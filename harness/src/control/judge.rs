//! Compares a device with the model, step by step.

use std::fmt::{Debug, Display};

use vhost_fuzz_core::net::control::{Coalescing, Outcome, Steered};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::control as model;

use super::{ALL, Device, Setup, Step, draw, flows, probes};
use crate::budget::without_allocating;

/// What is writable before a command.
const STALE: u8 = 0xa5;

/// Bytes behind the room for a result, which are not the device's.
const GUARD: usize = 32;

/// Flows that are looked at after a step. The model takes its time for them.
const FLOWS_AT_ONCE: usize = 4;

/// What became of some steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands that were done.
    pub done: usize,
    /// Rules that the others break, in their order.
    pub broken: Vec<Id>,
}

/// Runs steps on a device and on the model, and then a guest that behaves.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use = "it tells what the steps were"]
pub fn judge<D: Device>(setup: Setup, steps: &[Step]) -> Tally {
    let mut judge = Judge::<D>::new(setup);
    for step in steps {
        judge.step(step);
    }
    judge.finish()
}

/// A device and the model beside it.
#[derive(Debug)]
pub struct Judge<D> {
    setup: Setup,
    device: D,
    model: model::Device,
    frames: Vec<Vec<u8>>,
    flows: Vec<Vec<u8>>,
    /// Steps that were taken.
    turn: usize,
    result: Vec<u8>,
    tally: Tally,
}

impl<D: Device> Judge<D> {
    /// A device that was reset.
    ///
    /// # Panics
    /// When the set-up makes no sense, or a device begins otherwise than the model.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let model = model::Device::new(setup.model());
        let model = model.unwrap_or_else(|id| panic!("a configuration of ours breaks {id}"));
        let judge = Self {
            setup,
            device: D::new(setup.config()),
            model,
            frames: probes(),
            flows: [2794, 14230].into_iter().flat_map(flows).collect(),
            turn: 0,
            result: Vec::new(),
            tally: Tally::default(),
        };
        judge.compare("a new device");
        judge
    }

    /// The device.
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// One step.
    ///
    /// # Panics
    /// When an oracle finds a fault.
    pub fn step(&mut self, step: &Step) {
        let Self { device, model, .. } = self;
        match step {
            Step::Negotiate(features) => {
                device.negotiated(*features);
                model.negotiated(features.bits());
            }
            Step::Command { bytes, room } => self.command(bytes, (*room).into()),
            Step::Link(is_up) => {
                agree(device.set_link(*is_up), model.link(*is_up), format_args!("{step:?} is new"));
            }
            Step::Announce => {
                agree(device.announce(), model.announce(), format_args!("{step:?} is new"));
            }
            Step::Enable { queue, is_enabled } => {
                device.set_enabled(*queue, *is_enabled);
                model.enable(*queue, *is_enabled);
            }
        }
        self.compare(step);
        self.turn += 1;
        for at in 0..FLOWS_AT_ONCE {
            let flow = (self.turn * FLOWS_AT_ONCE + at) % self.flows.len();
            self.compare_flow(flow);
        }
    }

    /// One command, and where its result was written.
    fn command(&mut self, bytes: &[u8], room: usize) {
        let Self { device, model, result, tally, .. } = self;
        let said = model.command(bytes, room as u64);
        result.clear();
        result.resize(room + GUARD, STALE);
        let (inside, behind) = result.split_at_mut(room);
        let came = without_allocating("a command", || device.handle(bytes, inside));
        let is_clean = behind.iter().all(|byte| *byte == STALE);
        assert!(is_clean, "guarded memory: written behind the {room} bytes of a result");
        let text = format_args!("{came:?}, and the model says {said:?} to {bytes:02x?}");
        let ack = u8::from(said.is_err());
        let len = 1 + said.as_ref().map_or(0, Vec::len);
        let used = usize::try_from(came.used_len()).unwrap_or(usize::MAX);
        agree((came.ack(), used), (ack, len), text);
        match (came, &said) {
            (Outcome::Done { .. }, Ok(expected)) => {
                assert_eq!(
                    inside[..expected.len()],
                    **expected,
                    "model: the result of {bytes:02x?}"
                );
                let rest = &inside[expected.len()..];
                let is_clean = rest.iter().all(|byte| *byte == STALE);
                assert!(is_clean, "guarded memory: more than the result was written");
                tally.done += 1;
            }
            (Outcome::Refused(error), Err(id)) => {
                agree(error.rule().to_string(), id.to_string(), text);
                tally.broken.push(*id);
            }
            (came, said) => panic!("model: {came:?} is not {said:?}"),
        }
    }

    /// Everything that can be seen of a device is as the model says.
    fn compare(&self, after: impl Debug) {
        let Self { device, model, .. } = self;
        let space = device.config_space().bytes();
        agree(&space[..], &model.config_space()[..], format_args!("config space after {after:?}"));
        agree(device.pairs(), model.pairs(), format_args!("pairs after {after:?}"));
        let on = Features::from_bits(model.offloads());
        agree(device.offloads(), on, format_args!("offloads after {after:?}"));
        for queue in [0, 1, 2, 3, self.setup.queues() - 1, self.setup.queues(), u16::MAX] {
            let wished = device.coalescing(queue);
            let wished = wished.map(|wish: Coalescing| (wish.max_packets, wish.max_usecs));
            let about = format_args!("wishes for queue {queue} after {after:?}");
            agree(wished, model.coalescing(queue), about);
        }
        for frame in &self.frames {
            let about = format_args!("{frame:02x?} is received after {after:?}");
            agree(device.accepts(frame), model.accepts(frame), about);
        }
    }

    /// A frame is hashed as the model says, and goes to a queue that it may go to.
    fn compare_flow(&self, at: usize) {
        let Self { device, model, .. } = self;
        let Some(frame) = self.flows.get(at) else { return };
        let Steered { pair, hash } = device.steer(frame);
        let hash = hash.map(|hash| (hash.value, hash.report));
        agree(hash, model.hash(frame), format_args!("the hash of {frame:02x?}"));
        let places = model.places(frame);
        let is_right = pair.map_or(places.is_empty(), |pair| places.contains(&pair));
        assert!(is_right, "model: {frame:02x?} goes to {pair:?} and not to one of {places:?}");
        agree(device.steer(frame).pair, pair, format_args!("where {frame:02x?} goes twice"));
    }

    /// Whatever came before: after a reset every kind of command is done again.
    ///
    /// # Panics
    /// When an oracle finds a fault.
    pub fn finish(mut self) -> Tally {
        (0..self.flows.len()).for_each(|flow| self.compare_flow(flow));
        let tally = self.tally.clone();
        self.device.negotiated(ALL);
        self.model.negotiated(ALL.bits());
        for command in good(self.setup) {
            let came = self.device.handle(&command, &mut [0; 64]);
            assert!(came.ack() == 0, "liveness: {command:02x?} is {came:?}");
            self.step(&Step::command(command));
        }
        tally
    }
}

/// Demands that a device and the model say the same.
fn agree<T: PartialEq + Debug>(came: T, said: T, about: impl Display) {
    assert!(came == said, "model: {about}: it is {came:?}, and the model says {said:?}");
}

/// One command of each kind, as a driver sends it to this device.
fn good(setup: Setup) -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(0);
    // Who hashes nothing has no table.
    let kinds = draw::KINDS.into_iter().filter(|kind| *kind != (4, 1) || setup.hashing.is_some());
    kinds.map(|kind| draw::good(&mut rng, setup, kind)).collect()
}
