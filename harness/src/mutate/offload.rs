//! Mutates an input of `net_header`: what was negotiated, a field of the header, or the frame.

use fastrand::Rng;
use vhost_fuzz_core::net::header::{Features, Header, Ip, Kind, Port, Receive, Segments, Verified};

use super::{ByteMutator, boundary, is_bytes_turn, put};
use crate::seeds::net_header::{Layers, Setup, header};
use crate::target::net_header::{ABOUT_LEN, Input, SETUP_LEN};

/// Feature bits that say something about a frame.
const BITS: [u32; 23] =
    [0, 1, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 32, 54, 55, 56, 57, 61, 65, 66, 67, 68, 69];

/// Offsets of the fields of two bytes in a header, and in what the device says about a frame.
const FIELDS: [usize; 9] = [2, 4, 6, 8, 10, 16, 18, 20, 22];

/// Changes `data[..size]` into another input of at most `max_size` bytes; returns its length.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: ByteMutator<'_>,
) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    if is_bytes_turn(&mut rng) {
        return bytes(data, size);
    }
    if size <= SETUP_LEN || rng.u8(..8) == 0 {
        return put(data, max_size, &generate(&mut rng));
    }
    let mut child = data[..size].to_vec();
    for _ in 0..=rng.u8(..2) {
        step(&mut child, &mut rng);
    }
    put(data, max_size, &child)
}

/// The front of one input and the frame of another.
pub fn crossover(first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    let (left, right) = (front(first), front(second));
    let mut child = first[..left].to_vec();
    if rng.bool() {
        child.extend(&second[right..]);
    } else {
        // The header of the other one, too, which may have another length here.
        child.truncate(SETUP_LEN);
        child.extend(second.get(SETUP_LEN..).unwrap_or_default());
    }
    let max_size = out.len();
    put(out, max_size, &child)
}

/// Bytes in front of the frame.
fn front(bytes: &[u8]) -> usize {
    let (Port { features, .. }, input) = Input::split(bytes);
    let len = match input {
        Input::Send { .. } => features.header_len(),
        Input::Receive { .. } => ABOUT_LEN,
    };
    bytes.len().min(SETUP_LEN + len)
}

fn step(child: &mut Vec<u8>, rng: &mut Rng) {
    let front = front(child);
    match rng.u8(..8) {
        0 | 1 => flip(child, BITS[rng.usize(..BITS.len())]),
        2 => child[0] ^= 1 << rng.u8(..2),
        3 if front > SETUP_LEN + 1 => {
            let at = SETUP_LEN + rng.usize(..2);
            child[at] ^= 1 << rng.u8(..8);
        }
        4 | 5 => {
            let at = SETUP_LEN + FIELDS[rng.usize(..FIELDS.len())];
            let value = place(child.len() - front, rng).to_le_bytes();
            if let Some(field) = child.get_mut(at..at + 2) {
                field.copy_from_slice(&value);
            }
        }
        6 => {
            let value = u16::try_from(boundary(rng) & 0xffff).unwrap_or(0).to_le_bytes();
            let at = [10, 12][rng.usize(..2)];
            child[at..at + 2].copy_from_slice(&value);
        }
        _ => {
            child.truncate(front);
            child.extend(layers(rng).frame());
        }
    }
}

fn flip(child: &mut [u8], bit: u32) {
    let byte = usize::try_from(bit / 8).unwrap_or(0);
    child[1 + byte] ^= 1 << (bit % 8);
}

/// A place in a frame of `len` bytes, often at an edge of it.
fn place(len: usize, rng: &mut Rng) -> u16 {
    let at = match rng.u8(..4) {
        0 => [0, 6, 13, 14, 16, 18, 34, 54, 58][rng.usize(..9)],
        1 => len.saturating_sub(rng.usize(..4)),
        2 => rng.usize(..=len.min(0xffff)),
        _ => usize::try_from(boundary(rng) & 0xffff).unwrap_or(0),
    };
    u16::try_from(at).unwrap_or(u16::MAX)
}

fn layers(rng: &mut Rng) -> Layers {
    let ip = if rng.bool() { Ip::V4 } else { Ip::V6 };
    let edge = rng.u8(..8) == 0;
    Layers {
        tags: if edge { rng.usize(..=10) } else { rng.usize(..2) },
        ip,
        extensions: if edge { rng.usize(..=10) } else { 0 },
        is_tcp: rng.bool(),
        payload: rng.usize(..200),
    }
}

/// A frame to be cut that is legal, to be sent or given.
fn generate(rng: &mut Rng) -> Vec<u8> {
    let layers = layers(rng);
    let kind = match (layers.is_tcp, layers.ip) {
        (true, Ip::V4) => Kind::Tcp4,
        (true, Ip::V6) => Kind::Tcp6,
        (false, _) if rng.bool() => Kind::Udp,
        (false, _) => Kind::UdpL4,
    };
    let segments = Segments { kind, size: rng.u16(1..), ecn: false, tunnel: None };
    let is_tunnel = kind != Kind::Udp && rng.u8(..4) == 0;
    let (frame, segments, checksum) = if is_tunnel {
        let outer = if rng.bool() { Ip::V4 } else { Ip::V6 };
        let (frame, tunnel, checksum) = layers.inside(outer);
        (frame, Segments { tunnel: Some(tunnel), ..segments }, checksum)
    } else {
        (layers.frame(), segments, layers.checksum())
    };
    // Most of what the frame needs, and now and then next to nothing.
    let on = if rng.u8(..8) == 0 { 1 } else { 7 };
    let mut bits = 0;
    for bit in BITS {
        bits |= u128::from(rng.u8(..8) < on && bit != 3 && bit != 61) << bit;
    }
    let setup = Setup::new(Features::from_bits(bits));
    if rng.bool() {
        let header = Header { hdr_len: rng.u16(..), ..header(&segments, checksum) };
        return setup.send(&header, &frame);
    }
    let checksum = Verified::Partial(checksum);
    let about = Receive { checksum, segments: Some(segments), ..Receive::default() };
    setup.give(&about, &frame)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::offload::Core;
    use crate::target::net_header::{check, judge};

    #[test]
    fn mutation_reaches_what_is_legal_and_most_of_what_is_not() {
        let (mut verdicts, mut legal) = (BTreeSet::new(), 0);
        let mut data = vec![0; 4096];
        let mut size = 0;
        for seed in 0..60_000 {
            if seed % 64 == 0 {
                size = 0;
            }
            let room = data.len();
            size = mutate(&mut data, size, room, seed, &mut |data, size| {
                let len = size.max(1);
                data[seed as usize % len] ^= 0x11;
                len
            });
            let verdict = check(&Core, &data[..size]);
            assert_eq!(verdict, judge(&data[..size]));
            legal += usize::from(verdict.is_ok());
            verdicts.extend(verdict.err().map(|id| id.to_string()));
        }
        assert!(legal > 5_000, "{legal} of 60000 are legal");
        for id in [
            "L2-001", "NET-002", "NET-003", "NET-010", "NET-011", "NET-012", "NET-013", "NET-015",
            "NET-017", "NET-019", "NET-022", "NET-023", "NET-029", "NET-030", "NET-031", "NET-033",
            "DC-091", "DC-093", "DC-094", "DC-095", "DC-096", "DC-098",
        ] {
            assert!(verdicts.contains(id), "{id} is not in {verdicts:?}");
        }
    }
}
