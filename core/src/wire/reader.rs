//! A cursor over bytes that cannot be indexed, so that no read can pass the end.

/// Fewer bytes were left than a field needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Bytes the field needs.
    pub need: usize,
    /// Bytes that were left.
    pub have: usize,
}

/// Reads fields from the front of a byte slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes the next `N` bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer than `N` bytes are left; nothing is consumed then.
    #[inline(always)]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.array_ref().copied()
    }

    /// Takes the next `N` bytes by reference.
    ///
    /// # Errors
    /// [`Short`] when fewer than `N` bytes are left; nothing is consumed then.
    #[inline(always)]
    pub fn array_ref<const N: usize>(&mut self) -> Result<&'a [u8; N], Short> {
        let (head, rest) =
            self.rest.split_first_chunk::<N>().ok_or(Short { need: N, have: self.rest.len() })?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`Short`] when no byte is left.
    #[inline(always)]
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes a native-endian `u16`.
    ///
    /// # Errors
    /// [`Short`] when fewer than 2 bytes are left.
    #[inline(always)]
    pub fn ne_u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_ne_bytes)
    }

    /// Takes a native-endian `u32`.
    ///
    /// # Errors
    /// [`Short`] when fewer than 4 bytes are left.
    #[inline(always)]
    pub fn ne_u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_ne_bytes)
    }

    /// Takes a native-endian `u64`.
    ///
    /// # Errors
    /// [`Short`] when fewer than 8 bytes are left.
    #[inline(always)]
    pub fn ne_u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_ne_bytes)
    }

    /// Takes everything that is left.
    #[inline(always)]
    #[must_use]
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_in_order_and_leaves_the_rest() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17];
        let mut r = Reader::new(&bytes);
        assert_eq!(r.u8(), Ok(1));
        assert_eq!(r.ne_u16(), Ok(u16::from_ne_bytes([2, 3])));
        assert_eq!(r.ne_u32(), Ok(u32::from_ne_bytes([4, 5, 6, 7])));
        assert_eq!(r.ne_u64(), Ok(u64::from_ne_bytes([8, 9, 10, 11, 12, 13, 14, 15])));
        assert_eq!(r.rest(), &[16, 17]);
    }

    #[test]
    fn a_short_read_consumes_nothing() {
        let mut r = Reader::new(&[1, 2, 3]);
        assert_eq!(r.ne_u32(), Err(Short { need: 4, have: 3 }));
        assert_eq!(r.array::<3>(), Ok([1, 2, 3]));
        assert_eq!(r.u8(), Err(Short { need: 1, have: 0 }));
    }
}
