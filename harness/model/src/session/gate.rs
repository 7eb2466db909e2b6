//! Which messages may come: the gate column of spec §3.

use super::{Backend, Result, bit};
use crate::Id;

impl Backend {
    /// Refuses a request whose gate is closed, by the rule that says so. Where the specification
    /// has no row of its own for a request it is the general one, VU-026.
    pub(super) fn gate(&self, code: u64) -> Result<()> {
        let protocol = |feature: u32| bit(self.protocol, feature);
        // Of these the text does not ask that they were negotiated.
        // Without bit 30 there are none (spec §6.1).
        let offered = |feature: u32| {
            bit(self.offer.features, 30) && bit(self.offer.protocol_features, feature)
        };
        let (open, rule) = match code {
            15 => (bit(self.offer.features, 30), 44),
            16 => (bit(self.offer.features, 30), 47),
            19 => (offered(2), 197),
            20 => (offered(4), 199),
            21 => (offered(5), 201),
            22 => (bit(self.virtio.unwrap_or(0), 33), 207),
            23 => (protocol(6), 111),
            24 | 25 => (protocol(9), 189),
            26 | 27 => (protocol(7), 247),
            28..=30 if !protocol(8) => (false, 26),
            28..=30 => (!protocol(15), 173),
            31 | 32 => (protocol(12), 178),
            34 => (offered(13), 221),
            35 => (protocol(14), 26),
            36..=38 => (protocol(15), 135),
            39 | 40 => (protocol(16), 225),
            41 => (protocol(18), 228),
            42 | 43 => (protocol(19), 158),
            44 => (protocol(22), 237),
            45 => (protocol(23), 93),
            _ => (true, 0),
        };
        if open { Ok(()) } else { Err(Id::Vu(rule).into()) }
    }
}
