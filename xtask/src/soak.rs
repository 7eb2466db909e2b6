//! `cargo xtask soak`: long runs of what `cargo test` runs shortly.

mod net;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use vhost_fuzz_harness::soak::{self, Report};

use crate::workspace::{Workspace, cannot_start, cargo};

/// Run for long what `cargo test` runs shortly.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Rings(Rings),
    Net(net::Net),
}

/// Send chains from a driver to a device on another thread, through rings of all kinds.
///
/// Each chain has to arrive whole and to come back once. Both sides sleep when they have nothing
/// to do, so a lost notification stops the run, which is noticed.
#[derive(Args)]
struct Rings {
    /// Chains in all
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000_000)]
    chains: u64,
}

/// Runs it, prints the table, and tells what failed.
///
/// # Errors
///
/// When the optimised program cannot be built or run.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    match options.what {
        What::Rings(Rings { chains }) if cfg!(debug_assertions) => {
            run_optimised(&["rings", "--chains", &chains.to_string()])
        }
        What::Rings(Rings { chains }) => run_rings(chains),
        What::Net(net) => net::run(net),
    }
}

/// Builds this program as production code is built, and runs that: what the compiler may do to
/// the order of accesses, it does only then.
fn run_optimised(arguments: &[&str]) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let mut command = cargo();
    command.current_dir(&workspace.root).args(["run", "--release", "--package", "xtask", "--"]);
    command.arg("soak").args(arguments);
    let status = command.status().with_context(|| cannot_start(&command))?;
    // The program has said what is wrong. A signal is no exit code.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn run_rings(chains: u64) -> Result<ExitCode> {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(chains).with_style(ProgressStyle::with_template(TEMPLATE)?)
    } else {
        eprintln!("{} chains through {} rings", HumanCount(chains), soak::Config::all().len());
        ProgressBar::hidden()
    };
    let began = Instant::now();
    let report = soak::rings(chains, |config, returned| {
        bar.set_position(returned);
        bar.set_message(config.to_string());
    });
    bar.finish_and_clear();
    println!("{}", table(&report, began.elapsed()));
    Ok(match report.failure {
        None => ExitCode::SUCCESS,
        Some((config, fault)) => {
            eprintln!("error: {config}: {fault}");
            ExitCode::FAILURE
        }
    })
}

const TEMPLATE: &str = "{bar:30} {human_pos}/{human_len} chains  {per_sec}  {msg}";

fn table(report: &Report, elapsed: Duration) -> Table {
    let header = [
        "ring",
        "chains",
        "chains/s",
        "kicks",
        "calls",
        "device sleeps",
        "driver sleeps",
        "laps",
        "ledger",
    ];
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    let mut sums = [0; 6];
    for row in &report.rows {
        let chains = row.tally.returned;
        let counts = [chains, row.kicks, row.calls, row.device_sleeps, row.driver_sleeps, row.laps];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        let is_exact = row.tally.is_exact(chains);
        table.add_row(cells(row.config.to_string(), row.elapsed, counts, is_exact));
    }
    let is_exact = report.failure.is_none();
    table.add_row(cells("all".to_owned(), elapsed, sums, is_exact));
    for column in table.column_iter_mut().skip(1).take(header.len() - 2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A line of the table: the name, chains and rate, the other counts, and the ledger.
fn cells(name: String, elapsed: Duration, counts: [u64; 6], is_exact: bool) -> Vec<String> {
    let [chains, rest @ ..] = counts;
    let nanos = elapsed.as_nanos().max(1);
    let rate = u128::from(chains) * 1_000_000_000 / nanos;
    let mut cells = vec![name, HumanCount(chains).to_string()];
    cells.push(HumanCount(u64::try_from(rate).unwrap_or(u64::MAX)).to_string());
    cells.extend(rest.map(|count| HumanCount(count).to_string()));
    cells.push(if is_exact { "exact" } else { "not exact" }.to_owned());
    cells
}

#[cfg(test)]
mod tests {
    use vhost_fuzz_core::ring::Layout;
    use vhost_fuzz_harness::soak::{Config, Fault, Row, Tally};

    use super::*;

    fn report(failure: Option<Fault>) -> Report {
        let config = Config { layout: Layout::Packed, size: 17, event_idx: true, indirect: false };
        let tally = Tally { sent: 3000, taken: 3000, given: 3000, returned: 3000 };
        let row = Row {
            config,
            tally,
            elapsed: Duration::from_millis(1500),
            kicks: 11,
            calls: 12,
            driver_sleeps: 13,
            device_sleeps: 14,
            laps: 15,
        };
        Report { rows: vec![row; 2], failure: failure.map(|fault| (config, fault)) }
    }

    fn last_line(report: &Report) -> String {
        let text = table(report, Duration::from_secs(2)).to_string();
        let line = text.lines().last().unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_table_has_a_line_for_each_ring_and_one_for_all() {
        let text = table(&report(None), Duration::from_secs(2)).to_string();
        let line: Vec<&str> = text.lines().nth(2).unwrap().split_whitespace().collect();
        let expected = "| packed 17 event_idx | 3,000 | 2,000 | 11 | 12 | 14 | 13 | 15 | exact |";
        assert_eq!(line.join(" "), expected, "{text}");
        let expected = "| all | 6,000 | 3,000 | 22 | 24 | 28 | 26 | 30 | exact |";
        assert_eq!(last_line(&report(None)), expected);
    }

    #[test]
    fn a_failure_shows_in_the_line_for_all() {
        let line = last_line(&report(Some(Fault::TooMany)));
        assert!(line.ends_with("| not exact |"), "{line}");
    }

    #[test]
    fn the_template_of_the_bar_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
