//! Writes down what crosses a link, and makes scripts of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use vhost_fuzz_harness::recording::{self, Act, Call};

use super::lane::Piece;
use super::wire::Side;

/// The targets that have inputs made of a session. Their folders are named after them, so that
/// `cargo xtask corpus explain` knows what a file is.
const STREAM: &str = "msg_stream";
const SESSION: &str = "session";

/// What crossed a link so far, as its front-end saw it.
#[derive(Debug)]
pub(super) struct Tape {
    folder: PathBuf,
    name: String,
    calls: Vec<Call>,
}

impl Tape {
    /// Nothing has crossed the link of this name in a case.
    pub(super) fn new(folder: &Path, case: &str, link: &str) -> Self {
        Self { folder: folder.to_owned(), name: format!("{case}-{link}"), calls: Vec::new() }
    }

    /// A piece came from one side of a connection.
    pub(super) fn moved(&mut self, number: i64, side: Side, piece: &Piece) {
        let act = match side {
            Side::Front => Act::Send,
            Side::Back => Act::Receive,
        };
        let Piece { bytes, fds, is_truncated, .. } = piece;
        self.add(number, act, bytes, fds.len(), *is_truncated);
    }

    /// A connection is over.
    pub(super) fn closed(&mut self, number: i64) {
        self.add(number, Act::Close, &[], 0, false);
    }

    fn add(&mut self, fd: i64, act: Act, bytes: &[u8], fds: usize, control_truncated: bool) {
        let line = self.calls.len() + 1;
        let (bytes, len) = (bytes.to_vec(), bytes.len());
        self.calls.push(Call { line, fd, act, bytes, len, fds, control_truncated });
    }

    /// Writes the sessions: `msg_stream/CASE-LINK-N` as it was, in parts if it is long, and
    /// `session/CASE-LINK-N` with what the device offered in front.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn save(&self) -> Result<()> {
        for (number, session) in (1..).zip(recording::sessions(&self.calls)) {
            let name = format!("{}-{number}", self.name);
            for (part, script) in (1..).zip(recording::scripts(&session)) {
                let part = if part == 1 { String::new() } else { format!(".{part}") };
                self.write(STREAM, &format!("{name}{part}"), &script)?;
            }
            if let Some(script) = recording::conversation(&session) {
                self.write(SESSION, &name, &script)?;
            }
        }
        Ok(())
    }

    fn write(&self, target: &str, name: &str, script: &[u8]) -> Result<()> {
        let folder = self.folder.join(target);
        let path = folder.join(name);
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, script));
        written.with_context(|| format!("{} cannot be written", path.display()))
    }
}
