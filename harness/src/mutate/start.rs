//! Changes how a ring of a script starts.

use fastrand::Rng;
use vhost_fuzz_core::ring::Layout as Form;

use super::descriptor::quarter;
use super::{boundary, descriptor};
use crate::ram::Layout;
use crate::ring::draw;
use crate::ring::step::{Start, feature};

/// Sizes at which something changes; 1,025 is more than there is room for in small memory.
const SIZES: [u16; 16] = [0, 1, 2, 3, 4, 5, 7, 8, 16, 32, 256, 1000, 1024, 1025, 32768, u16::MAX];

/// The base of a ring that has just been made.
pub(super) const fn fresh(form: Form) -> u32 {
    match form {
        Form::Split => 0,
        Form::Packed => 0x8000_8000,
    }
}

/// The ring of a script that does not say how it starts.
pub(super) const fn implied(form: Form) -> Start {
    Start::of(16, fresh(form))
}

/// Changes one thing.
pub(super) fn alter(start: &mut Start, form: Form, rng: &mut Rng) {
    match rng.u8(..16) {
        0..3 => *start = resized(*start, size(start.size, rng)),
        3..6 => start.features ^= 1 << rng.u8(..5),
        6 => start.features = rng.u8(..8),
        7 => start.cap = if rng.bool() { rng.u16(..=8) } else { quarter(boundary(rng)) },
        8..11 => start.base = base(start, form, rng),
        11 => *start = start.within(Layout::ALL[rng.usize(..4)]),
        12 | 13 => {
            let part = rng.usize(..3);
            start.parts[part] = match rng.u8(..4) {
                0 | 1 => start.parts[part].wrapping_add(descriptor::nudge(rng)),
                2 => start.parts[rng.usize(..3)],
                _ => descriptor::address(rng, start),
            };
        }
        14 => start.parts = Start::parts(start.layout, start.size),
        _ => *start = draw::start(rng, form),
    }
}

fn size(size: u16, rng: &mut Rng) -> u16 {
    match rng.u8(..8) {
        0 => size.wrapping_add(1),
        1 => size.wrapping_sub(1),
        2 => size.wrapping_mul(2),
        3 => size / 2,
        _ => SIZES[rng.usize(..SIZES.len())],
    }
}

/// Another size. Parts that follow each other go on doing so.
pub(super) fn resized(start: Start, size: u16) -> Start {
    let follow = start.parts == Start::parts(start.layout, start.size);
    let parts = if follow { Start::parts(start.layout, size) } else { start.parts };
    Start { size, parts, ..start }
}

/// A base: where the first lap ends, where an index or a position wraps, or anything.
fn base(start: &Start, form: Form, rng: &mut Rng) -> u32 {
    let half = match (form, rng.u8(..4)) {
        (_, 0) => quarter(boundary(rng)),
        (Form::Split, _) => {
            let wraps = [0, start.size, 0x8000];
            wraps[rng.usize(..3)].wrapping_sub(rng.u16(..4))
        }
        (Form::Packed, _) => {
            let slot = start.size.saturating_sub(rng.u16(..4)) % start.size.max(1);
            slot | u16::from(rng.bool()) << 15
        }
    };
    let other = match rng.u8(..8) {
        0 => half.wrapping_sub(rng.u16(..8)),
        1 => rng.u16(..),
        _ => half,
    };
    u32::from(other) << 16 | u32::from(half)
}

/// A start that this form accepts, as close to the old one as can be.
pub(super) fn fitted(start: Start, form: Form) -> Start {
    let size = start.size.clamp(1, 1024);
    let (size, base) = match form {
        Form::Split => {
            let at = start.base & 0xffff;
            (size.next_power_of_two(), at << 16 | at)
        }
        Form::Packed => {
            let half = start.base & 0x7fff;
            let half = (half % u32::from(size)) | 0x8000;
            (size, half << 16 | half)
        }
    };
    let features = start.features & !feature::LEGACY;
    let start = resized(Start { features, base, ..start }, size);
    Start { parts: Start::parts(start.layout, size), ..start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Device, Run, Step, Watch};
    use std::collections::BTreeSet;
    use vhost_fuzz_core::ring::{PackedQueue, SplitQueue};

    /// The rules that starting breaks.
    fn refused<D: Device>(start: Start) -> BTreeSet<String> {
        let outcome = Run::<D>::default().steps(Watch::Lightly, [Step::Start(start)]);
        outcome.broken.iter().map(ToString::to_string).collect()
    }

    fn check<D: Device>(wanted: &[&str]) {
        let form = D::LAYOUT;
        let mut rng = Rng::with_seed(3);
        let mut rules = BTreeSet::new();
        let mut accepted = 0;
        for _ in 0..400 {
            let mut start = implied(form);
            (0..=rng.u8(..2)).for_each(|_| alter(&mut start, form, &mut rng));
            let broken = refused::<D>(start);
            accepted += usize::from(broken.is_empty());
            rules.extend(broken);
            let fitted = fitted(start, form);
            assert_eq!(refused::<D>(fitted), BTreeSet::new(), "{fitted:x?}");
        }
        for rule in wanted {
            assert!(rules.contains(*rule), "{rule} is not in {rules:?}");
        }
        assert!((200..380).contains(&accepted), "{accepted} of 400 start");
    }

    #[test]
    fn starts_are_refused_in_every_way_and_most_are_not() {
        let split = ["VQ-001", "VQ-002", "VQ-003", "VQ-004", "VQ-005", "VQ-032", "VQ-067"];
        check::<SplitQueue>(&split);
        check::<PackedQueue>(&["PK-001", "PK-002", "PK-039", "VQ-005", "VQ-067"]);
    }

    #[test]
    fn another_size_keeps_parts_that_follow_each_other() {
        let start = Start::of(16, 0);
        assert_eq!(resized(start, 8), Start::of(8, 0));
        let moved = Start { parts: [1, 2, 3], ..start };
        assert_eq!(resized(moved, 8), Start { size: 8, ..moved });
    }
}
