//! The target `split_chain`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::split_chain::run, mutate::split_chain, mutate::splice_images);
