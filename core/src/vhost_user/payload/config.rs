//! P-CONFIG: access to the device's configuration space (spec §2).

use crate::wire::{Reader, Short, Sink};

/// P-CONFIG: a window of the configuration space (12 bytes, then data).
///
/// | Offset | Size | Field |
/// |---|---|---|
/// | 0 | 4 | offset from the start of the device-specific structure |
/// | 4 | 4 | size in bytes |
/// | 8 | 4 | flags: 0 write by the guest, 1 live migration |
/// | 12 | size | data |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config<'a> {
    /// First byte of the window.
    pub offset: u32,
    /// Bytes of the window.
    pub size: u32,
    /// 0 or 1, an enumeration; other values are kept.
    pub flags: u32,
    /// The data, which may be longer than the window in a `SET_CONFIG` (VU-269).
    pub payload: &'a [u8],
}

impl<'a> Config<'a> {
    /// Bytes before the data.
    pub const PREFIX_LEN: u32 = 12;
    /// Largest payload of a `SET_CONFIG` whose data is longer than its window (VU-269): 256
    /// bytes of data.
    pub const PADDED_LEN: u32 = 268;
    /// The guest writes to a writable field.
    pub const WRITABLE: u32 = 0;
    /// The front-end restores the field after live migration.
    pub const LIVE_MIGRATION: u32 = 1;

    /// The data of the window: the first `size` bytes.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        usize::try_from(self.size)
            .ok()
            .and_then(|size| self.payload.get(..size))
            .unwrap_or(self.payload)
    }

    #[inline]
    pub(crate) fn read(mut r: Reader<'a>) -> Result<Self, Short> {
        Ok(Self { offset: r.ne_u32()?, size: r.ne_u32()?, flags: r.ne_u32()?, payload: r.rest() })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink) {
        sink.ne_u32(self.offset);
        sink.ne_u32(self.size);
        sink.ne_u32(self.flags);
        sink.put(self.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_cut_to_the_window() {
        let config = Config { offset: 0, size: 2, flags: 0, payload: &[1, 2, 3, 4] };
        assert_eq!(config.data(), [1, 2]);
        let lying = Config { size: 9, ..config };
        assert_eq!(lying.data(), [1, 2, 3, 4]);
    }
}
