//! Neighbour discovery, router advertisement and echo: frames in, at most one out for each.
//!
//! The input is a byte that [chooses the gateway](crate::ipv6::ndp) and
//! [records](crate::ipv6) of frames.

use vhost_fuzz_model::net::ndp::Gateway;

use crate::ipv6::ndp::Core;
use crate::ipv6::{self, Outcome, Responder};
use crate::oracle;
use crate::run::{self, Summary};

/// Runs one input through the responder of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("ndp", bytes, |bytes| {
        let outcome = check::<Core>(bytes);
        Summary { is_accepted: outcome.broken.is_none(), messages: outcome.frames }
    });
}

/// Runs one input through any responder.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<R: Responder>(bytes: &[u8]) -> Outcome {
    oracle::ipv6::check::<R, Gateway>(bytes)
}

/// What the model says about an input, without the code under test.
#[must_use]
pub fn judge(bytes: &[u8]) -> Outcome {
    ipv6::judge::<Gateway>(bytes)
}
