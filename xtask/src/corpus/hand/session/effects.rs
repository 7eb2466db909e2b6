//! Each effect fails once: the request is refused, and nothing of it stays.

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Iotlb, MemReg};
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Payload};
use vhost_fuzz_harness::corpus::Seed;

use super::talk::{PROTOCOL, Talk, USER, VIRTIO, addresses, iotlb, notifier, region, state};
use super::{FAILED, of};

/// Error numbers.
const EIO: u64 = 5;
const ENOMEM: u64 = 12;
const EINVAL: u64 = 22;

pub(super) fn seeds() -> Vec<Seed> {
    [setting_up(), rings(), quiescing(), others(), boundaries()].concat()
}

fn fails(name: &str, shows: &str, talk: Talk) -> Seed {
    of(name, FAILED, shows, talk)
}

fn setting_up() -> Vec<Seed> {
    let slots = PROTOCOL | protocol::CONFIGURE_MEM_SLOTS;
    let features = Talk::new()
        .attach(PROTOCOL)
        .fail(EINVAL)
        .nack(Fe::SET_FEATURES, Payload::U64(VIRTIO))
        .features(VIRTIO)
        .table(&[region(0)])
        .ring(0)
        .stop(0, 1);
    // The second of three regions cannot be mapped: the first is unmapped, the old table stays.
    let second = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .succeed(1)
        .fail(ENOMEM)
        .bad_table(&[region(1), region(2), region(3)])
        .table(&[region(0), region(1)])
        .stop_both();
    let add = Talk::new()
        .ready(VIRTIO, slots)
        .fail(ENOMEM)
        .bad_add(region(1))
        .add(region(1))
        .ring(0)
        .stop(0, 1);
    let channel = Talk::new()
        .ready(VIRTIO, PROTOCOL)
        .fail(EINVAL)
        .nack(Fe::SET_BACKEND_REQ_FD, Payload::None)
        .channel()
        .alive();
    vec![
        fails("fails-features", "features that the device cannot take, then the same", features),
        fails("fails-map-second-region", "the second of three regions is not mapped", second),
        fails("fails-map-added-region", "an added region is not mapped; later it is", add),
        fails("fails-open-channel", "the back-end channel cannot be opened, then it can", channel),
    ]
}

fn rings() -> Vec<Seed> {
    let start = Talk::new()
        .ready(VIRTIO, PROTOCOL)
        .set_up(0)
        .set_up(1)
        .fail(EIO)
        .nack(Fe::SET_VRING_KICK, notifier(0))
        .stopped(0, 0)
        .base(0, 7)
        .kick(0)
        .stop(0, 8);
    let update = |change: fn(Talk) -> Talk| {
        change(Talk::new().running(VIRTIO, PROTOCOL).fail(EIO)).stop_both()
    };
    let kick = update(|talk| talk.nack(Fe::SET_VRING_KICK, notifier(0)));
    let call = update(|talk| talk.nack(Fe::SET_VRING_CALL, notifier(1)));
    let err = update(|talk| talk.nack(Fe::SET_VRING_ERR, notifier(0x100)));
    let enable = update(|talk| talk.nack(Fe::SET_VRING_ENABLE, state(0, 0)));
    let addr = update(|talk| talk.nack(Fe::SET_VRING_ADDR, Payload::Addr(addresses(1))));
    let stop = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .fail(EIO)
        .ask(Fe::GET_VRING_BASE, state(0, 0))
        .again();
    vec![
        fails(
            "fails-start-ring",
            "a ring that does not start stays stopped, then it starts",
            start,
        ),
        fails("fails-update-kick", "a running ring does not take a kick descriptor", kick),
        fails("fails-update-call", "a running ring does not take a call descriptor", call),
        fails("fails-update-err", "a running ring does not give up its error descriptor", err),
        fails("fails-update-enable", "a running ring cannot be disabled", enable),
        fails("fails-update-addr", "a running ring cannot move", addr),
        fails("fails-stop-ring", "a ring that does not stop ends the connection", stop),
    ]
}

fn quiescing() -> Vec<Seed> {
    let slots = PROTOCOL | protocol::CONFIGURE_MEM_SLOTS | protocol::LOG_SHMFD;
    let table = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .succeed(0)
        .fail(EIO)
        .with_table(&[region(1)], |talk, table| talk.ask(Fe::SET_MEM_TABLE, table))
        .again();
    let used = Payload::MemReg(MemReg { padding: 0, region: region(0) });
    let remove = Talk::new().running(VIRTIO, slots).fail(EIO).ask(Fe::REM_MEM_REG, used).again();
    let invalidate = Talk::new()
        .running(VIRTIO | virtio::IOMMU_PLATFORM, PROTOCOL)
        .get(Fe::IOTLB_MSG, iotlb(Iotlb::UPDATE, 0, 0x1000, USER), Payload::U64(0))
        .fail(EIO)
        .ask(Fe::IOTLB_MSG, iotlb(Iotlb::INVALIDATE, 0, 0x1000, 0))
        .again();
    vec![
        fails("fails-quiesce-for-a-table", "rings cannot rest while a table is replaced", table),
        fails("fails-quiesce-for-a-region", "rings cannot rest while a region goes", remove),
        fails("fails-quiesce-for-the-iotlb", "rings cannot rest for an invalidation", invalidate),
    ]
}

fn others() -> Vec<Seed> {
    let bits = PROTOCOL
        | protocol::STATUS
        | protocol::RESET_DEVICE
        | protocol::MTU
        | protocol::RARP
        | protocol::CONFIG;
    let begin = || Talk::new().ready(VIRTIO, bits);
    let refused = |request: Fe, payload: Payload<'_>| begin().fail(EIO).nack(request, payload);
    let status = refused(Fe::SET_STATUS, Payload::U64(0xf))
        .get(Fe::GET_STATUS, Payload::None, Payload::U64(0))
        .status(1);
    let reset = Talk::new()
        .running(VIRTIO, bits)
        .fail(EIO)
        .nack(Fe::RESET_DEVICE, Payload::None)
        .stop_both()
        .ack(Fe::RESET_DEVICE, Payload::None);
    let mtu = refused(Fe::NET_SET_MTU, Payload::U64(9000)).alive();
    let rarp = refused(Fe::SEND_RARP, Payload::U64(1)).alive();
    let read = begin().fail(EIO).bad_get_config(0, 60).get_config(0, 60, &[]).alive();
    let write = begin().fail(EIO).set_config((0, 4, 0), &[1; 4], 1).alive();
    let postcopy = PROTOCOL | protocol::PAGEFAULT;
    let advise = Talk::new()
        .ready(VIRTIO, postcopy)
        .fail(EINVAL)
        .ask(Fe::POSTCOPY_ADVISE, Payload::None)
        .again();
    let end = Talk::new()
        .ready(VIRTIO, postcopy)
        .get(Fe::POSTCOPY_ADVISE, Payload::None, Payload::None)
        .ack(Fe::POSTCOPY_LISTEN, Payload::None)
        .fail(EIO)
        .get(Fe::POSTCOPY_END, Payload::None, Payload::U64(1))
        .alive();
    vec![
        fails("fails-status", "a status that the device does not take is not stored", status),
        fails("fails-reset", "running rings and a device that cannot be reset", reset),
        fails("fails-mtu", "an MTU that the device does not take", mtu),
        fails("fails-rarp", "an announcement that cannot be sent", rarp),
        fails("fails-read-config", "a configuration space that cannot be read, then can", read),
        fails("fails-write-config", "a field that cannot be written", write),
        fails("fails-open-userfaultfd", "POSTCOPY_ADVISE without a userfaultfd", advise),
        fails("fails-close-userfaultfd", "POSTCOPY_END that does not end it", end),
    ]
}

/// Results at the ends of their range: what a device says is not trusted either.
fn boundaries() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::INFLIGHT_SHMFD | protocol::CRYPTO_SESSION;
    let bases = [u64::MAX, 0x1_0000, 0xffff, 0].into_iter().fold(
        Talk::new().ready(VIRTIO, bits).set_up(0),
        |talk, base| {
            let low = u32::from(base.to_le_bytes()[0]) | u32::from(base.to_le_bytes()[1]) << 8;
            talk.kick(0).succeed(base).stopped(0, low)
        },
    );
    let errors = [0, 1, u64::MAX, 0x8000_0000]
        .into_iter()
        .fold(bases, |talk, errno| talk.fail(errno).nack(Fe::SET_VRING_KICK, notifier(0)));
    vec![fails(
        "fails-with-odd-numbers",
        "bases beyond 16 bits and error numbers that are none",
        errors.alive(),
    )]
}
