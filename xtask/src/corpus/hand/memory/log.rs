//! Dirty logs.

use vhost_fuzz_core::vhost_user::FrontendRequest as Fe;
use vhost_fuzz_harness::corpus::Seed;

use super::{IOMMU_PLATFORM, LOG_ALL, LOG_SHMFD, OK, SIZE, Script, USER, longs, region};

pub(super) fn seeds() -> Vec<Seed> {
    [logs(), writes(), used_rings()].concat()
}

/// A session with two regions, which a log of 16 bytes is for.
fn begun(features: u64) -> Script {
    Script::new(LOG_ALL | features, LOG_SHMFD).table(&[region(0), region(1)])
}

fn logs() -> Vec<Seed> {
    vec![
        begun(0).log(0, 0).seed("hz-80-log-size-0", "VU-157", "a log of 0 bytes"),
        begun(0).log(0x1000, u64::MAX - 0xfff).seed(
            "hz-81-log-offset-wraps",
            "VU-157",
            "a log whose offset plus size is 2^64",
        ),
        begun(0).log(0x10, 0x800).seed(
            "hz-82-log-offset-misaligned",
            "DC-025",
            "a log offset that is not a multiple of the page size",
        ),
        begun(0).ask(Fe::SET_LOG_BASE, &longs(&[0x10])).seed(
            "hz-83-log-8-bytes",
            "DC-005",
            "a log of the old form although LOG_SHMFD was negotiated",
        ),
        Script::new(LOG_ALL, 0).log(0x10, 0).mark(0, 0x1000).seed(
            "log-without-shmfd",
            OK,
            "a log without a descriptor: nothing is logged",
        ),
        begun(0).log(1 << 40, 0).mark(0, u64::MAX).log(8, 0).mark(0x3000, 1).seed(
            "log-replaced",
            OK,
            "a log that is too large to be mapped, then a small one",
        ),
    ]
}

fn writes() -> Vec<Seed> {
    vec![
        begun(0)
            .log(0x10, 0x1000)
            .mark(0, 1)
            .mark(0xfff, 1)
            .mark(0x7fff, 2)
            .mark(0x1_0fff, 0x2_0002)
            .mark(0x5000, 0)
            .seed("log-borders", OK, "writes up to the borders of pages and of bytes of the log"),
        begun(0).log(0x10, 0).mark(0x10 << 15, 1).mark((0x10 << 15) - 1, 2).seed(
            "hz-84-write-past-the-log",
            OK,
            "a write in the first page after a log, and one over its end",
        ),
        begun(0).log(0x10, 0).mark(u64::MAX, 1).mark(0x1000, u64::MAX).seed(
            "log-write-without-end",
            OK,
            "writes at the end of the address space, and of 2^64 - 1 bytes",
        ),
        begun(0).log(0x80, 0).write(SIZE - 0x1000, 0x2000).write(2 * SIZE, 1).seed(
            "log-write-over-regions",
            "VU-145",
            "a write through a descriptor over two regions, and one outside",
        ),
        begun(IOMMU_PLATFORM)
            .log(0x80, 0)
            .update(0x3000, 0x2000, USER + SIZE - 0x1000, 3)
            .write(0x3800, 0x1000)
            .write(0x5000, 0)
            .seed(
                "log-write-through-iotlb",
                "VU-146",
                "a write to an I/O virtual address logs the pages of guest memory",
            ),
    ]
}

fn used_rings() -> Vec<Seed> {
    let ring = |features: u64, log: u64| {
        begun(features).log(0x10, 0).num(0, 4).ring(0, 1, [USER, USER + 0x1000, USER + 0x2000, log])
    };
    vec![
        ring(0, 0x7_ffdc).mark_used(0, 4, 8).mark_used(0, 32, 4).mark_used(0, 36, 4).seed(
            "log-used-ring",
            OK,
            "a used ring whose last byte is the last one that the log has a bit for",
        ),
        ring(0, 0x3ff0).mark_used(0, 0, 4).mark_used(0, 20, 8).seed(
            "log-used-ring-over-pages",
            OK,
            "a used ring over two pages, whose flags and third entry are written to",
        ),
        ring(0, 0x7_ffdd).seed(
            "log-used-ring-outside",
            "VU-152",
            "a used ring whose last byte the log has no bit for",
        ),
        ring(0, u64::MAX - 3).seed(
            "log-used-ring-wraps",
            "VU-152",
            "a used ring whose log address plus size wraps",
        ),
        begun(0)
            .num(0, 4)
            .ring(0, 1, [USER, USER + 0x1000, USER + 0x2000, u64::MAX - 3])
            .log(0x10, 0)
            .mark_used(0, 2, 1)
            .mark_used(0, 4, 1)
            .mark_used(0, 0, 32)
            .seed(
                "log-used-ring-before-the-log",
                OK,
                "a used ring at the end of the address space, told before there is a log",
            ),
        begun(0).log(0x10, 0).ring(1, 0, [0, 0, 0, u64::MAX]).mark_used(1, 0, 8).seed(
            "log-used-ring-without-flag",
            OK,
            "a ring that is not logged: its log address means nothing",
        ),
        ring(IOMMU_PLATFORM, 0x3000)
            .update(0x3000, 0x1000, USER + 0x5000, 3)
            .mark_used(0, 0, 36)
            .mark_used(0, 0x1000, 1)
            .seed(
                "log-used-ring-through-iotlb",
                "VU-146",
                "with an IOMMU the log address is translated, then the guest page is logged",
            ),
    ]
}
