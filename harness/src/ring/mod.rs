//! A ring under test: what happens to it, step by step, and whether the model agrees.
//!
//! * [`step`]: what the records of a script mean for a ring.
//! * [`image`]: the same from a plain image of descriptors, for the targets of single chains.
//! * [`draw`]: draws steps.
//! * [`driver`]: writes to the ring what the steps say, legal or not.
//! * [`world`]: the memory that it is in.
//! * [`device`]: what a ring under test has to offer; ours, a broken one, or yours.
//! * [`run`]: runs the steps and asks every oracle.
//! * [`target`]: the bodies of the targets.

pub(crate) mod compare;
pub mod device;
pub mod draw;
pub mod image;
pub mod run;
pub mod target;
mod wake;

pub(crate) use vhost_fuzz_world::ring::model;
pub use vhost_fuzz_world::ring::{driver, step, world};

pub use device::Device;
pub use run::{Outcome, Run, Watch};
pub use step::Step;
