//! Frames of a guest: what stands in front of them in a chain, what they say, and what a gateway
//! answers.
//!
//! A frame was copied once out of guest memory; everything here reads that copy. Numbers are
//! big-endian on the wire, but those of the virtio-net header little-endian.
//!
//! * [`ethernet`]: Ethernet II and 802.1Q (spec §6.1).
//! * [`arp`]: who answers for a gateway (spec §6.2).
//! * [`icmp`]: who answers a `ping` (DC-105).
//! * [`rate`]: how often a port is answered.
//! * [`checksum`]: the internet checksum (RFC 1071).
//! * [`ipv4`], [`udp`]: what a responder reads and writes of them (spec §6.3).
//! * [`header`]: the virtio-net header in front of a frame (spec §3.1 to §3.5).
//! * [`control`], [`config_space`]: what a driver tells its device, and reads of it (spec §3.3,
//!   §3.6).
//! * [`dhcp`]: a `DHCPv4` server for one port (spec §6.4, §6.5).
//! * [`icmpv6`], [`ipv6`], [`ndp`], [`dhcpv6`]: IPv6, neighbour discovery, and a `DHCPv6` server
//!   (spec §6.6).
//! * [`gateway`]: all of it on one port, frame in, at most one frame out.

pub mod arp;
pub mod checksum;
pub mod config_space;
pub mod control;
pub mod device;
pub mod dhcp;
pub mod dhcpv6;
pub mod ethernet;
pub mod gateway;
pub mod header;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
mod mac;
pub mod ndp;
pub mod rate;
pub mod udp;

pub use mac::Mac;
