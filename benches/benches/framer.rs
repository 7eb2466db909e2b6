//! Cutting a stream of 1000 mixed messages, beside a copy of the stream.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vhost_fuzz_benches::{Operation, floor, timed};

fn framer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framer");
    let mut bytes = Vec::new();
    for operation in Operation::starting_with("framer-") {
        let cut = operation.name.trim_start_matches("framer-");
        let mut prepared = operation.prepare();
        group.throughput(Throughput::Bytes(prepared.bytes().len() as u64));
        group.bench_function(cut, |bencher| {
            bencher.iter_custom(|times| timed(|| prepared.run(times)));
        });
        bytes = prepared.bytes().to_vec();
    }
    let mut out = vec![0; bytes.len()];
    floor::copy(&bytes, &mut out, 1);
    assert_eq!(out, bytes, "the copy");
    group.bench_function("floor-copy", |bencher| {
        bencher.iter_custom(|times| timed(|| floor::copy(&bytes, &mut out, times)));
    });
    group.finish();
}

criterion_group! {
    name = stream;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
        .without_plots();
    targets = framer
}
criterion_main!(stream);
