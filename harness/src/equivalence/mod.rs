//! A split and a packed ring that have to end in the same deliveries, whatever happens to both.
//!
//! * [`plan`]: how requests lie in memory.
//! * [`driver`]: what a legal driver does; [`split`] and [`packed`] do it.
//! * [`device`]: the device, which can be broken.
//! * [`calls`]: when the device has to call the driver.
//! * [`lane`]: memory, driver and device of one ring.
//!
//! The drivers are not those of [`crate::driver`], which lay a request out by drawing, in whatever
//! memory and descriptors are left. Here both rings get the same request at the same addresses or
//! none of them does, and the oracle knows which slots it has.
//!
//! [`oracle::equivalence`](crate::oracle::equivalence) plays the same on two lanes and judges both.

pub mod calls;
pub mod device;
pub mod driver;
pub mod lane;
pub mod packed;
pub mod plan;
pub mod split;
