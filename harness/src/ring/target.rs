//! The bodies of the ring targets: a device that is kept between inputs.

use std::cell::Cell;
use std::thread::LocalKey;

use super::device::Device;
use super::image;
use super::run::{Outcome, Run, Watch};
use super::step;
use crate::draw;
use crate::run::{self, Summary};

/// One input in so many is watched closely.
const WATCH_ONE_IN: u64 = 32;

/// A device that is kept from one input to the next; none after a panic.
pub(crate) type Kept<D> = Cell<Option<Box<Run<D>>>>;

/// Runs a script on a kept device.
pub(crate) fn run_script<D: Device + 'static>(
    target: &'static str,
    bytes: &[u8],
    kept: &'static LocalKey<Kept<D>>,
) {
    run::input(target, bytes, |bytes| {
        summary(with_kept(kept, |run| run.steps(watch(bytes), step::steps(bytes))))
    });
}

/// Runs an image on a kept device.
pub(crate) fn run_image<D: Device + 'static>(
    target: &'static str,
    bytes: &[u8],
    kept: &'static LocalKey<Kept<D>>,
) {
    run::input(target, bytes, |bytes| {
        let Some(steps) = image::steps(D::LAYOUT, bytes) else {
            return Summary { is_accepted: false, messages: 0 };
        };
        summary(with_kept(kept, |run| run.steps(watch(bytes), steps)))
    });
}

/// Runs a script on any device, watched closely and not.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check_script<D: Device>(bytes: &[u8]) -> Outcome {
    let mut run = Run::<D>::default();
    let _ = run.steps(Watch::Closely, step::steps(bytes));
    run.steps(Watch::Lightly, step::steps(bytes))
}

/// Runs an image on any device, watched closely and not; nothing when it has no header.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check_image<D: Device>(bytes: &[u8]) -> Option<Outcome> {
    let mut run = Run::<D>::default();
    let _ = run.steps(Watch::Closely, image::steps(D::LAYOUT, bytes)?);
    Some(run.steps(Watch::Lightly, image::steps(D::LAYOUT, bytes)?))
}

fn with_kept<D: Device, T>(
    kept: &'static LocalKey<Kept<D>>,
    body: impl FnOnce(&mut Run<D>) -> T,
) -> T {
    // While it runs it is not kept: after a panic nobody knows its state.
    let mut run = kept.take().unwrap_or_default();
    let result = body(&mut run);
    kept.set(Some(run));
    result
}

fn watch(bytes: &[u8]) -> Watch {
    let is_drawn = draw::number(bytes).is_multiple_of(WATCH_ONE_IN);
    if is_drawn { Watch::Closely } else { Watch::Lightly }
}

fn summary(outcome: Outcome) -> Summary {
    Summary { is_accepted: outcome.broken.is_empty(), messages: outcome.operations }
}
