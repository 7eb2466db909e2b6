//! The judges. An oracle panics with its own name first when it finds a fault.
//!
//! | Oracle | Where | What it demands |
//! |---|---|---|
//! | model | [`message`], [`stream`], [`memory`], [`net_header`] | verdict and first broken rule are those of the specification |
//! | wire check | [`message`], [`net_header`] | every field has the value that an independent parser reads |
//! | round trip | [`message`], [`net_header`] | accepted bytes encode to themselves |
//! | checksum | [`net_header`] | a partial checksum is finished as the model does |
//! | budget | [`message`], [`stream`], [`memory`], [`net_header`] | nothing is allocated per message; every push makes progress |
//! | guarded memory | [`memory`] | nothing is touched outside of what is mapped |
//! | segmentation | [`stream`] | how a stream is cut never changes what comes out |
//! | fd ledger | [`stream`], [`memory`] | every descriptor is delivered once or closed once |
//! | model, wire check, budget, fd ledger | [`session`], [`frontend`] | the same for whole sessions: each effect, reply and refusal, and what is believed |
//! | mapping ledger | [`session`], [`frontend`] | mappings exist exactly as long as the model says |
//! | model, ring ledger, liveness, equivalence | [`equivalence`] | what goes into a split and a packed ring comes out of both, and whoever waits is woken |
//! | liveness | [`session`], [`net_header`] | whatever came before, the next request is served |
//! | model, wire check, budget, guarded memory, liveness | [`gateway`] | every frame gets the answer that is due to it, byte by byte, or none; another parser reads the same |
//! | liveness | [`session`] | whatever came before, the next request is served |
//! | model, wire check, budget, liveness | [`dhcp`] | the server of a port: whom it answers, and each byte of each reply; an independent parser judges them, too |
//! | model, wire check, room, budget, liveness | [`ipv6`] | replies of a gateway, byte by byte, and by an independent parser |
//! | model, wire check, guarded memory, double fetch, budget, liveness | [`crate::net_device`] | a device behind its queues writes what the model writes, and nothing else; a good guest and another parser look at it before the model does |
//! | differential | [`crate::peer`] | a peer does the same, or a row of a list allows that it does not |
//!
//! "No panic, no overflow, no sanitizer report" needs no code here: targets run with overflow
//! checks and, under libFuzzer, with `AddressSanitizer`.

pub mod dhcp;
#[cfg(feature = "peer-net")]
mod dhcp_wire;
pub mod equivalence;
pub mod frontend;
pub mod gateway;
pub mod ipv6;
pub mod memory;
pub mod message;
pub mod net_header;
pub mod session;
pub mod stream;

use vhost_fuzz_core::rule::{Family, Rule};
use vhost_fuzz_model::Id;

/// The model's name for a rule of the core.
#[must_use]
pub fn id(rule: Rule) -> Id {
    match rule.family() {
        Family::VhostUser => Id::Vu(rule.number()),
        Family::Queue => Id::Vq(rule.number()),
        Family::Packed => Id::Pk(rule.number()),
        Family::Net => Id::Net(rule.number()),
        Family::Link => Id::L2(rule.number()),
        Family::Arp => Id::Ar(rule.number()),
        Family::Dhcp => Id::Dh(rule.number()),
        Family::Ipv6 => Id::V6(rule.number()),
        Family::Decision => Id::Dc(rule.number()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_name_a_rule_alike() {
        let rules = [
            Rule::vu(20),
            Rule::vq(32),
            Rule::pk(41),
            Rule::net(1),
            Rule::l2(1),
            Rule::ar(1),
            Rule::dh(1),
            Rule::v6(1),
            Rule::dc(1),
        ];
        assert_eq!(rules.map(Rule::family), Family::ALL);
        for rule in rules {
            assert_eq!(id(rule).to_string(), rule.to_string());
        }
    }
}
