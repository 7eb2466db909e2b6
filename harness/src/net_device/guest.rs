//! A good guest, which looks into its own memory for what it was told.

use vhost_fuzz_core::ring::Layout as Form;

use crate::ram::{GuestRam as _, Ram};
use crate::ring::step::Start;

/// Bytes of the header of its frames.
const HEADER: usize = 12;

/// Bytes of an ARP packet behind an Ethernet header without a tag.
const ARP: usize = 14 + 28;

/// Bytes of its receive buffer.
pub(super) const ROOM: u16 = 1526;

/// Whether the first buffer of a receive queue, which starts so and from the beginning, holds an
/// answer to an ARP request.
///
/// # Errors
/// What the guest has to complain about.
///
/// # Panics
/// When somebody else's parser complains.
pub(super) fn told(
    ram: &Ram,
    start: &Start,
    form: Form,
    request: &[u8],
) -> Result<(), &'static str> {
    let [descriptors, _, used] = start.parts;
    let (is_used, id, len) = match form {
        Form::Split => (ram.bytes(used + 2) == [1, 0], ram.load_u32(used + 4), used + 8),
        Form::Packed => {
            let [id_low, id_high, flags_low, flags_high] = ram.bytes(descriptors + 12);
            let is_used = flags_low & flags_high & 0x80 != 0; // AVAIL and USED
            (is_used, u16::from_le_bytes([id_low, id_high]).into(), descriptors + 8)
        }
    };
    if !is_used {
        return Err("is told nothing");
    }
    let len = ram.load_u32(len);
    if id != 0 || len > ROOM.into() {
        return Err("is told what it has no buffer for");
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    ram.get(u64::from_le_bytes(ram.bytes(descriptors)), &mut bytes);
    let reply = bytes.get(HEADER..).unwrap_or_default();
    // Some gateways answer everybody.
    let is_answer = reply.len() >= ARP
        && (reply[..6] == request[6..12] || reply[..6] == [0xff; 6])
        && reply[12..22] == [8, 6, 0, 1, 8, 0, 6, 4, 0, 2]
        && reply[28..32] == request[38..42];
    if !is_answer {
        return Err("is told something else");
    }
    #[cfg(feature = "peer-net")]
    super::wire::check(request, reply);
    Ok(())
}
