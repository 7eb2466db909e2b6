//! Numbers drawn by the content of an input: the same input is always treated the same, and which
//! of several costly checks it gets is spread evenly.

/// The number of an input.
///
/// It looks at the length, at both ends and at the middle: an instrumented target would pay for a
/// walk over every byte.
#[must_use]
pub fn number(bytes: &[u8]) -> u64 {
    let middle = bytes.get(bytes.len() / 2..).and_then(|rest| rest.first_chunk());
    let chunks = [bytes.first_chunk(), middle, bytes.last_chunk()];
    let mixed = chunks
        .into_iter()
        .flatten()
        .fold(mix(1, bytes.len() as u64), |mixed, chunk| mix(mixed, u64::from_le_bytes(*chunk)));
    mix(mixed, 0) >> 32
}

/// Takes one more number into a digest. Multiplying by an odd number and rotating keeps every bit
/// of every value.
#[inline]
#[must_use]
pub const fn mix(digest: u64, value: u64) -> u64 {
    (digest ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_inputs_are_drawn_by_their_length() {
        assert_ne!(number(&[]), number(&[0]));
        assert_eq!(number(&[1]), number(&[2]));
    }

    #[test]
    fn both_ends_and_the_middle_count() {
        let with = |at: usize| {
            let mut bytes = [0; 100];
            bytes[at] = 1;
            number(&bytes)
        };
        let drawn = [number(&[0; 100]), with(0), with(50), with(99)];
        for (at, number) in drawn.iter().enumerate() {
            assert!(!drawn[..at].contains(number), "{at}");
        }
    }
}
