//! The operations whose cost is measured, each prepared once and run as often as wanted.
//!
//! Three callers run the same code on the same bytes: the criterion benches (time, beside a
//! [`floor`]), the `icount` binary (instructions and allocations, for `cargo xtask icount`), and
//! the test that no operation allocates.
//!
//! # What is counted
//!
//! One operation is one turn of a loop in [`codec`], [`stream`], [`session`] or [`frames`], or one
//! batch of [`ring`]. It reads its input through [`black_box`](std::hint::black_box) and gives its result
//! to it, so that nothing is computed ahead of the loop or dropped as unused. Kind and layout of
//! a message are behind a box too, but before the loop, as a receiver knows them from the last
//! negotiation on.
//!
//! So a count includes, besides the work of the core: the loads of the arguments, the call if
//! there is one, storing the whole message to memory, and the loop with its boxes (15
//! instructions when a decode is a call, 9 when it is inlined). Preparing the input is not
//! included: `icount` subtracts two runs of different length.
//!
//! Counts of `ring-` operations are for one descriptor, those of tables included. `walk` and
//! `read` take the chains of a batch and start the queue once; `serve` gives each back and
//! publishes once, `publish-each` publishes each, and both include the driver's part.

pub mod codec;
pub mod floor;
pub mod frames;
pub mod packets;
pub mod path;
pub mod ring;
pub mod samples;
pub mod session;
pub mod stream;

use std::time::{Duration, Instant};

use codec::Reads;
use frames::{Asked, Job, Task};
use ring::{Device, Plan, Transfer};
use samples::Sample;
use session::{Request, Served};
use stream::{Cut, Stream};
use vhost_fuzz_core::ring::Layout;

/// One thing whose cost is measured.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What it does, then to which message: `decode-set_vring_addr`.
    pub name: &'static str,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Decode(fn() -> Sample, Reads),
    Encode(fn() -> Sample),
    Frame(Cut),
    Serve(fn() -> Request),
    Net(Task),
    Path(path::Plan),
    Batch(Plan, fn(&mut Device)),
    Read(Plan),
    Write(Plan),
}

/// An operation with its input.
#[derive(Debug)]
pub struct Prepared(Input);

#[derive(Debug)]
enum Input {
    Decode(Sample, Reads),
    Encode(Sample),
    Frame(Stream, Cut),
    Serve(Box<Served>),
    Net(Box<Job>),
    Path(Box<path::Device>),
    Batch(Box<Device>, fn(&mut Device)),
    Transfer(Box<Transfer>),
}

/// All operations.
pub const OPERATIONS: &[Operation] = &[
    Operation::decode("decode-get_features", samples::get_features, Reads::Value),
    Operation::decode("decode-set_vring_num", samples::set_vring_num, Reads::Value),
    Operation::decode("decode-set_vring_addr", samples::set_vring_addr, Reads::Value),
    Operation::decode("decode-set_vring_kick", samples::set_vring_kick, Reads::Value),
    Operation::decode("decode-set_mem_table-1-region", samples::mem_table_1, Reads::Regions),
    Operation::decode("decode-set_mem_table-8-regions", samples::mem_table_8, Reads::Regions),
    Operation::decode("decode-get_shmem_config-reply", samples::shmem_config, Reads::Sizes),
    Operation::decode("decode-create_crypto_session", samples::crypto_session, Reads::Value),
    Operation::encode("encode-get_features", samples::get_features),
    Operation::encode("encode-set_vring_num", samples::set_vring_num),
    Operation::encode("encode-set_vring_addr", samples::set_vring_addr),
    Operation::encode("encode-set_vring_kick", samples::set_vring_kick),
    Operation::encode("encode-set_mem_table-1-region", samples::mem_table_1),
    Operation::encode("encode-set_mem_table-8-regions", samples::mem_table_8),
    Operation::encode("encode-get_shmem_config-reply", samples::shmem_config),
    Operation::encode("encode-create_crypto_session", samples::crypto_session),
    Operation::frame("framer-whole", Cut::Whole),
    Operation::frame("framer-exact", Cut::Exact),
    Operation::frame("framer-bytewise", Cut::Bytewise),
    Operation::serve("session-get_features", session::get_features),
    Operation::serve("session-set_vring_addr", session::set_vring_addr),
    Operation::serve("session-set_vring_call", session::set_vring_call),
    Operation::serve("session-set_mem_table-8-regions", session::mem_table_8),
    Operation::serve("session-get_config-60-bytes", session::get_config),
    Operation::walk("ring-split-walk-direct-1", Plan::split(1)),
    Operation::walk("ring-split-walk-direct-16", Plan::split(16)),
    Operation::walk("ring-split-walk-direct-16-8-regions", Plan::split(16).regions(8)),
    Operation::walk("ring-split-walk-direct-256", Plan::split(256)),
    Operation::walk("ring-split-walk-indirect-16", Plan::split(16).indirect()),
    Operation::walk("ring-split-walk-indirect-256", Plan::split(256).indirect()),
    Operation::walk("ring-split-read-64-direct-1", Plan::split(1).payload(64)),
    Operation::walk("ring-split-read-1500-direct-16", Plan::split(16).payload(1500)),
    Operation::serve_ring("ring-split-serve-1", Plan::split(1)),
    Operation::each("ring-split-publish-each", Plan::split(1)),
    Operation::walk("ring-packed-walk-direct-1", Plan::packed(1)),
    Operation::walk("ring-packed-walk-direct-16", Plan::packed(16)),
    Operation::walk("ring-packed-walk-direct-16-8-regions", Plan::packed(16).regions(8)),
    Operation::walk("ring-packed-walk-direct-256", Plan::packed(256)),
    Operation::walk("ring-packed-walk-indirect-16", Plan::packed(16).indirect()),
    Operation::walk("ring-packed-walk-indirect-256", Plan::packed(256).indirect()),
    Operation::walk("ring-packed-read-64-direct-1", Plan::packed(1).payload(64)),
    Operation::walk("ring-packed-read-1500-direct-16", Plan::packed(16).payload(1500)),
    Operation::serve_ring("ring-packed-serve-1", Plan::packed(1)),
    Operation::each("ring-packed-publish-each", Plan::packed(1)),
    Operation::read("ring-reader-64-bytes-1-buffer", Plan::split(1).payload(64)),
    Operation::read("ring-reader-64-bytes-4-buffers", Plan::split(4).payload(64)),
    Operation::read("ring-reader-1500-bytes-1-buffer", Plan::split(1).payload(1500)),
    Operation::write("ring-writer-64-bytes-1-buffer", Plan::split(2).payload(64)),
    Operation::net("net-header-parse-plain", Task::HeaderParse { partial: false }),
    Operation::net("net-header-parse-checksum", Task::HeaderParse { partial: true }),
    Operation::net("net-header-build-plain", Task::HeaderBuild { partial: false }),
    Operation::net("net-header-build-checksum", Task::HeaderBuild { partial: true }),
    Operation::net("net-arp-parse", Task::ArpParse),
    Operation::net("net-arp-reply", Task::ArpReply),
    Operation::net("net-dhcp-parse", Task::DhcpParse),
    Operation::net("net-dhcp-reply", Task::DhcpReply),
    Operation::net("net-ndp-parse", Task::NdpParse),
    Operation::net("net-ndp-reply", Task::NdpReply),
    Operation::net("net-gateway-arp", Task::Gateway(Asked::Arp)),
    Operation::net("net-gateway-discover", Task::Gateway(Asked::Discover)),
    Operation::net("net-gateway-echo", Task::Gateway(Asked::Echo)),
    Operation::net("net-gateway-echo-ipv6", Task::Gateway(Asked::EchoV6)),
    Operation::net("net-gateway-neighbor", Task::Gateway(Asked::Neighbor)),
    Operation::net("net-gateway-router", Task::Gateway(Asked::Router)),
    Operation::path("path-split-arp", Layout::Split, path::Request::Arp),
    Operation::path("path-packed-arp", Layout::Packed, path::Request::Arp),
    Operation::path("path-split-discover", Layout::Split, path::Request::Discover),
    Operation::path("path-packed-discover", Layout::Packed, path::Request::Discover),
];

impl Operation {
    const fn decode(name: &'static str, sample: fn() -> Sample, reads: Reads) -> Self {
        Self { name, work: Work::Decode(sample, reads) }
    }

    const fn encode(name: &'static str, sample: fn() -> Sample) -> Self {
        Self { name, work: Work::Encode(sample) }
    }

    const fn frame(name: &'static str, cut: Cut) -> Self {
        Self { name, work: Work::Frame(cut) }
    }

    const fn serve(name: &'static str, request: fn() -> Request) -> Self {
        Self { name, work: Work::Serve(request) }
    }

    const fn net(name: &'static str, task: Task) -> Self {
        Self { name, work: Work::Net(task) }
    }

    /// Answers the requests of a batch.
    const fn path(name: &'static str, layout: Layout, request: path::Request) -> Self {
        Self { name, work: Work::Path(path::Plan { layout, request }) }
    }

    /// Takes the chains of a batch.
    const fn walk(name: &'static str, plan: Plan) -> Self {
        Self { name, work: Work::Batch(plan, Device::take) }
    }

    /// Takes each chain of a batch and gives it back; publishes once.
    const fn serve_ring(name: &'static str, plan: Plan) -> Self {
        Self {
            name,
            work: Work::Batch(plan, |device| {
                device.serve();
            }),
        }
    }

    /// As [`serve_ring`](Self::serve_ring), but publishes each chain.
    const fn each(name: &'static str, plan: Plan) -> Self {
        Self {
            name,
            work: Work::Batch(plan, |device| {
                device.each();
            }),
        }
    }

    const fn read(name: &'static str, plan: Plan) -> Self {
        Self { name, work: Work::Read(plan) }
    }

    const fn write(name: &'static str, plan: Plan) -> Self {
        Self { name, work: Work::Write(plan) }
    }

    /// The operation of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.name == name)
    }

    /// The operations whose names start with `prefix`.
    pub fn starting_with(prefix: &str) -> impl Iterator<Item = &'static Self> {
        OPERATIONS.iter().filter(move |operation| operation.name.starts_with(prefix))
    }

    /// Makes the input and runs the operation once to see that its result is right.
    ///
    /// # Panics
    /// When the result is wrong: its cost would mean nothing.
    #[must_use]
    pub fn prepare(&self) -> Prepared {
        let input = match self.work {
            Work::Decode(sample, reads) => {
                let sample = sample();
                codec::check(&sample, self.name);
                Input::Decode(sample, reads)
            }
            Work::Encode(sample) => {
                let sample = sample();
                codec::check(&sample, self.name);
                Input::Encode(sample)
            }
            Work::Frame(cut) => {
                let mut stream = Stream::mixed();
                stream::check(&mut stream, cut, self.name);
                Input::Frame(stream, cut)
            }
            Work::Serve(request) => {
                let mut served = Served::new(request());
                served.check(self.name);
                Input::Serve(Box::new(served))
            }
            Work::Net(task) => {
                let mut job = Box::new(Job::new(task));
                job.check(self.name);
                Input::Net(job)
            }
            Work::Path(plan) => Input::Path(Box::new(path::Device::new(plan))),
            Work::Batch(plan, run) => Input::Batch(Box::new(Device::new(plan)), run),
            Work::Read(plan) => Input::Transfer(Box::new(Transfer::read(plan))),
            Work::Write(plan) => Input::Transfer(Box::new(Transfer::write(plan))),
        };
        Prepared(input)
    }
}

impl Prepared {
    /// Runs the operation `times` times.
    pub fn run(&mut self, times: u64) {
        match &mut self.0 {
            Input::Decode(sample, reads) => codec::decode(sample, *reads, times),
            Input::Encode(sample) => codec::encode(sample, times),
            Input::Frame(stream, cut) => stream::run(stream, *cut, times),
            Input::Serve(served) => served.run(times),
            Input::Net(job) => job.run(times),
            Input::Path(device) => {
                for _ in 0..times {
                    device.serve();
                }
            }
            Input::Batch(device, run) => (0..times).for_each(|_| run(device)),
            Input::Transfer(transfer) => transfer.run(times),
        }
    }

    /// The messages, or descriptors, that one run handles; counts are quoted for one of them.
    #[must_use]
    pub fn messages(&self) -> u64 {
        match &self.0 {
            Input::Decode(..) | Input::Encode(_) | Input::Serve(_) => 1,
            Input::Net(_) | Input::Transfer(_) => 1,
            Input::Path(_) => path::BATCH.into(),
            Input::Batch(device, _) => device.descriptors(),
            Input::Frame(stream, _) => stream.messages(),
        }
    }

    /// The bytes of the messages that one run handles.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Input::Decode(sample, _) | Input::Encode(sample) => &sample.bytes,
            Input::Frame(stream, _) => stream.bytes(),
            Input::Serve(served) => served.bytes(),
            Input::Net(job) => job.bytes(),
            Input::Path(_) | Input::Batch(..) | Input::Transfer(_) => &[],
        }
    }
}

/// How long `run` takes.
pub fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_a_right_result() {
        for (at, operation) in OPERATIONS.iter().enumerate() {
            let first = OPERATIONS.iter().position(|other| other.name == operation.name);
            assert_eq!(first, Some(at), "{}", operation.name);
            operation.prepare().run(2);
        }
    }
}
