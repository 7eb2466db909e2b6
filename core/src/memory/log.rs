//! Which bits of the dirty log a write sets (spec §6.8).

use std::sync::atomic::{AtomicU8, Ordering};

use super::{LogError, Pieces, wraps};
use crate::vhost_user::payload::LogBase;

/// Bytes of a page of the log (VU-149). This is not the page size of the host.
pub const PAGE_SIZE: u64 = 4096;

/// Bytes of guest memory that one byte of the log stands for.
const BYTE_SPAN: u64 = PAGE_SIZE * 8;

/// The mapped log.
pub trait LogMemory {
    /// Sets `bits` in the byte at `offset`, atomically, as the front-end clears bits at the same
    /// time (VU-150). The offset is less than the size of the log.
    fn or(&self, offset: u64, bits: u8);
}

/// What was written to the page before is seen by who finds the bit.
impl LogMemory for [AtomicU8] {
    #[inline]
    fn or(&self, offset: u64, bits: u8) {
        let byte = usize::try_from(offset).ok().and_then(|offset| self.get(offset));
        if let Some(byte) = byte {
            byte.fetch_or(bits, Ordering::Release);
        }
    }
}

/// A dirty log that was checked. Its memory is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirtyLog {
    size: u64,
}

impl DirtyLog {
    /// Judges the log of a `SET_LOG_BASE`.
    ///
    /// # Errors
    /// It is empty or its end is not below 2^64 (VU-157, DC-020), or its offset is not a multiple
    /// of [`PAGE_SIZE`] (DC-025, HZ-82).
    pub const fn check(base: &LogBase) -> Result<Self, LogError> {
        let LogBase { size, offset } = *base;
        if size == 0 {
            Err(LogError::Empty)
        } else if wraps(offset, size) {
            Err(LogError::OffsetWraps { offset, size })
        } else if !offset.is_multiple_of(PAGE_SIZE) {
            Err(LogError::OffsetMisaligned { offset })
        } else {
            Ok(Self { size })
        }
    }

    /// Bytes of the log.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a log that has a bit for every guest address below `end` (spec §6.8 point 5).
    #[must_use]
    pub const fn bytes_for(end: u64) -> u64 {
        end.div_ceil(BYTE_SPAN)
    }

    /// Whether there is a bit for this guest address.
    #[must_use]
    #[inline]
    pub const fn covers(&self, guest_address: u64) -> bool {
        guest_address / BYTE_SPAN < self.size
    }

    /// Sets the bit of every page that has one of the `len` bytes from `guest_address` (VU-147,
    /// VU-149). Pages beyond the end of the log have no bit (VU-153); a range that wraps ends at
    /// 2^64. Each byte of the log is touched at most once.
    #[inline]
    pub fn mark(&self, guest_address: u64, len: u64, memory: &(impl LogMemory + ?Sized)) {
        let Some(more) = len.checked_sub(1) else { return };
        let last = guest_address.saturating_add(more);
        let (first_byte, last_byte) = (guest_address / BYTE_SPAN, last / BYTE_SPAN);
        for byte in first_byte..last_byte.saturating_add(1).min(self.size) {
            let mut bits = u8::MAX;
            if byte == first_byte {
                bits &= u8::MAX << bit(guest_address);
            }
            if byte == last_byte {
                bits &= u8::MAX >> (7 - bit(last));
            }
            memory.or(byte, bits);
        }
    }

    /// As [`mark`](Self::mark), for pieces of memory that were written to. The log counts pages of
    /// guest physical addresses, however the pieces were found (VU-147).
    #[inline]
    pub fn mark_pieces<B>(&self, pieces: Pieces<'_, B>, memory: &(impl LogMemory + ?Sized)) {
        let table = pieces.table();
        for piece in pieces {
            if let Some(address) = table.guest_address(&piece) {
                self.mark(address, piece.len, memory);
            }
        }
    }

    /// As [`mark`](Self::mark), for `len` bytes at `offset` of a used ring whose log address is
    /// `log_address` (VU-148). With IOMMU that is an I/O virtual address: it is resolved first, and
    /// its pieces are marked instead (DV-80). An address of 2^64 or more is in no log.
    #[inline]
    pub fn mark_used(
        &self,
        log_address: u64,
        offset: u64,
        len: u64,
        memory: &(impl LogMemory + ?Sized),
    ) {
        if let Some(address) = log_address.checked_add(offset) {
            self.mark(address, len, memory);
        }
    }
}

/// The bit of a page in its byte, 0-7: least significant first.
#[inline]
const fn bit(address: u64) -> u64 {
    address / PAGE_SIZE % 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Remembers what was touched.
    #[derive(Default)]
    struct Touched(RefCell<Vec<(u64, u8)>>);

    impl LogMemory for Touched {
        fn or(&self, offset: u64, bits: u8) {
            self.0.borrow_mut().push((offset, bits));
        }
    }

    fn marks(size: u64, address: u64, len: u64) -> Vec<(u64, u8)> {
        let log = DirtyLog::check(&LogBase { size, offset: 0 }).unwrap();
        let touched = Touched::default();
        log.mark(address, len, &touched);
        touched.0.into_inner()
    }

    #[test]
    fn every_page_of_a_range_is_marked() {
        assert_eq!(marks(2, 0, 0), []);
        assert_eq!(marks(2, 0xfff, 1), [(0, 0b1)]);
        assert_eq!(marks(2, 0xfff, 2), [(0, 0b11)]);
        assert_eq!(marks(2, 0x3000, 0x2000), [(0, 0b1_1000)]);
        assert_eq!(marks(2, 0x7fff, 0x1002), [(0, 0x80), (1, 0b11)]);
    }

    #[test]
    fn nothing_beyond_the_end_is_touched() {
        assert_eq!(marks(2, 0xf000, 0x2000), [(1, 0x80)]);
        assert_eq!(marks(2, 0x1_0000, 1), []);
        assert_eq!(marks(2, u64::MAX, u64::MAX), []);
        assert_eq!(marks(2, 1, u64::MAX), [(0, 0xff), (1, 0xff)]);
    }

    #[test]
    fn the_size_formula() {
        assert_eq!(DirtyLog::bytes_for(256 << 20), 8192);
        assert_eq!((DirtyLog::bytes_for(0), DirtyLog::bytes_for(1)), (0, 1));
        assert_eq!((DirtyLog::bytes_for(0x8000), DirtyLog::bytes_for(0x8001)), (1, 2));
        let log = DirtyLog::check(&LogBase { size: 1, offset: 0 }).unwrap();
        assert!(log.covers(0x7fff) && !log.covers(0x8000));
    }

    #[test]
    fn a_used_ring_address_that_wraps_is_in_no_log() {
        let log = DirtyLog::check(&LogBase { size: 1, offset: 0 }).unwrap();
        let touched = Touched::default();
        log.mark_used(u64::MAX, 1, 4, &touched);
        log.mark_used(0x1000, 0x1000, 4, &touched);
        assert_eq!(touched.0.into_inner(), [(0, 0b100)]);
    }
}
