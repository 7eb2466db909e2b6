//! Which features a message needs: the gate column of spec §3 and §4.

use super::features::{protocol, virtio};
use crate::rule::Rule;

/// What both ends of a connection know about its features at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Negotiated {
    /// Virtio-level bits that the back-end offers (`GET_FEATURES`).
    pub offered_virtio: u64,
    /// Virtio-level bits of the last `SET_FEATURES`; `None` before the first.
    pub virtio: Option<u64>,
    /// Protocol bits that the back-end offers (`GET_PROTOCOL_FEATURES`).
    pub offered_protocol: u64,
    /// Protocol bits of the last `SET_PROTOCOL_FEATURES`; 0 before the first.
    pub protocol: u64,
}

impl Negotiated {
    /// Whether all these virtio-level bits were set by `SET_FEATURES`.
    #[must_use]
    #[inline]
    pub const fn has_virtio(&self, bits: u64) -> bool {
        match self.virtio {
            Some(set) => set & bits == bits,
            None => false,
        }
    }

    /// Whether all these protocol bits were negotiated.
    #[must_use]
    #[inline]
    pub const fn has(&self, bits: u64) -> bool {
        self.protocol & bits == bits
    }

    /// Whether a request that wants an acknowledgement gets one (VU-032).
    #[must_use]
    #[inline]
    pub const fn has_reply_ack(&self) -> bool {
        self.has(protocol::REPLY_ACK)
    }

    /// The features that a virtio driver sees: bit 30 is not among them (VU-051).
    #[must_use]
    pub const fn driver_features(&self) -> u64 {
        match self.virtio {
            Some(set) => set & !virtio::PROTOCOL_FEATURES,
            None => 0,
        }
    }
}

/// The condition of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Virtio-level bits that the back-end offered.
    OfferedVirtio(u64),
    /// Virtio-level bits that `SET_FEATURES` set.
    Virtio(u64),
    /// Protocol bits that the back-end offered.
    Offered(u64),
    /// Protocol bits that were negotiated.
    Protocol(u64),
    /// `PAGEFAULT` without `CONFIGURE_MEM_SLOTS` (VU-173).
    Postcopy,
}

/// Which features a message needs, and the requirement that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    /// The condition.
    pub needs: Needs,
    rule: u16,
    /// Only the sender is bound: a receiver takes the message anyway (spec §3.2).
    is_for_senders: bool,
}

impl Gate {
    /// No condition.
    pub const OPEN: Self = Self::new(Needs::Nothing, 26);
    /// Messages of postcopy migration.
    pub const POSTCOPY: Self = Self::new(Needs::Postcopy, 173);

    const fn new(needs: Needs, rule: u16) -> Self {
        Self { needs, rule, is_for_senders: false }
    }

    pub(super) const fn offered_virtio(bits: u64, rule: u16) -> Self {
        Self::new(Needs::OfferedVirtio(bits), rule)
    }

    pub(super) const fn virtio(bits: u64, rule: u16) -> Self {
        Self::new(Needs::Virtio(bits), rule)
    }

    pub(super) const fn offered(bits: u64, rule: u16) -> Self {
        Self::new(Needs::Offered(bits), rule)
    }

    pub(super) const fn protocol(bits: u64, rule: u16) -> Self {
        Self::new(Needs::Protocol(bits), rule)
    }

    /// The same gate, which a receiver does not enforce.
    pub(super) const fn for_senders(self) -> Self {
        Self { is_for_senders: true, ..self }
    }

    /// Whether a sender may send the message now.
    #[must_use]
    #[inline]
    pub const fn lets_out(&self, negotiated: &Negotiated) -> bool {
        match self.needs {
            Needs::Nothing => true,
            Needs::OfferedVirtio(bits) => negotiated.offered_virtio & bits == bits,
            Needs::Virtio(bits) => negotiated.has_virtio(bits),
            Needs::Offered(bits) => negotiated.offered_protocol & bits == bits,
            Needs::Protocol(bits) => negotiated.has(bits),
            Needs::Postcopy => {
                negotiated.has(protocol::PAGEFAULT)
                    && !negotiated.has(protocol::CONFIGURE_MEM_SLOTS)
            }
        }
    }

    /// Whether a receiver takes the message now.
    #[must_use]
    #[inline]
    pub const fn lets_in(&self, negotiated: &Negotiated) -> bool {
        self.is_for_senders || self.lets_out(negotiated)
    }

    /// The requirement that a message behind a closed gate breaks. A postcopy message without
    /// `PAGEFAULT` breaks the general one (VU-026).
    #[must_use]
    pub const fn rule(&self, negotiated: &Negotiated) -> Rule {
        match self.needs {
            Needs::Postcopy if !negotiated.has(protocol::PAGEFAULT) => Rule::vu(26),
            _ => Rule::vu(self.rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_for_senders_lets_everything_in() {
        let gate = Gate::offered(protocol::MQ, 115).for_senders();
        let nothing = Negotiated::default();
        assert!(gate.lets_in(&nothing) && !gate.lets_out(&nothing));
        assert_eq!(gate.rule(&nothing), Rule::vu(115));
    }

    #[test]
    fn postcopy_needs_one_bit_and_the_absence_of_another() {
        let with = |bits| Negotiated { protocol: bits, ..Negotiated::default() };
        let (fault, slots) = (protocol::PAGEFAULT, protocol::CONFIGURE_MEM_SLOTS);
        assert!(Gate::POSTCOPY.lets_in(&with(fault)));
        assert!(!Gate::POSTCOPY.lets_in(&with(fault | slots)));
        assert_eq!(Gate::POSTCOPY.rule(&with(fault | slots)), Rule::vu(173));
        assert_eq!(Gate::POSTCOPY.rule(&with(slots)), Rule::vu(26));
    }

    #[test]
    fn no_driver_sees_bit_30() {
        let set = Some(virtio::PROTOCOL_FEATURES | virtio::RING_PACKED);
        let negotiated = Negotiated { virtio: set, ..Negotiated::default() };
        assert_eq!(negotiated.driver_features(), virtio::RING_PACKED);
    }
}
