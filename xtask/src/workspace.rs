//! What every task needs: where the workspace is, and commands that fail with a clear error.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// Where the workspace and its build results are. Both paths are absolute.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, wherever the user's configuration puts it.
    pub(crate) target_dir: PathBuf,
}

impl Workspace {
    /// Asks cargo for the workspace that holds the current directory.
    ///
    /// # Errors
    ///
    /// When cargo cannot be run, or finds no workspace here.
    pub(crate) fn locate() -> Result<Self> {
        #[derive(Deserialize)]
        struct Metadata {
            workspace_root: PathBuf,
            target_directory: PathBuf,
        }
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let text = output(&mut command)?;
        let metadata: Metadata = serde_json::from_str(&text)
            .with_context(|| format!("`{}` printed unexpected JSON", describe(&command)))?;
        Ok(Self { root: metadata.workspace_root, target_dir: metadata.target_directory })
    }
}

/// The cargo that runs this task, so that a `+toolchain` given by the user stays in force.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command and returns what it wrote to standard output.
///
/// # Errors
///
/// When the command cannot be started, fails (the error carries the last line of its standard
/// error), or writes something other than UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
        bail!("`{}` {}: {}", describe(command), describe_status(output.status), last.trim());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something other than UTF-8", describe(command)))
}

/// The text of the error for a command that the system refused to start.
pub(crate) fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", describe(command))
}

/// The command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // The full path of cargo or of a fuzz binary says nothing that its name does not.
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name).chain(command.get_args()).map(quote).collect::<Vec<_>>().join(" ")
}

/// `argument` as a shell takes it back.
pub(crate) fn quote(argument: impl AsRef<OsStr>) -> String {
    let text = argument.as_ref().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// How a command ended, as the rest of a sentence that starts with its name.
pub(crate) fn describe_status(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => format!("ended: {status}"),
    }
}

/// `path` as seen from the current directory when it is below it, for shorter messages that can
/// still be pasted into a shell.
pub(crate) fn shown(path: &Path) -> &Path {
    std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_one_of_this_crate() {
        let workspace = Workspace::locate().unwrap();
        assert!(workspace.root.join("xtask/Cargo.toml").is_file());
        assert!(workspace.target_dir.is_absolute());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("/no/such/program")).unwrap_err();
        assert!(error.to_string().contains("cannot start `program`"), "{error:#}");
    }

    #[test]
    fn a_failing_command_says_how_it_ended_and_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo the reason >&2; exit 3"]);
        let error = output(&mut command).unwrap_err().to_string();
        assert!(error.ends_with("exited with code 3: the reason"), "{error}");
    }

    #[test]
    fn arguments_are_quoted_only_when_a_shell_needs_it() {
        assert_eq!(quote("-max_len=8192"), "-max_len=8192");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
