//! Keeps the models out of the coverage that guides a campaign.
//!
//! cargo-fuzz instruments every crate that it builds. What a model does says nothing about the code
//! under test that this code does not say itself, and costs as much: without it `session` makes 1.2
//! times as many executions. So this program puts itself in front of the compiler for the crates of
//! the workspace, and takes the flags of the instrumentation away where the model is built.
//!
//! `cargo fuzz run` typed by hand builds without it, and finds the same things more slowly.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow};

/// Set in the environment of cargo: this program is called in the place of the compiler.
const MARK: &str = "VHOST_FUZZ_RUSTC_WRAPPER";

/// What cargo calls in the place of the compiler for crates of the workspace.
const WRAPPER: &str = "RUSTC_WORKSPACE_WRAPPER";

/// The crate without instrumentation.
const MODEL: &str = "vhost_fuzz_model";

/// Asks a build for it, unless the user has a wrapper already.
///
/// # Errors
///
/// When this program cannot tell where it is.
pub(super) fn leave_out(build: &mut Command) -> Result<()> {
    if std::env::var_os(WRAPPER).is_none() {
        let this = std::env::current_exe().context("the path of this program")?;
        build.env(WRAPPER, this).env(MARK, "1");
    }
    Ok(())
}

/// Becomes the compiler, when cargo calls this program as one. Returns only if it does not, or
/// when the compiler cannot be started.
pub(crate) fn become_compiler() -> Option<Result<ExitCode>> {
    std::env::var_os(MARK)?;
    let mut arguments = std::env::args_os().skip(1);
    let Some(compiler) = arguments.next() else {
        return Some(Err(anyhow!("{MARK} is set, but no compiler is named")));
    };
    let arguments: Vec<OsString> = arguments.collect();
    let error = Command::new(&compiler).args(kept(&arguments)).exec();
    let compiler = compiler.display().to_string();
    Some(Err(error).with_context(|| format!("{compiler} cannot be started")))
}

/// The arguments of the compiler, without instrumentation where the model is built.
fn kept(arguments: &[OsString]) -> Vec<&OsString> {
    let is_model = arguments.windows(2).any(|pair| pair[0] == "--crate-name" && pair[1] == MODEL);
    let is_instrumentation = |argument: &OsString| {
        argument == "-Cpasses=sancov-module"
            || argument.to_string_lossy().starts_with("-Cllvm-args=-sanitizer-coverage-")
    };
    arguments.iter().filter(|argument| !(is_model && is_instrumentation(argument))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(name: &str) -> Vec<OsString> {
        [
            "--crate-name",
            name,
            "-Cpasses=sancov-module",
            "-Cllvm-args=-sanitizer-coverage-level=4",
            "-Cllvm-args=-inline-threshold=9",
            "-Zsanitizer=address",
        ]
        .map(OsString::from)
        .to_vec()
    }

    #[test]
    fn only_the_model_is_built_without_instrumentation() {
        let core = arguments("vhost_fuzz_core");
        assert_eq!(kept(&core), core.iter().collect::<Vec<_>>());
        let model = arguments(MODEL);
        let expected = ["--crate-name", MODEL, "-Cllvm-args=-inline-threshold=9"];
        assert_eq!(kept(&model)[..3], expected);
        assert_eq!(kept(&model)[3], "-Zsanitizer=address", "a sanitizer is no instrumentation");
    }

    #[test]
    fn a_build_names_this_program() {
        let mut build = Command::new("cargo");
        leave_out(&mut build).unwrap();
        let wrapper = build.get_envs().find(|(name, _)| *name == WRAPPER);
        let this = std::env::current_exe().unwrap();
        let is_set_outside = std::env::var_os(WRAPPER).is_some();
        assert!(is_set_outside || wrapper == Some((WRAPPER.as_ref(), Some(this.as_os_str()))));
    }
}
