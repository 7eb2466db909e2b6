//! A request and its reply over a socket pair, in one thread: our back-end, that of the `vhost`
//! crate, and the system calls alone.
//!
//! The front-end's side is the same in all three: one `sendmsg` and one `recvmsg`, with control
//! buffers. So is what the back-end's side cannot do without.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, recvmsg, sendmsg,
};
use vhost_fuzz_harness::peer::offer;
use vhost_fuzz_harness::peer::vhost::{Peer, Verdict};
use vhost_fuzz_harness::socket::{AsItIs, Served, Server};

/// Bytes of the longest message here.
const LONGEST: usize = 64;

/// A request, and what comes back for it.
struct Exchange {
    name: &'static str,
    request: Vec<u8>,
    reply: Vec<u8>,
}

fn message(code: u32, flags: u32, payload: &[u64]) -> Vec<u8> {
    let payload: Vec<u8> = payload.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let size = u32::try_from(payload.len()).expect("a short message");
    [code, flags, size].into_iter().flat_map(u32::to_ne_bytes).chain(payload).collect()
}

fn exchanges() -> [Exchange; 2] {
    [
        Exchange {
            name: "get_features",
            request: message(1, 0x1, &[]),
            reply: message(1, 0x5, &[offer::FEATURES]),
        },
        Exchange {
            name: "set_vring_addr-ack",
            request: message(9, 0x9, &[0, 0x1000, 0x3000, 0x2000, 0]),
            reply: message(9, 0x5, &[0]),
        },
    ]
}

/// What negotiation leaves behind: acknowledgements are on.
fn negotiation() -> [Exchange; 4] {
    let silent = |request| Exchange { name: "", request, reply: Vec::new() };
    [
        silent(message(3, 0x1, &[])),
        Exchange {
            name: "",
            request: message(1, 0x1, &[]),
            reply: message(1, 0x5, &[offer::FEATURES]),
        },
        silent(message(2, 0x1, &[1 << 30 | 1 << 32])),
        silent(message(16, 0x1, &[offer::PROTOCOL_FEATURES])),
    ]
}

#[inline]
fn put(socket: BorrowedFd<'_>, bytes: &[u8]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    assert_eq!(sent, Ok(bytes.len()), "a message was not sent");
}

#[inline]
fn get<'a>(socket: BorrowedFd<'_>, buffer: &'a mut [u8]) -> &'a [u8] {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let pieces = &mut [IoSliceMut::new(buffer)];
    let received = recvmsg(socket, pieces, &mut control, RecvFlags::CMSG_CLOEXEC);
    &buffer[..received.expect("a message").bytes]
}

/// A back-end and the front-end's end of its socket.
struct Side {
    name: &'static str,
    front_end: UnixStream,
    back_end: Box<dyn FnMut(&Exchange)>,
}

impl Side {
    fn new(
        name: &'static str,
        serve: impl FnOnce(UnixStream) -> Box<dyn FnMut(&Exchange)>,
    ) -> Self {
        let (front_end, socket) = UnixStream::pair().expect("a socket pair");
        let mut side = Self { name, front_end, back_end: serve(socket) };
        negotiation().iter().for_each(|step| side.exchange(step));
        side
    }

    /// One exchange, seen from the front-end.
    #[inline]
    fn exchange(&mut self, exchange: &Exchange) {
        put(self.front_end.as_fd(), &exchange.request);
        (self.back_end)(exchange);
        if !exchange.reply.is_empty() {
            let mut buffer = [0; LONGEST];
            let reply = get(self.front_end.as_fd(), &mut buffer);
            assert_eq!(reply, exchange.reply, "{}: the reply", self.name);
        }
    }

    /// The system calls alone: a header, the payload if there is one, the reply if one is due.
    fn floor() -> Self {
        Self::new("floor", |socket| {
            Box::new(move |step| {
                let mut buffer = [0; LONGEST];
                let (header, payload) = buffer.split_at_mut(12);
                get(socket.as_fd(), header);
                if step.request.len() > 12 {
                    get(socket.as_fd(), &mut payload[..step.request.len() - 12]);
                }
                if !step.reply.is_empty() {
                    put(socket.as_fd(), &step.reply);
                }
            })
        })
    }

    fn core() -> Self {
        let server = Server::new(offer::ours(), &offer::config(), AsItIs);
        let mut server = server.expect("a possible offer");
        Self::new("core", |socket| {
            Box::new(move |step| {
                let expected =
                    if step.reply.is_empty() { Served::Silent } else { Served::Replied(None) };
                assert_eq!(server.serve_one(socket.as_fd()), Ok(expected), "our back-end");
            })
        })
    }

    fn vhost() -> Self {
        Self::new("vhost", |socket| {
            let mut peer = Peer::new(socket);
            Box::new(move |_| {
                assert_eq!(peer.serve_one_unguarded(), Verdict::Done, "the vhost crate's");
            })
        })
    }
}

fn round_trip(criterion: &mut Criterion) {
    for exchange in exchanges() {
        let mut sides = [Side::floor(), Side::core(), Side::vhost()];
        let mut group = criterion.benchmark_group(format!("round_trip/{}", exchange.name));
        for side in &mut sides {
            group.bench_function(side.name, |bencher| bencher.iter(|| side.exchange(&exchange)));
        }
        group.finish();
        ratios(&exchange, &mut sides);
    }
}

/// Prints how the sides compare when they take turns, so that whatever else the machine does
/// falls on all of them: the median of many rounds.
fn ratios(exchange: &Exchange, sides: &mut [Side; 3]) {
    const ROUNDS: usize = 401;
    const TIMES: u32 = 500;
    let mut rounds: Vec<[f64; 3]> = (0..ROUNDS)
        .map(|_| {
            sides.each_mut().map(|side| {
                let start = Instant::now();
                (0..TIMES).for_each(|_| side.exchange(exchange));
                start.elapsed().as_secs_f64()
            })
        })
        .collect();
    let mut median = |value: fn(&[f64; 3]) -> f64| {
        rounds.sort_by(|one, other| value(one).total_cmp(&value(other)));
        value(&rounds[ROUNDS / 2])
    };
    println!(
        "{}: core / floor {:.3}, core / vhost {:.3} (medians of {ROUNDS} rounds)",
        exchange.name,
        median(|[floor, core, _]| core / floor),
        median(|[_, core, vhost]| core / vhost),
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(60)
        .without_plots();
    targets = round_trip
}
criterion_main!(benches);
