//! Where the requests of a ring are recorded, for the process that takes over when this one has
//! ended (spec §6.11).

use std::os::fd::OwnedFd;

use vhost_fuzz_core::memory::RingSize;
use vhost_fuzz_core::ring::{
    Broken, Chain, PopError, PutError, QueueRing, Ring, Token, TrackedRing,
};
use vhost_fuzz_core::session::Session;

use crate::Mapping;
use crate::vring::{GuestMemory, Memory};

/// Where the requests of a ring are recorded.
#[derive(Debug)]
pub(crate) enum Home {
    /// Nowhere: there is no in-flight area, or it has no region for this ring (DC-151).
    None,
    /// In this region.
    Region(Mapping),
    /// There should be a region, and it cannot be used: the ring is not served (DC-151).
    Unfit,
}

/// Where the requests of a ring of this size are recorded.
pub(crate) fn home(session: &Session<OwnedFd, Mapping>, index: u32, size: RingSize) -> Home {
    let Some(area) = session.inflight() else { return Home::None };
    // Without a geometry the area is too small for the rings of this moment.
    let Some(geometry) = session.inflight_geometry() else { return Home::Unfit };
    let offset = u16::try_from(index).ok().and_then(|index| geometry.region_offset(index));
    let Some(offset) = offset else { return Home::None };
    if size.get() > geometry.queue_size {
        return Home::Unfit;
    }
    match area.mapping.part(offset, geometry.region_len()) {
        Ok(memory) => Home::Region(memory),
        Err(_) => Home::Unfit,
    }
}

/// A ring during one wake-up, with a record of its requests or without.
#[derive(Debug)]
pub(crate) enum AnyRing<'r> {
    Plain(QueueRing<'r, Memory, Mapping>),
    Tracked(TrackedRing<'r, Mapping, Memory, Mapping>),
}

/// Calls a method of whichever it is.
macro_rules! either {
    ($ring:expr, $it:ident => $call:expr) => {
        match $ring {
            Self::Plain($it) => $call,
            Self::Tracked($it) => $call,
        }
    };
}

impl<'r> AnyRing<'r> {
    pub(crate) const fn guest(&self) -> GuestMemory<'r> {
        either!(self, ring => ring.guest())
    }
}

impl Ring for AnyRing<'_> {
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        either!(self, ring => ring.pop(chain))
    }

    fn unpop(&mut self, token: Token) -> Result<(), PutError> {
        either!(self, ring => ring.unpop(token))
    }

    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError> {
        either!(self, ring => ring.put(token, len))
    }

    fn skip(&mut self, token: Token) -> Result<(), PutError> {
        either!(self, ring => ring.skip(token))
    }

    fn publish(&mut self) -> Result<bool, Broken> {
        either!(self, ring => ring.publish())
    }

    fn arm(&mut self) -> Result<bool, Broken> {
        either!(self, ring => ring.arm())
    }

    fn disarm(&mut self) -> Result<(), Broken> {
        either!(self, ring => ring.disarm())
    }
}
