//! The other side and the judges: target bodies, scripts, oracles and broken implementations.
//!
//! A [`target`] takes the bytes of one input and panics when an [`oracle`] finds a fault.
//! libFuzzer, property tests and the replay of the corpus are three callers of the same function.
//! For every oracle there is an implementation in [`broken`] that it must catch, because a check
//! that cannot fail is worth nothing.
//!
//! Messages of this crate's panics start with the name of the oracle, so that a test can demand
//! that the right one spoke.

#![forbid(unsafe_code)]

pub mod broken;
mod budget;
pub mod clients;
pub mod codec;
pub mod context;
pub mod control;
pub mod corpus;
pub mod dhcp;
pub mod dictionary;
pub mod equivalence;
pub mod evidence;
pub mod fields;
pub mod framing;
pub mod frontend;
pub mod gateway;
#[cfg(feature = "guest")]
pub mod guest;
pub mod ipv6;
pub mod ledger;
pub mod memory;
pub mod mutate;
pub mod net_device;
pub mod offload;
pub mod oracle;
#[cfg(any(feature = "peer-vhost", feature = "peer-virtio-queue"))]
pub mod peer;
#[cfg(feature = "guest")]
pub mod program;
pub mod recording;
pub mod report;
pub mod ring;
pub mod run;
pub mod seeds;
pub mod session;
pub mod soak;
pub mod socket;
pub mod target;

pub use vhost_fuzz_world::{draw, driver, ram, script};
