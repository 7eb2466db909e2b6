//! The split ring (spec §1).

mod give;
mod take;

use super::area::{Area, check_mapping};
use super::guest::Near;
use super::layout::split::{FLAGS, INDEX};
use super::{ActivateError, BindError, Broken, Guest, Position, RingMemory, Setup};
use crate::memory::ring::place;
use crate::memory::{LogMemory, Part, Placement, RingParts, RingSize};
use core::sync::atomic::Ordering;

/// The device's side of a split ring.
///
/// It keeps what outlives a wake-up. All memory that it needs is allocated by [`new`](Self::new).
#[derive(Debug)]
pub struct SplitQueue {
    max: RingSize,
    /// A bit for each head that was taken and not given back (VQ-034).
    in_flight: Box<[u64]>,
    /// Counts activations: a token of an earlier one is worth nothing.
    epoch: u32,
    life: Option<Life>,
}

/// A queue between its start and its stop.
#[derive(Debug)]
struct Life {
    setup: Setup,
    placement: Placement,
    /// The region that the last buffer was in; good as long as the placement is.
    near: Near,
    /// Next available index.
    next_avail: u16,
    /// Used index after all that was given back.
    next_used: u16,
    /// Used index that the driver was shown last.
    published: u16,
    /// Used index at the last decision whether to notify; none yet (VQ-050).
    decided: Option<u16>,
    /// Heads of an earlier life that nobody has taken again.
    lost: u16,
    /// Sequence number of the next token.
    taken: u16,
    /// Sequence number of the oldest token that is out.
    due: u16,
    /// Buffers of a batch that goes back with the next one.
    skipped: u16,
    broken: Option<Broken>,
}

impl SplitQueue {
    /// A stopped queue of at most `max` entries.
    #[must_use]
    pub fn new(max: RingSize) -> Self {
        let words = usize::from(max.get()).div_ceil(64);
        Self { max, in_flight: vec![0; words].into(), epoch: 0, life: None }
    }

    /// Starts the queue. The next used index is read from the used ring (VU-085), which the driver
    /// could write to: what it says is checked like anything else (spec §8.26).
    ///
    /// A restored or restarted queue is judged like a fresh one. Of what an earlier life has not
    /// given back, [`SplitRing::retake`] takes each again.
    ///
    /// # Errors
    /// See [`ActivateError`]; then the queue is stopped.
    pub fn activate<B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_, B, L>,
    ) -> Result<(), ActivateError> {
        let Position::Split { available } = position else {
            self.reset();
            return Err(ActivateError::Layout);
        };
        self.start(setup, guest, |_| Ok(available))
    }

    /// Starts the queue at the available index that `begin` tells for a used index.
    pub(super) fn start<B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        setup: &Setup,
        guest: &Guest<'_, B, L>,
        begin: impl FnOnce(u16) -> Result<u16, ActivateError>,
    ) -> Result<(), ActivateError> {
        self.reset();
        let num = setup.size.get();
        let size = RingSize::check(num.into(), false, self.max.get()); // VQ-004
        let size = size.map_err(ActivateError::Size)?.get();
        let placement = find(setup, guest)?;
        if !setup.features.version_1 {
            return Err(ActivateError::Legacy); // VQ-067
        }
        let part = Part::Used;
        let area = Area::new(guest, &placement, part).ok_or(ActivateError::Access { part })?;
        let gone = |_| ActivateError::Access { part };
        let used = area.load_u16(guest, INDEX, Ordering::Relaxed).map_err(gone)?;
        let next_avail = begin(used)?;
        let lost = next_avail.wrapping_sub(used);
        if lost > size {
            return Err(ActivateError::UsedIndex { available: next_avail, used, size });
        }
        // With EVENT_IDX the flags stay 0 (VQ-042), and without they have no other bit than the
        // first (VQ-041).
        area.store_u16(guest, FLAGS, 0, Ordering::Relaxed).map_err(gone)?;
        if let Some(log) = setup.log_address() {
            guest.mark_device_area(setup.ring_kind, log, FLAGS, 2);
        }
        self.life = Some(Life {
            setup: *setup,
            placement,
            near: Near::NONE,
            next_avail,
            next_used: used,
            published: used,
            decided: None,
            lost,
            taken: 0,
            due: 0,
            skipped: 0,
            broken: None,
        });
        Ok(())
    }

    /// Begins a wake-up: looks whether memory has changed, and if it has, where the parts of the
    /// ring are now (VQ-005, VQ-065). That is told by the numbers that the table and the IOTLB
    /// change with every change, so the guest has to be made of the same two each time.
    ///
    /// # Errors
    /// The queue is stopped or broken, or a part of it is not in memory now.
    #[inline]
    pub fn bind<'r, B: RingMemory, L: LogMemory + ?Sized>(
        &'r mut self,
        guest: &Guest<'r, B, L>,
    ) -> Result<SplitRing<'r, B, L>, BindError> {
        let life = self.life.as_mut().ok_or(BindError::Stopped)?;
        if let Some(broken) = life.broken {
            return Err(BindError::Broken(broken));
        }
        if !life.placement.is_current(guest.table, guest.iotlb) {
            life.placement = find(&life.setup, guest).map_err(BindError::Place)?;
            life.near = Near::NONE;
        }
        let area = |part| {
            let gone = BindError::Place(ActivateError::Access { part });
            Area::new(guest, &life.placement, part).ok_or(gone)
        };
        let descriptors = area(Part::Descriptor)?;
        Ok(SplitRing {
            table: descriptors.table(),
            descriptors,
            available: area(Part::Available)?,
            used: area(Part::Used)?,
            guest: *guest,
            seen: life.next_avail,
            budget: life.setup.size.get(),
            epoch: self.epoch,
            in_flight: &mut self.in_flight,
            life,
        })
    }

    /// Stops the queue and tells where it goes on (VU-084); `None` when it is stopped. What was
    /// taken and not given back is lost to this life, and its tokens are worth nothing.
    pub fn stop(&mut self) -> Option<Position> {
        let position = self.position();
        self.reset();
        position
    }

    /// Where the queue is; `None` when it is stopped.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.life.as_ref().map(|life| Position::Split { available: life.next_avail })
    }

    /// Stops the queue and forgets its state (VQ-053, VQ-054).
    pub fn reset(&mut self) {
        self.life = None;
        self.in_flight.fill(0);
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Buffers that the driver made available and has not seen used, as far as the device knows;
    /// at most the size of the ring.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.life.as_ref().map_or(0, |life| life.next_avail.wrapping_sub(life.published))
    }

    /// Why the queue is broken, if it is.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        self.life.as_ref()?.broken
    }

    /// Switches the log of the used ring on or off; nothing else of a running ring can change
    /// (VQ-065). `None` is off.
    pub fn set_log(&mut self, address: Option<u64>) {
        if let Some(life) = &mut self.life {
            life.setup.set_log(address);
        }
    }
}

/// Judges where the parts of a ring are (VQ-001, VQ-002, VQ-003, VQ-005, VQ-006).
fn find<B: RingMemory, L: LogMemory + ?Sized>(
    setup: &Setup,
    guest: &Guest<'_, B, L>,
) -> Result<Placement, ActivateError> {
    let parts = RingParts::new(setup.size, false, setup.features.event_idx);
    let placement = place(guest.table, guest.iotlb, setup.ring_kind, &setup.addresses, &parts)?;
    check_mapping(guest, &placement, Part::Available, 2)?;
    check_mapping(guest, &placement, Part::Used, 2)?;
    Ok(placement)
}

/// A split ring during one wake-up.
#[derive(Debug)]
pub struct SplitRing<'r, B: RingMemory + 'r, L: ?Sized> {
    descriptors: Area<'r, B>,
    /// The descriptors, if no border goes through them: nearly always.
    table: Option<B::Table<'r>>,
    available: Area<'r, B>,
    used: Area<'r, B>,
    guest: Guest<'r, B, L>,
    /// Available index that was loaded last.
    seen: u16,
    /// Chains that may still be taken.
    budget: u16,
    epoch: u32,
    in_flight: &'r mut [u64],
    life: &'r mut Life,
}

impl<'r, B: RingMemory, L: LogMemory + ?Sized> SplitRing<'r, B, L> {
    /// The memory that the ring was bound to.
    #[must_use]
    #[inline]
    pub const fn guest(&self) -> Guest<'r, B, L> {
        self.guest
    }

    /// The slot of a free-running index: the size is a power of two.
    #[inline]
    fn slot(&self, index: u16) -> u16 {
        index & self.life.setup.size.get().wrapping_sub(1)
    }

    /// Fuses the ring when a step of it says that it is broken (VQ-068).
    #[inline]
    fn fuse<T>(&mut self, step: Result<T, Broken>) -> Result<T, Broken> {
        match step {
            Ok(value) => Ok(value),
            Err(broken) => Err(self.break_down(broken)),
        }
    }

    #[cold]
    pub(super) fn break_down(&mut self, broken: Broken) -> Broken {
        self.life.broken = Some(broken);
        broken
    }

    /// Fails when the ring is broken.
    #[inline]
    fn check(&self) -> Result<(), Broken> {
        match self.life.broken {
            None => Ok(()),
            Some(broken) => Err(broken),
        }
    }

    /// Logs a write to the used ring (VU-148).
    #[inline]
    fn mark(&self, offset: u64, len: u64) {
        if self.guest.log.is_some()
            && let Some(log) = self.life.setup.log_address()
        {
            self.guest.mark_device_area(self.life.setup.ring_kind, log, offset, len);
        }
    }
}
