//! What the model says about an input, without the code under test.

use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_model::net::device as expected;
use vhost_fuzz_model::ring::Refusal;
use vhost_fuzz_world::net::driver::{self, Driver};
use vhost_fuzz_world::net::shadow::{Log, Shadow};
use vhost_fuzz_world::net::step::{Start, Step};
use vhost_fuzz_world::net::{CONTROL, QUEUES, receive, transmit};

use super::{Outcome, setup};
use crate::ring::model::{Model, form};
use crate::ring::step as ring;
use crate::ring::world::World;

/// Judges steps.
#[must_use]
pub fn judge<'a>(steps: impl IntoIterator<Item = Step<'a>>) -> Outcome {
    let mut judge: Option<Judge> = None;
    let mut outcome = Outcome::default();
    for step in steps {
        if let Step::Start(start) = step {
            if let Some(judge) = judge.take() {
                outcome = judge.outcome;
            }
            judge = Some(Judge::new(&start, std::mem::take(&mut outcome)));
        } else {
            judge
                .get_or_insert_with(|| Judge::new(&Start::default(), Outcome::default()))
                .step(&step);
        }
    }
    judge.map_or(outcome, |judge| judge.outcome)
}

struct Judge {
    world: World,
    start: Start,
    starts: [ring::Start; QUEUES],
    rings: [Option<Model>; QUEUES],
    model: expected::Device,
    driver: Driver,
    now_ms: u64,
    log: Log,
    outcome: Outcome,
}

impl Judge {
    fn new(start: &Start, outcome: Outcome) -> Self {
        let starts = driver::rings(start);
        let mut judge = Self {
            world: World::new(start.layout),
            start: *start,
            starts,
            rings: [const { None }; QUEUES],
            model: setup::model(start),
            driver: Driver::new(start, &starts),
            now_ms: 0,
            log: Log::default(),
            outcome,
        };
        judge.driver.header_len = Features::from_bits(start.features).header_len();
        for queue in 0..QUEUES {
            judge.start_queue(queue, true);
        }
        judge
    }

    fn note(&mut self, rule: vhost_fuzz_model::Id) {
        if self.outcome.broken.last() != Some(&rule) {
            self.outcome.broken.push(rule);
        }
    }

    fn start_queue(&mut self, queue: usize, is_fresh: bool) {
        let start = self.starts[queue];
        if self.start.form == Form::Split && is_fresh {
            let [.., low, high] = start.base.to_le_bytes();
            let ram = &self.world.ram;
            driver::both([ram, ram], start.parts[2].wrapping_add(2), &[low, high]);
        }
        let mut started = Err(Refusal::Legacy);
        let (world, form_of) = (&self.world, self.start.form);
        self.log.apply(world, |writes| started = Model::activate(form_of, &start, world, writes));
        match started {
            Ok(model) => self.rings[queue] = Some(model),
            Err(Refusal::Size { size: 0 }) => self.rings[queue] = None,
            Err(refusal) => {
                self.rings[queue] = None;
                self.note(refusal.rule(form(form_of)));
            }
        }
    }

    /// A queue can be used in this wake-up.
    fn bind(&mut self, queue: usize) -> bool {
        let Some(ring) = &mut self.rings[queue] else { return false };
        if ring.stopped().is_some() {
            return false;
        }
        match ring.bind(&self.world) {
            Ok(()) => true,
            Err(refusal) => {
                self.note(refusal.rule(form(self.start.form)));
                false
            }
        }
    }

    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Start(_) => {}
            Step::Wake { queue: CONTROL } => {
                self.single(CONTROL, |model, host| _ = model.command(host, CONTROL));
            }
            Step::Wake { queue } => self.serve(queue / 2),
            Step::Discard { pair } => {
                let queue = transmit(*pair);
                self.single(queue, |model, host| _ = model.discard(host, queue));
            }
            Step::Restart { queue, is_fresh } => {
                let base = self.rings[*queue].take().map(|model| model.base());
                if *is_fresh {
                    self.starts[*queue].base = driver::rings(&self.start)[*queue].base;
                    self.driver.restart(*queue, &self.starts[*queue]);
                } else if let Some(base) = base {
                    self.starts[*queue].base = base;
                }
                self.start_queue(*queue, *is_fresh);
            }
            Step::Memory { regions } => self.world.set_regions(*regions),
            Step::Wait { ms } => self.now_ms += u64::from(*ms),
            Step::Link { is_up } => _ = self.model.control.link(*is_up),
            Step::Announce => _ = self.model.control.announce(),
            Step::Negotiate { features } => {
                let features = Features::from_bits(*features);
                self.model.negotiated(features.bits());
                self.driver.header_len = features.header_len();
            }
            Step::Enable { queue, is_on } => {
                self.model.control.enable(u16::try_from(*queue).unwrap_or(0), *is_on);
            }
            Step::Mtu { mtu } => self.model.set_mtu(*mtu),
            step => _ = self.driver.drive([&self.world.ram, &self.world.ram], step),
        }
    }

    fn serve(&mut self, pair: usize) {
        let tx = transmit(pair);
        if !self.bind(tx) {
            return;
        }
        let is_used = pair < usize::from(self.model.control.pairs());
        let rx = receive(if is_used { pair } else { 0 });
        let rx = self.bind(rx).then_some(rx);
        let now_ms = self.now_ms;
        self.wake(|model, host| _ = model.serve(host, tx, rx, now_ms));
    }

    fn single(&mut self, queue: usize, run: impl FnOnce(&mut expected::Device, &mut Shadow<'_>)) {
        if self.bind(queue) {
            self.wake(run);
        }
    }

    fn wake(&mut self, run: impl FnOnce(&mut expected::Device, &mut Shadow<'_>)) {
        self.log.clear();
        let Self { world, rings, log, model, start, .. } = self;
        run(model, &mut Shadow { form: start.form, world, rings, log });
        self.outcome.operations += usize::try_from(self.log.pops).unwrap_or(0);
        for rule in std::mem::take(&mut self.model.broken) {
            self.note(rule);
        }
        let replies = self.model.deliveries.drain(..).map(|delivery| delivery.reply);
        self.outcome.replies.extend(replies);
    }
}
