//! Processes that end with whoever started them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::trial::Deadline;

/// Processes that run now.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// How long to wait between two looks at a process.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// Kills all that run now.
pub(crate) fn kill_all() {
    for pid in &*RUNNING.lock().unwrap_or_else(PoisonError::into_inner) {
        // It may have ended just now; it is a zombie then, and its number is still its own.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

/// A process, which is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

/// What is connected to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipes {
    /// Its errors and its output go to the log.
    None,
    /// Its input and output are ours, its errors go to the log.
    Both,
}

impl Process {
    /// Starts a program in a process group of its own, so that Ctrl-C is ours to pass on. It is
    /// killed when the thread that called this is gone. What it prints goes to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(command: &Command, name: &str, log: PathBuf, pipes: Pipes) -> Result<Self> {
        let errors = File::options().create(true).append(true).open(&log);
        let errors = errors.with_context(|| format!("{} cannot be written", log.display()))?;
        // What ends with its parent has to ask the kernel for it; setpriv does (util-linux).
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
        bound.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => bound.env(name, value),
                None => bound.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            bound.current_dir(folder);
        }
        match pipes {
            Pipes::None => bound.stdin(Stdio::null()).stdout(errors.try_clone()?),
            Pipes::Both => bound.stdin(Stdio::piped()).stdout(Stdio::piped()),
        };
        bound.stderr(errors).process_group(0);
        let child = bound.spawn().with_context(|| format!("{name}: setpriv cannot be started"))?;
        if let Ok(pid) = i32::try_from(child.id()) {
            RUNNING.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
        }
        Ok(Self { child, name: name.to_owned(), log })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its input and output, once.
    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) fn wait(&mut self, deadline: &Deadline) -> Result<ExitStatus> {
        let what = format!("{} does not end", self.name);
        deadline.wait_for(&what, || self.child.try_wait().map_err(Into::into))
    }

    /// # Errors
    /// It has ended: how, and what it printed last.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}{}", self.name, last_words(&self.log)),
        }
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// The system does not allow it.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("no process has such a number")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} for {}", self.name))
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Ok(pid) = i32::try_from(self.child.id()) {
            RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, to be put behind a message.
pub(crate) fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(3)..];
    last.iter().map(|line| format!("\n    {line}")).collect()
}

/// Runs a program to its end, and gives what it printed.
///
/// # Errors
/// It cannot be started, does not end in time, or ends with an error.
pub(crate) fn output(command: &mut Command, deadline: &Deadline) -> Result<String> {
    let name = Path::new(command.get_program()).file_name().map(OsStr::to_owned);
    let name = name.unwrap_or_default().to_string_lossy().into_owned();
    let folder = tempfile::tempdir()?;
    let (out, log) = (folder.path().join("out"), folder.path().join("log"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&log)?)
        .process_group(0)
        .spawn()
        .with_context(|| format!("{name} cannot be started"))?;
    let ended =
        deadline.wait_for(&format!("{name} does not end"), || child.try_wait().map_err(Into::into));
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = ended?;
    if !status.success() {
        bail!("{name} ended with {status}{}{}", last_words(&out), last_words(&log));
    }
    let out = std::fs::read(&out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}
