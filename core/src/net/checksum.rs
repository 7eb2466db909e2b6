//! The internet checksum (RFC 1071): the ones' complement of the ones' complement sum of all
//! 16-bit numbers.

/// A sum that goes on. Bytes are added in pieces, each but the last of an even length.
///
/// The sum of 64 bits is as good as that of 16: 2^64 - 1 is a multiple of 2^16 - 1, so a carry
/// out of either counts 1. Nor does the order of bytes matter before the end (RFC 1071 §2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(
    /// Of numbers in the order of this machine.
    u64,
);

impl Sum {
    /// Nothing added yet.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds bytes as big-endian numbers; an odd last byte counts as the upper half of one.
    #[must_use]
    #[inline]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let (blocks, rest) = bytes.as_chunks();
        let sum = blocks.iter().fold(self, Self::block);
        let (words, rest) = rest.as_chunks();
        let sum = words.iter().fold(sum, |sum, word| sum.add(u64::from_ne_bytes(*word)));
        let (halves, rest) = rest.as_chunks();
        let sum = halves.iter().fold(sum, |sum, half| sum.add(u32::from_ne_bytes(*half).into()));
        let (pairs, rest) = rest.as_chunks();
        let sum = pairs.iter().fold(sum, |sum, pair| sum.add(u16::from_ne_bytes(*pair).into()));
        match rest {
            [last] => sum.add(u16::from_ne_bytes([*last, 0]).into()),
            _ => sum,
        }
    }

    /// Adds a number.
    #[must_use]
    #[inline]
    pub const fn word(self, word: u16) -> Self {
        self.add(word.to_be() as u64)
    }

    /// Adds a block; the carry out of each word goes into the next.
    #[inline]
    fn block(self, block: &[u8; 32]) -> Self {
        let (words, _) = block.as_chunks();
        let (sum, carry) = words.iter().fold((self.0, false), |(sum, carry), word| {
            sum.carrying_add(u64::from_ne_bytes(*word), carry)
        });
        Self(sum).add(carry.into())
    }

    /// Adds numbers that lie side by side; what is carried out of them is added, too.
    #[inline]
    const fn add(self, numbers: u64) -> Self {
        let (sum, carry) = self.0.overflowing_add(numbers);
        Self(sum.wrapping_add(carry as u64))
    }

    /// The sum in 16 bits, with carries added again and again; not complemented.
    ///
    /// Over bytes that contain their own correct checksum this is 0xffff.
    #[must_use]
    #[inline]
    pub const fn folded(self) -> u16 {
        // A number and its halves exchanged: their sum has in its upper half that of the halves,
        // and the carry out of the lower half is the one that goes around.
        let [.., h0, h1, h2, h3] = self.0.wrapping_add(self.0.rotate_left(32)).to_le_bytes();
        let half = u32::from_le_bytes([h0, h1, h2, h3]);
        let [.., q0, q1] = half.wrapping_add(half.rotate_left(16)).to_le_bytes();
        u16::from_be(u16::from_le_bytes([q0, q1]))
    }

    /// The checksum.
    #[must_use]
    #[inline]
    pub const fn finish(self) -> u16 {
        !self.folded()
    }
}

/// What is known of the checksum of the transport protocol of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// It is complete, and is verified (L2-010).
    #[default]
    Complete,
    /// It is the folded sum of the pseudo-header only: the driver left the rest to the device
    /// (`NEEDS_CSUM`). It is not compared (NET-055).
    Partial,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::new().bytes(&bytes).folded(), 0xddf2);
        assert_eq!(Sum::new().bytes(&bytes).finish(), 0x220d);
    }

    #[test]
    fn bytes_with_their_checksum_sum_to_all_ones() {
        let sum = Sum::new().bytes(&[0x45, 0x00, 0x01]);
        assert_eq!(sum.word(sum.finish()).folded(), 0xffff);
        assert_eq!(Sum::new().finish(), 0xffff);
    }

    #[test]
    fn a_long_frame_does_not_wrap() {
        let sum = Sum::new().bytes(&[0xff; 1 << 17]);
        assert_eq!(sum.folded(), 0xffff);
    }

    /// The sum by the letter of the RFC: 16 bits at a time, and every carry at once.
    fn plain(bytes: &[u8]) -> u16 {
        bytes.chunks(2).fold(0, |sum: u16, pair| {
            let number = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            let (sum, carry) = sum.overflowing_add(number);
            sum + u16::from(carry)
        })
    }

    #[test]
    fn wide_numbers_sum_to_the_same() {
        let rising: Vec<u8> = (0..=255).collect();
        let high: Vec<u8> = rising.iter().map(|byte| !byte.wrapping_mul(7) | 0x80).collect();
        for bytes in [rising, high, vec![0xff; 256], vec![0; 256]] {
            for len in 0..80 {
                for start in 0..9 {
                    let bytes = &bytes[start..start + len];
                    assert_eq!(Sum::new().bytes(bytes).folded(), plain(bytes), "{bytes:02x?}");
                }
            }
        }
    }

    #[test]
    fn pieces_sum_to_the_same_as_the_whole() {
        let bytes: Vec<u8> = (0..99).map(|at: u8| at.wrapping_mul(181)).collect();
        for cut in (0..bytes.len()).step_by(2) {
            let (front, back) = bytes.split_at(cut);
            assert_eq!(Sum::new().bytes(front).bytes(back).folded(), plain(&bytes), "{cut}");
            let word = Sum::new().bytes(front).word(0xfedc).bytes(back);
            let with = [front, &[0xfe, 0xdc], back].concat();
            assert_eq!(word.folded(), plain(&with), "{cut}");
        }
    }
}
