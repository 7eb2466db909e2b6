//! The reference back-end over real sockets: what is in flight outlives it, notifications go
//! either way, and a migration's log tells of every page that was written.

mod client;
mod device;
mod guest;
mod inflight;
mod log;
mod notify;
mod offers;
#[cfg(feature = "guest")]
mod responder;
