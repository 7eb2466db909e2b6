//! A QEMU that stays, started and stopped by its command line as a user does it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Case, Group, Need};
use crate::back_end::{BackEnd, GUEST_IP};
use crate::identity::Identity;
use crate::link::{Link, Listens};
use crate::process;
use crate::trial::Trial;

pub(super) const CASES: &[Case] = &[Case {
    name: "server.lifecycle",
    group: Group::Server,
    shows: "start, status, a back-end that connects, restart and stop",
    needs: &[Need::Qemu, Need::Guest],
    limit: Duration::from_secs(150),
    is_in_ci: false,
    run: lifecycle,
}];

/// How long one command may take.
const COMMAND: Duration = Duration::from_secs(40);

/// How long a guest may take from the connection of the back-end to its lease.
const LEASE: Duration = Duration::from_secs(60);

/// The command `server`. What it started ends with this at the latest.
struct Server<'a> {
    trial: &'a Trial,
    cache: &'a Path,
    name: String,
}

impl Server<'_> {
    fn run(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("server").args(words).args(["--name", &self.name]);
        command.arg("--cache").arg(self.cache);
        process::output(&mut command, &self.trial.deadline.within(COMMAND))
    }

    /// Starts it with what the other cases use.
    fn start(&self, socket: &Path) -> Result<String> {
        let tools = &self.trial.shared.tools;
        let qemu = &tools.qemu.as_ref().context("there is no QEMU")?.path;
        let kernel = &self.trial.image()?.kernel;
        let accel = if tools.is_kvm { "kvm" } else { "tcg" };
        let paths = [("--qemu", qemu.as_path()), ("--kernel", kernel), ("--socket", socket)];
        let paths =
            paths.iter().map(|(option, path)| Ok([option, path.to_str().context("UTF-8")?]));
        let paths = paths.collect::<Result<Vec<_>>>()?.concat();
        self.run(&[&["start", "--accel", accel, "--memory", "192"], &paths[..]].concat())
    }

    /// Waits until the guest has a lease, as its own log says.
    fn wait_for_lease(&self, back_end: &mut BackEnd) -> Result<()> {
        let log = value(&self.run(&["status"])?, "guest's log")?;
        let line = format!("lease ip={GUEST_IP}");
        self.trial.deadline.within(LEASE).wait_for("the guest gets no lease", || {
            back_end.process().check()?;
            let text = std::fs::read(&log).unwrap_or_default();
            Ok(String::from_utf8_lossy(&text).contains(&line).then_some(()))
        })?;
        let status = self.run(&["status"])?;
        let (guest, peer) = (value(&status, "guest")?, value(&status, "back-end")?);
        ensure!(guest == "up" && peer == "connected", "a lease, and the status is {status}");
        Ok(())
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // After a failure there may be one.
        let _ = self.run(&["stop"]);
    }
}

fn lifecycle(trial: &mut Trial) -> Result<()> {
    let link = Link::new(trial, "net", Listens::Front)?;
    let files = trial.image()?.files.clone();
    let cache = files.parent().context("the image is in no folder")?;
    // Another run may have a server at the same time.
    let name = format!("case-{}", std::process::id());
    let server = Server { trial, cache, name };
    ensure!(server.run(&["status"]).is_err(), "a server that was never started has a status");
    let started = server.start(&link.front)?;
    let pid = value(&started, "pid")?;
    let memory = value(&started, "memory")?;
    ensure!(memory == "192 MiB", "192 MiB were asked for: {started}");
    let session = session(&pid)?;
    ensure!(session == pid, "process {pid} is in session {session}, and not in its own");
    match server.start(&link.front) {
        Ok(text) => bail!("a second start says: {text}"),
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains("runs already"), "a second start fails with {text}");
        }
    }
    let mut back_end = BackEnd::start(trial, &link, Listens::Front, &[])?;
    server.wait_for_lease(&mut back_end)?;
    back_end.kill();
    let again = server.run(&["restart"])?;
    let second = value(&again, "pid")?;
    let is_alive = Identity::of(pid.parse()?).is_some();
    ensure!(second != pid && !is_alive, "{pid} still runs after a restart");
    ensure!(
        value(&again, "socket")? == value(&started, "socket")?,
        "it listens elsewhere: {again}"
    );
    back_end.restart(trial)?;
    server.wait_for_lease(&mut back_end)?;
    server.run(&["stop"])?;
    ensure!(server.run(&["status"]).is_err(), "a server that was stopped still runs");
    ensure!(!link.front.exists(), "its socket is still there: {}", link.front.display());
    drop(server);
    trial.note("server", format!("pid {pid}, after a restart {second}; a lease from each"));
    Ok(())
}

/// A line of a status.
fn value(status: &str, name: &str) -> Result<String> {
    let mut lines = status.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {name}: {status}"))?.trim().to_owned())
}

/// The session of a process: field 6 of its `stat`.
fn session(pid: &str) -> Result<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    Ok(rest.split_ascii_whitespace().nth(3).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_like_another_is_told_apart() {
        let status = "server x runs\n    guest's log    /log\n    guest          up\n";
        assert_eq!(value(status, "guest").unwrap(), "up");
        assert_eq!(value(status, "guest's log").unwrap(), "/log");
        assert!(value(status, "pid").is_err());
    }
}
