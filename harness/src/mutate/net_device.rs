//! Mutates a script of a network device: how it starts, what the driver sends, posts and commands,
//! and when the device wakes up.

use fastrand::Rng;
use vhost_fuzz_core::ring::{Layout as Form, flag};

use super::{ByteMutator, boundary, is_bytes_turn, put, script};
use crate::gateway::build::seal;
use crate::net_device::setup::Setup;
use crate::net_device::{Cut, Start, Step, frames, step};
use crate::ram::Layout;
use crate::ring::step::{DESCRIPTOR_LEN, Descriptor, Descriptors};

/// Most steps that are copied or moved at once.
const RUN_MAX: usize = 8;

/// Most steps of a script.
const STEPS_MAX: usize = 64;

/// Changes `data[..size]` into another script of at most `max_size` bytes; returns its length.
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
    let mut steps: Vec<_> = step::steps(&data[..size]).map(Step::into_owned).collect();
    for _ in 0..=rng.u8(..3) {
        Change::draw(&mut rng).apply(&mut steps, &mut rng);
    }
    let records: Vec<_> = steps.iter().map(Step::record).collect();
    put(data, max_size, &script::fitting(&records, max_size))
}

/// One way to change a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Something that belongs together happens as well.
    Phrase,
    /// The device starts in another way.
    Start,
    /// A step has another number in it.
    Field,
    /// A frame or a command has other bytes.
    Bytes,
    /// A chain has another descriptor.
    Descriptor,
    /// A run of steps happens again.
    Copy,
    /// A run of steps happens earlier or later.
    Move,
    /// A run of steps does not happen.
    Remove,
}

impl Change {
    /// As often as each is drawn.
    const DRAWN: [Self; 16] = [
        Self::Phrase,
        Self::Phrase,
        Self::Phrase,
        Self::Phrase,
        Self::Start,
        Self::Start,
        Self::Field,
        Self::Field,
        Self::Field,
        Self::Bytes,
        Self::Bytes,
        Self::Bytes,
        Self::Descriptor,
        Self::Copy,
        Self::Move,
        Self::Remove,
    ];

    fn draw(rng: &mut Rng) -> Self {
        Self::DRAWN[rng.usize(..Self::DRAWN.len())]
    }

    fn apply(self, steps: &mut Vec<Step<'static>>, rng: &mut Rng) {
        let any = rng.usize(..steps.len().max(1));
        match self {
            Self::Phrase if steps.len() < STEPS_MAX => {
                let at = place(steps, rng);
                let said = phrase(steps, rng);
                steps.splice(at..at, said);
            }
            Self::Start => {
                if !matches!(steps.first(), Some(Step::Start(_))) {
                    steps.insert(0, Step::Start(Start::default()));
                }
                if let Some(Step::Start(start)) = steps.first_mut() {
                    alter_start(start, rng);
                }
            }
            Self::Field => steps.get_mut(any).into_iter().for_each(|step| alter(step, rng)),
            Self::Bytes => change_bytes(steps, rng),
            Self::Descriptor => change_descriptor(steps, rng),
            Self::Copy if steps.len() < STEPS_MAX => {
                let run = steps[run(steps, rng)].to_vec();
                let at = place(steps, rng);
                steps.splice(at..at, run);
            }
            Self::Move => {
                let run = run(steps, rng);
                let taken: Vec<_> = steps.drain(run).collect();
                let at = place(steps, rng);
                steps.splice(at..at, taken);
            }
            _ => drop(steps.drain(run(steps, rng))),
        }
    }
}

fn first(steps: &[Step<'_>]) -> usize {
    usize::from(matches!(steps.first(), Some(Step::Start(_))))
}

/// A place between steps; half of the time the end.
fn place(steps: &[Step<'_>], rng: &mut Rng) -> usize {
    if rng.bool() { steps.len() } else { rng.usize(first(steps)..=steps.len()) }
}

/// A few steps, without a start that leads them.
fn run(steps: &[Step<'_>], rng: &mut Rng) -> std::ops::Range<usize> {
    let from = rng.usize(first(steps)..=steps.len());
    from..(from + rng.usize(1..=RUN_MAX)).min(steps.len())
}

/// A frame that is answered, unless the gateway is set up not to.
fn frame(steps: &[Step<'_>], rng: &mut Rng) -> Vec<u8> {
    let gateway = match steps.first() {
        Some(Step::Start(start)) => start.gateway,
        _ => [0; 4],
    };
    match rng.u8(..12) {
        0..3 => frames::arp(),
        3 => frames::arp_on(rng.u16(..8)),
        4 | 5 => frames::echo([0, 1, 18, 64, 200, 900, 1472][rng.usize(..7)]),
        6 => frames::discover(),
        7 => frames::request(Setup(gateway)),
        8 => frames::neighbor(),
        9 => frames::router(),
        10 => frames::echo6(rng.usize(..200)),
        _ => frames::solicit(),
    }
}

fn cut(rng: &mut Rng) -> Cut {
    let piece = if rng.bool() { 0 } else { rng.u16(1..64) };
    Cut(if rng.u8(..4) == 0 { piece | Cut::TABLE } else { piece })
}

fn len(rng: &mut Rng) -> u16 {
    match rng.u8(..8) {
        0 => rng.u16(..32),
        1 => [10, 11, 12, 20, 24, 53, 54, 59, 60, 74][rng.usize(..10)],
        2 | 3 => rng.u16(..400),
        _ => [1526, 1534, 2048][rng.usize(..3)],
    }
}

/// A command of a driver, mostly a right one.
fn command(rng: &mut Rng) -> Vec<u8> {
    let mode = u8::from(rng.bool());
    let mut bytes = match rng.u8(..12) {
        0..3 => vec![0, rng.u8(..6), mode],
        3 => {
            let mut bytes = vec![1, 0];
            for _ in 0..2 {
                let count = rng.u8(..5);
                bytes.extend([count, 0, 0, 0]);
                (0..count).for_each(|at| bytes.extend([2, 0, 0, 0, 0, at + 7]));
            }
            bytes
        }
        4 => vec![1, 1, 2, 0, 0, 0, 0, rng.u8(7..11)],
        5 | 6 => vec![2, rng.u8(..2), rng.u8(..8), 0],
        7 => vec![3, 0],
        8 => vec![4, 0, rng.u8(..4), 0],
        9 => [&[5, 0][..], &(1_u64 << rng.u8(..64)).to_le_bytes()].concat(),
        10 => vec![6, rng.u8(..2), 1, 0, 0, 0, 2, 0, 0, 0],
        _ => [&[6, rng.u8(2..4), rng.u8(..6), 0, 0, 0][..], &[1; 8]].concat(),
    };
    match rng.u8(..16) {
        0 => bytes.truncate(rng.usize(..bytes.len())),
        1 => bytes.extend([0xa5; 9]),
        2 => bytes[0] = rng.u8(..),
        _ => {}
    }
    bytes
}

/// Steps that belong together.
fn phrase(steps: &[Step<'_>], rng: &mut Rng) -> Vec<Step<'static>> {
    let pair = usize::from(rng.u8(..4) == 0);
    match rng.u8(..16) {
        0..8 => {
            let mut said = Vec::new();
            let count = rng.u8(1..4);
            if rng.u8(..8) > 0 {
                let pieces = rng.usize(1..4);
                let lens: Vec<u8> = (0..pieces).flat_map(|_| len(rng).to_le_bytes()).collect();
                said.push(Step::Post { pair, count: rng.u8(1..8), lens: lens.into() });
            }
            for _ in 0..count {
                let (cut, bytes) = (cut(rng), frame(steps, rng).into());
                said.push(Step::Send { pair, cut, is_plain: true, bytes });
            }
            said.push(Step::wake(pair));
            said
        }
        8..11 => {
            let room = rng.u16(..20);
            let (cut, bytes) = (cut(rng), command(rng).into());
            vec![Step::Command { room, cut, bytes }, Step::Wake { queue: 4 }]
        }
        11 => vec![Step::Restart { queue: rng.usize(..5), is_fresh: rng.bool() }, Step::wake(pair)],
        12 => {
            let wish =
                Step::Wish { queue: rng.usize(..5), flags: rng.u16(..4), event: rng.u16(..20) };
            vec![wish]
        }
        13 => vec![Step::Wait { ms: rng.u32(..20_000) }],
        14 => {
            let mask = rng.u8(..8);
            vec![Step::Memory { regions: mask }, Step::wake(pair), Step::Memory { regions: 7 }]
        }
        _ => mischief(rng),
    }
}

/// Something that a good driver does not do.
fn mischief(rng: &mut Rng) -> Vec<Step<'static>> {
    let queue = rng.usize(..5);
    let step = match rng.u8(..6) {
        0 => Step::Advance { queue, by: rng.u16(..) >> rng.u8(..16) },
        1 => Step::Poke {
            address: address(rng),
            bytes: (0..rng.usize(1..17)).map(|_| rng.u8(..)).collect::<Vec<_>>().into(),
        },
        2 => Step::Discard { pair: queue % 2 },
        3 => Step::Negotiate { features: features(rng) },
        _ => {
            let descriptors = (0..rng.usize(1..4)).map(|_| descriptor(rng)).collect();
            Step::Chain { queue, id: rng.u16(..18), descriptors }
        }
    };
    vec![step, Step::Wake { queue }]
}

/// Mostly one in memory: rings, frames, buffers, commands.
fn address(rng: &mut Rng) -> u64 {
    match rng.u8(..8) {
        0 => boundary(rng),
        1 => 0x1_8000_u64.wrapping_sub(rng.u64(..64)),
        2 | 3 => 0x1_0000 + rng.u64(..0x4200),
        4 => 0x1_4400 + rng.u64(..0x200),
        5 => 0x1_7e00 + rng.u64(..0x200),
        _ => 0x2_0000 + rng.u64(..0x4000),
    }
}

fn descriptor(rng: &mut Rng) -> Descriptor {
    let flags = match rng.u8(..8) {
        0..3 => flag::WRITE,
        3 => flag::INDIRECT,
        4 => rng.u16(..8),
        _ => flag::NEXT | (rng.u16(..2) * flag::WRITE),
    };
    let len = match rng.u8(..4) {
        0 => u32::try_from(boundary(rng) & 0xffff_ffff).unwrap_or(0),
        1 => rng.u32(..64),
        _ => rng.u32(..0x1000),
    };
    Descriptor { address: address(rng), len, flags }
}

fn features(rng: &mut Rng) -> u128 {
    const BITS: [u8; 27] = [
        0, 1, 2, 3, 5, 7, 11, 12, 14, 15, 17, 18, 19, 20, 21, 22, 23, 32, 52, 53, 56, 57, 60, 65,
        67, 69, 70,
    ];
    let mut features = Start::default().features;
    for _ in 0..rng.u8(..10) {
        features ^= 1 << BITS[rng.usize(..BITS.len())];
    }
    features
}

fn alter_start(start: &mut Start, rng: &mut Rng) {
    match rng.u8(..12) {
        0 => {
            start.layout = if rng.u8(..4) == 0 {
                [Layout::Skewed, Layout::Large][rng.usize(..2)]
            } else {
                [Layout::Small, Layout::Odd][rng.usize(..2)]
            };
        }
        1 | 2 => {
            start.form = if start.form == Form::Split { Form::Packed } else { Form::Split };
        }
        3 => start.is_swapped ^= true,
        4 => start.rings ^= 1 << rng.u8(..5),
        5 | 6 => start.features = features(rng),
        7 => start.sizes[rng.usize(..5)] = [0, 1, 2, 4, 8, 16, 64, 128, 5, 1000][rng.usize(..10)],
        8 => start.gateway[rng.usize(..4)] ^= 1 << rng.u8(..8),
        9 => start.control ^= 1 << rng.u8(..4),
        10 => start.mtu = [0, 60, 100, 576, 1280, 1500, 65535][rng.usize(..7)],
        _ => start.base = 0_u16.wrapping_sub(rng.u16(..8)) ^ if rng.bool() { 0x8000 } else { 0 },
    }
}

/// Draws a number of a step again.
fn alter(step: &mut Step<'static>, rng: &mut Rng) {
    match step {
        Step::Start(start) => alter_start(start, rng),
        Step::Poke { address: old, .. } | Step::Table { address: old, .. } => *old = address(rng),
        Step::Wake { queue } | Step::Chain { queue, .. } => *queue = rng.usize(..5),
        Step::Discard { pair } => *pair = rng.usize(..2),
        Step::Restart { queue, is_fresh } | Step::Enable { queue, is_on: is_fresh } => {
            (*queue, *is_fresh) = (rng.usize(..5), rng.bool());
        }
        Step::Memory { regions } => *regions ^= 1 << rng.u8(..4),
        Step::Wait { ms } => *ms = rng.u32(..) >> rng.u8(..32),
        Step::Link { is_up } => *is_up ^= true,
        Step::Announce => {}
        Step::Negotiate { features: old } => *old = features(rng),
        Step::Mtu { mtu } => *mtu = rng.u16(..) >> rng.u8(..12),
        Step::Send { pair, cut: old, is_plain, .. } => match rng.u8(..4) {
            0 => *pair ^= 1,
            1 => *is_plain ^= true,
            _ => *old = cut(rng),
        },
        Step::Post { pair, count, lens } => match rng.u8(..4) {
            0 => *pair ^= 1,
            1 => *count = rng.u8(..20),
            _ => {
                let pieces = rng.usize(1..5);
                *lens = (0..pieces).flat_map(|_| len(rng).to_le_bytes()).collect::<Vec<_>>().into();
            }
        },
        Step::Command { room, cut: old, .. } => {
            (*room, *old) = (rng.u16(..20), cut(rng));
        }
        Step::Wish { queue, flags, event } => {
            (*queue, *flags, *event) = (rng.usize(..5), rng.u16(..4), rng.u16(..20));
        }
        Step::Advance { queue, by } => {
            (*queue, *by) = (rng.usize(..5), rng.u16(..) >> rng.u8(..16));
        }
    }
}

/// Changes what is sent or commanded.
fn change_bytes(steps: &mut [Step<'static>], rng: &mut Rng) {
    let mut all: Vec<_> = steps
        .iter_mut()
        .filter_map(|step| match step {
            Step::Send { bytes, is_plain, .. } => Some((bytes, *is_plain)),
            Step::Command { bytes, .. } | Step::Poke { bytes, .. } => Some((bytes, false)),
            _ => None,
        })
        .collect();
    if all.is_empty() {
        return;
    }
    let (bytes, is_frame) = all.swap_remove(rng.usize(..all.len()));
    let bytes = bytes.to_mut();
    let at = rng.usize(..bytes.len().max(1));
    match (rng.u8(..8), bytes.get_mut(at)) {
        (0, _) => bytes.truncate(at),
        (1, _) => bytes.extend(std::iter::repeat_n(rng.u8(..), rng.usize(1..40))),
        (2 | 3, Some(byte)) => *byte = rng.u8(..),
        (_, Some(byte)) => *byte ^= 1 << rng.u8(..8),
        (_, None) => bytes.push(rng.u8(..)),
    }
    // Mostly the change is not hidden behind a checksum.
    if is_frame && rng.u8(..8) != 0 {
        seal(bytes);
    }
}

/// Changes one descriptor of a chain or a table.
fn change_descriptor(steps: &mut [Step<'static>], rng: &mut Rng) {
    let mut all: Vec<_> = steps
        .iter_mut()
        .filter_map(|step| match step {
            Step::Chain { descriptors, .. } | Step::Table { descriptors, .. } => Some(descriptors),
            _ => None,
        })
        .collect();
    if all.is_empty() {
        return;
    }
    let Descriptors(bytes) = all.swap_remove(rng.usize(..all.len()));
    let bytes = bytes.to_mut();
    let count = bytes.len() / DESCRIPTOR_LEN;
    let at = DESCRIPTOR_LEN * rng.usize(..=count);
    let new = descriptor(rng).bytes();
    match bytes.get_mut(at..at + DESCRIPTOR_LEN) {
        Some(old) => old.copy_from_slice(&new),
        None => bytes.extend(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus;
    use crate::target::net_device::judge;
    use std::collections::BTreeSet;

    #[test]
    fn every_change_is_drawn_and_makes_a_script() {
        let mut rng = Rng::with_seed(1);
        let drawn: BTreeSet<_> =
            (0..300).map(|_| format!("{:?}", Change::draw(&mut rng))).collect();
        assert_eq!(drawn.len(), 8, "{drawn:?}");
        for change in Change::DRAWN {
            for seed in 0..100 {
                let mut rng = Rng::with_seed(seed);
                let mut steps = Vec::new();
                change.apply(&mut steps, &mut rng); // no script is one, too
                for _ in 0..4 {
                    Change::Phrase.apply(&mut steps, &mut rng);
                }
                change.apply(&mut steps, &mut rng);
                let script = step::encode(&steps);
                assert_eq!(step::steps(&script).collect::<Vec<_>>(), steps, "{change:?}");
            }
        }
    }

    #[test]
    fn children_fit_and_many_of_them_are_answered() {
        let seeds = corpus::seeds("net_device").expect("a corpus");
        let (mut replies, mut children) = (0, 0);
        for (number, seed) in (0..).zip(&seeds) {
            let mut data = seed.bytes.clone();
            data.resize(4096.max(data.len()), 0);
            let len = mutate(&mut data, seed.bytes.len(), 4096, number, &mut |_, size| size);
            assert!(len <= 4096 || len == seed.bytes.len());
            replies += judge(&data[..len]).replies.len();
            children += 1;
        }
        assert!(2 * replies > children, "{replies} replies to {children} children");
    }
}
