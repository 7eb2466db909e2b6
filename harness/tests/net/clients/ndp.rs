//! IPv6 and its control messages, read by `smoltcp`.

use std::net::Ipv6Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, NdiscNeighborFlags, NdiscRepr,
    NdiscRouterFlags, RawHardwareAddress,
};
use vhost_fuzz_harness::clients::CLIENT_MAC;
use vhost_fuzz_harness::ipv6::GATEWAY_MAC;
use vhost_fuzz_harness::ipv6::ndp::{GATEWAY, SECOND};

use super::{Exchange, dhcpv6};

/// The packet of a frame.
pub(super) fn packet(frame: &[u8]) -> Ipv6Packet<&[u8]> {
    Ipv6Packet::new_checked(&frame[14..]).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"))
}

/// A control message whose checksum is right.
fn message<'a>(packet: &Ipv6Packet<&'a [u8]>) -> Icmpv6Repr<'a> {
    let message = Icmpv6Packet::new_checked(packet.payload()).expect("a control message");
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    Icmpv6Repr::parse(&from, &to, &message, &ChecksumCapabilities::default()).expect("a message")
}

/// Demands that a frame gets the answer of its kind, or none.
pub(super) fn check(exchange: &Exchange) {
    let sent = packet(&exchange.sent);
    match sent.next_header() {
        IpProtocol::Udp => dhcpv6::check(exchange),
        IpProtocol::Icmpv6 => control(&sent, exchange),
        // Reports of what groups a station listens to, behind a hop-by-hop header.
        other => assert_eq!((other, &exchange.reply), (IpProtocol::HopByHop, &None)),
    }
}

fn control(sent: &Ipv6Packet<&[u8]>, exchange: &Exchange) {
    let reply = exchange.reply.as_deref().map(packet);
    let ours = [GATEWAY, SECOND];
    match message(sent) {
        Icmpv6Repr::EchoRequest { ident, seq_no, data } => {
            let reply = reply.expect("an echo");
            assert!(ours.contains(&sent.dst_addr()));
            assert_eq!((reply.src_addr(), reply.dst_addr()), (sent.dst_addr(), sent.src_addr()));
            assert_eq!(message(&reply), Icmpv6Repr::EchoReply { ident, seq_no, data });
        }
        Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { .. }) => {
            router(sent.src_addr(), &reply.expect("an advertisement"));
        }
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, .. }) => match reply {
            Some(reply) => {
                assert!(ours.contains(&target_addr), "an advertisement of {target_addr}");
                neighbor(target_addr, sent.src_addr(), &reply);
            }
            None => assert!(!ours.contains(&target_addr), "silence about {target_addr}"),
        },
        other => assert!(reply.is_none(), "an answer to {other:?}"),
    }
}

/// The gateway's station, as it is in options.
fn station() -> Option<RawHardwareAddress> {
    Some(RawHardwareAddress::from_bytes(&GATEWAY_MAC.0))
}

/// The gateway says that an address is its own.
fn neighbor(target: Ipv6Addr, asker: Ipv6Addr, reply: &Ipv6Packet<&[u8]>) {
    assert_eq!((reply.src_addr(), reply.dst_addr(), reply.hop_limit()), (target, asker, 255));
    let flags =
        NdiscNeighborFlags::ROUTER | NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE;
    let expected = NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr: station() };
    assert_eq!(message(reply), Icmpv6Repr::Ndisc(expected));
}

/// The gateway is a router, and tells the prefix of addresses and where to get another one.
fn router(asker: Ipv6Addr, reply: &Ipv6Packet<&[u8]>) {
    assert_eq!((reply.src_addr(), reply.dst_addr(), reply.hop_limit()), (GATEWAY, asker, 255));
    let Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        flags,
        router_lifetime,
        lladdr,
        mtu,
        prefix_info: Some(prefix),
        ..
    }) = message(reply)
    else {
        panic!("no advertisement with a prefix: {:?}", message(reply));
    };
    assert_eq!(flags, NdiscRouterFlags::MANAGED | NdiscRouterFlags::OTHER);
    assert_eq!((router_lifetime.secs(), mtu), (1800, Some(1500)));
    assert_eq!(lladdr, station());
    let network = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);
    assert_eq!((prefix.prefix, prefix.prefix_len), (network, 64));
    assert_eq!((prefix.valid_lifetime.secs(), prefix.preferred_lifetime.secs()), (86400, 14400));
}

/// The station of the client made its link-local address.
#[test]
fn the_address_of_the_client_is_that_of_its_station() {
    let [a, b, c, d, e, f] = CLIENT_MAC.0.map(u16::from);
    let words = [(a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f];
    let [w, x, y, z] = words;
    let expected = Ipv6Addr::new(0xfe80, 0, 0, 0, w, x, y, z);
    assert_eq!(vhost_fuzz_harness::ipv6::ndp::GUEST, expected);
}
