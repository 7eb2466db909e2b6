//! Judges the IPv6 half of a gateway, frame by frame.

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_model::Id;

use crate::budget;
use crate::ipv6::{Expected, Outcome, PARTIAL, Refusal, Responder, records, same};

/// Bytes of a reply beyond those of its request, at most.
const SURPLUS: usize = 512;

/// What the room for a reply holds before.
const STALE: u8 = 0xa5;

/// Milliseconds after which everything is answered again.
const PAUSE: u64 = 60_000;

/// Runs every oracle on an input.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<R: Responder, E: Expected>(bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let Some((&setup, rest)) = bytes.split_first() else { return outcome };
    let mut pair = Pair { setup, code: R::open(setup), model: E::open(setup), now: 0 };
    for (delay, frame) in records(rest) {
        pair.now += delay;
        outcome.add(&pair.step(frame));
    }
    pair.assert_alive();
    outcome
}

/// The code under test and what is expected of it.
struct Pair<R, E> {
    setup: u8,
    code: R,
    model: E,
    now: u64,
}

impl<R: Responder, E: Expected> Pair<R, E> {
    fn step(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, Id> {
        let is_partial = self.setup & PARTIAL != 0;
        let transport = if is_partial { Transport::Partial } else { Transport::Complete };
        let expected = self.model.answer(frame, is_partial, self.now);
        let before = self.code.clone();
        let mut out = vec![STALE; frame.len() + SURPLUS];
        let now = self.now;
        let got = if is_drawn(frame) {
            budget::without_allocating("an answer", || {
                self.code.answer(frame, transport, now, &mut out)
            })
        } else {
            self.code.answer(frame, transport, now, &mut out)
        };
        let got = match got {
            Ok(Some(len)) => {
                let (reply, beyond) = out.split_at(len.min(out.len()));
                let is_clean = beyond.iter().all(|byte| *byte == STALE);
                assert!(is_clean, "room: bytes behind a reply of {len} bytes were written");
                E::wire(frame, reply);
                Ok(Some(reply.to_vec()))
            }
            Ok(None) => Ok(None),
            Err(Refusal::Broken(rule)) => Err(super::id(rule)),
            Err(Refusal::Room { needed }) => {
                panic!("room: {needed} bytes are too many for a reply to {}", frame.len())
            }
        };
        assert!(
            got == expected,
            "model: {got:02x?} for {frame:02x?} at {now} ms, expected {expected:02x?}"
        );
        if let Ok(Some(reply)) = &got {
            assert_room(before, frame, transport, now, reply.len());
        }
        expected
    }

    /// Whatever came before, good frames are answered.
    fn assert_alive(&mut self) {
        let is_partial = self.setup & PARTIAL != 0;
        let transport = if is_partial { Transport::Partial } else { Transport::Complete };
        self.now += PAUSE;
        for frame in E::good(self.setup) {
            let mut out = vec![STALE; frame.len() + SURPLUS];
            let got = self.code.answer(&frame, transport, self.now, &mut out);
            assert!(matches!(got, Ok(Some(_))), "liveness: {got:?} for {frame:02x?}");
        }
    }
}

/// A reply that does not fit is none, and changes nothing.
fn assert_room<R: Responder>(
    mut code: R,
    frame: &[u8],
    transport: Transport,
    now: u64,
    needed: usize,
) {
    let mut out = vec![STALE; needed];
    let got = code.answer(frame, transport, now, &mut out[..needed - 1]);
    same("room: one byte too few", got, Err(Refusal::Room { needed }));
    assert!(out.iter().all(|byte| *byte == STALE), "room: half a reply was written");
    let got = code.answer(frame, transport, now, &mut out);
    same("room: the same frame once more", got, Ok(Some(needed)));
}

/// One frame in 32, by its content.
fn is_drawn(frame: &[u8]) -> bool {
    let sum = frame.iter().rev().take(64).fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    sum.is_multiple_of(32)
}
