//! A guest and the reference back-end, over a real socket, through real rings.

mod services;
mod shapes;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// The Ethernet address of the guest.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// What DHCP gives to it.
const IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// What `DHCPv6` gives to it.
const IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);
