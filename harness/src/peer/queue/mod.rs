//! The split queue of the `virtio-queue` crate beside ours, on the same memory.
//!
//! * [`image`]: guest memory of each side, mapped once.
//! * [`walk`]: what is in memory, read in the simplest form.
//! * [`divergences`]: what an input is about, and what each side has to do with it then.
//! * [`device`]: our side, whole or with a mistake.
//! * [`theirs`]: the peer, whose panics are verdicts.
//! * [`judge`]: what has to become of an input, without either.
//! * [`Lockstep`]: both, step by step.

pub mod device;
pub mod divergences;
pub mod image;
pub mod judge;
pub mod known;
mod lockstep;
mod step;
pub mod theirs;
pub mod walk;

pub use lockstep::{Lockstep, Resume, Tally};
pub use step::FILL;
