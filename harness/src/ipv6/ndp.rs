//! Neighbour discovery, router advertisement and echo.
//!
//! | Bit of the first byte | The gateway |
//! |---|---|
//! | 0 | the transport checksums of all frames are partial |
//! | 1 | answers for others |
//! | 2 | is no router |
//! | 3 | is no default router |
//! | 4 | advertises a prefix |
//! | 5 | advertises a largest packet and DNS servers |
//! | 6 | has a second address |
//! | 7 | says that addresses come from `DHCPv6` |

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::ethernet::{Frame, ether_type};
use vhost_fuzz_core::net::ipv6::{Packet, solicited_node};
use vhost_fuzz_core::net::ndp::{self, Config, Prefix, RespondError, Router};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::ndp as model;

use super::draft::Draft;
use super::{Expected, GATEWAY_MAC, Refusal, Responder};

/// `fe80::1`.
pub const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The second address of the gateway, where it has one.
pub const SECOND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The link-local address of the guest.
pub const GUEST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 9);

/// The other address of the guest.
pub const GUEST_SECOND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);

/// A third station.
pub const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77);

/// DNS servers that are advertised.
const DNS: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111),
    Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888),
];

/// `2001:db8::`.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

/// Bits of the first byte of an input.
pub mod setup {
    /// Answers for others.
    pub const PROXY: u8 = 1 << 1;
    /// Is no router.
    pub const NO_ROUTER: u8 = 1 << 2;
    /// Is no default router.
    pub const NO_DEFAULT: u8 = 1 << 3;
    /// Advertises a prefix.
    pub const PREFIX: u8 = 1 << 4;
    /// Advertises a largest packet and DNS servers.
    pub const DNS: u8 = 1 << 5;
    /// Has a second address.
    pub const SECOND: u8 = 1 << 6;
    /// Says that addresses come from `DHCPv6`.
    pub const MANAGED: u8 = 1 << 7;
}

/// The gateway of a first byte.
#[must_use]
pub fn config(byte: u8) -> Config {
    let has = |bit: u8| byte & bit != 0;
    let prefix = Prefix {
        address: PREFIX,
        len: 64,
        on_link: false,
        autonomous: true,
        valid: 86400,
        preferred: 14400,
    };
    let router = Router {
        hop_limit: 64,
        managed: has(setup::MANAGED),
        other: has(setup::MANAGED),
        lifetime: if has(setup::NO_DEFAULT) { 0 } else { 1800 },
        mtu: has(setup::DNS).then_some(1500),
        prefix: has(setup::PREFIX).then_some(prefix),
        dns: if has(setup::DNS) { DNS.into_iter().collect() } else { [].into_iter().collect() },
        dns_lifetime: 3600,
    };
    let addresses = [GATEWAY].into_iter().chain(has(setup::SECOND).then_some(SECOND));
    Config {
        mac: GATEWAY_MAC,
        addresses: addresses.collect(),
        guest: [GUEST, GUEST_SECOND].into_iter().collect(),
        proxy: has(setup::PROXY),
        router: (!has(setup::NO_ROUTER)).then_some(router),
    }
}

/// The responder of the core.
#[derive(Clone, Debug)]
pub struct Core(pub ndp::Responder);

impl Responder for Core {
    fn open(setup: u8) -> Self {
        match ndp::Responder::new(config(setup)) {
            Ok(responder) => Self(responder),
            Err(error) => panic!("model: no gateway for {setup:#x}: {error}"),
        }
    }

    fn answer(
        &mut self,
        frame: &[u8],
        transport: Transport,
        now: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, Refusal> {
        let frame = Frame::parse(frame).map_err(|error| Refusal::Broken(error.rule()))?;
        if frame.ether_type != ether_type::IPV6 {
            return Ok(None);
        }
        let packet = Packet::parse(frame.payload).map_err(|error| Refusal::Broken(error.rule()))?;
        let Some(packet) = packet else { return Ok(None) };
        self.0.answer(&frame, &packet, transport, now, out).map_err(|error| match error {
            RespondError::Room { needed } => Refusal::Room { needed },
            other => Refusal::Broken(other.rule()),
        })
    }
}

impl Expected for model::Gateway {
    fn open(byte: u8) -> Self {
        let has = |bit: u8| byte & bit != 0;
        let mut addresses = vec![GATEWAY.octets()];
        if has(setup::SECOND) {
            addresses.push(SECOND.octets());
        }
        let mut router = model::Router {
            hops: 64,
            flags: if has(setup::MANAGED) { 0xc0 } else { 0 },
            lifetime: if has(setup::NO_DEFAULT) { 0 } else { 1800 },
            mtu: None,
            prefix: None,
            dns: (vec![], 3600),
        };
        if has(setup::PREFIX) {
            router.prefix = Some((64, 0x40, 86400, 14400, PREFIX.octets()));
        }
        if has(setup::DNS) {
            router.mtu = Some(1500);
            router.dns.0 = DNS.map(|server| server.octets()).to_vec();
        }
        Self {
            mac: GATEWAY_MAC.0,
            addresses,
            guest: vec![GUEST.octets(), GUEST_SECOND.octets()],
            proxy: has(setup::PROXY),
            router: (!has(setup::NO_ROUTER)).then_some(router),
            advertised: None,
        }
    }

    fn answer(&mut self, frame: &[u8], partial: bool, now: u64) -> Result<Option<Vec<u8>>, Id> {
        Self::answer(self, frame, partial, now)
    }

    #[cfg(feature = "peer-net")]
    fn wire(request: &[u8], reply: &[u8]) {
        super::wire::ndp(request, reply);
    }

    #[cfg(not(feature = "peer-net"))]
    fn wire(_: &[u8], _: &[u8]) {}

    fn good(byte: u8) -> Vec<Vec<u8>> {
        let group = solicited_node(GATEWAY);
        let mut frames = vec![
            Draft::neighbor(GUEST, group, GATEWAY, true).frame(),
            Draft::neighbor(Ipv6Addr::UNSPECIFIED, group, GATEWAY, false).frame(),
            Draft::echo(GUEST, GATEWAY, &[1, 2, 3]).frame(),
        ];
        if byte & setup::NO_ROUTER == 0 {
            frames.push(Draft::router(GUEST).frame());
            frames.push(Draft::router(Ipv6Addr::UNSPECIFIED).frame());
        }
        frames
    }
}
