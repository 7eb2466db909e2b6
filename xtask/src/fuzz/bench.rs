//! `cargo xtask fuzz --bench`: what a target costs, beside a target that does nothing.
//!
//! Both programs get the same seeds: the named files of the corpus, never what libFuzzer added.
//! A *replay* runs them unchanged, again and again; a *mutate* run is what a campaign does. Rates
//! are per CPU second of the child, so that a busy machine changes them little, and the cost of
//! starting up and reading the seeds, measured by a run that stops there, is taken off.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use comfy_table::Table;
use indicatif::HumanFloatCount;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::Serialize;
use tempfile::TempDir;
use vhost_fuzz_harness::target::Target;

use super::interrupt::Interrupted;
use super::libfuzzer::Progress;
use super::outcome::Verdict;
use super::process::{Cause, Fuzzer};
use super::report::{align_right, new_table};
use super::{Folders, OVERTIME, REPLAY_VARIABLE, STATS_VARIABLE, Sanitizer, build, campaign_dir};
use crate::workspace::{Workspace, shown};

/// The binary that does nothing with its input.
const EMPTY: &str = "empty";

/// How far the mean length of what a replay ran may be from that of the seeds: the last round ends
/// in the middle.
const REPLAY_TOLERANCE: f64 = 0.02;

/// Whether the seeds are run as they are or mutated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Replay,
    Mutate,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Mutate => "mutate",
        }
    }
}

/// What a run did, and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Sample {
    cpu_seconds: f64,
    wall_seconds: f64,
    executions: u64,
    bytes: Option<u64>,
    accepted: Option<u64>,
    messages: Option<u64>,
    operations: Option<u64>,
    /// Inputs with new coverage. In a replay that is a seed that met a device in another state.
    new_inputs: u64,
}

impl Sample {
    fn of(cpu: f64, wall: Duration, progress: &Progress) -> Self {
        let counts = progress.counts;
        Self {
            cpu_seconds: cpu,
            wall_seconds: wall.as_secs_f64(),
            executions: counts.inputs.unwrap_or(progress.status.executions),
            bytes: counts.bytes,
            accepted: counts.accepted,
            messages: counts.messages,
            operations: counts.operations,
            new_inputs: progress.new_inputs,
        }
    }

    /// This run without the part that `start_up` measured.
    fn without(self, start_up: Self) -> Self {
        let minus = |all: Option<u64>, part: Option<u64>| {
            all.map(|all| all.saturating_sub(part.unwrap_or(0)))
        };
        Self {
            cpu_seconds: self.cpu_seconds - start_up.cpu_seconds,
            wall_seconds: self.wall_seconds - start_up.wall_seconds,
            executions: self.executions.saturating_sub(start_up.executions),
            bytes: minus(self.bytes, start_up.bytes),
            accepted: minus(self.accepted, start_up.accepted),
            messages: minus(self.messages, start_up.messages),
            operations: minus(self.operations, start_up.operations),
            new_inputs: self.new_inputs,
        }
    }
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Row {
    target: &'static str,
    sanitizer: &'static str,
    mode: Mode,
    /// `empty` or the name of the target.
    program: &'static str,
    #[serde(flatten)]
    sample: Sample,
    executions_per_cpu_second: f64,
    messages_per_cpu_second: Option<f64>,
    operations_per_cpu_second: Option<f64>,
    megabytes_per_cpu_second: Option<f64>,
    bytes_per_input: Option<f64>,
    accepted_percent: Option<f64>,
    /// Executions per CPU second as a part of those of `empty`.
    of_empty: Option<f64>,
}

impl Row {
    /// `empty` is the rate of the program that does nothing, once that is known.
    fn new(run: Run, sample: Sample, empty: Option<f64>) -> Self {
        let rate = |count: u64| count as f64 / sample.cpu_seconds;
        // A target that judges no messages or operations counts zero of them.
        let nonzero_rate = |count: Option<u64>| count.filter(|count| *count > 0).map(rate);
        let each = |sum: u64| sum as f64 / sample.executions as f64;
        Self {
            target: run.target,
            sanitizer: run.sanitizer.name(),
            mode: run.mode,
            program: run.program,
            sample,
            executions_per_cpu_second: rate(sample.executions),
            messages_per_cpu_second: nonzero_rate(sample.messages),
            operations_per_cpu_second: nonzero_rate(sample.operations),
            megabytes_per_cpu_second: sample.bytes.map(|bytes| rate(bytes) / 1e6),
            bytes_per_input: sample.bytes.map(each),
            accepted_percent: sample.accepted.map(|accepted| 100.0 * each(accepted)),
            of_empty: empty.map(|empty| rate(sample.executions) / empty),
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
struct Run {
    target: &'static str,
    sanitizer: Sanitizer,
    mode: Mode,
    program: &'static str,
}

/// Measures each of `targets`, prints the tables and returns the exit code.
///
/// # Errors
///
/// When a build, a run or the file system fails.
pub(super) fn run(
    workspace: &Workspace,
    targets: &[&'static Target],
    sanitizer: Option<Sanitizer>,
    mutate_seconds: u64,
    json: Option<&Path>,
) -> Result<ExitCode> {
    let both = [Sanitizer::None, Sanitizer::Address];
    let sanitizers = sanitizer.as_ref().map_or(&both[..], std::slice::from_ref);
    let mut rows = Vec::new();
    for target in targets {
        let bench = Bench::new(workspace, target.name, mutate_seconds)?;
        for sanitizer in sanitizers {
            rows.extend(bench.measure(*sanitizer)?);
        }
        let own = rows.iter().filter(|row| row.target == target.name);
        println!("\n{}: {}\n{}", target.name, bench.seeds, table(&own.collect::<Vec<_>>()));
    }
    if let Some(path) = json {
        let mut text = serde_json::to_string_pretty(&rows)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    workspace: &'a Workspace,
    target: &'static str,
    mutate_seconds: u64,
    folders: Folders,
    seeds: Seeds,
    /// Binaries and corpora of the runs; removed in the end.
    scratch: TempDir,
}

impl<'a> Bench<'a> {
    fn new(workspace: &'a Workspace, target: &'static str, mutate_seconds: u64) -> Result<Self> {
        let folders = Folders::create(workspace, target)?;
        let seeds = Seeds::find(&folders.seeds)?;
        // Not in the system's folder for temporary files, from which programs may not run.
        let scratch = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(campaign_dir(workspace))
            .context("cannot create a folder for the bench")?;
        Ok(Self { workspace, target, mutate_seconds, folders, seeds, scratch })
    }

    /// Replays and mutates with both programs.
    fn measure(&self, sanitizer: Sanitizer) -> Result<Vec<Row>> {
        let programs = [EMPTY, self.target];
        let built = build::build(self.workspace, &programs, sanitizer)?;
        let mut rows = Vec::new();
        for mode in [Mode::Replay, Mode::Mutate] {
            let mut empty = None;
            for (program, binary) in programs.into_iter().zip(&built) {
                let run = Run { target: self.target, sanitizer, mode, program };
                let binary = self.keep(binary, run)?;
                let sample = self.sample(run, &binary)?;
                let row = Row::new(run, sample, empty);
                empty = Some(row.executions_per_cpu_second);
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// Copies a binary, since a build with another sanitizer puts its own in the same place.
    fn keep(&self, binary: &Path, run: Run) -> Result<PathBuf> {
        let copy = self.scratch.path().join(format!("{}-{}", run.program, run.sanitizer.name()));
        if !copy.exists() {
            fs::copy(binary, &copy).with_context(|| format!("cannot copy {}", binary.display()))?;
        }
        Ok(copy)
    }

    fn sample(&self, run: Run, binary: &Path) -> Result<Sample> {
        let seconds = match run.mode {
            Mode::Mutate => self.mutate_seconds,
            Mode::Replay => self.mutate_seconds.div_ceil(2),
        };
        let (mode, sanitizer) = (run.mode.name(), run.sanitizer.name());
        eprintln!("{mode} {}, sanitizer {sanitizer}: {seconds} s", run.program);
        // No run at all is given by `-runs=0`: libFuzzer reads the seeds, runs each and stops.
        let start_up = self.execute(run, binary, "-runs=0", 60)?;
        let limit = format!("-max_total_time={seconds}");
        let sample = self.execute(run, binary, &limit, seconds)?.without(start_up);
        let measurable = sample.cpu_seconds > 0.0 && sample.executions > 0;
        ensure!(measurable, "{mode} {} was too short to measure; raise --time", run.program);
        if let (Mode::Replay, Some(bytes)) = (run.mode, sample.bytes) {
            let (replayed, seeds) = (bytes as f64 / sample.executions as f64, self.seeds.mean());
            ensure!(
                (replayed / seeds - 1.0).abs() < REPLAY_TOLERANCE,
                "{mode} {}: {replayed:.1} bytes an input instead of {seeds:.1}, so it was no replay",
                run.program
            );
        }
        Ok(sample)
    }

    /// Runs `binary` once on a fresh copy of the seeds.
    fn execute(&self, run: Run, binary: &Path, bound: &str, seconds: u64) -> Result<Sample> {
        let corpus = self.seeds.copy_into(self.scratch.path())?;
        let mut command = self.folders.command(self.workspace, binary);
        command.args(["-keep_seed=1", "-seed=1", bound]).arg(corpus.path());
        command.env(STATS_VARIABLE, "1");
        if run.mode == Mode::Replay {
            command.env(REPLAY_VARIABLE, corpus.path());
            // The seeds stay as they are, so there is no corpus to reduce or to weigh.
            command.args(["-reduce_inputs=0", "-entropic=0"]);
        }
        let log = File::create(&self.folders.log)
            .with_context(|| format!("cannot create {}", self.folders.log.display()))?;
        let before = children_cpu_seconds()?;
        let limit = Duration::from_secs(seconds) + OVERTIME;
        let mut fuzzer = Fuzzer::spawn(&mut command, log, limit)?;
        let end = fuzzer.wait()?;
        let cpu = children_cpu_seconds()? - before;
        let progress = fuzzer.progress();
        if end.cause == Cause::Interrupt {
            bail!(Interrupted);
        }
        let verdict = Verdict::of(&end, &progress);
        ensure!(
            verdict == Verdict::Passed,
            "{} {} failed: {verdict}{}; log {}",
            run.mode.name(),
            run.program,
            progress.artifacts.iter().fold(String::new(), |text, found| {
                format!("{text}, input {}", shown(&found.path).display())
            }),
            shown(&self.folders.log).display(),
        );
        Ok(Sample::of(cpu, end.elapsed, &progress))
    }
}

/// User and system time of all children that have ended.
fn children_cpu_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the CPU time")?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The seeds that somebody named.
#[derive(Debug)]
struct Seeds {
    files: Vec<PathBuf>,
    bytes: u64,
}

impl std::fmt::Display for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} named seeds, {} bytes", self.files.len(), self.bytes)
    }
}

impl Seeds {
    fn find(folder: &Path) -> Result<Self> {
        let cannot_read = || format!("cannot read {}", folder.display());
        let mut seeds = Self { files: Vec::new(), bytes: 0 };
        for entry in fs::read_dir(folder).with_context(cannot_read)? {
            let path = entry.with_context(cannot_read)?.path();
            let metadata =
                fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
            if metadata.is_file() && !is_added_by_libfuzzer(&path) {
                seeds.bytes += metadata.len();
                seeds.files.push(path);
            }
        }
        seeds.files.sort();
        ensure!(
            !seeds.files.is_empty(),
            "{} has no named seed, so there is nothing to replay",
            shown(folder).display()
        );
        Ok(seeds)
    }

    /// Bytes of a seed.
    fn mean(&self) -> f64 {
        self.bytes as f64 / self.files.len() as f64
    }

    /// A new folder in `parent` with a copy of each seed.
    fn copy_into(&self, parent: &Path) -> Result<TempDir> {
        let folder = tempfile::tempdir_in(parent).context("cannot create a folder for seeds")?;
        for file in &self.files {
            // `find` lists files of a folder, so that each has a name.
            let name = file.file_name().unwrap_or_default();
            fs::copy(file, folder.path().join(name))
                .with_context(|| format!("cannot copy {}", file.display()))?;
        }
        Ok(folder)
    }
}

/// libFuzzer names what it adds to a corpus by the SHA-1 of the content.
fn is_added_by_libfuzzer(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() == 40 && name.iter().all(u8::is_ascii_hexdigit)
}

/// One column of the table: its header and how a row shows in it.
type Column = (&'static str, fn(&Row) -> Option<String>);

const COLUMNS: [Column; 10] = [
    ("sanitizer", |row| Some(row.sanitizer.to_owned())),
    ("run", |row| Some(row.mode.name().to_owned())),
    ("program", |row| Some(row.program.to_owned())),
    ("exec/CPU s", |row| Some(whole(row.executions_per_cpu_second))),
    ("of empty", |row| row.of_empty.map(|ratio| format!("{ratio:.3}"))),
    ("messages/CPU s", |row| row.messages_per_cpu_second.map(whole)),
    ("operations/CPU s", |row| row.operations_per_cpu_second.map(whole)),
    ("MB/CPU s", |row| row.megabytes_per_cpu_second.map(|rate| format!("{rate:.2}"))),
    ("bytes/input", |row| row.bytes_per_input.map(|bytes| format!("{bytes:.1}"))),
    ("accepted", |row| row.accepted_percent.map(|percent| format!("{percent:.1} %"))),
];

/// Columns of text, before those of numbers.
const TEXT_COLUMNS: usize = 3;

fn whole(value: f64) -> String {
    HumanFloatCount(value.round()).to_string()
}

/// A table of `rows` without the columns that would be empty.
fn table(rows: &[&Row]) -> Table {
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|(_, cell)| rows.iter().any(|row| cell(row).is_some())).collect();
    let mut table = new_table(&columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for row in rows {
        table.add_row(columns.iter().map(|(_, cell)| cell(row).unwrap_or_else(|| "–".to_owned())));
    }
    align_right(&mut table, TEXT_COLUMNS..columns.len());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run =
        Run { target: "x", sanitizer: Sanitizer::None, mode: Mode::Replay, program: "x" };

    fn sample() -> Sample {
        Sample {
            cpu_seconds: 2.5,
            wall_seconds: 3.0,
            executions: 1010,
            bytes: Some(20_200),
            accepted: Some(510),
            messages: Some(2010),
            operations: Some(0),
            new_inputs: 3,
        }
    }

    #[test]
    fn the_start_up_is_taken_off() {
        let start_up = Sample {
            cpu_seconds: 0.5,
            wall_seconds: 1.0,
            executions: 10,
            bytes: Some(200),
            accepted: Some(10),
            messages: Some(10),
            operations: None,
            new_inputs: 0,
        };
        let expected = Sample {
            cpu_seconds: 2.0,
            wall_seconds: 2.0,
            executions: 1000,
            bytes: Some(20_000),
            accepted: Some(500),
            messages: Some(2000),
            operations: Some(0),
            new_inputs: 3,
        };
        assert_eq!(sample().without(start_up), expected);
    }

    #[test]
    fn a_row_has_rates_per_cpu_second() {
        let row = Row::new(RUN, sample().without(Sample::default()), Some(808.0));
        assert_eq!(row.executions_per_cpu_second, 404.0);
        assert_eq!(row.messages_per_cpu_second, Some(804.0));
        assert_eq!(row.operations_per_cpu_second, None, "zero operations are not a rate");
        assert_eq!(row.bytes_per_input, Some(20.0));
        assert_eq!(row.of_empty, Some(0.5));
    }

    #[test]
    fn without_the_counts_of_the_harness_libfuzzer_counts() {
        let mut progress = Progress::default();
        progress.take("stat::number_of_executed_units: 77");
        let sample = Sample::of(1.0, Duration::from_secs(1), &progress);
        assert_eq!((sample.executions, sample.bytes), (77, None));
        progress.take("vhost-fuzz-stats: inputs=70 bytes=7");
        let sample = Sample::of(1.0, Duration::from_secs(1), &progress);
        assert_eq!((sample.executions, sample.bytes), (70, Some(7)));
    }

    #[test]
    fn empty_columns_are_left_out_of_the_table() {
        let row = Row::new(RUN, sample(), None);
        let text = table(&[&row]).to_string();
        assert!(text.contains("messages/CPU s"), "{text}");
        assert!(!text.contains("operations/CPU s"), "{text}");
        assert!(!text.contains("of empty"), "{text}");
    }

    #[test]
    fn the_json_of_a_row_is_flat() {
        let value = serde_json::to_value(Row::new(RUN, sample(), None)).unwrap();
        assert_eq!(value["mode"], "replay");
        assert_eq!(value["executions"], 1010);
        assert_eq!(value["executions_per_cpu_second"], 404.0);
        assert!(value["of_empty"].is_null());
    }

    #[test]
    fn seeds_are_the_named_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("get-features"), [0; 12]).unwrap();
        fs::write(folder.path().join("0123456789abcdef0123456789abcdef01234567"), [0; 5]).unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let seeds = Seeds::find(folder.path()).unwrap();
        assert_eq!(seeds.to_string(), "1 named seeds, 12 bytes");
        let scratch = tempfile::tempdir().unwrap();
        let copy = seeds.copy_into(scratch.path()).unwrap();
        assert_eq!(fs::read_dir(copy.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_corpus_without_named_seeds_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Seeds::find(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has no named seed"), "{error}");
    }
}
