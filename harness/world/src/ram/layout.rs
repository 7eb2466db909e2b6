//! Which guest addresses are memory.

use vhost_fuzz_core::vhost_user::payload::Region;

/// Bytes of a page: mappings begin at a multiple of it.
pub(super) const PAGE: u64 = 4096;

/// Least bytes between two regions of an arena.
const RED_ZONE: u64 = 64;

/// A region of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First guest address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// The front-end's user address of the first byte. Regions that are neighbours for the guest
    /// are not neighbours for the front-end.
    pub user: u64,
    /// How far the processor's address is from one that is aligned as the guest's is, in bytes.
    pub skew: u64,
}

impl Area {
    /// The offset of a guest address, and the bytes from there to the end.
    #[must_use]
    #[inline]
    pub const fn find(&self, address: u64) -> Option<(u64, u64)> {
        let offset = address.wrapping_sub(self.start);
        if offset < self.size { Some((offset, self.size - offset)) } else { None }
    }
}

/// Which regions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// 64 KiB: two neighbours, and a third after a hole.
    Small,
    /// 64 KiB, three neighbours with odd borders: the first border cuts what is a multiple of 16
    /// after 8 bytes, the second after one. The fourth region, after a hole, is near 2^64, so that
    /// a buffer in it can end beyond.
    Odd,
    /// As [`Small`](Self::Small), but the second region is mapped one byte off: what is aligned
    /// for the guest is not for the processor.
    Skewed,
    /// A region of 2 MiB, for rings of 32,768 entries, and a small neighbour.
    Large,
}

const SMALL: &[Area] = &[
    Area { start: 0x1_0000, size: 0x8000, user: 0x7f00_0001_0000, skew: 0 },
    Area { start: 0x1_8000, size: 0x4000, user: 0x7f00_0000_8000, skew: 0 },
    Area { start: 0x2_0000, size: 0x4000, user: 0x7f00_0010_0000, skew: 0 },
];

const ODD: &[Area] = &[
    Area { start: 0x1_0000, size: 0x6ff8, user: 0x7f00_0001_0000, skew: 0 },
    Area { start: 0x1_6ff8, size: 0x4009, user: 0x7f00_0000_8ff8, skew: 0 },
    Area { start: 0x1_b001, size: 0x2fff, user: 0x7f00_0002_0001, skew: 0 },
    Area { start: 0xffff_ffff_ffff_0000, size: 0x2000, user: 0x7f00_0010_0000, skew: 0 },
];

const SKEWED: &[Area] = &[SMALL[0], Area { skew: 1, ..SMALL[1] }, SMALL[2]];

const LARGE: &[Area] = &[
    Area { start: 0x10_0000, size: 0x20_0000, user: 0x7f00_0010_0000, skew: 0 },
    Area { start: 0x30_0000, size: 0x4000, user: 0x7f00_0000_4000, skew: 0 },
];

impl Layout {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Small, Self::Odd, Self::Skewed, Self::Large];

    /// The regions, by guest address.
    #[must_use]
    pub const fn areas(self) -> &'static [Area] {
        match self {
            Self::Small => SMALL,
            Self::Odd => ODD,
            Self::Skewed => SKEWED,
            Self::Large => LARGE,
        }
    }

    /// Where each region begins in an arena or a file that holds all of them, and the bytes of
    /// that. Places are aligned in a page as the guest's addresses are, but for the skew.
    pub(super) fn places(self) -> (Vec<u64>, u64) {
        let mut end = 0;
        let places = self.areas().iter().map(|area| {
            let place =
                (end + RED_ZONE).next_multiple_of(PAGE) + area.start.wrapping_add(area.skew) % PAGE;
            end = place + area.size;
            place
        });
        let places = places.collect();
        (places, (end + RED_ZONE).next_multiple_of(PAGE))
    }

    /// The regions as the front-end describes them; they are in a file at their places.
    #[must_use]
    pub fn regions(self) -> Vec<Region> {
        let described = |(area, mmap_offset): (&Area, u64)| Region {
            guest_address: area.start,
            size: area.size,
            user_address: area.user,
            mmap_offset,
            xen: None,
        };
        self.areas().iter().zip(self.places().0).map(described).collect()
    }
}

/// What of a range is in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Number of the region.
    pub(super) index: usize,
    /// First byte, from the start of the region.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) len: u64,
}

/// The pieces of a range up to its first byte that is not memory. The addresses end at 2^64.
pub(super) fn pieces(
    areas: &'static [Area],
    address: u64,
    len: u64,
) -> impl Iterator<Item = Piece> {
    let mut at = Some(address);
    let mut left = len;
    std::iter::from_fn(move || {
        let address = at.filter(|_| left > 0)?;
        let found = areas.iter().enumerate().find_map(|(index, area)| {
            let (offset, here) = area.find(address)?;
            Some(Piece { index, offset, len: here.min(left) })
        });
        at = found.and_then(|piece| address.checked_add(piece.len));
        left -= found.map_or(0, |piece| piece.len);
        found
    })
}
