//! Changes a descriptor of a ring: its fields take values at which something changes.

use fastrand::Rng;
use vhost_fuzz_core::ring::flag;

use super::boundary;
use crate::ram::Area;
use crate::ring::draw::BOUNDARIES;
use crate::ring::image;
use crate::ring::step::{Descriptor, Start};

/// Changes one field.
pub(super) fn alter(it: &mut Descriptor, other: Descriptor, start: &Start, rng: &mut Rng) {
    match rng.u8(..12) {
        0 | 1 => it.address = address(rng, start),
        2 => it.address = it.address.wrapping_add(nudge(rng)),
        3 | 4 => it.len = length(rng),
        5 => it.len = it.len.wrapping_add(low(nudge(rng))),
        6 => {
            let len = end_of_area(it.address, start).wrapping_add(rng.u64(..3)).wrapping_sub(1);
            it.len = low(len);
        }
        7 => *it = Descriptor { flags: it.flags, ..other },
        // It begins where the other one ends.
        8 => it.address = other.address.wrapping_add(other.len.into()),
        9 => it.flags = other.flags,
        _ => it.flags ^= bit(rng),
    }
}

/// A descriptor that was not there before.
pub(super) fn any(start: &Start, rng: &mut Rng) -> Descriptor {
    let flags = if rng.bool() { flag::WRITE } else { 0 };
    Descriptor { address: address(rng, start), len: length(rng), flags }
}

/// An address: mostly in memory, often close to a border.
pub(super) fn address(rng: &mut Rng, start: &Start) -> u64 {
    let areas = start.layout.areas();
    let Area { start: first, size, .. } = areas[rng.usize(..areas.len())];
    match rng.u8(..16) {
        0 => BOUNDARIES[rng.usize(..BOUNDARIES.len())],
        1 => boundary(rng),
        2 | 3 => start.parts[rng.usize(..3)].wrapping_add(rng.u64(..64)),
        4 | 5 => image::table_address(start.layout) + 16 * rng.u64(..8),
        6..9 => first.wrapping_add(size).wrapping_sub(rng.u64(..=64)),
        9 => first.wrapping_add(size).wrapping_add(rng.u64(..2)),
        10 => first.wrapping_sub(rng.u64(..=16)),
        _ => start.end().wrapping_add(rng.u64(..0x1000)),
    }
}

/// A length: mostly short.
pub(super) fn length(rng: &mut Rng) -> u32 {
    match rng.u8(..8) {
        0 => 0,
        1 => low(BOUNDARIES[rng.usize(..BOUNDARIES.len())]),
        2 => low(boundary(rng)),
        3 | 4 => 16 * rng.u32(..9),
        _ => rng.u32(1..64),
    }
}

/// A flag: mostly one that means something.
fn bit(rng: &mut Rng) -> u16 {
    match rng.u8(..8) {
        0..2 => flag::NEXT,
        2..4 => flag::WRITE,
        4 | 5 => flag::INDIRECT,
        6 => [flag::AVAIL, flag::USED][rng.usize(..2)],
        _ => 1 << rng.u8(..16),
    }
}

/// A little more or less.
pub(super) fn nudge(rng: &mut Rng) -> u64 {
    let by = 1 << rng.u8(..6);
    if rng.bool() { by } else { 0_u64.wrapping_sub(by) }
}

/// Bytes from an address to the end of the region that it is in, or in front of.
fn end_of_area(address: u64, start: &Start) -> u64 {
    let ends = start.layout.areas().iter().map(|area| area.start.wrapping_add(area.size));
    ends.filter(|end| *end > address).min().unwrap_or(0).wrapping_sub(address)
}

/// The low half.
pub(super) const fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The low quarter.
pub(super) const fn quarter(value: u64) -> u16 {
    (value & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::Layout;
    use std::collections::BTreeSet;

    /// Whether all bytes of it are in one region.
    fn is_inside(it: Descriptor, start: &Start) -> bool {
        start.layout.areas().iter().any(|area| {
            let offset = it.address.wrapping_sub(area.start);
            offset < area.size && u64::from(it.len) <= area.size - offset
        })
    }

    #[test]
    fn every_field_changes_and_most_descriptors_stay_in_memory() {
        let start = Start::of(16, 0);
        let mut rng = Rng::with_seed(1);
        let before = Descriptor { address: start.end(), len: 24, flags: flag::NEXT };
        let other = Descriptor { address: start.end() + 0x80, len: 16, flags: flag::WRITE };
        let mut changed = BTreeSet::new();
        let mut inside = 0;
        for _ in 0..2000 {
            let mut it = before;
            alter(&mut it, other, &start, &mut rng);
            changed.insert((it.address != before.address, it.len != before.len, it.flags));
            inside += usize::from(is_inside(it, &start));
        }
        for field in [(true, false, before.flags), (false, true, before.flags)] {
            assert!(changed.contains(&field), "{changed:?}");
        }
        let flags: BTreeSet<_> = changed.iter().map(|(_, _, flags)| *flags).collect();
        let bits = [flag::NEXT, flag::WRITE, flag::INDIRECT, flag::AVAIL, flag::USED];
        for bit in bits {
            assert!(flags.contains(&(before.flags ^ bit)), "{bit:#x} in {flags:x?}");
        }
        assert!((1000..1900).contains(&inside), "{inside}");
    }

    #[test]
    fn buffers_end_at_borders_and_one_byte_to_each_side() {
        for layout in Layout::ALL {
            let start = Start::of(4, 0).within(layout);
            let mut rng = Rng::with_seed(2);
            let mut ends = BTreeSet::new();
            for _ in 0..4000 {
                let before = Descriptor { address: start.end(), len: 8, flags: 0 };
                let mut it = before;
                alter(&mut it, before, &start, &mut rng);
                ends.insert(it.address.wrapping_add(it.len.into()));
            }
            let area = layout.areas()[0];
            for end in [area.size - 1, area.size, area.size + 1] {
                assert!(ends.contains(&(area.start + end)), "{layout:?}: {end:#x}");
            }
        }
    }
}
