//! A gateway on one port: ARP (§6.2), ICMP echo (DC-105), and a service that sends every datagram
//! for its port 7 back (RFC 862), which is there to try out what reads and writes UDP.

mod arp;
#[cfg(test)]
mod tests;

use super::ethernet::{self, Frame};
use super::ipv4::{self, Packet, sum};
use crate::Id;

/// Whom a gateway answers for, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its IPv4 addresses.
    pub owned: Vec<[u8; 4]>,
    /// Those of the guest.
    pub guest: Vec<[u8; 4]>,
    /// AR-011: strict.
    pub strict: bool,
    /// §6.2: the proxy rule.
    pub proxy: bool,
    /// AR-016: broadcast.
    pub broadcasts: bool,
    /// AR-017: defends.
    pub defends: bool,
    /// L2-012: the guest's.
    pub mtu: usize,
    /// Bytes that a reply may have, because there is no more room for it.
    pub room: usize,
    /// DC-108: replies at once.
    pub burst: u64,
    /// DC-108: replies per second.
    pub per_second: u64,
}

/// What a gateway says to a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This frame.
    Reply(Vec<u8>),
    /// Nothing: this rule wants it so.
    Silent(Id),
    /// Nothing: the frame breaks this rule, or the reply would.
    Refused(Id),
}

/// A gateway, and what it remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    config: Config,
    /// When it last defended an address.
    defended: Option<u64>,
    /// Thousandths of replies that it has left.
    left: u64,
    /// When that was so.
    since: u64,
}

impl Gateway {
    /// A gateway that has said nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let left = 1000 * config.burst;
        Self { config, defended: None, left, since: 0 }
    }

    /// What is said to a frame at this millisecond. `is_partial`: the device completes checksums
    /// (NET-055).
    pub fn frame(&mut self, bytes: &[u8], is_partial: bool, now: u64) -> Said {
        if !self.has_left(now) {
            return Said::Refused(Id::L2(13));
        }
        let said = match self.answer(bytes, is_partial, now) {
            Ok(said) => said,
            Err(id) => Said::Refused(id),
        };
        if let Said::Reply(_) = said {
            self.spend();
        }
        said
    }

    /// Whether one more reply may be sent at this millisecond.
    pub(super) fn has_left(&mut self, now: u64) -> bool {
        // DC-108: what was spent comes back with time.
        while self.since < now && self.left < 1000 * self.config.burst {
            self.since += 1;
            self.left = (1000 * self.config.burst).min(self.left + self.config.per_second);
        }
        self.since = self.since.max(now);
        self.left >= 1000
    }

    /// A reply was sent.
    pub(super) fn spend(&mut self) {
        self.left -= 1000;
    }

    /// What is said, however often.
    pub(super) fn answer(&mut self, bytes: &[u8], is_partial: bool, now: u64) -> Result<Said, Id> {
        let frame = ethernet::frame(bytes)?;
        let payload = &bytes[frame.payload.0..frame.payload.1];
        match frame.ether_type {
            0x0806 => self.arp(&frame, payload, now),
            0x0800 => {
                let packet = ipv4::packet(payload)?;
                match packet.protocol {
                    1 => self.icmp(&frame, &packet, is_partial),
                    17 => self.udp(&frame, &packet, is_partial),
                    _ => Ok(Said::Silent(Id::Dc(105))),
                }
            }
            _ => Ok(Said::Silent(Id::Dc(105))),
        }
    }

    /// DC-105.
    fn icmp(&self, frame: &Frame, packet: &Packet, is_partial: bool) -> Result<Said, Id> {
        if !self.is_for_us(frame, packet) {
            return Ok(Said::Silent(Id::Dc(105)));
        }
        let message = &packet.payload;
        if message.len() < 8 || !is_partial && sum(message) != 0xffff {
            return Err(Id::Dc(105));
        }
        if message[0] != 8 || message[1] != 0 || self.config.owned.contains(&packet.source) {
            return Ok(Said::Silent(Id::Dc(105)));
        }
        let mut reply = message.clone();
        reply[0] = 0;
        reply[2..4].copy_from_slice(&[0, 0]);
        let checksum = (0xffff - sum(&reply)).to_be_bytes();
        reply[2..4].copy_from_slice(&checksum);
        let packet = ipv4::write(packet.destination, packet.source, 1, &reply);
        self.ipv4_reply(frame, &packet)
    }

    /// RFC 862.
    fn udp(&self, frame: &Frame, packet: &Packet, is_partial: bool) -> Result<Said, Id> {
        let (from, to, payload) = ipv4::datagram(packet, is_partial)?;
        let is_own = self.config.owned.contains(&packet.source);
        if !self.is_for_us(frame, packet) || to != 7 || is_own {
            return Ok(Said::Silent(Id::Dc(105)));
        }
        let (here, there) = ((packet.destination, to), (packet.source, from));
        self.ipv4_reply(frame, &ipv4::write_datagram(here, there, &payload))
    }

    fn is_for_us(&self, frame: &Frame, packet: &Packet) -> bool {
        frame.destination == self.config.mac && self.config.owned.contains(&packet.destination)
    }

    fn ipv4_reply(&self, frame: &Frame, packet: &[u8]) -> Result<Said, Id> {
        if packet.len() > self.config.mtu {
            return Err(Id::L2(12));
        }
        self.reply(frame.source, frame, 0x0800, packet)
    }

    /// A frame with the tag of the one that it answers (L2-004).
    fn reply(&self, to: [u8; 6], frame: &Frame, kind: u16, payload: &[u8]) -> Result<Said, Id> {
        let mut bytes = [to, self.config.mac].concat();
        if let Some((protocol, control)) = frame.tag {
            bytes.extend(protocol.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        bytes.extend(kind.to_be_bytes());
        bytes.extend(payload);
        if bytes.len() > self.config.room {
            return Err(Id::L2(6));
        }
        Ok(Said::Reply(bytes))
    }
}
