//! Runs the targets side by side and shows how they are doing.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use vhost_fuzz_harness::target::Target;

use super::libfuzzer::Progress;
use super::outcome::{Outcome, Verdict};
use super::process::{Cause, End, Fuzzer, POLL_INTERVAL};
use super::{Folders, OVERTIME, Sanitizer, build, interrupt, report};
use crate::workspace::{Workspace, shown};

/// The numbers of a campaign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// What the targets are built with.
    pub(super) sanitizer: Sanitizer,
    /// How many run at a time.
    pub(super) jobs: usize,
    /// Seconds for each target.
    pub(super) seconds: u64,
}

/// Builds and fuzzes `targets`, prints the report and returns the exit code.
///
/// # Errors
///
/// When a build, a process or the file system fails.
pub(super) fn run(
    workspace: &Workspace,
    targets: &[&'static Target],
    plan: Plan,
) -> Result<ExitCode> {
    let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    let binaries = build::build(workspace, &names, plan.sanitizer)?;
    let mut campaign = Campaign {
        workspace,
        plan,
        waiting: targets.iter().copied().zip(binaries).collect(),
        running: Vec::new(),
        outcomes: Vec::new(),
        display: Display::new(plan, &names),
    };
    campaign.supervise()?;
    let mut outcomes = campaign.outcomes;
    outcomes.sort_by_key(|outcome| names.iter().position(|name| *name == outcome.target));
    report::print(&outcomes, plan.sanitizer)?;
    Ok(if interrupt::count() > 0 {
        ExitCode::from(interrupt::EXIT_CODE)
    } else if outcomes.iter().any(|outcome| outcome.verdict.is_failure()) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

struct Campaign<'a> {
    workspace: &'a Workspace,
    plan: Plan,
    waiting: VecDeque<(&'static Target, PathBuf)>,
    running: Vec<Running>,
    outcomes: Vec<Outcome>,
    display: Display,
}

struct Running {
    target: &'static str,
    log: PathBuf,
    fuzzer: Fuzzer,
    bar: ProgressBar,
}

impl Campaign<'_> {
    /// Keeps up to `jobs` targets running until each has had its turn or Ctrl-C is pressed.
    fn supervise(&mut self) -> Result<()> {
        loop {
            while interrupt::count() == 0
                && self.running.len() < self.plan.jobs
                && let Some((target, binary)) = self.waiting.pop_front()
            {
                let running = self.start(target.name, &binary)?;
                self.running.push(running);
            }
            if self.running.is_empty() {
                break;
            }
            std::thread::sleep(POLL_INTERVAL);
            self.look()?;
        }
        // Only Ctrl-C leaves a target waiting.
        for (target, _) in self.waiting.drain(..) {
            self.outcomes.push(Outcome {
                target: target.name,
                verdict: Verdict::NotStarted,
                progress: Progress::default(),
                elapsed: Duration::ZERO,
                log: PathBuf::new(),
            });
        }
        Ok(())
    }

    fn start(&self, target: &'static str, binary: &Path) -> Result<Running> {
        let folders = Folders::create(self.workspace, target)?;
        let mut command = folders.command(self.workspace, binary);
        command.arg(format!("-max_total_time={}", self.plan.seconds));
        // libFuzzer writes to the first folder and only reads the others.
        command.arg(&folders.corpus);
        if folders.seeds.is_dir() {
            command.arg(&folders.seeds);
        }
        let log = File::create(&folders.log)
            .with_context(|| format!("cannot create {}", folders.log.display()))?;
        let limit = Duration::from_secs(self.plan.seconds) + OVERTIME;
        let fuzzer = Fuzzer::spawn(&mut command, log, limit)?;
        let bar = self.display.started(target, &folders.log);
        Ok(Running { target, log: folders.log, fuzzer, bar })
    }

    /// Moves the targets that have ended to the outcomes, and the bars of the others forward.
    fn look(&mut self) -> Result<()> {
        for mut running in std::mem::take(&mut self.running) {
            let end = running.fuzzer.poll()?;
            let progress = running.fuzzer.progress();
            let Some(end) = end else {
                self.display.moved(&running.bar, running.fuzzer.elapsed(), &progress);
                self.running.push(running);
                continue;
            };
            let outcome = running.outcome(&end, progress);
            self.display.ended(&running.bar, &outcome);
            self.outcomes.push(outcome);
        }
        Ok(())
    }
}

impl Running {
    fn outcome(&self, end: &End, mut progress: Progress) -> Outcome {
        if end.cause == Cause::Interrupt {
            // libFuzzer keeps no input for a stop that the user asked for, but a target that
            // was in the middle of one may print anything.
            progress.artifacts.retain(|found| found.path.is_file());
        }
        Outcome {
            target: self.target,
            verdict: Verdict::of(end, &progress),
            progress,
            elapsed: end.elapsed,
            log: self.log.clone(),
        }
    }
}

/// One bar for each target on a terminal, one line at its start and end elsewhere.
struct Display {
    bars: Option<MultiProgress>,
    style: ProgressStyle,
    seconds: u64,
}

impl Display {
    fn new(plan: Plan, names: &[&str]) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
        // A test checks that the template is valid.
        let style = ProgressStyle::with_template(&template(width))
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        Self { bars, style, seconds: plan.seconds }
    }

    fn started(&self, target: &'static str, log: &Path) -> ProgressBar {
        let Some(bars) = &self.bars else {
            eprintln!("{target}: fuzzing for {} s, log {}", self.seconds, shown(log).display());
            return ProgressBar::hidden();
        };
        let bar = ProgressBar::new(self.seconds).with_style(self.style.clone());
        let bar = bars.add(bar);
        bar.set_prefix(target);
        bar.set_message("reading the corpus");
        bar
    }

    fn moved(&self, bar: &ProgressBar, elapsed: Duration, progress: &Progress) {
        bar.set_position(elapsed.as_secs().min(self.seconds));
        if let Some(text) = numbers(progress) {
            bar.set_message(text);
        }
    }

    fn ended(&self, bar: &ProgressBar, outcome: &Outcome) {
        let status = &outcome.progress.status;
        let text = format!(
            "{} after {:.1} s: {} executions, cov {}, corpus {}, new {}",
            outcome.verdict,
            outcome.elapsed.as_secs_f64(),
            HumanCount(status.executions),
            status.coverage,
            status.corpus,
            outcome.progress.new_inputs,
        );
        if self.bars.is_some() {
            bar.set_position(outcome.elapsed.as_secs().min(self.seconds));
            bar.abandon_with_message(text);
        } else {
            eprintln!("{}: {text}", outcome.target);
        }
    }
}

/// What a bar looks like when the longest name of a target has `width` characters.
fn template(width: usize) -> String {
    format!("{{prefix:{width}}} [{{bar:20}}] {{pos:>3}}/{{len}} s  {{msg}}")
}

/// What a bar says about a target that has run an input.
fn numbers(progress: &Progress) -> Option<String> {
    let status = &progress.status;
    (status.executions > 0).then(|| {
        format!(
            "{} exec/s, cov {}, corpus {}, new {}",
            HumanCount(status.exec_per_second),
            status.coverage,
            status.corpus,
            progress.new_inputs,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_the_bars_is_valid() {
        for width in [0, 1, 10, 40] {
            assert!(ProgressStyle::with_template(&template(width)).is_ok());
        }
    }

    #[test]
    fn a_bar_shows_the_numbers_of_libfuzzer() {
        let mut progress = Progress::default();
        assert_eq!(numbers(&progress), None);
        progress.take("#12345\tNEW    cov: 210 ft: 340 corp: 50/2345b exec/s: 6172 rss: 60Mb");
        let expected = "6,172 exec/s, cov 210, corpus 50, new 1";
        assert_eq!(numbers(&progress).as_deref(), Some(expected));
    }
}
