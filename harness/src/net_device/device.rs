//! What a network device under test has to offer.

use vhost_fuzz_core::net::control::ControlConfig;
use vhost_fuzz_core::net::device::{Config, Device, Due};
use vhost_fuzz_core::net::gateway::Gateway;
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::ring::{Guest, Ring};

use crate::ram::RamRegion;

/// A device: ours, a broken one, or yours. What it does not define is done by [`core`](Self::core).
pub trait NetDevice {
    /// A device that nobody has spoken to yet. The configuration is a legal one.
    fn open(config: Config) -> Self;

    /// What it is made of.
    fn core(&mut self) -> &mut Device;

    /// As [`Device::renew`].
    ///
    /// # Panics
    /// When the configuration makes no sense.
    fn renew(&mut self, control: ControlConfig, gateway: Gateway) {
        let renewed = self.core().renew(control, gateway);
        renewed.unwrap_or_else(|error| panic!("a configuration of ours: {error}"));
    }

    /// As [`Device::negotiated`].
    fn negotiated(&mut self, features: Features) {
        self.core().negotiated(features);
    }

    /// As [`Device::receiver_of`].
    fn receiver_of(&mut self, pair: u16) -> u16 {
        Device::receiver_of(self.core(), pair)
    }

    /// As [`Device::serve`].
    fn serve<T: Ring, R: Ring>(
        &mut self,
        transmit: &mut T,
        receive: Option<&mut R>,
        guest: &Guest<'_, RamRegion>,
        now_ms: u64,
    ) -> [Due; 2] {
        self.core().serve(transmit, receive, guest, now_ms)
    }

    /// As [`Device::discard`].
    fn discard<T: Ring>(&mut self, transmit: &mut T) -> Due {
        self.core().discard(transmit)
    }

    /// As [`Device::command`].
    fn command<C: Ring>(&mut self, queue: &mut C, guest: &Guest<'_, RamRegion>) -> Due {
        self.core().command(queue, guest)
    }
}

impl NetDevice for Device {
    fn open(config: Config) -> Self {
        Self::new(config).unwrap_or_else(|error| panic!("a configuration of ours: {error}"))
    }

    fn core(&mut self) -> &mut Device {
        self
    }
}
