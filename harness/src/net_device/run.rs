//! Runs the steps of an input and asks every oracle.

use vhost_fuzz_core::memory::RingSize;
use vhost_fuzz_core::net::device::{Device, Due};
use vhost_fuzz_core::net::gateway::Gateway;
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::ring::{Guest, Layout as Form, Position, Queue};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::device as expected;
use vhost_fuzz_model::ring::Refusal;
use vhost_fuzz_world::net::driver::{self, Driver};
use vhost_fuzz_world::net::shadow::{Log, Shadow};
use vhost_fuzz_world::net::step::{Start, Step};
use vhost_fuzz_world::net::{CONTROL, QUEUES, receive, transmit};

use super::books::{Books, Bound};
use super::device::NetDevice;
use super::{Watch, bit, guest, setup};
use crate::budget;
use crate::gateway::build::Arp;
use crate::ram::{Layout, RamRegion};
use crate::ring::model::Model;
use crate::ring::step as ring;
use crate::ring::world::{self, World};

/// What became of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Chains that were taken.
    pub operations: usize,
    /// Rules that were broken, in their order; the same one is not told twice in a row.
    pub broken: Vec<Id>,
    /// Frames that the driver was given.
    pub replies: Vec<Vec<u8>>,
}

/// A device, its memories, and the model beside it. It is kept from one input to the next.
#[derive(Debug)]
pub struct Run<D> {
    sides: [Option<Box<Side<D>>>; 4],
}

impl<D> Default for Run<D> {
    fn default() -> Self {
        Self { sides: [const { None }; 4] }
    }
}

impl<D: NetDevice> Run<D> {
    /// Runs an input. Unless its first step starts another, it begins with a device that is as
    /// [`Start::default`] says.
    ///
    /// # Panics
    /// When an oracle finds a fault. Then the run cannot be used again.
    pub fn steps<'a>(
        &mut self,
        watch: Watch,
        steps: impl IntoIterator<Item = Step<'a>>,
    ) -> Outcome {
        let mut steps = steps.into_iter().peekable();
        let mut outcome = Outcome::default();
        let mut start = match steps.next_if(|step| matches!(step, Step::Start(_))) {
            Some(Step::Start(start)) => start,
            _ => Start::default(),
        };
        loop {
            let at = Layout::ALL.iter().position(|layout| *layout == start.layout).unwrap_or(0);
            let side = self.sides[at].get_or_insert_with(|| Box::new(Side::new(start.layout)));
            side.begin(watch, &start, std::mem::take(&mut outcome));
            let next = side.run(&mut steps);
            side.assert_alive();
            outcome = std::mem::take(&mut side.books.outcome);
            match next {
                Some(next) => start = next,
                None => return outcome,
            }
        }
    }
}

/// A device and the memories of one layout.
#[derive(Debug)]
struct Side<D> {
    /// The memory of the device, and that of the model.
    real: World,
    shadow: World,
    /// Split queues, and packed ones.
    queues: [[Queue; QUEUES]; 2],
    device: D,
    /// A gateway that was made last, and has answered nothing: most inputs have the same.
    gateway: Option<([u8; 4], Gateway)>,
    books: Books,
}

impl<D: NetDevice> Side<D> {
    fn new(layout: Layout) -> Self {
        let max = driver::size_max(layout);
        let max = RingSize::check(max.into(), false, RingSize::MAX).expect("a size");
        let start = Start { layout, ..Start::default() };
        let starts = driver::rings(&start);
        let queues = |form| std::array::from_fn(|_| Queue::new(form, max));
        Self {
            real: World::new(layout),
            shadow: World::new(layout),
            queues: [queues(Form::Split), queues(Form::Packed)],
            device: D::open(setup::config(&start, max)),
            gateway: None,
            books: Books {
                start,
                starts,
                rings: [const { None }; QUEUES],
                model: setup::model(&start),
                driver: Driver::new(&start, &starts),
                now_ms: 0,
                log: Log::default(),
                bytes: [Vec::new(), Vec::new()],
                watch: Watch::Lightly,
                outcome: Outcome::default(),
            },
        }
    }

    fn begin(&mut self, watch: Watch, start: &Start, outcome: Outcome) {
        let Self { real, shadow, device, gateway, books, .. } = self;
        real.clear();
        shadow.clear();
        books.start = *start;
        books.watch = watch;
        books.outcome = outcome;
        books.now_ms = 0;
        books.model = setup::model(start);
        let gateway = match gateway {
            Some((setup, made)) if *setup == start.gateway => made,
            _ => {
                let config = setup::Setup(start.gateway).config();
                let made = Gateway::new(config);
                let made = made.unwrap_or_else(|error| panic!("a configuration of ours: {error}"));
                &mut gateway.insert((start.gateway, made)).1
            }
        };
        device.renew(setup::control(start), gateway.clone());
        self.wire(start);
        self.negotiate(start.features);
    }

    /// Starts all queues.
    fn wire(&mut self, start: &Start) {
        self.books.starts = driver::rings(start);
        self.books.driver.renew(start, &self.books.starts);
        self.keep_steady();
        for queue in 0..QUEUES {
            self.start_queue(queue, true);
        }
    }

    /// What of a ring a device looks at again and again in a wake-up does not flip: whether there
    /// is more, and which calls are wanted.
    fn keep_steady(&mut self) {
        if self.books.watch == Watch::Lightly {
            return;
        }
        let is_packed = self.books.start.form == Form::Packed;
        let ranges = self.books.starts.iter().flat_map(|ring::Start { size, parts, .. }| {
            let size = u64::from(*size);
            let [descriptor, driver, _] = *parts;
            let flags = 0..if is_packed { size } else { 0 };
            let event = driver + if is_packed { 2 } else { 4 + 2 * size };
            flags.map(move |slot| (descriptor + 16 * slot + 14, 2)).chain([(driver, 4), (event, 2)])
        });
        for world in [&self.real, &self.shadow] {
            world.ram.keep_steady(ranges.clone());
        }
    }

    fn negotiate(&mut self, features: u128) {
        let features = Features::from_bits(features);
        self.device.negotiated(features);
        self.books.model.negotiated(features.bits());
        self.books.driver.header_len = features.header_len();
    }

    fn queue(&mut self, queue: usize) -> &mut Queue {
        &mut self.queues[usize::from(self.books.start.form == Form::Packed)][queue]
    }

    /// Starts a queue. A split one that starts from the beginning finds its used index in memory.
    fn start_queue(&mut self, queue: usize, is_fresh: bool) {
        let start = self.books.starts[queue];
        let form = self.books.start.form;
        self.queues[usize::from(form == Form::Packed)][queue].reset();
        let Self { real, shadow, queues, books, .. } = self;
        let device = &mut queues[usize::from(form == Form::Packed)][queue];
        if form == Form::Split && is_fresh {
            let [.., low, high] = start.base.to_le_bytes();
            driver::both([&real.ram, &shadow.ram], start.parts[2].wrapping_add(2), &[low, high]);
        }
        books.forget(real, shadow, false);
        let answer = match world::setup(&start) {
            Some(setup) => {
                let position = world::position(form, start.base);
                device.activate(&setup, position, &real.guest()).map_err(Some)
            }
            None => Err(None),
        };
        let mut expected = Err(Refusal::Legacy);
        books.log.apply(shadow, |writes| {
            expected = Model::activate(form, &start, shadow, writes);
        });
        books.rings[queue] = books.judge_start(answer, expected);
        books.check_memory(real, shadow, "activate");
    }

    /// Runs steps up to the next that starts everything over.
    fn run<'a>(&mut self, steps: &mut impl Iterator<Item = Step<'a>>) -> Option<Start> {
        for step in steps {
            match step {
                Step::Start(start) => return Some(start),
                Step::Wake { queue: CONTROL } => self.command(),
                Step::Wake { queue } => self.serve(queue / 2, |_| ()),
                Step::Discard { pair } => self.discard(pair),
                Step::Restart { queue, is_fresh } => self.restart(queue, is_fresh),
                Step::Memory { regions } => {
                    self.real.set_regions(regions);
                    self.shadow.set_regions(regions);
                }
                Step::Wait { ms } => self.books.now_ms += u64::from(ms),
                Step::Negotiate { features } => self.negotiate(features),
                Step::Link { .. } | Step::Announce | Step::Enable { .. } | Step::Mtu { .. } => {
                    self.tell(&step);
                }
                step => {
                    self.books.driver.drive([&self.real.ram, &self.shadow.ram], &step);
                }
            }
        }
        None
    }

    /// What somebody else than the driver tells the device.
    fn tell(&mut self, step: &Step<'_>) {
        let model = &mut self.books.model;
        let device = self.device.core();
        let told = match step {
            Step::Link { is_up } => {
                (device.control_mut().set_link(*is_up), model.control.link(*is_up))
            }
            Step::Announce => (device.control_mut().announce(), model.control.announce()),
            Step::Enable { queue, is_on } => {
                let queue = u16::try_from(*queue).unwrap_or(0);
                device.control_mut().set_enabled(queue, *is_on);
                model.control.enable(queue, *is_on);
                (true, true)
            }
            Step::Mtu { mtu } => {
                device.set_mtu(*mtu);
                model.set_mtu(*mtu);
                (true, true)
            }
            _ => (true, true),
        };
        assert!(told.0 == told.1, "model: {step:?}: the device says {}, not {}", told.0, told.1);
        self.check_space();
    }

    /// The driver reads what the model says (NET-054).
    fn check_space(&mut self) {
        let (space, expected) =
            (self.device.core().config_space().bytes(), self.books.model.control.config_space());
        assert!(
            space[..] == expected,
            "model: the config space is {space:02x?}, not {expected:02x?}"
        );
    }

    /// A wake-up of a transmit queue. `see` is shown the memory that the device leaves, before
    /// anybody else judges it; it is not called when the queue cannot be used.
    fn serve(&mut self, pair: usize, see: impl FnOnce(&World)) {
        let number = u16::try_from(pair).unwrap_or(0);
        let expected = if number < self.books.model.control.pairs() { number } else { 0 };
        let receiver = self.device.receiver_of(number);
        assert!(
            receiver == expected,
            "model: the answers to pair {pair} go to pair {receiver}, not {expected}"
        );
        let (tx, rx) = (transmit(pair), receive(expected.into()));
        let Self { real, shadow, queues, device, books, .. } = self;
        books.forget(real, shadow, false);
        let queues = &mut queues[usize::from(books.start.form == Form::Packed)];
        let Ok([sent, received]) = queues.get_disjoint_mut([tx, rx]) else { return };
        let guest = real.guest();
        let Some(mut transmit) = books.bind(sent, tx, &guest, shadow) else { return };
        let mut receive = books.bind(received, rx, &guest, shadow);
        let has_room = receive.is_some().then_some(rx);
        let now_ms = books.now_ms;
        let dues = books.model.serve(
            &mut Shadow {
                form: books.start.form,
                world: shadow,
                rings: &mut books.rings,
                log: &mut books.log,
            },
            tx,
            has_room,
            now_ms,
        );
        books.guard(&real.ram);
        let found = watched(books.watch, "a wake-up", || {
            device.serve(&mut transmit, receive.as_mut(), &guest, now_ms)
        });
        see(real);
        books.compare_due("transmit", found[0], dues[0]);
        books.compare_due("receive", found[1], dues[1]);
        books.compare_counters(device.core().counters());
        for queue in [Some(tx), has_room].into_iter().flatten() {
            books.compare_position(queues[queue].position(), queue);
        }
        #[cfg(feature = "peer-net")]
        books.check_replies(real, shadow);
        books.check_memory(real, shadow, "a wake-up");
        books.note_wake();
    }

    /// A wake-up of a transmit queue that is not to be used.
    fn discard(&mut self, pair: usize) {
        let tx = transmit(pair);
        self.single(
            tx,
            "a wake-up for nothing",
            |device, ring, _| device.discard(ring),
            |model, host| model.discard(host, tx),
        );
    }

    /// A wake-up of the control queue.
    fn command(&mut self) {
        self.single(
            CONTROL,
            "a command",
            |device, ring, guest| device.command(ring, guest),
            |model, host| model.command(host, CONTROL),
        );
        self.check_space();
        let (control, model) = (self.device.core().control(), &self.books.model.control);
        let (pairs, offloads) = (control.pairs(), control.offloads().bits());
        assert!(pairs == model.pairs(), "model: {pairs} pairs, not {}", model.pairs());
        assert!(
            offloads == model.offloads(),
            "model: offloads {offloads:#x}, not {:#x}",
            model.offloads()
        );
    }

    /// A wake-up of one queue.
    fn single(
        &mut self,
        queue: usize,
        what: &str,
        run: impl FnOnce(&mut D, &mut Bound<'_>, &Guest<'_, RamRegion>) -> Due,
        expect: impl FnOnce(&mut expected::Device, &mut Shadow<'_>) -> expected::Due,
    ) {
        let Self { real, shadow, queues, device, books, .. } = self;
        books.forget(real, shadow, queue == CONTROL);
        let queues = &mut queues[usize::from(books.start.form == Form::Packed)];
        let guest = real.guest();
        let Some(mut ring) = books.bind(&mut queues[queue], queue, &guest, shadow) else { return };
        let host = &mut Shadow {
            form: books.start.form,
            world: shadow,
            rings: &mut books.rings,
            log: &mut books.log,
        };
        let due = expect(&mut books.model, host);
        books.guard(&real.ram);
        let found = watched(books.watch, what, || run(device, &mut ring, &guest));
        books.compare_due(what, found, due);
        books.check_memory(real, shadow, what);
        books.compare_position(queues[queue].position(), queue);
        books.note_wake();
    }

    /// Stops a queue and starts it again.
    fn restart(&mut self, queue: usize, is_fresh: bool) {
        let found = self.queue(queue).stop().map(Position::base);
        let base = self.books.rings[queue].take().map(|model| model.base());
        assert!(found == base, "model: a queue stops at {found:x?}, not at {base:x?}");
        if is_fresh {
            self.books.starts[queue].base = driver::rings(&self.books.start)[queue].base;
            let start = self.books.starts[queue];
            self.books.driver.restart(queue, &start);
        } else if let Some(base) = base {
            self.books.starts[queue].base = base;
        }
        self.start_queue(queue, is_fresh);
    }

    /// Whatever came before, a guest that is reset finds its gateway a minute later. It looks for
    /// itself, before the model says what it should see: the two may agree to be silent.
    fn assert_alive(&mut self) {
        let Self { real, shadow, books, .. } = self;
        real.clear();
        shadow.clear();
        books.now_ms += 60_000;
        let Start { layout, form, rings, gateway, .. } = books.start;
        let rings = rings & !ring::feature::LEGACY;
        let sizes = [4, 4, 0, 0, 0]; // The others are none of this guest's.
        let start = Start { layout, form, rings, gateway, sizes, ..Start::default() };
        let operations = books.outcome.operations;
        books.start = start;
        self.wire(&start);
        self.negotiate(bit::VERSION_1);
        let mut request = Arp { source: setup::GUEST_MAC, ..Arp::default() };
        request.sha = setup::GUEST_MAC;
        let request = request.bytes();
        let steps = [Step::post(0, 1, guest::ROOM), Step::frame(0, &request[..])];
        let before = self.books.outcome.replies.len();
        self.run(&mut steps.into_iter());
        let posted = self.books.starts[receive(0)];
        let mut is_served = false;
        self.serve(0, |world| {
            is_served = true;
            if let Err(why) = guest::told(&world.ram, &posted, form, &request) {
                panic!("liveness: a good guest asks for its gateway, and {why}");
            }
        });
        assert!(is_served, "liveness: a good guest cannot use its queues");
        self.books.outcome.replies.truncate(before);
        self.books.outcome.operations = operations;
    }
}

/// Does something that has all its memory already; while it is watched closely, that is checked.
fn watched<T>(watch: Watch, what: &str, run: impl FnOnce() -> T) -> T {
    match watch {
        Watch::Lightly => run(),
        Watch::Closely => budget::without_allocating(what, run),
    }
}

/// Runs steps on a device of the core, watched closely and not.
///
/// # Panics
/// When an oracle finds a fault, or when it matters how closely it looks.
#[must_use]
pub fn check<D: NetDevice>(steps: &[Step<'_>]) -> Outcome {
    let run = |watch| Run::<D>::default().steps(watch, steps.iter().cloned());
    let _ = run(Watch::Closely);
    run(Watch::Lightly)
}

/// As [`check`], of the device of the core.
///
/// # Panics
/// As [`check`].
#[must_use]
pub fn check_core(steps: &[Step<'_>]) -> Outcome {
    check::<Device>(steps)
}
