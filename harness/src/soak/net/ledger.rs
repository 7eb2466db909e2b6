//! Requests of a guest, and the answers that are due.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use dhcproto::v4;
use fastrand::Rng;

use super::report::Fault;
use crate::guest::parse::{ArpReply, DhcpResponse};
use crate::guest::{GATEWAY_IP, GATEWAY_IPV6, GATEWAY_MAC, packet, parse};

/// The Ethernet address of the guest.
pub(super) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// What DHCP gives to it.
pub(super) const IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// Most bytes of an echo in a packet of 1500 bytes.
const ECHO_MAX: usize = 1500 - 20 - 8;

/// An answer, as other people's parsers read it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Arp(ArpReply),
    Echo(Vec<u8>),
    Dhcp(Box<DhcpResponse>),
    Neighbor(Ipv6Addr, Option<[u8; 6]>),
    EchoV6(Vec<u8>),
}

impl Answer {
    /// The answer in a frame of the gateway to the guest.
    fn read(frame: &[u8]) -> Option<Self> {
        let addresses = frame.first_chunk::<12>()?;
        if addresses[..6] != MAC || addresses[6..] != GATEWAY_MAC {
            return None;
        }
        if let Some(reply) = parse::arp_reply(frame) {
            return Some(Self::Arp(reply));
        }
        if let Some(data) = parse::echo_reply(frame) {
            return Some(Self::Echo(data));
        }
        if let Some(response) = parse::dhcp_response(frame) {
            // How long a packet may be is the device's to say.
            return Some(Self::Dhcp(Box::new(DhcpResponse { mtu: None, ..response })));
        }
        if let Some((target, mac)) = parse::neighbor_advertisement(frame) {
            return Some(Self::Neighbor(target, mac));
        }
        parse::echo_reply_v6(frame).map(Self::EchoV6)
    }
}

/// Of echoes, as much as tells them apart.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arp(reply) => reply.fmt(f),
            Self::Dhcp(response) => response.fmt(f),
            Self::Neighbor(target, mac) => write!(f, "{target} is at {mac:02x?}"),
            Self::Echo(data) | Self::EchoV6(data) => {
                let front = &data[..data.len().min(8)];
                write!(f, "echo of {} bytes {front:02x?}", data.len())
            }
        }
    }
}

/// What DHCP says to the guest.
fn lease(kind: v4::MessageType, xid: u32) -> Answer {
    let on_link = Ipv4Addr::UNSPECIFIED;
    Answer::Dhcp(Box::new(DhcpResponse {
        kind,
        xid,
        address: IP,
        server: Some(GATEWAY_IP),
        mask: Some(Ipv4Addr::BROADCAST),
        routers: vec![GATEWAY_IP],
        dns: vec![Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(8, 8, 8, 8)],
        routes: vec![(GATEWAY_IP, 32, on_link), (on_link, 0, GATEWAY_IP)],
        lease: Some(86400),
        mtu: None,
    }))
}

/// Data that no other echo of the front-end has.
fn data(number: u32, rng: &mut Rng) -> Vec<u8> {
    let len = if rng.u8(..4) == 0 { ECHO_MAX } else { rng.usize(4..256) };
    let mut data = vec![rng.u8(..); len];
    data[..4].copy_from_slice(&number.to_be_bytes());
    data
}

/// A request that a gateway answers, and the answer.
fn request(number: u32, rng: &mut Rng) -> (Vec<u8>, Answer) {
    match rng.u8(..8) {
        0 | 1 => {
            let (sender_mac, target_mac) = (GATEWAY_MAC, MAC);
            let reply = ArpReply { sender_mac, sender: GATEWAY_IP, target_mac, target: IP };
            (packet::arp_request(MAC, IP, GATEWAY_IP), Answer::Arp(reply))
        }
        2 => (packet::dhcp_discover(MAC, number), lease(v4::MessageType::Offer, number)),
        3 => {
            let request = packet::dhcp_request(MAC, number, IP, GATEWAY_IP);
            (request, lease(v4::MessageType::Ack, number))
        }
        4 => {
            let request = packet::neighbor_solicitation(MAC, GATEWAY_IPV6);
            (request, Answer::Neighbor(GATEWAY_IPV6, Some(GATEWAY_MAC)))
        }
        5 => {
            let data = data(number, rng);
            let short = &data[..data.len().min(ECHO_MAX - 20)];
            (packet::echo_request_v6(MAC, short), Answer::EchoV6(short.to_vec()))
        }
        _ => {
            let data = data(number, rng);
            (packet::echo_request(MAC, IP, GATEWAY_IP, &data), Answer::Echo(data))
        }
    }
}

/// The answers that are due to one front-end. Each comes once.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    due: Vec<Answer>,
    requests: u32,
}

impl Ledger {
    /// A frame to be sent, whose answer is due from now on.
    pub(super) fn ask(&mut self, rng: &mut Rng) -> Vec<u8> {
        let (frame, answer) = request(self.requests, rng);
        self.requests = self.requests.wrapping_add(1);
        self.due.push(answer);
        frame
    }

    /// Crosses an answer off.
    pub(super) fn answered(&mut self, frame: &[u8]) -> Result<(), Fault> {
        let answer = Answer::read(frame);
        let found = self.due.iter().position(|due| Some(due) == answer.as_ref());
        match found {
            Some(at) => {
                self.due.swap_remove(at);
                Ok(())
            }
            None => Err(Fault::Unasked { frame: format!("{answer:?} in {frame:02x?}") }),
        }
    }

    /// Whether nothing is due.
    pub(super) fn is_settled(&self) -> bool {
        self.due.is_empty()
    }

    /// What is due still.
    pub(super) fn missing(&self) -> Fault {
        Fault::Unanswered { missing: format!("{:?}", self.due) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_and_only_if_it_is_due() {
        let reply = |data: &[u8]| {
            let mut frame = packet::echo_request(MAC, IP, GATEWAY_IP, data);
            frame[..6].copy_from_slice(&MAC);
            frame[6..12].copy_from_slice(&GATEWAY_MAC);
            frame[34] = 0; // an echo reply
            let sum = u16::from_be_bytes([frame[36], frame[37]]).wrapping_add(0x800);
            frame[36..38].copy_from_slice(&sum.to_be_bytes());
            frame
        };
        let mut ledger = Ledger { due: vec![Answer::Echo(vec![7; 8])], requests: 1 };
        assert!(ledger.answered(&reply(&[8; 8])).is_err(), "other data");
        assert_eq!(ledger.answered(&reply(&[7; 8])), Ok(()));
        assert!(ledger.is_settled());
        assert!(matches!(ledger.answered(&reply(&[7; 8])), Err(Fault::Unasked { .. })), "twice");
    }
}
