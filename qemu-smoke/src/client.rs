//! The command `client`: our front-end against any back-end that listens.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::front::Negotiation;

/// Negotiates, and prints what the back-end says of itself.
///
/// # Errors
/// Nobody listens, or it does not do as it should.
pub(crate) fn run(socket: &Path) -> Result<ExitCode> {
    println!("{}", Negotiation::of(socket)?);
    Ok(ExitCode::SUCCESS)
}
