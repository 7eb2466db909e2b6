//! What to map for a region.

use super::MapError;
use crate::vhost_user::payload::Region;

/// Xen mmap flags bit 8: the region must not be mapped in advance (VU-127).
const NO_ADVANCE_MAP: u32 = 1 << 8;

/// What backs a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing<F, M> {
    /// It is mapped.
    Mapped(M),
    /// Only its descriptor is kept, and pieces of it are mapped while they are used (VU-127).
    OnDemand(F),
}

impl<F, M> Backing<F, M> {
    /// Maps the region with `map`, unless it must not be mapped in advance. Then the descriptor
    /// is kept and `map` is not called (VU-127).
    ///
    /// # Errors
    /// Those of `map`.
    pub fn of<E>(region: &Region, fd: F, map: impl FnOnce(F) -> Result<M, E>) -> Result<Self, E> {
        if is_on_demand(region) { Ok(Self::OnDemand(fd)) } else { map(fd).map(Self::Mapped) }
    }
}

/// Whether the region must not be mapped in advance (VU-127).
#[must_use]
pub const fn is_on_demand(region: &Region) -> bool {
    matches!(region.xen, Some(xen) if xen.flags & NO_ADVANCE_MAP != 0)
}

/// Whole pages of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapRange {
    /// Where the pages start in the file; a multiple of the page size.
    pub file_offset: u64,
    /// Bytes of the pages; a multiple of the page size.
    pub len: u64,
    /// Bytes of the first page that come before what was asked for: the host address of that is
    /// the address of the mapping plus `skip`.
    pub skip: u64,
}

impl MapRange {
    /// The pages of a region. `page_size` is what the file is mapped in: on hugetlbfs the huge
    /// page, which the offset and the size of a region need not be multiples of (VU-259, HZ-58a).
    ///
    /// # Errors
    /// The page size is not a power of two, or the pages end beyond 2^63 - 1, the largest file
    /// offset (DC-026).
    pub fn of(region: &Region, page_size: u64) -> Result<Self, MapError> {
        Self::of_piece(region, 0, region.size, page_size)
    }

    /// The pages of `len` bytes at `offset` of a region, such as those of a
    /// [`Location`](super::Location): what an access to a region maps that is not mapped in
    /// advance (VU-127).
    ///
    /// # Errors
    /// As [`of`](Self::of); and the piece is not inside the region.
    pub fn of_piece(
        region: &Region,
        offset: u64,
        len: u64,
        page_size: u64,
    ) -> Result<Self, MapError> {
        if !page_size.is_power_of_two() {
            return Err(MapError::PageSize { page_size });
        }
        if offset.checked_add(len).is_none_or(|end| end > region.size) {
            return Err(MapError::OutsideRegion { offset, len, size: region.size });
        }
        let start = region.mmap_offset.saturating_add(offset);
        let skip = start % page_size;
        let pages = skip.checked_add(len).and_then(|len| len.checked_next_multiple_of(page_size));
        let too_far = MapError::TooFar { start, len };
        let pages = pages.ok_or(too_far)?;
        let file_offset = start - skip;
        match file_offset.checked_add(pages) {
            Some(end) if i64::try_from(end).is_ok() => Ok(Self { file_offset, len: pages, skip }),
            _ => Err(too_far),
        }
    }
}

/// A region ends inside a file of `file_size` bytes. One that does not would fault where it is
/// touched (HZ-46, HZ-58b).
///
/// # Errors
/// The file is too short (DC-026).
pub const fn check_file(region: &Region, file_size: u64) -> Result<(), MapError> {
    let need = region.mmap_offset.saturating_add(region.size);
    if need > file_size {
        return Err(MapError::FileTooShort { need, have: file_size });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(mmap_offset: u64, size: u64) -> Region {
        Region { guest_address: 0, size, user_address: 0, mmap_offset, xen: None }
    }

    #[test]
    fn the_offset_is_aligned_down_and_the_length_up() {
        let huge = 2 << 20;
        assert_eq!(
            MapRange::of(&region(0x1000, 0x1000), huge),
            Ok(MapRange { file_offset: 0, len: huge, skip: 0x1000 })
        );
        assert_eq!(
            MapRange::of(&region(huge + 0x1000, huge), huge),
            Ok(MapRange { file_offset: huge, len: 2 * huge, skip: 0x1000 })
        );
        assert_eq!(
            MapRange::of(&region(huge, huge), huge),
            Ok(MapRange { file_offset: huge, len: huge, skip: 0 })
        );
    }

    #[test]
    fn a_piece_is_mapped_by_itself() {
        assert_eq!(
            MapRange::of_piece(&region(0x1000, 0x1_0000), 0x1ff0, 0x20, 0x1000),
            Ok(MapRange { file_offset: 0x2000, len: 0x2000, skip: 0xff0 })
        );
        for (offset, len) in [(0x1_0000, 1), (u64::MAX, 1), (0, 0x1_0001)] {
            let size = 0x1_0000;
            assert_eq!(
                MapRange::of_piece(&region(0, size), offset, len, 0x1000),
                Err(MapError::OutsideRegion { offset, len, size })
            );
        }
    }

    #[test]
    fn what_no_file_can_hold_is_refused() {
        let last = i64::MAX as u64;
        assert!(MapRange::of(&region(0, last - 0xfff), 0x1000).is_ok());
        for (start, len) in [(0, last), (last, 1), (u64::MAX - 1, 1), (0x1000, u64::MAX - 0x1000)] {
            assert_eq!(
                MapRange::of(&region(start, len), 0x1000),
                Err(MapError::TooFar { start, len })
            );
        }
        for page_size in [0, 3] {
            assert_eq!(
                MapRange::of(&region(0, 1), page_size),
                Err(MapError::PageSize { page_size })
            );
        }
    }

    #[test]
    fn the_file_has_to_hold_the_region() {
        assert_eq!(check_file(&region(0x1000, 0x1000), 0x2000), Ok(()));
        let short = MapError::FileTooShort { need: 0x2000, have: 0x1fff };
        assert_eq!(check_file(&region(0x1000, 0x1000), 0x1fff), Err(short));
    }
}
