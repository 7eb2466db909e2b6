//! Memory (spec §6.4), Xen regions, and the IOTLB (spec §6.12).

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Iotlb, MemReg, MemTable, Region, RegionBytes, XenMmap};
use vhost_fuzz_core::vhost_user::{
    BackendRequest, Channel, FrontendRequest as Fe, Layout, Message, Payload,
};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::session::offer::ScriptOffer;

use super::talk::{PROTOCOL, SIZE, Talk, USER, VIRTIO, iotlb, region, state};
use super::{OK, of};

/// Protocol features with memory slots.
const SLOTS: u64 = PROTOCOL | protocol::CONFIGURE_MEM_SLOTS;

pub(super) fn seeds() -> Vec<Seed> {
    [tables(), slots(), xen(), translation(), misses()].concat()
}

fn tables() -> Vec<Seed> {
    let regions: Vec<_> = (0..8).map(region).collect();
    let replaced = Talk::new()
        .ready(VIRTIO, PROTOCOL)
        .table(&regions)
        .table(&regions[..2])
        .ring(0)
        .ring(1)
        .table(&regions[1..3])
        .table(&regions[..1])
        .stop_both()
        .table(&regions);
    // Two regions, then what looks like six more and is not.
    let mut bytes = RegionBytes::new(&regions[..2]).as_bytes().to_vec();
    bytes.resize(8 * 32, 0xa5);
    let padded = |talk: Talk| {
        let table = MemTable::new(2, Layout::default(), &bytes).with_padding(0xffff_ffff);
        talk.ack(Fe::SET_MEM_TABLE, Payload::MemTable(table))
    };
    let padded = padded(padded(Talk::new().attach(PROTOCOL).features(VIRTIO)).ring(0).ring(1));
    vec![
        of(
            "tables-replaced-under-running-rings",
            OK,
            "tables of 1 to 8 regions replace each other before, while and after rings run",
            replaced,
        ),
        of("padded-tables", OK, "tables with a tail that does not count", padded.stop_both()),
    ]
}

fn slots() -> Vec<Seed> {
    let plugged = Talk::new()
        .attach(SLOTS)
        .slots()
        .features(VIRTIO)
        .add(region(0))
        .ring(0)
        .ring(1)
        .add(region(1))
        .add(region(2))
        .remove(region(1))
        .table(&[region(0)])
        .add(region(3))
        .table(&[region(0)])
        .add(region(3))
        .stop_both()
        .remove(region(3))
        .remove(region(0));
    let moved = Region { guest_address: SIZE, ..region(0) };
    let lost = Talk::new()
        .attach(SLOTS)
        .features(VIRTIO)
        .add(region(0))
        .add(region(1))
        .ring(0)
        .ring(1)
        .remove(region(0))
        .add(region(0))
        .enable(0, 1)
        .remove(region(1))
        .stop_both()
        .remove(region(1))
        .nack(Fe::REM_MEM_REG, Payload::MemReg(MemReg { padding: 0, region: moved }))
        .bad_add(moved);
    let full = ScriptOffer { max_mem_slots: 3, ..ScriptOffer::default() };
    let full = (0..3).fold(Talk::offering(full).attach(SLOTS).features(VIRTIO), |talk, number| {
        talk.slots().add(region(number))
    });
    let full = full.bad_add(region(3)).add(region(2)).remove(region(1)).add(region(3));
    let full = full.bad_add(region(4));
    vec![
        of(
            "slots-and-tables",
            OK,
            "regions come and go under running rings; a table replaces them all",
            plugged,
        ),
        of(
            "slots-of-a-used-region",
            "VU-143",
            "the region of running rings goes and comes again; one goes twice; one has moved",
            lost,
        ),
        of("slots-full", "DC-022", "one region more than there are slots", full),
    ]
}

fn xen() -> Vec<Seed> {
    let bits = SLOTS | protocol::XEN_MMAP;
    let offer = ScriptOffer {
        protocol_features: ScriptOffer::default().protocol_features | protocol::XEN_MMAP,
        ..ScriptOffer::default()
    };
    let of_kind = |number: u64, flags: u32| Region {
        xen: Some(XenMmap { flags, domid: 7 }),
        ..region(number)
    };
    let foreign = of_kind(0, 1);
    let grant = of_kind(1, 2);
    let later = of_kind(2, 0x102);
    let talk = Talk::offering(offer)
        .attach(bits)
        .features(VIRTIO)
        .table(&[foreign, grant, later])
        .ring(0)
        .ring(1)
        .add(of_kind(3, 0x102))
        .remove(later)
        .table(&[foreign, later])
        .stop_both()
        .add(later)
        .remove(foreign)
        .bad_add(Region { user_address: foreign.user_address, ..later });
    vec![of(
        "xen-regions",
        "VU-124",
        "regions of 40 bytes: foreign, granted, and not to be mapped in advance",
        talk,
    )]
}

fn translated() -> Talk {
    Talk::new().ready(VIRTIO | virtio::IOMMU_PLATFORM, PROTOCOL).channel()
}

fn translation() -> Vec<Seed> {
    let say = |talk: Talk, message: Payload<'_>, result: u64| {
        talk.get(Fe::IOTLB_MSG, message, Payload::U64(result))
    };
    let update = |iova: u64, size: u64| iotlb(Iotlb::UPDATE, iova, size, USER + (iova & 0xf_ffff));
    let invalidate = |iova: u64, size: u64| iotlb(Iotlb::INVALIDATE, iova, size, 0);
    let talk = say(translated(), update(0x1_0000, 0x1000), 0);
    let talk = say(say(talk, update(0x1_1000, 0x1000), 0).ring(0), update(0x1_0000, 0x2000), 0);
    let talk = say(talk.ring(1), invalidate(0x1_0000, 0x1000), 0);
    let talk = say(talk.table(&[region(1)]), invalidate(0, 0xffff_ffff_ffff_f000), 0);
    let talk = say(talk.stop_both(), update(0x2000, 0x1000), 1);
    let draining = say(translated().ring(0).ring(1), update(0x1_0000, 0x1000), 0)
        .succeed(3)
        .ask(Fe::GET_VRING_BASE, state(0, 0));
    let draining = say(draining, update(0x1_1000, 0x1000), 0)
        .reply(Fe::GET_VRING_BASE, state(0, 3))
        .stop(1, 4);
    vec![
        of(
            "iotlb",
            "VU-210",
            "mappings come, merge and go; the last one lies in no region of the new table",
            talk,
        ),
        of(
            "iotlb-update-while-a-ring-drains",
            OK,
            "the mapping that a request in flight waits for comes after GET_VRING_BASE",
            draining,
        ),
    ]
}

fn misses() -> Vec<Seed> {
    let miss = |iova: u64| {
        Payload::Iotlb(Iotlb {
            iova,
            size: 0,
            user_address: 0,
            permissions: 1,
            kind: Iotlb::MISS,
            padding: [0; 6],
        })
    };
    let fail = Payload::Iotlb(Iotlb {
        iova: 0x9000,
        size: 0,
        user_address: 0,
        permissions: 2,
        kind: Iotlb::ACCESS_FAIL,
        padding: [0; 6],
    });
    let update = iotlb(Iotlb::UPDATE, 0x5000, 0x1000, USER + 0x5000);
    let asked = translated()
        .ring(0)
        .ring(1)
        .send(Message::backend(BackendRequest::IOTLB_MSG, miss(0x5000)).with_need_reply())
        .get(Fe::IOTLB_MSG, update, Payload::U64(0))
        .send(Message::reply(Channel::Backend, BackendRequest::IOTLB_MSG.0, Payload::U64(0)))
        .backend(BackendRequest::IOTLB_MSG, miss(0xdead_0000), 0)
        .backend(BackendRequest::IOTLB_MSG, fail, 0)
        .get(Fe::IOTLB_MSG, iotlb(Iotlb::INVALIDATE, 0x5000, 0x1000, 0), Payload::U64(0));
    let again = Region { guest_address: SIZE, ..region(1) };
    vec![of(
        "iotlb-misses",
        OK,
        "a miss on the back-end channel, its answer on both, one without, and an access failure",
        asked.table(&[region(0), again]).stop_both(),
    )]
}
