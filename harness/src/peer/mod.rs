//! Other people's back-ends, run on the same bytes and descriptors as ours.
//!
//! A peer library handles the protocol and leaves the rest to the program that uses it. That
//! program is here [`Device`]: written from `spec/` alone, without the core, so that the two
//! sides of a comparison share nothing. [`divergences`] lists where the two may differ.
//!
//! [`queue`] does the same for rings, with a list of its own.

#[cfg(feature = "peer-vhost")]
mod device;
#[cfg(feature = "peer-vhost")]
pub mod divergences;
#[cfg(feature = "peer-vhost")]
mod lockstep;
#[cfg(feature = "peer-vhost")]
pub mod offer;
#[cfg(feature = "peer-virtio-queue")]
pub mod queue;
mod quiet;
#[cfg(feature = "peer-vhost")]
pub mod vhost;

#[cfg(feature = "peer-vhost")]
use device::Refused;
#[cfg(feature = "peer-vhost")]
pub use device::{Device, Region, Ring};
#[cfg(feature = "peer-vhost")]
pub use lockstep::Lockstep;
