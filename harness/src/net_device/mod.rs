//! A network device under test: what happens to it, step by step, and whether the model agrees.
//!
//! * [`step`]: what the records of a script mean.
//! * [`setup`]: which device and gateway a script starts.
//! * [`device`]: what a device under test has to offer; ours, a broken one, or yours.
//! * [`run`]: runs the steps and asks every oracle; [`judge`] asks the model alone.
//! * [`frames`]: what guests send.
//!
//! There are two memories of the same kind. The driver writes to both; the device works in one,
//! the model in the other. After a wake-up the device has to have written what the model wrote,
//! and not a byte more.

mod books;
pub mod device;
pub mod frames;
mod guest;
pub mod judge;
pub mod run;
pub mod setup;
#[cfg(feature = "peer-net")]
mod wire;

pub use vhost_fuzz_world::net::step;

pub use device::NetDevice;
pub use run::{Outcome, Run};
pub use step::{Cut, Start, Step, bit};

pub use crate::ring::Watch;
