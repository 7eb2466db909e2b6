//! A first finding in a minute: a framer with a real, historic mistake, and the oracle that sees
//! it on an input of the committed corpus.
//!
//! The mistake (MC01): a short read of the 12-byte header is taken for a whole one, so the rest
//! of its fields are whatever the buffer held before. Nothing crashes. Only the answer differs
//! with the way the kernel cut the stream.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use vhost_fuzz_harness::broken::framing::{Plain, ShortHeaderIsWhole};
use vhost_fuzz_harness::corpus::seeds;
use vhost_fuzz_harness::run::{self, Summary};
use vhost_fuzz_harness::target::msg_stream;

fn main() -> ExitCode {
    let mut seeds = match seeds("msg_stream") {
        Ok(seeds) => seeds,
        Err(error) => {
            eprintln!("error: the corpus cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The shortest first: its test is the easiest to read.
    seeds.sort_by_key(|seed| seed.bytes.len());
    for (count, seed) in (1..).zip(&seeds) {
        let found = catch_unwind(AssertUnwindSafe(|| {
            run::input("msg_stream", &seed.bytes, |bytes| {
                let messages = msg_stream::check::<Plain<ShortHeaderIsWhole>>(bytes);
                Summary { is_accepted: true, messages }
            });
        }));
        if found.is_err() {
            println!("found on seed {count} of {}: corpus/msg_stream/{}", seeds.len(), seed.name);
            println!("it shows: {}", seed.entry.shows);
            println!("take it apart: cargo xtask corpus explain corpus/msg_stream/{}", seed.name);
            return ExitCode::SUCCESS;
        }
    }
    eprintln!("error: {} seeds show nothing; the corpus has lost what it is for", seeds.len());
    ExitCode::FAILURE
}
