//! A split ring against its model: chains, used buffers, notifications, restarts.
//!
//! The input is a [script](crate::script); [`step`](crate::ring::step) tells what its records mean.

use vhost_fuzz_core::ring::SplitQueue;

use crate::ring::target::{Kept, run_script};

/// Runs one input through the ring of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static KEPT: Kept<SplitQueue> = const { Kept::new(None) };
    }
    run_script("split_ring", bytes, &KEPT);
}
