//! Frames that a guest sends, field by field. They are put together by the model's code.

use vhost_fuzz_model::net::ipv4;

use super::{GATEWAY_MAC, GATEWAYS, GUEST_MAC, LEASES};

/// An ARP frame whose fields can be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Ethernet destination.
    pub destination: [u8; 6],
    /// Ethernet source.
    pub source: [u8; 6],
    /// Protocol and control of a tag.
    pub tag: Option<(u16, u16)>,
    /// hrd, pro, hln and pln.
    pub form: [u8; 6],
    /// op.
    pub op: u16,
    /// sha.
    pub sha: [u8; 6],
    /// spa.
    pub spa: [u8; 4],
    /// tha.
    pub tha: [u8; 6],
    /// tpa.
    pub tpa: [u8; 4],
    /// Bytes behind the packet.
    pub padding: Vec<u8>,
}

impl Default for Arp {
    /// The guest asks for the first address of the gateway.
    fn default() -> Self {
        Self {
            destination: [0xff; 6],
            source: GUEST_MAC,
            tag: None,
            form: [0, 1, 8, 0, 6, 4],
            op: 1,
            sha: GUEST_MAC,
            spa: LEASES[0],
            tha: [0; 6],
            tpa: GATEWAYS[0],
            padding: Vec::new(),
        }
    }
}

impl Arp {
    /// A request of the guest.
    #[must_use]
    pub fn request(spa: [u8; 4], tpa: [u8; 4]) -> Self {
        Self { spa, tpa, ..Self::default() }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let op = self.op.to_be_bytes();
        let packet =
            [&self.form[..], &op, &self.sha, &self.spa, &self.tha, &self.tpa, &self.padding];
        frame(self.destination, self.source, self.tag, 0x0806, &packet.concat())
    }
}

/// A frame of any type.
#[must_use]
pub fn frame(
    destination: [u8; 6],
    source: [u8; 6],
    tag: Option<(u16, u16)>,
    ether_type: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = [destination, source].concat();
    if let Some((protocol, control)) = tag {
        bytes.extend(protocol.to_be_bytes());
        bytes.extend(control.to_be_bytes());
    }
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A packet of the guest to its gateway, in a frame.
#[must_use]
pub fn to_gateway(packet: &[u8]) -> Vec<u8> {
    frame(GATEWAY_MAC, GUEST_MAC, None, 0x0800, packet)
}

/// An ICMP message with its checksum.
#[must_use]
pub fn icmp(kind: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, code, 0, 0][..], &rest, data].concat();
    let checksum = checksum(&bytes);
    bytes[2..4].copy_from_slice(&checksum);
    bytes
}

/// An echo request of the guest to an address, as a packet.
#[must_use]
pub fn echo(to: [u8; 4], data: &[u8]) -> Vec<u8> {
    ipv4::write(LEASES[0], to, 1, &icmp(8, 0, [0x12, 0x34, 0, 1], data))
}

/// A datagram of the guest to an address, as a packet.
#[must_use]
pub fn datagram(to: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    ipv4::write_datagram((LEASES[0], 40_000), (to, port), payload)
}

/// The internet checksum of bytes in which it is still 0.
#[must_use]
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        sum += 256 * u64::from(pair[0]) + u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = sum % 0x1_0000 + sum / 0x1_0000;
    }
    u16::try_from(0xffff - sum).unwrap_or(0).to_be_bytes()
}

/// Gives a packet, after a change, the checksum of its header.
#[must_use]
pub fn resealed(mut packet: Vec<u8>) -> Vec<u8> {
    let len = 4 * usize::from(packet[0] & 0xf);
    packet[10..12].copy_from_slice(&[0, 0]);
    let checksum = checksum(packet.get(..len).unwrap_or(&packet));
    packet[10..12].copy_from_slice(&checksum);
    packet
}

/// Makes checksums right as far as the lengths of a frame allow: IPv4, and UDP or ICMP in it.
pub fn seal(frame: &mut [u8]) {
    let start = match frame.get(12..14) {
        Some([8, 0]) => 14,
        Some([0x81, 0] | [0x88, 0xa8]) if frame.get(16..18) == Some(&[8, 0]) => 18,
        _ => return,
    };
    let Some(packet) = frame.get_mut(start..).filter(|packet| packet.len() >= 20) else { return };
    let header = 4 * usize::from(packet[0] & 0xf);
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header < 20 || header > packet.len() {
        return;
    }
    packet[10..12].copy_from_slice(&[0, 0]);
    let sealed = checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sealed);
    let protocol = packet[9];
    let addresses: [u8; 8] = std::array::from_fn(|at| packet[12 + at]);
    let Some(inner) = packet.get_mut(header..total).filter(|inner| inner.len() >= 8) else {
        return;
    };
    match protocol {
        1 => {
            inner[2..4].copy_from_slice(&[0, 0]);
            let sealed = checksum(inner);
            inner[2..4].copy_from_slice(&sealed);
        }
        17 => {
            let len = usize::from(u16::from_be_bytes([inner[4], inner[5]]));
            let Some(datagram) = inner.get_mut(..len).filter(|datagram| datagram.len() >= 8) else {
                return;
            };
            datagram[6..8].copy_from_slice(&[0, 0]);
            let pseudo = [&addresses[..], &[0, 17, datagram[4], datagram[5]]].concat();
            let sealed = match checksum(&[&pseudo[..], datagram].concat()) {
                [0, 0] => [0xff, 0xff],
                sealed => sealed,
            };
            datagram[6..8].copy_from_slice(&sealed);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_the_checksum_of_what_is_built() {
        for packet in [echo(GATEWAYS[0], &[1, 2, 3]), datagram(GATEWAYS[1], 7, b"hello")] {
            let whole = to_gateway(&packet);
            let mut frame = whole.clone();
            for at in [24, 25, 36, 37, 40, 41] {
                if at < 36 || frame[23] == 1 && at < 38 || frame[23] == 17 && at >= 40 {
                    frame[at] ^= 0x5a;
                }
            }
            assert_ne!(frame, whole);
            seal(&mut frame);
            assert_eq!(frame, whole);
        }
    }

    #[test]
    fn anything_can_be_sealed() {
        let whole = to_gateway(&datagram(GATEWAYS[1], 7, b"hello"));
        for len in 0..whole.len() {
            seal(&mut whole[..len].to_vec());
        }
    }
}
