//! A gateway: a frame of the guest in, at most one frame out.
//!
//! It answers for its own addresses on one port, and gives the guest an address: ARP, echoes and
//! DHCP over IPv4; neighbour discovery, echoes and `DHCPv6` over IPv6. It forwards nothing.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use arrayvec::ArrayVec;

use super::checksum::Transport;
use super::ethernet::{self, Frame, LinkError, ether_type};
use super::rate::Limiter;
use super::{Mac, arp, dhcp, dhcpv6, icmp, ipv4, ipv6, ndp, udp};
use crate::rule::Rule;

/// The Ethernet address of the gateway, unless it is configured.
pub const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// The IPv4 address of the gateway, unless it is configured.
pub const GATEWAY_IP: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);

/// The IPv6 address of the gateway, unless it is configured.
pub const GATEWAY_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What a gateway does. What is not configured is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its addresses, and those of the guest.
    pub arp: arp::Config,
    /// Most bytes of an IPv4 packet to the guest.
    pub mtu: u16,
    /// The address that the guest gets.
    pub dhcp: Option<dhcp::Config>,
    /// Its IPv6 addresses, and what it advertises.
    pub ndp: Option<ndp::Config>,
    /// The IPv6 address that the guest gets.
    pub dhcpv6: Option<dhcpv6::Config>,
    /// How often it answers (L2-013).
    pub limiter: Limiter,
}

impl Config {
    /// A gateway at [`GATEWAY_IP`] and [`GATEWAY_IPV6`] that answers with `mac`, for a guest that
    /// gets `address` if there is one.
    #[must_use]
    pub fn new(mac: Mac, address: Option<Ipv4Addr>) -> Self {
        let owned = |address| {
            let mut owned = ArrayVec::new();
            owned.push(address);
            owned
        };
        let arp = arp::Config {
            mac,
            owned: owned(GATEWAY_IP),
            guest: address.into_iter().collect(),
            ..arp::Config::default()
        };
        let router = ndp::Router { lifetime: 1800, ..ndp::Router::default() };
        let mut addresses = ArrayVec::new();
        addresses.push(GATEWAY_IPV6);
        let ndp = ndp::Config {
            mac,
            addresses,
            guest: ArrayVec::new(),
            proxy: false,
            router: Some(router),
        };
        Self {
            arp,
            mtu: 1500,
            dhcp: address.map(|address| dhcp::Config::new(address, GATEWAY_IP)),
            ndp: Some(ndp),
            dhcpv6: None,
            limiter: Limiter::default(),
        }
    }
}

/// A gateway on one port.
#[derive(Clone, Debug)]
pub struct Gateway {
    mac: Mac,
    arp: arp::Responder,
    icmp: icmp::Responder,
    dhcp: Option<dhcp::Server>,
    ndp: Option<ndp::Responder>,
    dhcpv6: Option<dhcpv6::Server>,
    limiter: Limiter,
}

impl Gateway {
    /// A gateway that has answered nothing yet.
    ///
    /// # Errors
    /// Which part of it cannot be.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let Config { arp, mtu, dhcp, ndp, dhcpv6, limiter } = config;
        let mac = arp.mac;
        let icmp = icmp::Responder { mac, owned: arp.owned.clone(), mtu };
        let dhcp = dhcp.map(dhcp::Server::new).transpose().map_err(ConfigError::Dhcp)?;
        let ndp = ndp.map(ndp::Responder::new).transpose().map_err(ConfigError::Ndp)?;
        let dhcpv6 = dhcpv6.map(dhcpv6::Server::new).transpose().map_err(ConfigError::Dhcpv6)?;
        let arp = arp::Responder::new(arp).map_err(ConfigError::Arp)?;
        Ok(Self { mac, arp, icmp, dhcp, ndp, dhcpv6, limiter })
    }

    /// Answers a frame that came at `now_ms`, in milliseconds of any steady clock. Writes the
    /// reply, a whole frame, to the front of `out`, and gives its bytes; `None` when nothing is
    /// asked of a gateway.
    ///
    /// # Errors
    /// The rule that the frame breaks, or that it is one too many.
    #[inline]
    pub fn answer(
        &mut self,
        bytes: &[u8],
        transport: Transport,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, GatewayError> {
        if !self.limiter.allows(now_ms) {
            return Err(GatewayError::TooMany); // L2-013
        }
        let frame = Frame::parse(bytes).map_err(GatewayError::Link)?;
        let answer = match frame.ether_type {
            ether_type::ARP => self.arp(&frame, now_ms, out),
            ether_type::IPV4 => self.ipv4(&frame, transport, now_ms, out),
            ether_type::IPV6 => self.ipv6(&frame, transport, now_ms, out),
            _ => Ok(None),
        };
        if let Ok(Some(_)) = answer {
            self.limiter.spend();
        }
        answer
    }

    #[inline]
    fn arp(
        &mut self,
        frame: &Frame<'_>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, GatewayError> {
        match self.arp.answer(frame, now_ms, out).map_err(GatewayError::Arp)? {
            arp::Answer::Reply { len } | arp::Answer::Defence { len } => Ok(Some(len)),
            arp::Answer::Silent(_) => Ok(None),
        }
    }

    fn ipv4(
        &mut self,
        frame: &Frame<'_>,
        transport: Transport,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, GatewayError> {
        if !frame.destination.is_group() && frame.destination != self.mac {
            return Ok(None);
        }
        let packet = ipv4::Packet::parse(frame.payload).map_err(GatewayError::Packet)?;
        match packet.protocol {
            ipv4::protocol::ICMP => {
                let answer = self.icmp.answer(frame, &packet, transport, out);
                match answer.map_err(GatewayError::Echo)? {
                    icmp::Answer::Reply { len } => Ok(Some(len)),
                    icmp::Answer::Silent => Ok(None),
                }
            }
            ipv4::protocol::UDP => {
                let datagram =
                    udp::Datagram::parse(&packet, transport).map_err(GatewayError::Datagram)?;
                self.dhcp(frame, &packet, &datagram, now_ms, out)
            }
            _ => Ok(None),
        }
    }

    fn dhcp(
        &mut self,
        frame: &Frame<'_>,
        packet: &ipv4::Packet<'_>,
        datagram: &udp::Datagram<'_>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, GatewayError> {
        let Some(server) = &mut self.dhcp else { return Ok(None) };
        let request = dhcp::Request {
            payload: datagram.payload,
            ethernet_source: frame.source,
            source: packet.source,
            destination: packet.destination,
            port: datagram.destination_port,
        };
        let link_len = ethernet::header_len(frame.tag);
        let headers = link_len.saturating_add(udp::HEADROOM);
        let room = out.len();
        let none = GatewayError::NoRoom { needed: headers, room };
        let payload = out.get_mut(headers..).ok_or(none)?;
        let answer = match server.handle(&request, now_ms, payload).map_err(GatewayError::Dhcp)? {
            dhcp::Outcome::Answer(answer) => answer,
            dhcp::Outcome::Silent(_) => return Ok(None),
        };
        let from = SocketAddrV4::new(server.config().server, dhcp::SERVER_PORT);
        let to = SocketAddrV4::new(answer.destination, answer.port);
        let none = GatewayError::NoRoom { needed: headers.saturating_add(answer.len), room };
        let (mac, tag) = (self.mac, frame.tag);
        ethernet::write_header(out, answer.mac, mac, tag, ether_type::IPV4)
            .and_then(|packet| udp::write_headers(packet, from, to, answer.len))
            .map(|len| Some(len.saturating_add(link_len)))
            .ok_or(none)
    }

    fn ipv6(
        &mut self,
        frame: &Frame<'_>,
        transport: Transport,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, GatewayError> {
        let packet = ipv6::Packet::parse(frame.payload).map_err(GatewayError::Ipv6)?;
        let Some(packet) = packet else { return Ok(None) };
        match (packet.protocol, &mut self.ndp, &mut self.dhcpv6) {
            (ipv6::protocol::ICMPV6, Some(responder), _) => {
                responder.answer(frame, &packet, transport, now_ms, out).map_err(GatewayError::Ndp)
            }
            (ipv6::protocol::UDP, _, Some(server)) => {
                server.answer(frame, &packet, transport, now_ms, out).map_err(GatewayError::Dhcpv6)
            }
            _ => Ok(None),
        }
    }
}

/// Why a frame is not answered that should not have come so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayError {
    /// One too many for now.
    TooMany,
    /// Ethernet.
    Link(LinkError),
    /// ARP.
    Arp(arp::ArpError),
    /// IPv4.
    Packet(ipv4::PacketError),
    /// UDP.
    Datagram(udp::DatagramError),
    /// An echo.
    Echo(icmp::EchoError),
    /// DHCP.
    Dhcp(dhcp::DhcpError),
    /// The reply does not fit into what there is for it.
    NoRoom {
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that there are.
        room: usize,
    },
    /// IPv6.
    Ipv6(ipv6::Ipv6Error),
    /// Neighbour discovery, or an echo.
    Ndp(ndp::RespondError),
    /// `DHCPv6`.
    Dhcpv6(dhcpv6::Dhcpv6Error),
}

impl GatewayError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::TooMany => Rule::l2(13),
            Self::Link(error) => error.rule(),
            Self::Arp(error) => error.rule(),
            Self::Packet(error) => error.rule(),
            Self::Datagram(error) => error.rule(),
            Self::Echo(error) => error.rule(),
            Self::Dhcp(error) => error.rule(),
            Self::NoRoom { .. } => Rule::l2(6),
            Self::Ipv6(error) => error.rule(),
            Self::Ndp(error) => error.rule(),
            Self::Dhcpv6(error) => error.rule(),
        }
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "too many frames are answered already: {}", self.rule()),
            Self::Link(error) => error.fmt(f),
            Self::Arp(error) => error.fmt(f),
            Self::Packet(error) => error.fmt(f),
            Self::Datagram(error) => error.fmt(f),
            Self::Echo(error) => error.fmt(f),
            Self::Dhcp(error) => error.fmt(f),
            Self::NoRoom { needed, room } => {
                write!(f, "a reply of {needed} bytes does not fit into {room}: {}", self.rule())
            }
            Self::Ipv6(error) => error.fmt(f),
            Self::Ndp(error) => error.fmt(f),
            Self::Dhcpv6(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for GatewayError {}

/// Why there can be no such gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Its addresses.
    Arp(arp::ConfigError),
    /// What the guest gets.
    Dhcp(dhcp::ConfigError),
    /// Its IPv6 addresses, or what it advertises.
    Ndp(ndp::ConfigError),
    /// What the guest gets over IPv6.
    Dhcpv6(dhcpv6::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arp(error) => error.fmt(f),
            Self::Dhcp(error) => error.fmt(f),
            Self::Ndp(error) => error.fmt(f),
            Self::Dhcpv6(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const LEASE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn gateway() -> Gateway {
        Gateway::new(Config::new(GATEWAY_MAC, Some(LEASE))).unwrap()
    }

    fn frame(destination: Mac, ether_type: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ethernet::HEADER_LEN + payload.len()];
        let rest =
            ethernet::write_header(&mut bytes, destination, GUEST, None, ether_type).unwrap();
        rest.copy_from_slice(payload);
        bytes
    }

    fn ask(gateway: &mut Gateway, bytes: &[u8]) -> Result<Option<Vec<u8>>, GatewayError> {
        let mut out = [0xaa; 2048];
        let len = gateway.answer(bytes, Transport::Complete, 0, &mut out)?;
        Ok(len.map(|len| out[..len].to_vec()))
    }

    fn datagram(to: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; udp::HEADROOM];
        bytes.extend(payload);
        let source = if to == dhcp::SERVER_PORT { Ipv4Addr::UNSPECIFIED } else { LEASE };
        let from = SocketAddrV4::new(source, dhcp::CLIENT_PORT);
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, to);
        udp::write_headers(&mut bytes, from, to, payload.len()).unwrap();
        frame(Mac::BROADCAST, ether_type::IPV4, &bytes)
    }

    fn discover() -> Vec<u8> {
        let mut message = vec![0; 300];
        message[..4].copy_from_slice(&[1, 1, 6, 0]);
        message[28..34].copy_from_slice(&GUEST.0);
        message[236..244].copy_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]);
        message
    }

    #[test]
    fn who_has_the_gateway_is_answered() {
        let [o0, o1, o2, o3] = LEASE.octets();
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
        packet.extend(GUEST.0);
        packet.extend([o0, o1, o2, o3, 0, 0, 0, 0, 0, 0]);
        packet.extend(GATEWAY_IP.octets());
        let request = frame(Mac::BROADCAST, ether_type::ARP, &packet);
        let reply = ask(&mut gateway(), &request).unwrap().unwrap();
        let reply = Frame::parse(&reply).unwrap();
        assert_eq!((reply.destination, reply.source), (GUEST, GATEWAY_MAC));
        assert_eq!(reply.payload[6..8], [0, 2]);
    }

    #[test]
    fn a_guest_is_offered_its_address() {
        let request = datagram(dhcp::SERVER_PORT, &discover());
        let reply = ask(&mut gateway(), &request).unwrap().unwrap();
        let reply = Frame::parse(&reply).unwrap();
        let packet = ipv4::Packet::parse(reply.payload).unwrap();
        let datagram = udp::Datagram::parse(&packet, Transport::Complete).unwrap();
        assert_eq!((packet.source, packet.destination), (GATEWAY_IP, LEASE));
        assert_eq!((datagram.source_port, datagram.destination_port), (67, 68));
        assert_eq!(datagram.payload[16..20], LEASE.octets());
    }

    #[test]
    fn what_is_not_asked_of_it_is_not_answered() {
        let gateway = &mut gateway();
        assert_eq!(ask(gateway, &datagram(53, &[0; 12])), Ok(None));
        assert_eq!(ask(gateway, &frame(Mac::BROADCAST, 0x88cc, &[0; 40])), Ok(None));
        let mut without = Config::new(GATEWAY_MAC, None);
        without.ndp = None;
        let without = &mut Gateway::new(without).unwrap();
        assert_eq!(ask(without, &datagram(dhcp::SERVER_PORT, &discover())), Ok(None));
        let error = ask(gateway, &[0; 3]).unwrap_err();
        assert_eq!(error.rule(), Rule::l2(1));
    }

    #[test]
    fn there_is_an_end_to_answering() {
        let mut config = Config::new(GATEWAY_MAC, Some(LEASE));
        config.limiter = Limiter::new(1, 2);
        let gateway = &mut Gateway::new(config).unwrap();
        let request = datagram(dhcp::SERVER_PORT, &discover());
        for _ in 0..2 {
            assert!(ask(gateway, &request).unwrap().is_some());
        }
        assert_eq!(ask(gateway, &request), Err(GatewayError::TooMany));
        let mut out = [0; 2048];
        let later = gateway.answer(&request, Transport::Complete, 1000, &mut out);
        assert!(matches!(later, Ok(Some(_))));
    }

    #[test]
    fn a_reply_that_does_not_fit_is_none() {
        let request = datagram(dhcp::SERVER_PORT, &discover());
        for room in [0, 41, 300] {
            let mut out = vec![0; room];
            let answer = gateway().answer(&request, Transport::Complete, 0, &mut out);
            assert!(answer.is_err(), "{room}: {answer:?}");
        }
    }
}
