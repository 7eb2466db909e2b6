//! From the offer of a script to those of the core and of the model.

use vhost_fuzz_core::session::Offer;
use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_model::session as model;

use super::offer::ScriptOffer;

/// The offer of a device, as core and model take it.
///
/// A script may hold an offer that no device can make, such as bit 14 without bits 3 and 5: the
/// bits that depend on others are left out then, so that every script has a device to talk to.
#[must_use]
pub fn offers(script: &ScriptOffer) -> (Offer, model::Offer) {
    let bits = protocol_features(script);
    let mut shmem = Vec::new();
    if !script.shmem.is_empty() {
        shmem.resize(256, 0);
        for (id, size) in &script.shmem {
            shmem[usize::from(*id)] = *size;
        }
    }
    let core = Offer {
        device: script.device,
        features: script.features,
        protocol_features: bits,
        queues: script.queues,
        queue_num: script.queue_num,
        max_queue_size: script.max_queue_size,
        max_mem_slots: script.max_mem_slots,
        config_len: script.config_len,
        config_limit: script.config_limit,
        config_writable: script.config_writable.iter().map(|(start, end)| *start..*end).collect(),
        page_size: script.page_size,
        shmem: shmem.clone().into_boxed_slice().try_into().ok(),
    };
    let model = model::Offer {
        device: script.device,
        features: script.features,
        protocol_features: bits,
        queues: script.queues.into(),
        queue_num: script.queue_num,
        max_queue_size: script.max_queue_size.into(),
        max_mem_slots: script.max_mem_slots.into(),
        config_len: script.config_len.into(),
        config_limit: script.config_limit.into(),
        config_writable: script
            .config_writable
            .iter()
            .map(|(start, end)| ((*start).into(), (*end).into()))
            .collect(),
        page_size: script.page_size,
        shmem,
    };
    (core, model)
}

/// VU-096, VU-216, VU-249: bits that need others.
fn protocol_features(script: &ScriptOffer) -> u64 {
    let mut bits = script.protocol_features;
    let inband = protocol::BACKEND_REQ | protocol::REPLY_ACK;
    if bits & inband != inband {
        bits &= !protocol::INBAND_NOTIFICATIONS;
    }
    let skip_drain = protocol::GET_VRING_BASE_INFLIGHT | protocol::INFLIGHT_SHMFD;
    if bits & skip_drain != skip_drain {
        bits &= !protocol::GET_VRING_BASE_SKIP_DRAIN;
    }
    if script.device == Offer::CRYPTO {
        bits |= protocol::CRYPTO_SESSION;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_a_device_to_talk_to() {
        for device in [1, Offer::CRYPTO] {
            for protocol_features in (0..24).map(|bit| 1 << bit).chain([0, protocol::ALL]) {
                let script = ScriptOffer { device, protocol_features, ..ScriptOffer::default() };
                let (core, model) = offers(&script);
                assert_eq!(core.check(), Ok(()), "device {device}, {protocol_features:#x}");
                assert_eq!(core.protocol_features, model.protocol_features);
            }
        }
    }

    #[test]
    fn complete_sets_of_bits_are_offered_as_they_are() {
        let script = ScriptOffer { protocol_features: protocol::ALL, ..ScriptOffer::default() };
        assert_eq!(offers(&script).0.protocol_features, protocol::ALL);
    }
}
