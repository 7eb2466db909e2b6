//! The internet checksum (RFC 1071): the ones' complement of the ones' complement sum of all
//! 16-bit numbers.

/// A sum that goes on. Bytes are added in pieces, each but the last of an even length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

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
        // A frame has less than 2^17 bytes, so 64 bits hold every sum.
        let mut sum = self.0;
        let (pairs, rest) = bytes.as_chunks();
        for pair in pairs {
            sum = sum.wrapping_add(u16::from_be_bytes(*pair).into());
        }
        if let [last] = rest {
            sum = sum.wrapping_add(u16::from_be_bytes([*last, 0]).into());
        }
        Self(sum)
    }

    /// Adds a number.
    #[must_use]
    #[inline]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0.wrapping_add(word as u64))
    }

    /// The sum in 16 bits, with carries added again and again; not complemented.
    ///
    /// Over bytes that contain their own correct checksum this is 0xffff.
    #[must_use]
    #[inline]
    pub const fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let [low, high, ..] = sum.to_le_bytes();
        u16::from_le_bytes([low, high])
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
        assert_eq!(Sum::new().bytes(&[1, 2]).bytes(&[3]), Sum::new().bytes(&[1, 2, 3]));
    }
}
