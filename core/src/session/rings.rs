//! Requests about one ring (spec §6.5).

use super::answer::Next;
use super::effect::{Effect, RingChange};
use super::pending::Work;
use super::{Endian, Event, Refusal, Ring, Session};
use crate::channel::Notifier;
use crate::memory::{Part, PlaceError, RingParts, RingSize};
use crate::vhost_user::Payload;
use crate::vhost_user::features::{protocol, virtio};
use crate::vhost_user::payload::{VringAddr, VringFd, VringState};

/// Bits of a split ring's base.
const SPLIT_BASE: u32 = 0xffff;

impl<F, M> Session<F, M> {
    /// VU-079: the ring, if the device has it.
    #[inline]
    fn ring_mut(&mut self, index: u32) -> Result<&mut Ring<F>, Refusal> {
        let queues = self.offer.queues;
        usize::try_from(index)
            .ok()
            .and_then(|at| self.rings.get_mut(at))
            .ok_or(Refusal::RingIndex { index, queues })
    }

    /// The ring, if it may be set up: not while it is started (DC-017).
    fn stopped_ring(&mut self, index: u32) -> Result<&mut Ring<F>, Refusal> {
        let ring = self.ring_mut(index)?;
        if ring.state.started { Err(Refusal::RingStarted { index }) } else { Ok(ring) }
    }

    /// Whether rings are packed, as far as anybody knows.
    #[inline]
    pub(super) const fn is_packed(&self) -> bool {
        self.negotiated.has_virtio(virtio::RING_PACKED)
    }

    /// Whether rings are split, which nobody knows before `SET_FEATURES`.
    const fn is_split(&self) -> bool {
        self.negotiated.virtio.is_some() && !self.is_packed()
    }

    /// The base of a ring in the encoding of its form (VU-089, VU-090).
    const fn encoded(&self, base: u32) -> u32 {
        if self.is_split() { base & SPLIT_BASE } else { base }
    }

    /// Goes on after a change of a ring: a device that looks at it has to hear of it.
    #[inline]
    fn changed<'a>(
        &mut self,
        index: u32,
        is_started: bool,
        change: RingChange,
    ) -> Result<Next<'a, F>, Refusal> {
        if !is_started {
            return Ok(Next::Success);
        }
        self.work = Work::Nothing;
        Ok(Next::Need(Effect::UpdateRing { index, change }))
    }

    pub(super) fn set_vring_num<'a>(&mut self, state: VringState) -> Result<Next<'a, F>, Refusal> {
        let (is_packed, limit) = (self.is_packed(), self.offer.max_queue_size);
        let ring = self.stopped_ring(state.index)?;
        let size = RingSize::check(state.num, is_packed, limit).map_err(Refusal::RingSize)?;
        ring.size = size.get();
        Ok(Next::Success)
    }

    #[inline]
    pub(super) fn set_vring_addr<'a>(&mut self, addr: VringAddr) -> Result<Next<'a, F>, Refusal> {
        let is_packed = self.is_packed();
        let ring = self.ring_mut(addr.index)?;
        check_alignment(&addr, is_packed).map_err(Refusal::Addresses)?;
        // Kept as given and resolved when the ring is bound: memory may come later, and may
        // change without new addresses (VU-258).
        ring.addr = Some(addr);
        let is_started = ring.state.started;
        self.changed(addr.index, is_started, RingChange::Addr)
    }

    pub(super) fn set_vring_base<'a>(&mut self, state: VringState) -> Result<Next<'a, F>, Refusal> {
        let is_split = self.is_split();
        let ring = self.stopped_ring(state.index)?;
        if is_split && state.num > SPLIT_BASE {
            return Err(Refusal::SplitBase { base: state.num }); // VU-087, HZ-68
        }
        ring.base = state.num;
        Ok(Next::Success)
    }

    pub(super) fn get_vring_base<'a>(
        &mut self,
        state: VringState,
        drain: bool,
    ) -> Result<Next<'a, F>, Refusal> {
        // VU-257: num is not looked at.
        let index = state.index;
        let ring = self.ring_mut(index)?;
        if !ring.state.started {
            // DV-34: a ring that never ran ends where it was told to begin.
            let base = ring.base;
            let num = self.encoded(base);
            return Ok(self.answer(Payload::State(VringState { index, num })));
        }
        self.work = Work::StopRing { index, is_drained: drain };
        Ok(Next::Need(Effect::StopRing { index, drain }))
    }

    pub(super) fn ring_stopped<'a>(
        &mut self,
        index: u32,
        base: u32,
    ) -> Result<Next<'a, F>, Refusal> {
        let num = self.encoded(base);
        self.ring_mut(index)?.base = num;
        self.ring_lost(index);
        Ok(self.answer(Payload::State(VringState { index, num }))) // VU-091
    }

    /// The ring is stopped. Its kick goes with it; a front-end sends a new one to start it again
    /// (spec §3.1 note 11).
    pub(super) fn ring_lost(&mut self, index: u32) {
        if let Ok(ring) = self.ring_mut(index) {
            ring.happen(Event::GetBase); // VU-066, VU-067
            ring.kick = Notifier::None;
            self.started = self.started.saturating_sub(1);
        }
    }

    pub(super) fn set_vring_kick<'a>(
        &mut self,
        vring: VringFd,
        fd: Option<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        let index = vring.index().into();
        let ring = self.ring_mut(index)?;
        ring.kick = fd.into(); // VU-100, VU-107
        if ring.state.started {
            return self.changed(index, true, RingChange::Kick);
        }
        self.start_ring(index)
    }

    /// Starts a ring, without waiting for a kick (VU-070).
    fn start_ring<'a>(&mut self, index: u32) -> Result<Next<'a, F>, Refusal> {
        self.work = Work::StartRing { index };
        Ok(Next::Need(Effect::StartRing { index }))
    }

    pub(super) fn ring_started<'a>(&mut self, index: u32) -> Result<Next<'a, F>, Refusal> {
        // Both events start it: VU-065, VU-068, VU-219.
        self.ring_mut(index)?.happen(Event::SetKick);
        self.started += 1;
        Ok(Next::Success)
    }

    /// The device cannot serve this ring: it stays stopped, without a kick.
    pub(super) fn ring_not_started(&mut self, index: u32) {
        if let Ok(ring) = self.ring_mut(index) {
            ring.kick = Notifier::None;
        }
    }

    pub(super) fn vring_kick<'a>(&mut self, state: VringState) -> Result<Next<'a, F>, Refusal> {
        let index = state.index;
        let ring = self.ring_mut(index)?;
        match (ring.state.started, &ring.kick) {
            (false, _) => self.start_ring(index),
            // VU-101: kicks come over the descriptor.
            (true, Notifier::Fd(_)) => Ok(Next::Success),
            (true, _) => {
                self.work = Work::Nothing;
                Ok(Next::Need(Effect::KickRing { index }))
            }
        }
    }

    /// Where calls (VU-103) or errors (VU-106) go from now on. The descriptor before is closed
    /// (VU-107).
    pub(super) fn set_signal<'a>(
        &mut self,
        vring: VringFd,
        fd: Option<F>,
        change: RingChange,
        place: impl FnOnce(&mut Ring<F>) -> &mut Notifier<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        let index = vring.index().into();
        let ring = self.ring_mut(index)?;
        *place(ring) = fd.into();
        let is_started = ring.state.started;
        self.changed(index, is_started, change)
    }

    pub(super) fn set_vring_enable<'a>(
        &mut self,
        state: VringState,
    ) -> Result<Next<'a, F>, Refusal> {
        let VringState { index, num } = state;
        let ring = self.ring_mut(index)?;
        let event = match num {
            0 => Event::Disable,
            1 => Event::Enable,
            _ => return Err(Refusal::EnableValue { num }), // VU-110
        };
        let before = ring.state;
        ring.happen(event); // VU-060, VU-109
        let is_news = before.started && ring.state != before;
        self.changed(index, is_news, RingChange::Enable)
    }

    pub(super) fn set_vring_endian<'a>(
        &mut self,
        state: VringState,
    ) -> Result<Next<'a, F>, Refusal> {
        let ring = self.stopped_ring(state.index)?; // VU-264
        ring.endian = Some(match state.num {
            0 => Endian::Little,
            1 => Endian::Big,
            num => return Err(Refusal::EndianValue { num }), // VU-112
        });
        Ok(Next::Success)
    }

    /// The first ring that is started.
    pub(super) fn first_started(&self) -> Option<u32> {
        (0..).zip(&self.rings).find(|(_, ring)| ring.state.started).map(|(index, _)| index)
    }

    /// Whether kicks, calls and errors may come as messages.
    #[must_use]
    pub const fn has_inband_notifications(&self) -> bool {
        self.negotiated.has(protocol::INBAND_NOTIFICATIONS)
    }
}

/// VU-083, HZ-74: what can be seen without a size and without memory.
#[inline]
fn check_alignment(addr: &VringAddr, packed: bool) -> Result<(), PlaceError> {
    let Ok(size) = RingSize::check(1, packed, 1) else { return Ok(()) };
    let parts = RingParts::new(size, packed, false);
    for part in Part::ALL {
        let (address, align) = (part.address(addr), parts.align(part));
        if !address.is_multiple_of(align) {
            return Err(PlaceError::Misaligned { part, address, align });
        }
    }
    Ok(())
}
