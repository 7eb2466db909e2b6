//! Sizes of areas, and the numbers of `GET_INFLIGHT_FD` and `SET_INFLIGHT_FD`.

use vhost_fuzz_core::inflight::{AreaError, Geometry, MAX_QUEUE_SIZE};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_model::inflight as model;

fn split(queues: u16, queue_size: u16) -> Geometry {
    Geometry { queues, queue_size, packed: false }
}

fn packed(queues: u16, queue_size: u16) -> Geometry {
    Geometry { queues, queue_size, packed: true }
}

#[test]
fn regions_are_as_long_as_the_model_says_and_start_at_multiples_of_64() {
    let _shows = shows(&["DC-030"]);
    for (queue_size, packed) in
        (1..=MAX_QUEUE_SIZE).step_by(7).zip([false, true].into_iter().cycle())
    {
        let geometry = Geometry { queues: 3, queue_size, packed };
        assert_eq!(geometry.region_len(), model::region_len(queue_size, packed) as u64);
        assert_eq!(geometry.stride(), model::stride(queue_size, packed) as u64);
        assert_eq!(geometry.region_offset(2), Some(2 * geometry.stride()));
        assert_eq!(geometry.area_len(), 3 * geometry.stride());
    }
    assert_eq!((split(1, 1).region_len(), split(1, 1).stride()), (32, 64));
    assert_eq!((packed(1, 1).region_len(), packed(1, 1).stride()), (64, 64));
    assert_eq!((packed(1, 2).region_len(), packed(1, 2).stride()), (96, 128));
}

#[test]
fn an_area_that_is_large_enough_is_taken() {
    let _shows = shows(&["VU-182", "DC-030"]);
    for geometry in [split(2, 128), packed(2, 128), packed(1, 3), split(8, 32768)] {
        let need = geometry.area_len();
        for (size, offset) in [(need, 0), (need + 1, 4096), (need, u64::MAX - need), (1 << 40, 0)] {
            assert_eq!(geometry.check(8, size, offset), Ok(()), "{geometry:?} {size} {offset}");
        }
    }
}

#[test]
fn an_area_without_a_queue_is_refused() {
    // HZ-86.
    assert_refused!(split(0, 128).check(8, 1 << 20, 0), AreaError::NoQueues);
    assert_refused!(packed(0, 128).check_request(8), AreaError::NoQueues);
}

#[test]
fn a_queue_size_that_no_ring_has_is_refused() {
    for size in [0, 32769, u16::MAX] {
        let error = AreaError::QueueSize { size };
        assert_refused!(split(1, size).check_request(8), error);
        assert_refused!(packed(1, size).check_request(8), error);
        assert_refused!(packed(1, size).check(8, u64::MAX, 0), error);
    }
    for size in [3, 6, 127, 129, 32767] {
        assert_refused!(split(1, size).check_request(8), AreaError::QueueSize { size });
        assert_eq!(packed(1, size).check_request(8), Ok(()));
    }
}

#[test]
fn more_queues_than_the_device_has_are_refused() {
    // HZ-88 and the bound of a loop that came from the wire (SE04).
    for (queues, limit) in [(500, 2), (3, 2), (1, 0), (u16::MAX, u16::MAX - 1)] {
        let error = AreaError::TooManyQueues { queues, limit };
        assert_refused!(split(queues, 128).check(limit, u64::MAX, 0), error);
        assert_refused!(packed(queues, 128).check_request(limit), error);
    }
}

#[test]
fn an_area_that_is_too_small_is_refused() {
    // HZ-87.
    for geometry in [split(2, 128), packed(2, 128), split(1, 1), packed(8, 32768)] {
        let need = geometry.area_len();
        for have in [0, need - 1] {
            assert_refused!(geometry.check(8, have, 0), AreaError::TooSmall { need, have });
        }
    }
}

#[test]
fn an_area_that_ends_past_64_bits_is_refused() {
    for (size, offset) in [(u64::MAX, 1), (4224, u64::MAX - 4223), (u64::MAX, u64::MAX)] {
        let error = AreaError::OffsetWraps { offset, size };
        assert_refused!(split(2, 128).check(8, size, offset), error);
    }
}
