//! Guest memory with a ring in it, and the driver's side of the ring.

use std::sync::atomic::{AtomicU16, Ordering};

use vhost_fuzz_core::memory::MemoryTable;
use vhost_fuzz_core::ring::{Layout, Mapped, flag};
use vhost_fuzz_core::vhost_user::payload::{Region, VringAddr};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, VolatileMemory, VolatileSlice};

use super::Plan;

/// Bytes of a region. Between two regions is a hole.
const REGION: u64 = 1 << 20;

// Where things are in the first region. Buffers are at the same offset of every region.
const DESCRIPTORS: u64 = 0;
const AVAILABLE: u64 = 0x8000;
const USED: u64 = 0xa000;
const TABLES: u64 = 0x1_0000;
const BUFFERS: u64 = 0x4_0000;

/// First guest address of a region.
fn start(region: u16) -> u64 {
    0x10_0000 + 2 * REGION * u64::from(region)
}

/// The bytes of a chain, of which a payload has the first: each differs from its neighbours.
pub(super) fn content() -> impl Iterator<Item = u8> {
    (0..=250).cycle()
}

/// What a walker sees of the memory of a region.
pub(super) type Backing = Mapped<VolatileSlice<'static>>;

/// A descriptor before it is laid out.
#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    len: u32,
    flags: u16,
}

/// Guest memory in which a driver has laid out a ring and its chains.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The memory. It stays mapped until the process ends, as what was taken from it refers to it.
    pub mapped: &'static GuestMemoryMmap,
    /// What is in it.
    pub plan: Plan,
}

impl Memory {
    /// Maps memory and lays out the chains of a plan. None of them is available yet.
    ///
    /// # Panics
    /// When the memory cannot be mapped.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let size = usize::try_from(REGION).expect("a small region");
        let ranges: Vec<_> =
            (0..plan.regions).map(|region| (GuestAddress(start(region)), size)).collect();
        let mapped = GuestMemoryMmap::from_ranges(&ranges).expect("memory");
        let memory = Self { mapped: Box::leak(Box::new(mapped)), plan };
        memory.fill();
        memory
    }

    fn fill(&self) {
        let (plan, len) = (self.plan, self.plan.buffer_len() as usize);
        let mut content = content();
        for at in 0..plan.buffers {
            let bytes: Vec<u8> = content.by_ref().take(len).collect();
            for region in 0..plan.regions {
                self.write(start(region) + self.buffer_offset(at), &bytes);
            }
        }
        if plan.is_indirect {
            // In a table of a packed ring nothing says in which lap it is available.
            let lap = (plan.layout == Layout::Packed).then_some(0);
            for chain in 0..plan.chains() {
                let table: Vec<u8> = self.list(chain, 0, lap).flatten().collect();
                self.write(self.table_address(chain), &table);
            }
        }
        if plan.layout == Layout::Split {
            self.write(start(0) + DESCRIPTORS, &self.descriptors(false));
            // Flags, index, and the heads in the order of their chains.
            let step = plan.size() / plan.chains();
            let heads = (0..plan.size()).map(|at| at % plan.chains() * step);
            let ring: Vec<u8> =
                [0, 0].into_iter().chain(heads).flat_map(u16::to_le_bytes).collect();
            self.write(start(0) + AVAILABLE, &ring);
        }
    }

    /// Where the ring is, as a `SET_VRING_ADDR` says.
    #[must_use]
    pub fn addresses(&self) -> VringAddr {
        VringAddr {
            index: 0,
            flags: 0,
            descriptor: start(0) + DESCRIPTORS,
            used: start(0) + USED,
            available: start(0) + AVAILABLE,
            log: 0,
        }
    }

    /// First guest address and bytes of the region that the ring is in.
    #[must_use]
    pub fn first_region(&self) -> (u64, u64) {
        (start(0), REGION)
    }

    /// The memory as the core knows it.
    ///
    /// # Panics
    /// When the core does not take it.
    pub(super) fn table(&self) -> MemoryTable<Backing> {
        let mut table = MemoryTable::new(self.plan.regions.into());
        for at in 0..self.plan.regions {
            let guest_address = start(at);
            let user_address = 0x7000_0000_0000 + guest_address;
            let region =
                Region { guest_address, size: REGION, user_address, mmap_offset: 0, xen: None };
            let size = usize::try_from(REGION).expect("a small region");
            let backing = Mapped(self.slice(guest_address, size));
            table.add(region, backing).map_err(|(error, _)| error).expect("regions");
        }
        table
    }

    /// The descriptors of the ring, available in a lap of the wrap counter that is given if it is
    /// packed.
    #[must_use]
    pub fn descriptors(&self, wrap: bool) -> Vec<u8> {
        let plan = self.plan;
        let is_packed = plan.layout == Layout::Packed;
        let lap = is_packed.then_some(if wrap { flag::AVAIL } else { flag::USED });
        (0..plan.chains())
            .flat_map(|chain| {
                let table = Entry {
                    address: self.table_address(chain),
                    len: 16 * u32::from(plan.buffers),
                    flags: flag::INDIRECT,
                };
                let table = plan.is_indirect.then(|| encode(table, lap, chain, 0));
                let first = chain * plan.buffers;
                let list = (!plan.is_indirect).then(|| self.list(chain, first, lap));
                table.into_iter().chain(list.into_iter().flatten())
            })
            .flatten()
            .collect()
    }

    /// The descriptors of a chain, the first of which has the index `first`.
    fn list(
        &self,
        chain: u16,
        first: u16,
        lap: Option<u16>,
    ) -> impl Iterator<Item = [u8; 16]> + use<> {
        let (memory, plan) = (*self, self.plan);
        (0..plan.buffers).map(move |at| {
            let next = if at + 1 < plan.buffers { flag::NEXT } else { 0 };
            let write = if at >= plan.readable() { flag::WRITE } else { 0 };
            let region = (chain + at) % plan.regions;
            let entry = Entry {
                address: start(region) + memory.buffer_offset(at),
                len: plan.buffer_len(),
                flags: next | write,
            };
            encode(entry, lap, chain, first + at + 1)
        })
    }

    /// Where a buffer of a chain is in a region.
    fn buffer_offset(&self, at: u16) -> u64 {
        BUFFERS + u64::from(at) * u64::from(self.plan.buffer_len().next_multiple_of(64))
    }

    fn table_address(&self, chain: u16) -> u64 {
        start(0) + TABLES + 16 * u64::from(chain) * u64::from(self.plan.buffers)
    }

    fn slice(&self, address: u64, len: usize) -> VolatileSlice<'static> {
        self.mapped.get_slice(GuestAddress(address), len).expect("in memory")
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        self.slice(address, bytes.len()).copy_from(bytes);
    }
}

/// Lays out a descriptor: of a packed ring with the bits of a lap and the id of its chain, else
/// with the index of the next.
fn encode(entry: Entry, lap: Option<u16>, id: u16, next: u16) -> [u8; 16] {
    let Entry { address, len, flags } = entry;
    let next = if flags & flag::NEXT == 0 { 0 } else { next };
    let (third, fourth) = lap.map_or((flags, next), |lap| (id, flags | lap));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&address.to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12..14].copy_from_slice(&third.to_le_bytes());
    bytes[14..].copy_from_slice(&fourth.to_le_bytes());
    bytes
}

/// The driver: it makes the chains of a batch available, again and again.
#[derive(Debug)]
pub enum Driver {
    /// Of a split ring.
    Split {
        /// Flags, index and ring.
        available: VolatileSlice<'static>,
        /// The index.
        index: u16,
        /// Chains of a batch.
        chains: u16,
    },
    /// Of a packed ring.
    Packed {
        /// The descriptor ring.
        ring: VolatileSlice<'static>,
        /// What is written to it in a lap with the wrap counter 0, and in one with 1.
        laps: [Vec<u8>; 2],
        /// The wrap counter of the next lap.
        wrap: bool,
    },
}

impl Driver {
    /// A driver that made nothing available yet.
    #[must_use]
    pub fn new(memory: &Memory) -> Self {
        match memory.plan.layout {
            Layout::Split => Self::Split {
                available: memory.slice(start(0) + AVAILABLE, 4),
                index: 0,
                chains: memory.plan.chains(),
            },
            Layout::Packed => {
                let laps = [memory.descriptors(false), memory.descriptors(true)];
                let ring = memory.slice(start(0) + DESCRIPTORS, laps[0].len());
                Self::Packed { ring, laps, wrap: true }
            }
        }
    }

    /// Makes the chains of a batch available; those of the last were given back.
    ///
    /// # Panics
    /// When the index is not where it was.
    #[inline]
    pub fn arm(&mut self) {
        match self {
            Self::Split { available, index, chains } => {
                *index = index.wrapping_add(*chains);
                let field = available.get_atomic_ref::<AtomicU16>(2).expect("aligned");
                field.store(index.to_le(), Ordering::Release);
            }
            Self::Packed { ring, laps: [zero, one], wrap } => {
                ring.copy_from(if *wrap { one } else { zero });
                *wrap = !*wrap;
            }
        }
    }
}
