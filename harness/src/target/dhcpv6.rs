//! A `DHCPv6` server for one port: frames in, at most one out for each.
//!
//! The input is a byte that [chooses the server](crate::ipv6::dhcpv6) and
//! [records](crate::ipv6) of frames.

use vhost_fuzz_model::net::dhcpv6::Server;

use crate::ipv6::dhcpv6::Core;
use crate::ipv6::{self, Outcome, Responder};
use crate::oracle;
use crate::run::{self, Summary};

/// Runs one input through the server of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("dhcpv6", bytes, |bytes| {
        let outcome = check::<Core>(bytes);
        Summary { is_accepted: outcome.broken.is_none(), messages: outcome.frames }
    });
}

/// Runs one input through any server.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<R: Responder>(bytes: &[u8]) -> Outcome {
    oracle::ipv6::check::<R, Server>(bytes)
}

/// What the model says about an input, without the code under test.
#[must_use]
pub fn judge(bytes: &[u8]) -> Outcome {
    ipv6::judge::<Server>(bytes)
}
