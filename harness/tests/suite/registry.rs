//! The registry of targets, and everything that has to agree with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vhost_fuzz_harness::target::TARGETS;
use vhost_fuzz_harness::{corpus, dictionary};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn targets() -> BTreeSet<String> {
    TARGETS.iter().map(|target| target.name.to_owned()).collect()
}

/// Names in a folder with this ending, without it; folders when there is none.
fn names(folder: &str, ending: Option<&str>) -> BTreeSet<String> {
    let folder = root().join(folder);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.expect("a readable folder"))
        .filter_map(|entry| {
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            match ending {
                Some(ending) => name.strip_suffix(ending).map(str::to_owned),
                None => entry.path().is_dir().then_some(name),
            }
        })
        .collect()
}

#[test]
fn names_are_unique() {
    assert_eq!(targets().len(), TARGETS.len());
    for target in TARGETS {
        assert!(!target.about.is_empty(), "{}", target.name);
    }
}

#[test]
fn every_target_has_a_fuzz_binary_that_names_its_body() {
    let mut files = names("fuzz/fuzz_targets", Some(".rs"));
    assert!(files.remove("empty"), "fuzz/fuzz_targets/empty.rs is the floor of the bench");
    assert_eq!(files, targets());
    for name in targets() {
        let path = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(path).expect("a target file");
        assert!(text.contains(&format!("target::{name}::run")), "{name}");
        assert!(!text.contains("TARGETS"), "{name} links every body");
    }
}

#[test]
fn the_fuzz_manifest_has_every_binary() {
    let text = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = toml::from_str(&text).expect("TOML");
    let bins: BTreeSet<_> = manifest["bin"]
        .as_array()
        .expect("[[bin]]")
        .iter()
        .map(|bin| bin["name"].as_str().expect("a name").to_owned())
        .filter(|name| name != "empty")
        .collect();
    assert_eq!(bins, targets());
}

#[test]
fn every_target_has_a_corpus_and_a_manifest() {
    let mut folders = names("corpus", None);
    assert!(folders.remove("traces"), "corpus/traces holds the recorded sessions");
    assert!(folders.remove("clients"), "corpus/clients holds the recorded clients");
    assert_eq!(folders, targets());
    assert_eq!(names("corpus", Some(".toml")), targets());
    for target in TARGETS {
        let seeds = corpus::seeds(target.name).expect("files and manifest agree");
        assert!(seeds.len() >= 10, "{} has {} seeds", target.name, seeds.len());
        for seed in seeds {
            assert!(!seed.entry.shows.is_empty(), "{}", seed.name);
        }
    }
}

#[test]
fn every_target_has_a_property_test() {
    let tests = names("proptests/tests", Some(".rs"));
    for name in targets() {
        assert!(tests.contains(&name), "proptests/tests/{name}.rs is missing");
    }
}

#[test]
fn dictionaries_are_those_of_the_request_table() {
    assert_eq!(names("fuzz/dictionaries", Some(".dict")), targets());
    for name in targets() {
        let path = root().join(format!("fuzz/dictionaries/{name}.dict"));
        let text = std::fs::read_to_string(path).expect("a dictionary");
        let expected = dictionary::of(&name).expect("words");
        assert!(
            text == expected,
            "fuzz/dictionaries/{name}.dict is stale: cargo xtask corpus dictionaries"
        );
    }
}

#[test]
fn the_fuzz_corpus_is_the_corpus() {
    let link = std::fs::read_link(root().join("fuzz/corpus")).expect("a symbolic link");
    assert_eq!(link, Path::new("../corpus"));
}
