//! The program `vhost-net-responder`, for tests that start it.
//!
//! `cargo test` has built it already. To ask cargo once more would build it with the dependencies
//! of one package, whose features are others, and take as long again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// Its name.
const NAME: &str = "vhost-net-responder";

/// What it is made of, seen from the root of the workspace.
const SOURCES: [&str; 4] = ["backend", "core", "Cargo.toml", "Cargo.lock"];

/// Its path, if cargo has put it beside the program that runs now and nothing that it is made of is
/// newer.
#[must_use]
pub fn built() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let folder = own.parent()?;
    // Test programs are one folder deeper.
    let folder = if folder.ends_with("deps") { folder.parent()? } else { folder };
    let path = folder.join(NAME);
    is_up_to_date(&path, &workspace()).then_some(path)
}

/// A command that starts it, and builds it first if it must.
#[must_use]
pub fn responder() -> Command {
    let mut command = built().map_or_else(from_source, Command::new);
    command.current_dir(workspace()).stdin(Stdio::null());
    command
}

/// Whether somebody listens at a path, without connecting. The socket is there a moment before
/// anybody listens.
#[must_use]
pub fn is_listening(socket: &Path) -> bool {
    // The sockets that listen have the flag SO_ACCEPTCON: Num RefCount Protocol Flags … Path.
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let Some(path) = socket.to_str() else { return false };
    table.lines().any(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        words.get(3) == Some(&"00010000") && words.last() == Some(&path)
    })
}

/// Cargo builds it, and becomes it.
fn from_source() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "-q", "-p", "vhost-fuzz-backend", "--bin", NAME, "--"]);
    command
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether a program is not older than anything that it is made of. Cargo lists that beside a
/// program, but not for one that it has built for tests.
fn is_up_to_date(program: &Path, workspace: &Path) -> bool {
    let Some(made) = changed(program) else { return false };
    SOURCES.iter().all(|source| newest(&workspace.join(source)).is_some_and(|time| time <= made))
}

/// When the file, or the last one of a folder, was changed; nothing if that cannot be said.
fn newest(path: &Path) -> Option<SystemTime> {
    if !path.is_dir() {
        return changed(path);
    }
    fs::read_dir(path)
        .ok()?
        .map(|entry| newest(&entry.ok()?.path()))
        .try_fold(SystemTime::UNIX_EPOCH, |newest, time| Some(newest.max(time?)))
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_program_is_out_of_date_when_a_source_is_newer_or_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let program = root.join("made");
        let deep = root.join("core/src/a.rs");
        for name in ["backend", "core/src"] {
            fs::create_dir_all(root.join(name)).expect("a folder");
        }
        let files = [root.join("Cargo.toml"), root.join("Cargo.lock"), deep.clone()];
        let later = SystemTime::now() + Duration::from_secs(60);
        let touch = |path: &Path, time| {
            let file = fs::File::options().append(true).create(true).open(path).expect("a file");
            file.set_modified(time).expect("touched");
        };
        for path in &files {
            touch(path, later);
        }
        assert!(!is_up_to_date(&program, root), "there is none");
        touch(&program, later);
        assert!(is_up_to_date(&program, root));
        for path in &files {
            touch(path, later + Duration::from_secs(1));
            assert!(!is_up_to_date(&program, root), "{}", path.display());
            touch(path, later);
        }
        assert!(is_up_to_date(&program, root));
        fs::remove_dir_all(root.join("core")).expect("removed");
        assert!(!is_up_to_date(&program, root), "sources are gone");
    }

    #[test]
    fn it_is_made_of_no_other_package() {
        for package in ["backend", "core"] {
            let text = fs::read_to_string(workspace().join(package).join("Cargo.toml"));
            let manifest: toml::Table = toml::from_str(&text.expect("a manifest")).expect("TOML");
            for name in manifest["dependencies"].as_table().expect("a table").keys() {
                let ours = name.strip_prefix("vhost-fuzz-");
                assert!(ours.is_none_or(|ours| SOURCES.contains(&ours)), "{package}: {name}");
            }
        }
    }
}
