//! Offsets and flags of the structures in a ring (spec §1.2, §2.2).

/// Bytes of a descriptor of either layout.
pub(super) const DESCRIPTOR: u64 = 16;

/// Descriptor flags that both layouts have.
pub mod flag {
    /// The chain goes on.
    pub const NEXT: u16 = 1;
    /// The device may write to the buffer; without it, it may read it.
    pub const WRITE: u16 = 2;
    /// The buffer is a table of descriptors.
    pub const INDIRECT: u16 = 4;
    /// Packed: the wrap counter of who made the descriptor available.
    pub const AVAIL: u16 = 1 << 7;
    /// Packed: its inverse while available, and equal to it when used.
    pub const USED: u16 = 1 << 15;
}

/// The available and the used ring of the split layout.
pub(super) mod split {
    /// Bit 0 of the flags of either ring: no notifications, please.
    pub(crate) const QUIET: u16 = 1;
    /// Offset of the flags of either ring.
    pub(crate) const FLAGS: u64 = 0;
    /// Offset of the index of either ring.
    pub(crate) const INDEX: u64 = 2;

    /// Offset of an entry of the available ring.
    #[inline]
    pub(crate) fn available(slot: u16) -> u64 {
        4 + 2 * u64::from(slot)
    }

    /// Offset of an element of the used ring, 8 bytes.
    #[inline]
    pub(crate) fn used(slot: u16) -> u64 {
        4 + 8 * u64::from(slot)
    }
}

/// The event suppression structures of the packed layout.
pub(super) mod event {
    /// Offset of the position: bits 0-14 the slot, bit 15 its wrap counter.
    pub(crate) const POSITION: u64 = 0;
    /// Offset of the flags.
    pub(crate) const FLAGS: u64 = 2;
    /// Notify always.
    pub(crate) const ENABLE: u16 = 0;
    /// Never notify.
    pub(crate) const DISABLE: u16 = 1;
    /// Notify when the position is reached.
    pub(crate) const DESCRIPTOR: u16 = 2;
}

/// A split descriptor, or an entry of a table of either layout, as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Address of the buffer.
    pub(super) address: u64,
    /// Bytes.
    pub(super) len: u32,
    /// The third field: `flags` of a split descriptor, the id of a packed one.
    pub(super) third: u16,
    /// The fourth field: `next` of a split descriptor, `flags` of a packed one.
    pub(super) fourth: u16,
}

impl Descriptor {
    /// Takes 16 bytes apart, which were loaded at once.
    #[inline]
    pub(super) const fn of(raw: u128) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = raw.to_le_bytes();
        Self {
            address: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            len: u32::from_le_bytes([i, j, k, l]),
            third: u16::from_le_bytes([m, n]),
            fourth: u16::from_le_bytes([o, p]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_tables_put_them() {
        let bytes: [u8; 16] = core::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(
            Descriptor::of(u128::from_le_bytes(bytes)),
            Descriptor {
                address: 0x0706_0504_0302_0100,
                len: 0x0b0a_0908,
                third: 0x0d0c,
                fourth: 0x0f0e
            }
        );
        assert_eq!((split::available(0), split::available(256)), (4, 516));
        assert_eq!((split::used(0), split::used(256)), (4, 2052));
    }
}
