//! IOTLB messages and translations.

use vhost_fuzz_harness::corpus::Seed;

use super::{GPA_ADDRESSES, IOMMU_PLATFORM, OK, SIZE, Script, USER, region};

const IOVA: u64 = 0x1000_0000;

pub(super) fn seeds() -> Vec<Seed> {
    [good(), misses(), refused()].concat()
}

/// A session with an IOMMU and two regions that touch.
fn begun() -> Script {
    Script::new(IOMMU_PLATFORM, 0).table(&[region(0), region(1)])
}

fn good() -> Vec<Seed> {
    vec![
        begun().update(IOVA, 0x1000, USER, 3).translate(3, IOVA, 0x1000).seed(
            "iotlb-update",
            OK,
            "a translation that is used from its first to its last byte",
        ),
        begun()
            .update(IOVA + 0x1000, 0x1000, USER + 0x5000, 3)
            .update(IOVA, 0x1000, USER + SIZE - 0x800, 1)
            .translate(1, IOVA, 0x2000)
            .translate(2, IOVA + 0x1000, 1)
            .translate(1, IOVA + 0xfff, 0)
            .seed(
                "iotlb-range-over-translations-and-regions",
                OK,
                "a range over two translations, the first of which goes over two regions",
            ),
        begun()
            .update(IOVA, 0x1000, USER, 3)
            .update(IOVA, 0x1000, USER + 0x1000, 3)
            .translate(3, IOVA, 1)
            .seed("iotlb-update-twice", OK, "an update that takes the place of one before it"),
        Script::new(IOMMU_PLATFORM, GPA_ADDRESSES)
            .table(&[[SIZE, SIZE, SIZE, 0]])
            .update(IOVA, SIZE, SIZE, 3)
            .translate(1, IOVA, SIZE)
            .seed(
                "iotlb-guest-addresses",
                OK,
                "with GPA_ADDRESSES the user address of an update is a guest physical address",
            ),
        begun().invalidate(0, u64::MAX).update(IOVA, 1, USER, 0).invalidate(IOVA, 1).seed(
            "iotlb-invalidate-nothing",
            OK,
            "an invalidation of everything when there is nothing, and of a useless translation",
        ),
    ]
}

fn misses() -> Vec<Seed> {
    let four = || {
        (0..4).fold(begun(), |script, page| {
            script.update(IOVA + page * 0x1000, 0x1000, USER + page * 0x1000, 3)
        })
    };
    vec![
        begun().translate(1, 0, 1).seed(
            "iotlb-no-translation",
            "VU-146",
            "an address that was never translated, although a region has it as guest address",
        ),
        begun().update(IOVA, 0x1000, USER, 3).translate(1, IOVA, 0x1001).seed(
            "iotlb-range-over-the-end",
            "VU-146",
            "a range whose last byte has no translation",
        ),
        begun().update(IOVA, 0x1000, USER, 1).translate(2, IOVA, 1).seed(
            "iotlb-wrong-permission",
            "VU-146",
            "a write where only reading is allowed",
        ),
        begun().update(IOVA, 0x1000, USER, 3).invalidate(IOVA, 0x1000).translate(1, IOVA, 0).seed(
            "iotlb-invalidated",
            "VU-146",
            "an address, without bytes, whose translation was invalidated",
        ),
        four()
            .invalidate(IOVA + 0x1800, 1)
            .translate(1, IOVA, 0x1000)
            .translate(1, IOVA + 0x1000, 1)
            .seed(
                "iotlb-invalidated-in-part",
                "VU-146",
                "a translation of which one byte was invalidated: all of it is gone",
            ),
        four()
            .update(IOVA + 0x1800, 0x1000, USER, 3)
            .translate(1, IOVA + 0x1800, 0x1000)
            .translate(1, IOVA + 0x2800, 1)
            .seed(
                "iotlb-overlapping-update",
                "VU-146",
                "an update that overlaps two translations takes out both",
            ),
        four()
            .update(0, 0x1000, USER, 3)
            .translate(3, IOVA + 0x1000, 0x3000)
            .translate(1, IOVA, 1)
            .seed(
                "iotlb-oldest-makes-room",
                "VU-146",
                "a fifth translation for a cache of four: the first is gone",
            ),
        begun().update(IOVA, 0x1000, USER + SIZE, 3).remove(region(1)).translate(1, IOVA, 1).seed(
            "iotlb-memory-is-gone",
            "VU-146",
            "a translation into a region that was removed",
        ),
    ]
}

fn refused() -> Vec<Seed> {
    vec![
        begun().iotlb(9, IOVA, 0x1000, USER, 3).seed("hz-95-type-9", "VU-215", "type 9"),
        begun().iotlb(1, IOVA, 0x1000, USER, 3).seed(
            "iotlb-miss-from-front-end",
            "VU-215",
            "a miss, which only back-ends send",
        ),
        begun().update(IOVA, 0x1000, USER, 4).seed(
            "iotlb-permissions-4",
            "VU-215",
            "permissions that have no meaning",
        ),
        begun().update(IOVA, 0x1000, USER + 2 * SIZE - 0xfff, 3).seed(
            "hz-95-outside-memory",
            "VU-210",
            "an update whose last byte is in no region",
        ),
        begun().update(IOVA, 0, USER, 3).seed("hz-95-size-0", "DC-024", "an update of size 0"),
        begun().update(u64::MAX - 0xfff, 0x1000, USER, 3).seed(
            "hz-95-iova-wraps",
            "DC-024",
            "an update whose I/O virtual address plus size is 2^64",
        ),
        begun().update(IOVA, 0x1000, u64::MAX - 0xffe, 3).seed(
            "iotlb-user-wraps",
            "VU-210",
            "an update whose user address plus size wraps",
        ),
        begun().invalidate(IOVA, 0).seed("hz-95-invalidate-size-0", "DC-024", "size 0"),
        begun().update(IOVA, 0x1000, USER, 3).invalidate(IOVA, u64::MAX).seed(
            "hz-95-invalidate-wraps",
            "DC-024",
            "an invalidation whose I/O virtual address plus size wraps",
        ),
    ]
}
