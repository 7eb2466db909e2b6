//! A frame of the driver (§3.4), in the order of DC-090.

use super::{Cut, Headers, Port, Tunnel, inside, little};
use crate::Id;

/// What the driver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where the frame begins in the bytes.
    pub frame: usize,
    /// `csum_start` and `csum_offset`.
    pub checksum: Option<(u16, u16)>,
    /// How it is to be cut.
    pub cut: Option<Cut>,
    /// Its headers, if it is to be cut and they were found.
    pub headers: Option<Headers>,
    /// `outer_nh_offset`.
    pub outer_network: Option<u16>,
    /// `resource_id` and `resource_type`.
    pub resource: Option<(u32, u16)>,
}

/// Judges what a driver sent.
///
/// # Errors
/// The first rule that it breaks.
pub fn transmit(port: &Port, bytes: &[u8], writable: u64) -> Result<Sent, Id> {
    let len = port.header_len();
    if writable != 0 {
        return Err(Id::Net(3));
    }
    if bytes.len() <= len {
        return Err(Id::Net(2));
    }
    let frame = &bytes[len..];
    if frame.len() < 14 {
        return Err(Id::L2(1));
    }
    let flag = |value: u8| bytes[0] & value != 0;
    let gso_type = bytes[1];
    let value = gso_type % 32;
    type_may_be_used(port, gso_type)?;
    flags_may_be_used(port, bytes[0], gso_type)?;
    if value != 0 && (!flag(1) || little(bytes, 4) == 0) {
        return Err(Id::Net(12));
    }
    let (tags, _) = inside::tags(frame);
    if value == 0 && frame.len() > port.limit(tags) {
        return Err(Id::Net(17));
    }
    if value != 0 && frame.len() > 65589 + 4 * tags {
        return Err(Id::Dc(92));
    }
    let checksum = flag(1).then(|| (little(bytes, 6), little(bytes, 8)));
    if let Some((start, offset)) = checksum
        && (start < 14 || u32::from(start) + u32::from(offset) + 2 > size(frame))
    {
        return Err(Id::Net(13));
    }
    let mut sent = Sent {
        frame: len,
        checksum,
        cut: None,
        headers: None,
        outer_network: None,
        resource: None,
    };
    if value != 0 {
        let tunnel = (gso_type & 0x60 != 0).then(|| Tunnel {
            version: if gso_type & 0x20 != 0 { 4 } else { 6 },
            checksum: flag(8),
            outer: little(bytes, 20),
            inner: little(bytes, 22),
        });
        if let (Some(tunnel), Some((start, _))) = (tunnel, checksum) {
            places_are_in_order(&tunnel, start, size(frame))?;
        }
        let size = little(bytes, 4);
        let cut = Cut { value, size, ecn: gso_type >= 128, tunnel };
        sent.headers = inside::headers(frame, &cut).ok_or(Id::Dc(94))?;
        sent.cut = Some(cut);
    }
    if port.on(69) {
        let outer = little(bytes, 24);
        let is_inside = outer >= 14 && u32::from(outer) < size(frame);
        sent.outer_network = is_inside.then_some(outer);
    }
    if port.on(70) && flag(16) {
        let id = u32::from(little(bytes, 26)) + 65536 * u32::from(little(bytes, 28));
        sent.resource = Some((id, little(bytes, 30)));
    }
    Ok(sent)
}

pub(super) fn size(frame: &[u8]) -> u32 {
    u32::try_from(frame.len()).unwrap_or(u32::MAX)
}

/// The frame with its checksum finished (§3.4): the complement of the sum of everything from
/// `start` on, and 0xffff for 0.
#[must_use]
pub fn finish(frame: &[u8], (start, offset): (u16, u16)) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let start = usize::from(start);
    let mut sum = 0_u32;
    for (index, byte) in frame[start..].iter().enumerate() {
        sum += if index % 2 == 0 { 256 * u32::from(*byte) } else { u32::from(*byte) };
        if sum > 65535 {
            sum -= 65535;
        }
    }
    let value = if sum == 65535 { 65535 } else { 65535 - sum };
    let at = start + usize::from(offset);
    frame[at] = u8::try_from(value / 256).unwrap_or(0);
    frame[at + 1] = u8::try_from(value % 256).unwrap_or(0);
    frame
}

/// T14.
pub(super) fn places_are_in_order(tunnel: &Tunnel, start: u16, len: u32) -> Result<(), Id> {
    let (outer, inner) = (u32::from(tunnel.outer), u32::from(tunnel.inner));
    let start = u32::from(start);
    if outer + 8 <= inner && inner < start && start <= len { Ok(()) } else { Err(Id::Dc(95)) }
}

/// T8, T10 and the part of T12 that is about the type.
fn type_may_be_used(port: &Port, gso_type: u8) -> Result<(), Id> {
    let needs = match gso_type % 32 {
        0 => None,
        1 => Some(11),
        3 => Some(14),
        4 => Some(12),
        5 => Some(56),
        _ => return Err(Id::Net(11)),
    };
    if needs.is_some_and(|bit| !port.on(bit)) {
        return Err(Id::Net(11));
    }
    let tunnels = gso_type & 0x60;
    if tunnels != 0 {
        if !port.on(67) {
            return Err(Id::Net(11));
        }
        if tunnels == 0x60 || gso_type & 0x1f == 0 {
            return Err(Id::Net(15));
        }
        if gso_type % 32 == 3 {
            return Err(Id::Dc(96));
        }
    }
    if gso_type >= 128 {
        if gso_type % 32 != 1 && gso_type % 32 != 4 {
            return Err(Id::Dc(93));
        }
        if !port.on(13) {
            return Err(Id::Net(11));
        }
    }
    Ok(())
}

/// T5 and the part of T12 that is about flags.
fn flags_may_be_used(port: &Port, flags: u8, gso_type: u8) -> Result<(), Id> {
    let is_tunnel = gso_type & 0x60 != 0;
    let is_partial = flags & 1 != 0;
    if is_partial && ![0, 11, 12, 14, 56].into_iter().any(|bit| port.on(bit)) {
        return Err(Id::Net(10));
    }
    if flags & 8 != 0 && !is_tunnel {
        return Err(Id::Net(15));
    }
    if flags & 8 != 0 && !port.on(68) {
        return Err(Id::Dc(91));
    }
    if is_tunnel && (!is_partial || flags & 2 != 0) {
        return Err(Id::Net(15));
    }
    Ok(())
}
