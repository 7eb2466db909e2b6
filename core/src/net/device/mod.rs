//! A virtio-net device whose network is a gateway: chains in, chains out (spec §3).
//!
//! * [`Device::serve`] takes what the driver sends, and puts what the gateway answers into its
//!   receive buffers.
//! * [`Device::command`] serves the control queue.
//! * [`Device::config_space`] is what the driver reads.
//!
//! It keeps no queue: rings and memory are lent for one wake-up. A frame is copied once out of
//! guest memory, and judged and answered where it was copied to. All memory is taken by
//! [`Device::new`].

mod deliver;
mod serve;

use core::fmt;

use super::config_space::ConfigSpace;
use super::control::{self, Control, ControlConfig};
use super::gateway::{self, Gateway};
use super::header::{Features, HEADER_LEN_MAX, Port, SEGMENTS_LEN_MAX};
use crate::memory::RingSize;
use crate::ring::{Broken, Chain, Limits, Token};

/// Bytes of the longest frame with eight tags, of which the largest is one to be cut.
const FRAME_LEN_MAX: usize = SEGMENTS_LEN_MAX + 4 * super::header::TAGS_MAX;

/// What a device is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What its driver is told.
    pub control: ControlConfig,
    /// Who answers.
    pub gateway: gateway::Config,
    /// Entries of its largest queue.
    pub queue_max: RingSize,
}

/// Why there can be no such device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// What its driver is told.
    Control(control::ConfigError),
    /// Who answers.
    Gateway(gateway::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(error) => error.fmt(f),
            Self::Gateway(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}

/// What became of the frames of a driver since the device was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Counters {
    /// Chains of the transmit queues that were taken.
    pub taken: u64,
    /// Those of them that are malformed, or whose header breaks a rule.
    pub malformed: u64,
    /// Frames that the gateway refused.
    pub refused: u64,
    /// Answers that are in receive buffers.
    pub delivered: u64,
    /// Answers that the driver does not want: its filter leaves them out.
    pub filtered: u64,
    /// Answers for which there was no room.
    pub dropped: u64,
}

/// What is to be done for a queue after a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Due {
    /// The driver wants to be called.
    pub call: bool,
    /// There is more to do, of which no kick will tell.
    pub again: bool,
    /// The ring is broken.
    pub broken: Option<Broken>,
}

/// A device.
#[derive(Debug)]
pub struct Device {
    gateway: Gateway,
    control: Control,
    /// What the driver may send: by what was negotiated.
    sending: Port,
    /// Bytes of the header in front of every frame, as that says.
    header_len: usize,
    counters: Counters,
    /// What the driver sends: header and frame.
    sent: Box<[u8]>,
    /// What it receives: a frame behind room for the longest header.
    reply: Box<[u8]>,
    /// The chain that is looked at, and the first receive buffer of a frame in several.
    chain: Chain,
    first: Chain,
    /// The receive buffers of a frame, and the bytes in each.
    buffers: Vec<(Token, u32)>,
}

impl Device {
    /// A device that nobody has spoken to yet.
    ///
    /// # Errors
    /// What is wrong with its configuration.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let Config { control, gateway, queue_max } = config;
        let chain = || Chain::with_capacity(Limits::of(queue_max).elements(queue_max));
        let control = Control::new(control).map_err(ConfigError::Control)?;
        let mut device = Self {
            gateway: Gateway::new(gateway).map_err(ConfigError::Gateway)?,
            header_len: 0,
            sending: Port::new(Features::default(), control.config().mtu.unwrap_or(u16::MAX)),
            control,
            counters: Counters::default(),
            // A byte more than any frame has: what fills it is too long.
            sent: vec![0; HEADER_LEN_MAX + FRAME_LEN_MAX + 1].into(),
            reply: vec![0; HEADER_LEN_MAX + FRAME_LEN_MAX].into(),
            chain: chain(),
            first: chain(),
            buffers: Vec::with_capacity(queue_max.get().into()),
        };
        device.reset();
        Ok(device)
    }

    /// Becomes a device that nobody has spoken to yet, with another configuration and behind
    /// another gateway: as [`new`](Self::new), but the memory for frames and chains is kept, and
    /// with it the size of the largest queue.
    ///
    /// # Errors
    /// What is wrong with the configuration; then nothing has changed.
    pub fn renew(&mut self, control: ControlConfig, gateway: Gateway) -> Result<(), ConfigError> {
        let control = Control::new(control).map_err(ConfigError::Control)?;
        self.gateway = gateway;
        self.sending.mtu = control.config().mtu.unwrap_or(u16::MAX);
        self.control = control;
        self.counters = Counters::default();
        self.reset();
        Ok(())
    }

    /// Forgets what the driver negotiated and said, and what the front-end said of the link. What
    /// the gateway gave out stays given.
    pub fn reset(&mut self) {
        self.sending.mtu = self.control.config().mtu.unwrap_or(u16::MAX);
        self.negotiated(Features::default());
    }

    /// The driver has chosen these features.
    pub fn negotiated(&mut self, features: Features) {
        self.control.negotiated(features);
        self.sending.features = features;
        self.header_len = features.header_len();
    }

    /// What the driver said on the control queue, and what it was told.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// The same, to tell it more.
    pub const fn control_mut(&mut self) -> &mut Control {
        &mut self.control
    }

    /// What the driver reads, as of now.
    #[must_use]
    pub fn config_space(&self) -> ConfigSpace {
        self.control.config_space()
    }

    /// The link takes packets of so many bytes: what the front-end has told the driver.
    pub const fn set_mtu(&mut self, mtu: u16) {
        self.sending.mtu = mtu;
    }

    /// What became of frames so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The pair whose receive queue gets what is answered to a pair's transmit queue: the same, or
    /// the first if the driver does not use that one now (NET-046).
    #[must_use]
    pub const fn receiver_of(&self, pair: u16) -> u16 {
        if pair < self.control.pairs() { pair } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Mac;

    #[test]
    fn what_one_front_end_says_of_the_link_does_not_count_for_the_next() {
        let mac = Mac([2, 0, 0, 0, 0, 2]);
        for mtu in [None, Some(1500)] {
            let control = ControlConfig { mtu, ..ControlConfig::new(mac) };
            let gateway = gateway::Config::new(gateway::GATEWAY_MAC, None);
            let queue_max = RingSize::check(16, false, 16).unwrap();
            let mut device = Device::new(Config { control, gateway, queue_max }).unwrap();
            device.set_mtu(68);
            device.negotiated(Features::MTU);
            assert_eq!(device.sending.mtu, 68);
            device.reset();
            assert_eq!(device.sending.mtu, mtu.unwrap_or(u16::MAX));
        }
    }
}
