//! The session: what each message does, and what is refused.

mod config;
mod decisions;
mod device;
mod effects;
mod hazards;
mod memory;
mod migration;
mod negotiation;
mod peers;
mod recorded;
mod repeats;
mod replies;
mod ring_states;
mod rings;
mod transitions;
