//! Words of the ring targets: numbers at which a ring changes, flags, descriptors, and steps.

use vhost_fuzz_core::ring::flag;

use super::Entry;
use crate::ram::Layout;
use crate::ring::image::{SIZES, table_address};
use crate::ring::step::{Descriptor, Start, Step, feature};
use crate::script;

/// Indices, sizes and event indices.
const SHORT: [u16; 12] = [6, 7, 15, 17, 0xff, 0x100, 0x3ff, 0x400, 0x7fff, 0x8000, 0xfffe, 0xffff];

/// Lengths of buffers and tables, and bases.
const INT: [u32; 16] = [
    8,
    16,
    17,
    32,
    48,
    16 * 1024,
    16 * 1025,
    16 * 0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
    0x0000_8000,
    0x8000_8000,
    0x7fff_0000,
    0xfffe_fffe,
];

/// Addresses that are in no memory.
const LONG: [u64; 5] = [0x1000, 1 << 32, u64::MAX - 0xfff, u64::MAX - 15, u64::MAX];

/// Numbers at which something changes.
pub(super) fn numbers() -> impl Iterator<Item = Entry> {
    let sizes = SIZES.into_iter().chain(SHORT);
    let short = sizes.map(|it| (format!("short_{it:x}"), it.to_le_bytes().to_vec()));
    let int = INT.into_iter().map(|it| (format!("int_{it:x}"), it.to_le_bytes().to_vec()));
    short.chain(int).chain(addresses())
}

/// The borders of regions, and what else addresses may be.
fn addresses() -> impl Iterator<Item = Entry> {
    let areas = Layout::ALL.into_iter().flat_map(|layout| layout.areas().iter());
    let borders = areas.flat_map(|area| {
        let end = area.start.wrapping_add(area.size);
        [area.start, end.wrapping_sub(1), end]
    });
    let tables = [Layout::Small, Layout::Odd, Layout::Large].map(table_address);
    let mut all: Vec<u64> = borders.chain(tables).chain(LONG).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(|it| (format!("address_{it:x}"), it.to_le_bytes().to_vec()))
}

/// Flags of a descriptor, in all combinations, and descriptors.
pub(super) fn descriptors() -> impl Iterator<Item = Entry> {
    let flags = (0..8_u16).flat_map(|low| {
        [0, flag::AVAIL, flag::USED, flag::AVAIL | flag::USED].map(|high| low | high)
    });
    let flags = flags.map(|it| (format!("flags_{it:04x}"), it.to_le_bytes().to_vec()));
    flags.chain(raw_descriptors())
}

/// Descriptors of images: with the flags at either place, so that both forms have words.
fn raw_descriptors() -> impl Iterator<Item = Entry> {
    let buffer = Layout::Small.areas()[0].start + 0x2000;
    let table = table_address(Layout::Small);
    let kinds = [
        ("readable", buffer, 16, 0),
        ("readable_next", buffer, 16, flag::NEXT),
        ("writable", buffer, 16, flag::WRITE),
        ("writable_next", buffer, 16, flag::WRITE | flag::NEXT),
        ("table", table, 16, flag::INDIRECT),
        ("empty", buffer, 0, flag::NEXT),
    ];
    kinds.into_iter().flat_map(|(name, address, len, flags)| {
        let word = |form: &str, [third, fourth]: [u16; 2]| {
            let mut bytes = u64::to_le_bytes(address).to_vec();
            bytes.extend(u32::to_le_bytes(len));
            bytes.extend(third.to_le_bytes());
            bytes.extend(fourth.to_le_bytes());
            (format!("{form}_{name}"), bytes)
        };
        [word("split", [flags, 1]), word("packed", [1, flags | flag::AVAIL])]
    })
}

/// A record for each kind of step.
pub(super) fn steps() -> impl Iterator<Item = Entry> {
    let moved = Start { features: feature::IN_ORDER, cap: 2, ..Start::of(8, 0xfffe_fffe) };
    let start = Start::of(16, 0x8000_8000);
    let descriptor = |flags| Descriptor { address: start.end(), len: 16, flags };
    let pair = || {
        let pair = [descriptor(flag::NEXT), descriptor(flag::WRITE)];
        pair.into_iter().collect()
    };
    let table = || [descriptor(flag::INDIRECT)].into_iter().collect();
    let small = Start { features: 0, ..Start::of(1, 0) };
    let places = |layout| Step::Start(start.within(layout));
    [
        ("start_split", Step::Start(Start::of(16, 0))),
        ("start_packed", Step::Start(start)),
        ("start_in_order", Step::Start(moved)),
        ("start_one", Step::Start(small)),
        ("start_odd", places(Layout::Odd)),
        ("start_skewed", places(Layout::Skewed)),
        ("start_large", Step::Start(Start::of(0x8000, 0).within(Layout::Large))),
        ("wake", Step::Wake),
        ("pop", Step::Pop { count: 1 }),
        ("pop_all", Step::Pop { count: 64 }),
        ("unpop", Step::Unpop { which: 0 }),
        ("put", Step::Put { which: 0, len: 0 }),
        ("put_len", Step::Put { which: 0, len: 16 }),
        ("put_newest", Step::Put { which: u8::MAX, len: u32::MAX }),
        ("batch", Step::Batch { count: 4, len: 0 }),
        ("publish", Step::Publish),
        ("arm", Step::Arm),
        ("disarm", Step::Disarm),
        ("restart", Step::Restart { is_fresh: false }),
        ("restart_fresh", Step::Restart { is_fresh: true }),
        ("memory_none", Step::Memory { regions: 0 }),
        ("memory_first", Step::Memory { regions: 1 }),
        ("memory_all", Step::Memory { regions: u8::MAX }),
        ("read", Step::Read { border: 8, len: 4 }),
        ("write", Step::Write { len: 16 }),
        ("chain", Step::Chain { id: 0, descriptors: pair() }),
        ("chain_table", Step::Chain { id: 0, descriptors: table() }),
        ("table", Step::Table { address: table_address(Layout::Small), descriptors: pair() }),
        ("wish", Step::Wish { flags: 0, event: 0 }),
        ("wish_event", Step::Wish { flags: 2, event: 0x8000 }),
        ("advance", Step::Advance { by: 1 }),
        ("advance_far", Step::Advance { by: 0x8001 }),
    ]
    .into_iter()
    .map(|(name, step)| (format!("step_{name}"), script::encode(&[step.record()])[1..].to_vec()))
}
