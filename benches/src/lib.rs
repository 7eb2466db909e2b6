//! The operations whose cost is measured, each prepared once and run as often as wanted.
//!
//! Three callers run the same code on the same bytes: the criterion benches (time, beside a
//! [`floor`]), the `icount` binary (instructions and allocations, for `cargo xtask icount`), and
//! the test that no operation allocates.
//!
//! # What is counted
//!
//! One operation is one turn of a loop in [`codec`], [`stream`] or [`session`]. It reads its input
//! through [`black_box`](std::hint::black_box) and gives its result to it, so that nothing is
//! computed ahead of the loop or dropped as unused. Kind and layout of a message are behind a box too, but
//! before the loop, as a receiver knows them from the last negotiation on.
//!
//! So a count includes, besides the work of the core: the loads of the arguments, the call if
//! there is one, storing the whole message to memory, and the loop with its boxes (15
//! instructions when a decode is a call, 9 when it is inlined). Preparing the input is not
//! included: `icount` subtracts two runs of different length.

pub mod codec;
pub mod floor;
pub mod samples;
pub mod session;
pub mod stream;

use std::time::{Duration, Instant};

use codec::Reads;
use samples::Sample;
use session::{Request, Served};
use stream::{Cut, Stream};

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
        }
    }

    /// The messages that one run handles; counts are quoted per message.
    #[must_use]
    pub fn messages(&self) -> u64 {
        match &self.0 {
            Input::Decode(..) | Input::Encode(_) | Input::Serve(_) => 1,
            Input::Frame(stream, _) => stream.messages(),
        }
    }

    /// The bytes that one run handles.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Input::Decode(sample, _) | Input::Encode(sample) => &sample.bytes,
            Input::Frame(stream, _) => stream.bytes(),
            Input::Serve(served) => served.bytes(),
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
