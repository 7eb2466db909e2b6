//! `cargo xtask soak net`: a network device under good and hostile front-ends.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use vhost_fuzz_harness::soak::net::{self, Options, Plain, Tally};

/// Serve front-ends that come one after another, first good and then hostile.
///
/// Each good request has to be answered once, and nothing of a front-end may be left when it is
/// gone: no descriptor, no mapping, no thread.
#[derive(Args, Clone, Copy)]
pub(super) struct Net {
    /// Seconds in all
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    seconds: u32,
    /// What front-ends do follows from it [default: another one every time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

const TEMPLATE: &str = "{bar:30} {pos}/{len} s  {msg}";

/// Runs it, prints the table, and tells what failed.
pub(super) fn run(options: Net) -> Result<ExitCode> {
    let Net { seconds, seed } = options;
    let seed = seed.unwrap_or_else(any_seed);
    eprintln!("{seconds} s, seed {seed}");
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template(TEMPLATE)?;
        ProgressBar::new(seconds.into()).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let began = Instant::now();
    let options = Options::new(seed, Duration::from_secs(seconds.into()));
    let report = net::net(options, &Plain, |tally| {
        bar.set_position(began.elapsed().as_secs().min(seconds.into()));
        bar.set_message(tally.to_string());
    });
    bar.finish_and_clear();
    println!("{}", table(&report.tally));
    Ok(match report.failure {
        None => ExitCode::SUCCESS,
        Some((place, fault)) => {
            eprintln!("error: {place}: {fault}\nnote: it had chosen {}", report.plan);
            ExitCode::FAILURE
        }
    })
}

/// A seed that is short enough to be typed.
fn any_seed() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::from(now.subsec_nanos())
}

fn table(tally: &Tally) -> Table {
    let rows = [
        ("back-ends", tally.back_ends),
        ("front-ends", tally.front_ends),
        ("with packed rings", tally.packed),
        ("frames", tally.frames),
        ("answers", tally.answers),
        ("commands", tally.commands),
        ("interludes", tally.interludes),
        ("hostile acts", tally.hostile),
        ("fields poked", tally.pokes),
        ("files shortened", tally.shortened),
        ("connections that waited", tally.waiting),
        ("connections refused", tally.refused),
        ("connections cut", tally.cut),
        ("connections without memory", tally.lost),
    ];
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["what", "how many"]);
    for (what, count) in rows {
        table.add_row([what.to_owned(), HumanCount(count).to_string()]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_happened() {
        let text = table(&Tally { frames: 1234, answers: 1233, ..Tally::default() }).to_string();
        let has =
            |line: &[&str]| text.lines().any(|it| it.split_whitespace().eq(line.iter().copied()));
        assert!(has(&["|", "frames", "|", "1,234", "|"]), "{text}");
        assert!(has(&["|", "answers", "|", "1,233", "|"]), "{text}");
    }

    #[test]
    fn the_template_of_the_bar_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
