//! Guest memory with two rings, and the driver's side of them.

use std::sync::atomic::{AtomicU16, Ordering};

use vhost_fuzz_core::memory::MemoryTable;
use vhost_fuzz_core::ring::{Layout, Mapped, flag};
use vhost_fuzz_core::vhost_user::payload::{Region, VringAddr};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, VolatileMemory, VolatileSlice};

use super::{BATCH, BUFFER, HEADER, Plan};

/// First guest address of the memory, and its bytes.
const START: u64 = 0x10_0000;
const SIZE: usize = 1 << 20;

/// Bytes between two buffers.
const STRIDE: u64 = 2048;

/// What a walker sees of the memory.
pub(super) type Backing = Mapped<VolatileSlice<'static>>;

/// One of the two rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// What the driver receives.
    Receive,
    /// What it sends.
    Transmit,
}

impl Ring {
    /// Where it is: its parts, then its buffers.
    const fn start(self) -> u64 {
        match self {
            Self::Receive => START,
            Self::Transmit => START + 0x8_0000,
        }
    }

    const fn descriptors(self) -> u64 {
        self.start()
    }

    const fn available(self) -> u64 {
        self.start() + 0x1000
    }

    const fn used(self) -> u64 {
        self.start() + 0x2000
    }

    const fn buffer(self, at: u16) -> u64 {
        self.start() + 0x1_0000 + STRIDE * at as u64
    }

    /// Where it is, as a `SET_VRING_ADDR` says.
    #[must_use]
    pub const fn addresses(self) -> VringAddr {
        VringAddr {
            index: 0,
            flags: 0,
            descriptor: self.descriptors(),
            used: self.used(),
            available: self.available(),
            log: 0,
        }
    }
}

/// Guest memory in which a driver has laid out two rings with their buffers.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The memory. It stays mapped until the process ends, as what was taken from it refers to it.
    pub mapped: &'static GuestMemoryMmap,
    plan: Plan,
    /// Bytes of a request, header and all.
    len: u32,
}

impl Memory {
    /// Maps memory and lays out both rings. Nothing is available yet.
    ///
    /// # Panics
    /// When the memory cannot be mapped.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mapped = GuestMemoryMmap::from_ranges(&[(GuestAddress(START), SIZE)]).expect("memory");
        let request = [&[0; HEADER][..], &plan.request.frame()].concat();
        let len = u32::try_from(request.len()).expect("a short frame");
        let memory = Self { mapped: Box::leak(Box::new(mapped)), plan, len };
        for at in 0..BATCH {
            memory.write(Ring::Transmit.buffer(at), &request);
        }
        if plan.layout == Layout::Split {
            for ring in [Ring::Receive, Ring::Transmit] {
                memory.write(ring.descriptors(), &memory.descriptors(ring, None));
                let heads = [0, 0].into_iter().chain(0..BATCH);
                let heads: Vec<u8> = heads.flat_map(u16::to_le_bytes).collect();
                memory.write(ring.available(), &heads);
            }
        }
        memory
    }

    /// The memory as the core knows it.
    ///
    /// # Panics
    /// When the core does not take it.
    #[must_use]
    pub(super) fn table(&self) -> MemoryTable<Backing> {
        let mut table = MemoryTable::new(1);
        let region = Region {
            guest_address: START,
            size: SIZE as u64,
            user_address: 0x7000_0000_0000,
            mmap_offset: 0,
            xen: None,
        };
        let backing = Mapped(self.slice(START, SIZE));
        table.add(region, backing).map_err(|(error, _)| error).expect("a region");
        table
    }

    /// What the driver received in a buffer, without the header.
    #[must_use]
    pub fn received(&self, at: u16, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.slice(Ring::Receive.buffer(at) + HEADER as u64, len).copy_to(&mut bytes);
        bytes
    }

    /// Forgets what was received.
    pub fn forget(&self) {
        for at in 0..BATCH {
            self.write(Ring::Receive.buffer(at), &[0; BUFFER as usize]);
        }
    }

    /// The descriptors of a ring, available in a lap of the wrap counter that is given if it is
    /// packed.
    fn descriptors(&self, ring: Ring, wrap: Option<bool>) -> Vec<u8> {
        let lap = wrap.map(|wrap| if wrap { flag::AVAIL } else { flag::USED });
        let (len, flags) = match ring {
            Ring::Receive => (BUFFER, flag::WRITE),
            Ring::Transmit => (self.len, 0),
        };
        let encode = |at: u16| {
            let (third, fourth) = lap.map_or((flags, 0), |lap| (at, flags | lap));
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&ring.buffer(at).to_le_bytes());
            bytes[8..12].copy_from_slice(&len.to_le_bytes());
            bytes[12..14].copy_from_slice(&third.to_le_bytes());
            bytes[14..].copy_from_slice(&fourth.to_le_bytes());
            bytes
        };
        (0..BATCH).flat_map(encode).collect()
    }

    fn slice(&self, address: u64, len: usize) -> VolatileSlice<'static> {
        self.mapped.get_slice(GuestAddress(address), len).expect("in memory")
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        self.slice(address, bytes.len()).copy_from(bytes);
    }
}

/// The driver of one ring: it makes all of its buffers available, again and again.
#[derive(Debug)]
pub enum Driver {
    /// Of a split ring.
    Split {
        /// Flags and index.
        available: VolatileSlice<'static>,
        /// The index.
        index: u16,
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
    pub fn new(memory: &Memory, ring: Ring) -> Self {
        match memory.plan.layout {
            Layout::Split => Self::Split { available: memory.slice(ring.available(), 4), index: 0 },
            Layout::Packed => {
                let laps = [false, true].map(|wrap| memory.descriptors(ring, Some(wrap)));
                let ring = memory.slice(ring.descriptors(), laps[0].len());
                Self::Packed { ring, laps, wrap: true }
            }
        }
    }

    /// Makes all buffers available; all of them were given back.
    ///
    /// # Panics
    /// When the index is not where it was.
    #[inline]
    pub fn arm(&mut self) {
        match self {
            Self::Split { available, index } => {
                *index = index.wrapping_add(BATCH);
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
