//! From what a front-end said about a ring to what can be walked.

use core::fmt;

use super::{Refusal, Ring, Service, Session};
use crate::memory::ring::{Placement, RingParts, place};
use crate::memory::{AddressKind, PlaceError, RingSize, RingSizeError};
use crate::ring::{Features, Layout, Limits, Position, Setup};
use crate::rule::Rule;

/// A started ring whose parts all lie in memory that may be touched now.
///
/// It is good until the next message is answered: a new table or translation, an invalidation or
/// a stop may take the memory away.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// How the ring is laid out.
    pub layout: Layout,
    /// What a queue is activated with: see [`crate::ring`].
    pub setup: Setup,
    /// Where its parts are.
    pub placement: Placement,
    /// Where processing begins.
    pub position: Position,
    /// What to do with it.
    pub service: Service,
}

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
            Self::NoSize { .. } | Self::NoAddresses { .. } => Rule::vu(83),
            Self::Base { .. } => Rule::pk(39),
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
    /// Where processing of a ring begins, as its base says; `None` without such a ring.
    ///
    /// It is read anew each time: the features that say how, and whether there is an in-flight
    /// area, may come after the base.
    #[must_use]
    pub fn position(&self, index: u32) -> Option<Position> {
        self.ring(index).map(|ring| self.position_of(ring))
    }

    fn position_of(&self, ring: &Ring<F>) -> Position {
        Position::of(ring.base, self.is_packed(), self.inflight.is_some())
    }

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
        let layout = if self.is_packed() { Layout::Packed } else { Layout::Split };
        let packed = layout == Layout::Packed;
        let size = RingSize::check(ring.size.into(), packed, self.offer.max_queue_size)
            .map_err(BindError::Size)?;
        let position = self.position_of(ring);
        if let Position::Packed { available, used, .. } = position
            && available.max(used) >= size.get()
        {
            return Err(BindError::Base { base: ring.base, size: size.get() });
        }
        let virtio = self.negotiated.virtio.unwrap_or(0);
        let setup = Setup {
            size,
            addresses: *addr,
            ring_kind: self.ring_addresses(),
            buffer_kind: AddressKind::of_buffers(virtio),
            features: Features::of(virtio),
            limits: Limits::of(size),
        };
        let parts = RingParts::new(size, packed, setup.features.event_idx);
        let iotlb = (setup.ring_kind == AddressKind::Iova).then_some(&self.iotlb);
        let placement =
            place(&self.memory, iotlb, setup.ring_kind, addr, &parts).map_err(BindError::Place)?;
        Ok(Binding { layout, setup, placement, position, service })
    }
}
