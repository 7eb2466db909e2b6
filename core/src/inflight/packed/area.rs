//! The region of a running packed ring.

use core::iter;
use core::sync::atomic::{Ordering, fence};

use super::super::region::Region;
use super::super::{AreaError, AreaMemory};
use super::{Descriptor, Position, Positions, Slot, State, at, entry, field};

/// The region of a running packed ring. A request is named by its first entry, which is not an
/// index of the ring and not a buffer id.
///
/// Dropping it changes nothing in the region: requests in flight stay recorded, which is what
/// `GET_VRING_BASE` with skip-drain needs (VU-095).
#[derive(Debug)]
pub struct PackedArea<M> {
    region: Region<M>,
    slots: Box<[Slot]>,
    /// What [`pending`](Self::pending) returns; it has room for every entry from the start.
    list: Vec<u16>,
    free_head: u16,
    /// Entries of the free list.
    free: u16,
    used: Position,
    /// What the next fetch is numbered with.
    counter: u64,
}

impl<M: AreaMemory> PackedArea<M> {
    /// Takes over a recovered region; `free` lists the free entries and has room for all.
    pub(super) fn new(
        region: Region<M>,
        slots: Box<[Slot]>,
        free: Vec<u16>,
        free_head: u16,
        used: Position,
        counter: u64,
    ) -> Self {
        // The list has no entry twice, so it is no longer than the queue.
        let count = u16::try_from(free.len()).unwrap_or(0);
        Self { region, slots, list: free, free_head, free: count, used, counter }
    }

    /// The memory of the region.
    #[must_use]
    pub const fn memory(&self) -> &M {
        self.region.memory()
    }

    /// Descriptors of all requests in flight: how far the ring has been taken beyond
    /// [`used`](Self::used).
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        let requests = self.slots.iter().filter(|slot| slot.state != State::Other);
        // No entry is in two requests, so the sum is at most the size of the queue.
        requests.fold(0, |sum, slot| slot.num.saturating_add(sum))
    }

    /// Where the next used descriptor is written.
    #[must_use]
    pub const fn used(&self) -> Position {
        self.used
    }

    /// Moves an idle ring, for example to the base that `SET_VRING_BASE` gave.
    ///
    /// # Errors
    /// [`AreaError::UsedIndex`] when the index is outside the ring, [`AreaError::Busy`] when
    /// requests are in flight: their used descriptors belong where the ring was (DC-034).
    pub fn start_at(&mut self, used: Position) -> Result<(), AreaError> {
        if used.index >= self.region.queue_size() {
            return Err(AreaError::UsedIndex { index: used.index });
        }
        let in_flight = self.pending().len();
        if used != self.used && in_flight > 0 {
            return Err(AreaError::Busy { in_flight });
        }
        Positions { used, old: used }.write(&self.region)?;
        self.used = used;
        Ok(())
    }

    /// First entries of the requests in flight, in the order in which they were fetched
    /// (VU-187); of equal counters the lower entry comes first. After
    /// [`PackedRegion::recover`](super::PackedRegion::recover) these are to be done again, with
    /// the descriptors that the region kept.
    pub fn pending(&mut self) -> &[u16] {
        let Self { slots, list, .. } = self;
        list.clear();
        let in_flight = |slot: &Slot| slot.state != State::Other;
        list.extend(
            (0..).zip(&**slots).filter(|(_, slot)| in_flight(slot)).map(|(index, _)| index),
        );
        list.sort_unstable_by_key(|index| match slots.get(usize::from(*index)).map(|s| s.state) {
            Some(State::InFlight(counter) | State::Leaving(counter)) => (counter, *index),
            Some(State::Other) | None => (u64::MAX, *index),
        });
        list
    }

    /// Descriptors of the request at an entry, read from the region while they are asked for:
    /// the front-end could have changed them, so they are judged as those of the ring are.
    ///
    /// # Errors
    /// [`AreaError::Head`] and [`AreaError::NotInFlight`] (DC-033).
    pub fn descriptors(
        &self,
        entry: u16,
    ) -> Result<impl Iterator<Item = Result<Descriptor, AreaError>> + use<'_, M>, AreaError> {
        let num = self.request(entry)?.num;
        let entries = iter::successors(Some(entry), |index| Some(self.slot(*index)?.next));
        let read = |index| Descriptor::read(&self.region, index);
        Ok(entries.take(num.into()).map(read))
    }

    /// Records a request that was taken from the ring, with all its descriptors, and returns its
    /// first entry.
    ///
    /// The store of `old_free_head` makes it count: before it, the entries are still in the old
    /// free list, and the next process takes them back.
    ///
    /// # Errors
    /// [`AreaError::NoRoom`], and [`AreaError::Counter`] when 2^64 requests were fetched (DC-033).
    pub fn fetch(&mut self, descriptors: &[Descriptor]) -> Result<u16, AreaError> {
        let need = descriptors.len();
        let num = match u16::try_from(need) {
            Ok(num) if num != 0 && num <= self.free => num,
            _ => return Err(AreaError::NoRoom { need, free: self.free }),
        };
        let counter = self.counter;
        let next_counter = counter.checked_add(1).ok_or(AreaError::Counter { counter })?;
        let head = self.free_head;
        self.region.set_u16(at(head, entry::NUM), 0)?;
        self.region.set_u64(at(head, entry::COUNTER), counter)?;
        self.region.set_u8(at(head, entry::INFLIGHT), 1)?;
        let (mut index, mut last) = (head, head);
        for (count, descriptor) in (1..=num).zip(descriptors) {
            last = index;
            if count == num {
                self.region.set_u16(at(head, entry::LAST), last)?;
            }
            self.region.set_u16(at(head, entry::NUM), count)?;
            descriptor.write(&self.region, index)?;
            index = self.slot(index).map_or(self.region.queue_size(), |slot| slot.next);
            self.region.set_u16(field::FREE_HEAD, index)?;
        }
        self.region.set_u16(field::OLD_FREE_HEAD, index)?;
        if let Some(slot) = self.slots.get_mut(usize::from(head)) {
            *slot = Slot { state: State::InFlight(counter), last, num, ..*slot };
        }
        self.free_head = index;
        self.free = self.free.saturating_sub(num);
        self.counter = next_counter;
        Ok(head)
    }

    /// Takes a [`fetch`](Self::fetch) back: the request is the next of the ring again (DC-153).
    ///
    /// The store of `old_free_head` makes it count: before it, the request is still in flight for
    /// the next process. The counter goes on, because only its order counts.
    ///
    /// # Errors
    /// [`AreaError::Head`] and [`AreaError::NotInFlight`] (DC-033).
    pub fn unfetch(&mut self, entry: u16) -> Result<(), AreaError> {
        let request = self.request(entry)?;
        self.region.set_u16(at(request.last, entry::NEXT), self.free_head)?;
        self.region.set_u16(field::FREE_HEAD, entry)?;
        self.region.set_u16(field::OLD_FREE_HEAD, entry)?;
        self.region.set_u8(at(entry, entry::INFLIGHT), 0)?;
        self.free_again(entry, request);
        Ok(())
    }

    /// The entries of a request are in front of the free list.
    fn free_again(&mut self, entry: u16, Slot { last, num, .. }: Slot) {
        if let Some(slot) = self.slots.get_mut(usize::from(last)) {
            slot.next = self.free_head;
        }
        if let Some(slot) = self.slots.get_mut(usize::from(entry)) {
            slot.state = State::Other;
        }
        self.free_head = entry;
        self.free = self.free.saturating_add(num);
    }

    /// Completes one request, by its first entry.
    ///
    /// `publish` is called once, between the two halves of the work on the region. It is given
    /// the position of the used descriptor, and writes it with its flags last, by a release
    /// store. It returns an error only when it did not store the flags; then the request stays in
    /// flight.
    ///
    /// Requests with a used descriptor each are completed one at a time (DC-034): the next process
    /// looks at one descriptor only. Of several that were cut off it would keep all or nothing,
    /// and used descriptors behind that one would stay in the ring, where the driver takes them
    /// for returned as soon as it comes to them.
    ///
    /// # Errors
    /// [`AreaError::Head`] and [`AreaError::NotInFlight`] (DC-033), before anything is stored;
    /// what `publish` returns.
    pub fn complete<E: From<AreaError>>(
        &mut self,
        entry: u16,
        publish: impl FnOnce(Position) -> Result<(), E>,
    ) -> Result<(), E> {
        self.complete_batch(&[entry], publish)
    }

    /// Completes requests that share one used descriptor, as with `IN_ORDER` (DC-155). For an empty
    /// batch `publish` is not called.
    ///
    /// # Errors
    /// As [`complete`](Self::complete); then all of the batch stays in flight.
    pub fn complete_batch<E: From<AreaError>>(
        &mut self,
        entries: &[u16],
        publish: impl FnOnce(Position) -> Result<(), E>,
    ) -> Result<(), E> {
        let num = self.claim(entries)?;
        if num == 0 {
            return Ok(());
        }
        let old = self.used;
        let used = old.advance(num, self.region.queue_size());
        let begun = self.link(entries).and_then(|()| Positions { used, old }.write(&self.region));
        if let Err(error) = begun.map_err(E::from).and_then(|()| {
            // The new list and position are in the region before the driver, or a successor of
            // this process, can see the used descriptor.
            fence(Ordering::Release);
            publish(old)
        }) {
            self.unclaim(entries);
            self.region.set_u16(field::FREE_HEAD, self.free_head)?;
            Positions { used: old, old }.write(&self.region)?;
            return Err(error);
        }
        self.used = used;
        // Release stores: after the flags in the ring. The old position comes last: while it
        // differs from the used one, the next process asks the ring what became of the batch.
        for entry in entries {
            if let Some(request) = self.slot(*entry) {
                self.free_again(*entry, request);
            }
            self.region.set_u8(at(*entry, entry::INFLIGHT), 0)?;
        }
        self.region.set_u16(field::OLD_FREE_HEAD, self.free_head)?;
        Positions { used, old: used }.write(&self.region)?;
        Ok(())
    }

    /// Marks the requests of a batch as leaving, or none of them; returns their descriptors.
    fn claim(&mut self, entries: &[u16]) -> Result<u16, AreaError> {
        let queue_size = self.region.queue_size();
        let mut num: u16 = 0;
        for (position, entry) in entries.iter().enumerate() {
            let error = match self.slots.get_mut(usize::from(*entry)) {
                Some(slot) => match slot.state {
                    State::InFlight(counter) => {
                        slot.state = State::Leaving(counter);
                        // No entry is in two requests, so the sum is at most the queue size.
                        num = num.saturating_add(slot.num);
                        continue;
                    }
                    State::Other | State::Leaving(_) => AreaError::NotInFlight { head: *entry },
                },
                None => AreaError::Head { head: *entry, queue_size },
            };
            self.unclaim(entries.get(..position).unwrap_or_default());
            return Err(error);
        }
        Ok(num)
    }

    fn unclaim(&mut self, entries: &[u16]) {
        for entry in entries {
            if let Some(slot) = self.slots.get_mut(usize::from(*entry))
                && let State::Leaving(counter) = slot.state
            {
                slot.state = State::InFlight(counter);
            }
        }
    }

    /// Puts the entries of a batch in front of the free list of the region.
    fn link(&self, entries: &[u16]) -> Result<(), AreaError> {
        let mut head = self.free_head;
        for entry in entries {
            let last = self.slot(*entry).map_or(*entry, |slot| slot.last);
            self.region.set_u16(at(last, entry::NEXT), head)?;
            head = *entry;
        }
        self.region.set_u16(field::FREE_HEAD, head)
    }

    /// The request that begins at an entry.
    fn request(&self, index: u16) -> Result<Slot, AreaError> {
        let queue_size = self.region.queue_size();
        match self.slot(index) {
            Some(slot) if slot.state != State::Other => Ok(slot),
            Some(_) => Err(AreaError::NotInFlight { head: index }),
            None => Err(AreaError::Head { head: index, queue_size }),
        }
    }

    fn slot(&self, index: u16) -> Option<Slot> {
        self.slots.get(usize::from(index)).copied()
    }
}
