//! Regions that a hostile front-end wrote, or changes while they are in use (HZ-89).

use vhost_fuzz_core::inflight::{AreaError, Descriptor, PackedRegion, SplitRegion};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_model::inflight::Store;

use crate::inflight::shared::{Image, Shared};

fn split(image: &Image, ring_idx: u16) -> Result<Vec<u16>, AreaError> {
    let shared = image.shared();
    let region = SplitRegion::open(shared.clone(), 4)?;
    let result = region.recover(ring_idx).map(|mut area| area.pending().to_vec());
    if result.is_err() {
        assert_eq!(shared.bytes(), image.0, "a refused region is left as it was");
    }
    result
}

/// The descriptor at the old index was returned when `is_published`.
fn packed(image: &Image, is_published: bool) -> Result<Vec<u16>, AreaError> {
    let shared = image.shared();
    let region = PackedRegion::open(shared.clone(), 4)?;
    let flags = if is_published { 0x8080 } else { 0x0080 };
    let result = region.recover(|_| Some(flags)).map(|mut area| area.pending().to_vec());
    if result.is_err() {
        assert_eq!(shared.bytes(), image.0, "a refused region is left as it was");
    }
    result
}

fn split_image() -> Image {
    Image::zero(80).u16(8, 1).u16(10, 4)
}

/// Entry 0 has a request, the others are free.
fn packed_image() -> Image {
    let header = Image::zero(160).u16(8, 1).u16(10, 4).u8(20, 1).u8(21, 1);
    let free = header.u16(66, 2).u16(98, 3).u16(130, 4).u16(12, 1).u16(14, 1);
    free.u8(32, 1).u16(34, 1).u16(36, 0).u16(38, 1).u64(40, 3)
}

#[test]
fn versions_and_sizes_of_other_regions_are_refused() {
    for version in [2, 0x0100, u16::MAX] {
        let error = AreaError::Version { version };
        assert_refused!(split(&split_image().u16(8, version), 0), error);
        assert_refused!(packed(&packed_image().u16(8, version), false), error);
    }
    for desc_num in [0, 3, 5, 8, u16::MAX] {
        let error = AreaError::DescNum { desc_num, queue_size: 4 };
        assert_refused!(split(&split_image().u16(10, desc_num), 0), error);
        assert_refused!(packed(&packed_image().u16(10, desc_num), false), error);
    }
}

#[test]
fn a_region_that_ends_early_is_refused_before_anything_is_stored() {
    for len in [0, 8, 16, 79] {
        let shared = Shared::region(&vec![0; len]);
        let refused = SplitRegion::open(shared.clone(), 4).map(drop);
        assert_refused!(refused, AreaError::OutOfRange { offset: 72 });
        assert_eq!(shared.stores(), 0);
    }
    let shared = Shared::region(&[0; 159]);
    let refused = PackedRegion::open(shared.clone(), 4).map(drop);
    assert_refused!(refused, AreaError::OutOfRange { offset: 152 });
    assert_eq!(shared.stores(), 0);
}

#[test]
fn a_queue_size_that_no_ring_has_is_refused() {
    for size in [0, 3, 32769] {
        let refused = SplitRegion::open(Shared::region(&[0; 80]), size).map(drop);
        assert_refused!(refused, AreaError::QueueSize { size });
    }
    for size in [0, 32769] {
        let refused = PackedRegion::open(Shared::region(&[0; 160]), size).map(drop);
        assert_refused!(refused, AreaError::QueueSize { size });
    }
}

#[test]
fn split_indices_outside_the_region_are_refused() {
    // SE05.
    for entry in [4, 5, u16::MAX] {
        for ring_idx in [0, 1] {
            let image = split_image().u16(12, entry);
            assert_refused!(split(&image, ring_idx), AreaError::LastBatchHead { entry });
        }
        let image = split_image().u16(12, 2).u16(54, entry).u8(48, 1);
        assert_refused!(split(&image, 2), AreaError::NextEntry { entry: 2, next: entry });
        assert_eq!(split(&image, 1), Ok(vec![]), "no link is followed for a batch of one");
    }
}

#[test]
fn split_lists_that_loop_are_refused() {
    let image = split_image().u16(12, 2).u16(54, 1).u16(38, 2).u8(48, 1).u8(32, 1);
    assert_refused!(split(&image, 3), AreaError::EntryTwice { entry: 2 });
    assert_eq!(split(&image, 2), Ok(vec![]), "a loop behind the batch is not its matter");
    assert_refused!(split(&split_image().u8(16, 1), 2), AreaError::EntryTwice { entry: 0 });
}

#[test]
fn a_batch_longer_than_the_queue_is_refused_when_something_is_in_flight() {
    for batch in [5, 6, 32768, u16::MAX] {
        let image = split_image().u8(32, 1);
        let error = AreaError::BatchTooLong { batch, queue_size: 4 };
        assert_refused!(split(&image, batch), error);
        // With nothing in flight the ring was started anew.
        let shared = split_image().shared();
        let region = SplitRegion::open(shared.clone(), 4).expect("a region in order");
        let mut area = region.recover(batch).expect("an idle region");
        assert_eq!((area.used_idx(), area.pending().len()), (batch, 0));
        assert_eq!(shared.bytes(), split_image().u16(14, batch).0);
    }
}

#[test]
fn a_counter_without_a_successor_is_refused() {
    let error = AreaError::Counter { counter: u64::MAX };
    assert_refused!(split(&split_image().u8(32, 1).u64(40, u64::MAX), 0), error);
    assert_refused!(packed(&packed_image().u64(40, u64::MAX), false), error);
    assert_eq!(split(&split_image().u64(40, u64::MAX), 0), Ok(vec![]), "of an idle head");
    // The last counter is given out once.
    let shared = split_image().u8(32, 1).u64(40, u64::MAX - 2).shared();
    let region = SplitRegion::open(shared.clone(), 4).expect("a region in order");
    let mut area = region.recover(0).expect("a region in order");
    area.fetch(0).expect("one is left");
    assert_refused!(area.fetch(2), error);
    assert_eq!(area.pending(), [1, 0]);
    let shared = packed_image().u64(40, u64::MAX - 1).shared();
    let region = PackedRegion::open(shared.clone(), 4).expect("a region in order");
    let mut area = region.recover(|_| None).expect("a region in order");
    assert_refused!(area.fetch(&[Descriptor::default()]), error);
}

#[test]
fn marks_other_than_1_are_not_in_flight() {
    let _shows = shows(&["DC-033"]);
    for mark in [0, 2, 0x80, 0xff] {
        assert_eq!(split(&split_image().u8(32, mark), 0), Ok(vec![]));
        assert_eq!(packed(&packed_image().u8(32, mark), false), Ok(vec![]));
    }
}

#[test]
fn packed_positions_outside_the_ring_are_refused() {
    for index in [4, 5, u16::MAX] {
        let error = AreaError::UsedIndex { index };
        assert_refused!(packed(&packed_image().u16(16, index), true), error);
        assert_refused!(packed(&packed_image().u16(18, index), true), error);
    }
    for value in [2, 0xff] {
        let error = AreaError::WrapCounter { value };
        assert_refused!(packed(&packed_image().u8(20, value), true), error);
        assert_refused!(packed(&packed_image().u8(21, value), true), error);
    }
}

#[test]
fn packed_free_lists_that_are_not_in_order_are_refused() {
    for entry in [5, u16::MAX] {
        assert_refused!(
            packed(&packed_image().u16(12, entry), true),
            AreaError::FreeHead { entry }
        );
        assert_refused!(
            packed(&packed_image().u16(14, entry), true),
            AreaError::FreeHead { entry }
        );
        let image = packed_image().u16(98, entry);
        assert_refused!(packed(&image, false), AreaError::NextEntry { entry: 2, next: entry });
    }
    for (from, to) in [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3)] {
        let image = packed_image().u16(34 + 32 * from, to);
        assert_refused!(packed(&image, false), AreaError::EntryTwice { entry: to });
    }
}

#[test]
fn packed_requests_that_are_not_in_order_are_refused() {
    for num in [0, 5, u16::MAX] {
        let image = packed_image().u16(38, num);
        assert_refused!(packed(&image, false), AreaError::ChainLength { entry: 0, num });
    }
    for last in [1, 4, u16::MAX] {
        let image = packed_image().u16(36, last);
        assert_refused!(packed(&image, false), AreaError::ChainEnd { entry: 0, last });
    }
    // Into the free list, into itself, and out of the region.
    let two = packed_image().u16(38, 2).u16(36, 1);
    assert_refused!(packed(&two, false), AreaError::EntryTwice { entry: 1 });
    assert_refused!(packed(&two.clone().u16(34, 0), false), AreaError::EntryTwice { entry: 0 });
    for next in [4, u16::MAX] {
        let error = AreaError::NextEntry { entry: 0, next };
        assert_refused!(packed(&two.clone().u16(34, next), false), error);
    }
    // Two requests with one entry.
    let both = packed_image().u16(12, 2).u16(14, 2).u16(38, 2).u16(36, 1);
    let both = both.u8(64, 1).u16(68, 1).u16(70, 1);
    assert_refused!(packed(&both, false), AreaError::EntryTwice { entry: 1 });
}

/// A region of random fields that are often small, in a header that is mostly in order.
fn random_image(random: &mut fastrand::Rng, size: u16, packed: bool) -> Image {
    let unit = if packed { 32 } else { 16 };
    let mut image = Image::zero(unit + unit * usize::from(size));
    let wildness = random.u16(1..=40);
    for offset in (0..image.0.len()).step_by(2) {
        let value = if random.u16(..wildness) == 0 { random.u16(..) } else { random.u16(..=size) };
        image = image.u16(offset, value);
    }
    for entry in 1..=usize::from(size) {
        image = image.u8(unit * entry, random.u8(..3));
    }
    if packed {
        image = image.u8(20, random.u8(..2)).u8(21, random.u8(..2));
    }
    image.u16(8, random.u16(..2)).u16(10, size)
}

#[test]
fn random_regions_take_a_bounded_number_of_steps() {
    let _shows = shows(&["DC-033"]);
    let mut random = fastrand::Rng::with_seed(89);
    let mut accepted = [0; 2];
    for _ in 0..20_000 {
        let size = 1 << random.u16(..5);
        let shared = random_image(&mut random, size, false).shared();
        let ring_idx = random.u16(..=size * 2);
        let region = SplitRegion::open(shared.clone(), size).expect("a header in order");
        if let Ok(mut area) = region.recover(ring_idx) {
            accepted[0] += 1;
            assert_distinct(area.pending(), size);
        }
        assert!(shared.loads() <= 4 + 3 * usize::from(size), "{} loads", shared.loads());
        assert!(shared.stores() <= 8 + 4 * usize::from(size), "{} stores", shared.stores());

        let size = random.u16(1..20);
        let shared = random_image(&mut random, size, true).shared();
        let flags = random.u16(..);
        let region = PackedRegion::open(shared.clone(), size).expect("a header in order");
        if let Ok(mut area) = region.recover(|index| (index < size).then_some(flags)) {
            accepted[1] += 1;
            let pending = area.pending().to_vec();
            assert_distinct(&pending, size);
            let lengths =
                pending.iter().map(|entry| area.descriptors(*entry).expect("in flight").count());
            assert!(lengths.sum::<usize>() <= usize::from(size));
        }
        assert!(shared.loads() <= 6 + 7 * usize::from(size), "{} loads", shared.loads());
        assert!(shared.stores() <= 12 + 7 * usize::from(size), "{} stores", shared.stores());
    }
    assert!(accepted.iter().all(|count| *count > 2000), "{accepted:?} are too few to show much");
}

fn assert_distinct(heads: &[u16], size: u16) {
    let mut sorted = heads.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), heads.len());
    assert!(heads.iter().all(|head| *head < size));
}

/// A running area does not read the region, so what becomes of it changes nothing.
#[test]
fn a_region_that_changes_while_it_is_used_changes_nothing() {
    let _shows = shows(&["DC-033"]);
    let mut random = fastrand::Rng::with_seed(90);
    let (quiet, wild) = (Shared::new(144, 8), Shared::new(144, 8));
    let areas = [&quiet, &wild].map(|shared| {
        SplitRegion::open(shared.clone(), 8).and_then(|region| region.recover(0)).expect("new")
    });
    let [mut first, mut second] = areas;
    let (quiet_packed, wild_packed) = (Shared::new(288, 8), Shared::new(288, 8));
    let areas = [&quiet_packed, &wild_packed].map(|shared| {
        PackedRegion::open(shared.clone(), 8).and_then(|region| region.recover(|_| None))
    });
    let [mut third, mut fourth] = areas.map(|area| area.expect("new"));
    for shared in [&quiet, &wild, &quiet_packed, &wild_packed] {
        shared.begin(None);
    }
    for _ in 0..2000 {
        for shared in [&wild, &wild_packed] {
            shared.tamper(|bytes| bytes.fill_with(|| random.u8(..)));
        }
        let head = random.u16(..10);
        let batch: Vec<u16> = (0..random.usize(..3)).map(|_| random.u16(..9)).collect();
        let request = vec![Descriptor::default(); random.usize(..4)];
        assert_eq!(first.fetch(head), second.fetch(head));
        assert_eq!(third.fetch(&request), fourth.fetch(&request));
        let complete = |_| Ok::<(), AreaError>(());
        assert_eq!(first.complete(&batch, complete), second.complete(&batch, complete));
        let complete = |_| Ok::<(), AreaError>(());
        assert_eq!(third.complete(head, complete), fourth.complete(head, complete));
        assert_eq!(first.pending(), second.pending());
        assert_eq!(third.pending(), fourth.pending());
        assert_eq!(third.used(), fourth.used());
    }
    assert!(first.used_idx() > 100, "only {} requests were completed", first.used_idx());
    assert_eq!(quiet.take_log(), wild.take_log());
    assert_eq!(quiet_packed.take_log(), wild_packed.take_log());
    assert_eq!([wild.loads(), wild_packed.loads()], [0, 0], "a running area is only written");
}

/// Whatever the previous process left, the index of the ring decides how far a batch is walked.
#[test]
fn every_difference_of_the_indices_is_bounded() {
    let image = split_image().u16(12, 3).u16(70, 2).u16(54, 1).u16(38, 0).u16(22, 3);
    for ring_idx in 0..=u16::MAX {
        let shared = image.shared();
        shared.store(Store::RingIdx(ring_idx));
        shared.begin(None);
        let region = SplitRegion::open(shared.clone(), 4).expect("a header in order");
        let area = region.recover(shared.ring_idx()).expect("nothing is in flight");
        assert_eq!(area.used_idx(), ring_idx);
        assert!(shared.loads() <= 4 + 3 * 4 && shared.stores() <= 5);
    }
}
