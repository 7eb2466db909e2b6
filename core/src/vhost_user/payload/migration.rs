//! P-INFLIGHT and P-XFER: what survives a reconnection or a migration (spec §2).

use super::Fixed;
use crate::wire::{Reader, Short, Sink};

/// P-INFLIGHT: the area that tracks requests in flight (24 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 8 | mmap size in bytes |
/// | 8 | 8 | mmap offset |
/// | 16 | 2 | number of queues |
/// | 18 | 2 | queue size |
/// | 20 | 4 | padding |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inflight {
    /// Bytes of the area.
    pub mmap_size: u64,
    /// Where the area starts in the descriptor.
    pub mmap_offset: u64,
    /// Queues that the area has room for.
    pub num_queues: u16,
    /// Descriptors of each queue.
    pub queue_size: u16,
    /// The four bytes at the end, which nobody checks.
    pub padding: u32,
}

impl Fixed for Inflight {
    const LEN: u32 = 24;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self {
            mmap_size: r.ne_u64()?,
            mmap_offset: r.ne_u64()?,
            num_queues: r.ne_u16()?,
            queue_size: r.ne_u16()?,
            padding: r.ne_u32()?,
        })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.ne_u64(self.mmap_size);
        sink.ne_u64(self.mmap_offset);
        sink.ne_u16(self.num_queues);
        sink.ne_u16(self.queue_size);
        sink.ne_u32(self.padding);
    }
}

/// P-XFER: which way the device state goes (8 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 4 | direction: 0 save, 1 load |
/// | 4 | 4 | phase: 0 stopped |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transfer {
    /// [`Transfer::SAVE`] or [`Transfer::LOAD`]; other values are kept.
    pub direction: u32,
    /// [`Transfer::STOPPED`]; other values are kept.
    pub phase: u32,
}

impl Transfer {
    /// From the back-end to the front-end.
    pub const SAVE: u32 = 0;
    /// From the front-end to the back-end.
    pub const LOAD: u32 = 1;
    /// The only phase there is.
    pub const STOPPED: u32 = 0;
}

impl Fixed for Transfer {
    const LEN: u32 = 8;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self { direction: r.ne_u32()?, phase: r.ne_u32()? })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.ne_u32(self.direction);
        sink.ne_u32(self.phase);
    }
}
