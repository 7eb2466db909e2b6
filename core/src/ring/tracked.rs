//! A ring whose requests are recorded in an in-flight region, so that the next process does again
//! what this one still owes (`spec/vhost-user.md` §6.11).
//!
//! A [`Tracker`] is made with the ring, by [`Tracker::activate`], and bound for each wake-up. The
//! [`TrackedRing`] then does what a [`Ring`] does, and:
//!
//! * records a chain when it is taken, before the device sees it, also a malformed one;
//! * gives what an earlier process owes first, oldest first (VU-187);
//! * records what goes back in the order of the specification (VU-185, VU-188).

use core::fmt;

use super::layout::Descriptor;
use super::packed::PackedQueue;
use super::split::SplitQueue;
use super::{
    ActivateError, Broken, Chain, Guest, PopError, Position, PutError, PutReason, Queue, QueueRing,
    Ring, RingMemory, Setup, Token,
};
use crate::inflight::{
    self, AreaError, AreaMemory, PackedArea, PackedRegion, SplitArea, SplitRegion,
};
use crate::memory::LogMemory;

/// The in-flight region of one ring, from the start of the ring to its stop.
///
/// Dropping it changes nothing in the region: what is in flight stays recorded, and the next
/// [`activate`](Self::activate) takes it again.
#[derive(Debug)]
pub struct Tracker<M> {
    region: Region<M>,
    /// Requests of an earlier process, the oldest last. Heads or entries.
    owed: Vec<u16>,
    error: Option<AreaError>,
}

#[derive(Debug)]
enum Region<M> {
    Split {
        area: SplitArea<M>,
        /// Heads that were given back and that the driver was not shown.
        given: Vec<u16>,
        /// How many of them the next update of the used index shows: those behind are of a batch
        /// that is not at its end.
        due: usize,
    },
    Packed {
        area: PackedArea<M>,
        /// Descriptors of the request that is being taken.
        descriptors: Vec<inflight::Descriptor>,
        /// Entries of a batch that is not at its end.
        skipped: Vec<u16>,
        /// The driver wants a call for something that it was shown.
        is_call_wanted: bool,
    },
}

impl<M: AreaMemory> Tracker<M> {
    /// Starts a queue with its region of the in-flight area, all memory of which is in `memory`.
    ///
    /// A region that was in use says where the ring goes on: where it was used last, and as much
    /// further as is in flight. A front-end whose back-end has crashed does not know that, so
    /// `base` is looked at only with a new region (DC-150).
    ///
    /// It allocates, as many entries as the ring has. Nothing does so later.
    ///
    /// # Errors
    /// See [`ActivateError`], [`ActivateError::Region`] among them; then the queue is stopped.
    pub fn activate<B: RingMemory, L: LogMemory + ?Sized>(
        queue: &mut Queue,
        setup: &Setup,
        base: Position,
        guest: &Guest<'_, B, L>,
        memory: M,
    ) -> Result<Self, ActivateError> {
        let mut region = match queue {
            Queue::Split(queue) => activate_split(queue, setup, base, guest, memory),
            Queue::Packed(queue) => activate_packed(queue, setup, base, guest, memory),
        }?;
        let pending = match &mut region {
            Region::Split { area, .. } => area.pending(),
            Region::Packed { area, .. } => area.pending(),
        };
        let mut owed = pending.to_vec();
        owed.reverse();
        Ok(Self { region, owed, error: None })
    }

    /// The memory of the region.
    #[must_use]
    pub const fn memory(&self) -> &M {
        match &self.region {
            Region::Split { area, .. } => area.memory(),
            Region::Packed { area, .. } => area.memory(),
        }
    }

    /// Requests of an earlier process that were not taken again yet.
    #[must_use]
    pub const fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Why the ring is [`Broken::Unrecorded`], if it is.
    #[must_use]
    pub const fn error(&self) -> Option<AreaError> {
        self.error
    }

    /// Begins a wake-up of the ring that it was made with.
    pub const fn bind<'r, B: RingMemory, L: LogMemory + ?Sized>(
        &'r mut self,
        ring: QueueRing<'r, B, L>,
    ) -> TrackedRing<'r, M, B, L> {
        TrackedRing { ring, tracker: self }
    }
}

fn activate_split<M: AreaMemory, B: RingMemory, L: LogMemory + ?Sized>(
    queue: &mut SplitQueue,
    setup: &Setup,
    base: Position,
    guest: &Guest<'_, B, L>,
    memory: M,
) -> Result<Region<M>, ActivateError> {
    let Position::Split { available } = base else {
        queue.reset();
        return Err(ActivateError::Layout);
    };
    let size = setup.size.get();
    let mut opened = None;
    queue.start(setup, guest, |used| {
        let region = SplitRegion::open_at(memory, size, used)?;
        let is_new = region.is_new();
        let mut area = region.recover(used)?;
        // The heads of a region are at most as many as the ring has.
        let pending = u16::try_from(area.pending().len()).unwrap_or(size);
        opened = Some(area);
        Ok(if is_new { available } else { used.wrapping_add(pending) })
    })?;
    // `start` has asked where to begin, or has failed.
    let area = opened.ok_or(ActivateError::Layout)?;
    Ok(Region::Split { area, given: Vec::with_capacity(size.into()), due: 0 })
}

fn activate_packed<M: AreaMemory, B: RingMemory, L: LogMemory + ?Sized>(
    queue: &mut PackedQueue,
    setup: &Setup,
    base: Position,
    guest: &Guest<'_, B, L>,
    memory: M,
) -> Result<Region<M>, ActivateError> {
    let Position::Packed { used, used_wrap, .. } = base else {
        queue.reset();
        return Err(ActivateError::Layout);
    };
    let size = setup.size.get();
    let mut opened = None;
    queue.start(setup, guest, |flags_at| {
        if used >= size {
            return Err(ActivateError::Slot { slot: used, size }); // PK-039
        }
        let start = inflight::Position { index: used, wrap: used_wrap };
        let region = PackedRegion::open_at(memory, size, start)?;
        let is_new = region.is_new();
        let area = region.recover(flags_at)?;
        let position = if is_new { base } else { position(&area, size) };
        opened = Some(area);
        Ok(position)
    })?;
    // `start` has asked where to begin, or has failed.
    let area = opened.ok_or(ActivateError::Layout)?;
    let (descriptors, skipped) = (Vec::with_capacity(size.into()), Vec::with_capacity(size.into()));
    Ok(Region::Packed { area, descriptors, skipped, is_call_wanted: false })
}

/// Where a packed ring is by its region.
fn position<M: AreaMemory>(area: &PackedArea<M>, size: u16) -> Position {
    let used = area.used();
    let available = used.advance(area.in_flight(), size);
    Position::Packed {
        available: available.index,
        available_wrap: available.wrap,
        used: used.index,
        used_wrap: used.wrap,
    }
}

/// A ring and its region during one wake-up.
///
/// What it gives back in a split ring is shown by [`publish`](Ring::publish), as everywhere. In a
/// packed ring each [`put`](Ring::put) shows at once what it gives back: a process that ends can
/// leave one half-done update behind, and no more (DC-034).
pub struct TrackedRing<'r, M, B: RingMemory + 'r, L: ?Sized> {
    ring: QueueRing<'r, B, L>,
    tracker: &'r mut Tracker<M>,
}

impl<M: fmt::Debug, B: RingMemory, L: ?Sized> fmt::Debug for TrackedRing<'_, M, B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedRing").field("tracker", &self.tracker).finish_non_exhaustive()
    }
}

impl<'r, M: AreaMemory, B: RingMemory, L: LogMemory + ?Sized> TrackedRing<'r, M, B, L> {
    /// The memory that the ring was bound to.
    #[must_use]
    #[inline]
    pub const fn guest(&self) -> Guest<'r, B, L> {
        self.ring.guest()
    }

    fn take(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        match (&mut self.ring, &mut self.tracker.region) {
            (QueueRing::Packed(ring), Region::Packed { descriptors, .. }) => {
                descriptors.clear();
                // A list has at most as many slots as there is room for.
                ring.take_recorded(chain, |slot| descriptors.push(kept(slot)))
            }
            (ring, _) => ring.pop(chain),
        }
    }

    /// Records a chain that was taken (VU-184).
    fn record(&mut self, mut token: Token, chain: &mut Chain) -> Result<Token, PopError> {
        let recorded = match &mut self.tracker.region {
            Region::Split { area, .. } => area.fetch(token.id),
            Region::Packed { area, descriptors, .. } => {
                area.fetch(descriptors).map(|entry| token.origin = token.origin.at(entry))
            }
        };
        match recorded {
            Ok(()) => Ok(token),
            Err(error) => {
                chain.clear();
                Err(self.unrecorded(error).into())
            }
        }
    }

    /// Takes a chain of an earlier process again, which is recorded already.
    fn retake(&mut self, request: u16, chain: &mut Chain) -> Result<Token, PopError> {
        let taken = match (&mut self.ring, &mut self.tracker.region) {
            (QueueRing::Split(ring), Region::Split { .. }) => ring.retake(request, chain),
            (QueueRing::Packed(ring), Region::Packed { area, descriptors, .. }) => {
                match read_kept(area, request, descriptors) {
                    Ok(()) => ring.retake(descriptors.iter().copied(), chain),
                    Err(error) => return Err(self.unrecorded(error).into()),
                }
            }
            _ => return Err(self.break_down().into()),
        };
        let taken = match taken {
            Ok(token) => Ok(Token { origin: token.origin.at(request), ..token }),
            Err(PopError::Malformed { token, error }) => {
                let origin = token.origin.at(request);
                Err(PopError::Malformed { token: Token { origin, ..token }, error })
            }
            error => return error,
        };
        self.tracker.owed.pop();
        taken
    }

    /// The region does not take what the ring has done: nothing can be promised any more.
    #[cold]
    fn unrecorded(&mut self, error: AreaError) -> Broken {
        self.tracker.error = Some(error);
        self.break_down()
    }

    /// Nothing is recorded from now on; also with a ring of another layout than the tracker's.
    #[cold]
    fn break_down(&mut self) -> Broken {
        match &mut self.ring {
            QueueRing::Split(ring) => ring.break_down(Broken::Unrecorded),
            QueueRing::Packed(ring) => ring.break_down(Broken::Unrecorded),
        }
    }
}

impl<M: AreaMemory, B: RingMemory, L: LogMemory + ?Sized> Ring for TrackedRing<'_, M, B, L> {
    /// Takes what is owed, and then what is new (VU-187).
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        let taken = match self.tracker.owed.last() {
            Some(&request) => return self.retake(request, chain).map(Some),
            None => self.take(chain),
        };
        match taken {
            Ok(None) => Ok(None),
            Ok(Some(token)) => self.record(token, chain).map(Some),
            Err(PopError::Malformed { token, error }) => {
                let token = self.record(token, chain)?;
                Err(PopError::Malformed { token, error })
            }
            Err(error) => Err(error),
        }
    }

    /// The record goes with the chain (DC-153).
    fn unpop(&mut self, token: Token) -> Result<(), PutError> {
        let (id, entry) = (token.id, token.origin.entry());
        self.ring.unpop(token)?;
        let forgotten = match &mut self.tracker.region {
            Region::Split { area, .. } => area.unfetch(id),
            Region::Packed { area, .. } => area.unfetch(entry),
        };
        if let Err(error) = forgotten {
            // The next call says so.
            self.unrecorded(error);
        }
        Ok(())
    }

    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError> {
        let Self { ring, tracker } = self;
        let (area, batch, is_call_wanted) = match &mut tracker.region {
            Region::Packed { area, skipped, is_call_wanted, .. } => (area, skipped, is_call_wanted),
            Region::Split { given, due, .. } => {
                let id = token.id;
                ring.put(token, len)?;
                given.push(id);
                *due = given.len();
                return Ok(());
            }
        };
        batch.push(token.origin.entry());
        let mut token = Some(token);
        let completed = area.complete_batch(batch, |_| {
            // It is called once.
            let Some(token) = token.take() else { return Ok(()) };
            ring.put(token, len).map_err(NotPut::Ring)?;
            // After an error nobody can tell whether the flags were stored. The ring is broken,
            // as the next call says, and is not touched before it is started again.
            *is_call_wanted |= ring.publish().unwrap_or(false);
            Ok(())
        });
        if completed.is_ok() {
            batch.clear();
        } else {
            batch.pop();
        }
        match (completed, token) {
            (Ok(()), _) => Ok(()),
            (Err(NotPut::Ring(error)), _) => Err(error),
            (Err(NotPut::Region(error)), token) => {
                let reason = PutReason::Broken(self.unrecorded(error));
                token.map_or(Ok(()), |token| Err(PutError { token, reason }))
            }
        }
    }

    /// The batch stays recorded until its end is given back (DC-155).
    fn skip(&mut self, token: Token) -> Result<(), PutError> {
        let (id, entry) = (token.id, token.origin.entry());
        self.ring.skip(token)?;
        match &mut self.tracker.region {
            Region::Split { given, .. } => given.push(id),
            Region::Packed { skipped, .. } => skipped.push(entry),
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<bool, Broken> {
        let Self { ring, tracker } = self;
        let (area, given, due) = match &mut tracker.region {
            Region::Split { area, given, due } => (area, given, due),
            Region::Packed { is_call_wanted, .. } => {
                let is_call_wanted = std::mem::take(is_call_wanted);
                return ring.publish().map(|also| also || is_call_wanted);
            }
        };
        let batch = given.get(..*due).unwrap_or_default();
        if batch.is_empty() {
            return ring.publish();
        }
        let mut shown = Ok(false);
        // The index that the region gets is the ring's: both have counted the same buffers.
        let completed = area.complete(batch, |_| {
            shown = ring.publish();
            shown.map(drop).map_err(|_| NotShown::Ring)
        });
        given.drain(..*due);
        *due = 0;
        match completed {
            Ok(()) | Err(NotShown::Ring) => shown,
            Err(NotShown::Region(error)) => Err(self.unrecorded(error)),
        }
    }

    /// What is owed is there to be taken, too.
    fn arm(&mut self) -> Result<bool, Broken> {
        let is_owed = !self.tracker.owed.is_empty();
        self.ring.arm().map(|is_more| is_more || is_owed)
    }

    fn disarm(&mut self) -> Result<(), Broken> {
        self.ring.disarm()
    }
}

/// Why a packed buffer was not given back.
enum NotPut {
    Region(AreaError),
    Ring(PutError),
}

impl From<AreaError> for NotPut {
    fn from(error: AreaError) -> Self {
        Self::Region(error)
    }
}

/// Why a batch of a split ring was not shown.
enum NotShown {
    Region(AreaError),
    /// The ring says why.
    Ring,
}

impl From<AreaError> for NotShown {
    fn from(error: AreaError) -> Self {
        Self::Region(error)
    }
}

/// Reads the descriptors that a region keeps of a request.
fn read_kept<M: AreaMemory>(
    area: &PackedArea<M>,
    request: u16,
    into: &mut Vec<inflight::Descriptor>,
) -> Result<(), AreaError> {
    into.clear();
    for slot in area.descriptors(request)? {
        into.push(slot?);
    }
    Ok(())
}

/// A slot of a packed ring as a region keeps it.
const fn kept(slot: Descriptor) -> inflight::Descriptor {
    let Descriptor { address: addr, len, third: id, fourth: flags } = slot;
    inflight::Descriptor { addr, len, id, flags }
}
