//! A gateway on one port, and the inputs of the target `arp`.
//!
//! An input is one byte of options and then records: two bytes and a frame. A last record that is
//! cut has what there is.
//!
//! | Option | Meaning |
//! |---|---|
//! | bit 0 | the ARP responder is strict (AR-011) |
//! | bit 1 | it answers for everybody but the guest |
//! | bit 2 | it broadcasts replies for link-local addresses (AR-016) |
//! | bit 3 | it defends its addresses (AR-017) |
//! | bit 4 | there is room for 64 bytes of reply, else for 2048 |
//! | bit 5 | the MTU of the guest is 128, else 1500 |
//! | bit 6 | four replies at once and one per second, else a thousand of each |
//!
//! | First bytes of a record, little-endian | Meaning |
//! |---|---|
//! | bits 0 to 13 | bytes of the frame |
//! | bit 14 | it comes ten seconds after the one before, else a millisecond |
//! | bit 15 | the device completes its checksum (`NEEDS_CSUM`) |

pub mod build;

use std::net::Ipv4Addr;

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::ethernet::{self, Frame, ether_type};
use vhost_fuzz_core::net::rate::Limiter;
use vhost_fuzz_core::net::{Mac, arp, icmp, ipv4, udp};
use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_model::net::gateway as model;

/// The Ethernet address of the gateway.
pub const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

/// The IPv4 addresses of the gateway.
pub const GATEWAYS: [[u8; 4]; 2] = [[169, 254, 0, 1], [10, 0, 0, 1]];

/// The Ethernet address of a guest that behaves.
pub const GUEST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The IPv4 addresses of the guest.
pub const LEASES: [[u8; 4]; 2] = [[192, 0, 2, 10], [192, 0, 2, 11]];

/// The port of the echo service (RFC 862).
pub const ECHO_PORT: u16 = 7;

/// Most bytes of a reply.
pub const ROOM: usize = 2048;

/// How a gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup(pub u8);

impl Setup {
    /// See the bits in the documentation of this module.
    #[must_use]
    pub const fn has(self, bit: u8) -> bool {
        self.0 >> bit & 1 != 0
    }

    /// Bytes that a reply may have.
    #[must_use]
    pub const fn room(self) -> usize {
        if self.has(4) { 64 } else { ROOM }
    }

    /// Most bytes of a packet to the guest.
    #[must_use]
    pub const fn mtu(self) -> u16 {
        if self.has(5) { 128 } else { 1500 }
    }

    /// Replies per second, and replies at once.
    #[must_use]
    pub const fn rate(self) -> (u32, u32) {
        if self.has(6) { (1, 4) } else { (1000, 1000) }
    }

    /// Whom the ARP responder answers for.
    #[must_use]
    pub fn arp(self) -> arp::Config {
        arp::Config {
            mac: Mac(GATEWAY_MAC),
            owned: GATEWAYS.into_iter().map(Ipv4Addr::from).collect(),
            guest: LEASES.into_iter().map(Ipv4Addr::from).collect(),
            is_strict: self.has(0),
            is_proxy: self.has(1),
            broadcasts: self.has(2),
            defends: self.has(3),
        }
    }

    /// The same in the words of the model.
    #[must_use]
    pub fn model(self) -> model::Gateway {
        model::Gateway::new(self.config())
    }

    /// The same, to be changed.
    #[must_use]
    pub fn config(self) -> model::Config {
        let (per_second, burst) = self.rate();
        model::Config {
            mac: GATEWAY_MAC,
            owned: GATEWAYS.to_vec(),
            guest: LEASES.to_vec(),
            strict: self.has(0),
            proxy: self.has(1),
            broadcasts: self.has(2),
            defends: self.has(3),
            mtu: self.mtu().into(),
            room: self.room(),
            burst: burst.into(),
            per_second: per_second.into(),
        }
    }
}

/// One frame of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its bytes.
    pub frame: &'a [u8],
    /// It comes ten seconds later, not a millisecond.
    pub is_late: bool,
    /// Its checksum is left to the device.
    pub is_partial: bool,
}

impl<'a> Record<'a> {
    /// A frame that comes at once and has its checksum.
    #[must_use]
    pub const fn new(frame: &'a [u8]) -> Self {
        Self { frame, is_late: false, is_partial: false }
    }

    /// Milliseconds since the frame before.
    #[must_use]
    pub const fn wait_ms(&self) -> u64 {
        if self.is_late { 10_000 } else { 1 }
    }

    /// What is known of its checksum.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        if self.is_partial { Transport::Partial } else { Transport::Complete }
    }
}

/// Most bytes of a frame in a record.
pub const FRAME_MAX: usize = 0x3fff;

/// Takes an input apart. Every input is one.
#[must_use]
pub fn decode(bytes: &[u8]) -> (Setup, Vec<Record<'_>>) {
    let Some((options, mut rest)) = bytes.split_first() else { return (Setup(0), Vec::new()) };
    let mut records = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk() {
        let head = u16::from_le_bytes(*head);
        let len = usize::from(head & 0x3fff).min(behind.len());
        let (frame, behind) = behind.split_at(len);
        let record = Record { frame, is_late: head & 0x4000 != 0, is_partial: head & 0x8000 != 0 };
        records.push(record);
        rest = behind;
    }
    (Setup(*options), records)
}

/// The input of these records; a frame of more than [`FRAME_MAX`] bytes is cut.
#[must_use]
pub fn encode(setup: Setup, records: &[Record<'_>]) -> Vec<u8> {
    let mut bytes = vec![setup.0];
    for record in records {
        let frame = record.frame.get(..FRAME_MAX).unwrap_or(record.frame);
        let len = u16::try_from(frame.len()).unwrap_or(0);
        let flags = u16::from(record.is_late) << 14 | u16::from(record.is_partial) << 15;
        bytes.extend((len | flags).to_le_bytes());
        bytes.extend(frame);
    }
    bytes
}

/// What a gateway says to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// So many bytes at the front of what it was given.
    Reply(usize),
    /// Nothing: this rule wants it so.
    Silent(Rule),
    /// Nothing: the frame breaks this rule, or the reply would.
    Refused(Rule),
}

/// What a gateway does; the broken ones do it otherwise.
pub trait Port {
    /// One that has said nothing yet.
    fn new(setup: Setup) -> Self;

    /// Answers a frame that came at `now_ms`.
    fn frame(&mut self, bytes: &[u8], transport: Transport, now_ms: u64, out: &mut [u8]) -> Said;
}

/// The responders of the core behind one port, and the echo service.
#[derive(Clone, Debug)]
pub struct Core {
    arp: arp::Responder,
    icmp: icmp::Responder,
    limiter: Limiter,
}

/// What nobody here reads is not answered.
const UNREAD: Said = Said::Silent(Rule::dc(105));

impl Port for Core {
    fn new(setup: Setup) -> Self {
        let config = setup.arp();
        let (mac, owned, mtu) = (config.mac, config.owned.clone(), setup.mtu());
        let Ok(arp) = arp::Responder::new(config) else { unreachable!("the addresses differ") };
        let (per_second, burst) = setup.rate();
        let icmp = icmp::Responder { mac, owned, mtu };
        Self { arp, icmp, limiter: Limiter::new(per_second, burst) }
    }

    fn frame(&mut self, bytes: &[u8], transport: Transport, now_ms: u64, out: &mut [u8]) -> Said {
        if !self.limiter.allows(now_ms) {
            return Said::Refused(Rule::l2(13));
        }
        let said = self.answer(bytes, transport, now_ms, out).unwrap_or_else(Said::Refused);
        if let Said::Reply(_) = said {
            self.limiter.spend();
        }
        said
    }
}

impl Core {
    fn answer(
        &mut self,
        bytes: &[u8],
        transport: Transport,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Said, Rule> {
        let frame = Frame::parse(bytes).map_err(ethernet::LinkError::rule)?;
        match frame.ether_type {
            ether_type::ARP => {
                let answer = self.arp.answer(&frame, now_ms, out).map_err(arp::ArpError::rule)?;
                Ok(match answer {
                    arp::Answer::Reply { len } | arp::Answer::Defence { len } => Said::Reply(len),
                    arp::Answer::Silent(silence) => Said::Silent(silence.rule()),
                })
            }
            ether_type::IPV4 => {
                let packet = ipv4::Packet::parse(frame.payload).map_err(ipv4::PacketError::rule)?;
                match packet.protocol {
                    ipv4::protocol::ICMP => self.icmp(&frame, &packet, transport, out),
                    ipv4::protocol::UDP => self.udp(&frame, &packet, transport, out),
                    _ => Ok(UNREAD),
                }
            }
            _ => Ok(UNREAD),
        }
    }

    fn icmp(
        &self,
        frame: &Frame<'_>,
        packet: &ipv4::Packet<'_>,
        transport: Transport,
        out: &mut [u8],
    ) -> Result<Said, Rule> {
        let answer = self.icmp.answer(frame, packet, transport, out);
        Ok(match answer.map_err(icmp::EchoError::rule)? {
            icmp::Answer::Reply { len } => Said::Reply(len),
            icmp::Answer::Silent => UNREAD,
        })
    }

    /// RFC 862, to try out what reads and writes UDP.
    fn udp(
        &self,
        frame: &Frame<'_>,
        packet: &ipv4::Packet<'_>,
        transport: Transport,
        out: &mut [u8],
    ) -> Result<Said, Rule> {
        let datagram = udp::Datagram::parse(packet, transport).map_err(udp::DatagramError::rule)?;
        let owned = &self.icmp.owned;
        let is_ours = frame.destination == self.icmp.mac && owned.contains(&packet.destination);
        let udp::Datagram { source_port, destination_port, payload } = datagram;
        if !is_ours || destination_port != ECHO_PORT || owned.contains(&packet.source) {
            return Ok(UNREAD);
        }
        let (mac, tag) = (self.icmp.mac, frame.tag);
        if udp::HEADROOM + payload.len() > self.icmp.mtu.into() {
            return Err(Rule::l2(12));
        }
        let needed = ethernet::header_len(tag) + udp::HEADROOM + payload.len();
        let full = Rule::l2(6);
        let out = out.get_mut(..needed).ok_or(full)?;
        let rest = ethernet::write_header(out, frame.source, mac, tag, ether_type::IPV4);
        let rest = rest.ok_or(full)?;
        rest[udp::HEADROOM..].copy_from_slice(payload);
        let here = std::net::SocketAddrV4::new(packet.destination, destination_port);
        let there = std::net::SocketAddrV4::new(packet.source, source_port);
        udp::write_headers(rest, here, there, payload.len()).ok_or(full)?;
        Ok(Said::Reply(needed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let records = [
            Record::new(&[1, 2, 3]),
            Record { frame: &[], is_late: true, is_partial: false },
            Record { frame: &[4], is_late: false, is_partial: true },
        ];
        let bytes = encode(Setup(0x55), &records);
        assert_eq!(decode(&bytes), (Setup(0x55), records.to_vec()));
        assert_eq!(decode(&bytes[..4]).1, [Record::new(&[1])]);
        assert_eq!(decode(&[]), (Setup(0), Vec::new()));
    }
}
