//! Giving buffers back in a packed ring, and notifications (spec §2.4, §2.5).

use core::sync::atomic::Ordering;

use super::PackedRing;
use crate::memory::LogMemory;
use crate::ring::layout::event::{DESCRIPTOR as AT_DESCRIPTOR, DISABLE, ENABLE, FLAGS, POSITION};
use crate::ring::layout::{DESCRIPTOR, flag};
use crate::ring::{Broken, Chain, PopError, PutError, PutReason, Ring, RingMemory, Token, Wish};

/// Offsets in a used descriptor.
const LEN_AT: u64 = 8;
const ID_AT: u64 = 12;
const FLAGS_AT: u64 = 14;

impl<B: RingMemory, L: LogMemory + ?Sized> Ring for PackedRing<'_, B, L> {
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
        let Some((slot, flags)) = self.life.held.take() else { return Ok(false) };
        self.store_flags(slot, flags)?;
        let size = self.life.setup.size.get();
        let new = self.life.next_used;
        let shown = new.since(self.life.published, size);
        self.life.out = self.life.out.wrapping_sub(shown);
        self.life.published = new;
        // Full: the flags are stored before the driver's wish is loaded. The driver stores its
        // wish before it loads the flags, so one of the two sees the other (§2.7).
        self.device.fence();
        let Some(old) = self.life.decided.replace(new.slot) else { return Ok(true) }; // VQ-050
        let structure = self.driver.load_u32(&self.guest, 0);
        let wish = Wish::of(self.fuse(structure)?, self.life.setup.features.event_idx);
        // Every update decides, so no more slots than the ring has lie between two decisions
        // (PK-034).
        Ok(wish.is_met(size, old, new.slot, new.wrap))
    }

    #[inline]
    fn arm(&mut self) -> Result<bool, Broken> {
        self.check()?;
        let flags = if self.life.setup.features.event_idx {
            let position = self.life.next_avail.encoded();
            let stored = self.device.store_u16(&self.guest, POSITION, position, Ordering::Relaxed);
            self.fuse(stored)?;
            AT_DESCRIPTOR
        } else {
            ENABLE
        };
        // Release: the position is there when the flags that refer to it are seen (§2.5).
        let stored = self.device.store_u16(&self.guest, FLAGS, flags, Ordering::Release);
        self.fuse(stored)?;
        self.mark_device(POSITION, 4);
        // Full: the wish is stored before the slot is looked at again. The driver stores the
        // flags of the slot before it loads the wish, so one of the two sees the other (PK-037).
        self.device.fence();
        self.is_available()
    }

    #[inline]
    fn disarm(&mut self) -> Result<(), Broken> {
        self.check()?;
        // Nothing is ordered by it: kicks may come all the same (VQ-047).
        let stored = self.device.store_u16(&self.guest, FLAGS, DISABLE, Ordering::Relaxed);
        self.fuse(stored)?;
        self.mark_device(FLAGS, 2);
        Ok(())
    }
}

impl<B: RingMemory, L: LogMemory + ?Sized> PackedRing<'_, B, L> {
    /// Writes the used descriptor of a buffer, or of the batch that ends with it (PK-031): it
    /// has the id of the last buffer and stands in the first slot.
    #[inline]
    fn give(&mut self, token: &Token, len: u32) -> Result<(), PutReason> {
        self.judge(token)?;
        if len > token.writable {
            return Err(PutReason::TooLong { len, writable: token.writable }); // VQ-039
        }
        self.judge_order(token)?;
        let used = self.life.next_used;
        let at = DESCRIPTOR * u64::from(used.slot);
        // The length is 0 when WRITE is clear: drivers read it all the same (PK-025). NEXT and
        // INDIRECT are clear (PK-026).
        let flags = used.used_flags() | if len > 0 { flag::WRITE } else { 0 };
        let stored = self.descriptors.store_u32(&self.guest, at + LEN_AT, len).and_then(|()| {
            self.descriptors.store_u16(&self.guest, at + ID_AT, token.id, Ordering::Relaxed)
        });
        self.fuse(stored).map_err(PutReason::Broken)?;
        self.mark_descriptor(at + LEN_AT, 8);
        if self.life.held.is_none() {
            // Held back until the others are written, so that the driver, which looks at the
            // slots in order, sees all or nothing (§2.4, PK-028).
            self.life.held = Some((used.slot, flags));
        } else {
            self.store_flags(used.slot, flags).map_err(PutReason::Broken)?;
        }
        let slots = self.life.skipped.wrapping_add(token.slots);
        self.life.skipped = 0;
        self.life.due = self.life.due.wrapping_add(1);
        self.life.next_used = used.after(slots, self.life.setup.size.get()); // PK-027
        Ok(())
    }

    /// Release: the length, the id and the data before them are there when the flags are seen
    /// (PK-024, §2.7; it pairs with the driver's read of the flags).
    #[inline]
    fn store_flags(&mut self, slot: u16, flags: u16) -> Result<(), Broken> {
        let at = DESCRIPTOR * u64::from(slot) + FLAGS_AT;
        let stored = self.descriptors.store_u16(&self.guest, at, flags, Ordering::Release);
        self.fuse(stored)?;
        self.mark_descriptor(at, 2);
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
        self.life.skipped = self.life.skipped.wrapping_add(token.slots);
        self.life.due = self.life.due.wrapping_add(1);
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
}
