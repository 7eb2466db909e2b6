//! Which messages may come: the gate column of spec §3.

use super::{Backend, Result, bit};
use crate::Id;

/// Protocol feature bit that a request needs to be offered, and the rule that says so: of these
/// the text does not ask that they were negotiated (spec §3).
const OFFERED: [(u64, u32, u16); 4] = [(19, 2, 197), (20, 4, 199), (21, 5, 201), (34, 13, 221)];

/// Protocol feature bit that a request needs to be negotiated, and the rule that says so. Where
/// the specification has no row of its own for a request it is the general one, VU-026.
const GATES: [(u64, u32, u16); 18] = [
    (23, 6, 111),
    (24, 9, 189),
    (25, 9, 189),
    (26, 7, 247),
    (27, 7, 247),
    (28, 8, 26),
    (29, 8, 26),
    (30, 8, 26),
    (31, 12, 178),
    (32, 12, 178),
    (35, 14, 26),
    (39, 16, 225),
    (40, 16, 225),
    (41, 18, 228),
    (42, 19, 158),
    (43, 19, 158),
    (44, 22, 237),
    (45, 23, 93),
];

impl Backend {
    /// Refuses a request whose gate is closed.
    pub(super) fn gate(&self, code: u64) -> Result<()> {
        for (gated, feature, rule) in OFFERED {
            if code == gated && !bit(self.offer.protocol_features, feature) {
                return Err(Id::Vu(rule).into());
            }
        }
        for (gated, feature, rule) in GATES {
            if code == gated && !bit(self.protocol, feature) {
                return Err(Id::Vu(rule).into());
            }
        }
        let (open, rule) = match code {
            15 => (bit(self.offer.features, 30), 44),
            16 => (bit(self.offer.features, 30), 47),
            22 => (bit(self.virtio.unwrap_or(0), 33), 207),
            28..=30 => (!bit(self.protocol, 15), 173),
            36..=38 => (bit(self.protocol, 15), 135),
            _ => (true, 0),
        };
        if open { Ok(()) } else { Err(Id::Vu(rule).into()) }
    }
}
