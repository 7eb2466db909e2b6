//! A network device behind its queues: frames, commands and receive buffers of a driver, and what
//! a gateway answers.
//!
//! An input is a [script](crate::script); [`step`] says what its records mean.
//!
//! [`step`]: crate::net_device::step

use std::cell::Cell;

use vhost_fuzz_core::net::device::Device;

use crate::draw;
use crate::net_device::{self, NetDevice, Outcome, Run, Watch, step};
use crate::run::{self, Summary};

/// One input in so many is watched closely.
const WATCH_ONE_IN: u64 = 32;

thread_local! {
    /// A device that is kept from one input to the next; none after a panic.
    static KEPT: Cell<Option<Box<Run<Device>>>> = const { Cell::new(None) };
}

/// Runs one input through the device of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("net_device", bytes, |bytes| {
        let is_drawn = draw::number(bytes).is_multiple_of(WATCH_ONE_IN);
        let watch = if is_drawn { Watch::Closely } else { Watch::Lightly };
        let mut run = KEPT.take().unwrap_or_default();
        let outcome = run.steps(watch, step::steps(bytes));
        KEPT.set(Some(run));
        Summary { is_accepted: outcome.broken.is_empty(), messages: outcome.operations }
    });
}

/// Runs one input through any device, watched closely and not.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<D: NetDevice>(bytes: &[u8]) -> Outcome {
    let steps: Vec<_> = step::steps(bytes).collect();
    net_device::run::check::<D>(&steps)
}

/// What the model says about an input, without the code under test.
#[must_use]
pub fn judge(bytes: &[u8]) -> Outcome {
    net_device::judge::judge(step::steps(bytes))
}
