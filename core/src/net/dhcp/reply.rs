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
    pub(super) const fn new(out: &'o mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Bytes that were written.
    pub(super) const fn len(&self) -> usize {
        self.at
    }

    /// The next `len` bytes.
    fn next(&mut self, len: usize) -> Result<&mut [u8], DhcpError> {
        let have = self.out.len();
        let need = self.at.saturating_add(len);
        let next = self.out.get_mut(self.at..need);
        self.at = need;
        next.ok_or(DhcpError::Room { need, have })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), DhcpError> {
        self.next(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn zeros(&mut self, len: usize) -> Result<(), DhcpError> {
        self.next(len)?.fill(0);
        Ok(())
    }

    /// An option with a value of at most 255 bytes.
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
        let mut bytes = value.bytes();
        let mut left = value.len();
        loop {
            let len = left.min(255);
            self.put(&[value.code(), u8::try_from(len).unwrap_or(u8::MAX)])?;
            for (to, from) in self.next(len)?.iter_mut().zip(bytes.by_ref()) {
                *to = from;
            }
            left = left.saturating_sub(len);
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// The end, and zeros up to the least length of a reply (DH-042). Returns the length.
    pub(super) fn end(mut self) -> Result<usize, DhcpError> {
        self.put(&[option::END])?;
        self.zeros(MIN_REPLY.saturating_sub(self.at))?;
        Ok(self.at)
    }
}

/// Bytes that a value takes as an option, or as several when it is long.
pub(super) fn echo_len(value: Value<'_>) -> usize {
    value.len().saturating_add(2 * value.len().div_ceil(255).max(1))
}
