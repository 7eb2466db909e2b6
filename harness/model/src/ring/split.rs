//! The split ring (spec/virtio.md §1).

use super::chain::{Chain, DESCRIPTOR, INDIRECT, NEXT, Walk};
use super::flight::Flight;
use super::memory::{Guest, Memory, Region, Writes};
use super::{Drop, Form, Pop, PutRefusal, Refusal, Setup, Stop, Token, event};

/// A running split ring.
#[derive(Clone, Debug)]
pub struct Split {
    setup: Setup,
    /// The available index to take next.
    next: u16,
    /// The available index that was seen in this wake-up.
    seen: u16,
    /// Chains taken in this wake-up.
    taken: u16,
    /// The used index that the next element gets.
    used: u16,
    /// The used index in memory.
    published: u16,
    /// Chains of an earlier life that were not taken again.
    inherited: u16,
    /// A decision about a call was made in this life.
    has_decided: bool,
    flight: Flight,
    /// Which heads are in flight.
    heads: Vec<bool>,
    stopped: Option<Stop>,
}

impl Split {
    /// Starts a ring with the available index `next`.
    ///
    /// # Errors
    /// The first thing that is wrong: size, alignment of the parts, their place in memory,
    /// legacy, used index. Then nothing is stored.
    pub fn activate(
        setup: &Setup,
        next: u16,
        regions: &[Region],
        memory: &impl Memory,
        writes: &mut Writes,
    ) -> Result<Self, Refusal> {
        let size = setup.size;
        if size == 0 || size > 32768 || !size.is_power_of_two() {
            return Err(Refusal::Size { size });
        }
        setup.judge_parts(Form::Split, regions)?;
        if !setup.version_1 {
            return Err(Refusal::Legacy);
        }
        // Bug SE17: the index is in memory, and only there (VU-085).
        let used = Guest { memory, regions }.le16(setup.used + 2);
        let inherited = next.wrapping_sub(used);
        if inherited > size {
            return Err(Refusal::UsedIndex { available: next, used });
        }
        writes.push(setup.used, &[0, 0]);
        Ok(Self {
            setup: *setup,
            next,
            seen: next,
            taken: 0,
            used,
            published: used,
            inherited,
            has_decided: false,
            flight: Flight::new(setup),
            heads: vec![false; size.into()],
            stopped: None,
        })
    }

    /// Begins a wake-up.
    ///
    /// # Errors
    /// A part is no longer in memory (VQ-005).
    pub fn bind(&mut self, regions: &[Region]) -> Result<(), Refusal> {
        self.setup.judge_parts(Form::Split, regions)?;
        self.seen = self.next;
        self.taken = 0;
        Ok(())
    }

    /// Takes the next chain.
    pub fn pop(&mut self, memory: &impl Memory, regions: &[Region], chain: &mut Chain) -> Pop {
        chain.clear();
        if let Some(stop) = self.stopped {
            return Pop::Stopped(stop);
        }
        if self.taken == self.setup.size {
            return Pop::Yield;
        }
        let guest = Guest { memory, regions };
        match self.head(&guest) {
            Ok(None) => Pop::Empty,
            Ok(Some(head)) => {
                self.next = self.next.wrapping_add(1);
                self.taken += 1;
                self.take(&guest, head, chain, Flight::add)
            }
            Err(stop) => {
                self.stopped = Some(stop);
                Pop::Stopped(stop)
            }
        }
    }

    /// Takes a chain of an earlier life again. `None` when there is none left, or when the head
    /// is out of range or in flight.
    pub fn retake(
        &mut self,
        memory: &impl Memory,
        regions: &[Region],
        head: u16,
        chain: &mut Chain,
    ) -> Option<Pop> {
        chain.clear();
        if let Some(stop) = self.stopped {
            return Some(Pop::Stopped(stop));
        }
        if self.inherited == 0 || head >= self.setup.size || self.heads[usize::from(head)] {
            return None;
        }
        self.inherited -= 1;
        Some(self.take(&Guest { memory, regions }, head, chain, Flight::inherit))
    }

    /// The available index, read once (VQ-032).
    fn read_index(&self, guest: &Guest<'_, impl Memory>) -> Result<u16, Stop> {
        let index = guest.le16(self.setup.available + 2);
        let Setup { size, .. } = self.setup;
        if index.wrapping_sub(self.next) > size {
            return Err(Stop::AvailIndex { index, next: self.next, size });
        }
        Ok(index)
    }

    fn head(&mut self, guest: &Guest<'_, impl Memory>) -> Result<Option<u16>, Stop> {
        let Setup { size, available, .. } = self.setup;
        if self.next == self.seen {
            self.seen = self.read_index(guest)?;
            if self.next == self.seen {
                return Ok(None);
            }
        }
        if self.next.wrapping_sub(self.published) == size {
            return Err(Stop::TooManyInFlight);
        }
        let head = guest.le16(available + 4 + 2 * u64::from(self.next % size));
        if head >= size {
            return Err(Stop::Head { head, size });
        }
        if self.heads[usize::from(head)] {
            return Err(Stop::HeadInFlight { head });
        }
        Ok(Some(head))
    }

    fn take(
        &mut self,
        guest: &Guest<'_, impl Memory>,
        head: u16,
        chain: &mut Chain,
        note: fn(&mut Flight, u16, u16, u64) -> Token,
    ) -> Pop {
        self.heads[usize::from(head)] = true;
        let mut walk = Walk { guest, setup: &self.setup, chain };
        let (table, limit) = (self.setup.descriptor, u32::from(self.setup.size));
        if let Err(error) = follow(&mut walk, table, limit, head, false) {
            // No one sees a part of a chain (§1.5).
            chain.clear();
            return Pop::Dropped { token: note(&mut self.flight, head, 1, 0), error };
        }
        chain.id = head;
        chain.slots = 1;
        Pop::Chain { token: note(&mut self.flight, head, 1, chain.writable) }
    }

    /// Makes the chain that was taken last available again (DC-089).
    ///
    /// # Errors
    /// The device may not; the chain is as it was.
    pub fn unpop(&mut self, token: Token) -> Result<(), PutRefusal> {
        self.not_stopped().map_err(PutRefusal::Stopped)?;
        self.flight.undo(&token)?;
        self.heads[usize::from(token.id)] = false;
        self.next = self.next.wrapping_sub(1);
        self.taken = self.taken.saturating_sub(1);
        Ok(())
    }

    /// Gives a chain back, of which `len` bytes were written.
    ///
    /// # Errors
    /// The device may not; the chain is as it was.
    pub fn put(&mut self, token: Token, len: u32, writes: &mut Writes) -> Result<(), PutRefusal> {
        self.not_stopped().map_err(PutRefusal::Stopped)?;
        self.flight.remove(&token, len)?;
        self.heads[usize::from(token.id)] = false;
        self.store(token.id, len, 1, writes);
        Ok(())
    }

    /// Gives the oldest chains back with one element (VQ-058). `len` is of the last.
    ///
    /// # Errors
    /// The device may not; the chains are as they were.
    pub fn put_batch(
        &mut self,
        tokens: &[Token],
        len: u32,
        writes: &mut Writes,
    ) -> Result<(), PutRefusal> {
        self.not_stopped().map_err(PutRefusal::Stopped)?;
        self.flight.remove_batch(tokens, len)?;
        for token in tokens {
            self.heads[usize::from(token.id)] = false;
        }
        if let Some(last) = tokens.last() {
            let count = u16::try_from(tokens.len()).expect("at most the size in flight");
            self.store(last.id, len, count, writes);
        }
        Ok(())
    }

    fn store(&mut self, id: u16, len: u32, count: u16, writes: &mut Writes) {
        let slot = u64::from(self.used % self.setup.size);
        let mut element = [0; 8];
        element[..4].copy_from_slice(&u32::from(id).to_le_bytes());
        element[4..].copy_from_slice(&len.to_le_bytes());
        writes.push(self.setup.used + 4 + 8 * slot, &element);
        self.used = self.used.wrapping_add(count);
    }

    /// Shows the driver what was given back. `true`: the driver is to be called.
    ///
    /// # Errors
    /// The queue is broken.
    pub fn publish(
        &mut self,
        memory: &impl Memory,
        regions: &[Region],
        writes: &mut Writes,
    ) -> Result<bool, Stop> {
        self.not_stopped()?;
        if self.used == self.published {
            return Ok(false);
        }
        let (old, new) = (self.published, self.used);
        writes.push(self.setup.used + 2, &new.to_le_bytes());
        self.published = new;
        if !self.has_decided {
            // VQ-050.
            self.has_decided = true;
            return Ok(true);
        }
        let guest = Guest { memory, regions };
        let Setup { size, available, event_idx, .. } = self.setup;
        if event_idx {
            let event = guest.le16(available + 4 + 2 * u64::from(size));
            return Ok(event::need_event(event, new, old));
        }
        Ok(guest.le16(available).is_multiple_of(2))
    }

    /// Asks for kicks. `true`: more is available already (VQ-048).
    ///
    /// # Errors
    /// The queue is broken, from now on or before.
    pub fn arm(
        &mut self,
        memory: &impl Memory,
        regions: &[Region],
        writes: &mut Writes,
    ) -> Result<bool, Stop> {
        self.not_stopped()?;
        let Setup { size, used, event_idx, .. } = self.setup;
        if event_idx {
            writes.push(used + 4 + 8 * u64::from(size), &self.next.to_le_bytes());
        } else {
            writes.push(used, &[0, 0]);
        }
        match self.read_index(&Guest { memory, regions }) {
            Ok(index) => Ok(index != self.next),
            Err(stop) => {
                self.stopped = Some(stop);
                Err(stop)
            }
        }
    }

    /// Asks for no kicks (VQ-041, VQ-042).
    pub fn disarm(&self, writes: &mut Writes) {
        if self.stopped.is_none() && !self.setup.event_idx {
            writes.push(self.setup.used, &[1, 0]);
        }
    }

    /// Ends this life. The available index to start from the next time.
    #[must_use]
    pub fn stop(self) -> u16 {
        self.next
    }

    /// The available index to take next.
    #[must_use]
    pub fn next(&self) -> u16 {
        self.next
    }

    /// The used index in memory.
    #[must_use]
    pub fn published(&self) -> u16 {
        self.published
    }

    /// What was taken and not given back, oldest first.
    #[must_use]
    pub fn in_flight(&self) -> impl ExactSizeIterator<Item = &Token> {
        self.flight.list()
    }

    /// Why the queue is broken.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    fn not_stopped(&self) -> Result<(), Stop> {
        match self.stopped {
            Some(stop) => Err(stop),
            None => Ok(()),
        }
    }
}

/// Follows a chain from an entry of the main table or, once, of an indirect one.
fn follow<M: Memory>(
    walk: &mut Walk<'_, M>,
    table: u64,
    limit: u32,
    first: u16,
    is_indirect: bool,
) -> Result<(), Drop> {
    let mut index = first;
    // A chain that does not end within as many entries as there are has a loop (VQ-014).
    for _ in 0..limit {
        let bytes: [u8; 16] = walk.guest.bytes(table + DESCRIPTOR * u64::from(index));
        let address = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
        let len = u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes"));
        let flags = u16::from_le_bytes([bytes[12], bytes[13]]);
        let next = u16::from_le_bytes([bytes[14], bytes[15]]);
        if flags & INDIRECT != 0 {
            if is_indirect {
                return Err(Drop::NestedIndirect);
            }
            if !walk.setup.indirect {
                return Err(Drop::IndirectNotNegotiated);
            }
            if flags & NEXT != 0 {
                return Err(Drop::IndirectWithNext);
            }
            let entries = walk.entries(address, len)?;
            return follow(walk, address, entries, 0, true);
        }
        walk.element(address, len, flags)?;
        if flags & NEXT == 0 {
            return walk.end();
        }
        if u32::from(next) >= limit {
            return Err(Drop::NextOutOfRange { next, limit });
        }
        index = next;
    }
    Err(Drop::TooManyDescriptors { limit })
}
