//! The target `msg_stream`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::msg_stream::run, mutate::script, mutate::splice_scripts);
