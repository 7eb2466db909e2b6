//! The requirements, from the tables of `spec/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

/// One row of a table of requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    /// Such as `VU-020`.
    pub(super) id: String,
    /// MUST, SHOULD or MAY with its mark; a decision has none.
    pub(super) level: String,
    /// FE, BE or both; a decision binds us.
    pub(super) binds: String,
}

/// A table of requirements in a file of `spec/`.
struct Source {
    file: &'static str,
    /// The start of the heading of the section that holds the table; empty for the whole file.
    heading: &'static str,
    /// What ids start with.
    prefix: &'static str,
    /// The cells of a row.
    columns: &'static [&'static str],
}

/// The tables, in the order of the report.
static SOURCES: [Source; 2] = [
    Source {
        file: "vhost-user.md",
        heading: "## 7.",
        prefix: "VU-",
        columns: &["No.", "Level", "Binds", "Requirement", "Section"],
    },
    Source {
        file: "decisions.md",
        heading: "",
        prefix: "DC-",
        columns: &["No.", "Decision", "Touches"],
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
    let Source { file, heading, prefix, columns } = source;
    let mut inside = heading.is_empty();
    let mut ids = BTreeSet::new();
    let mut requirements = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if !heading.is_empty() && line.starts_with("## ") {
            inside = line.starts_with(heading);
        }
        let Some(row) = line.strip_prefix("| ").filter(|row| inside && row.starts_with(prefix))
        else {
            continue;
        };
        let at = || format!("spec/{file}:{number}");
        let cells = cells(row).with_context(|| format!("{}: expected `|` at the end", at()))?;
        let [id, rest @ ..] = &cells[..] else { bail!("{}: expected a row", at()) };
        ensure!(
            is_id(id, prefix),
            "{}: `{id}`: expected an id of three digits such as {prefix}001",
            at()
        );
        ensure!(
            cells.len() == columns.len() && cells.iter().all(|cell| !cell.is_empty()),
            "{}: {id}: expected {} cells that are not empty: {}",
            at(),
            columns.len(),
            columns.join(", ")
        );
        ensure!(ids.insert(id.clone()), "{}: {id}: expected once, it is there before", at());
        let (level, binds) = match rest {
            [level, binds, _, _] => (level.clone(), binds.clone()),
            _ => ("decision".to_owned(), "us".to_owned()),
        };
        requirements.push(Requirement { id: id.clone(), level, binds });
    }
    ensure!(
        !requirements.is_empty(),
        "spec/{file}: expected a table whose rows start with `| {prefix}`{}",
        if heading.is_empty() { String::new() } else { format!(" in section `{heading}`") }
    );
    requirements.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(requirements)
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

    static VU: &Source = &SOURCES[0];
    static DC: &Source = &SOURCES[1];

    fn error(text: &str) -> String {
        parse(text, VU).unwrap_err().to_string()
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
| VU-001 | MAY | BE | text | Header |
## 8. Divergences
| VU-003 | x |
";
        let requirement = |id: &str, level: &str, binds: &str| Requirement {
            id: id.to_owned(),
            level: level.to_owned(),
            binds: binds.to_owned(),
        };
        let expected =
            [requirement("VU-001", "MAY", "BE"), requirement("VU-002", "MUST (D)", "both")];
        assert_eq!(parse(text, VU).unwrap(), expected);
        let decisions =
            "| No. | Decision | Touches |\n|---|---|---|\n| DC-001 | we do | VU-001 |\n";
        assert_eq!(parse(decisions, DC).unwrap(), [requirement("DC-001", "decision", "us")]);
    }

    #[test]
    fn a_wrong_row_is_named_with_its_line() {
        let row = |row: &str| error(&format!("## 7. N\n\n{row}\n"));
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
        let twice = "| VU-001 | MUST | both | text | Header |\n".repeat(2);
        assert!(row(&twice).starts_with("spec/vhost-user.md:4: VU-001: expected once"));
    }

    #[test]
    fn a_file_without_requirements_is_an_error() {
        assert_eq!(
            error("## 8. Other\n| VU-001 | MUST | both | text | Header |\n"),
            "spec/vhost-user.md: expected a table whose rows start with `| VU-` in section `## 7.`"
        );
    }
}
