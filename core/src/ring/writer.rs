//! Writing the buffers of a chain.

use super::cursor::Cursor;
use super::error::AccessError;
use super::guest::Guest;
use super::{Chain, RingMemory};
use crate::memory::{Access, Location, LogMemory};

/// Writes the writable bytes of a chain in order, wherever the borders of buffers and regions
/// are, and counts them.
///
/// There is no way to leave bytes out: the used length says how many bytes *from the beginning*
/// were written, and one too many shows the driver's reader what was there before (VQ-037, spec
/// §1.6). A header whose value is known late is written through
/// [`split_at`](Self::split_at) and [`join`](Self::join).
#[derive(Debug)]
pub struct Writer<'c, 'g, B, L: ?Sized> {
    cursor: Cursor<'c, 'g, B, L>,
    /// Where its first byte is, counted over all writable bytes.
    begin: u64,
}

impl Chain {
    /// A writer of its writable bytes.
    #[must_use]
    #[inline]
    pub fn writer<'g, B: RingMemory, L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
    ) -> Writer<'_, 'g, B, L> {
        let cursor = Cursor::new(self, self.writable(), self.writable_bytes(), guest);
        Writer { cursor, begin: 0 }
    }
}

impl<B: RingMemory, L: LogMemory + ?Sized> Writer<'_, '_, B, L> {
    /// Bytes that were not written, at most 2^32.
    #[must_use]
    #[inline]
    pub const fn remaining(&self) -> u64 {
        self.cursor.remaining()
    }

    /// Bytes that were written, from the first byte of this writer on. Of the writer of a whole
    /// chain that is the used length (VQ-037); it is never more than the chain has (VQ-039). Of
    /// 2^32 bytes it tells one less: the used length has 32 bits.
    #[must_use]
    #[inline]
    pub fn written(&self) -> u32 {
        u32::try_from(self.cursor.at().saturating_sub(self.begin)).unwrap_or(u32::MAX)
    }

    /// Writes as many of the bytes as there is room for, and says how many. They are fewer than
    /// given only at the end. Pages that were written to are logged (VU-147).
    ///
    /// # Errors
    /// Memory has changed since the chain was taken. The bytes before the first one that is not
    /// there any more have been written, and count as written.
    #[inline(always)]
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, AccessError> {
        if let Some((backing, piece)) = self.cursor.near(bytes.len())
            && backing.write(piece.offset, bytes).is_some()
        {
            self.wrote(&piece);
            return Ok(bytes.len());
        }
        self.write_pieces(bytes)
    }

    /// As [`write`](Self::write), over the borders of buffers and regions.
    #[inline(never)]
    fn write_pieces(&mut self, bytes: &[u8]) -> Result<usize, AccessError> {
        let len = self.cursor.limit(bytes.len());
        let mut rest = bytes.get(..len).unwrap_or_default();
        while !rest.is_empty() {
            let (backing, piece) = self.cursor.piece(rest.len(), Access::Write)?;
            let now = usize::try_from(piece.len).ok();
            let Some((now, later)) = now.and_then(|now| rest.split_at_checked(now)) else {
                return Err(self.cursor.missing());
            };
            backing.write(piece.offset, now).ok_or(self.cursor.missing())?;
            self.wrote(&piece);
            rest = later;
        }
        Ok(len)
    }

    /// Goes on after bytes that were written. Their pages are logged after the write, so that who
    /// finds the bit finds the bytes.
    #[inline]
    fn wrote(&mut self, piece: &Location) {
        self.cursor.guest().mark(piece);
        self.cursor.advance(piece.len);
    }

    /// A writer of the next `len` bytes, and one of those after them, to be written in any order.
    /// What this one wrote counts in the first. `None`: there are not so many.
    #[must_use]
    pub fn split_at(self, len: u64) -> Option<(Self, Self)> {
        let Self { cursor, begin } = self;
        let (front, back) = cursor.split_at(len)?;
        let middle = back.at();
        Some((Self { cursor: front, begin }, Self { cursor: back, begin: middle }))
    }

    /// The writer of this one's bytes and of those of `back`, which begin where this one ends.
    ///
    /// [`written`](Self::written) of it tells what was written without a gap: the bytes of `back`
    /// count when all before them were written, and else do not (spec §1.6). It goes on at the
    /// first byte that does not count.
    ///
    /// `None`: `back` is of another chain, or does not begin there. It is a mistake of the
    /// device; the used length is not known then, and 0 is always true.
    #[must_use]
    pub fn join(self, back: Self) -> Option<Self> {
        let cursor = self.cursor.join(back.cursor, back.begin)?;
        Some(Self { cursor, begin: self.begin })
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::super::Log;
    use super::super::cursor::fixture::{chain, counting, region, table};
    use super::*;
    use crate::memory::{DirtyLog, Iotlb, Miss, Space};
    use crate::vhost_user::payload::{Iotlb as Message, LogBase};

    #[test]
    fn bytes_go_where_the_buffers_are_and_nowhere_else() {
        let (mut low, mut high) = ([0xee; 0x20], [0xee; 0x20]);
        {
            let table = table([(0x1020, &mut high[..]), (0x1000, &mut low[..])]);
            let guest = Guest::new(&table);
            let buffers = [(0x101e, 4), (0x1000, 1), (0x1002, 1), (0x1010, 3)];
            let chain = chain(&guest, &[(0x1008, 4)], &buffers);
            let mut writer = chain.writer(&guest);
            assert_eq!((writer.remaining(), writer.written()), (9, 0));
            assert_eq!((writer.write(&[]), writer.written()), (Ok(0), 0));
            assert_eq!((writer.write(&counting(1, 5)), writer.written()), (Ok(5), 5));
            // At most the writable bytes (VQ-039).
            assert_eq!(writer.write(&counting(6, 9)), Ok(4));
            assert_eq!((writer.remaining(), writer.written()), (0, 9));
            assert_eq!((writer.write(&[1]), writer.written()), (Ok(0), 9));
        }
        let mut expected = ([0xee; 0x20], [0xee; 0x20]);
        expected.0[0x1e..].copy_from_slice(&[1, 2]);
        expected.1[..2].copy_from_slice(&[3, 4]);
        (expected.0[0], expected.0[2]) = (5, 6);
        expected.0[0x10..0x13].copy_from_slice(&[7, 8, 9]);
        assert_eq!((low, high), expected);
    }

    #[test]
    fn a_chain_without_writable_bytes_takes_none() {
        let mut memory = [0xee; 0x20];
        {
            let table = table([(0, &mut memory[..])]);
            let guest = Guest::new(&table);
            let chain = chain(&guest, &[(0, 0x20)], &[]);
            let mut writer = chain.writer(&guest);
            assert_eq!((writer.write(&[1]), writer.written()), (Ok(0), 0));
        }
        assert_eq!(memory, [0xee; 0x20]);
    }

    #[test]
    fn a_late_header_counts_from_the_beginning() {
        let mut memory = [0; 0x20];
        {
            let table = table([(0, &mut memory[..])]);
            let guest = Guest::new(&table);
            let chain = chain(&guest, &[], &[(0, 3), (8, 2), (16, 8)]);
            let (mut header, mut payload) = chain.writer(&guest).split_at(4).unwrap();
            assert_eq!((header.remaining(), payload.remaining()), (4, 9));
            assert_eq!(payload.write(&[5, 6, 7]), Ok(3));
            assert_eq!(header.write(&[1, 2, 3, 4, 99]), Ok(4));
            assert_eq!((header.written(), payload.written()), (4, 3));
            let mut writer = header.join(payload).unwrap();
            assert_eq!((writer.written(), writer.remaining()), (7, 6));
            assert_eq!((writer.write(&[8]), writer.written()), (Ok(1), 8));
        }
        assert_eq!(
            (&memory[..3], &memory[8..10], &memory[16..20]),
            (&[1, 2, 3][..], &[4, 5][..], &[6, 7, 8, 0][..])
        );
    }

    #[test]
    fn what_comes_after_a_gap_does_not_count() {
        let mut memory = [0; 0x20];
        let table = table([(0, &mut memory[..])]);
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[], &[(0, 8), (16, 1)]);
        // Data and a status: only the status was written.
        let (mut data, mut status) = chain.writer(&guest).split_at(8).unwrap();
        assert_eq!((data.write(&[1, 2]), status.write(&[3])), (Ok(2), Ok(1)));
        let mut writer = data.join(status).unwrap();
        assert_eq!((writer.written(), writer.remaining()), (2, 7));
        assert_eq!((writer.write(&[4; 7]), writer.written()), (Ok(7), 9));

        // Three parts, in both orders; a part of nothing is no gap.
        for nested in [false, true] {
            let (head, tail) = chain.writer(&guest).split_at(3).unwrap();
            let (empty, tail) = tail.split_at(0).unwrap();
            let (mut head, mut tail) = (head, tail);
            assert_eq!((head.write(&[1; 3]), tail.write(&[2; 6])), (Ok(3), Ok(6)));
            let joined = if nested {
                head.join(empty.join(tail).unwrap())
            } else {
                head.join(empty).unwrap().join(tail)
            };
            assert_eq!(joined.unwrap().written(), 9);
        }
    }

    #[test]
    fn a_writer_that_is_split_late_keeps_its_count() {
        let mut memory = [0; 0x20];
        let table = table([(0, &mut memory[..])]);
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[], &[(0, 8)]);
        let mut writer = chain.writer(&guest);
        assert_eq!(writer.write(&[1, 2]), Ok(2));
        let (mut front, back) = writer.split_at(1).unwrap();
        assert_eq!((front.written(), front.remaining(), back.written()), (2, 1, 0));
        assert_eq!((front.write(&[3, 4]), front.written()), (Ok(1), 3));
        assert_eq!(front.join(back).map(|writer| writer.written()), Some(3));
        assert!(chain.writer(&guest).split_at(9).is_none());
    }

    #[test]
    fn only_parts_that_follow_are_joined() {
        let mut memory = [0; 0x20];
        let table = table([(0, &mut memory[..])]);
        let guest = Guest::new(&table);
        let one = chain(&guest, &[], &[(0, 8), (16, 8)]);
        let other = one.clone();
        let split = |at| one.writer(&guest).split_at(at).unwrap();
        assert!(split(4).0.join(split(5).1).is_none());
        assert!(split(4).1.join(split(4).0).is_none());
        assert!(split(4).0.join(other.writer(&guest).split_at(4).unwrap().1).is_none());
        assert!(split(4).0.join(split(4).1).is_some());
    }

    #[test]
    fn exactly_the_written_pages_are_logged() {
        let (mut low, mut high) = (vec![0; 0x4000], vec![0; 0x4000]);
        let table = table([(0x4000, &mut high[..]), (0, &mut low[..])]);
        let bits = [const { AtomicU8::new(0) }; 2];
        let log = DirtyLog::check(&LogBase { size: 2, offset: 0 }).unwrap();
        let guest = Guest { table: &table, iotlb: None, log: Some(Log { log, memory: &bits[..] }) };
        let marked = || [0, 1].map(|at: usize| bits[at].swap(0, Ordering::Relaxed));
        let buffers = [(0x0fff, 1), (0x1000, 0), (0x2fff, 2), (0x3fff, 2), (0x7000, 0x1000)];
        let chain = chain(&guest, &[(0x6000, 1)], &buffers);
        let mut writer = chain.writer(&guest);
        assert_eq!((writer.write(&[]), marked()), (Ok(0), [0, 0]));
        assert_eq!((writer.write(&[1]), marked()), (Ok(1), [0b1, 0]));
        assert_eq!((writer.write(&[1; 2]), marked()), (Ok(2), [0b1100, 0]));
        // Over the border of the regions.
        assert_eq!((writer.write(&[1; 2]), marked()), (Ok(2), [0b1_1000, 0]));
        assert_eq!((writer.write(&[1]), marked()), (Ok(1), [0b1000_0000, 0]));
        // Reading leaves no mark.
        assert_eq!((chain.reader(&guest).read(&mut [0]), marked()), (Ok(1), [0, 0]));
    }

    #[test]
    fn memory_that_went_away_is_not_written_to() {
        let (mut low, mut high) = ([0xee; 0x20], [0xee; 0x20]);
        {
            let mut table = table([(0, &mut low[..]), (0x20, &mut high[..])]);
            let chain = chain(&Guest::new(&table), &[], &[(0x1c, 8), (4, 4)]);
            table.remove(&region(0x20, 0x20)).unwrap().unwrap();
            let bits = [const { AtomicU8::new(0) }];
            let log = DirtyLog::check(&LogBase { size: 1, offset: 0 }).unwrap();
            let log = Some(Log { log, memory: &bits[..] });
            let guest = Guest { table: &table, iotlb: None, log };
            let mut writer = chain.writer(&guest);
            let gone = Err(AccessError::Outside { address: 0x20 });
            assert_eq!((writer.write(&[1; 12]), writer.written()), (gone, 4));
            assert_eq!((writer.write(&[1; 8]), writer.written()), (gone, 4));
            assert_eq!(writer.remaining(), 8);
            assert_eq!(bits[0].load(Ordering::Relaxed), 1);
        }
        assert_eq!(
            (&low[..0x1c], &low[0x1c..], high),
            (&[0xee; 0x1c][..], &[1; 4][..], [0xee; 0x20])
        );
    }

    #[test]
    fn a_translation_has_to_allow_writing() {
        let mut memory = [0xee; 0x40];
        {
            let table = table([(0x1000, &mut memory[..])]);
            let mut iotlb = Iotlb::new(4);
            let update = |iotlb: &mut Iotlb, permissions| {
                let (iova, kind) = (0x8000, Message::UPDATE);
                let user_address = 0x1008;
                let message =
                    Message { iova, size: 8, user_address, permissions, kind, padding: [0; 6] };
                iotlb.update(&message, Space::Guest, &table).unwrap();
            };
            update(&mut iotlb, 3);
            let guest = Guest { iotlb: Some(&iotlb), ..Guest::new(&table) };
            let chain = chain(&guest, &[], &[(0x8000, 8)]);
            update(&mut iotlb, 1);
            let guest = Guest { iotlb: Some(&iotlb), ..Guest::new(&table) };
            let mut writer = chain.writer(&guest);
            let miss = Err(AccessError::Miss(Miss { iova: 0x8000, permissions: 2 }));
            assert_eq!((writer.write(&[1; 4]), writer.written()), (miss, 0));
            update(&mut iotlb, 2);
            let guest = Guest { iotlb: Some(&iotlb), ..Guest::new(&table) };
            let mut writer = chain.writer(&guest);
            assert_eq!((writer.write(&[1; 4]), writer.written()), (Ok(4), 4));
        }
        let mut expected = [0xee; 0x40];
        expected[8..12].fill(1);
        assert_eq!(memory, expected);
    }

    #[test]
    fn the_used_length_has_32_bits() {
        let mut memory = [0; 16];
        let mut table = table([]);
        let backing = super::super::Mapped(vm_memory::VolatileSlice::from(&mut memory[..]));
        table.add(region(0, 1 << 32), backing).unwrap();
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[], &[(0, u32::MAX), (8, 1)]);
        let mut writer = chain.writer(&guest);
        assert_eq!(writer.cursor.skip(u64::from(u32::MAX)), u64::from(u32::MAX));
        assert_eq!((writer.written(), writer.write(&[1; 4])), (u32::MAX, Ok(1)));
        assert_eq!((writer.written(), writer.remaining()), (u32::MAX, 0));
    }
}
