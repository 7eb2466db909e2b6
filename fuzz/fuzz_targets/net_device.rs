//! The target `net_device`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::net_device::run, mutate::net_device, mutate::splice_scripts);
