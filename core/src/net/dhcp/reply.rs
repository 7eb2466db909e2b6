//! Writes an answer into a buffer of the caller.

use super::error::DhcpError;
use super::options::Value;
use super::{MIN_REPLY, option};

/// A buffer that is filled from its front.
pub(super) struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl<'o> Writer<'o> {
    /// A reply without a byte, in front of zeros up to its least length (DH-042).
    #[inline]
    pub(super) fn new(out: &'o mut [u8]) -> Result<Self, DhcpError> {
        let room = DhcpError::Room { need: MIN_REPLY, have: out.len() };
        out.first_chunk_mut::<MIN_REPLY>().ok_or(room)?.fill(0);
        Ok(Self { out, at: 0 })
    }

    /// Bytes that were written.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.at
    }

    /// The next `len` bytes.
    #[inline]
    fn next(&mut self, len: usize) -> Result<&mut [u8], DhcpError> {
        let need = self.at.saturating_add(len);
        let room = DhcpError::Room { need, have: self.out.len() };
        let rest = self.out.get_mut(self.at..).ok_or(room)?;
        let next = rest.get_mut(..len).ok_or(room)?;
        self.at = need;
        Ok(next)
    }

    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), DhcpError> {
        self.next(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Leaves bytes 0 that are: those in front of the least length.
    #[inline]
    pub(super) const fn skip(&mut self, len: usize) {
        self.at = self.at.saturating_add(len);
    }

    /// An option with a value of at most 255 bytes.
    #[inline]
    pub(super) fn option<const N: usize>(
        &mut self,
        code: u8,
        value: [u8; N],
    ) -> Result<(), DhcpError> {
        const { assert!(N <= 255) };
        self.put(&[code, u8::try_from(N).unwrap_or(u8::MAX)])?;
        self.put(&value)
    }

    /// An option with a value that a client sent, unaltered. Where a long one is split does not
    /// matter (DH-043).
    pub(super) fn echo(&mut self, value: Value<'_>) -> Result<(), DhcpError> {
        if let Some(whole) = value.whole() {
            // A piece has a length of one byte.
            self.put(&[value.code(), u8::try_from(whole.len()).unwrap_or(u8::MAX)])?;
            return self.put(whole);
        }
        let mut bytes = value.bytes();
        let mut left = value.len();
        while left > 0 {
            let len = left.min(255);
            self.put(&[value.code(), u8::try_from(len).unwrap_or(u8::MAX)])?;
            for (to, from) in self.next(len)?.iter_mut().zip(bytes.by_ref()) {
                *to = from;
            }
            left = left.saturating_sub(len);
        }
        Ok(())
    }

    /// The end. Returns the length.
    #[inline]
    pub(super) fn end(mut self) -> Result<usize, DhcpError> {
        self.put(&[option::END])?;
        Ok(self.at.max(MIN_REPLY))
    }
}

/// Bytes that a value takes as an option, or as several when it is long.
pub(super) fn echo_len(value: Value<'_>) -> usize {
    value.len().saturating_add(2 * value.len().div_ceil(255).max(1))
}
