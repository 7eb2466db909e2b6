//! What a guest gets from its gateway.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::{v4, v6};
use vhost_fuzz_backend::net::Config;
use vhost_fuzz_core::net::{Mac, dhcpv6};
use vhost_fuzz_harness::guest::{
    ClientError, GATEWAY_IP, GATEWAY_IPV6, GATEWAY_MAC, TestBackend, VhostTestClient, packet, parse,
};

use crate::guest::{IP, IPV6, MAC, SOON};

/// A back-end, and a guest at it.
fn connected() -> (TestBackend, VhostTestClient) {
    let mut config = Config::new(Mac(MAC), Some(IP));
    config.gateway.dhcpv6 = Some(dhcpv6::Config {
        mac: Mac(GATEWAY_MAC),
        address: GATEWAY_IPV6,
        lease: IPV6,
        preferred: 3600,
        valid: 7200,
        rapid_commit: true,
        dns: [].into_iter().collect(),
    });
    let backend = TestBackend::with(&config).expect("a back-end");
    let client = VhostTestClient::new(backend.path()).expect("a guest");
    (backend, client)
}

#[test]
fn the_gateway_is_found_and_answers_pings() {
    let (backend, mut client) = connected();
    client.send_packet(&packet::arp_request(MAC, IP, GATEWAY_IP)).expect("there is room");
    let reply = client.recv_packet(SOON).expect("an answer");
    assert!(parse::is_arp_reply(&reply));
    let reply = parse::arp_reply(&reply).expect("an ARP reply");
    assert_eq!((reply.sender_mac, reply.sender), (GATEWAY_MAC, GATEWAY_IP));
    assert_eq!((reply.target_mac, reply.target), (MAC, IP));
    for len in [0, 1, 56, 1472] {
        let data: Vec<u8> = (0..len).map(|at: u16| at.to_be_bytes()[1]).collect();
        client.send_packet(&packet::echo_request(MAC, IP, GATEWAY_IP, &data)).expect("room");
        let reply = client.recv_packet(SOON).expect("an answer");
        assert_eq!(parse::echo_reply(&reply), Some(data), "{len} bytes");
    }
    drop(client);
    assert_eq!(backend.stop().expect("it ran to its end").len(), 1);
}

#[test]
fn nobody_answers_for_others() {
    let (_backend, mut client) = connected();
    let stranger = Ipv4Addr::new(192, 0, 2, 99);
    client.send_packet(&packet::arp_probe(MAC, stranger)).expect("there is room");
    match client.recv_packet(Duration::from_millis(100)) {
        Err(ClientError::Io(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        other => panic!("{other:?}"),
    }
    client.send_packet(&packet::arp_request(MAC, IP, GATEWAY_IP)).expect("there is room");
    assert!(parse::is_arp_reply(&client.recv_packet(SOON).expect("an answer")));
}

#[test]
fn a_lease_is_offered_and_acknowledged() {
    let (_backend, mut client) = connected();
    client.send_packet(&packet::dhcp_discover(MAC, 0x1234_5678)).expect("there is room");
    let offer = client.recv_packet(SOON).expect("an offer");
    let offer = parse::dhcp_response(&offer).expect("a DHCP message");
    assert_eq!((offer.kind, offer.xid, offer.address), (v4::MessageType::Offer, 0x1234_5678, IP));
    let server = offer.server.expect("its address");
    assert_eq!(server, GATEWAY_IP);
    client.send_packet(&packet::dhcp_request(MAC, 7, IP, server)).expect("there is room");
    let ack = client.recv_packet(SOON).expect("an answer");
    let ack = parse::dhcp_response(&ack).expect("a DHCP message");
    assert_eq!((ack.kind, ack.xid, ack.address), (v4::MessageType::Ack, 7, IP));
    assert_eq!(ack.mask, Some(Ipv4Addr::BROADCAST));
    assert_eq!((ack.lease, ack.routers), (Some(86400), vec![GATEWAY_IP]));
    let on_link = Ipv4Addr::UNSPECIFIED;
    assert_eq!(ack.routes, [(GATEWAY_IP, 32, on_link), (on_link, 0, GATEWAY_IP)]);
    assert_eq!(ack.dns, [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(8, 8, 8, 8)]);
    // For another server, silence; the next request is answered as if it had not been.
    let other = Ipv4Addr::new(192, 0, 2, 200);
    client.send_packet(&packet::dhcp_request(MAC, 8, IP, other)).expect("there is room");
    client.send_packet(&packet::dhcp_discover(MAC, 9)).expect("there is room");
    let next = parse::dhcp_response(&client.recv_packet(SOON).expect("an answer"));
    assert_eq!(next.expect("a DHCP message").xid, 9);
}

#[test]
fn the_same_over_ipv6() {
    let (_backend, mut client) = connected();
    client.send_packet(&packet::router_solicitation(MAC)).expect("there is room");
    let reply = client.recv_packet(SOON).expect("an answer");
    assert_eq!(parse::router_advertisement(&reply), Some(1800));
    client.send_packet(&packet::neighbor_solicitation(MAC, GATEWAY_IPV6)).expect("there is room");
    let reply = client.recv_packet(SOON).expect("an answer");
    let found = Some((GATEWAY_IPV6, Some(GATEWAY_MAC)));
    assert_eq!(parse::neighbor_advertisement(&reply), found);
    client.send_packet(&packet::echo_request_v6(MAC, b"hello")).expect("there is room");
    let reply = client.recv_packet(SOON).expect("an answer");
    assert_eq!(parse::echo_reply_v6(&reply).as_deref(), Some(&b"hello"[..]));
    client.send_packet(&packet::dhcpv6_solicit(MAC, false)).expect("there is room");
    let advertised = parse::dhcpv6_response(&client.recv_packet(SOON).expect("an answer"));
    let advertised = advertised.expect("a message of the server");
    assert_eq!(
        (advertised.kind, &advertised.addresses[..]),
        (v6::MessageType::Advertise, &[IPV6][..])
    );
    let request = packet::dhcpv6_request(MAC, IPV6, &advertised.server_id);
    client.send_packet(&request).expect("there is room");
    let reply = parse::dhcpv6_response(&client.recv_packet(SOON).expect("an answer"));
    let reply = reply.expect("a message of the server");
    assert_eq!((reply.kind, &reply.addresses[..]), (v6::MessageType::Reply, &[IPV6][..]));
    client.send_packet(&packet::dhcpv6_solicit(MAC, true)).expect("there is room");
    let reply = parse::dhcpv6_response(&client.recv_packet(SOON).expect("an answer"));
    assert_eq!(reply.expect("a message of the server").kind, v6::MessageType::Reply);
}
