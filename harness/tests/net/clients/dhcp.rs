//! DHCP, read by `dhcproto`.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable as _, Decoder};
use vhost_fuzz_harness::clients::LEASE;
use vhost_fuzz_harness::dhcp::{ADDRESS, FAR_ROUTER};

use super::Exchange;
use super::ipv4::datagram;

fn decode(payload: &[u8]) -> Message {
    Message::decode(&mut Decoder::new(payload)).expect("a message")
}

fn kind(message: &Message) -> MessageType {
    message.opts().msg_type().expect("a type")
}

/// What was sent and answered, in two words.
pub(super) fn said(exchange: &Exchange) -> Option<String> {
    if exchange.ether_type() != 0x0800 {
        return None;
    }
    let (.., sent) = datagram(&exchange.sent, [68, 67])?;
    let reply = exchange.reply.as_ref().map(|reply| {
        let (.., reply) = datagram(reply, [67, 68]).expect("an answer of a server");
        format!("{:?}", kind(&decode(&reply)))
    });
    Some(format!("{:?}:{}", kind(&decode(&sent)), reply.as_deref().unwrap_or("-")))
}

/// Demands that an answer gives what is configured, and all of that for which was asked.
pub(super) fn check(exchange: &Exchange) {
    let Some((.., sent)) = datagram(&exchange.sent, [68, 67]) else {
        assert_eq!(exchange.reply, None, "an answer to what is for no server");
        return;
    };
    let asked = decode(&sent);
    let Some(reply) = &exchange.reply else {
        assert_eq!(kind(&asked), MessageType::Release, "silence");
        return;
    };
    let (from, to, reply) = datagram(reply, [67, 68]).expect("an answer of a server");
    assert_eq!((from, to), (FAR_ROUTER.octets(), ADDRESS.octets()));
    let reply = decode(&reply);
    let same = |message: &Message| (message.xid(), message.chaddr().to_vec());
    assert_eq!(same(&reply), same(&asked));
    assert_eq!((reply.yiaddr(), reply.siaddr()), (ADDRESS, Ipv4Addr::UNSPECIFIED));
    let mut expected =
        vec![DhcpOption::AddressLeaseTime(LEASE), DhcpOption::ServerIdentifier(FAR_ROUTER)];
    let Some(DhcpOption::ParameterRequestList(wanted)) =
        asked.opts().get(OptionCode::ParameterRequestList)
    else {
        panic!("a client that wants nothing: {asked:?}");
    };
    expected.extend(wanted.iter().filter_map(|code| configured(*code)));
    for option in &expected {
        let code = OptionCode::from(option);
        assert_eq!(reply.opts().get(code), Some(option), "{code:?}");
    }
}

/// The value of an option that is configured here.
fn configured(code: OptionCode) -> Option<DhcpOption> {
    match code {
        OptionCode::SubnetMask => Some(DhcpOption::SubnetMask(Ipv4Addr::BROADCAST)),
        OptionCode::Router => Some(DhcpOption::Router(vec![FAR_ROUTER])),
        OptionCode::DomainNameServer => {
            Some(DhcpOption::DomainNameServer(vec![[1, 1, 1, 1].into(), [8, 8, 8, 8].into()]))
        }
        OptionCode::InterfaceMtu => Some(DhcpOption::InterfaceMtu(1500)),
        OptionCode::ClasslessStaticRoute => {
            let network = |text: &str| text.parse().expect("a network");
            Some(DhcpOption::ClasslessStaticRoute(vec![
                (network("169.254.0.1/32"), Ipv4Addr::UNSPECIFIED),
                (network("0.0.0.0/0"), FAR_ROUTER),
            ]))
        }
        OptionCode::Renewal => Some(DhcpOption::Renewal(LEASE / 2)),
        OptionCode::Rebinding => Some(DhcpOption::Rebinding(LEASE * 7 / 8)),
        _ => None,
    }
}
