//! Where the packages of this system come from.

use std::fs;
use std::path::Path;

/// A source of packages that the system uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// `http://…` of the mirror.
    pub(super) uri: String,
    /// Names of releases, `bookworm` among them.
    suites: Vec<String>,
    /// The file with the keys that its lists are signed with.
    pub(super) signed_by: Option<String>,
}

impl Source {
    /// The source of a release's own packages, out of `/etc/apt` or a folder like it.
    pub(super) fn of_release(folder: &Path, codename: &str) -> Option<Self> {
        let mut files = vec![folder.join("sources.list")];
        let parts = fs::read_dir(folder.join("sources.list.d"));
        let parts = parts.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        files.extend(parts);
        files.sort();
        let sources = files.iter().flat_map(|file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("list") => lines(&text),
                Some("sources") => stanzas(&text),
                _ => Vec::new(),
            }
        });
        let mut sources =
            sources.filter(|source| source.suites.iter().any(|name| name == codename));
        sources.next()
    }

    /// The same mirror and keys, as the line for a list of its own.
    pub(super) fn line(&self, suite: &str, components: &str) -> String {
        let keys = self.signed_by.as_ref().map(|file| format!("[signed-by={file}] "));
        format!("deb {}{} {suite} {components}\n", keys.unwrap_or_default(), self.uri)
    }
}

/// Reads `deb [option=value …] uri suite component…`.
fn lines(text: &str) -> Vec<Source> {
    let read = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_ascii_whitespace();
        let uri = words.next()?.to_owned();
        let suites = vec![words.next()?.to_owned()];
        let key = options.split_ascii_whitespace().find_map(|word| word.strip_prefix("signed-by="));
        Some(Source { uri, suites, signed_by: key.map(str::to_owned) })
    };
    text.lines().filter_map(read).collect()
}

/// Reads stanzas of `Field: value` (deb822), which are separated by empty lines.
fn stanzas(text: &str) -> Vec<Source> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let stanzas = lines.split(|line| line.trim().is_empty());
    let read = |stanza: &[&str]| {
        let field = |wanted: &str| {
            stanza.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        if !field("Types")?.split_ascii_whitespace().any(|kind| kind == "deb")
            || field("Enabled").is_some_and(|word| word.eq_ignore_ascii_case("no"))
        {
            return None;
        }
        let uri = field("URIs")?.split_ascii_whitespace().next()?.to_owned();
        let suites = field("Suites")?.split_ascii_whitespace().map(str::to_owned).collect();
        // Keys may be in the stanza itself; then there is no file to name.
        let signed_by = field("Signed-By").filter(|file| file.starts_with('/')).map(str::to_owned);
        Some(Source { uri, suites, signed_by })
    };
    stanzas.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
Types: deb
# a snapshot
URIs: http://mirror/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/x.gpg

Types: deb-src
URIs: http://other/debian
Suites: trixie
";

    #[test]
    fn the_mirror_of_a_release_is_found_in_either_format() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        let find = |codename| Source::of_release(folder.path(), codename);
        assert_eq!(find("bookworm"), None);
        fs::write(parts.join("debian.sources"), STANZAS).unwrap();
        fs::write(parts.join("more.sources.disabled"), STANZAS.replace("bookworm", "sid")).unwrap();
        let source = find("bookworm").expect("the first stanza");
        assert_eq!(
            source.line("bookworm-backports", "main"),
            "deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror/debian bookworm-backports main\n"
        );
        assert_eq!(find("trixie"), None, "sources of programs have no packages");
        assert_eq!(find("sid"), None, "apt does not read such a file either");
        let list = "# deb http://old noble main\ndeb http://a noble-updates main\ndeb [arch=amd64] http://b noble main\n";
        fs::write(folder.path().join("sources.list"), list).unwrap();
        let source = find("noble").expect("the last line");
        assert_eq!(source.line("noble", "main universe"), "deb http://b noble main universe\n");
    }

    #[test]
    fn a_source_that_is_off_is_none() {
        assert_eq!(stanzas(&format!("Enabled: no\n{STANZAS}")), []);
    }
}
