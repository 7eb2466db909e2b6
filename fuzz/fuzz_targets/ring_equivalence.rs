//! The target `ring_equivalence`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::ring_equivalence::run, mutate::rings, mutate::splice_scripts);
