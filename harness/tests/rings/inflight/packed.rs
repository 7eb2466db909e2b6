//! The region of a packed ring: layout by hand, and each rule.

use vhost_fuzz_core::inflight::{AreaError, Descriptor, PackedArea, PackedRegion, Position};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_model::inflight::{Store, packed as model};

use crate::inflight::shared::{Image, Shared, stored_u8, stored_u16};

/// A region for four descriptors, initialised.
fn fresh() -> Image {
    let header = Image::zero(160).u16(8, 1).u16(10, 4).u8(20, 1).u8(21, 1);
    header.u16(34, 1).u16(66, 2).u16(98, 3).u16(130, 4)
}

/// Nobody asks the ring.
fn open(shared: &Shared) -> PackedArea<Shared> {
    let region = PackedRegion::open(shared.clone(), 4).expect("a region in order");
    region.recover(|index| panic!("descriptor {index} is looked at")).expect("a region in order")
}

fn descriptors(number: u16, count: u16) -> Vec<Descriptor> {
    let descriptor = |index| Descriptor {
        addr: 0x1000 * u64::from(number) + u64::from(index),
        len: 0x0102_0000 + u32::from(index),
        id: number,
        flags: u16::from(index + 1 < count),
    };
    (0..count).map(descriptor).collect()
}

fn publish(shared: &Shared) -> impl FnOnce(Position) -> Result<(), AreaError> {
    |at| {
        shared.store(Store::RingFlags { index: at.index, flags: if at.wrap { 0x8080 } else { 0 } });
        Ok(())
    }
}

/// Bytes of the used and the old position.
fn positions(used: (u16, u8), old: (u16, u8)) -> Store {
    let image = Image::zero(24).u16(16, used.0).u16(18, old.0).u8(20, used.1).u8(21, old.1);
    Store::Region { offset: 16, bytes: image.0[16..].to_vec() }
}

#[test]
fn a_region_of_version_0_is_initialised() {
    let _shows = shows(&["VU-183", "DC-032", "DC-034"]);
    for filler in [0, 0xa5] {
        let shared = Image(vec![filler; 160]).u16(8, 0).shared();
        PackedRegion::open(shared.clone(), 4).expect("an empty region");
        assert_eq!(shared.bytes(), fresh().0);
        let last = shared.take_log().pop();
        assert_eq!(last, Some(stored_u16(8, 1)), "the version is stored last");
    }
}

#[test]
fn fetch_and_complete_have_the_layout_of_the_specification() {
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    assert_eq!(area.fetch(&descriptors(7, 1)), Ok(0));
    assert_eq!(area.fetch(&descriptors(9, 2)), Ok(1));
    let first = fresh().u8(32, 1).u16(36, 0).u16(38, 1).u64(40, 0).u16(48, 7).u16(50, 0);
    let first = first.u32(52, 0x0102_0000).u64(56, 0x7000);
    let both = first.u8(64, 1).u16(68, 2).u16(70, 2).u64(72, 1).u16(80, 9).u16(82, 1);
    let both = both.u32(84, 0x0102_0000).u64(88, 0x9000);
    let both = both.u16(112, 9).u16(114, 0).u32(116, 0x0102_0001).u64(120, 0x9001);
    let both = both.u16(12, 3).u16(14, 3);
    assert_eq!(shared.bytes(), both.0);
    area.complete(1, publish(&shared)).expect("in flight");
    area.complete(0, publish(&shared)).expect("in flight");
    // Entry 2, the last of the request at 1, links to 3, entry 0 to 1.
    let done = both.u16(98, 3).u16(34, 1).u16(12, 0).u16(14, 0).u16(16, 3).u16(18, 3);
    assert_eq!(shared.bytes(), done.u8(64, 0).u8(32, 0).0);
    assert_eq!(area.used(), Position { index: 3, wrap: true });
    assert_eq!(area.pending(), [0; 0]);
}

#[test]
fn a_request_is_published_between_the_new_position_and_the_marks() {
    let _shows = shows(&["DC-034"]);
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    area.fetch(&descriptors(1, 3)).expect("room");
    shared.begin(None);
    area.complete(0, publish(&shared)).expect("in flight");
    let expected = [
        stored_u16(98, 3),
        stored_u16(12, 0),
        positions((3, 1), (0, 1)),
        Store::RingFlags { index: 0, flags: 0x8080 },
        stored_u8(32, 0),
        stored_u16(14, 0),
        positions((3, 1), (3, 1)),
    ];
    assert_eq!(shared.take_log(), expected);
}

#[test]
fn regions_are_those_of_the_model() {
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    let mut region = fresh().0;
    let apply = |region: &mut Vec<u8>, stores: Vec<Store>| {
        for store in stores {
            if let Store::Region { offset, bytes } = store {
                region[offset..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
    };
    let mut random = fastrand::Rng::with_seed(5);
    let (mut requests, mut counter) = (Vec::new(), 0);
    for number in 0..300 {
        let request = descriptors(number, random.u16(1..=4));
        let plain: Vec<_> = request.iter().map(|d| (d.addr, d.len, d.id, d.flags)).collect();
        if let Ok(entry) = area.fetch(&request) {
            let (stores, first) = model::fetch(&region, &plain, counter);
            apply(&mut region, stores);
            assert_eq!(entry, first);
            requests.push(entry);
            counter += 1;
        } else {
            let entry = requests.swap_remove(random.usize(..requests.len()));
            let stores = model::complete(&region, &[entry], model::Reading::Text);
            apply(&mut region, stores);
            area.complete(entry, publish(&shared)).expect("in flight");
        }
        assert_eq!(shared.bytes(), region);
    }
    assert!(counter > 50, "only {counter} requests");
}

/// Two requests; the first, at entry 0, is being returned: the working fields are ahead.
fn begun(used: (u16, u8), old: (u16, u8)) -> Image {
    let image = fresh().u8(32, 1).u16(36, 0).u16(38, 1).u64(40, 5).u64(56, 0x7000);
    let image = image.u8(64, 1).u16(68, 1).u16(70, 1).u64(72, 6).u64(88, 0x9000);
    let image = image.u16(34, 2).u16(12, 0).u16(14, 2);
    image.u16(16, used.0).u16(18, old.0).u8(20, used.1).u8(21, old.1)
}

#[test]
fn an_update_that_was_not_published_is_rolled_back() {
    let _shows = shows(&["VU-188"]);
    for (used, old, flags) in
        [((1, 1), (0, 1), 0x0080), ((0, 0), (3, 1), 0x0083), ((1, 0), (0, 0), 0x8001)]
    {
        let image = begun(used, old);
        let shared = image.shared();
        let region = PackedRegion::open(shared.clone(), 4).expect("a region in order");
        let asked = std::cell::Cell::new(None);
        let area = region.recover(|index| asked.replace(Some(index)).map_or(Some(flags), |_| None));
        let mut area = area.expect("a region in order");
        assert_eq!(asked.get(), Some(old.0), "the descriptor at the old index decides");
        assert_eq!(area.pending(), [0, 1]);
        assert_eq!(area.used(), Position { index: old.0, wrap: old.1 == 1 });
        let expected = image.u16(12, 2).u16(16, old.0).u8(20, old.1);
        assert_eq!(shared.bytes(), expected.0);
    }
}

#[test]
fn an_update_that_was_published_is_kept() {
    let _shows = shows(&["VU-188"]);
    for (used, old, flags) in [
        // Used, and used and made available again.
        ((1, 1), (0, 1), 0x8080),
        ((1, 1), (0, 1), 0x8000),
        ((0, 0), (3, 1), 0x8080),
        ((1, 0), (0, 0), 0x0000),
        ((1, 0), (0, 0), 0x0080),
    ] {
        let image = begun(used, old);
        let shared = image.shared();
        let region = PackedRegion::open(shared.clone(), 4).expect("a region in order");
        let mut area = region.recover(|_| Some(flags)).expect("a region in order");
        assert_eq!(area.pending(), [1]);
        assert_eq!(area.used(), Position { index: used.0, wrap: used.1 == 1 });
        let expected = image.u8(32, 0).u16(14, 0).u16(18, used.0).u8(21, used.1);
        assert_eq!(shared.bytes(), expected.0);
    }
}

#[test]
fn a_request_of_the_whole_ring_is_an_update_although_the_index_is_the_same() {
    let _shows = shows(&["DC-034"]);
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    area.fetch(&descriptors(1, 4)).expect("room");
    // The process ends right after the flags: list, list head, positions, flags.
    shared.begin(Some(4));
    area.complete(0, publish(&shared)).expect("in flight");
    drop(area);
    shared.begin(None);
    let region = PackedRegion::open(shared.clone(), 4).expect("a region in order");
    let mut area = region.recover(|_| Some(shared.ring_flags()[0])).expect("a region in order");
    assert_eq!(area.pending(), [0; 0]);
    assert_eq!(area.used(), Position { index: 0, wrap: false });
}

#[test]
fn a_request_that_was_fetched_in_part_is_taken_back() {
    let _shows = shows(&["VU-188"]);
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    area.fetch(&descriptors(1, 1)).expect("room");
    let before = shared.bytes();
    shared.begin(Some(8));
    area.fetch(&descriptors(2, 2)).expect("room");
    assert!(shared.is_dead());
    assert_eq!(shared.bytes()[64], 1, "it is marked");
    shared.begin(None);
    let mut area = open(&shared);
    assert_eq!(area.pending(), [0]);
    assert_eq!((&shared.bytes()[12..16], shared.bytes()[64]), (&before[12..16], 0));
    assert_eq!(area.fetch(&descriptors(2, 3)), Ok(1), "there is room for three");
}

#[test]
fn requests_are_done_again_in_the_order_of_their_counters() {
    let _shows = shows(&["VU-187"]);
    for (counters, order) in [([6, 5], [1, 0]), ([5, 6], [0, 1]), ([9, 9], [0, 1])] {
        let image = begun((0, 1), (0, 1)).u16(12, 2).u64(40, counters[0]).u64(72, counters[1]);
        let mut area = open(&image.shared());
        assert_eq!(area.pending(), order);
        let addresses: Vec<_> = order
            .into_iter()
            .flat_map(|entry| area.descriptors(entry).expect("in flight"))
            .map(|descriptor| descriptor.expect("memory").addr)
            .collect();
        let expected = [[0x7000, 0x9000], [0x9000, 0x7000]][usize::from(order[0])];
        assert_eq!(addresses, expected);
    }
}

#[test]
fn requests_that_are_not_waited_for_stay_recorded() {
    let _shows = shows(&["VU-095"]);
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    let requests = [descriptors(1, 1), descriptors(2, 2), descriptors(3, 1)];
    for request in &requests {
        area.fetch(request).expect("room");
    }
    area.complete(0, publish(&shared)).expect("in flight");
    let recorded = shared.bytes();
    drop(area);
    assert_eq!(shared.bytes(), recorded);
    let mut area = open(&shared);
    assert_eq!(area.pending(), [1, 3]);
    for (entry, request) in [(1, &requests[1]), (3, &requests[2])] {
        let kept: Result<Vec<_>, _> = area.descriptors(entry).expect("in flight").collect();
        assert_eq!(kept.as_ref(), Ok(request));
    }
}

#[test]
fn a_request_that_is_not_published_stays_in_flight() {
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    area.fetch(&descriptors(1, 1)).expect("room");
    area.fetch(&descriptors(2, 2)).expect("room");
    let refused = area.complete(1, |_| Err(AreaError::NoQueues));
    assert_eq!(refused, Err(AreaError::NoQueues));
    assert_eq!((area.used(), area.pending()), (Position::START, &[0, 1][..]));
    assert_eq!(open(&shared).pending(), [0, 1]);
    assert_eq!(area.fetch(&descriptors(3, 1)), Ok(3), "the free list is the old one");
    area.complete(1, publish(&shared)).expect("in flight");
    assert_eq!(open(&shared).pending(), [0, 3]);
}

#[test]
fn requests_that_cannot_be_recorded_are_refused() {
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    area.fetch(&descriptors(1, 2)).expect("room");
    shared.begin(None);
    for need in [0, 3, 4, 70_000] {
        let request = vec![Descriptor::default(); need];
        assert_refused!(area.fetch(&request), AreaError::NoRoom { need, free: 2 });
    }
    for head in [4, u16::MAX] {
        let refused = area.complete::<AreaError>(head, |_| panic!("published"));
        assert_refused!(refused, AreaError::Head { head, queue_size: 4 });
    }
    for head in [1, 2, 3] {
        let refused = area.complete::<AreaError>(head, |_| panic!("published"));
        assert_refused!(refused, AreaError::NotInFlight { head });
    }
    assert_eq!(area.descriptors(1).err(), Some(AreaError::NotInFlight { head: 1 }));
    assert_eq!((shared.stores(), area.pending()), (0, &[0][..]));
}

#[test]
fn an_idle_ring_can_start_anywhere_and_a_busy_one_cannot() {
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    let base = Position { index: 3, wrap: false };
    assert_eq!(area.start_at(base), Ok(()));
    assert_eq!((area.used(), open(&shared).used()), (base, base));
    let outside = Position { index: 4, wrap: true };
    assert_refused!(area.start_at(outside), AreaError::UsedIndex { index: 4 });
    area.fetch(&descriptors(1, 1)).expect("room");
    assert_eq!(area.start_at(base), Ok(()), "where it is");
    assert_refused!(area.start_at(Position::START), AreaError::Busy { in_flight: 1 });
    assert_eq!(open(&shared).used(), base);
}

#[test]
fn a_ring_that_cannot_be_read_decides_nothing() {
    let image = begun((1, 1), (0, 1));
    let shared = image.shared();
    let region = PackedRegion::open(shared.clone(), 4).expect("a region in order");
    let refused = region.recover(|_| None).map(drop);
    assert_refused!(refused, AreaError::RingUnreadable { index: 0 });
    assert_eq!(shared.bytes(), image.0);
}

/// Why a packed ring has no batches (DC-034), by the words of the specification: the used
/// descriptor of a batch that was rolled back is taken for that of a later one.
#[test]
fn a_batch_that_is_cut_off_leaves_a_used_descriptor_behind() {
    let shared = Shared::new(160, 4);
    let make = |stores: Vec<Store>, count: usize| {
        stores.into_iter().take(count).for_each(|store| shared.store(store));
    };
    let reading = model::Reading::Decided;
    let reconnect = || model::reconnect(&shared.bytes(), &shared.ring_flags(), reading);
    make(model::initialise(&shared.bytes(), 4), usize::MAX);
    for (number, index) in [(1, 0), (2, 1)] {
        let request = [(0x1000, 16, number, 0)];
        make(model::fetch(&shared.bytes(), &request, number.into()).0, usize::MAX);
        shared.driver_stores(index, 0x80);
    }
    // Lists, positions, and the flags of the second; then the process ends.
    make(model::complete(&shared.bytes(), &[0, 1], reading), 6);
    assert_eq!(shared.ring_flags()[..2], [0x80, 0x8080]);
    make(reconnect().stores, usize::MAX);
    assert_eq!(reconnect().pending, [0, 1], "the batch is rolled back");
    make(model::complete(&shared.bytes(), &[1], reading), usize::MAX);
    // List, positions, and no flags at all; then the process ends again.
    make(model::complete(&shared.bytes(), &[0], reading), 3);
    assert_eq!(reconnect().pending, [0; 0], "the request at entry 0 is lost");
}

#[test]
fn a_new_region_begins_where_the_ring_is() {
    let _shows = shows(&["VU-183", "DC-150"]);
    let shared = Shared::new(160, 4);
    let used = Position { index: 3, wrap: false };
    let region = PackedRegion::open_at(shared.clone(), 4, used).expect("an empty region");
    assert!(region.is_new());
    assert_eq!(shared.bytes(), fresh().u16(16, 3).u16(18, 3).u8(20, 0).u8(21, 0).0);
    let area = region.recover(|_| panic!("nothing was begun")).expect("a new region");
    assert_eq!((area.used(), area.in_flight()), (used, 0));
    let region = PackedRegion::open_at(shared.clone(), 4, Position::START).expect("in order");
    assert!(!region.is_new());
    let area = region.recover(|_| panic!("nothing was begun")).expect("a region in order");
    assert_eq!(area.used(), used, "it is not moved");
    let outside = PackedRegion::open_at(shared, 4, Position { index: 4, wrap: true });
    assert_refused!(outside, AreaError::UsedIndex { index: 4 });
}

#[test]
fn a_request_that_is_taken_back_is_not_in_flight() {
    let _shows = shows(&["DC-153"]);
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    assert_eq!(area.fetch(&descriptors(1, 1)), Ok(0));
    assert_eq!(area.fetch(&descriptors(2, 2)), Ok(1));
    assert_eq!(area.in_flight(), 3);
    // The free list has changed since the second one was fetched.
    area.complete(0, publish(&shared)).expect("in flight");
    shared.take_log();
    area.unfetch(1).expect("in flight");
    let next = stored_u16(32 + 32 * 2 + 2, 0);
    let heads = [stored_u16(12, 1), stored_u16(14, 1)];
    assert_eq!(shared.take_log(), [&[next], &heads[..], &[stored_u8(64, 0)]].concat());
    assert_eq!((area.pending().len(), area.in_flight()), (0, 0));
    assert_refused!(area.unfetch(1), AreaError::NotInFlight { head: 1 });
    assert_refused!(area.unfetch(4), AreaError::Head { head: 4, queue_size: 4 });
    // All entries are free, and in the list once.
    assert_eq!(area.fetch(&descriptors(3, 4)), Ok(1));
    let taken_over = open(&shared).pending().to_vec();
    assert_eq!(taken_over, [1]);
}

#[test]
fn requests_with_one_used_descriptor_are_completed_together() {
    let _shows = shows(&["VU-188", "DC-155"]);
    let shared = Shared::new(160, 4);
    let mut area = open(&shared);
    for (number, count) in [(1, 1), (2, 2), (3, 1)] {
        area.fetch(&descriptors(number, count)).expect("room");
    }
    let entries = [0, 1];
    assert_refused!(
        area.complete_batch(&[0, 0], publish(&shared)),
        AreaError::NotInFlight { head: 0 }
    );
    let refused = area.complete_batch(&entries, |_| Err(AreaError::NoQueues));
    assert_eq!(refused, Err(AreaError::NoQueues));
    assert_eq!(area.pending(), [0, 1, 3], "all of it stays in flight");
    shared.take_log();
    area.complete_batch(&entries, publish(&shared)).expect("in flight");
    assert_eq!(shared.ring_flags(), [0x8080, 0, 0, 0], "one used descriptor");
    let expected = [
        // The list of the first, then that of the second, which ends at entry 2.
        stored_u16(32 + 2, 4),
        stored_u16(32 + 32 * 2 + 2, 0),
        stored_u16(12, 1),
        positions((3, 1), (0, 1)),
        Store::RingFlags { index: 0, flags: 0x8080 },
        stored_u8(32, 0),
        stored_u8(64, 0),
        stored_u16(14, 1),
        positions((3, 1), (3, 1)),
    ];
    assert_eq!(shared.take_log(), expected);
    assert_eq!((area.pending().to_vec(), area.in_flight()), (vec![3], 1));
    assert_eq!(open(&shared).pending(), [3]);
    area.complete_batch::<AreaError>(&[], |_| panic!("nothing to show")).expect("an empty batch");
}
