//! Mappings in shared memory regions (spec §6.15), and what becomes of mappings at a reset.

use arrayvec::ArrayVec;
use vhost_fuzz_core::frontend::{
    FrontendDone, FrontendEffect as E, FrontendStep, MapError, RequestError, ShmemRange,
};
use vhost_fuzz_core::session::EffectError;
use vhost_fuzz_core::vhost_user::{
    BackendRequest as B, Frame, FrontendRequest as R, Kind, Payload,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use crate::requests::host::*;

#[test]
fn a_mapping_is_made_where_there_is_room() {
    let _shows = shows(&["VU-243", "VU-245"]);
    let mut host = Host::without(0);
    for (flags, is_writable) in [(0, false), (1, true)] {
        let message = map_with(|map| {
            map.flags = flags;
            map.fd_offset = 2 * PAGE;
            map.shm_offset = flags * PAGE;
        });
        let mapped = host.serve(&message, 1, |effect, mappings| {
            let E::MapShmem { range, fd_offset, is_writable: writable, .. } = effect else {
                panic!("{effect:?}");
            };
            assert_eq!(range, ShmemRange { shmid: 1, offset: flags * PAGE, len: PAGE });
            assert_eq!((fd_offset, writable), (2 * PAGE, is_writable));
            Ok(FrontendDone::Mapped(mappings.open()))
        });
        assert_eq!(mapped, Ok(Some((0, false))));
    }
    let error = |error| RequestError::Map(error);
    let full = MapError::TooMany { limit: 2 };
    assert_refused!(host.verdict(&map(B::SHMEM_MAP, 2 * PAGE, PAGE), 1), error(full));
    assert_eq!(host.verdict(&map(B::SHMEM_UNMAP, PAGE, PAGE), 0), DONE);
    let failed = host.serve(&map(B::SHMEM_MAP, PAGE, PAGE), 1, |_, _| Err(EffectError(12)));
    let effect = RequestError::Effect { code: 9, error: EffectError(12) };
    assert_refused!(failed.map_err(|(error, _)| error), effect);
    assert_eq!(host.frontend.mappings().len(), 1, "what failed is not there");
}

#[test]
fn a_mapping_that_cannot_be_is_refused() {
    let mut host = Host::without(0);
    let size = 4 * PAGE;
    let outside = |offset, len| MapError::OutsideRegion { offset, len, size };
    let none = MapError::UnknownRegion { shmid: 2 };
    for (message, error) in [
        (map_with(|map| map.shmid = 2), none),
        (map(B::SHMEM_MAP, 0, 0), MapError::Empty),
        (map(B::SHMEM_MAP, PAGE, size), outside(PAGE, size)),
        (map(B::SHMEM_MAP, u64::MAX - PAGE + 1, PAGE), outside(u64::MAX - PAGE + 1, PAGE)),
        (map(B::SHMEM_MAP, 1, PAGE), MapError::Misaligned { value: 1 }),
        (map(B::SHMEM_MAP, 0, 1), MapError::Misaligned { value: 1 }),
        (map_with(|map| map.fd_offset = 512), MapError::Misaligned { value: 512 }),
        (map_with(|map| map.flags = 2), MapError::Flags { flags: 2 }),
    ] {
        assert_refused!(host.verdict(&message, 1), RequestError::Map(error));
    }
    assert_eq!(host.verdict(&map(B::SHMEM_MAP, PAGE, 2 * PAGE), 1), DONE);
    for (offset, len) in [(PAGE, 2 * PAGE), (2 * PAGE, PAGE), (0, size), (0, 2 * PAGE)] {
        let error = MapError::Overlap { offset, other: PAGE };
        assert_refused!(host.verdict(&map(B::SHMEM_MAP, offset, len), 1), RequestError::Map(error));
    }
    for offset in [0, 3 * PAGE] {
        assert_eq!(host.verdict(&map(B::SHMEM_MAP, offset, PAGE), 1).is_ok(), offset == 0);
    }
}

#[test]
fn one_whole_mapping_is_removed() {
    let mut host = Host::without(0);
    assert_eq!(host.verdict(&map(B::SHMEM_MAP, PAGE, 2 * PAGE), 1), DONE);
    for (offset, len) in [(PAGE, PAGE), (2 * PAGE, PAGE), (0, 4 * PAGE), (PAGE, 3 * PAGE), (0, 0)] {
        let error = RequestError::Map(MapError::NoMapping { offset, len });
        assert_refused!(host.verdict(&map(B::SHMEM_UNMAP, offset, len), 0), error);
        assert_eq!(host.mappings.open_count(), 1);
    }
    assert_eq!(host.verdict(&map(B::SHMEM_UNMAP, PAGE, 2 * PAGE), 0), DONE);
    assert_eq!(host.mappings.open_count(), 0);
}

#[test]
fn a_reset_of_the_device_removes_all_mappings() {
    let _shows = shows(&["VU-244", "DC-062", "DC-068"]);
    let resets: [fn(&mut Host); 3] = [
        |host| host.sends(R::RESET_DEVICE, Payload::None, 0),
        |host| host.sends(R::SET_STATUS, Payload::U64(0), 0),
        |host| host.frontend.on_device_reset(),
    ];
    for reset in resets {
        let mut host = Host::without(0);
        assert_eq!(host.verdict(&map(B::SHMEM_MAP, 0, 4 * PAGE), 1), DONE);
        assert_eq!(host.verdict(&notifier(0, PAGE), 1), DONE);
        host.sends(R::SET_STATUS, Payload::U64(15), 0);
        assert_eq!(host.mappings.open_count(), 2, "any other status is no reset");
        reset(&mut host);
        assert_eq!((host.mappings.open_count(), host.frontend.mappings().len()), (0, 0));
        assert!(host.frontend.is_channel_open());
        assert_eq!(host.verdict(&map(B::SHMEM_MAP, 0, 4 * PAGE), 1), DONE, "free again");
    }
}

#[test]
fn a_mapping_that_is_being_made_during_a_reset_does_not_stay() {
    let mut host = Host::without(0);
    for message in [map(B::SHMEM_MAP, 0, PAGE), notifier(1, PAGE)] {
        let request = bytes(&message);
        let fds = ArrayVec::from_iter([host.descriptors.open()]);
        let frame = Frame { kind: Kind::BACKEND_REQUEST, bytes: &request, fds };
        let step = host.frontend.on_request(frame, &mut host.objects);
        assert!(matches!(step, FrontendStep::Need(_)));
        drop(step);
        host.frontend.on_device_reset();
        let step = host.frontend.on_done(Ok(FrontendDone::Mapped(host.mappings.open())));
        let result = seen(step).map_err(|(error, _)| error);
        assert_refused!(result, RequestError::ResetMeanwhile);
        assert_eq!(host.mappings.open_count(), 0);
    }
}
