//! The same work by other people's libraries, on the same bytes.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use dhcproto::v4::{DhcpOption, HType, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable as _, Decoder, Encodable as _, Encoder};
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, ArpPacket, EtherType, Ethernet2Header, NetSlice, SlicedPacket,
};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation as Operation, ArpPacket as Arp, ArpRepr, DhcpMessageType, DhcpOption as Extra,
    DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};
use vhost_fuzz_harness::dhcp::{ADDRESS, FAR_ROUTER};
use vhost_fuzz_harness::gateway::{GATEWAY_MAC, GATEWAYS};
use vhost_fuzz_harness::ipv6;
use vhost_fuzz_harness::ipv6::ndp::GATEWAY;

/// Bytes of the shortest DHCP message.
const DHCP_MIN: usize = 300;

/// ARP by `etherparse`.
pub(crate) mod etherparse_arp {
    use super::*;

    /// The fields of a packet.
    pub(crate) fn parse(frame: &[u8]) -> Option<ArpEthIpv4Packet> {
        match SlicedPacket::from_ethernet(frame).ok()?.net? {
            NetSlice::Arp(arp) => arp.to_packet().try_eth_ipv4().ok(),
            _ => None,
        }
    }

    /// The reply to a request.
    pub(crate) fn reply(frame: &[u8], out: &mut [u8]) -> Option<usize> {
        let asked = parse(frame)?;
        if asked.operation != ArpOperation::REQUEST || !GATEWAYS.contains(&asked.target_ipv4) {
            return None;
        }
        let link = Ethernet2Header {
            source: GATEWAY_MAC,
            destination: asked.sender_mac,
            ether_type: EtherType::ARP,
        };
        let packet = ArpPacket::from(ArpEthIpv4Packet {
            operation: ArpOperation::REPLY,
            sender_mac: GATEWAY_MAC,
            sender_ipv4: asked.target_ipv4,
            target_mac: asked.sender_mac,
            target_ipv4: asked.sender_ipv4,
        });
        let (front, packet) = (link.to_bytes(), packet.to_bytes());
        let len = front.len() + packet.len();
        let (head, tail) = out.get_mut(..len)?.split_at_mut(front.len());
        head.copy_from_slice(&front);
        tail.copy_from_slice(&packet);
        Some(len)
    }
}

/// ARP by `smoltcp`.
pub(crate) mod smoltcp_arp {
    use super::*;

    /// The fields of a packet.
    pub(crate) fn parse(frame: &[u8]) -> Option<ArpRepr> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if frame.ethertype() != EthernetProtocol::Arp {
            return None;
        }
        ArpRepr::parse(&Arp::new_checked(frame.payload()).ok()?).ok()
    }

    /// The reply to a request.
    pub(crate) fn reply(frame: &[u8], out: &mut [u8]) -> Option<usize> {
        let ArpRepr::EthernetIpv4 {
            operation: Operation::Request,
            source_hardware_addr: asker,
            source_protocol_addr,
            target_protocol_addr,
            ..
        } = parse(frame)?
        else {
            return None;
        };
        if !GATEWAYS.contains(&target_protocol_addr.octets()) {
            return None;
        }
        let ours = EthernetAddress(GATEWAY_MAC);
        let reply = ArpRepr::EthernetIpv4 {
            operation: Operation::Reply,
            source_hardware_addr: ours,
            source_protocol_addr: target_protocol_addr,
            target_hardware_addr: asker,
            target_protocol_addr: source_protocol_addr,
        };
        let link =
            EthernetRepr { src_addr: ours, dst_addr: asker, ethertype: EthernetProtocol::Arp };
        let len = link.buffer_len() + reply.buffer_len();
        let mut frame = EthernetFrame::new_unchecked(out.get_mut(..len)?);
        link.emit(&mut frame);
        reply.emit(&mut Arp::new_unchecked(frame.payload_mut()));
        Some(len)
    }
}

/// DHCP by `dhcproto`.
pub(crate) mod dhcproto_dhcp {
    use super::*;

    /// A message with all its options.
    pub(crate) fn parse(payload: &[u8]) -> Option<Message> {
        Message::decode(&mut Decoder::new(payload)).ok()
    }

    /// Option 121.
    pub(crate) fn routes() -> DhcpOption {
        let network = |text: &str| text.parse().expect("a network");
        DhcpOption::ClasslessStaticRoute(vec![
            (network("169.254.0.1/32"), Ipv4Addr::UNSPECIFIED),
            (network("0.0.0.0/0"), FAR_ROUTER),
        ])
    }

    /// The OFFER to a DISCOVER.
    pub(crate) fn reply(
        payload: &[u8],
        out: &mut Vec<u8>,
        lease: u32,
        routes: &DhcpOption,
    ) -> Option<usize> {
        let asked = parse(payload)?;
        let options = asked.opts();
        if options.msg_type() != Some(MessageType::Discover) {
            return None;
        }
        let mut reply = Message::default();
        reply
            .set_opcode(Opcode::BootReply)
            .set_htype(HType::Eth)
            .set_xid(asked.xid())
            .set_yiaddr(ADDRESS)
            .set_chaddr(asked.chaddr());
        let ours = reply.opts_mut();
        ours.insert(DhcpOption::MessageType(MessageType::Offer));
        ours.insert(DhcpOption::ServerIdentifier(FAR_ROUTER));
        ours.insert(DhcpOption::AddressLeaseTime(lease));
        if let Some(DhcpOption::ParameterRequestList(wanted)) =
            options.get(OptionCode::ParameterRequestList)
        {
            for code in wanted {
                let option = match code {
                    OptionCode::SubnetMask => DhcpOption::SubnetMask(Ipv4Addr::BROADCAST),
                    OptionCode::ClasslessStaticRoute => routes.clone(),
                    OptionCode::Router => DhcpOption::Router(vec![FAR_ROUTER]),
                    OptionCode::DomainNameServer => DhcpOption::DomainNameServer(DNS.to_vec()),
                    _ => continue,
                };
                ours.insert(option);
            }
        }
        out.clear();
        reply.encode(&mut Encoder::new(out)).ok()?;
        out.resize(out.len().max(DHCP_MIN), 0);
        Some(out.len())
    }
}

/// Name servers that are handed out.
const DNS: [Ipv4Addr; 2] = [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(8, 8, 8, 8)];

/// Option 121: the router is on the link, and everything else is behind it.
const ROUTES: [u8; 14] = [32, 169, 254, 0, 1, 0, 0, 0, 0, 0, 169, 254, 0, 1];

/// DHCP by `smoltcp`.
pub(crate) mod smoltcp_dhcp {
    use super::*;

    /// Type and number of the options of a message.
    pub(crate) fn parse(payload: &[u8]) -> Option<(u8, usize)> {
        let packet = DhcpPacket::new_checked(payload).ok()?;
        let repr = DhcpRepr::parse(&packet).ok()?;
        let options = packet.options().map(black_box).count();
        Some((repr.message_type.into(), options))
    }

    /// The OFFER to a DISCOVER.
    pub(crate) fn reply(payload: &[u8], out: &mut [u8], lease: u32) -> Option<usize> {
        let packet = DhcpPacket::new_checked(payload).ok()?;
        let asked = DhcpRepr::parse(&packet).ok()?;
        if asked.message_type != DhcpMessageType::Discover {
            return None;
        }
        let wants = |code| asked.parameter_request_list.is_some_and(|list| list.contains(&code));
        let routes = [Extra { kind: 121, data: &ROUTES }];
        let reply = DhcpRepr {
            message_type: DhcpMessageType::Offer,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: asked.client_hardware_address,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: ADDRESS,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: wants(3).then_some(FAR_ROUTER),
            subnet_mask: wants(1).then_some(Ipv4Addr::BROADCAST),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: asked.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(FAR_ROUTER),
            parameter_request_list: None,
            dns_servers: wants(6).then(|| DNS.into_iter().collect()),
            max_size: None,
            lease_duration: Some(lease),
            renew_duration: None,
            rebind_duration: None,
            additional_options: if wants(121) { &routes } else { &[] },
        };
        let len = reply.buffer_len().max(DHCP_MIN);
        let out = out.get_mut(..len)?;
        // The options are followed by nothing but zeros.
        out.fill(0);
        reply.emit(&mut DhcpPacket::new_unchecked(out)).ok()?;
        Some(len)
    }
}

/// Neighbour discovery by `smoltcp`.
pub(crate) mod smoltcp_ndp {
    use super::*;

    /// Who asks, from which station, for which address.
    pub(crate) fn parse(frame: &[u8]) -> Option<(EthernetAddress, Ipv6Addr, Ipv6Addr)> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if frame.ethertype() != EthernetProtocol::Ipv6 {
            return None;
        }
        let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
        let header = Ipv6Repr::parse(&packet).ok()?;
        if header.next_header != IpProtocol::Icmpv6 || header.hop_limit != 255 {
            return None;
        }
        let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
        let sums = ChecksumCapabilities::default();
        match Icmpv6Repr::parse(&header.src_addr, &header.dst_addr, &message, &sums).ok()? {
            Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, .. }) => {
                Some((frame.src_addr(), header.src_addr, target_addr))
            }
            _ => None,
        }
    }

    /// The advertisement to a solicitation.
    pub(crate) fn reply(frame: &[u8], out: &mut [u8]) -> Option<usize> {
        let (station, asker, target_addr) = parse(frame)?;
        if target_addr != GATEWAY {
            return None;
        }
        let ours = EthernetAddress(ipv6::GATEWAY_MAC.0);
        let flags = NdiscNeighborFlags::ROUTER
            | NdiscNeighborFlags::SOLICITED
            | NdiscNeighborFlags::OVERRIDE;
        let reply = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
            flags,
            target_addr,
            lladdr: Some(ours.into()),
        });
        let header = Ipv6Repr {
            src_addr: GATEWAY,
            dst_addr: asker,
            next_header: IpProtocol::Icmpv6,
            payload_len: reply.buffer_len(),
            hop_limit: 255,
        };
        let link =
            EthernetRepr { src_addr: ours, dst_addr: station, ethertype: EthernetProtocol::Ipv6 };
        let len = link.buffer_len() + header.buffer_len() + reply.buffer_len();
        let mut frame = EthernetFrame::new_unchecked(out.get_mut(..len)?);
        link.emit(&mut frame);
        let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
        header.emit(&mut packet);
        let mut message = Icmpv6Packet::new_unchecked(packet.payload_mut());
        reply.emit(&GATEWAY, &asker, &mut message, &ChecksumCapabilities::default());
        Some(len)
    }
}
