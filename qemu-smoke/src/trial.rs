//! What a case is given, and what it tells.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::image::Image;
use crate::interrupt;
use crate::link::Faults;
use crate::process::PAUSE;
use crate::tools::Tools;

/// A point in time at which waiting ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The same, or so long from now if that is earlier.
    pub(crate) fn within(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// What is left.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Looks again and again until there is something.
    ///
    /// # Errors
    /// What looking says; time is over; Ctrl-C.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let begin = Instant::now();
        loop {
            interrupt::check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if self.left().is_zero() {
                bail!("{what}, after {:.1} s", begin.elapsed().as_secs_f64());
            }
            std::thread::sleep(PAUSE.min(self.left()));
        }
    }
}

/// What a case needs, and the other side does not offer: it has tried nothing.
#[derive(Debug)]
pub(crate) struct NotOffered(pub(crate) &'static str);

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not offered: {}", self.0)
    }
}

impl std::error::Error for NotOffered {}

/// What all cases of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What is installed.
    pub(crate) tools: Tools,
    /// The guest, if there is a kernel for it.
    pub(crate) image: Option<Image>,
    /// Where sessions are saved.
    pub(crate) record: Option<PathBuf>,
    /// Where the report of the pipeline goes.
    pub(crate) report: Option<PathBuf>,
    /// What is wrong on purpose.
    pub(crate) faults: Faults,
}

/// A case that runs.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The name of the case.
    pub(crate) name: &'static str,
    /// What it may write to: sockets, images and logs.
    folder: PathBuf,
    pub(crate) shared: Arc<Shared>,
    /// When it has to be over.
    pub(crate) deadline: Deadline,
    facts: Vec<(String, String)>,
}

impl Trial {
    pub(crate) fn new(
        name: &'static str,
        folder: PathBuf,
        shared: Arc<Shared>,
        limit: Duration,
    ) -> Self {
        Self { name, folder, shared, deadline: Deadline::after(limit), facts: Vec::new() }
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts something that was seen into the report.
    pub(crate) fn note(&mut self, what: &str, value: impl Into<String>) {
        self.facts.push((what.to_owned(), value.into()));
    }

    /// What was seen.
    pub(crate) fn facts(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.facts)
    }

    /// The guest.
    ///
    /// # Errors
    /// There is none, which the suite has seen before if the case says that it needs one.
    pub(crate) fn image(&self) -> Result<&Image> {
        self.shared.image.as_ref().ok_or_else(|| anyhow::anyhow!("there is no guest image"))
    }
}
