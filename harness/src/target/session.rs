//! The session against its model: negotiation, memory, rings and every reply, also when effects
//! fail.
//!
//! The input is a [script](crate::script). Its first record may say what the device offers
//! ([`offer`](crate::session::offer)); messages of the main channel go to the back-end role.

use crate::draw;
use crate::run::{self, Summary};
use crate::script;
use crate::session::back_end::{BackEnd, Core};
use crate::session::offer::ScriptOffer;
use crate::session::run::{Outcome, Run, Watch};

/// One input in so many is watched closely.
const WATCH_ONE_IN: u64 = 32;

/// Runs one input through the session of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("session", bytes, |bytes| {
        let is_drawn = draw::number(bytes).is_multiple_of(WATCH_ONE_IN);
        let watch = if is_drawn { Watch::Closely } else { Watch::AtTheEnd };
        let outcome = check_watched::<Core>(bytes, watch);
        Summary { is_accepted: outcome.refusals.is_empty(), messages: outcome.messages }
    });
}

/// Runs one input through any session, watched closely.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<B: BackEnd>(bytes: &[u8]) -> Outcome {
    check_watched::<B>(bytes, Watch::Closely)
}

fn check_watched<B: BackEnd>(bytes: &[u8], watch: Watch) -> Outcome {
    let offer = script::records(bytes).next().as_ref().and_then(ScriptOffer::of_record);
    Run::<B>::new(&offer.unwrap_or_default(), watch).script(script::records(bytes))
}
