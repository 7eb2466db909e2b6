//! The virtio-net header in front of every frame (spec §3.1 to §3.5).
//!
//! * [`Features`]: what was negotiated, and how long the header is for it.
//! * [`Header`]: its fields as they are on the wire.
//! * [`Port`]: what one driver may send ([`Port::transmit`]) and be given ([`Port::receive`]).
//!
//! A driver can write anything into a header. What comes out of [`Port::transmit`] has only what
//! was negotiated, with every place inside of the frame; a field that must not be used is not
//! there to be used.

mod error;
mod features;
mod lookup;
mod receive;
mod segments;
mod transmit;
mod wire;

pub use error::{RxError, TxError};
pub use features::{Features, HEADER_LEN_MAX};
pub(super) use lookup::Link;
pub use lookup::{EXTENSIONS_MAX, Ip, TAGS_MAX};
pub use receive::{HASH_REPORT_MAX, Hash, Joined, Receive, Verified};
pub use segments::{Checksum, Headers, Kind, SEGMENTS_LEN_MAX, Segments, Tunnel};
pub use transmit::{Resource, Transmit};
pub use wire::{Header, NoRoom, flags, gso};

/// Bytes of the longest frame that a device without `MTU` takes, unless it is told otherwise: the
/// largest packet behind an Ethernet header with a tag (spec §11.13).
pub const FRAME_MAX: usize = 65535 + 18;

/// What decides about the frames of one driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// What was negotiated.
    pub features: Features,
    /// The `mtu` of the config space, in bytes; it counts when `MTU` was negotiated.
    pub mtu: u16,
    /// Bytes of the longest frame that the device takes without `MTU` and without segments.
    pub frame_max: usize,
}

impl Port {
    /// A port without a limit of its own.
    #[must_use]
    pub const fn new(features: Features, mtu: u16) -> Self {
        Self { features, mtu, frame_max: FRAME_MAX }
    }
}

#[cfg(test)]
mod tests;
