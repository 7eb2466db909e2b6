//! What no walker can do without: loading the descriptors, from plain memory and one after the
//! other, with all checks that need no more than a comparison, and with none.

use std::hint::black_box;
use std::time::{Duration, Instant};

use vhost_fuzz_benches::ring::{Memory, Plan};
use vhost_fuzz_core::ring::flag;

/// Entries of the array that needs no check: an index is cut to it.
const ENTRIES: usize = 1024;

/// Direct split chains in plain memory.
pub(crate) struct Plain {
    plan: Plan,
    /// Address; then length, flags and next from the lowest bit on.
    table: Vec<[u64; 2]>,
    array: Box<[[u64; 2]; ENTRIES]>,
    heads: Vec<u16>,
    region: (u64, u64),
}

impl Plain {
    /// The chains of a plan.
    pub(crate) fn new(plan: Plan) -> Self {
        let memory = Memory::new(plan);
        let bytes = memory.descriptors(false);
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        let table: Vec<_> =
            bytes.chunks(16).map(|raw| [word(&raw[..8]), word(&raw[8..])]).collect();
        let mut array = Box::new([[0; 2]; ENTRIES]);
        array[..table.len()].copy_from_slice(&table);
        let heads = (0..plan.chains()).map(|chain| chain * plan.buffers).collect();
        Self { plan, table, array, heads, region: memory.first_region() }
    }

    /// Walks all chains, with a check of each index, of the number of descriptors, and that each
    /// buffer is in the one region.
    pub(crate) fn checked(&mut self) -> Duration {
        let start = Instant::now();
        let bytes = walk_checked(black_box(&self.table), &self.heads, self.region);
        assert_eq!(bytes, Some(self.plan.bytes()), "the bytes of all chains");
        start.elapsed()
    }

    /// Walks all chains. There is no check, nor could anything go wrong but an endless loop.
    pub(crate) fn unchecked(&mut self) -> Duration {
        let start = Instant::now();
        let bytes = walk_unchecked(black_box(&self.array), &self.heads);
        assert_eq!(bytes, self.plan.bytes(), "the bytes of all chains");
        start.elapsed()
    }
}

/// Flags and next of the second word of a descriptor.
#[inline]
fn link(word: u64) -> (u16, u16) {
    let [_, _, _, _, a, b, c, d] = word.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

#[inline(never)]
fn walk_checked(table: &[[u64; 2]], heads: &[u16], (region, size): (u64, u64)) -> Option<u64> {
    let mut bytes = 0_u64;
    for head in heads {
        let mut index = *head;
        let mut left = table.len();
        loop {
            left = left.checked_sub(1)?;
            let [address, word] = *table.get(usize::from(index))?;
            let len = word & u64::from(u32::MAX);
            let room = size.checked_sub(address.wrapping_sub(region))?;
            if len > room {
                return None;
            }
            bytes = bytes.wrapping_add(len);
            let (flags, next) = link(word);
            if flags & flag::NEXT == 0 {
                break;
            }
            index = next;
        }
    }
    Some(bytes)
}

#[inline(never)]
fn walk_unchecked(table: &[[u64; 2]; ENTRIES], heads: &[u16]) -> u64 {
    let (mut bytes, mut addresses) = (0_u64, 0);
    for head in heads {
        let mut index = usize::from(*head);
        loop {
            let [address, word] = table[index % ENTRIES];
            addresses ^= address;
            bytes = bytes.wrapping_add(word & u64::from(u32::MAX));
            let (flags, next) = link(word);
            if flags & flag::NEXT == 0 {
                break;
            }
            index = next.into();
        }
    }
    black_box(addresses);
    bytes
}
