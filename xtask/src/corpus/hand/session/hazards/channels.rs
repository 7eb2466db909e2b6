//! HZ-80 to HZ-104: logs, areas, configuration, IOTLB, device state, the back-end channel, and
//! peers that go away.

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Iotlb, ShmemMap};
use vhost_fuzz_core::vhost_user::{
    BackendRequest, Channel, FrontendRequest as Fe, Kind, Message, Payload,
};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::script::FdKind;

use super::super::talk::{
    NO_FD, PROTOCOL, SIZE, Talk, USER, VIRTIO, inflight, iotlb, log, region, transfer,
};
use super::{FAILED, OK, after_with, closes, of};
use crate::corpus::hand::{longs, wire, words};

pub(super) fn seeds() -> Vec<Seed> {
    [logs(), areas(), config(), translation(), states(), maps(), replies(), ends()].concat()
}

fn logs() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::LOG_SHMFD;
    let closed = |name, rule, shows, size: u64, offset: u64| {
        closes(bits, name, rule, shows, move |talk| talk.ask(Fe::SET_LOG_BASE, log(size, offset)))
    };
    vec![
        closed("hz-80-log-size-0", "VU-157", "a log without bytes", 0, 0),
        closed("hz-81-log-wraps", "VU-157", "a log that wraps", 0x2000, u64::MAX - 0xfff),
        closed("hz-82-log-misaligned", "DC-025", "a log that starts inside a page", 0x2000, 0x10),
        closes(bits, "hz-83-log-u64", "DC-005", "a log of 8 bytes without a descriptor", |talk| {
            talk.with_fds(FdKind::MEMFD, 0).ask(Fe::SET_LOG_BASE, Payload::U64(0x2000))
        }),
        after_with(bits, "hz-84-log-too-small", OK, "a log of one byte for all memory", |talk| {
            talk.get(Fe::SET_LOG_BASE, log(1, 0), log(1, 0))
                .ack(Fe::SET_FEATURES, Payload::U64(VIRTIO | virtio::LOG_ALL))
                .ring(0)
                .ring(1)
                .stop_both()
        }),
    ]
}

fn areas() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::INFLIGHT_SHMFD;
    let none = inflight(0, 0, 0);
    let refused = |talk: Talk, queues: u16, size: u16| {
        talk.get(Fe::GET_INFLIGHT_FD, inflight(0, queues, size), none)
    };
    vec![
        after_with(bits, "hz-85-get_inflight_fd-20-bytes", "DC-005", "no tail padding", |talk| {
            talk.get(Fe::GET_INFLIGHT_FD, Payload::Unknown(&[0; 20]), none)
        }),
        after_with(bits, "hz-86-get_inflight_fd-0", "DC-031", "no queues, no entries", |talk| {
            refused(refused(talk, 0, 128), 2, 0)
        }),
        after_with(bits, "hz-87-set_inflight_fd-small", "VU-182", "an area too small", |talk| {
            talk.nack(Fe::SET_INFLIGHT_FD, inflight(4223, 2, 128))
                .nack(Fe::SET_INFLIGHT_FD, inflight(0, 1, 1))
                .ack(Fe::SET_INFLIGHT_FD, inflight(4224, 2, 128))
        }),
        after_with(bits, "hz-88-set_inflight_fd-500", "VU-182", "500 queues of 4", |talk| {
            talk.nack(Fe::SET_INFLIGHT_FD, inflight(1 << 40, 500, 128))
        }),
    ]
}

fn config() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::CONFIG | protocol::MTU;
    let lying = [words(&[0, 4096, 0]), vec![0; 8]].concat();
    vec![
        after_with(bits, "hz-90-get_config-256", OK, "more than the device has", |talk| {
            talk.get_config(0, 256, &[]).get_config(60, 256, &[])
        }),
        after_with(bits, "hz-91-config-sizes-lie", "DC-007", "4096 bytes, of which 8", |talk| {
            talk.raw(Kind::FRONTEND_REQUEST, &wire(Fe::GET_CONFIG.0, 1, &lying))
                .reply(Fe::GET_CONFIG, Payload::None)
                .nack(Fe::SET_CONFIG, Payload::Unknown(&lying))
        }),
        after_with(bits, "hz-92-set_config-wraps", "VU-193", "a window that wraps", |talk| {
            talk.set_config((0xffff_fff0, 32, 0), &[0; 32], 1)
        }),
        after_with(bits, "hz-93-set_config-read-only", "VU-195", "a read-only field", |talk| {
            talk.set_config((40, 4, 0), &[0; 4], 1).set_config((40, 4, 1), &[0; 4], 0)
        }),
        after_with(bits, "hz-96-mtu-10", "VU-200", "MTUs that are none", |talk| {
            [10, 67, 65536, u64::MAX]
                .into_iter()
                .fold(talk, |talk, mtu| talk.nack(Fe::NET_SET_MTU, Payload::U64(mtu)))
                .ack(Fe::NET_SET_MTU, Payload::U64(68))
        }),
    ]
}

fn translation() -> Vec<Seed> {
    let virtio = VIRTIO | virtio::IOMMU_PLATFORM;
    let refused = |name, rule, shows, messages: &[Payload<'_>]| {
        let talk = Talk::new().ready(virtio, PROTOCOL).channel();
        let talk = messages
            .iter()
            .fold(talk, |talk, message| talk.get(Fe::IOTLB_MSG, *message, Payload::U64(1)));
        let fine = iotlb(Iotlb::UPDATE, 0x1000, 0x1000, USER);
        of(name, rule, shows, talk.get(Fe::IOTLB_MSG, fine, Payload::U64(0)).alive())
    };
    let update = |iova, size, user| iotlb(Iotlb::UPDATE, iova, size, user);
    let permissions = Iotlb {
        iova: 0,
        size: 0x1000,
        user_address: USER,
        permissions: 4,
        kind: Iotlb::UPDATE,
        padding: [0; 6],
    };
    let miss = Message::backend(BackendRequest::IOTLB_MSG, iotlb(Iotlb::MISS, 0x5000, 0, 0));
    let answer = Message::reply(Channel::Backend, BackendRequest::IOTLB_MSG.0, Payload::U64(0));
    let crossing = Talk::new()
        .ready(virtio, PROTOCOL)
        .channel()
        .ring(0)
        .ring(1)
        .send(miss.with_need_reply())
        .ask(Fe::IOTLB_MSG, update(0x5000, 0x1000, USER))
        .send(answer)
        .reply(Fe::IOTLB_MSG, Payload::U64(0))
        .send(miss.with_need_reply())
        .send(answer)
        .get(Fe::IOTLB_MSG, update(0x5000, 0x1000, USER), Payload::U64(0))
        .stop_both();
    vec![
        refused(
            "hz-95-iotlb-types",
            "VU-215",
            "a type, a direction and permissions that are none",
            &[
                iotlb(9, 0, 0x1000, USER),
                iotlb(Iotlb::MISS, 0, 0x1000, USER),
                Payload::Iotlb(permissions),
            ],
        ),
        refused(
            "hz-95-iotlb-outside-memory",
            "VU-210",
            "user addresses beside, across and beyond the region",
            &[
                update(0, 0x1000, 0x1000),
                update(0, 0x2000, USER + SIZE - 0x1000),
                update(0, 0x2000, u64::MAX - 0xfff),
            ],
        ),
        refused(
            "hz-95-iotlb-empty-or-wrapping",
            "DC-024",
            "mappings without bytes, and IOVAs that wrap",
            &[
                update(0, 0, USER),
                update(u64::MAX - 0xffe, 0x1000, USER),
                iotlb(Iotlb::INVALIDATE, u64::MAX, 2, 0),
            ],
        ),
        of("hz-103-miss-and-update-cross", OK, "both peers wait and both are served", crossing),
    ]
}

fn states() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::DEVICE_STATE;
    let refused = |talk: Talk, direction: u32, phase: u32| {
        talk.get(Fe::SET_DEVICE_STATE_FD, transfer(direction, phase), Payload::U64(0x101))
    };
    let begun = |talk: Talk, direction| {
        talk.succeed(NO_FD).get(
            Fe::SET_DEVICE_STATE_FD,
            transfer(direction, 0),
            Payload::U64(0x100),
        )
    };
    vec![
        after_with(bits, "hz-98-state-while-started", "VU-166", "a ring runs", |talk| {
            begun(refused(talk.ring(0), 0, 0).stop(0, 1), 0)
        }),
        after_with(bits, "hz-98-state-direction-2", "VU-165", "odd direction, phase", |talk| {
            refused(refused(refused(talk, 2, 0), 0, 1), u32::MAX, u32::MAX)
        }),
        after_with(bits, "hz-98-state-without-fd", "VU-020", "no channel", |talk| {
            refused(talk.with_fds(FdKind::PIPE, 0), 0, 0)
        }),
        after_with(bits, "hz-99-state-garbage", FAILED, "the device cannot read it", |talk| {
            (0..3).fold(talk, |talk, _| {
                begun(talk, 1).fail(22).get(Fe::CHECK_DEVICE_STATE, Payload::None, Payload::U64(1))
            })
        }),
    ]
}

fn maps() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::SHMEM | protocol::BACKEND_SEND_FD;
    let part = |shmid: u8, shm_offset: u64, len: u64| {
        Payload::ShmemMap(ShmemMap {
            shmid,
            padding: [0; 7],
            fd_offset: 0,
            shm_offset,
            len,
            flags: 1,
        })
    };
    let (map, unmap) = (BackendRequest::SHMEM_MAP, BackendRequest::SHMEM_UNMAP);
    vec![after_with(
        bits,
        "hz-100-shmem-maps",
        OK,
        "no descriptor, no bytes, no region, overlap, wrap, odd addresses, part of a mapping",
        |talk| {
            talk.channel()
                .backend(map, part(0, 0, 0x2000), 0)
                .with_fds(FdKind::MEMFD, 0)
                .backend(map, part(0, 0x4000, 0x1000), 1)
                .backend(map, part(0, 0x4000, 0), 1)
                .backend(map, part(9, 0, 0x1000), 1)
                .backend(map, part(0, 0x1000, 0x2000), 1)
                .backend(map, part(0, u64::MAX - 0xfff, 0x2000), 1)
                .backend(map, part(0, 0x4001, 0x1000), 1)
                .backend(unmap, part(0, 0, 0x1000), 1)
                .backend(unmap, part(0, 0, 0x2000), 0)
        },
    )]
}

/// Replies that a front-end must not take. The back-end role sees none of them.
fn replies() -> Vec<Seed> {
    let begin = || Talk::new().ready(VIRTIO, PROTOCOL).ask(Fe::GET_FEATURES, Payload::None);
    let raw = |code: u32, flags: u32, payload: &[u8]| {
        begin().raw(Kind::BACKEND_REPLY, &wire(code, flags, payload)).alive()
    };
    let one = longs(&[1 << 30]);
    let bad = |name, shows, talk| of(name, OK, shows, talk);
    let code = Fe::GET_FEATURES.0;
    vec![
        bad("hz-101-reply-of-another-request", "the reply to request 15", raw(15, 5, &one)),
        bad("hz-101-reply-flags-0xd", "need_reply is set in a reply", raw(code, 0xd, &one)),
        bad("hz-101-reply-of-4-bytes", "a reply that is too short", raw(code, 5, &[0; 4])),
        bad(
            "hz-101-reply-with-fd",
            "a descriptor with a reply that has none",
            begin()
                .with_fds(FdKind::EVENTFD, 1)
                .reply(Fe::GET_FEATURES, Payload::U64(1 << 30))
                .alive(),
        ),
        bad(
            "hz-101-reply-that-nobody-asked-for",
            "two replies to one request",
            begin()
                .reply(Fe::GET_FEATURES, Payload::U64(1 << 30))
                .reply(Fe::GET_FEATURES, Payload::U64(1 << 30))
                .alive(),
        ),
        bad(
            "hz-101-reply-with-more-behind-it",
            "bytes after a reply",
            raw(code, 5, &[one.clone(), vec![0xff; 12]].concat()),
        ),
    ]
}

fn ends() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::INFLIGHT_SHMFD;
    let steps: [fn(Talk) -> Talk; 6] = [
        |talk| talk.get_features(),
        |talk| talk.attach(PROTOCOL),
        |talk| talk.attach(PROTOCOL).features(VIRTIO),
        |talk| talk.ready(VIRTIO, PROTOCOL),
        |talk| talk.ready(VIRTIO, PROTOCOL).ring(0),
        |talk| talk.running(VIRTIO, PROTOCOL).channel(),
    ];
    let each = steps.into_iter().fold(Talk::new(), |talk, step| step(talk).reconnect());
    let postcopy = PROTOCOL | protocol::PAGEFAULT | protocol::DEVICE_STATE;
    let middle = Talk::new()
        .attach(postcopy)
        .features(VIRTIO)
        .get(Fe::POSTCOPY_ADVISE, Payload::None, Payload::None)
        .reconnect()
        .attach(postcopy)
        .features(VIRTIO)
        .get(Fe::POSTCOPY_ADVISE, Payload::None, Payload::None)
        .ack(Fe::POSTCOPY_LISTEN, Payload::None)
        .table_unasked(&[region(0)])
        .with_table(&[region(0)], |talk, table| talk.reply(Fe::SET_MEM_TABLE, table))
        .reconnect()
        .attach(bits)
        .succeed(4224)
        .get(Fe::GET_INFLIGHT_FD, inflight(0, 2, 128), inflight(4224, 2, 128))
        .reconnect()
        .attach(bits)
        .ack(Fe::SET_INFLIGHT_FD, inflight(4224, 2, 128))
        .stopped(0, 0);
    vec![
        of(
            "hz-102-disconnect-after-each-step",
            OK,
            "a peer that goes and comes again",
            each.alive(),
        ),
        of(
            "hz-102-disconnect-in-postcopy-and-areas",
            OK,
            "a peer that goes while a userfaultfd, a table or an area waits for it",
            middle,
        ),
    ]
}
