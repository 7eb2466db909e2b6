//! The verdict on every requirement, and the report of it.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::areas::{Area, Areas, Exceptions};
use super::evidence::Evidence;
use super::requirements::Requirement;

/// Most names in a cell of the report.
const NAMES: usize = 3;

/// What the report starts with.
const HEADER: &str = "\
# Coverage of the rules

Written by `cargo xtask rules` from a run of the tests; do not edit. A rule is *covered* when a
test refused an input with exactly the error of that rule, or a test tagged with the rule passed;
*excepted* when `exceptions.toml` says why it is not; else *open*. `areas.toml` holds the areas. A
complete area has no open rule. The levels and parties of VQ and PK rules are the codes of
`virtio.md` §0.3.
";

/// How a requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status<'a> {
    Covered(&'a BTreeSet<String>),
    Excepted(&'a str),
    Open,
}

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Covered(_) => "covered",
            Self::Excepted(_) => "excepted",
            Self::Open => "open",
        })
    }
}

/// How all requirements stand.
pub(super) struct Coverage<'a> {
    areas: Vec<(&'a Area, Vec<(&'a Requirement, Status<'a>)>)>,
    /// What the tests and the exceptions claim wrongly, a line each.
    claims: Vec<String>,
}

/// How many requirements stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    covered: usize,
    excepted: usize,
    open: usize,
}

impl Counts {
    fn of<'a>(rules: impl IntoIterator<Item = &'a (&'a Requirement, Status<'a>)>) -> Self {
        let mut counts = Self::default();
        for (_, status) in rules {
            match status {
                Status::Covered(_) => counts.covered += 1,
                Status::Excepted(_) => counts.excepted += 1,
                Status::Open => counts.open += 1,
            }
        }
        counts
    }

    fn all(self) -> usize {
        self.covered + self.excepted + self.open
    }
}

impl<'a> Coverage<'a> {
    /// Judges every requirement.
    pub(super) fn new(
        requirements: &'a [Requirement],
        Areas(areas): &'a Areas,
        exceptions: &'a Exceptions,
        evidence: &'a Evidence,
    ) -> Self {
        let status = |id: &str| match (evidence.get(id), exceptions.get(id)) {
            (Some(names), _) => Status::Covered(names),
            (None, Some(reason)) => Status::Excepted(reason),
            (None, None) => Status::Open,
        };
        let of_area = |area: &'a Area| {
            let rules = requirements.iter().filter(|rule| area.rules.contains(&rule.id));
            (area, rules.map(|rule| (rule, status(&rule.id))).collect())
        };
        let mut claims = Vec::new();
        for (rule, names) in evidence {
            if !requirements.iter().any(|requirement| requirement.id == *rule) {
                let names = some_of(names);
                claims.push(format!("{rule}: no requirement of spec/, but cited by {names}"));
            }
        }
        for rule in exceptions.keys() {
            if let Some(names) = evidence.get(rule) {
                let names = some_of(names);
                claims.push(format!(
                    "spec/exceptions.toml: [{rule}]: no longer needed, proved by {names}"
                ));
            }
        }
        Self { areas: areas.iter().map(of_area).collect(), claims }
    }

    /// What is wrong, a line each.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.claims.clone();
        for (area, rules) in self.areas.iter().filter(|(area, _)| area.complete) {
            for (rule, _) in rules.iter().filter(|(_, status)| *status == Status::Open) {
                faults.push(format!(
                    "{}: no test proves it and spec/exceptions.toml does not except it, but area \
                     {:?} is complete",
                    rule.id, area.name
                ));
            }
        }
        faults
    }

    /// The counts of each area, as a table.
    pub(super) fn summary(&self) -> String {
        let mut text = String::from("| Area | Rules | Covered | Excepted | Open |\n");
        text.push_str("|---|---:|---:|---:|---:|\n");
        let mut row = |name: &str, counts: Counts| {
            let Counts { covered, excepted, open } = counts;
            let all = counts.all();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {name} | {all} | {covered} | {excepted} | {open} |");
        };
        for (area, rules) in &self.areas {
            let mark = if area.complete { " (complete)" } else { "" };
            row(&format!("{}{mark}", cell(&area.name)), Counts::of(rules));
        }
        row("all", Counts::of(self.areas.iter().flat_map(|(_, rules)| rules)));
        text
    }

    /// The report as a whole. It depends on nothing but what was judged.
    pub(super) fn report(&self) -> String {
        let mut text = format!("{HEADER}\n{}", self.summary());
        for (area, rules) in &self.areas {
            if rules.is_empty() {
                continue;
            }
            let _ = write!(text, "\n## {}\n\n", area.name);
            text.push_str("| No. | Level | Binds | Status | Evidence |\n|---|---|---|---|---|\n");
            for (rule, status) in rules {
                let Requirement { id, level, binds } = rule;
                let evidence = match status {
                    Status::Covered(names) => some_of(names),
                    Status::Excepted(reason) => cell(reason),
                    Status::Open => String::new(),
                };
                let line = format!("| {id} | {level} | {binds} | {status} | {evidence}");
                let _ = writeln!(text, "{} |", line.trim_end());
            }
        }
        text
    }
}

/// The first names, and how many there are besides.
fn some_of(names: &BTreeSet<String>) -> String {
    let first: Vec<_> = names.iter().take(NAMES).map(|name| format!("`{}`", cell(name))).collect();
    match names.len().saturating_sub(NAMES) {
        0 => first.join(", "),
        more => format!("{}, +{more}", first.join(", ")),
    }
}

/// Text that may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirements() -> Vec<Requirement> {
        let requirement = |id: &str, level: &str| Requirement {
            id: id.to_owned(),
            level: level.to_owned(),
            binds: "BE".to_owned(),
        };
        vec![
            requirement("VU-001", "MUST"),
            requirement("VU-002", "MUST (D)"),
            requirement("VU-003", "MAY"),
            requirement("VU-004", "SHOULD"),
        ]
    }

    fn areas(complete: bool) -> Areas {
        let area = |name: &str, complete: bool, rules: &[&str]| Area {
            name: name.to_owned(),
            complete,
            rules: rules.iter().map(ToString::to_string).collect(),
        };
        Areas(vec![
            area("first", complete, &["VU-001", "VU-002", "VU-003"]),
            area("later", false, &["VU-004"]),
        ])
    }

    fn exceptions(rules: &[&str]) -> Exceptions {
        rules.iter().map(|rule| (rule.to_string(), "it is | not ours".to_owned())).collect()
    }

    fn evidence(claims: &[(&str, &[&str])]) -> Evidence {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        claims.iter().map(|(rule, tests)| (rule.to_string(), names(tests))).collect()
    }

    #[test]
    fn the_report_has_every_rule_once_in_its_area() {
        let (requirements, areas, exceptions) =
            (requirements(), areas(false), exceptions(&["VU-002"]));
        let evidence = evidence(&[("VU-001", &["t::e", "t::a", "t::d", "t::b", "t::c"])]);
        let coverage = Coverage::new(&requirements, &areas, &exceptions, &evidence);
        assert_eq!(coverage.faults(), [""; 0]);
        let report = coverage.report();
        let (header, tables) = report.split_once("| Area").unwrap();
        assert_eq!(header, format!("{HEADER}\n"));
        assert_eq!(
            tables,
            " | Rules | Covered | Excepted | Open |
|---|---:|---:|---:|---:|
| first | 3 | 1 | 1 | 1 |
| later | 1 | 0 | 0 | 1 |
| all | 4 | 1 | 1 | 2 |

## first

| No. | Level | Binds | Status | Evidence |
|---|---|---|---|---|
| VU-001 | MUST | BE | covered | `t::a`, `t::b`, `t::c`, +2 |
| VU-002 | MUST (D) | BE | excepted | it is \\| not ours |
| VU-003 | MAY | BE | open | |

## later

| No. | Level | Binds | Status | Evidence |
|---|---|---|---|---|
| VU-004 | SHOULD | BE | open | |
"
        );
    }

    #[test]
    fn an_open_rule_of_a_complete_area_is_a_fault() {
        let (requirements, areas, exceptions) =
            (requirements(), areas(true), exceptions(&["VU-003"]));
        let evidence = evidence(&[("VU-001", &["t::a"])]);
        let coverage = Coverage::new(&requirements, &areas, &exceptions, &evidence);
        let [fault] = &coverage.faults()[..] else { panic!("{:?}", coverage.faults()) };
        assert!(fault.starts_with("VU-002: no test proves it"), "{fault}");
        assert!(coverage.summary().contains("| first (complete) | 3 | 1 | 1 | 1 |"));
    }

    #[test]
    fn a_stale_exception_and_a_made_up_rule_are_faults() {
        let (requirements, areas, exceptions) =
            (requirements(), areas(false), exceptions(&["VU-001"]));
        let evidence = evidence(&[("VU-001", &["t::a"]), ("VU-999", &["t::b"])]);
        let coverage = Coverage::new(&requirements, &areas, &exceptions, &evidence);
        assert_eq!(
            coverage.faults(),
            [
                "VU-999: no requirement of spec/, but cited by `t::b`",
                "spec/exceptions.toml: [VU-001]: no longer needed, proved by `t::a`",
            ]
        );
    }
}
