//! `cargo xtask`: set-up, fuzz campaigns and the other chores of the workspace.
//!
//! Each task is a module with an `Options` (its command line) and a `run` that returns the exit
//! code. A task that cannot do its work returns an error, which is printed as one line.

mod corpus;
mod figures;
mod fuzz;
mod icount;
mod rules;
mod soak;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the vhost-fuzz workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Corpus(corpus::Options),
    Figures(figures::Options),
    Fuzz(fuzz::Options),
    Icount(icount::Options),
    Rules(rules::Options),
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let result = fuzz::become_compiler().unwrap_or_else(|| match Cli::parse().task {
        Task::Corpus(options) => corpus::run(&options),
        Task::Figures(options) => figures::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Icount(options) => icount::run(&options),
        Task::Rules(options) => rules::run(&options),
        Task::Soak(options) => soak::run(&options),
    });
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
