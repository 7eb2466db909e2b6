//! What a gateway is and what it says of itself.

use core::fmt;
use core::net::Ipv6Addr;

use arrayvec::ArrayVec;

use crate::net::Mac;
use crate::rule::Rule;

/// Most addresses of a gateway.
pub const ADDRESSES_MAX: usize = 4;

/// Most addresses of a guest that a gateway knows.
pub const GUEST_MAX: usize = 4;

/// Most DNS servers. Their option has a length of 1 + 2 for each, far below the 255 that fit.
pub const DNS_MAX: usize = 3;

/// Longest time for which a router can be the default one, in seconds (RFC 4861 §6.2.1).
pub const LIFETIME_MAX: u16 = 9000;

/// The smallest largest packet of a link (RFC 8200 §5).
pub const MTU_MIN: u32 = 1280;

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its Ethernet address: one station, not zero.
    pub mac: Mac,
    /// Its addresses, the first of them link-local. It sends from that one.
    pub addresses: ArrayVec<Ipv6Addr, ADDRESSES_MAX>,
    /// Addresses that belong to the guest. Nobody else answers for them (V6-002).
    pub guest: ArrayVec<Ipv6Addr, GUEST_MAX>,
    /// It answers for all others on the link, too, except to who looks for duplicates (DC-134).
    pub proxy: bool,
    /// What it advertises; `None` when it is no router.
    pub router: Option<Router>,
}

/// What a router says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Router {
    /// Hops of packets that guests send; 0 leaves it to them.
    pub hop_limit: u8,
    /// Addresses come from `DHCPv6`.
    pub managed: bool,
    /// Other things, as DNS servers, come from `DHCPv6`.
    pub other: bool,
    /// For how many seconds it is a default router, up to [`LIFETIME_MAX`]; 0 if it is none.
    pub lifetime: u16,
    /// The largest packet, at least [`MTU_MIN`] bytes.
    pub mtu: Option<u32>,
    /// A prefix of the link.
    pub prefix: Option<Prefix>,
    /// DNS servers.
    pub dns: ArrayVec<Ipv6Addr, DNS_MAX>,
    /// For how many seconds they are.
    pub dns_lifetime: u32,
}

/// A prefix of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its bits, with zeros behind them.
    pub address: Ipv6Addr,
    /// How many bits it has, up to 128.
    pub len: u8,
    /// Its addresses are reached without a router.
    pub on_link: bool,
    /// Guests may take addresses of it.
    pub autonomous: bool,
    /// For how many seconds it is valid.
    pub valid: u32,
    /// For how many seconds its addresses are preferred; at most `valid`.
    pub preferred: u32,
}

impl Config {
    /// Looks whether there can be such a gateway.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.mac.is_group() || self.mac.is_zero() {
            return Err(ConfigError::Mac { mac: self.mac }); // DC-139
        }
        match self.addresses.first() {
            Some(first) if first.is_unicast_link_local() => {}
            first => return Err(ConfigError::NotLinkLocal { first: first.copied() }), // V6-005
        }
        let all = self.addresses.iter().chain(&self.guest);
        for address in all.copied() {
            if address.is_multicast() || address.is_unspecified() || address.is_loopback() {
                return Err(ConfigError::Address { address }); // DC-139
            }
        }
        if let Some(address) = self.addresses.iter().find(|own| self.guest.contains(own)) {
            return Err(ConfigError::Shared { address: *address }); // V6-002
        }
        self.router.as_ref().map_or(Ok(()), Router::check)
    }

    /// It has this address.
    #[must_use]
    #[inline]
    pub fn owns(&self, address: Ipv6Addr) -> bool {
        self.addresses.contains(&address)
    }
}

impl Router {
    fn check(&self) -> Result<(), ConfigError> {
        if self.lifetime > LIFETIME_MAX {
            return Err(ConfigError::Lifetime { lifetime: self.lifetime }); // DC-139
        }
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu < MTU_MIN) {
            return Err(ConfigError::Mtu { mtu }); // DC-139
        }
        match self.prefix {
            Some(Prefix { len, .. }) if len > 128 => Err(ConfigError::PrefixLen { len }), // DC-139
            Some(Prefix { valid, preferred, .. }) if preferred > valid => {
                Err(ConfigError::Preferred { preferred, valid }) // DC-139
            }
            _ => Ok(()),
        }
    }
}

/// Why there can be no such gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// Its Ethernet address is that of a group, or of nobody.
    Mac {
        /// That address.
        mac: Mac,
    },
    /// Its first address is not link-local, or there is none.
    NotLinkLocal {
        /// The first address.
        first: Option<Ipv6Addr>,
    },
    /// An address is a group, :: or `::1`.
    Address {
        /// That address.
        address: Ipv6Addr,
    },
    /// Gateway and guest have the same address.
    Shared {
        /// That address.
        address: Ipv6Addr,
    },
    /// It is a default router for too long.
    Lifetime {
        /// For how many seconds.
        lifetime: u16,
    },
    /// The largest packet is too small.
    Mtu {
        /// Its bytes.
        mtu: u32,
    },
    /// A prefix is longer than an address.
    PrefixLen {
        /// Its bits.
        len: u8,
    },
    /// Something is preferred for longer than it is valid.
    Preferred {
        /// Seconds.
        preferred: u32,
        /// Seconds.
        valid: u32,
    },
}

impl ConfigError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::NotLinkLocal { .. } => Rule::v6(5),
            Self::Shared { .. } => Rule::v6(2),
            Self::Mac { .. }
            | Self::Address { .. }
            | Self::Lifetime { .. }
            | Self::Mtu { .. }
            | Self::PrefixLen { .. }
            | Self::Preferred { .. } => Rule::dc(139),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac { mac } => write!(f, "{mac} is not the address of one station"),
            Self::NotLinkLocal { first: None } => f.write_str("a gateway has no address"),
            Self::NotLinkLocal { first: Some(first) } => {
                write!(f, "the first address {first} is not link-local")
            }
            Self::Address { address } => write!(f, "{address} is nobody's address"),
            Self::Shared { address } => write!(f, "{address} is of the gateway and of the guest"),
            Self::Lifetime { lifetime } => {
                write!(f, "a default router for {lifetime} s, over {LIFETIME_MAX} s")
            }
            Self::Mtu { mtu } => write!(f, "packets of {mtu} bytes, below {MTU_MIN}"),
            Self::PrefixLen { len } => write!(f, "a prefix of {len} bits, over 128"),
            Self::Preferred { preferred, valid } => {
                write!(f, "preferred for {preferred} s and valid for {valid} s")
            }
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for ConfigError {}
