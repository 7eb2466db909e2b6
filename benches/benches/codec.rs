//! Decoding and encoding of single messages, beside a copy of the same bytes and a checked read
//! of all their words.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use vhost_fuzz_benches::{Operation, floor, timed};

/// Adds a row for each operation of the group and one for the copy that it is compared with.
fn group(criterion: &mut Criterion, name: &str, floors: impl Fn(&mut Group<'_>, &str, &[u8])) {
    let mut group = criterion.benchmark_group(name);
    let prefix = format!("{name}-");
    for operation in Operation::starting_with(&prefix) {
        let message = operation.name.strip_prefix(&prefix).unwrap_or(operation.name);
        let mut prepared = operation.prepare();
        group.throughput(Throughput::Bytes(prepared.bytes().len() as u64));
        group.bench_function(BenchmarkId::new("core", message), |bencher| {
            bencher.iter_custom(|times| timed(|| prepared.run(times)));
        });
        floors(&mut group, message, prepared.bytes());
    }
    group.finish();
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn copy(group: &mut Group<'_>, message: &str, bytes: &[u8]) {
    let mut out = vec![0; bytes.len()];
    floor::copy(bytes, &mut out, 1);
    assert_eq!(out, bytes, "{message}: the copy");
    group.bench_function(BenchmarkId::new("floor-copy", message), |bencher| {
        bencher.iter_custom(|times| timed(|| floor::copy(bytes, &mut out, times)));
    });
}

fn words(group: &mut Group<'_>, message: &str, bytes: &[u8]) {
    let expected = bytes.chunks(8).fold(0_u64, |sum, chunk| {
        let half = || chunk.try_into().map(|half| u32::from_ne_bytes(half).into());
        let word = chunk.try_into().map(u64::from_ne_bytes).or_else(|_| half());
        sum.wrapping_add(word.expect("messages are a multiple of 4 bytes"))
    });
    floor::words(bytes, expected, 1);
    group.bench_function(BenchmarkId::new("floor-words", message), |bencher| {
        bencher.iter_custom(|times| timed(|| floor::words(bytes, expected, times)));
    });
}

fn decode(criterion: &mut Criterion) {
    group(criterion, "decode", |rows, message, bytes| {
        copy(rows, message, bytes);
        words(rows, message, bytes);
    });
}

fn encode(criterion: &mut Criterion) {
    group(criterion, "encode", copy);
}

criterion_group! {
    name = codec;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(50)
        .without_plots();
    targets = decode, encode
}
criterion_main!(codec);
