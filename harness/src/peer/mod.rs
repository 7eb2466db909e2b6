//! Other people's back-ends, run on the same bytes and descriptors as ours.
//!
//! A peer library handles the protocol and leaves the rest to the program that uses it. That
//! program is here [`Device`]: written from `spec/` alone, without the core, so that the two
//! sides of a comparison share nothing. [`divergences`] lists where the two may differ.

mod device;
pub mod divergences;
mod lockstep;
pub mod offer;
mod quiet;
pub mod vhost;

use device::Refused;
pub use device::{Device, Region, Ring};
pub use lockstep::Lockstep;
