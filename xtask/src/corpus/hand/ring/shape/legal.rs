//! Chains that a device has to serve, whatever they look like.

use super::*;

/// Every flag bit that says nothing in either form.
const NO_MEANING: u16 = 0x7f78;

pub(super) fn shapes() -> Vec<Shape> {
    [plain(), empty(), places(), tables(), placed_tables(), split(), packed()].concat()
}

fn plain() -> Vec<Shape> {
    let single: Vec<_> = (0..8).map(|at| r(BUFFERS + 3 * at, 1).and()).collect();
    let single = [single, vec![w(BUFFERS, 1).and(), w(BUFFERS + 1, 1)]].concat();
    let whole = |count: u64| -> Vec<_> {
        (1..count).map(|at| r(BUFFERS + at, 2).and()).chain([w(BUFFERS, 40)]).collect()
    };
    vec![
        Shape::new("one-readable", "one readable descriptor", &[r(BUFFERS, 32)]).alone(),
        Shape::new("one-writable", "one writable descriptor", &[w(BUFFERS, 32)]).alone(),
        Shape::new(
            "readable-writable",
            "two readable descriptors, then two writable ones",
            &[r(BUFFERS, 16).and(), r(0x1_3000, 7).and(), w(BUFFERS, 16).and(), w(0x1_3100, 1)],
        ),
        Shape::new("single-bytes", "a header and data in buffers of a byte each", &single),
        Shape::new("whole-ring", "a chain of as many descriptors as the ring has", &whole(8))
            .size(8),
        Shape::new("whole-ring-of-32", "a chain of all 32 descriptors", &whole(32))
            .size(32)
            .alone(),
        Shape::new("ring-of-one", "the only descriptor of a ring of one entry", &whole(1))
            .size(1)
            .alone(),
        Shape::new("ring-of-three", "a size that only a packed ring may have", &whole(3))
            .size(3)
            .breaks("VQ-004", OK)
            .alone(),
        Shape::new("ring-of-five", "another size that only a packed ring may have", &whole(4))
            .size(5)
            .breaks("VQ-004", OK)
            .alone(),
        Shape::new("over-the-end", "a chain that goes on at the front of the ring", &whole(4))
            .first(14)
            .alone(),
        Shape::new(
            "no-meaning",
            "every flag bit that says nothing is set",
            &[r(BUFFERS, 4).with(NO_MEANING).and(), w(BUFFERS, 4).with(NO_MEANING)],
        ),
        Shape::new("event-idx", "one descriptor, with event index", &[r(BUFFERS, 1)])
            .features(feature::EVENT_IDX)
            .alone(),
        Shape::new("in-order", "one descriptor, in order", &[w(BUFFERS, 64)])
            .features(feature::IN_ORDER)
            .alone(),
        Shape::new("nothing", "a descriptor full of zeros", &[]).alone(),
    ]
}

fn empty() -> Vec<Shape> {
    vec![
        Shape::new(
            "no-bytes",
            "a readable and a writable buffer without bytes",
            &[r(BUFFERS, 0).and(), w(BUFFERS, 0)],
        )
        .alone(),
        Shape::new(
            "hz-8-06-no-bytes-anywhere",
            "buffers without bytes where no memory is",
            &[
                r(0, 0).and(),
                r(u64::MAX, 0).and(),
                r(BUFFERS, 9).and(),
                w(HOLE, 0).and(),
                w(BUFFERS, 9).and(),
                w(u64::MAX, 0),
            ],
        ),
        Shape::new("no-bytes-in-table", "a table of entries without bytes", &[table(64)])
            .table(&[r(HOLE, 0).and(), r(BUFFERS, 3).and(), w(u64::MAX, 0).and(), w(0, 0)])
            .alone(),
    ]
}

fn places() -> Vec<Shape> {
    let [first, second] = ODD_BORDERS;
    vec![
        Shape::new(
            "over-a-border",
            "buffers over the border of two regions",
            &[r(BORDER - 5, 9).and(), w(BORDER - 1, 2)],
        ),
        Shape::new(
            "up-to-a-border",
            "buffers that end and begin at a border",
            &[r(BORDER - 8, 8).and(), r(BORDER, 8).and(), w(BORDER - 1, 1).and(), w(BORDER, 1)],
        )
        .alone(),
        Shape::new(
            "over-two-borders",
            "a buffer in three regions",
            &[r(first - 8, 0x4100).and(), w(second - 0x4010, 0x4020)],
        )
        .odd(),
        Shape::new(
            "odd-borders",
            "buffers over borders that are not aligned",
            &[r(first - 1, 2).and(), r(second - 3, 5).and(), w(first - 7, 14)],
        )
        .odd()
        .alone(),
        Shape::new("all-of-memory", "a buffer of two whole regions", &[w(0x1_0000, 0xc000)])
            .alone(),
        Shape::new("amplified", "eight buffers of all memory: far more bytes than there are", &{
            let mut ring = vec![w(0x1_0000, 0xc000).and(); 8];
            ring[7] = w(0x1_0000, 0xc000);
            ring
        }),
        Shape::new(
            "up-to-a-hole",
            "a buffer that ends where a hole begins",
            &[r(HOLE - 16, 16).and(), w(HOLE_END, 8)],
        )
        .alone(),
        Shape::new(
            "near-the-end",
            "a whole region near 2^64",
            &[r(HIGH, 0x2000).and(), w(HIGH, 1)],
        )
        .odd(),
        Shape::new(
            "shared",
            "the same bytes four times, readable and writable",
            &[r(BUFFERS, 64).and(), r(BUFFERS + 1, 64).and(), w(BUFFERS, 64).and(), w(BUFFERS, 64)],
        ),
        Shape::new(
            "hz-8-12-over-the-ring",
            "a readable buffer over all parts of the ring",
            &[r(0x1_0000, 0x400).and(), w(BUFFERS, 8)],
        ),
    ]
}

fn three_entries() -> [Entry; 3] {
    [r(BUFFERS, 9).and(), r(BUFFERS + 64, 5).and(), w(BUFFERS + 128, 24)]
}

fn tables() -> Vec<Shape> {
    let entries = three_entries();
    let many: Vec<_> = (0..23).map(|at| r(BUFFERS + at, 1).and()).chain([w(BUFFERS, 8)]).collect();
    vec![
        Shape::new("table", "an indirect table of three entries", &[table(48)])
            .table(&entries)
            .alone(),
        Shape::new("table-of-one", "an indirect table of one entry", &[table(16)])
            .table(&[w(BUFFERS, 7)])
            .alone(),
        Shape::new(
            "table-marked",
            "a table whose descriptor is marked as writable",
            &[table(48).with(flag::WRITE)],
        )
        .table(&entries),
        Shape::new(
            "table-no-meaning",
            "a table whose descriptor has every bit that says nothing",
            &[table(48).with(NO_MEANING)],
        )
        .table(&entries)
        .alone(),
        Shape::new(
            "table-larger-than-ring",
            "a table of 24 entries in a ring of two",
            &[table(16 * 24)],
        )
        .table(&many)
        .size(2),
        Shape::new("table-of-the-cap", "a table of as many entries as are read", &[table(48)])
            .table(&entries)
            .cap(3)
            .alone(),
        Shape::new(
            "table-of-1024",
            "a table of as many entries as are read by default",
            &[table(16 * 1024)],
        )
        .table(&[r(BUFFERS, 9)])
        .alone(),
    ]
}

fn placed_tables() -> Vec<Shape> {
    let entries = three_entries();
    let at = table_address(Layout::Small);
    vec![
        Shape::new(
            "table-at-an-odd-address",
            "a table that is not aligned at all",
            &[table_at(at + 1, 48)],
        )
        .table(&entries)
        .pad(1)
        .alone(),
        Shape::new("table-at-8", "a table at a multiple of 8", &[table_at(at + 8, 48)])
            .table(&entries)
            .pad(8)
            .alone(),
        Shape::new(
            "table-over-a-border",
            "a table of zeros over the border of two regions",
            &[table_at(BORDER - 24, 48)],
        )
        .alone(),
        Shape::new(
            "hz-8-08-table-cut",
            "a border of regions inside one entry of a table",
            &[table_at(ODD_BORDERS[1] - 9, 32)],
        )
        .odd(),
        Shape::new(
            "table-over-the-ring",
            "the ring itself as a table",
            &[table_at(0x1_0000 + 16, 16), w(BUFFERS, 3)],
        )
        .alone(),
        Shape::new(
            "table-after-one",
            "a descriptor in front of a table",
            &[r(BUFFERS, 12).and(), table(48)],
        )
        .table(&entries)
        .breaks(OK, "PK-017")
        .alone(),
        Shape::new(
            "table-after-three",
            "descriptors of both kinds in front of a table",
            &[r(BUFFERS, 12).and(), r(BUFFERS, 0).and(), w(BUFFERS, 3).and(), table(32)],
        )
        .table(&[w(BUFFERS, 2).and(), w(HOLE_END, 2)])
        .breaks(OK, "PK-017"),
    ]
}

fn split() -> Vec<Shape> {
    let garbage = r(u64::MAX, 0xffff_ffff).to(0xffff).with(flag::INDIRECT);
    vec![
        Shape::new(
            "any-order",
            "a chain whose descriptors are not in the order of the table",
            &[r(BUFFERS, 2).to(5), garbage, w(BUFFERS, 9), garbage, garbage, r(BUFFERS, 4).to(2)],
        )
        .split(OK),
        Shape::new(
            "table-any-order",
            "a table whose entries are not in order, with unused ones",
            &[table(80)],
        )
        .table(&[r(BUFFERS, 2).to(4), garbage, w(BUFFERS, 9), garbage, r(BUFFERS, 4).to(2)])
        .split(OK),
        Shape::new(
            "packed-bits",
            "the bits that only a packed ring knows",
            &[r(BUFFERS, 2).with(0xfff8).and(), w(BUFFERS, 2).with(0xfff8)],
        )
        .split(OK)
        .alone(),
        Shape::new(
            "last-next-is-nowhere",
            "the last descriptor has a next without the flag",
            &[Entry { next: Some(0xffff), ..r(BUFFERS, 8) }],
        )
        .split(OK)
        .alone(),
    ]
}

fn packed() -> Vec<Shape> {
    vec![
        Shape::new("table-flags", "every flag but WRITE in a table", &[table(48)])
            .table(&[
                r(BUFFERS, 9).with(0xfffd),
                r(BUFFERS, 5).with(flag::INDIRECT),
                w(BUFFERS, 5).with(0xffff),
            ])
            .packed(OK),
        Shape::new(
            "not-available",
            "a slot that the driver has not made available",
            &[r(BUFFERS, 9).unavailable()],
        )
        .packed(OK)
        .alone(),
        Shape::new(
            "pk-015-lenient",
            "a later slot is not available, and nobody looks",
            &[r(BUFFERS, 9).and(), w(BUFFERS, 9).unavailable()],
        )
        .features(feature::LENIENT)
        .packed(OK)
        .alone(),
        Shape::new(
            "last-slot",
            "the last slot of a ring that is no power of two",
            &[r(BUFFERS, 1)],
        )
        .size(5)
        .first(4)
        .packed(OK)
        .alone(),
        Shape::new(
            "over-the-end-of-three",
            "a list over the end of a ring of three",
            &[r(BUFFERS, 1).and(), w(BUFFERS, 1)],
        )
        .size(3)
        .first(2)
        .packed(OK)
        .alone(),
    ]
}
