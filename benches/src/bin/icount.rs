//! Runs one operation as often as asked, for `cargo xtask icount` to count its instructions.
//!
//! `--list` prints a line an operation: its name and the messages that one run handles, with a
//! tab between. `NAME TIMES` runs it and prints the allocations that the runs made.

use std::process::ExitCode;

use clap::Parser;
use vhost_fuzz_benches::{OPERATIONS, Operation};

/// Runs one operation a number of times and prints the allocations that it made.
#[derive(Parser)]
struct Args {
    /// Print the names of the operations and the messages that one run handles
    #[arg(long, exclusive = true)]
    list: bool,
    /// The operation
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// How often it runs
    #[arg(required_unless_present = "list")]
    times: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (Some(name), Some(times)) = (args.name, args.times) else {
        for operation in OPERATIONS {
            println!("{}\t{}", operation.name, operation.prepare().messages());
        }
        return ExitCode::SUCCESS;
    };
    let Some(operation) = Operation::find(&name) else {
        eprintln!("icount: {name}: expected the name of an operation, see --list");
        return ExitCode::FAILURE;
    };
    let mut prepared = operation.prepare();
    // Whatever is set up on the first use is set up before.
    prepared.run(1);
    let allocations = allocation_counter::measure(|| prepared.run(times)).count_total;
    println!("{allocations}");
    ExitCode::SUCCESS
}
