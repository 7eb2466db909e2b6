//! What a front-end wants, drawn from a number.

use fastrand::Rng;
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};

use crate::driver::Format;

/// How one side tells the other that there is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a counter.
    Fd,
    /// By a message.
    Message,
    /// Not at all: the other one looks from time to time.
    Poll,
}

impl Way {
    fn draw(rng: &mut Rng, inband: bool) -> Self {
        match rng.u8(..6) {
            0 | 1 if inband => Self::Message,
            2 => Self::Poll,
            _ => Self::Fd,
        }
    }
}

/// What was chosen of what is offered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Features of the device.
    pub(super) features: u64,
    /// Features of the protocol; none without bit 30.
    pub(super) protocol: u64,
    /// Pairs of queues that are used.
    pub(super) pairs: u16,
    /// How the device is kicked.
    pub(super) kick: Way,
    /// How the driver is called.
    pub(super) call: Way,
    /// Memory regions are added one by one.
    pub(super) adds_regions: bool,
}

/// What each of these features needs, one of it at least (virtio 1.3 §5.1.3.1).
const NEEDS: &[(Features, Features)] = &[
    (Features::HOST_TSO4, Features::CSUM),
    (Features::HOST_TSO6, Features::CSUM),
    (Features::HOST_UFO, Features::CSUM),
    (Features::HOST_USO, Features::CSUM),
    (
        Features::HOST_ECN,
        Features::from_bits(Features::HOST_TSO4.bits() | Features::HOST_TSO6.bits()),
    ),
    (Features::CTRL_RX, Features::CTRL_VQ),
    (Features::CTRL_RX_EXTRA, Features::CTRL_VQ),
    (Features::CTRL_VLAN, Features::CTRL_VQ),
    (Features::CTRL_MAC_ADDR, Features::CTRL_VQ),
    (Features::CTRL_GUEST_OFFLOADS, Features::CTRL_VQ),
    (Features::GUEST_ANNOUNCE, Features::CTRL_VQ),
    (Features::NOTF_COAL, Features::CTRL_VQ),
    (Features::VQ_NOTF_COAL, Features::CTRL_VQ),
    (Features::MQ, Features::CTRL_VQ),
];

impl Plan {
    /// A plan for a device with so many pairs that offers these features.
    pub(super) fn draw(rng: &mut Rng, offered: u64, protocol: u64, pairs: u16) -> Self {
        let features = features(rng, offered);
        let protocol = match features & virtio::PROTOCOL_FEATURES {
            0 => 0,
            _ => protocol_features(rng, protocol),
        };
        let is_many = Features::from(features).has(Features::MQ);
        let inband = protocol & protocol::INBAND_NOTIFICATIONS != 0;
        let has_slots = protocol & protocol::CONFIGURE_MEM_SLOTS != 0;
        Self {
            features,
            protocol,
            pairs: if is_many { rng.u16(1..=pairs) } else { 1 },
            kick: Way::draw(rng, inband),
            call: Way::draw(rng, inband),
            adds_regions: has_slots && rng.bool(),
        }
    }

    pub(super) fn has(&self, feature: Features) -> bool {
        Features::from(self.features).has(feature)
    }

    pub(super) const fn has_protocol(&self, bit: u64) -> bool {
        self.protocol & bit != 0
    }

    pub(super) const fn format(&self) -> Format {
        if self.features & virtio::RING_PACKED != 0 { Format::Packed } else { Format::Split }
    }

    /// Bytes of the header of every frame.
    pub(super) fn header_len(&self) -> usize {
        Features::from(self.features).header_len()
    }

    /// Entries of a ring.
    pub(super) fn size(&self, rng: &mut Rng) -> u16 {
        match self.format() {
            Format::Split => 1 << rng.u8(5..9),
            Format::Packed => rng.u16(20..=300),
        }
    }
}

fn features(rng: &mut Rng, offered: u64) -> u64 {
    let always = virtio::VERSION_1 | u64::try_from(Features::MAC.bits()).unwrap_or(0);
    // Three in four take the protocol features: without, there is little to choose.
    let mostly = if rng.u8(..4) > 0 { virtio::PROTOCOL_FEATURES } else { 0 };
    let drawn = match rng.u8(..4) {
        0 => u64::MAX,
        _ => rng.u64(..) | rng.u64(..),
    };
    // Each ring layout gets its share, whatever else is drawn.
    let layout = if rng.bool() { virtio::RING_PACKED } else { 0 };
    let apart = virtio::LOG_ALL | virtio::RING_PACKED | virtio::PROTOCOL_FEATURES;
    let mut chosen = offered & (drawn & !apart | layout | mostly | always);
    loop {
        let before = chosen;
        for (feature, needed) in NEEDS {
            if !Features::from(chosen).has_any(*needed) {
                chosen &= !u64::try_from(feature.bits()).unwrap_or(0);
            }
        }
        if chosen == before {
            return chosen;
        }
    }
}

fn protocol_features(rng: &mut Rng, offered: u64) -> u64 {
    const CHANNEL: u64 = protocol::BACKEND_REQ | protocol::REPLY_ACK;
    let drawn = if rng.bool() { u64::MAX } else { rng.u64(..) };
    let chosen = offered & drawn;
    if chosen & CHANNEL == CHANNEL { chosen } else { chosen & !protocol::INBAND_NOTIFICATIONS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_legal_and_all_kinds_are_drawn() {
        let plans =
            (0..500).map(|seed| Plan::draw(&mut Rng::with_seed(seed), u64::MAX, protocol::ALL, 4));
        let plans: Vec<Plan> = plans.collect();
        for plan in &plans {
            let is_legal = |(feature, needed): &(Features, Features)| {
                !plan.has(*feature) || Features::from(plan.features).has_any(*needed)
            };
            assert!(NEEDS.iter().all(is_legal), "{plan:?}");
            let inband = plan.has_protocol(protocol::INBAND_NOTIFICATIONS);
            assert!(inband || plan.kick != Way::Message && plan.call != Way::Message, "{plan:?}");
        }
        let some = |what: &dyn Fn(&Plan) -> bool| plans.iter().any(what);
        for way in [Way::Fd, Way::Message, Way::Poll] {
            assert!(some(&|plan| plan.kick == way) && some(&|plan| plan.call == way), "{way:?}");
        }
        for pairs in 1..=4 {
            assert!(some(&|plan| plan.pairs == pairs), "{pairs}");
        }
        assert!(some(&|plan| plan.format() == Format::Packed && plan.protocol == 0));
    }
}
