//! Rings in guest memory (spec/virtio.md §1, §2, §7.1, §7.2), said a second time.
//!
//! [`Split`] and [`Packed`] take the same calls as the queues under test. They read memory
//! through [`Memory`], every field once for each call, and list what the device has to store in
//! [`Writes`] without storing it. Ring parts and buffers have guest addresses here, and there is
//! no IOTLB. The regions may change only before a `bind`: the parts of a bound ring are memory.
//! [`History`] says what comes of a ring of either kind, without any ring.

mod chain;
pub mod event;
mod flight;
mod history;
mod memory;
mod packed;
mod refusal;
mod split;
#[cfg(test)]
mod tests;

pub use chain::{Chain, Element};
pub use history::{Delivery, History, Mistake};
pub use memory::{Memory, Region, Write, Writes, fetch, is_inside};
pub use packed::{Packed, Position};
pub use refusal::{Drop, Form, Part, PutRefusal, Refusal, Stop};
pub use split::Split;

/// What a ring is started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Entries.
    pub size: u16,
    /// Guest address of the descriptor table or ring.
    pub descriptor: u64,
    /// Guest address of the available ring; of the driver's event structure.
    pub available: u64,
    /// Guest address of the used ring; of the device's event structure.
    pub used: u64,
    /// `EVENT_IDX` was negotiated.
    pub event_idx: bool,
    /// `INDIRECT_DESC` was negotiated.
    pub indirect: bool,
    /// `IN_ORDER` was negotiated.
    pub in_order: bool,
    /// `VERSION_1` was negotiated.
    pub version_1: bool,
    /// Most entries of an indirect table.
    pub cap: u32,
    /// Every slot of a packed list has to be available (PK-015).
    pub strict: bool,
    /// Number of this life of the queue: tokens of another one are stale.
    pub epoch: u64,
}

impl Setup {
    /// Most entries of an indirect table unless someone says otherwise (VQ-021).
    #[must_use]
    pub fn default_cap(size: u16) -> u32 {
        u32::from(size).max(1024)
    }

    /// Judges the addresses of the parts by themselves, then where they lie: descriptor, used,
    /// available.
    fn judge_parts(&self, form: Form, regions: &[Region]) -> Result<(), Refusal> {
        let size = u64::from(self.size);
        let event = if self.event_idx { 2 } else { 0 };
        // VQ-006: the event fields count only when they are used.
        let (available, used) = match form {
            Form::Split => ((4 + 2 * size + event, 2), (4 + 8 * size + event, 4)),
            Form::Packed => ((4, 4), (4, 4)),
        };
        let parts = [
            (Part::Descriptor, self.descriptor, (16 * size, 16)),
            (Part::Used, self.used, used),
            (Part::Available, self.available, available),
        ];
        for (part, address, (len, align)) in parts {
            if address % align != 0 {
                return Err(Refusal::Misaligned { part, address });
            }
            // DC-020: an end of 2^64 is a wrap.
            if address.checked_add(len).is_none() {
                return Err(Refusal::Outside { part, address });
            }
        }
        for (part, address, (len, _)) in parts {
            if !is_inside(regions, address, len) {
                return Err(Refusal::Outside { part, address });
            }
        }
        Ok(())
    }
}

/// What a device holds for a chain until it gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Head (split) or buffer id (packed).
    pub id: u16,
    /// Places in the ring: 1 in a split ring.
    pub slots: u16,
    /// Writable bytes, at most `u32::MAX`; 0 for a malformed chain.
    pub writable: u32,
    /// Chains taken before it in this life.
    pub sequence: u64,
    /// The life of the queue.
    pub epoch: u64,
}

/// What comes of taking a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pop {
    /// Nothing is available.
    Empty,
    /// As many chains as the ring has entries were taken in this wake-up (VQ-035).
    Yield,
    /// A chain.
    Chain {
        /// What gives it back.
        token: Token,
    },
    /// A malformed chain, to be given back with length 0.
    Dropped {
        /// What gives it back.
        token: Token,
        /// What is wrong with it.
        error: Drop,
    },
    /// The queue is broken.
    Stopped(Stop),
}
