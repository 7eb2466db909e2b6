//! What a frame of a client is for, as far as the core can read it.

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::ethernet::{Frame, ether_type};
use vhost_fuzz_core::net::{arp, dhcp, dhcpv6, icmpv6, ipv4, ipv6, udp};

/// The kernel completes the checksums of what it gives to a TAP device.
pub(super) const COMPLETE: Transport = Transport::Complete;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The target that knows it.
    pub(super) target: &'static str,
    /// A word for the names of seeds.
    pub(super) name: &'static str,
    /// It asks for an echo, which says nothing about the client.
    pub(super) is_echo: bool,
}

/// ICMP: an echo request, and that nobody listens.
const ECHO: u8 = 8;
const UNREACHABLE: u8 = 3;

/// `ICMPv6`: that nobody listens (RFC 4443), and which groups a station wants (RFC 3810).
const UNREACHABLE_V6: u8 = 1;
const LISTENER_REPORT: u8 = 143;

impl Kind {
    /// `None` when no target knows such frames.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let frame = Frame::parse(bytes).ok()?;
        match frame.ether_type {
            ether_type::ARP => Some(Self::new("arp", request(frame.payload))),
            ether_type::IPV4 => Self::of_ipv4(frame.payload),
            ether_type::IPV6 => Self::of_ipv6(frame.payload),
            _ => None,
        }
    }

    fn new(target: &'static str, name: &'static str) -> Self {
        Self { target, name, is_echo: name == "ping" }
    }

    fn of_ipv4(bytes: &[u8]) -> Option<Self> {
        let packet = ipv4::Packet::parse(bytes).ok()?;
        if packet.protocol != ipv4::protocol::UDP {
            let name = match packet.payload.first() {
                Some(&ECHO) => "ping",
                Some(&UNREACHABLE) => "unreachable",
                _ => "packet",
            };
            return Some(Self::new("arp", name));
        }
        let datagram = udp::Datagram::parse(&packet, COMPLETE).ok()?;
        (datagram.destination_port == dhcp::SERVER_PORT)
            .then(|| Self::new("dhcp", message(&packet, datagram.payload)))
    }

    fn of_ipv6(bytes: &[u8]) -> Option<Self> {
        let packet = ipv6::Packet::parse(bytes).ok()??;
        if packet.protocol != ipv6::protocol::UDP {
            return Some(Self::new("ndp", icmpv6(&packet)));
        }
        let datagram = ipv6::udp::Datagram::parse(&packet, COMPLETE).ok()?;
        (datagram.destination_port == dhcpv6::SERVER_PORT)
            .then(|| Self::new("dhcpv6", message_v6(datagram.payload)))
    }

    /// The word for a person.
    pub(super) fn shows(&self) -> String {
        self.name.replace('-', " ")
    }
}

fn request(bytes: &[u8]) -> &'static str {
    match arp::Packet::parse(bytes) {
        Ok(packet) if packet.is_probe() => "probe",
        Ok(packet) if packet.is_announcement() => "announcement",
        Ok(packet) if packet.operation == arp::operation::REQUEST => "request",
        Ok(_) => "reply",
        Err(_) => "packet",
    }
}

fn message(packet: &ipv4::Packet<'_>, payload: &[u8]) -> &'static str {
    use dhcp::kind::{DECLINE, DISCOVER, INFORM, RELEASE, REQUEST};

    let Ok(message) = dhcp::Message::parse(payload) else { return "message" };
    match message.kind {
        DISCOVER => "discover",
        REQUEST if message.server.is_some() => "selecting",
        REQUEST if message.ciaddr.is_unspecified() => "rebooting",
        REQUEST if packet.destination.is_broadcast() => "rebinding",
        REQUEST => "renewing",
        DECLINE => "decline",
        RELEASE => "release",
        INFORM => "inform",
        _ => "message",
    }
}

fn icmpv6(packet: &ipv6::Packet<'_>) -> &'static str {
    use icmpv6::kind::{
        ECHO_REQUEST, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION, ROUTER_SOLICITATION,
    };

    match packet.payload.first() {
        Some(&ECHO_REQUEST) => "ping",
        Some(&ROUTER_SOLICITATION) => "router-solicitation",
        Some(&NEIGHBOR_SOLICITATION) if packet.source.is_unspecified() => "probe",
        Some(&NEIGHBOR_SOLICITATION) => "neighbor-solicitation",
        Some(&NEIGHBOR_ADVERTISEMENT) => "neighbor-advertisement",
        Some(&LISTENER_REPORT) => "listener-report",
        Some(&UNREACHABLE_V6) => "unreachable",
        _ => "packet",
    }
}

fn message_v6(payload: &[u8]) -> &'static str {
    use dhcpv6::kind;

    match payload.first() {
        Some(&kind::SOLICIT) => "solicit",
        Some(&kind::REQUEST) => "request",
        Some(&kind::CONFIRM) => "confirm",
        Some(&kind::RENEW) => "renew",
        Some(&kind::REBIND) => "rebind",
        Some(&kind::RELEASE) => "release",
        Some(&kind::DECLINE) => "decline",
        Some(&kind::INFORMATION_REQUEST) => "information-request",
        _ => "message",
    }
}
