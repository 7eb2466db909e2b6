//! What the DHCP target tests: the server of a port, and how it is set up.

mod draft;

use std::net::Ipv4Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::dhcp::{
    Config, DhcpError, INFINITE, Lease, Outcome, Request, Route, Server,
};
use vhost_fuzz_model::net::dhcp as model;

pub use draft::{Draft, input};

/// The hardware address of a guest that keeps to the rules.
pub const GUEST: Mac = Mac([2, 0, 0, 0, 0, 10]);

/// The address that every port hands out.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// The router of a /32 address, which is the server, too, unless that lies elsewhere.
pub const FAR_ROUTER: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);

/// The router in the network of a /24 address.
pub const NEAR_ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A server that is not the router.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The server of a port: ours, a broken one, or yours.
pub trait Responder {
    /// A server that hands this out.
    fn open(config: Config) -> Self;

    /// As [`Server::handle`].
    ///
    /// # Errors
    /// As [`Server::handle`].
    fn handle(
        &mut self,
        request: &Request<'_>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Outcome, DhcpError>;

    /// As [`Server::lease`].
    fn lease(&self, now_ms: u64) -> Option<&Lease>;
}

impl Responder for Server {
    /// # Panics
    /// When the configuration makes no sense.
    fn open(config: Config) -> Self {
        Self::new(config).unwrap_or_else(|error| panic!("a configuration of ours: {error}"))
    }

    fn handle(
        &mut self,
        request: &Request<'_>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Outcome, DhcpError> {
        Self::handle(self, request, now_ms, out)
    }

    fn lease(&self, now_ms: u64) -> Option<&Lease> {
        Self::lease(self, now_ms)
    }
}

/// How a port is set up: the first two bytes of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup(pub [u8; 2]);

impl Setup {
    /// The address is in a network of 24 bits with its router.
    pub const NEAR: u8 = 0x01;
    /// Only [`GUEST`] is served.
    pub const STRICT: u8 = 0x02;
    /// Other servers may know better.
    pub const HUMBLE: u8 = 0x04;
    /// Relays are served.
    pub const RELAYS: u8 = 0x08;
    /// Rapid commit.
    pub const RAPID: u8 = 0x10;
    /// Everything that can be handed out is.
    pub const ALL: u8 = 0x20;
    /// Leases do not end.
    pub const ENDLESS: u8 = 0x40;
    /// The server is [`ELSEWHERE`].
    pub const ELSEWHERE: u8 = 0x80;

    const fn has(self, flag: u8) -> bool {
        self.0[0] & flag != 0
    }

    /// The MTU: 1500, 576, 9000 or 1400, by the lowest bits of the second byte.
    #[must_use]
    pub const fn mtu(self) -> u16 {
        match self.0[1] & 3 {
            0 => 1500,
            1 => 576,
            2 => 9000,
            _ => 1400,
        }
    }

    /// The router of the guest.
    #[must_use]
    pub const fn router(self) -> Ipv4Addr {
        if self.has(Self::NEAR) { NEAR_ROUTER } else { FAR_ROUTER }
    }

    /// The server identifier.
    #[must_use]
    pub const fn server(self) -> Ipv4Addr {
        if self.has(Self::ELSEWHERE) { ELSEWHERE } else { self.router() }
    }

    fn routes(self) -> Vec<Route> {
        let (router, on_link) = (self.router(), Ipv4Addr::UNSPECIFIED);
        let mut routes = vec![Route { destination: router, width: 32, router: on_link }];
        if self.has(Self::ALL) {
            // As an option, more than one length can tell.
            let far = |last| Route { destination: [10, 9, 8, last].into(), width: 32, router };
            routes.extend((0..28).map(far));
            routes.push(Route { destination: [172, 16, 0, 0].into(), width: 12, router });
        }
        routes.push(Route { destination: on_link, width: 0, router });
        routes
    }

    /// For the code under test.
    #[must_use]
    pub fn config(self) -> Config {
        let mut config = Config::new(ADDRESS, self.router());
        if self.has(Self::NEAR) {
            config.prefix = 24;
        }
        config.server = self.server();
        config.routes = self.routes().into_iter().collect();
        config.mtu = self.mtu();
        config.guest = self.has(Self::STRICT).then_some(GUEST);
        config.is_authoritative = !self.has(Self::HUMBLE);
        config.serves_relays = self.has(Self::RELAYS);
        config.commits_rapidly = self.has(Self::RAPID);
        if self.has(Self::ENDLESS) {
            config.lease = INFINITE;
        }
        if self.has(Self::ALL) {
            config.ntp = TIME.into_iter().map(Ipv4Addr::from).collect();
            config.broadcast = Some(BROADCAST.into());
            config.domain = std::iter::repeat_n(b'd', DOMAIN_LEN).collect();
            config.host_name = NAME.iter().copied().collect();
            config.tftp_server = BOOT_SERVER.iter().copied().collect();
            config.boot_file = BOOT_FILE.iter().copied().collect();
            config.next_server = NEXT_SERVER.into();
        }
        config
    }

    /// The same for the model, in bytes.
    #[must_use]
    pub fn model(self) -> model::Config {
        let mask = if self.has(Self::NEAR) { [255, 255, 255, 0] } else { [255; 4] };
        let mut values = vec![
            (1, mask.to_vec()),
            (3, self.router().octets().to_vec()),
            (121, self.routes().into_iter().flat_map(route).collect()),
            (6, vec![1, 1, 1, 1, 8, 8, 8, 8]),
            (26, self.mtu().to_be_bytes().to_vec()),
        ];
        if self.has(Self::ALL) {
            values.extend([
                (28, BROADCAST.to_vec()),
                (15, vec![b'd'; DOMAIN_LEN]),
                (12, NAME.to_vec()),
                (42, TIME.concat()),
                (66, BOOT_SERVER.to_vec()),
                (67, BOOT_FILE.to_vec()),
            ]);
        }
        model::Config {
            address: ADDRESS.octets(),
            prefix: if self.has(Self::NEAR) { 24 } else { 32 },
            server: self.server().octets(),
            values,
            next_server: if self.has(Self::ALL) { NEXT_SERVER } else { model::NONE },
            mtu: self.mtu().into(),
            lease: if self.has(Self::ENDLESS) { u32::MAX } else { 86_400 },
            guest: self.has(Self::STRICT).then_some(GUEST.0),
            is_authoritative: !self.has(Self::HUMBLE),
            serves_relays: self.has(Self::RELAYS),
            commits_rapidly: self.has(Self::RAPID),
            hold_ms: 10_000,
        }
    }
}

const TIME: [[u8; 4]; 2] = [[192, 0, 2, 123], [192, 0, 2, 124]];
const BROADCAST: [u8; 4] = [192, 0, 2, 255];
const NEXT_SERVER: [u8; 4] = [192, 0, 2, 3];
const DOMAIN_LEN: usize = 200;
const NAME: &[u8] = b"guest";
const BOOT_SERVER: &[u8] = b"boot.example";
const BOOT_FILE: &[u8] = b"pxelinux.0";

/// RFC 3442, for the widths that occur here.
fn route(route: Route) -> Vec<u8> {
    let bytes = match route.width {
        0 => 0,
        1..=8 => 1,
        9..=16 => 2,
        17..=24 => 3,
        _ => 4,
    };
    [&[route.width], &route.destination.octets()[..bytes], &route.router.octets()].concat()
}
