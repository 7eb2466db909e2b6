//! The closing table of a campaign, and what to do about each failure.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;

use super::libfuzzer::{Artifact, ArtifactKind, Line, parse};
use super::outcome::{Outcome, Verdict};
use super::{OVERTIME, Sanitizer};
use crate::workspace::{quote, shown};

/// Most lines that the report repeats of the start of a failure in a log: enough for the test of
/// an input of some 500 bytes to be whole.
const HEAD_LINES: usize = 20;

/// Most lines of the end, where the message of a panic is.
const TAIL_LINES: usize = 30;

/// Most characters of each.
const LINE_CHARS: usize = 500;

/// Prints the table, then each failure.
///
/// # Errors
///
/// When a log cannot be read back.
pub(super) fn print(outcomes: &[Outcome], sanitizer: Sanitizer) -> Result<()> {
    println!("\n{}", table(outcomes));
    for outcome in outcomes {
        for found in outcome.slow_inputs() {
            let path = shown(&found.path).display();
            println!("\n{}: {} {path} (not a failure)", outcome.target, found.kind.name());
        }
        if outcome.verdict.is_failure() {
            print_failure(outcome, sanitizer);
        }
    }
    Ok(())
}

/// A table in the house style: the first column is text, the others are numbers.
pub(super) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header.iter().copied());
    table
}

/// Aligns the columns that hold numbers.
pub(super) fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn table(outcomes: &[Outcome]) -> Table {
    let header = [
        "target",
        "executions",
        "exec/s",
        "coverage",
        "features",
        "new inputs",
        "crashes",
        "result",
    ];
    let mut table = new_table(&header);
    for outcome in outcomes {
        let status = &outcome.progress.status;
        table.add_row([
            outcome.target.to_owned(),
            HumanCount(status.executions).to_string(),
            HumanCount(outcome.exec_per_second()).to_string(),
            status.coverage.to_string(),
            status.features.to_string(),
            outcome.progress.new_inputs.to_string(),
            outcome.failures().len().to_string(),
            outcome.verdict.to_string(),
        ]);
    }
    align_right(&mut table, 1..header.len() - 1);
    table
}

fn print_failure(outcome: &Outcome, sanitizer: Sanitizer) {
    let target = outcome.target;
    let log = shown(&outcome.log).display();
    println!("\n---- {target}: {} ----", outcome.verdict);
    for found in outcome.failures() {
        println!("input:  {}", shown(&found.path).display());
        if !found.path.is_file() {
            println!("        (libFuzzer could not write it: is the disk full?)");
        }
        println!("replay: {}", replay_command(target, found, sanitizer));
        println!(
            "keep:   cargo xtask corpus add {target} {} --name NAME --shows TEXT",
            quote(shown(&found.path))
        );
    }
    match &outcome.verdict {
        Verdict::Died(_) => println!("No input was kept; the log may say why."),
        Verdict::DidNotStop => println!(
            "It was stopped {} s after its time was over: reading the corpus took too long, or it \
             hangs outside of an input.",
            OVERTIME.as_secs()
        ),
        Verdict::RanNothing => println!("It ended without running an input, so it tested nothing."),
        _ => {}
    }
    println!("log:    {log}");
    match Excerpt::read(&outcome.log) {
        Ok(excerpt) => excerpt.print(),
        Err(error) => println!("(cannot read the log: {error})"),
    }
}

/// The command that runs one input again, under the limits that it broke.
fn replay_command(target: &str, found: &Artifact, sanitizer: Sanitizer) -> String {
    let sanitizer = match sanitizer {
        Sanitizer::Address => "",
        Sanitizer::None => "--sanitizer none ",
    };
    let path = quote(shown(&found.path));
    let limit = match found.kind {
        ArtifactKind::Timeout => " -- -timeout=10",
        ArtifactKind::OutOfMemory => " -- -rss_limit_mb=2048",
        ArtifactKind::Crash | ArtifactKind::Leak | ArtifactKind::SlowUnit => "",
    };
    format!("cargo fuzz run {sanitizer}{target} {path}{limit}")
}

/// What the target said about its failure: the lines between libFuzzer's last line of progress
/// and the stack. The harness prints a test to paste there, and the panic its message.
#[derive(Debug, Default)]
struct Excerpt {
    head: Vec<String>,
    left_out: usize,
    tail: VecDeque<String>,
    /// The stack has begun: nothing more belongs to the excerpt, save a summary.
    complete: bool,
}

impl Excerpt {
    fn read(log: &Path) -> io::Result<Self> {
        let mut excerpt = Self::default();
        for line in BufReader::new(File::open(log)?).split(b'\n') {
            excerpt.take(&String::from_utf8_lossy(&line?));
        }
        Ok(excerpt)
    }

    fn take(&mut self, line: &str) {
        match parse(line) {
            // Whatever was said before, the run went on.
            Line::Status(_) => *self = Self::default(),
            // libFuzzer on itself.
            Line::Other
                if line.starts_with("INFO: ") || line.starts_with("WARNING: Failed to f") => {}
            Line::Other => self.take_other(line),
            Line::Stat { .. } | Line::Artifact(_) | Line::Counts(_) => {}
        }
    }

    fn take_other(&mut self, line: &str) {
        // Of a report, only the headlines are shown: `==123==ERROR: AddressSanitizer: …`,
        // `==123== ERROR: libFuzzer: …`. A panic is a "deadly signal" too, but says more itself.
        let is_headline = ["ALARM: ", "SUMMARY: "].iter().any(|start| line.starts_with(start))
            || (line.starts_with("==") && line.contains("ERROR: "));
        let starts_stack = line == "stack backtrace:" || line.starts_with("note: run with `RUST_B");
        let is_wanted = if is_headline {
            !line.ends_with("libFuzzer: deadly signal")
        } else {
            !self.complete && !starts_stack
        };
        if is_wanted {
            self.push(line);
        }
        self.complete |= is_headline || starts_stack;
    }

    fn push(&mut self, line: &str) {
        if self.head.is_empty() && line.trim().is_empty() {
            return;
        }
        let mut text: String = line.chars().take(LINE_CHARS).collect();
        if text.len() < line.len() {
            text.push('…');
        }
        if self.head.len() < HEAD_LINES {
            self.head.push(text);
            return;
        }
        self.tail.push_back(text);
        if self.tail.len() > TAIL_LINES {
            self.tail.pop_front();
            self.left_out += 1;
        }
    }

    fn print(&self) {
        println!();
        self.head.iter().for_each(|line| println!("{line}"));
        if self.left_out > 0 {
            println!("[… {} lines more in the log …]", self.left_out);
        }
        self.tail.iter().for_each(|line| println!("{line}"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::libfuzzer::Progress;
    use super::*;

    fn excerpt(lines: &[&str]) -> Excerpt {
        let mut excerpt = Excerpt::default();
        lines.iter().for_each(|line| excerpt.take(line));
        excerpt
    }

    fn found(kind: ArtifactKind, name: &str) -> Artifact {
        Artifact { kind, path: PathBuf::from("/a b").join(name) }
    }

    #[test]
    fn the_excerpt_lies_between_progress_and_stack() {
        let excerpt = excerpt(&[
            "INFO: Seed: 1",
            "#1\tNEW cov: 1",
            "",
            "---- paste this into a test, or keep the input ----",
            "#[test]",
            "fn x() {}",
            "",
            "thread '<unnamed>' (1) panicked at harness/src/x.rs:4:5:",
            "assertion failed: it holds",
            "stack backtrace:",
            "   0: __rustc::rust_begin_unwind",
            "==7== ERROR: libFuzzer: deadly signal",
            "    #0 0x55 in main",
            "SUMMARY: libFuzzer: deadly signal",
        ]);
        let expected = [
            "---- paste this into a test, or keep the input ----",
            "#[test]",
            "fn x() {}",
            "",
            "thread '<unnamed>' (1) panicked at harness/src/x.rs:4:5:",
            "assertion failed: it holds",
        ];
        assert_eq!(excerpt.head, expected);
    }

    #[test]
    fn a_report_of_a_sanitizer_is_its_headline_and_its_summary() {
        let excerpt = excerpt(&[
            "#1\tNEW cov: 1",
            "=================================================================",
            "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1",
            "READ of size 1 at 0x1 thread T0",
            "    #0 0x55 in main",
            "SUMMARY: AddressSanitizer: heap-buffer-overflow x.rs:3 in f",
        ]);
        assert_eq!(excerpt.head.len(), 3);
        assert!(excerpt.head[1].ends_with("heap-buffer-overflow on address 0x1"));
        assert!(excerpt.head[2].starts_with("SUMMARY: "));
    }

    #[test]
    fn a_timeout_is_its_headlines() {
        let excerpt = excerpt(&[
            "INFO: Seed: 1",
            "ALARM: working on the last Unit for 11 seconds",
            "       and the timeout value is 10 (use -timeout=N to change)",
            "MS: 0 ; base unit: 0000000000000000000000000000000000000000",
            "0x72,0x1,",
            "artifact_prefix='/a/'; Test unit written to /a/timeout-1",
            "==7== ERROR: libFuzzer: timeout after 11 seconds",
            "    #0 0x55 in main",
            "SUMMARY: libFuzzer: timeout",
            "stat::number_of_executed_units: 42",
        ]);
        let expected = [
            "ALARM: working on the last Unit for 11 seconds",
            "==7== ERROR: libFuzzer: timeout after 11 seconds",
            "SUMMARY: libFuzzer: timeout",
        ];
        assert_eq!(excerpt.head, expected);
    }

    #[test]
    fn a_leak_is_its_headlines() {
        let excerpt = excerpt(&[
            "#9\tINITED cov: 1",
            "==7==ERROR: LeakSanitizer: detected memory leaks",
            "Direct leak of 100 byte(s) in 1 object(s) allocated from:",
            "SUMMARY: AddressSanitizer: 100 byte(s) leaked in 1 allocation(s).",
            "INFO: to ignore leaks on libFuzzer side use -detect_leaks=0.",
            "MS: 0 ; base unit: 0000000000000000000000000000000000000000",
        ]);
        assert_eq!(excerpt.head.len(), 2);
    }

    #[test]
    fn a_long_line_is_cut() {
        let excerpt = excerpt(&[&"ä".repeat(LINE_CHARS), &"ä".repeat(LINE_CHARS + 1)]);
        assert_eq!(excerpt.head[0], "ä".repeat(LINE_CHARS));
        assert_eq!(excerpt.head[1], format!("{}…", "ä".repeat(LINE_CHARS)));
    }

    #[test]
    fn a_panic_that_the_run_survived_is_left_out() {
        let excerpt = excerpt(&[
            "thread '<unnamed>' (1) panicked at a peer",
            "stack backtrace:",
            "   0: __rustc::rust_begin_unwind",
            "#5\tpulse  cov: 1",
            "thread '<unnamed>' (1) panicked at ours",
        ]);
        assert_eq!(excerpt.head, ["thread '<unnamed>' (1) panicked at ours"]);
    }

    #[test]
    fn a_long_excerpt_keeps_both_ends() {
        let lines: Vec<String> = (0..100).map(|index| format!("line {index}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let excerpt = excerpt(&lines);
        assert_eq!(excerpt.head.first().unwrap(), "line 0");
        assert_eq!(excerpt.left_out, 100 - HEAD_LINES - TAIL_LINES);
        assert_eq!(excerpt.tail.back().unwrap(), "line 99");
    }

    #[test]
    fn the_replay_command_can_be_pasted() {
        let crash = found(ArtifactKind::Crash, "crash-1");
        let timeout = found(ArtifactKind::Timeout, "timeout-1");
        assert_eq!(
            replay_command("x", &crash, Sanitizer::Address),
            "cargo fuzz run x '/a b/crash-1'"
        );
        assert_eq!(
            replay_command("x", &timeout, Sanitizer::None),
            "cargo fuzz run --sanitizer none x '/a b/timeout-1' -- -timeout=10"
        );
    }

    #[test]
    fn the_table_has_a_row_for_each_target() {
        let mut progress = Progress::default();
        progress.take("#1234567\tDONE   cov: 210 ft: 340 corp: 50/2345b exec/s: 6172 rss: 60Mb");
        let outcome = Outcome {
            target: "msg_decode",
            verdict: Verdict::Passed,
            progress,
            elapsed: Duration::from_secs(10),
            log: PathBuf::new(),
        };
        let text = table(&[outcome]).to_string();
        let row: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        let expected = "| msg_decode | 1,234,567 | 123,456 | 210 | 340 | 0 | 0 | ok |";
        assert_eq!(row, expected.split_whitespace().collect::<Vec<_>>(), "{text}");
    }
}
