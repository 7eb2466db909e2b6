//! The judges. An oracle panics with its own name first when it finds a fault.
//!
//! | Oracle | Where | What it demands |
//! |---|---|---|
//! | model | [`message`], [`stream`] | verdict and first broken rule are those of the specification |
//! | wire check | [`message`] | every field has the value that an independent parser reads |
//! | round trip | [`message`] | accepted bytes encode to themselves |
//! | budget | [`message`], [`stream`] | nothing is allocated per message; every push makes progress |
//! | segmentation | [`stream`] | how a stream is cut never changes what comes out |
//! | fd ledger | [`stream`] | every descriptor is delivered once or closed once |
//!
//! "No panic, no overflow, no sanitizer report" needs no code here: targets run with overflow
//! checks and, under libFuzzer, with `AddressSanitizer`.

pub mod message;
pub mod session;
pub mod stream;

use vhost_fuzz_core::rule::{Family, Rule};
use vhost_fuzz_model::Id;

/// The model's name for a rule of the core.
pub(crate) fn id(rule: Rule) -> Id {
    match rule.family() {
        Family::VhostUser => Id::Vu(rule.number()),
        Family::Decision => Id::Dc(rule.number()),
    }
}
