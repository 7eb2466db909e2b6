//! The committed corpus: `corpus/<target>/<name>` with a manifest `corpus/<target>.toml` that
//! tells for each file what it shows, what has to come out, and where it came from.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Bytes of the longest seed: `cargo xtask fuzz` has libFuzzer cut longer inputs.
pub const SEED_LIMIT: usize = 8192;

/// What the manifest says about one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// One line for a person.
    pub shows: String,
    /// `accept`, or the id of the rule that the input breaks first, such as `VU-020`.
    pub expect: String,
    /// Where it came from: `trace NAME`, `client NAME`, `form` (generated from the request table),
    /// `hand` (built for one rule), `regression`, `fuzzer`, or `qemu-smoke CASE`.
    pub origin: String,
}

/// The manifest of one target, by file name.
pub type Manifest = BTreeMap<String, Entry>;

/// A committed input with its entry.
#[derive(Clone, Debug)]
pub struct Seed {
    /// File name.
    pub name: String,
    /// Its entry in the manifest.
    pub entry: Entry,
    /// Content.
    pub bytes: Vec<u8>,
}

/// The folder `corpus/` of this work tree.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(PathBuf::new, |root| root.join("corpus"))
}

/// Whether libFuzzer gave this name: 40 hex digits, which git, replay and statistics ignore.
#[must_use]
pub fn is_found_by_fuzzer(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads the manifest of a target below `root`.
///
/// # Errors
/// When the file cannot be read or is no manifest; the message names it.
pub fn manifest(root: &Path, target: &str) -> io::Result<Manifest> {
    let path = root.join(format!("{target}.toml"));
    let named = |error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(&path).map_err(|error| named(&error))?;
    toml::from_str(&text).map_err(|error| named(&error))
}

/// The files of a target below `root` that are not the fuzzer's, in the order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(root: &Path, target: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join(target))? {
        if let Ok(name) = entry?.file_name().into_string()
            && !is_found_by_fuzzer(&name)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The seeds of a target in this work tree.
///
/// # Errors
/// When files and manifest do not agree; the message names what is missing where.
pub fn seeds(target: &str) -> io::Result<Vec<Seed>> {
    let root = root();
    let mut manifest = manifest(&root, target)?;
    let mut seeds = Vec::new();
    for name in files(&root, target)? {
        let Some(entry) = manifest.remove(&name) else {
            return Err(io::Error::other(format!(
                "corpus/{target}.toml lacks an entry for {name}"
            )));
        };
        let bytes = std::fs::read(root.join(target).join(&name))?;
        seeds.push(Seed { name, entry, bytes });
    }
    if let Some(name) = manifest.keys().next() {
        return Err(io::Error::other(format!(
            "corpus/{target}.toml names {name}, which is no file"
        )));
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_hex_digits_are_the_fuzzers() {
        assert!(is_found_by_fuzzer("da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        assert!(!is_found_by_fuzzer("da39a3ee5e6b4b0d3255bfef95601890afd8070"));
        assert!(!is_found_by_fuzzer("set_mem_table-8-regions-of-guest-memory_"));
    }
}
