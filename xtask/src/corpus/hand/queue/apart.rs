//! Where the two rings may differ: one seed for each row of the list at least.

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::peer::queue::image::{FAR, FAR_LEN};
use vhost_fuzz_harness::peer::queue::walk::{Start, feature};

use super::{DATA, INDIRECT, NEXT, OK, PLACE, Script, TABLE, WRITE, chain, dropped};

const EVENT_IDX: u8 = feature::EVENT_IDX;
const INDIRECT_DESC: u8 = feature::INDIRECT;

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [refused(), started(), stopped(), chains(), tables(), outside(), put(), told()].concat()
}

/// A chain that is taken once the ring runs.
fn then(start: Start) -> Script {
    Script::empty()
        .start(start)
        .describe(0, &[(DATA, 16, WRITE, 0)])
        .offer(&[0])
        .fill(1, 16)
        .put(0, 1)
        .start(PLACE)
}

fn refused() -> Vec<Seed> {
    let of =
        |start: Start, rule: &str, name: &str, shows: &str| then(start).seed(name, rule, shows);
    vec![
        of(
            Start { descriptor: 0x1008, ..PLACE },
            "VQ-001",
            "start-descriptor-table",
            "a descriptor table at a multiple of 8",
        ),
        of(
            Start { available: 0x2001, ..PLACE },
            "VQ-002",
            "start-available-ring",
            "an available ring at an odd address",
        ),
        of(
            Start { used: 0x3002, ..PLACE },
            "VQ-003",
            "start-used-ring",
            "a used ring at a multiple of 2",
        ),
        of(Start { size: 12, ..PLACE }, "VQ-004", "start-size", "a ring of 12"),
        of(Start { size: 0, ..PLACE }, "VQ-004", "start-size-0", "a ring without entries"),
        of(Start { size: 2048, ..PLACE }, "VQ-004", "start-size-2048", "more than the device has"),
        of(
            Start { descriptor: 0x9ff0, ..PLACE },
            "VQ-005",
            "start-into-hole",
            "a descriptor table that ends in a hole",
        ),
        of(
            Start { used: u64::MAX - 3, ..PLACE },
            "VQ-005",
            "start-at-the-end",
            "a used ring at the last address",
        ),
        of(
            Start { features: feature::LEGACY, ..PLACE },
            "VQ-067",
            "start-legacy",
            "a ring without VERSION_1",
        ),
        of(
            Start { used: 0xe010, ..PLACE },
            "VQ-049",
            "start-used-ring-odd",
            "a used ring in a region that is mapped one byte off",
        ),
        of(
            Start { available: 0xdff0, ..PLACE },
            "VQ-049",
            "start-available-ring-odd",
            "an available ring that a border cuts within an entry",
        ),
        of(
            Start { base: 9, ..PLACE },
            "VQ-033",
            "start-overfull",
            "a position nine ahead of the used index in a ring of 8 (spec §8.26)",
        ),
        of(
            Start { base: 0xffff, ..PLACE },
            "VQ-033",
            "start-behind-used",
            "a position behind the used index (spec §8.26)",
        ),
    ]
}

fn started() -> Vec<Seed> {
    vec![
        then(Start { available: 0, ..PLACE }).seed(
            "start-available-at-0",
            OK,
            "an available ring at address 0, which is an address (VQ-002)",
        ),
        then(Start { used: 0xa000 - 68, ..PLACE }).seed(
            "start-without-avail_event",
            OK,
            "a used ring whose event bytes would lie in a hole (VQ-006)",
        ),
        then(Start { available: 0xa000 - 20, ..PLACE }).seed(
            "start-without-used_event",
            OK,
            "an available ring whose event bytes would lie in a hole (VQ-006)",
        ),
        Script::empty()
            .write(PLACE.used, &[0xff, 0xff])
            .start(PLACE)
            .describe(0, &[(DATA, 16, WRITE, 0)])
            .offer(&[0])
            .take()
            .put(0, 1)
            .seed("start-used-flags", OK, "flags that the driver left in the used ring (VQ-041)"),
        Script::empty()
            .write(PLACE.used, &[1, 0])
            .start(Start { features: EVENT_IDX, ..PLACE })
            .describe(0, &[(DATA, 16, WRITE, 0)])
            .offer(&[0])
            .take()
            .put(0, 1)
            .seed("start-used-flags-event", OK, "the same with EVENT_IDX (VQ-042)"),
        Script::new(0)
            .describe(0, &[(DATA, 16, WRITE, 0)])
            .disarm()
            .restart(0)
            .offer(&[0])
            .take()
            .put(0, 1)
            .seed("restart-disarmed", OK, "a ring that was stopped without kicks (VQ-041)"),
    ]
}

fn stopped() -> Vec<Seed> {
    let ring = |features| Script::new(features).describe(0, &[(DATA, 8, WRITE, 0); 8]);
    let index =
        |script: Script, index: u16| script.write(PLACE.available + 2, &index.to_le_bytes());
    vec![
        index(ring(0), 9).take().put(0, 1).restart(0).seed(
            "index-9-ahead",
            "VQ-032",
            "an available index nine ahead in a ring of 8",
        ),
        index(ring(0).offer(&[0, 1]).take().put(0, 2), 1).take().seed(
            "index-goes-back",
            "VQ-032",
            "an available index that goes back (VQ-031)",
        ),
        index(ring(EVENT_IDX).offer(&[0]).take().put(0, 1), 0x8000).arm().seed(
            "index-ahead-when-armed",
            "VQ-032",
            "the same when kicks are asked for",
        ),
        ring(0).offer(&[0, 1, 2, 3, 4, 5, 6, 7]).take().offer(&[0]).take().seed(
            "one-too-many",
            "VQ-033",
            "a ninth buffer in a ring of 8 with all in flight",
        ),
        ring(0)
            .offer(&[0, 1, 2, 3, 4, 5, 6, 7])
            .take()
            .put(3, 2)
            .offer(&[3, 4])
            .take()
            .put(0, 8)
            .seed("none-too-many", OK, "two buffers go back, and two more are taken (VQ-033)"),
        ring(0).offer(&[0, 8]).take().seed("head-8", "VQ-023", "head 8 in a ring of 8"),
        ring(0).offer(&[0xffff]).take().restart(0).offer(&[1]).take().seed(
            "head-65535",
            "VQ-023",
            "the greatest head; the ring is started again",
        ),
        ring(0).offer(&[2, 2]).take().seed(
            "head-in-flight",
            "VQ-034",
            "the same head twice in one wake-up",
        ),
        ring(0).offer(&[2, 3]).take().put(0, 1).offer(&[2, 3]).take().seed(
            "head-in-flight-later",
            "VQ-034",
            "a head that went back may come again; one that did not may not",
        ),
    ]
}

fn chains() -> Vec<Seed> {
    let far = u32::try_from(FAR_LEN).unwrap_or(u32::MAX);
    let many: Vec<_> =
        (1..=64).map(|next| (FAR, far, NEXT, next)).chain([(DATA, 1, 0, 0)]).collect();
    vec![
        dropped(0, &[(DATA, 16, NEXT, 8)]).seed("next-8", "VQ-022", "next 8 in a ring of 8"),
        dropped(0, &[(DATA, 16, NEXT, 1), (DATA, 16, NEXT | WRITE, 0xffff)]).seed(
            "next-65535",
            "VQ-022",
            "the greatest next, in the second descriptor",
        ),
        dropped(0, &[(DATA, 16, NEXT, 0)]).seed("loop-of-1", "VQ-014", "a chain of itself"),
        dropped(0, &[(DATA, 16, NEXT, 1), (DATA, 16, NEXT, 2), (DATA, 16, NEXT, 1)]).seed(
            "loop-of-2",
            "VQ-014",
            "a loop behind a descriptor",
        ),
        dropped(0, &[(DATA, 0, NEXT, 0)]).seed(
            "loop-of-nothing",
            "VQ-014",
            "a loop without bytes: an empty buffer counts as a descriptor (VQ-029)",
        ),
        dropped(0, &[(DATA, 16, NEXT | WRITE, 1), (DATA, 16, 0, 0)]).seed(
            "readable-last",
            "VQ-012",
            "a readable buffer after a writable one",
        ),
        dropped(0, &[(DATA, 16, NEXT | WRITE, 1), (DATA, 0, NEXT, 2), (DATA, 16, WRITE, 0)]).seed(
            "readable-empty-between",
            "VQ-012",
            "an empty readable buffer between two writable ones",
        ),
        Script::empty()
            .start(Start { size: 128, ..PLACE })
            .describe(0, &many)
            .offer(&[0])
            .take()
            .put(0, 1)
            .seed("bytes-one-more", "VQ-013", "a chain of 2^32 + 1 bytes"),
    ]
}

fn tables() -> Vec<Seed> {
    let table = |features: u8, len: u32, flags: u16, entries: &[super::Descriptor]| {
        let mut script = Script::empty().table(TABLE, entries);
        script.0.extend(dropped(features, &[(TABLE, len, INDIRECT | flags, 1)]).0);
        script
    };
    let entries = chain(2, 1, 16);
    let looped = [(DATA, 8, NEXT, 1), (DATA, 8, NEXT, 0)];
    let nested = [(DATA, 8, NEXT, 1), (TABLE, 32, INDIRECT, 0)];
    vec![
        table(0, 32, 0, &entries).seed(
            "table-not-negotiated",
            "VQ-015",
            "an indirect table without INDIRECT_DESC",
        ),
        table(0, 0, 0, &[]).seed(
            "table-not-negotiated-empty",
            "VQ-015",
            "the same with a table of nothing",
        ),
        table(INDIRECT_DESC, 32, NEXT, &entries).seed("table-next", "VQ-017", "INDIRECT with NEXT"),
        table(INDIRECT_DESC, 32, 0, &nested).seed("table-in-table", "VQ-016", "a table in a table"),
        table(INDIRECT_DESC, 16, 0, &nested[1..]).seed(
            "table-in-table-first",
            "VQ-016",
            "the only entry of a table is a table",
        ),
        table(INDIRECT_DESC, 0, 0, &entries).seed("table-of-0", "VQ-020", "a table of no bytes"),
        table(INDIRECT_DESC, 24, 0, &entries).seed("table-of-24", "VQ-020", "one entry and a half"),
        table(INDIRECT_DESC, 32, 0, &looped).seed("table-loop", "VQ-014", "a loop in a table"),
        table(INDIRECT_DESC, 32, 0, &[(DATA, 8, NEXT, 2)]).seed(
            "table-next-2",
            "VQ-022",
            "next 2 in a table of 2",
        ),
        table(INDIRECT_DESC, 16 * 1025, 0, &entries).seed(
            "table-1025",
            "VQ-021",
            "a table of one entry more than the cap",
        ),
        table(INDIRECT_DESC, 16 * 65536, 0, &entries).seed(
            "table-65536",
            "VQ-021",
            "a table of more entries than next can name",
        ),
        table(INDIRECT_DESC, 32, 0, &[(DATA, 8, NEXT | WRITE, 1), (DATA, 8, 0, 0)]).seed(
            "table-readable-last",
            "VQ-012",
            "a readable entry after a writable one",
        ),
        dropped(INDIRECT_DESC, &[(DATA, 8, NEXT | WRITE, 1), (TABLE, 16, INDIRECT, 0)])
            .table(TABLE, &[(DATA, 8, 0, 0)])
            .offer(&[0])
            .take()
            .seed(
                "table-readable-after-direct",
                "VQ-012",
                "a readable entry after a writable descriptor of the ring",
            ),
    ]
}

fn outside() -> Vec<Seed> {
    vec![
        dropped(0, &[(0xa000, 1, 0, 0)]).seed("outside-hole", "VQ-026", "a buffer in a hole"),
        dropped(0, &[(DATA, 16, NEXT, 1), (0x9ff8, 16, WRITE, 0)]).seed(
            "outside-half",
            "VQ-026",
            "a writable buffer whose second half is in a hole",
        ),
        dropped(0, &[(0x9000, 0x4000, 0, 0)]).seed(
            "outside-between",
            "VQ-026",
            "a buffer that begins and ends in memory, over a hole",
        ),
        dropped(0, &[(u64::MAX - 7, 8, 0, 0)]).seed(
            "overflow-by-1",
            "VQ-025",
            "a buffer that ends with the last address",
        ),
        dropped(0, &[(DATA, 8, NEXT, 1), (u64::MAX, u32::MAX, WRITE, 0)]).seed(
            "overflow",
            "VQ-025",
            "a writable buffer whose end wraps into memory",
        ),
        dropped(INDIRECT_DESC, &[(0xb000, 32, INDIRECT, 0)]).seed(
            "table-outside",
            "VQ-026",
            "a table in a hole",
        ),
        dropped(INDIRECT_DESC, &[(0x9ff0, 32, INDIRECT, 0)]).seed(
            "table-outside-half",
            "VQ-026",
            "a table of which the used half is in memory",
        ),
        dropped(INDIRECT_DESC, &[(u64::MAX - 15, 32, INDIRECT, 0)]).seed(
            "table-overflow",
            "VQ-025",
            "a table whose end wraps",
        ),
    ]
}

fn put() -> Vec<Seed> {
    let ring = |features: u8| {
        Script::new(features).describe(0, &[(DATA, 8, WRITE, 0); 8]).offer(&[0, 1, 2]).take()
    };
    vec![
        ring(0).put_len(0, 8).put_len(0, 9).take().restart(0).seed(
            "put-too-long",
            "VQ-039",
            "a used length of 8 of 8 writable bytes, then of 9",
        ),
        Script::new(0).describe(0, &[(DATA, 8, 0, 0)]).offer(&[0]).take().put_len(0, 1).seed(
            "put-readable",
            "VQ-039",
            "a used length for a chain without writable bytes",
        ),
        ring(feature::IN_ORDER).put(1, 1).restart(0).seed(
            "put-out-of-turn",
            "VQ-056",
            "the second of three goes back first with IN_ORDER",
        ),
    ]
}

fn told() -> Vec<Seed> {
    let ring = |features: u8| Script::new(features).describe(0, &[(DATA, 8, WRITE, 0); 8]);
    vec![
        ring(0).put(0, 0).offer(&[0]).take().put(0, 1).put(0, 0).seed(
            "tell-nothing",
            OK,
            "decisions when nothing went back (VQ-043)",
        ),
        ring(EVENT_IDX).used_event(5).offer(&[0, 1]).take().put(0, 1).put(0, 1).seed(
            "tell-first",
            OK,
            "the first decision, when used_event is not reached (VQ-050)",
        ),
        ring(0).flags(1).offer(&[0, 1, 2]).take().put(0, 1).put(0, 1).flags(0).put(0, 1).seed(
            "tell-suppressed",
            OK,
            "the driver asks for no notifications; the first is sent all the same (VQ-044, VQ-050)",
        ),
        ring(EVENT_IDX).offer(&[0, 1]).take().put(0, 1).used_event(9).restart(2).put(0, 1).seed(
            "tell-after-restart",
            OK,
            "the first decision after a restart (VQ-050)",
        ),
    ]
}
