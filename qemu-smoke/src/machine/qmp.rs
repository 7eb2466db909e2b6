//! QEMU's own protocol: commands and answers in JSON, a line each.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::trial::Deadline;

/// A connection.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

/// How long QEMU may take for one answer.
const LIMIT: Duration = Duration::from_secs(20);

impl Qmp {
    /// Says what QEMU wants to hear first.
    ///
    /// # Errors
    /// It is not QEMU.
    pub(super) fn new(stream: UnixStream, deadline: Deadline) -> Result<Self> {
        let limit = LIMIT.min(deadline.left()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(limit))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        let greeting = qmp.read()?;
        anyhow::ensure!(greeting.get("QMP").is_some(), "not QMP: {greeting}");
        qmp.command("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Gives a command, and waits for its answer.
    ///
    /// # Errors
    /// What QEMU says against it.
    pub(crate) fn command(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        let line = json!({ "execute": name, "arguments": arguments }).to_string() + "\n";
        self.stream.get_mut().write_all(line.as_bytes()).context("QMP")?;
        loop {
            let mut answer = self.read()?;
            if let Some(error) = answer.get("error") {
                bail!("QMP {name}: {}", error["desc"].as_str().unwrap_or("an error"));
            }
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
            // What is neither is an event that nobody waits for.
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).context("QMP")?;
        anyhow::ensure!(count > 0, "QMP: QEMU is gone");
        serde_json::from_str(&line).with_context(|| format!("QMP: {line:?}"))
    }
}
