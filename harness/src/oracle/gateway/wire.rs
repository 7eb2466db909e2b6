//! Reads replies by a parser that is not ours: `etherparse`.

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Icmpv4Type, Ipv4Slice, LinkExtSlice, LinkSlice, NetSlice,
    SlicedPacket, TransportSlice,
};

/// Demands that a frame is what a gateway may send: whole, nothing behind it, checksums right.
///
/// # Panics
/// When it is not.
pub(super) fn check(bytes: &[u8]) {
    let packet = match SlicedPacket::from_ethernet(bytes) {
        Ok(packet) => packet,
        Err(error) => panic!("wire check: {error}: {bytes:02x?}"),
    };
    let Some(LinkSlice::Ethernet2(link)) = packet.link else {
        panic!("wire check: no Ethernet: {bytes:02x?}");
    };
    let source = link.source();
    assert!(source[0] & 1 == 0, "wire check: a group sends {bytes:02x?}");
    let tags = packet.link_exts.iter().filter(|tag| matches!(tag, LinkExtSlice::Vlan(_))).count();
    assert!(tags <= 1, "wire check: {tags} tags: {bytes:02x?}");
    let header_len = 14 + 4 * tags;
    match &packet.net {
        Some(NetSlice::Arp(arp)) => {
            let arp = match arp.to_packet().try_eth_ipv4() {
                Ok(arp) => arp,
                Err(error) => panic!("wire check: {error}: {bytes:02x?}"),
            };
            assert!(bytes.len() == header_len + 28, "wire check: bytes behind {bytes:02x?}");
            check_arp(&arp, source, link.destination(), bytes);
        }
        Some(NetSlice::Ipv4(ipv4)) => {
            let total = usize::from(ipv4.header().total_len());
            assert!(bytes.len() == header_len + total, "wire check: bytes behind {bytes:02x?}");
            check_ipv4(ipv4, packet.transport.as_ref(), bytes);
        }
        other => panic!("wire check: {other:?}: {bytes:02x?}"),
    }
}

/// A reply to whom it is about, or an announcement to all.
fn check_arp(arp: &ArpEthIpv4Packet, source: [u8; 6], destination: [u8; 6], bytes: &[u8]) {
    assert!(arp.sender_mac == source, "wire check: AR-004: {bytes:02x?}");
    match arp.operation {
        ArpOperation::REPLY => {
            let is_broadcast = destination == [0xff; 6] && arp.sender_ipv4[..2] == [169, 254];
            let is_right = arp.target_mac == destination || is_broadcast;
            assert!(is_right, "wire check: AR-003: {bytes:02x?}");
            assert!(arp.sender_ipv4 != [0; 4], "wire check: AR-012: {bytes:02x?}");
        }
        ArpOperation::REQUEST => {
            let is_announcement = destination == [0xff; 6]
                && arp.sender_ipv4 == arp.target_ipv4
                && arp.sender_ipv4 != [0; 4]
                && arp.target_mac == [0; 6];
            assert!(is_announcement, "wire check: AR-018: {bytes:02x?}");
        }
        other => panic!("wire check: {other:?}: {bytes:02x?}"),
    }
}

fn check_ipv4(ipv4: &Ipv4Slice<'_>, transport: Option<&TransportSlice<'_>>, bytes: &[u8]) {
    let header = ipv4.header().to_header();
    let (got, right) = (header.header_checksum, header.calc_header_checksum());
    assert!(got == right, "wire check: the header checksum of {bytes:02x?}");
    assert!(!ipv4.is_payload_fragmented(), "wire check: a fragment: {bytes:02x?}");
    assert!(header.time_to_live > 0, "wire check: no hops: {bytes:02x?}");
    match transport {
        Some(TransportSlice::Icmpv4(icmp)) => {
            let kind = icmp.icmp_type();
            assert!(matches!(kind, Icmpv4Type::EchoReply(_)), "wire check: {kind:?}");
            let right = kind.calc_checksum(icmp.payload());
            assert!(icmp.checksum() == right, "wire check: the ICMP checksum of {bytes:02x?}");
        }
        Some(TransportSlice::Udp(udp)) => {
            let right = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
            assert!(Ok(udp.checksum()) == right, "wire check: the UDP checksum of {bytes:02x?}");
            let carried = ipv4.payload().payload.len();
            let len = usize::from(udp.length());
            assert!(len == carried, "wire check: the UDP length of {bytes:02x?}");
        }
        other => panic!("wire check: {other:?}: {bytes:02x?}"),
    }
}
