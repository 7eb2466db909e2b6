//! `cargo xtask icount`: instructions and allocations of the core's operations, which repeat
//! exactly and so can be held to limits.

mod limits;
mod measure;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use crate::workspace::Workspace;
use limits::Limits;
use measure::{Bench, Count, Operation};

/// Where the limits are, seen from the root of the workspace.
const LIMITS: &str = "benches/icount.toml";

/// Count the instructions and allocations of the core's operations.
///
/// Counts are per message and repeat exactly: an operation runs under valgrind's callgrind twice,
/// once with twice as many turns, and start-up is in both. benches/src/lib.rs has the operations
/// and says what is included; benches/icount.toml has their limits.
#[derive(Args)]
pub(crate) struct Options {
    /// Operations to count; all of them when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Fail when an operation is over its limit or has none
    #[arg(long, conflicts_with = "update")]
    check: bool,
    /// Rewrite the limits to what was counted and a tenth more, but never above a ceiling
    #[arg(long)]
    update: bool,
}

/// Counts, prints the table, and checks or rewrites the limits.
///
/// # Errors
///
/// When valgrind is missing, a program cannot be built or run, or the limits cannot be read.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let path = workspace.root.join(LIMITS);
    let old = limits::read(&path)?;
    let bench = Bench::build(&workspace)?;
    let counts = count(&bench, &selected(bench.operations()?, &options.names)?)?;
    let whole = options.names.is_empty();
    let new = if options.update { limits::updated(&old, &counts, whole) } else { old.clone() };
    println!("{}", table(&counts, &new));
    if options.update && new != old {
        limits::write(&path, &new)?;
        eprintln!("{LIMITS}: rewritten");
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            eprintln!("{LIMITS}: [{name}] is gone with its operation");
        }
    }
    if !options.update && !options.check {
        return Ok(ExitCode::SUCCESS);
    }
    let faults = limits::faults(&new, &counts, whole);
    for fault in &faults {
        eprintln!("error: {fault}");
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The operations to count, in the order of the benches.
fn selected(known: Vec<Operation>, names: &[String]) -> Result<Vec<Operation>> {
    let is_known = |name: &&String| known.iter().any(|operation| operation.name == **name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<_> = known.into_iter().map(|operation| operation.name).collect();
        bail!("{name}: expected the name of an operation: {}", known.join(", "));
    }
    let is_chosen = |operation: &Operation| names.is_empty() || names.contains(&operation.name);
    Ok(known.into_iter().filter(is_chosen).collect())
}

fn count(bench: &Bench, operations: &[Operation]) -> Result<Vec<Count>> {
    let bar = ProgressBar::new(operations.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
    let count = |operation: &Operation| {
        bar.set_message(operation.name.clone());
        let count = bench.count(operation);
        bar.inc(1);
        count
    };
    let counts = operations.iter().map(count).collect();
    bar.finish_and_clear();
    counts
}

fn table(counts: &[Count], limits: &Limits) -> Table {
    let header = ["operation", "instructions", "limit", "ceiling", "allocations", "limit"];
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    let shown = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    for count in counts {
        let limit = limits.get(&count.name);
        table.add_row([
            count.name.clone(),
            count.instructions.to_string(),
            shown(limit.map(|limit| limit.instructions)),
            shown(limit.and_then(|limit| limit.ceiling)),
            count.allocations.to_string(),
            shown(limit.map(|limit| limit.allocations)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_operations_and_a_wrong_one_is_answered_with_all() {
        let operation = |name: &str| Operation { name: name.to_owned(), messages: 1 };
        let known = || vec![operation("a"), operation("b"), operation("c")];
        assert_eq!(selected(known(), &[]).unwrap(), known());
        let chosen = selected(known(), &["c".to_owned(), "a".to_owned()]).unwrap();
        assert_eq!(chosen, [operation("a"), operation("c")]);
        let error = selected(known(), &["d".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "d: expected the name of an operation: a, b, c");
    }
}
