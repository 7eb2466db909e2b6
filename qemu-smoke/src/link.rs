//! The socket between a front-end and a back-end.

use std::path::PathBuf;

use anyhow::Result;

use crate::trial::Trial;

/// What is done wrong on purpose, to see whether a case notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {}

/// Two ends: what the front-end and what the back-end is told. They are the same path, unless
/// somebody stands between them.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) front: PathBuf,
    pub(crate) back: PathBuf,
}

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listens {
    /// The front-end, and the back-end connects.
    Front,
    /// The back-end, and the front-end connects.
    Back,
}

impl Link {
    /// A link of its own for each name in a case.
    ///
    /// # Errors
    /// Nobody can stand between.
    pub(crate) fn new(trial: &Trial, name: &str, _listens: Listens) -> Result<Self> {
        let path = trial.path(name);
        Ok(Self { front: path.clone(), back: path })
    }
}
