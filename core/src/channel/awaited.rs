//! Which replies are due, in which order.

use core::fmt;
use std::collections::VecDeque;

use crate::rule::Rule;

/// The requests whose replies are outstanding, oldest first. Replies come in the order of their
/// requests (VU-010), so only the oldest can be answered.
#[derive(Debug)]
pub(crate) struct Awaited<T> {
    queue: VecDeque<(u32, T)>,
    limit: usize,
}

impl<T: Copy> Awaited<T> {
    /// Room for `limit` requests, allocated once.
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: VecDeque::with_capacity(limit), limit }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.limit
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Remembers a request and a note about it. Tells whether there was room.
    pub(crate) fn push(&mut self, code: u32, note: T) -> bool {
        if self.is_full() {
            return false;
        }
        self.queue.push_back((code, note));
        true
    }

    /// A reply to message `code` came: takes the oldest request, if it is that.
    pub(crate) fn answer(&mut self, code: u32) -> Result<T, OrderError> {
        let Some(&(oldest, note)) = self.queue.front() else {
            return Err(OrderError::Unasked { code });
        };
        if oldest == code {
            self.queue.pop_front();
            Ok(note)
        } else if self.queue.iter().any(|(waiting, _)| *waiting == code) {
            Err(OrderError::OutOfOrder { code, oldest })
        } else {
            Err(OrderError::WrongId { code, oldest })
        }
    }
}

/// A reply that does not answer the oldest request that waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderError {
    /// No request waits for a reply.
    Unasked {
        /// Message id of the reply.
        code: u32,
    },
    /// No request of this id waits for a reply.
    WrongId {
        /// Message id of the reply.
        code: u32,
        /// Message id of the oldest request that waits.
        oldest: u32,
    },
    /// Another request of this id waits, but an older one comes first.
    OutOfOrder {
        /// Message id of the reply.
        code: u32,
        /// Message id of the oldest request that waits.
        oldest: u32,
    },
}

impl OrderError {
    /// The requirement that the reply breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::WrongId { .. } => Rule::vu(9),
            Self::Unasked { .. } | Self::OutOfOrder { .. } => Rule::vu(10),
        }
    }
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unasked { code } => write!(f, "a reply to request {code} that nobody waits for"),
            Self::WrongId { code, oldest } | Self::OutOfOrder { code, oldest } => {
                write!(f, "a reply to request {code} where request {oldest} is to be answered")
            }
        }
    }
}

impl core::error::Error for OrderError {}
