//! The target `session`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::session::run, mutate::session, mutate::splice_scripts);
