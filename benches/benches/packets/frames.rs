//! What the guest sends.

use std::net::Ipv4Addr;

use vhost_fuzz_harness::guest::{GATEWAY_IP, GATEWAY_MAC, packet};
use vhost_fuzz_model::net::ipv4;

/// The guest.
pub(crate) const GUEST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const GUEST_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// Nobody has it.
const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// Bytes of the headers of a frame in front of its data: Ethernet, IPv4, and ICMP or UDP.
const HEADERS: usize = 14 + 20 + 8;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The gateway answers: it is an ICMP echo request.
    Echo,
    /// The gateway reads it and does nothing: it is a UDP datagram to nobody.
    Taken,
}

impl Kind {
    /// Its name in a row.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Taken => "taken",
        }
    }

    /// A frame of `len` bytes without its checksum of 4 bytes, as a driver sends it, and the data
    /// in it.
    pub(crate) fn frame(self, len: usize) -> (Vec<u8>, Vec<u8>) {
        let data: Vec<u8> = (0..=250).cycle().take(len - HEADERS).collect();
        let frame = match self {
            Self::Echo => packet::echo_request(GUEST_MAC, GUEST_IP, GATEWAY_IP, &data),
            Self::Taken => {
                let (from, to) = ((GUEST_IP.octets(), 4000), (NOBODY.octets(), 4001));
                let datagram = ipv4::write_datagram(from, to, &data);
                packet::ethernet_frame(GATEWAY_MAC, GUEST_MAC, 0x0800, &datagram)
            }
        };
        assert_eq!(frame.len(), len, "{self:?}: bytes of the frame");
        (frame, data)
    }
}
