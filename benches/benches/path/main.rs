//! The hot path beside the same path written with `virtio-queue`, `smoltcp` and `dhcproto`, on
//! memory that is laid out alike.
//!
//! All times are for one request. What one iteration is made of is told in
//! [`vhost_fuzz_benches::path`]. `virtio-queue` has no packed rings.

#[path = "../frames/peers.rs"]
#[expect(dead_code, reason = "the bench of frames uses the others")]
mod libraries;
mod peer;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use peer::Peer;
use vhost_fuzz_benches::path::{BATCH, Device, Plan, Request};
use vhost_fuzz_core::ring::Layout;

fn path(criterion: &mut Criterion) {
    for request in Request::ALL {
        let mut group = criterion.benchmark_group(format!("path/{}", request.name()));
        group.throughput(Throughput::Elements(1));
        let mut row = |name: &str, batch: &mut dyn FnMut() -> Duration| {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|times| {
                    let batches = times.div_ceil(BATCH.into());
                    let total: Duration = (0..batches).map(|_| batch()).sum();
                    total.mul_f64(times as f64 / (batches * u64::from(BATCH)) as f64)
                });
            });
        };
        let plan = |layout| Plan { layout, request };
        let mut split = Device::new(plan(Layout::Split));
        row("core-split", &mut || split.serve());
        let mut packed = Device::new(plan(Layout::Packed));
        row("core-packed", &mut || packed.serve());
        let mut peer = Peer::new(plan(Layout::Split));
        row("virtio-queue-split", &mut || peer.serve());
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(40)
        .nresamples(2000)
        .without_plots();
    targets = path
}
criterion_main!(benches);
