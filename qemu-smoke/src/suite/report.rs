//! What became of the cases: lines as it happens, a summary, and files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::junit;
use crate::cases::Case;
use crate::cli::RunOptions;
use crate::trial::Shared;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Why.
    Failed(String),
    /// What is missing.
    Skipped(String),
    /// What the peer does not offer: nothing that is installed changes that.
    Untried(String),
}

/// A case that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    pub(crate) outcome: Outcome,
    /// What was seen: a name and a value each.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) elapsed: Duration,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) elapsed: Duration,
    /// What QEMU, and what runs guests.
    environment: String,
}

/// A row of the JSON file.
#[derive(Serialize)]
struct JsonRow<'a> {
    name: &'a str,
    group: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    seconds: f64,
    facts: Vec<JsonFact<'a>>,
}

#[derive(Serialize)]
struct JsonFact<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct Json<'a> {
    environment: &'a str,
    seconds: f64,
    passed: usize,
    failed: usize,
    skipped: usize,
    untried: usize,
    cases: Vec<JsonRow<'a>>,
}

impl Row {
    /// The word for its outcome, and why.
    pub(super) fn words(&self) -> (&'static str, Option<&str>) {
        match &self.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(why) => ("failed", Some(why)),
            Outcome::Skipped(why) => ("skipped", Some(why)),
            Outcome::Untried(why) => ("untried", Some(why)),
        }
    }
}

impl Report {
    /// Nothing has run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let qemu = match &shared.tools.qemu {
            Some(qemu) => format!("QEMU {}", qemu.version),
            None => "no QEMU".to_owned(),
        };
        let guest = match &shared.image {
            Some(image) => {
                let accel = if shared.tools.is_kvm { "KVM" } else { "TCG" };
                format!(", guest Linux {} with {accel}", image.release)
            }
            None => String::new(),
        };
        Self { rows: Vec::new(), elapsed: Duration::ZERO, environment: qemu + &guest }
    }

    /// Prints what became of a case.
    pub(crate) fn print_row(&self, row: &Row) {
        let (word, why) = row.words();
        let word = if word == "passed" { "ok".to_owned() } else { word.to_uppercase() };
        println!("{:<34} {word:<8} {:6.1} s", row.case.name, row.elapsed.as_secs_f64());
        for (name, value) in &row.facts {
            for (at, line) in value.trim_end().lines().enumerate() {
                let name = if at == 0 { name.as_str() } else { "" };
                println!("    {name:<22} {line}");
            }
        }
        if let Some(why) = why {
            println!("    {}", why.replace('\n', "\n    "));
        }
    }

    /// Whether nothing failed, and something ran.
    pub(crate) fn is_good(&self) -> bool {
        !self.rows.is_empty()
            && !self.rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)))
    }

    fn count(&self, wanted: &str) -> usize {
        self.rows.iter().filter(|row| row.words().0 == wanted).count()
    }

    /// Prints the summary. `kept`: where logs are.
    pub(crate) fn print_summary(&self, kept: Option<&Path>) {
        let [passed, failed, skipped, untried] =
            ["passed", "failed", "skipped", "untried"].map(|word| self.count(word));
        let mut text = String::new();
        for row in &self.rows {
            if let (word, Some(why)) = row.words() {
                let why = why.lines().next().unwrap_or_default();
                let _ = write!(text, "\n{:<8} {}: {why}", word.to_uppercase(), row.case.name);
            }
        }
        println!(
            "\n{passed} passed, {failed} failed, {skipped} skipped, {untried} untried in {:.0} s; {}{text}",
            self.elapsed.as_secs_f64(),
            self.environment
        );
        if let Some(folder) = kept {
            println!("logs: {}", folder.display());
        }
    }

    /// Writes the files that were asked for.
    ///
    /// # Errors
    /// One cannot be written.
    pub(crate) fn write(&self, options: &RunOptions) -> Result<()> {
        if let Some(path) = &options.junit {
            write(path, &junit::text(self)?)?;
        }
        if let Some(path) = &options.json {
            write(path, &self.json()?)?;
        }
        Ok(())
    }

    fn json(&self) -> Result<String> {
        let cases = self.rows.iter().map(|row| {
            let (outcome, reason) = row.words();
            let facts = row.facts.iter().map(|(name, value)| JsonFact { name, value }).collect();
            let seconds = row.elapsed.as_secs_f64();
            JsonRow {
                name: row.case.name,
                group: row.case.group.name(),
                outcome,
                reason,
                seconds,
                facts,
            }
        });
        let json = Json {
            environment: &self.environment,
            seconds: self.elapsed.as_secs_f64(),
            passed: self.count("passed"),
            failed: self.count("failed"),
            skipped: self.count("skipped"),
            untried: self.count("untried"),
            cases: cases.collect(),
        };
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
