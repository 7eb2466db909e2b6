//! The guest's side of a network device that is measured: fixed buffers in memory of two threads,
//! and drivers that do next to nothing.
//!
//! A driver allocates nothing and touches no payload. Each entry of a ring has a buffer of its
//! own, and entries are made available one after the other, so that all that is left to do for a
//! buffer that came back is to move an index, or to write one descriptor again. For that a device
//! has to give buffers back in the order in which it got them; the driver checks of each that it
//! is the next, and how many bytes are in it.

mod memory;
mod packed;
mod split;
#[cfg(test)]
mod tests;

use vhost_fuzz_core::ring::Layout;

pub use memory::{BUFFER_LEN, Memory};
use packed::Packed;
use split::Split;

/// Entries of a queue.
pub const SIZE: u16 = 256;

/// A queue of a network device with one pair of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// What the device sends: its buffers are writable.
    Receive,
    /// What the driver sends: its buffers are readable.
    Transmit,
}

impl Queue {
    /// Both, in the order of their indices.
    pub const BOTH: [Self; 2] = [Self::Receive, Self::Transmit];

    /// Its ring.
    #[must_use]
    pub const fn index(self) -> u32 {
        match self {
            Self::Receive => 0,
            Self::Transmit => 1,
        }
    }
}

/// The driver of a queue, with `EVENT_IDX`.
#[derive(Debug)]
pub struct Driver {
    ring: Ring,
    /// Buffers that the device has.
    in_flight: u16,
}

#[derive(Debug)]
enum Ring {
    Split(Split),
    Packed(Packed),
}

/// Calls a method of a ring, whichever layout it has.
macro_rules! on {
    ($either:expr, |$ring:ident| $call:expr) => {
        match $either {
            Ring::Split($ring) => $call,
            Ring::Packed($ring) => $call,
        }
    };
}

impl Driver {
    /// Lays out a fresh ring, whose buffers have `len` bytes each. None of them is available yet.
    ///
    /// # Panics
    /// A buffer has no room for so many bytes.
    #[must_use]
    pub fn new(memory: &Memory, queue: Queue, layout: Layout, len: u32) -> Self {
        assert!(len as usize <= BUFFER_LEN, "{len} bytes do not fit into a buffer");
        let ring = match layout {
            Layout::Split => Ring::Split(Split::new(memory, queue, len)),
            Layout::Packed => Ring::Packed(Packed::new(memory, queue, len)),
        };
        Self { ring, in_flight: 0 }
    }

    /// Where the device begins, as `SET_VRING_BASE` says it of a fresh ring.
    #[must_use]
    pub const fn base(&self) -> u32 {
        match self.ring {
            Ring::Split(_) => 0,
            // Two positions, each of them slot 0 with the wrap counter 1.
            Ring::Packed(_) => 0x8000_8000,
        }
    }

    /// Makes the next `count` buffers available.
    ///
    /// # Panics
    /// The device has some of them.
    #[inline]
    pub fn arm(&mut self, count: u16) {
        assert!(count <= SIZE - self.in_flight, "the device has the next {count} buffers");
        self.in_flight += count;
        on!(&mut self.ring, |ring| ring.arm(count));
    }

    /// Whether the device wants to be kicked for what was armed since the last time.
    #[must_use]
    #[inline]
    pub fn is_kick_wanted(&mut self) -> bool {
        on!(&mut self.ring, |ring| ring.is_kick_wanted())
    }

    /// Takes back all buffers that the device has used, and tells how many there were.
    ///
    /// # Panics
    /// One of them is not the next, or has not `written` bytes of the device.
    #[inline]
    pub fn reap(&mut self, written: u32) -> u16 {
        let count = on!(&mut self.ring, |ring| ring.reap(written, self.in_flight));
        self.in_flight -= count;
        count
    }

    /// Asks for a call when `count` buffers more are used. `true`: they are, so nobody will call.
    ///
    /// # Panics
    /// The device has not so many.
    #[must_use]
    #[inline]
    pub fn want_call(&mut self, count: u16) -> bool {
        assert!((1..=self.in_flight).contains(&count), "the device has no {count} buffers");
        on!(&mut self.ring, |ring| ring.want_call(count))
    }

    /// Asks for no calls. In a split ring that lasts for 65,535 buffers.
    #[inline]
    pub fn want_no_call(&mut self) {
        on!(&mut self.ring, |ring| ring.want_no_call());
    }
}

/// Whether `event` is one of the `count` indices before `new`, all modulo 2^16 (virtio 1.3
/// §2.7.10).
#[inline]
const fn is_passed(event: u16, new: u16, count: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < count
}
