//! `cargo xtask corpus`: the committed seeds, from recorded sessions, from recorded clients, from
//! the request table and by hand.

mod add;
mod check;
mod clients;
mod dictionaries;
mod explain;
mod forms;
mod front_end;
mod hand;
mod import;
mod judge;
mod manifest;
mod record;
mod stats;
mod strace;
mod summary;

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use vhost_fuzz_harness::target::TARGETS;

use crate::workspace::{Workspace, shown};

/// Make, read and check the committed seeds.
///
/// Seeds are corpus/TARGET/NAME. The manifest corpus/TARGET.toml tells of each what it shows,
/// what has to come out of it and where it came from. Files that exist are overwritten or removed
/// only with --force; what is written is named.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Turn logs of real sessions into seeds.
    ///
    /// A log is what `strace -f -x -s 65536 -e trace=network,read,write,close` writes about a
    /// front-end. It becomes one script for each session in it, and single messages, of which
    /// only those are kept that the corpus does not have. All committed logs are imported by
    /// `cargo xtask corpus import corpus/traces/*.strace`.
    Import {
        /// Logs. The name of a log, without its extension, becomes part of the names of its seeds.
        #[arg(required = true, value_name = "LOG")]
        logs: Vec<PathBuf>,
        #[command(flatten)]
        force: Force,
    },
    /// Write a seed for every form of every request and reply, and scripts that hold them.
    Forms(Force),
    /// Write the seeds that were built for one rule each.
    Hand(Force),
    /// Write the seeds from the recorded frames of clients, corpus/clients/*.pcap.
    Clients(Force),
    /// Print an input field by field.
    Explain {
        /// Any file: a seed, a crash, what a campaign found.
        file: PathBuf,
        /// What the input is for, if no folder of its path is named as a target.
        #[arg(long)]
        target: Option<String>,
    },
    /// Record the frames of a real DHCP client that talks to the gateway of the core.
    ///
    /// The client has to be installed, and needs root: it runs in namespaces of its own, with a
    /// TAP device. Recordings in corpus/clients become seeds by `cargo xtask corpus clients`.
    Record {
        /// The client.
        #[arg(long)]
        client: record::Client,
        /// The folder for the file NAME.pcap.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        force: Force,
    },
    /// Keep a crash or another found input, or a session that `qemu-smoke --record` has saved.
    Add {
        /// The target that the input is for.
        target: String,
        /// The input. It is copied.
        file: PathBuf,
        /// Its name in the corpus, made of a-z, 0-9, `_`, `.` and `-`.
        #[arg(long)]
        name: String,
        /// One line that tells what it shows.
        #[arg(long)]
        shows: String,
        /// Where it came from: `regression` for what once broke something, `fuzzer`, or
        /// `qemu-smoke CASE` with the name of the case in which it was recorded.
        #[arg(long, default_value = add::ORIGIN)]
        origin: String,
    },
    /// Count the seeds: how many, how long, how many are accepted, which requests they hold, which
    /// rules of rings they break.
    Stats {
        /// A target; all when none is given.
        target: Option<String>,
    },
    /// Write the dictionaries of the fuzz targets from the request table.
    Dictionaries(Force),
    /// Check that files, manifests, generators and dictionaries agree.
    Check,
}

#[derive(Args, Clone, Copy)]
struct Force {
    /// Overwrite files that differ, and remove seeds that are not made any more.
    #[arg(long)]
    force: bool,
}

/// Runs one of the commands.
///
/// # Errors
/// When it cannot do its work; the message names the file or the option.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let repository = Workspace::locate()?.root;
    let root = repository.join("corpus");
    match &options.command {
        Command::Import { logs, force: Force { force } } => {
            manifest::apply(&root, import::updates(&root, logs)?, *force)?;
        }
        Command::Forms(Force { force }) => {
            manifest::apply(&root, forms::updates(&root)?, *force)?;
        }
        Command::Hand(Force { force }) => {
            manifest::apply(&root, hand::updates(&root)?, *force)?;
        }
        Command::Clients(Force { force }) => {
            manifest::apply(&root, clients::updates(&root)?, *force)?;
        }
        Command::Explain { file, target } => {
            print(&explain::file(&root, file, target.as_deref())?)?;
        }
        Command::Record { client, out, force: Force { force } } => {
            let path = record::record(*client, out, *force)?;
            println!("new      {}", shown(&path).display());
        }
        Command::Add { target, file, name, shows, origin } => {
            add::add(&root, target, file, name, shows, origin)?;
        }
        Command::Stats { target } => {
            let names = match target {
                Some(name) => vec![judge::target(name)?.name],
                None => TARGETS.iter().map(|target| target.name).collect(),
            };
            for name in names {
                print(&stats::text(&root, name)?)?;
            }
        }
        Command::Dictionaries(Force { force }) => dictionaries::write(&repository, *force)?,
        Command::Check => return check(&repository),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a text that may be long: a reader that has seen enough is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn check(repository: &Path) -> Result<ExitCode> {
    let problems = check::problems(repository)?;
    let lines: Vec<_> = problems.iter().map(|problem| format!("{problem}\n")).collect();
    print(&lines.concat())?;
    if problems.is_empty() {
        println!("{}: in order", shown(&repository.join("corpus")).display());
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::bail!("the corpus is not in order: {}", summary::count(problems.len(), "problem"))
}

/// Fails when there is something to replace; names it and the option that allows it.
fn refuse_to_replace(names: &[String]) -> Result<()> {
    const SHOWN: usize = 8;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    ensure!(
        names.is_empty(),
        "nothing is written, because it would overwrite or remove {shown}{more}; --force does it"
    );
    Ok(())
}
