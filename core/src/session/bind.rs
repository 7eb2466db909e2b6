//! From what a front-end said about a ring to what can be walked.

use core::fmt;

use super::{Refusal, Service, Session};
use crate::memory::ring::{Placement, RingParts, place};
use crate::memory::{AddressKind, PlaceError, RingSize, RingSizeError};
use crate::rule::Rule;
use crate::vhost_user::features::virtio;
use crate::vhost_user::payload::VringAddr;

/// A started ring whose parts all lie in memory that may be touched now.
///
/// It is good until the next message is answered: a new table or translation, an invalidation or
/// a stop may take the memory away.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Entries.
    pub size: RingSize,
    /// The ring is packed.
    pub packed: bool,
    /// Notifications are suppressed by index.
    pub event_idx: bool,
    /// Where its parts are.
    pub placement: Placement,
    /// Where processing begins.
    pub position: Position,
    /// Log address of the used ring, if writes to it are logged (VU-148).
    pub log: Option<u64>,
    /// What to do with it.
    pub service: Service,
}

/// Where processing of a ring begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// A split ring. The next used index is in its used ring, in memory (VU-084, VU-085).
    Split {
        /// Next available index, free running.
        available: u16,
    },
    /// A packed ring (VU-086).
    Packed {
        /// Next available descriptor.
        available: u16,
        /// Its wrap counter.
        available_wrap: bool,
        /// Next used descriptor.
        used: u16,
        /// Its wrap counter.
        used_wrap: bool,
    },
}

impl Position {
    /// Reads a base (spec §2 P-BASE).
    ///
    /// In a packed one whose upper half is zero and whose bit 15 is set the upper half was not
    /// filled in: it is the same as the lower (VU-086, DV-32).
    #[must_use]
    pub const fn of(base: u32, packed: bool) -> Self {
        let [a, b, c, d] = base.to_le_bytes();
        let (low, mut high) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        if !packed {
            return Self::Split { available: low };
        }
        if high == 0 && low & WRAP != 0 {
            high = low;
        }
        Self::Packed {
            available: low & !WRAP,
            available_wrap: low & WRAP != 0,
            used: high & !WRAP,
            used_wrap: high & WRAP != 0,
        }
    }
}

/// Bit 15 of a packed half: the wrap counter.
const WRAP: u16 = 1 << 15;

/// Why a ring cannot be walked now. It may be possible later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BindError {
    /// The device has no such ring.
    Index(Refusal),
    /// The ring is stopped.
    Stopped {
        /// The ring.
        index: u32,
    },
    /// It has no size.
    NoSize {
        /// The ring.
        index: u32,
    },
    /// Its size does not fit the features that were set later.
    Size(RingSizeError),
    /// It has no addresses.
    NoAddresses {
        /// The ring.
        index: u32,
    },
    /// The front-end has not acknowledged where memory is mapped.
    PostcopyAckDue,
    /// Its base points outside of the ring.
    Base {
        /// The base.
        base: u32,
        /// Entries.
        size: u16,
    },
    /// A part of it is not in memory.
    Place(PlaceError),
}

impl BindError {
    /// The requirement that forbids to touch the ring.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Index(refusal) => refusal.rule(),
            Self::Stopped { .. } => Rule::vu(59),
            Self::Size(error) => error.rule(),
            Self::NoSize { .. } | Self::NoAddresses { .. } | Self::Base { .. } => Rule::vu(83),
            Self::PostcopyAckDue => Rule::vu(131),
            Self::Place(error) => error.rule(),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(refusal) => refusal.fmt(f),
            Self::Stopped { index } => write!(f, "ring {index} is stopped"),
            Self::NoSize { index } => write!(f, "ring {index} has no size"),
            Self::Size(error) => error.fmt(f),
            Self::NoAddresses { index } => write!(f, "ring {index} has no addresses"),
            Self::PostcopyAckDue => f.write_str("memory may not be touched yet"),
            Self::Base { base, size } => write!(f, "base {base:#x} of a ring of {size} entries"),
            Self::Place(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BindError {}

impl<F, M> Session<F, M> {
    /// Resolves a started ring against the memory of this moment (VU-258). Cheap enough for once
    /// a batch.
    ///
    /// # Errors
    /// Why the ring must not be touched.
    pub fn bind(&self, index: u32) -> Result<Binding, BindError> {
        let queues = self.offer.queues;
        let ring =
            self.ring(index).ok_or(BindError::Index(Refusal::RingIndex { index, queues }))?;
        let service = ring.state().service();
        if service == Service::Idle {
            return Err(BindError::Stopped { index });
        }
        if self.postcopy == super::postcopy::State::TableSent {
            return Err(BindError::PostcopyAckDue); // VU-131
        }
        if ring.size == 0 {
            return Err(BindError::NoSize { index });
        }
        let addr = ring.addr.as_ref().ok_or(BindError::NoAddresses { index })?;
        let packed = self.is_packed();
        let event_idx = self.negotiated.has_virtio(virtio::EVENT_IDX);
        let size = RingSize::check(ring.size.into(), packed, self.offer.max_queue_size)
            .map_err(BindError::Size)?;
        let position = Position::of(ring.base, packed);
        if let Position::Packed { available, used, .. } = position
            && available.max(used) >= size.get()
        {
            return Err(BindError::Base { base: ring.base, size: size.get() });
        }
        let parts = RingParts::new(size, packed, event_idx);
        let kind = self.ring_addresses();
        let iotlb = (kind == AddressKind::Iova).then_some(&self.iotlb);
        let placement = place(&self.memory, iotlb, kind, addr, &parts).map_err(BindError::Place)?;
        let log = (addr.flags & VringAddr::LOG != 0).then_some(addr.log);
        Ok(Binding { size, packed, event_idx, placement, position, log, service })
    }
}
