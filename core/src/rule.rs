//! Requirement ids of `spec/`, as values.

use core::fmt;

/// The list in `spec/` that a requirement belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `spec/vhost-user.md` §7.
    VhostUser,
    /// `spec/decisions.md`: what this project decided where the specification leaves a choice.
    Decision,
}

/// One numbered requirement, such as `VU-020`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    family: Family,
    number: u16,
}

impl Rule {
    /// Requirement `VU-number` of `spec/vhost-user.md`.
    #[must_use]
    pub const fn vu(number: u16) -> Self {
        Self { family: Family::VhostUser, number }
    }

    /// Decision `DC-number` of `spec/decisions.md`.
    #[must_use]
    pub const fn dc(number: u16) -> Self {
        Self { family: Family::Decision, number }
    }

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
        let family = match self.family {
            Family::VhostUser => "VU",
            Family::Decision => "DC",
        };
        write!(f, "{family}-{:03}", self.number)
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
        assert_eq!(Rule::dc(1).to_string(), "DC-001");
        assert_eq!(Rule::dc(1).family(), Family::Decision);
        assert_eq!(Rule::vu(269).number(), 269);
    }
}
