//! The floor of every throughput figure: a target that does nothing, with the seeds of the target
//! it is compared with, and nothing to mutate them but what libFuzzer does itself.
#![no_main]
libfuzzer_sys::fuzz_target!(|_bytes: &[u8]| {});
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
    vhost_fuzz_targets::replay(data, max_size)
        .unwrap_or_else(|| libfuzzer_sys::fuzzer_mutate(data, size, max_size))
});
