//! A network device that really serves, under front-ends that come one after another and are as
//! bad as they can be.
//!
//! Each front-end negotiates what it likes, shares its memory and starts its rings. First it is
//! good: each of its requests has to be answered once, with the right bytes. Then it is hostile:
//! while the device runs, it writes what no driver writes into its rings, takes its memory away,
//! stops and starts rings, sends what is no message, shortens its files, and leaves in the middle
//! of something. The next one shows that the device serves as well as before, and nothing of the
//! one before it may be left: no descriptor, no mapping, no thread.
//!
//! What a front-end does follows from the seed and its number, but for what two threads do at the
//! same time. Nothing is waited for longer than patience lasts.
//!
//! * [`Habits`]: what a device can get wrong, for [`crate::broken::soak_net`].
//! * [`Held`]: what the process holds. It counts for all of it, so that nothing else may run.

mod back_end;
mod front_end;
mod good;
mod held;
mod hostile;
mod ledger;
mod plan;
mod queue;
mod report;
mod talk;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;
use vhost_fuzz_backend::device::Device;
use vhost_fuzz_backend::net::{Config, Net};
use vhost_fuzz_backend::sigbus;

use crate::draw::mix;
use back_end::BackEnd;
use front_end::FrontEnd;
pub use held::{Held, Left};
pub use report::{Fault, Phase, Place, Report, Tally};

/// How a device behaves.
pub trait Habits {
    /// The device.
    type Device: Device + Send + 'static;

    /// A device around a good one.
    fn device(&self, net: Net) -> Self::Device;
}

/// The device as it is.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Habits for Plain {
    type Device = Net;

    fn device(&self, net: Net) -> Net {
        net
    }
}

/// How long a soak is, and where it begins.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What front-ends do follows from it.
    pub seed: u64,
    /// How long front-ends come. The last one may do what it has begun.
    pub duration: Duration,
    /// How long nothing happens before something counts as hanging.
    pub patience: Duration,
}

impl Options {
    /// For so long, with patience for a machine that is busy with something else.
    #[must_use]
    pub const fn new(seed: u64, duration: Duration) -> Self {
        Self { seed, duration, patience: Duration::from_secs(20) }
    }
}

/// Front-ends that a back-end serves before it is stopped and another one is started.
const FRONT_ENDS: u64 = 40;

/// Runs front-end after front-end, up to the first fault. `watch` hears after each of them what
/// happened so far.
///
/// It makes this process survive memory that goes away ([`sigbus::install`]).
pub fn net<H: Habits>(options: Options, habits: &H, watch: impl FnMut(&Tally)) -> Report {
    let began = Instant::now();
    let place = Place { seed: options.seed, ..Place::default() };
    let mut soak =
        Soak { options, began, place, tally: Tally::default(), plan: String::new(), watch };
    let failure = soak.run(habits).err().map(|fault| (soak.place, fault));
    Report { tally: soak.tally, elapsed: began.elapsed(), failure, plan: soak.plan }
}

struct Soak<W> {
    options: Options,
    began: Instant,
    place: Place,
    tally: Tally,
    plan: String,
    watch: W,
}

impl<W: FnMut(&Tally)> Soak<W> {
    fn run<H: Habits>(&mut self, habits: &H) -> Result<(), Fault> {
        sigbus::install().map_err(|error| Fault::System(error.to_string()))?;
        let before = held()?;
        while !self.is_over() {
            self.life(habits)?;
            self.place.phase = Phase::Gone;
            self.is_as(&before)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.options.duration
    }

    /// A back-end, from its start to its stop.
    fn life<H: Habits>(&mut self, habits: &H) -> Result<(), Fault> {
        let patience = self.options.patience;
        let config = back_end::config(&mut self.rng(u64::MAX));
        let back_end = BackEnd::start(&config, habits)?;
        let before = held()?;
        let mut connections = 0;
        let end = self.place.front_end + FRONT_ENDS;
        while self.place.front_end < end && !self.is_over() {
            self.place.phase = Phase::Setup;
            let served = self.front_end(&back_end, &config).and_then(|waiting| {
                connections += 1 + waiting;
                self.place.phase = Phase::Gone;
                back_end.wait_for(connections, patience)
            });
            match served {
                Ok(()) => {}
                // What a front-end saw of it says less than the panic itself.
                Err(_) if back_end.is_going() => break,
                Err(fault) => return Err(fault),
            }
            self.is_as(&before)?;
            self.tally.front_ends += 1;
            self.place.front_end += 1;
            (self.watch)(&self.tally);
        }
        back_end.stop(&mut self.tally, patience)
    }

    /// A front-end, from its first message to its last. How many connections it opened besides.
    fn front_end(&mut self, back_end: &BackEnd, config: &Config) -> Result<u64, Fault> {
        let rng = self.rng(self.place.front_end);
        let Self { options, place, tally, plan, .. } = self;
        let life = AssertUnwindSafe(|| {
            let path = back_end.path();
            let mut front_end = FrontEnd::new(path, config, rng, options.patience)?;
            tally.packed += u64::from(front_end.plan.format() == crate::driver::Format::Packed);
            *plan = format!("{:x?}", front_end.plan);
            place.phase = Phase::Good;
            front_end.be_good(tally)?;
            place.phase = Phase::Hostile;
            let waiting = front_end.be_hostile(path, tally);
            Ok(waiting.len() as u64)
        });
        catch_unwind(life).unwrap_or_else(|panic| Err(Fault::Panic(text(&*panic))))
    }

    /// Waits until as much is held as before: a thread that was joined is listed for a moment
    /// more, and what was in a socket is closed a moment later.
    fn is_as(&self, before: &Held) -> Result<(), Fault> {
        let end = Instant::now() + self.options.patience.min(Duration::from_secs(5));
        loop {
            let after = held()?;
            if after == *before {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(Fault::Left(Box::new(Left { before: before.clone(), after })));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What is drawn for something with a number.
    fn rng(&self, number: u64) -> Rng {
        let place = mix(mix(1, self.place.front_end), number);
        Rng::with_seed(mix(place, self.options.seed))
    }
}

fn held() -> Result<Held, Fault> {
    Held::now().map_err(|error| Fault::System(error.to_string()))
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}
