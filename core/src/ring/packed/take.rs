//! Taking chains from a packed ring (spec §2.3).

use core::sync::atomic::Ordering;

use super::{Life, PackedRing};
use crate::inflight;
use crate::memory::{LogMemory, Miss};
use crate::ring::chain::Collector;
use crate::ring::guest::{Fault, Near};
use crate::ring::layout::{DESCRIPTOR, Descriptor, flag};
use crate::ring::table::Table;
use crate::ring::token::Origin;
use crate::ring::{
    Broken, Chain, Layout, Malformed, PopError, PutReason, RingMemory, Setup, Shape, Token,
};

/// Offset of the half of a descriptor that has its flags.
const FLAGS_HALF: u64 = 8;

/// Offset of the flags of a descriptor.
const FLAGS: u64 = 14;

/// What the slots of a list say together.
#[derive(Clone, Copy, Debug)]
struct List {
    /// Id of the last slot: the buffer's (PK-022).
    id: u16,
    slots: u16,
    /// The first thing that is wrong with it.
    fault: Option<Shape>,
}

impl<B: RingMemory, L: LogMemory + ?Sized> PackedRing<'_, B, L> {
    #[inline]
    pub(super) fn take(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        self.take_recorded(chain, |_| {})
    }

    /// Takes the next chain, and shows `record` each of its slots as it was loaded: what is judged
    /// and what is recorded is the same (PK-030).
    #[inline]
    pub(in crate::ring) fn take_recorded(
        &mut self,
        chain: &mut Chain,
        record: impl FnMut(Descriptor),
    ) -> Result<Option<Token>, PopError> {
        let taken = self.take_next(chain, record);
        if !matches!(taken, Ok(Some(_))) {
            chain.clear();
        }
        taken
    }

    #[inline]
    fn take_next(
        &mut self,
        chain: &mut Chain,
        mut record: impl FnMut(Descriptor),
    ) -> Result<Option<Token>, PopError> {
        self.check()?;
        if self.budget == 0 {
            return Err(PopError::Yield); // VQ-035
        }
        let first = self.load_first();
        let Some(first) = self.fuse(first)? else { return Ok(None) };
        let list = match self.walk(first, chain, &mut record) {
            Ok(list) => list,
            Err(Walk::Miss(miss)) => return Err(PopError::Miss(miss)),
            Err(Walk::Broken(broken)) => return Err(self.break_down(broken).into()),
        };
        let life = &mut *self.life;
        let size = life.setup.size.get();
        life.next_avail = life.next_avail.after(list.slots, size);
        life.out = life.out.wrapping_add(list.slots);
        self.budget = self.budget.wrapping_sub(1);
        self.token(list, chain, Origin::RING).map(Some)
    }

    /// Takes a buffer again that an earlier life of the queue has taken and not given back. Its
    /// slots may be overwritten, so its descriptors come from the in-flight area
    /// ([`inflight::PackedArea::descriptors`]), oldest buffer first; all of them are taken again
    /// before anything new is.
    ///
    /// # Errors
    /// As [`pop`](crate::ring::Ring::pop). No slots, or more than can be in flight, break the ring.
    pub fn retake(
        &mut self,
        descriptors: impl IntoIterator<Item = inflight::Descriptor>,
        chain: &mut Chain,
    ) -> Result<Token, PopError> {
        chain.clear();
        self.check()?;
        let (list, near) = self.collect(descriptors, chain).map_err(|walk| {
            chain.clear();
            match walk {
                Walk::Miss(miss) => PopError::Miss(miss),
                Walk::Broken(broken) => {
                    self.life.broken = Some(broken);
                    PopError::Broken(broken)
                }
            }
        })?;
        self.life.near = near;
        self.life.lost = self.life.lost.wrapping_sub(list.slots);
        let token = self.token(list, chain, Origin::AGAIN);
        if token.is_err() {
            chain.clear();
        }
        token
    }

    /// Takes the taking of a buffer back. Its slots are as the driver wrote them: used descriptors
    /// have been written to slots of older buffers only.
    #[inline]
    pub(super) fn untake(&mut self, token: &Token) -> Result<(), PutReason> {
        self.judge(token)?;
        if !token.is_newest(self.life.taken) {
            return Err(PutReason::NotNewest); // DC-089
        }
        let life = &mut *self.life;
        let size = life.setup.size.get();
        life.taken = token.sequence;
        life.next_avail = life.next_avail.before(token.slots, size);
        life.out = life.out.wrapping_sub(token.slots);
        // One that an earlier wake-up took is none of this one's.
        self.budget = self.budget.wrapping_add(1).min(size);
        Ok(())
    }

    /// Collects a buffer whose descriptors are known.
    fn collect(
        &self,
        descriptors: impl IntoIterator<Item = inflight::Descriptor>,
        chain: &mut Chain,
    ) -> Result<(List, Near), Walk> {
        let Life { setup, near, lost, .. } = &*self.life;
        let mut collector = Collector::new(chain, &self.guest, setup.buffer_kind, *near);
        let mut list = List { id: 0, slots: 0, fault: None };
        for inflight::Descriptor { addr: address, len, id, flags, .. } in descriptors {
            if list.slots == *lost {
                return Err(Broken::TooManySlotsInFlight { size: setup.size.get() }.into());
            }
            list.slots = list.slots.wrapping_add(1);
            list.id = id;
            let slot = Descriptor { address, len, third: id, fourth: flags };
            add(setup, &mut collector, slot, &mut list).map_err(Walk::Miss)?;
        }
        if list.slots == 0 {
            return Err(Broken::TooManySlotsInFlight { size: setup.size.get() }.into());
        }
        complete(&mut collector, &mut list).map_err(Walk::Miss)?;
        Ok((list, collector.near()))
    }

    /// Whether the slot at the available position is available.
    #[inline]
    pub(super) fn is_available(&mut self) -> Result<bool, Broken> {
        let next = self.life.next_avail;
        let at = DESCRIPTOR * u64::from(next.slot) + FLAGS;
        // Relaxed: nothing else of the slot is used. Who takes it loads it again.
        let flags = self.descriptors.load_u16(&self.guest, at, Ordering::Relaxed);
        Ok(next.is_available(self.fuse(flags)?))
    }

    /// Loads the first slot of a list, each half once.
    ///
    /// Acquire, and the half with the flags first: the driver stores them last, so the address,
    /// the other slots and the buffers are there when the flags are seen (§2.7; it pairs with the
    /// driver's write barrier of §2.8.21.1).
    #[inline]
    fn load_first(&self) -> Result<Option<Descriptor>, Broken> {
        let (next, size) = (self.life.next_avail, self.life.setup.size.get());
        let at = DESCRIPTOR * u64::from(next.slot);
        let half = self.descriptors.load_u64(&self.guest, at + FLAGS_HALF, Ordering::Acquire)?;
        if !next.is_available(Descriptor::of(u128::from(half) << 64).fourth) {
            return Ok(None);
        }
        if self.life.out == size {
            return Err(Broken::TooManySlotsInFlight { size }); // PK-029
        }
        let address = self.descriptors.load_u64(&self.guest, at, Ordering::Relaxed)?;
        Ok(Some(Descriptor::of(u128::from(half) << 64 | u128::from(address))))
    }

    /// Follows a list over the slots of the ring, each loaded once (PK-030), and no more of them
    /// than the ring has. A list with something wrong is followed on: how many slots it has and
    /// what its id is have to be known to give it back.
    #[inline]
    fn walk(
        &mut self,
        first: Descriptor,
        chain: &mut Chain,
        record: &mut impl FnMut(Descriptor),
    ) -> Result<List, Walk> {
        let Self { descriptors, table, guest, life, .. } = self;
        let collector = &mut Collector::new(chain, guest, life.setup.buffer_kind, life.near);
        // A loop of its own for nearly every ring: one that no border goes through.
        let mut list = match table {
            Some(table) => {
                let load = |slot| descriptors.descriptor_of(table, slot);
                follow(life, collector, first, load, record)
            }
            None => {
                let load = |slot| descriptors.descriptor_in_pieces(guest, slot);
                follow(life, collector, first, load, record)
            }
        }?;
        complete(collector, &mut list).map_err(Walk::Miss)?;
        life.near = collector.near();
        Ok(list)
    }

    /// Gives a list that was taken a token.
    #[inline]
    fn token(&mut self, list: List, chain: &Chain, origin: Origin) -> Result<Token, PopError> {
        let List { id, slots, fault } = list;
        let writable = match fault {
            None => u32::try_from(chain.writable_bytes()).unwrap_or(u32::MAX),
            Some(_) => 0,
        };
        let sequence = self.life.taken;
        self.life.taken = sequence.wrapping_add(1);
        let token = Token { id, slots, sequence, origin, epoch: self.epoch, writable };
        match fault {
            None => Ok(token),
            Some(shape) => {
                let error = Malformed { layout: Layout::Packed, shape };
                Err(PopError::Malformed { token, error })
            }
        }
    }
}

/// Follows a list from slot to slot.
#[inline]
fn follow<B: RingMemory, L: LogMemory + ?Sized>(
    life: &Life,
    collector: &mut Collector<'_, '_, B, L>,
    first: Descriptor,
    descriptor: impl Fn(u16) -> Result<Descriptor, Broken>,
    record: &mut impl FnMut(Descriptor),
) -> Result<List, Walk> {
    let setup = &life.setup;
    let size = setup.size.get();
    // No list takes more slots than are free (PK-012, PK-029).
    let free = size.wrapping_sub(life.out);
    let mut list = List { id: 0, slots: 1, fault: None };
    let mut cursor = life.next_avail;
    let Descriptor { mut address, mut len, third: mut id, fourth: mut flags } = first;
    loop {
        record(Descriptor { address, len, third: id, fourth: flags });
        if !collector.add_alike(address, len, flags) {
            let slot = Descriptor { address, len, third: id, fourth: flags };
            add(setup, collector, slot, &mut list).map_err(Walk::Miss)?;
        }
        if flags & flag::NEXT == 0 {
            list.id = id;
            return Ok(list);
        }
        if list.slots == free {
            return Err(too_long(list.slots, size).into());
        }
        cursor = cursor.after(1, size);
        Descriptor { address, len, third: id, fourth: flags } = descriptor(cursor.slot)?;
        if !cursor.is_available(flags) && setup.limits.is_strict {
            return Err(Broken::SlotUnavailable { slot: cursor.slot, flags }.into()); // PK-015
        }
        list.slots = list.slots.wrapping_add(1);
    }
}

/// A list goes on where no slot is free.
#[cold]
const fn too_long(slots: u16, size: u16) -> Broken {
    if slots == size {
        Broken::ListTooLong { size } // PK-012
    } else {
        Broken::TooManySlotsInFlight { size } // PK-029
    }
}

/// Takes in what one slot of a list says, which is not as nearly all are. After something wrong,
/// nothing is looked at.
#[inline]
fn add<B: RingMemory, L: LogMemory + ?Sized>(
    setup: &Setup,
    collector: &mut Collector<'_, '_, B, L>,
    slot: Descriptor,
    list: &mut List,
) -> Result<(), Miss> {
    let Descriptor { address, len, fourth: flags, .. } = slot;
    let added = if list.fault.is_some() {
        Ok(())
    } else if flags & flag::INDIRECT == 0 {
        collector.add(address, len, flags)
    } else {
        let is_alone = list.slots == 1 && flags & flag::NEXT == 0;
        add_table(setup, collector, (address, len), is_alone)
    };
    match added {
        Ok(()) => Ok(()),
        Err(fault) => note(fault, collector, list),
    }
}

/// Something is wrong with a list: it is followed on, to know its slots and its id.
#[cold]
fn note<B: RingMemory, L: LogMemory + ?Sized>(
    fault: Fault,
    collector: &mut Collector<'_, '_, B, L>,
    list: &mut List,
) -> Result<(), Miss> {
    match fault {
        Fault::Shape(shape) => {
            list.fault = Some(shape);
            collector.close();
            Ok(())
        }
        Fault::Miss(miss) => Err(miss),
    }
}

/// Takes in the entries of an indirect table: all of them, in order, and of their flags only
/// WRITE counts (PK-018, PK-019). The table's own WRITE flag says nothing (PK-020).
fn add_table<B: RingMemory, L: LogMemory + ?Sized>(
    setup: &Setup,
    collector: &mut Collector<'_, '_, B, L>,
    table: (u64, u32),
    is_alone: bool,
) -> Result<(), Fault> {
    let (address, _) = table;
    if !setup.features.indirect {
        return Err(Shape::IndirectNotNegotiated { address }.into()); // PK-016
    }
    if !is_alone {
        return Err(Shape::IndirectInList { address }.into()); // PK-017
    }
    let guest = collector.guest();
    let table = Table::open(guest, setup.buffer_kind, table, &setup.limits, collector.near())?;
    let entries = table.entries();
    match table.whole() {
        Some(whole) => add_entries(collector, entries, |index| table.entry_of(&whole, index)),
        None => add_entries(collector, entries, |index| table.entry_in_pieces(guest, index)),
    }
}

/// Takes in all entries of a table.
#[inline]
fn add_entries<B: RingMemory, L: LogMemory + ?Sized>(
    collector: &mut Collector<'_, '_, B, L>,
    entries: u32,
    entry: impl Fn(u32) -> Result<Descriptor, Fault>,
) -> Result<(), Fault> {
    for index in 0..entries {
        let Descriptor { address, len, fourth: flags, .. } = entry(index)?;
        let flags = flags & flag::WRITE;
        if !collector.add_alike(address, len, flags) {
            collector.add(address, len, flags)?;
        }
    }
    Ok(())
}

/// Completes the chain of a list that has nothing wrong yet.
#[inline]
fn complete<B: RingMemory, L: LogMemory + ?Sized>(
    collector: &mut Collector<'_, '_, B, L>,
    list: &mut List,
) -> Result<(), Miss> {
    if list.fault.is_some() {
        return Ok(());
    }
    match collector.finish() {
        Ok(()) => Ok(()),
        Err(Fault::Shape(shape)) => {
            list.fault = Some(shape);
            Ok(())
        }
        Err(Fault::Miss(miss)) => Err(miss),
    }
}

/// Why a walk ended before the list did.
enum Walk {
    Miss(Miss),
    Broken(Broken),
}

impl From<Broken> for Walk {
    #[inline]
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}
