//! How often a port is answered (L2-013, DC-108).

/// Thousandths of a reply: what a millisecond adds, times replies per second.
const WHOLE: u64 = 1000;

/// A bound on the replies of one port: so many at once, and so many per second in the long run.
///
/// Time is an argument, in milliseconds of any steady clock. Time that goes back is no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limiter {
    per_second: u32,
    burst: u32,
    /// Replies that may be sent now, in thousandths; at most `burst` of them.
    level: u64,
    /// When `level` was last raised.
    at_ms: u64,
}

impl Limiter {
    /// A bound that allows `burst` replies at once, and `per_second` in each second after that.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        // 2^32 times 1000 is less than 2^64.
        Self { per_second, burst, level: u64::from(burst).saturating_mul(WHOLE), at_ms: 0 }
    }

    /// Whether one more reply may be sent at `now_ms`. If not, a request is dropped unread.
    #[must_use]
    #[inline]
    pub fn allows(&mut self, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.at_ms);
        if passed > 0 {
            self.at_ms = now_ms;
            let full = u64::from(self.burst).saturating_mul(WHOLE);
            let gained = passed.saturating_mul(self.per_second.into());
            self.level = self.level.saturating_add(gained).min(full);
        }
        self.level >= WHOLE
    }

    /// A reply was sent.
    #[inline]
    pub fn spend(&mut self) {
        self.level = self.level.saturating_sub(WHOLE);
    }
}

impl Default for Limiter {
    /// 64 replies at once, 1000 per second: more than a guest has use for.
    fn default() -> Self {
        Self::new(1000, 64)
    }
}
