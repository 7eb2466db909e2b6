//! The packed ring (spec §2).

mod cursor;
mod give;
mod take;

use core::sync::atomic::Ordering;

use super::area::{Area, check_mapping};
use super::guest::Near;
use super::layout::DESCRIPTOR;
use super::layout::event::{ENABLE, FLAGS};
use super::{ActivateError, BindError, Broken, Guest, Position, RingMemory, Setup};
use crate::memory::ring::place;
use crate::memory::{LogMemory, Part, Placement, RingParts, RingSize};
use cursor::Cursor;

/// The device's side of a packed ring.
///
/// It keeps what outlives a wake-up, and allocates nothing: buffer ids are the driver's own
/// affair (PK-023).
#[derive(Debug)]
pub struct PackedQueue {
    max: RingSize,
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
    /// The slot that becomes available next.
    next_avail: Cursor,
    /// The slot that the next used descriptor is written to.
    next_used: Cursor,
    /// The same, as the driver was shown it last.
    published: Cursor,
    /// Slots that were taken and that the driver was not shown used.
    out: u16,
    /// Flags of the first used descriptor that the driver was not shown (§2.4), and its slot.
    held: Option<(u16, u16)>,
    /// Next used slot at the last decision whether to notify; none yet (VQ-050).
    decided: Option<u16>,
    /// Slots of an earlier life that nobody has taken again.
    lost: u16,
    /// Sequence number of the next token.
    taken: u16,
    /// Sequence number of the oldest token that is out.
    due: u16,
    /// Slots of a batch that goes back with the next buffer.
    skipped: u16,
    broken: Option<Broken>,
}

impl PackedQueue {
    /// A stopped queue of at most `max` slots.
    #[must_use]
    pub const fn new(max: RingSize) -> Self {
        Self { max, epoch: 0, life: None }
    }

    /// Starts the queue, of any size (PK-002).
    ///
    /// A restored or restarted queue is judged like a fresh one. Of what an earlier life has not
    /// given back, [`PackedRing::retake`] takes each again.
    ///
    /// # Errors
    /// See [`ActivateError`]; then the queue is stopped.
    pub fn activate<B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_, B, L>,
    ) -> Result<(), ActivateError> {
        if !matches!(position, Position::Packed { .. }) {
            self.reset();
            return Err(ActivateError::Layout);
        }
        self.start(setup, guest, |_| Ok(position))
    }

    /// Starts the queue where `begin` tells. It may ask for the flags of the descriptor at an index
    /// of the ring.
    pub(super) fn start<B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        setup: &Setup,
        guest: &Guest<'_, B, L>,
        begin: impl FnOnce(&dyn Fn(u16) -> Option<u16>) -> Result<Position, ActivateError>,
    ) -> Result<(), ActivateError> {
        self.reset();
        let num = setup.size.get();
        let size = RingSize::check(num.into(), true, self.max.get());
        let size = size.map_err(ActivateError::Size)?.get();
        let placement = find(setup, guest)?;
        if !setup.features.version_1 {
            return Err(ActivateError::Legacy); // VQ-067
        }
        let position = begin(&|index| {
            // Acquire: who finds a used descriptor finds the data before it.
            let area = Area::new(guest, &placement, Part::Descriptor)?;
            area.load_u16(guest, flags_at(index), Ordering::Acquire).ok()
        })?;
        let Position::Packed { available, available_wrap, used, used_wrap } = position else {
            return Err(ActivateError::Layout);
        };
        for slot in [available, used] {
            if slot >= size {
                return Err(ActivateError::Slot { slot, size }); // PK-039
            }
        }
        let next_avail = Cursor { slot: available, wrap: available_wrap };
        let next_used = Cursor { slot: used, wrap: used_wrap };
        let lost = next_avail.since(next_used, size);
        if lost > size {
            return Err(ActivateError::Distance { slots: lost, size });
        }
        let part = Part::Used;
        let gone = ActivateError::Access { part };
        let area = Area::new(guest, &placement, part).ok_or(gone)?;
        area.store_u16(guest, FLAGS, ENABLE, Ordering::Relaxed).map_err(|_| gone)?;
        if let Some(log) = setup.log_address() {
            guest.mark_device_area(setup.ring_kind, log, FLAGS, 2);
        }
        self.life = Some(Life {
            setup: *setup,
            placement,
            near: Near::NONE,
            next_avail,
            next_used,
            published: next_used,
            out: lost,
            held: None,
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
    ) -> Result<PackedRing<'r, B, L>, BindError> {
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
        Ok(PackedRing {
            table: descriptors.table(),
            descriptors,
            driver: area(Part::Available)?,
            device: area(Part::Used)?,
            guest: *guest,
            budget: life.setup.size.get(),
            epoch: self.epoch,
            life,
        })
    }

    /// Stops the queue and tells where it goes on (VU-086, PK-038); `None` when it is stopped.
    /// What was taken and not published is lost to this life, and its tokens are worth nothing.
    pub const fn stop(&mut self) -> Option<Position> {
        let position = self.position();
        self.reset();
        position
    }

    /// Where the queue is; `None` when it is stopped.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        match &self.life {
            Some(Life { next_avail, published, .. }) => Some(Position::Packed {
                available: next_avail.slot,
                available_wrap: next_avail.wrap,
                used: published.slot,
                used_wrap: published.wrap,
            }),
            None => None,
        }
    }

    /// Stops the queue and forgets its state (VQ-053, VQ-054).
    pub const fn reset(&mut self) {
        self.life = None;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Slots that the driver made available and has not seen used, as far as the device knows; at
    /// most the size of the ring.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.life.as_ref().map_or(0, |life| life.out)
    }

    /// Why the queue is broken, if it is.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        self.life.as_ref()?.broken
    }

    /// Switches the log of the device area and the descriptor ring on or off; nothing else of a
    /// running ring can change (VQ-065). `None` is off.
    pub fn set_log(&mut self, address: Option<u64>) {
        if let Some(life) = &mut self.life {
            life.setup.set_log(address);
        }
    }
}

/// Offset of the flags of a descriptor in the ring.
const fn flags_at(slot: u16) -> u64 {
    DESCRIPTOR * slot as u64 + 14
}

/// Judges where the parts of a ring are (PK-001, VQ-005).
fn find<B: RingMemory, L: LogMemory + ?Sized>(
    setup: &Setup,
    guest: &Guest<'_, B, L>,
) -> Result<Placement, ActivateError> {
    let parts = RingParts::new(setup.size, true, setup.features.event_idx);
    let placement = place(guest.table, guest.iotlb, setup.ring_kind, &setup.addresses, &parts)?;
    check_mapping(guest, &placement, Part::Descriptor, 8)?;
    check_mapping(guest, &placement, Part::Available, 4)?;
    check_mapping(guest, &placement, Part::Used, 4)?;
    Ok(placement)
}

/// A packed ring during one wake-up.
#[derive(Debug)]
pub struct PackedRing<'r, B: RingMemory + 'r, L: ?Sized> {
    descriptors: Area<'r, B>,
    /// The descriptors, if no border goes through them: nearly always.
    table: Option<B::Table<'r>>,
    /// The driver's event suppression structure.
    driver: Area<'r, B>,
    /// The device's event suppression structure.
    device: Area<'r, B>,
    guest: Guest<'r, B, L>,
    /// Chains that may still be taken.
    budget: u16,
    epoch: u32,
    life: &'r mut Life,
}

impl<'r, B: RingMemory, L: LogMemory + ?Sized> PackedRing<'r, B, L> {
    /// The memory that the ring was bound to.
    #[must_use]
    #[inline]
    pub const fn guest(&self) -> Guest<'r, B, L> {
        self.guest
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

    /// Logs a write to the descriptor ring, which has no log address of its own: by the guest
    /// addresses that it is at (VU-147).
    #[inline]
    fn mark_descriptor(&self, offset: u64, len: u64) {
        if self.guest.log.is_some() && self.life.setup.log_address().is_some() {
            self.descriptors.mark(&self.guest, offset, len);
        }
    }

    /// Logs a write to the device area (VU-148).
    #[inline]
    fn mark_device(&self, offset: u64, len: u64) {
        if self.guest.log.is_some()
            && let Some(log) = self.life.setup.log_address()
        {
            self.guest.mark_device_area(self.life.setup.ring_kind, log, offset, len);
        }
    }
}
