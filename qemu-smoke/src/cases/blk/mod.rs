//! QEMU as the back-end: blocks through `qemu-storage-daemon`, whose image is looked at.

mod daemon;
mod rude;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_world::driver::{Form, Style};

use super::{Case, Group, Need};
use crate::front::disk::{Disk, OK, SECTOR, feature, kind, readable, segment};
use crate::front::{Negotiation, PATIENCE};
use crate::trial::{NotOffered, Trial};

use daemon::QUEUES;
pub(super) use daemon::{Daemon, IMAGE};

/// How long a case may take.
const LIMIT: Duration = Duration::from_secs(60);

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    let needs = &[Need::StorageDaemon];
    Case { name, group: Group::Blk, shows, needs, limit: LIMIT, is_in_ci: false, run }
}

pub(super) const CASES: &[Case] = &[
    case("blk.config", "the negotiation, and the size of the image", config),
    Case {
        is_in_ci: true,
        ..case("blk.split", "blocks through split rings, and in the image", |trial| {
            blocks(trial, 0, Form::Direct)
        })
    },
    Case {
        is_in_ci: true,
        ..case("blk.indirect", "the same through indirect tables and with event indices", |trial| {
            blocks(trial, virtio::INDIRECT_DESC | virtio::EVENT_IDX, Form::Indirect)
        })
    },
    case("blk.packed", "the same through packed rings, if they are offered", packed),
    case("blk.multiqueue", "two queues at once, thirty-two requests deep", multiqueue),
    case("blk.reconnect", "front-ends that come back, and a daemon that was killed", reconnect),
    case("blk.bad-requests", "requests that cannot be are no success, and harm nobody", rude::run),
];

fn config(trial: &mut Trial) -> Result<()> {
    let daemon = Daemon::start(trial)?;
    let negotiation = Negotiation::of(daemon.path())?;
    let queues = negotiation.queues.context("GET_QUEUE_NUM is not offered")?;
    ensure!(queues == u64::from(QUEUES), "{QUEUES} queues are exported, and {queues} are told");
    let disk = Disk::connect(daemon.path(), 0, 1)?;
    let sectors = IMAGE / SECTOR;
    ensure!(disk.capacity() == sectors, "{} sectors, not {sectors}", disk.capacity());
    ensure!(disk.queues() == QUEUES, "the space tells {} queues", disk.queues());
    let block = disk.block_size();
    ensure!(u64::from(block) == SECTOR, "a block has {block} bytes");
    trial.note("negotiation", negotiation.to_string());
    trial.note("disk", format!("{sectors} sectors, blocks of {block} bytes, {QUEUES} queues"));
    Ok(())
}

/// What is written to a place: no two places have the same.
fn content(sector: u64, len: usize) -> Vec<u8> {
    (sector.wrapping_mul(0x9e37_79b9)..)
        .map(|number| number.wrapping_mul(0x5851_f42d_4c95_7f2d).to_be_bytes()[0] | 1)
        .take(len)
        .collect()
}

/// First sector and bytes of what is written: short and long, at both ends of the image.
const PLACES: [(u64, usize); 7] = [
    (0, 512),
    (1, 1024),
    (100, 4096),
    (1000, 512 * 3),
    (4096, 65536),
    (20000, 131_072),
    (IMAGE / SECTOR - 1, 512),
];

fn blocks(trial: &mut Trial, rings: u64, form: Form) -> Result<()> {
    let daemon = Daemon::start(trial)?;
    let marker = content(7, 4096);
    daemon.write(300, &marker)?;
    let mut disk = Disk::connect(daemon.path(), rings, 1)?;
    // One buffer for each part of a request, and many.
    for parts in [2, 3, 9] {
        let style = Style {
            form,
            readable_parts: parts,
            writable_parts: parts,
            seed: parts.into(),
            is_filled: true,
            ..Style::default()
        };
        let read = disk.must(0, (kind::READ, 300, &[]), 4096, &style)?;
        ensure!(read == marker, "what is in the image is not what is read");
        for (sector, len) in PLACES {
            let data = content(sector + u64::from(parts), len);
            disk.must(0, (kind::WRITE, sector, &data), 0, &style)?;
            let there = daemon.read(sector, len)?;
            ensure!(there == data, "{len} bytes at sector {sector} are not in the image");
            let back = disk.must(0, (kind::READ, sector, &[]), len as u64, &style)?;
            ensure!(back == data, "{len} bytes at sector {sector} are not read back");
        }
        extras(trial, &daemon, &mut disk, &style, parts == 2)?;
    }
    let (features, base) = (disk.device.features(), disk.device.base(0));
    let stopped = disk.device.stop(0)?;
    ensure!(stopped == base, "the ring stopped at {stopped:#x}, and the driver is at {base:#x}");
    trial.note("negotiated", format!("{features:#x}"));
    trial.note("blocks", format!("{} writes and reads, ring at {base:#x}", 3 * PLACES.len()));
    Ok(())
}

/// Flush, identification, discard and write-zeroes, as far as they are offered.
fn extras(
    trial: &mut Trial,
    daemon: &Daemon,
    disk: &mut Disk,
    style: &Style,
    is_noted: bool,
) -> Result<()> {
    let mut done = Vec::new();
    if disk.has(feature::FLUSH) {
        disk.must(0, (kind::FLUSH, 0, &[]), 0, style)?;
        done.push("flush");
    }
    let id = disk.must(0, (kind::GET_ID, 0, &[]), 20, style)?;
    let id = id.split(|byte| *byte == 0).next().unwrap_or_default();
    let id = String::from_utf8_lossy(id).into_owned();
    for (offered, code, name) in [
        (feature::DISCARD, kind::DISCARD, "discard"),
        (feature::WRITE_ZEROES, kind::WRITE_ZEROES, "write-zeroes"),
    ] {
        if !disk.has(offered) {
            continue;
        }
        let (sector, len) = (8192, 16 * 512);
        disk.must(0, (kind::WRITE, sector, &content(sector, len)), 0, style)?;
        disk.must(0, (code, 0, &segment(sector + 8, 8, 0)), 0, style)?;
        let there = daemon.read(sector, len)?;
        let (kept, gone) = there.split_at(8 * 512);
        ensure!(kept == &content(sector, len)[..8 * 512], "{name} has changed its neighbours");
        ensure!(gone.iter().all(|byte| *byte == 0), "after {name} there is still something");
        done.push(name);
    }
    if is_noted {
        trial.note("identification", format!("{id:?}"));
        trial.note("commands", done.join(", "));
    }
    Ok(())
}

fn packed(trial: &mut Trial) -> Result<()> {
    let daemon = Daemon::start(trial)?;
    let offered = Negotiation::of(daemon.path())?.features;
    if offered & virtio::RING_PACKED == 0 {
        return Err(NotOffered("packed rings, by qemu-storage-daemon").into());
    }
    drop(daemon);
    std::fs::remove_file(trial.path("image"))?;
    blocks(trial, virtio::RING_PACKED, Form::Direct)
}

fn multiqueue(trial: &mut Trial) -> Result<()> {
    const DEPTH: u64 = 32;
    const BLOCK: usize = 4096;
    let daemon = Daemon::start(trial)?;
    let mut disk = Disk::connect(daemon.path(), virtio::EVENT_IDX, 2)?;
    let style = Style::default();
    let sector = |queue: usize, at: u64| 8 * (2 * at + queue as u64);
    for queue in 0..2 {
        for at in 0..DEPTH {
            let data = content(sector(queue, at), BLOCK);
            disk.send(queue, &readable(kind::WRITE, sector(queue, at), &data), 1, &style)?;
        }
    }
    // They come back in any order.
    for queue in [1, 0] {
        for _ in 0..DEPTH {
            let done = disk.wait(queue, Instant::now() + PATIENCE)?;
            let status = done.data.last().copied();
            ensure!(status == Some(OK), "queue {queue}: a write ends with {status:?}");
        }
    }
    for queue in 0..2 {
        for at in 0..DEPTH {
            let there = daemon.read(sector(queue, at), BLOCK)?;
            let data = content(sector(queue, at), BLOCK);
            ensure!(there == data, "queue {queue}: write {at} is not in the image");
        }
        let bytes = u64::try_from(BLOCK)?;
        // Written through one queue, read through the other.
        let read = disk.must(1 - queue, (kind::READ, sector(queue, 3), &[]), bytes, &style)?;
        ensure!(read == content(sector(queue, 3), BLOCK), "queue {queue} reads something else");
    }
    trial.note("writes", format!("2 x {DEPTH} of {BLOCK} bytes, all in the image"));
    Ok(())
}

fn reconnect(trial: &mut Trial) -> Result<()> {
    const COUNT: u64 = 20;
    let mut daemon = Daemon::start(trial)?;
    let style = Style::default();
    for number in 0..COUNT {
        if number == COUNT / 2 {
            daemon.restart(trial)?;
        }
        let mut disk = Disk::connect(daemon.path(), 0, 1).with_context(|| format!("{number}"))?;
        if number > 0 {
            let read = disk.must(0, (kind::READ, number - 1, &[]), SECTOR, &style)?;
            ensure!(read == content(number, 512), "front-end {number}: the block is not there");
        }
        disk.must(0, (kind::WRITE, number, &content(number + 1, 512)), 0, &style)?;
    }
    trial.note("front-ends", format!("{COUNT}, and the daemon was killed in between"));
    Ok(())
}
