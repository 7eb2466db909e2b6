//! Every effect fails once: the refusal has the form of its request, what the session believes is
//! as before, and nothing is kept.

use vhost_fuzz_core::session::{EffectError, Refusal, RingChange};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{
    Config, CryptoSession, Inflight, Iotlb, LogBase, SharedObject, Transfer, VringAddr,
};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{
    Ending, Said, Seen, Talk, USER, bare, encode, mem_reg, number, offer, region, state, table,
    vring_addr, vring_fd,
};

const ERRNO: i32 = 5;

/// What tells a front-end that a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// u64 1.
    Nack,
    /// This many bytes, all zero.
    Zeros(usize),
    /// A u64.
    Number(u64),
    /// A crypto session of zeros with id -1.
    NoCrypto,
    /// Nothing can: the connection ends.
    Close,
}

/// A request, its descriptors, the effect of it that fails, and how that is told.
struct Case {
    bytes: Vec<u8>,
    fds: usize,
    effect: Seen,
    form: Form,
}

fn case(message: Message<'_>, fds: usize, effect: Seen, form: Form) -> Case {
    Case { bytes: encode(&message.with_need_reply()), fds, effect, form }
}

static CRYPTO: [u8; CryptoSession::LEN as usize] = [0; CryptoSession::LEN as usize];

const AREA: Inflight =
    Inflight { mmap_size: 4224, mmap_offset: 0, num_queues: 2, queue_size: 128, padding: 0 };

const LOG: LogBase = LogBase { size: 0x1000, offset: 0 };

/// Before a ring is started.
fn while_stopped() -> Vec<Case> {
    let config = Config { offset: 0, size: 4, flags: 0, payload: &[1; 4] };
    let shared = Payload::Shared(SharedObject { uuid: [7; 16] });
    let transfer = Transfer { direction: 0, phase: 0 };
    let crypto = Payload::Crypto(CryptoSession::new(&CRYPTO));
    let other = Talk::FEATURES | virtio::EVENT_IDX;
    let made = Seen::AllocateInflight { queues: 2, queue_size: 128 };
    let written = Seen::WriteConfig { offset: 0, flags: 0, data: vec![1; 4] };
    let mut table = table(&[region(2), region(3)]);
    table[4] = 9;
    let frontend = Message::frontend;
    vec![
        case(number(R::SET_FEATURES, other), 0, Seen::Features(other), Form::Nack),
        Case { bytes: table, fds: 2, effect: Seen::MapRegion(region(2)), form: Form::Nack },
        case(mem_reg(R::ADD_MEM_REG, region(2)), 1, Seen::MapRegion(region(2)), Form::Nack),
        case(frontend(R::SET_LOG_BASE, Payload::Log(LOG)), 1, Seen::MapLog(LOG), Form::Close),
        case(vring_fd(R::SET_VRING_KICK, 1), 1, Seen::StartRing(1), Form::Nack),
        case(state(R::VRING_KICK, 1, 0), 0, Seen::StartRing(1), Form::Nack),
        case(bare(R::SET_BACKEND_REQ_FD), 1, Seen::OpenChannel, Form::Nack),
        case(number(R::SEND_RARP, 0), 0, Seen::Rarp([0; 6]), Form::Nack),
        case(number(R::NET_SET_MTU, 1500), 0, Seen::Mtu(1500), Form::Nack),
        case(
            frontend(R::GET_CONFIG, Payload::Config(config)),
            0,
            Seen::ReadConfig { offset: 0, size: 4 },
            Form::Zeros(0),
        ),
        case(frontend(R::SET_CONFIG, Payload::Config(config)), 0, written, Form::Nack),
        case(frontend(R::CREATE_CRYPTO_SESSION, crypto), 0, Seen::CreateCrypto, Form::NoCrypto),
        case(number(R::CLOSE_CRYPTO_SESSION, 3), 0, Seen::CloseCrypto(3), Form::Nack),
        case(frontend(R::GET_INFLIGHT_FD, Payload::Inflight(AREA)), 0, made, Form::Zeros(24)),
        case(
            frontend(R::SET_INFLIGHT_FD, Payload::Inflight(AREA)),
            1,
            Seen::MapInflight(AREA),
            Form::Nack,
        ),
        case(bare(R::GPU_SET_SOCKET), 1, Seen::GpuSocket, Form::Nack),
        case(bare(R::RESET_DEVICE), 0, Seen::Reset, Form::Nack),
        case(number(R::SET_STATUS, 3), 0, Seen::Status(3), Form::Nack),
        case(
            frontend(R::GET_SHARED_OBJECT, shared),
            0,
            Seen::SharedObject([7; 16]),
            Form::Zeros(0),
        ),
        case(
            frontend(R::SET_DEVICE_STATE_FD, Payload::Transfer(transfer)),
            1,
            Seen::Transfer(0),
            Form::Number(0x101),
        ),
    ]
}

/// While ring 0 is started.
fn while_started() -> Vec<Case> {
    let iotlb =
        Iotlb { iova: 0, size: 1, user_address: 0, permissions: 0, kind: 3, padding: [0; 6] };
    let stop = |drain| Seen::StopRing { index: 0, drain };
    let mut table = table(&[region(2)]);
    table[4] = 9;
    vec![
        Case { bytes: table, fds: 1, effect: Seen::Quiesce, form: Form::Close },
        case(mem_reg(R::REM_MEM_REG, region(1)), 0, Seen::Quiesce, Form::Close),
        case(Message::frontend(R::IOTLB_MSG, Payload::Iotlb(iotlb)), 0, Seen::Quiesce, Form::Close),
        case(state(R::GET_VRING_BASE, 0, 0), 0, stop(true), Form::Close),
        case(state(R::GET_VRING_BASE_SKIP_DRAIN, 0, 0), 0, stop(false), Form::Close),
    ]
}

/// With every protocol feature but those that change layouts.
fn talk() -> Talk {
    let bits = offer().protocol_features | protocol::INBAND_NOTIFICATIONS;
    let mut talk = Talk::having(bits);
    talk.give_memory();
    talk
}

#[track_caller]
fn refused(said: Said, form: Form, refusal: Refusal) {
    let result = match form {
        Form::Nack => said.nack(),
        Form::Zeros(len) => said.failure(&vec![0; len]),
        Form::Number(number) => said.failure(&number.to_ne_bytes()),
        Form::NoCrypto => said.failure(&[vec![0; 1064], vec![0xff; 8]].concat()),
        Form::Close => said.closed(),
    };
    assert_refused!(result, refusal);
}

/// Runs one case: the effect fails, and nothing else has happened. In a connection that ends it
/// does not matter what the session believes, but what it holds does.
fn fails(mut talk: Talk, case: &Case) {
    let code = u32::from_ne_bytes(case.bytes[..4].try_into().expect("a header"));
    let (before, fds, mappings) = (talk.belief(), talk.open_fds(), talk.open_mappings());
    if case.effect == Seen::Quiesce && code == R::SET_MEM_TABLE.0 {
        talk.next_effect(Ending::Well); // the table is mapped first
    }
    talk.fail_next(ERRNO);
    let said = talk.bytes(&case.bytes, case.fds);
    assert_eq!(talk.seen().last(), Some(&case.effect));
    refused(said, case.form, Refusal::Effect { code, error: EffectError(ERRNO) });
    assert_eq!(talk.open_mappings(), mappings, "request {code}");
    if case.form != Form::Close {
        assert_eq!(talk.belief(), before, "request {code}");
        assert_eq!(talk.ask(bare(R::GET_FEATURES)).u64(), offer().features);
    }
    assert!(talk.open_fds() <= fds, "request {code}");
}

#[test]
fn an_effect_that_fails_while_all_rings_are_stopped() {
    let _shows = shows(&["VU-033"]);
    for case in while_stopped() {
        fails(talk(), &case);
    }
}

#[test]
fn an_effect_that_fails_while_a_ring_is_started() {
    for case in while_started() {
        let mut talk = talk();
        talk.features(Talk::FEATURES | virtio::IOMMU_PLATFORM);
        talk.run();
        fails(talk, &case);
    }
}

#[test]
fn a_second_region_that_fails_takes_the_first_back() {
    let mut talk = talk();
    let before = talk.belief();
    talk.next_effect(Ending::Well);
    talk.fail_next(ERRNO);
    let mut bytes = table(&[region(2), region(3), region(4)]);
    bytes[4] = 9;
    let refusal = Refusal::Effect { code: R::SET_MEM_TABLE.0, error: EffectError(ERRNO) };
    assert_refused!(talk.bytes(&bytes, 3).nack(), refusal);
    assert_eq!(talk.seen(), [Seen::MapRegion(region(2)), Seen::MapRegion(region(3))]);
    assert_eq!(talk.belief(), before);
    assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 2));
}

#[test]
fn a_log_that_cannot_take_over_ends_the_connection() {
    let mut talk = talk();
    talk.run();
    let log = Message::frontend(R::SET_LOG_BASE, Payload::Log(LOG));
    assert_eq!(talk.send(log, 1).payload().len(), 16);
    talk.next_effect(Ending::Well);
    talk.fail_next(ERRNO);
    let refusal = Refusal::Effect { code: R::SET_LOG_BASE.0, error: EffectError(ERRNO) };
    assert_refused!(talk.send(log, 1).closed(), refusal);
    assert_eq!(talk.open_mappings(), 3, "two regions and the first log");
}

/// A device that cannot follow a change says so, but what the front-end set is what it set: the
/// descriptor given last counts (VU-103), and a ring that was disabled is not served.
#[test]
fn a_change_that_a_device_cannot_follow_is_refused_and_kept() {
    let changes = [
        (R::SET_VRING_KICK, RingChange::Kick),
        (R::SET_VRING_CALL, RingChange::Call),
        (R::SET_VRING_ERR, RingChange::Err),
    ];
    for (request, change) in changes {
        let mut talk = talk();
        talk.run();
        talk.fail_next(ERRNO);
        let said = talk.ask_with(vring_fd(request, 0), 1);
        let refusal = Refusal::Effect { code: request.0, error: EffectError(ERRNO) };
        assert_refused!(said.nack(), refusal);
        assert_eq!(talk.seen(), [Seen::UpdateRing(0, change)]);
        let ring = talk.ring(0);
        let given = [ring.kick(), ring.call(), ring.err()]
            .into_iter()
            .filter_map(|notifier| notifier.fd())
            .any(|fd| fd.number() == talk.given()[0]);
        assert!(given && talk.ring(0).state().started);
    }
    let mut talk = talk();
    talk.run();
    talk.fail_next(ERRNO);
    let refusal = |request: R| Refusal::Effect { code: request.0, error: EffectError(ERRNO) };
    let said = talk.ask(state(R::SET_VRING_ENABLE, 0, 0));
    assert_refused!(said.nack(), refusal(R::SET_VRING_ENABLE));
    assert!(!talk.ring(0).state().enabled);
    let logged = VringAddr { flags: 1, ..vring_addr(0) };
    talk.fail_next(ERRNO);
    let said = talk.ask(Message::frontend(R::SET_VRING_ADDR, Payload::Addr(logged)));
    assert_refused!(said.nack(), refusal(R::SET_VRING_ADDR));
    assert_eq!(talk.ring(0).addr(), Some(&logged));
}

#[test]
fn a_kick_that_a_device_cannot_follow_is_refused() {
    let mut talk = talk();
    talk.ask(state(R::VRING_KICK, 0, 0)).acked();
    talk.fail_next(ERRNO);
    let said = talk.ask(state(R::VRING_KICK, 0, 0));
    let refusal = Refusal::Effect { code: R::VRING_KICK.0, error: EffectError(ERRNO) };
    assert_refused!(said.nack(), refusal);
    assert!(talk.ring(0).state().started);
}

#[test]
fn postcopy_stays_where_it_was() {
    let bits = offer().protocol_features & !protocol::CONFIGURE_MEM_SLOTS;
    let refusal = |request: R| Refusal::Effect { code: request.0, error: EffectError(ERRNO) };
    let mut talk = Talk::having(bits);
    talk.fail_next(ERRNO);
    let said = talk.ask(bare(R::POSTCOPY_ADVISE));
    assert_refused!(said.closed(), refusal(R::POSTCOPY_ADVISE));
    let mut talk = Talk::having(bits);
    assert!(talk.ask(bare(R::POSTCOPY_ADVISE)).has_fd());
    talk.ask(bare(R::POSTCOPY_LISTEN)).acked();
    let before = talk.belief();
    talk.fail_next(ERRNO);
    assert_refused!(talk.ask(bare(R::POSTCOPY_END)).nack(), refusal(R::POSTCOPY_END));
    assert_eq!(talk.belief(), before);
    assert_eq!(talk.table(&[region(0)]).payload().len(), 40);
    talk.fail_next(ERRNO);
    let said = talk.send(bare(R::SET_MEM_TABLE), 0);
    assert_refused!(said.closed(), refusal(R::SET_MEM_TABLE));
}

#[test]
fn a_transfer_that_failed_is_over() {
    let mut talk = talk();
    let transfer = Payload::Transfer(Transfer { direction: 1, phase: 0 });
    assert!(talk.send(Message::frontend(R::SET_DEVICE_STATE_FD, transfer), 1).has_fd());
    talk.fail_next(ERRNO);
    let refusal = Refusal::Effect { code: R::CHECK_DEVICE_STATE.0, error: EffectError(ERRNO) };
    assert_refused!(talk.send(bare(R::CHECK_DEVICE_STATE), 0).nack(), refusal);
    assert!(!talk.session().is_transferring());
}

#[test]
fn the_result_of_another_effect_ends_the_connection() {
    let _shows = shows(&["DC-041"]);
    for (message, fds, ending) in [
        (number(R::SET_STATUS, 1), 0, Ending::Base(0)),
        (bare(R::SET_BACKEND_REQ_FD), 1, Ending::MaybeFd(true)),
        (mem_reg(R::ADD_MEM_REG, region(2)), 1, Ending::Nothing),
        (number(R::SET_FEATURES, Talk::FEATURES), 0, Ending::Mapped(USER)),
    ] {
        let mut talk = talk();
        talk.next_effect(ending);
        let refusal = Refusal::WrongResult { code: message.code };
        assert_refused!(talk.ask_with(message, fds).closed(), refusal);
        assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 2));
    }
}

/// Not even as a failure: it would be taken for one of the request before.
#[test]
fn a_result_without_an_effect_ends_the_connection() {
    for ending in [Ending::Nothing, Ending::Fails(ERRNO), Ending::Mapped(0)] {
        let mut talk = talk();
        talk.ask(number(R::SET_STATUS, 1)).acked();
        let said = talk.release(&Seen::Status(1), &ending);
        assert_refused!(said.closed(), Refusal::WrongResult { code: 0 });
    }
}
