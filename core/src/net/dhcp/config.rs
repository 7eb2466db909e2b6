//! What a port hands out.

use core::fmt;
use core::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::MIN_DATAGRAM;
use super::parameters::MAX_PARAMETERS;
use crate::net::Mac;
use crate::rule::Rule;

/// A lease without an end, in seconds (RFC 2131 §3.3).
pub const INFINITE: u32 = u32::MAX;

/// Seconds of a lease, unless it is configured.
pub const DEFAULT_LEASE: u32 = 86_400;

/// Milliseconds for which a declined address is held back, unless it is configured.
pub const DEFAULT_HOLD_MS: u64 = 10_000;

/// Name servers, unless they are configured.
pub const DEFAULT_DNS: [Ipv4Addr; 2] = [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(8, 8, 8, 8)];

/// The MTU that a guest takes for granted.
pub(super) const USUAL_MTU: u16 = 1500;

/// A route of option 121 (RFC 3442).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Where it leads. Bits beyond the width are 0.
    pub destination: Ipv4Addr,
    /// Significant bits of the destination, at most 32; 0 for the default route.
    pub width: u8,
    /// Over whom; 0.0.0.0 when the destination is on the link.
    pub router: Ipv4Addr,
}

/// What a port hands out, and to whom. What is empty or zero is not configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address of the guest.
    pub address: Ipv4Addr,
    /// Bits of the network of that address, at most 32.
    pub prefix: u8,
    /// The address of the server, which the guest can reach (DH-011).
    pub server: Ipv4Addr,
    /// The router for clients without classless routes.
    pub router: Option<Ipv4Addr>,
    /// Classless routes, options 121 and 249.
    pub routes: ArrayVec<Route, 32>,
    /// Name servers.
    pub dns: ArrayVec<Ipv4Addr, 8>,
    /// Time servers.
    pub ntp: ArrayVec<Ipv4Addr, 8>,
    /// The broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// Domain of the guest.
    pub domain: ArrayVec<u8, 255>,
    /// Name of the guest.
    pub host_name: ArrayVec<u8, 64>,
    /// Name of the boot server.
    pub tftp_server: ArrayVec<u8, 64>,
    /// Name of the boot file.
    pub boot_file: ArrayVec<u8, 128>,
    /// The boot server, in `siaddr`.
    pub next_server: Ipv4Addr,
    /// MTU of the link. No reply is longer.
    pub mtu: u16,
    /// Seconds of a lease, or [`INFINITE`].
    pub lease: u32,
    /// The hardware address of the guest, when nobody else is served (DC-114).
    pub guest: Option<Mac>,
    /// No other server knows better which addresses are good here (DH-031).
    pub is_authoritative: bool,
    /// Messages that came through a relay are served (DC-121).
    pub serves_relays: bool,
    /// A client that wants it is answered by an ACK at once (DH-053).
    pub commits_rapidly: bool,
    /// Milliseconds for which a declined address is held back.
    pub hold_ms: u64,
}

impl Config {
    /// A /32 address with a router on the link, which is the server, too.
    #[must_use]
    pub fn new(address: Ipv4Addr, router: Ipv4Addr) -> Self {
        let on_link = Ipv4Addr::UNSPECIFIED;
        let mut routes = ArrayVec::new();
        routes.push(Route { destination: router, width: 32, router: on_link }); // DH-045
        routes.push(Route { destination: on_link, width: 0, router });
        Self {
            address,
            prefix: 32,
            server: router,
            router: Some(router),
            routes,
            dns: DEFAULT_DNS.into_iter().collect(),
            ntp: ArrayVec::new(),
            broadcast: None,
            domain: ArrayVec::new(),
            host_name: ArrayVec::new(),
            tftp_server: ArrayVec::new(),
            boot_file: ArrayVec::new(),
            next_server: Ipv4Addr::UNSPECIFIED,
            mtu: USUAL_MTU,
            lease: DEFAULT_LEASE,
            guest: None,
            is_authoritative: true,
            serves_relays: false,
            commits_rapidly: false,
            hold_ms: DEFAULT_HOLD_MS,
        }
    }

    /// The subnet mask.
    #[must_use]
    pub const fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.prefix))
    }

    /// The address lies in the network of the guest.
    #[must_use]
    pub const fn is_in_network(&self, address: Ipv4Addr) -> bool {
        (address.to_bits() ^ self.address.to_bits()) & mask(self.prefix) == 0
    }

    /// T1: half of the lease, in seconds.
    pub(super) const fn renewal(&self) -> u32 {
        self.lease / 2
    }

    /// T2: seven eighths of the lease, in seconds, without an overflow.
    pub(super) const fn rebinding(&self) -> u32 {
        self.lease / 8 * 7 + self.lease % 8 * 7 / 8
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(address) = [self.address, self.server]
            .into_iter()
            .chain(self.router)
            .find(|address| !is_host(*address))
        {
            return Err(ConfigError::NoHost { address });
        }
        if self.prefix > 32 {
            return Err(ConfigError::Prefix { prefix: self.prefix });
        }
        if let Some(address) =
            [self.server].into_iter().chain(self.router).find(|address| *address == self.address)
        {
            return Err(ConfigError::Taken { address });
        }
        if self.mtu < MIN_DATAGRAM {
            return Err(ConfigError::Mtu { mtu: self.mtu });
        }
        let (renewal, rebinding, lease) = (self.renewal(), self.rebinding(), self.lease);
        if lease != INFINITE && !(renewal < rebinding && rebinding < lease && renewal > 0) {
            return Err(ConfigError::Lease { lease }); // DH-038
        }
        self.check_routes()
    }

    fn check_routes(&self) -> Result<(), ConfigError> {
        for (at, &route) in self.routes.iter().enumerate() {
            let Route { destination, width, router } = route;
            if width > 32 || destination.to_bits() & !mask(width) != 0 {
                return Err(ConfigError::Route { route }); // DH-044
            }
            // Whoever reads the list in order has to reach a router before it is of use.
            let is_near = router.is_unspecified() || self.is_in_network(router);
            let mut before =
                self.routes.iter().take(at).filter(|other| other.router.is_unspecified());
            let reaches = |other: &Route| {
                (router.to_bits() ^ other.destination.to_bits()) & mask(other.width) == 0
            };
            if !is_near && !before.any(reaches) {
                return Err(ConfigError::FarRouter { router }); // DH-045
            }
        }
        // A client that takes option 121 does not look at option 3.
        let has_default = self.routes.iter().any(|route| route.width == 0);
        match self.router {
            Some(router) if self.routes.is_empty() && !self.is_in_network(router) => {
                Err(ConfigError::FarRouter { router }) // DH-045
            }
            // DH-044
            Some(_) if !self.routes.is_empty() && !has_default => Err(ConfigError::NoDefault),
            _ => Ok(()),
        }
    }
}

/// The upper bits of an address.
const fn mask(width: u8) -> u32 {
    match u32::MAX.checked_shl(32_u32.saturating_sub(width as u32)) {
        Some(mask) => mask,
        None => 0,
    }
}

/// A host can have this address.
pub(super) const fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !matches!(first, 0 | 127 | 224..)
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// Guest, server or router has an address that no host has.
    NoHost {
        /// That address.
        address: Ipv4Addr,
    },
    /// A network of more than 32 bits.
    Prefix {
        /// Those bits.
        prefix: u8,
    },
    /// Guest and gateway have the same address.
    Taken {
        /// That address.
        address: Ipv4Addr,
    },
    /// The link is too narrow for what every client has to take.
    Mtu {
        /// Its MTU.
        mtu: u16,
    },
    /// The lease is too short for its own timers.
    Lease {
        /// Its seconds.
        lease: u32,
    },
    /// A route of more than 32 bits, or with bits beyond its width.
    Route {
        /// That route.
        route: Route,
    },
    /// There are routes and a router, but no default route.
    NoDefault,
    /// No route before it leads to a router that is not in the network of the guest.
    FarRouter {
        /// That router.
        router: Ipv4Addr,
    },
    /// There is more to hand out than the server keeps.
    TooMuch,
}

impl ConfigError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Lease { .. } => Rule::dh(38),
            Self::Route { .. } | Self::NoDefault => Rule::dh(44),
            Self::FarRouter { .. } => Rule::dh(45),
            Self::NoHost { .. }
            | Self::Prefix { .. }
            | Self::Taken { .. }
            | Self::Mtu { .. }
            | Self::TooMuch => Rule::dc(122),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost { address } => write!(f, "no host has the address {address}"),
            Self::Prefix { prefix } => write!(f, "a network of {prefix} bits"),
            Self::Taken { address } => write!(f, "{address} is the guest's and the gateway's"),
            Self::Mtu { mtu } => write!(f, "an MTU of {mtu}, less than {MIN_DATAGRAM}"),
            Self::Lease { lease } => write!(f, "a lease of {lease} s is too short"),
            Self::Route { route: Route { destination, width, .. } } => {
                write!(f, "{destination}/{width} is no network")
            }
            Self::NoDefault => f.write_str("there are routes, but no default route"),
            Self::FarRouter { router } => write!(f, "no route leads to the router {router}"),
            Self::TooMuch => write!(f, "more than {MAX_PARAMETERS} bytes of options"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_as_many_bits_as_they_say() {
        for width in 0..=32_u8 {
            assert_eq!(mask(width).leading_ones(), u32::from(width));
            assert_eq!(mask(width).count_ones(), u32::from(width));
        }
    }

    #[test]
    fn timers_do_not_overflow() {
        let mut config = Config::new(Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1));
        for (lease, renewal, rebinding) in [
            (3, 1, 2),
            (8, 4, 7),
            (9, 4, 7),
            (86_400, 43_200, 75_600),
            (u32::MAX - 1, 2_147_483_647, 3_758_096_382),
        ] {
            config.lease = lease;
            assert_eq!((config.renewal(), config.rebinding()), (renewal, rebinding), "{lease}");
            assert_eq!(config.check(), Ok(()), "{lease}");
        }
    }
}
