//! How a new process takes over the region of a packed ring.

use super::super::geometry::check_queue_size;
use super::super::region::Region;
use super::super::{AreaError, AreaMemory};
use super::{PackedArea, Position, Positions, Slot, State, at, entry, field};

/// A region whose header is in order, left by another process or new.
#[derive(Debug)]
pub struct PackedRegion<M> {
    region: Region<M>,
}

impl<M: AreaMemory> PackedRegion<M> {
    /// Looks at the header of a region for a ring of `queue_size` descriptors, and initialises a
    /// region of version 0 (VU-183): all entries are free, in ascending order, and the last one
    /// links to the queue size (DC-034).
    ///
    /// # Errors
    /// [`AreaError::QueueSize`] (DC-031), [`AreaError::OutOfRange`] when the memory is too short
    /// (VU-182), [`AreaError::Version`] and [`AreaError::DescNum`] (DC-032).
    pub fn open(memory: M, queue_size: u16) -> Result<Self, AreaError> {
        Self::open_at(memory, queue_size, Position::START)
    }

    /// The same for a ring that may not begin at its start: `used` is where its next used
    /// descriptor is written, which a region that is initialised begins with (DC-150).
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`AreaError::UsedIndex`] when the index is outside the ring.
    pub fn open_at(memory: M, queue_size: u16, used: Position) -> Result<Self, AreaError> {
        check_queue_size(queue_size, true)?;
        if used.index >= queue_size {
            return Err(AreaError::UsedIndex { index: used.index });
        }
        let region = Region::open(memory, queue_size, at(queue_size, 0), |region| {
            for index in 0..queue_size {
                region.set_u16(at(index, entry::NEXT), index.saturating_add(1))?;
            }
            Positions { used, old: used }.write(region)
        })?;
        Ok(Self { region })
    }

    /// Whether the region was initialised by this call: no process has worked with it before.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.region.is_new()
    }

    /// Decides about an update that the process before this one began, and rolls it back when
    /// the driver cannot have seen it (VU-188).
    ///
    /// An update was begun when the used position is not the old one; the wrap counter alone
    /// makes the difference when a request takes the whole ring (DC-034). `flags_at` returns
    /// the flags of the descriptor at an index of the ring (below the queue size), or `None`
    /// when it cannot be read. It is called at most once, with the old index. While the
    /// descriptor there is still available, nothing was published.
    ///
    /// # Errors
    /// [`AreaError::RingUnreadable`] when `flags_at` returns `None`; [`AreaError::UsedIndex`],
    /// [`AreaError::WrapCounter`], [`AreaError::FreeHead`], [`AreaError::NextEntry`],
    /// [`AreaError::EntryTwice`], [`AreaError::ChainLength`], [`AreaError::ChainEnd`] and
    /// [`AreaError::Counter`] (DC-033). The region is then as it was.
    pub fn recover(
        self,
        flags_at: impl FnOnce(u16) -> Option<u16>,
    ) -> Result<PackedArea<M>, AreaError> {
        let Self { region } = self;
        let Positions { used, old } = Positions::read(&region)?;
        let new_free_head = free_head(&region, field::FREE_HEAD)?;
        let old_free_head = free_head(&region, field::OLD_FREE_HEAD)?;
        let is_published = used != old && {
            let flags = flags_at(old.index);
            let flags = flags.ok_or(AreaError::RingUnreadable { index: old.index })?;
            !old.is_available(flags)
        };
        // What differs is brought in step by storing the other of the two fields.
        let (used, free_head, stale) = if is_published {
            (used, new_free_head, field::OLD_FREE_HEAD)
        } else {
            (old, old_free_head, field::FREE_HEAD)
        };
        let mut slots = read_slots(&region)?;
        let mut seen = vec![false; slots.len()];
        let mut free = Vec::with_capacity(slots.len());
        free_list(&slots, free_head, &mut seen, &mut free)?;
        for index in &free {
            if let Some(slot) = slots.get_mut(usize::from(*index)) {
                slot.state = State::Other;
            }
        }
        let counter = requests(&slots, &mut seen)?;
        // The positions after the list: while they differ, a recovery that is cut off is done
        // again with the same result. Flags of free entries are cleared every time.
        region.set_u16(stale, free_head)?;
        Positions { used, old: used }.write(&region)?;
        for index in &free {
            region.set_u8(at(*index, entry::INFLIGHT), 0)?;
        }
        Ok(PackedArea::new(region, slots, free, free_head, used, counter))
    }
}

/// A head of the free list; the queue size stands for an empty list.
fn free_head<M: AreaMemory>(region: &Region<M>, offset: usize) -> Result<u16, AreaError> {
    let entry = region.u16(offset)?;
    if entry > region.queue_size() { Err(AreaError::FreeHead { entry }) } else { Ok(entry) }
}

/// Reads every entry, each field once.
fn read_slots<M: AreaMemory>(region: &Region<M>) -> Result<Box<[Slot]>, AreaError> {
    let read = |index| {
        let next = region.u16(at(index, entry::NEXT))?;
        // Only 1 is "in flight" (DC-033).
        if region.u8(at(index, entry::INFLIGHT))? != 1 {
            return Ok(Slot { state: State::Other, next, last: index, num: 0 });
        }
        Ok(Slot {
            state: State::InFlight(region.u64(at(index, entry::COUNTER))?),
            next,
            last: region.u16(at(index, entry::LAST))?,
            num: region.u16(at(index, entry::NUM))?,
        })
    };
    (0..region.queue_size()).map(read).collect()
}

/// Notes that a list has come to an entry. No entry is in two lists or twice in one, which also
/// ends every loop.
fn visit(seen: &mut [bool], index: u16) -> Result<(), AreaError> {
    match seen.get_mut(usize::from(index)) {
        Some(seen) if !*seen => {
            *seen = true;
            Ok(())
        }
        _ => Err(AreaError::EntryTwice { entry: index }),
    }
}

/// Lists the free entries.
fn free_list(
    slots: &[Slot],
    head: u16,
    seen: &mut [bool],
    list: &mut Vec<u16>,
) -> Result<(), AreaError> {
    let mut index = head;
    while let Some(slot) = slots.get(usize::from(index)) {
        visit(seen, index)?;
        list.push(index);
        if usize::from(slot.next) > slots.len() {
            return Err(AreaError::NextEntry { entry: index, next: slot.next });
        }
        index = slot.next;
    }
    Ok(())
}

/// Judges the lists of all requests in flight; returns the counter of the next fetch.
fn requests(slots: &[Slot], seen: &mut [bool]) -> Result<u64, AreaError> {
    let mut next_counter = 0;
    for (index, slot) in (0_u16..).zip(slots) {
        let State::InFlight(counter) = slot.state else { continue };
        request(slots, index, *slot, seen)?;
        let after = counter.checked_add(1).ok_or(AreaError::Counter { counter })?;
        next_counter = after.max(next_counter);
    }
    Ok(next_counter)
}

/// Judges the list of one request.
fn request(slots: &[Slot], head: u16, slot: Slot, seen: &mut [bool]) -> Result<(), AreaError> {
    let Slot { num, last, .. } = slot;
    if num == 0 || usize::from(num) > slots.len() {
        return Err(AreaError::ChainLength { entry: head, num });
    }
    visit(seen, head)?;
    let mut index = head;
    for _ in 1..num {
        let next = slots.get(usize::from(index)).map_or(u16::MAX, |slot| slot.next);
        if usize::from(next) >= slots.len() {
            return Err(AreaError::NextEntry { entry: index, next });
        }
        visit(seen, next)?;
        index = next;
    }
    if index == last { Ok(()) } else { Err(AreaError::ChainEnd { entry: head, last }) }
}
