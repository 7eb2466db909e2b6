//! The target `dhcp`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::dhcp::run, mutate::dhcp, mutate::splice_dhcp);
