//! `cargo xtask figures`: the tables of the session as pictures and as Markdown.
//!
//! [`tables`] turns the tables of `core` into [`diagram::Diagram`]s, [`svg`] draws them, and
//! [`index`] writes the page that shows them. The output depends on the tables alone, so a
//! committed file is either current or wrong.

mod diagram;
mod geometry;
mod index;
mod svg;
mod tables;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::workspace::Workspace;

/// What brings a file up to date.
const REMEDY: &str = "run `cargo xtask figures` and commit it";

/// Draw the states of a ring and of a postcopy migration from the tables in core.
///
/// Writes spec/figures/ring-states.svg, spec/figures/postcopy.svg and the page that shows both,
/// spec/figures.md.
#[derive(Args)]
pub(crate) struct Options {
    /// Write nothing, and fail when a file differs from what would be written
    #[arg(long)]
    check: bool,
}

/// A generated file.
struct File {
    /// Where it is, seen from the root of the workspace.
    path: &'static str,
    text: String,
}

/// All generated files.
fn files() -> [File; 3] {
    [
        File { path: "spec/figures/ring-states.svg", text: svg::draw(&tables::rings()) },
        File { path: "spec/figures/postcopy.svg", text: svg::draw(&tables::postcopy()) },
        File { path: "spec/figures.md", text: index::page() },
    ]
}

/// Writes or checks the files.
///
/// # Errors
///
/// When a file cannot be read or written.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = Workspace::locate()?.root;
    let mut code = ExitCode::SUCCESS;
    for file in files() {
        let path = file.path;
        match (stale(&root, &file)?, options.check) {
            (None, _) => println!("{path}: up to date"),
            (Some(fault), true) => {
                eprintln!("error: {path}: {fault}; {REMEDY}");
                code = ExitCode::FAILURE;
            }
            (Some(_), false) => {
                write(&root, &file)?;
                println!("{path}: written");
            }
        }
    }
    Ok(code)
}

/// What is wrong with a file below `root`, if anything is.
fn stale(root: &Path, file: &File) -> Result<Option<&'static str>> {
    match fs::read(root.join(file.path)) {
        Ok(old) if old == file.text.as_bytes() => Ok(None),
        Ok(_) => Ok(Some("out of date")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some("not there")),
        Err(error) => Err(error).context(file.path),
    }
}

fn write(root: &Path, file: &File) -> Result<()> {
    let path = root.join(file.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder of {}", file.path))?;
    }
    fs::write(&path, &file.text).with_context(|| format!("cannot write {}", file.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for file in files() {
            assert_eq!(stale(&root, &file).unwrap(), None, "{}: {REMEDY}", file.path);
        }
    }

    #[test]
    fn a_file_that_differs_or_is_missing_is_named_and_then_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = File { path: "spec/figures/a.svg", text: "new".to_owned() };
        assert_eq!(stale(folder.path(), &file).unwrap(), Some("not there"));
        write(folder.path(), &file).unwrap();
        assert_eq!(stale(folder.path(), &file).unwrap(), None);
        fs::write(folder.path().join(file.path), "new\n").unwrap();
        assert_eq!(stale(folder.path(), &file).unwrap(), Some("out of date"));
        write(folder.path(), &file).unwrap();
        assert_eq!(stale(folder.path(), &file).unwrap(), None);
    }

    #[test]
    fn the_files_are_the_same_each_time() {
        for (first, second) in files().into_iter().zip(files()) {
            assert_eq!(first.text, second.text, "{}", first.path);
        }
    }
}
