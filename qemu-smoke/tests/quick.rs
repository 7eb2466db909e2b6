//! Two cases of `qemu-smoke` in plain `cargo test`: a firmware and a Linux guest behind our
//! back-end. Where QEMU is missing it says so and skips them; with `VHOST_FUZZ_REQUIRE_QEMU=1`
//! that is a failure.

use std::process::{Command, ExitCode};

/// What is run. `.ci/run` runs more of them, and the nightly workflow all.
const NAMES: [&str; 2] = ["ipxe.connect", "net.connect"];

fn main() -> ExitCode {
    // As a test program is told: names that are wanted, or that they be listed.
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        println!("qemu_smoke: test");
        return ExitCode::SUCCESS;
    }
    if wanted.next().is_some_and(|name| !"qemu_smoke".contains(&name)) {
        return ExitCode::SUCCESS;
    }
    // A guest that KVM boots would be as good; to find out whether it does takes longer.
    let mut command = Command::new(env!("CARGO_BIN_EXE_qemu-smoke"));
    let status = command.arg("run").args(NAMES).args(["--accel", "tcg"]).status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("test qemu_smoke ... FAILED: qemu-smoke ended with {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("test qemu_smoke ... FAILED: qemu-smoke cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}
