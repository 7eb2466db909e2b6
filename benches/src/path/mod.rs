//! The hot path: what a driver sends goes through its ring, header and all, to the gateway, and
//! the answer through another ring back.
//!
//! # What a batch is
//!
//! The driver makes [`BATCH`] requests and as many receive buffers available at once, and the
//! device works until nothing is left, in one wake-up. Requests and buffers are one descriptor
//! each, as Linux posts them with `MRG_RXBUF`. The batch is one lap of both rings.

mod device;
mod memory;

use vhost_fuzz_core::ring::Layout;

pub use device::Device;
pub use memory::{Driver, Memory, Ring};

/// Requests of a batch, and entries of each ring.
pub const BATCH: u16 = 64;

/// Bytes of the header in front of a frame.
pub const HEADER: usize = 12;

/// Bytes of a receive buffer.
pub const BUFFER: u32 = 1526;

/// What is asked again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Who has the gateway's address? 42 bytes, padded to 60.
    Arp,
    /// A DHCP DISCOVER, 342 bytes.
    Discover,
}

impl Request {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Arp, Self::Discover];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::Discover => "discover",
        }
    }

    /// The frame.
    #[must_use]
    pub fn frame(self) -> Vec<u8> {
        match self {
            Self::Arp => {
                let mut frame = crate::frames::samples::arp_request();
                frame.resize(60, 0);
                frame
            }
            Self::Discover => crate::frames::samples::discover_frame(),
        }
    }
}

/// What a path is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of both rings.
    pub layout: Layout,
    /// What is asked.
    pub request: Request,
}
