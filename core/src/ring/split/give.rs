//! Giving buffers back in a split ring, and notifications (spec §1.6, §1.7, §1.9).

use core::sync::atomic::Ordering;

use super::SplitRing;
use crate::memory::LogMemory;
use crate::ring::layout::split::{FLAGS, INDEX, QUIET, available, used};
use crate::ring::{
    Broken, Chain, PopError, PutError, PutReason, Ring, RingMemory, Token, need_event,
};

impl<B: RingMemory, L: LogMemory + ?Sized> Ring for SplitRing<'_, B, L> {
    #[inline]
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        self.take(chain)
    }

    #[inline]
    fn unpop(&mut self, token: Token) -> Result<(), PutError> {
        match self.untake(&token) {
            Ok(()) => Ok(()),
            Err(reason) => Err(PutError { token, reason }),
        }
    }

    #[inline]
    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError> {
        match self.give(&token, len) {
            Ok(()) => Ok(()),
            Err(reason) => Err(PutError { token, reason }),
        }
    }

    #[inline]
    fn skip(&mut self, token: Token) -> Result<(), PutError> {
        match self.join_batch(&token) {
            Ok(()) => Ok(()),
            Err(reason) => Err(PutError { token, reason }),
        }
    }

    #[inline]
    fn publish(&mut self) -> Result<bool, Broken> {
        self.check()?;
        let new = self.life.next_used;
        if new == self.life.published {
            return Ok(false);
        }
        // Release: the elements, and the data before them, are there when the index is seen
        // (VQ-036, VQ-037, VQ-049, §1.6; it pairs with the driver's read of the index).
        let stored = self.used.store_u16(&self.guest, INDEX, new, Ordering::Release);
        self.fuse(stored)?;
        self.mark(INDEX, 2);
        self.life.published = new;
        // Full: the index is stored before the driver's wish is loaded. The driver stores its
        // wish before it loads the index, so one of the two sees the other (§1.8).
        self.used.fence();
        let Some(old) = self.life.decided.replace(new) else { return Ok(true) }; // VQ-050
        let wanted = self.is_call_wanted(old, new);
        self.fuse(wanted)
    }

    #[inline]
    fn arm(&mut self) -> Result<bool, Broken> {
        self.check()?;
        let next = self.life.next_avail;
        let (at, value) = if self.life.setup.features.event_idx {
            (used(self.life.setup.size.get()), next)
        } else {
            (FLAGS, 0)
        };
        let stored = self.used.store_u16(&self.guest, at, value, Ordering::Relaxed);
        self.fuse(stored)?;
        self.mark(at, 2);
        // Full: the wish is stored before the index is loaded again. The driver moves the index
        // before it loads the wish, so one of the two sees the other (VQ-048, §1.8).
        self.used.fence();
        Ok(self.load_index()? != next)
    }

    #[inline]
    fn disarm(&mut self) -> Result<(), Broken> {
        self.check()?;
        if self.life.setup.features.event_idx {
            // A stale avail_event is enough, and the flags stay 0 (VQ-042).
            return Ok(());
        }
        // Nothing is ordered by it: kicks may come all the same (VQ-047).
        let stored = self.used.store_u16(&self.guest, FLAGS, QUIET, Ordering::Relaxed);
        self.fuse(stored)?;
        self.mark(FLAGS, 2);
        Ok(())
    }
}

impl<B: RingMemory, L: LogMemory + ?Sized> SplitRing<'_, B, L> {
    /// Writes the element of a buffer, or of the batch that ends with it (VQ-058).
    #[inline]
    fn give(&mut self, token: &Token, len: u32) -> Result<(), PutReason> {
        self.judge(token)?;
        if len > token.writable {
            return Err(PutReason::TooLong { len, writable: token.writable }); // VQ-039
        }
        self.judge_order(token)?;
        let at = used(self.slot(self.life.next_used));
        let element = u64::from(token.id) | u64::from(len) << 32;
        let stored = self.used.store_u64(&self.guest, at, element);
        self.fuse(stored).map_err(PutReason::Broken)?;
        self.mark(at, 8);
        let buffers = self.life.skipped.wrapping_add(1);
        self.life.next_used = self.life.next_used.wrapping_add(buffers);
        self.life.skipped = 0;
        self.life.due = self.life.due.wrapping_add(1);
        self.release(token.id);
        Ok(())
    }

    /// Takes a buffer into the batch that the next one ends.
    fn join_batch(&mut self, token: &Token) -> Result<(), PutReason> {
        self.check().map_err(PutReason::Broken)?;
        if !self.life.setup.features.in_order {
            return Err(PutReason::NotInOrder);
        }
        self.judge(token)?;
        self.judge_order(token)?;
        if token.writable > 0 {
            return Err(PutReason::NotReadOnly { writable: token.writable }); // VQ-059
        }
        self.life.skipped = self.life.skipped.wrapping_add(1);
        self.life.due = self.life.due.wrapping_add(1);
        self.release(token.id);
        Ok(())
    }

    /// A token is of this life of the queue.
    #[inline]
    pub(super) fn judge(&self, token: &Token) -> Result<(), PutReason> {
        self.check().map_err(PutReason::Broken)?;
        if token.epoch == self.epoch { Ok(()) } else { Err(PutReason::Stale) } // VQ-053
    }

    /// With `IN_ORDER`, a token is the oldest (VQ-056).
    #[inline]
    fn judge_order(&self, token: &Token) -> Result<(), PutReason> {
        if self.life.setup.features.in_order && token.sequence != self.life.due {
            return Err(PutReason::OutOfOrder);
        }
        Ok(())
    }

    /// Whether the driver wants a call after an update from `old` to `new` (VQ-043 to VQ-046).
    #[inline]
    fn is_call_wanted(&self, old: u16, new: u16) -> Result<bool, Broken> {
        let setup = &self.life.setup;
        if setup.features.event_idx {
            let at = available(setup.size.get());
            let event = self.available.load_u16(&self.guest, at, Ordering::Relaxed)?;
            Ok(need_event(event, new, old))
        } else {
            let flags = self.available.load_u16(&self.guest, FLAGS, Ordering::Relaxed)?;
            Ok(flags & QUIET == 0)
        }
    }
}
