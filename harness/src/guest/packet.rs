//! Frames that a guest sends.

use std::net::{Ipv4Addr, Ipv6Addr};

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_model::net::ipv4;

use super::{GATEWAY_IPV6, GATEWAY_MAC};
use crate::gateway::build;
use crate::ipv6::dhcpv6;
use crate::ipv6::draft::{Draft, link_option};

/// All stations.
const BROADCAST: [u8; 6] = [0xff; 6];

/// Ports of DHCP: client and server.
const DHCP: [u16; 2] = [68, 67];

/// An Ethernet II frame: what is behind the type comes as it is.
#[must_use]
pub fn ethernet_frame(
    destination: [u8; 6],
    source: [u8; 6],
    ether_type: u16,
    payload: &[u8],
) -> Vec<u8> {
    build::frame(destination, source, None, ether_type, payload)
}

/// Who has `target`? Tell `sender`.
#[must_use]
pub fn arp_request(mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let arp = build::Arp {
        source: mac,
        sha: mac,
        ..build::Arp::request(sender.octets(), target.octets())
    };
    arp.bytes()
}

/// Whether somebody has `target` already, asked by who wants it.
#[must_use]
pub fn arp_probe(mac: [u8; 6], target: Ipv4Addr) -> Vec<u8> {
    arp_request(mac, Ipv4Addr::UNSPECIFIED, target)
}

/// An ICMP echo request to the gateway's Ethernet address.
#[must_use]
pub fn echo_request(mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr, data: &[u8]) -> Vec<u8> {
    let message = build::icmp(8, 0, [0x12, 0x34, 0, 1], data);
    let packet = ipv4::write(from.octets(), to.octets(), 1, &message);
    ethernet_frame(GATEWAY_MAC, mac, 0x0800, &packet)
}

/// A DHCP message of these options, which end with what the caller says they end with.
#[must_use]
pub fn dhcp(mac: [u8; 6], xid: u32, ciaddr: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let mut payload = vec![1, 1, 6, 0];
    payload.extend(xid.to_be_bytes());
    payload.extend([0; 4]); // secs, flags
    payload.extend(ciaddr.octets());
    payload.extend([0; 12]); // yiaddr, siaddr, giaddr
    payload.extend(mac);
    payload.extend([0; 10 + 64 + 128]); // the rest of chaddr, sname, file
    payload.extend([0x63, 0x82, 0x53, 0x63]);
    payload.extend(options);
    payload.resize(payload.len().max(300), 0);
    let [client, server] = DHCP;
    let from = (ciaddr.octets(), client);
    let packet = ipv4::write_datagram(from, ([255; 4], server), &payload);
    ethernet_frame(BROADCAST, mac, 0x0800, &packet)
}

/// What clients ask for: mask, router, DNS, MTU, lease, server, routes.
const PARAMETERS: [u8; 9] = [55, 7, 1, 3, 6, 26, 51, 54, 121];

/// A DISCOVER.
#[must_use]
pub fn dhcp_discover(mac: [u8; 6], xid: u32) -> Vec<u8> {
    let options = [&[53, 1, 1][..], &PARAMETERS, &[255]].concat();
    dhcp(mac, xid, Ipv4Addr::UNSPECIFIED, &options)
}

/// A REQUEST for what a server has offered.
#[must_use]
pub fn dhcp_request(mac: [u8; 6], xid: u32, address: Ipv4Addr, server: Ipv4Addr) -> Vec<u8> {
    let options = [
        &[53, 1, 3, 50, 4][..],
        &address.octets(),
        &[54, 4],
        &server.octets(),
        &PARAMETERS,
        &[255],
    ];
    dhcp(mac, xid, Ipv4Addr::UNSPECIFIED, &options.concat())
}

/// A RELEASE of an address.
#[must_use]
pub fn dhcp_release(mac: [u8; 6], xid: u32, address: Ipv4Addr, server: Ipv4Addr) -> Vec<u8> {
    let options = [&[53, 1, 7, 54, 4][..], &server.octets(), &[255]].concat();
    dhcp(mac, xid, address, &options)
}

/// The link-local address that is made of an Ethernet address (RFC 4291, appendix A).
#[must_use]
pub fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f))
}

/// A draft in a frame of this guest.
fn from(mac: [u8; 6], draft: Draft) -> Vec<u8> {
    Draft { source_mac: Mac(mac), ..draft }.frame()
}

/// Who has `target`? To the group that has it, with the Ethernet address of the guest.
#[must_use]
pub fn neighbor_solicitation(mac: [u8; 6], target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend(link_option(1, Mac(mac)));
    from(mac, Draft::icmp(link_local(mac), group, &message))
}

/// Who is a router?
#[must_use]
pub fn router_solicitation(mac: [u8; 6]) -> Vec<u8> {
    from(mac, Draft::router(link_local(mac)))
}

/// An `ICMPv6` echo request to the gateway.
#[must_use]
pub fn echo_request_v6(mac: [u8; 6], data: &[u8]) -> Vec<u8> {
    from(mac, Draft::echo(link_local(mac), GATEWAY_IPV6, data))
}

/// A `DHCPv6` SOLICIT for one address; with `rapid`, a REPLY to it may give the address.
#[must_use]
pub fn dhcpv6_solicit(mac: [u8; 6], rapid: bool) -> Vec<u8> {
    let mut options = [client_id(mac), dhcpv6::association(1, &[])].concat();
    if rapid {
        options.extend(dhcpv6::option(14, &[]));
    }
    from(mac, with_source(mac, dhcpv6::message(1, &options)))
}

/// A `DHCPv6` REQUEST for an address that a server has advertised.
#[must_use]
pub fn dhcpv6_request(mac: [u8; 6], address: Ipv6Addr, server_id: &[u8]) -> Vec<u8> {
    let server = dhcpv6::option(2, server_id);
    let options = [client_id(mac), server, dhcpv6::association(1, &[address])].concat();
    from(mac, with_source(mac, dhcpv6::message(3, &options)))
}

/// The option that says who the client is: an Ethernet address (DUID-LL).
fn client_id(mac: [u8; 6]) -> Vec<u8> {
    dhcpv6::option(1, &[&[0, 3, 0, 1][..], &mac].concat())
}

fn with_source(mac: [u8; 6], draft: Draft) -> Draft {
    Draft { source: link_local(mac), ..draft }
}
