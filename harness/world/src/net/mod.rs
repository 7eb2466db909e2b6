//! Network devices: what happens to one, and the driver that does it.
//!
//! A device has five queues. Each is number and index: the receive and the transmit queue of two
//! pairs, and the control queue.

pub mod driver;
pub mod shadow;
pub mod step;

/// Queues of a device.
pub const QUEUES: usize = 5;

/// The control queue.
pub const CONTROL: usize = 4;

/// The receive queue of a pair.
#[must_use]
pub const fn receive(pair: usize) -> usize {
    2 * pair
}

/// The transmit queue of a pair.
#[must_use]
pub const fn transmit(pair: usize) -> usize {
    2 * pair + 1
}
