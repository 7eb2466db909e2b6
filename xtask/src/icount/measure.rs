//! Runs the operations of the benches under valgrind and takes the difference of two runs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::workspace::{Workspace, cannot_start, cargo, describe, describe_status, output};

/// Messages that the shorter of the two runs handles, unless one turn handles more.
const MESSAGES: u64 = 2000;

/// Turns of the shorter run, at least.
const TURNS_MIN: u64 = 2;

/// One operation of the benches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// What it is called.
    pub(super) name: String,
    /// How many messages one turn handles.
    pub(super) messages: u64,
}

/// What one operation costs per message, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    /// The operation.
    pub(super) name: String,
    /// Instructions that the processor executed.
    pub(super) instructions: u64,
    /// Calls of the allocator for new or larger memory.
    pub(super) allocations: u64,
}

/// The program that runs the operations, and what counts them.
pub(super) struct Bench {
    valgrind: PathBuf,
    binary: PathBuf,
    folder: TempDir,
}

/// What one run cost as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Total {
    instructions: u64,
    allocations: u64,
}

impl Bench {
    /// Looks for valgrind and builds the program as `cargo build --release` does.
    ///
    /// # Errors
    ///
    /// When valgrind is missing, or the build fails.
    pub(super) fn build(workspace: &Workspace) -> Result<Self> {
        let valgrind = valgrind(env::var_os("PATH").unwrap_or_default())?;
        let mut command = cargo();
        command
            .args(["build", "--release", "--package", "vhost-fuzz-benches", "--bin", "icount"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(&workspace.root)
            .stderr(Stdio::inherit());
        let built = command.output().with_context(|| cannot_start(&command))?;
        let status = describe_status(built.status);
        ensure!(built.status.success(), "`{}` {status}", describe(&command));
        let binary = executable(&String::from_utf8_lossy(&built.stdout))
            .with_context(|| format!("`{}` names no program", describe(&command)))?;
        Ok(Self { valgrind, binary, folder: tempfile::tempdir()? })
    }

    /// All operations, in the order of the benches.
    ///
    /// # Errors
    ///
    /// When the program does not list them.
    pub(super) fn operations(&self) -> Result<Vec<Operation>> {
        let mut command = Command::new(&self.binary);
        let list = output(command.arg("--list"))?;
        operations(&list).with_context(|| format!("`{}` printed {list:?}", describe(&command)))
    }

    /// Counts one operation.
    ///
    /// # Errors
    ///
    /// When the program or valgrind fails.
    pub(super) fn count(&self, operation: &Operation) -> Result<Count> {
        let Operation { name, messages } = operation;
        let turns = (MESSAGES / messages).max(TURNS_MIN);
        let (short, long) = thread::scope(|scope| {
            let long = scope.spawn(|| self.total(name, 2 * turns));
            (self.total(name, turns), long.join())
        });
        let Ok(long) = long else { bail!("{name}: the thread of the longer run panicked") };
        per_message(name, short?, long?, turns * messages)
    }

    fn total(&self, name: &str, turns: u64) -> Result<Total> {
        let file = self.folder.path().join(format!("{name}.{turns}"));
        let mut out = OsString::from("--callgrind-out-file=");
        out.push(&file);
        let mut command = Command::new(&self.valgrind);
        command.args(["--tool=callgrind", "--quiet"]).arg(out);
        command.arg(&self.binary).args([name, &turns.to_string()]);
        // What is in the environment moves the stack, and with it what memcpy does.
        command.env_clear().envs(env::var_os("VALGRIND_LIB").map(|path| ("VALGRIND_LIB", path)));
        let printed = output(&mut command)?;
        let allocations = printed.trim().parse();
        let allocations = allocations.with_context(|| format!("{name}: printed {printed:?}"))?;
        let profile = std::fs::read_to_string(&file)
            .with_context(|| format!("`{}` wrote no profile", describe(&command)))?;
        let instructions = instructions(&profile)
            .with_context(|| format!("{}: no line `totals:`", file.display()))?;
        Ok(Total { instructions, allocations })
    }
}

/// What a message costs when `messages` more of them make the difference of two runs.
fn per_message(name: &str, short: Total, long: Total, messages: u64) -> Result<Count> {
    let instructions = long
        .instructions
        .checked_sub(short.instructions)
        .filter(|instructions| *instructions > 0)
        .with_context(|| format!("{name}: twice the turns took no more instructions"))?;
    Ok(Count {
        name: name.to_owned(),
        instructions: instructions.div_ceil(messages),
        // The program counts the turns alone. All count, also what only some turns allocate.
        allocations: long.allocations.div_ceil(2 * messages),
    })
}

/// The path of valgrind, which has to be given in full to a child without an environment.
fn valgrind(path: impl AsRef<OsStr>) -> Result<PathBuf> {
    env::split_paths(&path)
        .map(|folder| folder.join("valgrind"))
        .find(|file| file.is_file())
        .context("valgrind is not installed; `apt-get install valgrind` on Debian does that")
}

/// The program that cargo says it has built.
fn executable(messages: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable)
        .find(|path| path.file_name() == Some(OsStr::new("icount")))
}

/// The operations that the program lists: a name, a tab and the messages of a turn each.
fn operations(list: &str) -> Option<Vec<Operation>> {
    let operation = |line: &str| {
        let (name, messages) = line.split_once('\t')?;
        let messages = messages.parse().ok().filter(|messages| *messages > 0)?;
        Some(Operation { name: name.to_owned(), messages })
    };
    list.lines().map(operation).collect()
}

/// All instructions of a profile of callgrind.
fn instructions(profile: &str) -> Option<u64> {
    profile.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_up_cancels_out_and_the_rest_is_rounded_up() {
        let short = Total { instructions: 5_000 + 100, allocations: 0 };
        let long = Total { instructions: 5_000 + 201, allocations: 1 };
        let count = per_message("a", short, long, 10).unwrap();
        assert_eq!(count, Count { name: "a".to_owned(), instructions: 11, allocations: 1 });
        assert!(per_message("a", long, short, 10).is_err());
        assert!(per_message("a", short, short, 10).is_err());
    }

    #[test]
    fn the_total_is_found_in_a_profile() {
        let profile = "version: 1\nevents: Ir\nsummary: 7\n\nfn=(1) main\n0 7\n\ntotals: 1234\n";
        assert_eq!(instructions(profile), Some(1234));
        assert_eq!(instructions("events: Ir\n"), None);
    }

    #[test]
    fn the_list_tells_the_messages_of_a_turn() {
        let operation = |name: &str, messages| Operation { name: name.to_owned(), messages };
        let expected = vec![operation("decode-a", 1), operation("framer-b", 1000)];
        assert_eq!(operations("decode-a\t1\nframer-b\t1000\n"), Some(expected));
        for wrong in ["decode-a\n", "decode-a\t0\n", "decode-a\tmany\n"] {
            assert_eq!(operations(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_program_is_found_in_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/t/release/icount"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/release/icount")));
    }

    #[test]
    fn a_missing_valgrind_is_said_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = valgrind(folder.path()).unwrap_err().to_string();
        assert!(error.contains("apt-get install valgrind"), "{error}");
        std::fs::write(folder.path().join("valgrind"), "").unwrap();
        assert_eq!(valgrind(folder.path()).unwrap(), folder.path().join("valgrind"));
    }
}
