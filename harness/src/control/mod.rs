//! A device with a control queue: what it is tested with, and who judges it.
//!
//! * [`Setup`]: what the device is like, for the code under test and for the model.
//! * [`Step`]: what happens to it. [`draw`] makes steps that are nearly right.
//! * [`Device`]: the code under test. [`judge`] runs steps against it and the model.
//! * [`probes`] and [`flows`]: frames that show what a device receives, and where.

pub mod draw;
mod judge;
mod probe;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::config_space::ConfigSpace;
use vhost_fuzz_core::net::control::{
    Coalescing, Control, ControlConfig, Duplex, Hashing, Outcome, SPEED_UNKNOWN, Steered,
};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_model::net::control as model;

pub use judge::{Judge, Tally, judge};
pub use probe::{GROUPS, STATIONS, flows, probes};

/// The address that a device gives its driver.
pub const MAC: Mac = Mac(STATIONS[0]);

/// Everything that can be negotiated.
pub const ALL: Features = Features::from_bits(u128::MAX);

/// What a device is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Pairs of queues.
    pub pairs: u16,
    /// Addresses kept of each list.
    pub addresses: u16,
    /// Longest packet.
    pub mtu: Option<u16>,
    /// What can be hashed.
    pub hashing: Option<Hashing>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { pairs: 4, addresses: 3, mtu: Some(1500), hashing: Some(Hashing::default()) }
    }
}

impl Setup {
    /// Data queues, as far as an index can tell them.
    #[must_use]
    pub const fn queues(self) -> u16 {
        self.pairs.saturating_mul(2)
    }

    /// For the code under test.
    #[must_use]
    pub fn config(self) -> ControlConfig {
        let Self { pairs, addresses, mtu, hashing } = self;
        let duplex = if pairs > 1 { Duplex::Full } else { Duplex::Unknown };
        let speed = if pairs > 1 { 10_000 } else { SPEED_UNKNOWN };
        ControlConfig { pairs, addresses, mtu, hashing, duplex, speed, ..ControlConfig::new(MAC) }
    }

    /// For the model.
    #[must_use]
    pub fn model(self) -> model::Config {
        model::Config {
            mac: MAC.0,
            mtu: self.mtu.unwrap_or(0),
            pairs: self.pairs,
            addresses: self.addresses.into(),
            speed: if self.pairs > 1 { 10_000 } else { u32::MAX },
            duplex: if self.pairs > 1 { 1 } else { 0xff },
            hashing: self.hashing.map(|it| (it.key_max, it.table_max, it.types)),
        }
    }
}

/// What happens to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is reset, and these features are negotiated.
    Negotiate(Features),
    /// Its driver gives it a command.
    Command {
        /// Class, command and data.
        bytes: Vec<u8>,
        /// Bytes that are writable behind the ack.
        room: u16,
    },
    /// Its link comes or goes.
    Link(bool),
    /// It asks its driver to announce itself.
    Announce,
    /// A queue is enabled or disabled.
    Enable {
        /// Its index.
        queue: u16,
        /// Whether it is enabled.
        is_enabled: bool,
    },
}

impl Step {
    /// A command with room for any result.
    #[must_use]
    pub fn command(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Command { bytes: bytes.into(), room: 64 }
    }
}

/// A device that keeps what its driver says: ours, a broken one, or yours.
pub trait Device {
    /// A device that was reset.
    fn new(config: ControlConfig) -> Self;

    /// As [`Control::negotiated`].
    fn negotiated(&mut self, features: Features);

    /// As [`Control::handle`].
    fn handle(&mut self, command: &[u8], result: &mut [u8]) -> Outcome;

    /// As [`Control::accepts`].
    fn accepts(&self, frame: &[u8]) -> bool;

    /// As [`Control::steer`].
    fn steer(&self, frame: &[u8]) -> Steered;

    /// As [`Control::config_space`].
    fn config_space(&self) -> ConfigSpace;

    /// As [`Control::pairs`].
    fn pairs(&self) -> u16;

    /// As [`Control::offloads`].
    fn offloads(&self) -> Features;

    /// As [`Control::coalescing`].
    fn coalescing(&self, queue: u16) -> Option<Coalescing>;

    /// As [`Control::set_link`].
    fn set_link(&mut self, is_up: bool) -> bool;

    /// As [`Control::announce`].
    fn announce(&mut self) -> bool;

    /// As [`Control::set_enabled`].
    fn set_enabled(&mut self, queue: u16, is_enabled: bool);
}

impl Device for Control {
    /// # Panics
    /// When the configuration makes no sense.
    fn new(config: ControlConfig) -> Self {
        Self::new(config).unwrap_or_else(|error| panic!("a configuration of ours: {error}"))
    }

    fn negotiated(&mut self, features: Features) {
        Self::negotiated(self, features);
    }

    fn handle(&mut self, mut command: &[u8], mut result: &mut [u8]) -> Outcome {
        let Ok(outcome) = Self::handle(self, &mut command, &mut result) else {
            unreachable!("bytes can be read")
        };
        outcome
    }

    fn accepts(&self, frame: &[u8]) -> bool {
        Self::accepts(self, frame)
    }

    fn steer(&self, frame: &[u8]) -> Steered {
        Self::steer(self, frame)
    }

    fn config_space(&self) -> ConfigSpace {
        Self::config_space(self)
    }

    fn pairs(&self) -> u16 {
        Self::pairs(self)
    }

    fn offloads(&self) -> Features {
        Self::offloads(self)
    }

    fn coalescing(&self, queue: u16) -> Option<Coalescing> {
        Self::coalescing(self, queue)
    }

    fn set_link(&mut self, is_up: bool) -> bool {
        Self::set_link(self, is_up)
    }

    fn announce(&mut self) -> bool {
        Self::announce(self)
    }

    fn set_enabled(&mut self, queue: u16, is_enabled: bool) {
        Self::set_enabled(self, queue, is_enabled);
    }
}
