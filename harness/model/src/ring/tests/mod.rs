//! Rings built by hand, and what the models make of them.

mod events;
mod history;
mod packed;
mod packed_put;
mod refusals;
mod split;
mod split_chains;
mod split_put;
mod walks;

use std::cell::RefCell;

use super::{Chain, Memory, Region, Setup, Writes};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Start of the memory that has the ring.
const BASE: u64 = 0x1000;
/// Descriptors.
const DESC: u64 = BASE;
/// Available ring or driver event structure.
const AVAIL: u64 = BASE + 0x800;
/// Used ring or device event structure.
const USED: u64 = BASE + 0xa00;
/// First of the memory that is buffers and tables.
const DATA: u64 = BASE + 0x1000;
/// Where the memory ends.
const END: u64 = BASE + 0x2000;

/// Memory of the tests, in regions that are kept in no order.
#[derive(Clone)]
struct Ram {
    regions: Vec<Region>,
    bytes: Vec<Vec<u8>>,
    /// Guest address and length of every read.
    reads: RefCell<Vec<(u64, usize)>>,
}

impl Memory for Ram {
    fn read(&self, region: usize, offset: u64, out: &mut [u8]) {
        self.reads.borrow_mut().push((self.regions[region].start + offset, out.len()));
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes[region][offset..offset + out.len()]);
    }
}

impl Ram {
    fn new(regions: &[(u64, u64)]) -> Self {
        Self {
            regions: regions.iter().map(|&(start, size)| Region { start, size }).collect(),
            bytes: regions
                .iter()
                .map(|(_, size)| vec![0; usize::try_from(*size).unwrap()])
                .collect(),
            reads: RefCell::default(),
        }
    }

    /// One region from [`BASE`] to [`END`].
    fn plain() -> Self {
        Self::new(&[(BASE, END - BASE)])
    }

    fn store(&mut self, address: u64, bytes: &[u8]) {
        for (address, byte) in (address..).zip(bytes) {
            let index = self
                .regions
                .iter()
                .position(|region| (region.start..region.start + region.size).contains(&address))
                .unwrap();
            let offset = usize::try_from(address - self.regions[index].start).unwrap();
            self.bytes[index][offset] = *byte;
        }
    }

    fn store16(&mut self, address: u64, value: u16) {
        self.store(address, &value.to_le_bytes());
    }

    /// A descriptor of either ring; the last two fields are in the order of memory.
    fn describe(&mut self, at: u64, address: u64, len: u32, fields: [u16; 2]) {
        self.store(at, &address.to_le_bytes());
        self.store(at + 8, &len.to_le_bytes());
        self.store16(at + 12, fields[0]);
        self.store16(at + 14, fields[1]);
    }

    fn apply(&mut self, writes: &mut Writes) {
        for write in writes.list() {
            self.store(write.address, write.bytes());
        }
        writes.clear();
    }

    fn load(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        super::fetch(self, &self.regions, address, &mut bytes);
        bytes
    }

    fn load16(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.load(address, 2).try_into().unwrap())
    }

    /// Forgets the reads so far.
    fn take_reads(&self) -> Vec<(u64, usize)> {
        self.reads.take()
    }
}

fn setup(size: u16) -> Setup {
    Setup {
        size,
        descriptor: DESC,
        available: AVAIL,
        used: USED,
        indirect: true,
        version_1: true,
        cap: Setup::default_cap(size),
        strict: true,
        ..Setup::default()
    }
}

/// Address, length, and whether it is writable, of each element.
fn elements(chain: &Chain) -> Vec<(u64, u32, bool)> {
    chain.elements.iter().map(|element| (element.address, element.len, element.writable)).collect()
}
