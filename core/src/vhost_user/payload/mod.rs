//! The payloads (spec §2), one file for each group of layouts.
//!
//! A layout of one fixed size is a [`Fixed`] type: a plain value that reads and writes exactly
//! [`Fixed::LEN`] bytes. A layout of variable size borrows the message. Padding is not checked,
//! but kept, so that decoding and encoding again gives the same bytes.

mod config;
mod crypto;
mod memory;
mod migration;
mod shared;
mod vring;

pub use config::Config;
pub use crypto::CryptoSession;
pub use memory::{Iotlb, LogBase, MemReg, MemTable, Region, RegionBytes, Regions, XenMmap};
pub use migration::{Inflight, Transfer};
pub use shared::{SharedObject, ShmemConfig, ShmemMap};
pub use vring::{VringAddr, VringArea, VringFd, VringState};

use crate::wire::{Reader, Short, Sink, SliceSink};

/// A payload of one size.
pub trait Fixed: Sized {
    /// Bytes on the wire.
    const LEN: u32;

    /// Reads the fields. Any `LEN` bytes are a value.
    ///
    /// # Errors
    /// [`Short`] when fewer than `LEN` bytes are left.
    fn read(r: &mut Reader<'_>) -> Result<Self, Short>;

    /// Writes `LEN` bytes.
    fn write(&self, sink: &mut impl Sink);
}

/// Bytes of the longest [`Fixed`] payload.
const FIXED_MAX: usize = 48;

/// Writes a payload of one size with a single `put`: its fields are put together in a buffer of
/// known length first, where no bound is left to be checked.
#[inline]
fn put(value: &impl Fixed, sink: &mut impl Sink) {
    fn len<T: Fixed>(_: &T) -> usize {
        T::LEN as usize
    }
    let mut wire = [0; FIXED_MAX];
    let Some(wire) = wire.get_mut(..len(value)) else { return value.write(sink) };
    value.write(&mut SliceSink::new(wire));
    sink.put(wire);
}

/// What a message carries after its header.
///
/// The variant follows from the request id (and, where a layout has several forms, from the
/// size), so a receiver matches on the pair of id and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Nothing (P-NONE).
    None,
    /// A u64 (P-U64); also every acknowledgement.
    U64(u64),
    /// Ring index and no-descriptor flag (P-VRING-FD).
    VringFd(VringFd),
    /// Ring index and a number (P-STATE, P-BASE).
    State(VringState),
    /// Ring addresses (P-ADDR).
    Addr(VringAddr),
    /// Memory table (P-MEMTABLE).
    MemTable(MemTable<'a>),
    /// One memory region (P-MEMREG).
    MemReg(MemReg),
    /// Dirty log (P-LOG).
    Log(LogBase),
    /// IOTLB message (P-IOTLB).
    Iotlb(Iotlb),
    /// Configuration space access (P-CONFIG).
    Config(Config<'a>),
    /// Host notifier area (P-AREA).
    Area(VringArea),
    /// In-flight area (P-INFLIGHT).
    Inflight(Inflight),
    /// UUID (P-SHARED).
    Shared(SharedObject),
    /// Device state transfer (P-XFER).
    Transfer(Transfer),
    /// Shared memory mapping (P-MMAP).
    ShmemMap(ShmemMap),
    /// Shared memory regions (P-SHMEMCFG).
    ShmemConfig(ShmemConfig<'a>),
    /// Crypto session (P-CRYPTO).
    Crypto(CryptoSession<'a>),
    /// The payload of a request id that the specification does not have.
    Unknown(&'a [u8]),
}

impl Payload<'_> {
    /// Writes the payload.
    pub fn write(&self, sink: &mut impl Sink) {
        match self {
            Self::None => {}
            Self::U64(value) => sink.ne_u64(*value),
            Self::VringFd(value) => put(value, sink),
            Self::State(value) => put(value, sink),
            Self::Addr(value) => put(value, sink),
            Self::MemTable(value) => value.write(sink),
            Self::MemReg(value) => value.write(sink),
            Self::Log(value) => put(value, sink),
            Self::Iotlb(value) => put(value, sink),
            Self::Config(value) => value.write(sink),
            Self::Area(value) => put(value, sink),
            Self::Inflight(value) => put(value, sink),
            Self::Shared(value) => put(value, sink),
            Self::Transfer(value) => put(value, sink),
            Self::ShmemMap(value) => put(value, sink),
            Self::ShmemConfig(value) => value.write(sink),
            Self::Crypto(value) => value.write(sink),
            Self::Unknown(bytes) => sink.put(bytes),
        }
    }
}

impl Fixed for u64 {
    const LEN: u32 = 8;

    #[inline(always)]
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        r.ne_u64()
    }

    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.ne_u64(*self);
    }
}
