//! Features, protocol features and ownership (spec §5, §6.1).

use super::answer::Next;
use super::effect::Effect;
use super::offer::{inband_is_complete, skip_drain_is_complete};
use super::pending::Work;
use super::{Event, Refusal, Session};
use crate::vhost_user::features::virtio;

impl<F, M> Session<F, M> {
    pub(super) fn set_features<'a>(&mut self, features: u64) -> Result<Next<'a, F>, Refusal> {
        let bits = features & !self.offer.features;
        if bits != 0 {
            return Err(Refusal::FeaturesNotOffered { bits }); // VU-041
        }
        let bits = (features ^ self.negotiated.virtio.unwrap_or(0)) & !virtio::LOG_ALL;
        if !self.is_suspended() && bits != 0 {
            return Err(Refusal::FeaturesWhileStarted { bits }); // DC-016
        }
        self.work = Work::Features { features };
        Ok(Next::Need(Effect::Features { features }))
    }

    pub(super) fn features_chosen<'a>(&mut self, features: u64) -> Result<Next<'a, F>, Refusal> {
        self.negotiated.virtio = Some(features);
        let event = if features & virtio::PROTOCOL_FEATURES == 0 {
            Event::PlainFeatures // VU-042
        } else {
            Event::ProtocolFeatures // VU-043
        };
        self.rings.iter_mut().for_each(|ring| ring.happen(event));
        Ok(Next::Success)
    }

    pub(super) fn set_protocol_features<'a>(
        &mut self,
        features: u64,
    ) -> Result<Next<'a, F>, Refusal> {
        if !inband_is_complete(features) {
            return Err(Refusal::InbandAlone { bits: features }); // VU-216, VU-217
        }
        let bits = features & !self.offer.protocol_features;
        if bits != 0 {
            return Err(Refusal::ProtocolNotOffered { bits }); // VU-050
        }
        if !skip_drain_is_complete(features) {
            return Err(Refusal::SkipDrainAlone { bits: features }); // VU-096
        }
        // It counts from now on, whether or not anybody asked what is offered (SE11), and its
        // own acknowledgement was decided before: by what was negotiated when it came.
        self.negotiated.protocol = features;
        Ok(Next::Success)
    }

    pub(super) fn set_owner<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        // It marks the session and orders nothing: front-ends send it first, last or twice
        // (VU-054, HZ-38).
        self.is_owned = true;
        Ok(Next::Success)
    }

    /// Disables all rings and keeps everything else (VU-056, VU-057).
    pub(super) fn reset_owner<'a>(&mut self) -> Next<'a, F> {
        self.rings.iter_mut().for_each(|ring| ring.happen(Event::ResetOwner));
        Next::Success
    }
}
