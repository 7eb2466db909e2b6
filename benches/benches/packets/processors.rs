//! A processor for each of the two threads. It is not left to the system, which may place one
//! device well and another beside something else that runs, for as long as both are measured.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the driver runs, and where the devices do.
pub(crate) struct Processors {
    driver: CpuSet,
    devices: CpuSet,
}

impl Processors {
    /// The first two processors that this process may run on; one for both, if there is no other.
    /// This thread is the driver from now on.
    pub(crate) fn new() -> Self {
        let allowed = sched_getaffinity(None).expect("the processors of this thread");
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let first = allowed.next().expect("a processor");
        let [driver, devices] = [first, allowed.next().unwrap_or(first)].map(|cpu| {
            let mut set = CpuSet::new();
            set.set(cpu);
            set
        });
        let processors = Self { driver, devices };
        stay(&processors.driver);
        processors
    }

    /// Makes a device, whose threads are where this one is when they start.
    pub(crate) fn device<T>(&self, make: impl FnOnce() -> T) -> T {
        stay(&self.devices);
        let device = make();
        stay(&self.driver);
        device
    }
}

/// Moves this thread.
fn stay(on: &CpuSet) {
    sched_setaffinity(None, on).expect("a processor that is allowed");
}
