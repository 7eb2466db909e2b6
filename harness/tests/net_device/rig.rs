//! What the tests share.

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::net_device::{Outcome, Start, Step, bit, run};
use vhost_fuzz_harness::ring::step::feature;

/// Every way to lay out rings.
pub(crate) fn starts() -> impl Iterator<Item = Start> {
    [Form::Split, Form::Packed]
        .into_iter()
        .flat_map(|form| (0..8).map(move |rings| Start { form, rings, ..Start::default() }))
}

/// Buffers may be merged.
pub(crate) fn merging(start: Start) -> Start {
    Start { features: start.features | bit::MRG_RXBUF, ..start }
}

/// A legacy device has no version and no ring of today; its header is tried with rings of today.
pub(crate) const RINGS: u8 = feature::EVENT_IDX | feature::INDIRECT;

/// Runs steps on a device that starts so.
pub(crate) fn run(start: Start, steps: Vec<Step<'_>>) -> Outcome {
    let mut all = vec![Step::Start(start)];
    all.extend(steps);
    run::check_core(&all)
}

/// Frames that the driver gets for these, with a buffer of 2048 bytes for each.
pub(crate) fn answers(start: Start, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let count = u8::try_from(frames.len()).expect("a few frames");
    let mut steps = vec![Step::post(0, count, 2048)];
    steps.extend(frames.iter().map(|frame| Step::frame(0, &frame[..])));
    steps.push(Step::wake(0));
    run(start, steps).replies
}
