//! HZ-40 to HZ-59, HZ-107: memory.

use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_core::vhost_user::payload::{MemReg, MemTable, Region, RegionBytes, VringAddr};
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Layout, Payload};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::script::{FdKind, Record};
use vhost_fuzz_harness::session::offer::ScriptOffer;

use super::super::talk::{PROTOCOL, SIZE, Talk, USER, VIRTIO, addresses, region};
use super::{FAILED, OK, after, after_with, of};

const SLOTS: u64 = PROTOCOL | protocol::CONFIGURE_MEM_SLOTS;

pub(super) fn seeds() -> Vec<Seed> {
    [tables(), overlaps(), files(), offsets(), added(), removed(), running()].concat()
}

fn table(talk: Talk, count: u32, bytes: &[u8], is_fine: bool) -> Talk {
    let table = Payload::MemTable(MemTable::new(count, Layout::default(), bytes));
    if is_fine { talk.ack(Fe::SET_MEM_TABLE, table) } else { talk.nack(Fe::SET_MEM_TABLE, table) }
}

fn tables() -> Vec<Seed> {
    let two = RegionBytes::new(&[region(0), region(1)]);
    let mut padded = RegionBytes::new(&[region(0)]).as_bytes().to_vec();
    padded.resize(256, 0);
    vec![
        after("hz-40-table-of-0-regions", "VU-129", "a table without regions", |talk| {
            table(talk, 0, &[], false)
        }),
        after("hz-41-2-regions-1-fd", "VU-128", "two regions with one descriptor", |talk| {
            table(talk.with_fds(FdKind::MEMFD, 1), 2, two.as_bytes(), false)
        }),
        after("hz-42-padded-table", OK, "one region in a table of 264 bytes", |talk| {
            table(talk, 1, &padded, true).ring(0).stop(0, 1)
        }),
    ]
}

fn overlaps() -> Vec<Seed> {
    let guest = Region { guest_address: SIZE - 0x1000, ..region(1) };
    let user = Region { user_address: USER + SIZE - 1, ..region(1) };
    vec![
        after("hz-43-gpa-overlap", "VU-124", "guest addresses overlap by a page", |talk| {
            talk.bad_table(&[region(0), guest])
        }),
        after("hz-44-uva-overlap", "VU-124", "user addresses overlap by a byte", |talk| {
            talk.bad_table(&[region(0), user]).bad_table(&[user, region(0)])
        }),
        after("hz-45-gpa-wraps", "VU-123", "a guest address wraps, in the last region", |talk| {
            let high = |address: u64| Region { guest_address: address, ..region(1) };
            talk.bad_table(&[region(0), high(u64::MAX - SIZE + 2)])
                .table(&[region(0), high(u64::MAX - SIZE + 1 - 0x1000)])
        }),
    ]
}

/// A table of one region with this file; `errno` is why it cannot be mapped, if it cannot.
fn with_file(talk: Talk, kind: FdKind, size: u64, errno: Option<u64>) -> Talk {
    let talk = match errno {
        Some(errno) => talk.fail(errno),
        None => talk,
    };
    let bytes = RegionBytes::new(&[region(0)]);
    let talk = talk.record(Record::Fd { kind, seals: 0, size }).with_fds(kind, 0);
    table(talk, 1, bytes.as_bytes(), errno.is_none())
}

fn files() -> Vec<Seed> {
    let size = Region { size: 1 << 60, ..region(0) };
    vec![
        after("hz-46-file-too-short", FAILED, "a file shorter than its region", |talk| {
            with_file(talk, FdKind::MEMFD, 0x1000, Some(22))
        }),
        after("hz-46a-ring-in-the-missing-part", OK, "mapped all the same, then used", |talk| {
            with_file(talk, FdKind::MEMFD, 0x1000, None).ring(0).ring(1).stop_both()
        }),
        after("hz-46b-regions-in-odd-files", FAILED, "a pipe, a directory, a socket", |talk| {
            [FdKind::PIPE, FdKind::OTHER, FdKind::SOCKET]
                .into_iter()
                .fold(talk, |talk, kind| with_file(talk, kind, 0, Some(19)))
        }),
        after("hz-58b-region-of-2-to-the-60", FAILED, "a region larger than any memory", |talk| {
            talk.fail(12).bad_table(&[size])
        }),
    ]
}

fn offsets() -> Vec<Seed> {
    let at = |mmap_offset: u64| Region { mmap_offset, ..region(0) };
    vec![
        after("hz-58-mmap-offset-wraps", "VU-123", "an offset in the file that wraps", |talk| {
            talk.bad_table(&[at(u64::MAX - SIZE + 2)]).table(&[at(0x1000)])
        }),
        after("hz-58a-mmap-offset-odd", OK, "an offset that is no multiple of a page", |talk| {
            talk.table(&[at(0x800)]).table(&[at(0x1000)]).ring(0).stop(0, 1)
        }),
    ]
}

fn added() -> Vec<Seed> {
    let few = ScriptOffer { max_mem_slots: 2, ..ScriptOffer::default() };
    let few = Talk::offering(few).ready(VIRTIO, SLOTS).slots().add(region(1)).bad_add(region(2));
    let wrapping = Region { user_address: u64::MAX - SIZE + 2, ..region(1) };
    let moved = Region { user_address: USER + 9 * SIZE, ..region(1) };
    let inside =
        VringAddr { descriptor: !0xfff, used: !0x1fff, available: !0x2fff, ..addresses(0) };
    let reg = |region: Region| Payload::MemReg(MemReg { padding: 0, region });
    let add = |name, rule, shows, region: Region| {
        after_with(SLOTS, name, rule, shows, move |talk| talk.bad_add(region).add(self::region(3)))
    };
    let odd = |fds: usize| {
        move |talk: Talk| talk.with_fds(FdKind::MEMFD, fds).nack(Fe::ADD_MEM_REG, reg(region(1)))
    };
    vec![
        after_with(
            SLOTS,
            "hz-47-add-twice",
            OK,
            "regions that are there, one of them in use",
            |talk| {
                talk.add(region(1)).ring(0).add(region(1)).add(region(0)).stop(0, 1).add(region(0))
            },
        ),
        after_with(SLOTS, "add-twice-moved", "VU-124", "a region with another address", |talk| {
            talk.add(region(1)).bad_add(moved).bad_add(Region { size: SIZE / 2, ..region(1) })
        }),
        add("hz-48-add-size-0", "VU-123", "a region of 0 bytes", Region { size: 0, ..region(1) }),
        add(
            "hz-49-add-gpa-wraps",
            "VU-123",
            "a guest address that wraps",
            Region { guest_address: u64::MAX - SIZE + 2, ..region(1) },
        ),
        add("hz-50-add-uva-wraps", "VU-123", "a user address that wraps", wrapping),
        after_with(SLOTS, "hz-51-ring-in-the-wrap", "VU-123", "a ring in no region", |talk| {
            talk.bad_add(wrapping)
                .num(0, 256)
                .ack(Fe::SET_VRING_ADDR, Payload::Addr(inside))
                .kick(0)
                .stop(0, 0)
        }),
        after_with(SLOTS, "hz-52-add-without-fd", "VU-020", "no file to map", odd(0)),
        after_with(SLOTS, "hz-52-add-2-fds", "VU-020", "two files to map", odd(2)),
        after_with(SLOTS, "hz-53-add-32-bytes", "DC-005", "a region without padding", |talk| {
            talk.with_fds(FdKind::MEMFD, 1).nack(Fe::ADD_MEM_REG, Payload::Unknown(&[1; 32]))
        }),
        of("hz-59-more-than-max-slots", "DC-022", "one region too many", few.alive()),
    ]
}

fn removed() -> Vec<Seed> {
    let reg = |region: Region| Payload::MemReg(MemReg { padding: 7, region });
    let other = Region { user_address: USER + 0x1000, ..region(1) };
    let moved = Region { mmap_offset: 0x1234_5678, ..region(1) };
    vec![
        after_with(SLOTS, "hz-54-remove-with-fd", OK, "the descriptor is closed", |talk| {
            talk.add(region(1))
                .with_fds(FdKind::MEMFD, 1)
                .ack(Fe::REM_MEM_REG, reg(moved))
                .add(region(1))
        }),
        after_with(SLOTS, "hz-55-remove-unknown", OK, "regions that are not there", |talk| {
            talk.add(region(1)).remove(region(5)).remove(region(1)).remove(region(1))
        }),
        after_with(SLOTS, "hz-55-remove-overlapping", "VU-143", "a piece of a region", |talk| {
            let piece = Region { size: SIZE / 2, ..region(1) };
            talk.add(region(1)).nack(Fe::REM_MEM_REG, reg(piece)).remove(region(1))
        }),
        after_with(SLOTS, "hz-56-remove-wrong-uva", "VU-143", "another user address", |talk| {
            talk.add(region(1)).nack(Fe::REM_MEM_REG, reg(other)).remove(moved)
        }),
    ]
}

fn running() -> Vec<Seed> {
    let lost = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .table(&[region(1)])
        .kick(0)
        .table(&[region(0)])
        .kick(1)
        .stop_both();
    let piece = Region { size: SIZE / 2, ..region(2) };
    let mixed = Talk::new()
        .attach(SLOTS)
        .features(VIRTIO)
        .table(&[region(0)])
        .add(region(1))
        .ring(0)
        .table(&[region(0), region(2)])
        .add(region(1))
        .nack(Fe::REM_MEM_REG, Payload::MemReg(MemReg { padding: 0, region: piece }))
        .stop(0, 1);
    vec![
        of("hz-57-rings-lose-their-memory", OK, "a table without the rings that run", lost),
        of("hz-107-table-add-table", "VU-143", "only the last table remains", mixed),
    ]
}
