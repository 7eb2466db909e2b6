//! Sizes and places of rings.

use vhost_fuzz_harness::corpus::Seed;

use super::{
    EVENT_IDX, GPA_ADDRESSES, IOMMU_PLATFORM, OK, RING_PACKED, SIZE, Script, USER, region,
};

pub(super) fn seeds() -> Vec<Seed> {
    [sizes(), placed(), misplaced(), moved()].concat()
}

/// A session with two regions that touch.
fn begun(features: u64) -> Script {
    Script::new(features, 0).table(&[region(0), region(1)])
}

/// Descriptor, used and available part at these offsets from the first user address.
fn at(descriptor: u64, used: u64, available: u64) -> [u64; 4] {
    [USER + descriptor, USER + used, USER + available, 0]
}

fn sizes() -> Vec<Seed> {
    vec![
        begun(0).num(0, 0).seed("hz-60-ring-of-0", "VU-078", "a ring of 0 descriptors"),
        begun(0).num(0, 3).seed("hz-61-ring-of-3", "VU-078", "a split ring of 3 descriptors"),
        begun(RING_PACKED).num(0, 3).num(1, 0x4000).seed(
            "packed-ring-of-3",
            OK,
            "packed rings of 3 and of 16384 descriptors",
        ),
        begun(RING_PACKED).num(0, 65792).seed(
            "hz-62-ring-of-65792",
            "VU-078",
            "65792 descriptors, which are 256 in 16 bits",
        ),
        begun(0).num(0, 32768).seed(
            "ring-above-the-device",
            "VU-078",
            "a ring of 32768 descriptors for a device that has 16384",
        ),
    ]
}

fn placed() -> Vec<Seed> {
    vec![
        begun(0).num(0, 256).ring(0, 0, at(0, 0x2000, 0x1000)).place(0).seed(
            "ring-split",
            OK,
            "a split ring of 256 descriptors",
        ),
        begun(EVENT_IDX).num(0, 256).ring(0, 0, at(SIZE, 2 * SIZE - 2056, 0x1000)).place(0).seed(
            "ring-split-event-idx",
            OK,
            "a split ring with EVENT_IDX that ends right before the end of memory",
        ),
        begun(RING_PACKED).num(3, 5).ring(3, 0, at(2 * SIZE - 80, 4, 0)).place(3).seed(
            "ring-packed",
            OK,
            "a packed ring of 5 descriptors at the end of memory",
        ),
        begun(0).num(1, 512).ring(1, 0, at(SIZE - 0x1000, 0, SIZE - 0x200)).place(1).seed(
            "ring-over-a-border",
            OK,
            "a descriptor table and an available ring that go over the border of two regions",
        ),
        Script::new(0, GPA_ADDRESSES)
            .table(&[[SIZE, SIZE, SIZE, 0]])
            .num(0, 16)
            .ring(0, 0, [SIZE, SIZE + 0x1000, SIZE + 0x2000, 0])
            .place(0)
            .seed("ring-guest-addresses", OK, "a ring at guest addresses, with GPA_ADDRESSES"),
        begun(IOMMU_PLATFORM)
            .num(0, 4)
            .update(0x1000, 0x1000, USER, 1)
            .update(0x2000, 0x1000, USER + 0x1000, 3)
            .ring(0, 0, [0x1000, 0x2000, 0x1100, 0])
            .place(0)
            .seed("ring-through-iotlb", OK, "a ring at I/O virtual addresses"),
        begun(0).num(0, 4).ring(0, 2, at(0, 0x1000, 0x2000)).place(0).seed(
            "hz-77-flag-bit-1",
            OK,
            "an undefined flag in the addresses of a ring",
        ),
    ]
}

fn misplaced() -> Vec<Seed> {
    let split = |addresses: [u64; 4]| begun(0).num(0, 4).ring(0, 0, addresses).place(0);
    let event = |used: u64| begun(EVENT_IDX).num(0, 4).ring(0, 0, at(0, used, 0x100)).place(0);
    vec![
        split(at(8, 0x1000, 0x2000)).seed(
            "hz-74-descriptor-misaligned",
            "VU-083",
            "a descriptor table that is not aligned to 16 bytes",
        ),
        split(at(0, 0x1002, 0x2000)).seed("used-misaligned", "VU-083", "a used ring at 2 modulo 4"),
        split(at(0, 0x1000, 0x2001)).seed("available-misaligned", "VU-083", "an odd address"),
        split([0, 0x1000, 0x2000, 0]).seed(
            "hz-75-outside-memory",
            "VU-083",
            "a ring at guest addresses where user addresses are due",
        ),
        split(at(2 * SIZE - 32, 0, 0x100)).seed(
            "hz-76-part-over-the-end",
            "VU-083",
            "a descriptor table that crosses the end of the last region",
        ),
        event(2 * SIZE - 36).seed(
            "event-idx-over-the-end",
            "VU-083",
            "a used ring whose event index is outside memory",
        ),
        split([USER - 32, USER + 0x1000, USER + 0x2000, 0]).seed(
            "part-begins-in-a-hole",
            "VU-083",
            "a descriptor table that begins before memory and ends in it",
        ),
        split([u64::MAX - 15, USER, USER, 0]).seed(
            "part-wraps",
            "VU-083",
            "a descriptor table whose address plus size wraps",
        ),
        begun(0).ring(0, 0, at(8, 0, 0)).num(0, 1).place(0).seed(
            "misaligned-before-the-size",
            "VU-083",
            "addresses that came before the size, and turn out to be misaligned",
        ),
        begun(IOMMU_PLATFORM).num(0, 4).ring(0, 0, [0, 0x1000, 0x2000, 0]).place(0).seed(
            "ring-miss",
            "VU-146",
            "a ring at I/O virtual addresses without a translation",
        ),
        begun(IOMMU_PLATFORM | RING_PACKED)
            .num(0, 4)
            .update(0x1000, 0x1000, USER, 1)
            .ring(0, 0, [0x1000, 0x1100, 0x1200, 0])
            .place(0)
            .seed("packed-ring-read-only", "VU-146", "packed descriptors that may not be written"),
    ]
}

fn moved() -> Vec<Seed> {
    let ring = || begun(0).num(0, 4).ring(0, 0, at(SIZE, SIZE + 0x1000, SIZE + 0x2000));
    vec![
        ring().place(0).table(&[region(0)]).place(0).seed(
            "hz-57-ring-without-its-region",
            "VU-083",
            "a table that takes away the region of a ring",
        ),
        ring().place(0).remove(region(0)).place(0).table(&[region(0), region(1)]).place(0).seed(
            "ring-is-found-again",
            OK,
            "a ring is resolved again after each change of the memory map",
        ),
        begun(IOMMU_PLATFORM)
            .num(0, 4)
            .update(0x1000, 0x1000, USER, 3)
            .ring(0, 0, [0x1000, 0x1100, 0x1200, 0])
            .place(0)
            .update(0x1000, 0x1000, USER + SIZE, 3)
            .place(0)
            .invalidate(0x1800, 1)
            .place(0)
            .seed(
                "ring-translation-changes",
                "VU-146",
                "a ring whose translation changes, then goes away",
            ),
    ]
}
