//! Inputs of the target `session`: what a front-end says to a back-end, and what comes back.
//!
//! * [`offer`]: devices, plain and odd.
//! * [`request`]: single requests with numbers that mean something: rings that exist, regions of
//!   one small memory, windows of the configuration space.
//! * [`phrase`]: requests that belong together, in the orders that front-ends have (spec §6.1).
//! * [`careful`]: a front-end that changes a request until it is legal, or keeps it back.
//! * [`script`]: whole scripts: legal ones, and those of everybody else.
//! * [`driver`]: plays a script to a session and keeps every answer, to compare two scripts.
//!
//! A script is drawn as phrases and shrinks as phrases, then as steps, then as records. What is
//! legal is decided when the records are made, so a legal script stays one while it shrinks.

pub mod careful;
pub mod driver;
pub mod offer;
pub mod phrase;
pub mod request;
pub mod script;

#[cfg(test)]
mod canary;
#[cfg(test)]
mod reach;
