//! `DHCPv6` servers with one mistake each.

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::dhcpv6::{Server, code};

use crate::ipv6::dhcpv6::{Core, config, setup};
use crate::ipv6::draft::reseal;
use crate::ipv6::{Refusal, Responder};

type Answer = Result<Option<usize>, Refusal>;

/// Where the message of a frame without tag and extension headers begins.
const MESSAGE: usize = 62;

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

/// Changes a reply, and makes its checksum right.
fn reply(answer: Answer, out: &mut [u8], change: impl FnOnce(&mut [u8])) -> Answer {
    if let Ok(Some(len)) = answer
        && out[12..14] == [0x86, 0xdd]
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

    /// Does not look at checksums (L2-010).
    IgnoresChecksum(inner, frame, _transport, now, out) {
        inner.answer(frame, Transport::Partial, now, out)
    }

    /// Answers what was sent to another address or port as if it were its own.
    AnswersForOthers(inner, frame, transport, now, out) {
        let mut other = frame.to_vec();
        if other.len() > MESSAGE && other[20] == 17 && other[12..14] == [0x86, 0xdd] {
            other[56..58].copy_from_slice(&547_u16.to_be_bytes());
        }
        let _ = reseal(&mut other);
        inner.answer(&other, transport, now, out)
    }

    /// Answers with a transaction id of its own (V6-007).
    ForgetsTheTransaction(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, |reply| reply[MESSAGE + 1] ^= 1)
    }

    /// Answers with another client identifier (V6-007).
    ForgetsTheClient(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, |reply| {
            if reply[MESSAGE + 5] == 1 {
                reply[MESSAGE + 8] ^= 0x40;
            }
        })
    }

    /// Offers where it should reply, and the reverse (V6-008).
    MixesTypes(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        reply(answer, out, |reply| reply[MESSAGE] ^= 5)
    }

    /// Counts the checksum of its replies wrong.
    MiscountsChecksums(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        if let Ok(Some(_)) = answer {
            out[61] ^= 1;
        }
        answer
    }

    /// Sends no checksum (L2-011).
    SendsNoChecksum(inner, frame, transport, now, out) {
        let answer = inner.answer(frame, transport, now, out);
        if let Ok(Some(_)) = answer {
            out[60..62].fill(0);
        }
        answer
    }

    /// Writes behind a reply (L2-006, D611).
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

    /// Does not answer clients without an address that say nothing of one.
    WantsAddresses(inner, frame, transport, now, out) {
        let has_any = frame.windows(2).any(|pair| pair == code::IA_NA.to_be_bytes());
        if has_any { inner.answer(frame, transport, now, out) } else { Ok(None) }
    }
}

/// Gives a reply without an offer to who did not ask, by asking in its place (V6-008).
#[derive(Clone, Debug)]
pub struct AlwaysRapid(Core);

impl Responder for AlwaysRapid {
    fn open(byte: u8) -> Self {
        match Server::new(config(byte | setup::RAPID)) {
            Ok(server) => Self(Core(server)),
            Err(error) => panic!("model: no server for {byte:#x}: {error}"),
        }
    }

    fn answer(&mut self, frame: &[u8], transport: Transport, now: u64, out: &mut [u8]) -> Answer {
        self.0.answer(frame, transport, now, out)
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

/// Gives an address that was declined at once to the next who asks (DC-137).
#[derive(Clone, Debug)]
pub struct ForgetsDeclines(u8);

impl Responder for ForgetsDeclines {
    fn open(setup: u8) -> Self {
        Self(setup)
    }

    fn answer(&mut self, frame: &[u8], transport: Transport, now: u64, out: &mut [u8]) -> Answer {
        Core::open(self.0).answer(frame, transport, now, out)
    }
}
