//! What real front-ends say, in the order in which they say it (spec §6.1, §3.2).

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Config, Iotlb, Region, VringAddr};
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Payload};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::session::offer::ScriptOffer;

use super::talk::{
    MODERN, PROTOCOL, SIZE, Talk, USER, VIRTIO, addresses, inflight, iotlb, notifier, region, state,
};
use super::{OK, of};

/// Protocol features of a block device.
const BLOCK: u64 = PROTOCOL
    | protocol::CONFIG
    | protocol::INFLIGHT_SHMFD
    | protocol::CONFIGURE_MEM_SLOTS
    | protocol::STATUS
    | protocol::RESET_DEVICE;

/// Protocol features of a network device.
const NET: u64 = PROTOCOL | protocol::RARP | protocol::MTU | protocol::LOG_SHMFD;

pub(super) fn seeds() -> Vec<Seed> {
    [qemu_old(), qemu_block(), qemu_net(), qemu_new(), dpdk(), spdk(), cloud_hypervisor()].concat()
}

/// Before 7.2: bit 30 is offered and not set, and the rings are enabled all the same.
fn qemu_old() -> Vec<Seed> {
    let talk = Talk::new()
        .attach(NET)
        .enable(0, 1)
        .enable(1, 1)
        .features(MODERN)
        .table(&[region(0)])
        .ring(0)
        .call(0)
        .ring(1)
        .call(1)
        .enable(0, 1)
        .enable(1, 1)
        .stop_both()
        .enable(0, 0)
        .enable(1, 0);
    vec![of(
        "qemu-7.1-net-without-bit-30",
        OK,
        "SET_FEATURES without bit 30 enables the rings, and SET_VRING_ENABLE comes all the same",
        talk,
    )]
}

fn block_attached() -> Talk {
    Talk::new()
        .get_features()
        .protocol(BLOCK)
        .queue_num()
        .slots()
        .channel()
        .owner()
        .get_features()
        .call_and_err(0)
        .call_and_err(1)
        .get_config(0, 57, &[0, 0x80])
}

fn block_started(talk: Talk, virtio: u64) -> Talk {
    talk.ask(Fe::RESET_DEVICE, Payload::None)
        .features(virtio)
        .get(Fe::GET_STATUS, Payload::None, Payload::U64(0))
        .ask(Fe::SET_STATUS, Payload::U64(8))
        .succeed(4224)
        .get(Fe::GET_INFLIGHT_FD, inflight(0, 2, 128), inflight(4224, 2, 128))
        .ask(Fe::SET_INFLIGHT_FD, inflight(4224, 2, 128))
        .call(0)
        .call(1)
        .features(virtio)
        .get(Fe::GET_STATUS, Payload::None, Payload::U64(8))
        .add(region(0))
        .add(region(1))
        .num(0, 128)
        .base(0, 0)
        .addr(0)
        .kick(0)
        .num(1, 128)
        .base(1, 0)
        .addr(1)
        .kick(1)
        .ack(Fe::SET_VRING_ENABLE, state(0, 1))
        .ack(Fe::SET_VRING_ENABLE, state(1, 1))
        .get(Fe::GET_STATUS, Payload::None, Payload::U64(8))
        .ask(Fe::SET_STATUS, Payload::U64(0xf))
}

fn block_stopped(talk: Talk) -> Talk {
    talk.ack(Fe::SET_VRING_ENABLE, state(0, 0))
        .ack(Fe::SET_VRING_ENABLE, state(1, 0))
        .stop_both()
        .ask(Fe::SET_STATUS, Payload::U64(0))
}

fn qemu_block() -> Vec<Seed> {
    let iommu = VIRTIO | virtio::IOMMU_PLATFORM;
    let translated = |talk: Talk| {
        [0, 1].into_iter().fold(talk, |talk, index| {
            let used = addresses(index).used;
            let update = iotlb(Iotlb::UPDATE, used, 0x1000, used);
            talk.get(Fe::IOTLB_MSG, update, Payload::U64(0))
        })
    };
    vec![
        of(
            "qemu-10-block",
            OK,
            "attach, firmware reset, start with slots and an in-flight area, stop",
            block_stopped(block_started(block_attached(), VIRTIO)),
        ),
        of(
            "qemu-10-block-two-boots",
            OK,
            "the firmware starts and stops the rings with other features than the driver later",
            block_started_again(block_stopped(block_started(block_attached(), VIRTIO))),
        ),
        of(
            "qemu-10-block-iommu",
            OK,
            "ring addresses are IOVAs; the used rings are mapped unasked right after the start",
            block_stopped(translated(block_started(block_attached(), iommu))),
        ),
    ]
}

fn block_started_again(talk: Talk) -> Talk {
    let plain = virtio::PROTOCOL_FEATURES | 1 << 32;
    talk.features(plain)
        .call(0)
        .call(1)
        .features(plain)
        .ring(0)
        .ring(1)
        .ack(Fe::SET_VRING_ENABLE, state(0, 1))
        .ack(Fe::SET_VRING_ENABLE, state(1, 1))
        .ack(Fe::SET_VRING_ENABLE, state(0, 0))
        .ack(Fe::SET_VRING_ENABLE, state(1, 0))
        .stop(0, 9)
        .stop(1, 0)
}

fn qemu_net() -> Vec<Seed> {
    let enables = |talk: Talk| {
        (0..6).fold(talk, |talk, round| talk.ack(Fe::SET_VRING_ENABLE, state(round % 2, 1)))
    };
    let one = enables(Talk::new().attach(NET).channel())
        .features(VIRTIO)
        .table(&[region(0)])
        .ring(0)
        .call(0)
        .ring(1)
        .call(1)
        .stop_both();
    // The second pair is a device of its own to QEMU, so it negotiates again.
    let pair = |talk: Talk, first: u32| {
        talk.get_features()
            .protocol(NET)
            .get_features()
            .call_and_err(first)
            .call_and_err(first + 1)
            .ack(Fe::SET_VRING_ENABLE, state(first, 1))
            .ack(Fe::SET_VRING_ENABLE, state(first + 1, 1))
    };
    let start = |talk: Talk, first: u32| {
        talk.features(VIRTIO).ring(first).call(first).ring(first + 1).call(first + 1)
    };
    let two = pair(pair(Talk::new().owner().queue_num(), 0), 2);
    let two = two.features(VIRTIO).ack(Fe::NET_SET_MTU, Payload::U64(1500)).table(&[region(0)]);
    let two = start(start(two, 0), 2).stop_both().stop(2, 5).stop(3, 6);
    vec![
        of("qemu-10-net", OK, "rings are enabled several times before the first features", one),
        of(
            "qemu-10-net-two-queue-pairs",
            OK,
            "each queue pair negotiates again, also while the rings of the first one run",
            two,
        ),
    ]
}

/// Since 10.1 the descriptors of rings are acknowledged.
fn qemu_new() -> Vec<Seed> {
    let ring = |talk: Talk, index: u32| {
        talk.set_up(index)
            .ack(Fe::SET_VRING_KICK, notifier(index.into()))
            .ack(Fe::SET_VRING_CALL, notifier(index.into()))
    };
    let attached = [0, 1].into_iter().fold(
        Talk::new().get_features().protocol(BLOCK).queue_num().slots().channel().owner(),
        |talk, index| {
            talk.ack(Fe::SET_VRING_CALL, notifier(index)).ack(Fe::SET_VRING_ERR, notifier(index))
        },
    );
    let talk = attached.features(VIRTIO).add(region(0));
    let talk = ring(ring(talk, 0), 1)
        .ack(Fe::SET_VRING_ENABLE, state(0, 1))
        .ack(Fe::SET_VRING_ENABLE, state(1, 1))
        .ack(Fe::SET_VRING_CALL, notifier(0x100))
        .ack(Fe::SET_VRING_CALL, notifier(0))
        .stop_both();
    vec![of(
        "qemu-11-acknowledged-descriptors",
        OK,
        "need_reply on SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR; calls are masked",
        talk,
    )]
}

fn dpdk() -> Vec<Seed> {
    const BITS: u64 = protocol::MQ | protocol::REPLY_ACK | protocol::STATUS;
    let host = Region { guest_address: USER, user_address: USER, ..region(0) };
    let more = Region { guest_address: USER + SIZE, user_address: USER + SIZE, ..region(0) };
    let started = |virtio: u64, base: u32| {
        let ring =
            |talk: Talk, index| talk.num(index, 256).base(index, base).addr(index).kick(index);
        let talk = Talk::new()
            .owner()
            .get_features()
            .protocol(BITS)
            .call(0)
            .call(1)
            .features(virtio)
            .ack(Fe::SET_STATUS, Payload::U64(0xb))
            .get(Fe::GET_STATUS, Payload::None, Payload::U64(0xb))
            .table(&[host]);
        ring(ring(talk, 0), 1).enable(0, 1).enable(1, 1).ack(Fe::SET_STATUS, Payload::U64(0xf)).get(
            Fe::GET_STATUS,
            Payload::None,
            Payload::U64(0xf),
        )
    };
    let stop = |talk: Talk, bases: [u32; 2]| {
        (0..).zip(bases).fold(talk.enable(0, 0).enable(1, 0), |talk, (index, base)| {
            talk.succeed(base.into()).get(
                Fe::GET_VRING_BASE,
                state(index, 0xdead_beef),
                state(index, base),
            )
        })
    };
    let plugged =
        started(VIRTIO, 0).enable(0, 0).enable(1, 0).table(&[host, more]).enable(0, 1).enable(1, 1);
    let packed = started(VIRTIO | virtio::RING_PACKED, 0x8000);
    vec![
        of("virtio_user-split", OK, "attach, start, stop", stop(started(VIRTIO, 0), [7, 8])),
        of(
            "virtio_user-packed",
            OK,
            "packed rings whose base has only its lower half",
            stop(packed, [0x8003_8003, 0x0001_0001]),
        ),
        of(
            "virtio_user-memory-hot-plug",
            OK,
            "a larger table between disabling and enabling the rings, and no new addresses",
            stop(plugged, [1, 2]),
        ),
    ]
}

fn spdk() -> Vec<Seed> {
    const BITS: u64 = protocol::MQ | protocol::CONFIG;
    let writeback = [[1].as_slice(), &[0; 255]].concat();
    let config = Payload::Config(Config { offset: 31, size: 1, flags: 0, payload: &writeback });
    let ring = |talk: Talk, index| talk.num(index, 128).base(index, 0).addr(index).kick(index);
    let talk = Talk::new()
        .owner()
        .get_features()
        .features(MODERN)
        .protocol(BITS)
        .get_config(0, 256, &[])
        .ask(Fe::SET_CONFIG, config)
        .enable(0, 1)
        .enable(1, 1)
        .queue_num()
        .call(0)
        .call(1)
        .table_unasked(&[region(0)])
        .get_features();
    let talk = ring(ring(talk, 0), 1).stop_both().table_unasked(&[region(1)]).get_features();
    vec![of(
        "spdk-initiator",
        OK,
        "features before protocol features, 256 bytes of a smaller configuration space, no ack",
        talk,
    )]
}

fn cloud_hypervisor() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::CONFIGURE_MEM_SLOTS | protocol::INFLIGHT_SHMFD;
    let offer = ScriptOffer { queues: 2, queue_num: 2, ..ScriptOffer::default() };
    let started = |talk: Talk| {
        let talk = talk
            .owner()
            .get_features()
            .protocol(bits)
            .slots()
            .features(VIRTIO)
            .table(&[region(0)])
            .ack(Fe::SET_VRING_NUM, state(0, 128))
            .ack(Fe::SET_VRING_NUM, state(1, 128))
            .succeed(4224)
            .get(Fe::GET_INFLIGHT_FD, inflight(0, 2, 128), inflight(4224, 2, 128))
            .ack(Fe::SET_INFLIGHT_FD, inflight(4224, 2, 128));
        let talk = [0, 1].into_iter().fold(talk, |talk, index: u32| {
            let logged = VringAddr { flags: VringAddr::LOG, ..addresses(index) };
            talk.ack(Fe::SET_VRING_ADDR, Payload::Addr(logged))
                .ack(Fe::SET_VRING_BASE, state(index, 0))
                .ack(Fe::SET_VRING_CALL, notifier(index.into()))
                .ack(Fe::SET_VRING_KICK, notifier(index.into()))
        });
        talk.ack(Fe::SET_VRING_ENABLE, state(0, 1)).ack(Fe::SET_VRING_ENABLE, state(1, 1)).channel()
    };
    let plugged = started(Talk::offering(offer)).add(region(1)).add(region(2));
    vec![of(
        "cloud-hypervisor-slots",
        OK,
        "a table at first, regions one by one later; addresses before bases; the channel last",
        plugged.stop_both().ack(Fe::SET_VRING_ENABLE, state(0, 0)),
    )]
}
