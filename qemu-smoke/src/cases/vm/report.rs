//! What a person reads of a pipeline: a table, and the details of each phase.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Error, Result};

use super::Phase;
use crate::trial::{NotOffered, Trial};

/// A phase that has run.
pub(super) struct Entry {
    pub(super) phase: &'static Phase,
    pub(super) result: Result<()>,
    pub(super) elapsed: Duration,
    /// What was seen.
    pub(super) facts: Vec<(String, String)>,
}

/// All of them.
pub(super) struct Report {
    environment: String,
    boot: Duration,
    built: Duration,
    pub(super) entries: Vec<Entry>,
}

impl Entry {
    fn word(&self) -> &'static str {
        match &self.result {
            Ok(()) => "passed",
            Err(error) if error.is::<NotOffered>() => "untried",
            Err(_) => "FAILED",
        }
    }

    /// Why, unless it passed.
    fn reason(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }
}

impl Report {
    pub(super) fn new(trial: &Trial, boot: Duration, built: Duration) -> Self {
        let tools = &trial.shared.tools;
        let qemu = tools.qemu.as_ref().map(|qemu| qemu.version.to_string()).unwrap_or_default();
        let linux = trial.shared.image.as_ref().map_or("", |image| &image.release);
        let accel = if tools.is_kvm { "KVM" } else { "TCG" };
        let environment = format!("QEMU {qemu} with {accel}, Linux {linux}");
        Self { environment, boot, built, entries: Vec::new() }
    }

    /// The failures, a line each.
    pub(super) fn failures(&self) -> Vec<String> {
        let failed = self.entries.iter().filter_map(|entry| {
            let error = entry.reason().filter(|error| !error.is::<NotOffered>())?;
            Some(format!("{}: {error:#}", entry.phase.name))
        });
        failed.collect()
    }

    /// Markdown.
    pub(super) fn text(&self) -> String {
        let passed = self.entries.iter().filter(|entry| entry.result.is_ok()).count();
        let mut text = String::from("# Test pipeline inside a guest\n\n");
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}. {passed} of {} phases passed. Boot to a shell: {:.1} s. Test programs for the \
             guest built, or found built, in {:.1} s.\n",
            self.environment,
            self.entries.len(),
            self.boot.as_secs_f64(),
            self.built.as_secs_f64(),
        );
        text += "| Phase | Result | Time | What it shows |\n|---|---|---:|---|\n";
        for entry in &self.entries {
            let Entry { phase, elapsed, .. } = entry;
            let seconds = elapsed.as_secs_f64();
            let (name, word, shows) = (phase.name, entry.word(), phase.shows);
            let _ = writeln!(text, "| {name} | {word} | {seconds:.1} s | {shows} |");
        }
        for entry in &self.entries {
            let _ = writeln!(text, "\n## {}\n", entry.phase.name);
            if let Some(error) = entry.reason() {
                let word = entry.word();
                let _ = writeln!(text, "{word}:\n\n{}", block(&format!("{error:#}")));
            }
            for (name, value) in &entry.facts {
                if value.trim_end().contains('\n') {
                    let _ = writeln!(text, "- {name}:\n\n{}", block(value));
                } else {
                    let _ = writeln!(text, "- {name}: {}", value.trim_end());
                }
            }
            if entry.result.is_ok() && entry.facts.is_empty() {
                text += "As expected.\n";
            }
        }
        text
    }

    /// Puts the table into the report of the run, with what was measured.
    pub(super) fn note(&self, trial: &mut Trial) {
        trial.note("boot", format!("{:.1} s to a shell", self.boot.as_secs_f64()));
        for entry in &self.entries {
            let line = format!("{} in {:.1} s", entry.word(), entry.elapsed.as_secs_f64());
            let facts = entry.facts.iter().filter(|(_, value)| !value.trim_end().contains('\n'));
            let facts = facts.map(|(name, value)| format!("\n{name}: {}", value.trim_end()));
            trial.note(entry.phase.name, line + &facts.collect::<String>());
        }
    }
}

/// Lines as they are.
fn block(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("      {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_in_the_table_and_in_the_details() {
        const PHASE: Phase = Phase { name: "mounts", shows: "folders", run: |_, _| Ok(()) };
        let entry = |result, facts| Entry {
            phase: &PHASE,
            result,
            elapsed: Duration::from_millis(1250),
            facts,
        };
        let fact = |value: &str| vec![("seen".to_owned(), value.to_owned())];
        let report = Report {
            environment: "QEMU".to_owned(),
            boot: Duration::from_secs(4),
            built: Duration::ZERO,
            entries: vec![
                entry(Ok(()), fact("one\ntwo\n")),
                entry(Err(anyhow::anyhow!("no folder")), fact("three")),
                entry(Err(NotOffered("a module").into()), Vec::new()),
            ],
        };
        let text = report.text();
        assert!(text.contains("1 of 3 phases passed"), "{text}");
        assert!(text.contains("| mounts | FAILED | 1.2 s | folders |"), "{text}");
        assert!(text.contains("- seen:\n\n      one\n      two\n"), "{text}");
        assert!(text.contains("FAILED:\n\n      no folder\n"), "{text}");
        assert!(text.contains("| mounts | untried | 1.2 s | folders |"), "{text}");
        assert!(text.contains("untried:\n\n      not offered: a module\n"), "{text}");
        assert_eq!(report.failures(), ["mounts: no folder"]);
    }
}
