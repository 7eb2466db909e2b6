//! What the tests have left behind: `vhost_fuzz_harness::evidence` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// The names of the tests and seeds that prove a requirement, by its id.
pub(super) type Evidence = BTreeMap<String, BTreeSet<String>>;

/// Reads all files of the folder that the tests have written to.
///
/// # Errors
///
/// When a file cannot be read, or a line is not what it should be.
pub(super) fn read(folder: &Path) -> Result<Evidence> {
    let mut evidence = Evidence::new();
    let files = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for file in files {
        let path = file?.path();
        let name = path.display();
        let text = fs::read_to_string(&path).with_context(|| name.to_string())?;
        collect(&text, &mut evidence).with_context(|| name.to_string())?;
    }
    Ok(evidence)
}

fn collect(text: &str, evidence: &mut Evidence) -> Result<()> {
    for (number, line) in (1..).zip(text.lines()) {
        let [rule, "refused" | "shown", test] = line.split('\t').collect::<Vec<_>>()[..] else {
            bail!("line {number}: {line:?}: expected a rule, `refused` or `shown`, and a test");
        };
        evidence.entry(rule.to_owned()).or_default().insert(test.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_count_and_each_name_once() {
        let folder = tempfile::tempdir().unwrap();
        let a = "VU-001\tshown\tcodec::b\nVU-001\trefused\tcodec::a\nVU-002\tshown\tcodec::a\n";
        fs::write(folder.path().join("1.tsv"), a).unwrap();
        fs::write(folder.path().join("2.tsv"), "VU-001\tshown\tcodec::b\n").unwrap();
        let evidence = read(folder.path()).unwrap();
        assert_eq!(evidence["VU-001"].iter().collect::<Vec<_>>(), ["codec::a", "codec::b"]);
        assert_eq!(evidence["VU-002"].len(), 1);
    }

    #[test]
    fn a_line_of_another_form_is_an_error() {
        for line in ["VU-001", "VU-001\tshown", "VU-001\tclaimed\tcodec::a", "a\tshown\tb\tc"] {
            let error = collect(line, &mut Evidence::new()).unwrap_err().to_string();
            assert!(error.starts_with("line 1: "), "{error}");
        }
    }
}
