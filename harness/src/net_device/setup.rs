//! Which device and which gateway a script starts, in the words of the code under test and in
//! those of the model.
//!
//! | Byte of the gateway | Meaning |
//! |---|---|
//! | 0 | bits 0 to 6 are those of [`gateway::Setup`]; bit 7: there is a `DHCPv6` server |
//! | 1 | the DHCP server, as [`dhcp::Setup`] has it |
//! | 2 | bit 0: no neighbour discovery; the others are those of [`ipv6::ndp`] |
//! | 3 | bits 0, 1: the MTU of DHCP; bits 1 to 3 are those of [`ipv6::dhcpv6`]; bit 4: no DHCP; bits 5, 6: the guest gets longer packets |
//!
//! | Bits of the byte of the device | Meaning |
//! |---|---|
//! | 0 | it has one pair of queues, else two |
//! | 1, 2 | it keeps 1, 2, 4 or 64 addresses of a list |
//! | 3 | it can hash |

use vhost_fuzz_core::memory::RingSize;
use vhost_fuzz_core::net::control::{ControlConfig, Duplex, Hashing};
use vhost_fuzz_core::net::device::Config;
use vhost_fuzz_core::net::rate::Limiter;
use vhost_fuzz_core::net::{gateway as core, ndp};
use vhost_fuzz_model::net::whole::{self, Whole};
use vhost_fuzz_model::net::{control, device, dhcpv6, ndp as model_ndp};
use vhost_fuzz_world::net::step::Start;

use crate::ipv6::Expected as _;
use crate::{dhcp, gateway, ipv6};

/// The station of the gateway.
pub const GATEWAY_MAC: [u8; 6] = ipv6::GATEWAY_MAC.0;

/// The station of the guest.
pub const GUEST_MAC: [u8; 6] = ipv6::GUEST_MAC.0;

/// Bits of the third byte of the gateway.
pub const NO_NDP: u8 = 1;

/// Bits of the first byte of the gateway.
pub const DHCPV6: u8 = 1 << 7;

/// Bits of the fourth byte of the gateway.
pub const NO_DHCP: u8 = 1 << 4;

/// The gateway of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup(pub [u8; 4]);

impl Setup {
    const fn arp(self) -> gateway::Setup {
        gateway::Setup(self.0[0])
    }

    /// How its DHCP server is set up.
    #[must_use]
    pub const fn dhcp(self) -> dhcp::Setup {
        dhcp::Setup([self.0[1], self.0[3] & 3])
    }

    /// Bytes of the longest IPv4 packet to the guest.
    const fn mtu(self) -> u16 {
        match self.0[3] >> 5 & 3 {
            0 => self.arp().mtu(),
            1 => 9000,
            2 => 600,
            _ => 65535,
        }
    }

    /// For the code under test.
    #[must_use]
    pub fn config(self) -> core::Config {
        let (per_second, burst) = self.arp().rate();
        let mac = ipv6::GATEWAY_MAC;
        let mut arp = self.arp().arp();
        arp.mac = mac;
        core::Config {
            arp,
            mtu: self.mtu(),
            dhcp: (self.0[3] & NO_DHCP == 0).then(|| self.dhcp().config()),
            ndp: (self.0[2] & NO_NDP == 0)
                .then(|| ndp::Config { mac, ..ipv6::ndp::config(self.0[2]) }),
            dhcpv6: (self.0[0] & DHCPV6 != 0).then(|| ipv6::dhcpv6::config(self.0[3] & 0xe)),
            limiter: Limiter::new(per_second, burst),
        }
    }

    /// For the model.
    #[must_use]
    pub fn model(self) -> Whole {
        let mut config = self.arp().config();
        config.mac = GATEWAY_MAC;
        config.mtu = self.mtu().into();
        config.room = usize::MAX;
        Whole::new(whole::Config {
            gateway: config,
            dhcp: (self.0[3] & NO_DHCP == 0).then(|| self.dhcp().model()),
            ndp: (self.0[2] & NO_NDP == 0).then(|| model_ndp::Gateway::open(self.0[2])),
            dhcpv6: (self.0[0] & DHCPV6 != 0).then(|| dhcpv6::Server::open(self.0[3] & 0xe)),
        })
    }
}

/// Addresses of a list that a device keeps.
const ADDRESSES: [u16; 4] = [64, 1, 2, 4];

/// What the driver is told, for the code under test.
#[must_use]
pub fn control(start: &Start) -> ControlConfig {
    let mut config = ControlConfig::new(ipv6::GUEST_MAC);
    config.mtu = mtu(start);
    config.pairs = pairs(start);
    config.addresses = ADDRESSES[usize::from(start.control >> 1 & 3)];
    config.duplex = Duplex::Full;
    config.hashing = (start.control & 8 != 0).then(Hashing::default);
    config
}

/// A device, for the code under test.
#[must_use]
pub fn config(start: &Start, queue_max: RingSize) -> Config {
    Config { control: control(start), gateway: Setup(start.gateway).config(), queue_max }
}

/// A device, for the model.
#[must_use]
pub fn model(start: &Start) -> device::Device {
    let config = control::Config {
        mac: GUEST_MAC,
        mtu: mtu(start).unwrap_or(0),
        pairs: pairs(start),
        addresses: ADDRESSES[usize::from(start.control >> 1 & 3)].into(),
        speed: u32::MAX,
        duplex: 1,
        hashing: (start.control & 8 != 0).then_some((40, 128, 0x1ff)),
    };
    let Ok(control) = control::Device::new(config) else { unreachable!("it is legal") };
    let mut device =
        device::Device::new(Setup(start.gateway).model(), control, mtu(start).unwrap_or(u16::MAX));
    device.negotiated(start.features);
    device
}

/// `mtu` of the config space: none, or at least the least.
fn mtu(start: &Start) -> Option<u16> {
    (start.mtu > 0).then(|| start.mtu.max(68))
}

/// Pairs of queues.
#[must_use]
pub const fn pairs(start: &Start) -> u16 {
    if start.control & 1 == 0 { 2 } else { 1 }
}
