//! Broken implementations: for every oracle, code with the mistake that it has to see.
//!
//! Each stands for a class of historic bugs. `tests/broken*.rs` run the committed corpus through
//! each of them and demand that the named oracle speaks; those of [`inflight`] and [`frontend`]
//! have their tests in `tests/inflight` and `tests/channel.rs`.

pub mod codec;
pub mod framing;
pub mod frontend;
pub mod inflight;
pub mod memory;
pub mod server;
pub mod session;
pub mod verdicts;
