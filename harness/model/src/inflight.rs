//! The in-flight area, as lists of stores (`spec/vhost-user.md` §6.11, DC-030 to DC-034).
//!
//! Every procedure of the specification is a function that returns the stores it makes, in
//! order. A process that ends in the middle of one has made a prefix of them, so whoever applies
//! the list can stop between any two.

/// One store, in native byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// Bytes of the region.
    Region {
        /// Where they go.
        offset: usize,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The index of a split used ring.
    RingIdx(u16),
    /// The flags of a descriptor of a packed ring.
    RingFlags {
        /// Index of the descriptor.
        index: u16,
        /// Its flags.
        flags: u16,
    },
}

/// Bytes of a region, of a header, and of an entry: 16 or 32.
const fn unit(packed: bool) -> usize {
    if packed { 32 } else { 16 }
}

/// Bytes of the region of one queue.
#[must_use]
pub fn region_len(queue_size: u16, packed: bool) -> usize {
    unit(packed) + unit(packed) * usize::from(queue_size)
}

/// Bytes from one region to the next (DC-030).
#[must_use]
pub fn stride(queue_size: u16, packed: bool) -> usize {
    let mut len = region_len(queue_size, packed);
    while !len.is_multiple_of(64) {
        len += 1;
    }
    len
}

/// A region and the stores made to it so far.
struct Work {
    region: Vec<u8>,
    stores: Vec<Store>,
}

impl Work {
    fn on(region: &[u8]) -> Self {
        Self { region: region.to_vec(), stores: Vec::new() }
    }

    fn bytes(&mut self, offset: usize, bytes: &[u8]) {
        self.region[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.stores.push(Store::Region { offset, bytes: bytes.to_vec() });
    }

    fn put8(&mut self, offset: usize, value: u8) {
        self.bytes(offset, &[value]);
    }

    fn put16(&mut self, offset: usize, value: u16) {
        self.bytes(offset, &value.to_ne_bytes());
    }

    fn put64(&mut self, offset: usize, value: u64) {
        self.bytes(offset, &value.to_ne_bytes());
    }

    fn get16(&self, offset: usize) -> u16 {
        u16::from_ne_bytes([self.region[offset], self.region[offset + 1]])
    }

    fn get64(&self, offset: usize) -> u64 {
        let bytes = self.region[offset..offset + 8].try_into();
        u64::from_ne_bytes(bytes.expect("eight bytes"))
    }

    /// Entries with inflight = 1, lowest counter first; then the counter that comes next.
    fn in_flight(&self, packed: bool) -> (Vec<u16>, u64) {
        let unit = unit(packed);
        let mut found = Vec::new();
        for index in 0..self.region.len() / unit - 1 {
            let entry = unit + unit * index;
            if self.region[entry] == 1 {
                found.push((self.get64(entry + 8), u16::try_from(index).expect("an index")));
            }
        }
        found.sort_unstable();
        let next = found.last().map_or(0, |(counter, _)| counter + 1);
        (found.into_iter().map(|(_, index)| index).collect(), next)
    }
}

/// What a new process has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Stores that bring the region in step.
    pub stores: Vec<Store>,
    /// Entries to do again, oldest first. In a split ring these are heads.
    pub pending: Vec<u16>,
    /// Counter of the next fetch.
    pub counter: u64,
}

/// Procedures of a split ring.
pub mod split {
    use super::{Recovery, Store, Work};

    /// A region of version 0 becomes one of version 1.
    #[must_use]
    pub fn initialise(region: &[u8], queue_size: u16) -> Vec<Store> {
        let mut work = Work::on(region);
        work.bytes(0, &vec![0; super::region_len(queue_size, false)]);
        work.put16(10, queue_size);
        work.put16(8, 1);
        work.stores
    }

    /// Fetch head `head`.
    #[must_use]
    pub fn fetch(region: &[u8], head: u16, counter: u64) -> Vec<Store> {
        let mut work = Work::on(region);
        let entry = 16 + 16 * usize::from(head);
        work.put64(entry + 8, counter);
        work.put8(entry, 1);
        work.stores
    }

    /// Complete a batch.
    #[must_use]
    pub fn complete(region: &[u8], ring_idx: u16, heads: &[u16]) -> Vec<Store> {
        let mut work = Work::on(region);
        for head in heads {
            let last_batch_head = work.get16(12);
            work.put16(16 + 16 * usize::from(*head) + 6, last_batch_head);
            work.put16(12, *head);
        }
        let mut idx = ring_idx;
        for _ in heads {
            idx = idx.wrapping_add(1);
        }
        work.stores.push(Store::RingIdx(idx));
        for head in heads {
            work.put8(16 + 16 * usize::from(*head), 0);
        }
        work.put16(14, idx);
        work.stores
    }

    /// Reconnect. The region is one that [`complete`] and [`fetch`] made, or a prefix of them.
    #[must_use]
    pub fn reconnect(region: &[u8], ring_idx: u16) -> Recovery {
        let mut work = Work::on(region);
        let mut used_idx = work.get16(14);
        if used_idx != ring_idx {
            let mut head = work.get16(12);
            while used_idx != ring_idx {
                let entry = 16 + 16 * usize::from(head);
                work.put8(entry, 0);
                head = work.get16(entry + 6);
                used_idx = used_idx.wrapping_add(1);
            }
            work.put16(14, ring_idx);
        }
        let (pending, counter) = work.in_flight(false);
        Recovery { stores: work.stores, pending, counter }
    }
}

/// Procedures of a packed ring.
pub mod packed {
    use super::{Recovery, Store, Work};

    /// Which words are followed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Reading {
        /// Those of the specification alone, one store for each field.
        Text,
        /// Those of DC-034 as well.
        Decided,
    }

    /// A descriptor: address, length, id, flags.
    pub type Descriptor = (u64, u32, u16, u16);

    const FREE_HEAD: usize = 12;
    const OLD_FREE_HEAD: usize = 14;
    const USED_IDX: usize = 16;
    const OLD_USED_IDX: usize = 18;
    const USED_WRAP: usize = 20;
    const OLD_USED_WRAP: usize = 21;

    fn entry(index: u16) -> usize {
        32 + 32 * usize::from(index)
    }

    fn queue_size(region: &[u8]) -> u16 {
        u16::try_from(region.len() / 32 - 1).expect("a queue size")
    }

    /// Stores the used position and the old one: (index, wrap counter) each.
    fn positions(work: &mut Work, reading: Reading, used: (u16, u8), old: (u16, u8)) {
        if reading == Reading::Decided {
            let mut word = [0; 8];
            word[..2].copy_from_slice(&used.0.to_ne_bytes());
            word[2..4].copy_from_slice(&old.0.to_ne_bytes());
            word[4] = used.1;
            word[5] = old.1;
            work.bytes(USED_IDX, &word);
            return;
        }
        let now = read_positions(work);
        if now.0 != used {
            work.put16(USED_IDX, used.0);
            work.put8(USED_WRAP, used.1);
        }
        if now.1 != old {
            work.put16(OLD_USED_IDX, old.0);
            work.put8(OLD_USED_WRAP, old.1);
        }
    }

    fn read_positions(work: &Work) -> ((u16, u8), (u16, u8)) {
        (
            (work.get16(USED_IDX), work.region[USED_WRAP]),
            (work.get16(OLD_USED_IDX), work.region[OLD_USED_WRAP]),
        )
    }

    /// A region of version 0 becomes one of version 1.
    #[must_use]
    pub fn initialise(region: &[u8], queue_size: u16) -> Vec<Store> {
        let mut work = Work::on(region);
        work.bytes(0, &vec![0; super::region_len(queue_size, true)]);
        work.put16(10, queue_size);
        for index in 0..queue_size {
            work.put16(entry(index) + 2, index + 1);
        }
        work.put8(USED_WRAP, 1);
        work.put8(OLD_USED_WRAP, 1);
        work.put16(8, 1);
        work.stores
    }

    /// Fetch a request; also returns its first entry.
    #[must_use]
    pub fn fetch(region: &[u8], descriptors: &[Descriptor], counter: u64) -> (Vec<Store>, u16) {
        let mut work = Work::on(region);
        let first = work.get16(OLD_FREE_HEAD);
        let head = entry(first);
        for (number, (addr, len, id, flags)) in descriptors.iter().enumerate() {
            let free_head = work.get16(FREE_HEAD);
            let is_last = number + 1 == descriptors.len();
            if number == 0 {
                work.put16(head + 6, 0);
                work.put64(head + 8, counter);
                work.put8(head, 1);
            }
            if is_last {
                work.put16(head + 4, free_head);
            }
            let num = work.get16(head + 6);
            work.put16(head + 6, num + 1);
            work.put64(entry(free_head) + 24, *addr);
            work.bytes(entry(free_head) + 20, &len.to_ne_bytes());
            work.put16(entry(free_head) + 18, *flags);
            work.put16(entry(free_head) + 16, *id);
            let next = work.get16(entry(free_head) + 2);
            work.put16(FREE_HEAD, next);
            if is_last {
                work.put16(OLD_FREE_HEAD, next);
            }
        }
        (work.stores, first)
    }

    /// Complete a batch of requests, by their first entries.
    #[must_use]
    pub fn complete(region: &[u8], entries: &[u16], reading: Reading) -> Vec<Store> {
        let size = queue_size(region);
        let mut work = Work::on(region);
        for first in entries {
            let last = work.get16(entry(*first) + 4);
            let free_head = work.get16(FREE_HEAD);
            work.put16(entry(last) + 2, free_head);
            work.put16(FREE_HEAD, *first);
        }
        let (mut used, old) = read_positions(&work);
        let mut flags = Vec::new();
        for first in entries {
            // AVAIL and USED are both the wrap counter.
            let both = if used.1 == 1 { 0x8080 } else { 0 };
            flags.push(Store::RingFlags { index: used.0, flags: both });
            for _ in 0..work.get16(entry(*first) + 6) {
                used.0 += 1;
                if used.0 == size {
                    used = (0, 1 - used.1);
                }
            }
        }
        positions(&mut work, reading, used, old);
        // The first of the batch is published last (DC-034).
        flags.reverse();
        work.stores.extend(flags);
        for first in entries {
            work.put8(entry(*first), 0);
        }
        let free_head = work.get16(FREE_HEAD);
        work.put16(OLD_FREE_HEAD, free_head);
        positions(&mut work, reading, used, used);
        work.stores
    }

    /// Reconnect to a ring with these flags.
    #[must_use]
    pub fn reconnect(region: &[u8], ring_flags: &[u16], reading: Reading) -> Recovery {
        let mut work = Work::on(region);
        let (mut used, mut old) = read_positions(&work);
        let differs = match reading {
            Reading::Text => used.0 != old.0,
            Reading::Decided => used != old,
        };
        let available = if old.1 == 1 { 0x0080 } else { 0x8000 };
        if differs && ring_flags[usize::from(old.0)] & 0x8080 != available {
            let free_head = work.get16(FREE_HEAD);
            work.put16(OLD_FREE_HEAD, free_head);
            old = used;
        }
        used = old;
        let free_head = work.get16(OLD_FREE_HEAD);
        work.put16(FREE_HEAD, free_head);
        positions(&mut work, reading, used, old);
        let mut free = free_head;
        while free != queue_size(region) {
            work.put8(entry(free), 0);
            free = work.get16(entry(free) + 2);
        }
        let (pending, counter) = work.in_flight(true);
        Recovery { stores: work.stores, pending, counter }
    }
}
