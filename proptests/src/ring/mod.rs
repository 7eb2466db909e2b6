//! Rings: how they start, what is in them, and what happens to them.
//!
//! * [`history`]: what driver and device do, for tests that play it.
//! * [`image`]: what hostile memory holds, for tests that walk it.
//! * [`descriptors`]: such an image as an input of the chain targets.
//! * [`steps`]: stories, legal and not, for the ring targets; [`careful`] tells them step by step.
//! * [`trial`]: what strategies reach and catch.
//!
//! Both give values; how a target writes them down is its own affair.

pub mod careful;
pub mod descriptors;
pub mod history;
pub mod image;
pub mod steps;
pub mod trial;

use proptest::prelude::*;

use vhost_fuzz_core::ring::Features;

use crate::number::Boundary;

/// Entries of a split ring: powers of two up to `max`, small ones more often.
pub fn split_size(max: u16) -> impl Strategy<Value = u16> + Clone {
    let bits = max.max(1).ilog2();
    prop_oneof![1 => 0..=bits.min(4), 1 => 0..=bits].prop_map(|bits| 1 << bits)
}

/// Entries of a packed ring: any number up to `max`, small ones more often.
pub fn packed_size(max: u16) -> impl Strategy<Value = u16> + Clone {
    prop_oneof![1 => 1..=max.clamp(1, 16), 1 => 1..=max.max(1)]
}

/// What was negotiated; nothing is the simplest.
pub fn features() -> impl Strategy<Value = Features> + Clone {
    any::<[bool; 3]>().prop_map(|[event_idx, indirect, in_order]| Features {
        event_idx,
        indirect,
        in_order,
        version_1: true,
    })
}

/// A free-running index: 0, close to a wrap, or anything.
pub fn index() -> impl Strategy<Value = u16> + Clone {
    let near = |border: u16| (0..12_u16).prop_map(move |before| border.wrapping_sub(before));
    let any = Boundary::new(0..=u16::MAX.into());
    let any = any.prop_map(|index| u16::try_from(index).expect("16 bits"));
    prop_oneof![2 => Just(0), 2 => near(0), 1 => near(0x8000), 1 => any]
}

/// A slot of a packed ring of `size` slots, with its wrap counter in bit 15. A fresh ring, which
/// begins at 0x8000, is the simplest.
pub fn slot(size: u16) -> impl Strategy<Value = u16> + Clone {
    let slot = prop_oneof![2 => Just(0), 1 => Just(size - 1), 1 => 0..size];
    (slot, any::<bool>()).prop_map(|(slot, is_second)| slot | u16::from(!is_second) << 15)
}
