//! The target `diff_virtio_queue`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::diff_virtio_queue::run, mutate::queue, mutate::splice_scripts);
