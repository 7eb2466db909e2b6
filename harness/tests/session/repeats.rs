//! A message that comes again and again holds no more than it did the first time, and takes no
//! memory.

use std::rc::Rc;

use vhost_fuzz_core::session::{Done, Effect, Session, Step};
use vhost_fuzz_core::vhost_user::payload::{Config, Inflight, LogBase, VringAddr};
use vhost_fuzz_core::vhost_user::{Frame, FrontendRequest as R, Kind, Message, Payload};
use vhost_fuzz_harness::session::talk::{
    Talk, bare, encode, no_fd, number, offer, region, state, table, vring_addr, vring_fd,
};

/// A descriptor or a mapping; how many there are is the count of the [`Rc`].
type Held = Rc<()>;

const ROUNDS: usize = 500;

/// Does what the session wants, until the request is answered.
fn serve(session: &mut Session<Held, Held>, bytes: &[u8], fds: usize, held: &Held) {
    let fds = (0..fds).map(|_| held.clone()).collect();
    let mut step = session.on_frame(Frame { kind: Kind::FRONTEND_REQUEST, bytes, fds });
    loop {
        let done = match step {
            Step::Silent => return,
            Step::Reply(reply) => {
                assert_eq!(reply.refusal, None, "{bytes:?}");
                return;
            }
            Step::Close(refusal) => panic!("{refusal}: {bytes:?}"),
            Step::Need(effect) => match effect {
                Effect::MapRegion { .. } | Effect::MapLog { .. } | Effect::MapInflight { .. } => {
                    Done::Mapped { mapping: held.clone(), address: 0 }
                }
                Effect::StopRing { .. } => Done::Base(0),
                Effect::ReadConfig { .. } => Done::Config(&[1, 2, 3, 4]),
                Effect::AllocateInflight { .. } => {
                    Done::Inflight { fd: held.clone(), mmap_size: 0x2000, mmap_offset: 0 }
                }
                _ => Done::Nothing,
            },
        };
        step = session.on_done(Ok(done));
    }
}

/// The requests of one round, with their descriptors. A ring runs in the middle of it.
fn round() -> Vec<(Vec<u8>, usize)> {
    let frontend = |request, payload| encode(&Message::frontend(request, payload));
    let area =
        Inflight { mmap_size: 0x2000, mmap_offset: 0, num_queues: 2, queue_size: 128, padding: 0 };
    let log = Payload::Log(LogBase { size: 0x1000, offset: 0 });
    let window = Config { offset: 0, size: 4, flags: 0, payload: &[0; 4] };
    let logged = VringAddr { flags: VringAddr::LOG, ..vring_addr(0) };
    let mut round = vec![
        (frontend(R::GET_INFLIGHT_FD, Payload::Inflight(area)), 0),
        (frontend(R::SET_INFLIGHT_FD, Payload::Inflight(area)), 1),
        (encode(&bare(R::SET_LOG_FD)), 1),
        (encode(&bare(R::SET_BACKEND_REQ_FD)), 1),
        (encode(&number(R::SET_FEATURES, Talk::FEATURES)), 0),
        (frontend(R::GET_CONFIG, Payload::Config(window)), 0),
    ];
    for num in [16, 1024, 1, 256] {
        round.push((encode(&state(R::SET_VRING_NUM, 0, num)), 0));
    }
    round.push((encode(&vring_fd(R::SET_VRING_KICK, 0)), 1));
    for fds in [2, 1] {
        let regions = [region(0), region(1)];
        round.push((table(&regions[..fds]), fds));
        round.push((frontend(R::SET_LOG_BASE, log), 1));
        round.push((frontend(R::SET_VRING_ADDR, Payload::Addr(logged)), 0));
        for request in [R::SET_VRING_KICK, R::SET_VRING_CALL, R::SET_VRING_ERR] {
            round.push((encode(&vring_fd(request, 0)), 1));
            round.push((encode(&no_fd(request, 1)), 0));
            round.push((encode(&vring_fd(request, 1)), 1));
        }
    }
    for index in [0, 1] {
        round.push((encode(&state(R::GET_VRING_BASE, index, 0)), 0));
    }
    round
}

#[test]
fn a_request_that_is_repeated_holds_no_more() {
    let held = Held::new(());
    let mut session = Session::<Held, Held>::new(offer()).expect("a good offer");
    let bits = offer().protocol_features;
    serve(&mut session, &encode(&number(R::SET_PROTOCOL_FEATURES, bits)), 0, &held);
    let round = round();
    let mut counts = Vec::with_capacity(round.len());
    for (bytes, fds) in &round {
        serve(&mut session, bytes, *fds, &held);
    }
    // A round begins as it ends; so does each request that is sent twice in a row.
    for (bytes, fds) in &round {
        serve(&mut session, bytes, *fds, &held);
        counts.push(Rc::strong_count(&held));
    }
    let made = allocation_counter::measure(|| {
        for _ in 0..ROUNDS {
            for ((bytes, fds), count) in round.iter().zip(&counts) {
                serve(&mut session, bytes, *fds, &held);
                assert_eq!(Rc::strong_count(&held), *count, "{bytes:?}");
            }
        }
    });
    assert_eq!(made.count_total, 0, "memory was taken");
    // In-flight area, log, log descriptor, one region, and what belongs to the rings.
    assert_eq!(counts.last(), Some(&(1 + 4 + 4)), "kicks go with a stop, calls and errors stay");
    session.reset();
    assert_eq!(Rc::strong_count(&held), 1);
}
