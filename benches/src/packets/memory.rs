//! Guest memory with two rings and their buffers in it, in a file that a back-end can map.

use std::fs::File;
use std::io;

use vhost_fuzz_core::vhost_user::payload::{Region, VringAddr};
use vm_memory::{AtomicInteger, FileOffset, MmapRegion, VolatileMemory as _, VolatileSlice};

use super::{Queue, SIZE};

/// Bytes of a buffer: room for a frame and its header.
pub const BUFFER_LEN: usize = 2048;

/// First guest address.
const START: u64 = 0x10_0000;

/// The front-end's user address of the first guest address.
const USER: u64 = 0x7f00_0000_0000;

/// Bytes for a queue and its buffers.
const QUEUE_LEN: usize = 1 << 20;

/// Bytes of the memory.
pub(super) const LEN: usize = 2 * QUEUE_LEN;

// Where things are in the memory of a queue: each part is in pages of its own.
const DESCRIPTORS: usize = 0;
const AVAILABLE: usize = 0x1000;
const USED: usize = 0x2000;
const BUFFERS: usize = 0x4000;
const _: () = assert!(BUFFERS + SIZE as usize * BUFFER_LEN <= QUEUE_LEN);

/// The parts of a ring. In a packed ring two of them are the event structures.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Descriptors,
    Available,
    Used,
}

/// Where a part of a queue begins.
const fn part(queue: Queue, part: Part) -> usize {
    let offset = match part {
        Part::Descriptors => DESCRIPTORS,
        Part::Available => AVAILABLE,
        Part::Used => USED,
    };
    queue.index() as usize * QUEUE_LEN + offset
}

/// Where a buffer of a queue begins.
fn buffer(queue: Queue, slot: u16) -> usize {
    queue.index() as usize * QUEUE_LEN + BUFFERS + usize::from(slot) * BUFFER_LEN
}

/// Memory of a guest. It stays mapped until the process ends, as drivers refer to what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    mapped: &'static MmapRegion,
}

impl Memory {
    /// Maps a file, which gets as long as the memory is and is full of zeros then.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(file: File) -> io::Result<Self> {
        file.set_len(0)?;
        file.set_len(LEN as u64)?;
        let mapped =
            MmapRegion::from_file(FileOffset::new(file, 0), LEN).map_err(io::Error::other)?;
        Ok(Self { mapped: Box::leak(Box::new(mapped)) })
    }

    /// The memory as a front-end describes it.
    #[must_use]
    pub const fn region() -> Region {
        Region {
            guest_address: START,
            size: LEN as u64,
            user_address: USER,
            mmap_offset: 0,
            xen: None,
        }
    }

    /// Where a ring is, as a front-end says it: in user addresses.
    #[must_use]
    pub const fn addresses(queue: Queue) -> VringAddr {
        VringAddr {
            index: queue.index(),
            flags: 0,
            descriptor: USER + part(queue, Part::Descriptors) as u64,
            used: USER + part(queue, Part::Used) as u64,
            available: USER + part(queue, Part::Available) as u64,
            log: 0,
        }
    }

    /// Writes to the front of a buffer.
    ///
    /// # Panics
    /// It is shorter than that.
    pub fn write(&self, queue: Queue, slot: u16, bytes: &[u8]) {
        assert!(bytes.len() <= BUFFER_LEN, "{} bytes for a buffer", bytes.len());
        self.slice(buffer(queue, slot), bytes.len()).copy_from(bytes);
    }

    /// Reads the front of a buffer.
    ///
    /// # Panics
    /// It is shorter than that.
    pub fn read(&self, queue: Queue, slot: u16, bytes: &mut [u8]) {
        assert!(bytes.len() <= BUFFER_LEN, "{} bytes of a buffer", bytes.len());
        self.slice(buffer(queue, slot), bytes.len()).copy_to(bytes);
    }

    /// Guest address of a buffer.
    pub(super) fn buffer_address(queue: Queue, slot: u16) -> u64 {
        START + buffer(queue, slot) as u64
    }

    /// A field of a part of a ring, which is aligned.
    pub(super) fn field<A: AtomicInteger>(
        &self,
        queue: Queue,
        at: Part,
        offset: usize,
    ) -> &'static A {
        let found = self.mapped.get_atomic_ref(part(queue, at) + offset);
        found.expect("a field in memory")
    }

    /// A part of the memory.
    pub(super) fn slice(&self, offset: usize, len: usize) -> VolatileSlice<'static> {
        self.mapped.get_slice(offset, len).expect("in memory")
    }
}
