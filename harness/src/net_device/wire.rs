//! What an independent parser says of a frame that a guest is given.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// # Panics
/// When it is not a frame with right lengths and checksums.
pub(super) fn check(request: &[u8], reply: &[u8]) {
    let parsed = match SlicedPacket::from_ethernet(reply) {
        Ok(parsed) => parsed,
        Err(error) => panic!("wire check: {error}: {reply:02x?}"),
    };
    assert!(reply[6] & 1 == 0, "wire check: from a group: {reply:02x?}");
    let is_to_somebody = reply[0] & 1 == 1 || reply[..6] != [0; 6];
    assert!(is_to_somebody, "wire check: to nobody: {reply:02x?}");
    let tag = |frame: &[u8]| match frame.get(12..16) {
        Some([0x81, 0x00, high, low]) => Some([0x81, 0x00, *high, *low]),
        Some([0x88, 0xa8, high, low]) => Some([0x88, 0xa8, *high, *low]),
        _ => None,
    };
    assert!(tag(request) == tag(reply), "wire check: the tag of {reply:02x?}");
    match (&parsed.net, &parsed.transport) {
        (Some(NetSlice::Arp(_)), None) => {}
        (Some(NetSlice::Ipv4(ip)), Some(transport)) => {
            let header = ip.header().to_header();
            let is_right = header.header_checksum == header.calc_header_checksum();
            assert!(is_right, "wire check: the header checksum of {reply:02x?}");
            let is_right = match transport {
                TransportSlice::Udp(udp) => {
                    let right = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
                    Ok(udp.checksum()) == right
                }
                TransportSlice::Icmpv4(icmp) => {
                    icmp.checksum() == icmp.icmp_type().calc_checksum(icmp.payload())
                }
                _ => false,
            };
            assert!(is_right, "wire check: the checksum of {reply:02x?}");
        }
        (Some(NetSlice::Ipv6(ip)), Some(transport)) => {
            let header = ip.header().to_header();
            let is_right = match transport {
                TransportSlice::Udp(udp) => {
                    let right = udp.to_header().calc_checksum_ipv6(&header, udp.payload());
                    udp.checksum() != 0 && Ok(udp.checksum()) == right
                }
                TransportSlice::Icmpv6(icmp) => {
                    icmp.is_checksum_valid(header.source, header.destination)
                }
                _ => false,
            };
            assert!(is_right, "wire check: the checksum of {reply:02x?}");
        }
        other => panic!("wire check: {other:?}: {reply:02x?}"),
    }
}
