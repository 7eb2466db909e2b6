//! The target `packed_ring`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::packed_ring::run, mutate::packed_ring, mutate::splice_scripts);
