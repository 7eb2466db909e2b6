//! Mutates an input of `arp`: frames, their order, their fields, and what makes them right again.

use super::{ByteMutator, is_bytes_turn, put};
use crate::gateway::build::{Arp, datagram, echo, seal, to_gateway};
use crate::gateway::{self, FRAME_MAX, GATEWAY_MAC, GATEWAYS, GUEST_MAC, LEASES, Record, Setup};

/// Most frames of an input that is made here.
const FRAMES_MAX: usize = 12;

/// A frame with what is told beside it.
#[derive(Clone, Debug)]
struct Owned {
    frame: Vec<u8>,
    is_late: bool,
    is_partial: bool,
}

/// Changes `data[..size]` into another input of at most `max_size` bytes; returns its length.
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
    let (mut setup, mut frames) = owned(&data[..size]);
    for _ in 0..=rng.u8(..3) {
        step(&mut setup, &mut frames, &mut rng);
    }
    put(data, max_size, &join(setup, &frames))
}

/// The first frames of one parent, and the last of the other; returns the length of the child.
pub fn crossover(first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    let (setup, mut frames) = owned(first);
    let (_, others) = owned(second);
    frames.truncate(rng.usize(..=frames.len()));
    frames.extend_from_slice(&others[rng.usize(..=others.len())..]);
    let max_size = out.len();
    put(out, max_size, &join(setup, &frames))
}

fn owned(bytes: &[u8]) -> (Setup, Vec<Owned>) {
    let (setup, records) = gateway::decode(bytes);
    let own = |record: Record<'_>| Owned {
        frame: record.frame.to_vec(),
        is_late: record.is_late,
        is_partial: record.is_partial,
    };
    (setup, records.into_iter().map(own).collect())
}

fn join(setup: Setup, frames: &[Owned]) -> Vec<u8> {
    let record = |owned: &'_ Owned| (owned.is_late, owned.is_partial);
    let records: Vec<_> = frames
        .iter()
        .map(|owned| {
            let (is_late, is_partial) = record(owned);
            Record { frame: &owned.frame, is_late, is_partial }
        })
        .collect();
    gateway::encode(setup, &records)
}

fn step(setup: &mut Setup, frames: &mut Vec<Owned>, rng: &mut fastrand::Rng) {
    if frames.is_empty() || rng.u8(..6) == 0 && frames.len() < FRAMES_MAX {
        let at = rng.usize(..=frames.len());
        frames.insert(at, Owned { frame: any_frame(rng), is_late: false, is_partial: false });
        return;
    }
    let at = rng.usize(..frames.len());
    match rng.u8(..12) {
        0 => setup.0 ^= 1 << rng.u8(..7),
        1 if frames.len() < FRAMES_MAX => frames.insert(at, frames[at].clone()),
        2 => _ = frames.remove(at),
        3 => frames[at].is_late ^= true,
        4 => frames[at].is_partial ^= true,
        5 => {
            let other = rng.usize(..frames.len());
            frames.swap(at, other);
        }
        6 => resize(&mut frames[at].frame, rng),
        7 => retag(&mut frames[at].frame, rng),
        _ => {
            let frame = &mut frames[at].frame;
            field(frame, rng);
            // Mostly the change is not hidden behind a checksum.
            if rng.u8(..8) != 0 {
                seal(frame);
            }
        }
    }
}

/// A frame that a guest could send.
fn any_frame(rng: &mut fastrand::Rng) -> Vec<u8> {
    let to = address(rng);
    match rng.u8(..4) {
        0 | 1 => Arp { op: rng.u16(1..4), ..Arp::request(address(rng), to) }.bytes(),
        2 => {
            let len = [0, 1, 8, 36, 56, 100, 1472, 1473][rng.usize(..8)];
            to_gateway(&echo(to, &vec![rng.u8(..); len]))
        }
        _ => {
            let port = [7, 67, 53, rng.u16(..)][rng.usize(..4)];
            to_gateway(&datagram(to, port, &vec![rng.u8(..); rng.usize(..40)]))
        }
    }
}

fn address(rng: &mut fastrand::Rng) -> [u8; 4] {
    const OTHERS: [[u8; 4]; 10] = [
        [0; 4],
        [255; 4],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [239, 255, 255, 255],
        [240, 0, 0, 1],
        [169, 254, 77, 7],
        [198, 51, 100, 7],
        [0, 0, 0, 1],
        [126, 255, 255, 255],
    ];
    match rng.u8(..3) {
        0 => GATEWAYS[rng.usize(..GATEWAYS.len())],
        1 => LEASES[rng.usize(..LEASES.len())],
        _ => OTHERS[rng.usize(..OTHERS.len())],
    }
}

/// Fields of frames without a tag: where they are in ARP, IPv4 and what it carries, and how long.
const FIELDS: [(usize, usize); 24] = [
    (0, 6),
    (6, 6),
    (12, 2),
    (14, 1),
    (15, 1),
    (16, 2),
    (18, 1),
    (19, 1),
    (20, 2),
    (22, 1),
    (22, 6),
    (23, 1),
    (24, 2),
    (26, 4),
    (28, 4),
    (30, 4),
    (32, 6),
    (34, 1),
    (35, 1),
    (34, 2),
    (36, 2),
    (38, 2),
    (38, 4),
    (40, 2),
];

fn field(frame: &mut [u8], rng: &mut fastrand::Rng) {
    let (at, len) = FIELDS[rng.usize(..FIELDS.len())];
    let Some(field) = frame.get_mut(at..at + len) else { return };
    match len {
        4 => field.copy_from_slice(&address(rng)),
        6 => {
            let macs = [GATEWAY_MAC, GUEST_MAC, [0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]];
            field.copy_from_slice(&macs[rng.usize(..macs.len())]);
        }
        2 => {
            let old = u16::from_be_bytes([field[0], field[1]]);
            let new = [
                0,
                1,
                2,
                0xffff,
                0x0800,
                0x0806,
                0x8100,
                1 << rng.u8(..16),
                old.wrapping_add(1),
                old.wrapping_sub(1),
            ];
            field.copy_from_slice(&new[rng.usize(..new.len())].to_be_bytes());
        }
        _ => {
            let new = [0, 1, 6, 8, 17, 0x44, 0x45, 0x46, 0xff, rng.u8(..), field[0] ^ 1];
            field[0] = new[rng.usize(..new.len())];
        }
    }
}

fn resize(frame: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    let len = frame.len();
    let lens = [
        rng.usize(..=len),
        len.saturating_sub(1),
        len + 1,
        len + rng.usize(..64),
        [13, 14, 18, 34, 41, 42, 60][rng.usize(..7)],
    ];
    let len = lens[rng.usize(..lens.len())].min(FRAME_MAX);
    frame.resize(len, rng.u8(..));
}

/// Puts a tag in, or takes it out.
fn retag(frame: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    match frame.get(12..16) {
        Some([0x81, 0, ..] | [0x88, 0xa8, ..]) if rng.u8(..4) != 0 => {
            frame.drain(12..16);
        }
        Some(_) => {
            let protocol: [u8; 2] = if rng.bool() { [0x81, 0] } else { [0x88, 0xa8] };
            let control = [0, 5, 0xe000, 0xffff, rng.u16(..)][rng.usize(..5)].to_be_bytes();
            frame.splice(12..12, protocol.into_iter().chain(control));
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vhost_fuzz_model::net::gateway::Said;

    use super::*;
    use crate::gateway::Core;
    use crate::oracle::gateway::{broken, judge};
    use crate::target::arp::check;

    /// What the mutator makes of nothing, again and again, gets every answer that there is, and the
    /// core gives them.
    #[test]
    fn every_answer_is_reached() {
        let mut found = BTreeSet::new();
        let mut data = vec![0; 4096];
        let mut size = 0;
        for seed in 0..60_000 {
            size = if seed % 40 == 0 { 0 } else { size };
            size = mutate(&mut data, size, 4096, seed, &mut |_, size| size);
            let outcome = check::<Core>(&data[..size]);
            let said = judge(&data[..size]);
            assert_eq!(outcome.broken, broken(&said));
            for said in said {
                found.insert(match said {
                    Said::Reply(reply) => format!("reply {}", reply.len() == 42),
                    Said::Silent(id) | Said::Refused(id) => id.to_string(),
                });
            }
        }
        for id in [
            "reply false",
            "reply true",
            "L2-001",
            "L2-002",
            "L2-003",
            "L2-004",
            "L2-006",
            "L2-007",
            "L2-008",
            "L2-009",
            "L2-010",
            "L2-012",
            "L2-013",
            "AR-001",
            "AR-002",
            "AR-005",
            "AR-006",
            "AR-009",
            "AR-010",
            "AR-011",
            "AR-012",
            "AR-014",
            "AR-017",
            "DC-105",
        ] {
            assert!(found.contains(id), "{id} is not reached: {found:?}");
        }
    }

    #[test]
    fn children_have_frames_of_both_parents() {
        let frame = |byte| vec![byte; 3];
        let one = |byte| {
            let frame = frame(byte);
            gateway::encode(Setup(byte), &[Record::new(&frame), Record::new(&frame)])
        };
        let mut mixed = 0;
        for seed in 0..64 {
            let mut out = [0; 64];
            let len = crossover(&one(1), &one(2), &mut out, seed);
            let (setup, records) = gateway::decode(&out[..len]);
            assert_eq!(setup, Setup(1));
            let has = |byte| records.iter().any(|record| record.frame == frame(byte));
            mixed += usize::from(has(1) && has(2));
        }
        assert!(mixed > 8, "{mixed}");
    }
}
