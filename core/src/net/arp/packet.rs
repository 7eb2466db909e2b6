//! The packet: the Ethernet and IPv4 form of ARP.

use core::net::Ipv4Addr;

use super::ArpError;
use crate::net::Mac;

/// Bytes of a packet.
pub const PACKET_LEN: usize = 28;

/// What a packet is.
pub mod operation {
    /// Somebody asks.
    pub const REQUEST: u16 = 1;
    /// Somebody answers, asked or not.
    pub const REPLY: u16 = 2;
}

/// Ethernet (1), IPv4 (0x0800), and the lengths of their addresses.
const FORM: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// A packet, field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it is: see [`operation`]. Others are legal, and nobody's here.
    pub operation: u16,
    /// `sha`: the Ethernet address of the sender.
    pub sender_mac: Mac,
    /// `spa`: the IPv4 address of the sender; 0.0.0.0 in a probe.
    pub sender: Ipv4Addr,
    /// `tha`: of whom it speaks. Says nothing in a request (AR-013).
    pub target_mac: Mac,
    /// `tpa`: who is sought, or who asked.
    pub target: Ipv4Addr,
}

impl Packet {
    /// Reads the payload of a frame. What comes after 28 bytes is padding (L2-005).
    ///
    /// # Errors
    /// [`ArpError::Short`] and [`ArpError::Form`]; addresses and operation are not judged.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, ArpError> {
        let short = ArpError::Short { len: bytes.len() };
        let packet: &[u8; PACKET_LEN] = bytes.first_chunk().ok_or(short)?; // AR-001
        let [f0, f1, f2, f3, f4, f5, o0, o1, rest @ ..] = *packet;
        let [s0, s1, s2, s3, s4, s5, a0, a1, a2, a3, rest @ ..] = rest;
        let [t0, t1, t2, t3, t4, t5, b0, b1, b2, b3] = rest;
        let form = [f0, f1, f2, f3, f4, f5];
        if form != FORM {
            return Err(ArpError::Form { form }); // AR-001
        }
        Ok(Self {
            operation: u16::from_be_bytes([o0, o1]),
            sender_mac: Mac([s0, s1, s2, s3, s4, s5]),
            sender: Ipv4Addr::new(a0, a1, a2, a3),
            target_mac: Mac([t0, t1, t2, t3, t4, t5]),
            target: Ipv4Addr::new(b0, b1, b2, b3),
        })
    }

    /// Its bytes on the wire.
    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; PACKET_LEN] {
        let [f0, f1, f2, f3, f4, f5] = FORM;
        let [o0, o1] = self.operation.to_be_bytes();
        let Mac([s0, s1, s2, s3, s4, s5]) = self.sender_mac;
        let [a0, a1, a2, a3] = self.sender.octets();
        let Mac([t0, t1, t2, t3, t4, t5]) = self.target_mac;
        let [b0, b1, b2, b3] = self.target.octets();
        [
            f0, f1, f2, f3, f4, f5, o0, o1, s0, s1, s2, s3, s4, s5, a0, a1, a2, a3, t0, t1, t2, t3,
            t4, t5, b0, b1, b2, b3,
        ]
    }

    /// It asks whether somebody uses an address, for a sender that has none yet (RFC 5227).
    #[must_use]
    #[inline]
    pub const fn is_probe(self) -> bool {
        self.operation == operation::REQUEST && self.sender.is_unspecified()
    }

    /// It tells who has an address, and asks nothing (RFC 5227).
    #[must_use]
    #[inline]
    pub fn is_announcement(self) -> bool {
        self.sender == self.target && !self.sender.is_unspecified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; PACKET_LEN] =
        [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 10, 3, 4, 5, 6, 7, 8, 10, 0, 0, 1];

    #[test]
    fn every_field_has_its_place() {
        let packet = Packet {
            operation: operation::REQUEST,
            sender_mac: Mac([2, 0, 0, 0, 0, 1]),
            sender: Ipv4Addr::new(192, 0, 2, 10),
            target_mac: Mac([3, 4, 5, 6, 7, 8]),
            target: Ipv4Addr::new(10, 0, 0, 1),
        };
        assert_eq!(Packet::parse(&BYTES), Ok(packet));
        assert_eq!(packet.to_bytes(), BYTES);
        let padded = [&BYTES[..], &[0xee; 18]].concat();
        assert_eq!(Packet::parse(&padded), Ok(packet));
    }

    #[test]
    fn probes_and_announcements() {
        let mut packet = Packet::parse(&BYTES).expect("a packet");
        assert!(!packet.is_probe() && !packet.is_announcement());
        packet.sender = Ipv4Addr::UNSPECIFIED;
        assert!(packet.is_probe() && !packet.is_announcement());
        packet.target = Ipv4Addr::UNSPECIFIED;
        assert!(packet.is_probe() && !packet.is_announcement());
        (packet.sender, packet.target) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 1));
        assert!(!packet.is_probe() && packet.is_announcement());
    }
}
