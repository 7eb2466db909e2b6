//! Memory that changes under a reader who looks twice (hazard 8.1).

use std::cell::{Cell, RefCell};

use super::spans::Spans;

/// Operations that can be told apart before the stamps have to be cleared.
const OPERATIONS: u32 = 1 << 24;

/// How often one reader has read each byte in the operation that is going on.
pub(super) struct Flips {
    /// A stamp for each byte: the number of an operation in 24 bits, and below it how often the
    /// byte was read in it, at most 255 times.
    seen: Box<[Cell<u32>]>,
    operation: Cell<u32>,
    /// What stays as it is, however often it is read.
    steady: RefCell<Spans>,
}

impl Flips {
    /// Nobody has read anything of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let seen = vec![0; bytes].into_iter().map(Cell::new).collect();
        Self { seen, operation: Cell::new(1), steady: RefCell::default() }
    }

    /// From now on these places stay as they are.
    pub(super) fn keep(&self, spans: impl Iterator<Item = (usize, usize)>) {
        self.steady.borrow_mut().fill(spans);
    }

    /// An operation begins.
    pub(super) fn begin(&self) {
        let next = self.operation.get() + 1;
        if next < OPERATIONS {
            self.operation.set(next);
        } else {
            self.seen.iter().for_each(|seen| seen.set(0));
            self.operation.set(1);
        }
    }

    /// Bytes were read from `place`: those that were read before in this operation are changed.
    pub(super) fn change(&self, place: usize, bytes: &mut [u8]) {
        let operation = self.operation.get();
        let steady = self.steady.borrow();
        // What is left of it in front of the byte, once one is found that was read before.
        let mut rest = None;
        for (at, byte) in (place..).zip(bytes) {
            let seen = &self.seen[at];
            let stamp = seen.get();
            let before = if stamp >> 8 == operation { stamp & 0xff } else { 0 };
            seen.set(operation << 8 | (before + 1).min(0xff));
            if before > 0 {
                let rest = rest.get_or_insert_with(|| steady.behind(at));
                while let [(_, end), more @ ..] = rest
                    && *end <= at
                {
                    *rest = more;
                }
                if rest.first().is_none_or(|(start, _)| at < *start) {
                    *byte ^= mask(at, before);
                }
            }
        }
    }
}

/// What changes in a byte that was read `before` times: at least one bit.
fn mask(place: usize, before: u32) -> u8 {
    let mixed = crate::draw::mix(place as u64, before.into()) >> 32;
    u8::try_from(mixed % 255 + 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_read_again_changes() {
        let flips = Flips::new(4);
        let read = |place, len| {
            let mut bytes = vec![7; len];
            flips.change(place, &mut bytes);
            bytes
        };
        assert_eq!(read(0, 2), [7, 7]);
        let again = read(1, 3);
        assert_ne!(again[0], 7);
        assert_eq!(again[1..], [7, 7]);
        flips.begin();
        assert_eq!(read(0, 4), [7; 4]);
    }

    #[test]
    fn what_is_to_stay_stays() {
        let flips = Flips::new(4);
        flips.keep([(1, 3)].into_iter());
        for _ in 0..3 {
            let mut bytes = [7; 4];
            flips.change(0, &mut bytes);
            assert_eq!(bytes[1..3], [7, 7]);
        }
        flips.keep(std::iter::empty());
        let mut byte = [7];
        flips.change(1, &mut byte);
        assert_ne!(byte, [7]);
    }

    /// One read may begin in such a place or before it, and cross several.
    #[test]
    fn a_read_across_places_that_stay_changes_the_others() {
        let flips = Flips::new(10);
        flips.keep([(1, 2), (3, 5), (8, 9)].into_iter());
        let stays = [1, 3, 4, 8];
        flips.change(0, &mut [0; 10]);
        for start in 0..10 {
            for end in start..10 {
                let mut bytes = vec![7; end - start];
                flips.change(start, &mut bytes);
                for (at, byte) in (start..).zip(bytes) {
                    assert_eq!(byte == 7, stays.contains(&at), "byte {at} of {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn a_byte_never_comes_back_and_counters_never_alias() {
        let flips = Flips::new(1);
        flips.operation.set(OPERATIONS - 1);
        for n in 0..1000 {
            let mut byte = [7];
            flips.change(0, &mut byte);
            assert_eq!(byte == [7], n == 0, "{n}");
        }
        flips.begin();
        assert_eq!(flips.operation.get(), 1);
        let mut byte = [7];
        flips.change(0, &mut byte);
        assert_eq!(byte, [7]);
    }
}
