//! What real clients sent, replayed on a fresh gateway: each frame is legal and gets the answer of
//! its kind, as other people's parsers read it, and each client comes to what is configured.

#![cfg(feature = "peer-net")]

mod dhcp;
mod dhcpv6;
mod ipv4;
mod ndp;

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::gateway::Gateway;
use vhost_fuzz_harness::clients::{CLIENT_MAC, Recording, config, is_of_client, recordings};
use vhost_fuzz_harness::{corpus, evidence};

/// A frame of a client, and what it is answered.
struct Exchange {
    sent: Vec<u8>,
    reply: Option<Vec<u8>>,
}

impl Exchange {
    fn ether_type(&self) -> u16 {
        u16::from_be_bytes([self.sent[12], self.sent[13]])
    }
}

/// Gives what a client sent to a gateway that has answered nothing yet, at the same times.
fn replay(recording: &Recording) -> Vec<Exchange> {
    let mut gateway = Gateway::new(config()).expect("a gateway");
    let mut out = [0; 2048];
    let mut exchanges = Vec::new();
    for frame in recording.sent() {
        let said = gateway.answer(&frame.bytes, Transport::Complete, frame.at_ms, &mut out);
        let len = said.unwrap_or_else(|error| {
            panic!("{} at {} ms: {error}: {:02x?}", recording.name, frame.at_ms, frame.bytes)
        });
        let reply = len.map(|len| out[..len].to_vec());
        exchanges.push(Exchange { sent: frame.bytes.clone(), reply });
    }
    exchanges
}

fn replays() -> Vec<(String, Vec<Exchange>)> {
    let recordings = recordings(&corpus::root()).expect("recordings");
    recordings.iter().map(|recording| (recording.name.clone(), replay(recording))).collect()
}

/// Clients, and what they say to the servers over IPv4 and IPv6 and are told.
const CLIENTS: [(&str, &str, &str); 8] = [
    (
        "dhclient",
        "Discover:Offer Request:Ack Request:Ack Release:-",
        "Solicit:Advertise Request:Reply Renew:Reply Release:Reply",
    ),
    (
        "dhcpcd",
        "Discover:Offer Request:Ack Request:Ack Release:-",
        "Solicit:Advertise Request:Reply Renew:Reply Release:Reply",
    ),
    ("dibbler", "", "Solicit:Advertise Request:Reply Renew:Reply Release:Reply"),
    ("ipxe", "Discover:Offer Discover:Offer Request:Ack", "Solicit:Advertise Request:Reply"),
    (
        "networkd",
        "Discover:Offer Request:Ack Request:Ack Release:-",
        "Solicit:Advertise Request:Reply Rebind:Reply",
    ),
    ("tools", "", ""),
    ("udhcpc", "Discover:Offer Request:Ack Request:Ack Release:-", ""),
    ("wide-dhcpv6", "", "Solicit:Advertise Request:Reply Renew:Reply Release:Reply"),
];

#[test]
fn every_frame_of_a_client_gets_the_answer_of_its_kind() {
    let _shows = evidence::shows(&[
        "AR-002", "AR-003", "AR-004", "AR-005", "AR-006", "AR-013", "DH-011", "DH-045", "V6-002",
        "V6-004", "V6-005", "V6-007",
    ]);
    for (name, exchanges) in replays() {
        assert!(!exchanges.is_empty(), "{name}");
        for exchange in &exchanges {
            if let Some(reply) = &exchange.reply {
                assert!(!is_of_client(reply), "{name}: an answer of the client");
                let to = &reply[..6];
                assert!(to == CLIENT_MAC.0 || to[0] & 1 == 1, "{name}: an answer to {to:02x?}");
            }
            match exchange.ether_type() {
                0x0800 | 0x0806 => ipv4::check(exchange),
                0x86dd => ndp::check(exchange),
                other => assert_eq!(exchange.reply, None, "{name}: {other:#06x}"),
            }
        }
    }
}

#[test]
fn every_client_comes_to_what_is_configured_keeps_it_and_gives_it_back() {
    let replays = replays();
    let names: Vec<_> = replays.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, CLIENTS.map(|(name, ..)| name));
    for ((name, exchanges), (_, v4, v6)) in replays.iter().zip(CLIENTS) {
        let said: Vec<_> = exchanges.iter().filter_map(dhcp::said).collect();
        assert_eq!(said.join(" "), v4, "{name}");
        let said: Vec<_> = exchanges.iter().filter_map(dhcpv6::said).collect();
        assert_eq!(said.join(" "), v6, "{name}");
    }
}
