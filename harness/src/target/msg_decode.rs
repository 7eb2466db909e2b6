//! One vhost-user message: both channels, both directions, every payload.
//!
//! The input is the wire bytes of one message, as [`Context`] explains.

use crate::codec::{Codec, Core};
use crate::context::Context;
use crate::oracle;
use crate::run::{self, Summary};

/// Runs one input through the codec of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("msg_decode", bytes, |bytes| Summary {
        is_accepted: check(&Core, bytes).is_ok(),
        messages: 1,
    });
}

/// Runs one input through any codec; says whether the message is legal.
///
/// # Errors
/// The requirement that the message breaks, in the model's words.
///
/// # Panics
/// When an oracle finds a fault.
pub fn check(codec: &impl Codec, bytes: &[u8]) -> Result<(), vhost_fuzz_model::Id> {
    let (message, context) = Context::split(bytes);
    oracle::message::check(codec, context, message)
}
