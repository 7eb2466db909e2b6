//! Payloads about one vring: P-VRING-FD, P-STATE, P-BASE, P-ADDR and P-AREA (spec §2).

use super::Fixed;
use crate::wire::{Reader, Short, Sink};

/// P-VRING-FD: which ring a kick, call or error descriptor is for (8 bytes).
///
/// | Bits | Field |
/// |---|---|
/// | 0-7 | vring index |
/// | 8 | no descriptor is attached |
/// | 9-63 | unspecified; kept, not checked (DC-009) |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VringFd(pub u64);

impl VringFd {
    /// Bits 0-7 (VU-098).
    pub const INDEX_MASK: u64 = 0xff;
    /// Bit 8: no descriptor is attached (VU-099).
    pub const NO_FD: u64 = 0x100;

    /// The ring that the message is about, 0-255.
    #[must_use]
    pub const fn index(self) -> u8 {
        let [low, ..] = self.0.to_le_bytes();
        low
    }

    /// Whether the sender says that it attached no descriptor.
    #[must_use]
    pub const fn has_no_fd(self) -> bool {
        self.0 & Self::NO_FD != 0
    }
}

impl Fixed for VringFd {
    const LEN: u32 = 8;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        r.ne_u64().map(Self)
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.ne_u64(self.0);
    }
}

/// P-STATE and P-BASE: a ring and a number (8 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 4 | index |
/// | 4 | 4 | num: queue size, 0 or 1, byte order or base, by request |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VringState {
    /// The ring; all 32 bits count (MC07 cut it to 16 before the range check).
    pub index: u32,
    /// What it means depends on the request (spec §2 P-STATE, P-BASE).
    pub num: u32,
}

impl Fixed for VringState {
    const LEN: u32 = 8;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self { index: r.ne_u32()?, num: r.ne_u32()? })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.ne_u32(self.index);
        sink.ne_u32(self.num);
    }
}

/// P-ADDR: where the parts of a ring are (40 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 4 | index |
/// | 4 | 4 | flags: bit 0 log writes to the used ring |
/// | 8 | 8 | descriptor table (packed: descriptor ring) |
/// | 16 | 8 | used ring (packed: device event area) |
/// | 24 | 8 | available ring (packed: driver event area) |
/// | 32 | 8 | guest address at which used-ring writes are logged |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VringAddr {
    /// The ring.
    pub index: u32,
    /// [`VringAddr::LOG`] or undefined bits.
    pub flags: u32,
    /// Descriptor table. IOVA, guest physical or user address, by the negotiated features.
    pub descriptor: u64,
    /// Used ring. It precedes the available ring on the wire.
    pub used: u64,
    /// Available ring.
    pub available: u64,
    /// Log address; meaningful only with [`VringAddr::LOG`].
    pub log: u64,
}

impl VringAddr {
    /// Flags bit 0, `VHOST_VRING_F_LOG`.
    pub const LOG: u32 = 1;
}

impl Fixed for VringAddr {
    const LEN: u32 = 40;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self {
            index: r.ne_u32()?,
            flags: r.ne_u32()?,
            descriptor: r.ne_u64()?,
            used: r.ne_u64()?,
            available: r.ne_u64()?,
            log: r.ne_u64()?,
        })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.ne_u32(self.index);
        sink.ne_u32(self.flags);
        sink.ne_u64(self.descriptor);
        sink.ne_u64(self.used);
        sink.ne_u64(self.available);
        sink.ne_u64(self.log);
    }
}

/// P-AREA: the host notifier of a ring (24 bytes).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 8 | vring index and no-descriptor flag, as P-VRING-FD |
/// | 8 | 8 | size of the area in bytes |
/// | 16 | 8 | offset of the area in the descriptor |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VringArea {
    /// Ring, and whether a descriptor is attached.
    pub vring: VringFd,
    /// Bytes of the area; one host page.
    pub size: u64,
    /// Where it starts in the descriptor.
    pub offset: u64,
}

impl Fixed for VringArea {
    const LEN: u32 = 24;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self { vring: VringFd::read(r)?, size: r.ne_u64()?, offset: r.ne_u64()? })
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        self.vring.write(sink);
        sink.ne_u64(self.size);
        sink.ne_u64(self.offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vring_fd_splits_index_and_flag() {
        let with_fd = VringFd(0xfe);
        assert_eq!((with_fd.index(), with_fd.has_no_fd()), (0xfe, false));
        let without = VringFd(0xffff_ffff_ffff_0100);
        assert_eq!((without.index(), without.has_no_fd()), (0, true));
    }
}
