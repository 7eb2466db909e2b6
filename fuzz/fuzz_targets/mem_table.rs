//! The target `mem_table`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::mem_table::run, mutate::script, mutate::splice_scripts);
