//! Reading the buffers of a chain.

use super::cursor::Cursor;
use super::error::AccessError;
use super::guest::Guest;
use super::{Chain, RingMemory};
use crate::memory::{Access, LogMemory};

/// Reads the readable bytes of a chain in order, wherever the borders of buffers and regions are:
/// a header that has one byte in each buffer reads like one in a single buffer (VQ-010, NET-004).
///
/// The driver can change the bytes at any moment. Each `read` fetches them anew, so what is to be
/// judged is read once, and judged and used from where it was read to (VQ-024). A clone reads
/// them a second time.
#[derive(Debug)]
pub struct Reader<'c, 'g, B, L: ?Sized> {
    cursor: Cursor<'c, 'g, B, L>,
}

impl<B, L: ?Sized> Clone for Reader<'_, '_, B, L> {
    #[inline]
    fn clone(&self) -> Self {
        Self { cursor: self.cursor.clone() }
    }
}

impl Chain {
    /// A reader of its readable bytes.
    #[must_use]
    #[inline]
    pub fn reader<'g, B: RingMemory, L: LogMemory + ?Sized>(
        &self,
        guest: &Guest<'g, B, L>,
    ) -> Reader<'_, 'g, B, L> {
        Reader { cursor: Cursor::new(self, self.readable(), self.readable_bytes(), guest) }
    }
}

impl<B: RingMemory, L: LogMemory + ?Sized> Reader<'_, '_, B, L> {
    /// Bytes that were not read, at most 2^32.
    #[must_use]
    #[inline]
    pub const fn remaining(&self) -> u64 {
        self.cursor.remaining()
    }

    /// Reads as many bytes as fit, and says how many. They are fewer than asked for only at the
    /// end.
    ///
    /// # Errors
    /// Memory has changed since the chain was taken. The bytes before the first one that is not
    /// there any more have been read, and count as read.
    #[inline(always)]
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<usize, AccessError> {
        if let Some((backing, piece)) = self.cursor.near(bytes.len())
            && backing.read(piece.offset, bytes).is_some()
        {
            self.cursor.advance(piece.len);
            return Ok(bytes.len());
        }
        self.read_pieces(bytes)
    }

    /// As [`read`](Self::read), over the borders of buffers and regions.
    #[inline(never)]
    fn read_pieces(&mut self, bytes: &mut [u8]) -> Result<usize, AccessError> {
        let len = self.cursor.limit(bytes.len());
        let mut rest = bytes.get_mut(..len).unwrap_or_default();
        while !rest.is_empty() {
            let (backing, piece) = self.cursor.piece(rest.len(), Access::Read)?;
            let now = usize::try_from(piece.len).ok();
            let Some((now, later)) = now.and_then(|now| rest.split_at_mut_checked(now)) else {
                return Err(self.cursor.missing());
            };
            backing.read(piece.offset, now).ok_or(self.cursor.missing())?;
            self.cursor.advance(piece.len);
            rest = later;
        }
        Ok(len)
    }

    /// Reads exactly as many bytes as fit. `false`: there are not so many, and none was read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[must_use = "when the chain is too short nothing was read"]
    #[inline]
    pub fn read_exact(&mut self, bytes: &mut [u8]) -> Result<bool, AccessError> {
        if self.cursor.limit(bytes.len()) < bytes.len() {
            return Ok(false);
        }
        self.read(bytes).map(|_| true)
    }

    /// Leaves out at most `len` bytes, and says how many. They are fewer only at the end. No
    /// memory is touched.
    #[inline]
    pub fn skip(&mut self, len: u64) -> u64 {
        self.cursor.skip(len)
    }

    /// A reader of the next `len` bytes, and one of those after them. `None`: there are not so
    /// many.
    #[must_use]
    pub fn split_at(self, len: u64) -> Option<(Self, Self)> {
        let (front, back) = self.cursor.split_at(len)?;
        Some((Self { cursor: front }, Self { cursor: back }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mapped;
    use super::super::cursor::fixture::{Local, chain, counting, region, table};
    use super::*;
    use crate::memory::{Iotlb, MemoryTable, Miss, Space};
    use crate::vhost_user::payload::Iotlb as Message;
    use vm_memory::VolatileSlice;

    /// All bytes that are left.
    fn rest<B: RingMemory, L: LogMemory + ?Sized>(mut reader: Reader<'_, '_, B, L>) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(reader.remaining()).unwrap()];
        assert_eq!(reader.read(&mut bytes), Ok(bytes.len()));
        assert_eq!((reader.remaining(), reader.read(&mut [0])), (0, Ok(0)));
        bytes
    }

    #[test]
    fn a_header_reads_the_same_wherever_it_is_cut() {
        let mut memory = counting(0, 64);
        let table = table([(0x1000, &mut memory[..])]);
        let guest = Guest::new(&table);
        let bytes: Vec<(u64, u32)> = (0..20).map(|at| (0x1000 + at, 1)).collect();
        let mut cuts = vec![bytes];
        cuts.extend((0..=20).map(|at| vec![(0x1000, at), (0x1000 + u64::from(at), 20 - at)]));
        for buffers in cuts {
            let chain = chain(&guest, &buffers, &[]);
            let mut reader = chain.reader(&guest);
            let mut header = [0xff; 12];
            assert_eq!(reader.read_exact(&mut header), Ok(true));
            assert_eq!((&header[..], reader.remaining()), (&counting(0, 12)[..], 8));
            assert_eq!(rest(reader), counting(12, 8), "{buffers:?}");
        }
    }

    #[test]
    fn the_end_is_not_an_error() {
        let mut memory = counting(0, 64);
        let table = table([(0, &mut memory[..])]);
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[(0, 3), (32, 4)], &[(8, 8)]);
        let mut reader = chain.reader(&guest);
        let mut bytes = [0xff; 8];
        assert_eq!((reader.read_exact(&mut bytes), bytes), (Ok(false), [0xff; 8]));
        assert_eq!((reader.remaining(), reader.read(&mut [])), (7, Ok(0)));
        assert_eq!(reader.read(&mut bytes), Ok(7));
        assert_eq!(bytes, [0, 1, 2, 32, 33, 34, 35, 0xff]);
        assert_eq!((reader.remaining(), reader.read(&mut bytes)), (0, Ok(0)));
        assert_eq!((reader.read_exact(&mut []), reader.skip(1)), (Ok(true), 0));
    }

    #[test]
    fn a_chain_without_readable_bytes_has_none() {
        let mut memory = [0; 64];
        let table = table([(0, &mut memory[..])]);
        let guest = Guest::new(&table);
        for writable in [&[][..], &[(0, 8)]] {
            let chain = chain(&guest, &[], writable);
            assert_eq!(rest(chain.reader(&guest)), []);
        }
    }

    #[test]
    fn buffers_go_over_the_borders_of_regions() {
        let (mut low, mut high) = (counting(0, 0x100), counting(0x80, 0x100));
        // The upper one has the first slot.
        let table = table([(0x1100, &mut high[..]), (0x1000, &mut low[..])]);
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[(0x10f0, 0x20), (0x1104, 2), (0x1000, 2)], &[]);
        let expected = [&counting(0xf0, 16)[..], &counting(0x80, 16), &[0x84, 0x85, 0, 1]].concat();
        assert_eq!(rest(chain.reader(&guest)), expected);
    }

    #[test]
    fn skip_and_split_are_exact_at_every_byte() {
        let mut memory = counting(0, 64);
        let table = table([(0, &mut memory[..])]);
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[(0, 1), (1, 1), (10, 5), (20, 6)], &[]);
        let whole = rest(chain.reader(&guest));
        for at in 0..=whole.len() {
            let (front, back) = chain.reader(&guest).split_at(at as u64).unwrap();
            let mut skipped = chain.reader(&guest);
            assert_eq!(skipped.skip(at as u64), at as u64);
            assert_eq!(rest(skipped), whole[at..]);
            assert_eq!((rest(front), rest(back)), (whole[..at].to_vec(), whole[at..].to_vec()));
        }
        let len = whole.len() as u64;
        assert!(chain.reader(&guest).split_at(len + 1).is_none());
        assert_eq!(chain.reader(&guest).skip(u64::MAX), len);
        // A front part ends where it was cut, also within a buffer.
        let (front, _) = chain.reader(&guest).split_at(4).unwrap();
        assert!(front.clone().split_at(5).is_none());
        let (_, back) = front.split_at(3).unwrap();
        assert_eq!(rest(back), whole[3..4]);
    }

    #[test]
    fn a_clone_reads_again() {
        let mut memory = counting(0, 64);
        let table = table([(0, &mut memory[..])]);
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[(0, 3), (32, 4)], &[]);
        let mut reader = chain.reader(&guest);
        reader.skip(2);
        assert_eq!(rest(reader.clone()), rest(reader));
    }

    #[test]
    fn memory_that_went_away_is_an_error_at_its_first_byte() {
        let mut buffers = [counting(0, 0x100), counting(0x40, 0x100), counting(0x80, 0x100)];
        let starts = [0x1000, 0x2000, 0x2100];
        let mut table = table(starts.into_iter().zip(buffers.iter_mut().map(|b| &mut b[..])));
        let chain = chain(&Guest::new(&table), &[(0x1000, 2), (0x20fe, 4), (0x2110, 2)], &[]);

        // The first region goes, and the slots of the others change: they are found all the same.
        table.remove(&region(0x1000, 0x100)).unwrap().unwrap();
        let guest = Guest::new(&table);
        let mut reader = chain.reader(&guest);
        let gone = Err(AccessError::Outside { address: 0x1000 });
        assert_eq!((reader.read(&mut [0; 8]), reader.remaining()), (gone, 8));
        assert_eq!(reader.skip(2), 2);
        assert_eq!(rest(reader), [0x3e, 0x3f, 0x80, 0x81, 0x90, 0x91]);

        // Half of a buffer goes: what was read before counts, what comes after is not touched.
        table.remove(&region(0x2100, 0x100)).unwrap().unwrap();
        let guest = Guest::new(&table);
        let mut reader = chain.reader(&guest);
        reader.skip(2);
        let mut bytes = [0xff; 6];
        let gone = Err(AccessError::Outside { address: 0x2100 });
        assert_eq!((reader.read(&mut bytes), reader.remaining()), (gone, 4));
        assert_eq!(bytes, [0x3e, 0x3f, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(reader.read(&mut bytes), gone);
    }

    #[test]
    fn what_backs_a_region_may_be_too_short() {
        let mut memory = counting(0, 0x80);
        let mut table: MemoryTable<Local<'_>> = MemoryTable::new(1);
        let backing = Mapped(VolatileSlice::from(&mut memory[..]));
        table.add(region(0, 0x100), backing).unwrap();
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[(0x7e, 2), (0x7e, 3)], &[]);
        let mut reader = chain.reader(&guest);
        let gone = Err(AccessError::Outside { address: 0x7e });
        assert_eq!((reader.read(&mut [0; 5]), reader.remaining()), (gone, 3));
    }

    #[test]
    fn translations_are_looked_up_at_each_read() {
        let mut memory = counting(0, 0x100);
        let table = table([(0x1000, &mut memory[..])]);
        let mut iotlb = Iotlb::new(4);
        let update = |iotlb: &mut Iotlb, iova, size, user_address, permissions| {
            let kind = Message::UPDATE;
            let message = Message { iova, size, user_address, permissions, kind, padding: [0; 6] };
            iotlb.update(&message, Space::Guest, &table).unwrap();
        };
        update(&mut iotlb, 0x8000, 0x10, 0x1080, 1);
        update(&mut iotlb, 0x8010, 0x10, 0x1000, 3);
        let guest = Guest { iotlb: Some(&iotlb), ..Guest::new(&table) };
        // 0x1000 is an address of the table, and none here.
        let chain = chain(&guest, &[(0x800c, 8)], &[]);
        let expected = [0x8c, 0x8d, 0x8e, 0x8f, 0, 1, 2, 3];
        assert_eq!(rest(chain.reader(&guest)), expected);

        iotlb.invalidate(0x8010, 1).unwrap();
        let guest = Guest { iotlb: Some(&iotlb), ..Guest::new(&table) };
        let mut reader = chain.reader(&guest);
        let miss = Err(AccessError::Miss(Miss { iova: 0x8010, permissions: 1 }));
        let mut bytes = [0xff; 8];
        assert_eq!((reader.read(&mut bytes), reader.remaining()), (miss, 4));
        assert_eq!(bytes[4..], [0xff; 4]);

        update(&mut iotlb, 0x8010, 1, 0x1020, 1);
        update(&mut iotlb, 0x8011, 0x100 - 0x11, 0x1011, 1);
        let guest = Guest { iotlb: Some(&iotlb), ..Guest::new(&table) };
        assert_eq!(rest(chain.reader(&guest)), [0x8c, 0x8d, 0x8e, 0x8f, 0x20, 0x11, 0x12, 0x13]);

        // Without translations nothing is known.
        let mut reader = chain.reader(&Guest::new(&table));
        let miss = Err(AccessError::Miss(Miss { iova: 0x800c, permissions: 1 }));
        assert_eq!(reader.read(&mut bytes), miss);
    }

    #[test]
    fn four_gibibytes_are_counted() {
        let mut memory = [0; 16];
        let mut table: MemoryTable<Local<'_>> = MemoryTable::new(1);
        let backing = Mapped(VolatileSlice::from(&mut memory[..]));
        table.add(region(0, 1 << 32), backing).unwrap();
        let guest = Guest::new(&table);
        let chain = chain(&guest, &[(0, u32::MAX), (8, 1)], &[]);
        let mut reader = chain.reader(&guest);
        assert_eq!(reader.remaining(), 1 << 32);
        assert_eq!((reader.skip((1 << 32) - 1), reader.remaining()), ((1 << 32) - 1, 1));
        assert_eq!(reader.read(&mut [1; 4]), Ok(1));
    }
}
