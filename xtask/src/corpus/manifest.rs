//! Writing to the corpus: a generator's seeds are compared with what is there before anything is
//! written, and nothing is overwritten or removed unless that was asked for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use vhost_fuzz_harness::corpus::{self, Manifest, SEED_LIMIT, Seed};

use super::judge::judge;

/// Longest name of a seed, so that it can be read in a listing.
const NAME_LIMIT: usize = 80;

/// Longest line of a manifest entry.
const SHOWS_LIMIT: usize = 200;

/// Checks the name of a seed.
///
/// # Errors
/// When it could not be committed or replayed; the message says what a name looks like.
pub(super) fn check_name(name: &str) -> Result<()> {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    ensure!(
        !name.is_empty() && name.chars().all(is_fine) && !name.starts_with('.'),
        "the name `{name}` is not made of a-z, 0-9, `_`, `.` and `-`, with no `.` in front"
    );
    ensure!(
        !corpus::is_found_by_fuzzer(name),
        "the name `{name}` has 40 hex digits, as libFuzzer's own finds, which are ignored"
    );
    ensure!(name.len() <= NAME_LIMIT, "the name `{name}` is longer than {NAME_LIMIT} characters");
    Ok(())
}

/// Checks the text that tells a person what a seed shows.
///
/// # Errors
/// When it is empty, longer than a line, or has line breaks.
pub(super) fn check_shows(shows: &str) -> Result<()> {
    let length = shows.chars().count();
    ensure!(
        !shows.trim().is_empty() && length <= SHOWS_LIMIT && !shows.contains(char::is_control),
        "what a seed shows is one line of 1 to {SHOWS_LIMIT} characters, not {length}: `{shows}`"
    );
    Ok(())
}

/// Checks the length of a seed.
///
/// # Errors
/// When it is longer than what fuzzing takes.
pub(super) fn check_len(len: usize) -> Result<()> {
    ensure!(len <= SEED_LIMIT, "{len} bytes, more than the {SEED_LIMIT} that fuzzing takes");
    Ok(())
}

/// The manifest of a target; empty when there is none yet.
///
/// # Errors
/// When it is there and cannot be read.
pub(super) fn read(root: &Path, target: &str) -> Result<Manifest> {
    if !root.join(format!("{target}.toml")).try_exists()? {
        return Ok(Manifest::new());
    }
    Ok(corpus::manifest(root, target)?)
}

/// Writes the manifest of a target.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(root: &Path, target: &str, manifest: &Manifest) -> Result<()> {
    let path = root.join(format!("{target}.toml"));
    let text = format!(
        "# What each file of corpus/{target} shows, what has to come out of it (`accept`, or the\n\
         # rule that it breaks first), and where it came from. Kept by `cargo xtask corpus`.\n\
         \n{}",
        toml::to_string(manifest).with_context(|| path.display().to_string())?
    );
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// What a generator would change in the corpus of one target.
#[derive(Debug)]
pub(super) struct Update {
    target: &'static str,
    added: Vec<Seed>,
    changed: Vec<Seed>,
    /// Seeds of this generator that it does not make any more.
    gone: Vec<String>,
    unchanged: usize,
}

impl Update {
    /// Compares `seeds`, which are all that their generator makes, with the corpus below `root`.
    /// `owns` tells by its origin whether a seed that is there came from the generator.
    ///
    /// # Errors
    /// When a name is not fit or belongs to a seed of another origin, or a seed's expectation is
    /// not what the models say.
    pub(super) fn plan(
        root: &Path,
        target: &'static str,
        owns: impl Fn(&str) -> bool,
        seeds: Vec<Seed>,
    ) -> Result<Self> {
        let manifest = read(root, target)?;
        let mut update =
            Self { target, added: Vec::new(), changed: Vec::new(), gone: Vec::new(), unchanged: 0 };
        let mut made = BTreeMap::new();
        for seed in seeds {
            check_name(&seed.name)?;
            check_shows(&seed.entry.shows).with_context(|| seed.name.clone())?;
            check_len(seed.bytes.len()).with_context(|| seed.name.clone())?;
            let verdict = judge(target, &seed.bytes)?.verdict;
            ensure!(
                verdict == seed.entry.expect,
                "corpus/{target}/{}: the model says {verdict}, {} was expected",
                seed.name,
                seed.entry.expect
            );
            if let Some(seed) = made.insert(seed.name.clone(), seed) {
                bail!("corpus/{target}/{}: two seeds have this name", seed.name);
            }
        }
        let ours = manifest.iter().filter(|(_, entry)| owns(&entry.origin));
        update.gone = ours.map(|(name, _)| name.clone()).collect();
        update.gone.retain(|name| !made.contains_key(name));
        for (name, seed) in made {
            let path = root.join(target).join(&name);
            match manifest.get(&name) {
                Some(entry) if !owns(&entry.origin) => bail!(
                    "corpus/{target}/{name} belongs to another origin, `{}`; expected `{}`",
                    entry.origin,
                    seed.entry.origin
                ),
                Some(entry)
                    if *entry == seed.entry
                        && std::fs::read(&path).is_ok_and(|bytes| bytes == seed.bytes) =>
                {
                    update.unchanged += 1;
                }
                _ if !path.try_exists()? => update.added.push(seed),
                _ => update.changed.push(seed),
            }
        }
        Ok(update)
    }

    /// The names of files that would be overwritten or removed.
    pub(super) fn replaces(&self) -> impl Iterator<Item = String> {
        let changed = self.changed.iter().map(|seed| &seed.name);
        changed.chain(&self.gone).map(|name| format!("corpus/{}/{name}", self.target))
    }

    /// Names of files that would be added, overwritten or removed.
    pub(super) fn differs(&self) -> impl Iterator<Item = String> {
        let added = self.added.iter().map(|seed| format!("corpus/{}/{}", self.target, seed.name));
        added.chain(self.replaces())
    }

    fn write(self, root: &Path) -> Result<()> {
        let Self { target, added, changed, gone, unchanged } = self;
        let folder = root.join(target);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut manifest = read(root, target)?;
        let counts = (added.len(), changed.len(), gone.len());
        for name in gone {
            println!("removed  corpus/{target}/{name}");
            remove(&folder.join(&name))?;
            manifest.remove(&name);
        }
        let added = added.into_iter().map(|seed| ("new", seed));
        for (what, seed) in added.chain(changed.into_iter().map(|seed| ("changed", seed))) {
            println!("{what:<8} corpus/{target}/{}", seed.name);
            let path = folder.join(&seed.name);
            std::fs::write(&path, &seed.bytes)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            manifest.insert(seed.name, seed.entry);
        }
        let (added, changed, gone) = counts;
        if added + changed + gone > 0 {
            write(root, target, &manifest)?;
        }
        println!(
            "corpus/{target}: {added} new, {changed} changed, {gone} removed, {unchanged} as before"
        );
        Ok(())
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes updates, all of them or none.
///
/// # Errors
/// When something would be overwritten or removed and `force` is not set; the message names it.
pub(super) fn apply(root: &Path, updates: Vec<Update>, force: bool) -> Result<()> {
    let replaced: Vec<_> = updates.iter().flat_map(Update::replaces).collect();
    if !force {
        super::refuse_to_replace(&replaced)?;
    }
    updates.into_iter().try_for_each(|update| update.write(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::corpus::Entry;

    fn seed(name: &str, code: u32, origin: &str) -> Seed {
        let bytes = [code, 1, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        let entry = Entry {
            shows: "a request".to_owned(),
            expect: "accept".to_owned(),
            origin: origin.to_owned(),
        };
        Seed { name: name.to_owned(), entry, bytes }
    }

    fn run(root: &Path, seeds: Vec<Seed>, force: bool) -> Result<()> {
        let update = Update::plan(root, "msg_decode", |origin| origin == "hand", seeds)?;
        apply(root, vec![update], force)
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        run(root, vec![seed("a", 1, "hand"), seed("b.c", 3, "hand")], false).expect("first run");
        let text = std::fs::read_to_string(root.join("msg_decode.toml")).expect("a manifest");
        let update = Update::plan(
            root,
            "msg_decode",
            |origin| origin == "hand",
            vec![seed("b.c", 3, "hand"), seed("a", 1, "hand")],
        )
        .expect("a plan");
        assert_eq!((update.differs().count(), update.unchanged), (0, 2));
        apply(root, vec![update], false).expect("second run");
        let again = std::fs::read_to_string(root.join("msg_decode.toml")).expect("a manifest");
        assert_eq!(text, again);
    }

    #[test]
    fn nothing_is_replaced_or_removed_without_force() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        run(root, vec![seed("a", 1, "hand"), seed("b", 1, "hand")], false).expect("first run");
        let error = run(root, vec![seed("a", 3, "hand"), seed("c", 1, "hand")], false)
            .expect_err("a changes, b goes")
            .to_string();
        assert!(error.contains("corpus/msg_decode/a") && error.contains("corpus/msg_decode/b"));
        assert!(error.contains("--force"), "{error}");
        assert_eq!(corpus::files(root, "msg_decode").expect("files"), ["a", "b"]);

        run(root, vec![seed("a", 3, "hand"), seed("c", 1, "hand")], true).expect("forced");
        assert_eq!(corpus::files(root, "msg_decode").expect("files"), ["a", "c"]);
        let manifest = read(root, "msg_decode").expect("a manifest");
        assert_eq!(manifest.keys().collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn seeds_of_other_origins_stay() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let update =
            Update::plan(root, "msg_decode", |_| false, vec![seed("theirs", 1, "regression")]);
        apply(root, vec![update.expect("a plan")], false).expect("written");
        run(root, vec![seed("a", 1, "hand")], true).expect("written");
        assert_eq!(corpus::files(root, "msg_decode").expect("files"), ["a", "theirs"]);
        let error = run(root, vec![seed("theirs", 1, "hand")], true).expect_err("taken");
        assert!(error.to_string().contains("belongs to another origin"), "{error}");
    }

    #[test]
    fn a_seed_that_does_not_do_what_it_says_is_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let mut wrong = seed("a", 2, "hand");
        let error = run(root.path(), vec![wrong.clone()], false).expect_err("4 bytes are missing");
        assert_eq!(
            error.to_string(),
            "corpus/msg_decode/a: the model says DC-005, accept was expected"
        );
        wrong.name = "A".to_owned();
        assert!(run(root.path(), vec![wrong], false).is_err());
        let twice = vec![seed("a", 1, "hand"), seed("a", 3, "hand")];
        assert!(run(root.path(), twice, false).is_err());
    }

    #[test]
    fn names_are_fit_for_a_listing() {
        for name in ["a", "hz-14-set_features-4-bytes", "v1.0_x", "da39a3ee"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let found = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        let long = "a".repeat(81);
        for name in ["", "A", "a b", "a/b", "../a", ".hidden", "ä", found, &long] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_shows("one line").is_ok());
        for shows in ["", "  ", "two\nlines", &"a".repeat(201)] {
            assert!(check_shows(shows).is_err(), "{shows}");
        }
    }
}
