//! Strategies for property tests: they make values, and shrink them when a property fails.
//!
//! libFuzzer mutates bytes; a strategy starts from values, so it reaches a table of eight Xen
//! regions in one step, and a failure comes back as the smallest message that still fails.
//!
//! * [`number`]: integers and byte strings with a taste for boundaries.
//! * [`payload`]: every payload type of the protocol.
//! * [`shape`]: which payloads and descriptors are legal together, for each shape of the
//!   request table.
//! * [`message`]: all 55 requests and 55 replies, and ids that the specification does not have.
//! * [`hostile`]: legal messages with damage.
//! * [`front_end`]: sessions that make sense, for the differential target.
//! * [`script`]: inputs of the stream target.
//! * [`session`]: inputs of the session target, and what comes back.
//! * [`ring`]: what rings hold, and what happens to them.
//! * [`choice`] and [`flat`]: how a choice of many strategies shrinks to the simplest, and a list
//!   of lists element by element.
//! * [`stream`]: what the framer makes of a script, by value.
//! * [`runner`]: runs a property and prints the minimal case as a test to paste.
//!
//! The properties are in `tests/<target>.rs`, one file a target. What the strategies reach and
//! how they shrink is tested here, because a generator that misses a request tests nothing of
//! it, silently.

#![forbid(unsafe_code)]

pub mod choice;
pub mod flat;
pub mod front_end;
pub mod hostile;
pub mod message;
pub mod number;
pub mod payload;
pub mod ring;
pub mod runner;
pub mod script;
pub mod session;
pub mod shape;
pub mod stream;

#[cfg(test)]
mod canary;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod shrink;
