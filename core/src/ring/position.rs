//! Where processing of a ring begins (`spec/virtio.md` §1.11 and §2.6).

/// Where processing of a ring begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// A split ring. The next used index is in its used ring, in memory (VU-084, VU-085).
    Split {
        /// Next available index, free running.
        available: u16,
    },
    /// A packed ring (VU-086, PK-038).
    Packed {
        /// Next available descriptor, 0-32,767.
        available: u16,
        /// Its wrap counter.
        available_wrap: bool,
        /// Next used descriptor, 0-32,767.
        used: u16,
        /// Its wrap counter.
        used_wrap: bool,
    },
}

impl Position {
    /// Reads a base. Of a split one the lower half counts (DC-072).
    ///
    /// A front-end that knows only half of a packed one leaves the upper half zero. Processing
    /// went on with nothing in flight then, and the used position is the available one. But if
    /// requests are tracked in an in-flight area, some may be in flight, and the half is what it
    /// says (DC-071, PK-040).
    #[must_use]
    pub const fn of(base: u32, packed: bool, tracked: bool) -> Self {
        let [a, b, c, d] = base.to_le_bytes();
        let (low, high) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        if !packed {
            return Self::Split { available: low };
        }
        let high = if high == 0 && !tracked { low } else { high };
        Self::Packed {
            available: low & !WRAP,
            available_wrap: low & WRAP != 0,
            used: high & !WRAP,
            used_wrap: high & WRAP != 0,
        }
    }

    /// The base that says so; [`of`](Self::of) reads it back, with requests tracked.
    #[must_use]
    pub const fn base(self) -> u32 {
        let (low, high) = match self {
            Self::Split { available } => (available, 0),
            Self::Packed { available, available_wrap, used, used_wrap } => {
                (half(available, available_wrap), half(used, used_wrap))
            }
        };
        let ([a, b], [c, d]) = (low.to_le_bytes(), high.to_le_bytes());
        u32::from_le_bytes([a, b, c, d])
    }
}

/// Bit 15 of a packed half: the wrap counter.
const WRAP: u16 = 1 << 15;

/// Half of a packed base.
const fn half(index: u16, wrap: bool) -> u16 {
    index & !WRAP | if wrap { WRAP } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn packed(available: (u16, bool), used: (u16, bool)) -> Position {
        Position::Packed {
            available: available.0,
            available_wrap: available.1,
            used: used.0,
            used_wrap: used.1,
        }
    }

    #[test]
    fn the_fields_of_a_base_are_those_of_the_spec() {
        let fresh = packed((0, true), (0, true));
        assert_eq!(Position::of(0x8000_8000, true, true), fresh);
        assert_eq!(Position::of(0x0005_8003, true, true), packed((3, true), (5, false)));
        assert_eq!(Position::of(0xffff_7ffe, true, true), packed((0x7ffe, false), (0x7fff, true)));
        assert_eq!(Position::of(0x1_ffff, false, false), Position::Split { available: 0xffff });
    }

    #[test]
    fn a_half_that_was_not_filled_in_is_the_other_unless_requests_are_tracked() {
        for low in [0x8000, 0x8003, 0x0123, 0xffff, 0] {
            let given = Position::of(low, true, false);
            assert_eq!(given, Position::of(low << 16 | low, true, true), "{low:#x}");
            let literal = (u16::try_from(low).unwrap() & 0x7fff, low > 0x7fff);
            assert_eq!(Position::of(low, true, true), packed(literal, (0, false)), "{low:#x}");
        }
        // One bit in the upper half, and all of it was meant.
        assert_eq!(Position::of(0x0001_8000, true, false), packed((0, true), (1, false)));
        assert_eq!(Position::of(0x8000_0000, true, false), packed((0, false), (0, true)));
    }

    #[test]
    fn a_position_comes_back_from_its_base() {
        let halves = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        for base in halves.into_iter().flat_map(|low| halves.map(|high| high << 16 | low)) {
            assert_eq!(Position::of(base, true, true).base(), base);
            let given = Position::of(base, true, false);
            assert_eq!(Position::of(given.base(), true, true), given);
            assert_eq!(Position::of(base, false, false).base(), base & 0xffff);
        }
    }
}
