//! The shell of the guest, at its first serial port.
//!
//! The guest prints `READY` when it is up. Then each line that it gets is a number and a command;
//! it prints `BEGIN number`, what the command prints, and `END number status`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// What the guest prints when it is up, on a line of its own.
pub(crate) const READY: &str = "SMOKE READY";

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its output and its errors.
    pub(crate) text: String,
    /// Its exit status.
    pub(crate) status: i32,
}

/// The port.
#[derive(Debug)]
pub(crate) struct Serial {
    input: ChildStdin,
    printed: Arc<Mutex<Vec<u8>>>,
    last: u32,
}

impl Serial {
    /// Reads everything that is printed, and keeps it, in `log` too.
    ///
    /// # Errors
    /// The log cannot be written.
    pub(super) fn new(input: ChildStdin, mut output: ChildStdout, log: PathBuf) -> Result<Self> {
        let mut file =
            File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        let printed = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&printed);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends when QEMU does, which closes the other end.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let bytes = &bytes[..count];
                // A log is for people; a full disk is seen elsewhere.
                let _ = file.write_all(bytes);
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
            }
        });
        Ok(Self { input, printed, last: 0 })
    }

    /// Everything so far.
    pub(super) fn text(&self) -> String {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&printed).replace('\r', "")
    }

    /// Whether the guest is up.
    pub(super) fn is_up(&self) -> bool {
        self.text().contains(READY)
    }

    /// Sends a command of one line; its number.
    ///
    /// # Errors
    /// Nobody listens.
    pub(super) fn send(&mut self, command: &str) -> Result<u32> {
        anyhow::ensure!(!command.contains('\n'), "more than one line: {command}");
        self.last += 1;
        let line = format!("{} {command}\n", self.last);
        self.input.write_all(line.as_bytes()).context("the guest does not listen")?;
        self.input.flush()?;
        Ok(self.last)
    }

    /// What became of a command, if it has ended.
    pub(super) fn answer(&self, number: u32) -> Option<Answer> {
        read(&self.text(), number)
    }
}

/// Reads the answer to a command in what was printed.
fn read(text: &str, number: u32) -> Option<Answer> {
    let (_, text) = text.split_once(&format!("SMOKE BEGIN {number}\n"))?;
    let (text, rest) = text.split_once(&format!("SMOKE END {number} "))?;
    let (status, _) = rest.split_once('\n')?;
    Some(Answer { text: text.to_owned(), status: status.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_there_when_it_is_whole() {
        let text = "noise\nSMOKE BEGIN 1\none\ntwo\nSMOKE END 1 0\nSMOKE BEGIN 2\nSMOKE END 2 12\n";
        assert_eq!(read(text, 1), Some(Answer { text: "one\ntwo\n".to_owned(), status: 0 }));
        assert_eq!(read(text, 2), Some(Answer { text: String::new(), status: 12 }));
        assert_eq!(read(text, 3), None);
        for len in 0..text.find("SMOKE BEGIN 2").unwrap_or(0) - 1 {
            assert_eq!(read(&text[..len], 1), None, "{:?}", &text[..len]);
        }
    }

    #[test]
    fn an_output_without_an_end_of_line_is_taken_as_it_is() {
        let text = "SMOKE BEGIN 7\nno newlineSMOKE END 7 1\n";
        assert_eq!(read(text, 7), Some(Answer { text: "no newline".to_owned(), status: 1 }));
    }
}
