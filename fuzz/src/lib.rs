//! Glue between libFuzzer and the targets of the harness.
//!
//! A target file is two lines: it names the body, and the structure mutator of its input format.

use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;

/// The variable that names a folder of seeds to replay. Every mutator then gives one of them
/// after another, each as often as the others and as it is: what `cargo xtask fuzz --bench` calls
/// a replay.
pub const REPLAY: &str = "VHOST_FUZZ_REPLAY";

/// The next seed of a replay, copied to the front of `data`; `None` when there is no replay.
///
/// # Panics
/// When the folder cannot be read or holds no file: a replay of nothing would measure nothing.
#[must_use]
pub fn replay(data: &mut [u8], max_size: usize) -> Option<usize> {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    thread_local! {
        static NEXT: Cell<usize> = const { Cell::new(0) };
    }
    let seeds = SEEDS.get_or_init(|| {
        std::env::var_os(REPLAY).map_or_else(Vec::new, |folder| load(Path::new(&folder)))
    });
    let at = NEXT.get();
    let seed = seeds.get(at)?;
    NEXT.set(if at + 1 < seeds.len() { at + 1 } else { 0 });
    let len = seed.len().min(max_size).min(data.len());
    data[..len].copy_from_slice(&seed[..len]);
    Some(len)
}

fn load(folder: &Path) -> Vec<Vec<u8>> {
    let name = folder.display();
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{REPLAY}: {name} cannot be read: {error}"));
    let mut seeds = Vec::new();
    for entry in entries {
        let read = entry.and_then(|entry| std::fs::read(entry.path()));
        seeds.push(read.unwrap_or_else(|error| panic!("{REPLAY}: {name}: {error}")));
    }
    assert!(!seeds.is_empty(), "{REPLAY}: {name} holds no seed");
    seeds
}

/// Makes a fuzz binary of a body, a mutator and a crossover of the harness.
#[macro_export]
macro_rules! target {
    ($body:expr, $mutate:path, $crossover:path) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $body(bytes));

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            if let Some(len) = $crate::replay(data, max_size) {
                return len;
            }
            $mutate(data, size, max_size, seed, &mut |data, size| {
                libfuzzer_sys::fuzzer_mutate(data, size, max_size.min(data.len()))
            })
        });

        libfuzzer_sys::fuzz_crossover!(|first: &[u8], second: &[u8], out: &mut [u8], seed: u32| {
            let max_size = out.len();
            if let Some(len) = $crate::replay(out, max_size) {
                return len;
            }
            $crossover(first, second, out, seed)
        });
    };
}
