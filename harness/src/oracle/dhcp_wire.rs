//! Judges an answer by an independent parser: what RFC 2131 says of every reply, whatever was
//! asked.

use dhcproto::v4::{DhcpOption, HType, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable as _, Decoder};
use vhost_fuzz_core::net::dhcp::Answer;

use crate::dhcp::{ADDRESS, Setup};
use crate::target::dhcp::Record;

/// Options that a NAK may have.
const OF_A_NAK: [OptionCode; 5] = [
    OptionCode::MessageType,
    OptionCode::ServerIdentifier,
    OptionCode::Message,
    OptionCode::ClientIdentifier,
    OptionCode::RelayAgentInformation,
];

/// # Panics
/// When the answer breaks a rule.
pub(super) fn check(setup: Setup, record: &Record<'_>, answer: &Answer, bytes: &[u8]) {
    let reply = Message::decode(&mut Decoder::new(bytes));
    let reply =
        reply.unwrap_or_else(|error| panic!("wire check: the answer is no message: {error}"));
    header(record, &reply, bytes);
    let options = reply.opts();
    let kind = options.msg_type();
    assert!(
        kind.is_some_and(|kind| u8::from(kind) == answer.kind),
        "wire check: the type is {kind:?}, not {}",
        answer.kind
    );
    let server = DhcpOption::ServerIdentifier(setup.server());
    let named = options.get(OptionCode::ServerIdentifier);
    assert!(named == Some(&server), "wire check: the server is {named:?}");
    for code in [
        OptionCode::RequestedIpAddress,
        OptionCode::ParameterRequestList,
        OptionCode::MaxMessageSize,
        OptionCode::OptionOverload,
    ] {
        assert!(!options.contains(code), "wire check: an answer has {code:?}");
    }
    if kind == Some(MessageType::Nak) {
        nak(&reply);
    } else {
        lease(record, &reply);
        routes(&reply);
    }
    assert!(!answer.destination.is_unspecified(), "wire check: an answer to nobody");
}

/// Header and size.
fn header(record: &Record<'_>, reply: &Message, bytes: &[u8]) {
    let asked = record.payload;
    let is_reply = reply.opcode() == Opcode::BootReply && reply.htype() == HType::Eth;
    assert!(is_reply && reply.hlen() == 6, "wire check: the answer is no reply: {reply:?}");
    assert!(reply.hops() == 0 && reply.secs() == 0, "wire check: hops or seconds are not 0");
    let copied = [4..8, 28..44, 24..28];
    let is_copied = copied.into_iter().all(|range| bytes[range.clone()] == asked[range]);
    assert!(is_copied, "wire check: xid, chaddr or giaddr is not a copy");
    let is_empty = reply.sname().is_none() && reply.fname().is_none();
    assert!(is_empty, "wire check: there is something in sname or file");
    assert!(bytes.len() >= 300, "wire check: an answer of {} bytes", bytes.len());
}

fn nak(reply: &Message) {
    let addresses = [reply.ciaddr(), reply.yiaddr(), reply.siaddr()];
    assert!(
        addresses.iter().all(std::net::Ipv4Addr::is_unspecified),
        "wire check: a NAK has the addresses {addresses:?}"
    );
    let mut codes = reply.opts().iter().map(|(code, _)| code);
    if let Some(code) = codes.find(|code| !OF_A_NAK.contains(code)) {
        panic!("wire check: a NAK has {code:?}");
    }
}

/// An address comes with a lease and timers that fit, and nothing else does.
fn lease(record: &Record<'_>, reply: &Message) {
    let seconds = |code| match reply.opts().get(code) {
        Some(
            DhcpOption::AddressLeaseTime(seconds)
            | DhcpOption::Renewal(seconds)
            | DhcpOption::Rebinding(seconds),
        ) => Some(*seconds),
        _ => None,
    };
    let lease = seconds(OptionCode::AddressLeaseTime);
    let has_address = reply.yiaddr() == ADDRESS;
    assert!(
        has_address || reply.yiaddr().is_unspecified(),
        "wire check: {} is handed out",
        reply.yiaddr()
    );
    assert!(lease.is_some() == has_address, "wire check: an address without a lease, or a lease");
    let renewal = seconds(OptionCode::Renewal).unwrap_or(0);
    let rebinding = seconds(OptionCode::Rebinding).unwrap_or(u32::MAX);
    let is_ordered = renewal < rebinding && lease.is_none_or(|lease| renewal < lease);
    let rebinds = seconds(OptionCode::Rebinding).is_none_or(|rebinding| Some(rebinding) < lease);
    assert!(is_ordered && rebinds, "wire check: {renewal}, {rebinding} and {lease:?} in order");
    let ciaddr = &record.payload[12..16];
    let is_ours = reply.ciaddr().is_unspecified() || reply.ciaddr().octets() == *ciaddr;
    assert!(is_ours, "wire check: ciaddr is {}", reply.ciaddr());
}

/// Routes are networks, one of them is the default route, and routers are on the link before
/// they are used.
fn routes(reply: &Message) {
    let Some(routes) = reply.opts().get(OptionCode::ClasslessStaticRoute) else { return };
    let DhcpOption::ClasslessStaticRoute(routes) = routes else {
        panic!("wire check: routes are {routes:?}")
    };
    let has_default = routes.iter().any(|(network, _)| network.prefix_len() == 0);
    assert!(has_default, "wire check: there is no default route");
    let is_first = routes.first().is_some_and(|(_, router)| router.is_unspecified());
    assert!(is_first, "wire check: the first route is not on the link");
}
