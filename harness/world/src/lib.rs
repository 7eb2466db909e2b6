//! The world around the code under test: scripts, guest memory, and drivers.
//!
//! Nothing here judges, and nothing here is judged. It is a crate of its own so that a campaign can
//! leave it out of the coverage that guides it: a script reader that took another branch is no
//! news.
//!
//! Messages of this crate's panics start with the name of the oracle, as those of the harness do.

#![forbid(unsafe_code)]

pub mod draw;
pub mod driver;
pub mod net;
pub mod ram;
pub mod ring;
pub mod script;
