//! A packed ring against its model: lists, used buffers, notifications, restarts.
//!
//! The input is a [script](crate::script); [`step`](crate::ring::step) tells what its records mean.

use vhost_fuzz_core::ring::PackedQueue;

use crate::ring::target::{Kept, run_script};

/// Runs one input through the ring of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static KEPT: Kept<PackedQueue> = const { Kept::new(None) };
    }
    run_script("packed_ring", bytes, &KEPT);
}
