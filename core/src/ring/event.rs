//! When the driver wants to hear of used buffers (spec §1.7, §2.5).

use super::layout::event::{DESCRIPTOR, DISABLE};

/// Whether `event` is one of the indices from `old` to before `new`, all modulo 2^16 (VQ-045,
/// VQ-046). At most 32,768 indices may lie between two decisions.
#[must_use]
#[inline]
pub const fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// What a driver of a packed ring asks for: its event suppression structure, read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Notify after every update.
    Always,
    /// Do not notify.
    Never,
    /// Notify when a slot has been used.
    At {
        /// The slot. It may lie outside of the ring, and is compared only (PK-035).
        slot: u16,
        /// Its wrap counter.
        wrap: bool,
    },
}

impl Wish {
    /// Reads a structure. What is reserved, or was not negotiated, counts as
    /// [`Always`](Self::Always): a notification too many does no harm (PK-032, PK-033).
    #[must_use]
    pub const fn of(structure: u32, event_idx: bool) -> Self {
        let [a, b, c, d] = structure.to_le_bytes();
        let (position, flags) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        match flags {
            DISABLE => Self::Never,
            DESCRIPTOR if event_idx => {
                Self::At { slot: position & 0x7fff, wrap: position & 0x8000 != 0 }
            }
            _ => Self::Always,
        }
    }

    /// Whether to notify, when the slots from `old` to before `new` were used since the last
    /// decision: at least one and at most `size` of them, so `new == old` is a full lap. `wrap` is
    /// the wrap counter that goes with `new` (PK-034).
    #[must_use]
    pub const fn is_met(self, size: u16, old: u16, new: u16, wrap: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::At { slot, wrap: event_wrap } => {
                let old = if new <= old { old.wrapping_sub(size) } else { old };
                let event = if event_wrap == wrap { slot } else { slot.wrapping_sub(size) };
                need_event(event, new, old)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_spec() {
        for (event, new, old) in
            [(0, 1, 0), (5, 6, 5), (0xffff, 0, 0xffff), (0xfffe, 1, 0xfffd), (0x7fff, 0x8000, 0)]
        {
            assert!(need_event(event, new, old), "{event} {new} {old}");
        }
        for (event, new, old) in [(1, 1, 0), (5, 5, 5), (2, 1, 0xfffd)] {
            assert!(!need_event(event, new, old), "{event} {new} {old}");
        }
        let at = |slot, wrap| Wish::At { slot, wrap };
        assert!(at(3, true).is_met(4, 2, 1, false));
        assert!(!at(1, false).is_met(4, 2, 1, false));
        assert!(at(2, true).is_met(5, 0, 0, false));
    }

    #[test]
    fn reserved_wishes_are_always() {
        let of = |flags: u32| Wish::of(flags << 16 | 0x8003, true);
        assert_eq!([of(0), of(3), of(4), of(0x8001)], [Wish::Always; 4]);
        assert_eq!((of(1), of(2)), (Wish::Never, Wish::At { slot: 3, wrap: true }));
        assert_eq!(Wish::of(2 << 16, false), Wish::Always);
    }
}
