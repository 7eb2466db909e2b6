//! The control queue: what a driver tells its device, and what follows from it (spec §3.6).
//!
//! * [`ControlConfig`]: what the device is like, checked once.
//! * [`Control`]: what was negotiated and said. [`Control::handle`] takes one command,
//!   [`Control::serve`] one chain.
//! * [`Control::accepts`]: the receive filter.
//! * [`Control::steer`]: which queue a frame goes to, and its hash.
//! * [`Control::config_space`]: what the driver reads.
//!
//! Memory is taken when a `Control` is made, for the largest tables that it keeps, and never
//! again. A command is read as it is judged, each byte at most once, and what is read may be
//! longer than what is kept: a table of a hundred thousand bytes is counted, not copied.

mod bits;
mod coalesce;
mod config;
mod error;
mod filter;
mod hash;
mod serve;
mod source;
mod state;
mod steer;

pub use coalesce::Coalescing;
pub use config::{
    ConfigError, ControlConfig, Duplex, HASH_TYPES, Hashing, KEY_MIN, MTU_MIN, PAIRS_MAX,
    SPEED_MAX, SPEED_UNKNOWN, TABLE_MIN,
};
pub use error::ControlError;
pub use serve::{ServeError, Served};
pub use source::{Source, Target};
pub use state::{Control, Outcome};
pub use steer::Steered;

use error::Stop;

/// The first writable byte of a command.
pub mod ack {
    /// The command has taken effect.
    pub const OK: u8 = 0;
    /// It has not.
    pub const ERR: u8 = 1;
}

/// Classes of commands.
pub mod class {
    /// Modes of the receive filter: [`rx`](super::rx).
    pub const RX: u8 = 0;
    /// Addresses: [`mac`](super::mac).
    pub const MAC: u8 = 1;
    /// VLANs: [`vlan`](super::vlan).
    pub const VLAN: u8 = 2;
    /// The driver announced itself: command 0.
    pub const ANNOUNCE: u8 = 3;
    /// Queues: [`mq`](super::mq).
    pub const MQ: u8 = 4;
    /// What the driver takes: command 0.
    pub const GUEST_OFFLOADS: u8 = 5;
    /// How seldom to notify: [`coal`](super::coal).
    pub const NOTF_COAL: u8 = 6;
    /// Tunnels that are hashed by what is inside: command 0.
    pub const HASH_TUNNEL: u8 = 7;
}

/// Commands of the class [`RX`](class::RX), which are numbers of modes.
pub mod rx {
    /// Every frame.
    pub const PROMISC: u8 = 0;
    /// Every multicast frame.
    pub const ALLMULTI: u8 = 1;
    /// Every unicast frame.
    pub const ALLUNI: u8 = 2;
    /// No multicast frame.
    pub const NOMULTI: u8 = 3;
    /// No unicast frame.
    pub const NOUNI: u8 = 4;
    /// No broadcast frame.
    pub const NOBCAST: u8 = 5;
}

/// Commands of the class [`MAC`](class::MAC).
pub mod mac {
    /// The addresses that the driver receives for.
    pub const TABLE_SET: u8 = 0;
    /// The address of the driver.
    pub const ADDR_SET: u8 = 1;
}

/// Commands of the class [`VLAN`](class::VLAN).
pub mod vlan {
    /// One more VLAN.
    pub const ADD: u8 = 0;
    /// One VLAN less.
    pub const DEL: u8 = 1;
}

/// Commands of the class [`MQ`](class::MQ).
pub mod mq {
    /// So many pairs of queues.
    pub const VQ_PAIRS_SET: u8 = 0;
    /// Frames go where a table says.
    pub const RSS_CONFIG: u8 = 1;
    /// Frames are hashed, and the device says how.
    pub const HASH_CONFIG: u8 = 2;
}

/// Kinds of hash: over what it is. The number of the bit and 1 is what the header reports.
pub mod hash_type {
    /// Addresses of IPv4.
    pub const IPV4: u32 = 1 << 0;
    /// The same and the ports of TCP.
    pub const TCPV4: u32 = 1 << 1;
    /// The same and the ports of UDP.
    pub const UDPV4: u32 = 1 << 2;
    /// Addresses of IPv6.
    pub const IPV6: u32 = 1 << 3;
    /// The same and the ports of TCP.
    pub const TCPV6: u32 = 1 << 4;
    /// The same and the ports of UDP.
    pub const UDPV6: u32 = 1 << 5;
    /// Home addresses of IPv6, as far as extension headers have them.
    pub const IP_EX: u32 = 1 << 6;
    /// The same and the ports of TCP.
    pub const TCP_EX: u32 = 1 << 7;
    /// The same and the ports of UDP.
    pub const UDP_EX: u32 = 1 << 8;
}

/// Commands of the class [`NOTF_COAL`](class::NOTF_COAL).
pub mod coal {
    /// For all transmit queues.
    pub const TX_SET: u8 = 0;
    /// For all receive queues.
    pub const RX_SET: u8 = 1;
    /// For one queue.
    pub const VQ_SET: u8 = 2;
    /// What counts for one queue.
    pub const VQ_GET: u8 = 3;
}

/// Reads a field.
fn array<const N: usize>(source: &mut impl Source) -> Result<[u8; N], Stop> {
    let have = source.remaining();
    let mut bytes = [0; N];
    if source.read_exact(&mut bytes)? {
        Ok(bytes)
    } else {
        Err(ControlError::Short { need: N as u64, have }.into()) // NET-038
    }
}

#[cfg(test)]
mod tests;
