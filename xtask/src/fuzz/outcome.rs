//! What a run of one target amounts to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::libfuzzer::{Artifact, ArtifactKind, Progress};
use super::process::{Cause, End};
use crate::workspace::describe_status;

/// The verdict on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It ran for its time and found nothing.
    Passed,
    /// It found an input that fails.
    Found(ArtifactKind),
    /// It ended in an error, but kept no input. The text says how it ended.
    Died(String),
    /// It ended well without having run a single input.
    RanNothing,
    /// It ran far beyond its time.
    DidNotStop,
    /// The user stopped it.
    Stopped,
    /// The user stopped the campaign before its turn.
    NotStarted,
}

impl Verdict {
    /// Judges a run. What was found counts for more than how the run ended.
    pub(super) fn of(end: &End, progress: &Progress) -> Self {
        let mut failures = progress.artifacts.iter().filter(|found| found.kind.is_failure());
        if let Some(found) = failures.next() {
            return Self::Found(found.kind);
        }
        match end.cause {
            Cause::Interrupt => Self::Stopped,
            Cause::Deadline => Self::DidNotStop,
            Cause::Itself if !end.status.success() => Self::Died(describe_status(end.status)),
            Cause::Itself if progress.status.executions == 0 => Self::RanNothing,
            Cause::Itself => Self::Passed,
        }
    }

    /// Whether the campaign fails because of it.
    pub(super) fn is_failure(&self) -> bool {
        !matches!(self, Self::Passed | Self::Stopped | Self::NotStarted)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("ok"),
            Self::Found(kind) => f.write_str(&kind.name().to_uppercase()),
            Self::Died(how) => write!(f, "DIED: it {how}"),
            Self::RanNothing => f.write_str("NO INPUT RUN"),
            Self::DidNotStop => f.write_str("DID NOT STOP"),
            Self::Stopped => f.write_str("stopped"),
            Self::NotStarted => f.write_str("not started"),
        }
    }
}

/// The result of one target in a campaign.
pub(super) struct Outcome {
    /// Name of the target.
    pub(super) target: &'static str,
    /// The verdict on it.
    pub(super) verdict: Verdict,
    /// What it told.
    pub(super) progress: Progress,
    /// How long it ran.
    pub(super) elapsed: Duration,
    /// Everything that it printed.
    pub(super) log: PathBuf,
}

impl Outcome {
    /// Whole executions per second of wall time.
    pub(super) fn exec_per_second(&self) -> u64 {
        let milliseconds = self.elapsed.as_millis().max(1);
        let executions = u128::from(self.progress.status.executions);
        u64::try_from(executions * 1000 / milliseconds).unwrap_or(u64::MAX)
    }

    /// The inputs that fail, each once.
    pub(super) fn failures(&self) -> Vec<&Artifact> {
        let mut failures: Vec<&Artifact> = Vec::new();
        for found in self.progress.artifacts.iter().filter(|found| found.kind.is_failure()) {
            if !failures.contains(&found) {
                failures.push(found);
            }
        }
        failures
    }

    /// The inputs that were slow, but not so slow that they fail.
    pub(super) fn slow_inputs(&self) -> impl Iterator<Item = &Artifact> {
        self.progress.artifacts.iter().filter(|found| !found.kind.is_failure())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    const EXITED_77: i32 = 77 << 8;
    const KILLED_9: i32 = 9;

    fn end(cause: Cause, wait_status: i32) -> End {
        let status = ExitStatus::from_raw(wait_status);
        End { cause, status, elapsed: Duration::from_secs(2) }
    }

    fn progress(lines: &[&str]) -> Progress {
        let mut progress = Progress::default();
        lines.iter().for_each(|line| progress.take(line));
        progress
    }

    const RAN: &str = "#9\tDONE   cov: 1 exec/s: 1 rss: 1Mb";
    const CRASH: &str = "artifact_prefix='/a/'; Test unit written to /a/crash-1";
    const SLOW: &str = "artifact_prefix='/a/'; Test unit written to /a/slow-unit-1";

    #[test]
    fn a_clean_end_passes_only_when_inputs_ran() {
        let clean = end(Cause::Itself, 0);
        assert_eq!(Verdict::of(&clean, &progress(&[RAN])), Verdict::Passed);
        assert_eq!(Verdict::of(&clean, &progress(&[])), Verdict::RanNothing);
        assert!(Verdict::RanNothing.is_failure());
        assert!(!Verdict::Passed.is_failure());
    }

    #[test]
    fn an_input_that_fails_decides() {
        let found = Verdict::Found(ArtifactKind::Crash);
        let lines = progress(&[RAN, SLOW, CRASH]);
        for cause in [Cause::Itself, Cause::Interrupt, Cause::Deadline] {
            assert_eq!(Verdict::of(&end(cause, EXITED_77), &lines), found);
        }
        assert_eq!(found.to_string(), "CRASH");
    }

    #[test]
    fn a_slow_input_alone_is_no_failure() {
        assert_eq!(Verdict::of(&end(Cause::Itself, 0), &progress(&[RAN, SLOW])), Verdict::Passed);
    }

    #[test]
    fn a_death_without_an_input_says_how() {
        let died = Verdict::of(&end(Cause::Itself, EXITED_77), &progress(&[RAN]));
        assert_eq!(died.to_string(), "DIED: it exited with code 77");
        let killed = Verdict::of(&end(Cause::Itself, KILLED_9), &progress(&[RAN]));
        assert_eq!(killed.to_string(), "DIED: it was killed by signal 9");
        assert!(died.is_failure() && killed.is_failure());
    }

    #[test]
    fn a_stopped_run_is_no_failure_and_an_endless_one_is() {
        let stopped = Verdict::of(&end(Cause::Interrupt, 72 << 8), &progress(&[RAN]));
        assert_eq!(stopped, Verdict::Stopped);
        assert!(!stopped.is_failure());
        let endless = Verdict::of(&end(Cause::Deadline, KILLED_9), &progress(&[RAN]));
        assert_eq!(endless, Verdict::DidNotStop);
        assert!(endless.is_failure());
    }

    #[test]
    fn an_outcome_counts_each_failing_input_once() {
        let outcome = Outcome {
            target: "x",
            verdict: Verdict::Found(ArtifactKind::Crash),
            progress: progress(&[RAN, CRASH, SLOW, CRASH]),
            elapsed: Duration::from_millis(4500),
            log: PathBuf::new(),
        };
        assert_eq!(outcome.failures().len(), 1);
        assert_eq!(outcome.slow_inputs().count(), 1);
        assert_eq!(outcome.exec_per_second(), 2);
    }
}
