//! When the device has to call the driver, by what the driver's memory says (spec §1.7, §2.5).

use vhost_fuzz_core::ring::Layout;
use vhost_fuzz_model::ring::Position;
use vhost_fuzz_model::ring::event::{need_event, packed_decision};

use super::driver::{Features, Parts};
use super::packed::step;
use crate::ram::{GuestRam as _, Ram};

/// What was used since the driver was last thought of.
#[derive(Clone, Debug)]
pub struct Calls {
    size: u16,
    parts: Parts,
    features: Features,
    used: Used,
    /// Entries or slots that were given back, and that the driver does not see yet.
    pending: u16,
    /// There was a decision since the ring started.
    has_decided: bool,
}

/// What the driver sees.
#[derive(Clone, Copy, Debug)]
enum Used {
    /// The used index.
    Index(u16),
    /// The slot after the last used one.
    Slot(Position),
}

impl Calls {
    /// Nothing was used yet.
    #[must_use]
    pub fn new(layout: Layout, size: u16, parts: Parts, features: Features, start: u16) -> Self {
        let used = match layout {
            Layout::Split => Used::Index(start),
            Layout::Packed => Used::Slot(Position::of_half(start)),
        };
        Self { size, parts, features, used, pending: 0, has_decided: false }
    }

    /// The ring started anew: the next decision is the first.
    pub const fn restart(&mut self) {
        self.has_decided = false;
    }

    /// A buffer goes back that takes so many slots.
    pub const fn put(&mut self, slots: u16) {
        self.pending += match self.used {
            Used::Index(_) => 1,
            Used::Slot(_) => slots,
        };
    }

    /// What was given back is shown to the driver; whether it has to be called. The first time it
    /// always has to be (VQ-050).
    pub fn publish(&mut self, ram: &Ram) -> bool {
        let count = std::mem::take(&mut self.pending);
        if count == 0 {
            return false;
        }
        let Self { size, parts, features, .. } = *self;
        let flags = ram.load_u32(parts.available).to_le_bytes();
        let is_wanted = match &mut self.used {
            Used::Index(index) => {
                let old = std::mem::replace(index, index.wrapping_add(count));
                if features.event_idx {
                    let [a, b] = ram.bytes(parts.available + 4 + 2 * u64::from(size));
                    need_event(u16::from_le_bytes([a, b]), *index, old)
                } else {
                    flags[0] & 1 == 0
                }
            }
            Used::Slot(used) => {
                *used = step(*used, count, size);
                packed_decision(flags, features.event_idx, *used, count.into(), size)
            }
        };
        let is_first = !std::mem::replace(&mut self.has_decided, true);
        is_wanted || is_first
    }

    /// Where the device is when nothing is in flight: the free-running index, or slot and in bit
    /// 15 the wrap counter.
    #[must_use]
    pub fn position(&self) -> u16 {
        match self.used {
            Used::Index(index) => index,
            Used::Slot(position) => position.half(),
        }
    }
}
