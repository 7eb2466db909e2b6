//! What the repository says of itself, and the corpus.

mod bugs;
mod reach;
#[cfg(feature = "guest")]
mod readme;
mod registry;
mod replay;
