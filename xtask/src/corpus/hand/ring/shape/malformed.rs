//! Chains that no driver may make.

use super::*;

pub(super) fn shapes() -> Vec<Shape> {
    [order(), outside(), tables(), indirect(), loops(), heads(), lists()].concat()
}

fn order() -> Vec<Shape> {
    let order = |shape: Shape| shape.breaks("VQ-012", "PK-013");
    vec![
        order(Shape::new(
            "readable-after-writable",
            "a readable buffer behind a writable one",
            &[w(BUFFERS, 8).and(), r(BUFFERS, 8)],
        )),
        order(
            Shape::new(
                "empty-readable-after-writable",
                "a readable buffer without bytes at the end",
                &[r(BUFFERS, 8).and(), w(BUFFERS, 8).and(), r(BUFFERS, 0)],
            )
            .alone(),
        ),
        order(
            Shape::new(
                "readable-after-empty-writable",
                "a writable buffer without bytes in front",
                &[w(BUFFERS, 0).and(), r(BUFFERS, 8)],
            )
            .alone(),
        ),
        order(Shape::new(
            "order-in-table",
            "readable and writable entries take turns",
            &[table(64)],
        ))
        .table(&[
            r(BUFFERS, 1).and(),
            w(BUFFERS, 1).and(),
            r(BUFFERS, 1).and(),
            w(BUFFERS, 1),
        ]),
        Shape::new(
            "order-over-table",
            "a writable descriptor in front of a readable entry",
            &[w(BUFFERS, 1).and(), table(16)],
        )
        .table(&[r(BUFFERS, 1)])
        .breaks("VQ-012", "PK-017")
        .alone(),
    ]
}

fn outside() -> Vec<Shape> {
    let outside =
        |name, shows, ring: &[Entry]| Shape::new(name, shows, ring).breaks("VQ-026", "PK-041");
    let over =
        |name, shows, ring: &[Entry]| Shape::new(name, shows, ring).breaks("VQ-025", "PK-041");
    vec![
        outside("hz-8-10-hole", "a buffer in a hole", &[r(HOLE + 0x1000, 4)]),
        outside("address-0", "a buffer at address 0", &[w(0, 4)]).alone(),
        outside(
            "hz-8-05-into-a-hole",
            "the last byte of a buffer is in a hole",
            &[r(BUFFERS, 4).and(), w(HOLE - 16, 17)],
        ),
        outside(
            "before-memory",
            "the first byte of a buffer is before memory",
            &[r(0x1_0000 - 1, 2)],
        )
        .alone(),
        outside("over-a-hole", "a buffer that begins and ends in memory", &[r(HOLE - 8, 0x4010)])
            .alone(),
        outside(
            "hz-8-07-almost-2-to-the-32",
            "a buffer of 2^32 - 1 bytes",
            &[w(BUFFERS, u32::MAX)],
        ),
        outside(
            "hz-8-11-bad-tail",
            "five good descriptors in front of a bad one",
            &[
                r(BUFFERS, 4).and(),
                r(BUFFERS, 4).and(),
                r(BUFFERS, 4).and(),
                w(BUFFERS, 4).and(),
                w(BUFFERS, 4).and(),
                w(HOLE, 1),
            ],
        ),
        outside("bad-tail-in-table", "the last entry of a table is bad", &[table(48)])
            .table(&[r(BUFFERS, 4).and(), w(BUFFERS, 4).and(), w(HOLE_END - 1, 2)])
            .alone(),
        outside(
            "ends-below-2-to-the-64",
            "a buffer whose last address is the last but one",
            &[r(u64::MAX - 16, 16)],
        )
        .alone(),
        over("hz-8-07-ends-at-2-to-the-64", "a buffer that ends at 2^64", &[r(u64::MAX - 15, 16)]),
        over("wraps", "a buffer that ends beyond 2^64", &[w(u64::MAX - 1, 0x1_0000)]).alone(),
        over(
            "wraps-into-memory",
            "a region near 2^64 and all the way round",
            &[r(HIGH, 0x1_0000).and(), r(HIGH + 0x1000, u32::MAX)],
        )
        .odd(),
    ]
}

fn tables() -> Vec<Shape> {
    let len = |name, shows, len| {
        Shape::new(name, shows, &[table(len)]).table(&[r(BUFFERS, 4)]).breaks("VQ-020", "PK-021")
    };
    let cap = |name, shows, len| {
        Shape::new(name, shows, &[table(len)]).table(&[r(BUFFERS, 4)]).breaks("VQ-021", "PK-021")
    };
    let outside = |name, shows, address, len| {
        Shape::new(name, shows, &[table_at(address, len)]).breaks("VQ-026", "PK-041")
    };
    vec![
        len("table-len-0", "a table without entries", 0).alone(),
        len("table-len-8", "half an entry", 8),
        len("table-len-17", "an entry and a byte", 17).alone(),
        len("table-len-max", "a table of 2^32 - 1 bytes", u32::MAX).alone(),
        cap("table-over-the-cap", "a table of one entry more than are read", 64).cap(3),
        cap("table-of-1025", "a table of one entry more than are read by default", 16 * 1025)
            .alone(),
        cap("hz-8-13-table-of-65535", "a table of 65,535 entries", 16 * 0xffff),
        cap("table-of-4-gib", "a table of almost 2^32 bytes", 0xffff_fff0).alone(),
        outside("table-in-a-hole", "a table in a hole", HOLE + 64, 16).alone(),
        outside("table-into-a-hole", "a table whose last byte is in a hole", HOLE - 31, 32),
        outside("table-at-0", "a table at address 0", 0, 16).alone(),
        Shape::new(
            "table-ends-at-2-to-the-64",
            "a table that ends at 2^64",
            &[table_at(u64::MAX - 15, 16)],
        )
        .breaks("VQ-025", "PK-041")
        .alone(),
    ]
}

fn indirect() -> Vec<Shape> {
    let one = [r(BUFFERS, 4)];
    vec![
        Shape::new("table-not-negotiated", "a table that was not negotiated", &[table(16)])
            .table(&one)
            .features(0)
            .breaks("VQ-015", "PK-016"),
        Shape::new(
            "table-not-negotiated-in-chain",
            "a table in a chain, and not negotiated",
            &[r(BUFFERS, 4).and(), table(16).and(), w(BUFFERS, 4)],
        )
        .table(&one)
        .features(feature::EVENT_IDX)
        .breaks("VQ-015", "PK-016"),
        Shape::new(
            "table-and-next",
            "a table that is followed by a descriptor",
            &[table(16).and(), w(BUFFERS, 4)],
        )
        .table(&one)
        .breaks("VQ-017", "PK-017"),
        Shape::new(
            "table-in-the-middle",
            "a table in the middle of a chain",
            &[r(BUFFERS, 4).and(), table(16).and(), w(BUFFERS, 4)],
        )
        .table(&one)
        .breaks("VQ-017", "PK-017"),
        Shape::new("table-in-table", "a table in a table", &[table(32)])
            .table(&[r(BUFFERS, 4).and(), table(16)])
            .breaks("VQ-016", OK),
        Shape::new(
            "table-in-itself",
            "a table whose only entry is the table, and a next",
            &[table(16)],
        )
        .table(&[table(16).and()])
        .split("VQ-016")
        .alone(),
    ]
}

fn loops() -> Vec<Shape> {
    let endless = |name, shows, ring: &[Entry]| Shape::new(name, shows, ring).split("VQ-014");
    let whole: Vec<_> = (0..16).map(|at| r(BUFFERS + at, 1).to(1)).collect();
    vec![
        endless("hz-8-13-self", "a descriptor that is its own next", &[r(BUFFERS, 4).to(0)]),
        endless("hz-8-06-self-without-bytes", "an endless chain without bytes", &[r(0, 0).to(0)]),
        endless(
            "hz-8-13-pair",
            "two descriptors that are each other's next",
            &[r(BUFFERS, 4).to(1), r(BUFFERS, 4).to(0)],
        ),
        endless("loop-of-the-whole-ring", "the last of all descriptors leads to the first", &{
            let mut ring: Vec<_> = (0..16).map(|at| w(BUFFERS + at, 1).and()).collect();
            ring[15] = ring[15].to(0);
            ring
        })
        .alone(),
        endless("late-loop", "a chain that leads into a loop", &whole[..4]).alone(),
        endless("ring-of-one-loop", "the only descriptor leads to itself", &[w(BUFFERS, 4).to(0)])
            .size(1)
            .alone(),
        endless("table-loop", "an entry of a table that leads back", &[table(48)]).table(&[
            r(BUFFERS, 4).and(),
            r(BUFFERS, 4).and(),
            r(BUFFERS, 4).to(1),
        ]),
        endless(
            "table-loop-behind-three",
            "a loop in a table behind descriptors",
            &[r(BUFFERS, 4).and(), r(BUFFERS, 4).and(), table(16)],
        )
        .table(&[w(BUFFERS, 4).to(0)])
        .alone(),
        endless(
            "table-loop-larger-than-ring",
            "a loop of a table of more entries than the ring",
            &[table(16 * 9)],
        )
        .table(&[r(BUFFERS, 1).to(8); 9])
        .size(4),
    ]
}

fn heads() -> Vec<Shape> {
    let next = |name, shows, ring: &[Entry]| Shape::new(name, shows, ring).split("VQ-022");
    vec![
        next(
            "next-is-the-size",
            "the next descriptor is one behind the last",
            &[r(BUFFERS, 4).to(16)],
        ),
        next(
            "next-is-17",
            "a next that is no descriptor and is one modulo the size",
            &[r(BUFFERS, 4).to(17), r(BUFFERS, 4)],
        ),
        next(
            "next-is-ffff",
            "the largest next, after a descriptor without bytes",
            &[r(0, 0).to(0xffff)],
        )
        .alone(),
        next("table-next-is-the-end", "the next entry is one behind the last", &[table(48)])
            .table(&[r(BUFFERS, 4).and(), r(BUFFERS, 4).and(), r(BUFFERS, 4).and(), r(BUFFERS, 4)]),
        next(
            "table-next-in-the-ring",
            "a next that is in the ring, and not in the table",
            &[table(16)],
        )
        .table(&[r(BUFFERS, 4).to(5)]),
        next(
            "table-of-one-next",
            "a descriptor leads to a table of one entry, which goes on",
            &[r(BUFFERS, 4).and(), table(16)],
        )
        .table(&[r(BUFFERS, 4).and()])
        .alone(),
        Shape::new("head-is-the-size", "a head that is one behind the last descriptor", &[])
            .first(16)
            .split("VQ-023"),
        Shape::new("head-is-255", "a head that is far behind the last descriptor", &[])
            .first(255)
            .split("VQ-023")
            .alone(),
        Shape::new("legacy", "a ring without VERSION_1", &[r(BUFFERS, 4)])
            .features(feature::LEGACY)
            .breaks("VQ-067", "VQ-067")
            .alone(),
    ]
}

fn lists() -> Vec<Shape> {
    let endless: Vec<_> = (0..16).map(|at| r(BUFFERS + at, 1).and()).collect();
    vec![
        Shape::new(
            "pk-012-list-too-long",
            "every slot of the ring is followed by another",
            &endless,
        )
        .packed("PK-012"),
        Shape::new("pk-012-ring-of-one", "the only slot is followed by another", &endless[..1])
            .size(1)
            .packed("PK-012")
            .alone(),
        Shape::new(
            "pk-015-second-slot",
            "the second slot of a list is not available",
            &[r(BUFFERS, 4).and(), w(BUFFERS, 4).unavailable()],
        )
        .packed("PK-015"),
        Shape::new(
            "pk-014-first-slot-alone",
            "the first slot of a list without the others",
            &[r(BUFFERS, 4).and()],
        )
        .packed("PK-015")
        .alone(),
        Shape::new(
            "pk-015-after-a-drop",
            "a bad buffer, then a slot that is not available",
            &[r(HOLE, 4).and(), w(BUFFERS, 4).unavailable()],
        )
        .packed("PK-015"),
        Shape::new("bad-list-of-many", "a bad buffer in front of eleven slots", &{
            let mut list = vec![r(HOLE, 4).and()];
            list.extend((0..10).map(|at| w(BUFFERS + at, 1).and()));
            list.push(w(BUFFERS, 1));
            list
        })
        .packed("PK-041"),
        Shape::new(
            "table-first-of-three",
            "a table in front of two slots",
            &[table(16).and(), r(BUFFERS, 4).and(), w(BUFFERS, 4)],
        )
        .packed("PK-017"),
    ]
}
