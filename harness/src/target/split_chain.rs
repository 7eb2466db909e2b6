//! A single chain of a split ring, direct or indirect.
//!
//! The input is an [image](crate::ring::image) of memory.

use vhost_fuzz_core::ring::SplitQueue;

use crate::ring::target::{Kept, run_image};

/// Runs one input through the ring of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static KEPT: Kept<SplitQueue> = const { Kept::new(None) };
    }
    run_image("split_chain", bytes, &KEPT);
}
