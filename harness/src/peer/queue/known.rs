//! What both sides were told and have done, as far as they agreed.

use super::walk::Start;

/// A chain that was taken and not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its head.
    pub head: u16,
    /// Bytes that can be reported as written; none for a malformed chain.
    pub writable: u32,
    /// Bytes that were written from its beginning.
    pub written: u32,
}

/// A ring that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What it was started with.
    pub start: Start,
    /// Next available index.
    pub next: u16,
    /// Used index, of what was given back.
    pub used: u16,
    /// Whether there was a decision about a notification since the start.
    pub is_decided: bool,
    /// What was taken and not given back, oldest first.
    pub in_flight: Vec<Owed>,
}

impl Known {
    /// Whether a head was taken and not given back.
    #[must_use]
    pub fn is_in_flight(&self, head: u16) -> bool {
        self.in_flight.iter().any(|owed| owed.head == head)
    }
}
