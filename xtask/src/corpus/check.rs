//! `corpus check`: files, manifests, generators and dictionaries agree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use vhost_fuzz_harness::clients::{EXTENSION, FOLDER};
use vhost_fuzz_harness::corpus::{self, Entry};
use vhost_fuzz_harness::target::TARGETS;

use super::manifest::Update;
use super::{add, clients, dictionaries, forms, hand, import, judge, manifest, stats};

/// Folder of the recorded logs, below `corpus/`.
pub(super) const TRACES: &str = "traces";

/// What lies in `corpus/` besides targets.
const OTHERS: [&str; 3] = [FOLDER, TRACES, "README.md"];

/// What the seeds of `msg_decode` have to amount to, so that its throughput means something.
const AVERAGE_MIN: f64 = 64.0;
const ACCEPTED_PERCENT_MIN: f64 = 80.0;

/// The same for the scripts of rings.
const OPERATIONS_MIN: f64 = 16.0;

/// Everything that is wrong, a line each.
///
/// # Errors
/// When a folder cannot be looked at.
pub(super) fn problems(repository: &Path) -> Result<Vec<String>> {
    let root = repository.join("corpus");
    let mut problems = strangers(&root)?;
    for target in TARGETS {
        match check_target(&root, target.name) {
            Ok(found) => problems.extend(found),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    for (command, updates) in [
        ("clients", clients::updates(&root)),
        ("forms", forms::updates(&root)),
        ("hand", hand::updates(&root)),
        ("import", traces(&root).and_then(|logs| import::updates(&root, &logs))),
    ] {
        match updates {
            Ok(updates) => {
                let differing = updates.iter().flat_map(Update::differs);
                problems.extend(
                    differing.map(|name| format!("{name}: not what `corpus {command}` writes")),
                );
            }
            Err(error) => problems.push(format!("corpus {command}: {error:#}")),
        }
    }
    let dictionaries = dictionaries::differs(repository)?;
    problems.extend(
        dictionaries.iter().map(|name| format!("{name}: not what `corpus dictionaries` writes")),
    );
    if let Ok(stats) = stats::of(&root, "msg_decode") {
        problems.extend(amounts(&stats));
    }
    for target in ["packed_ring", "split_ring"] {
        if let Ok(stats) = stats::of_rings(&root, target)
            && stats.average_operations() < OPERATIONS_MIN
        {
            problems.push(format!(
                "corpus/{target}: {:.1} operations on average, expected at least {OPERATIONS_MIN}",
                stats.average_operations()
            ));
        }
    }
    Ok(problems)
}

/// The committed logs, in the order of their names.
fn traces(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(TRACES);
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut logs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "strace") {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}

/// What lies in `corpus/` and belongs to no target.
fn strangers(root: &Path) -> Result<Vec<String>> {
    let entries =
        std::fs::read_dir(root).with_context(|| format!("{} cannot be read", root.display()))?;
    let mut problems = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_target = TARGETS
            .iter()
            .any(|target| name == target.name || name.strip_suffix(".toml") == Some(target.name));
        if !is_target && !OTHERS.contains(&name.as_str()) {
            problems.push(format!("corpus/{name}: no target has this name"));
        }
    }
    problems.sort();
    Ok(problems)
}

fn check_target(root: &Path, target: &str) -> Result<Vec<String>> {
    let folder = root.join(target);
    let files: BTreeSet<_> = corpus::files(root, target)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .into_iter()
        .collect();
    let entries = corpus::manifest(root, target)?;
    let mut problems = Vec::new();
    for name in entries.keys().filter(|name| !files.contains(*name)) {
        problems.push(format!("corpus/{target}.toml: {name} is no file"));
    }
    for name in &files {
        let path = folder.join(name);
        let found = match entries.get(name) {
            None => Err(anyhow!("corpus/{target}.toml has no entry for it")),
            Some(entry) => check_seed(root, target, name, entry, &path),
        };
        if let Err(error) = found {
            problems.push(format!("corpus/{target}/{name}: {error:#}"));
        }
    }
    Ok(problems)
}

fn check_seed(root: &Path, target: &str, name: &str, entry: &Entry, path: &Path) -> Result<()> {
    manifest::check_name(name)?;
    manifest::check_shows(&entry.shows)?;
    check_origin(root, &entry.origin)?;
    let bytes = std::fs::read(path).context("it cannot be read")?;
    manifest::check_len(bytes.len())?;
    let verdict = judge::judge(target, &bytes)?.verdict;
    ensure!(
        verdict == entry.expect,
        "the manifest expects {}, the model says {verdict}",
        entry.expect
    );
    Ok(())
}

fn check_origin(root: &Path, origin: &str) -> Result<()> {
    let trace = origin.strip_prefix(import::ORIGIN);
    let client = origin.strip_prefix(clients::ORIGIN);
    let is_known = match (trace, client) {
        (Some(stem), _) => root.join(TRACES).join(format!("{stem}.strace")).try_exists()?,
        (_, Some(name)) => root.join(FOLDER).join(format!("{name}.{EXTENSION}")).try_exists()?,
        _ => [forms::ORIGIN, hand::ORIGIN].contains(&origin) || add::is_added(origin),
    };
    ensure!(
        is_known,
        "origin `{origin}`; expected form, hand, regression, fuzzer, qemu-smoke CASE, trace NAME \
         with the log corpus/{TRACES}/NAME.strace, or client NAME with corpus/{FOLDER}/NAME.{EXTENSION}"
    );
    Ok(())
}

fn amounts(stats: &stats::Stats) -> Vec<String> {
    let mut problems = Vec::new();
    if stats.average() < AVERAGE_MIN {
        problems.push(format!(
            "corpus/msg_decode: {:.1} bytes on average, expected at least {AVERAGE_MIN}",
            stats.average()
        ));
    }
    if stats.accepted_percent() < ACCEPTED_PERCENT_MIN {
        problems.push(format!(
            "corpus/msg_decode: {:.1} % accepted, expected at least {ACCEPTED_PERCENT_MIN} %",
            stats.accepted_percent()
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole corpus of this work tree.
    #[test]
    fn the_committed_corpus_is_in_order() {
        let root = corpus::root();
        let repository = root.parent().expect("the work tree");
        let problems = problems(repository).expect("looked");
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = folder.path();
        let root = repository.join("corpus");
        std::fs::create_dir_all(root.join("msg_decode")).expect("a folder");
        std::fs::create_dir_all(root.join("msg_decod")).expect("a folder");
        let entry = |expect: &str, origin: &str| Entry {
            shows: "something".to_owned(),
            expect: expect.to_owned(),
            origin: origin.to_owned(),
        };
        let entries = [
            ("no-file", entry("accept", "fuzzer")),
            ("wrong", entry("accept", "fuzzer")),
            ("odd", entry("VU-001", "somewhere")),
            ("gone", entry("VU-001", "trace gone")),
            ("left", entry("VU-001", "client left")),
            ("fine", entry("VU-001", "regression")),
            ("long", entry("VU-011", "regression")),
        ];
        manifest::write(&root, "msg_decode", &entries.map(|(name, e)| (name.to_owned(), e)).into())
            .expect("written");
        for (name, len) in [
            ("no-entry", 0),
            ("wrong", 3),
            ("odd", 3),
            ("gone", 3),
            ("left", 3),
            ("fine", 3),
            ("long", 8193),
        ] {
            std::fs::write(root.join("msg_decode").join(name), vec![0; len]).expect("written");
        }
        let problems = problems(repository).expect("looked").join("\n");
        for problem in [
            "corpus/msg_decod: no target has this name",
            "corpus/msg_decode.toml: no-file is no file",
            "corpus/msg_decode/no-entry: corpus/msg_decode.toml has no entry for it",
            "corpus/msg_decode/wrong: the manifest expects accept, the model says VU-001",
            "corpus/msg_decode/odd: origin `somewhere`; expected form, hand",
            "corpus/msg_decode/gone: origin `trace gone`; expected",
            "corpus/msg_decode/left: origin `client left`; expected",
            "corpus/msg_decode/long: 8193 bytes, more than the 8192",
            "corpus/msg_decode/get_features: not what `corpus forms` writes",
            "corpus/msg_decode/hz-07-version-2: not what `corpus hand` writes",
            "fuzz/dictionaries/msg_stream.dict: not what `corpus dictionaries` writes",
            "% accepted, expected at least 80 %",
        ] {
            assert!(problems.contains(problem), "{problem}\nis not in\n{problems}");
        }
        assert!(!problems.contains("msg_decode/fine"), "{problems}");
    }
}
