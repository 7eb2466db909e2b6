//! Ctrl-C: counted here, acted on by whoever waits for a child process.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};

/// The exit code of a command that Ctrl-C ended.
pub(super) const EXIT_CODE: u8 = 130;

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// From now on, SIGINT, SIGTERM and SIGHUP are counted and end nothing by themselves.
///
/// # Errors
///
/// When the handler cannot be installed.
pub(super) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        COUNT.fetch_add(1, Ordering::Relaxed);
    })
    .context("cannot install the handler for Ctrl-C")
}

/// How often the user asked to stop: once means cleanly, more often means now.
pub(super) fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// The error of a step that was stopped and has nothing to show for it.
#[derive(Debug)]
pub(super) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped by Ctrl-C")
    }
}

impl std::error::Error for Interrupted {}
