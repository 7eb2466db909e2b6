//! A virtual machine's side of a connection, and the back-end that it talks to: whole tests of a
//! network device in a few lines.
//!
//! * [`TestBackend`]: the reference back-end in a thread, at a path of its own.
//! * [`VhostTestClient`]: a guest behind the front-end of the `vhost` crate, with memory of its
//!   own. Point it at any other back-end, and the same tests run there.
//! * [`VirtioClient`]: what is below it, for devices of every kind.
//! * [`packet`]: frames that a guest sends.
//! * [`parse`]: what somebody else's parser reads in the frames that it gets.
//!
//! A whole test:
//!
//! ```
//! use std::time::Duration;
//! use vhost_fuzz_harness::guest::{GATEWAY_IP, GATEWAY_MAC, TestBackend, VhostTestClient};
//! use vhost_fuzz_harness::guest::{packet, parse};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mac, ip) = ([2, 0, 0, 0, 0, 2], [192, 0, 2, 10].into());
//! let backend = TestBackend::new(mac, Some(ip))?;
//! let mut client = VhostTestClient::new(backend.path())?;
//! client.send_packet(&packet::arp_request(mac, ip, GATEWAY_IP))?;
//! let reply = client.recv_packet(Duration::from_secs(5))?;
//! assert!(parse::is_arp_reply(&reply));
//! assert_eq!(parse::arp_reply(&reply).map(|reply| reply.sender_mac), Some(GATEWAY_MAC));
//! drop(client);
//! backend.stop()?;
//! # Ok(())
//! # }
//! ```

mod backend;
mod client;
mod error;
pub mod packet;
pub mod parse;
pub(crate) mod part;
mod virtio;

use std::net::Ipv4Addr;

pub use backend::TestBackend;
pub use client::{Options, VhostTestClient};
pub use error::ClientError;
pub use part::Part;
pub use virtio::VirtioClient;

/// The Ethernet address of the gateway.
pub const GATEWAY_MAC: [u8; 6] = vhost_fuzz_core::net::gateway::GATEWAY_MAC.0;

/// The IPv4 address of the gateway.
pub const GATEWAY_IP: Ipv4Addr = vhost_fuzz_core::net::gateway::GATEWAY_IP;

/// The IPv6 address of the gateway.
pub const GATEWAY_IPV6: std::net::Ipv6Addr = vhost_fuzz_core::net::gateway::GATEWAY_IPV6;
