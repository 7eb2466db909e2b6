//! The target `packed_chain`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::packed_chain::run, mutate::packed_chain, mutate::splice_images);
