//! Where encoders write. The length of an encoding is measured by the code that writes it.

/// Takes the bytes of an encoding in order.
pub trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Takes one byte.
    #[inline(always)]
    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Takes a native-endian `u16`.
    #[inline(always)]
    fn ne_u16(&mut self, value: u16) {
        self.put(&value.to_ne_bytes());
    }

    /// Takes a native-endian `u32`.
    #[inline(always)]
    fn ne_u32(&mut self, value: u32) {
        self.put(&value.to_ne_bytes());
    }

    /// Takes a native-endian `u64`.
    #[inline(always)]
    fn ne_u64(&mut self, value: u64) {
        self.put(&value.to_ne_bytes());
    }
}

/// Counts the bytes and drops them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    count: usize,
}

impl Counter {
    /// Bytes taken so far.
    #[must_use]
    pub const fn count(self) -> usize {
        self.count
    }
}

impl Sink for Counter {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.count = self.count.saturating_add(bytes.len());
    }
}

/// Writes to the front of a slice. Bytes that do not fit are counted and dropped.
#[derive(Debug)]
pub struct SliceSink<'a> {
    rest: &'a mut [u8],
    missing: usize,
}

impl<'a> SliceSink<'a> {
    /// A sink that fills `out` from its front.
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { rest: out, missing: 0 }
    }

    /// Bytes that can still be written.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.rest.len()
    }

    /// Bytes that did not fit; 0 when everything was written.
    #[must_use]
    pub const fn missing(&self) -> usize {
        self.missing
    }
}

impl Sink for SliceSink<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        let rest = core::mem::take(&mut self.rest);
        if bytes.len() <= rest.len() && self.missing == 0 {
            let (head, tail) = rest.split_at_mut(bytes.len());
            head.copy_from_slice(bytes);
            self.rest = tail;
        } else {
            self.missing = self.missing.saturating_add(bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(sink: &mut impl Sink) {
        sink.u8(1);
        sink.ne_u16(0x0203);
        sink.ne_u32(0x0405_0607);
        sink.ne_u64(8);
        sink.put(&[9, 9]);
    }

    #[test]
    fn counts_what_it_would_write() {
        let mut counter = Counter::default();
        fill(&mut counter);
        assert_eq!(counter.count(), 17);
    }

    #[test]
    fn writes_in_order_and_reports_what_did_not_fit() {
        let mut out = [0xa5; 17];
        let mut sink = SliceSink::new(&mut out);
        fill(&mut sink);
        assert_eq!(sink.missing(), 0);
        assert_eq!(out[0], 1);
        assert_eq!(out[15..], [9, 9]);

        let mut short = [0xa5; 5];
        let mut sink = SliceSink::new(&mut short);
        fill(&mut sink);
        assert_eq!(sink.missing(), 14);
        assert_eq!(short[3..], [0xa5, 0xa5], "a field that does not fit is not cut");
    }
}
