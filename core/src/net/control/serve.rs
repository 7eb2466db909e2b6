//! A command in a chain of the control queue.

use core::fmt;

use super::state::{Control, Outcome};
use crate::memory::LogMemory;
use crate::ring::{AccessError, Chain, Guest, RingMemory};
use crate::rule::Rule;

/// A command that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// What became of it.
    pub outcome: Outcome,
    /// Bytes that were written: the ack and the result (NET-036).
    pub used_len: u32,
}

/// Why a command was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServeError {
    /// There is no room for the ack. The chain goes back with length 0.
    NoAck,
    /// Its memory is not there, or not yet. After a [`Miss`](AccessError::Miss) the chain can be
    /// served again.
    Access(AccessError),
}

impl ServeError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::NoAck => Rule::net(37),
            Self::Access(error) => error.rule(),
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAck => write!(f, "a command without room for its ack: {}", self.rule()),
            Self::Access(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ServeError {}

impl From<AccessError> for ServeError {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

impl Control {
    /// Handles the command in a chain, and writes result and ack.
    ///
    /// The command has taken effect before its ack is written. If that cannot be written, the
    /// chain may be served again: every command that is done twice is as if it were done once.
    ///
    /// # Errors
    /// The chain is not answered.
    pub fn serve<B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        chain: &Chain,
        guest: &Guest<'_, B, L>,
    ) -> Result<Served, ServeError> {
        // NET-037
        let (mut ack, mut result) = chain.writer(guest).split_at(1).ok_or(ServeError::NoAck)?;
        let outcome = self.handle(&mut chain.reader(guest), &mut result)?;
        ack.write(&[outcome.ack()])?;
        Ok(Served { outcome, used_len: outcome.used_len() })
    }
}
