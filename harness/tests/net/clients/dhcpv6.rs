//! `DHCPv6`, read by `dhcproto`.

use dhcproto::Decodable as _;
use dhcproto::v6::{DhcpOption, IANA, Message, MessageType, OptionCode};
use smoltcp::wire::{IpProtocol, UdpPacket};
use vhost_fuzz_harness::clients::PREFERRED;
use vhost_fuzz_harness::ipv6::dhcpv6::{LEASE, SERVER_ID};
use vhost_fuzz_harness::ipv6::ndp::GATEWAY;

use super::Exchange;
use super::ndp::packet;

/// The message of a frame between these ports, whose checksum is right.
fn decode(frame: &[u8], ports: (u16, u16)) -> Option<Message> {
    let packet = packet(frame);
    if packet.next_header() != IpProtocol::Udp {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).expect("a datagram");
    if (datagram.src_port(), datagram.dst_port()) != ports {
        return None;
    }
    assert!(datagram.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()));
    Some(Message::from_bytes(datagram.payload()).expect("a message"))
}

fn sent(exchange: &Exchange) -> Option<Message> {
    (exchange.ether_type() == 0x86dd).then(|| decode(&exchange.sent, (546, 547)))?
}

fn reply(exchange: &Exchange) -> Option<Message> {
    let reply = exchange.reply.as_ref()?;
    Some(decode(reply, (547, 546)).expect("an answer of a server"))
}

/// What was sent and answered, in two words.
pub(super) fn said(exchange: &Exchange) -> Option<String> {
    let sent = sent(exchange)?;
    let reply = reply(exchange).map(|reply| format!("{:?}", reply.msg_type()));
    Some(format!("{:?}:{}", sent.msg_type(), reply.as_deref().unwrap_or("-")))
}

fn association(message: &Message) -> Option<&IANA> {
    match message.opts().get(OptionCode::IANA)? {
        DhcpOption::IANA(association) => Some(association),
        other => panic!("{other:?}"),
    }
}

/// Demands that an answer gives the address that is configured, and what else was asked for.
pub(super) fn check(exchange: &Exchange) {
    let Some(asked) = sent(exchange) else {
        assert_eq!(exchange.reply, None, "an answer to what is for no server");
        return;
    };
    let reply = reply(exchange).expect("an answer");
    assert_eq!(packet(exchange.reply.as_ref().expect("an answer")).src_addr(), GATEWAY);
    assert_eq!(reply.xid(), asked.xid());
    let (ours, theirs) = (reply.opts(), asked.opts());
    assert_eq!(ours.get(OptionCode::ClientId), theirs.get(OptionCode::ClientId));
    let server = DhcpOption::ServerId(SERVER_ID.to_vec());
    assert_eq!(ours.get(OptionCode::ServerId), Some(&server));
    if asked.msg_type() == MessageType::Release {
        assert!(ours.get(OptionCode::StatusCode).is_some(), "a release without a status");
        return;
    }
    let wanted = association(&asked).expect("an association of the client");
    let given = association(&reply).expect("an association");
    assert_eq!(given.id, wanted.id);
    assert!(given.t1 > 0 && given.t1 < given.t2 && given.t2 < PREFERRED, "{given:?}");
    let Some(DhcpOption::IAAddr(address)) = given.opts.get(OptionCode::IAAddr) else {
        panic!("no address: {given:?}");
    };
    assert_eq!(address.addr, LEASE);
    assert_eq!((address.preferred_life, address.valid_life), (PREFERRED, 2 * PREFERRED));
    if let Some(DhcpOption::ORO(wanted)) = theirs.get(OptionCode::ORO)
        && wanted.opts.contains(&OptionCode::DomainNameServers)
    {
        assert!(ours.get(OptionCode::DomainNameServers).is_some(), "no name servers");
    }
}
