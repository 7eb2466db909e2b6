//! `cargo xtask fuzz`: campaigns over the targets of the harness, and their throughput.

mod bench;
mod build;
mod campaign;
mod interrupt;
mod judges;
mod libfuzzer;
mod outcome;
mod process;
mod report;

pub(crate) use judges::become_compiler;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use vhost_fuzz_harness::target::{TARGETS, Target};

use crate::workspace::{Workspace, shown};

/// Seconds that a campaign spends on fuzzing unless `--time` says otherwise, so that the whole
/// command takes at most two minutes even where it installs cargo-fuzz and builds everything.
const DEFAULT_BUDGET: u64 = 60;

/// Most seconds for one target unless `--time` says otherwise.
const DEFAULT_TIME_MAX: u64 = 30;

/// Seconds of a mutating run of `--bench` unless `--time` says otherwise.
const DEFAULT_BENCH_TIME: u64 = 15;

/// A week: more is a typing mistake.
const TIME_MAX: u64 = 7 * 24 * 60 * 60;

const JOBS_MAX: u64 = 256;

/// How far beyond its time a binary may run: one input may take 10 s until libFuzzer calls it a
/// timeout, and reading the seeds does not count as time.
const OVERTIME: Duration = Duration::from_secs(30);

/// Makes the mutator of a fuzz binary give the seeds of a folder, one after another.
const REPLAY_VARIABLE: &str = "VHOST_FUZZ_REPLAY";

/// Makes the harness print its counts when a process ends.
const STATS_VARIABLE: &str = "VHOST_FUZZ_STATS";

/// Rust may define a static once in each codegen unit; cargo-fuzz says the same. No target has
/// hand-written `unsafe` that could return a reference to a dead stack frame, and looking for one
/// costs a quarter of the executions.
const ASAN_OPTIONS: &str = "detect_odr_violation=0:detect_stack_use_after_return=0";

/// Limits that every run obeys. Inputs longer than 8 KiB only slow a target down.
const LIBFUZZER_LIMITS: [&str; 4] =
    ["-timeout=10", "-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1"];

/// Fuzz the targets from their corpus, and say what was found.
///
/// Installs cargo-fuzz when it is missing, builds the targets, runs them side by side and closes
/// with a table. A target stops at its first failure. Seeds come from corpus/TARGET, which is only
/// read; what is found is kept in fuzz-campaign/TARGET of the target directory (corpus, artifacts,
/// log) and used by the next campaign.
///
/// Exit codes: 0 nothing found, 1 a failure (crash, timeout, out of memory, leak, or a target that
/// could not run), 2 wrong usage, 130 stopped by Ctrl-C.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Targets to fuzz [default: all]
    #[arg(value_name = "TARGET", value_parser = target_names())]
    targets: Vec<String>,

    /// Seconds for each target
    ///
    /// The default is 30 seconds, or less when the targets need several rounds: then each gets
    /// its share of 60 seconds, so that the whole command stays under two minutes. With --bench:
    /// seconds of each mutating run (default 15); a replay takes half of that.
    #[arg(long, value_name = "SECONDS", value_parser = parse_time)]
    time: Option<u64>,

    /// Targets that run at the same time [default: number of cores]
    #[arg(long, value_name = "N", value_parser = parse_jobs, conflicts_with = "bench")]
    jobs: Option<usize>,

    /// Sanitizer to build with [default: address; with --bench: one after the other]
    #[arg(long, value_enum, hide_default_value = true)]
    sanitizer: Option<Sanitizer>,

    /// Measure the throughput of the TARGETs named, one process at a time, beside an empty target
    #[arg(long, requires = "targets")]
    bench: bool,

    /// Print the names of all targets, one a line, and do nothing else
    #[arg(long, exclusive = true)]
    list: bool,

    /// Also write the numbers of --bench to FILE as JSON; an existing FILE is replaced
    #[arg(long, value_name = "FILE", requires = "bench")]
    json: Option<PathBuf>,
}

/// What a fuzz binary is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    /// The address sanitizer: finds memory errors, at about half the speed
    Address,
    /// No sanitizer: panics and oracles only
    None,
}

impl Sanitizer {
    /// As cargo-fuzz spells it.
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::None => "none",
        }
    }
}

fn target_names() -> PossibleValuesParser {
    TARGETS.iter().map(|target| PossibleValue::new(target.name).help(target.about)).into()
}

fn parse_time(text: &str) -> Result<u64, String> {
    parse_whole(text, "seconds", TIME_MAX)
}

fn parse_jobs(text: &str) -> Result<usize, String> {
    let jobs = parse_whole(text, "jobs", JOBS_MAX)?;
    usize::try_from(jobs).map_err(|error| error.to_string())
}

fn parse_whole(text: &str, what: &str, max: u64) -> Result<u64, String> {
    let value = text.parse().ok().filter(|value| (1..=max).contains(value));
    value.ok_or_else(|| format!("expected a whole number of {what} from 1 to {max}"))
}

/// Does what the command line asks for and returns the exit code.
///
/// # Errors
///
/// When the tools, a build or the file system fail.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return Ok(ExitCode::SUCCESS);
    }
    options.check_json();
    interrupt::install()?;
    match run_task(options) {
        Err(error) if error.is::<interrupt::Interrupted>() => {
            eprintln!("{error}");
            Ok(ExitCode::from(interrupt::EXIT_CODE))
        }
        result => result,
    }
}

fn run_task(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    // Held until the process ends.
    let _lock = lock(&workspace)?;
    build::set_up(&workspace)?;
    let targets = options.chosen();
    if options.bench {
        let time = options.time.unwrap_or(DEFAULT_BENCH_TIME);
        return bench::run(&workspace, &targets, options.sanitizer, time, options.json.as_deref());
    }
    let sanitizer = options.sanitizer.unwrap_or(Sanitizer::Address);
    let jobs = options.jobs.unwrap_or_else(cores);
    let seconds = options.time.unwrap_or_else(|| default_time(targets.len(), jobs));
    campaign::run(&workspace, &targets, campaign::Plan { sanitizer, jobs, seconds })
}

impl Options {
    /// The targets to work on, each once, in the order given.
    fn chosen(&self) -> Vec<&'static Target> {
        let mut chosen: Vec<&'static Target> = Vec::new();
        for name in &self.targets {
            // clap has refused unknown names.
            let known = TARGETS.iter().find(|target| target.name == name);
            chosen
                .extend(known.filter(|target| chosen.iter().all(|have| have.name != target.name)));
        }
        if chosen.is_empty() { TARGETS.iter().collect() } else { chosen }
    }

    /// Refuses a file that cannot be written before minutes are spent on its content.
    fn check_json(&self) {
        let Some(path) = &self.json else { return };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let problem = if path.is_dir() {
            "expected a file, found a directory"
        } else if parent.is_some_and(|parent| !parent.is_dir()) {
            "its directory does not exist"
        } else {
            return;
        };
        let message =
            format!("invalid value '{}' for '--json <FILE>': {problem}\n", path.display());
        clap::Error::raw(ErrorKind::ValueValidation, message).exit();
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Seconds for each of `targets` when `jobs` of them run at a time.
fn default_time(targets: usize, jobs: usize) -> u64 {
    let rounds = u64::try_from(targets.div_ceil(jobs)).unwrap_or(u64::MAX).max(1);
    (DEFAULT_BUDGET / rounds).clamp(1, DEFAULT_TIME_MAX)
}

/// Makes sure that two campaigns never write to the same logs and corpora.
fn lock(workspace: &Workspace) -> Result<File> {
    let folder = campaign_dir(workspace);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another `cargo xtask fuzz` uses {}; wait for it to end",
                shown(&folder).display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn campaign_dir(workspace: &Workspace) -> PathBuf {
    workspace.target_dir.join("fuzz-campaign")
}

/// Where the inputs and results of one target are.
struct Folders {
    /// Seeds and regressions in the git tree: read, never written.
    seeds: PathBuf,
    /// What campaigns found so far.
    corpus: PathBuf,
    /// Inputs that crash, hang or leak.
    artifacts: PathBuf,
    /// Everything that the last run printed.
    log: PathBuf,
    /// Tokens for libFuzzer's own mutators. The file may be missing.
    dictionary: PathBuf,
}

impl Folders {
    /// Creates the folders that results go to.
    fn create(workspace: &Workspace, target: &str) -> Result<Self> {
        let base = campaign_dir(workspace).join(target);
        let folders = Self {
            seeds: workspace.root.join("corpus").join(target),
            corpus: base.join("corpus"),
            artifacts: base.join("artifacts"),
            log: base.join("log"),
            dictionary: workspace.root.join("fuzz/dictionaries").join(format!("{target}.dict")),
        };
        for folder in [&folders.corpus, &folders.artifacts] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(folders)
    }

    /// The command line that campaigns and benches share.
    fn command(&self, workspace: &Workspace, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        // Paths in backtraces are relative to the root.
        command.current_dir(&workspace.root).args(LIBFUZZER_LIMITS);
        let mut prefix = std::ffi::OsString::from("-artifact_prefix=");
        prefix.push(&self.artifacts);
        prefix.push("/");
        command.arg(prefix);
        if self.dictionary.is_file() {
            let mut dictionary = std::ffi::OsString::from("-dict=");
            dictionary.push(&self.dictionary);
            command.arg(dictionary);
        }
        // Set by a user for other purposes, it would make a campaign test next to nothing.
        command.env_remove(REPLAY_VARIABLE).env_remove(STATS_VARIABLE);
        // Of two values of an option the later one holds: a user's.
        let user = std::env::var("ASAN_OPTIONS").unwrap_or_default();
        command.env("ASAN_OPTIONS", format!("{ASAN_OPTIONS}:{user}"));
        if std::env::var_os("RUST_BACKTRACE").is_none() {
            command.env("RUST_BACKTRACE", "1");
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Cli::try_parse_from([&["fuzz"], arguments].concat())
            .map(|cli| cli.options)
            .map_err(|error| error.to_string())
    }

    fn refused(arguments: &[&str], expected: &[&str]) {
        let error = parse(arguments).unwrap_err();
        for text in expected {
            assert!(error.contains(text), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn nothing_given_means_every_target() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.chosen().len(), TARGETS.len());
        assert!(!options.bench);
    }

    #[test]
    fn a_target_given_twice_runs_once() {
        let name = TARGETS[0].name;
        let chosen = parse(&[name, name]).unwrap().chosen();
        assert_eq!(chosen.iter().map(|target| target.name).collect::<Vec<_>>(), [name]);
    }

    #[test]
    fn an_unknown_target_lists_the_known_ones() {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        refused(&["no_such_target"], &["'no_such_target'", "TARGET"]);
        refused(&["no_such_target"], &names);
    }

    #[test]
    fn numbers_out_of_range_name_the_option_and_the_range() {
        for bad in ["0", "-1", "1.5", "soon", "604801", "99999999999999999999999", ""] {
            let argument = format!("--time={bad}");
            refused(&[&argument], &["'--time <SECONDS>'", "whole number of seconds", "604800"]);
        }
        for bad in ["0", "257", "two"] {
            refused(&["--jobs", bad], &["'--jobs <N>'", "whole number of jobs from 1 to 256"]);
        }
        assert_eq!(parse(&["--time", "1", "--jobs", "256"]).unwrap().jobs, Some(256));
    }

    #[test]
    fn a_sanitizer_is_one_of_two() {
        refused(&["--sanitizer", "memory"], &["'--sanitizer <SANITIZER>'", "address, none"]);
        let options = parse(&["--sanitizer", "none"]).unwrap();
        assert_eq!(options.sanitizer, Some(Sanitizer::None));
    }

    #[test]
    fn bench_needs_targets_and_runs_them_one_by_one() {
        let name = TARGETS[0].name;
        refused(&["--bench"], &["TARGET"]);
        refused(&["--bench", name, "--jobs", "2"], &["--bench", "--jobs"]);
        refused(&[name, "--json", "x.json"], &["--bench"]);
        assert!(parse(&["--bench", name, "--json", "x.json"]).unwrap().bench);
    }

    #[test]
    fn the_default_time_keeps_the_promise_of_two_minutes() {
        assert_eq!(default_time(2, 2), 30);
        assert_eq!(default_time(1, 8), 30);
        assert_eq!(default_time(5, 2), 20);
        assert_eq!(default_time(1000, 1), 1);
        for targets in 1..=50_usize {
            for jobs in 1..=8 {
                let rounds = u64::try_from(targets.div_ceil(jobs)).unwrap();
                let total = rounds * default_time(targets, jobs);
                assert!(total <= 100, "{targets} targets, {jobs} jobs: {total} s");
            }
        }
    }
}
