//! Where a command comes from and where its result goes.

use crate::memory::LogMemory;
use crate::ring::{AccessError, Reader, RingMemory, Writer};

/// The readable bytes of a command, in order. They may lie in guest memory: each is read at most
/// once, and none is copied as long as it is only left out (VQ-024, NET-043).
pub trait Source {
    /// Bytes that are left.
    fn remaining(&self) -> u64;

    /// Reads exactly as many bytes as fit. `false`: there are not so many, and none was read.
    ///
    /// # Errors
    /// They cannot be accessed.
    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<bool, AccessError>;

    /// Leaves out at most `len` bytes, and says how many. They are fewer only at the end.
    fn skip(&mut self, len: u64) -> u64;
}

/// The writable bytes behind the ack of a command, in order.
pub trait Target {
    /// Bytes that were not written.
    fn remaining(&self) -> u64;

    /// Writes as many of the bytes as there is room for, and says how many.
    ///
    /// # Errors
    /// They cannot be accessed.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, AccessError>;
}

impl Source for &[u8] {
    #[inline]
    fn remaining(&self) -> u64 {
        self.len() as u64
    }

    #[inline]
    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<bool, AccessError> {
        let Some((front, rest)) = self.split_at_checked(bytes.len()) else { return Ok(false) };
        bytes.copy_from_slice(front);
        *self = rest;
        Ok(true)
    }

    #[inline]
    fn skip(&mut self, len: u64) -> u64 {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.len());
        *self = self.get(len..).unwrap_or_default();
        len as u64
    }
}

impl Target for &mut [u8] {
    #[inline]
    fn remaining(&self) -> u64 {
        self.len() as u64
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<usize, AccessError> {
        let len = bytes.len().min(self.len());
        let (front, rest) = core::mem::take(self).split_at_mut(len);
        front.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        *self = rest;
        Ok(len)
    }
}

impl<B: RingMemory, L: LogMemory + ?Sized> Source for Reader<'_, '_, B, L> {
    #[inline]
    fn remaining(&self) -> u64 {
        Reader::remaining(self)
    }

    #[inline]
    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<bool, AccessError> {
        Reader::read_exact(self, bytes)
    }

    #[inline]
    fn skip(&mut self, len: u64) -> u64 {
        Reader::skip(self, len)
    }
}

impl<B: RingMemory, L: LogMemory + ?Sized> Target for Writer<'_, '_, B, L> {
    #[inline]
    fn remaining(&self) -> u64 {
        Writer::remaining(self)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<usize, AccessError> {
        Writer::write(self, bytes)
    }
}
