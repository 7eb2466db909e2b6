//! What both ends agree on, before there are rings.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result, bail, ensure};
use vhost_fuzz_core::net::config_space;
use vhost_fuzz_core::vhost_user::features::{self, Names, protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{
    Config, MemReg, MemTable, Region, RegionBytes, VringState,
};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Layout as Wire, Message, Payload};
use vhost_fuzz_world::ram::{Layout, Shared};

use super::{Case, Served, case};
use crate::front::FrontEnd;
use crate::trial::Trial;

pub(super) const CASES: &[Case] = &[
    case("basic.connect", "a front-end comes, asks and goes", connect),
    case("basic.owner", "SET_OWNER is acknowledged, again too", owner),
    case("basic.features", "features are offered, chosen, and chosen again", features),
    case("basic.features-not-offered", "a feature that is not offered is refused", |trial| {
        refused(trial, R::SET_FEATURES, Payload::U64(virtio::VERSION_1 | 1 << 62), &[])
    }),
    case("basic.protocol-features", "protocol features are offered and chosen", protocol_features),
    case("basic.protocol-not-offered", "one that is not offered is refused", |trial| {
        refused(trial, R::SET_PROTOCOL_FEATURES, Payload::U64(1 << 63), &[])
    }),
    case("basic.queue-number", "GET_QUEUE_NUM tells the pairs that there are", queue_number),
    case("basic.memory-slots", "GET_MAX_MEM_SLOTS admits a table of 8 regions", memory_slots),
    case("basic.config-read", "the configuration space, as a whole and in windows", config_read),
    case("basic.config-write", "no field is writable for the driver", config_write),
    case("basic.memory-1", "a memory table of one region", |trial| memory(trial, 1)),
    case("basic.memory-8", "a memory table of eight regions", |trial| memory(trial, 8)),
    case("basic.memory-fds", "tables with too few and too many descriptors", memory_fds),
    case("basic.memory-overlap", "regions that overlap are refused", memory_overlap),
    case("basic.memory-regions", "regions that come and go one by one", memory_regions),
    case("basic.ack", "REPLY_ACK: 0 for what was done, another number for what was not", ack),
    case("basic.no-ack", "without REPLY_ACK there is no answer to be acknowledged", no_ack),
    case("basic.status", "the device status is what was set", status),
    case(
        "basic.reset-device",
        "RESET_DEVICE clears the status and keeps the connection",
        |trial| reset(trial, R::RESET_DEVICE),
    ),
    case("basic.reset-owner", "RESET_OWNER, which no front-end sends, is survived", reset_owner),
    case("basic.unknown-request", "a request that nobody knows is refused", |trial| {
        unserved(trial, &Message::frontend(R(200), Payload::None))
    }),
    case("basic.unoffered-request", "a request of a feature that is not offered", |trial| {
        let state = VringState { index: 0, num: 0 };
        unserved(trial, &Message::frontend(R::SET_VRING_ENDIAN, Payload::State(state)))
    }),
];

fn connect(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let mut wire = served.wire()?;
    let offered = wire.features()?;
    ensure!(wire.features()? == offered, "the second answer differs from the first");
    drop(wire);
    let said = served.ended(trial, 1)?;
    ensure!(said.contains("it closed the connection"), "the back-end says: {said}");
    trial.note("back-end", said);
    Ok(())
}

fn owner(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::REPLY_ACK)?;
    let again = Message::frontend(R::SET_OWNER, Payload::None).with_need_reply();
    let answer = front_end.wire.number(&again, &[])?;
    trial.note("the second SET_OWNER", format!("is answered with {answer}"));
    drop(front_end);
    served.serves()
}

fn features(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &["--packed"])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::REPLY_ACK)?;
    let (all, _) = front_end.negotiated();
    trial.note("offered", Names(all, features::VIRTIO).to_string());
    for (bit, name) in [
        (virtio::VERSION_1, "VERSION_1"),
        (virtio::PROTOCOL_FEATURES, "PROTOCOL_FEATURES"),
        (virtio::RING_PACKED, "RING_PACKED"),
        (virtio::EVENT_IDX, "EVENT_IDX"),
        (virtio::INDIRECT_DESC, "INDIRECT_DESC"),
    ] {
        ensure!(all & bit != 0, "{name} is not offered: {all:#x}");
    }
    for chosen in [all & !virtio::RING_PACKED, virtio::VERSION_1 | virtio::PROTOCOL_FEATURES, all] {
        front_end.must(R::SET_FEATURES, Payload::U64(chosen), &[])?;
    }
    ensure!(front_end.number(R::GET_FEATURES)? == all, "the offer has changed");
    Ok(())
}

fn protocol_features(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let front_end = served.negotiated(u64::MAX, u64::MAX)?;
    let (_, chosen) = front_end.negotiated();
    trial.note("offered", Names(chosen, features::PROTOCOL).to_string());
    let needed = protocol::MQ
        | protocol::REPLY_ACK
        | protocol::CONFIG
        | protocol::INFLIGHT_SHMFD
        | protocol::CONFIGURE_MEM_SLOTS
        | protocol::RESET_DEVICE
        | protocol::STATUS;
    let missing = needed & !chosen;
    ensure!(missing == 0, "not offered: {}", Names(missing, features::PROTOCOL));
    Ok(())
}

/// With an acknowledgement that is not zero, and a connection that goes on.
fn is_refused(
    front_end: &mut FrontEnd,
    request: R,
    payload: Payload<'_>,
    fds: &[BorrowedFd<'_>],
) -> Result<()> {
    let answer = acknowledgement(front_end, request, payload, fds)?;
    ensure!(answer != 0, "{request:?} should be refused, and is acknowledged");
    Ok(())
}

/// Sends a request past the rules of our front-end, and says how it is acknowledged. The
/// connection goes on.
fn acknowledgement(
    front_end: &mut FrontEnd,
    request: R,
    payload: Payload<'_>,
    fds: &[BorrowedFd<'_>],
) -> Result<u64> {
    let message = Message::frontend(request, payload).with_need_reply();
    let answer = front_end.wire.number(&message, fds)?;
    front_end.number(R::GET_FEATURES).with_context(|| format!("after {request:?}"))?;
    Ok(answer)
}

/// What no front-end may send is refused; without an acknowledgement, the connection is closed.
fn refused(
    trial: &mut Trial,
    request: R,
    payload: Payload<'_>,
    fds: &[BorrowedFd<'_>],
) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::REPLY_ACK)?;
    is_refused(&mut front_end, request, payload, fds)?;
    drop(front_end);
    let mut wire = served.wire()?;
    wire.message(&Message::frontend(request, payload), fds)?;
    wire.is_closed()?;
    let said = served.ended(trial, 2)?;
    ensure!(said.contains("refused"), "the back-end says: {said}");
    trial.note("back-end", said);
    served.serves()
}

/// Known or not: refused with an acknowledgement, and the end of a connection without one.
fn unserved(trial: &mut Trial, message: &Message<'_>) -> Result<()> {
    refused(trial, R(message.code), message.payload, &[])
}

fn queue_number(trial: &mut Trial) -> Result<()> {
    for (number, pairs) in (1..).zip([1_u64, 2, 8]) {
        let link =
            crate::link::Link::new(trial, &format!("s{number}"), crate::link::Listens::Back)?;
        let arguments = ["--queues", &pairs.to_string()];
        let listens = crate::link::Listens::Back;
        let _back_end = crate::back_end::BackEnd::start(trial, &link, listens, &arguments)?;
        let mut front_end = FrontEnd::connect(&link.front)?;
        front_end.negotiate(u64::MAX, protocol::MQ | protocol::REPLY_ACK)?;
        let number = front_end.number(R::GET_QUEUE_NUM)?;
        ensure!(number == pairs, "{pairs} pairs, and GET_QUEUE_NUM tells {number}");
    }
    trial.note("queues", "1, 2 and 8 pairs");
    Ok(())
}

fn memory_slots(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::ALL)?;
    let slots = front_end.number(R::GET_MAX_MEM_SLOTS)?;
    trial.note("slots", slots.to_string());
    ensure!(slots >= 8, "{slots} slots have no room for a table of 8 regions");
    Ok(())
}

/// A window of the configuration space.
fn window(front_end: &mut FrontEnd, offset: u32, size: u32) -> Result<Vec<u8>> {
    let zeros = vec![0; usize::try_from(size)?];
    let window = Config { offset, size, flags: 0, payload: &zeros };
    front_end.get(R::GET_CONFIG, Payload::Config(window), &[])?.config()
}

fn config_read(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &["--mtu", "1400"])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::CONFIG | protocol::REPLY_ACK)?;
    let whole = window(&mut front_end, 0, u32::try_from(config_space::LEN)?)?;
    let expected = [2, 0, 0, 0, 0, 2];
    ensure!(whole[..6] == expected, "the Ethernet address is {:02x?}", &whole[..6]);
    ensure!(whole[10..12] == 1400_u16.to_le_bytes(), "the MTU is {:02x?}", &whole[10..12]);
    for (offset, size) in [(0, 1), (0, 6), (3, 3), (6, 2), (10, 2)] {
        let part = window(&mut front_end, offset, size)?;
        let (offset, size) = (usize::try_from(offset)?, usize::try_from(size)?);
        let expected = &whole[offset..offset + size];
        ensure!(part == expected, "{size} bytes at {offset} are {part:02x?}, not {expected:02x?}");
    }
    trial.note("space", format!("{whole:02x?}"));
    Ok(())
}

fn config_write(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::CONFIG | protocol::REPLY_ACK)?;
    let before = window(&mut front_end, 0, 12)?;
    let write = Config { offset: 0, size: 6, flags: Config::WRITABLE, payload: &[9; 6] };
    is_refused(&mut front_end, R::SET_CONFIG, Payload::Config(write), &[])?;
    let beyond = Config { offset: 250, size: 6, flags: Config::WRITABLE, payload: &[9; 6] };
    is_refused(&mut front_end, R::SET_CONFIG, Payload::Config(beyond), &[])?;
    let after = window(&mut front_end, 0, 12)?;
    ensure!(before == after, "the space was {before:02x?} and is {after:02x?}");
    Ok(())
}

/// So many regions that lie one after the other in a file.
fn regions(ram: &Shared, count: u64) -> Vec<Region> {
    let first = ram.layout().regions()[0];
    let size = first.size / 16;
    (0..count)
        .map(|at| Region {
            guest_address: first.guest_address + at * size,
            size,
            user_address: first.user_address + at * size,
            mmap_offset: first.mmap_offset + at * size,
            xen: None,
        })
        .collect()
}

/// A table of regions.
fn table(bytes: &RegionBytes, count: u32) -> Payload<'_> {
    Payload::MemTable(MemTable::new(count, Wire::default(), bytes.as_bytes()))
}

fn memory(trial: &mut Trial, count: u32) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::REPLY_ACK)?;
    let ram = Shared::new(Layout::Large)?;
    let bytes = RegionBytes::new(&regions(&ram, count.into()));
    let fds = vec![ram.file().as_fd(); usize::try_from(count)?];
    // The second one takes the place of the first.
    for _ in 0..2 {
        front_end.must(R::SET_MEM_TABLE, table(&bytes, count), &fds)?;
    }
    trial.note("SET_MEM_TABLE", format!("{count} regions, acknowledged with 0"));
    Ok(())
}

fn memory_fds(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let ram = Shared::new(Layout::Large)?;
    let bytes = RegionBytes::new(&regions(&ram, 3));
    for count in [0, 1, 2, 4, 8] {
        let mut front_end = served.negotiated(u64::MAX, protocol::REPLY_ACK)?;
        let fds = vec![ram.file().as_fd(); count];
        let message = Message::frontend(R::SET_MEM_TABLE, table(&bytes, 3)).with_need_reply();
        front_end.wire.message(&message, &fds)?;
        // Refused, or the end of the connection.
        if let Some(reply) = front_end.wire.receive()? {
            match reply.message(Wire::default())?.payload {
                Payload::U64(answer) if answer != 0 => {}
                other => bail!("3 regions with {count} descriptors are answered with {other:?}"),
            }
        }
    }
    trial.note("refused", "3 regions with 0, 1, 2, 4 and 8 descriptors");
    served.serves()
}

fn memory_overlap(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::REPLY_ACK)?;
    let ram = Shared::new(Layout::Large)?;
    let mut regions = regions(&ram, 2);
    regions[1].guest_address -= 4096;
    let bytes = RegionBytes::new(&regions);
    let fds = [ram.file().as_fd(); 2];
    is_refused(&mut front_end, R::SET_MEM_TABLE, table(&bytes, 2), &fds)?;
    drop(front_end);
    served.serves()
}

fn memory_regions(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let wanted = protocol::REPLY_ACK | protocol::CONFIGURE_MEM_SLOTS;
    let mut front_end = served.negotiated(u64::MAX, wanted)?;
    let ram = Shared::new(Layout::Large)?;
    let region = |region| Payload::MemReg(MemReg { padding: 0, region });
    let all = regions(&ram, 8);
    let fds = [ram.file().as_fd()];
    for added in &all {
        front_end.must(R::ADD_MEM_REG, region(*added), &fds)?;
    }
    // Front-ends exist that say each of them once for each pair of queues (DC-161, DC-162).
    let again = acknowledgement(&mut front_end, R::ADD_MEM_REG, region(all[3]), &fds)?;
    ensure!(again == 0, "a region that comes once more is answered with {again:#x}");
    let moved = Region { user_address: all[3].user_address + 1, ..all[3] };
    is_refused(&mut front_end, R::ADD_MEM_REG, region(moved), &fds)?;
    is_refused(&mut front_end, R::REM_MEM_REG, region(moved), &[])?;
    for removed in all.iter().rev() {
        front_end.must(R::REM_MEM_REG, region(*removed), &[])?;
    }
    let again = acknowledgement(&mut front_end, R::REM_MEM_REG, region(all[0]), &[])?;
    ensure!(again == 0, "the removal of what is gone is answered with {again:#x}");
    trial.note("regions", format!("{} added and removed", all.len()));
    drop(front_end);
    served.serves()
}

fn ack(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::REPLY_ACK)?;
    let good = VringState { index: 0, num: 256 };
    front_end.must(R::SET_VRING_NUM, Payload::State(good), &[])?;
    let bad = [
        VringState { index: 0, num: 0 },
        VringState { index: 0, num: 65536 },
        VringState { index: 3, num: 256 },
        VringState { index: 0x1_0000, num: 256 },
    ];
    for state in bad {
        is_refused(&mut front_end, R::SET_VRING_NUM, Payload::State(state), &[])?;
    }
    trial.note("refused", "sizes 0 and 65536, rings 3 and 65536 of 3");
    Ok(())
}

fn no_ack(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, 0)?;
    let state = Payload::State(VringState { index: 0, num: 256 });
    let asks = Message::frontend(R::SET_VRING_NUM, state).with_need_reply();
    // The next thing that comes has to be the answer to the next request.
    front_end.wire.message(&asks, &[])?;
    front_end.wire.features()?;
    Ok(())
}

fn status(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::STATUS | protocol::REPLY_ACK)?;
    for status in [1, 3, 11, 15] {
        front_end.must(R::SET_STATUS, Payload::U64(status), &[])?;
        let answer = front_end.number(R::GET_STATUS)?;
        ensure!(answer == status, "status {status} was set, and {answer} is read");
    }
    is_refused(&mut front_end, R::SET_STATUS, Payload::U64(256), &[])
}

fn reset(trial: &mut Trial, request: R) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let wanted = protocol::STATUS | protocol::RESET_DEVICE | protocol::REPLY_ACK;
    let mut front_end = served.negotiated(u64::MAX, wanted)?;
    front_end.must(R::SET_STATUS, Payload::U64(15), &[])?;
    front_end.must(request, Payload::None, &[])?;
    let answer = front_end.number(R::GET_STATUS)?;
    ensure!(answer == 0, "after {request:?} the status is {answer}");
    front_end.number(R::GET_FEATURES)?;
    Ok(())
}

fn reset_owner(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let mut front_end = served.negotiated(u64::MAX, protocol::REPLY_ACK)?;
    let message = Message::frontend(R::RESET_OWNER, Payload::None).with_need_reply();
    let answer = front_end.wire.number(&message, &[])?;
    ensure!(answer == 0, "RESET_OWNER is answered with {answer}");
    front_end.wire.features().context("after RESET_OWNER")?;
    trial.note("RESET_OWNER", "acknowledged with 0, and the connection goes on");
    drop(front_end);
    served.serves()
}
