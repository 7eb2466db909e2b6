//! The messages: their layouts, their framing, who may send them, and the memory they tell of.

mod channel;
mod framing;
mod frontend;
mod headers;
mod layouts;
mod memory;
mod memory_log;
mod refusals;
mod requests;
mod socket;
mod traces;
