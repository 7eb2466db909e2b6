//! What no codec can do without: moving the bytes, and reading them with bounds checks.

use std::hint::black_box;

/// Copies `bytes` to `out`, `times` times.
#[inline(never)]
pub fn copy(bytes: &[u8], out: &mut [u8], times: u64) {
    for _ in 0..times {
        black_box(&mut *out).copy_from_slice(black_box(bytes));
    }
}

/// Reads `bytes` as native u64 words, each with a check that it is there, and adds them up;
/// `times` times. The last word may be half.
///
/// # Panics
/// When the sum is not the one that `expected` is.
#[inline(never)]
pub fn words(bytes: &[u8], expected: u64, times: u64) {
    for _ in 0..times {
        let sum = sum_of_words(black_box(bytes));
        assert_eq!(sum, expected, "the words were read wrong");
    }
}

/// The sum of the native u64 words of `bytes`, and of the half word at the end if there is one.
#[must_use]
#[inline]
pub fn sum_of_words(mut bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    while let Some((word, rest)) = bytes.split_first_chunk() {
        // The box keeps the check in each step: without it the loop becomes vector code.
        sum = sum.wrapping_add(u64::from_ne_bytes(*black_box(word)));
        bytes = rest;
    }
    if let Some((half, _)) = bytes.split_first_chunk() {
        sum = sum.wrapping_add(u64::from(u32::from_ne_bytes(*half)));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_half_words_are_added() {
        let mut bytes = [1_u64.to_ne_bytes(), 2_u64.to_ne_bytes()].concat();
        assert_eq!(sum_of_words(&bytes), 3);
        bytes.extend(4_u32.to_ne_bytes());
        assert_eq!(sum_of_words(&bytes), 7);
        assert_eq!(sum_of_words(&[]), 0);
    }

    #[test]
    fn a_copy_is_a_copy() {
        let mut out = [0; 3];
        copy(&[1, 2, 3], &mut out, 2);
        assert_eq!(out, [1, 2, 3]);
    }
}
