//! The packed ring (spec/virtio.md §2).

use super::chain::{Chain, DESCRIPTOR, INDIRECT, NEXT, WRITE, Walk};
use super::flight::Flight;
use super::memory::{Guest, Memory, Region, Writes};
use super::{Drop, Form, Pop, PutRefusal, Refusal, Setup, Stop, Token, event};

/// Flag of a descriptor: bit 7.
const AVAIL: u16 = 0x0080;
/// Flag of a descriptor: bit 15.
const USED: u16 = 0x8000;

/// A place in a ring that is gone round twice before a place comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Slot.
    pub offset: u16,
    /// Wrap counter: `true` in the first lap.
    pub wrap: bool,
}

impl Position {
    /// Where a fresh ring starts (PK-003).
    pub const FRESH: Self = Self { offset: 0, wrap: true };

    /// The position of one half of a `VRING_BASE` (§2.6).
    #[must_use]
    pub fn of_half(half: u16) -> Self {
        Self { offset: half % 0x8000, wrap: half >= 0x8000 }
    }

    /// Half of a `VRING_BASE`, and the first field of an event structure.
    #[must_use]
    pub fn half(self) -> u16 {
        if self.wrap { self.offset + 0x8000 } else { self.offset }
    }

    /// Available and used position of a `VRING_BASE` when nothing is in flight: an upper half
    /// of 0 says that they are the same (PK-038, PK-040).
    #[must_use]
    pub fn of_base(base: u32) -> (Self, Self) {
        let [a, b, c, d] = base.to_le_bytes();
        let available = u16::from_le_bytes([a, b]);
        let used = u16::from_le_bytes([c, d]);
        let used = if used == 0 { available } else { used };
        (Self::of_half(available), Self::of_half(used))
    }

    /// The `VRING_BASE` of an available and a used position.
    #[must_use]
    pub fn base(available: Self, used: Self) -> u32 {
        u32::from(used.half()) * 0x10000 + u32::from(available.half())
    }

    /// One slot further.
    fn step(&mut self, size: u16) {
        self.offset += 1;
        if self.offset == size {
            *self = Self { offset: 0, wrap: !self.wrap };
        }
    }

    /// One slot back.
    fn step_back(&mut self, size: u16) {
        if self.offset == 0 {
            *self = Self { offset: size, wrap: !self.wrap };
        }
        self.offset -= 1;
    }

    /// What AVAIL and USED are in a slot that is available here.
    fn available_bits(self) -> u16 {
        if self.wrap { AVAIL } else { USED }
    }

    /// What AVAIL and USED are in a slot that was used here.
    fn used_bits(self) -> u16 {
        if self.wrap { AVAIL | USED } else { 0 }
    }
}

/// Slots from one position to another, step by step.
fn distance(from: Position, to: Position, size: u16) -> u32 {
    let (mut at, mut steps) = (from, 0);
    while at != to {
        at.step(size);
        steps += 1;
    }
    steps
}

/// A slot as the driver left it.
struct Slot {
    address: u64,
    len: u32,
    id: u16,
    flags: u16,
}

/// What became of a list: its slots, the id of the last one, and its verdict.
struct List {
    slots: u16,
    id: u16,
    verdict: Result<(), Drop>,
}

/// A running packed ring.
#[derive(Clone, Debug)]
pub struct Packed {
    setup: Setup,
    /// The slot to take next.
    available: Position,
    /// Where the next used descriptor goes.
    used: Position,
    /// Where the first one goes that the driver has not seen.
    published: Position,
    /// Slots given back since the driver was shown.
    pending: u32,
    /// Slots taken, in this life or an earlier one, that the driver was not shown as used.
    outstanding: u32,
    /// The flags of the first one since then, and their guest address.
    held: Option<(u64, u16)>,
    /// Chains taken in this wake-up.
    taken: u16,
    /// A decision about a call was made in this life.
    has_decided: bool,
    flight: Flight,
    stopped: Option<Stop>,
}

impl Packed {
    /// Starts a ring at the positions `[available, used]`.
    ///
    /// # Errors
    /// The first thing that is wrong: size, alignment of the parts, their place in memory,
    /// legacy, offsets, distance of the positions. Then nothing is stored.
    pub fn activate(
        setup: &Setup,
        [available, used]: [Position; 2],
        regions: &[Region],
        writes: &mut Writes,
    ) -> Result<Self, Refusal> {
        let size = setup.size;
        if size == 0 || size > 32768 {
            return Err(Refusal::Size { size });
        }
        setup.judge_parts(Form::Packed, regions)?;
        if !setup.version_1 {
            return Err(Refusal::Legacy);
        }
        for Position { offset, .. } in [available, used] {
            if offset >= size {
                return Err(Refusal::Offset { offset });
            }
        }
        let outstanding = distance(used, available, size);
        if outstanding > u32::from(size) {
            return Err(Refusal::Distance { distance: outstanding });
        }
        writes.push(setup.used + 2, &[0, 0]);
        Ok(Self {
            setup: *setup,
            available,
            used,
            published: used,
            pending: 0,
            outstanding,
            held: None,
            taken: 0,
            has_decided: false,
            flight: Flight::new(setup),
            stopped: None,
        })
    }

    /// Begins a wake-up.
    ///
    /// # Errors
    /// A part is no longer in memory (VQ-005).
    pub fn bind(&mut self, regions: &[Region]) -> Result<(), Refusal> {
        self.setup.judge_parts(Form::Packed, regions)?;
        self.taken = 0;
        Ok(())
    }

    /// Takes the next buffer.
    pub fn pop(&mut self, memory: &impl Memory, regions: &[Region], chain: &mut Chain) -> Pop {
        chain.clear();
        if let Some(stop) = self.stopped {
            return Pop::Stopped(stop);
        }
        if self.taken == self.setup.size {
            return Pop::Yield;
        }
        let list = match self.list(&Guest { memory, regions }, chain) {
            Ok(None) => return Pop::Empty,
            Ok(Some(list)) => list,
            Err(stop) => {
                chain.clear();
                self.stopped = Some(stop);
                return Pop::Stopped(stop);
            }
        };
        for _ in 0..list.slots {
            self.available.step(self.setup.size);
        }
        self.outstanding += u32::from(list.slots);
        self.taken += 1;
        if let Err(error) = list.verdict {
            // No one sees a part of a chain (§1.5).
            chain.clear();
            return Pop::Dropped { token: self.flight.add(list.id, list.slots, 0), error };
        }
        chain.id = list.id;
        chain.slots = list.slots;
        Pop::Chain { token: self.flight.add(list.id, list.slots, chain.writable) }
    }

    fn slot_address(&self, position: Position) -> u64 {
        self.setup.descriptor + DESCRIPTOR * u64::from(position.offset)
    }

    /// Follows the list that begins at the next slot. `None` when that is not available.
    fn list<M: Memory>(
        &self,
        guest: &Guest<'_, M>,
        chain: &mut Chain,
    ) -> Result<Option<List>, Stop> {
        let Setup { size, strict, .. } = self.setup;
        let mut walk = Walk { guest, setup: &self.setup, chain };
        let mut at = self.available;
        let mut verdict = Ok(());
        for slots in 1..=size {
            let second: [u8; 8] = guest.bytes(self.slot_address(at) + 8);
            let flags = u16::from_le_bytes([second[6], second[7]]);
            let is_available = flags & (AVAIL | USED) == at.available_bits();
            if slots == 1 {
                if !is_available {
                    return Ok(None);
                }
                if self.outstanding == u32::from(size) {
                    return Err(Stop::TooManyInFlight);
                }
            } else if strict && !is_available {
                return Err(Stop::Unavailable { slot: at.offset });
            }
            let slot = Slot {
                address: u64::from_le_bytes(guest.bytes(self.slot_address(at))),
                len: u32::from_le_bytes([second[0], second[1], second[2], second[3]]),
                id: u16::from_le_bytes([second[4], second[5]]),
                flags,
            };
            if verdict.is_ok() {
                verdict = judge(&mut walk, &slot, slots == 1);
            }
            if flags & NEXT == 0 {
                let verdict = verdict.and_then(|()| walk.end());
                return Ok(Some(List { slots, id: slot.id, verdict }));
            }
            if slots < size && self.outstanding + u32::from(slots) == u32::from(size) {
                return Err(Stop::TooManyInFlight);
            }
            at.step(size);
        }
        Err(Stop::ListTooLong)
    }

    /// Makes the buffer that was taken last available again (DC-089).
    ///
    /// # Errors
    /// The device may not; the buffer is as it was.
    pub fn unpop(&mut self, token: Token) -> Result<(), PutRefusal> {
        self.not_stopped().map_err(PutRefusal::Stopped)?;
        self.flight.undo(&token)?;
        for _ in 0..token.slots {
            self.available.step_back(self.setup.size);
        }
        self.outstanding -= u32::from(token.slots);
        self.taken = self.taken.saturating_sub(1);
        Ok(())
    }

    /// Gives a buffer back, of which `len` bytes were written.
    ///
    /// # Errors
    /// The device may not; the buffer is as it was.
    pub fn put(&mut self, token: Token, len: u32, writes: &mut Writes) -> Result<(), PutRefusal> {
        self.not_stopped().map_err(PutRefusal::Stopped)?;
        self.flight.remove(&token, len)?;
        self.store(token.id, len, u32::from(token.slots), writes);
        Ok(())
    }

    /// Gives the oldest buffers back with one descriptor (PK-031). `len` is of the last.
    ///
    /// # Errors
    /// The device may not; the buffers are as they were.
    pub fn put_batch(
        &mut self,
        tokens: &[Token],
        len: u32,
        writes: &mut Writes,
    ) -> Result<(), PutRefusal> {
        self.not_stopped().map_err(PutRefusal::Stopped)?;
        self.flight.remove_batch(tokens, len)?;
        if let Some(last) = tokens.last() {
            let slots = tokens.iter().map(|token| u32::from(token.slots)).sum();
            self.store(last.id, len, slots, writes);
        }
        Ok(())
    }

    /// PK-024 to PK-028.
    fn store(&mut self, id: u16, len: u32, slots: u32, writes: &mut Writes) {
        let address = self.slot_address(self.used);
        let mut fields = [0; 6];
        fields[..4].copy_from_slice(&len.to_le_bytes());
        fields[4..].copy_from_slice(&id.to_le_bytes());
        writes.push(address + 8, &fields);
        let flags = self.used.used_bits() | if len > 0 { WRITE } else { 0 };
        if self.pending == 0 {
            self.held = Some((address + 14, flags));
        } else {
            writes.push(address + 14, &flags.to_le_bytes());
        }
        self.pending += slots;
        for _ in 0..slots {
            self.used.step(self.setup.size);
        }
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
        let Some((address, flags)) = self.held.take() else {
            return Ok(false);
        };
        writes.push(address, &flags.to_le_bytes());
        let count = self.pending;
        self.outstanding -= count;
        self.pending = 0;
        self.published = self.used;
        if !self.has_decided {
            // VQ-050.
            self.has_decided = true;
            return Ok(true);
        }
        let Setup { size, available, event_idx, .. } = self.setup;
        let structure = Guest { memory, regions }.bytes(available);
        Ok(event::packed_decision(structure, event_idx, self.used, count, size))
    }

    /// Asks for kicks. `true`: more is available already (PK-037).
    ///
    /// # Errors
    /// The queue is broken.
    pub fn arm(
        &mut self,
        memory: &impl Memory,
        regions: &[Region],
        writes: &mut Writes,
    ) -> Result<bool, Stop> {
        self.not_stopped()?;
        let Setup { used, event_idx, .. } = self.setup;
        if event_idx {
            writes.push(used, &self.available.half().to_le_bytes());
            writes.push(used + 2, &[2, 0]);
        } else {
            writes.push(used + 2, &[0, 0]);
        }
        let flags = Guest { memory, regions }.le16(self.slot_address(self.available) + 14);
        Ok(flags & (AVAIL | USED) == self.available.available_bits())
    }

    /// Asks for no kicks.
    pub fn disarm(&self, writes: &mut Writes) {
        if self.stopped.is_none() {
            writes.push(self.setup.used + 2, &[1, 0]);
        }
    }

    /// Ends this life. The positions `[available, used]` to start from the next time; what was
    /// given back and not shown counts as not used.
    #[must_use]
    pub fn stop(self) -> [Position; 2] {
        [self.available, self.published]
    }

    /// The slot to take next.
    #[must_use]
    pub fn next(&self) -> Position {
        self.available
    }

    /// Where the first used descriptor goes that the driver has not seen.
    #[must_use]
    pub fn published(&self) -> Position {
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

/// Adds what one slot describes.
fn judge<M: Memory>(walk: &mut Walk<'_, M>, slot: &Slot, is_first: bool) -> Result<(), Drop> {
    let Slot { address, len, flags, .. } = *slot;
    if flags & INDIRECT == 0 {
        return walk.element(address, len, flags);
    }
    if !walk.setup.indirect {
        return Err(Drop::IndirectNotNegotiated);
    }
    if !is_first || flags & NEXT != 0 {
        return Err(Drop::IndirectInList);
    }
    for entry in 0..walk.entries(address, len)? {
        let bytes: [u8; 16] = walk.guest.bytes(address + DESCRIPTOR * u64::from(entry));
        let address = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
        let len = u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes"));
        // PK-019: only WRITE counts.
        walk.element(address, len, u16::from_le_bytes([bytes[14], bytes[15]]))?;
    }
    Ok(())
}
