//! The target `diff_vhost`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::diff_vhost::run, mutate::script, mutate::splice_scripts);
