//! A single list of a packed ring, direct or indirect.
//!
//! The input is an [image](crate::ring::image) of memory.

use vhost_fuzz_core::ring::PackedQueue;

use crate::ring::target::{Kept, run_image};

/// Runs one input through the ring of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static KEPT: Kept<PackedQueue> = const { Kept::new(None) };
    }
    run_image("packed_chain", bytes, &KEPT);
}
