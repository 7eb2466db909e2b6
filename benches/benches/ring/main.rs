//! Rings: the walkers of the core, beside those of `virtio-queue` on the same memory and beside
//! walks over plain memory.
//!
//! All times are for one chain. What one iteration is made of is told in
//! [`vhost_fuzz_benches::ring`].

mod floor;
mod peer;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use floor::Plain;
use peer::{Peer, Reading};
use vhost_fuzz_benches::ring::{Device, Plan, Transfer};
use vhost_fuzz_benches::timed;
use vhost_fuzz_core::ring::Layout;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Adds a row: `batch` tells how long a part of a batch took, and a row is about one chain.
fn row(group: &mut Group<'_>, name: &str, plan: Plan, mut batch: impl FnMut() -> Duration) {
    let chains = u64::from(plan.chains());
    group.throughput(Throughput::Elements(plan.buffers.into()));
    group.bench_function(BenchmarkId::new(name, plan.buffers), |bencher| {
        bencher.iter_custom(|times| {
            let batches = times.div_ceil(chains);
            let total: Duration = (0..batches).map(|_| batch()).sum();
            total.mul_f64(times as f64 / (batches * chains) as f64)
        });
    });
}

/// A split and a packed plan with chains of so many buffers.
fn layouts(buffers: u16) -> [Plan; 2] {
    [Plan::split(buffers), Plan::packed(buffers)]
}

/// Taking chains: with the payload, all bytes of it are read as well.
fn walk(criterion: &mut Criterion) {
    for payload in [0, 64, 1500] {
        for regions in [1, 8] {
            let part = if payload == 0 { "walk".into() } else { format!("read-{payload}") };
            let name = format!("ring/{part}/{regions}-regions");
            let mut group = criterion.benchmark_group(name);
            for buffers in [1, 2, 4, 16, 64, 256] {
                for direct in layouts(buffers).map(|plan| plan.regions(regions).payload(payload)) {
                    for (kind, plan) in [("direct", direct), ("indirect", direct.indirect())] {
                        walk_of(&mut group, kind, plan);
                    }
                }
            }
            group.finish();
        }
    }
}

fn walk_of(group: &mut Group<'_>, kind: &str, plan: Plan) {
    let layout = match plan.layout {
        Layout::Split => "split",
        Layout::Packed => "packed",
    };
    let mut device = Device::new(plan);
    row(group, &format!("core-{layout}-{kind}"), plan, || device.walk());
    if plan.layout == Layout::Packed {
        return;
    }
    let mut peer = Peer::new(plan);
    row(group, &format!("virtio-queue-split-{kind}"), plan, || peer.walk());
    if plan.payload == 0 && plan.regions == 1 && !plan.is_indirect {
        let mut plain = Plain::new(plan);
        row(group, "floor-checked", plan, || plain.checked());
        row(group, "floor-unchecked", plan, || plain.unchecked());
    }
}

/// Taking and giving back chains of one descriptor: one after the other, with all of them
/// published together or each by itself; and giving back a whole batch.
fn give(criterion: &mut Criterion) {
    type Part<T> = fn(&mut T) -> Duration;
    let parts: [(&str, Part<Device>, Part<Peer>); 3] = [
        ("ring/take-and-use", Device::serve, Peer::serve),
        ("ring/take-and-publish", Device::each, Peer::each),
        ("ring/publish-batch", Device::publish, Peer::publish),
    ];
    let [split, packed] = layouts(1);
    for (name, ours, theirs) in parts {
        let mut group = criterion.benchmark_group(name);
        let mut device = Device::new(split);
        row(&mut group, "core-split", split, || ours(&mut device));
        let mut device = Device::new(packed);
        row(&mut group, "core-packed", packed, || ours(&mut device));
        let mut peer = Peer::new(split);
        row(&mut group, "virtio-queue-split", split, || theirs(&mut peer));
        group.finish();
    }
}

/// The chain reader alone, on a chain that was taken before.
fn reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring/reader");
    for payload in [64_u32, 1500] {
        group.throughput(Throughput::Bytes(payload.into()));
        for buffers in [1, 4] {
            let plan = Plan::split(buffers).payload(payload as usize);
            let name = |who: &str| BenchmarkId::new(format!("{who}-{buffers}-buffers"), payload);
            let mut transfer = Transfer::read(plan);
            group.bench_function(name("core"), |bencher| {
                bencher.iter_custom(|times| timed(|| transfer.run(times)));
            });
            let mut reading = Reading::new(plan);
            group.bench_function(name("virtio-queue"), |bencher| {
                bencher.iter_custom(|times| timed(|| reading.run(times)));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(250))
        .sample_size(20)
        .nresamples(2000)
        .without_plots();
    targets = walk, give, reader
}
criterion_main!(benches);
