//! Frames through a back-end that is connected by a socket, with the driver in one thread and the
//! device in another: our back-end with split and with packed rings, and the same device written
//! with `vhost-user-backend` and `virtio-queue`, which has split rings only.
//!
//! `cargo bench --bench packets` runs all rows, and `cargo bench --bench packets -- echo-64` those
//! of one group. The driver stays on the first processor that the process may use, and the devices
//! on the second: `taskset -c 2,4 cargo bench --bench packets` chooses others, which should be two
//! cores and not two threads of one. On a machine that does something else, look at the ratios
//! that are printed after each group: the devices take turns there.
//!
//! # What is counted
//!
//! Throughput is frames of the driver, 64 or 1500 bytes long without the checksum. In `echo` the
//! gateway answers each of them: another frame of that length goes back, and is not counted. In
//! `taken` it reads them, checksums included, and does nothing. The number of a row is the frames
//! of a batch.
//!
//! One iteration is one batch. The driver makes all its frames available at once, kicks, sleeps
//! until the device calls because it has used the last, takes back the buffers (of the replies
//! first, which it makes available again), and begins anew. So a batch has, besides the frames,
//! one kick and one call, and each thread is woken once; in small batches that is most of it.
//!
//! The driver and the front-end are the same for all devices, and the driver does as little as
//! it can: see [`vhost_fuzz_benches::packets`]. The features are the same too: event indices, and
//! neither offloads nor merged buffers, so that a frame is one chain of one buffer. Nothing limits
//! how often the gateway answers.
//!
//! Before anything is measured each device fills all receive buffers once, and what is in them is
//! read by somebody else's parser. All devices have to write the same bytes.

mod frames;
mod front_end;
mod guest;
mod peer;
mod processors;

use std::any::Any;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use frames::{GUEST_MAC, Kind};
use guest::Guest;
use peer::Peer;
use processors::Processors;
use vhost_fuzz_benches::packets::SIZE;
use vhost_fuzz_benches::timed;
use vhost_fuzz_core::ring::Layout;
use vhost_fuzz_harness::guest::TestBackend;

/// Frames of a batch: some, and all that there is room for.
const BATCHES: [u16; 2] = [32, SIZE];

/// A device and its guest, which goes first.
struct Side {
    name: &'static str,
    guest: Guest,
    _device: Box<dyn Any>,
}

impl Side {
    /// Our back-end.
    fn ours(on: &Processors, name: &'static str, plan: (Layout, Kind, usize)) -> Self {
        let (layout, kind, len) = plan;
        let device = on.device(|| TestBackend::new(GUEST_MAC, None)).expect("a back-end");
        let stream = UnixStream::connect(device.path()).expect("a connection");
        let guest = Guest::new(stream, layout, kind, len);
        Self { name, guest, _device: Box::new(device) }
    }

    /// Somebody else's.
    fn theirs(on: &Processors, kind: Kind, len: usize) -> Self {
        let (device, stream) = on.device(Peer::new);
        let guest = Guest::new(stream, Layout::Split, kind, len);
        Self { name: "vhost-user-backend-split", guest, _device: Box::new(device) }
    }

    fn all(on: &Processors, kind: Kind, len: usize) -> [Self; 3] {
        let mut sides = [
            Self::ours(on, "core-split", (Layout::Split, kind, len)),
            Self::ours(on, "core-packed", (Layout::Packed, kind, len)),
            Self::theirs(on, kind, len),
        ];
        agree(&mut sides);
        sides
    }

    fn batches(&mut self, times: u64, count: u16) -> Duration {
        timed(|| (0..times).for_each(|_| self.guest.batch(count)))
    }
}

/// Sees that all devices do what they have to do, and write the same bytes.
fn agree(sides: &mut [Side; 3]) {
    let [split, packed, theirs] = sides.each_mut().map(|side| side.guest.check());
    assert_eq!(split, packed, "both layouts");
    assert_eq!(split, theirs, "both devices");
}

fn packets(criterion: &mut Criterion) {
    let processors = Processors::new();
    for kind in [Kind::Echo, Kind::Taken] {
        for len in [64, 1500] {
            let name = format!("{}-{len}", kind.name());
            let mut sides = Side::all(&processors, kind, len);
            let mut group = criterion.benchmark_group(format!("packets/{name}"));
            for count in BATCHES {
                group.throughput(Throughput::Elements(count.into()));
                for side in &mut sides {
                    group.bench_function(BenchmarkId::new(side.name, count), |bencher| {
                        bencher.iter_custom(|times| side.batches(times, count));
                    });
                }
            }
            group.finish();
            BATCHES.iter().for_each(|count| ratios(&name, *count, &mut sides));
            // What was measured was right to the end.
            agree(&mut sides);
        }
    }
}

/// Prints how the sides compare when they take turns: the fastest of many short rounds each, in
/// which nothing else had one of the processors.
fn ratios(name: &str, count: u16, sides: &mut [Side; 3]) {
    const ROUNDS: usize = 301;
    /// Frames of a side in a round.
    const FRAMES: u64 = 1024;
    let times = FRAMES / u64::from(count);
    let mut fastest = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        for (side, fastest) in sides.iter_mut().zip(&mut fastest) {
            *fastest = side.batches(times, count).min(*fastest);
        }
    }
    let [split, packed, theirs] = fastest.map(|time| time.as_secs_f64());
    println!(
        "{name}, {count} at once: time of core-split / vhost-user-backend {:.3}, core-packed / \
         core-split {:.3} (fastest of {ROUNDS} rounds)",
        split / theirs,
        packed / split,
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
        .without_plots();
    targets = packets
}
criterion_main!(benches);
