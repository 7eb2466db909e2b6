//! Frames that a guest sends, and what answers them.

use std::net::{Ipv4Addr, SocketAddrV4};

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::ethernet::{self, ether_type};
use vhost_fuzz_core::net::gateway::{Config, Gateway};
use vhost_fuzz_core::net::header::{Checksum, Features, Header, Port, Receive, Verified, flags};
use vhost_fuzz_core::net::ipv6::solicited_node;
use vhost_fuzz_core::net::{Mac, arp, dhcp, ndp, udp};
use vhost_fuzz_harness::clients::{self, setup};
use vhost_fuzz_harness::dhcp::Draft as Message;
use vhost_fuzz_harness::gateway::build::{self, Arp};
use vhost_fuzz_harness::gateway::{GATEWAYS, LEASES};
use vhost_fuzz_harness::ipv6::draft::Draft;
use vhost_fuzz_harness::ipv6::ndp::{GATEWAY, GUEST};

/// Bytes of data in an echo request, as `ping` sends them.
const ECHO_LEN: usize = 56;

/// Bytes of the frame behind a virtio-net header: a full packet.
const FRAME_LEN: usize = 1514;

/// What a common driver negotiates: a header of 12 bytes, and checksums left to the other side.
pub(super) fn port() -> Port {
    let bits = [Features::VERSION_1, Features::MRG_RXBUF, Features::CSUM, Features::GUEST_CSUM];
    let bits = bits.iter().fold(0, |bits, feature| bits | feature.bits());
    Port::new(Features::from_bits(bits), 1500)
}

/// A TCP segment over IPv4; nobody looks at more of it than lengths and versions.
pub(super) fn segment() -> Vec<u8> {
    let mut frame = vec![0x5a; FRAME_LEN];
    frame[12..14].copy_from_slice(&ether_type::IPV4.to_be_bytes());
    frame[14..34].fill(0);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&1500_u16.to_be_bytes());
    frame[22..24].copy_from_slice(&[64, 6]);
    frame[34 + 12] = 0x50;
    frame
}

/// Where the checksum of that segment is.
pub(super) const CHECKSUM: Checksum = Checksum { start: 34, offset: 16 };

/// The header of a frame whose checksum is complete, or left to the device.
pub(super) fn header(is_partial: bool) -> Header {
    if !is_partial {
        return Header::default();
    }
    let Checksum { start, offset } = CHECKSUM;
    Header { flags: flags::NEEDS_CSUM, csum_start: start, csum_offset: offset, ..Header::default() }
}

/// What is told about a frame for the driver.
pub(super) fn about(is_partial: bool) -> Receive {
    let checksum = if is_partial { Verified::Partial(CHECKSUM) } else { Verified::No };
    Receive { checksum, ..Receive::default() }
}

/// 42 bytes: who has the gateway's address?
#[must_use]
pub fn arp_request() -> Vec<u8> {
    Arp::request(LEASES[0], GATEWAYS[0]).bytes()
}

/// The payload of a DISCOVER that asks for mask, routes, router and name servers.
#[must_use]
pub fn discover() -> Vec<u8> {
    let draft = Message::discover().option(57, &[5, 220]).option(55, &[1, 121, 3, 6]).end();
    let mut payload = draft.payload;
    payload.resize(300, 0);
    payload
}

/// A frame with it.
#[must_use]
pub fn discover_frame() -> Vec<u8> {
    let payload = discover();
    let mut packet = vec![0; udp::HEADROOM];
    packet.extend(&payload);
    let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, dhcp::CLIENT_PORT);
    let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, dhcp::SERVER_PORT);
    let _ = udp::write_headers(&mut packet, from, to, payload.len());
    let mut frame = vec![0; ethernet::HEADER_LEN];
    let source = vhost_fuzz_harness::dhcp::GUEST;
    let _ = ethernet::write_header(&mut frame, Mac::BROADCAST, source, None, ether_type::IPV4);
    frame.extend(packet);
    frame
}

/// 98 bytes: an echo request over IPv4.
pub(super) fn echo() -> Vec<u8> {
    build::to_gateway(&build::echo(GATEWAYS[0], &[0x5a; ECHO_LEN]))
}

/// 118 bytes: an echo request over IPv6.
pub(super) fn echo_v6() -> Vec<u8> {
    Draft::echo(GUEST, GATEWAY, &[0x5a; ECHO_LEN]).frame()
}

/// 86 bytes: who has the gateway's IPv6 address?
#[must_use]
pub fn solicitation() -> Vec<u8> {
    Draft::neighbor(GUEST, solicited_node(GATEWAY), GATEWAY, true).frame()
}

/// 70 bytes: who is a router?
pub(super) fn router_solicitation() -> Vec<u8> {
    Draft::router(GUEST).frame()
}

/// Whom the ARP responder answers for.
pub(super) fn arp_responder() -> Option<arp::Responder> {
    arp::Responder::new(setup::ARP.arp()).ok()
}

/// The server that hands out the address.
pub(super) fn dhcp_server() -> Option<dhcp::Server> {
    dhcp::Server::new(setup::DHCP.config()).ok()
}

/// Whom the responder of neighbour discovery answers for.
pub(super) fn ndp_responder() -> Option<ndp::Responder> {
    ndp::Responder::new(vhost_fuzz_harness::ipv6::ndp::config(setup::NDP)).ok()
}

/// How the gateway is set up that has all of them.
pub(crate) fn config() -> Config {
    clients::config()
}

/// The gateway with all of them.
pub(super) fn gateway() -> Option<Gateway> {
    Gateway::new(config()).ok()
}

/// Seconds of the leases that it gives.
#[must_use]
pub fn lease() -> u32 {
    config().dhcp.map_or(0, |dhcp| dhcp.lease)
}

/// What such a gateway answers to a frame; nothing when it does not.
#[must_use]
pub fn answer(frame: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let answered = gateway().and_then(|mut gateway| {
        gateway.answer(frame, Transport::Complete, 1, &mut out).ok().flatten()
    });
    out.truncate(answered.unwrap_or(0));
    out
}
