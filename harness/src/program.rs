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

/// Its path, if cargo has put it beside the program that runs now and nothing that it was made of
/// is newer.
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

/// Whether a program is not older than its sources, which cargo has listed beside it, and than the
/// versions of what it depends on.
fn is_up_to_date(program: &Path, workspace: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let Some(made) = changed(program) else { return false };
    let Ok(list) = fs::read_to_string(program.with_extension("d")) else { return false };
    let sources = sources(&list);
    let is_old = |changed: Option<SystemTime>| changed.is_none_or(|changed| changed > made);
    let lock = workspace.join("Cargo.lock");
    !sources.is_empty() && !sources.iter().chain([&lock]).any(|path| is_old(changed(path)))
}

/// The files behind the colon. Blanks in their names have a backslash before them.
fn sources(list: &str) -> Vec<PathBuf> {
    let Some((_, files)) = list.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let files = files.replace("\\ ", "\0");
    files.split_ascii_whitespace().map(|file| file.replace('\0', " ").into()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_program_is_out_of_date_when_a_source_is_newer_or_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let [program, list, source, lock] =
            ["made", "made.d", "a source.rs", "Cargo.lock"].map(|name| folder.path().join(name));
        let is_fresh = || is_up_to_date(&program, folder.path());
        for path in [&source, &lock, &program] {
            fs::write(path, "").expect("written");
        }
        assert!(!is_fresh(), "nobody knows what it is made of");
        let name = source.display().to_string().replace(' ', "\\ ");
        fs::write(&list, format!("{}: {name}\n", program.display())).expect("written");
        let later = SystemTime::now() + Duration::from_secs(60);
        let touch = |path: &Path, time| {
            fs::File::options().append(true).open(path).expect("it is there").set_modified(time)
        };
        touch(&program, later).expect("touched");
        assert!(is_fresh());
        for path in [&source, &lock] {
            touch(path, later + Duration::from_secs(1)).expect("touched");
            assert!(!is_fresh(), "{}", path.display());
            touch(path, later).expect("touched");
        }
        assert!(is_fresh());
        fs::remove_file(&source).expect("removed");
        assert!(!is_fresh(), "a source is gone");
        fs::write(&list, "").expect("written");
        assert!(!is_fresh(), "it is made of nothing");
    }
}
