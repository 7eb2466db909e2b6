//! Steps that are nearly right: a good command with one mistake, at a moment that may be wrong.

use fastrand::Rng;
use vhost_fuzz_core::net::control::Hashing;
use vhost_fuzz_core::net::header::Features;

use super::{ALL, GROUPS, STATIONS, Setup, Step};

/// Class and number of every command.
pub const KINDS: [(u8, u8); 20] = [
    (0, 0),
    (0, 1),
    (0, 2),
    (0, 3),
    (0, 4),
    (0, 5),
    (1, 0),
    (1, 1),
    (2, 0),
    (2, 1),
    (3, 0),
    (4, 0),
    (4, 1),
    (4, 2),
    (5, 0),
    (6, 0),
    (6, 1),
    (6, 2),
    (6, 3),
    (7, 0),
];

/// Those with the most to get wrong, which come more often.
const LONG: [(u8, u8); 4] = [(1, 0), (4, 1), (4, 1), (4, 2)];

/// Feature bits that commands depend on.
const BITS: [u32; 18] = [2, 5, 17, 18, 19, 20, 21, 22, 23, 51, 52, 53, 57, 60, 1, 7, 65, 66];

/// VLANs that probes are of, and their neighbours.
const VLANS: [u16; 6] = [0, 1, 256, 5, 4093, 4094];

/// Bits of offloads in the command.
const OFFLOADS: [u32; 9] = [1, 7, 8, 9, 10, 54, 55, 46, 47];

/// Steps for a device: features first, then mostly commands.
pub fn steps(rng: &mut Rng, setup: Setup, count: usize) -> Vec<Step> {
    let mut steps = vec![Step::Negotiate(features(rng))];
    steps.extend(std::iter::repeat_with(|| step(rng, setup)).take(count));
    steps
}

/// One step.
pub fn step(rng: &mut Rng, setup: Setup) -> Step {
    match rng.u8(..32) {
        0 => Step::Negotiate(features(rng)),
        1 => Step::Link(rng.bool()),
        2 | 3 => Step::Announce,
        4..=6 => Step::Enable { queue: queue(rng, setup), is_enabled: rng.bool() },
        _ => {
            let room = if rng.u8(..8) == 0 { rng.u16(..9) } else { 64 };
            Step::Command { bytes: command(rng, setup), room }
        }
    }
}

/// What is negotiated: mostly everything, or everything but one bit, or a little.
pub fn features(rng: &mut Rng) -> Features {
    let bit = Features::from_bits(1 << BITS[rng.usize(..BITS.len())]);
    match rng.u8(..8) {
        0..=3 => ALL,
        4 | 5 => ALL.without(bit),
        6 => Features::CTRL_VQ | bit,
        _ => Features::from_bits(rng.u128(..)),
    }
}

/// A command, good three times in five.
pub fn command(rng: &mut Rng, setup: Setup) -> Vec<u8> {
    let kind = match rng.u8(..8) {
        0 | 1 => LONG[rng.usize(..LONG.len())],
        _ => KINDS[rng.usize(..KINDS.len())],
    };
    let mut bytes = good(rng, setup, kind);
    match rng.u8(..20) {
        0 => bytes.truncate(rng.usize(..=bytes.len())),
        1 => (0..rng.u8(1..20)).for_each(|_| bytes.push(rng.u8(..))),
        2 => bytes[0] = rng.u8(..12),
        3 => bytes[1] = rng.u8(..8),
        4 => flip(rng, &mut bytes),
        5..=7 => bad(rng, setup, &mut bytes),
        _ => {}
    }
    bytes
}

/// Changes any bytes into others that are nearly a command: for a mutator that keeps what it has.
pub fn mutate(rng: &mut Rng, setup: Setup, bytes: &mut Vec<u8>) {
    match rng.u8(..8) {
        0 => bytes.truncate(rng.usize(..=bytes.len())),
        1 => (0..rng.u8(1..20)).for_each(|_| bytes.push(rng.u8(..))),
        2 => flip(rng, bytes),
        3 | 4 => {
            // A field at its edge.
            let edge = [0, 1, setup.pairs, setup.queues(), 0x8000, u16::MAX][rng.usize(..6)];
            let at = 2 * rng.usize(..=bytes.len() / 2);
            if let Some(field) = bytes.get_mut(at..at + 2) {
                field.copy_from_slice(&edge.to_le_bytes());
            }
        }
        _ => *bytes = command(rng, setup),
    }
}

/// Changes a command in any of its bytes.
fn flip(rng: &mut Rng, bytes: &mut [u8]) {
    if !bytes.is_empty() {
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
    }
}

/// A good command of this kind, on a device with everything.
pub fn good(rng: &mut Rng, setup: Setup, (class, command): (u8, u8)) -> Vec<u8> {
    let mut bytes = vec![class, command];
    match (class, command) {
        (0, _) => bytes.push(rng.u8(..2)),
        (1, 0) => table(rng, setup, &mut bytes),
        (1, _) => bytes.extend(STATIONS[rng.usize(..4)]),
        (2, _) => bytes.extend(VLANS[rng.usize(..VLANS.len())].to_le_bytes()),
        (4, 0) => bytes.extend(rng.u16(1..=setup.pairs).to_le_bytes()),
        (4, _) => hashing(rng, setup, command == 1, &mut bytes),
        (5, _) => bytes.extend(offloads(rng).to_le_bytes()),
        (6, 0 | 1) => wish(rng, &mut bytes),
        (6, _) => {
            bytes.extend(rng.u16(..setup.queues()).to_le_bytes());
            bytes.extend([0; 2]);
            if command == 2 {
                wish(rng, &mut bytes);
            }
        }
        (7, _) => bytes.extend([0; 4]),
        _ => {}
    }
    bytes
}

fn wish(rng: &mut Rng, bytes: &mut Vec<u8>) {
    bytes.extend(rng.u32(..).to_le_bytes());
    bytes.extend(rng.u32(..).to_le_bytes());
}

/// Kinds of hash and a key, and a table between them.
fn hashing(rng: &mut Rng, setup: Setup, has_table: bool, bytes: &mut Vec<u8>) {
    let limits = setup.hashing.unwrap_or(Hashing { key_max: 0, table_max: 1, types: 0 });
    let types = if rng.bool() { limits.types } else { limits.types & rng.u32(..) };
    bytes.extend(types.to_le_bytes());
    if has_table {
        let size = 1 << rng.u32(..=u32::from(limits.table_max).ilog2().min(9));
        bytes.extend(u16::to_le_bytes(size - 1));
        // One for the frames without a hash, and those of the table.
        (0..=size).for_each(|_| bytes.extend(rng.u16(..setup.pairs).to_le_bytes()));
        bytes.extend(rng.u16(1..=setup.pairs).to_le_bytes());
    } else {
        (0..8).for_each(|_| bytes.push(rng.u8(..2)));
    }
    let len = if rng.u8(..4) == 0 { rng.u8(..=limits.key_max) } else { limits.key_max };
    bytes.push(len);
    (0..len).for_each(|_| bytes.push(rng.u8(..)));
}

/// Both lists, mostly as many addresses as are kept, or one more.
fn table(rng: &mut Rng, setup: Setup, bytes: &mut Vec<u8>) {
    for pool in [STATIONS, GROUPS] {
        let count = rng.u32(..=u32::from(setup.addresses) + 1);
        bytes.extend(count.to_le_bytes());
        for _ in 0..count {
            // Now and then one that is in the wrong list.
            let pool = if rng.u8(..16) == 0 { GROUPS } else { pool };
            bytes.extend(pool[rng.usize(..pool.len())]);
        }
    }
}

fn offloads(rng: &mut Rng) -> u64 {
    OFFLOADS.iter().fold(0, |bits, bit| bits | u64::from(rng.u8(..4) != 0) << bit)
}

/// The index of a queue, often the first that is none.
fn queue(rng: &mut Rng, setup: Setup) -> u16 {
    match rng.u8(..8) {
        0 => setup.queues(),
        1 => 2,
        2 => rng.u16(..),
        _ => rng.u16(..setup.queues()),
    }
}

/// Gives a field a value at, or behind, its edge.
fn bad(rng: &mut Rng, setup: Setup, bytes: &mut Vec<u8>) {
    let [class, command, ..] = bytes[..] else { return };
    if (class, command) == (4, 1) && rng.u8(..4) == 0 {
        return bad_table(rng, setup, bytes);
    }
    let data = &mut bytes[2..];
    match (class, command) {
        (0, _) => data[0] = rng.u8(2..),
        (1, 0) => {
            // A number that is one too large, or whose product with 6 wraps.
            let count = [0, 1, 2, 0x2aaa_aaab, 0x4000_0000, 0xffff_ffff_u32][rng.usize(..6)];
            let first = 6 * usize::try_from(wide(data)).unwrap_or(0);
            let at = if rng.bool() { 0 } else { 4 + first };
            let wrapped = count.wrapping_add(wide(&data[at..]));
            data[at..at + 4].copy_from_slice(&wrapped.to_le_bytes());
        }
        (1, _) => {
            let address = if rng.bool() { GROUPS[rng.usize(..5)] } else { [0; 6] };
            data.copy_from_slice(&address);
        }
        (2, _) => {
            let vlan = [4095, 4096, 4097, u16::MAX][rng.usize(..4)];
            data.copy_from_slice(&vlan.to_le_bytes());
        }
        (4, 1 | 2) => bad_hashing(rng, setup, command == 1, data),
        (4, _) => {
            let pairs = [0, setup.pairs + 1, 0x8000, u16::MAX][rng.usize(..4)];
            data.copy_from_slice(&pairs.to_le_bytes());
        }
        (5, _) => {
            let bits = u64::from_le_bytes(data.try_into().unwrap_or_default());
            let bits = bits | 1 << rng.u32(..64);
            data.copy_from_slice(&bits.to_le_bytes());
        }
        (7, _) => data[0] = rng.u8(1..),
        (6, 2 | 3) => data[..2].copy_from_slice(&queue(rng, setup).to_le_bytes()),
        _ => flip(rng, bytes),
    }
}

/// A table of a size that is no power of two, or too large; it is there as a whole.
fn bad_table(rng: &mut Rng, setup: Setup, bytes: &mut Vec<u8>) {
    let limit = setup.hashing.map_or(0, |it| it.table_max);
    let len = 2 * (usize::from(bytes[6]) + 256 * usize::from(bytes[7]) + 1);
    let mask = [2, 5, 126, limit, 2 * limit.max(1) - 1, u16::MAX][rng.usize(..6)];
    bytes[6..8].copy_from_slice(&mask.to_le_bytes());
    bytes.splice(10..10 + len, vec![0; 2 * (usize::from(mask) + 1)]);
}

/// Breaks one field: kinds, a queue, the queues to send with, or the length of the key.
fn bad_hashing(rng: &mut Rng, setup: Setup, has_table: bool, data: &mut [u8]) {
    let size = u16::from_le_bytes([data[4], data[5]]);
    let table = 8 + 2 * (usize::from(size) + 1);
    let pair = [setup.pairs, 0x8000, 0x8001, u16::MAX][rng.usize(..4)].to_le_bytes();
    match rng.u8(..if has_table { 5 } else { 2 }) {
        0 => data[rng.usize(1..4)] |= 1 << rng.u8(1..8),
        1 => data[if has_table { table + 2 } else { 12 }] = rng.u8(41..),
        2 => data[6..8].copy_from_slice(&pair),
        3 => {
            let at = 8 + 2 * usize::from(rng.u16(..=size));
            data[at..at + 2].copy_from_slice(&pair);
        }
        _ => {
            let pairs = if rng.bool() { [0; 2] } else { (setup.pairs + 1).to_le_bytes() };
            data[table..table + 2].copy_from_slice(&pairs);
        }
    }
}

/// The little-endian number at the front.
fn wide(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |number| u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vhost_fuzz_core::net::control::Control;

    use super::*;
    use crate::control::judge;

    #[test]
    fn what_is_drawn_breaks_every_rule_and_most_of_it_is_good() {
        let (mut rules, mut done, mut all) = (BTreeSet::new(), 0, 0);
        for seed in 0..400 {
            let mut rng = Rng::with_seed(seed);
            let setup = Setup { pairs: rng.u16(1..=4), ..Setup::default() };
            let tally = judge::<Control>(setup, &steps(&mut rng, setup, 40));
            all += tally.done + tally.broken.len();
            done += tally.done;
            rules.extend(tally.broken.iter().map(ToString::to_string));
        }
        assert!(done * 2 > all, "{done} of {all}");
        for rule in [
            "NET-038", "NET-039", "NET-043", "NET-047", "NET-048", "NET-050", "NET-052", "DC-142",
            "DC-145", "DC-146",
        ] {
            assert!(rules.contains(rule), "{rule} is not in {rules:?}");
        }
    }

    #[test]
    fn mutants_of_anything_are_commands() {
        let (mut done, mut refused) = (0, 0);
        let setup = Setup::default();
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let (mut steps, mut bytes) = (vec![Step::Negotiate(ALL)], vec![]);
            for _ in 0..30 {
                mutate(&mut rng, setup, &mut bytes);
                steps.push(Step::command(bytes.clone()));
            }
            let tally = judge::<Control>(setup, &steps);
            done += tally.done;
            refused += tally.broken.len();
        }
        assert!(done > 1000 && refused > 1000, "{done} done, {refused} refused");
    }
}
