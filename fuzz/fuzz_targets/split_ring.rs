//! The target `split_ring`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::split_ring::run, mutate::split_ring, mutate::splice_scripts);
