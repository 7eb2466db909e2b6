//! What the specification says about frames: `spec/virtio.md` §3 and §6.
//!
//! Plain numbers and slices; nothing here knows the code under test.

pub mod control;
pub mod device;
pub mod dhcp;
pub mod dhcpv6;
pub mod ethernet;
pub mod gateway;
pub mod header;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
pub mod whole;
