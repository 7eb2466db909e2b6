//! Waking the other side up, as an eventfd does, and what can be seen of a run from outside.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Fault, Tally};

/// A notification that somebody sleeps on. Rings add up to one, and one before the sleep counts.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<State>,
    wakes: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_rung: bool,
    is_waiting: bool,
}

impl State {
    /// Somebody sleeps, and nobody has woken it up.
    const fn is_asleep(&self) -> bool {
        self.is_waiting && !self.is_rung
    }
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ring(&self) {
        self.lock().is_rung = true;
        self.wakes.notify_one();
    }

    /// Sleeps until it rings.
    pub(super) fn wait(&self) {
        let mut state = self.lock();
        state.is_waiting = true;
        let woken = self.wakes.wait_while(state, |state| !state.is_rung);
        *woken.unwrap_or_else(PoisonError::into_inner) = State::default();
    }
}

/// What the two sides of a run share besides guest memory. All counters are relaxed: they must
/// not order what the rings have to order.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// From the driver to the device.
    pub(super) kick: Bell,
    /// From the device to the driver.
    pub(super) call: Bell,
    pub(super) sent: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) given: AtomicU64,
    pub(super) returned: AtomicU64,
    is_stopped: AtomicBool,
}

impl Link {
    /// Ends the run, also for who sleeps.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
        self.kick.ring();
        self.call.ring();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Relaxed)
    }

    /// Why nothing happens: always something when `is_overdue`, and otherwise only when nothing
    /// can happen any more, because both sides sleep.
    pub(super) fn hang(&self, is_overdue: bool) -> Option<Fault> {
        // With both locks held, neither side is just about to wake the other up.
        let (kick, call) = (self.kick.lock(), self.call.lock());
        let (is_driver_asleep, is_device_asleep) = (call.is_asleep(), kick.is_asleep());
        let is_deadlock = is_driver_asleep && is_device_asleep;
        if !is_deadlock && !is_overdue {
            return None;
        }
        let [sent, taken, given, returned] =
            [&self.sent, &self.taken, &self.given, &self.returned].map(|count| count.load(Relaxed));
        let tally = Tally { sent, taken, given, returned };
        Some(Fault::Hang { tally, is_driver_asleep, is_device_asleep })
    }

    /// How far the run is: it changes as long as anything happens.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.taken.load(Relaxed), self.returned.load(Relaxed))
    }
}
