//! What somebody else's parser reads in the frames that a guest gets. None of it is our own code:
//! frames and packets are read by `smoltcp`, DHCP by `dhcproto`.

use std::net::{Ipv4Addr, Ipv6Addr};

use dhcproto::{Decodable as _, v4, v6};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv4Repr,
    Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, NdiscRepr, UdpPacket,
};

/// An ARP reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpReply {
    /// Ethernet address of who answers.
    pub sender_mac: [u8; 6],
    /// The address that was asked for.
    pub sender: Ipv4Addr,
    /// Ethernet address of who asked.
    pub target_mac: [u8; 6],
    /// IPv4 address of who asked.
    pub target: Ipv4Addr,
}

/// What a DHCP server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpResponse {
    /// Offer, ack or nak.
    pub kind: v4::MessageType,
    /// Transaction.
    pub xid: u32,
    /// The address of the client.
    pub address: Ipv4Addr,
    /// The server.
    pub server: Option<Ipv4Addr>,
    /// The mask.
    pub mask: Option<Ipv4Addr>,
    /// Routers, in their order.
    pub routers: Vec<Ipv4Addr>,
    /// DNS servers, in their order.
    pub dns: Vec<Ipv4Addr>,
    /// Classless routes: destination, width, router.
    pub routes: Vec<(Ipv4Addr, u8, Ipv4Addr)>,
    /// Seconds.
    pub lease: Option<u32>,
    /// Bytes of the longest packet, if it is told.
    pub mtu: Option<u16>,
}

/// What a `DHCPv6` server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcpv6Response {
    /// Advertise or reply.
    pub kind: v6::MessageType,
    /// The addresses of the client.
    pub addresses: Vec<Ipv6Addr>,
    /// The identifier of the server.
    pub server_id: Vec<u8>,
}

/// What is in a frame of this type.
fn payload(frame: &[u8], kind: EthernetProtocol) -> Option<&[u8]> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    (frame.ethertype() == kind).then(|| frame.payload())
}

/// Whether it is an ARP reply.
#[must_use]
pub fn is_arp_reply(frame: &[u8]) -> bool {
    arp_reply(frame).is_some()
}

/// The ARP reply in a frame.
#[must_use]
pub fn arp_reply(frame: &[u8]) -> Option<ArpReply> {
    let packet = ArpPacket::new_checked(payload(frame, EthernetProtocol::Arp)?).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    Some(ArpReply {
        sender_mac: source_hardware_addr.0,
        sender: source_protocol_addr,
        target_mac: target_hardware_addr.0,
        target: target_protocol_addr,
    })
}

/// An IPv4 packet whose header is in order, and its protocol.
fn ipv4(frame: &[u8], protocol: IpProtocol) -> Option<Ipv4Packet<&[u8]>> {
    let packet = Ipv4Packet::new_checked(payload(frame, EthernetProtocol::Ipv4)?).ok()?;
    (packet.verify_checksum() && packet.next_header() == protocol).then_some(packet)
}

/// The data of an ICMP echo reply with a correct checksum.
#[must_use]
pub fn echo_reply(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = ipv4(frame, IpProtocol::Icmp)?;
    let message = Icmpv4Packet::new_checked(packet.payload()).ok()?;
    match Icmpv4Repr::parse(&message, &ChecksumCapabilities::default()).ok()? {
        Icmpv4Repr::EchoReply { data, .. } => Some(data.to_vec()),
        _ => None,
    }
}

/// What a DHCP server says in a datagram with a correct checksum, from its port to a client's.
#[must_use]
pub fn dhcp_response(frame: &[u8]) -> Option<DhcpResponse> {
    let packet = ipv4(frame, IpProtocol::Udp)?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let is_good = datagram.verify_checksum(&IpAddress::Ipv4(from), &IpAddress::Ipv4(to))
        && (datagram.src_port(), datagram.dst_port()) == (67, 68);
    if !is_good {
        return None;
    }
    let message = v4::Message::from_bytes(datagram.payload()).ok()?;
    let mut response = DhcpResponse {
        kind: message.opts().msg_type()?,
        xid: message.xid(),
        address: message.yiaddr(),
        server: None,
        mask: None,
        routers: Vec::new(),
        dns: Vec::new(),
        routes: Vec::new(),
        lease: None,
        mtu: None,
    };
    for (_, option) in message.opts().iter() {
        match option {
            v4::DhcpOption::ServerIdentifier(server) => response.server = Some(*server),
            v4::DhcpOption::SubnetMask(mask) => response.mask = Some(*mask),
            v4::DhcpOption::Router(routers) => response.routers.clone_from(routers),
            v4::DhcpOption::DomainNameServer(dns) => response.dns.clone_from(dns),
            v4::DhcpOption::AddressLeaseTime(lease) => response.lease = Some(*lease),
            v4::DhcpOption::InterfaceMtu(mtu) => response.mtu = Some(*mtu),
            v4::DhcpOption::ClasslessStaticRoute(routes) => {
                let routes = routes.iter();
                response.routes =
                    routes.map(|(net, router)| (net.addr(), net.prefix_len(), *router)).collect();
            }
            _ => {}
        }
    }
    Some(response)
}

/// A message about the link, or an echo, with a correct checksum: what is done with it.
fn icmpv6<T>(frame: &[u8], read: impl FnOnce(Icmpv6Repr<'_>) -> Option<T>) -> Option<T> {
    let packet = Ipv6Packet::new_checked(payload(frame, EthernetProtocol::Ipv6)?).ok()?;
    if packet.next_header() != IpProtocol::Icmpv6 {
        return None;
    }
    let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let capabilities = ChecksumCapabilities::default();
    read(Icmpv6Repr::parse(&from, &to, &message, &capabilities).ok()?)
}

/// The address that a neighbour advertisement is about, and the Ethernet address that has it.
#[must_use]
pub fn neighbor_advertisement(frame: &[u8]) -> Option<(Ipv6Addr, Option<[u8; 6]>)> {
    icmpv6(frame, |repr| match repr {
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { target_addr, lladdr, .. }) => {
            let mac = lladdr.and_then(|mac| mac.as_bytes().try_into().ok());
            Some((target_addr, mac))
        }
        _ => None,
    })
}

/// Seconds for which a router advertises itself.
#[must_use]
pub fn router_advertisement(frame: &[u8]) -> Option<u64> {
    icmpv6(frame, |repr| match repr {
        Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert { router_lifetime, .. }) => {
            Some(router_lifetime.secs())
        }
        _ => None,
    })
}

/// The data of an `ICMPv6` echo reply.
#[must_use]
pub fn echo_reply_v6(frame: &[u8]) -> Option<Vec<u8>> {
    icmpv6(frame, |repr| match repr {
        Icmpv6Repr::EchoReply { data, .. } => Some(data.to_vec()),
        _ => None,
    })
}

/// What a `DHCPv6` server says in a datagram with a correct checksum.
#[must_use]
pub fn dhcpv6_response(frame: &[u8]) -> Option<Dhcpv6Response> {
    let packet = Ipv6Packet::new_checked(payload(frame, EthernetProtocol::Ipv6)?).ok()?;
    if packet.next_header() != IpProtocol::Udp {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let (from, to) = (IpAddress::Ipv6(packet.src_addr()), IpAddress::Ipv6(packet.dst_addr()));
    let ports = (datagram.src_port(), datagram.dst_port());
    if !datagram.verify_checksum(&from, &to) || ports != (547, 546) {
        return None;
    }
    let message = v6::Message::from_bytes(datagram.payload()).ok()?;
    let mut response =
        Dhcpv6Response { kind: message.msg_type(), addresses: Vec::new(), server_id: Vec::new() };
    for option in message.opts().iter() {
        match option {
            v6::DhcpOption::ServerId(id) => response.server_id.clone_from(id),
            v6::DhcpOption::IANA(association) => {
                response.addresses.extend(association.opts.iter().filter_map(|it| match it {
                    v6::DhcpOption::IAAddr(address) => Some(address.addr),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    Some(response)
}
