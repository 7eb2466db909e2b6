//! A fuzz binary as a child process: its own process group, its output in a log, a bounded end.
//!
//! A child gets its own process group so that Ctrl-C in a terminal reaches this program alone,
//! which then asks each child to stop and still prints what was found.

use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::interrupt;
use super::libfuzzer::{Lines, Progress};
use crate::workspace::cannot_start;

/// How often a waiting caller looks at its children.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long a child may take to stop after SIGINT, before SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Why a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// By itself.
    Itself,
    /// The user pressed Ctrl-C.
    Interrupt,
    /// It was still running at its deadline.
    Deadline,
}

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Why it ended.
    pub(super) cause: Cause,
    /// What the system says.
    pub(super) status: ExitStatus,
    /// From start to end.
    pub(super) elapsed: Duration,
}

/// A child in its own process group, which is stopped on Ctrl-C or when a deadline passes.
pub(super) struct Group {
    child: Child,
    started: Instant,
    deadline: Option<Instant>,
    /// Why and when the child was told to stop.
    stopping: Option<(Cause, Instant)>,
    ended: bool,
}

impl Group {
    /// Starts `command` with no standard input. `limit` bounds its run time.
    ///
    /// # Errors
    ///
    /// When the system refuses to start it.
    pub(super) fn spawn(command: &mut Command, limit: Option<Duration>) -> Result<Self> {
        command.stdin(Stdio::null()).process_group(0);
        let child = command.spawn().with_context(|| cannot_start(command))?;
        let started = Instant::now();
        let deadline = limit.map(|limit| started + limit);
        Ok(Self { child, started, deadline, stopping: None, ended: false })
    }

    /// Since when the child runs.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Looks whether the child has ended, and tells it to stop if it has to.
    ///
    /// # Errors
    ///
    /// When the system cannot say how the child is.
    pub(super) fn poll(&mut self) -> Result<Option<End>> {
        if let Some(status) = self.child.try_wait().context("cannot wait for a child process")? {
            self.ended = true;
            // A helper of the child, such as a symbolizer, must not hold the pipe open.
            self.signal(Signal::SIGKILL);
            let cause = self.stopping.map_or(Cause::Itself, |(cause, _)| cause);
            return Ok(Some(End { cause, status, elapsed: self.elapsed() }));
        }
        let now = Instant::now();
        match self.stopping {
            None if interrupt::count() > 0 => self.stop(Cause::Interrupt, now),
            None if self.deadline.is_some_and(|deadline| now > deadline) => {
                self.stop(Cause::Deadline, now);
            }
            Some((_, since)) if now - since > STOP_GRACE || interrupt::count() > 1 => {
                self.signal(Signal::SIGKILL);
            }
            _ => {}
        }
        Ok(None)
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// When the system cannot say how the child is.
    pub(super) fn wait(&mut self) -> Result<End> {
        loop {
            if let Some(end) = self.poll()? {
                return Ok(end);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn stop(&mut self, cause: Cause, now: Instant) {
        self.stopping = Some((cause, now));
        self.signal(Signal::SIGINT);
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // The one possible error is that nobody is left in the group, which is the aim.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }
}

impl Drop for Group {
    /// An error elsewhere must not leave a child running.
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// A fuzz binary that runs: what it prints goes to a log and is understood on the way.
pub(super) struct Fuzzer {
    group: Group,
    progress: Arc<Mutex<Progress>>,
    reader: Option<JoinHandle<io::Result<()>>>,
}

impl Fuzzer {
    /// Starts `command`; `log` gets all of its output.
    ///
    /// # Errors
    ///
    /// When the system refuses a pipe or the process.
    pub(super) fn spawn(command: &mut Command, log: File, limit: Duration) -> Result<Self> {
        let (output, input) = io::pipe().context("cannot make a pipe")?;
        command.stdout(input.try_clone().context("cannot copy a pipe")?).stderr(input);
        let group = Group::spawn(command, Some(limit));
        // The command owns the writing ends; while they are open, the reader sees no end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let group = group?;
        let progress = Arc::new(Mutex::new(Progress::default()));
        let shared = Arc::clone(&progress);
        let reader = std::thread::spawn(move || read(output, log, &shared));
        Ok(Self { group, progress, reader: Some(reader) })
    }

    /// Since when the binary runs.
    pub(super) fn elapsed(&self) -> Duration {
        self.group.elapsed()
    }

    /// What it told so far.
    pub(super) fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks whether it has ended. After the end, [`Self::progress`] is complete.
    ///
    /// # Errors
    ///
    /// When the system cannot say how the child is, or the log cannot be written.
    pub(super) fn poll(&mut self) -> Result<Option<End>> {
        let end = self.group.poll()?;
        if end.is_some()
            && let Some(reader) = self.reader.take()
        {
            let result = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result.context("cannot keep the log of a fuzz binary")?;
        }
        Ok(end)
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// As [`Self::poll`].
    pub(super) fn wait(&mut self) -> Result<End> {
        loop {
            if let Some(end) = self.poll()? {
                return Ok(end);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Copies `output` to `log` and notes what each line says. Reads on when the log cannot be
/// written, so that the binary is never blocked by a full pipe, and reports that at the end.
fn read(mut output: PipeReader, mut log: File, progress: &Mutex<Progress>) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut buffer = [0; 16 * 1024];
    let mut written = Ok(());
    let take = |line: &str| progress.lock().unwrap_or_else(PoisonError::into_inner).take(line);
    loop {
        let count = match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        lines.push(&buffer[..count], take);
        written = written.and_then(|()| log.write_all(&buffer[..count]));
    }
    lines.finish(take);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn run(script: &str, limit: Duration) -> (End, Progress, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = File::create(&path).unwrap();
        let mut fuzzer = Fuzzer::spawn(&mut shell(script), log, limit).unwrap();
        let end = fuzzer.wait().unwrap();
        (end, fuzzer.progress(), std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn both_outputs_are_logged_and_understood() {
        let script = r"printf '#7\tNEW    cov: 3\n' >&2; echo stat::number_of_executed_units: 9";
        let (end, progress, log) = run(script, Duration::from_secs(60));
        assert_eq!(end.cause, Cause::Itself);
        assert!(end.status.success());
        assert_eq!((progress.status.executions, progress.new_inputs), (9, 1));
        assert_eq!(log, "#7\tNEW    cov: 3\nstat::number_of_executed_units: 9\n");
    }

    #[test]
    fn a_child_that_ignores_its_deadline_is_killed() {
        let script = "trap '' INT; while :; do sleep 0.1; done";
        let (end, ..) = run(script, Duration::from_millis(100));
        assert_eq!(end.cause, Cause::Deadline);
        assert!(!end.status.success());
        assert!(end.elapsed < Duration::from_secs(30), "{:?}", end.elapsed);
    }

    #[test]
    fn a_grandchild_does_not_hold_the_log_open() {
        let (end, ..) = run("sleep 600 & exit 0", Duration::from_secs(60));
        assert!(end.status.success());
        assert!(end.elapsed < Duration::from_secs(30), "{:?}", end.elapsed);
    }

    #[test]
    fn a_missing_binary_is_named() {
        let error = Group::spawn(&mut Command::new("/no/such/binary"), None).err().unwrap();
        assert!(error.to_string().contains("cannot start `binary`"), "{error:#}");
    }
}
