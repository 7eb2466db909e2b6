//! Processes that outlive the command that started them, or that left something behind.

use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process, told apart from a later one that has its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Its number.
    pub(crate) pid: i32,
    /// When it was started, in ticks after the boot of the machine.
    start: u64,
}

impl Identity {
    /// The process that has a number now. One that has ended and was not waited for is none.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, start: start(&stat)? })
    }

    /// This process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends it a signal, and nobody else who may have got its number. Whether it was there.
    ///
    /// # Errors
    /// The system does not allow it.
    pub(crate) fn signal(self, signal: Signal) -> Result<bool> {
        let pid = Pid::from_raw(self.pid).context("no process has such a number")?;
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(false),
            process => process.with_context(|| format!("process {pid:?}"))?,
        };
        // It cannot change any more which process this is.
        if !self.is_alive() {
            return Ok(false);
        }
        match pidfd_send_signal(process, signal) {
            Err(Errno::SRCH) => Ok(false),
            sent => sent.map(|()| true).with_context(|| format!("a signal for {}", self.pid)),
        }
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(&self)?;
        std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Reads what [`save`](Self::save) has written.
    pub(crate) fn load(file: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }
}

/// When a process was started: field 22 of its `stat`. The name, field 2, may have blanks and
/// parentheses.
fn start(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_field_22_whatever_the_name_is() {
        let stat = |state: &str| {
            let rest: Vec<_> = (4..30).map(|field| field.to_string()).collect();
            format!("7 (a ) b) {state} {}", rest.join(" "))
        };
        assert_eq!(start(&stat("S")), Some(22));
        assert_eq!(start(&stat("Z")), None);
        assert_eq!(start(""), None);
    }

    #[test]
    fn a_process_that_has_ended_is_not_alive_and_takes_no_signal() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).expect("it runs");
        assert!(identity.is_alive());
        let other = Identity { start: identity.start + 1, ..identity };
        assert!(!other.signal(Signal::KILL).unwrap(), "another one with the same number");
        assert!(child.try_wait().unwrap().is_none());
        assert!(identity.signal(Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!identity.is_alive());
        assert!(!identity.signal(Signal::KILL).unwrap());
        assert!(Identity::own().is_some_and(Identity::is_alive));
    }
}
