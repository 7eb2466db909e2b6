//! Frames in the making. Whoever drafts one can get any part of it wrong.

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::icmpv6::kind;
use vhost_fuzz_core::net::ipv6::{ALL_ROUTERS, group_mac, protocol};
use vhost_fuzz_model::net::{ethernet, ipv6};

use super::{GATEWAY_MAC, GUEST_MAC};

/// A frame with an IPv6 packet. Its lengths and checksum are right, unless `spoil` or the bytes
/// themselves say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Ethernet destination.
    pub destination_mac: Mac,
    /// Ethernet source.
    pub source_mac: Mac,
    /// Protocol and control of a tag.
    pub tag: Option<(u16, u16)>,
    /// IPv6 source.
    pub source: Ipv6Addr,
    /// IPv6 destination.
    pub destination: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
    /// Extension headers: the kind of each, and its bytes without the first, which is what
    /// follows.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// What the payload is.
    pub protocol: u8,
    /// The message, with any checksum.
    pub payload: Vec<u8>,
    /// Bits of the checksum that are wrong.
    pub spoil: u16,
}

impl Draft {
    /// An `ICMPv6` message from the guest.
    #[must_use]
    pub fn icmp(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Self {
        let is_group = destination.is_multicast();
        Self {
            destination_mac: if is_group { group_mac(destination) } else { GATEWAY_MAC },
            source_mac: GUEST_MAC,
            tag: None,
            source,
            destination,
            hop_limit: 255,
            extensions: Vec::new(),
            protocol: protocol::ICMPV6,
            payload: message.to_vec(),
            spoil: 0,
        }
    }

    /// A UDP datagram from the guest.
    #[must_use]
    pub fn udp(source: Ipv6Addr, destination: Ipv6Addr, ports: [u16; 2], payload: &[u8]) -> Self {
        let len = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
        let header = [ports[0], ports[1], len, 0].map(u16::to_be_bytes).concat();
        let protocol = protocol::UDP;
        let payload = [&header, payload].concat();
        Self { protocol, payload, ..Self::icmp(source, destination, &[]) }
    }

    /// Who has `target`? With the link-layer address of the guest, if `link`.
    #[must_use]
    pub fn neighbor(source: Ipv6Addr, destination: Ipv6Addr, target: Ipv6Addr, link: bool) -> Self {
        let mut message = vec![kind::NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.octets());
        if link {
            message.extend(link_option(1, GUEST_MAC));
        }
        Self::icmp(source, destination, &message)
    }

    /// Who is a router?
    #[must_use]
    pub fn router(source: Ipv6Addr) -> Self {
        Self::icmp(source, ALL_ROUTERS, &[kind::ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Are you there?
    #[must_use]
    pub fn echo(source: Ipv6Addr, destination: Ipv6Addr, data: &[u8]) -> Self {
        let message = [&[kind::ECHO_REQUEST, 0, 0, 0, 0x12, 0x34, 0, 1], data].concat();
        Self { hop_limit: 64, ..Self::icmp(source, destination, &message) }
    }

    /// The same behind one more extension header of these bytes, without the first.
    #[must_use]
    pub fn behind(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.extensions.push((kind, bytes.to_vec()));
        self
    }

    /// Its bytes.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut bytes = [self.destination_mac.0, self.source_mac.0].concat();
        if let Some((protocol, control)) = self.tag {
            bytes.extend(protocol.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        bytes.extend([0x86, 0xdd]);
        let (source, destination) = (self.source.octets(), self.destination.octets());
        let mut next = self.protocol;
        let mut rest = Vec::new();
        for (kind, body) in self.extensions.iter().rev() {
            rest = [&[next], &body[..], &rest].concat();
            next = *kind;
        }
        let mut payload = self.payload.clone();
        if let Some(at) = checksum_at(self.protocol, &payload) {
            payload[at..at + 2].fill(0);
            let sum = ipv6::checksum(&source, &destination, self.protocol, &payload);
            let sum = if sum == 0 { 0xffff } else { sum } ^ self.spoil;
            payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        rest.extend(payload);
        bytes.extend(ipv6::build(&source, &destination, self.hop_limit, next, &rest));
        bytes
    }
}

/// An option with a link-layer address.
#[must_use]
pub fn link_option(option: u8, mac: Mac) -> Vec<u8> {
    [&[option, 1], &mac.0[..]].concat()
}

/// Where a message has its checksum.
fn checksum_at(protocol: u8, message: &[u8]) -> Option<usize> {
    let at = match protocol {
        protocol::ICMPV6 => 2,
        protocol::UDP => 6,
        _ => return None,
    };
    (at + 2 <= message.len()).then_some(at)
}

/// Makes the length of an IPv6 packet, and of a UDP datagram right behind its header, those of the
/// bytes that there are.
pub fn relength(frame: &mut [u8]) {
    let Ok(parsed) = ethernet::frame(frame) else { return };
    let (start, end) = parsed.payload;
    let Some(len) = (end - start).checked_sub(40) else { return };
    let len = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    frame[start + 4..start + 6].copy_from_slice(&len);
    if frame[start + 6] == protocol::UDP && end - start >= 48 {
        frame[start + 44..start + 46].copy_from_slice(&len);
    }
}

/// Makes the checksum of a frame right, wherever it is; whether there is one.
pub fn reseal(frame: &mut [u8]) -> bool {
    let Ok(parsed) = ethernet::frame(frame) else { return false };
    let (start, end) = parsed.payload;
    let Ok(Some(packet)) = ipv6::packet(&frame[start..end]) else { return false };
    let Some(at) = checksum_at(packet.protocol, &packet.payload) else { return false };
    let len = usize::from(u16::from_be_bytes([frame[start + 4], frame[start + 5]]));
    let message = start + 40 + len - packet.payload.len();
    frame[message + at..message + at + 2].fill(0);
    let payload = &frame[message..start + 40 + len];
    let sum = ipv6::checksum(&packet.source, &packet.destination, packet.protocol, payload);
    let sum = if sum == 0 { 0xffff } else { sum };
    frame[message + at..message + at + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_frame_is_that_of_the_draft() {
        let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
        for draft in [
            Draft::router(address),
            Draft::echo(address, ALL_ROUTERS, &[7; 5]).behind(60, &[0, 1, 4, 0, 0, 0, 0]),
            Draft::udp(address, ALL_ROUTERS, [546, 547], &[1, 2, 3]),
        ] {
            let whole = draft.frame();
            let mut spoiled = Draft { spoil: 0x55, ..draft }.frame();
            assert_ne!(spoiled, whole);
            assert!(reseal(&mut spoiled));
            assert_eq!(spoiled, whole);
        }
        assert!(!reseal(&mut [0; 60]));
    }
}
