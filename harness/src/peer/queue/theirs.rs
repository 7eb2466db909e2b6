//! The split queue of the `virtio-queue` crate, and the least that a device has to do around it.

use std::io::{Read as _, Write as _};

use virtio_queue::{
    AvailIter, DescriptorChain, Error, Queue, QueueOwnedT as _, QueueState, QueueT,
};
use vm_memory::GuestMemoryMmap;

use super::super::quiet;
use super::walk::{Buffer, MAX_SIZE, Start, feature};

/// It panicked, which is its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// A chain of the peer. It walks guest memory each time it is asked for something.
#[derive(Clone, Debug)]
pub struct Chain<'m>(DescriptorChain<&'m GuestMemoryMmap>);

/// The peer's queue.
#[derive(Debug)]
pub struct Peer {
    queue: Queue,
}

impl Default for Peer {
    fn default() -> Self {
        Self { queue: Queue::new(MAX_SIZE).expect("a power of two") }
    }
}

/// What the peer's caller saves and restores.
fn state(start: &Start, used: u16) -> QueueState {
    QueueState {
        max_size: MAX_SIZE,
        next_avail: start.base,
        next_used: used,
        event_idx_enabled: start.has(feature::EVENT_IDX),
        size: start.size,
        ready: true,
        desc_table: start.descriptor,
        avail_ring: start.available,
        used_ring: start.used,
    }
}

impl Peer {
    /// Restores a queue that goes on at a position, and at the used index that is in memory, which
    /// the caller reads; whether the queue says that it can run.
    ///
    /// # Errors
    /// It panicked.
    pub fn start(
        &mut self,
        start: &Start,
        used: u16,
        memory: &GuestMemoryMmap,
    ) -> Result<bool, Panicked> {
        quiet::run(|| {
            let Ok(mut queue) = Queue::try_from(state(start, used)) else { return false };
            // A queue that was not set up for it says so when it is asked for chains.
            let is_ready = !matches!(queue.iter(memory), Err(Error::QueueNotReady));
            let is_valid = queue.is_valid(memory);
            self.queue = queue;
            is_ready && is_valid
        })
        .ok_or(Panicked)
    }

    /// What it would save.
    #[must_use]
    pub fn is_at(&self, start: &Start, next: u16, used: u16) -> bool {
        self.queue.state() == state(&Start { base: next, ..*start }, used)
    }

    /// What is available now; `None` when the peer returns an error.
    ///
    /// # Errors
    /// It panicked.
    pub fn available<'q, 'm>(
        &'q mut self,
        memory: &'m GuestMemoryMmap,
    ) -> Result<Option<Available<'q, 'm>>, Panicked> {
        quiet::run(|| self.queue.iter(memory).ok().map(Available)).ok_or(Panicked)
    }

    /// Gives a buffer back; whether it did.
    ///
    /// # Errors
    /// It panicked.
    pub fn put(&mut self, memory: &GuestMemoryMmap, head: u16, len: u32) -> Result<bool, Panicked> {
        quiet::run(|| self.queue.add_used(memory, head, len).is_ok()).ok_or(Panicked)
    }

    /// Whether to call the driver; `None` when it returns an error.
    ///
    /// # Errors
    /// It panicked.
    pub fn tell(&mut self, memory: &GuestMemoryMmap) -> Result<Option<bool>, Panicked> {
        quiet::run(|| self.queue.needs_notification(memory).ok()).ok_or(Panicked)
    }

    /// Asks for kicks; whether there is more, or `None` when it returns an error.
    ///
    /// # Errors
    /// It panicked.
    pub fn arm(&mut self, memory: &GuestMemoryMmap) -> Result<Option<bool>, Panicked> {
        quiet::run(|| self.queue.enable_notification(memory).ok()).ok_or(Panicked)
    }

    /// Asks for no kicks; whether it could.
    ///
    /// # Errors
    /// It panicked.
    pub fn disarm(&mut self, memory: &GuestMemoryMmap) -> Result<bool, Panicked> {
        quiet::run(|| self.queue.disable_notification(memory).is_ok()).ok_or(Panicked)
    }
}

/// The chains that are available at one moment.
#[derive(Debug)]
pub struct Available<'q, 'm>(AvailIter<'q, &'m GuestMemoryMmap>);

impl<'m> Available<'_, 'm> {
    /// Takes the next one, and gives its head and its buffers, empty ones included.
    ///
    /// # Errors
    /// It panicked.
    pub fn take(
        &mut self,
        buffers: &mut Vec<Buffer>,
    ) -> Result<Option<(u16, Chain<'m>)>, Panicked> {
        quiet::run(|| {
            let chain = self.0.next()?;
            buffers.extend(chain.clone().map(|descriptor| Buffer {
                address: descriptor.addr().0,
                len: descriptor.len(),
                is_writable: descriptor.is_write_only(),
            }));
            Some((chain.head_index(), Chain(chain)))
        })
        .ok_or(Panicked)
    }
}

impl<'m> Chain<'m> {
    /// Whether it gives a reader and a writer.
    ///
    /// # Errors
    /// It panicked.
    pub fn is_usable(&self, memory: &'m GuestMemoryMmap) -> Result<bool, Panicked> {
        quiet::run(|| {
            self.0.clone().reader(memory).is_ok() && self.0.clone().writer(memory).is_ok()
        })
        .ok_or(Panicked)
    }

    /// Reads the front of the readable bytes; how many there were, and how many were read. `None`
    /// when there is an error.
    ///
    /// # Errors
    /// It panicked.
    pub fn read(
        &self,
        memory: &'m GuestMemoryMmap,
        bytes: &mut [u8],
    ) -> Result<Option<(u64, usize)>, Panicked> {
        quiet::run(|| {
            let mut reader = self.0.clone().reader(memory).ok()?;
            let available = reader.available_bytes() as u64;
            Some((available, reader.read(bytes).ok()?))
        })
        .ok_or(Panicked)
    }

    /// Writes to the front of the writable bytes; how many there were, and how many were written.
    /// `None` when there is an error.
    ///
    /// # Errors
    /// It panicked.
    pub fn write(
        &self,
        memory: &'m GuestMemoryMmap,
        bytes: &[u8],
    ) -> Result<Option<(u64, u32)>, Panicked> {
        quiet::run(|| {
            let mut writer = self.0.clone().writer(memory).ok()?;
            let available = writer.available_bytes() as u64;
            let written = writer.write(bytes).ok()?;
            let counted = writer.bytes_written() == written;
            Some((available, u32::try_from(written).ok().filter(|_| counted)?))
        })
        .ok_or(Panicked)
    }
}
