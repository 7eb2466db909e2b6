//! Frames, their responders, and the network device.

mod arp;
mod clients;
mod control;
mod device;
mod dhcp;
mod dhcpv6;
#[cfg(feature = "guest")]
mod guest;
mod header;
mod header_inside;
mod header_receive;
mod ipv4;
mod ndp;
