//! Programs of this workspace that cases start: built when they are needed, as a user would.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

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
    command.env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=symbols");
    command.env("CARGO_TARGET_DIR", cache.join("guest-build"));
    build(&mut command, "qemu-smoke-guest")
}

fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(places::workspace());
    command.args(["build", "--quiet", "--locked", "--message-format=json-render-diagnostics"]);
    command
}

/// Builds, and gives the program that was built.
fn build(command: &mut Command, name: &str) -> Result<PathBuf> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cargo, to build {name}"))?;
    if !output.status.success() {
        bail!("{name} cannot be built: cargo ended with {}", output.status);
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let built = lines.filter_map(|line| serde_json::from_slice::<Message>(line).ok()?.executable);
    built.last().with_context(|| format!("cargo does not say where it put {name}"))
}
