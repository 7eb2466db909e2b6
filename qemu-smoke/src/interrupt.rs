//! Ctrl-C: everything ends in order, what was started too.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::process;

static IS_OVER: AtomicBool = AtomicBool::new(false);

/// From now on an interrupt or a request to terminate is noticed by [`check`].
///
/// # Errors
/// The system does not allow it.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        IS_OVER.store(true, Ordering::SeqCst);
        // Whoever waits for one of them stops waiting.
        process::kill_all();
    })
    .context("signals cannot be handled")
}

/// Whether it is time to end.
pub(crate) fn is_over() -> bool {
    IS_OVER.load(Ordering::SeqCst)
}

/// # Errors
/// It is time to end.
pub(crate) fn check() -> Result<()> {
    if is_over() {
        bail!("interrupted");
    }
    Ok(())
}
