//! The IPv6 half of a gateway as the targets `ndp` and `dhcpv6` see it: frames in, at most one
//! frame out for each.
//!
//! An input is one byte that chooses the gateway, and [records]: a delay of [`DELAY`] milliseconds
//! times a byte, a length (u16, little-endian), and the bytes of a frame. A last record that is
//! cut is what is there.

pub mod dhcpv6;
pub mod draft;
pub mod ndp;
#[cfg(feature = "peer-net")]
pub mod wire;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_model::Id;

/// Milliseconds of one unit of delay.
pub const DELAY: u64 = 250;

/// The bit of the first byte that says that no transport checksum is complete (NET-055).
pub const PARTIAL: u8 = 1;

/// The station of the gateway.
pub const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// The station of the guest.
pub const GUEST_MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

/// Why nothing was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The frame breaks this rule.
    Broken(Rule),
    /// A reply of so many bytes does not fit.
    Room {
        /// Its bytes.
        needed: usize,
    },
}

/// A gateway under test.
pub trait Responder: Clone {
    /// One with the configuration that the first byte of an input chooses.
    fn open(setup: u8) -> Self;

    /// Answers a frame that came `now`, in milliseconds.
    ///
    /// # Errors
    /// The frame breaks a rule, or the reply does not fit in `out`.
    fn answer(
        &mut self,
        frame: &[u8],
        transport: Transport,
        now: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, Refusal>;
}

/// What is expected of a gateway.
pub trait Expected {
    /// The same configuration, in words of the model.
    fn open(setup: u8) -> Self;

    /// The reply, byte for byte.
    ///
    /// # Errors
    /// The first rule that the frame breaks.
    fn answer(&mut self, frame: &[u8], partial: bool, now: u64) -> Result<Option<Vec<u8>>, Id>;

    /// An independent parser reads the reply to a frame.
    ///
    /// # Panics
    /// When it is none.
    fn wire(request: &[u8], reply: &[u8]);

    /// Frames that are answered by any gateway of this configuration, whatever came before.
    fn good(setup: u8) -> Vec<Vec<u8>>;
}

/// The records of an input: delay in milliseconds, and frame.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&[delay, low, high], behind) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_le_bytes([low, high])).min(behind.len());
        let (frame, behind) = behind.split_at(len);
        rest = behind;
        Some((u64::from(delay) * DELAY, frame))
    })
}

/// An input of these records, with delays in their units.
#[must_use]
pub fn encode<F: AsRef<[u8]>>(setup: u8, records: &[(u8, F)]) -> Vec<u8> {
    let mut bytes = vec![setup];
    for (delay, frame) in records {
        let frame = frame.as_ref();
        let len = u16::try_from(frame.len()).unwrap_or(u16::MAX);
        bytes.push(*delay);
        bytes.extend(len.to_le_bytes());
        bytes.extend(&frame[..len.into()]);
    }
    bytes
}

/// Demands that two values are the same, in the words of an oracle.
///
/// # Panics
/// When they are not.
#[track_caller]
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) {
    assert!(got == expected, "{what}: {got:02x?}, expected {expected:02x?}");
}

/// What became of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Frames that came.
    pub frames: usize,
    /// Replies that went.
    pub replies: usize,
    /// The first rule that a frame breaks.
    pub broken: Option<Id>,
}

impl Outcome {
    /// Adds what became of one more frame.
    pub fn add(&mut self, expected: &Result<Option<Vec<u8>>, Id>) {
        self.frames += 1;
        match expected {
            Ok(reply) => self.replies += usize::from(reply.is_some()),
            Err(rule) => self.broken = self.broken.or(Some(*rule)),
        }
    }
}

/// What the model says about an input, without the code under test.
#[must_use]
pub fn judge<E: Expected>(bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let Some((&setup, rest)) = bytes.split_first() else { return outcome };
    let mut model = E::open(setup);
    let mut now = 0;
    for (delay, frame) in records(rest) {
        now += delay;
        outcome.add(&model.answer(frame, setup & PARTIAL != 0, now));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_are_written() {
        let frames = [(2, vec![1, 2, 3]), (0, vec![]), (255, vec![9; 300])];
        let bytes = encode(7, &frames);
        let read: Vec<_> = records(&bytes[1..]).collect();
        assert_eq!(read, [(500, &[1, 2, 3][..]), (0, &[]), (63750, &[9; 300])]);
        let cut = &bytes[1..bytes.len() - 1];
        assert_eq!(records(cut).last(), Some((63750, &[9; 299][..])));
        assert_eq!(records(&bytes[1..3]).count(), 0);
    }
}
