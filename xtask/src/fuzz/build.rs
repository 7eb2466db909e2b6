//! Makes sure that the tools are there, and builds fuzz binaries with cargo-fuzz.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use vhost_fuzz_harness::target::TARGETS;

use super::interrupt::Interrupted;
use super::process::{Cause, Group};
use super::{Sanitizer, interrupt, judges};
use crate::workspace::{Workspace, cargo, describe, describe_status, output};

/// Checks for a C++ compiler and for cargo-fuzz, and installs the latter when it is missing.
///
/// # Errors
///
/// When there is no C++ compiler, or the installation fails.
pub(super) fn set_up(workspace: &Workspace) -> Result<()> {
    require_cxx()?;
    let found = cargo().args(["fuzz", "--version"]).stdin(Stdio::null()).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let mut install = cargo();
    install.args(["install", "--locked", "cargo-fuzz"]).current_dir(&workspace.root);
    eprintln!("cargo-fuzz is missing; running `{}`", describe(&install));
    run(&mut install)
}

/// libFuzzer is C++ and is built by whatever `CXX` or `c++` is.
fn require_cxx() -> Result<()> {
    let chosen = std::env::var("CXX").ok().filter(|value| !value.trim().is_empty());
    let name = chosen.as_deref().unwrap_or("c++");
    // `CXX` may carry a wrapper or arguments, such as `ccache g++`.
    let mut words = name.split_whitespace();
    let mut compiler = Command::new(words.next().unwrap_or("c++"));
    compiler.args(words).arg("--version").stdin(Stdio::null());
    let works = compiler.output().is_ok_and(|output| output.status.success());
    let origin =
        if chosen.is_some() { "the C++ compiler that CXX names" } else { "a C++ compiler" };
    ensure!(
        works,
        "libFuzzer needs {origin}, but `{name} --version` does not work; install one \
         (`apt-get install g++` on Debian) or set CXX"
    );
    Ok(())
}

/// Builds the fuzz binaries `names` and returns where they are, in the same order.
///
/// # Errors
///
/// When a build fails, or leaves no binary where cargo-fuzz puts it.
pub(super) fn build(
    workspace: &Workspace,
    names: &[&str],
    sanitizer: Sanitizer,
) -> Result<Vec<PathBuf>> {
    let triple = host_triple()?;
    // cargo-fuzz takes one target or none, and none means all of them.
    let everything = TARGETS.iter().all(|target| names.contains(&target.name));
    let selections: Vec<Option<&str>> =
        if everything { vec![None] } else { names.iter().copied().map(Some).collect() };
    for selection in selections {
        let mut command = cargo();
        command.args(["fuzz", "build", "--sanitizer", sanitizer.name(), "--target", &triple]);
        // A relative CARGO_TARGET_DIR means the directory that the user is in, not the root.
        command.arg("--target-dir").arg(&workspace.target_dir);
        command.args(selection).current_dir(&workspace.root);
        judges::leave_out(&mut command)?;
        // cargo-fuzz would add a backtrace of its own to each error of the compiler.
        command.env("RUST_BACKTRACE", "0");
        run(&mut command)?;
    }
    let folder = workspace.target_dir.join(&triple).join("release");
    names
        .iter()
        .map(|name| {
            let path = folder.join(name);
            ensure!(path.is_file(), "cargo-fuzz built {name}, but there is no {}", path.display());
            Ok(path)
        })
        .collect()
}

/// The triple that the compiler builds for.
fn host_triple() -> Result<String> {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.arg("-vV");
    let text = output(&mut command)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.with_context(|| format!("`{}` names no host", describe(&command)))?.to_owned())
}

/// Runs a command whose output the user should see, until it ends or Ctrl-C ends it.
fn run(command: &mut Command) -> Result<()> {
    let end = Group::spawn(command, None)?.wait()?;
    if end.cause == Cause::Interrupt || interrupt::count() > 0 {
        bail!(Interrupted);
    }
    ensure!(end.status.success(), "`{}` {}", describe(command), describe_status(end.status));
    Ok(())
}
