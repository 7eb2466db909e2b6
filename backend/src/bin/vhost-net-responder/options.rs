//! The options of the program.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use arrayvec::ArrayVec;
use clap::{ArgGroup, Parser};
use vhost_fuzz_backend::net::{Config, GUEST_MAC, PAIRS_MAX};
use vhost_fuzz_core::net::gateway::{self, GATEWAY_IP, GATEWAY_IPV6, GATEWAY_MAC};
use vhost_fuzz_core::net::{Mac, dhcp, dhcpv6};

/// Serves a virtio-net device over vhost-user, and answers like a gateway
///
/// It answers ARP, DHCP and echo, and over IPv6 neighbour discovery, router solicitations, DHCP and
/// echo. Frames go nowhere else.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
#[command(group(ArgGroup::new("place").required(true).args(["socket", "fd", "print_capabilities"])))]
pub(crate) struct Options {
    /// Listen at this path for front-ends, one after another
    #[arg(long, alias = "socket-path", value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Serve the front-end at the other end of this inherited socket
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    fd: Option<i32>,

    /// Connect to a front-end that listens at the path, again whenever it is gone
    #[arg(long, requires = "socket")]
    client: bool,

    /// End after the first front-end
    #[arg(long)]
    pub(crate) once: bool,

    /// Ethernet address of the guest
    #[arg(long, default_value_t = GUEST_MAC, value_parser = station)]
    mac: Mac,

    /// Ethernet address of the gateway
    #[arg(long, default_value_t = GATEWAY_MAC, value_parser = station)]
    gateway_mac: Mac,

    /// Address that DHCP gives to the guest; without it DHCP is not answered
    #[arg(long, value_name = "ADDRESS")]
    ipv4: Option<Ipv4Addr>,

    /// IPv4 address of the gateway
    #[arg(long, value_name = "ADDRESS", default_value_t = GATEWAY_IP)]
    gateway_ipv4: Ipv4Addr,

    // The name has no place in a doc comment, which is Markdown.
    #[arg(
        long,
        value_name = "ADDRESS",
        help = "Address that DHCPv6 gives to the guest; without it DHCPv6 is not answered"
    )]
    ipv6: Option<Ipv6Addr>,

    /// DNS server of the guest; up to eight with IPv4 and three with IPv6 addresses
    /// [default: 1.1.1.1 and 8.8.8.8]
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,

    /// Seconds of a lease
    #[arg(long, value_name = "SECONDS", default_value_t = 86400)]
    lease: u32,

    /// Replies a second at most; 64 of them at once, or a sixteenth if that is more
    #[arg(long, value_name = "REPLIES", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,

    /// Bytes of the longest packet
    #[arg(long, value_name = "BYTES", default_value_t = 1500,
        value_parser = clap::value_parser!(u16).range(1280..))]
    mtu: u16,

    /// Answer ARP requests for every address but the guest's
    #[arg(long)]
    proxy_arp: bool,

    /// Pairs of queues
    #[arg(long, value_name = "PAIRS", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(PAIRS_MAX)))]
    queues: u16,

    /// Entries of a queue
    #[arg(long, value_name = "ENTRIES", default_value_t = 1024,
        value_parser = clap::value_parser!(u16).range(1..=32768))]
    queue_size: u16,

    /// Offer packed rings, too
    #[arg(long)]
    packed: bool,

    /// Do not offer frames in several receive buffers
    #[arg(long)]
    no_mergeable: bool,

    /// Do not offer a control queue
    #[arg(long)]
    no_control: bool,

    /// Say nothing about front-ends that come and go
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Print what the program can as JSON, and end
    #[arg(long)]
    pub(crate) print_capabilities: bool,
}

/// Where front-ends come from.
#[derive(Clone, Debug)]
pub(crate) enum Where {
    /// They connect to a path.
    Listen(PathBuf),
    /// They listen at a path.
    Connect(PathBuf),
    /// One is connected already.
    Fd(i32),
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(path) => write!(f, "listening at {}", path.display()),
            Self::Connect(path) => write!(f, "connecting to {}", path.display()),
            Self::Fd(number) => write!(f, "serving descriptor {number}"),
        }
    }
}

impl Options {
    /// Where front-ends come from.
    pub(crate) fn place(&self) -> Where {
        match (&self.socket, self.fd) {
            (Some(path), _) if self.client => Where::Connect(path.clone()),
            (Some(path), _) => Where::Listen(path.clone()),
            (None, number) => Where::Fd(number.unwrap_or(-1)),
        }
    }

    /// The device that they ask for.
    ///
    /// # Errors
    /// More DNS servers than a reply has room for.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let mut config = Config::new(self.mac, self.ipv4);
        config.mtu = self.mtu;
        config.pairs = self.queues;
        config.queue_size = self.queue_size;
        config.has_packed = self.packed;
        config.merges = !self.no_mergeable;
        config.has_control = !self.no_control;
        config.set_rate(self.rate);
        self.configure_ipv4(&mut config.gateway)?;
        self.configure_ipv6(&mut config.gateway)?;
        Ok(config)
    }

    fn configure_ipv4(&self, gateway: &mut gateway::Config) -> Result<(), String> {
        gateway.mtu = self.mtu;
        gateway.arp.mac = self.gateway_mac;
        gateway.arp.owned = [self.gateway_ipv4].into_iter().collect();
        gateway.arp.is_proxy = self.proxy_arp;
        gateway.dhcp = self.ipv4.map(|address| dhcp::Config::new(address, self.gateway_ipv4));
        if let Some(dhcp) = &mut gateway.dhcp {
            (dhcp.mtu, dhcp.lease) = (self.mtu, self.lease);
            if !self.dns.is_empty() {
                dhcp.dns = several(self.dns.iter().filter_map(|address| match address {
                    IpAddr::V4(address) => Some(*address),
                    IpAddr::V6(_) => None,
                }))?;
            }
        }
        Ok(())
    }

    fn configure_ipv6(&self, gateway: &mut gateway::Config) -> Result<(), String> {
        let dns = || {
            self.dns.iter().filter_map(|address| match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(address) => Some(*address),
            })
        };
        if let Some(ndp) = &mut gateway.ndp {
            ndp.mac = self.gateway_mac;
            ndp.guest = self.ipv6.into_iter().collect();
            if let Some(router) = &mut ndp.router {
                router.managed = self.ipv6.is_some();
                router.mtu = (self.mtu != 1500).then_some(self.mtu.into());
                router.dns = several(dns())?;
                router.dns_lifetime = u32::from(router.lifetime);
            }
        }
        gateway.dhcpv6 = match self.ipv6 {
            None => None,
            Some(lease) => Some(dhcpv6::Config {
                mac: self.gateway_mac,
                address: GATEWAY_IPV6,
                lease,
                preferred: self.lease / 2,
                valid: self.lease,
                rapid_commit: true,
                dns: several(dns())?,
            }),
        };
        Ok(())
    }
}

/// As many addresses as there is room for.
///
/// # Errors
/// There are more.
fn several<A, const N: usize>(
    addresses: impl IntoIterator<Item = A>,
) -> Result<ArrayVec<A, N>, String> {
    let mut room = ArrayVec::new();
    for address in addresses {
        room.try_push(address).map_err(|_| format!("--dns: more than {N} of one kind"))?;
    }
    Ok(room)
}

/// The address of one station.
fn station(text: &str) -> Result<Mac, String> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2);
        let value = part.and_then(|part| u8::from_str_radix(part, 16).ok());
        *byte = value.ok_or("six pairs of hexadecimal digits are needed, as 02:00:00:00:00:02")?;
    }
    let mac = Mac(bytes);
    if parts.next().is_some() {
        return Err("there are more than six bytes".to_owned());
    }
    if mac.is_group() || mac.is_zero() {
        return Err("it is not the address of one station".to_owned());
    }
    Ok(mac)
}
