//! A ring of either layout.

use super::{
    ActivateError, BindError, Broken, Chain, Guest, Layout, PackedQueue, PackedRing, PopError,
    Position, PutError, Ring, RingMemory, Setup, SplitQueue, SplitRing, Token,
};
use crate::memory::{LogMemory, RingSize};

/// The device's side of a ring whose layout is negotiated.
#[derive(Debug)]
pub enum Queue {
    /// Split.
    Split(SplitQueue),
    /// Packed.
    Packed(PackedQueue),
}

/// Calls a method of whichever it is.
macro_rules! either {
    ($queue:expr, $kind:ident, $it:ident => $call:expr) => {
        match $queue {
            $kind::Split($it) => $call,
            $kind::Packed($it) => $call,
        }
    };
}

impl Queue {
    /// A stopped queue of at most `max` entries.
    #[must_use]
    pub fn new(layout: Layout, max: RingSize) -> Self {
        match layout {
            Layout::Split => Self::Split(SplitQueue::new(max)),
            Layout::Packed => Self::Packed(PackedQueue::new(max)),
        }
    }

    /// Its layout.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        match self {
            Self::Split(_) => Layout::Split,
            Self::Packed(_) => Layout::Packed,
        }
    }

    /// Starts the queue; see [`SplitQueue::activate`] and [`PackedQueue::activate`].
    ///
    /// # Errors
    /// See [`ActivateError`]; then the queue is stopped.
    pub fn activate<B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_, B, L>,
    ) -> Result<(), ActivateError> {
        either!(self, Self, queue => queue.activate(setup, position, guest))
    }

    /// Begins a wake-up.
    ///
    /// # Errors
    /// The queue is stopped or broken, or a part of it is not in memory now.
    #[inline]
    pub fn bind<'r, B: RingMemory, L: LogMemory + ?Sized>(
        &'r mut self,
        guest: &Guest<'r, B, L>,
    ) -> Result<QueueRing<'r, B, L>, BindError> {
        Ok(match self {
            Self::Split(queue) => QueueRing::Split(queue.bind(guest)?),
            Self::Packed(queue) => QueueRing::Packed(queue.bind(guest)?),
        })
    }

    /// Stops the queue and tells where it goes on; `None` when it is stopped.
    pub fn stop(&mut self) -> Option<Position> {
        either!(self, Self, queue => queue.stop())
    }

    /// Where the queue is; `None` when it is stopped.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        either!(self, Self, queue => queue.position())
    }

    /// Stops the queue and forgets its state.
    pub fn reset(&mut self) {
        either!(self, Self, queue => queue.reset());
    }

    /// Buffers (split) or slots (packed) that the driver has not seen used, as far as the device
    /// knows; at most the size of the ring.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        either!(self, Self, queue => queue.in_flight())
    }

    /// Why the queue is broken, if it is.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        either!(self, Self, queue => queue.broken())
    }

    /// Switches the log of writes to the ring on or off.
    pub fn set_log(&mut self, address: Option<u64>) {
        either!(self, Self, queue => queue.set_log(address));
    }
}

/// A ring of either layout during one wake-up.
#[derive(Debug)]
pub enum QueueRing<'r, B: RingMemory + 'r, L: ?Sized> {
    /// Split.
    Split(SplitRing<'r, B, L>),
    /// Packed.
    Packed(PackedRing<'r, B, L>),
}

impl<'r, B: RingMemory, L: LogMemory + ?Sized> QueueRing<'r, B, L> {
    /// The memory that the ring was bound to.
    #[must_use]
    #[inline]
    pub const fn guest(&self) -> Guest<'r, B, L> {
        either!(self, Self, ring => ring.guest())
    }
}

impl<B: RingMemory, L: LogMemory + ?Sized> Ring for QueueRing<'_, B, L> {
    #[inline]
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        either!(self, Self, ring => ring.pop(chain))
    }

    #[inline]
    fn unpop(&mut self, token: Token) -> Result<(), PutError> {
        either!(self, Self, ring => ring.unpop(token))
    }

    #[inline]
    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError> {
        either!(self, Self, ring => ring.put(token, len))
    }

    #[inline]
    fn skip(&mut self, token: Token) -> Result<(), PutError> {
        either!(self, Self, ring => ring.skip(token))
    }

    #[inline]
    fn publish(&mut self) -> Result<bool, Broken> {
        either!(self, Self, ring => ring.publish())
    }

    #[inline]
    fn arm(&mut self) -> Result<bool, Broken> {
        either!(self, Self, ring => ring.arm())
    }

    #[inline]
    fn disarm(&mut self) -> Result<(), Broken> {
        either!(self, Self, ring => ring.disarm())
    }
}
