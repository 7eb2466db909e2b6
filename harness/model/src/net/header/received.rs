//! A header for the driver (§3.5), in the order of DC-099.

use super::sent::{places_are_in_order, size};
use super::{Cut, Port, inside};
use crate::Id;

/// What a device says about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// What it says about the checksum.
    pub sum: Sum,
    /// How the frame could be cut.
    pub cut: Option<Cut>,
    /// Segments that were joined, and acknowledgements that came twice.
    pub joined: Option<(u16, u16)>,
    /// Hash and kind of hash.
    pub hash: Option<(u32, u16)>,
    /// Buffers.
    pub buffers: u16,
}

/// What it says about the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Nothing.
    Unknown,
    /// It is right.
    Right,
    /// It is partial: `csum_start` and `csum_offset`.
    Partial(u16, u16),
}

/// The bytes of the header.
///
/// # Errors
/// The first rule that they would break.
pub fn receive(port: &Port, frame: &[u8], about: &About) -> Result<Vec<u8>, Id> {
    if frame.len() < 14 {
        return Err(Id::L2(1));
    }
    if !port.on(15) && about.buffers != 1 {
        return Err(Id::Net(22));
    }
    if about.buffers == 0 {
        return Err(Id::Net(23));
    }
    may_be_said_together(port, about)?;
    let (tags, _) = inside::tags(frame);
    if about.cut.is_none() && frame.len() > port.limit(tags) {
        return Err(Id::Net(19));
    }
    if about.cut.is_some() && frame.len() > 65589 + 4 * tags {
        return Err(Id::Dc(92));
    }
    let mut header = vec![0; 32];
    match about.sum {
        Sum::Unknown => {}
        Sum::Right => header[0] |= 2,
        Sum::Partial(start, offset) => {
            if start < 14 || u32::from(start) + u32::from(offset) + 2 > size(frame) {
                return Err(Id::Net(13));
            }
            header[0] |= 1;
            put(&mut header, 6, start);
            put(&mut header, 8, offset);
            if let Some(cut) = &about.cut {
                say_cut(port, frame, cut, (start, offset), &mut header)?;
            }
        }
    }
    if let Some((segments, duplicates)) = about.joined {
        header[0] |= 4;
        put(&mut header, 6, segments);
        put(&mut header, 8, duplicates);
    }
    put(&mut header, 10, about.buffers);
    if let Some((value, report)) = about.hash {
        if !(1..=9).contains(&report) {
            return Err(Id::Net(35));
        }
        if port.on(57) {
            header[12..16].copy_from_slice(&value.to_le_bytes());
            put(&mut header, 16, report);
        }
    }
    header.truncate(port.header_len());
    Ok(header)
}

fn put(header: &mut [u8], at: usize, value: u16) {
    header[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn may_be_said_together(port: &Port, about: &About) -> Result<(), Id> {
    let is_plain = about.sum == Sum::Unknown && about.cut.is_none() && about.joined.is_none();
    if !is_plain && !port.on(1) {
        return Err(Id::Net(29));
    }
    if about.joined.is_some() && !port.on(61) {
        return Err(Id::Net(33));
    }
    match about.cut {
        None if about.joined.is_some() => Err(Id::Dc(98)),
        None => Ok(()),
        Some(cut) if cut.tunnel.is_some() && about.sum == Sum::Right => Err(Id::Net(32)),
        Some(cut) if cut.size == 0 || !matches!(about.sum, Sum::Partial(..)) => Err(Id::Net(31)),
        Some(_) if port.on(61) && about.joined.is_none() => Err(Id::Dc(98)),
        Some(_) => Ok(()),
    }
}

fn say_cut(
    port: &Port,
    frame: &[u8],
    cut: &Cut,
    (start, offset): (u16, u16),
    header: &mut [u8],
) -> Result<(), Id> {
    let is_tcp = cut.value == 1 || cut.value == 4;
    if let Some(tunnel) = &cut.tunnel {
        if cut.value == 3 {
            return Err(Id::Dc(96));
        }
        places_are_in_order(tunnel, start, size(frame))?;
    }
    if cut.ecn && !is_tcp {
        return Err(Id::Dc(93));
    }
    let headers = inside::headers(frame, cut).ok_or(Id::Dc(94))?;
    let needs: &[u32] = match (cut.value, headers.map(|headers| headers.version)) {
        (1, _) => &[7],
        (3, _) => &[10],
        (4, _) => &[8],
        (_, Some(4)) => &[54],
        (_, Some(_)) => &[55],
        (_, None) => &[54, 55],
    };
    let lacks = |bit: &u32| !port.on(*bit);
    if needs.iter().any(lacks) || cut.ecn && !port.on(9) {
        return Err(Id::Net(30));
    }
    let mut gso_type = cut.value + if cut.ecn { 0x80 } else { 0 };
    if let Some(tunnel) = &cut.tunnel {
        if !port.on(65) {
            return Err(Id::Net(30));
        }
        if tunnel.checksum && !port.on(66) {
            return Err(Id::Dc(91));
        }
        gso_type += if tunnel.version == 4 { 0x20 } else { 0x40 };
        header[0] |= if tunnel.checksum { 8 } else { 0 };
        put(header, 20, tunnel.outer);
        put(header, 22, tunnel.inner);
    }
    if let Some(headers) = headers {
        if headers.start != usize::from(start) || offset != if is_tcp { 16 } else { 6 } {
            return Err(Id::Dc(98));
        }
        put(header, 2, u16::try_from(headers.end).unwrap_or(0));
    }
    header[1] = gso_type;
    put(header, 4, cut.size);
    Ok(())
}
