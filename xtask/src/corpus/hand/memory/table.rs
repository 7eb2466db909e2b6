//! Regions and tables, and where their addresses are found.

use vhost_fuzz_core::vhost_user::FrontendRequest as Fe;
use vhost_fuzz_harness::corpus::Seed;

use super::{OK, Region, SIZE, Script, USER, XEN_MMAP, longs, region, table_of, words};

pub(super) fn seeds() -> Vec<Seed> {
    [tables(), bad_tables(), additions(), removals(), files(), xen(), addresses()].concat()
}

fn plain() -> Script {
    Script::new(0, 0)
}

/// A session with two regions that touch.
fn two() -> Script {
    plain().table(&[region(0), region(1)])
}

fn rows(count: u64) -> Vec<Region> {
    (0..count).map(region).collect()
}

fn tables() -> Vec<Seed> {
    let mut padded = table_of(&[region(0)]);
    padded.resize(264, 0xee);
    vec![
        plain().table(&rows(8)).add(region(8)).table(&[region(9)]).find_guest(9 * SIZE, 1).seed(
            "nine-regions-replaced-by-one",
            OK,
            "a full table and one more region, which a table of one region replaces",
        ),
        plain()
            .ask(Fe::SET_MEM_TABLE, &padded)
            .ask(Fe::SET_MEM_TABLE, &[&padded[..8], &padded[..256]].concat())
            .seed(
                "hz-42-padded-table",
                "VU-123",
                "one region padded to 264 bytes, then a region shifted by 8 bytes whose size is 0",
            ),
        plain().ask(Fe::SET_MEM_TABLE, &padded).find_guest(0, SIZE).seed(
            "hz-42-padded-table-alone",
            OK,
            "one region padded to 264 bytes",
        ),
        two().add(region(2)).table(&[region(5)]).find_user(USER + 5 * SIZE, SIZE).seed(
            "hz-107-table-after-addition",
            OK,
            "a table, one region more, and a table that replaces them all",
        ),
        two().table(&[region(5)]).find_guest(0, 1).seed(
            "hz-107-old-region-is-gone",
            "VU-145",
            "an address of a region that the last table does not have",
        ),
        plain().table(&[[0, u64::MAX, 0, 0]]).seed(
            "largest-region",
            "DC-026",
            "a region of 2^64 - 1 bytes, which ends below 2^64 but in no file",
        ),
    ]
}

fn bad_tables() -> Vec<Seed> {
    let second = |region: Region| plain().table(&[super::region(0), region]);
    vec![
        plain().ask(Fe::SET_MEM_TABLE, &words(&[0, 0])).seed(
            "hz-40-table-without-regions",
            "VU-129",
            "a table of 0 regions",
        ),
        plain().files(&[SIZE]).table(&rows(2)).seed(
            "hz-41-2-regions-1-fd",
            "VU-128",
            "two regions with one descriptor",
        ),
        second([SIZE - 1, SIZE, USER + SIZE, 0]).seed(
            "hz-43-guest-overlap",
            "VU-124",
            "two regions of a table share one guest address",
        ),
        second([SIZE, SIZE, USER + SIZE - 1, 0]).seed(
            "hz-44-user-overlap",
            "VU-124",
            "two regions of a table share one user address, their guest addresses are apart",
        ),
        second([u64::MAX - SIZE + 2, SIZE, USER + SIZE, 0]).seed(
            "hz-45-guest-wraps",
            "VU-123",
            "the guest address of a region plus its size is 2^64 + 1",
        ),
        second([u64::MAX - SIZE + 1, SIZE, USER + SIZE, 0]).seed(
            "hz-45-guest-ends-at-2-to-the-64",
            "VU-123",
            "the guest address of a region plus its size is exactly 2^64",
        ),
        second([u64::MAX - SIZE, SIZE, u64::MAX - SIZE, 0])
            .find_guest(u64::MAX - 1, 1)
            .find_user(u64::MAX - SIZE, SIZE)
            .seed("last-region", OK, "a region that ends one byte before 2^64"),
        second([SIZE, SIZE, u64::MAX, 0]).seed(
            "table-user-wraps",
            "VU-123",
            "the user address of a region plus its size wraps",
        ),
        second([SIZE, SIZE, USER + SIZE, u64::MAX]).seed(
            "hz-58-mmap-offset-wraps",
            "VU-123",
            "the mmap offset of a region plus its size wraps",
        ),
        Script::with_slots(2).table(&rows(2)).table(&rows(3)).seed(
            "hz-59-table-over-the-slots",
            "DC-022",
            "a table of three regions for two slots, after one of two",
        ),
    ]
}

fn additions() -> Vec<Seed> {
    let short = [longs(&[0]), longs(&region(2)[..3])].concat();
    vec![
        two().add(region(1)).add(region(1)).find_guest(0, 2 * SIZE).remove(region(1)).seed(
            "hz-47-add-twice",
            OK,
            "a region that is there already takes the place of itself",
        ),
        two().add([SIZE, SIZE, USER + SIZE, 7 * SIZE]).find_guest(SIZE, SIZE).seed(
            "add-twice-other-offset",
            OK,
            "a region that is there already comes from another offset of its file",
        ),
        two().add([SIZE, SIZE, USER + SIZE, u64::MAX]).seed(
            "add-twice-offset-wraps",
            "VU-123",
            "a region that is there already comes from an offset that wraps with its size",
        ),
        two().add([SIZE, SIZE, USER + 2 * SIZE, 0]).seed(
            "add-twice-other-user",
            "VU-124",
            "the guest address and the size of a region that is there, with another user address",
        ),
        Script::with_slots(1).add(region(0)).add(region(0)).seed(
            "add-twice-to-full-slots",
            OK,
            "a region that is there already needs no other slot",
        ),
        two().add([2 * SIZE, 0, USER + 2 * SIZE, 0]).seed(
            "hz-48-add-size-0",
            "VU-123",
            "an addition of size 0",
        ),
        two().add([u64::MAX - 0xfff, SIZE, USER + 2 * SIZE, 0]).seed(
            "hz-49-add-guest-wraps",
            "VU-123",
            "an addition whose guest address plus size wraps",
        ),
        two().add([2 * SIZE, SIZE, u64::MAX - 0xfff, 0]).seed(
            "hz-50-add-user-wraps",
            "VU-123",
            "an addition whose user address plus size wraps",
        ),
        two()
            .add([2 * SIZE, SIZE, u64::MAX - 0xfff, 0])
            .num(0, 1)
            .ring(0, 0, [u64::MAX - 0xfff, u64::MAX - 0xeff, u64::MAX - 0xdff, 0])
            .place(0)
            .seed(
                "hz-51-ring-in-a-refused-region",
                "VU-123",
                "a ring in a region that was refused, because its user address plus size wraps",
            ),
        two().files(&[SIZE, SIZE]).add(region(2)).seed(
            "hz-52-add-2-fds",
            "VU-020",
            "an addition with two descriptors",
        ),
        two().ask(Fe::ADD_MEM_REG, &short).seed(
            "hz-53-add-32-bytes",
            "DC-005",
            "an addition of 32 bytes, without a mmap offset",
        ),
        Script::with_slots(1).add(region(0)).add(region(1)).seed(
            "hz-59-add-over-the-slots",
            "DC-022",
            "two additions for one slot",
        ),
        plain().add(region(1)).add(region(0)).add(region(2)).find_guest(0, 3 * SIZE).seed(
            "range-over-three-regions",
            OK,
            "a range over three regions, which were not added in the order of their addresses",
        ),
    ]
}

fn removals() -> Vec<Seed> {
    let [guest, size, user, _] = region(1);
    vec![
        two().remove(region(1)).add(region(1)).remove(region(1)).find_guest(0, SIZE).seed(
            "remove-and-add-again",
            OK,
            "a region that is removed, added and removed again",
        ),
        two().files(&[0]).remove(region(1)).seed(
            "hz-54-remove-with-fd",
            OK,
            "a removal with a descriptor, which is closed",
        ),
        two().remove(region(1)).remove(region(1)).remove(region(2)).find_guest(0, SIZE).seed(
            "hz-55-remove-unknown",
            OK,
            "nothing is there of a region that is removed twice, or was never there",
        ),
        two().remove([2 * SIZE - 1, SIZE, USER + 2 * SIZE, 0]).seed(
            "hz-55-remove-overlapping",
            "VU-143",
            "an unknown region that shares one guest address with one that is there",
        ),
        two().remove([2 * SIZE, 0, USER + 2 * SIZE, 0]).seed(
            "remove-size-0",
            "VU-143",
            "a removal of size 0",
        ),
        two().remove([u64::MAX - SIZE + 1, SIZE, USER + 2 * SIZE, 0]).seed(
            "remove-guest-wraps",
            "VU-143",
            "a removal whose guest address plus size is 2^64",
        ),
        two().remove([guest, size, user + 0x1000, 0]).seed(
            "hz-56-remove-wrong-user",
            "VU-143",
            "a removal with the guest address and size of a region and another user address",
        ),
        two().remove([guest, size - 1, user, 0]).seed(
            "remove-wrong-size",
            "VU-143",
            "a removal with the addresses of a region and another size",
        ),
        two().remove([guest, size, user, 0x1234]).find_guest(guest - 1, 1).seed(
            "remove-other-mmap-offset",
            OK,
            "a removal with another mmap offset, which is ignored",
        ),
        two().remove(region(0)).find_user(user, SIZE).find_guest(0, 1).seed(
            "removed-region-is-gone",
            "VU-145",
            "an address of a region that was removed",
        ),
    ]
}

fn files() -> Vec<Seed> {
    let at = |offset: u64| [0, SIZE, USER, offset];
    vec![
        plain().files(&[SIZE - 1]).table(&[region(0)]).seed(
            "hz-46-short-file",
            "DC-026",
            "a file that is one byte shorter than its region",
        ),
        plain().files(&[SIZE + 0x1000]).table(&[at(0x1000)]).find_guest(0x10, 1).seed(
            "hz-58a-huge-page-offset",
            OK,
            "a mmap offset that is a multiple of 4 KiB but not of a huge page",
        ),
        plain().files(&[SIZE + 0x1001]).add(at(0x1001)).find_user(USER, 1).seed(
            "hz-58a-odd-offset",
            OK,
            "a mmap offset that is a multiple of no page size",
        ),
        plain().files(&[SIZE]).table(&[[0, 1 << 60, USER, 0]]).seed(
            "hz-58b-2-to-the-60",
            "DC-026",
            "a region of 2^60 bytes in a file of 2 MiB",
        ),
        plain().table(&[[0, 0x1000, USER, i64::MAX as u64 - 0xfff]]).seed(
            "mmap-beyond-2-to-the-63",
            "DC-026",
            "a region that ends at file offset 2^63",
        ),
    ]
}

fn xen() -> Vec<Seed> {
    let regions = [(0, 1_u32), (1, 0x101)]
        .map(|(index, flags)| [longs(&region(index)), words(&[flags, 7])].concat());
    let table = [words(&[2, 0]), regions.concat()].concat();
    let xen = || Script::new(0, XEN_MMAP).ask(Fe::SET_MEM_TABLE, &table);
    vec![
        xen().find_guest(SIZE - 1, 2).find_user(USER + SIZE, SIZE).seed(
            "xen-on-demand",
            OK,
            "a mapped region, and one that is not mapped in advance: both are found",
        ),
        xen()
            .files(&[1])
            .ask(Fe::ADD_MEM_REG, &[longs(&[0]), longs(&region(2)), words(&[0x100, 7])].concat())
            .ask(Fe::REM_MEM_REG, &[longs(&[0]), longs(&region(1)), words(&[0, 0])].concat())
            .seed(
                "xen-on-demand-file",
                OK,
                "a region that is mapped on demand, in a file that says nothing about its size",
            ),
    ]
}

fn addresses() -> Vec<Seed> {
    // They touch in guest addresses only.
    let apart = || plain().table(&[region(0), [SIZE, SIZE, USER + 2 * SIZE, 0]]);
    vec![
        two()
            .find_guest(0, 1)
            .find_guest(SIZE - 1, 2)
            .find_guest(2 * SIZE - 1, 1)
            .find_guest(0, 2 * SIZE)
            .find_user(USER, 2 * SIZE)
            .find_user(USER + 2 * SIZE - 1, 0)
            .seed("borders", OK, "ranges up to the borders of two regions and over the inner one"),
        two().find_guest(2 * SIZE - 1, 2).seed(
            "range-over-the-end",
            "VU-145",
            "a range whose last byte is in no region",
        ),
        two().find_guest(2 * SIZE, 0).seed(
            "empty-range-outside",
            "VU-145",
            "a range without bytes right after the last region",
        ),
        two().find_user(0, 0).seed(
            "empty-range-at-0",
            "VU-144",
            "a range without bytes at address 0, which is in no region",
        ),
        two().find_guest(SIZE, u64::MAX).seed(
            "range-that-wraps",
            "VU-145",
            "a range that begins in a region and wraps",
        ),
        apart().find_guest(SIZE - 8, 16).find_user(USER + SIZE - 8, 16).seed(
            "regions-that-touch-in-one-space",
            "VU-144",
            "a range over two regions that touch in guest addresses but not in user addresses",
        ),
        plain().find_guest(0, 1).seed("no-regions", "VU-145", "an address without any region"),
        plain()
            .table(&[[0, SIZE, USER, 0x5000], [SIZE, SIZE, USER + SIZE, 0]])
            .find_guest(0x10, 1)
            .seed(
                "mmap-offset-is-no-address",
                OK,
                "an address in a region whose mmap offset is not 0",
            ),
    ]
}
