//! Taking chains from a split ring (spec §1.3, §1.4).

use core::sync::atomic::Ordering;

use super::SplitRing;
use crate::memory::LogMemory;
use crate::ring::chain::Collector;
use crate::ring::guest::Fault;
use crate::ring::layout::split::{INDEX, available};
use crate::ring::layout::{Descriptor, flag};
use crate::ring::table::Table;
use crate::ring::token::Origin;
use crate::ring::{
    Broken, Chain, Layout, Malformed, PopError, PutReason, RingMemory, Setup, Shape, Token,
};

impl<B: RingMemory, L: LogMemory + ?Sized> SplitRing<'_, B, L> {
    #[inline]
    pub(super) fn take(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        let head = match self.next_head() {
            Ok(Some(head)) => head,
            Ok(None) => {
                chain.clear();
                return Ok(None);
            }
            Err(error) => return Err(self.give_up(error, chain)),
        };
        match self.walk(head, chain) {
            Ok(()) => {
                self.advance();
                Ok(Some(self.token(head, chain.writable_bytes())))
            }
            Err(walk) => {
                let error = self.refuse(walk, head, chain);
                if matches!(error, PopError::Malformed { .. }) {
                    self.advance();
                }
                Err(error)
            }
        }
    }

    /// The next head is taken.
    #[inline]
    const fn advance(&mut self) {
        self.life.next_avail = self.life.next_avail.wrapping_add(1);
        self.budget = self.budget.wrapping_sub(1);
    }

    /// Nothing was taken, and the ring may be broken.
    #[cold]
    fn give_up(&mut self, error: PopError, chain: &mut Chain) -> PopError {
        chain.clear();
        if let PopError::Broken(broken) = error {
            self.life.broken = Some(broken);
        }
        error
    }

    /// Takes a head again that an earlier life of the queue has taken and not given back. The
    /// in-flight area says which those are ([`crate::inflight`]), oldest first; all of them are
    /// taken again before anything new is.
    ///
    /// # Errors
    /// As [`pop`](crate::ring::Ring::pop). A head that cannot be in flight breaks the ring.
    pub fn retake(&mut self, head: u16, chain: &mut Chain) -> Result<Token, PopError> {
        chain.clear();
        self.check()?;
        let size = self.life.setup.size.get();
        let step = match self.life.lost {
            0 => Err(Broken::TooManyInFlight { size }),
            _ => self.claim(head),
        };
        self.fuse(step)?;
        let token = match self.walk(head, chain) {
            Ok(()) => {
                Ok(Token { origin: Origin::AGAIN, ..self.token(head, chain.writable_bytes()) })
            }
            Err(walk) => Err(match self.refuse(walk, head, chain) {
                PopError::Malformed { token, error } => {
                    PopError::Malformed { token: Token { origin: Origin::AGAIN, ..token }, error }
                }
                error => error,
            }),
        };
        if !matches!(token, Err(PopError::Miss(_) | PopError::Broken(_))) {
            self.life.lost = self.life.lost.wrapping_sub(1);
        }
        token
    }

    /// Takes the taking of a chain back.
    #[inline]
    pub(super) fn untake(&mut self, token: &Token) -> Result<(), PutReason> {
        self.judge(token)?;
        if !token.is_newest(self.life.taken) {
            return Err(PutReason::NotNewest); // DC-089
        }
        self.life.taken = token.sequence;
        self.life.next_avail = self.life.next_avail.wrapping_sub(1);
        // One that an earlier wake-up took is none of this one's.
        self.budget = self.budget.wrapping_add(1).min(self.life.setup.size.get());
        self.release(token.id);
        Ok(())
    }

    /// Loads the available index, once (VQ-031, VQ-032).
    ///
    /// Acquire: what the driver wrote before it moved the index – the entries of the ring, the
    /// descriptors, the buffers – is loaded after it (§1.8; it pairs with the driver's write
    /// barrier of §2.7.13).
    #[inline]
    pub(super) fn load_index(&mut self) -> Result<u16, Broken> {
        let (next, size) = (self.life.next_avail, self.life.setup.size.get());
        let index = self.available.load_u16(&self.guest, INDEX, Ordering::Acquire);
        let step = match index {
            Ok(index) if index.wrapping_sub(next) > size => {
                Err(Broken::AvailIndex { index, next, size })
            }
            step => step,
        };
        self.fuse(step)
    }

    /// Loads the head of the next chain, once, and claims it. The entry was complete before the
    /// index moved.
    #[inline]
    fn next_head(&mut self) -> Result<Option<u16>, PopError> {
        if let Some(broken) = self.life.broken {
            return Err(PopError::Broken(broken));
        }
        if self.budget == 0 {
            return Err(PopError::Yield); // VQ-035
        }
        let (next, size) = (self.life.next_avail, self.life.setup.size.get());
        if self.seen == next {
            self.seen = self.load_index()?;
            if self.seen == next {
                return Ok(None);
            }
        }
        if next.wrapping_sub(self.life.published) == size {
            return Err(Broken::TooManyInFlight { size }.into()); // VQ-033
        }
        let at = available(self.slot(next));
        let head = self.available.load_u16(&self.guest, at, Ordering::Relaxed)?;
        self.claim(head)?;
        Ok(Some(head))
    }

    /// Judges a head, and notes that it is in flight: it is a descriptor of the ring (VQ-023) and
    /// was not in flight (VQ-034).
    #[inline]
    fn claim(&mut self, head: u16) -> Result<(), Broken> {
        let size = self.life.setup.size.get();
        if head >= size {
            return Err(Broken::Head { head, size });
        }
        let (word, bit) = bit(head);
        if let Some(heads) = self.in_flight.get_mut(word)
            && *heads & bit == 0
        {
            *heads |= bit;
            return Ok(());
        }
        Err(Broken::HeadInFlight { head })
    }

    /// A token for the next chain.
    #[inline]
    fn token(&mut self, head: u16, writable: u64) -> Token {
        let sequence = self.life.taken;
        self.life.taken = sequence.wrapping_add(1);
        let writable = u32::try_from(writable).unwrap_or(u32::MAX);
        Token { id: head, slots: 1, sequence, origin: Origin::RING, epoch: self.epoch, writable }
    }

    /// A chain cannot be used.
    #[cold]
    fn refuse(&mut self, walk: Walk, head: u16, chain: &mut Chain) -> PopError {
        chain.clear();
        match walk {
            Walk::Fault(Fault::Shape(shape)) => {
                let error = Malformed { layout: Layout::Split, shape };
                PopError::Malformed { token: self.token(head, 0), error }
            }
            Walk::Fault(Fault::Miss(miss)) => {
                self.release(head);
                PopError::Miss(miss)
            }
            Walk::Broken(broken) => self.break_down(broken).into(),
        }
    }

    /// A head may become available again.
    #[inline]
    pub(super) fn release(&mut self, head: u16) {
        let (word, bit) = bit(head);
        if let Some(heads) = self.in_flight.get_mut(word) {
            *heads &= !bit;
        }
    }

    /// Follows a chain through the descriptor table. Each descriptor is loaded once, and no more
    /// of them than the table has (VQ-014, VQ-024, VQ-069).
    #[inline]
    fn walk(&mut self, head: u16, chain: &mut Chain) -> Result<(), Walk> {
        let Self { descriptors, table, guest, life, .. } = self;
        let collector = &mut Collector::new(chain, guest, life.setup.buffer_kind, life.near);
        // A loop of its own for nearly every table: one that no border goes through.
        match table {
            Some(table) => follow(&life.setup, collector, head, |index| {
                descriptors.descriptor_of(table, index)
            }),
            None => follow(&life.setup, collector, head, |index| {
                descriptors.descriptor_in_pieces(guest, index)
            }),
        }?;
        life.near = collector.near();
        Ok(collector.finish()?)
    }
}

/// Follows a chain from descriptor to descriptor.
#[inline]
fn follow<B: RingMemory, L: LogMemory + ?Sized>(
    setup: &Setup,
    collector: &mut Collector<'_, '_, B, L>,
    head: u16,
    descriptor: impl Fn(u16) -> Result<Descriptor, Broken>,
) -> Result<(), Walk> {
    let size = setup.size.get();
    let mut index = head;
    for _ in 0..size {
        let Descriptor { address, len, third: flags, fourth: next } = descriptor(index)?;
        if !collector.add_alike(address, len, flags) {
            if flags & flag::INDIRECT != 0 {
                return Ok(walk_table(setup, collector, (address, len), flags)?);
            }
            collector.add(address, len, flags)?;
        }
        if flags & flag::NEXT == 0 {
            return Ok(());
        }
        if next >= size {
            return Err(Shape::NextOutOfRange { next, limit: size.into() }.into()); // VQ-022
        }
        index = next;
    }
    Err(Shape::TooManyDescriptors { limit: size.into() }.into())
}

/// Follows a chain through an indirect table, which is the end of it (VQ-019). The table's own
/// WRITE flag says nothing (VQ-018).
#[inline]
fn walk_table<B: RingMemory, L: LogMemory + ?Sized>(
    setup: &Setup,
    collector: &mut Collector<'_, '_, B, L>,
    table: (u64, u32),
    flags: u16,
) -> Result<(), Fault> {
    let (address, _) = table;
    if !setup.features.indirect {
        return Err(Shape::IndirectNotNegotiated { address }.into()); // VQ-015
    }
    if flags & flag::NEXT != 0 {
        return Err(Shape::IndirectWithNext { address }.into()); // VQ-017
    }
    let guest = collector.guest();
    let table = Table::open(guest, setup.buffer_kind, table, &setup.limits, collector.near())?;
    let limit = table.entries();
    match table.whole() {
        Some(whole) => follow_table(collector, limit, |index| table.entry_of(&whole, index)),
        None => follow_table(collector, limit, |index| table.entry_in_pieces(guest, index)),
    }
}

/// Follows a chain from entry to entry of a table, and no more of them than it has (VQ-014).
#[inline]
fn follow_table<B: RingMemory, L: LogMemory + ?Sized>(
    collector: &mut Collector<'_, '_, B, L>,
    limit: u32,
    entry: impl Fn(u32) -> Result<Descriptor, Fault>,
) -> Result<(), Fault> {
    let mut index = 0;
    for _ in 0..limit {
        let Descriptor { address, len, third: flags, fourth: next } = entry(index)?;
        if !collector.add_alike(address, len, flags) {
            if flags & flag::INDIRECT != 0 {
                // It was a `next`, or is 0.
                let entry = u16::try_from(index).unwrap_or(u16::MAX);
                return Err(Shape::NestedIndirect { entry }.into()); // VQ-016
            }
            collector.add(address, len, flags)?;
        }
        if flags & flag::NEXT == 0 {
            return Ok(());
        }
        index = next.into();
        if index >= limit {
            return Err(Shape::NextOutOfRange { next, limit }.into()); // VQ-022
        }
    }
    Err(Shape::TooManyDescriptors { limit }.into())
}

/// Why a walk ended before the chain did.
enum Walk {
    Fault(Fault),
    Broken(Broken),
}

impl From<Fault> for Walk {
    #[inline]
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Shape> for Walk {
    #[inline]
    fn from(shape: Shape) -> Self {
        Self::Fault(Fault::Shape(shape))
    }
}

impl From<Broken> for Walk {
    #[inline]
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// The word and the bit of a head.
#[inline]
fn bit(head: u16) -> (usize, u64) {
    (usize::from(head / 64), 1 << (head % 64))
}
