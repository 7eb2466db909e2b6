//! IPv4 and UDP (§6.3).

use super::ethernet::number;
use crate::Id;

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
    /// What it carries.
    pub protocol: u8,
    /// The bytes that it carries.
    pub payload: Vec<u8>,
}

/// The sum of 16-bit numbers with the carries added again: 0xffff over what has a right checksum.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for at in (0..bytes.len()).step_by(2) {
        let low = if at + 1 < bytes.len() { bytes[at + 1] } else { 0 };
        sum += 256 * u32::from(bytes[at]) + u32::from(low);
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    u16::try_from(sum).unwrap_or(0)
}

/// Reads the payload of a frame as a packet: the table of §6.3 from top to bottom.
///
/// # Errors
/// The first rule that it breaks.
pub fn packet(bytes: &[u8]) -> Result<Packet, Id> {
    if bytes.len() < 20 || bytes[0] / 16 != 4 {
        return Err(Id::L2(7));
    }
    let header = 4 * usize::from(bytes[0] % 16);
    let total = usize::from(number(bytes, 2).ok_or(Id::L2(7))?);
    if header < 20 || header > total || total > bytes.len() {
        return Err(Id::L2(7));
    }
    if sum(&bytes[..header]) != 0xffff || bytes[8] == 0 {
        return Err(Id::L2(7));
    }
    let mut packet = Packet {
        source: [0; 4],
        destination: [0; 4],
        protocol: bytes[9],
        payload: bytes[header..total].to_vec(),
    };
    packet.source.copy_from_slice(&bytes[12..16]);
    packet.destination.copy_from_slice(&bytes[16..20]);
    let nobody = packet.source == [0; 4];
    if packet.source[0] >= 224 || packet.source[0] == 127 || nobody && packet.protocol != 17 {
        return Err(Id::L2(7));
    }
    if number(bytes, 6).ok_or(Id::L2(7))? % 0x4000 != 0 {
        return Err(Id::L2(8));
    }
    Ok(packet)
}

/// What UDP says: source port, destination port, payload.
pub type Datagram = (u16, u16, Vec<u8>);

/// The bytes that the checksum of UDP covers: pseudo-header and datagram.
fn covered(source: [u8; 4], destination: [u8; 4], datagram: &[u8]) -> Vec<u8> {
    let len = u16::try_from(datagram.len()).unwrap_or(0).to_be_bytes();
    [&source[..], &destination[..], &[0, 17], &len[..], datagram].concat()
}

/// Reads what a packet of protocol 17 carries.
///
/// # Errors
/// The first rule that it breaks.
pub fn datagram(packet: &Packet, is_partial: bool) -> Result<Datagram, Id> {
    let bytes = &packet.payload;
    if bytes.len() < 8 {
        return Err(Id::L2(9));
    }
    let field = |at| number(bytes, at).ok_or(Id::L2(9));
    let len = usize::from(field(4)?);
    if len < 8 || len > bytes.len() {
        return Err(Id::L2(9));
    }
    if packet.source == [0; 4] && field(2)? != 67 {
        return Err(Id::L2(7));
    }
    let has_checksum = field(6)? != 0 && !is_partial;
    if has_checksum && sum(&covered(packet.source, packet.destination, &bytes[..len])) != 0xffff {
        return Err(Id::L2(10));
    }
    Ok((field(0)?, field(2)?, bytes[8..len].to_vec()))
}

/// A packet as a responder writes it (DC-106).
#[must_use]
pub fn write(source: [u8; 4], destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    bytes.extend(source);
    bytes.extend(destination);
    let checksum = (0xffff - sum(&bytes)).to_be_bytes();
    bytes[10..12].copy_from_slice(&checksum);
    bytes.extend(payload);
    bytes
}

/// A datagram in its packet, with a complete checksum (L2-011).
#[must_use]
pub fn write_datagram(
    (source, source_port): ([u8; 4], u16),
    (destination, destination_port): ([u8; 4], u16),
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source_port.to_be_bytes());
    bytes.extend(destination_port.to_be_bytes());
    bytes.extend(u16::try_from(8 + payload.len()).unwrap_or(0).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    let mut checksum = 0xffff - sum(&covered(source, destination, &bytes));
    if checksum == 0 {
        checksum = 0xffff;
    }
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    write(source, destination, 17, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_specification() {
        let bytes = write_datagram(([10, 0, 0, 1], 67), ([192, 0, 2, 10], 68), &[0x41, 0x42]);
        assert_eq!(bytes[20..], [0, 67, 0, 68, 0, 10, 0xf2, 0x05, 0x41, 0x42]);
        let read = packet(&bytes).unwrap();
        assert_eq!(datagram(&read, false), Ok((67, 68, vec![0x41, 0x42])));
        let long = write([10, 0, 0, 1], [192, 0, 2, 10], 17, &[0; 308]);
        assert_eq!(long[10..12], [0x6d, 0x9a]);
    }

    #[test]
    fn what_is_wrong_has_its_rule() {
        let good = write_datagram(([10, 0, 0, 1], 67), ([192, 0, 2, 10], 68), &[0x41, 0x42]);
        for at in [0, 2, 3, 8, 10, 12] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            assert_eq!(packet(&bytes), Err(Id::L2(7)), "{at}");
        }
        let mut read = packet(&good).unwrap();
        read.payload[9] += 1;
        assert_eq!(datagram(&read, false), Err(Id::L2(10)));
        assert!(datagram(&read, true).is_ok());
        read.payload[5] = 7;
        assert_eq!(datagram(&read, true), Err(Id::L2(9)));
    }
}
