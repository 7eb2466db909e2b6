//! DHCP servers with one mistake each.

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::dhcp::{
    Answer, Config, DhcpError, Lease, Message, Outcome, Request, Server, Silence, kind, option,
};

use crate::dhcp::Responder;

macro_rules! twins {
    ($($(#[$doc:meta])* $name:ident { $($method:item)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Twin);

        impl Broken for $name {
            $($method)*
        }

        impl Responder for $name {
            fn open(config: Config) -> Self {
                let config = <Self as Broken>::config(config);
                Self(Twin { server: Responder::open(config), state: 0 })
            }

            fn handle(
                &mut self,
                request: &Request<'_>,
                now_ms: u64,
                out: &mut [u8],
            ) -> Result<Outcome, DhcpError> {
                <Self as Broken>::handle(&mut self.0, request, now_ms, out)
            }

            fn lease(&self, now_ms: u64) -> Option<&Lease> {
                self.0.server.lease(now_ms)
            }
        }
    )*};
}

/// A server that works, and a number that a mistake needs.
#[derive(Debug)]
struct Twin {
    server: Server,
    state: u64,
}

/// What a mistake can change. What it does not define is right.
trait Broken {
    fn config(config: Config) -> Config {
        config
    }

    fn handle(
        twin: &mut Twin,
        request: &Request<'_>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Outcome, DhcpError> {
        let mut outcome = twin.server.handle(request, now_ms, out);
        if let Ok(Outcome::Answer(answer)) = &mut outcome {
            Self::answer(request, answer, out);
        }
        outcome
    }

    fn answer(_: &Request<'_>, _: &mut Answer, _: &mut [u8]) {}
}

/// Where an option of an answer begins.
fn find(bytes: &[u8], code: u8) -> Option<usize> {
    let mut at = 240;
    while bytes.get(at).is_some_and(|other| ![code, option::END].contains(other)) {
        at += 2 + usize::from(*bytes.get(at + 1)?);
    }
    bytes.get(at).is_some_and(|other| *other == code).then_some(at)
}

fn message<'a>(request: &Request<'a>) -> Option<Message<'a>> {
    Message::parse(request.payload).ok()
}

twins! {
    /// No mistake.
    Nothing {}

    /// Takes the router of a relay for its own (DH-048).
    ServesRelays {
        fn config(config: Config) -> Config {
            Config { serves_relays: true, ..config }
        }
    }

    /// Hands out another name server than it should.
    OtherDns {
        fn config(mut config: Config) -> Config {
            config.dns.reverse();
            config
        }
    }

    /// Does not look at the hardware address of the guest.
    ServesStrangers {
        fn config(config: Config) -> Config {
            Config { guest: None, ..config }
        }
    }

    /// Holds a declined address back for no time (DH-034).
    HoldsNothing {
        fn config(config: Config) -> Config {
            Config { hold_ms: 0, ..config }
        }
    }

    /// Says nothing to a client that wants a wrong address (DH-028).
    NeverRefuses {
        fn handle(
            twin: &mut Twin,
            request: &Request<'_>,
            now_ms: u64,
            out: &mut [u8],
        ) -> Result<Outcome, DhcpError> {
            match twin.server.handle(request, now_ms, out)? {
                Outcome::Answer(Answer { kind: kind::NAK, .. }) => {
                    Ok(Outcome::Silent(Silence::Nothing))
                }
                outcome => Ok(outcome),
            }
        }
    }

    /// Looks only at the first of several options with one code (DH-007).
    TakesTheFirst {
        fn handle(
            twin: &mut Twin,
            request: &Request<'_>,
            now_ms: u64,
            out: &mut [u8],
        ) -> Result<Outcome, DhcpError> {
            match twin.server.handle(request, now_ms, out) {
                Err(DhcpError::Length { code, len }) if len > 4 => {
                    Ok(Outcome::Silent(Silence::Kind { kind: code }))
                }
                outcome => outcome,
            }
        }
    }

    /// Wants an end behind the options (DH-006).
    WantsAnEnd {
        fn handle(
            twin: &mut Twin,
            request: &Request<'_>,
            now_ms: u64,
            out: &mut [u8],
        ) -> Result<Outcome, DhcpError> {
            if !request.payload.get(240..).unwrap_or_default().contains(&option::END) {
                return Err(DhcpError::Short { len: request.payload.len() });
            }
            twin.server.handle(request, now_ms, out)
        }
    }

    /// Sends answers to the hardware address alone, also to whom cannot take them (DH-020).
    NeverBroadcasts {
        fn answer(request: &Request<'_>, answer: &mut Answer, out: &mut [u8]) {
            if answer.kind != kind::NAK
                && answer.mac == Mac::BROADCAST
                && let (Some(message), Some([a, b, c, d])) = (message(request), out.get(16..20))
            {
                answer.mac = message.mac();
                answer.destination = [*a, *b, *c, *d].into();
            }
        }
    }

    /// Sends a NAK to the address that it refuses (DH-017).
    NaksByUnicast {
        fn answer(request: &Request<'_>, answer: &mut Answer, _: &mut [u8]) {
            if answer.kind == kind::NAK && let Some(message) = message(request) {
                answer.mac = message.mac();
            }
        }
    }

    /// Leaves the last byte as it was (L2-006).
    LeavesAByte {
        fn answer(_: &Request<'_>, answer: &mut Answer, out: &mut [u8]) {
            if let Some(last) = answer.len.checked_sub(1).and_then(|at| out.get_mut(at)) {
                *last = 0xa5;
            }
        }
    }

    /// Writes behind its answer.
    WritesBehind {
        fn answer(_: &Request<'_>, answer: &mut Answer, out: &mut [u8]) {
            if let Some(next) = out.get_mut(answer.len) {
                *next = 0;
            }
        }
    }

    /// Sends BOOTP messages of less than 300 bytes (DH-042).
    DoesNotPad {
        fn answer(_: &Request<'_>, answer: &mut Answer, out: &mut [u8]) {
            while answer.len > 250 && out.get(answer.len - 1) == Some(&0) {
                answer.len -= 1;
                if let Some(last) = out.get_mut(answer.len) {
                    *last = 0xa5;
                }
            }
        }
    }

    /// Swaps the halves of the transaction id (DH-010).
    SwapsTheId {
        fn answer(_: &Request<'_>, _: &mut Answer, out: &mut [u8]) {
            if let Some(id) = out.get_mut(4..8) {
                id.rotate_left(2);
            }
        }
    }

    /// Has no lease time in an OFFER (DH-012).
    ForgetsTheLease {
        fn answer(_: &Request<'_>, _: &mut Answer, out: &mut [u8]) {
            if let Some(at) = find(out, option::LEASE) && let Some(code) = out.get_mut(at) {
                *code = option::TEXT;
            }
        }
    }

    /// Repeats the wanted address in an answer (DH-013).
    RepeatsTheRequest {
        fn answer(_: &Request<'_>, _: &mut Answer, out: &mut [u8]) {
            if let Some(at) = find(out, option::ROUTER) && let Some(code) = out.get_mut(at) {
                *code = option::REQUESTED;
            }
        }
    }

    /// Gives an address in a NAK (DH-016).
    NaksWithAnAddress {
        fn answer(_: &Request<'_>, answer: &mut Answer, out: &mut [u8]) {
            if answer.kind == kind::NAK && let Some(address) = out.get_mut(16..20) {
                address.copy_from_slice(&[192, 0, 2, 10]);
            }
        }
    }

    /// Has only the default route (DH-045).
    ForgetsTheLink {
        fn answer(_: &Request<'_>, _: &mut Answer, out: &mut [u8]) {
            if let Some(at) = find(out, option::ROUTES)
                && let Some([width, .., a, b, c, d]) = out.get_mut(at + 2..at + 11)
                && *width == 32
            {
                (*a, *b, *c, *d) = (1, 1, 1, 1);
            }
        }
    }

    /// Never gives a declined address again (DH-034).
    GivesUp {
        fn handle(
            twin: &mut Twin,
            request: &Request<'_>,
            now_ms: u64,
            out: &mut [u8],
        ) -> Result<Outcome, DhcpError> {
            let kind = message(request).map(|message| message.kind);
            if twin.state > 0 && kind == Some(kind::DISCOVER) {
                return Ok(Outcome::Silent(Silence::Held));
            }
            let outcome = twin.server.handle(request, now_ms, out);
            twin.state += u64::from(outcome == Ok(Outcome::Silent(Silence::Declined)));
            outcome
        }
    }

    /// Keeps a copy of every message (DH-051).
    Allocates {
        fn handle(
            twin: &mut Twin,
            request: &Request<'_>,
            now_ms: u64,
            out: &mut [u8],
        ) -> Result<Outcome, DhcpError> {
            let copy = std::hint::black_box(request.payload.to_vec());
            twin.server.handle(&Request { payload: &copy, ..*request }, now_ms, out)
        }
    }
}
