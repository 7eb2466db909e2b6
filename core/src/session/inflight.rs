//! The in-flight area as the session hands it around (spec §6.11).

use super::answer::Next;
use super::effect::{Effect, EffectError};
use super::pending::Work;
use super::{InflightArea, Refusal, Session};
use crate::inflight::Geometry;
use crate::memory::RingSize;
use crate::vhost_user::payload::Inflight;
use crate::vhost_user::{FrontendRequest as R, Payload};

/// `errno` of an area that was made without a byte.
const ENOMEM: i32 = 12;

impl<F, M> Session<F, M> {
    /// The area for these queues, if the device can have them (VU-182).
    fn geometry(&self, area: &Inflight) -> Result<Geometry, Refusal> {
        let Inflight { num_queues: queues, queue_size, .. } = *area;
        let geometry = Geometry { queues, queue_size, packed: self.is_packed() };
        geometry.check_request(self.offer.queues)?;
        RingSize::check(queue_size.into(), self.is_packed(), self.offer.max_queue_size)
            .map_err(Refusal::RingSize)?;
        Ok(geometry)
    }

    /// Where the regions of the in-flight area lie, for the rings of this moment. `None` without
    /// an area, and with one that was handed over for split rings and is too small for the packed
    /// ones that were chosen later: nothing may be read from it then (VU-182).
    #[must_use]
    pub fn inflight_geometry(&self) -> Option<Geometry> {
        let area = &self.inflight.as_ref()?.area;
        let geometry = self.geometry(area).ok()?;
        geometry.check(self.offer.queues, area.mmap_size, area.mmap_offset).ok()?;
        Some(geometry)
    }

    pub(super) fn get_inflight_fd<'a>(&mut self, wanted: Inflight) -> Result<Next<'a, F>, Refusal> {
        let Geometry { queues, queue_size, .. } = self.geometry(&wanted)?;
        self.work = Work::AllocateInflight { wanted };
        Ok(Next::Need(Effect::AllocateInflight { queues, queue_size }))
    }

    /// The front-end keeps the area; the back-end gets it back with `SET_INFLIGHT_FD`, so
    /// nothing of it is kept here (SE02).
    pub(super) fn inflight_made<'a>(
        &mut self,
        wanted: Inflight,
        fd: F,
        mmap_size: u64,
        mmap_offset: u64,
    ) -> Result<Next<'a, F>, Refusal> {
        if mmap_size == 0 {
            let code = R::GET_INFLIGHT_FD.0;
            return Err(Refusal::Effect { code, error: EffectError(ENOMEM) });
        }
        // The request's padding does not come back.
        let area = Inflight { mmap_size, mmap_offset, padding: 0, ..wanted };
        let len = self.buffer.put(R::GET_INFLIGHT_FD, Payload::Inflight(area));
        Ok(Next::Answer(len, Some(fd))) // VU-030, VU-179
    }

    pub(super) fn set_inflight_fd<'a>(
        &mut self,
        area: Inflight,
        fd: Option<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        if let Some(index) = self.first_started() {
            return Err(Refusal::InflightWhileStarted { index }); // DC-018
        }
        let geometry = self.geometry(&area)?;
        geometry.check(self.offer.queues, area.mmap_size, area.mmap_offset)?;
        let Some(fd) = fd else { return Ok(Next::Success) }; // decoding demands one (VU-181)
        self.work = Work::MapInflight { area };
        Ok(Next::Need(Effect::MapInflight { area, fd }))
    }

    pub(super) fn inflight_mapped<'a>(
        &mut self,
        area: Inflight,
        mapping: M,
    ) -> Result<Next<'a, F>, Refusal> {
        self.inflight = Some(InflightArea { mapping, area });
        Ok(Next::Success)
    }
}
