//! Mutates a script about a split ring: the ring, descriptors, indexes and what a device does.

use super::script::fitting;
use super::{ByteMutator, boundary, is_bytes_turn, put};
use crate::script::{self, Actor, Record};

/// Where rings are put: the descriptor table, the available and the used ring. Most are in the
/// middle of a region; others are cut by a border, begin at 0, overlap, or end with memory.
const PLACES: [[u64; 3]; 8] = [
    [0x1000, 0x2000, 0x3000],
    [0x1000, 0x2000, 0x3000],
    [0x4fd0, 0x4ffe, 0x4ff0],
    [0x7000, 0x5000, 0x1000_0000],
    [0x0, 0x9f00, 0x4000],
    [0x3000, 0x0, 0x1000],
    [0x1000, 0x1010, 0x1008],
    [0x1000, 0xe010, 0xc000],
];

/// Where buffers and tables are put.
const BUFFERS: [u64; 10] =
    [0x6000, 0x6100, 0x8000, 0x5000, 0x4ff8, 0xdff0, 0x9ff0, 0xbff0, 0x1000_0000, u64::MAX - 15];

/// Bytes of buffers.
const LENS: [u32; 10] = [0, 1, 8, 12, 16, 64, 300, 0x1000, 64 << 20, u32::MAX];

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Changes `data[..size]` into another script of at most `max_size` bytes; returns its length.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: ByteMutator<'_>,
) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    if is_bytes_turn(&mut rng) {
        return bytes(data, size);
    }
    let child = {
        let mut records = script::decode(&data[..size]);
        if records.is_empty() {
            records.extend(life(&mut rng));
        }
        for _ in 0..=rng.u8(..3) {
            step(&mut records, &mut rng);
        }
        fitting(&records, max_size)
    };
    put(data, max_size, &child)
}

/// One change.
fn step(records: &mut Vec<Record<'_>>, rng: &mut fastrand::Rng) {
    let at = rng.usize(..=records.len());
    let Some(here) = records.get(at) else {
        records.extend(phrase(rng));
        return;
    };
    match rng.u8(..10) {
        0 => drop(records.remove(at)),
        1 => records.insert(at, here.clone()),
        2 => {
            let other = rng.usize(..records.len());
            records.swap(at, other);
        }
        3..6 => drop(records.splice(at..at, phrase(rng))),
        6 if rng.u8(..8) == 0 => drop(records.splice(at..at, life(rng))),
        _ => change(&mut records[at], rng),
    }
}

/// Changes a field of a record.
fn change(record: &mut Record<'_>, rng: &mut fastrand::Rng) {
    match record {
        Record::Action { actor: Actor::Driver, operation: 0, arguments } => {
            // One field of one descriptor.
            let bytes = arguments.to_mut();
            let count = bytes.len().saturating_sub(2) / 16;
            if count > 0 {
                let at = 2 + 16 * rng.usize(..count);
                change_descriptor(&mut bytes[at..at + 16], rng);
            }
        }
        Record::Action { arguments, .. } => {
            let bytes = arguments.to_mut();
            let at = rng.usize(..=bytes.len());
            match bytes.get_mut(at) {
                Some(byte) => {
                    let near = [byte.wrapping_add(1), byte.wrapping_sub(1), rng.u8(..)];
                    *byte = near[rng.usize(..3)];
                }
                None => bytes.push(rng.u8(..)),
            }
        }
        Record::GuestWrite { address, bytes } => {
            let bytes = bytes.to_mut();
            let entries = bytes.len() / 16;
            if rng.u8(..4) == 0 || entries == 0 {
                *address =
                    if rng.bool() { BUFFERS[rng.usize(..BUFFERS.len())] } else { boundary(rng) };
            } else {
                let at = 16 * rng.usize(..entries);
                change_descriptor(&mut bytes[at..at + 16], rng);
            }
        }
        _ => *record = action(Actor::Device, 1 + rng.u8(..5), &[]),
    }
}

fn change_descriptor(bytes: &mut [u8], rng: &mut fastrand::Rng) {
    match rng.u8(..5) {
        0 => bytes[..8].copy_from_slice(&address(rng).to_le_bytes()),
        1 => bytes[8..12].copy_from_slice(&len(rng).to_le_bytes()),
        2 | 3 => bytes[12] ^= 1 << rng.u8(..4),
        _ => bytes[14] = bytes[14].wrapping_add(rng.u8(..4)),
    }
}

fn address(rng: &mut fastrand::Rng) -> u64 {
    let base = BUFFERS[if rng.u8(..8) == 0 { rng.usize(..BUFFERS.len()) } else { rng.usize(..6) }];
    base.wrapping_add(rng.u64(..4) * 4)
}

fn len(rng: &mut fastrand::Rng) -> u32 {
    LENS[if rng.u8(..8) == 0 { rng.usize(..LENS.len()) } else { rng.usize(..7) }]
}

fn action(actor: Actor, operation: u8, parts: &[&[u8]]) -> Record<'static> {
    Record::Action { actor, operation, arguments: parts.concat().into() }
}

fn descriptor(address: u64, len: u32, flags: u16, next: u16) -> Vec<u8> {
    [&address.to_le_bytes()[..], &len.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()]
        .concat()
}

/// A ring that starts, with a few chains, and what a device does with it.
fn life(rng: &mut fastrand::Rng) -> Vec<Record<'static>> {
    let mut records = start(rng);
    for _ in 0..=rng.u8(..6) {
        records.extend(phrase(rng));
    }
    records
}

fn start(rng: &mut fastrand::Rng) -> Vec<Record<'static>> {
    let size = if rng.u8(..16) == 0 { rng.u16(..) } else { 1 << rng.u8(..9) };
    let features = if rng.u8(..16) == 0 { rng.u8(..16) } else { rng.u8(..4) };
    let base: u16 = [0, 0, 0, 1, 0xffff, 0xfffe, 0x8000][rng.usize(..7)];
    let places = PLACES[if rng.bool() { 0 } else { rng.usize(..PLACES.len()) }];
    let [_, available, used] = places;
    let place = places.map(u64::to_le_bytes).concat();
    let size = u16::to_le_bytes(size);
    let start = action(Actor::Device, 0, &[&size, &[features], &base.to_le_bytes(), &place]);
    // Both indexes agree with the base, nearly always.
    let index = |address: u64| Record::GuestWrite {
        address: address + 2,
        bytes: base.to_le_bytes().to_vec().into(),
    };
    if rng.u8(..16) == 0 { vec![start] } else { vec![index(available), index(used), start] }
}

/// A few records that belong together.
fn phrase(rng: &mut fastrand::Rng) -> Vec<Record<'static>> {
    match rng.u8(..16) {
        0..6 => chains(rng),
        6 => vec![action(Actor::Driver, 2, &[&rng.u16(..8).to_le_bytes()])],
        7 => vec![action(Actor::Driver, 3, &[&rng.u16(..2).to_le_bytes()])],
        8 | 9 => vec![action(Actor::Device, 1, &[&[rng.u8(..4)], &rng.u16(..64).to_le_bytes()])],
        10 | 11 => vec![action(Actor::Device, 2, &[&[rng.u8(..3), rng.u8(..4)]])],
        12 => vec![action(Actor::Device, 2, &[&[0, 1], &u32::from(rng.u8(..)).to_le_bytes()])],
        13 => vec![action(Actor::Device, 3, &[])],
        14 => vec![action(Actor::Device, 4, &[])],
        _ => vec![action(Actor::Device, 5, &[&[rng.u8(..3)]])],
    }
}

/// Chains one after another in the descriptor table, each of which is made available and taken.
fn chains(rng: &mut fastrand::Rng) -> Vec<Record<'static>> {
    let mut records = Vec::new();
    let first = if rng.bool() { 0 } else { rng.u16(..8) };
    let (mut descriptors, mut heads, mut index) = (Vec::new(), Vec::new(), first);
    for _ in 0..=rng.u8(..3) {
        heads.extend(index.to_le_bytes());
        let count = 1 + rng.u16(..4);
        let readable = rng.u16(..=count);
        if rng.u8(..4) == 0 {
            let at = BUFFERS[rng.usize(..5)];
            records.push(Record::GuestWrite {
                address: at,
                bytes: chain(rng, 0, count, readable).into(),
            });
            descriptors.extend(descriptor(at, 16 * u32::from(count), INDIRECT, 0));
            index += 1;
        } else {
            descriptors.extend(chain(rng, index, count, readable));
            index += count;
        }
    }
    records.push(action(Actor::Driver, 0, &[&first.to_le_bytes(), &descriptors]));
    records.push(action(Actor::Driver, 1, &[&heads]));
    if rng.bool() {
        let fill = if rng.bool() { 0 } else { rng.u16(..80) };
        records.push(action(Actor::Device, 1, &[&[0], &fill.to_le_bytes()]));
    }
    if rng.bool() {
        records.push(action(Actor::Device, 2, &[&[0, u8::MAX]]));
    }
    records
}

/// Descriptors of one chain, whose first has this index.
fn chain(rng: &mut fastrand::Rng, first: u16, count: u16, readable: u16) -> Vec<u8> {
    let one = |at: u16| {
        let flags = if at < readable { 0 } else { WRITE } | if at + 1 < count { NEXT } else { 0 };
        descriptor(address(rng), len(rng), flags, first + at + 1)
    };
    (0..count).flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::peer::queue::device::Core;
    use crate::target::diff_virtio_queue::Stage;

    /// Changes a script a few times; shows each child.
    fn children(seed: u64, mut see: impl FnMut(&[u8])) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut script = script::encode(&life(&mut rng));
        for _ in 0..4 {
            see(&script);
            let size = script.len();
            script.resize(size + 1024, 0);
            let max_size = script.len();
            let len = mutate(&mut script, size, max_size, rng.u32(..), &mut |data, size| {
                if let Some(byte) = data.get_mut(size / 2) {
                    *byte ^= 1;
                }
                size
            });
            assert!(len <= max_size);
            script.truncate(len);
        }
    }

    #[test]
    fn children_get_somewhere() {
        let mut stage = Stage::<Core>::default();
        let (mut operations, mut chains, mut shapes) = (0, 0, BTreeSet::new());
        for seed in 0..3000 {
            children(seed, |script| {
                let tally = stage.check(script);
                operations += tally.operations;
                chains += tally.chains;
                shapes.extend(tally.shapes.iter().map(|shape| format!("{shape:?}")));
            });
        }
        assert!(operations > 30_000 && chains > 4000, "{operations} operations, {chains} chains");
        assert!(shapes.len() >= 20, "{shapes:?}");
    }

    #[test]
    fn a_child_that_has_no_room_is_cut_at_a_record() {
        children(1, |script| {
            let mut data = script.to_vec();
            let size = data.len();
            for seed in 0..20 {
                let len = mutate(&mut data, size, size.min(64), seed, &mut |_, _| 0);
                assert!(len <= 64);
                let records = script::decode(&data[..len]);
                assert!(len == 0 || script::encode(&records) == data[..len], "{records:?}");
            }
        });
    }

    #[test]
    fn an_empty_input_becomes_a_ring() {
        let mut data = [0; 1024];
        let len = (0..50)
            .map(|seed| mutate(&mut data, 0, 1024, seed, &mut |_, size| size))
            .find(|len| *len > 0);
        assert!(len.is_some_and(|len| !script::decode(&data[..len]).is_empty()));
    }
}
