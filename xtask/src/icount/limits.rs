//! The file of limits: what it says, what breaks it, and how it is rewritten.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::LIMITS;
use super::measure::Count;

/// What the file starts with.
const HEADER: &str = "\
# What each operation of benches/src/lib.rs may cost per message. `cargo xtask icount --check`
# fails above it; `cargo xtask icount --update` sets `instructions` to what it counts and a tenth
# more, but never above `ceiling`.
#
# `ceiling` is a goal of the project and, like `allocations`, only ever changed by hand.
";

/// What one operation may cost per message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// Most instructions.
    pub(super) instructions: u64,
    /// What `instructions` may never be above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ceiling: Option<u64>,
    /// Most allocations.
    pub(super) allocations: u64,
}

/// The limits by operation.
pub(super) type Limits = BTreeMap<String, Limit>;

/// Reads the limits; a file that is not there holds none.
///
/// # Errors
///
/// When the file cannot be read or is not what it should be.
pub(super) fn read(path: &Path) -> Result<Limits> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).with_context(|| LIMITS.to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Limits::new()),
        Err(error) => Err(error).with_context(|| LIMITS.to_owned()),
    }
}

fn parse(text: &str) -> Result<Limits> {
    let limits: Limits = toml::from_str(text)?;
    for (name, limit) in &limits {
        if let Some(ceiling) = limit.ceiling.filter(|ceiling| limit.instructions > *ceiling) {
            let instructions = limit.instructions;
            bail!("[{name}]: instructions = {instructions} is above its ceiling of {ceiling}");
        }
    }
    Ok(limits)
}

/// Replaces the file as a whole.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn write(path: &Path, limits: &Limits) -> Result<()> {
    let write = || -> Result<()> {
        let folder = path.parent().context("it has no folder")?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(print(limits)?.as_bytes())?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(mode)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {LIMITS}"))
}

fn print(limits: &Limits) -> Result<String> {
    Ok(format!("{HEADER}\n{}", toml::to_string(limits)?))
}

/// The limits that follow from new counts. Operations that were not counted keep theirs, unless
/// all were counted and they are gone.
pub(super) fn updated(old: &Limits, counts: &[Count], whole: bool) -> Limits {
    let mut new = if whole { Limits::new() } else { old.clone() };
    for count in counts {
        let old = old.get(&count.name);
        let ceiling = old.and_then(|limit| limit.ceiling);
        let roomy = count.instructions.saturating_add(count.instructions.div_ceil(10));
        let limit = Limit {
            instructions: roomy.min(ceiling.unwrap_or(u64::MAX)),
            ceiling,
            allocations: old.map_or(0, |limit| limit.allocations),
        };
        new.insert(count.name.clone(), limit);
    }
    new
}

/// A line for each count that is over its limit or has none, and, when everything was counted,
/// for each limit without an operation.
pub(super) fn faults(limits: &Limits, counts: &[Count], whole: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for Count { name, instructions, allocations } in counts {
        let Some(limit) = limits.get(name) else {
            faults.push(format!("{name}: no limit in {LIMITS}; `--update` adds one"));
            continue;
        };
        if *instructions > limit.instructions {
            let kind = match limit.ceiling {
                Some(ceiling) if *instructions > ceiling => "ceiling",
                _ => "limit",
            };
            let most = if kind == "limit" { Some(limit.instructions) } else { limit.ceiling };
            let most = most.unwrap_or(limit.instructions);
            faults.push(format!("{name}: {instructions} instructions, the {kind} is {most}"));
        }
        if *allocations > limit.allocations {
            let most = limit.allocations;
            faults.push(format!("{name}: {allocations} allocations, the limit is {most}"));
        }
    }
    let counted = |name: &String| counts.iter().any(|count| count.name == *name);
    for name in limits.keys().filter(|name| whole && !counted(name)) {
        faults.push(format!("{LIMITS}: [{name}]: expected the name of an operation"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, instructions: u64, allocations: u64) -> Count {
        Count { name: name.to_owned(), instructions, allocations }
    }

    fn limits(text: &str) -> Limits {
        parse(text).unwrap()
    }

    const TWO: &str = "
        [a]
        instructions = 100
        allocations = 0
        [b]
        instructions = 60
        ceiling = 80
        allocations = 1
    ";

    #[test]
    fn counts_at_their_limits_pass() {
        assert_eq!(faults(&limits(TWO), &[count("a", 100, 0), count("b", 60, 1)], true), [""; 0]);
    }

    #[test]
    fn each_operation_over_a_limit_is_named_with_both_numbers() {
        let found = faults(&limits(TWO), &[count("a", 101, 1), count("b", 81, 1)], true);
        assert_eq!(
            found,
            [
                "a: 101 instructions, the limit is 100",
                "a: 1 allocations, the limit is 0",
                "b: 81 instructions, the ceiling is 80",
            ]
        );
        let found = faults(&limits(TWO), &[count("a", 1, 0), count("b", 61, 1)], true);
        assert_eq!(found, ["b: 61 instructions, the limit is 60"]);
    }

    #[test]
    fn an_operation_without_a_limit_and_a_limit_without_an_operation_are_faults() {
        let found = faults(&limits(TWO), &[count("a", 1, 0), count("c", 1, 0)], true);
        assert_eq!(
            found,
            [
                "c: no limit in benches/icount.toml; `--update` adds one",
                "benches/icount.toml: [b]: expected the name of an operation",
            ]
        );
        assert_eq!(faults(&limits(TWO), &[count("a", 1, 0)], false), [""; 0]);
    }

    #[test]
    fn an_update_adds_a_tenth_and_stops_at_the_ceiling() {
        let new = updated(&limits(TWO), &[count("a", 51, 9), count("b", 79, 0)], true);
        assert_eq!(new["a"], Limit { instructions: 57, ceiling: None, allocations: 0 });
        assert_eq!(new["b"], Limit { instructions: 80, ceiling: Some(80), allocations: 1 });
        let new = updated(&limits(TWO), &[count("b", 200, 0)], false);
        assert_eq!(new["a"].instructions, 100, "an operation that was not counted keeps its limit");
        assert_eq!(new["b"].instructions, 80);
        assert_eq!(faults(&new, &[count("b", 200, 0)], false).len(), 1);
    }

    #[test]
    fn an_update_of_everything_drops_what_is_gone() {
        let new = updated(&limits(TWO), &[count("c", 10, 0)], true);
        assert_eq!(new.into_keys().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn the_file_reads_back_and_explains_itself() {
        let text = print(&limits(TWO)).unwrap();
        assert!(text.starts_with("# What each operation"), "{text}");
        assert_eq!(limits(&text), limits(TWO));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.toml");
        assert_eq!(read(&path).unwrap(), Limits::new());
        write(&path, &limits(TWO)).unwrap();
        assert_eq!(read(&path).unwrap(), limits(TWO));
    }

    #[test]
    fn what_the_file_may_not_hold_is_named() {
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert!(error("[a]\ninstructions = 9\nallocations = 0\nceiling = 8").contains("[a]"));
        assert!(error("[a]\ninstructions = 9").contains("allocations"));
        assert!(error("[a]\ninstructions = 9\nallocations = 0\nspeed = 1").contains("speed"));
    }
}
