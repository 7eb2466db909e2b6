//! A position in a packed ring: a point on a circle of twice its size (spec §2.2).

use crate::ring::layout::flag::{AVAIL, USED};

/// A slot and the wrap counter that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cursor {
    /// Below the size of the ring.
    pub(super) slot: u16,
    pub(super) wrap: bool,
}

impl Cursor {
    /// The position `slots` further on, at most the size of the ring. The wrap counter flips when
    /// the last slot is passed (PK-003). Sizes are at most 32,768, so no sum wraps, and need not be
    /// powers of two, so nothing is masked.
    #[inline]
    pub(super) const fn after(self, slots: u16, size: u16) -> Self {
        let slot = self.slot.wrapping_add(slots);
        if slot < size {
            Self { slot, wrap: self.wrap }
        } else {
            Self { slot: slot.wrapping_sub(size), wrap: !self.wrap }
        }
    }

    /// The position `slots` before, at most the size of the ring.
    #[inline]
    pub(super) const fn before(self, slots: u16, size: u16) -> Self {
        if slots <= self.slot {
            Self { slot: self.slot.wrapping_sub(slots), wrap: self.wrap }
        } else {
            Self { slot: self.slot.wrapping_add(size).wrapping_sub(slots), wrap: !self.wrap }
        }
    }

    /// Slots from `other` to here, 0 to twice the size less one.
    #[inline]
    pub(super) const fn since(self, other: Self, size: u16) -> u16 {
        let lap = if self.wrap == other.wrap { 0 } else { size };
        let ahead = self.slot.wrapping_add(lap);
        // Behind in the same lap is nearly the whole circle ahead.
        if ahead >= other.slot {
            ahead.wrapping_sub(other.slot)
        } else {
            ahead.wrapping_add(size).wrapping_add(size).wrapping_sub(other.slot)
        }
    }

    /// Whether flags are those of a descriptor that was made available in this lap (PK-004):
    /// that the two bits differ is not enough.
    #[inline]
    pub(super) const fn is_available(self, flags: u16) -> bool {
        flags & (AVAIL | USED) == if self.wrap { AVAIL } else { USED }
    }

    /// Flags of a descriptor that is used in this lap (PK-024).
    #[inline]
    pub(super) const fn used_flags(self) -> u16 {
        if self.wrap { AVAIL | USED } else { 0 }
    }

    /// As the structures of the ring have it: bit 15 is the wrap counter.
    #[inline]
    pub(super) const fn encoded(self) -> u16 {
        if self.wrap { self.slot | 1 << 15 } else { self.slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The point on the circle.
    fn point(cursor: Cursor, size: u16) -> u32 {
        u32::from(cursor.slot) + if cursor.wrap { 0 } else { u32::from(size) }
    }

    #[test]
    fn a_circle_of_twice_the_size() {
        for size in [1, 2, 3, 5, 8, 32768] {
            let slots = if size > 8 { vec![0, 1, size - 1] } else { (0..size).collect() };
            let cursors: Vec<_> = slots
                .iter()
                .flat_map(|&slot| [true, false].map(|wrap| Cursor { slot, wrap }))
                .collect();
            let circle = 2 * u32::from(size);
            for &from in &cursors {
                for &to in &cursors {
                    let expected = (point(to, size) + circle - point(from, size)) % circle;
                    // A distance of 65,536 less some does not occur: it is below 2^16.
                    assert_eq!(u32::from(to.since(from, size)), expected, "{from:?} {to:?} {size}");
                }
                for &steps in &slots {
                    let to = from.after(steps, size);
                    assert_eq!(to.since(from, size), steps);
                    assert_eq!(to.before(steps, size), from);
                }
                assert_eq!(from.after(size, size), Cursor { wrap: !from.wrap, ..from });
                assert_eq!(from.before(size, size), Cursor { wrap: !from.wrap, ..from });
            }
        }
    }

    #[test]
    fn availability_needs_both_bits() {
        let (first, second) = (Cursor { slot: 0, wrap: true }, Cursor { slot: 0, wrap: false });
        let available = |cursor: Cursor| {
            [0, 0x0080, 0x8000, 0x8080].map(|flags| cursor.is_available(flags | flag(7)))
        };
        assert_eq!(available(first), [false, true, false, false]);
        assert_eq!(available(second), [false, false, true, false]);
        assert_eq!((first.used_flags(), second.used_flags()), (0x8080, 0));
        assert_eq!((first.encoded(), second.encoded()), (0x8000, 0));
    }

    /// Flags that say nothing about availability.
    fn flag(bits: u16) -> u16 {
        bits & 7
    }
}
