//! `corpus dictionaries`: writes `fuzz/dictionaries/<target>.dict` from the request table.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use vhost_fuzz_harness::dictionary;
use vhost_fuzz_harness::target::TARGETS;

/// Where the dictionaries are, from the root of the work tree.
const FOLDER: &str = "fuzz/dictionaries";

/// A dictionary that is not what the request table says.
struct Stale {
    path: PathBuf,
    name: String,
    text: String,
    is_there: bool,
}

fn stale(repository: &Path) -> Result<Vec<Stale>> {
    let mut stale = Vec::new();
    for target in TARGETS {
        let Some(text) = dictionary::of(target.name) else { continue };
        let name = format!("{FOLDER}/{}.dict", target.name);
        let path = repository.join(&name);
        let is_there = path.try_exists()?;
        if !is_there || std::fs::read_to_string(&path).is_ok_and(|there| there != text) {
            stale.push(Stale { path, name, text, is_there });
        }
    }
    Ok(stale)
}

/// The names of the dictionaries that are missing or not what they should be.
///
/// # Errors
/// When the folder cannot be looked at.
pub(super) fn differs(repository: &Path) -> Result<Vec<String>> {
    Ok(stale(repository)?.into_iter().map(|one| one.name).collect())
}

/// Writes every dictionary that is not what it should be.
///
/// # Errors
/// When one would be overwritten without `force`, or cannot be written.
pub(super) fn write(repository: &Path, force: bool) -> Result<()> {
    let stale = stale(repository)?;
    let replaced: Vec<_> =
        stale.iter().filter(|one| one.is_there).map(|one| one.name.clone()).collect();
    if !force {
        super::refuse_to_replace(&replaced)?;
    }
    for Stale { path, name, text, is_there } in &stale {
        println!("{:<8} {name}", if *is_there { "changed" } else { "new" });
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        std::fs::write(path, text)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    println!("{FOLDER}: {} written, {} targets", stale.len(), TARGETS.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_written_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        assert_eq!(differs(root).expect("looked").len(), TARGETS.len());
        write(root, false).expect("written");
        assert_eq!(differs(root).expect("looked"), Vec::<String>::new());
        let path = root.join("fuzz/dictionaries/msg_decode.dict");
        std::fs::write(&path, "# by hand\n").expect("written");
        let error = write(root, false).expect_err("it is there").to_string();
        assert!(error.contains("fuzz/dictionaries/msg_decode.dict"), "{error}");
        write(root, true).expect("forced");
        assert_eq!(differs(root).expect("looked"), Vec::<String>::new());
    }
}
