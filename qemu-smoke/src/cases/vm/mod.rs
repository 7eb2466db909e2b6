//! The test pipeline inside a guest: phases one after another, and a report of them.
//!
//! The guest sees two folders of the host over virtio-9p: the workspace, at the path that it has
//! on the host and not to be written, and a folder for results.

mod elf;
mod phases;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::guest::Pair;
use super::{Case, Group, Need};
use crate::machine::{NetOptions, Running};
use crate::places;
use crate::programs::{self, TestProgram};
use crate::trial::Trial;

use report::{Entry, Report};

pub(super) const CASES: &[Case] = &[Case {
    name: "vm.pipeline",
    group: Group::Vm,
    shows: "mounts, modules, driver, interface, test programs, checks, speed; --report FILE",
    needs: &[Need::Qemu, Need::Guest, Need::Plan9],
    // The programs for the guest may have to be built.
    limit: Duration::from_secs(400),
    is_in_ci: false,
    run: pipeline,
}];

/// How long one command in the guest may take.
const COMMAND: Duration = Duration::from_secs(30);

/// The name of the folder for results, in the folder of the case.
const RESULTS: &str = "results";

/// What the phases work with.
struct Bench {
    pair: Pair,
    options: NetOptions,
    /// From the start of QEMU to the shell of the guest.
    boot: Duration,
    /// The workspace, which has the same path in the guest.
    source: PathBuf,
    /// The folder for results, which has the same path in the guest.
    results: PathBuf,
    programs: Vec<TestProgram>,
    /// Modules and how often each is used, before anything was done.
    modules: String,
}

/// A part of the pipeline.
struct Phase {
    name: &'static str,
    shows: &'static str,
    run: fn(&mut Bench, &mut Trial) -> Result<()>,
}

impl Bench {
    fn machine(&mut self) -> &mut Running {
        &mut self.pair.machine
    }

    /// Runs a command that has to succeed.
    fn must(&mut self, command: &str) -> Result<String> {
        self.machine().must(command, COMMAND)
    }
}

fn pipeline(trial: &mut Trial) -> Result<()> {
    let begin = Instant::now();
    let cache = trial.image()?.files.parent().context("the image is in no folder")?.to_owned();
    let results = trial.path(RESULTS);
    fs::create_dir_all(results.join("bin"))?;
    let programs = programs::tests(&cache)?;
    for program in &programs {
        // The cache need not be inside the workspace, which is all that the guest sees.
        fs::copy(&program.path, results.join("bin").join(&program.name))?;
    }
    let built = begin.elapsed();
    let source = places::workspace();
    let begin = Instant::now();
    let mounts = [
        share("source", &source, ",readonly=on"),
        // The files are those of whoever runs QEMU.
        share("results", &results, ""),
    ];
    let mounts: Vec<&str> = mounts.iter().flat_map(|mount| ["-virtfs", mount]).collect();
    let options = NetOptions::DEFAULT;
    let pair = Pair::start(trial, &options, &mounts)?;
    let boot = begin.elapsed();
    let modules = String::new();
    let mut bench = Bench { pair, options, boot, source, results, programs, modules };

    let mut report = Report::new(trial, boot, built);
    for phase in phases::PHASES {
        let begin = Instant::now();
        let result = (phase.run)(&mut bench, trial);
        let elapsed = begin.elapsed();
        report.entries.push(Entry { phase, result, elapsed, facts: trial.facts() });
    }
    let begin = Instant::now();
    let results = bench.results.clone();
    let result = bench.pair.end(trial);
    let phase = &phases::LAST;
    report.entries.push(Entry { phase, result, elapsed: begin.elapsed(), facts: trial.facts() });

    let text = report.text();
    let files = [Some(results.join("report.md")), trial.shared.report.clone()];
    for file in files.iter().flatten() {
        fs::write(file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    report.note(trial);
    let failed = report.failures();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// A folder of the host that the guest can mount. A comma in an option is written twice.
fn share(tag: &str, folder: &Path, more: &str) -> String {
    let path = folder.display().to_string().replace(',', ",,");
    format!("local,path={path},mount_tag={tag},security_model=none{more}")
}

/// A word for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_reach_qemu_and_the_shell_as_they_are() {
        let path = Path::new("/a b/it's,x");
        assert_eq!(quoted(path), r"'/a b/it'\''s,x'");
        assert!(share("t", path, "").starts_with("local,path=/a b/it's,,x,mount_tag=t,"));
    }
}
