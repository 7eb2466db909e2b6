//! HZ-60 to HZ-79, HZ-105 and HZ-108: rings.

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Payload};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::script::FdKind;

use super::super::talk::{PROTOCOL, SIZE, Talk, USER, VIRTIO, addresses, notifier, region, state};
use super::{FAILED, OK, after, closes, of};

pub(super) fn seeds() -> Vec<Seed> {
    [sizes(), indexes(), values(), kicks(), places(), early()].concat()
}

fn sizes() -> Vec<Seed> {
    let refused = |talk: Talk, num: u32| talk.nack(Fe::SET_VRING_NUM, state(0, num));
    vec![
        after("hz-60-num-0", "VU-078", "a ring without entries", |talk| {
            refused(talk, 0).ring(0).stop(0, 1)
        }),
        after("hz-61-num-3-or-1000", "VU-078", "sizes that are no powers of two", |talk| {
            refused(refused(talk, 3), 1000).ring(0).stop(0, 1)
        }),
        after("hz-62-num-65536", "VU-078", "sizes beyond 16 bits, and beyond the device", |talk| {
            [65536, 65792, 2048, 32768, u32::MAX].into_iter().fold(talk, refused)
        }),
    ]
}

fn indexes() -> Vec<Seed> {
    let everywhere = |talk: Talk, index: u32| {
        [Fe::SET_VRING_NUM, Fe::SET_VRING_BASE, Fe::SET_VRING_ENABLE]
            .into_iter()
            .fold(talk, |talk, request| talk.nack(request, state(index, 1)))
            .nack(Fe::SET_VRING_ADDR, Payload::Addr(VringAddr { index, ..addresses(0) }))
    };
    vec![
        after("hz-63-64-66-ring-index", "VU-079", "rings that do not exist", |talk| {
            [4, 256, 0x1_0000, 0x8000_0000, u32::MAX].into_iter().fold(talk, everywhere)
        }),
        closes(
            PROTOCOL,
            "hz-65-get_vring_base-index",
            "VU-079",
            "the position of a ring that does not exist",
            |talk| talk.ask(Fe::GET_VRING_BASE, state(4, 0)),
        ),
        after("hz-73-kick-255", "VU-079", "descriptors for ring 255 of 4", |talk| {
            [Fe::SET_VRING_KICK, Fe::SET_VRING_CALL, Fe::SET_VRING_ERR]
                .into_iter()
                .fold(talk, |talk, request| talk.nack(request, notifier(255)))
        }),
    ]
}

fn values() -> Vec<Seed> {
    vec![
        after("hz-67-enable-2", "VU-110", "a ring that is more than enabled", |talk| {
            talk.nack(Fe::SET_VRING_ENABLE, state(0, 2))
                .nack(Fe::SET_VRING_ENABLE, state(0, u32::MAX))
                .ring(0)
                .stop(0, 1)
        }),
        after("hz-68-base-0x1ffff", "VU-087", "a split base of 17 bits", |talk| {
            talk.base(0, 7)
                .nack(Fe::SET_VRING_BASE, state(0, 0x1_ffff))
                .stopped(0, 7)
                .nack(Fe::SET_VRING_BASE, state(0, 0x8000_8000))
        }),
        of(
            "hz-105-get_vring_base-num",
            OK,
            "GET_VRING_BASE with a number that nobody asked for",
            Talk::new()
                .running(VIRTIO, PROTOCOL)
                .succeed(3)
                .get(Fe::GET_VRING_BASE, state(0, 0xdead_beef), state(0, 3))
                .get(Fe::GET_VRING_BASE, state(0, u32::MAX), state(0, 3)),
        ),
        of(
            "hz-108-packed-base-0x8000",
            OK,
            "a packed ring whose base has only its lower half",
            Talk::new()
                .ready(VIRTIO | virtio::RING_PACKED, PROTOCOL)
                .num(0, 256)
                .base(0, 0x8000)
                .stopped(0, 0x8000)
                .addr(0)
                .kick(0)
                .stop(0, 0x8001_8001),
        ),
    ]
}

fn kicks() -> Vec<Seed> {
    let with = |talk: Talk, value: u64, fds: usize| {
        talk.with_fds(FdKind::EVENTFD, fds).nack(Fe::SET_VRING_KICK, notifier(value))
    };
    let each = [
        (Fe::SET_VRING_CALL, "hz-69-70-call-flag-and-fd", "VU-102"),
        (Fe::SET_VRING_ERR, "hz-69-70-err-flag-and-fd", "VU-105"),
    ];
    let mut seeds = vec![
        after("hz-69-kick-flag-and-fd", "VU-099", "no descriptor, and here it is", |talk| {
            with(talk.set_up(0), 0x100, 1).kick(0).stop(0, 1)
        }),
        after("hz-70-kick-without-fd", "VU-099", "a descriptor that is not there", |talk| {
            with(talk.set_up(0), 0, 0).kick(0).stop(0, 1)
        }),
        after("hz-71-kick-polled", OK, "a ring that is polled", |talk| {
            talk.set_up(0).ack(Fe::SET_VRING_KICK, notifier(0x100)).stop(0, 1)
        }),
        after("hz-72-kick-odd-bits", OK, "bits that mean nothing", |talk| {
            talk.set_up(0)
                .set_up(1)
                .ack(Fe::SET_VRING_KICK, notifier(0xffff_ffff_ffff_fe00))
                .ack(Fe::SET_VRING_KICK, notifier(0xffff_ffff_ffff_ff01))
                .stop_both()
        }),
    ];
    seeds.extend(each.map(|(request, name, rule)| {
        after(name, rule, "flag and descriptor, then neither", |talk| {
            [(0x100, 1), (0, 0)].into_iter().fold(talk, |talk, (value, fds)| {
                talk.with_fds(FdKind::EVENTFD, fds).nack(request, notifier(value))
            })
        })
    }));
    seeds
}

/// Where a ring lies, with one part moved.
fn part(change: impl FnOnce(&mut VringAddr)) -> Payload<'static> {
    let mut addr = addresses(0);
    change(&mut addr);
    Payload::Addr(addr)
}

fn places() -> Vec<Seed> {
    let misaligned = [
        part(|addr| addr.descriptor += 8),
        part(|addr| addr.used += 2),
        part(|addr| addr.available += 1),
    ];
    let packed = [
        part(|addr| addr.descriptor += 8),
        part(|addr| addr.used += 2),
        part(|addr| addr.available += 2),
    ];
    let wrong = |talk: Talk, places: [Payload<'static>; 3]| {
        let refused = |talk: Talk, place| talk.nack(Fe::SET_VRING_ADDR, place);
        places.into_iter().fold(talk, refused).num(0, 256).addr(0).kick(0).stop(0, 1)
    };
    let started = |talk: Talk, place| {
        talk.num(0, 256).ack(Fe::SET_VRING_ADDR, place).kick(0).enable(0, 1).stop(0, 0)
    };
    let outside = part(|addr| {
        addr.descriptor = 0x1000;
        addr.used = 0;
        addr.available = !1;
    });
    vec![
        after("hz-74-addr-misaligned", "VU-083", "each part of a split ring", move |talk| {
            wrong(talk, misaligned)
        }),
        of(
            "hz-74-addr-misaligned-packed",
            "VU-083",
            "each part of a packed ring",
            wrong(Talk::new().ready(VIRTIO | virtio::RING_PACKED, PROTOCOL), packed).alive(),
        ),
        after("hz-75-addr-outside-memory", OK, "it cannot be bound", move |talk| {
            started(talk, outside)
        }),
        after("hz-76-addr-across-the-end", OK, "a used ring that leaves its region", |talk| {
            started(talk, part(|addr| addr.used = USER + SIZE - 0x10))
        }),
        after("hz-77-addr-flags", OK, "flags that mean nothing", |talk| {
            started(talk, part(|addr| addr.flags = 0xffff_fffe))
        }),
    ]
}

fn early() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::CONFIGURE_MEM_SLOTS;
    let early = |talk: Talk| talk.kick(0).enable(0, 1).ack(Fe::SET_VRING_KICK, notifier(1));
    let idle = early(Talk::new().attach(bits).features(VIRTIO))
        .stop(0, 0)
        .add(region(0))
        .num(0, 256)
        .addr(0)
        .addr(1)
        .kick(0)
        .stop(0, 1);
    let refused = Talk::new()
        .attach(bits)
        .features(VIRTIO)
        .fail(22)
        .nack(Fe::SET_VRING_KICK, notifier(0))
        .ack(Fe::SET_VRING_ENABLE, state(0, 1))
        .add(region(0))
        .ring(0)
        .stop(0, 1);
    let set_up = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .nack(Fe::SET_VRING_NUM, state(0, 128))
        .nack(Fe::SET_VRING_BASE, state(1, 0))
        .ack(Fe::SET_VRING_ADDR, Payload::Addr(addresses(0)))
        .stop_both()
        .num(0, 128);
    vec![
        of("hz-78-kick-before-anything", OK, "a kick before size, addresses and memory", idle),
        of("hz-78-kick-before-anything-fails", FAILED, "the same, and it does not start", refused),
        of("size-and-base-of-a-running-ring", "DC-017", "what has to wait for the end", set_up),
    ]
}
