//! What single kinds of devices have: configuration, status, crypto, GPU, network, objects, shared
//! memory, in-flight areas.

use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_core::vhost_user::payload::{
    CryptoSession, ShmemConfig, ShmemMap, VringArea, VringFd,
};
use vhost_fuzz_core::vhost_user::{
    BackendRequest, Channel, FrontendRequest as Fe, Message, Payload,
};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::script::FdKind;
use vhost_fuzz_harness::session::offer::ScriptOffer;

use super::talk::{FD, NO_FD, PROTOCOL, Talk, VIRTIO, inflight, object, region, state};
use super::{FAILED, OK, of};

pub(super) fn seeds() -> Vec<Seed> {
    [config(), status(), crypto(), graphics(), network(), objects(), shmem(), areas()].concat()
}

fn config() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::CONFIG;
    let begin = || Talk::new().ready(VIRTIO, bits).channel();
    let narrow = ScriptOffer { config_limit: 256, ..ScriptOffer::default() };
    let read = Talk::offering(narrow)
        .ready(VIRTIO, bits)
        .get_config(0, 60, &[1, 2])
        .get_config(0, 256, &[1, 2])
        .get_config(59, 1, &[9])
        .get_config(60, 8, &[])
        .get_config(0, 0, &[])
        .get_config(60, 0, &[])
        .get_config(32, 224, &[])
        .bad_get_config(61, 1)
        .bad_get_config(33, 224)
        .bad_get_config(0xffff_fff0, 32)
        .get_config(0, 60, &[]);
    let written = begin()
        .set_config((0, 32, 0), &[7; 32], 0)
        .get_config(0, 60, &[7; 32])
        .set_config((31, 1, 0), &[8; 256], 0)
        .set_config((0, 60, 1), &[9; 60], 0)
        .set_config((0, 0, 0), &[], 0)
        .backend(BackendRequest::CONFIG_CHANGE_MSG, Payload::None, 0)
        .set_config((31, 2, 0), &[8; 2], 1)
        .set_config((32, 4, 0), &[8; 4], 1)
        .set_config((0, 4, 2), &[8; 4], 1)
        .set_config((58, 4, 1), &[8; 4], 1)
        .set_config((0xffff_fff0, 32, 1), &[8; 32], 1)
        .set_config((0, 64, 0), &[8; 8], 1)
        .alive();
    let two = ScriptOffer {
        config_len: 0x1000,
        config_limit: 256,
        config_writable: vec![(0, 4), (4, 8), (0x100, 0x200)],
        ..ScriptOffer::default()
    };
    let wide = Talk::offering(two)
        .ready(VIRTIO, bits)
        .set_config((0, 4, 0), &[1; 4], 0)
        .set_config((0x100, 0x100, 0), &[1; 256], 0)
        .get_config(0, 256, &[])
        .get_config(256, 0, &[])
        .bad_get_config(1, 256)
        .bad_get_config(256, 1)
        .set_config((2, 4, 0), &[1; 4], 1)
        .alive();
    vec![
        of(
            "config-windows",
            "VU-193",
            "windows in, at and past the end of the configuration space",
            read,
        ),
        of(
            "config-writes",
            "VU-195",
            "writes to writable and to other fields, by the driver and by migration",
            written,
        ),
        of(
            "config-larger-than-a-message",
            "VU-193",
            "a configuration space beyond the limit, with writable fields that touch",
            wide,
        ),
    ]
}

fn status() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::STATUS | protocol::RESET_DEVICE;
    let values = [0, 1, 3, 0xb, 0xf, 0x4f, 0x8f, 0xff, 0x80, 0, 0xb];
    let stored = values.into_iter().fold(Talk::new().ready(VIRTIO, bits), Talk::status);
    let large = Talk::new()
        .running(VIRTIO, bits)
        .status(0xf)
        .nack(Fe::SET_STATUS, Payload::U64(0x1_0000_000f))
        .get(Fe::GET_STATUS, Payload::None, Payload::U64(0xf))
        .status(0)
        .stop_both();
    vec![
        of("status-values", OK, "every kind of status is stored as it is", stored),
        of(
            "status-too-large",
            "VU-227",
            "a status of more than one byte, then 0 beside rings",
            large,
        ),
    ]
}

/// A symmetric or asymmetric session with keys of these lengths.
fn session(operation: u32, lengths: &[(usize, u32)], id: i64) -> [u8; 1072] {
    let mut bytes = [0; 1072];
    bytes[..8].copy_from_slice(&u64::from(operation).to_ne_bytes());
    for (at, len) in lengths {
        bytes[*at..*at + 4].copy_from_slice(&len.to_ne_bytes());
    }
    bytes[1064..].copy_from_slice(&id.to_ne_bytes());
    bytes
}

fn crypto() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::CRYPTO_SESSION;
    let offer = ScriptOffer { device: 20, ..ScriptOffer::default() };
    let create = |talk: Talk, request: &[u8; 1072], id: i64| {
        // Only the id means anything in a reply.
        let reply = session(0, &[], id);
        talk.get(
            Fe::CREATE_CRYPTO_SESSION,
            Payload::Crypto(CryptoSession::new(request)),
            Payload::Crypto(CryptoSession::new(&reply)),
        )
    };
    let symmetric = session(2, &[(12, 32), (24, 64)], 7);
    let asymmetric = session(0x404, &[(16, 1024)], 0);
    let long = session(2, &[(12, 65)], 0);
    let none = u64::MAX;
    let begin = || Talk::offering(offer.clone()).ready(VIRTIO, bits);
    let talk = create(begin().succeed(1), &symmetric, 1);
    let talk = create(talk.succeed(2), &asymmetric, 2);
    let talk = create(talk.succeed(none), &symmetric, -1);
    let talk = talk
        .ack(Fe::CLOSE_CRYPTO_SESSION, Payload::U64(1))
        .fail(22)
        .nack(Fe::CLOSE_CRYPTO_SESSION, Payload::U64(99))
        .alive();
    let short = create(create(begin(), &long, -1).fail(12), &symmetric, -1);
    let short =
        create(short.succeed(3), &symmetric, 3).ask(Fe::CLOSE_CRYPTO_SESSION, Payload::U64(3));
    vec![
        of(
            "crypto-sessions",
            FAILED,
            "symmetric and asymmetric sessions, one that the device refuses, and both ends",
            talk,
        ),
        of(
            "crypto-key-too-long",
            "DC-008",
            "a key longer than its field, then a device out of memory, then a session",
            short,
        ),
    ]
}

fn graphics() -> Vec<Seed> {
    let talk = Talk::new()
        .ready(VIRTIO, PROTOCOL)
        .ack(Fe::GPU_SET_SOCKET, Payload::None)
        .ask(Fe::GPU_SET_SOCKET, Payload::None)
        .fail(22)
        .with_fds(FdKind::EVENTFD, 1)
        .nack(Fe::GPU_SET_SOCKET, Payload::None)
        .with_fds(FdKind::SOCKET, 0)
        .nack(Fe::GPU_SET_SOCKET, Payload::None)
        .alive();
    vec![of("gpu-sockets", FAILED, "sockets for a GPU, something else, and none", talk)]
}

fn network() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::MTU | protocol::RARP | protocol::HOST_NOTIFIER;
    let mac = u64::from_ne_bytes([0x52, 0x54, 0, 0x12, 0x34, 0x56, 0, 0]);
    let talk = Talk::new()
        .ready(VIRTIO | 1 << 3, bits)
        .channel()
        .ack(Fe::NET_SET_MTU, Payload::U64(68))
        .ack(Fe::NET_SET_MTU, Payload::U64(1500))
        .ask(Fe::NET_SET_MTU, Payload::U64(0xffff))
        .ring(0)
        .ring(1)
        .ack(Fe::SEND_RARP, Payload::U64(mac))
        .ask(Fe::SEND_RARP, Payload::U64(u64::MAX))
        .stop_both();
    let area = |no_fd: bool| {
        let vring = VringFd(u64::from(no_fd) << 8);
        Payload::Area(VringArea { vring, size: 0x1000, offset: 0 })
    };
    let notified = Talk::new()
        .running(VIRTIO, bits)
        .channel()
        .backend(BackendRequest::VRING_HOST_NOTIFIER_MSG, area(false), 0)
        .backend(BackendRequest::VRING_HOST_NOTIFIER_MSG, area(false), 0)
        .backend(BackendRequest::VRING_HOST_NOTIFIER_MSG, area(true), 0)
        .stop_both();
    vec![
        of("mtu-and-rarp", OK, "the MTU of a network device, and its announcement", talk),
        of("host-notifiers", OK, "an area for kicks is registered, replaced and removed", notified),
    ]
}

fn objects() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::SHARED_OBJECT | protocol::BACKEND_SEND_FD;
    let lookup = |talk: Talk, number: u8, fds: usize| {
        let reply = Payload::U64(u64::from(fds == 0));
        let code = BackendRequest::SHARED_OBJECT_LOOKUP;
        talk.send(Message::backend(code, object(number)))
            .with_fds(FdKind::MEMFD, fds)
            .send(Message::reply(Channel::Backend, code.0, reply))
    };
    let get = |talk: Talk, payload: Payload<'_>, fds: usize| {
        talk.ask(Fe::GET_SHARED_OBJECT, payload)
            .with_fds(FdKind::MEMFD, fds)
            .reply(Fe::GET_SHARED_OBJECT, Payload::None)
    };
    let talk = Talk::new()
        .ready(VIRTIO, bits)
        .channel()
        .backend(BackendRequest::SHARED_OBJECT_ADD, object(1), 0)
        .backend(BackendRequest::SHARED_OBJECT_ADD, object(1), 1);
    let talk = lookup(lookup(talk, 2, 1), 3, 0);
    let talk = get(get(talk.succeed(FD), object(1), 1).succeed(NO_FD), object(9), 0);
    let talk = get(talk, Payload::None, 0)
        .backend(BackendRequest::SHARED_OBJECT_REMOVE, object(1), 0)
        .backend(BackendRequest::SHARED_OBJECT_REMOVE, object(2), 0);
    let failed = get(Talk::new().ready(VIRTIO, bits).channel().fail(2), object(1), 0);
    vec![
        of("shared-objects", OK, "objects are added, looked up, fetched and removed", talk),
        of("shared-object-that-fails", FAILED, "an object that cannot be fetched", failed.alive()),
    ]
}

fn shmem() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::SHMEM | protocol::BACKEND_SEND_FD | protocol::RESET_DEVICE;
    let sizes: Vec<u8> = (0_u32..256)
        .flat_map(|id| match id {
            0 => 0x10_0000_u64.to_ne_bytes(),
            3 => 0x1_0000_u64.to_ne_bytes(),
            _ => [0; 8],
        })
        .collect();
    let config = |talk: Talk| {
        let Some(sizes) = sizes.first_chunk() else { return talk };
        let reply = Payload::ShmemConfig(ShmemConfig { regions: 2, padding: 0, sizes });
        talk.get(Fe::GET_SHMEM_CONFIG, Payload::None, reply)
    };
    let part = |shmid: u8, fd_offset: u64, shm_offset: u64, len: u64, flags: u64| {
        Payload::ShmemMap(ShmemMap { shmid, padding: [0; 7], fd_offset, shm_offset, len, flags })
    };
    let (map, unmap) = (BackendRequest::SHMEM_MAP, BackendRequest::SHMEM_UNMAP);
    let talk = config(Talk::new().ready(VIRTIO, bits).channel())
        .backend(map, part(0, 0, 0, 0x1000, 1), 0)
        .backend(map, part(0, 0x1000, 0x1000, 0xf_f000, 0), 0)
        .backend(map, part(3, 0, 0xf000, 0x1000, 1), 0)
        .backend(unmap, part(0, 0, 0, 0x1000, 0), 0)
        .backend(map, part(0, 0, 0, 0x1000, 0), 0)
        .ask(Fe::RESET_DEVICE, Payload::None);
    let talk = talk.backend(map, part(0, 0, 0, 0x10_0000, 1), 0).get_features();
    let none = ScriptOffer { shmem: vec![], ..ScriptOffer::default() };
    let zero = [0; 2048];
    let empty = ShmemConfig { regions: 0, padding: 0, sizes: &zero };
    let none = Talk::offering(none)
        .ready(VIRTIO, bits)
        .get(Fe::GET_SHMEM_CONFIG, Payload::None, Payload::ShmemConfig(empty))
        .alive();
    vec![
        of("shmem", OK, "shared memory is mapped and unmapped, and free after a reset", talk),
        of("shmem-without-regions", OK, "a device that has no shared memory says so", none),
    ]
}

fn areas() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::INFLIGHT_SHMFD;
    let area = inflight(4224, 2, 128);
    let first = Talk::new()
        .ready(VIRTIO, bits)
        .succeed(4224)
        .get(Fe::GET_INFLIGHT_FD, inflight(0, 2, 128), area)
        .ack(Fe::SET_INFLIGHT_FD, area)
        .ring(0)
        .ring(1)
        .enable(0, 1);
    let again = |talk: Talk| {
        talk.reconnect()
            .attach(bits)
            .features(VIRTIO)
            .table(&[region(0)])
            .ack(Fe::SET_INFLIGHT_FD, area)
            .ring(0)
            .ring(1)
    };
    let twice = again(again(first)).stop_both();
    let wrong = Talk::new()
        .ready(VIRTIO, bits)
        .nack(Fe::SET_INFLIGHT_FD, inflight(4223, 2, 128))
        .nack(Fe::SET_INFLIGHT_FD, inflight(4224, 5, 128))
        .nack(Fe::SET_INFLIGHT_FD, inflight(4224, 2, 100))
        .ack(Fe::SET_INFLIGHT_FD, area)
        .ack(Fe::SET_INFLIGHT_FD, inflight(0x1_0000, 4, 128))
        .ring(0)
        .nack(Fe::SET_INFLIGHT_FD, area)
        .stop(0, 0)
        .ask(Fe::SET_INFLIGHT_FD, area)
        .get(Fe::GET_VRING_BASE, state(1, 0), state(1, 0));
    let failing = Talk::new()
        .ready(VIRTIO, bits)
        .fail(12)
        .get(Fe::GET_INFLIGHT_FD, inflight(0, 2, 128), inflight(0, 0, 0))
        .fail(12)
        .nack(Fe::SET_INFLIGHT_FD, area)
        .get(Fe::GET_INFLIGHT_FD, inflight(0, 0, 128), inflight(0, 0, 0))
        .get(Fe::GET_INFLIGHT_FD, inflight(0, 5, 128), inflight(0, 0, 0))
        .get(Fe::GET_INFLIGHT_FD, inflight(0, 2, 2048), inflight(0, 0, 0))
        .alive();
    vec![
        of(
            "inflight-over-two-reconnections",
            OK,
            "an area is made once and handed back on each of the next connections",
            twice,
        ),
        of(
            "inflight-areas-that-do-not-fit",
            "VU-182",
            "areas too small, with too many or odd queues, and one while a ring runs",
            wrong,
        ),
        of("inflight-areas-that-fail", FAILED, "areas that cannot be made or mapped", failing),
    ]
}
