//! The target `arp`: see its body in the harness.
#![no_main]
use vhost_fuzz_harness::{mutate, target};
vhost_fuzz_targets::target!(target::arp::run, mutate::frames, mutate::splice_frames);
