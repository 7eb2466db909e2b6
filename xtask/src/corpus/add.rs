//! `corpus add`: keeps a crash, another found input or a recorded session.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use vhost_fuzz_harness::corpus::Entry;

use super::judge::{judge, target};
use super::manifest;

/// The origin of these seeds, unless another one is told.
pub(super) const ORIGIN: &str = "regression";

/// The origin of what a fuzzer found.
const FUZZER: &str = "fuzzer";

/// What the origin of a session begins with that `qemu-smoke --record` has saved; the name of the
/// case follows.
const SMOKE: &str = "qemu-smoke ";

/// Whether seeds of this origin are added by hand.
pub(super) fn is_added(origin: &str) -> bool {
    let case = origin.strip_prefix(SMOKE);
    [ORIGIN, FUZZER].contains(&origin)
        || case.is_some_and(|case| manifest::check_name(case).is_ok())
}

/// Copies `file` to `corpus/<target>/<name>`. What has to come out is what the model says: the
/// input may still crash the code.
///
/// # Errors
/// When there is no such target, the name is not fit or taken, there is no such origin, or a file
/// cannot be read or written.
pub(super) fn add(
    root: &Path,
    target_name: &str,
    file: &Path,
    name: &str,
    shows: &str,
    origin: &str,
) -> Result<()> {
    let target = target(target_name)?.name;
    manifest::check_name(name).context("--name")?;
    manifest::check_shows(shows).context("--shows")?;
    ensure!(
        is_added(origin),
        "--origin `{origin}`; expected {ORIGIN}, {FUZZER}, or {SMOKE}CASE with the name of a case"
    );
    let bytes =
        std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    manifest::check_len(bytes.len()).with_context(|| file.display().to_string())?;
    let mut entries = manifest::read(root, target)?;
    let folder = root.join(target);
    let path = folder.join(name);
    ensure!(
        !entries.contains_key(name) && !path.try_exists()?,
        "--name: corpus/{target}/{name} is taken; expected a new name"
    );
    let expect = judge(target, &bytes)?.verdict;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    std::fs::write(&path, &bytes)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    println!("new      corpus/{target}/{name} ({} bytes), expect {expect}", bytes.len());
    let entry = Entry { shows: shows.to_owned(), expect, origin: origin.to_owned() };
    entries.insert(name.to_owned(), entry);
    manifest::write(root, target, &entries)?;
    println!("changed  corpus/{target}.toml");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::corpus;

    #[test]
    fn an_input_is_kept_once_with_what_the_model_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let file = root.join("crash-1");
        let bytes: Vec<u8> = [1_u32, 2, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        std::fs::write(&file, &bytes).expect("written");
        let keep =
            |target: &str, name: &str, shows: &str| add(root, target, &file, name, shows, ORIGIN);
        keep("msg_decode", "wrong-version", "version 2 made it panic").expect("kept");

        assert_eq!(std::fs::read(root.join("msg_decode/wrong-version")).expect("a file"), bytes);
        let entry = &corpus::manifest(root, "msg_decode").expect("a manifest")["wrong-version"];
        assert_eq!((entry.expect.as_str(), entry.origin.as_str()), ("VU-011", ORIGIN));

        for (target, name, shows, error) in [
            ("msg_decode", "wrong-version", "again", "is taken; expected a new name"),
            ("msg_decode", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "x", "40 hex digits"),
            ("msg_decode", "Upper", "x", "is not made of a-z"),
            ("msg_decode", "other", "two\nlines", "one line of 1 to 200"),
            ("msg", "other", "x", "there is no target `msg`"),
        ] {
            let got = keep(target, name, shows).expect_err(error);
            assert!(format!("{got:#}").contains(error), "{got:#}");
        }
        let origin = "qemu-smoke net.connect";
        add(root, "msg_decode", &file, "recorded", "x", origin).expect("kept");
        let entry = &corpus::manifest(root, "msg_decode").expect("a manifest")["recorded"];
        assert_eq!(entry.origin, origin);
        for origin in ["hand", "qemu-smoke", "qemu-smoke ", "qemu-smoke Net", "trace a"] {
            let error = add(root, "msg_decode", &file, "no", "x", origin).expect_err(origin);
            assert!(error.to_string().contains("--origin"), "{error}");
        }
        let none = root.join("none");
        let missing = add(root, "msg_stream", &none, "a", "x", ORIGIN).expect_err("no file");
        assert!(missing.to_string().contains("none cannot be read"), "{missing}");
        std::fs::write(&file, [0; 8193]).expect("written");
        let long = keep("msg_decode", "long", "x").expect_err("too long");
        assert!(
            format!("{long:#}")
                .ends_with("crash-1: 8193 bytes, more than the 8192 that fuzzing takes")
        );
    }
}
