//! What guests send to their gateway: each of these is answered, unless a gateway is set up not
//! to.

use vhost_fuzz_core::net::dhcpv6::kind;
use vhost_fuzz_core::net::ipv6::solicited_node;
use vhost_fuzz_model::net::ipv4;

use super::setup::{GATEWAY_MAC, GUEST_MAC, Setup};
use crate::dhcp;
use crate::gateway::build::{self, Arp, frame};
use crate::gateway::{GATEWAYS, LEASES};
use crate::ipv6::draft::Draft;
use crate::ipv6::{dhcpv6, ndp};

/// Who has the gateway?
#[must_use]
pub fn arp() -> Vec<u8> {
    Arp { source: GUEST_MAC, sha: GUEST_MAC, ..Arp::default() }.bytes()
}

/// The same on a VLAN.
#[must_use]
pub fn arp_on(vlan: u16) -> Vec<u8> {
    let tag = Some((0x8100, vlan));
    Arp { source: GUEST_MAC, sha: GUEST_MAC, tag, ..Arp::default() }.bytes()
}

/// A frame of the guest to its gateway.
#[must_use]
pub fn to_gateway(packet: &[u8]) -> Vec<u8> {
    frame(GATEWAY_MAC, GUEST_MAC, None, 0x0800, packet)
}

/// An echo request of so many bytes of data.
#[must_use]
pub fn echo(len: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..=255).cycle().take(len).collect();
    to_gateway(&build::echo(GATEWAYS[0], &data))
}

/// A message of a DHCP client.
#[must_use]
pub fn dhcp(draft: dhcp::Draft) -> Vec<u8> {
    let draft = draft.end();
    let from = (draft.source.octets(), 68);
    let to = (draft.destination.octets(), draft.port);
    let packet = ipv4::write_datagram(from, to, &draft.payload);
    frame([0xff; 6], draft.ethernet_source.0, None, 0x0800, &packet)
}

/// DHCP: who serves here?
#[must_use]
pub fn discover() -> Vec<u8> {
    dhcp(dhcp::Draft::discover())
}

/// DHCP: the address, please.
#[must_use]
pub fn request(setup: Setup) -> Vec<u8> {
    dhcp(dhcp::Draft::selecting(setup.dhcp()))
}

/// Neighbour discovery: who has the gateway?
#[must_use]
pub fn neighbor() -> Vec<u8> {
    let group = solicited_node(ndp::GATEWAY);
    Draft::neighbor(ndp::GUEST, group, ndp::GATEWAY, true).frame()
}

/// Neighbour discovery: is there a router?
#[must_use]
pub fn router() -> Vec<u8> {
    Draft::router(ndp::GUEST).frame()
}

/// An echo request over IPv6.
#[must_use]
pub fn echo6(len: usize) -> Vec<u8> {
    Draft::echo(ndp::GUEST, ndp::GATEWAY, &vec![0x5a; len]).frame()
}

/// `DHCPv6`: who serves here?
#[must_use]
pub fn solicit() -> Vec<u8> {
    let wants = [dhcpv6::client(), dhcpv6::association(7, &[])].concat();
    dhcpv6::message(kind::SOLICIT, &wants).frame()
}

/// A frame that leaves the checksum of its ICMP message to the device: header of so many bytes,
/// and frame.
#[must_use]
pub fn unfinished(header_len: usize) -> Vec<u8> {
    let mut header = vec![0; header_len];
    header[0] = 1;
    header[6..10].copy_from_slice(&[34, 0, 2, 0]);
    let mut message = vec![8, 0, 0, 0, 1, 2, 0, 3];
    message.extend([0x77; 24]);
    let packet = ipv4::write(LEASES[0], GATEWAYS[0], 1, &message);
    [header, to_gateway(&packet)].concat()
}
