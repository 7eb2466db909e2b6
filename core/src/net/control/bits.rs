//! A set of small numbers, of a size that is chosen once.

/// Bits of a word.
const WORD: usize = u64::BITS as usize;

/// Numbers below a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    /// Room for the numbers below `len`; none is in it.
    pub(super) fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(WORD)].into())
    }

    /// Puts a number in or takes it out. One for which there is no room stays out.
    pub(super) fn set(&mut self, number: u16, is_in: bool) {
        let (at, mask) = place(number);
        if let Some(word) = self.0.get_mut(at) {
            *word = if is_in { *word | mask } else { *word & !mask };
        }
    }

    /// Puts every number in, or takes every one out.
    pub(super) fn fill(&mut self, is_in: bool) {
        self.0.fill(if is_in { u64::MAX } else { 0 });
    }

    /// The number is in it.
    pub(super) fn has(&self, number: u16) -> bool {
        let (at, mask) = place(number);
        self.0.get(at).is_some_and(|word| word & mask != 0)
    }
}

const fn place(number: u16) -> (usize, u64) {
    let number = number as usize;
    (number / WORD, 1 << (number % WORD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_in_and_out_one_by_one() {
        let mut bits = Bits::new(130);
        for number in [0, 63, 64, 129] {
            bits.set(number, true);
            assert!(bits.has(number) && !bits.has(number + 1) && !bits.has(192));
            bits.set(number, false);
            assert!(!bits.has(number));
        }
        bits.set(u16::MAX, true);
        assert_eq!(bits, Bits::new(130));
        bits.fill(true);
        assert!((0..130).all(|number| bits.has(number)));
        bits.fill(false);
        assert_eq!(bits, Bits::new(130));
    }
}
