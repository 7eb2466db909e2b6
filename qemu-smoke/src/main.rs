//! `qemu-smoke`: proves against a real QEMU, on both ends of the socket, that what this workspace
//! calls correct is what the world speaks.
//!
//! * [`cases`]: what is tried, a table of named cases.
//! * [`suite`]: runs them, bounds each of them, and reports.
//! * [`trial`]: what a case is given: a folder of its own, tools, and a deadline.
//! * [`machine`]: a QEMU with a guest; [`image`]: the guest's kernel and files.
//! * [`link`]: the socket between a front-end and a back-end.
//! * [`faulty`]: a back-end that is wrong on purpose, for `selftest`.
//! * [`server`]: a QEMU that stays; [`clean`]: ends what was left.
//! * [`check`]: what is installed; [`setup`]: installs it.
//!
//! Every process that is started ends with this one, except a server that is told to stay.

mod back_end;
mod cases;
mod check;
mod clean;
mod cli;
mod client;
mod faulty;
mod front;
mod identity;
mod image;
mod interrupt;
mod link;
mod machine;
mod places;
mod process;
mod programs;
mod scripted;
mod server;
mod setup;
mod suite;
mod tools;
mod trial;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = interrupt::install().and_then(|()| run(&cli.command));
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Check(common) => check::run(common),
        Command::Client { socket } => client::run(socket),
        Command::Setup(options) => setup::run(options),
        Command::Clean(options) => clean::run(options),
        Command::Server(command) => server::run(command),
        Command::List => Ok(cases::list()),
        Command::Run { names, options } => suite::run_named(names, options),
        Command::All(options) => suite::run_all(false, options),
        Command::Ci(options) => suite::run_all(true, options),
        Command::Selftest(options) => suite::run_selftest(options),
        Command::FaultyBackEnd(options) => faulty::run(options),
        other => match other.group() {
            Some((group, options)) => suite::run_group(group, options),
            None => bail!("no cases belong to this command"),
        },
    }
}
