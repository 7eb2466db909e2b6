//! Where rings are, and what a log of writes to them looks like (spec §6.5, §6.8).

use super::{Machine, PAGE, Piece, RING_MAX, RINGS, Refusal, Ring, Space, TOP};
use crate::Id;
use crate::vhost_user::number;

impl Machine {
    pub(super) fn set_num(&mut self, body: &[u8]) -> Result<(), Id> {
        let (index, num) = (number(body, 0, 4), number(body, 4, 4));
        let Some(ring) = usize::try_from(index).ok().filter(|index| *index < RINGS) else {
            return Ok(());
        };
        let powers: Vec<u64> = (0..16).map(|bit| 1 << bit).collect();
        if num == 0 || num > 32768 || num > RING_MAX || !self.has(34) && !powers.contains(&num) {
            return Err(Id::Vu(78));
        }
        self.rings[ring].num = Some(num);
        Ok(())
    }

    pub(super) fn set_addresses(&mut self, body: &[u8]) -> Result<(), Id> {
        let Some(ring) = usize::try_from(number(body, 0, 4)).ok().filter(|ring| *ring < RINGS)
        else {
            return Ok(());
        };
        let addresses = [
            number(body, 8, 8),
            number(body, 16, 8),
            number(body, 24, 8),
            number(body, 32, 8),
            number(body, 4, 4),
        ];
        if let Some(num) = self.rings[ring].num {
            self.addresses_alone(num, &addresses).map_err(|refusal| refusal.id)?;
            let [_, _, _, log, flags] = addresses;
            let last = u128::from(log) + self.parts(num)[1].0 - 1;
            if let Some(size) = self.log
                && flags % 2 == 1
                && (last >= TOP || last / PAGE / 8 >= u128::from(size))
            {
                return Err(Id::Vu(152));
            }
        }
        self.rings[ring].addresses = Some(addresses);
        Ok(())
    }

    /// Bytes and alignment of descriptor, used and available part (spec §6.5).
    fn parts(&self, num: u64) -> [(u128, u128); 3] {
        let num = u128::from(num);
        let event = if self.has(29) { 2 } else { 0 };
        if self.has(34) {
            [(16 * num, 16), (4, 4), (4, 4)]
        } else {
            [(16 * num, 16), (4 + 8 * num + event, 4), (4 + 2 * num + event, 2)]
        }
    }

    fn addresses_alone(&self, num: u64, addresses: &[u64; 5]) -> Result<(), Refusal> {
        for ((len, align), address) in self.parts(num).into_iter().zip(addresses) {
            let address = u128::from(*address);
            if address % align != 0 || address + len >= TOP {
                return Err(Refusal { id: Id::Vu(83), at: 0 });
            }
        }
        Ok(())
    }

    /// Where descriptor, used and available part of a ring are. `None` when it has no size or no
    /// addresses.
    ///
    /// # Errors
    /// The first part that is misaligned, wraps, or is not in memory.
    #[must_use]
    pub fn place(&self, ring: usize) -> Option<Result<[Vec<Piece>; 3], Refusal>> {
        let Ring { num: Some(num), addresses: Some(addresses) } = *self.rings.get(ring)? else {
            return None;
        };
        Some(self.place_at(num, &addresses))
    }

    fn place_at(&self, num: u64, addresses: &[u64; 5]) -> Result<[Vec<Piece>; 3], Refusal> {
        self.addresses_alone(num, addresses)?;
        // What the device does with the parts: DC-028.
        let permissions = if self.has(34) { [3, 2, 1] } else { [1, 3, 1] };
        let mut placed = [Vec::new(), Vec::new(), Vec::new()];
        for part in 0..3 {
            let len = u64::try_from(self.parts(num)[part].0).unwrap_or(u64::MAX);
            let space = self.ring_space(permissions[part]);
            placed[part] =
                self.pieces(space, addresses[part], len).map_err(|refusal| match space {
                    Space::Iova(_) => refusal,
                    _ => Refusal { id: Id::Vu(83), ..refusal },
                })?;
        }
        Ok(placed)
    }

    /// Sets the bit of every page of a range that the log has one for.
    pub fn mark(&mut self, address: u64, len: u64) {
        let end = u128::from(address) + u128::from(len);
        let mut page = u128::from(address) / PAGE;
        while page * PAGE < end && len > 0 {
            let Some(byte) = usize::try_from(page / 8).ok().and_then(|at| self.bitmap.get_mut(at))
            else {
                return;
            };
            *byte |= 1 << (page % 8);
            page += 1;
        }
    }

    /// Marks what a device wrote through a descriptor (VU-147).
    ///
    /// # Errors
    /// The first address that is nowhere; then nothing is marked.
    pub fn write(&mut self, address: u64, len: u64) -> Result<(), Refusal> {
        let pieces = self.pieces(self.buffer_space(2), address, len)?;
        self.mark_pieces(&pieces);
        Ok(())
    }

    /// Marks what a device wrote to the used ring: `len` bytes at `offset` of it (VU-148). With
    /// an IOMMU the log address is translated first (DV-80). `None` when the ring is not logged.
    ///
    /// # Errors
    /// The first address that is nowhere; then nothing is marked.
    pub fn write_used(
        &mut self,
        ring: usize,
        offset: u64,
        len: u64,
    ) -> Option<Result<(), Refusal>> {
        let [_, _, _, log, flags] = self.rings.get(ring)?.addresses?;
        if flags % 2 == 0 {
            return None;
        }
        let Ok(address) = u64::try_from(u128::from(log) + u128::from(offset)) else {
            return Some(Ok(()));
        };
        if !self.has(33) {
            self.mark(address, len);
            return Some(Ok(()));
        }
        Some(self.pieces(Space::Iova(2), address, len).map(|pieces| self.mark_pieces(&pieces)))
    }

    fn mark_pieces(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            self.mark(self.regions[piece.slot].guest + piece.offset, piece.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_range_are_marked() {
        let mut machine = Machine::new(0, 0, 4, 2);
        machine.bitmap = vec![0; 2];
        machine.mark(0x7fff, 2);
        assert_eq!(machine.bitmap, [0x80, 1]);
        machine.mark(0xffff, u64::MAX);
        machine.mark(0, 0);
        assert_eq!(machine.bitmap, [0x80, 0x81]);
    }
}
