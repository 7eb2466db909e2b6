//! What an independent library reads in the replies.

use dhcproto::{Decodable as _, v6};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet,
    NdiscNeighborFlags, NdiscRepr, RawHardwareAddress, UdpPacket,
};

use super::{GATEWAY_MAC, same};

/// A reply without its tag, which has to be that of the request.
fn untagged(request: &[u8], reply: &[u8]) -> Vec<u8> {
    let tag = |frame: &[u8]| match frame.get(12..16) {
        Some([0x81, 0x00, high, low]) => Some([0x81, 0x00, *high, *low]),
        Some([0x88, 0xa8, high, low]) => Some([0x88, 0xa8, *high, *low]),
        _ => None,
    };
    same("wire check: the tag", tag(reply), tag(request));
    let mut plain = reply.to_vec();
    if tag(reply).is_some() {
        plain.drain(12..16);
    }
    plain
}

/// The packet of a reply, which goes to whoever asked or to all nodes, and has no byte too many.
///
/// # Panics
/// When it is none.
pub(super) fn packet<'a>(plain: &'a [u8], request: &[u8]) -> Ipv6Packet<&'a [u8]> {
    let frame = match EthernetFrame::new_checked(plain) {
        Ok(frame) => frame,
        Err(error) => panic!("wire check: the frame of the reply: {error}"),
    };
    same("wire check: the source of the frame", frame.src_addr().0, GATEWAY_MAC.0);
    same("wire check: the type of the frame", frame.ethertype(), EthernetProtocol::Ipv6);
    let payload = plain.get(14..).unwrap_or_default();
    let packet = match Ipv6Packet::new_checked(payload) {
        Ok(packet) => packet,
        Err(error) => panic!("wire check: the packet of the reply: {error}"),
    };
    same("wire check: the version", packet.version(), 6);
    same("wire check: the length of the reply", packet.total_len(), payload.len());
    let to = frame.dst_addr().0;
    if packet.dst_addr().is_multicast() {
        same("wire check: the group of the frame", to, [0x33, 0x33, 0, 0, 0, 1]);
    } else {
        same("wire check: the receiver of the frame", Some(&to[..]), request.get(6..12));
    }
    packet
}

/// A reply about the link, or an echo.
///
/// # Panics
/// When it is none of them.
pub fn ndp(request: &[u8], reply: &[u8]) {
    let plain = untagged(request, reply);
    let packet = packet(&plain, request);
    same("wire check: the protocol", packet.next_header(), IpProtocol::Icmpv6);
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let message = match Icmpv6Packet::new_checked(packet.payload()) {
        Ok(message) => message,
        Err(error) => panic!("wire check: the message of the reply: {error}"),
    };
    let capabilities = ChecksumCapabilities::default();
    let repr = match Icmpv6Repr::parse(&source, &destination, &message, &capabilities) {
        Ok(repr) => repr,
        Err(error) => panic!("wire check: the message of the reply: {error}"),
    };
    let ours = RawHardwareAddress::from_bytes(&GATEWAY_MAC.0);
    match repr {
        Icmpv6Repr::EchoReply { data, .. } => {
            let asked = without_padding(request).unwrap_or_default();
            assert!(asked.ends_with(data), "wire check: the data of an echo");
        }
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { flags, lladdr, .. }) => {
            same("wire check: the hop limit", packet.hop_limit(), 255);
            same("wire check: the link-layer address", lladdr, Some(ours));
            let is_solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
            same("wire check: the S flag", is_solicited, !destination.is_multicast());
        }
        Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert { lladdr, .. }) => {
            same("wire check: the hop limit", packet.hop_limit(), 255);
            same("wire check: the link-layer address", lladdr, Some(ours));
            assert!(source.is_unicast_link_local(), "wire check: the source of a router");
        }
        other => panic!("wire check: a reply that nobody asked for: {other:?}"),
    }
}

/// A request up to the end of its packet, as the header of that says.
fn without_padding(request: &[u8]) -> Option<&[u8]> {
    let is_tagged = matches!(request.get(12..14)?, [0x81, 0] | [0x88, 0xa8]);
    let header = if is_tagged { 18 } else { 14 };
    let len = request.get(header + 4..)?.first_chunk()?;
    request.get(..header + 40 + usize::from(u16::from_be_bytes(*len)))
}

/// A reply of a `DHCPv6` server.
///
/// # Panics
/// When it is none, or not one to this request.
pub fn dhcpv6(request: &[u8], reply: &[u8]) {
    let plain = untagged(request, reply);
    let packet = packet(&plain, request);
    same("wire check: the protocol", packet.next_header(), IpProtocol::Udp);
    let datagram = match UdpPacket::new_checked(packet.payload()) {
        Ok(datagram) => datagram,
        Err(error) => panic!("wire check: the datagram of the reply: {error}"),
    };
    same("wire check: the ports", (datagram.src_port(), datagram.dst_port()), (547, 546));
    same("wire check: a checksum of 0", datagram.checksum() == 0, false);
    let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
    let is_whole = datagram.verify_checksum(&source, &destination);
    same("wire check: the checksum of the datagram", is_whole, true);
    let message = match v6::Message::from_bytes(datagram.payload()) {
        Ok(message) => message,
        Err(error) => panic!("wire check: the message of the reply: {error}"),
    };
    let Some(asked) = asked(request) else { panic!("wire check: a reply to no message") };
    same("wire check: the transaction", &message.xid()[..], &asked[1..4]);
    let options = message.opts();
    let client = value(&asked[4..], 1).map(|id| v6::DhcpOption::ClientId(id.to_vec()));
    same("wire check: the client", options.get(v6::OptionCode::ClientId), client.as_ref());
    let ours = v6::DhcpOption::ServerId(super::dhcpv6::SERVER_ID.to_vec());
    same("wire check: the server", options.get(v6::OptionCode::ServerId), Some(&ours));
    let is_rapid = options.get(v6::OptionCode::RapidCommit).is_some();
    let was_asked = asked[0] == 1 && value(&asked[4..], 14).is_some();
    same("wire check: a rapid commit", is_rapid && !was_asked, false);
    let is_reply =
        matches!(message.msg_type(), v6::MessageType::Reply | v6::MessageType::Advertise);
    same("wire check: the type of the message", is_reply, true);
}

/// The message of a request that is known to be legal. The library that reads replies does not see
/// it: what a guest sends can make that panic.
fn asked(request: &[u8]) -> Option<&[u8]> {
    let frame = vhost_fuzz_core::net::ethernet::Frame::parse(request).ok()?;
    let packet = vhost_fuzz_core::net::ipv6::Packet::parse(frame.payload).ok()??;
    let len = packet.payload.get(4..6)?;
    let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
    packet.payload.get(8..len).filter(|message| message.len() >= 4)
}

/// The value of the first option with this code.
fn value(mut options: &[u8], code: u16) -> Option<&[u8]> {
    while let Some((&[c0, c1, l0, l1], rest)) = options.split_first_chunk() {
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([l0, l1]).into())?;
        if u16::from_be_bytes([c0, c1]) == code {
            return Some(value);
        }
        options = rest;
    }
    None
}
