//! The region of a split ring: layout by hand, and each rule.

use vhost_fuzz_core::inflight::{AreaError, SplitArea, SplitRegion};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_model::inflight::{Store, split as model};

use crate::inflight::shared::{Image, Shared, stored_u8, stored_u16, stored_u64};

/// A region for four descriptors, initialised.
fn fresh() -> Image {
    Image::zero(80).u16(8, 1).u16(10, 4)
}

fn open(shared: &Shared) -> SplitArea<Shared> {
    let region = SplitRegion::open(shared.clone(), 4).expect("a region in order");
    region.recover(shared.ring_idx()).expect("a region in order")
}

fn publish(shared: &Shared) -> impl FnOnce(u16) -> Result<(), AreaError> {
    |idx| {
        shared.store(Store::RingIdx(idx));
        Ok(())
    }
}

#[test]
fn a_region_of_version_0_is_initialised() {
    let _shows = shows(&["VU-183", "DC-032"]);
    for filler in [0, 0xa5] {
        let mut image = Image(vec![filler; 80]).u16(8, 0);
        image.0.extend([0xee; 16]);
        let shared = image.shared();
        SplitRegion::open(shared.clone(), 4).expect("an empty region");
        let mut expected = fresh().0;
        expected.extend([0xee; 16]);
        assert_eq!(shared.bytes(), expected, "only the region is written");
        let last = shared.take_log().pop();
        assert_eq!(last, Some(stored_u16(8, 1)), "the version is stored last");
    }
}

#[test]
fn a_region_of_version_1_is_left_as_it_is() {
    let _shows = shows(&["VU-183"]);
    let shared = fresh().u16(12, 3).u16(14, 9).u8(32, 1).u64(40, 77).shared();
    SplitRegion::open(shared.clone(), 4).expect("a region in order");
    assert_eq!(shared.stores(), 0);
}

#[test]
fn fetch_and_complete_have_the_layout_of_the_specification() {
    let _shows = shows(&["VU-184", "VU-185"]);
    let shared = Shared::region(&[0; 80]);
    let mut area = open(&shared);
    for head in [2, 0, 3] {
        area.fetch(head).expect("idle");
    }
    let fetched = fresh().u8(48, 1).u64(56, 0).u8(16, 1).u64(24, 1).u8(64, 1).u64(72, 2);
    assert_eq!(shared.bytes(), fetched.0);
    area.complete(&[3, 2], publish(&shared)).expect("in flight");
    // 3 links to entry 0, where last_batch_head was; 2 links to 3.
    let completed = fetched.u16(70, 0).u16(54, 3).u16(12, 2).u8(64, 0).u8(48, 0).u16(14, 2);
    assert_eq!(shared.bytes(), completed.0);
    assert_eq!((shared.ring_idx(), area.used_idx(), area.pending()), (2, 2, &[0][..]));
}

#[test]
fn a_head_gets_its_counter_before_its_mark() {
    let _shows = shows(&["VU-184"]);
    let shared = fresh().u8(16, 1).u64(24, 41).shared();
    let mut area = open(&shared);
    shared.begin(None);
    area.fetch(3).expect("idle");
    assert_eq!(shared.take_log(), [stored_u64(72, 42), stored_u8(64, 1)]);
    area.fetch(1).expect("idle");
    assert_eq!(shared.take_log(), [stored_u64(40, 43), stored_u8(32, 1)]);
}

#[test]
fn the_ring_moves_before_the_marks_and_the_index_of_the_region_comes_last() {
    let _shows = shows(&["VU-185"]);
    let shared = fresh().shared();
    let mut area = open(&shared);
    area.fetch(1).expect("idle");
    area.fetch(2).expect("idle");
    shared.begin(None);
    area.complete(&[1, 2], publish(&shared)).expect("in flight");
    let expected = [
        stored_u16(38, 0),
        stored_u16(12, 1),
        stored_u16(54, 1),
        stored_u16(12, 2),
        Store::RingIdx(2),
        stored_u8(32, 0),
        stored_u8(48, 0),
        stored_u16(14, 2),
    ];
    assert_eq!(shared.take_log(), expected);
}

#[test]
fn stores_are_those_of_the_model() {
    let shared = fresh().u16(14, 65534).shared();
    shared.store(Store::RingIdx(65534));
    let mut area = open(&shared);
    let mut random = fastrand::Rng::with_seed(4);
    let mut heads = Vec::new();
    for counter in 0..200 {
        let idle: Vec<u16> = (0..4).filter(|head| !heads.contains(head)).collect();
        let head = idle[random.usize(..idle.len())];
        let before = shared.bytes();
        shared.begin(None);
        area.fetch(head).expect("idle");
        assert_eq!(shared.take_log(), model::fetch(&before, head, counter));
        heads.push(head);
        if heads.len() == 4 || random.bool() {
            random.shuffle(&mut heads);
            let batch = heads.split_off(random.usize(..heads.len()));
            let (before, idx) = (shared.bytes(), shared.ring_idx());
            shared.begin(None);
            area.complete(&batch, publish(&shared)).expect("in flight");
            assert_eq!(shared.take_log(), model::complete(&before, idx, &batch));
        }
    }
}

#[test]
fn recovery_clears_the_whole_last_batch() {
    let _shows = shows(&["VU-186"]);
    // The ring is three requests ahead: 2, then 0, then 3 were returned last. 1 was not.
    let mut image = fresh().u16(12, 2).u16(14, 65535).u16(54, 0).u16(22, 3).u16(70, 1);
    for head in 0..4 {
        image = image.u8(16 + 16 * head, 1).u64(24 + 16 * head, head as u64);
    }
    let shared = image.shared();
    shared.store(Store::RingIdx(2));
    shared.begin(None);
    assert_eq!(open(&shared).pending(), [1]);
    let expected = [stored_u8(48, 0), stored_u8(16, 0), stored_u8(64, 0), stored_u16(14, 2)];
    assert_eq!(shared.take_log(), expected, "the flags, then the index");
    assert_eq!(shared.bytes(), image.u8(48, 0).u8(16, 0).u8(64, 0).u16(14, 2).0);
}

#[test]
fn recovery_touches_nothing_when_the_indices_agree() {
    let _shows = shows(&["VU-186"]);
    let shared = fresh().u16(12, 2).u8(48, 1).u64(56, 5).shared();
    shared.begin(None);
    assert_eq!(open(&shared).pending(), [2]);
    assert_eq!(shared.stores(), 0);
}

#[test]
fn requests_are_done_again_in_the_order_of_their_counters() {
    let _shows = shows(&["VU-187"]);
    let counters = [40, 7, 1 << 40, 7];
    let mut image = fresh();
    for (head, counter) in counters.into_iter().enumerate() {
        image = image.u8(16 + 16 * head, 1).u64(24 + 16 * head, counter);
    }
    let shared = image.shared();
    let mut area = open(&shared);
    assert_eq!(area.pending(), [1, 3, 0, 2], "of equal counters the lower head is first");
    // Those that are fetched later come later.
    area.complete(&[1, 2], publish(&shared)).expect("in flight");
    area.fetch(1).expect("idle");
    assert_eq!(area.pending(), [3, 0, 1]);
    assert_eq!(shared.bytes()[40..48], 1_u64.wrapping_add(1 << 40).to_ne_bytes());
}

#[test]
fn requests_that_are_not_waited_for_stay_recorded() {
    let _shows = shows(&["VU-095"]);
    let shared = Shared::region(&[0; 80]);
    let mut area = open(&shared);
    for head in [3, 1, 0] {
        area.fetch(head).expect("idle");
    }
    area.complete(&[1], publish(&shared)).expect("in flight");
    let recorded = shared.bytes();
    // GET_VRING_BASE with skip-drain: the ring stops here.
    drop(area);
    assert_eq!(shared.bytes(), recorded);
    assert_eq!(open(&shared).pending(), [3, 0]);
}

#[test]
fn a_batch_that_is_not_published_stays_in_flight() {
    let _shows = shows(&["VU-185"]);
    let shared = Shared::region(&[0; 80]);
    let mut area = open(&shared);
    area.fetch(2).expect("idle");
    area.fetch(1).expect("idle");
    let refused = area.complete(&[2, 1], |_| Err(AreaError::NoQueues));
    assert_eq!(refused, Err(AreaError::NoQueues));
    assert_eq!((area.used_idx(), area.pending()), (0, &[2, 1][..]));
    drop(area);
    let mut area = open(&shared);
    assert_eq!(area.pending(), [2, 1]);
    area.complete(&[1], publish(&shared)).expect("in flight");
    assert_eq!(open(&shared).pending(), [2]);
}

#[test]
fn heads_that_cannot_be_recorded_are_refused() {
    let shared = Shared::region(&[0; 80]);
    let mut area = open(&shared);
    area.fetch(2).expect("idle");
    shared.begin(None);
    for head in [4, u16::MAX] {
        assert_refused!(area.fetch(head), AreaError::Head { head, queue_size: 4 });
        let batch = area.complete::<AreaError>(&[2, head], |_| panic!("published"));
        assert_refused!(batch, AreaError::Head { head, queue_size: 4 });
    }
    assert_refused!(area.fetch(2), AreaError::AlreadyInFlight { head: 2 });
    for (batch, head) in [(&[2, 1][..], 1), (&[2, 2], 2), (&[0], 0)] {
        let refused = area.complete::<AreaError>(batch, |_| panic!("published"));
        assert_refused!(refused, AreaError::NotInFlight { head });
    }
    assert_eq!(area.complete::<AreaError>(&[], |_| panic!("published")), Ok(()));
    assert_eq!((shared.stores(), area.pending()), (0, &[2][..]));
    area.complete(&[2], publish(&shared)).expect("in flight");
}

#[test]
fn nothing_is_allocated_while_it_runs() {
    // The memory of these tests does, so this one does not count what it does.
    struct Nowhere;
    impl vhost_fuzz_core::inflight::AreaMemory for Nowhere {
        fn load_u8(&self, _: usize, _: std::sync::atomic::Ordering) -> Option<u8> {
            Some(0)
        }
        fn load_u16(&self, _: usize, _: std::sync::atomic::Ordering) -> Option<u16> {
            Some(0)
        }
        fn load_u64(&self, _: usize, _: std::sync::atomic::Ordering) -> Option<u64> {
            Some(0)
        }
        fn store_u8(&self, _: usize, _: u8, _: std::sync::atomic::Ordering) -> Option<()> {
            Some(())
        }
        fn store_u16(&self, _: usize, _: u16, _: std::sync::atomic::Ordering) -> Option<()> {
            Some(())
        }
        fn store_u64(&self, _: usize, _: u64, _: std::sync::atomic::Ordering) -> Option<()> {
            Some(())
        }
    }
    let mut area =
        SplitRegion::open(Nowhere, 256).and_then(|region| region.recover(0)).expect("new");
    let allocations = allocation_counter::measure(|| {
        for round in 0..512 {
            area.fetch(round % 256).expect("idle");
            assert_eq!(area.pending().len(), 1);
            area.complete::<AreaError>(&[round % 256], |_| Ok(())).expect("in flight");
        }
        for head in 0..256 {
            area.fetch(head).expect("idle");
        }
        assert_eq!(area.pending().len(), 256);
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn a_new_region_begins_where_the_ring_is() {
    let _shows = shows(&["VU-183", "DC-150"]);
    let shared = Shared::region(&[0; 80]);
    let region = SplitRegion::open_at(shared.clone(), 4, 0xfffe).expect("an empty region");
    assert!(region.is_new());
    assert_eq!(shared.bytes(), fresh().u16(14, 0xfffe).0);
    assert_eq!(shared.take_log().pop(), Some(stored_u16(8, 1)), "the version is stored last");
    assert!(region.recover(0xfffe).expect("no batch").pending().is_empty());
    let region = SplitRegion::open_at(shared.clone(), 4, 3).expect("a region in order");
    assert!(!region.is_new());
    assert_eq!(shared.bytes(), fresh().u16(14, 0xfffe).0, "it is not moved");
}

#[test]
fn a_head_that_is_taken_back_is_not_in_flight() {
    let _shows = shows(&["DC-153"]);
    let shared = Shared::region(&[0; 80]);
    let mut area = open(&shared);
    area.fetch(2).expect("idle");
    area.fetch(0).expect("idle");
    shared.take_log();
    area.unfetch(0).expect("in flight");
    assert_eq!(shared.take_log(), [stored_u8(16, 0)]);
    assert_eq!(area.pending(), [2]);
    assert_refused!(area.unfetch(0), AreaError::NotInFlight { head: 0 });
    assert_refused!(area.unfetch(4), AreaError::Head { head: 4, queue_size: 4 });
    area.fetch(0).expect("idle again");
    assert_eq!(area.pending(), [2, 0]);
    area.complete(&[0, 2], publish(&shared)).expect("in flight");
}
