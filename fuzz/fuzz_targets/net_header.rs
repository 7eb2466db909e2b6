//! The target `net_header`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::net_header::run, mutate::offload, mutate::splice_offloads);
