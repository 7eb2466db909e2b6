//! Integers and byte strings with a taste for boundaries.

use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::num::u64::BinarySearch;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::{Reason, TestRunner};

/// Numbers of a range. Seven in eight are at an edge: the ends of the range, their neighbours,
/// powers of two and theirs. All of them shrink to the smallest number that still fails,
/// whichever way they were drawn.
#[derive(Clone, Copy, Debug)]
pub struct Boundary {
    min: u64,
    max: u64,
}

impl Boundary {
    /// Numbers from the first to the last of `range`.
    ///
    /// # Panics
    /// When the range is empty.
    #[must_use]
    pub fn new(range: RangeInclusive<u64>) -> Self {
        assert!(!range.is_empty(), "an empty range {range:?} has no numbers");
        Self { min: *range.start(), max: *range.end() }
    }

    fn pick(self, runner: &mut TestRunner) -> Result<u64, Reason> {
        let Self { min, max } = self;
        let mut draw =
            |range: RangeInclusive<u64>| range.new_tree(runner).map(|tree| tree.current());
        let kind = draw(0..=7)?;
        let power = 1_u64 << draw(0..=u64::from(max.max(1).ilog2()))?;
        let number = match kind {
            0 => min,
            1 => min.saturating_add(1),
            2 => max.saturating_sub(1),
            3 => max,
            4 => power,
            5 => power - 1,
            6 => power.saturating_add(1),
            _ => draw(min..=max)?,
        };
        Ok(number.clamp(min, max))
    }
}

impl Strategy for Boundary {
    type Tree = BinarySearch;
    type Value = u64;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        self.pick(runner).map(|number| BinarySearch::new_above(self.min, number))
    }
}

macro_rules! numbers {
    ($($type:ident)*) => {$(
        #[doc = concat!("Any `", stringify!($type), "`.")]
        pub fn $type() -> impl Strategy<Value = $type> + Clone {
            Boundary::new(0..=$type::MAX.into())
                .prop_map(|number| $type::try_from(number).expect("no more than the largest one"))
        }
    )*};
}
numbers!(u8 u16 u32);

/// Any `u64`.
pub fn u64() -> impl Strategy<Value = u64> + Clone {
    Boundary::new(0..=u64::MAX)
}

/// A length or a count.
pub fn len(range: RangeInclusive<usize>) -> impl Strategy<Value = usize> + Clone {
    let wide = |len: usize| u64::try_from(len).expect("a length has at most 64 bits");
    Boundary::new(wide(*range.start())..=wide(*range.end()))
        .prop_map(|len| usize::try_from(len).expect("no more than a length"))
}

/// The bytes `first`, `first + step`, `first + 2 step` and so on: neighbours differ, so that a
/// shift shows, and a long string is still one short line in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The first byte.
    pub first: u8,
    /// From one byte to the next, modulo 256.
    pub step: u8,
}

impl Pattern {
    /// `len` bytes.
    #[must_use]
    pub fn bytes(self, len: usize) -> Vec<u8> {
        std::iter::successors(Some(self.first), |byte| Some(byte.wrapping_add(self.step)))
            .take(len)
            .collect()
    }
}

/// Any pattern; shrinks to zeroes.
pub fn pattern() -> impl Strategy<Value = Pattern> + Clone {
    (u8(), u8()).prop_map(|(first, step)| Pattern { first, step })
}

/// A byte string: a pattern with a few bytes that break it. It costs little to draw and to
/// shrink, however long it is.
pub fn bytes(len: RangeInclusive<usize>) -> impl Strategy<Value = Vec<u8>> + Clone {
    (self::len(len), pattern(), vec((any::<Index>(), u8()), 0..4)).prop_map(
        |(len, pattern, breaks)| {
            let mut bytes = pattern.bytes(len);
            for (at, byte) in breaks {
                if len > 0 {
                    bytes[at.index(len)] = byte;
                }
            }
            bytes
        },
    )
}
