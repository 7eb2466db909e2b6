//! Rings: their states (spec §6.5), packed ones, notifications in messages, byte order, reset.

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Region, VringAddr};
use vhost_fuzz_core::vhost_user::{BackendRequest, FrontendRequest as Fe, Payload};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::script::FdKind;
use vhost_fuzz_harness::session::offer::ScriptOffer;

use super::talk::{MODERN, PROTOCOL, Talk, VIRTIO, addresses, inflight, notifier, region, state};
use super::{OK, of};

/// Protocol features with notifications in messages.
const INBAND: u64 = PROTOCOL | protocol::INBAND_NOTIFICATIONS;

/// Protocol features with stopping at once.
const SKIP_DRAIN: u64 = PROTOCOL
    | protocol::INFLIGHT_SHMFD
    | protocol::GET_VRING_BASE_INFLIGHT
    | protocol::GET_VRING_BASE_SKIP_DRAIN;

pub(super) fn seeds() -> Vec<Seed> {
    [enabling(), bases(), packed(), addressing(), inband(), endian(), resets(), many()].concat()
}

fn enabling() -> Vec<Seed> {
    let toggled = (0..6).fold(Talk::new().running(VIRTIO, PROTOCOL), |talk, round| {
        talk.ack(Fe::SET_VRING_ENABLE, state(round % 2, round / 2 % 2))
    });
    let remembered = Talk::new()
        .attach(PROTOCOL)
        .enable(0, 1)
        .features(VIRTIO)
        .enable(1, 1)
        .table(&[region(0)])
        .enable(1, 0)
        .ring(0)
        .ring(1)
        .stop_both()
        .kick(0)
        .stop(0, 3);
    let plain = Talk::new()
        .running(MODERN, PROTOCOL)
        .enable(0, 0)
        .features(MODERN)
        .stop_both()
        .enable(1, 0)
        .features(VIRTIO)
        .features(MODERN);
    let masked = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .ask(Fe::SET_VRING_CALL, notifier(0x100))
        .call(0)
        .ask(Fe::SET_VRING_ERR, notifier(0x101))
        .call_and_err(1)
        .kick(0)
        .ask(Fe::SET_VRING_KICK, notifier(0x100))
        .kick(1)
        .stop_both();
    vec![
        of(
            "enable-and-disable-a-running-ring",
            OK,
            "two rings that run are enabled and disabled in turn",
            toggled.stop_both(),
        ),
        of(
            "enable-of-a-stopped-ring-is-remembered",
            OK,
            "rings are enabled before the first features, and start, stop and start again",
            remembered,
        ),
        of(
            "features-without-bit-30-enable-again",
            OK,
            "SET_FEATURES without bit 30 enables rings that were disabled, with bit 30 it does not",
            plain,
        ),
        of(
            "notifiers-replaced-while-running",
            OK,
            "call, error and kick descriptors of running rings are replaced and taken away",
            masked,
        ),
    ]
}

fn bases() -> Vec<Seed> {
    let talk = Talk::new()
        .ready(VIRTIO, PROTOCOL)
        .stopped(0, 0)
        .base(0, 0xffff)
        .stopped(0, 0xffff)
        .ring(1)
        .stop(1, 0xffff)
        .stopped(1, 0xffff)
        .base(1, 0x8000)
        .stopped(1, 0x8000)
        .kick(1)
        .stop(1, 0x8001)
        .stopped(1, 0x8001);
    let skip = Talk::new()
        .ready(VIRTIO, SKIP_DRAIN)
        .succeed(8448)
        .get(Fe::GET_INFLIGHT_FD, inflight(0, 2, 256), inflight(8448, 2, 256))
        .ack(Fe::SET_INFLIGHT_FD, inflight(8448, 2, 256))
        .ring(0)
        .ring(1)
        .succeed(5)
        .get(Fe::GET_VRING_BASE_SKIP_DRAIN, state(0, 0), state(0, 5))
        .stop(1, 6)
        .get(Fe::GET_VRING_BASE_SKIP_DRAIN, state(0, 7), state(0, 5))
        .kick(0)
        .kick(1)
        .stop_both();
    vec![
        of("bases-of-split-rings", OK, "bases of stopped rings are given back as they are", talk),
        of("stop-without-draining", OK, "rings stop at once, with requests left in flight", skip),
    ]
}

fn packed() -> Vec<Seed> {
    let virtio = VIRTIO | virtio::RING_PACKED;
    let ring = |talk: Talk, index, num, base| {
        talk.num(index, num).base(index, base).addr(index).kick(index)
    };
    let begin = || Talk::new().ready(virtio, PROTOCOL);
    let whole = ring(ring(begin(), 0, 256, 0x8000_8000), 1, 1000, 0x8000_8000)
        .enable(0, 1)
        .enable(1, 1)
        .stop(0, 0x8010_8012)
        .stop(1, 0x0000_0001)
        .stopped(0, 0x8010_8012)
        .kick(1)
        .stop(1, 0x7fff_7fff);
    let half = ring(ring(begin(), 0, 256, 0x8000), 1, 3, 0x8002)
        .stop(0, 0x8003_8003)
        .base(0, 0x8005)
        .stopped(0, 0x8005)
        .nack(Fe::SET_VRING_BASE, state(1, 5))
        .stop(1, 5)
        .base(1, 5)
        .stopped(1, 5);
    let late = Talk::new()
        .attach(PROTOCOL)
        .num(0, 128)
        .base(0, 0x8000_8000)
        .features(virtio)
        .table(&[region(0)])
        .num(1, 1)
        .addr(0)
        .addr(1)
        .kick(0)
        .kick(1)
        .enable(0, 1)
        .stop(0, 0x8001_8001)
        .stop(1, 0x8000_8000);
    vec![
        of("packed-rings", OK, "packed rings from base 0x80008000, of 256 and 1000 entries", whole),
        of(
            "packed-rings-half-a-base",
            "DC-017",
            "packed bases without their upper half; then a base for a ring that runs",
            half,
        ),
        of(
            "packed-base-before-features",
            OK,
            "a packed base before anybody said that rings are packed",
            late,
        ),
    ]
}

fn addressing() -> Vec<Seed> {
    let moved = |index: u32, by: u64| {
        let addr = addresses(index);
        Payload::Addr(VringAddr {
            descriptor: addr.descriptor + by,
            used: addr.used + by,
            available: addr.available + by,
            ..addr
        })
    };
    let talk = Talk::new()
        .attach(PROTOCOL)
        .addr(0)
        .addr(1)
        .features(VIRTIO)
        .num(0, 256)
        .num(1, 256)
        .kick(0)
        .kick(1)
        .table(&[region(0)])
        .ack(Fe::SET_VRING_ADDR, moved(0, 0x8000))
        .table(&[region(1)])
        .ack(Fe::SET_VRING_ADDR, moved(1, 0x4000_0000))
        .table(&[region(0), region(1)])
        .stop_both();
    let guest = ScriptOffer {
        protocol_features: ScriptOffer::default().protocol_features | protocol::GPA_ADDRESSES,
        ..ScriptOffer::default()
    };
    let same = Region { user_address: 0, ..region(0) };
    let at = |index: u32| {
        let start = u64::from(index) * 0x4000;
        let addr = addresses(index);
        let (used, available) = (start + 0x2000, start + 0x1000);
        Payload::Addr(VringAddr { descriptor: start, used, available, ..addr })
    };
    let by_guest = Talk::offering(guest)
        .attach(PROTOCOL | protocol::GPA_ADDRESSES)
        .features(VIRTIO)
        .table(&[same])
        .num(0, 256)
        .num(1, 256)
        .ack(Fe::SET_VRING_ADDR, at(0))
        .ack(Fe::SET_VRING_ADDR, at(1))
        .kick(0)
        .kick(1)
        .stop_both();
    vec![
        of(
            "addresses-before-memory",
            OK,
            "rings have addresses and start before there is memory, and move while they run",
            talk,
        ),
        of("gpa-addresses", OK, "ring addresses are guest physical ones", by_guest),
    ]
}

fn inband() -> Vec<Seed> {
    let offer = ScriptOffer {
        protocol_features: ScriptOffer::default().protocol_features | INBAND,
        ..ScriptOffer::default()
    };
    let flags = |index: u64| 0x100 + index;
    let kicked = Talk::offering(offer.clone())
        .ready(VIRTIO, INBAND)
        .channel()
        .ask(Fe::SET_VRING_CALL, notifier(flags(0)))
        .ask(Fe::SET_VRING_ERR, notifier(flags(0)))
        .set_up(0)
        .enable(0, 1)
        .ack(Fe::VRING_KICK, state(0, 0))
        .backend(BackendRequest::VRING_CALL, state(0, 0), 0)
        .ack(Fe::VRING_KICK, state(0, 0))
        .backend(BackendRequest::VRING_CALL, state(0, 0), 0)
        .ack(Fe::VRING_KICK, state(0, 7))
        .backend(BackendRequest::VRING_ERR, state(0, 0), 0)
        .stop(0, 2)
        .ack(Fe::VRING_KICK, state(0, 0))
        .stop(0, 2);
    let preferred = Talk::offering(offer)
        .ready(VIRTIO, INBAND)
        .channel()
        .ring(0)
        .ring(1)
        .ack(Fe::VRING_KICK, state(0, 0))
        .ask(Fe::SET_VRING_KICK, notifier(flags(0)))
        .ack(Fe::VRING_KICK, state(0, 0))
        .nack(Fe::VRING_KICK, state(4, 0))
        .stop_both();
    vec![
        of("in-band-notifications", OK, "kicks, calls and an error as messages", kicked),
        of(
            "in-band-kick-beside-a-descriptor",
            "VU-079",
            "a kick in a message while there is a descriptor, and one for a ring too many",
            preferred,
        ),
    ]
}

fn endian() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::CROSS_ENDIAN;
    let talk = Talk::new()
        .ready(virtio::PROTOCOL_FEATURES, bits)
        .ack(Fe::SET_VRING_ENDIAN, state(0, 1))
        .ack(Fe::SET_VRING_ENDIAN, state(1, 0))
        .ring(0)
        .ring(1)
        .stop_both()
        .ack(Fe::SET_VRING_ENDIAN, state(0, 0))
        .ack(Fe::SET_VRING_ENDIAN, state(1, 1))
        .kick(0)
        .stop(0, 3);
    let wrong = Talk::new()
        .ready(virtio::PROTOCOL_FEATURES, bits)
        .nack(Fe::SET_VRING_ENDIAN, state(0, 2))
        .nack(Fe::SET_VRING_ENDIAN, state(4, 1))
        .ring(0)
        .nack(Fe::SET_VRING_ENDIAN, state(0, 1))
        .stop(0, 1);
    vec![
        of("cross-endian", OK, "rings of both byte orders, which change while they stand", talk),
        of(
            "cross-endian-wrong",
            "VU-112",
            "a third byte order, one for a ring too many, and one for a ring that runs",
            wrong,
        ),
    ]
}

fn resets() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::RESET_DEVICE | protocol::STATUS;
    let reset = |talk: Talk| talk.ack(Fe::RESET_DEVICE, Payload::None);
    let each = Talk::new()
        .ask(Fe::RESET_DEVICE, Payload::None)
        .get_features()
        .ask(Fe::RESET_DEVICE, Payload::None)
        .protocol(bits);
    let each = reset(each.owner()).call_and_err(0).call_and_err(1);
    let each = reset(reset(each.features(VIRTIO)).table(&[region(0)]).set_up(0));
    let each = reset(each.features(VIRTIO).ring(0).ring(1).enable(0, 1));
    let each = reset(each.features(VIRTIO).status(0xf).ring(0).stop(0, 4));
    let again = reset(Talk::new().running(VIRTIO, bits).status(0xf))
        .get(Fe::GET_STATUS, Payload::None, Payload::U64(0))
        .stopped(0, 0)
        .features(VIRTIO)
        .ring(0)
        .ring(1)
        .enable(0, 1)
        .stop_both();
    let owner = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .ack(Fe::RESET_OWNER, Payload::None)
        .enable(0, 1)
        .ask(Fe::RESET_OWNER, Payload::None)
        .owner()
        .stop_both()
        .ask(Fe::RESET_OWNER, Payload::None)
        .get_features();
    vec![
        of("reset_device-in-every-state", OK, "RESET_DEVICE between all steps of a set-up", each),
        of(
            "reset_device-and-set-up-again",
            OK,
            "after RESET_DEVICE of running rings the memory is still there for the next start",
            again,
        ),
        of(
            "reset_owner-keeps-the-connection",
            OK,
            "RESET_OWNER disables the rings, and everything else goes on",
            owner,
        ),
    ]
}

fn many() -> Vec<Seed> {
    let offer = ScriptOffer { queues: 256, queue_num: 256, ..ScriptOffer::default() };
    let edges =
        [0, 255].into_iter().fold(Talk::offering(offer).ready(VIRTIO, PROTOCOL), |talk, index| {
            talk.call_and_err(index).ring(index).enable(index, 1).stop(index, 1)
        });
    let one = ScriptOffer { queues: 1, queue_num: 1, max_queue_size: 1, ..ScriptOffer::default() };
    let small = Talk::offering(one)
        .get_features()
        .protocol(PROTOCOL)
        .owner()
        .features(VIRTIO)
        .table(&[region(0)])
        .call_and_err(0)
        .nack(Fe::SET_VRING_NUM, state(0, 2))
        .num(0, 1)
        .base(0, 0)
        .addr(0)
        .kick(0)
        .nack(Fe::SET_VRING_CALL, notifier(1))
        .stop(0, 1);
    let odd = [FdKind::MEMFD, FdKind::OTHER, FdKind::PIPE, FdKind::SOCKET].into_iter().fold(
        Talk::new().ready(VIRTIO, PROTOCOL).set_up(0),
        |talk, kind| {
            let ask = |talk: Talk, code| talk.with_fds(kind, 1).ack(code, notifier(0));
            ask(ask(talk, Fe::SET_VRING_CALL), Fe::SET_VRING_ERR)
        },
    );
    vec![
        of(
            "first-and-last-of-256-rings",
            OK,
            "a device of 256 rings: the first and the last",
            edges,
        ),
        of(
            "one-ring-of-one-entry",
            "VU-078",
            "the smallest device, and what it has no room for",
            small,
        ),
        of(
            "odd-call-and-error-descriptors",
            OK,
            "call and error descriptors that are no eventfds are found out when they are used",
            odd.kick(0).stop(0, 1),
        ),
    ]
}
