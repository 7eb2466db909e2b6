//! A device that can stop anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vhost_fuzz_backend::device::{Device, Rings};
use vhost_fuzz_backend::vring::OpenRing;
use vhost_fuzz_core::ring::Token;
use vhost_fuzz_core::session::{EffectError, Offer};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};

/// What it offers at virtio level.
pub(crate) const FEATURES: u64 = virtio::VERSION_1
    | virtio::RING_PACKED
    | virtio::EVENT_IDX
    | virtio::INDIRECT_DESC
    | virtio::LOG_ALL
    | virtio::PROTOCOL_FEATURES;

/// The protocol features that it offers.
pub(crate) const PROTOCOL: u64 = protocol::REPLY_ACK
    | protocol::BACKEND_REQ
    | protocol::INBAND_NOTIFICATIONS
    | protocol::LOG_SHMFD
    | protocol::INFLIGHT_SHMFD;

/// Entries of its rings at most.
pub(crate) const MAX_SIZE: u16 = 64;

/// An offer of a device with these features.
pub(crate) fn offer(features: u64, protocol_features: u64) -> Offer {
    Offer {
        device: 42,
        features,
        protocol_features,
        queues: 2,
        queue_num: 2,
        max_queue_size: MAX_SIZE,
        max_mem_slots: 8,
        config_len: 0,
        config_limit: 256,
        config_writable: Default::default(),
        page_size: 4096,
        shmem: None,
    }
}

/// Writes what it reads, each byte the other way round. It takes up to three requests, answers
/// them newest first, and shows them together.
#[derive(Debug, Default)]
pub(crate) struct Inverter {
    /// Steps before it stops for good; `None`: it never does.
    pub(crate) steps: Option<usize>,
    /// It has stopped.
    pub(crate) is_stopped: Arc<AtomicBool>,
    /// What it offers, unless it is the usual.
    pub(crate) offer: Option<Offer>,
    /// First byte of each request that it took.
    pub(crate) taken: Vec<u8>,
}

impl Inverter {
    /// A step: whether it is done.
    fn step(&mut self) -> bool {
        match &mut self.steps {
            Some(0) => {
                self.is_stopped.store(true, Ordering::Release);
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    /// Takes requests, answers and shows them; nothing when it has stopped.
    fn round(&mut self, ring: &mut OpenRing<'_>) -> Option<bool> {
        let mut held: Vec<(Token, u32)> = Vec::new();
        while held.len() < 3 {
            self.step().then_some(())?;
            let Some(token) = ring.take() else { break };
            self.step().then_some(())?;
            let guest = ring.guest();
            let mut bytes = vec![0; usize::try_from(ring.chain.readable_bytes()).unwrap()];
            ring.chain.reader(&guest).read(&mut bytes).unwrap();
            self.taken.push(bytes[0]);
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            let mut writer = ring.chain.writer(&guest);
            writer.write(&bytes).unwrap();
            held.push((token, writer.written()));
        }
        let is_more = held.len() == 3;
        while let Some((token, len)) = held.pop() {
            self.step().then_some(())?;
            ring.give(token, len);
        }
        self.step().then_some(())?;
        ring.publish();
        self.step().then_some(is_more)
    }
}

impl Device for Inverter {
    fn offer(&self) -> Offer {
        self.offer.clone().unwrap_or_else(|| offer(FEATURES, PROTOCOL))
    }

    fn config(&self) -> &[u8] {
        &[]
    }

    fn write_config(&mut self, _: usize, _: &[u8]) -> Result<(), EffectError> {
        Err(EffectError(22))
    }

    fn negotiated(&mut self, _: u64) {}

    fn set_mtu(&mut self, _: u16) -> Result<(), EffectError> {
        Ok(())
    }

    fn announce(&mut self, _: [u8; 6]) {}

    fn process(&mut self, index: u16, rings: &mut Rings<'_>) {
        let Some(mut ring) = rings.open(index) else { return };
        while let Some(is_more) = self.round(&mut ring) {
            if !is_more {
                return ring.sleep();
            }
        }
    }

    fn reset(&mut self) {}
}
