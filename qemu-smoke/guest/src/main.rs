//! `smoke`: what runs inside the guest of `qemu-smoke`.
//!
//! The guest has a kernel, busybox and this program, which is linked statically. It prints one
//! line of `name value` pairs for each thing that it measures; the host reads them at the serial
//! port.

mod frames;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What runs inside the guest
#[derive(Debug, Parser)]
#[command(name = "smoke")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Frames(frames::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Frames(options) => frames::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
