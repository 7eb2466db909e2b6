//! Judges the DHCP server of a port.

use std::cell::Cell;

use vhost_fuzz_core::net::dhcp::{
    Answer, Client, DhcpError, Lease, Outcome as Came, Request, kind, option,
};
use vhost_fuzz_model::net::dhcp::{Machine, Said};

use crate::budget::without_allocating;
use crate::dhcp::{ADDRESS, Draft, Responder, Setup};
use crate::draw;
use crate::target::dhcp::{Outcome, Record, records, split};

/// One input in so many is run with the allocator watched.
const WATCH_ONE_IN: u64 = 32;

/// What an answer's buffer has in it before.
const STALE: u8 = 0xa5;

/// Bytes of the buffer: more than any answer has.
const OUT: usize = 9216;

/// Runs every oracle on an input.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<R: Responder>(bytes: &[u8]) -> Outcome {
    thread_local! {
        // On the heap: AddressSanitizer poisons arrays on the stack anew in every call.
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut out = BUFFER.take();
    out.clear();
    out.resize(OUT, STALE);
    let (setup, rest) = split(bytes);
    let mut judge = Judge {
        setup,
        server: R::open(setup.config()),
        machine: Machine::new(setup.model()),
        now_ms: 0,
        is_watched: draw::number(bytes).is_multiple_of(WATCH_ONE_IN),
        out,
        outcome: Outcome::default(),
    };
    for record in records(rest) {
        judge.message(&record);
    }
    judge.liveness();
    BUFFER.set(judge.out);
    judge.outcome
}

struct Judge<R> {
    setup: Setup,
    server: R,
    machine: Machine,
    now_ms: u64,
    is_watched: bool,
    out: Vec<u8>,
    outcome: Outcome,
}

impl<R: Responder> Judge<R> {
    /// Lets the server handle a message, and looks at where it wrote.
    fn handle(&mut self, request: &Request<'_>) -> Result<Came, DhcpError> {
        let Self { server, now_ms, out, .. } = self;
        let came = if self.is_watched {
            without_allocating("a message", || server.handle(request, *now_ms, out))
        } else {
            server.handle(request, *now_ms, out)
        };
        if let Ok(Came::Answer(answer)) = &came {
            assert!(answer.len <= OUT, "model: an answer of {} bytes", answer.len);
            let (_, behind) = out.split_at(answer.len);
            let is_clean = behind.iter().take(64).all(|byte| *byte == STALE);
            assert!(is_clean, "model: there is more behind the {} bytes of an answer", answer.len);
        }
        came
    }

    /// One message: what comes out of it has to be what the model says, byte for byte.
    fn message(&mut self, record: &Record<'_>) {
        self.now_ms += record.elapsed_ms();
        let said = self.machine.take(&record.model(), self.now_ms);
        let came = self.handle(&record.request());
        self.outcome.messages += 1;
        match (&came, &said) {
            (Ok(Came::Answer(answer)), said) => {
                let bytes = &self.out[..answer.len];
                #[cfg(feature = "peer-net")]
                super::dhcp_wire::check(self.setup, record, answer, bytes);
                compare(answer, bytes, said);
                self.outcome.answers += 1;
                self.out[..answer.len].fill(STALE);
            }
            (Ok(Came::Silent(silence)), Ok(Said::Nothing(id))) => {
                let rule = super::id(silence.rule());
                assert!(rule == *id, "model: silent by {rule}, the model by {id}");
            }
            (Err(error), Err(id)) => {
                let rule = super::id(error.rule());
                assert!(rule == *id, "model: dropped by {rule} ({error}), by the model for {id}");
            }
            (came, said) => panic!("model: {came:?} comes out, the model says {said:?}"),
        }
        self.outcome.broken = self.outcome.broken.or(said.err());
        self.compare_lease();
    }

    /// Who is believed to have the address.
    fn compare_lease(&self) {
        let ours = self.server.lease(self.now_ms).map(|Lease { client, until_ms }| {
            let name = match client {
                Client::Id(id) => [&[option::CLIENT_ID], &id[..]].concat(),
                Client::Hardware(mac) => [&[1], &mac.0[..]].concat(),
            };
            (name, *until_ms)
        });
        let expected = self.machine.lease(self.now_ms);
        let is_same = match (&ours, expected) {
            (Some((name, until)), Some((client, expected))) => name == client && *until == expected,
            (None, None) => true,
            _ => false,
        };
        assert!(is_same, "model: the lease is {ours:?}, not {expected:?}");
    }

    /// Whatever came before: a client that keeps to the rules gets the address, once a declined
    /// one is not held back any more.
    fn liveness(&mut self) {
        self.now_ms += self.setup.config().hold_ms;
        let good = [
            (kind::DISCOVER, Draft::discover(), kind::OFFER),
            (kind::REQUEST, Draft::selecting(self.setup), kind::ACK),
        ];
        for (sent, draft, expected) in good {
            let came = self.handle(&draft.end().request());
            let Ok(Came::Answer(answer)) = came else {
                panic!("liveness: a good client sends type {sent} and gets {came:?}")
            };
            let is_given = self.out[16..20] == ADDRESS.octets();
            self.out[..answer.len].fill(STALE);
            assert!(
                answer.kind == expected && is_given,
                "liveness: a good client sends type {sent} and gets type {}",
                answer.kind
            );
        }
    }
}

fn compare(answer: &Answer, bytes: &[u8], said: &Result<Said, vhost_fuzz_model::Id>) {
    let Ok(Said::Reply { bytes: expected, destination, port, mac }) = said else {
        panic!("model: {answer:?} is sent, the model says {said:?}")
    };
    let (ours, theirs) =
        ((answer.destination.octets(), answer.port, answer.mac.0), (*destination, *port, *mac));
    assert!(ours == theirs, "model: an answer goes to {ours:?}, not to {theirs:?}");
    if bytes != expected {
        let at = bytes.iter().zip(expected).position(|(ours, theirs)| ours != theirs);
        let at = at.unwrap_or(bytes.len().min(expected.len()));
        panic!(
            "model: from byte {at} on the answer is {:x?}, not {:x?}",
            &bytes[at..],
            &expected[at..]
        );
    }
}
