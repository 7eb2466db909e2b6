//! A virtio-net device whose network is a gateway, behind a front-end.

mod config;

use std::time::Instant;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::config_space::{self, ConfigSpace};
use vhost_fuzz_core::net::device::{self, Counters, Due};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::session::{EffectError, Offer, Service};

use crate::device::{Device, Rings};
use crate::vring::{GuestMemory, OpenRing};

pub use config::{Config, ConfigError, PAIRS_MAX};

/// Serves a pair of rings, as [`device::Device::serve`] does: transmit, receive, the driver's
/// memory and the time in ms. Says what is due for each.
pub type ServePair = for<'r> fn(
    &mut device::Device,
    &mut OpenRing<'r>,
    Option<&mut OpenRing<'r>>,
    &GuestMemory<'r>,
    u64,
) -> [Due; 2];

/// A device, and what its front-end is told of it.
#[derive(Debug)]
pub struct Net {
    device: device::Device,
    serve_pair: ServePair,
    offer: Offer,
    pairs: u16,
    /// What a front-end reads now.
    space: [u8; config_space::LEN],
    since: Instant,
}

impl Net {
    /// A device that serves nobody yet.
    ///
    /// # Errors
    /// What is wrong with its configuration.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Self::serving_with(config, |device, transmit, receive, guest, now_ms| {
            device.serve(transmit, receive, guest, now_ms)
        })
    }

    /// The same, whose pairs of rings are served by `serve_pair`: one that wraps the rings can
    /// watch what crosses them, or get it wrong on purpose.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn serving_with(config: &Config, serve_pair: ServePair) -> Result<Self, ConfigError> {
        let device = device::Device::new(config.device()?).map_err(ConfigError::Device)?;
        let offer = config.offer();
        let space = device.config_space().bytes();
        let (pairs, since) = (config.pairs, Instant::now());
        Ok(Self { device, serve_pair, offer, pairs, space, since })
    }

    /// What became of frames since the device was made.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        self.device.counters()
    }

    /// What the driver reads, as of now.
    #[must_use]
    pub fn config_space(&self) -> ConfigSpace {
        self.device.config_space()
    }

    /// The ring of the control queue, if it has one: it comes behind all data queues that the
    /// driver knows of (virtio 1.3 §5.1.2).
    fn control_index(&self) -> Option<u16> {
        let features = self.device.control().features();
        let pairs = if features.has_any(Features::MQ) { self.pairs } else { 1 };
        features.has(Features::CTRL_VQ).then_some(2 * pairs)
    }

    /// Milliseconds since the device was made.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn renew_config(&mut self) {
        self.space = self.device.config_space().bytes();
    }

    /// What the driver sends, and answers to it.
    fn serve(&mut self, index: u16, rings: &mut Rings<'_>) {
        let receiver = 2 * self.device.receiver_of(index / 2);
        let now_ms = self.now_ms();
        let [transmit, receive] = rings.open_both([index, receiver]);
        let Some(mut transmit) = transmit else { return };
        // VU-062: a receive ring that is not enabled gets nothing.
        let mut receive = receive.filter(|ring| ring.service().supplies_packets());
        let guest = transmit.guest();
        let due = match transmit.service() {
            Service::Idle => return,
            Service::Discard => self.device.discard(&mut transmit), // VU-063
            Service::Serve => {
                let receive = receive.as_mut();
                let [due, _] =
                    (self.serve_pair)(&mut self.device, &mut transmit, receive, &guest, now_ms);
                due
            }
        };
        // That a ring is broken, or its driver to be called, the rings have noted themselves.
        if due.again {
            transmit.look_again();
        }
    }
}

impl Device for Net {
    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    fn config(&self) -> &[u8] {
        &self.space
    }

    fn write_config(&mut self, _offset: usize, _data: &[u8]) -> Result<(), EffectError> {
        // Every field is read-only; a driver that writes is not refused (NET-053).
        Ok(())
    }

    fn negotiated(&mut self, features: u64) {
        self.device.negotiated(features.into());
        self.renew_config();
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), EffectError> {
        self.device.set_mtu(mtu);
        Ok(())
    }

    fn announce(&mut self, _mac: [u8; 6]) {
        // There is no network behind the gateway that had to hear of it.
    }

    fn process(&mut self, index: u16, rings: &mut Rings<'_>) {
        if Some(index) == self.control_index() {
            if let Some(mut queue) = rings.open(index) {
                let guest = queue.guest();
                let _ = self.device.command(&mut queue, &guest);
            }
            self.renew_config(); // NET-041, NET-045
        } else if index % 2 == 1 {
            self.serve(index, rings);
        } else if let Some(mut queue) = rings.open(index) {
            // Buffers are looked for when there is something to put into them.
            queue.busy();
        }
    }

    fn reset(&mut self) {
        self.device.reset();
        self.renew_config();
    }
}

/// The address of the guest, unless it is configured.
pub const GUEST_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
