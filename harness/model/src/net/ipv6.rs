//! IPv6 and its checksums (§6.6, DC-130).

use super::ethernet::number;
use crate::Id;

/// An address, in the order of the wire.
pub type Address = [u8; 16];

/// `ff02::1`.
pub const ALL_NODES: Address = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// `ff02::2`.
pub const ALL_ROUTERS: Address = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// `::1`.
const LOOPBACK: Address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Bytes 8 to 23.
    pub source: Address,
    /// Bytes 24 to 39.
    pub destination: Address,
    /// Byte 7.
    pub hops: u8,
    /// What the last header says that follows.
    pub protocol: u8,
    /// What comes after all headers.
    pub payload: Vec<u8>,
}

/// It begins with ff.
pub(crate) fn is_group(address: &Address) -> bool {
    address[0] == 0xff
}

/// `fe80::/10`.
pub(crate) fn is_link_local(address: &Address) -> bool {
    address[0] == 0xfe && address[1] / 64 == 2
}

/// All of it is zero.
pub(crate) fn is_nobody(address: &Address) -> bool {
    *address == [0; 16]
}

/// It is the loopback address.
pub(crate) fn is_loopback(address: &Address) -> bool {
    *address == LOOPBACK
}

/// The solicited-node group of an address.
pub(crate) fn group_of(address: &Address) -> Address {
    let mut group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
    group[13..].copy_from_slice(&address[13..]);
    group
}

/// Reads a packet; `None` is one that nobody reads.
///
/// # Errors
/// The first rule that it breaks.
pub fn packet(bytes: &[u8]) -> Result<Option<Packet>, Id> {
    if bytes.len() < 40 || bytes[0] / 16 != 6 {
        return Err(Id::Dc(130));
    }
    let len = usize::from(number(bytes, 4).ok_or(Id::Dc(130))?);
    if 40 + len > bytes.len() {
        return Err(Id::Dc(130));
    }
    let mut packet = Packet {
        source: [0; 16],
        destination: [0; 16],
        hops: bytes[7],
        protocol: bytes[6],
        payload: bytes[40..40 + len].to_vec(),
    };
    packet.source.copy_from_slice(&bytes[8..24]);
    packet.destination.copy_from_slice(&bytes[24..40]);
    let bad_source = is_group(&packet.source) || packet.source == LOOPBACK;
    let bad_destination = is_nobody(&packet.destination) || packet.destination == LOOPBACK;
    if bad_source || bad_destination {
        return Err(Id::Dc(130));
    }
    let mut count = 0;
    while [0, 43, 60].contains(&packet.protocol) {
        if count == 4 || (packet.protocol == 0 && count > 0) {
            return Ok(None);
        }
        match extension(packet.protocol, &packet.payload) {
            Extension::Cut => return Err(Id::V6(10)),
            Extension::Forbids => return Ok(None),
            Extension::Skip(len) => {
                packet.protocol = packet.payload[0];
                packet.payload.drain(..len);
            }
        }
        count += 1;
    }
    if packet.protocol == 44 || packet.protocol == 59 {
        return Ok(None);
    }
    Ok(Some(packet))
}

enum Extension {
    Cut,
    Forbids,
    Skip(usize),
}

/// What the extension header at the front of these bytes is.
fn extension(kind: u8, bytes: &[u8]) -> Extension {
    if bytes.len() < 2 || bytes.len() < 8 + 8 * usize::from(bytes[1]) {
        return Extension::Cut;
    }
    let len = 8 + 8 * usize::from(bytes[1]);
    if kind == 43 {
        return if bytes[3] == 0 { Extension::Skip(len) } else { Extension::Forbids };
    }
    let mut at = 2;
    while at < len {
        if bytes[at] == 0 {
            at += 1;
            continue;
        }
        if at + 1 >= len || at + 2 + usize::from(bytes[at + 1]) > len {
            return Extension::Cut;
        }
        if bytes[at] >= 0x40 {
            return Extension::Forbids;
        }
        at += 2 + usize::from(bytes[at + 1]);
    }
    Extension::Skip(len)
}

/// The checksum of a message, whose own checksum is taken as it is.
#[must_use]
pub fn checksum(source: &Address, destination: &Address, protocol: u8, message: &[u8]) -> u16 {
    let mut all = [&source[..], destination].concat();
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    all.extend(len.to_be_bytes());
    all.extend([0, 0, 0, protocol]);
    all.extend(message);
    if all.len() % 2 == 1 {
        all.push(0);
    }
    let mut sum = 0_u32;
    for pair in all.chunks(2) {
        sum += 256 * u32::from(pair[0]) + u32::from(pair[1]);
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// A packet with this payload.
#[must_use]
pub fn build(
    source: &Address,
    destination: &Address,
    hops: u8,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(len.to_be_bytes());
    bytes.extend([protocol, hops]);
    bytes.extend(source);
    bytes.extend(destination);
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read() {
        let bytes = build(&[2; 16], &ALL_NODES, 7, 17, &[1, 2, 3]);
        let read = packet(&bytes).unwrap().unwrap();
        assert_eq!((read.source, read.destination), ([2; 16], ALL_NODES));
        assert_eq!((read.hops, read.protocol, &read.payload[..]), (7, 17, &[1, 2, 3][..]));
        assert_eq!(packet(&bytes[..42]), Err(Id::Dc(130)));
    }

    #[test]
    fn a_message_with_its_checksum_sums_to_nothing() {
        let mut message = vec![128, 0, 0, 0, 1, 2, 3];
        let sum = checksum(&[2; 16], &ALL_NODES, 58, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&[2; 16], &ALL_NODES, 58, &message), 0);
    }
}
