//! The files that say which requirements belong together and which are not proved, with why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::requirements::Requirement;

/// The area of the requirements that no other area names.
const LATER: &str = "later";

/// Requirements that are dealt with together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Area {
    /// What it is called.
    pub(super) name: String,
    /// Whether every requirement has to be proved or excepted.
    pub(super) complete: bool,
    /// Ids of its requirements, in any order.
    pub(super) rules: BTreeSet<String>,
}

/// All areas, in the order of the file; the last is "later".
#[derive(Debug)]
pub(super) struct Areas(pub(super) Vec<Area>);

/// Why each excepted requirement is not proved, by id.
pub(super) type Exceptions = BTreeMap<String, String>;

impl Areas {
    /// Reads `areas.toml` of a folder like `spec/`.
    ///
    /// # Errors
    ///
    /// When the file is missing or is not what it should be; the message names the entry.
    pub(super) fn read(folder: &Path, requirements: &[Requirement]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            area: Vec<Area>,
        }
        let file: Option<File> = parse(folder, "areas.toml")?;
        let file = file.context("spec/areas.toml: not there")?;
        Self::new(file.area, requirements).context("spec/areas.toml")
    }

    fn new(mut areas: Vec<Area>, requirements: &[Requirement]) -> Result<Self> {
        let mut left: BTreeSet<_> = requirements.iter().map(|rule| rule.id.clone()).collect();
        let mut names = BTreeSet::from([LATER]);
        for Area { name, rules, .. } in &areas {
            ensure!(names.insert(name), "area {name:?}: expected a name of its own");
            ensure!(!rules.is_empty(), "area {name:?}: expected at least one rule");
            for rule in rules {
                let exists = requirements.iter().any(|requirement| requirement.id == *rule);
                ensure!(exists, "area {name:?}: {rule}: expected a requirement of spec/");
                ensure!(left.remove(rule), "area {name:?}: {rule}: expected in one area only");
            }
        }
        areas.push(Area { name: LATER.to_owned(), complete: false, rules: left });
        Ok(Self(areas))
    }
}

/// Reads `exceptions.toml` of a folder like `spec/`; without the file there are none.
///
/// # Errors
///
/// When the file is not what it should be; the message names the entry.
pub(super) fn read_exceptions(folder: &Path, requirements: &[Requirement]) -> Result<Exceptions> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        reason: String,
    }
    let file: Option<BTreeMap<String, Entry>> = parse(folder, "exceptions.toml")?;
    let mut exceptions = Exceptions::new();
    for (rule, Entry { reason }) in file.unwrap_or_default() {
        let at = format!("spec/exceptions.toml: [{rule}]");
        let exists = requirements.iter().any(|requirement| requirement.id == rule);
        ensure!(exists, "{at}: expected a requirement of spec/");
        ensure!(!reason.trim().is_empty(), "{at}: reason: expected why it is not proved");
        exceptions.insert(rule, reason.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    Ok(exceptions)
}

fn parse<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>> {
    let named = || format!("spec/{name}");
    match fs::read_to_string(folder.join(name)) {
        Ok(text) => toml::from_str(&text).map(Some).with_context(named),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirements() -> Vec<Requirement> {
        let requirement = |id: &str| Requirement {
            id: id.to_owned(),
            level: "MUST".to_owned(),
            binds: "BE".to_owned(),
        };
        ["VU-001", "VU-002", "VU-003"].map(requirement).to_vec()
    }

    fn areas(text: &str) -> Result<Areas> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("areas.toml"), text).unwrap();
        Areas::read(folder.path(), &requirements())
    }

    fn exceptions(text: &str) -> Result<Exceptions> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("exceptions.toml"), text).unwrap();
        read_exceptions(folder.path(), &requirements())
    }

    #[test]
    fn what_no_area_names_comes_later() {
        let text = "[[area]]\nname = 'a'\ncomplete = true\nrules = ['VU-003', 'VU-001']";
        let Areas(areas) = areas(text).unwrap();
        let [first, later] = &areas[..] else { panic!("{areas:?}") };
        assert_eq!((&first.name[..], first.complete), ("a", true));
        assert_eq!(first.rules.iter().collect::<Vec<_>>(), ["VU-001", "VU-003"]);
        assert_eq!((&later.name[..], later.complete), ("later", false));
        assert_eq!(later.rules.iter().collect::<Vec<_>>(), ["VU-002"]);
    }

    #[test]
    fn a_wrong_area_is_named() {
        let area = |name: &str, rules: &str| {
            format!("[[area]]\nname = '{name}'\ncomplete = true\nrules = [{rules}]\n")
        };
        let error = |text: &str| format!("{:#}", areas(text).unwrap_err());
        let unknown = error(&area("a", "'VU-009'"));
        assert_eq!(unknown, "spec/areas.toml: area \"a\": VU-009: expected a requirement of spec/");
        let twice = error(&(area("a", "'VU-001'") + &area("b", "'VU-001'")));
        assert_eq!(twice, "spec/areas.toml: area \"b\": VU-001: expected in one area only");
        assert!(error(&area("later", "'VU-001'")).contains("a name of its own"));
        assert!(error(&area("a", "")).contains("at least one rule"));
        assert!(error("[[area]]\nname = 'a'\nrules = []").contains("complete"));
        let folder = tempfile::tempdir().unwrap();
        let missing = Areas::read(folder.path(), &requirements()).unwrap_err();
        assert_eq!(missing.to_string(), "spec/areas.toml: not there");
    }

    #[test]
    fn exceptions_have_a_rule_and_a_reason() {
        let found = exceptions("[VU-002]\nreason = '''two\n  lines'''").unwrap();
        assert_eq!(found, Exceptions::from([("VU-002".to_owned(), "two lines".to_owned())]));
        let error = |text: &str| format!("{:#}", exceptions(text).unwrap_err());
        assert!(error("[VU-009]\nreason = 'x'").contains("[VU-009]: expected a requirement"));
        assert!(error("[VU-001]\nreason = ' '").contains("[VU-001]: reason"));
        assert!(error("[VU-001]\nwhy = 'x'").starts_with("spec/exceptions.toml: "));
        let folder = tempfile::tempdir().unwrap();
        assert!(read_exceptions(folder.path(), &requirements()).unwrap().is_empty());
    }
}
