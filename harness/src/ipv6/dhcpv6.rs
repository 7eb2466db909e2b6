//! A `DHCPv6` server with one address.
//!
//! | Bit of the first byte | The server |
//! |---|---|
//! | 0 | the transport checksums of all frames are partial |
//! | 1 | replies without an offer, if the client wants that |
//! | 2 | tells DNS servers |
//! | 3 | gives its address for ever |

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::dhcpv6::{
    self, ALL_SERVERS, CLIENT_PORT, Config, Dhcpv6Error, SERVER_PORT, code, kind,
};
use vhost_fuzz_core::net::ethernet::{Frame, ether_type};
use vhost_fuzz_core::net::ipv6::Packet;
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::dhcpv6 as model;

use super::draft::Draft;
use super::ndp::{GATEWAY, GUEST, GUEST_SECOND};
use super::{Expected, GATEWAY_MAC, Refusal, Responder};

/// The address that the server gives.
pub const LEASE: Ipv6Addr = GUEST_SECOND;

/// Who the client says it is.
pub const CLIENT_ID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 9];

/// Who the server is.
pub const SERVER_ID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];

/// DNS servers that are told.
const DNS: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111),
    Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888),
];

/// Bits of the first byte of an input.
pub mod setup {
    /// Replies without an offer.
    pub const RAPID: u8 = 1 << 1;
    /// Tells DNS servers.
    pub const DNS: u8 = 1 << 2;
    /// Gives its address for ever.
    pub const FOREVER: u8 = 1 << 3;
}

/// The server of a first byte.
#[must_use]
pub fn config(byte: u8) -> Config {
    let has = |bit: u8| byte & bit != 0;
    let seconds = |seconds| if has(setup::FOREVER) { u32::MAX } else { seconds };
    Config {
        mac: GATEWAY_MAC,
        address: GATEWAY,
        lease: LEASE,
        preferred: seconds(3600),
        valid: seconds(86400),
        rapid_commit: has(setup::RAPID),
        dns: DNS.into_iter().filter(|_| has(setup::DNS)).collect(),
    }
}

/// The server of the core.
#[derive(Clone, Debug)]
pub struct Core(pub dhcpv6::Server);

impl Responder for Core {
    fn open(setup: u8) -> Self {
        match dhcpv6::Server::new(config(setup)) {
            Ok(server) => Self(server),
            Err(error) => panic!("model: no server for {setup:#x}: {error}"),
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
            Dhcpv6Error::Room { needed } => Refusal::Room { needed },
            other => Refusal::Broken(other.rule()),
        })
    }
}

impl Expected for model::Server {
    fn open(byte: u8) -> Self {
        let has = |bit: u8| byte & bit != 0;
        let mut dns = Vec::new();
        if has(setup::DNS) {
            dns = DNS.map(|server| server.octets()).to_vec();
        }
        Self {
            mac: GATEWAY_MAC.0,
            address: GATEWAY.octets(),
            lease: LEASE.octets(),
            preferred: if has(setup::FOREVER) { u32::MAX } else { 3600 },
            valid: if has(setup::FOREVER) { u32::MAX } else { 86400 },
            rapid_commit: has(setup::RAPID),
            dns,
            declined: None,
        }
    }

    fn answer(&mut self, frame: &[u8], partial: bool, now: u64) -> Result<Option<Vec<u8>>, Id> {
        Self::answer(self, frame, partial, now)
    }

    #[cfg(feature = "peer-net")]
    fn wire(request: &[u8], reply: &[u8]) {
        super::wire::dhcpv6(request, reply);
    }

    #[cfg(not(feature = "peer-net"))]
    fn wire(_: &[u8], _: &[u8]) {}

    fn good(_: u8) -> Vec<Vec<u8>> {
        let wants = [client(), association(7, &[])].concat();
        let has = [client(), server(), association(7, &[LEASE])].concat();
        vec![
            message(kind::SOLICIT, &wants).frame(),
            message(kind::REQUEST, &has).frame(),
            message(kind::RENEW, &has).frame(),
            message(kind::INFORMATION_REQUEST, &[]).frame(),
        ]
    }
}

/// A message from the client to all servers.
#[must_use]
pub fn message(kind: u8, options: &[u8]) -> Draft {
    let bytes = [&[kind, 0x12, 0x34, 0x56], options].concat();
    Draft::udp(GUEST, ALL_SERVERS, [CLIENT_PORT, SERVER_PORT], &bytes)
}

/// An option.
#[must_use]
pub fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    [&code.to_be_bytes()[..], &len.to_be_bytes(), value].concat()
}

/// The option that says who the client is.
#[must_use]
pub fn client() -> Vec<u8> {
    option(code::CLIENT_ID, &CLIENT_ID)
}

/// The option that says who the server is.
#[must_use]
pub fn server() -> Vec<u8> {
    option(code::SERVER_ID, &SERVER_ID)
}

/// An address without times.
#[must_use]
pub fn address(address: Ipv6Addr) -> Vec<u8> {
    option(code::IA_ADDRESS, &[&address.octets()[..], &[0; 8]].concat())
}

/// An association with these addresses.
#[must_use]
pub fn association(id: u32, addresses: &[Ipv6Addr]) -> Vec<u8> {
    let mut value = [&id.to_be_bytes()[..], &[0; 8]].concat();
    addresses.iter().for_each(|it| value.extend(address(*it)));
    option(code::IA_NA, &value)
}
