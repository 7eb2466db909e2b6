//! The target `msg_decode`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::msg_decode::run, mutate::message, mutate::splice_messages);
