//! Programs of this workspace that cases start: built when they are needed, as a user would.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use vhost_fuzz_harness::program;

use crate::places;

/// The architecture of guest and host.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A line of cargo's output.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// Our back-end, built as this program was.
///
/// # Errors
/// It cannot be built.
pub(crate) fn responder() -> Result<PathBuf> {
    if let Some(path) = program::built() {
        return Ok(path);
    }
    let mut command = cargo();
    command.args(["--package", "vhost-fuzz-backend", "--bin", "vhost-net-responder"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    build(&mut command, "vhost-net-responder")
}

/// The program for the guest: static, since the guest has no libraries. It is built in a folder of
/// its own, so that its flags do not make cargo build everything else again.
///
/// # Errors
/// It cannot be built.
pub(crate) fn guest(cache: &Path) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["--package", "qemu-smoke-guest", "--release", "--target", TARGET]);
    for_guest(&mut command, cache);
    build(&mut command, "qemu-smoke-guest")
}

/// Packages whose unit tests run inside the guest: those that need nothing from outside.
const TESTED: [&str; 3] = ["vhost-fuzz-core", "vhost-fuzz-backend", "vhost-fuzz-model"];

/// A program with the unit tests of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestProgram {
    /// The package's library.
    pub(crate) name: String,
    /// The folder that the tests expect to run in.
    pub(crate) folder: PathBuf,
    /// The program.
    pub(crate) path: PathBuf,
}

/// A line of cargo's output, when it has built tests.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    executable: Option<PathBuf>,
}

/// What a program was made from.
#[derive(Deserialize)]
struct Target {
    name: String,
}

/// The test programs for the guest, which are static, too.
///
/// # Errors
/// They cannot be built.
pub(crate) fn tests(cache: &Path) -> Result<Vec<TestProgram>> {
    let mut command = cargo_with("test");
    command.args(["--no-run", "--lib", "--target", TARGET]);
    command.args(TESTED.iter().flat_map(|package| ["--package", package]));
    for_guest(&mut command, cache);
    // Nobody looks into them with a debugger.
    command.envs([("CARGO_PROFILE_TEST_DEBUG", "0"), ("CARGO_INCREMENTAL", "0")]);
    let lines = output(&mut command, "the test programs for the guest")?;
    Ok(test_programs(&lines))
}

/// The programs among what cargo says.
fn test_programs(lines: &[u8]) -> Vec<TestProgram> {
    let lines = lines.split(|byte| *byte == b'\n');
    let built = lines.filter_map(|line| {
        let artifact: Artifact = serde_json::from_slice(line).ok()?;
        let folder = artifact.manifest_path.parent()?.to_owned();
        Some(TestProgram { name: artifact.target.name, folder, path: artifact.executable? })
    });
    built.collect()
}

/// Programs for the guest are static, and are built where they do not make cargo build everything
/// else again.
fn for_guest(command: &mut Command, cache: &Path) {
    command.env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=symbols");
    command.env("CARGO_TARGET_DIR", cache.join("guest-build"));
}

fn cargo() -> Command {
    cargo_with("build")
}

fn cargo_with(task: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(places::workspace());
    command.args([task, "--quiet", "--locked", "--message-format=json-render-diagnostics"]);
    command
}

/// Builds, and gives the program that was built.
fn build(command: &mut Command, name: &str) -> Result<PathBuf> {
    let lines = output(command, name)?;
    let lines = lines.split(|byte| *byte == b'\n');
    let mut built =
        lines.filter_map(|line| serde_json::from_slice::<Message>(line).ok()?.executable);
    built.next_back().with_context(|| format!("cargo does not say where it put {name}"))
}

/// Runs cargo to its end; what it says of what it has built.
fn output(command: &mut Command, name: &str) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cargo, to build {name}"))?;
    if !output.status.success() {
        bail!("{name} cannot be built: cargo ended with {}", output.status);
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_run_is_a_test_program() {
        let lines = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"a"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/w/b/Cargo.toml","target":{"name":"b"},"executable":"/t/b-1"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n",
        );
        let programs = test_programs(lines.as_bytes());
        let path = PathBuf::from;
        let wanted =
            TestProgram { name: "b".to_owned(), folder: path("/w/b"), path: path("/t/b-1") };
        assert_eq!(programs, [wanted]);
    }
}
