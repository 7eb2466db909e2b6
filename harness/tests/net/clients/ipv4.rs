//! ARP and IPv4, read by `etherparse`.

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Icmpv4Slice, Icmpv4Type, Ipv4Slice, LinkSlice, NetSlice,
    SlicedPacket, TransportSlice,
};
use vhost_fuzz_harness::clients::CLIENT_MAC;
use vhost_fuzz_harness::gateway::{GATEWAY_MAC, GATEWAYS};

use super::{Exchange, dhcp};

fn parse(bytes: &[u8]) -> SlicedPacket<'_> {
    SlicedPacket::from_ethernet(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"))
}

/// Demands that a frame gets the answer of its kind, or none.
pub(super) fn check(exchange: &Exchange) {
    let sent = parse(&exchange.sent);
    let reply = exchange.reply.as_deref().map(parse);
    match (&sent.net, &sent.transport) {
        (Some(NetSlice::Arp(_)), _) => arp(&arp_of(&sent), reply.as_ref()),
        (Some(NetSlice::Ipv4(packet)), Some(TransportSlice::Icmpv4(asked))) => {
            echo(packet, asked, reply.as_ref());
        }
        (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Udp(_))) => dhcp::check(exchange),
        other => panic!("{other:?}"),
    }
}

fn arp_of(packet: &SlicedPacket<'_>) -> ArpEthIpv4Packet {
    let Some(NetSlice::Arp(arp)) = &packet.net else { panic!("no ARP: {packet:?}") };
    arp.to_packet().try_eth_ipv4().expect("addresses of Ethernet and IPv4")
}

/// Who asks for an address of the gateway gets its station; nobody else gets anything.
fn arp(asked: &ArpEthIpv4Packet, reply: Option<&SlicedPacket<'_>>) {
    let is_question =
        asked.operation == ArpOperation::REQUEST && asked.sender_ipv4 != asked.target_ipv4;
    let Some(frame) = reply else {
        assert!(!is_question || !GATEWAYS.contains(&asked.target_ipv4), "silence to {asked:?}");
        return;
    };
    assert!(is_question && GATEWAYS.contains(&asked.target_ipv4), "{frame:?} to {asked:?}");
    let Some(LinkSlice::Ethernet2(link)) = &frame.link else { panic!("no Ethernet: {frame:?}") };
    assert_eq!((link.source(), link.destination()), (GATEWAY_MAC, CLIENT_MAC.0));
    let expected = ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: GATEWAY_MAC,
        sender_ipv4: asked.target_ipv4,
        target_mac: CLIENT_MAC.0,
        target_ipv4: asked.sender_ipv4,
    };
    assert_eq!(arp_of(frame), expected);
}

/// An echo request to the gateway gets its echo; other messages get nothing.
fn echo(packet: &Ipv4Slice<'_>, asked: &Icmpv4Slice<'_>, reply: Option<&SlicedPacket<'_>>) {
    let Icmpv4Type::EchoRequest(header) = asked.icmp_type() else {
        assert!(reply.is_none(), "{reply:?} to {asked:?}");
        return;
    };
    let (from, to) = (packet.header().source(), packet.header().destination());
    assert!(GATEWAYS.contains(&to), "an echo of {to:?}");
    let reply = reply.expect("an echo");
    let (ipv4, answer) = match (&reply.net, &reply.transport) {
        (Some(NetSlice::Ipv4(ipv4)), Some(TransportSlice::Icmpv4(answer))) => (ipv4, answer),
        other => panic!("{other:?}"),
    };
    assert_eq!((ipv4.header().source(), ipv4.header().destination()), (to, from));
    whole(ipv4);
    assert_eq!(answer.icmp_type(), Icmpv4Type::EchoReply(header));
    assert_eq!(answer.payload(), asked.payload());
    assert_eq!(answer.checksum(), answer.icmp_type().calc_checksum(answer.payload()));
}

/// The checksum of a header is right, and the packet is no fragment.
pub(super) fn whole(packet: &Ipv4Slice<'_>) {
    let header = packet.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert!(!packet.is_payload_fragmented());
}

/// Source, destination and payload of a datagram between these ports whose checksums are right.
pub(super) fn datagram(bytes: &[u8], ports: [u16; 2]) -> Option<([u8; 4], [u8; 4], Vec<u8>)> {
    let packet = parse(bytes);
    let (Some(NetSlice::Ipv4(ipv4)), Some(TransportSlice::Udp(udp))) =
        (&packet.net, &packet.transport)
    else {
        return None;
    };
    if [udp.source_port(), udp.destination_port()] != ports {
        return None;
    }
    whole(ipv4);
    let header = ipv4.header().to_header();
    let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
    // A client may leave it away; the gateway does not.
    let has_none = udp.checksum() == 0 && ports == [68, 67];
    assert!(has_none || Ok(udp.checksum()) == sum, "{:#06x}, not {sum:?}", udp.checksum());
    Some((header.source, header.destination, udp.payload().to_vec()))
}
