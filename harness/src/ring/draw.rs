//! Draws steps: mostly what a good driver and a good device do, with a mistake now and then.

use fastrand::Rng;
use vhost_fuzz_core::ring::{Layout as Form, flag};

use super::step::{Descriptor, Start, Step, feature};
use crate::ram::Layout;

/// Sizes that are drawn. Some are none of a split ring.
const SIZES: [u16; 12] = [1, 2, 3, 4, 4, 5, 8, 8, 16, 64, 256, 1000];

/// Addresses, lengths and indices at which something changes.
pub const BOUNDARIES: [u64; 12] = [
    0,
    1,
    15,
    16,
    17,
    0x1000,
    0x7fff,
    0xffff,
    0x1_0000,
    0xffff_ffff,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];

/// A way to start a ring.
#[must_use]
pub fn start(rng: &mut Rng, form: Form) -> Start {
    let layout = match rng.u8(..32) {
        0 => Layout::Large,
        1 => Layout::Skewed,
        2..10 => Layout::Odd,
        _ => Layout::Small,
    };
    let mut size =
        if layout == Layout::Large && rng.bool() { 32768 } else { SIZES[rng.usize(..SIZES.len())] };
    if form == Form::Split && rng.u8(..16) > 0 {
        size = size.next_power_of_two();
    }
    let mut features = rng.u8(..8);
    if rng.u8(..32) == 0 {
        features |= feature::LEGACY;
    }
    if rng.u8(..8) == 0 {
        features |= feature::LENIENT;
    }
    let cap = if rng.u8(..8) == 0 { rng.u16(1..=8) } else { 0 };
    let base = base(rng, form, size);
    let mut start = Start { layout, size, features, cap, base, parts: Start::parts(layout, size) };
    if rng.u8(..8) == 0 {
        let part = rng.usize(..3);
        let moved = match rng.u8(..4) {
            0 => rng.u64(..32),
            1 => rng.u64(..0x4000) & !15,
            2 => rng.u64(..0x2_0000) & !3,
            _ => BOUNDARIES[rng.usize(..BOUNDARIES.len())],
        };
        start.parts[part] = start.parts[part].wrapping_add(moved);
    }
    start
}

/// A base: fresh, near a wrap, or anything.
fn base(rng: &mut Rng, form: Form, size: u16) -> u32 {
    let at = match rng.u8(..4) {
        0 | 1 => 0,
        2 => 0_u16.wrapping_sub(rng.u16(..4)),
        _ => rng.u16(..),
    };
    let (low, high) = match form {
        Form::Split => (at.wrapping_add(if rng.u8(..8) == 0 { rng.u16(..=size) } else { 0 }), at),
        Form::Packed => {
            let half = (at % size.max(1)) | if rng.bool() { 0x8000 } else { 0 };
            (half, if rng.u8(..8) == 0 { rng.u16(..) } else { half })
        }
    };
    u32::from(high) << 16 | u32::from(low)
}

/// What is known while steps are drawn.
#[derive(Debug)]
pub struct Draw {
    form: Form,
    start: Start,
    /// The head of the next chain.
    head: u16,
}

impl Draw {
    /// Draws for this ring.
    #[must_use]
    pub const fn new(form: Form, start: Start) -> Self {
        Self { form, start, head: 0 }
    }

    /// A few steps that belong together.
    pub fn phrase(&mut self, rng: &mut Rng, steps: &mut Vec<Step<'static>>) {
        match rng.u8(..32) {
            0..10 => self.chain(rng, steps),
            10..13 => self.indirect(rng, steps),
            13..15 => {
                for _ in 0..rng.u8(1..8) {
                    self.chain(rng, steps);
                }
                steps.push(Step::Pop { count: rng.u8(1..16) });
            }
            15..18 => steps.push(Step::Pop { count: rng.u8(1..8) }),
            18 => steps.push(Step::Unpop { which: if rng.u8(..4) > 0 { 0 } else { rng.u8(..) } }),
            19..23 => {
                for _ in 0..rng.u8(1..4) {
                    steps.push(Step::Put { which: pick(rng), len: self.used_len(rng) });
                }
                steps.push(Step::Publish);
            }
            23 => {
                steps.push(Step::Batch { count: rng.u8(1..5), len: self.used_len(rng) });
                steps.push(Step::Publish);
            }
            24 => steps.push(Step::Arm),
            25 => steps.push(if rng.bool() { Step::Disarm } else { Step::Wake }),
            26 => steps.push(Step::Wish { flags: rng.u16(..4), event: self.event(rng) }),
            27 => steps.push(Step::Read { border: rng.u16(..80), len: rng.u8(1..64) }),
            28 => steps.push(Step::Write { len: rng.u8(..16) }),
            29 => steps.push(Step::Restart { is_fresh: rng.bool() }),
            30 => self.mischief(rng, steps),
            _ => {
                let regions = if rng.bool() { u8::MAX } else { rng.u8(..) };
                steps.push(Step::Memory { regions });
            }
        }
    }

    /// One thing that a good driver does not do.
    fn mischief(&mut self, rng: &mut Rng, steps: &mut Vec<Step<'static>>) {
        steps.push(match rng.u8(..5) {
            0 => Step::Advance { by: rng.u16(..) >> rng.u8(..16) },
            1 => Step::Advance { by: rng.u16(..4).wrapping_neg() },
            2 => {
                let part = self.start.parts[rng.usize(..3)];
                let address = part.wrapping_add(rng.u64(..32));
                Step::Poke { address, bytes: vec![rng.u8(..); rng.usize(1..9)].into() }
            }
            3 => {
                // `next`, or id and flags.
                let slot = u64::from(rng.u16(..self.start.size.max(1)));
                let address = self.start.parts[0].wrapping_add(16 * slot + 12);
                let bytes = vec![rng.u8(..8), rng.u8(..), rng.u8(..), rng.u8(..)];
                Step::Poke { address, bytes: bytes.into() }
            }
            _ => Step::Chain { id: rng.u16(..), descriptors: std::iter::empty().collect() },
        });
    }

    /// The driver makes a chain available.
    fn chain(&mut self, rng: &mut Rng, steps: &mut Vec<Step<'static>>) {
        let len = match rng.u8(..16) {
            0 => self.start.size.min(40),
            1 => self.start.size.min(40) + 1,
            2..10 => 1,
            _ => rng.u16(1..6),
        };
        let descriptors = self.buffers(rng, len.into()).into_iter().collect();
        steps.push(Step::Chain { id: self.head, descriptors });
        self.step_head(rng, len);
    }

    /// The driver makes a chain with a table available.
    fn indirect(&mut self, rng: &mut Rng, steps: &mut Vec<Step<'static>>) {
        let entries = rng.usize(1..6);
        let address = match rng.u8(..8) {
            0 => self.address(rng),
            1 => self.near_border(rng, 40),
            _ => self.start.end().wrapping_add(0x1000 + u64::from(rng.u16(..64))),
        };
        let table = self.buffers(rng, entries).into_iter().collect();
        steps.push(Step::Table { address, descriptors: table });
        let len = match rng.u8(..8) {
            0 => rng.u32(..40),
            1 => 16 * rng.u32(..0x1_0002),
            _ => 16 * u32::try_from(entries).unwrap_or(1),
        };
        let mut flags = flag::INDIRECT;
        if rng.u8(..8) == 0 {
            flags |= flag::WRITE;
        }
        if rng.u8(..12) == 0 {
            flags |= flag::NEXT;
        }
        let mut list = match (self.form, rng.u8(..8)) {
            (Form::Split, 0..3) | (Form::Packed, 0) => {
                let count = rng.usize(1..3);
                let mut direct = self.buffers(rng, count);
                direct.iter_mut().for_each(|descriptor| descriptor.flags = flag::NEXT);
                direct
            }
            _ => vec![],
        };
        list.push(Descriptor { address, len, flags });
        let count = u16::try_from(list.len()).unwrap_or(1);
        let descriptors = list.into_iter().collect();
        steps.push(Step::Chain { id: self.head, descriptors });
        self.step_head(rng, count);
    }

    fn step_head(&mut self, rng: &mut Rng, by: u16) {
        self.head = match rng.u8(..16) {
            0 => rng.u16(..),
            1 => self.head,
            _ => self.head.wrapping_add(by) % self.start.size.max(1),
        };
    }

    /// Buffers that are linked: readable ones first.
    fn buffers(&self, rng: &mut Rng, count: usize) -> Vec<Descriptor> {
        let readable = rng.usize(..=count);
        (0..count)
            .map(|at| {
                let mut flags = if at + 1 < count { flag::NEXT } else { 0 };
                if at >= readable {
                    flags |= flag::WRITE;
                }
                match rng.u8(..64) {
                    0 => flags ^= flag::WRITE,
                    1 => flags ^= flag::NEXT,
                    2 => flags ^= flag::INDIRECT,
                    3 => flags |= 0x7f78 & rng.u16(..),
                    _ => {}
                }
                Descriptor { address: self.address(rng), len: length(rng), flags }
            })
            .collect()
    }

    fn address(&self, rng: &mut Rng) -> u64 {
        match rng.u8(..32) {
            0 => BOUNDARIES[rng.usize(..BOUNDARIES.len())],
            1 => self.start.parts[rng.usize(..3)].wrapping_add(rng.u64(..64)),
            2..5 => self.near_border(rng, 64),
            _ => self.start.end().wrapping_add(rng.u64(..0x1000)),
        }
    }

    /// An address shortly before the end of a region.
    fn near_border(&self, rng: &mut Rng, before: u64) -> u64 {
        let areas = self.start.layout.areas();
        let area = areas[rng.usize(..areas.len())];
        area.start.wrapping_add(area.size).wrapping_sub(rng.u64(..=before))
    }

    fn used_len(&self, rng: &mut Rng) -> u32 {
        match rng.u8(..8) {
            0..5 => 0,
            5 | 6 => rng.u32(..64),
            _ => rng.u32(..),
        }
    }

    fn event(&self, rng: &mut Rng) -> u16 {
        match self.form {
            Form::Split => self.head.wrapping_sub(rng.u16(..4)),
            Form::Packed => rng.u16(..=self.start.size.min(0x7fff)) | rng.u16(..2) << 15,
        }
    }
}

/// A whole script: a ring and some phrases.
#[must_use]
pub fn script(rng: &mut Rng, form: Form, phrases: usize) -> Vec<Step<'static>> {
    let start = start(rng, form);
    let mut draw = Draw::new(form, start);
    let mut steps = vec![Step::Start(start)];
    for _ in 0..phrases {
        draw.phrase(rng, &mut steps);
    }
    steps
}

fn length(rng: &mut Rng) -> u32 {
    match rng.u8(..32) {
        0..3 => 0,
        3 => u32::MAX - rng.u32(..3),
        4 => 1 << rng.u8(..32),
        _ => rng.u32(1..64),
    }
}

/// Mostly the oldest.
fn pick(rng: &mut Rng) -> u8 {
    if rng.bool() { 0 } else { rng.u8(..) }
}
