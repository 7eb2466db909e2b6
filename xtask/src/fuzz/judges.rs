//! Keeps what is not under test out of the coverage that guides a campaign.
//!
//! cargo-fuzz instruments every crate that it builds. What a model, a script reader or guest memory
//! does says nothing about the code under test that this code does not say itself, and costs as
//! much. So this program puts itself in front of the compiler, and takes flags of the
//! instrumentation away:
//!
//! * All of them where models and the world are built ([`LEFT_OUT`]), and the sanitizer too: these
//!   crates forbid `unsafe`.
//! * All but the sanitizer where other people's parsers are built that read answers ([`PARSERS`]).
//!   Libraries that we compare with keep theirs: what they do on an input is of interest.
//! * The tracing of comparisons where the harness is built ([`UNTRACED`]), which is also where
//!   generic code of the core becomes code: its edges stay. Numbers that a script has to hit come
//!   from mutators and dictionaries. Without it, `split_ring` and `session` make 1.5 times as many
//!   executions, and reach the same coverage from an empty corpus in the same time.
//!
//! `cargo fuzz run` typed by hand builds without it, and finds the same things more slowly.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow};

/// Set in the environment of cargo: this program is called in the place of the compiler.
const MARK: &str = "VHOST_FUZZ_RUSTC_WRAPPER";

/// What cargo calls in the place of the compiler: for crates of the workspace, whose builds it keeps
/// apart from those without it, and for all crates.
const WRAPPERS: [&str; 2] = ["RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER"];

/// The crates without instrumentation.
const LEFT_OUT: [&str; 2] = ["vhost_fuzz_model", "vhost_fuzz_world"];

/// Parsers of answers, and what they are made of, which have no coverage.
const PARSERS: [&str; 10] = [
    "data_encoding",
    "dhcproto",
    "etherparse",
    "heapless",
    "hickory_proto",
    "idna",
    "ipnet",
    "managed",
    "smoltcp",
    "url",
];

/// Asks a build for it, unless the user has wrappers already.
///
/// # Errors
///
/// When this program cannot tell where it is.
pub(super) fn leave_out(build: &mut Command) -> Result<()> {
    let this = std::env::current_exe().context("the path of this program")?;
    for wrapper in WRAPPERS.into_iter().filter(|wrapper| std::env::var_os(wrapper).is_none()) {
        build.env(wrapper, &this).env(MARK, "1");
    }
    Ok(())
}

/// Becomes the compiler, when cargo calls this program as one. Returns only if it does not, or
/// when the compiler cannot be started. For a crate of the workspace it becomes itself first.
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

/// The crate whose comparisons are not traced.
const UNTRACED: &str = "vhost_fuzz_harness";

/// The arguments of the compiler, without the instrumentation that says nothing.
fn kept(arguments: &[OsString]) -> Vec<&OsString> {
    let names =
        |name: &str| arguments.windows(2).any(|pair| pair[0] == "--crate-name" && pair[1] == *name);
    let dropped: &[&str] = if LEFT_OUT.into_iter().any(names) {
        &["-Cpasses=sancov-module", "-Cllvm-args=-sanitizer-coverage-", "-Zsanitizer="]
    } else if PARSERS.into_iter().any(names) {
        &["-Cpasses=sancov-module", "-Cllvm-args=-sanitizer-coverage-"]
    } else if names(UNTRACED) {
        &["-Cllvm-args=-sanitizer-coverage-trace-"]
    } else {
        &[]
    };
    let is_kept = |argument: &&OsString| {
        let argument = argument.to_string_lossy();
        !dropped.iter().any(|dropped| argument.starts_with(dropped))
    };
    arguments.iter().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "-Cllvm-args=-sanitizer-coverage-trace-compares";

    fn arguments(name: &str) -> Vec<OsString> {
        [
            "--crate-name",
            name,
            "-Cpasses=sancov-module",
            "-Cllvm-args=-sanitizer-coverage-level=4",
            TRACE,
            "-Cllvm-args=-inline-threshold=9",
            "-Zsanitizer=address",
        ]
        .map(OsString::from)
        .to_vec()
    }

    #[test]
    fn what_is_under_test_keeps_its_instrumentation() {
        let core = arguments("vhost_fuzz_core");
        assert_eq!(kept(&core), core.iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_loses_it() {
        for name in LEFT_OUT {
            let arguments = arguments(name);
            let expected = ["--crate-name", name, "-Cllvm-args=-inline-threshold=9"];
            assert_eq!(kept(&arguments), expected);
        }
    }

    #[test]
    fn parsers_of_answers_keep_the_sanitizer() {
        for name in PARSERS {
            let arguments = arguments(name);
            let expected =
                ["--crate-name", name, "-Cllvm-args=-inline-threshold=9", "-Zsanitizer=address"];
            assert_eq!(kept(&arguments), expected);
        }
        assert_eq!(kept(&arguments("virtio_queue")).len(), arguments("virtio_queue").len());
    }

    #[test]
    fn the_harness_keeps_its_edges() {
        let arguments = arguments(UNTRACED);
        let kept = kept(&arguments);
        assert_eq!(kept.len(), arguments.len() - 1);
        assert!(!kept.contains(&&OsString::from(TRACE)));
    }

    #[test]
    fn a_build_names_this_program() {
        let mut build = Command::new("cargo");
        leave_out(&mut build).unwrap();
        let this = std::env::current_exe().unwrap();
        for name in WRAPPERS {
            let wrapper = build.get_envs().find(|(other, _)| *other == name);
            let is_set_outside = std::env::var_os(name).is_some();
            assert!(is_set_outside || wrapper == Some((name.as_ref(), Some(this.as_os_str()))));
        }
    }
}
