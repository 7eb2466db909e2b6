//! Gateways with one mistake each.

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::ipv6::ALL_NODES;
use vhost_fuzz_core::net::ndp as core;

use crate::ipv6::draft::reseal;
use crate::ipv6::ndp::{Core, config};
use crate::ipv6::{Refusal, Responder};

type Answer = Result<Option<usize>, Refusal>;

macro_rules! twins {
    ($($(#[$doc:meta])* $name:ident($inner:ident, $frame:ident, $transport:ident, $now:ident, $out:ident) $body:block)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Core);

        impl Responder for $name {
            fn open(setup: u8) -> Self {
                Self(Core::open(setup))
            }

            fn answer(
                &mut self,
                $frame: &[u8],
                $transport: Transport,
                $now: u64,
                $out: &mut [u8],
            ) -> Answer {
                let $inner = &mut self.0;
                $body
            }
        }
    )*};
}

/// Where the `ICMPv6` message of a frame without tag and extension headers begins.
const MESSAGE: usize = 54;

/// The frame with other bytes, and a checksum that is right if it was.
fn altered(frame: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut changed = frame.to_vec();
    let mut sealed = frame.to_vec();
    let was_right = reseal(&mut sealed) && sealed == frame;
    if changed.len() > MESSAGE + 4 && changed[12..14] == [0x86, 0xdd] && changed[20] == 58 {
        change(&mut changed);
        if was_right {
            let _ = reseal(&mut changed);
        }
    }
    changed
}

/// The type of the message, 0 where there is none.
fn kind(frame: &[u8]) -> u8 {
    match frame.get(12..14) {
        Some([0x86, 0xdd]) if frame.get(20) == Some(&58) => {
            frame.get(MESSAGE).copied().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Changes a reply that is one of this type, and makes its checksum right.
fn reply(answer: Answer, out: &mut [u8], of: u8, change: impl FnOnce(&mut [u8])) -> Answer {
    if let Ok(Some(len)) = answer
        && kind(&out[..len]) == of
    {
        change(&mut out[..len]);
        let _ = reseal(&mut out[..len]);
    }
    answer
}

twins! {
    /// No mistake.
    Nothing(inner, frame, transport, now, out) {
        inner.answer(frame, transport, now, out)
    }

    /// Does not look at the hop limit of questions (ND01).
    IgnoresHopLimit(inner, frame, transport, now, out) {
        let frame = altered(frame, |frame| frame[21] = 255);
        inner.answer(&frame, transport, now, out)
    }

    /// Does not look at codes (ND01).
    IgnoresCode(inner, frame, transport, now, out) {
        let frame = altered(frame, |frame| frame[MESSAGE + 1] = 0);
        inner.answer(&frame, transport, now, out)
    }

    /// Takes every checksum for one that the device has to finish.
    IgnoresChecksum(inner, frame, _transport, now, out) {
        inner.answer(frame, Transport::Partial, now, out)
    }

    /// Compares checksums that the device has to finish (NET-055).
    WantsChecksum(inner, frame, _transport, now, out) {
        inner.answer(frame, Transport::Complete, now, out)
    }

    /// Stops at an option without length, and takes what came before (V6-001).
    ForgivesEmptyOptions(inner, frame, transport, now, out) {
        let frame = altered(frame, |frame| {
            if frame[MESSAGE] == 135 && frame.get(79) == Some(&0) {
                frame[79] = 1;
            }
        });
        inner.answer(&frame, transport, now, out)
    }

    /// Answers who looks for duplicates as if it had an address (V6-003).
    AnswersProbesAsQuestions(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, 136, |reply| {
            if reply[38..54] == ALL_NODES.octets() {
                reply[MESSAGE + 4] |= 0x40;
            }
        })
    }

    /// Sends answers to questions to all nodes (V6-004).
    AnswersToAll(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, 136, |reply| {
            reply[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
            reply[38..54].copy_from_slice(&ALL_NODES.octets());
            reply[MESSAGE + 4] &= !0x40;
        })
    }

    /// Tells the station of the guest for its own.
    TellsAnotherStation(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, 136, |reply| reply[MESSAGE + 31] ^= 8)
    }

    /// Advertises itself with another address than its link-local one (V6-005).
    AdvertisesGlobally(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, 134, |reply| {
            reply[22..38].copy_from_slice(&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets());
        })
    }

    /// Is always a default router (V6-005).
    IsAlwaysDefault(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, 134, |reply| reply[MESSAGE + 6..MESSAGE + 8].copy_from_slice(&[7, 8]))
    }

    /// Sends a checksum that is wrong by one.
    MiscountsChecksums(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        if let Ok(Some(len)) = answer && kind(&out[..len]) != 0 {
            out[MESSAGE + 3] ^= 1;
        }
        answer
    }

    /// Answers with a hop limit of 64.
    AnswersWithFewHops(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, 136, |reply| reply[21] = 64)
    }

    /// Answers a frame with a tag without it (L2-004).
    DropsTheTag(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        match answer {
            Ok(Some(len)) if out[12..14] != [0x86, 0xdd] => {
                out.copy_within(16..len, 12);
                out[len - 4..len].fill(0xa5);
                Ok(Some(len - 4))
            }
            _ => answer,
        }
    }

    /// Sends the padding of a request back (L2-005).
    EchoesPadding(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        match answer {
            Ok(Some(len)) if frame.ends_with(&[0xee; 4]) => {
                out[len..len + 4].fill(0xee);
                Ok(Some(len + 4))
            }
            _ => answer,
        }
    }

    /// Leaves two bytes of a reply as they were (L2-006).
    LeavesBytes(inner, frame, transport, now, out) {
        let stale = out.get(MESSAGE + 6).copied().unwrap_or(0);
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, 136, |reply| reply[MESSAGE + 6] = stale)
    }

    /// Writes behind a reply (L2-006).
    WritesBeyond(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        if let Ok(Some(len)) = answer && let Some(byte) = out.get_mut(len) {
            *byte = 0;
        }
        answer
    }

    /// Cuts a reply that does not fit (L2-006).
    CutsReplies(inner, frame, transport, now, out) {
        match inner.answer(frame, transport, now, out) {
            Err(Refusal::Room { .. }) => Ok(Some(out.len())),
            other => other,
        }
    }

    /// Makes a copy of each frame.
    Allocates(inner, frame, transport, now, out) {
        let copy = std::hint::black_box(frame.to_vec());
        inner.answer(&copy, transport, now, out)
    }
}

/// A gateway with another configuration than its guest was promised.
macro_rules! configured {
    ($($(#[$doc:meta])* $name:ident($config:ident) $change:block)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Core);

        impl Responder for $name {
            fn open(setup: u8) -> Self {
                let mut $config = config(setup);
                $change
                match core::Responder::new($config) {
                    Ok(responder) => Self(Core(responder)),
                    Err(error) => panic!("model: no gateway for {setup:#x}: {error}"),
                }
            }

            fn answer(
                &mut self,
                frame: &[u8],
                transport: Transport,
                now: u64,
                out: &mut [u8],
            ) -> Answer {
                self.0.answer(frame, transport, now, out)
            }
        }
    )*};
}

configured! {
    /// Stands for the guest itself (V6-002).
    AnswersForTheGuest(config) {
        config.guest.clear();
    }

    /// Takes the address of the guest for one of its own (V6-002).
    OwnsTheGuest(config) {
        config.addresses.extend(config.guest.pop_at(0));
    }

    /// Listens to frames for a third station.
    HasAnotherStation(config) {
        config.mac = Mac([2, 0, 0, 0, 0, 0x77]);
    }
}

/// Says nothing any more after a frame that was broken.
#[derive(Clone, Debug)]
pub struct FallsSilent(Core, bool);

impl Responder for FallsSilent {
    fn open(setup: u8) -> Self {
        Self(Core::open(setup), false)
    }

    fn answer(&mut self, frame: &[u8], transport: Transport, now: u64, out: &mut [u8]) -> Answer {
        if self.1 {
            return Ok(None);
        }
        let answer = self.0.answer(frame, transport, now, out);
        self.1 |= matches!(answer, Err(Refusal::Broken(_)));
        answer
    }
}

/// Answers every search for a router to all, however soon after another (DC-135).
#[derive(Clone, Debug)]
pub struct NeverTires(u8);

impl Responder for NeverTires {
    fn open(setup: u8) -> Self {
        Self(setup)
    }

    fn answer(&mut self, frame: &[u8], transport: Transport, now: u64, out: &mut [u8]) -> Answer {
        Core::open(self.0).answer(frame, transport, now, out)
    }
}
