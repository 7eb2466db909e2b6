//! The target `dhcpv6`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::dhcpv6::run, mutate::ipv6, mutate::splice_ipv6);
