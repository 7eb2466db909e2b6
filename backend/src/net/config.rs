//! How a net device is set up.

use std::fmt;

use arrayvec::ArrayVec;
use vhost_fuzz_core::memory::{RingSize, RingSizeError};
use vhost_fuzz_core::net::config_space;
use vhost_fuzz_core::net::control::ControlConfig;
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::net::rate::Limiter;
use vhost_fuzz_core::net::{Mac, device, gateway};
use vhost_fuzz_core::session::Offer;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};

/// Most pairs of queues: a descriptor of a message names one of 256 rings, and the control queue
/// is one of them.
pub const PAIRS_MAX: u16 = 127;

/// Bytes of the configuration space.
const CONFIG_LEN: u32 = 28;
const _: () = assert!(CONFIG_LEN as usize == config_space::LEN);

/// Most memory regions of a front-end.
const MEM_SLOTS: u16 = 64;

/// Replies that may follow each other at once, whatever the rate is.
const BURST_MIN: u32 = 64;

/// What every device offers of virtio-net.
const ALWAYS: Features = Features::from_bits(
    Features::CSUM.bits()
        | Features::MTU.bits()
        | Features::MAC.bits()
        | Features::HOST_TSO4.bits()
        | Features::HOST_TSO6.bits()
        | Features::HOST_ECN.bits()
        | Features::HOST_UFO.bits()
        | Features::HOST_USO.bits()
        | Features::GUEST_CSUM.bits()
        | Features::STATUS.bits(),
);

/// What comes with a control queue.
const CONTROL: Features = Features::from_bits(
    Features::CTRL_VQ.bits()
        | Features::CTRL_RX.bits()
        | Features::CTRL_RX_EXTRA.bits()
        | Features::CTRL_VLAN.bits()
        | Features::CTRL_MAC_ADDR.bits()
        | Features::CTRL_GUEST_OFFLOADS.bits()
        | Features::GUEST_ANNOUNCE.bits()
        | Features::NOTF_COAL.bits()
        | Features::VQ_NOTF_COAL.bits(),
);

/// What every device offers of the protocol.
const PROTOCOL: u64 = protocol::MQ
    | protocol::LOG_SHMFD
    | protocol::RARP
    | protocol::REPLY_ACK
    | protocol::MTU
    | protocol::BACKEND_REQ
    | protocol::BACKEND_SEND_FD
    | protocol::INBAND_NOTIFICATIONS
    | protocol::CONFIG
    | protocol::RESET_DEVICE
    | protocol::CONFIGURE_MEM_SLOTS
    | protocol::STATUS;

/// How a device is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address of the guest.
    pub mac: Mac,
    /// Who answers it.
    pub gateway: gateway::Config,
    /// Bytes of the longest packet, which the driver is told.
    pub mtu: u16,
    /// Pairs of queues, 1 to [`PAIRS_MAX`].
    pub pairs: u16,
    /// Entries of a queue, at most 32768.
    pub queue_size: u16,
    /// Packed rings are offered.
    pub has_packed: bool,
    /// Frames in several receive buffers are offered.
    pub merges: bool,
    /// A control queue is offered. Some front-ends keep it to themselves.
    pub has_control: bool,
}

impl Config {
    /// A device with one pair of queues, both ring layouts, mergeable buffers and a control queue,
    /// behind a gateway that gives `address` to the guest if there is one.
    #[must_use]
    pub fn new(mac: Mac, address: Option<std::net::Ipv4Addr>) -> Self {
        let gateway = gateway::Config::new(gateway::GATEWAY_MAC, address);
        Self {
            mac,
            mtu: gateway.mtu,
            gateway,
            pairs: 1,
            queue_size: 1024,
            has_packed: true,
            merges: true,
            has_control: true,
        }
    }

    /// Answers at most `replies` a second, and 64 of them at once, or a sixteenth if that is more.
    pub fn set_rate(&mut self, replies: u32) {
        self.gateway.limiter = Limiter::new(replies, BURST_MIN.max(replies / 16));
    }

    /// What a front-end is offered.
    pub(super) fn offer(&self) -> Offer {
        let mut features = ALWAYS;
        if self.merges {
            features = features | Features::MRG_RXBUF;
        }
        if self.has_control {
            features = features | CONTROL;
        }
        if self.pairs > 1 {
            features = features | Features::MQ;
        }
        // All of them are below bit 64: a message has no room for others.
        let features = u64::try_from(features.bits()).unwrap_or(0);
        let packed = if self.has_packed { virtio::RING_PACKED } else { 0 };
        let transport = virtio::LOG_ALL
            | virtio::INDIRECT_DESC
            | virtio::EVENT_IDX
            | virtio::PROTOCOL_FEATURES
            | virtio::VERSION_1
            | virtio::IN_ORDER
            | packed;
        // Recorded requests of a packed ring are shown one by one (DC-152).
        let shows_parts = self.has_packed && self.merges;
        let inflight = if shows_parts { 0 } else { protocol::INFLIGHT_SHMFD };
        let queues = 2 * self.pairs + u16::from(self.has_control);
        Offer {
            device: 1,
            features: features | transport,
            protocol_features: PROTOCOL | inflight,
            queues,
            queue_num: self.pairs.into(),
            max_queue_size: self.queue_size,
            max_mem_slots: MEM_SLOTS,
            config_len: CONFIG_LEN,
            config_limit: 256,
            config_writable: ArrayVec::new(),
            page_size: rustix::param::page_size() as u64,
            shmem: None,
        }
    }

    /// The device itself.
    ///
    /// # Errors
    /// What is wrong with the queues.
    pub(super) fn device(&self) -> Result<device::Config, ConfigError> {
        if !(1..=PAIRS_MAX).contains(&self.pairs) {
            return Err(ConfigError::Pairs { pairs: self.pairs });
        }
        let queue_max = RingSize::check(self.queue_size.into(), true, RingSize::MAX);
        let control = ControlConfig {
            mtu: Some(self.mtu),
            pairs: self.pairs,
            ..ControlConfig::new(self.mac)
        };
        Ok(device::Config {
            control,
            gateway: self.gateway.clone(),
            queue_max: queue_max.map_err(ConfigError::QueueSize)?,
        })
    }
}

/// Why there can be no such device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Not 1 to [`PAIRS_MAX`] pairs of queues.
    Pairs {
        /// Pairs.
        pairs: u16,
    },
    /// No queue has so many entries.
    QueueSize(RingSizeError),
    /// What the driver is told, or who answers it.
    Device(device::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pairs { pairs } => {
                write!(f, "{pairs} pairs of queues: there can be 1 to {PAIRS_MAX}")
            }
            Self::QueueSize(error) => error.fmt(f),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {}
