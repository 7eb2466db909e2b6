//! The region of a split ring (spec §6.11).

use core::sync::atomic::{Ordering, fence};

use super::geometry::check_queue_size;
use super::region::Region;
use super::{AreaError, AreaMemory};

/// Offsets in bytes. The header has 16 bytes, each entry 16.
mod field {
    pub(super) const LAST_BATCH_HEAD: usize = 12;
    pub(super) const USED_IDX: usize = 14;
    pub(super) const ENTRIES: usize = 16;

    /// Offsets in an entry.
    pub(super) mod entry {
        pub(crate) const INFLIGHT: usize = 0;
        pub(crate) const NEXT: usize = 6;
        pub(crate) const COUNTER: usize = 8;
        pub(crate) const LEN: usize = 16;
    }
}
use field::entry;

/// Where a field of an entry is.
const fn at(index: u16, field: usize) -> usize {
    field::ENTRIES + index as usize * entry::LEN + field
}

/// What is known about a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Not fetched.
    Idle,
    /// Fetched, with this counter.
    InFlight(u64),
    /// In the batch that is being completed; the counter as above.
    Leaving(u64),
}

/// A region whose header is in order, left by another process or new.
#[derive(Debug)]
pub struct SplitRegion<M> {
    region: Region<M>,
}

impl<M: AreaMemory> SplitRegion<M> {
    /// Looks at the header of a region for a ring of `queue_size` descriptors, and initialises a
    /// region of version 0 (VU-183).
    ///
    /// # Errors
    /// [`AreaError::QueueSize`] (DC-031), [`AreaError::OutOfRange`] when the memory is too short
    /// (VU-182), [`AreaError::Version`] and [`AreaError::DescNum`] (DC-032).
    pub fn open(memory: M, queue_size: u16) -> Result<Self, AreaError> {
        Self::open_at(memory, queue_size, 0)
    }

    /// The same for a ring that may not begin at 0: `used_idx` is the index of its used ring,
    /// which a region that is initialised begins with. Otherwise it would tell of a batch that
    /// nobody recorded (DC-150).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_at(memory: M, queue_size: u16, used_idx: u16) -> Result<Self, AreaError> {
        check_queue_size(queue_size, false)?;
        let region =
            Region::open(memory, queue_size, at(queue_size, 0), |region| match used_idx {
                0 => Ok(()),
                _ => region.set_u16(field::USED_IDX, used_idx),
            })?;
        Ok(Self { region })
    }

    /// Whether the region was initialised by this call: no process has worked with it before.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.region.is_new()
    }

    /// Brings the region in step with a used ring whose index is `ring_used_idx` (VU-186).
    ///
    /// When the region's index is another, the process before this one had returned its last
    /// batch and may not have cleared its flags; the length of the batch is the difference. All
    /// of the batch is cleared, then the index is stored, so that a recovery that is cut off can
    /// be done again.
    ///
    /// # Errors
    /// [`AreaError::LastBatchHead`], [`AreaError::NextEntry`], [`AreaError::EntryTwice`],
    /// [`AreaError::BatchTooLong`] and [`AreaError::Counter`] (DC-033). The region is then as it
    /// was.
    pub fn recover(self, ring_used_idx: u16) -> Result<SplitArea<M>, AreaError> {
        let Self { region } = self;
        let size = region.queue_size();
        let last_batch_head = region.u16(field::LAST_BATCH_HEAD)?;
        if last_batch_head >= size {
            return Err(AreaError::LastBatchHead { entry: last_batch_head });
        }
        let used_idx = region.u16(field::USED_IDX)?;
        let mut heads = vec![Head::Idle; size.into()].into_boxed_slice();
        for (index, head) in (0..size).zip(&mut heads) {
            // Only 1 is "in flight" (DC-033).
            if region.u8(at(index, entry::INFLIGHT))? == 1 {
                *head = Head::InFlight(region.u64(at(index, entry::COUNTER))?);
            }
        }
        let mut list = Vec::with_capacity(size.into());
        let batch = ring_used_idx.wrapping_sub(used_idx);
        if batch <= size {
            last_batch(&region, last_batch_head, batch, &mut list)?;
        } else if heads.iter().any(|head| *head != Head::Idle) {
            return Err(AreaError::BatchTooLong { batch, queue_size: size });
        }
        for index in &list {
            if let Some(head) = heads.get_mut(usize::from(*index)) {
                *head = Head::Idle;
            }
        }
        let counter = next_counter(&heads)?;
        for index in list.drain(..) {
            region.set_u8(at(index, entry::INFLIGHT), 0)?;
        }
        if batch != 0 {
            region.set_u16(field::USED_IDX, ring_used_idx)?;
        }
        Ok(SplitArea { region, used_idx: ring_used_idx, last_batch_head, counter, heads, list })
    }
}

/// Lists the entries of the last batch, newest first: never more than the region has, and none
/// twice (SE05).
fn last_batch<M: AreaMemory>(
    region: &Region<M>,
    head: u16,
    len: u16,
    list: &mut Vec<u16>,
) -> Result<(), AreaError> {
    let size = region.queue_size();
    let mut seen = vec![false; size.into()];
    let mut index = head;
    for step in 0..len.min(size) {
        if step > 0 {
            let next = region.u16(at(index, entry::NEXT))?;
            if next >= size {
                return Err(AreaError::NextEntry { entry: index, next });
            }
            index = next;
        }
        match seen.get_mut(usize::from(index)) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(AreaError::EntryTwice { entry: index }),
        }
        list.push(index);
    }
    Ok(())
}

/// The counter of the next fetch: one more than any in flight.
fn next_counter(heads: &[Head]) -> Result<u64, AreaError> {
    let counters = heads.iter().filter_map(|head| match head {
        Head::InFlight(counter) | Head::Leaving(counter) => Some(*counter),
        Head::Idle => None,
    });
    counters
        .max()
        .map_or(Ok(0), |counter| counter.checked_add(1).ok_or(AreaError::Counter { counter }))
}

/// The region of a running split ring.
///
/// Dropping it changes nothing in the region: requests in flight stay recorded, which is what
/// `GET_VRING_BASE` with skip-drain needs (VU-095).
#[derive(Debug)]
pub struct SplitArea<M> {
    region: Region<M>,
    /// The used index of the ring, and of the region between two calls.
    used_idx: u16,
    last_batch_head: u16,
    /// What the next fetch is numbered with.
    counter: u64,
    heads: Box<[Head]>,
    /// What [`pending`](Self::pending) returns; it has room for every head from the start.
    list: Vec<u16>,
}

impl<M: AreaMemory> SplitArea<M> {
    /// The memory of the region.
    #[must_use]
    pub const fn memory(&self) -> &M {
        self.region.memory()
    }

    /// The index that the used ring has after everything that was completed.
    #[must_use]
    pub const fn used_idx(&self) -> u16 {
        self.used_idx
    }

    /// Heads in flight, in the order in which they were fetched (VU-187); of equal counters the
    /// lower head comes first. After [`SplitRegion::recover`] these are to be done again. They
    /// are recorded already: only heads that come from the available ring are fetched.
    pub fn pending(&mut self) -> &[u16] {
        let Self { heads, list, .. } = self;
        list.clear();
        let in_flight = |head: &Head| !matches!(head, Head::Idle);
        list.extend(
            (0..).zip(&**heads).filter(|(_, head)| in_flight(head)).map(|(index, _)| index),
        );
        list.sort_unstable_by_key(|index| match heads.get(usize::from(*index)) {
            Some(Head::InFlight(counter) | Head::Leaving(counter)) => (*counter, *index),
            Some(Head::Idle) | None => (u64::MAX, *index),
        });
        list
    }

    /// Records a head that was taken from the available ring (VU-184).
    ///
    /// # Errors
    /// [`AreaError::Head`], [`AreaError::AlreadyInFlight`], and [`AreaError::Counter`] when 2^64
    /// requests were fetched (DC-033).
    pub fn fetch(&mut self, head: u16) -> Result<(), AreaError> {
        let queue_size = self.region.queue_size();
        let slot = self.heads.get_mut(usize::from(head));
        let slot = slot.ok_or(AreaError::Head { head, queue_size })?;
        if *slot != Head::Idle {
            return Err(AreaError::AlreadyInFlight { head });
        }
        let counter = self.counter;
        let next = counter.checked_add(1).ok_or(AreaError::Counter { counter })?;
        // The counter first: a flag without it would put the request in a wrong place.
        self.region.set_u64(at(head, entry::COUNTER), counter)?;
        self.region.set_u8(at(head, entry::INFLIGHT), 1)?;
        *slot = Head::InFlight(counter);
        self.counter = next;
        Ok(())
    }

    /// Takes a [`fetch`](Self::fetch) back: the head is the next of the available ring again
    /// (DC-153). The counter goes on, because only its order counts.
    ///
    /// # Errors
    /// [`AreaError::Head`] and [`AreaError::NotInFlight`] (DC-033).
    pub fn unfetch(&mut self, head: u16) -> Result<(), AreaError> {
        let queue_size = self.region.queue_size();
        let slot = self.heads.get_mut(usize::from(head));
        let slot = slot.ok_or(AreaError::Head { head, queue_size })?;
        if !matches!(slot, Head::InFlight(_)) {
            return Err(AreaError::NotInFlight { head });
        }
        self.region.set_u8(at(head, entry::INFLIGHT), 0)?;
        *slot = Head::Idle;
        Ok(())
    }

    /// Completes a batch of heads, whose elements the used ring has already (VU-185).
    ///
    /// `publish` is called once, between the two halves of the work on the region. It stores the
    /// number that it is given in the index of the used ring, as a release store, and returns
    /// an error only when it did not; then the whole batch stays in flight. For an empty batch it
    /// is not called.
    ///
    /// # Errors
    /// [`AreaError::Head`] and [`AreaError::NotInFlight`] (DC-033), before anything is stored;
    /// what `publish` returns.
    pub fn complete<E: From<AreaError>>(
        &mut self,
        heads: &[u16],
        publish: impl FnOnce(u16) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(len) = self.claim(heads)? else { return Ok(()) };
        let used_idx = self.used_idx.wrapping_add(len);
        if let Err(error) = self.chain(heads).map_err(E::from).and_then(|()| {
            // The list of the batch is in the region before the driver, or a successor of this
            // process, can see the index move.
            fence(Ordering::Release);
            publish(used_idx)
        }) {
            self.unclaim(heads);
            return Err(error);
        }
        self.used_idx = used_idx;
        // Release stores: after the index of the ring. The region's own index comes last,
        // because it says that all flags of the batch are clear.
        for head in heads {
            self.region.set_u8(at(*head, entry::INFLIGHT), 0)?;
            if let Some(slot) = self.heads.get_mut(usize::from(*head)) {
                *slot = Head::Idle;
            }
        }
        self.region.set_u16(field::USED_IDX, used_idx)?;
        Ok(())
    }

    /// Marks the heads of a batch as leaving, or none of them; returns how many there are.
    fn claim(&mut self, heads: &[u16]) -> Result<Option<u16>, AreaError> {
        let queue_size = self.region.queue_size();
        let mut len: u16 = 0;
        for (position, head) in heads.iter().enumerate() {
            let error = match self.heads.get_mut(usize::from(*head)) {
                Some(slot) => match *slot {
                    Head::InFlight(counter) => {
                        *slot = Head::Leaving(counter);
                        len = len.saturating_add(1);
                        continue;
                    }
                    Head::Idle | Head::Leaving(_) => AreaError::NotInFlight { head: *head },
                },
                None => AreaError::Head { head: *head, queue_size },
            };
            self.unclaim(heads.get(..position).unwrap_or_default());
            return Err(error);
        }
        Ok((len > 0).then_some(len))
    }

    fn unclaim(&mut self, heads: &[u16]) {
        for head in heads {
            if let Some(slot) = self.heads.get_mut(usize::from(*head))
                && let Head::Leaving(counter) = *slot
            {
                *slot = Head::InFlight(counter);
            }
        }
    }

    /// Puts the batch in front of the list of used entries.
    fn chain(&mut self, heads: &[u16]) -> Result<(), AreaError> {
        for head in heads {
            self.region.set_u16(at(*head, entry::NEXT), self.last_batch_head)?;
            self.region.set_u16(field::LAST_BATCH_HEAD, *head)?;
            self.last_batch_head = *head;
        }
        Ok(())
    }
}
