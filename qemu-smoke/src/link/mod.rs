//! The socket between a front-end and a back-end, and who stands in between.
//!
//! Nobody does, unless sessions are recorded or something is to go wrong on purpose. Then a
//! [`relay`] is at both ends: it passes on bytes and descriptors ([`wire`], [`lane`]), writes down
//! what it passes on ([`tape`]), and changes what a fault wants changed ([`tamper`]).

mod lane;
mod relay;
mod tamper;
mod tape;
mod wire;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
pub(crate) use vhost_fuzz_harness::program::is_listening;

use crate::trial::Trial;

/// What is done wrong on purpose, to see whether a case notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Every fifth call of the driver is lost.
    pub(crate) loses_calls: bool,
    /// The back-end says that it does not take the memory of the front-end, and takes it.
    pub(crate) denies_memory: bool,
    /// DHCP answers have another transaction's number.
    pub(crate) confuses_dhcp: bool,
}

impl Faults {
    /// Whether they are done by a relay. The others are done by a back-end.
    fn needs_relay(self) -> bool {
        self.loses_calls || self.denies_memory
    }
}

/// Two ends: what the front-end and what the back-end is told. They are the same path, unless
/// somebody stands between them, who is gone with the last copy of the link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) front: PathBuf,
    pub(crate) back: PathBuf,
    _relay: Option<Arc<relay::Handle>>,
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
    pub(crate) fn new(trial: &Trial, name: &str, listens: Listens) -> Result<Self> {
        let path = trial.path(name);
        let tape =
            trial.shared.record.as_ref().map(|folder| tape::Tape::new(folder, trial.name, name));
        let faults = trial.shared.faults;
        if tape.is_none() && !faults.needs_relay() {
            return Ok(Self { front: path.clone(), back: path, _relay: None });
        }
        let front = trial.path(&format!("{name}.f"));
        let relay = match listens {
            Listens::Back => relay::start(front.clone(), path.clone(), listens, faults, tape)?,
            Listens::Front => relay::start(path.clone(), front.clone(), listens, faults, tape)?,
        };
        Ok(Self { front, back: path, _relay: Some(Arc::new(relay)) })
    }

    /// Whether somebody listens at both paths: who connects is not refused.
    pub(crate) fn is_ready(&self) -> bool {
        is_listening(&self.front) && is_listening(&self.back)
    }
}
