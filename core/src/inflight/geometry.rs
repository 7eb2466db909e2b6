//! How large an in-flight area is, and where the region of each queue lies in it.

use super::AreaError;

/// The most descriptors that a ring can have.
pub const MAX_QUEUE_SIZE: u16 = 1 << 15;

/// Regions start at multiples of this many bytes (DC-030).
const ALIGNMENT: u64 = 64;

/// Numbers that fix the layout of an area.
///
/// | | Split | Packed |
/// |---|---|---|
/// | header, bytes | 16 | 32 |
/// | entry, bytes | 16 | 32 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Queues that have a region, queue 0 first.
    pub queues: u16,
    /// Descriptors of each queue, and entries of each region.
    pub queue_size: u16,
    /// `VIRTIO_F_RING_PACKED` was negotiated.
    pub packed: bool,
}

impl Geometry {
    /// Bytes of a region: its header and its entries.
    #[must_use]
    pub const fn region_len(&self) -> u64 {
        // The header is as long as an entry.
        let unit: u64 = if self.packed { 32 } else { 16 };
        unit + unit * self.queue_size as u64
    }

    /// Bytes from one region to the next (DC-030).
    #[must_use]
    pub const fn stride(&self) -> u64 {
        self.region_len().next_multiple_of(ALIGNMENT)
    }

    /// Bytes of the area. The largest has less than 2^36 bytes.
    #[must_use]
    pub const fn area_len(&self) -> u64 {
        self.stride() * self.queues as u64
    }

    /// Where the region of a queue starts in the area, in bytes; `None` for a queue without one.
    #[must_use]
    pub const fn region_offset(&self, queue: u16) -> Option<u64> {
        if queue < self.queues { Some(self.stride() * queue as u64) } else { None }
    }

    /// Judges the numbers of `GET_INFLIGHT_FD`, for which the back-end makes the area.
    ///
    /// # Errors
    /// [`AreaError::NoQueues`] and [`AreaError::QueueSize`] (DC-031);
    /// [`AreaError::TooManyQueues`] when the device has only `max_queues` (VU-182).
    pub fn check_request(&self, max_queues: u16) -> Result<(), AreaError> {
        if self.queues == 0 {
            return Err(AreaError::NoQueues);
        }
        check_queue_size(self.queue_size, self.packed)?;
        if self.queues > max_queues {
            return Err(AreaError::TooManyQueues { queues: self.queues, limit: max_queues });
        }
        Ok(())
    }

    /// Judges `SET_INFLIGHT_FD`, which brings an area of `mmap_size` bytes at byte `mmap_offset`
    /// of its descriptor. An area may be larger than it has to be (DC-030).
    ///
    /// # Errors
    /// Those of [`check_request`](Self::check_request), then [`AreaError::OffsetWraps`] and
    /// [`AreaError::TooSmall`] (VU-182).
    pub fn check(
        &self,
        max_queues: u16,
        mmap_size: u64,
        mmap_offset: u64,
    ) -> Result<(), AreaError> {
        self.check_request(max_queues)?;
        if mmap_offset.checked_add(mmap_size).is_none() {
            return Err(AreaError::OffsetWraps { offset: mmap_offset, size: mmap_size });
        }
        let need = self.area_len();
        if mmap_size < need {
            return Err(AreaError::TooSmall { need, have: mmap_size });
        }
        Ok(())
    }
}

/// A split ring has a power of two of descriptors, a packed ring any number (DC-031).
pub(super) const fn check_queue_size(size: u16, packed: bool) -> Result<(), AreaError> {
    let is_odd = !packed && !size.is_power_of_two();
    if size == 0 || size > MAX_QUEUE_SIZE || is_odd {
        return Err(AreaError::QueueSize { size });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_area_fits_in_its_type() {
        let geometry = Geometry { queues: u16::MAX, queue_size: u16::MAX, packed: true };
        assert_eq!(geometry.stride(), 32 * 65536);
        assert_eq!(geometry.area_len(), 32 * 65536 * 65535);
        assert_eq!(geometry.region_offset(u16::MAX), None);
    }

    #[test]
    fn two_queues_of_128_entries_take_4224_bytes() {
        // The size that the specification's observations give (spec §6.11).
        let geometry = Geometry { queues: 2, queue_size: 128, packed: false };
        assert_eq!((geometry.region_len(), geometry.stride()), (2064, 2112));
        assert_eq!(geometry.area_len(), 4224);
        assert_eq!(geometry.region_offset(1), Some(2112));
        assert_eq!(geometry.region_offset(2), None);
    }
}
