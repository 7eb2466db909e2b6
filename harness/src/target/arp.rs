//! ARP, `ping` and UDP at the gateway of a guest, frame by frame.
//!
//! The input is explained in [`gateway`](crate::gateway).

use crate::draw;
use crate::gateway::{Core, Port};
use crate::oracle::gateway::{self as oracle, Outcome, Watch};
use crate::run::{self, Summary};

/// One input in so many is watched closely.
const WATCH_ONE_IN: u64 = 32;

/// Runs one input through the gateway of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("arp", bytes, |bytes| {
        let is_drawn = draw::number(bytes).is_multiple_of(WATCH_ONE_IN);
        let watch = if is_drawn { Watch::Closely } else { Watch::Lightly };
        let outcome = oracle::check::<Core>(bytes, watch);
        Summary { is_accepted: outcome.broken.is_none(), messages: outcome.frames }
    });
}

/// Runs one input through any gateway, watched closely.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<P: Port>(bytes: &[u8]) -> Outcome {
    oracle::check::<P>(bytes, Watch::Closely)
}
