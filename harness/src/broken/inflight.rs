//! Trackers of requests in flight that can make one mistake, and what they have in common with
//! those of the core. A tracker lives in shared memory and may end before any store; the one
//! that takes over must find exactly the requests that were not returned.

use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Release};

use vhost_fuzz_core::inflight::{
    AreaError, AreaMemory, Descriptor, PackedArea, PackedRegion, Position, SplitArea, SplitRegion,
};

/// Keeps the region of a split ring.
pub trait SplitTracker<M>: Sized {
    /// Opens a region and brings it in step with a used ring of this index.
    ///
    /// # Errors
    /// The region is refused.
    fn take_over(memory: M, queue_size: u16, ring_idx: u16) -> Result<Self, AreaError>;

    /// Heads in flight, oldest first.
    fn pending(&mut self) -> Vec<u16>;

    /// Records a head.
    ///
    /// # Errors
    /// The head is refused.
    fn fetch(&mut self, head: u16) -> Result<(), AreaError>;

    /// Completes a batch; `publish` stores the index of the used ring.
    ///
    /// # Errors
    /// The batch is refused.
    fn complete(&mut self, heads: &[u16], publish: &dyn Fn(u16)) -> Result<(), AreaError>;
}

/// Keeps the region of a packed ring.
pub trait PackedTracker<M>: Sized {
    /// Opens a region and brings it in step with a ring.
    ///
    /// # Errors
    /// The region is refused.
    fn take_over(
        memory: M,
        queue_size: u16,
        flags_at: &dyn Fn(u16) -> u16,
    ) -> Result<Self, AreaError>;

    /// Where the next used descriptor goes.
    fn used(&self) -> Position;

    /// First entries of the requests in flight, oldest first.
    fn pending(&mut self) -> Vec<u16>;

    /// Descriptors of a request.
    ///
    /// # Errors
    /// There is no such request.
    fn descriptors(&self, entry: u16) -> Result<Vec<Descriptor>, AreaError>;

    /// Records a request; returns its first entry.
    ///
    /// # Errors
    /// The request is refused.
    fn fetch(&mut self, descriptors: &[Descriptor]) -> Result<u16, AreaError>;

    /// Completes a request; `publish` writes the used descriptor at this place.
    ///
    /// # Errors
    /// The request is refused.
    fn complete(&mut self, entry: u16, publish: &dyn Fn(Position)) -> Result<(), AreaError>;
}

impl<M: AreaMemory> SplitTracker<M> for SplitArea<M> {
    fn take_over(memory: M, queue_size: u16, ring_idx: u16) -> Result<Self, AreaError> {
        SplitRegion::open(memory, queue_size)?.recover(ring_idx)
    }

    fn pending(&mut self) -> Vec<u16> {
        self.pending().to_vec()
    }

    fn fetch(&mut self, head: u16) -> Result<(), AreaError> {
        self.fetch(head)
    }

    fn complete(&mut self, heads: &[u16], publish: &dyn Fn(u16)) -> Result<(), AreaError> {
        self.complete(heads, |idx| {
            publish(idx);
            Ok(())
        })
    }
}

impl<M: AreaMemory> PackedTracker<M> for PackedArea<M> {
    fn take_over(
        memory: M,
        queue_size: u16,
        flags_at: &dyn Fn(u16) -> u16,
    ) -> Result<Self, AreaError> {
        PackedRegion::open(memory, queue_size)?.recover(|index| Some(flags_at(index)))
    }

    fn used(&self) -> Position {
        self.used()
    }

    fn pending(&mut self) -> Vec<u16> {
        self.pending().to_vec()
    }

    fn descriptors(&self, entry: u16) -> Result<Vec<Descriptor>, AreaError> {
        self.descriptors(entry)?.collect()
    }

    fn fetch(&mut self, descriptors: &[Descriptor]) -> Result<u16, AreaError> {
        self.fetch(descriptors)
    }

    fn complete(&mut self, entry: u16, publish: &dyn Fn(Position)) -> Result<(), AreaError> {
        self.complete(entry, |at| {
            publish(at);
            Ok(())
        })
    }
}

macro_rules! mistakes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
    )*};
}
mistakes! {
    /// None.
    Nothing,
    /// Recovery clears the entry at `last_batch_head`, not the whole batch (DV-51).
    ClearsOneEntry,
    /// The index of the region is stored before the flags of the batch are cleared.
    StoresTheIndexEarly,
    /// A head is marked before it has its counter.
    MarksBeforeTheCounter,
    /// An update of a packed region that nobody saw is kept.
    NeverRollsBack,
    /// A packed update by a request that takes the whole ring, so that only the wrap counter
    /// differs, is taken for none (DC-034).
    IgnoresTheWrapCounter,
}

/// Accesses without a check: this code is only used on regions that are in order.
#[derive(Debug)]
struct Region<M> {
    memory: M,
    queue_size: u16,
}

impl<M: AreaMemory> Region<M> {
    fn u8(&self, offset: usize) -> Result<u8, AreaError> {
        self.memory.load_u8(offset, Acquire).ok_or(AreaError::OutOfRange { offset })
    }

    fn u16(&self, offset: usize) -> Result<u16, AreaError> {
        self.memory.load_u16(offset, Acquire).ok_or(AreaError::OutOfRange { offset })
    }

    fn u64(&self, offset: usize) -> Result<u64, AreaError> {
        self.memory.load_u64(offset, Acquire).ok_or(AreaError::OutOfRange { offset })
    }

    fn set_u8(&self, offset: usize, value: u8) -> Result<(), AreaError> {
        self.memory.store_u8(offset, value, Release).ok_or(AreaError::OutOfRange { offset })
    }

    fn set_u16(&self, offset: usize, value: u16) -> Result<(), AreaError> {
        self.memory.store_u16(offset, value, Release).ok_or(AreaError::OutOfRange { offset })
    }

    fn set_u64(&self, offset: usize, value: u64) -> Result<(), AreaError> {
        self.memory.store_u64(offset, value, Release).ok_or(AreaError::OutOfRange { offset })
    }

    /// Entries in flight with their counters, oldest first; entries of `unit` bytes.
    fn in_flight(&self, unit: usize) -> Result<Vec<(u64, u16)>, AreaError> {
        let mut found = Vec::new();
        for index in 0..self.queue_size {
            let entry = unit + unit * usize::from(index);
            if self.u8(entry)? == 1 {
                found.push((self.u64(entry + 8)?, index));
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// The offset of an entry in a split region.
fn split_entry(index: u16) -> usize {
    16 + 16 * usize::from(index)
}

/// The offset of an entry in a packed region.
fn packed_entry(index: u16) -> usize {
    32 + 32 * usize::from(index)
}

/// A tracker for a split ring, with the mistake `T` of those above.
#[derive(Debug)]
pub struct PlainSplit<T, M> {
    region: Region<M>,
    used_idx: u16,
    counter: u64,
    mistake: PhantomData<T>,
}

impl<T: 'static, M: AreaMemory> SplitTracker<M> for PlainSplit<T, M> {
    fn take_over(memory: M, queue_size: u16, ring_idx: u16) -> Result<Self, AreaError> {
        let region = Region { memory, queue_size };
        if region.u16(8)? == 0 {
            region.set_u16(10, queue_size)?;
            region.set_u16(8, 1)?;
        }
        let mut entry = region.u16(12)?;
        let batch = ring_idx.wrapping_sub(region.u16(14)?);
        let cleared = if makes::<T, ClearsOneEntry>() { batch.min(1) } else { batch };
        for _ in 0..cleared {
            region.set_u8(split_entry(entry), 0)?;
            entry = region.u16(split_entry(entry) + 6)?;
        }
        region.set_u16(14, ring_idx)?;
        let counter = region.in_flight(16)?.last().map_or(0, |(counter, _)| counter + 1);
        Ok(Self { region, used_idx: ring_idx, counter, mistake: PhantomData })
    }

    fn pending(&mut self) -> Vec<u16> {
        let found = self.region.in_flight(16).unwrap_or_default();
        found.into_iter().map(|(_, head)| head).collect()
    }

    fn fetch(&mut self, head: u16) -> Result<(), AreaError> {
        let entry = split_entry(head);
        if makes::<T, MarksBeforeTheCounter>() {
            self.region.set_u8(entry, 1)?;
        }
        self.region.set_u64(entry + 8, self.counter)?;
        self.region.set_u8(entry, 1)?;
        self.counter += 1;
        Ok(())
    }

    fn complete(&mut self, heads: &[u16], publish: &dyn Fn(u16)) -> Result<(), AreaError> {
        for head in heads {
            self.region.set_u16(split_entry(*head) + 6, self.region.u16(12)?)?;
            self.region.set_u16(12, *head)?;
            self.used_idx = self.used_idx.wrapping_add(1);
        }
        publish(self.used_idx);
        if makes::<T, StoresTheIndexEarly>() {
            self.region.set_u16(14, self.used_idx)?;
        }
        for head in heads {
            self.region.set_u8(split_entry(*head), 0)?;
        }
        self.region.set_u16(14, self.used_idx)
    }
}

/// Whether a tracker with the mistake `T` makes `U`.
fn makes<T: 'static, U: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<U>()
}

/// A tracker for a packed ring, with the mistake `T` of those above.
#[derive(Debug)]
pub struct PlainPacked<T, M> {
    region: Region<M>,
    used: Position,
    counter: u64,
    mistake: PhantomData<T>,
}

impl<T: 'static, M: AreaMemory> PlainPacked<T, M> {
    fn initialise(region: &Region<M>) -> Result<(), AreaError> {
        region.set_u16(10, region.queue_size)?;
        for index in 0..region.queue_size {
            region.set_u16(packed_entry(index) + 2, index + 1)?;
        }
        Self::set_positions(region, Position::START, Position::START)?;
        region.set_u16(8, 1)
    }

    fn positions(region: &Region<M>) -> Result<(Position, Position), AreaError> {
        let used = Position { index: region.u16(16)?, wrap: region.u8(20)? == 1 };
        let old = Position { index: region.u16(18)?, wrap: region.u8(21)? == 1 };
        Ok((used, old))
    }

    fn set_positions(region: &Region<M>, used: Position, old: Position) -> Result<(), AreaError> {
        let mut word = [0; 8];
        word[..2].copy_from_slice(&used.index.to_ne_bytes());
        word[2..4].copy_from_slice(&old.index.to_ne_bytes());
        word[4] = used.wrap.into();
        word[5] = old.wrap.into();
        region.set_u64(16, u64::from_ne_bytes(word))
    }

    /// Bounded, because a process that has ended while it initialised goes on without stores.
    fn free_list(region: &Region<M>, mut index: u16) -> Result<(), AreaError> {
        for _ in 0..region.queue_size {
            if index >= region.queue_size {
                break;
            }
            region.set_u8(packed_entry(index), 0)?;
            index = region.u16(packed_entry(index) + 2)?;
        }
        Ok(())
    }
}

impl<T: 'static, M: AreaMemory> PackedTracker<M> for PlainPacked<T, M> {
    fn take_over(
        memory: M,
        queue_size: u16,
        flags_at: &dyn Fn(u16) -> u16,
    ) -> Result<Self, AreaError> {
        let region = Region { memory, queue_size };
        if region.u16(8)? == 0 {
            Self::initialise(&region)?;
        }
        let (mut used, old) = Self::positions(&region)?;
        let differs = used.index != old.index
            || (used.wrap != old.wrap && !makes::<T, IgnoresTheWrapCounter>());
        let available = if old.wrap { 0x80 } else { 0x8000 };
        let is_published = differs && flags_at(old.index) & 0x8080 != available;
        let mut free_head = region.u16(12)?;
        if !is_published && !makes::<T, NeverRollsBack>() {
            free_head = region.u16(14)?;
            used = old;
        }
        region.set_u16(12, free_head)?;
        region.set_u16(14, free_head)?;
        Self::set_positions(&region, used, used)?;
        Self::free_list(&region, free_head)?;
        let counter = region.in_flight(32)?.last().map_or(0, |(counter, _)| counter + 1);
        Ok(Self { region, used, counter, mistake: PhantomData })
    }

    fn used(&self) -> Position {
        self.used
    }

    fn pending(&mut self) -> Vec<u16> {
        let found = self.region.in_flight(32).unwrap_or_default();
        found.into_iter().map(|(_, entry)| entry).collect()
    }

    fn descriptors(&self, entry: u16) -> Result<Vec<Descriptor>, AreaError> {
        let mut index = entry;
        let mut found = Vec::new();
        for _ in 0..self.region.u16(packed_entry(entry) + 6)? {
            let at = packed_entry(index);
            let len = [self.region.u16(at + 20)?, self.region.u16(at + 22)?];
            let [[len0, len1], [len2, len3]] = len.map(u16::to_ne_bytes);
            found.push(Descriptor {
                addr: self.region.u64(at + 24)?,
                len: u32::from_ne_bytes([len0, len1, len2, len3]),
                id: self.region.u16(at + 16)?,
                flags: self.region.u16(at + 18)?,
            });
            index = self.region.u16(at + 2)?;
        }
        Ok(found)
    }

    fn fetch(&mut self, descriptors: &[Descriptor]) -> Result<u16, AreaError> {
        let first = self.region.u16(14)?;
        let head = packed_entry(first);
        self.region.set_u16(head + 6, 0)?;
        self.region.set_u64(head + 8, self.counter)?;
        self.region.set_u8(head, 1)?;
        for (count, descriptor) in (1..).zip(descriptors) {
            let free_head = self.region.u16(12)?;
            let at = packed_entry(free_head);
            self.region.set_u16(head + 4, free_head)?;
            self.region.set_u16(head + 6, count)?;
            self.region.set_u64(at + 24, descriptor.addr)?;
            self.region.set_u16(at + 16, descriptor.id)?;
            self.region.set_u16(at + 18, descriptor.flags)?;
            let [len0, len1, len2, len3] = descriptor.len.to_ne_bytes();
            self.region.set_u16(at + 20, u16::from_ne_bytes([len0, len1]))?;
            self.region.set_u16(at + 22, u16::from_ne_bytes([len2, len3]))?;
            self.region.set_u16(12, self.region.u16(at + 2)?)?;
        }
        self.region.set_u16(14, self.region.u16(12)?)?;
        self.counter += 1;
        Ok(first)
    }

    fn complete(&mut self, entry: u16, publish: &dyn Fn(Position)) -> Result<(), AreaError> {
        let old = self.used;
        let last = self.region.u16(packed_entry(entry) + 4)?;
        self.region.set_u16(packed_entry(last) + 2, self.region.u16(12)?)?;
        self.region.set_u16(12, entry)?;
        self.used.index += self.region.u16(packed_entry(entry) + 6)?;
        if self.used.index >= self.region.queue_size {
            self.used.index -= self.region.queue_size;
            self.used.wrap = !self.used.wrap;
        }
        Self::set_positions(&self.region, self.used, old)?;
        publish(old);
        self.region.set_u8(packed_entry(entry), 0)?;
        self.region.set_u16(14, entry)?;
        Self::set_positions(&self.region, self.used, self.used)
    }
}
