//! `spec/bugs.toml` names tests that exist, so that a historic bug does not lose its watcher.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    mistake: String,
    noticed_by: Vec<String>,
}

#[test]
fn every_historic_bug_is_watched_by_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let text = std::fs::read_to_string(root.join("spec/bugs.toml")).expect("spec/bugs.toml");
    let bugs: BTreeMap<String, Bug> = toml::from_str(&text).expect("a table for each bug");
    assert!(bugs.len() >= 10, "only {} bugs", bugs.len());
    for (id, bug) in bugs {
        assert!(!bug.mistake.is_empty(), "{id} has no words");
        assert!(!bug.noticed_by.is_empty(), "{id} is watched by nothing");
        for name in bug.noticed_by {
            let (file, function) = name.split_once("::").unwrap_or_else(|| panic!("{id}: {name}"));
            let code = std::fs::read_to_string(root.join(file))
                .unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
            let needle = format!("#[test]\nfn {function}() {{");
            assert!(code.contains(&needle), "{id}: {file} has no test {function}");
        }
    }
}
