//! Inputs of `net_device`: each kind of frame over each kind of ring, every header, buffers that
//! fit and that do not, chains that break a rule, commands, and drivers who change their mind.

mod buffers;
mod commands;
mod frames;
mod hostile;
mod life;

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::net_device::{Start, Step, bit, step};

use super::seed;

const OK: &str = "accept";

/// What a control queue with everything takes.
const CONTROL: u128 = bit::CTRL_VQ
    | bit::CTRL_RX
    | bit::CTRL_VLAN
    | bit::CTRL_RX_EXTRA
    | bit::GUEST_ANNOUNCE
    | bit::MQ
    | bit::CTRL_MAC_ADDR;

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [frames::seeds(), buffers::seeds(), commands::seeds(), hostile::seeds(), life::seeds()].concat()
}

/// One device, of this form.
fn one(
    name: &str,
    expect: &str,
    shows: &str,
    start: Start,
    steps: impl IntoIterator<Item = Step<'static>>,
) -> Seed {
    let steps: Vec<_> = std::iter::once(Step::Start(start)).chain(steps).collect();
    let form = if start.form == Form::Split { "split" } else { "packed" };
    seed(&format!("{form}-{name}"), expect, shows, step::encode(&steps))
}

/// The same on split and on packed rings, which may break rules of their own.
fn each(
    name: &str,
    [split, packed]: [&str; 2],
    shows: &str,
    start: Start,
    steps: impl IntoIterator<Item = Step<'static>> + Clone,
) -> [Seed; 2] {
    [
        one(name, split, shows, Start { form: Form::Split, ..start }, steps.clone()),
        one(name, packed, shows, Start { form: Form::Packed, ..start }, steps),
    ]
}

/// The same on both, with the same verdict.
fn both(
    name: &str,
    expect: &str,
    shows: &str,
    start: Start,
    steps: impl IntoIterator<Item = Step<'static>> + Clone,
) -> [Seed; 2] {
    each(name, [expect, expect], shows, start, steps)
}

/// A device with more features.
fn with(features: u128) -> Start {
    let start = Start::default();
    Start { features: start.features | features, ..start }
}

/// Sends frames for which there are buffers of 2048 bytes.
fn ask(frames: &[Vec<u8>]) -> Vec<Step<'static>> {
    let count = u8::try_from(frames.len()).unwrap_or(u8::MAX);
    let mut steps = vec![Step::post(0, count, 2048)];
    steps.extend(frames.iter().map(|frame| Step::frame(0, frame.clone())));
    steps.push(Step::wake(0));
    steps
}

/// Obeys commands, one after another.
fn command(commands: &[&[u8]]) -> Vec<Step<'static>> {
    let mut steps: Vec<_> =
        commands.iter().map(|command| Step::command(command.to_vec())).collect();
    steps.push(Step::Wake { queue: 4 });
    steps
}
