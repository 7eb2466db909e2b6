//! Requirement ids of `spec/`, as values.

use core::fmt;

/// Every family of requirements in one row: its variant, its constructor and what its ids start
/// with.
macro_rules! families {
    ($($(#[$doc:meta])+ $name:ident: $new:ident, $prefix:literal;)+) => {
        /// The list in `spec/` that a requirement belongs to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Family {
            $($(#[$doc])+ $name,)+
        }

        impl Family {
            /// Every family, in the order of the report.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What the ids of the family start with, without the hyphen.
            #[must_use]
            pub const fn prefix(self) -> &'static str {
                match self {
                    $(Self::$name => $prefix,)+
                }
            }
        }

        impl Rule {
            $(
                #[doc = concat!("Requirement `", $prefix, "-number`.")]
                #[must_use]
                pub const fn $new(number: u16) -> Self {
                    Self { family: Family::$name, number }
                }
            )+
        }
    };
}

families! {
    /// `spec/vhost-user.md` §7.
    VhostUser: vu, "VU";
    /// `spec/virtio.md` §7.1: the split ring, and queues of either kind.
    Queue: vq, "VQ";
    /// `spec/virtio.md` §7.2: the packed ring.
    Packed: pk, "PK";
    /// `spec/virtio.md` §7.3: virtio-net.
    Net: net, "NET";
    /// `spec/virtio.md` §7.5: Ethernet, IPv4 and UDP.
    Link: l2, "L2";
    /// `spec/virtio.md` §7.5: ARP.
    Arp: ar, "AR";
    /// `spec/virtio.md` §7.6: `DHCPv4`.
    Dhcp: dh, "DH";
    /// `spec/virtio.md` §7.7: the IPv6 responder.
    Ipv6: v6, "V6";
    /// `spec/decisions.md`: what this project decided where the specification leaves a choice.
    Decision: dc, "DC";
}

/// One numbered requirement, such as `VU-020`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    family: Family,
    number: u16,
}

impl Rule {
    /// The list that the requirement belongs to.
    #[must_use]
    pub const fn family(self) -> Family {
        self.family
    }

    /// The number within its list.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.number
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:03}", self.family.prefix(), self.number)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_id_that_the_spec_uses() {
        assert_eq!(Rule::vu(20).to_string(), "VU-020");
        assert_eq!(Rule::vq(32).to_string(), "VQ-032");
        assert_eq!(Rule::pk(41).to_string(), "PK-041");
        assert_eq!(Rule::net(13).to_string(), "NET-013");
        assert_eq!(Rule::l2(1).to_string(), "L2-001");
        assert_eq!(Rule::dc(1).to_string(), "DC-001");
        assert_eq!(Rule::dc(1).family(), Family::Decision);
        assert_eq!(Rule::vu(269).number(), 269);
    }

    #[test]
    fn no_two_families_share_a_prefix() {
        let families = [
            Rule::vu(7),
            Rule::vq(7),
            Rule::pk(7),
            Rule::net(7),
            Rule::l2(7),
            Rule::ar(7),
            Rule::dh(7),
            Rule::v6(7),
            Rule::dc(7),
        ]
        .map(Rule::family);
        assert_eq!(families, Family::ALL);
        for (index, family) in families.iter().enumerate() {
            assert!(families[..index].iter().all(|other| other.prefix() != family.prefix()));
        }
    }
}
