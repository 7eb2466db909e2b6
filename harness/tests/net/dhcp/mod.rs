//! The rules of DHCP (spec §7.6), one by one, with the server of the core.

mod config;
mod destinations;
mod options;
mod replies;
mod requests;
mod states;

use std::net::Ipv4Addr;

use vhost_fuzz_core::net::dhcp::{Answer, Config, DhcpError, Outcome, Server, Silence, kind};
use vhost_fuzz_harness::dhcp::{Draft, Setup};

/// A server that hands out an address with a far router.
fn plain() -> Server {
    server(Setup::default().config())
}

fn server(config: Config) -> Server {
    Server::new(config).expect("a configuration that makes sense")
}

/// What is in the network of its router.
fn near() -> Setup {
    Setup([Setup::NEAR, 0])
}

/// A reply, taken apart by this test alone.
#[derive(Debug)]
struct Reply {
    answer: Answer,
    bytes: Vec<u8>,
    /// Code and value, as they come.
    options: Vec<(u8, Vec<u8>)>,
}

impl Reply {
    fn codes(&self) -> Vec<u8> {
        self.options.iter().map(|(code, _)| *code).collect()
    }

    /// The values of a code, one after another.
    fn value(&self, code: u8) -> Option<Vec<u8>> {
        let mut values = self.options.iter().filter(|(other, _)| *other == code).peekable();
        values.peek()?;
        Some(values.flat_map(|(_, value)| value.clone()).collect())
    }

    fn address(&self, offset: usize) -> Ipv4Addr {
        let octets: [u8; 4] = self.bytes[offset..offset + 4].try_into().expect("four bytes");
        octets.into()
    }
}

/// What a message is answered; nothing may be written behind the answer.
fn tell(
    server: &mut Server,
    draft: &Draft,
    now_ms: u64,
) -> Result<Result<Reply, Silence>, DhcpError> {
    let mut out = vec![0xa5; 9216];
    Ok(match server.handle(&draft.request(), now_ms, &mut out)? {
        Outcome::Silent(silence) => Err(silence),
        Outcome::Answer(answer) => {
            assert!(out[answer.len..].iter().all(|byte| *byte == 0xa5));
            out.truncate(answer.len);
            Ok(Reply { answer, options: take_apart(&out[240..]), bytes: out })
        }
    })
}

fn take_apart(mut rest: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    while rest[0] != 255 {
        let (value, behind) = rest[2..].split_at(rest[1].into());
        options.push((rest[0], value.to_vec()));
        rest = behind;
    }
    assert!(rest[1..].iter().all(|byte| *byte == 0), "what follows the end is {rest:?}");
    options
}

#[track_caller]
fn answer(server: &mut Server, draft: &Draft) -> Reply {
    answer_at(server, draft, 0)
}

#[track_caller]
fn answer_at(server: &mut Server, draft: &Draft, now_ms: u64) -> Reply {
    tell(server, draft, now_ms).expect("nothing is broken").expect("there is an answer")
}

#[track_caller]
fn silence(server: &mut Server, draft: &Draft) -> Silence {
    silence_at(server, draft, 0)
}

#[track_caller]
fn silence_at(server: &mut Server, draft: &Draft, now_ms: u64) -> Silence {
    let told = tell(server, draft, now_ms).expect("nothing is broken");
    told.map(|reply| reply.answer).expect_err("nothing is said")
}

/// A server that gave its address to the guest.
fn bound(setup: Setup) -> Server {
    let mut server = server(setup.config());
    assert_eq!(answer(&mut server, &Draft::discover().end()).answer.kind, kind::OFFER);
    assert_eq!(answer(&mut server, &Draft::selecting(setup).end()).answer.kind, kind::ACK);
    server
}
