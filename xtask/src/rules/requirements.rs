//! The requirements, from the tables of `spec/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use vhost_fuzz_core::rule::Family;

/// One row of a table of requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    /// Such as `VU-020`.
    pub(super) id: String,
    /// How strong it is, as the table says; a decision says nothing.
    pub(super) level: String,
    /// The parties that it binds, as the table says; a decision binds us.
    pub(super) binds: String,
}

/// A table of requirements in a file of `spec/`.
struct Source {
    family: Family,
    file: &'static str,
    /// The start of the heading of the section that holds the table; empty for the whole file.
    heading: &'static str,
    /// The cells of a row.
    columns: &'static [&'static str],
    /// What the second and the third cell may be, if they are level and bound parties.
    codes: Option<Codes>,
}

/// How a table tells how strong a requirement is and whom it binds.
struct Codes {
    /// What a level begins with. Words may follow, such as the mark `(D)`.
    levels: &'static [&'static str],
    /// The parties. A cell names one, or several with commas between them.
    parties: &'static [&'static str],
}

/// The cells of a row of `virtio.md` §7.
const VIRTIO_COLUMNS: &[&str] = &["ID", "Lvl", "Binds", "Statement", "If broken", "Source"];

/// The codes of `virtio.md` §0.3.
const VIRTIO_CODES: Codes =
    Codes { levels: &["M", "MN", "S", "SN", "Y", "H"], parties: &["D", "V", "F", "B", "R", "C"] };

/// The tables, one for each family, in the order of the report. Tables of families that no code
/// deals with yet are not read.
static SOURCES: [Source; 9] = [
    Source {
        family: Family::VhostUser,
        file: "vhost-user.md",
        heading: "## 7. ",
        columns: &["No.", "Level", "Binds", "Requirement", "Section"],
        codes: Some(Codes { levels: &["MUST", "SHOULD", "MAY"], parties: &["FE", "BE", "both"] }),
    },
    Source {
        family: Family::Queue,
        file: "virtio.md",
        heading: "### 7.1 ",
        columns: VIRTIO_COLUMNS,
        codes: Some(VIRTIO_CODES),
    },
    Source {
        family: Family::Packed,
        file: "virtio.md",
        heading: "### 7.2 ",
        columns: VIRTIO_COLUMNS,
        codes: Some(VIRTIO_CODES),
    },
    Source {
        family: Family::Net,
        file: "virtio.md",
        heading: "### 7.3 ",
        columns: VIRTIO_COLUMNS,
        codes: Some(VIRTIO_CODES),
    },
    Source {
        family: Family::Link,
        file: "virtio.md",
        heading: "### 7.5 ",
        columns: VIRTIO_COLUMNS,
        codes: Some(VIRTIO_CODES),
    },
    Source {
        family: Family::Arp,
        file: "virtio.md",
        heading: "### 7.5 ",
        columns: VIRTIO_COLUMNS,
        codes: Some(VIRTIO_CODES),
    },
    Source {
        family: Family::Dhcp,
        file: "virtio.md",
        heading: "### 7.6 ",
        columns: VIRTIO_COLUMNS,
        codes: Some(VIRTIO_CODES),
    },
    Source {
        family: Family::Ipv6,
        file: "virtio.md",
        heading: "### 7.7 ",
        columns: VIRTIO_COLUMNS,
        codes: Some(VIRTIO_CODES),
    },
    Source {
        family: Family::Decision,
        file: "decisions.md",
        heading: "",
        columns: &["No.", "Decision", "Touches"],
        codes: None,
    },
];

/// Reads the requirements of a folder like `spec/`, in the order of their numbers.
///
/// # Errors
///
/// When a file cannot be read or a row is not what it should be; the message names both.
pub(super) fn read(folder: &Path) -> Result<Vec<Requirement>> {
    let mut requirements = Vec::new();
    for source in &SOURCES {
        let path = folder.join(source.file);
        let text = fs::read_to_string(&path).with_context(|| format!("spec/{}", source.file))?;
        requirements.extend(parse(&text, source)?);
    }
    Ok(requirements)
}

fn parse(text: &str, source: &Source) -> Result<Vec<Requirement>> {
    let Source { file, heading, .. } = source;
    let prefix = format!("{}-", source.family.prefix());
    let mut inside = heading.is_empty();
    let mut ids = BTreeSet::new();
    let mut requirements = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if ends_section(line, heading) {
            inside = line.starts_with(heading);
        }
        let Some(row) = line.strip_prefix("| ").filter(|row| inside && row.starts_with(&prefix))
        else {
            continue;
        };
        let requirement =
            source.row(row, &prefix).with_context(|| format!("spec/{file}:{number}"))?;
        let id = &requirement.id;
        ensure!(
            ids.insert(id.clone()),
            "spec/{file}:{number}: {id}: expected once, it is there before"
        );
        requirements.push(requirement);
    }
    ensure!(
        !requirements.is_empty(),
        "spec/{file}: expected a table whose rows start with `| {prefix}`{}",
        if heading.is_empty() {
            String::new()
        } else {
            format!(" in section `{}`", heading.trim_end())
        }
    );
    requirements.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(requirements)
}

/// Whether a section that has this heading cannot go on behind this line: the line is a heading
/// of the same depth, or of a section around it.
fn ends_section(line: &str, heading: &str) -> bool {
    let depth = |text: &str| text.chars().take_while(|c| *c == '#').count();
    (1..=depth(heading)).contains(&depth(line))
}

impl Source {
    /// Reads a row without its first `| `.
    fn row(&self, row: &str, prefix: &str) -> Result<Requirement> {
        let Self { columns, codes, .. } = self;
        let cells = cells(row).context("expected `|` at the end")?;
        let Some(id) = cells.first() else { bail!("expected a row") };
        ensure!(is_id(id, prefix), "`{id}`: expected an id of three digits such as {prefix}001");
        ensure!(
            cells.len() == columns.len() && cells.iter().all(|cell| !cell.is_empty()),
            "{id}: expected {} cells that are not empty: {}",
            columns.len(),
            columns.join(", ")
        );
        let (level, binds) = match (codes, &cells[..]) {
            (Some(codes), [_, level, binds, ..]) => {
                codes.check(level, binds).with_context(|| id.clone())?;
                (level.clone(), binds.clone())
            }
            _ => ("decision".to_owned(), "us".to_owned()),
        };
        Ok(Requirement { id: id.clone(), level, binds })
    }
}

impl Codes {
    /// Whether a row has a level and parties of the table.
    fn check(&self, level: &str, binds: &str) -> Result<()> {
        let Self { levels, parties } = self;
        let word = level.split_whitespace().next().unwrap_or_default();
        ensure!(levels.contains(&word), "level `{level}`: expected {}", levels.join(", "));
        ensure!(
            binds.split(',').all(|party| parties.contains(&party)),
            "binds `{binds}`: expected {}, with commas if several",
            parties.join(", ")
        );
        Ok(())
    }
}

/// The cells of a row without its first `| `. A `|` inside a cell is written `\|`.
fn cells(row: &str) -> Option<Vec<String>> {
    let row = row.trim_end().strip_suffix('|')?;
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in row.chars() {
        match c {
            '|' if !escaped => cells.push(String::new()),
            _ => cells.last_mut()?.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    Some(cells.iter().map(|cell| cell.trim().to_owned()).collect())
}

/// Whether `id` is `prefix` and three digits.
fn is_id(id: &str, prefix: &str) -> bool {
    let number = id.strip_prefix(prefix);
    number.is_some_and(|number| number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(text: &str, family: Family) -> Result<Vec<Requirement>> {
        parse(text, SOURCES.iter().find(|source| source.family == family).unwrap())
    }

    fn error(text: &str, family: Family) -> String {
        format!("{:#}", read_as(text, family).unwrap_err())
    }

    fn requirement(id: &str, level: &str, binds: &str) -> Requirement {
        Requirement { id: id.to_owned(), level: level.to_owned(), binds: binds.to_owned() }
    }

    #[test]
    fn every_family_has_one_table() {
        let families: Vec<_> = SOURCES.iter().map(|source| source.family).collect();
        assert_eq!(families, Family::ALL);
    }

    #[test]
    fn rows_of_the_section_are_read_and_sorted() {
        let text = "\
## 3. Requests
| VU-009 | of | another | table | here |
## 7. Normative requirements
| No. | Level | Binds | Requirement | Section |
|---|---|---|---|---|
| VU-002 | MUST (D) | both | a \\| b | Header |
### 7.1 More of them
| VU-001 | MAY | BE | text | Header |
## 8. Divergences
| VU-003 | x |
";
        let expected =
            [requirement("VU-001", "MAY", "BE"), requirement("VU-002", "MUST (D)", "both")];
        assert_eq!(read_as(text, Family::VhostUser).unwrap(), expected);
        let decisions =
            "| No. | Decision | Touches |\n|---|---|---|\n| DC-001 | we do | VU-001 |\n";
        let expected = [requirement("DC-001", "decision", "us")];
        assert_eq!(read_as(decisions, Family::Decision).unwrap(), expected);
    }

    /// Tables as `virtio.md` has them. Those of §7.3 and §8 would be errors in §7.1.
    const VIRTIO: &str = "\
## 7. Requirements
| VQ-009 | stands | before | the | first | table |
### 7.1 Split ring (VQ)
| ID | Lvl | Binds | Statement | If broken | Source |
|---|---|---|---|---|---|
| VQ-002 | MN | V,F | `a \\| b` | STOP via VQ-001 | §2 |
| VQ-001 | H | D | text | – | – |
### 7.2 Packed ring (PK)
| PK-001 | Y | B | text | REFUSE | VU |
### 7.3 virtio-net (NET)
| NET-001 | M | D | a family without code | – | §5 |
| VQ-003 | M | D | of another section | – | §5 |
## 8. Robustness hazards
| VQ-010 | 8.1 |
";

    #[test]
    fn each_section_of_a_file_has_its_own_family() {
        let queue = [requirement("VQ-001", "H", "D"), requirement("VQ-002", "MN", "V,F")];
        assert_eq!(read_as(VIRTIO, Family::Queue).unwrap(), queue);
        assert_eq!(read_as(VIRTIO, Family::Packed).unwrap(), [requirement("PK-001", "Y", "B")]);
    }

    #[test]
    fn a_wrong_row_is_named_with_its_line() {
        let row = |row: &str| error(&format!("## 7. N\n\n{row}\n"), Family::VhostUser);
        assert_eq!(
            row("| VU-1 | MUST | both | text | Header |"),
            "spec/vhost-user.md:3: `VU-1`: expected an id of three digits such as VU-001"
        );
        assert_eq!(
            row("| VU-001 | MUST | both | text |"),
            "spec/vhost-user.md:3: VU-001: expected 5 cells that are not empty: \
             No., Level, Binds, Requirement, Section"
        );
        assert!(row("| VU-001 | MUST |  | text | Header |").contains("not empty"));
        assert!(row("| VU-001 | MUST | both | text | Header").contains("expected `|` at the end"));
        assert_eq!(
            row("| VU-001 | MUSTN'T | both | text | Header |"),
            "spec/vhost-user.md:3: VU-001: level `MUSTN'T`: expected MUST, SHOULD, MAY"
        );
        let twice = "| VU-001 | MUST | both | text | Header |\n".repeat(2);
        assert!(row(&twice).starts_with("spec/vhost-user.md:4: VU-001: expected once"));
    }

    #[test]
    fn a_wrong_row_of_virtio_is_named_with_its_line() {
        let broken = |from: &str, to: &str| {
            assert!(VIRTIO.contains(from), "{from}");
            let text = VIRTIO.replace(from, to);
            let failed = |family| read_as(&text, family).map_err(|error| format!("{error:#}"));
            (failed(Family::Queue).err(), failed(Family::Packed).err())
        };
        let queue = |from, to| {
            let (queue, packed) = broken(from, to);
            assert_eq!(packed, None, "{to}");
            queue.unwrap()
        };
        assert_eq!(
            queue("| MN | V,F |", "| MUST | V,F |"),
            "spec/virtio.md:6: VQ-002: level `MUST`: expected M, MN, S, SN, Y, H"
        );
        assert_eq!(
            queue("| MN | V,F |", "| MN | V, X |"),
            "spec/virtio.md:6: VQ-002: binds `V, X`: expected D, V, F, B, R, C, \
             with commas if several"
        );
        assert_eq!(
            queue(" | STOP via VQ-001 | §2 |", " | §2 |"),
            "spec/virtio.md:6: VQ-002: expected 6 cells that are not empty: \
             ID, Lvl, Binds, Statement, If broken, Source"
        );
        assert_eq!(
            queue("`a \\| b`", "`a | b`"),
            "spec/virtio.md:6: VQ-002: expected 6 cells that are not empty: \
             ID, Lvl, Binds, Statement, If broken, Source"
        );
        assert!(queue("| text | – | – |", "| text | – |  |").contains("VQ-001: expected 6 cells"));
        assert!(queue("| VQ-001 |", "| VQ-1 |").ends_with("of three digits such as VQ-001"));
        assert!(
            queue("| VQ-001 |", "| VQ-002 |")
                .ends_with(":7: VQ-002: expected once, it is there before")
        );
        assert!(queue("### 7.1 ", "### 7.9 ").ends_with("`| VQ-` in section `### 7.1`"));
        let (none, packed) = broken("| Y | B |", "| D | B |");
        assert_eq!(none, None);
        assert!(packed.unwrap().starts_with("spec/virtio.md:9: PK-001: level `D`"));
        let (none, packed) = broken("### 7.2 ", "### 7.20 ");
        assert_eq!(none, None);
        assert!(packed.unwrap().ends_with("`| PK-` in section `### 7.2`"));
    }

    #[test]
    fn a_file_without_requirements_is_an_error() {
        assert_eq!(
            error("## 8. Other\n| VU-001 | MUST | both | text | Header |\n", Family::VhostUser),
            "spec/vhost-user.md: expected a table whose rows start with `| VU-` in section `## 7.`"
        );
    }
}
