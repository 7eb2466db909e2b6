//! The hostile inputs of spec §9 that a session decides about, one by one. Those that framing
//! decides about are scripts of `msg_stream`; those about the contents of rings and areas are
//! for the targets that look at them.

mod channels;
mod memory;
mod negotiation;
mod rings;

use vhost_fuzz_harness::corpus::Seed;

use super::talk::{PROTOCOL, Talk, VIRTIO};
use super::{FAILED, OK, of};

pub(super) fn seeds() -> Vec<Seed> {
    [negotiation::seeds(), memory::seeds(), rings::seeds(), channels::seeds()].concat()
}

/// Set up and not running, then what is said, then signs of life.
fn after(name: &str, expect: &str, shows: &str, say: impl FnOnce(Talk) -> Talk) -> Seed {
    after_with(PROTOCOL, name, expect, shows, say)
}

/// The same with other protocol features.
fn after_with(
    bits: u64,
    name: &str,
    expect: &str,
    shows: &str,
    say: impl FnOnce(Talk) -> Talk,
) -> Seed {
    of(name, expect, shows, say(Talk::new().ready(VIRTIO, bits)).alive())
}

/// Set up, then what is said, which ends the connection; then the next one.
fn closes(
    bits: u64,
    name: &str,
    expect: &str,
    shows: &str,
    say: impl FnOnce(Talk) -> Talk,
) -> Seed {
    of(name, expect, shows, say(Talk::new().ready(VIRTIO, bits)).again())
}
