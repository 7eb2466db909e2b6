//! How requests lie in memory.

use vhost_fuzz_harness::corpus::Seed;

use super::{
    ALL, BACKWARDS, BORDER, BYTEWISE, EMPTY, EVENTS, History, INDIRECT, LATE_TABLE, MIXED, NOISE,
    NOTHING, SHUFFLED, TABLES, pieces,
};

pub(super) fn seeds() -> Vec<Seed> {
    vec![
        History::new(32, 33, NOTHING)
            .round(1, (0, 10), 0)
            .round(1, (10, 0), 0)
            .round(1, (0, 0), 0)
            .round(1, (1, 1), pieces(8, 8))
            .seed(
                "one-direction",
                "requests with one direction, with none, and with one byte each",
            ),
        History::new(32, 29, NOTHING)
            .round(2, (12, 12), BYTEWISE | pieces(8, 8))
            .round(2, (200, 200), BACKWARDS | pieces(7, 3))
            .seed("cut-to-bytes", "buffers of one byte, and buffers from the last to the first"),
        History::new(32, 33, EVENTS)
            .round(2, (10, 10), EMPTY | pieces(2, 2))
            .round(2, (0, 0), EMPTY)
            .round(1, (0, 5), EMPTY | SHUFFLED)
            .seed(
                "empty-descriptors",
                "descriptors without bytes, which point to no memory (VQ-029)",
            ),
        History::new(16, 13, NOTHING)
            .times(3, |history| history.round(3, (24, 24), SHUFFLED | pieces(2, 2)))
            .seed("shuffled", "descriptors in a mixed order, and ids near 65,535 (PK-023)"),
        History::new(4, 3, TABLES)
            .round(3, (60, 60), INDIRECT | pieces(8, 8))
            .round(3, (60, 60), INDIRECT | EMPTY | SHUFFLED | pieces(8, 8))
            .seed("tables", "tables of more entries than the rings have"),
        History::new(8, 4, TABLES)
            .round(2, (60, 60), MIXED | pieces(4, 4))
            .round(2, (5, 0), MIXED)
            .round(3, (0, 60), MIXED | SHUFFLED | pieces(1, 8))
            .seed("table-after-a-buffer", "a table as the last descriptor of a chain (VQ-019)"),
        History::new(8, 4, NOTHING)
            .round(1, (30, 30), INDIRECT | pieces(2, 2))
            .round(1, (30, 30), MIXED | pieces(2, 2))
            .round(1, (3, 3), INDIRECT)
            .arm()
            .seed("no-tables", "tables that are not negotiated, so that everything is direct"),
        History::new(16, 17, TABLES)
            .round(2, (200, 200), BORDER)
            .round(2, (200, 200), BORDER | BACKWARDS | pieces(5, 5))
            .round(2, (150, 200), BORDER | INDIRECT | pieces(2, 2))
            .seed("buffers-over-borders", "buffers over the borders of regions (VQ-027)"),
        History::new(4, 5, TABLES)
            .round(2, (200, 200), BORDER | INDIRECT | LATE_TABLE | pieces(8, 8))
            .round(2, (200, 200), BORDER | MIXED | LATE_TABLE | SHUFFLED | pieces(8, 8))
            .round(2, (40, 40), INDIRECT | LATE_TABLE | pieces(3, 3))
            .seed(
                "tables-over-borders",
                "tables aligned to nothing, over borders in an entry (VQ-028)",
            ),
        History::new(8, 9, TABLES)
            .round(2, (30, 30), NOISE | pieces(2, 2))
            .round(2, (30, 30), NOISE | INDIRECT | pieces(4, 4))
            .round(2, (30, 30), NOISE | MIXED | SHUFFLED | pieces(4, 4))
            .seed(
                "noise",
                "every bit and field that means nothing is not 0 (VQ-018, VQ-030, PK-019)",
            ),
        History::new(16, 7, ALL)
            .offer(2, 30, 0, SHUFFLED | pieces(3, 1))
            .request(200, 0, INDIRECT | BORDER | pieces(8, 1))
            .offer(2, 0, 200, MIXED | NOISE | pieces(1, 8))
            .take(5)
            .batch(4, 0)
            .batch(2, 99)
            .show()
            .reap()
            .round(1, (8, 8), EMPTY)
            .seed("everything", "all features and many styles in one batch"),
    ]
}
