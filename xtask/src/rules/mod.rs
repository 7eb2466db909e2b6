//! `cargo xtask rules`: which requirement of `spec/` is proved by which test, from a run of the
//! tests.

mod areas;
mod coverage;
mod evidence;
mod requirements;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use vhost_fuzz_harness::evidence::VARIABLE;

use crate::workspace::{Workspace, cannot_start, cargo, describe, describe_status};
use areas::{Areas, Exceptions};
use coverage::Coverage;
use requirements::Requirement;

/// The report, seen from the root of the workspace.
const REPORT: &str = "spec/coverage.md";

/// Most lines of a difference that are printed.
const DIFFERENCE_LINES: usize = 20;

/// Run the tests, and report which requirement each of them proves in spec/coverage.md.
///
/// Requirements come from spec/vhost-user.md §7, spec/virtio.md §7.1 and §7.2 and
/// spec/decisions.md, exceptions from spec/exceptions.toml, areas from spec/areas.toml. It is an error when an area that calls itself
/// complete has a requirement with neither proof nor exception, when an exception has become
/// unnecessary, and when a test cites a requirement that does not exist.
#[derive(Args)]
pub(crate) struct Options {
    /// Write nothing, and fail when spec/coverage.md differs from what would be written
    #[arg(long)]
    check: bool,

    // The name of the variable is no word of Markdown.
    #[arg(
        long,
        value_name = "FOLDER",
        help = "Run no tests, and read what an earlier run of them has left here: one of all tests, \
                with the folder in VHOST_FUZZ_EVIDENCE"
    )]
    evidence: Option<PathBuf>,
}

/// Everything in `spec/` that is written by hand and matters here.
struct Spec {
    requirements: Vec<Requirement>,
    areas: Areas,
    exceptions: Exceptions,
}

impl Spec {
    /// Reads a folder like `spec/`.
    ///
    /// # Errors
    ///
    /// When a file is missing or is not what it should be; the message names it.
    fn read(folder: &Path) -> Result<Self> {
        let requirements = requirements::read(folder)?;
        let areas = Areas::read(folder, &requirements)?;
        let exceptions = areas::read_exceptions(folder, &requirements)?;
        Ok(Self { requirements, areas, exceptions })
    }
}

/// Runs the tests, and writes or checks the report.
///
/// # Errors
///
/// When `spec/` cannot be read, a test fails, or the report cannot be written.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let spec = Spec::read(&workspace.root.join("spec"))?;
    let evidence = match &options.evidence {
        Some(folder) => evidence::read(folder)?,
        None => {
            let folder = tempfile::tempdir().context("cannot make a folder for the evidence")?;
            run_tests(&workspace, folder.path())?;
            evidence::read(folder.path())?
        }
    };
    let coverage = Coverage::new(&spec.requirements, &spec.areas, &spec.exceptions, &evidence);
    let mut faults = coverage.faults();
    let report = coverage.report();
    let path = workspace.root.join(REPORT);
    let old = match fs::read_to_string(&path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).context(REPORT),
    };
    if old.as_deref() == Some(&report) {
        println!("{REPORT}: up to date");
    } else if options.check {
        faults.push(stale(old.as_deref(), &report));
    } else {
        fs::write(&path, &report).with_context(|| format!("cannot write {REPORT}"))?;
        println!("{REPORT}: written");
    }
    print!("{}", coverage.summary());
    for fault in &faults {
        eprintln!("error: {fault}");
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the tests that leave evidence in `folder`.
fn run_tests(workspace: &Workspace, folder: &Path) -> Result<()> {
    let mut command = cargo();
    command
        // The packages of a plain `cargo test`: with others, dependencies have other features, and
        // everything would be built once more. Its programs are left out: they prove nothing, and
        // one of them tests the report itself, which may be out of date at this moment.
        .args(["test", "--quiet", "--lib", "--test", "*"])
        .env(VARIABLE, folder)
        .current_dir(&workspace.root);
    let status = command.status().with_context(|| cannot_start(&command))?;
    ensure!(
        status.success(),
        "`{}` {}: {REPORT} tells what passing tests prove",
        describe(&command),
        describe_status(status)
    );
    Ok(())
}

/// The message for a report that is not what it should be.
fn stale(old: Option<&str>, new: &str) -> String {
    let remedy = "run `cargo xtask rules` and commit it";
    match old {
        None => format!("{REPORT}: not there; {remedy}"),
        Some(old) => format!("{REPORT}: out of date; {remedy}\n{}", difference(old, new)),
    }
}

/// The lines that only one of two reports has. Lines of a report are all different, so that the
/// order needs no care.
fn difference(old: &str, new: &str) -> String {
    let only = |sign: char, these: &str, those: &str| {
        let lines = these.lines().filter(|line| !those.lines().any(|other| other == *line));
        lines.map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    let mut lines = only('-', old, new);
    lines.extend(only('+', new, old));
    let more = lines.len().saturating_sub(DIFFERENCE_LINES);
    lines.truncate(DIFFERENCE_LINES);
    if more > 0 {
        lines.push(format!("and {more} more lines"));
    }
    if lines.is_empty() {
        lines.push("the same lines in another order, or other line ends".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_core::rule::Family;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec")
    }

    #[test]
    fn the_committed_report_lists_every_requirement_once() {
        let spec = Spec::read(&folder()).unwrap();
        let path = folder().join("coverage.md");
        let report = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{REPORT}: {error}; run `cargo xtask rules`"));
        let listed: Vec<_> = report
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
            .filter(|text| {
                let id = text.split_once('-').map(|(prefix, _)| prefix);
                Family::ALL.iter().any(|family| id == Some(family.prefix()))
            })
            .collect();
        // Not the lists themselves: nobody finds the difference between two such lines.
        let ids: Vec<_> = spec.requirements.iter().map(|rule| &rule.id[..]).collect();
        let missing: Vec<_> = ids.iter().filter(|id| !listed.contains(id)).collect();
        let surplus: Vec<_> = listed.iter().filter(|id| !ids.contains(id)).collect();
        assert!(
            missing.is_empty() && surplus.is_empty() && listed.len() == ids.len(),
            "{REPORT} is out of date: it lacks {missing:?}, should not have {surplus:?}, and has \
             {} lines for {} requirements; run `cargo xtask rules`",
            listed.len(),
            ids.len()
        );
        for area in &spec.areas.0 {
            assert!(report.contains(&area.name), "{REPORT} lacks the area {:?}", area.name);
        }
    }

    #[test]
    fn a_folder_is_read_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("vhost-user.md", "## 7. N\n| VU-001 | MUST | both | text | Header |\n");
        let error = |folder: &Path| format!("{:#}", Spec::read(folder).err().unwrap());
        assert!(error(folder.path()).starts_with("spec/virtio.md: "));
        let queue = "### 7.1 Q\n| VQ-001 | M | V | text | REFUSE | §2 |\n";
        write("virtio.md", queue);
        assert!(error(folder.path()).contains("in section `### 7.2`"));
        let packed = "### 7.2 P\n| PK-001 | H | D | text | – | – |\n";
        let frames = "### 7.3 N\n| NET-001 | H | D | text | – | – |\n\
            ### 7.4 V\n| VS-001 | no row that is read |\n\
            ### 7.5 L\n| L2-001 | H | R | text | – | – |\n| AR-001 | M | R | text | – | – |\n\
            ### 7.6 D\n| DH-001 | M | C | text | – | – |\n\
            ### 7.7 S\n| V6-001 | M | R | text | – | – |\n";
        write("virtio.md", &format!("{queue}{packed}{frames}"));
        assert!(error(folder.path()).starts_with("spec/decisions.md: "));
        write("decisions.md", "| DC-001 | we do | VU-001 |\n");
        assert!(error(folder.path()).starts_with("spec/areas.toml: "));
        write("areas.toml", "[[area]]\nname = 'a'\ncomplete = true\nrules = ['DC-001']\n");
        write("exceptions.toml", "[VU-001]\nreason = 'a socket is not ours'\n");
        let spec = Spec::read(folder.path()).unwrap();
        let evidence = evidence::Evidence::from([("DC-001".to_owned(), ["t".to_owned()].into())]);
        let coverage = Coverage::new(&spec.requirements, &spec.areas, &spec.exceptions, &evidence);
        assert_eq!(coverage.faults(), [""; 0]);
        let report = coverage.report();
        assert!(report.contains("| DC-001 | decision | us | covered | `t` |"));
        assert!(report.contains("| VQ-001 | M | V | open | |\n| PK-001 | H | D | open | |\n"));
        assert!(report.contains("| AR-001 | M | R | open | |"));
        assert!(!report.contains("VS-001"));
    }

    #[test]
    fn a_difference_is_shown_short() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "- b\n+ x");
        let long: String = (0..30).map(|number| format!("{number}\n")).collect();
        let shown = difference("", &long);
        assert_eq!(shown.lines().count(), DIFFERENCE_LINES + 1);
        assert!(shown.ends_with("+ 19\nand 10 more lines"), "{shown}");
        assert!(difference("a\nb\n", "b\na\n").contains("another order"));
        assert!(stale(None, "a").starts_with("spec/coverage.md: not there; run"));
    }
}
